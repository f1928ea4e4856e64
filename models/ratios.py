"""Fixed thresholds on ratios as linear bounds: F1 ≥ f exactly where Σ h ≥ 0 with h = 2(1 − f)·TP − f·FP − f·FN.

h, divided so that no unit takes away more than 1, goes through the lower bound of the decision. The statement is about the
ratio of the summed conditional means: with the agreed confidence the metric of the trial's distribution meets the threshold,
however often it was looked at. A unit counts by its rows: its sum is divided by the rows of the largest unit.

Metrics that are no ratio of sums over rows (MCC, average precision, NAB, PHM08, …) have no such bound: their threshold is
met or not, and nothing is guaranteed.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from models.decision import UNIT, Gains, lower_bound
from models.losses import FULL, as_written
from models.reading import Rule
from schemas.agreement import Acceptance, Agreement

#: Of every row, for each true class the weights of the answers: (TN, FP), (FN, TP), in terms of the threshold.
_Table = tuple[tuple[Fraction, Fraction], tuple[Fraction, Fraction]]


@dataclass(frozen=True, kw_only=True)
class Linear:
    """What a row adds towards a threshold, in billionths, of which it never takes away more than one whole.

    Attributes:
        table: by true class, then by answered class, int64; None where answers are numbers.
        threshold, cap: of the error, where answers are numbers.
        power: 1 for the mean absolute error, 2 for the mean square.
    """

    table: np.ndarray | None = None
    threshold: float = 0.0
    cap: float = 0.0
    power: int = 1

    @classmethod
    def of(cls, agreement: Agreement) -> Linear | None:
        """The linear form of the agreement's threshold; None where there is none."""
        rule = agreement.acceptance
        threshold = rule.at_least if rule.at_least is not None else rule.at_most
        if threshold is None:
            return None
        if not agreement.classes:
            return cls._of_numbers(agreement, threshold)
        weights = _weights(rule, as_written(threshold), len(agreement.classes))
        if weights is None:
            return None
        least = -min(min(row) for row in weights)
        if least <= 0:
            return None
        table = np.array([[int(FULL * one / least // 1) for one in row] for row in weights], dtype=np.int64)
        return cls(table=table)

    @classmethod
    def _of_numbers(cls, agreement: Agreement, threshold: float) -> Linear | None:
        decision = agreement.decision
        cap = decision.loss_cap if decision is not None else None
        power = {"mae": 1, "rmse": 2}.get(agreement.acceptance.metric)
        if cap is None or power is None or cap <= threshold:
            return None
        return cls(threshold=threshold, cap=cap, power=power)

    def __call__(self, truth: np.ndarray, answers: np.ndarray) -> np.ndarray:
        """What rows add: int64, shape (n,); as little as can be where the label never came, or the answer.

        Args:
            truth: float64 codes or numbers, shape (n,); not-a-number where it never came.
            answers: float64, shape (n,); not-a-number is silence.
        """
        if self.table is None:
            return self._numbers(truth, answers)
        # One more row and column, for what is not known: the least of the others.
        worst = np.vstack([self.table, self.table.min(axis=0)])
        worst = np.hstack([worst, worst.min(axis=1)[:, None]])
        last = len(self.table)
        codes = [np.where(np.isnan(one), last, one).astype(np.int64) for one in (truth, answers)]
        found: np.ndarray = worst[codes[0], codes[1]]
        return found

    def _numbers(self, truth: np.ndarray, answers: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            error = np.minimum(np.abs(answers - truth), self.cap)
        error = np.where(np.isnan(error), self.cap, error)
        bound, most = self.threshold**self.power, self.cap**self.power
        share = (bound - error**self.power) / (most - bound)
        found: np.ndarray = np.maximum(np.floor(share * FULL), -FULL).astype(np.int64)
        return found


def _weights(rule: Acceptance, threshold: Fraction, classes: int) -> tuple[tuple[Fraction, ...], ...] | None:
    t, zero = threshold, Fraction(0)
    if rule.metric == "accuracy":
        return tuple(tuple(1 - t if i == j else -t for j in range(classes)) for i in range(classes))
    if classes != 2:
        return None
    two: dict[str, _Table] = {
        "f1": ((zero, -t), (-t, 2 * (1 - t))),
        "precision": ((zero, -t), (zero, 1 - t)),
        "recall": ((zero, zero), (-t, 1 - t)),
        "far": ((t, t - 1), (zero, zero)),
        "mar": ((zero, zero), (t - 1, t)),
    }
    return two.get(rule.metric)


def lower(rule: Rule, sums: np.ndarray, rows: np.ndarray) -> tuple[float, int]:
    """The lower bound of what a unit adds, rounded down to a millionth, and the rows of the largest unit.

    Args:
        rule: the decision's, of one candidate; the bound has all of its alpha on the one side.
        sums: what the rows of each unit add, in billionths, int64, shape (k,), in canonical order.
        rows: of each unit.
    """
    largest = int(rows.max()) if rows.size else 1
    units = sums // (largest * (FULL // UNIT))
    gains = Gains.never_below(units.tolist())
    return lower_bound(gains, planned=rule.planned, a=rule.alpha) / UNIT, largest
