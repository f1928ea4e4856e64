"""What the rows of a deployment amount to, kept up to date frame by frame.

A frame's share of the sums is taken away and added again when its labels change. What needs the rows of an asset in order
is counted anew when it is asked for, for the assets that changed since.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from schemas.agreement import Agreement, Task
from streams.ranking import Ranking
from streams.truth import Rows

#: Partition and offset of a frame.
Key = tuple[int, int]

#: scored, awaiting a label, unlabelled, abstained, failed, labelled; the task's sums follow.
STATES = 6
SCORED, WAITING, UNLABELLED, ABSTAINED, FAILED, LABELLED = range(STATES)


class Measures(Protocol):
    """How a task turns rows into whole numbers that add up."""

    def zero(self) -> tuple[int, ...]:
        """The sums of no rows."""

    def sums(self, truth: np.ndarray, answers: np.ndarray, scores: np.ndarray | None) -> tuple[int, ...]:
        """Sums over rows with label and answer; all float64, shape (n,)."""

    def series(self, times_us: np.ndarray, truth: np.ndarray, answers: np.ndarray) -> tuple[int, ...]:
        """Sums over all rows of an asset, in order; truth as int8 codes, −1 where it is unknown."""


@dataclass(frozen=True, kw_only=True)
class Amount:
    """What one subject's rows amount to.

    Attributes:
        states: rows by what became of them, see `STATES`.
        sums: the task's, over the scored rows.
        series: the task's, of each asset.
        ranking: rows of the second and of the first class by score, the highest first; None unless every scored row
            has a score.
    """

    states: tuple[int, ...]
    sums: tuple[int, ...]
    series: tuple[tuple[int, ...], ...]
    ranking: tuple[np.ndarray, np.ndarray] | None


class Scores:
    """The rows of one deployment."""

    def __init__(self, agreement: Agreement, measures: Measures, *, subjects: int) -> None:
        self._measures = measures
        self._zero = [0] * STATES + list(measures.zero())
        self._silence_is_normal = agreement.labels.absent_means == "normal"
        self._in_order = agreement.task is Task.ANOMALY
        self._two_classes = len(agreement.classes) == 2
        self._totals = [list(self._zero) for _ in range(subjects)]
        self._shares: dict[Key, list[list[int]]] = {}
        #: Of two classes, the labels that each frame was measured with, and the frames of each asset.
        self._codes: dict[Key, np.ndarray] = {}
        self._frames: dict[str, dict[Key, Rows]] = {}
        self._stale: set[str] = set()
        self._series: dict[str, list[tuple[int, ...]]] = {}
        self._rankings = [Ranking() for _ in range(subjects)]

    # --- frames ---------------------------------------------------------------------------------------------------

    def measure(self, rows: Rows, watermark_us: int | None, ticked_ms: int) -> None:
        """Take a frame in as it stands now, instead of as it stood."""
        known, under = self.known(rows, watermark_us)
        closed = under | (rows.deadline_ms < ticked_ms)
        share = [self._share(rows, i, known, closed) for i in range(len(self._totals))]
        self._replace(rows.key, share)
        if self._two_classes:
            self._recode(rows, np.where(np.isnan(known), -1, known).astype(np.int8))

    def drop(self, rows: Rows) -> None:
        """Take a frame out again."""
        self._replace(rows.key, None)
        if rows.key in self._codes:
            self._recode(rows, None)

    def known(self, rows: Rows, watermark_us: int | None) -> tuple[np.ndarray, np.ndarray]:
        """The labels as they count, where silence under the watermark may mean normal; and what lies under it."""
        if watermark_us is None:
            return rows.truth, np.zeros(rows.times_us.size, dtype=bool)
        under = rows.times_us < watermark_us
        if self._silence_is_normal:
            return np.where(np.isnan(rows.truth) & under, 0.0, rows.truth), under
        return rows.truth, under

    def _share(self, rows: Rows, subject: int, known: np.ndarray, closed: np.ndarray) -> list[int]:
        answers = rows.answers[subject]
        answered, labelled = np.isfinite(answers), ~np.isnan(known)
        count = int(np.count_nonzero(labelled))
        if rows.result == "failed":
            return [0, 0, 0, 0, answers.size, count, *self._measures.zero()]
        scored = answered & labelled
        waiting = answered & ~labelled
        unlabelled = int(np.count_nonzero(waiting & closed))
        scores = None if rows.scores is None else rows.scores[subject][scored]
        return [
            int(np.count_nonzero(scored)),
            int(np.count_nonzero(waiting)) - unlabelled,
            unlabelled,
            int(answers.size - np.count_nonzero(answered)),
            0,
            count,
            *self._measures.sums(known[scored], answers[scored], scores),
        ]

    def _replace(self, key: Key, share: list[list[int]] | None) -> None:
        for sign, one in ((-1, self._shares.pop(key, None)), (1, share)):
            for total, part in zip(self._totals, one or (), strict=False):
                for i, value in enumerate(part):
                    total[i] += sign * value
        if share is not None:
            self._shares[key] = share

    def _recode(self, rows: Rows, codes: np.ndarray | None) -> None:
        before = self._codes.pop(rows.key, None)
        frames = self._frames.setdefault(rows.asset, {})
        if codes is not None:
            self._codes[rows.key] = codes
            frames[rows.key] = rows
        else:
            del frames[rows.key]
        if before is not None and codes is not None and np.array_equal(before, codes):
            return
        self._stale.add(rows.asset)
        if rows.scores is not None:
            self._rank(rows, before, -1)
            self._rank(rows, codes, 1)

    def _rank(self, rows: Rows, codes: np.ndarray | None, sign: int) -> None:
        assert rows.scores is not None
        for ranking, answers, scores in zip(self._rankings, rows.answers, rows.scores, strict=True):
            if codes is not None:
                there = (codes >= 0) & np.isfinite(answers) & np.isfinite(scores)
                ranking.change(scores[there], codes[there], sign)

    # --- what they amount to ----------------------------------------------------------------------------------------

    def waits(self, key: Key) -> bool:
        """Whether a frame, as it was last measured, has rows that wait for a label."""
        return any(one[WAITING] for one in self._shares.get(key, ()))

    def awaiting(self) -> bool:
        """Whether any row still waits for a label."""
        return any(total[WAITING] for total in self._totals)

    def amounts(self) -> list[Amount]:
        """One a subject."""
        self._count_series()
        return [
            Amount(
                states=tuple(total[:STATES]),
                sums=tuple(total[STATES:]),
                series=tuple(self._series[asset][i] for asset in sorted(self._series)),
                ranking=_complete(ranking, total[SCORED]),
            )
            for i, (total, ranking) in enumerate(zip(self._totals, self._rankings, strict=True))
        ]

    def _count_series(self) -> None:
        for asset in self._stale if self._in_order else ():
            frames = self._frames[asset]
            keys = sorted(frames)
            if not keys:
                del self._series[asset]
                continue
            times = np.concatenate([frames[key].times_us for key in keys])
            codes = np.concatenate([self._codes[key] for key in keys])
            answers = np.concatenate([frames[key].answers for key in keys], axis=1)
            self._series[asset] = [self._measures.series(times, codes, one) for one in answers]
        self._stale.clear()


def _complete(ranking: Ranking, scored: int) -> tuple[np.ndarray, np.ndarray] | None:
    table: Sequence[np.ndarray] = ranking.table()
    ranked = sum(int(one.sum()) for one in table)
    return (table[0], table[1]) if ranked and ranked == scored else None
