"""What the rows of a deployment amount to, kept up to date frame by frame.

A frame's share of the sums is taken away and added again when its labels change. What needs the rows of an asset in order
is counted anew when it is asked for, for the assets that changed since.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from schemas.agreement import Agreement, Task
from streams.ranking import Ranking
from streams.slices import coded
from streams.truth import Rows

#: Partition and offset of a frame.
Key = tuple[int, int]

#: What a frame says in order, boiled down by the task.
Piece = tuple[np.ndarray, ...]

#: Offsets of one partition whose frames are joined.
BLOCK = 256

#: Rows that are looked at together: place of the slice in the agreement, and its part; all rows; rows of one day.
Group = tuple[int, int | str]
WHOLE: Group = (-1, 0)
BY_DAY = -2
DAY_US = 24 * 60 * 60 * 1_000_000

#: scored, awaiting a label, unlabelled, abstained, failed, labelled; the task's sums follow.
STATES = 6
SCORED, WAITING, UNLABELLED, ABSTAINED, FAILED, LABELLED = range(STATES)


class Measures(Protocol):
    """How a task turns rows into whole numbers that add up."""

    def zero(self) -> tuple[int, ...]:
        """The sums of no rows."""

    def sums(self, truth: np.ndarray, answers: np.ndarray, scores: np.ndarray | None) -> tuple[int, ...]:
        """Sums over rows with label and answer; all float64, shape (n,)."""

    def piece(self, times_us: np.ndarray, truth: np.ndarray, answers: np.ndarray) -> Piece:
        """A frame boiled down to what its rows say in order; truth as int8 codes, −1 where it is unknown."""

    def join(self, pieces: Sequence[Piece]) -> Piece:
        """Frames that follow one another, boiled down as one."""

    def series(self, pieces: Sequence[Piece]) -> tuple[int, ...]:
        """Sums over the frames of an asset, in order."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one subject's rows in one group amount to."""

    group: Group
    states: tuple[int, ...]
    sums: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Amount:
    """What one subject's rows amount to.

    Attributes:
        states: rows by what became of them, see `STATES`.
        sums: the task's, over the scored rows.
        series: the task's, by asset.
        ranking: rows of the second and of the first class by score, the highest first; None unless every scored row
            has a score.
        parts: the same by slice and by day.
    """

    states: tuple[int, ...]
    sums: tuple[int, ...]
    series: Mapping[str, tuple[int, ...]]
    ranking: tuple[np.ndarray, np.ndarray] | None
    parts: tuple[Part, ...]


