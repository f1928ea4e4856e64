"""Things that last from one time to another, found by overlap."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class IntervalIndex(Generic[T]):
    """Items with half-open spans [start, end), listed in order of start.

    Spans mostly arrive in order, so adding one is an append; `_reach[i]` is the latest end among the first i + 1 items
    and lets a look-up stop as soon as nothing earlier can overlap.
    """

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._items: list[T] = []
        self._reach: list[int] = []

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def add(self, start: int, end: int, item: T) -> None:
        """Add an item; of equal starts the later added stands later."""
        at = bisect_right(self._starts, start)
        self._starts.insert(at, start)
        self._ends.insert(at, end)
        self._items.insert(at, item)
        self._reach.insert(at, 0)
        reach = self._reach[at - 1] if at else end
        for i in range(at, len(self._reach)):
            reach = max(reach, self._ends[i])
            self._reach[i] = reach

    def overlapping(self, start: int, end: int) -> list[T]:
        """The items whose span shares a moment with [start, end), in order of start."""
        found: list[T] = []
        i = bisect_left(self._starts, end) - 1
        while i >= 0 and self._reach[i] > start:
            if self._ends[i] > start:
                found.append(self._items[i])
            i -= 1
        found.reverse()
        return found
