"""Topics, pairings and a scorer's state in the memory of one process: what the agents need where there is no broker."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from agents.scorer import Kept
from schemas.base import Offsets
from schemas.pairing import Pairing
from streams.envelope import Headers, RawRecord
from streams.tally import Noise


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """A message as an agent takes it (see `agents.runner.Arrival`)."""

    record: RawRecord
    reader: Reader

    def ack(self) -> bool:
        """Mark it as done; messages are done in their order."""
        self.reader.done()
        return True


class Reader:
    """Reads topics from their ends on, as they grow, and knows how much of what it was given is not done yet."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[RawRecord] = asyncio.Queue()
        self._open = 0
        self._fewer = asyncio.Event()

    def give(self, record: RawRecord) -> None:
        """A message was appended."""
        self._open += 1
        self._queue.put_nowait(record)

    def done(self) -> None:
        """One more message was acknowledged."""
        self._open -= 1
        self._fewer.set()

    async def at_most(self, count: int) -> None:
        """Wait until no more than so many messages are not done. For one that waits."""
        while self._open > count:
            self._fewer.clear()
            await self._fewer.wait()

    async def arrivals(self) -> AsyncIterator[Arrived]:
        """The messages as they come, without end."""
        while True:
            yield Arrived(record=await self._queue.get(), reader=self)


class MemoryTopics:
    """Topics of one partition; a `Sender` and a `Log`.

    Args:
        now_ms: the clock of append times, milliseconds since 1970.
        passing: topics whose messages are handed to their readers and let go: nobody asks for them again.
    """

    def __init__(self, *, now_ms: Callable[[], int], passing: frozenset[str] = frozenset()) -> None:
        self._now_ms = now_ms
        self._passing = passing
        self._ends: defaultdict[str, int] = defaultdict(int)
        self._kept: defaultdict[str, list[RawRecord]] = defaultdict(list)
        self._readers: defaultdict[str, list[Reader]] = defaultdict(list)

    def reader(self, *names: str) -> Reader:
        """A new reader of these topics."""
        reader = Reader()
        for name in names:
            self._readers[name].append(reader)
        return reader

    def append(self, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        """Put a message at the end of a topic."""
        record = RawRecord(
            topic=topic,
            partition=0,
            offset=self.end(topic),
            timestamp_ms=self._now_ms(),
            key=key,
            value=value,
            headers=tuple(headers),
        )
        self._ends[topic] += 1
        if topic not in self._passing:
            self._kept[topic].append(record)
        for reader in self._readers[topic]:
            reader.give(record)

    def end(self, topic: str) -> int:
        """The next offset."""
        return self._ends[topic]

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> Awaitable[object]:
        """Put a message at the end of a topic, where it stands at once."""
        self.append(topic, key, value, headers)
        there: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        there.set_result(None)
        return there

    async def ends(self, topic: str) -> Offsets:
        """The next offset of the only partition."""
        return {0: self.end(topic)}

    async def read(self, topic: str, partition: int, start: int, end: int) -> Sequence[RawRecord]:
        """The messages with start ≤ offset < end."""
        return self._kept[topic][start:end]


class MemoryBoard:
    """A `Board` of one pairing."""

    def __init__(self, pairing: Pairing) -> None:
        self._pairing = pairing
        self._listeners: list[Callable[[Pairing], None]] = []

    @property
    def pairings(self) -> Mapping[str, Pairing]:
        """The pairing, by its id."""
        return {self._pairing.id: self._pairing}

    def on_change(self, listener: Callable[[Pairing], None]) -> None:
        """Call the listener with the pairing now, and whenever it changes."""
        self._listeners.append(listener)
        listener(self._pairing)

    def show(self, pairing: Pairing) -> None:
        """The pairing has changed."""
        self._pairing = pairing
        for listener in self._listeners:
            listener(pairing)


class NoState:
    """A scorer's `State` that is never opened again."""

    def load(self, partition: int) -> Kept:
        """Nothing, as on a first start."""
        return Kept(position=0, entries=(), noise={}, closed=frozenset())

    def save(
        self,
        partition: int,
        *,
        position: int,
        counted: Sequence[RawRecord],
        noise: dict[str, Noise],
        closed: Iterable[str],
    ) -> None:
        """Keep nothing."""