class Scores:
    """The rows of one deployment."""

    def __init__(self, agreement: Agreement, measures: Measures, *, subjects: int) -> None:
        self._measures = measures
        self._subjects = subjects
        self._slices = agreement.slices or ()
        self._silence_is_normal = agreement.labels.absent_means == "normal"
        self._in_order = agreement.task is Task.ANOMALY
        self._two_classes = len(agreement.classes) == 2
        zero = [0] * STATES + list(measures.zero())
        self._totals: dict[Group, list[list[int]]] = {WHOLE: [list(zero) for _ in range(subjects)]}
        self._shares: dict[Key, dict[Group, list[list[int]]]] = {}
        #: Of two classes, the labels that each frame was measured with.
        self._codes: dict[Key, np.ndarray] = {}
        #: The frames of each asset boiled down, one piece a subject; and blocks of frames that follow one another.
        self._pieces: dict[tuple[str, Key], dict[Key, list[Piece]]] = {}
        self._blocks: dict[str, dict[Key, list[Piece]]] = {}
        #: Assets with the blocks of theirs that changed.
        self._stale: dict[str, set[Key]] = {}
        self._series: dict[str, list[tuple[int, ...]]] = {}
        self._rankings = [Ranking() for _ in range(subjects)]

    # --- frames ---------------------------------------------------------------------------------------------------

    def measure(self, rows: Rows, watermark_us: int | None, ticked_ms: int) -> None:
        """Take a frame in as it stands now, instead of as it stood."""
        known, under = self.known(rows, watermark_us)
        closed = under | (rows.deadline_ms < ticked_ms)
        shares = {
            group: [self._share(rows, i, known, closed, where) for i in range(self._subjects)]
            for group, where in self._parts(rows)
        }
        whole = shares[WHOLE]
        shares |= dict.fromkeys(self._whole_groups(rows), whole)
        self._replace(rows.key, shares)
        if self._two_classes:
            self._recode(rows, np.where(np.isnan(known), -1, known).astype(np.int8))

    def drop(self, rows: Rows) -> None:
        """Take a frame out again."""
        self._replace(rows.key, None)
        if rows.key in self._codes:
            self._recode(rows, None)

    def known(self, rows: Rows, watermark_us: int | None) -> tuple[np.ndarray, np.ndarray]:
        """The labels of rows as they count, where silence under the watermark may mean normal; and what lies under it."""
        return self.counted(rows.times_us, rows.truth, watermark_us)

    def counted(
        self, times_us: np.ndarray, truth: np.ndarray, watermark_us: int | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Labels as they count under a watermark, and what lies under it; each of shape (n,)."""
        if watermark_us is None:
            return truth, np.zeros(times_us.size, dtype=bool)
        under = times_us < watermark_us
        if self._silence_is_normal:
            return np.where(np.isnan(truth) & under, 0.0, truth), under
        return truth, under

    def _parts(self, rows: Rows) -> Iterator[tuple[Group, slice | np.ndarray]]:
        """The groups that a part of the rows is in, and all of them."""
        yield WHOLE, slice(None)
        for codes, at in zip(() if rows.codes is None else rows.codes, coded(self._slices), strict=False):
            for code in np.unique(codes).tolist():
                yield (at, code), codes == code

    def _whole_groups(self, rows: Rows) -> Iterator[Group]:
        """The groups that all of the rows are in."""
        if rows.times_us.size:
            yield BY_DAY, int(rows.times_us[0] // DAY_US)
        for at, one in enumerate(self._slices):
            if one.by == "asset":
                yield at, rows.asset

    def _share(
        self,
        rows: Rows,
        subject: int,
        known: np.ndarray,
        closed: np.ndarray,
        where: slice | np.ndarray,
    ) -> list[int]:
        answers, known, closed = rows.answers[subject][where], known[where], closed[where]
        answered, labelled = np.isfinite(answers), ~np.isnan(known)
        count = int(np.count_nonzero(labelled))
        if rows.result == "failed":
            return [0, 0, 0, 0, answers.size, count, *self._measures.zero()]
        scored = answered & labelled
        waiting = answered & ~labelled
        unlabelled = int(np.count_nonzero(waiting & closed))
        scores = None if rows.scores is None else rows.scores[subject][where][scored]
        return [
            int(np.count_nonzero(scored)),
            int(np.count_nonzero(waiting)) - unlabelled,
            unlabelled,
            int(answers.size - np.count_nonzero(answered)),
            0,
            count,
            *self._measures.sums(known[scored], answers[scored], scores),
        ]

    def _replace(self, key: Key, shares: dict[Group, list[list[int]]] | None) -> None:
        for sign, found in ((-1, self._shares.pop(key, None)), (1, shares)):
            for group, share in (found or {}).items():
                totals = self._totals.get(group)
                if totals is None:
                    totals = self._totals[group] = [[0] * len(one) for one in share]
                for total, part in zip(totals, share, strict=True):
                    for i, value in enumerate(part):
                        total[i] += sign * value
        if shares is not None:
            self._shares[key] = shares

    def _recode(self, rows: Rows, codes: np.ndarray | None) -> None:
        before = self._codes.pop(rows.key, None)
        if codes is not None:
            self._codes[rows.key] = codes
        if before is not None and codes is not None and np.array_equal(before, codes):
            return
        if self._in_order:
            self._cut(rows, codes)
        if rows.scores is not None:
            self._rank(rows, before, -1)
            self._rank(rows, codes, 1)

    def _cut(self, rows: Rows, codes: np.ndarray | None) -> None:
        block = (rows.partition, rows.offset // BLOCK)
        self._stale.setdefault(rows.asset, set()).add(block)
        pieces = self._pieces.setdefault((rows.asset, block), {})
        pieces.pop(rows.key, None)
        if codes is not None and codes.size:
            pieces[rows.key] = [self._measures.piece(rows.times_us, codes, one) for one in rows.answers]

    def _rank(self, rows: Rows, codes: np.ndarray | None, sign: int) -> None:
        assert rows.scores is not None
        for ranking, answers, scores in zip(self._rankings, rows.answers, rows.scores, strict=True):
            if codes is not None:
                there = (codes >= 0) & np.isfinite(answers) & np.isfinite(scores)
                ranking.change(scores[there], codes[there], sign)

    # --- what they amount to ----------------------------------------------------------------------------------------

    def waits(self, key: Key) -> bool:
        """Whether a frame, as it was last measured, has rows that wait for a label."""
        share = self._shares.get(key)
        return share is not None and any(one[WAITING] for one in share[WHOLE])

    def awaiting(self) -> bool:
        """Whether any row still waits for a label."""
        return any(total[WAITING] for total in self._totals[WHOLE])

    def amounts(self) -> list[Amount]:
        """One a subject."""
        self._count_series()
        return [
            Amount(
                states=tuple(total[:STATES]),
                sums=tuple(total[STATES:]),
                series={asset: self._series[asset][i] for asset in sorted(self._series)},
                ranking=_complete(ranking, total[SCORED]),
                parts=tuple(self._parts_of(i)),
            )
            for i, (total, ranking) in enumerate(zip(self._totals[WHOLE], self._rankings, strict=True))
        ]

    def _parts_of(self, subject: int) -> Iterator[Part]:
        for group in sorted(self._totals):
            total = self._totals[group][subject]
            if group != WHOLE and any(total[:STATES]):
                yield Part(group=group, states=tuple(total[:STATES]), sums=tuple(total[STATES:]))

    def _count_series(self) -> None:
        for asset, changed in self._stale.items():
            blocks = self._blocks.setdefault(asset, {})
            for block in changed:
                pieces = self._pieces[asset, block]
                blocks[block] = [self._measures.join(one) for one in _by_subject(pieces)]
                if not pieces:
                    del blocks[block]
            self._series[asset] = [self._measures.series(one) for one in _by_subject(blocks)]
            if not blocks:
                del self._series[asset]
        self._stale.clear()


def _by_subject(pieces: Mapping[Key, Sequence[Piece]]) -> Iterator[tuple[Piece, ...]]:
    """Pieces in the telemetry's order, one sequence a subject."""
    return zip(*(pieces[key] for key in sorted(pieces)), strict=True)


def _complete(ranking: Ranking, scored: int) -> tuple[np.ndarray, np.ndarray] | None:
    table: Sequence[np.ndarray] = ranking.table()
    ranked = sum(int(one.sum()) for one in table)
    return (table[0], table[1]) if ranked and ranked == scored else None
