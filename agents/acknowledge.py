"""Acknowledging in order, from a task of its own.

Faust acknowledges a message when the body of an agent moves on, also when it raised. So agents take unacknowledged
streams and hand every event over here with what has to be true before it counts as done. The task is not the agent's own
loop: there, the events of an idle stream would stay unacknowledged, and a rebalance would wait for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Protocol

from agents.ports import Crash


class Event(Protocol):
    """The part of a Faust event that matters here."""

    def ack(self) -> bool:
        """Mark the message as done."""
        ...


class InOrder:
    """A window of work in flight, acknowledged strictly in the order in which it was put in."""

    def __init__(self, *, window: int, crash: Crash) -> None:
        self._queue: asyncio.Queue[tuple[Sequence[Event], Awaitable[object]]] = asyncio.Queue(maxsize=window)
        self._crash = crash

    async def put(self, events: Sequence[Event], done: Awaitable[object]) -> None:
        """Have these events acknowledged once `done` and everything before it is; waits while the window is full."""
        await self._queue.put((events, done))

    async def run(self) -> None:
        """Acknowledge for ever; a broken world ends the process instead."""
        while True:
            events, done = await self._queue.get()
            try:
                await done
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                self._crash(error)
            for event in events:
                event.ack()


async def done() -> None:
    """Nothing is left to wait for."""
