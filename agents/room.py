"""Room for what is in hand: a bound in bytes, beside the bound in messages."""

from __future__ import annotations

import asyncio


class Room:
    """Bytes that may be in hand at one time. Who is alone comes in whatever its size."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._left = asyncio.Event()

    @property
    def held(self) -> int:
        """Bytes in hand."""
        return self._held

    async def enter(self, size: int) -> None:
        """Take so many bytes in hand; waits until they fit beside what is there. One caller at a time."""
        while self._held and self._held + size > self._most:
            self._left.clear()
            await self._left.wait()
        self._held += size

    def leave(self, size: int) -> None:
        """So many bytes are done with."""
        self._held -= size
        self._left.set()
