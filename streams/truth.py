"""Joining rows with labels that arrive late, in any order, corrected or taken back.

A row is one position of one frame. Its label is the one with the highest source offset among those that cover it, of
each label only the newest version, and only versions that the broker had appended by the frame's deadline.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from streams.intervals import IntervalIndex
from streams.labelling import Labelling


@dataclass(kw_only=True)
class Rows:
    """The rows of one counted frame of one deployment.

    Attributes:
        times_us: int64, shape (n,).
        answers: float64, shape (m, n); not-a-number is an abstention.
        scores: what was given beside the answers, of the same shape; None where there is nothing.
        codes: the part of each slice that each row is in, int8, shape (k, n); None where it is not known.
        truth: float64 codes, shape (n,); not-a-number is unknown.
        deadline_ms: labels appended later than this do not count for the frame.
        labelling: what is known of their labels beside what they say.
    """

    frame: str
    asset: str
    partition: int
    offset: int
    deadline_ms: int
    result: str
    times_us: np.ndarray
    answers: np.ndarray
    truth: np.ndarray
    scores: np.ndarray | None = None
    codes: np.ndarray | None = None
    labelling: Labelling = field(default_factory=Labelling)

    @property
    def key(self) -> tuple[int, int]:
        """Where its frame stands in the telemetry."""
        return self.partition, self.offset

    @property
    def start_us(self) -> int:
        return int(self.times_us.min()) if self.times_us.size else 0

    @property
    def end_us(self) -> int:
        return int(self.times_us.max()) + 1 if self.times_us.size else 0


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a label: an interval, or points by time or by frame position.

    Attributes:
        code: the label of an interval; None where it is withdrawn or the version has points.
        times_us, codes: points, shape (k,), in order of time unless they are for one frame.
    """

    id: str
    offset: int
    appended_ms: int
    start_us: int
    end_us: int
    code: float | None = None
    frame: str | None = None
    times_us: np.ndarray | None = None
    codes: np.ndarray | None = None

    def over(self, rows: Rows) -> np.ndarray:
        """The rows' labels with what this version says on top."""
        truth = rows.truth.copy()
        self.lay(rows, truth)
        return truth

    def lay(self, rows: Rows, truth: np.ndarray) -> None:
        """Write what this version says over `truth`, in place."""
        if self.frame is not None:
            if self.codes is not None and self.frame == rows.frame and self.codes.size == truth.size:
                known = ~np.isnan(self.codes)
                truth[known] = self.codes[known]
        elif self.times_us is not None and self.codes is not None:
            self._lay_points(rows, truth)
        elif self.code is not None:
            truth[(rows.times_us >= self.start_us) & (rows.times_us < self.end_us)] = self.code

    def rows_of(self, rows: Rows) -> int:
        """How many of the rows it says something about."""
        said = np.full(rows.times_us.size, np.nan)
        self.lay(rows, said)
        return int(np.count_nonzero(~np.isnan(said)))

    def _lay_points(self, rows: Rows, truth: np.ndarray) -> None:
        assert self.times_us is not None and self.codes is not None
        # The last of several points at one time holds.
        at = np.searchsorted(self.times_us, rows.times_us, side="right") - 1
        inside = at >= 0
        hit = np.zeros(truth.size, dtype=bool)
        hit[inside] = self.times_us[at[inside]] == rows.times_us[inside]
        codes = np.full(truth.size, np.nan)
        codes[hit] = self.codes[at[hit]]
        known = ~np.isnan(codes)
        truth[known] = codes[known]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one version of a label made of the labels of some rows: float64, shape (n,), not-a-number where there is none."""

    version: Version
    before: np.ndarray
    after: np.ndarray
    #: Up to when labels were complete when it came; None where nothing was said.
    watermark_us: int | None


@dataclass(kw_only=True)
class Truth:
    """Everything that is known of one asset's labels."""

    versions: IntervalIndex[Version] = field(default_factory=IntervalIndex)
    by_frame: dict[str, list[Version]] = field(default_factory=dict)
    by_id: dict[str, list[Version]] = field(default_factory=dict)
    #: The highest source offset seen, of labels and watermarks.
    newest: int = -1
    #: When the broker appended a watermark, its source offset, and up to when labels are complete: all of them rise.
    watermarks: list[tuple[int, int, int]] = field(default_factory=list)

    def known(self, version: Version) -> bool:
        """Whether this version, or one from the same place, is there already."""
        return any(one.offset == version.offset for one in self.by_id.get(version.id, ()))

    def add(self, version: Version) -> list[Version]:
        """Take a version in; gives the versions of the same label that stood before it."""
        before = list(self.by_id.get(version.id, ()))
        self.by_id.setdefault(version.id, []).append(version)
        self.newest = max(self.newest, version.offset)
        if version.frame is not None:
            self.by_frame.setdefault(version.frame, []).append(version)
        elif version.end_us > version.start_us:
            self.versions.add(version.start_us, version.end_us, version)
        return before

    def watermark_for(self, deadline_ms: int) -> int | None:
        """Up to when labels are complete, for frames with that deadline, in microseconds."""
        return self._said_before((deadline_ms + 1,))

    def raise_watermark(self, appended_ms: int, offset: int, until_us: int) -> int | None:
        """Take a watermark in; gives what those before it in the topic said, which it adds nothing to where it says no more.

        Later ones that say no more than this one are dropped.
        """
        place = (appended_ms, offset)
        passed = self._said_before(place)
        self.newest = max(self.newest, offset)
        if passed is None or until_us > passed:
            first = last = bisect_left(self.watermarks, place)
            while last < len(self.watermarks) and self.watermarks[last][2] <= until_us:
                last += 1
            self.watermarks[first:last] = [(*place, until_us)]
        return passed

    def _said_before(self, place: tuple[int, ...]) -> int | None:
        at = bisect_left(self.watermarks, place)
        return self.watermarks[at - 1][2] if at else None

    def resolve(self, rows: Rows) -> np.ndarray:
        """The labels of these rows: float64, shape (n,), not-a-number where there is none."""
        truth = np.full(rows.times_us.size, np.nan)
        for version in self.about(rows):
            if self._newest_for(version, rows):
                version.lay(rows, truth)
        return truth

    def about(self, rows: Rows) -> list[Version]:
        """The versions that may be about these rows and came in time, in the order of the label topic."""
        found = [*self.versions.overlapping(rows.start_us, rows.end_us), *self.by_frame.get(rows.frame, ())]
        in_time = (one for one in found if one.appended_ms <= rows.deadline_ms)
        return sorted(in_time, key=lambda one: one.offset)

    def told(self, rows: Rows) -> Iterator[Told]:
        """What each version that came in time made of the rows' labels, in the order of the label topic."""
        truth = np.full(rows.times_us.size, np.nan)
        standing: dict[str, Version] = {}
        for version in self._of(rows):
            if version.appended_ms > rows.deadline_ms:
                continue
            replaces = standing.pop(version.id, None) is not None
            standing[version.id] = version
            before, truth = truth, np.full(truth.size, np.nan) if replaces else truth.copy()
            for one in standing.values() if replaces else (version,):
                one.lay(rows, truth)
            watermark_us = self._said_before((version.appended_ms, version.offset))
            yield Told(version=version, before=before, after=truth, watermark_us=watermark_us)

    def late(self, rows: Rows) -> int:
        """How many versions of labels of these rows came after their deadline."""
        return sum(one.appended_ms > rows.deadline_ms for one in self._of(rows))

    def _of(self, rows: Rows) -> list[Version]:
        """The versions of labels of these rows in the order of the label topic, those that only take a label away among them."""
        first: dict[str, int] = {}
        for one in (
            *self.versions.overlapping(rows.start_us, rows.end_us),
            *self.by_frame.get(rows.frame, ()),
        ):
            first[one.id] = min(one.offset, first.get(one.id, one.offset))
        found = [one for ident, offset in first.items() for one in self.by_id[ident] if one.offset >= offset]
        return sorted(found, key=lambda one: one.offset)

    def _newest_for(self, version: Version, rows: Rows) -> bool:
        return not any(
            other.offset > version.offset and other.appended_ms <= rows.deadline_ms
            for other in self.by_id[version.id]
        )
