"""One partition of a source on its way into frames. Pure: what comes in and what time it is are arguments."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from infra.bridge.framed import Offsets, Ranges, within
from infra.bridge.reading import Floats, Rows
from infra.bridge.times import Times
from streams.frames import encode_frame
from streams.topics import FRAME_BYTES


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Rows of one asset that become one frame, in the source's order.

    Attributes:
        offsets: where they stand, shape (n,).
        times: microseconds since 1970, shape (n,).
        values: of the tags, shape (tags, n).
    """

    asset: str
    offsets: Offsets
    times: Times
    values: Floats

    @property
    def first(self) -> int:
        return int(self.offsets[0])

    @property
    def last(self) -> int:
        return int(self.offsets[-1])

    def encoded(self, tags: Sequence[str]) -> bytes:
        """As one Arrow stream."""
        return encode_frame(self.times, dict(zip(tags, self.values, strict=True)))


def most_rows(tags: Sequence[str], wanted: int) -> int:
    """How many rows a frame of these tags may have, at most `wanted`, so that none exceeds 1 MiB."""
    rows = wanted
    while rows > 1 and len(_largest(tags, rows)) > FRAME_BYTES:
        rows = max(1, min(rows - 1, rows * FRAME_BYTES // len(_largest(tags, rows))))
    return rows


def _largest(tags: Sequence[str], rows: int) -> bytes:
    values = np.ones((len(tags), rows))
    values[:, 0] = np.nan  # a column with a missing value has a bitmap as well
    return encode_frame(np.zeros(rows, dtype=np.int64), dict(zip(tags, values, strict=True)))


@dataclass
class _Held:
    """Rows of one asset that are not in a frame yet; the first of them came at `since`."""

    since: float
    parts: list[tuple[Offsets, Times, Floats]] = field(default_factory=list)
    count: int = 0

    def joined(self) -> tuple[Offsets, Times, Floats]:
        if len(self.parts) > 1:
            offsets, times, values = zip(*self.parts, strict=True)
            self.parts = [(np.concatenate(offsets), np.concatenate(times), np.concatenate(values, axis=1))]
        return self.parts[0]


class Lane:
    """Cuts the rows of one source partition into frames, by size or age."""

    def __init__(
        self,
        partition: int,
        position: int,
        *,
        assets: Sequence[str],
        rows: int,
        age_s: float,
        framed: Ranges,
        since: Mapping[int, int],
    ) -> None:
        """A lane at the point where reading goes on.

        Args:
            position: the first offset to read.
            assets: the plant's machines; rows name theirs by its place.
            rows, age_s: a frame has at most so many rows, and waits no longer for more.
            framed: rows from the position on that stand in frames already.
            since: where these frames can stand at the earliest, by the target's partitions.
        """
        self.partition = partition
        #: The offset behind the last message that was taken.
        self.position = position
        #: Rows that were passed over, since a frame holds them already.
        self.skipped = 0
        self._assets, self._rows, self._age_s = assets, rows, age_s
        self._framed = {asset: ranges for (at, asset), ranges in framed.items() if at == partition}
        self._since = dict(since)
        self._framed_until = max((last for ranges in self._framed.values() for _, last in ranges), default=-1)
        self._held: dict[int, _Held] = {}
        #: First offsets of what was sent and is not acknowledged, by the order in which it was sent.
        self._on_way: dict[int, int] = {}
        self._sent = 0
        #: Where reading stood, and where the target ended then at the earliest; in order.
        self._stood: deque[tuple[int, dict[int, int]]] = deque()

    # --- rows into frames -----------------------------------------------------------------------------------------

    def add(self, rows: Rows, offsets: Offsets, now: float) -> Iterator[Cut]:
        """Take the good rows of a lot of messages, whose offsets are given, shape (n,); gives the frames that are full."""
        order = np.argsort(rows.assets, kind="stable")
        codes = rows.assets[order]
        bounds = np.flatnonzero(np.diff(codes)) + 1
        for part in np.split(order, bounds) if len(order) else ():
            yield from self._add_asset(int(rows.assets[part[0]]), part, rows, offsets, now)

    def _add_asset(self, code: int, part: Offsets, rows: Rows, offsets: Offsets, now: float) -> Iterator[Cut]:
        at = offsets[part]
        ranges = self._framed.get(self._assets[code])
        if ranges is not None:
            part, at = self._without_framed(code, ranges, part, at)
        if not len(part):
            return
        held = self._held.setdefault(code, _Held(since=now))
        held.parts.append((at, rows.times[part], rows.values[:, part]))
        held.count += len(part)
        if held.count >= self._rows:
            yield from self._full(code, held, now)

    def _without_framed(
        self, code: int, ranges: list[tuple[int, int]], part: Offsets, at: Offsets
    ) -> tuple[Offsets, Offsets]:
        fresh = ~within(at, ranges)
        self.skipped += int(len(at) - fresh.sum())
        if max(last for _, last in ranges) <= at[-1]:
            del self._framed[self._assets[code]]
        return part[fresh], at[fresh]

    def _full(self, code: int, held: _Held, now: float) -> Iterator[Cut]:
        offsets, times, values = held.joined()
        whole = held.count - held.count % self._rows
        for start in range(0, whole, self._rows):
            yield self._cut(code, offsets, times, values, start, start + self._rows)
        del self._held[code]
        if whole < held.count:
            rest = (offsets[whole:], times[whole:], values[:, whole:])
            self._held[code] = _Held(since=now, parts=[rest], count=held.count - whole)

    def _cut(self, code: int, offsets: Offsets, times: Times, values: Floats, start: int, stop: int) -> Cut:
        return Cut(
            asset=self._assets[code],
            offsets=offsets[start:stop],
            times=times[start:stop],
            values=values[:, start:stop],
        )

    def due(self, now: float) -> Iterator[Cut]:
        """The frames whose first row has waited long enough."""
        for code, held in list(self._held.items()):
            if now - held.since >= self._age_s:
                del self._held[code]
                yield self._cut(code, *held.joined(), 0, held.count)

    def rest(self) -> Iterator[Cut]:
        """Everything that is held, as frames."""
        for code, held in list(self._held.items()):
            del self._held[code]
            yield self._cut(code, *held.joined(), 0, held.count)

    # --- what may be committed ------------------------------------------------------------------------------------

    def sent(self, first: int) -> int:
        """Something was sent whose first row stands there; gives the number by which it is acknowledged."""
        self._sent += 1
        self._on_way[self._sent] = first
        return self._sent

    def acknowledged(self, number: int) -> None:
        """The broker has it."""
        del self._on_way[number]

    def stands(self, ends: Mapping[int, int]) -> None:
        """Remember where reading stands, at a moment at which the target's partitions end there or later."""
        if self._stood and self._stood[-1][0] == self.position:
            self._stood.pop()
        # Until it has passed what an earlier run framed, that run's frames count as well.
        passed = self.position > self._framed_until
        self._stood.append((self.position, dict(ends) if passed else self._since))

    def safe(self) -> tuple[int, dict[int, int]]:
        """The offset before which everything is acknowledged, and where frames of rows behind it can stand at the earliest.

        Such a frame was sent after the moment at which reading stood at that offset or before it, so it stands behind what
        was the target's end at that moment; or an earlier run sent it.
        """
        held = (int(part[0][0]) for one in self._held.values() for part in one.parts[:1])
        offset = min((self.position, *held, *self._on_way.values()))
        while len(self._stood) > 1 and self._stood[1][0] <= offset:
            self._stood.popleft()
        return offset, dict(self._stood[0][1]) if self._stood else {}
