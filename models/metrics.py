"""Descriptive metrics from exact sums: what a candidate did on the rows that have a label.

Confusion-based formulas follow the ISO/IEC 4213:2022 names; FAR and MAR are those of the SKAB benchmark: the false alarm
rate FP / (FP + TN) and the missed alarm rate FN / (FN + TP).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np

from models.exact import as_fraction, exact_sum, exact_sum_of_squares, published, square_root
from schemas.agreement import Agreement, Task

#: Whole numbers that add up and can be taken away again.
Sums = tuple[int, ...]


class Metrics(Protocol):
    """How answers are turned into sums, and sums into metrics, for one task."""

    def sums(self, truth: np.ndarray, answers: np.ndarray) -> Sums:
        """Sums over rows. Both arrays: float64, shape (n,), without not-a-number."""

    def zero(self) -> Sums:
        """The sums of no rows."""

    def metrics(self, sums: Sums) -> dict[str, float]:
        """Published metrics; one that is not defined for these sums is left out."""

    def confusion(self, sums: Sums) -> dict[str, int]:
        """Counts by `actual/predicted`; empty where there are no classes."""


def metrics_for(agreement: Agreement) -> Metrics:
    """The metrics of the agreement's task."""
    if agreement.task is Task.REGRESSION:
        return RegressionMetrics()
    if agreement.task is Task.ANOMALY:
        return AnomalyMetrics(classes=agreement.classes)
    if len(agreement.classes) == 2:
        return BinaryMetrics(classes=agreement.classes)
    return ClassMetrics(classes=agreement.classes)


def _ratio(part: int, whole: int) -> float | None:
    return published(Fraction(part, whole)) if whole else None


def _mean(values: list[Fraction | None]) -> float | None:
    """The mean over the classes that occur, as scikit-learn's macro averages with `zero_division=0`."""
    known = [value for value in values if value is not None]
    return published(sum(known, Fraction(0)) / len(known)) if known else None


def _defined(found: dict[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """Multi-class confusion: the sums are the counts, row by row of the matrix, actual classes first."""

    classes: tuple[str, ...]

    def zero(self) -> Sums:
        return (0,) * len(self.classes) ** 2

    def sums(self, truth: np.ndarray, answers: np.ndarray) -> Sums:
        n = len(self.classes)
        codes = truth.astype(np.int64) * n + answers.astype(np.int64)
        return tuple(np.bincount(codes, minlength=n * n).tolist())

    def confusion(self, sums: Sums) -> dict[str, int]:
        n = len(self.classes)
        return {
            f"{actual}/{predicted}": sums[i * n + j]
            for i, actual in enumerate(self.classes)
            for j, predicted in enumerate(self.classes)
        }

    def metrics(self, sums: Sums) -> dict[str, float]:
        n = len(self.classes)
        right = sum(sums[i * n + i] for i in range(n))
        return _defined(
            {
                "accuracy": _ratio(right, sum(sums)),
                "macro_precision": _mean([self._precision(sums, i) for i in range(n)]),
                "macro_recall": _mean([self._recall(sums, i) for i in range(n)]),
                "macro_f1": _mean([self._f1(sums, i) for i in range(n)]),
            }
        )

    def _precision(self, sums: Sums, i: int) -> Fraction | None:
        right, actual, predicted = self._of_class(sums, i)
        # A class that occurs and is never answered counts as 0: leaving it out would reward not naming it.
        return Fraction(right, max(predicted, 1)) if actual + predicted else None

    def _recall(self, sums: Sums, i: int) -> Fraction | None:
        right, actual, predicted = self._of_class(sums, i)
        return Fraction(right, max(actual, 1)) if actual + predicted else None

    def _f1(self, sums: Sums, i: int) -> Fraction | None:
        right, actual, predicted = self._of_class(sums, i)
        return Fraction(2 * right, actual + predicted) if actual + predicted else None

    def _of_class(self, sums: Sums, i: int) -> tuple[int, int, int]:
        """Rows of a class that were answered right, that are of it, and that were answered with it."""
        n = len(self.classes)
        return sums[i * (n + 1)], sum(sums[i * n : (i + 1) * n]), sum(sums[i::n])


@dataclass(frozen=True, kw_only=True)
class AnomalyMetrics(ClassMetrics):
    """Two classes, of which the second is looked for: the sums are (TN, FP, FN, TP)."""

    def metrics(self, sums: Sums) -> dict[str, float]:
        tn, fp, fn, tp = sums
        return _defined(
            {
                "f1": _ratio(2 * tp, 2 * tp + fp + fn),
                "precision": _ratio(tp, tp + fp),
                "recall": _ratio(tp, tp + fn),
                "accuracy": _ratio(tp + tn, tn + fp + fn + tp),
                "far": _ratio(fp, fp + tn),
                "mar": _ratio(fn, fn + tp),
            }
        )


@dataclass(frozen=True, kw_only=True)
class BinaryMetrics(AnomalyMetrics):
    """Two classes of a classification task: what is said of the second one, and of both alike."""

    def metrics(self, sums: Sums) -> dict[str, float]:
        return {**super().metrics(sums), **ClassMetrics.metrics(self, sums)}


@dataclass(frozen=True, kw_only=True)
class RegressionMetrics:
    """The sums are n, Σ|e|, Σe², Σe, Σy, Σy² for errors e = answer − truth and truths y, exactly.

    An error beyond the largest float is taken for the largest float: no answer may stop the scores of a plant.
    """

    def zero(self) -> Sums:
        return (0,) * 6

    def sums(self, truth: np.ndarray, answers: np.ndarray) -> Sums:
        most = np.finfo(np.float64).max
        with np.errstate(over="ignore"):
            error = np.clip(answers - truth, -most, most)
        return (
            int(truth.size),
            exact_sum(np.abs(error)),
            exact_sum_of_squares(error),
            exact_sum(error),
            exact_sum(truth),
            exact_sum_of_squares(truth),
        )

    def confusion(self, sums: Sums) -> dict[str, int]:
        return {}

    def metrics(self, sums: Sums) -> dict[str, float]:
        n = sums[0]
        if not n:
            return {}
        absolute, squares, errors, truths, truth_squares = (as_fraction(value) for value in sums[1:])
        spread = truth_squares - truths * truths / n
        return _defined(
            {
                "mae": published(absolute / n),
                "rmse": published(square_root(squares / n)),
                "bias": published(errors / n),
                "r2": published(1 - squares / spread) if spread > 0 else None,
            }
        )
