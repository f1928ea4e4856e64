"""What the agents need from the world, as small protocols; `infra` implements them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NoReturn, Protocol, TypeVar

from schemas.base import Offsets
from schemas.pairing import Pairing
from streams.envelope import Headers, RawRecord

T = TypeVar("T")

#: Ends the process without acknowledging anything: the only way in which Faust hands a message out again.
Crash = Callable[[BaseException], NoReturn]


class Sender(Protocol):
    """Appends messages to topics."""

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> Awaitable[object]:
        """Queue a message, in order; awaiting the result waits until the broker has it."""
        ...


class Log(Protocol):
    """Reads topics beside the agents' own consumers, without a group."""

    async def ends(self, topic: str) -> Offsets:
        """The next offset of each partition."""
        ...

    async def read(self, topic: str, partition: int, start: int, end: int) -> Sequence[RawRecord]:
        """The records with start ≤ offset < end that still exist, in order."""
        ...


class Tail(Protocol):
    """A topic of one partition, read once from its beginning as it grows."""

    async def new(self) -> Sequence[RawRecord]:
        """The records up to its present end that were not given before."""
        ...


class Board(Protocol):
    """The present state of a plant's pairings, kept up to date."""

    @property
    def pairings(self) -> Mapping[str, Pairing]:
        """Pairings by id."""
        ...

    def on_change(self, listener: Callable[[Pairing], None]) -> None:
        """Call the listener for every pairing there is now, and whenever one changes."""
        ...


async def put(sender: Sender, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
    """Append one message and wait until the broker has it."""
    await (await sender.send(topic, key, value, headers))


async def or_crash(work: Awaitable[T], crash: Crash) -> T:
    """Do a piece of work whose failure is a broken world: a message whose handler raises, Faust would acknowledge."""
    try:
        return await work
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        crash(error)
