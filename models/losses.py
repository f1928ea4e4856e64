"""What a decision unit loses: an answer's loss is between nothing and full, in whole billionths; a unit's in millionths.

A silent row loses everything, whatever its truth: silence never lowers a loss. Of a row whose label never came, the label
that is worst for the candidate counts below and the one that is best for it above.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np

from models.decision import UNIT
from schemas.agreement import Agreement

#: Points of a row that is as wrong as can be.
FULL = 10**9


@dataclass(frozen=True, kw_only=True)
class Share:
    """What a unit's points are divided by: its rows, or an agreed cap where the loss is their sum.

    Attributes:
        cap: points at which a unit's loss is full; None where the loss is the mean of its rows.
    """

    cap: Fraction | None = None

    def of(self, points: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Millionths, rounded down; more than full where the cap is passed. All int64, shape (n,)."""
        if self.cap is None:
            mean: np.ndarray = points // (np.maximum(rows, 1) * (FULL // UNIT))
            return mean
        whole = UNIT * self.cap.denominator, self.cap.numerator
        return np.array([int(one) * whole[0] // whole[1] for one in points], dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Losses:
    """How answers lose under an agreement's decision: by class, or by the distance of numbers."""

    share: Share
    #: Points by true class, then by answered class; None where answers are numbers.
    table: np.ndarray | None = None
    #: The error from which on an answer is as wrong as can be, where answers are numbers.
    distance: float = 1.0

    @classmethod
    def of(cls, agreement: Agreement) -> Losses:
        """The losses of an agreement with a decision."""
        decision = agreement.decision
        assert decision is not None, "only a decision has losses"
        if not agreement.classes:
            return cls(share=Share(), distance=decision.loss_cap or 1.0)
        if decision.loss == "error":
            n = len(agreement.classes)
            return cls(share=Share(), table=FULL * (1 - np.eye(n, dtype=np.int64)))
        assert agreement.cost is not None, "losses by cost have costs"
        costs = agreement.cost.table(agreement.classes)
        largest = max(max(row) for row in costs)
        cap = None
        if decision.loss_cap is not None and largest:
            cap = FULL * as_written(decision.loss_cap) / as_written(largest)
        return cls(share=Share(cap=cap), table=_points(costs, largest))

    def points(self, truth: np.ndarray, answers: np.ndarray, *, silent: int | None = None) -> np.ndarray:
        """What rows lose: int64, shape (n,).

        Args:
            truth: float64 codes or numbers, shape (n,), all known.
            answers: float64, shape (n,); not-a-number is silence.
            silent: points of a silent row; everything where nothing is said.
        """
        silent = FULL if silent is None else silent
        if self.table is None:
            return self._distance(truth, answers, silent)
        spoken = np.isfinite(answers)
        found: np.ndarray = self.table[truth.astype(np.int64), np.where(spoken, answers, 0).astype(np.int64)]
        found[~spoken] = silent
        return found

    def _distance(self, truth: np.ndarray, answers: np.ndarray, silent: int) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            share = np.minimum(np.abs(answers - truth) / self.distance, 1.0)
        points: np.ndarray = np.floor(np.nan_to_num(share) * FULL).astype(np.int64)
        points[np.isnan(share)] = silent
        return points

    def unknown(self, rival: np.ndarray, candidate: np.ndarray, *, silent: int | None = None) -> np.ndarray:
        """What rows without a label may lose, whatever their truth: int64, shape (6, n).

        The least and the most of the rival's points less the candidate's, of the rival's, and of the candidate's. A silent
        candidate loses everything, a silent rival as much as is said.
        """
        silent = FULL if silent is None else silent
        if self.table is None:
            return self._unknown_numbers(rival, candidate, silent)
        truths = np.repeat(np.arange(len(self.table), dtype=np.float64)[:, None], rival.size, axis=1)
        first, second = (
            self.points(truths.ravel(), np.broadcast_to(one, truths.shape).ravel(), silent=points).reshape(
                truths.shape
            )
            for one, points in ((rival, silent), (candidate, FULL))
        )
        apart = first - second
        return np.array([f for one in (apart, first, second) for f in (one.min(axis=0), one.max(axis=0))])

    def _unknown_numbers(self, rival: np.ndarray, candidate: np.ndarray, silent: int) -> np.ndarray:
        there, here = np.isfinite(rival), np.isfinite(candidate)
        # Both answers' points are rounded down: their difference may be one more than that of the distance.
        apart = np.minimum(self._distance(rival, candidate, FULL) + 1, FULL)
        apart[there & here & (rival == candidate)] = 0
        first = np.where(there, 0, silent), np.where(there, FULL, silent)
        second = np.where(here, 0, FULL), np.full(here.size, FULL)
        both = there & here
        return np.array(
            [
                np.where(both, -apart, first[0] - second[1]),
                np.where(both, apart, first[1] - second[0]),
                *first,
                *second,
            ]
        )

    def losses(self, points: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The losses of units by their points and rows: int64 millionths, shape (n,), 0 … 10⁶."""
        found: np.ndarray = np.minimum(self.share.of(points, rows), UNIT)
        return found

    def gains(
        self, rival: np.ndarray, candidate: np.ndarray, rows: np.ndarray, unknown: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """What the candidate gains on a rival in units, at the least and at the most: int64 millionths.

        Args:
            rival, candidate: points of the rows with a label, int64, shape (n,).
            rows: of each unit, those without a label included.
            unknown: sums of `unknown` over the rows without a label, shape (6, n); None where there are none.
        """
        if unknown is None or not unknown.any():
            gain = self.losses(rival, rows) - self.losses(candidate, rows)
            return gain, gain
        least, most, r_least, r_most, c_least, c_most = unknown
        low = self._least(rival, candidate, least, r_least, c_most, rows)
        high = -self._least(candidate, rival, -most, c_least, r_most, rows)
        known = self.losses(rival, rows) - self.losses(candidate, rows)
        open_ = unknown.any(axis=0)
        return np.where(open_, low, known), np.where(open_, high, known)

    def _least(
        self,
        first: np.ndarray,
        second: np.ndarray,
        apart: np.ndarray,
        first_least: np.ndarray,
        second_most: np.ndarray,
        rows: np.ndarray,
    ) -> np.ndarray:
        """No more than loss(first) − loss(second), whatever the missing labels say, capped losses included.

        Without a cap it is the difference of the sums. Where the first is capped it is 1 less the second's loss, which is
        at least 0; where only the second is, the first's less 1.
        """
        difference = self.share.of(first - second + apart, rows)
        capped_second = self.losses(first + first_least, rows) - UNIT
        capped_first = UNIT - self.losses(second + second_most, rows) - 1
        found: np.ndarray = np.where(
            difference <= 0, np.maximum(difference, capped_second), np.minimum(difference, capped_first)
        )
        return found


def _points(costs: Sequence[Sequence[float]], largest: float) -> np.ndarray:
    if not largest:
        return np.zeros((len(costs), len(costs)), dtype=np.int64)
    of = FULL / as_written(largest)
    return np.array([[int(as_written(one) * of) for one in row] for row in costs], dtype=np.int64)


def as_written(value: float) -> Fraction:
    """The number that was written, not the binary one beside it."""
    return Fraction(Decimal(repr(value)))
