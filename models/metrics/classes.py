"""Metrics of answers that are classes.

Confusion-based formulas follow the ISO/IEC 4213:2022 names; FAR and MAR are those of the SKAB benchmark: the false alarm
rate FP / (FP + TN) and the missed alarm rate FN / (FN + TP).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from models.elementary import logarithm
from models.exact import as_fraction, exact_sum, exact_sum_of_squares, published, square_root
from models.metrics.series import joined, piece_of, series_sums
from models.metrics.sums import Piece, Sums, defined, ratio


def cost_of(table: tuple[tuple[float, ...], ...], sums: Sums) -> int:
    """What the answers cost, in whole units of the currency, ties to even.

    Args:
        table: what an answer costs, by the code of the true class, then of the answered one.
        sums: of any metrics of classes.
    """
    # As it is written: a tenth is a tenth, not the nearest float.
    amounts = [Fraction(repr(amount)) for row in table for amount in row]
    return round(sum((count * amount for count, amount in zip(sums, amounts, strict=False)), Fraction(0)))


@dataclass(frozen=True, kw_only=True)
class ClassMetrics:
    """Multi-class confusion: the sums are the counts, row by row of the matrix, actual classes first."""

    classes: tuple[str, ...]

    def zero(self) -> Sums:
        return (0,) * len(self.classes) ** 2

    def sums(self, truth: np.ndarray, answers: np.ndarray, scores: np.ndarray | None = None) -> Sums:
        n = len(self.classes)
        codes = truth.astype(np.int64) * n + answers.astype(np.int64)
        return tuple(np.bincount(codes, minlength=n * n).tolist())

    def piece(self, times_us: np.ndarray, truth: np.ndarray, answers: np.ndarray) -> Piece:
        return ()

    def join(self, pieces: Sequence[Piece]) -> Piece:
        return ()

    def series(self, pieces: Sequence[Piece]) -> Sums:
        return ()

    def confusion(self, sums: Sums) -> dict[str, int]:
        n = len(self.classes)
        return {
            f"{actual}/{predicted}": sums[i * n + j]
            for i, actual in enumerate(self.classes)
            for j, predicted in enumerate(self.classes)
        }

    def metrics(self, sums: Sums) -> dict[str, float]:
        every = range(len(self.classes))
        return defined(
            {
                **self._of_all(sums),
                "macro_precision": _mean([self._precision(sums, i) for i in every]),
                "macro_recall": _mean([self._recall(sums, i) for i in every]),
                "macro_f1": _mean([self._f1(sums, i) for i in every]),
            }
        )

    def _of_all(self, sums: Sums) -> dict[str, float | None]:
        """Accuracy, balanced accuracy, and the correlation of Gorodkin (2004), which is Matthews' with two classes.

        R_K = (c·s − Σ p·t) / √((s² − Σ p²)(s² − Σ t²)) with s rows, c of them right, and of each class t true and p
        answered ones. It is not defined where only one class is true, or answered.
        """
        n = len(self.classes)
        of_class = [self._of_class(sums, i) for i in range(n)]
        rows, right = sum(sums[: n * n]), sum(one[0] for one in of_class)
        covariance = right * rows - sum(actual * predicted for _, actual, predicted in of_class)
        spread = (rows**2 - sum(one[1] ** 2 for one in of_class)) * (
            rows**2 - sum(one[2] ** 2 for one in of_class)
        )
        recalls = [Fraction(hit, actual) if actual else None for hit, actual, _ in of_class]
        return {
            "accuracy": ratio(right, rows),
            "balanced_accuracy": _mean(recalls),
            "mcc": _signed_root(covariance, spread),
        }

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
        return sums[i * (n + 1)], sum(sums[i * n : (i + 1) * n]), sum(sums[i : n * n : n])


def _mean(values: list[Fraction | None]) -> float | None:
    """The mean over the classes that occur, as scikit-learn's macro averages with `zero_division=0`."""
    known = [value for value in values if value is not None]
    return published(sum(known, Fraction(0)) / len(known)) if known else None


def _signed_root(value: int, square: int) -> float | None:
    """value / √square."""
    if not square:
        return None
    size = square_root(Fraction(value * value, square))
    return published(size if value >= 0 else -size)


#: scikit-learn's: a probability closer to 0 or 1 than this is taken for this.
_SURE = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, kw_only=True)
class AnomalyMetrics(ClassMetrics):
    """Two classes, of which the second is looked for.

    The sums are (TN, FP, FN, TP), then rows with a probability p of the second class (a score from 0 to 1), and over
    these Σ(p − y)² for truths y (Brier 1950) and −Σ ln of the probability that the true class was given. Both are told
    only where every scored row has such a score: left-out rows are the candidate's choice.
    """

    def zero(self) -> Sums:
        return (0,) * 7

    def sums(self, truth: np.ndarray, answers: np.ndarray, scores: np.ndarray | None = None) -> Sums:
        confusion = super().sums(truth, answers)
        if scores is None:
            return (*confusion, 0, 0, 0)
        given = (scores >= 0) & (scores <= 1)
        second, p = truth[given] == 1, scores[given]
        surprise = logarithm(np.clip(np.where(second, p, 1.0 - p), _SURE, 1.0 - _SURE))
        return (*confusion, int(p.size), exact_sum_of_squares(p - second), -exact_sum(surprise))

    def piece(self, times_us: np.ndarray, truth: np.ndarray, answers: np.ndarray) -> Piece:
        return piece_of(times_us, truth, answers)

    def join(self, pieces: Sequence[Piece]) -> Piece:
        return joined(pieces)

    def series(self, pieces: Sequence[Piece]) -> Sums:
        return series_sums(pieces)

    def metrics(self, sums: Sums) -> dict[str, float]:
        return defined({**self._of_second(sums), **self._of_all(sums), **self._of_scores(sums)})

    def _of_second(self, sums: Sums) -> dict[str, float | None]:
        tn, fp, fn, tp = sums[:4]
        return {
            "f1": ratio(2 * tp, 2 * tp + fp + fn),
            "precision": ratio(tp, tp + fp),
            "recall": ratio(tp, tp + fn),
            "far": ratio(fp, fp + tn),
            "mar": ratio(fn, fn + tp),
        }

    def _of_scores(self, sums: Sums) -> dict[str, float | None]:
        rows, given, squares, surprise = sum(sums[:4]), *sums[4:]
        if not rows or given < rows:
            return {}
        return {
            "brier": published(as_fraction(squares) / rows),
            "log_loss": published(as_fraction(surprise) / rows),
        }


@dataclass(frozen=True, kw_only=True)
class BinaryMetrics(AnomalyMetrics):
    """Two classes of a classification task: what is said of the second one, and of both alike."""

    def piece(self, times_us: np.ndarray, truth: np.ndarray, answers: np.ndarray) -> Piece:
        return ()

    def series(self, pieces: Sequence[Piece]) -> Sums:
        return ()

    def metrics(self, sums: Sums) -> dict[str, float]:
        return {**super().metrics(sums), **ClassMetrics.metrics(self, sums)}
