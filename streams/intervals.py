"""Things that last from one time to another, found by overlap."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(kw_only=True)
class _Level(Generic[T]):
    """Items of about one length, in order of start; the places of both lists correspond."""

    starts: list[int] = field(default_factory=list)
    #: Start, number of the addition, end, item.
    items: list[tuple[int, int, int, T]] = field(default_factory=list)


class IntervalIndex(Generic[T]):
    """Items with half-open spans [start, end), found in order of start; of equal starts the later added stands later.

    Items lie on levels, one for each power of two of their length. On a level, whatever overlaps a span starts less than
    that power before it: so one long item among many short ones, such as a frame with a clock that stood wrong, does not
    make every later look-up walk back to it. Spans mostly arrive in order, so adding one is an append.
    """

    def __init__(self) -> None:
        self._levels: dict[int, _Level[T]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, start: int, end: int, item: T) -> None:
        """Add an item; its span may be empty, it never ends before it starts."""
        level = self._levels.setdefault((end - start).bit_length(), _Level())
        at = bisect_right(level.starts, start)
        level.starts.insert(at, start)
        level.items.insert(at, (start, self._count, end, item))
        self._count += 1

    def overlapping(self, start: int, end: int) -> list[T]:
        """The items that start before `end` and end after `start`, in order of start."""
        found: list[tuple[int, int, int, T]] = []
        for bits, level in self._levels.items():
            first = bisect_right(level.starts, start - (1 << bits))
            found += [one for one in level.items[first : bisect_left(level.starts, end)] if one[2] > start]
        found.sort(key=lambda one: one[:2])
        return [item for *_, item in found]
