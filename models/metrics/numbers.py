"""Metrics of answers that are numbers: regression, forecasting, remaining useful life."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.elementary import exp_minus_one
from models.exact import as_fraction, exact_sum, exact_sums, published, square_root
from models.metrics.sums import Piece, Sums, defined

_MOST = sys.float_info.max


@dataclass(frozen=True, kw_only=True)
class RegressionMetrics:
    """The sums are n, Σ|e|, Σe², Σe, Σy, Σy², rows with y = 0, Σ|e/y| over the others: e = answer − truth y, exactly.

    An error beyond the largest float is taken for the largest float: no answer may stop the scores of a plant. MAPE is
    not defined where a truth is 0, R² where all truths are the same.
    """

    def zero(self) -> Sums:
        return (0,) * 8

    def sums(self, truth: np.ndarray, answers: np.ndarray, scores: np.ndarray | None = None) -> Sums:
        if not truth.size:
            return self.zero()
        error, other = _errors(truth, answers), truth != 0
        with np.errstate(over="ignore"):
            relative = np.minimum(np.abs(error) / np.abs(np.where(other, truth, 1.0)), _MOST)
        terms = np.array([error, truth, np.abs(error), np.where(other, relative, 0.0)])
        (errors, truths, sizes, relatives), (error_squares, truth_squares) = exact_sums(terms, squares=2)
        zeros = int(truth.size - np.count_nonzero(other))
        return int(truth.size), sizes, error_squares, errors, truths, truth_squares, zeros, relatives

    def piece(self, times_us: np.ndarray, truth: np.ndarray, answers: np.ndarray) -> Piece:
        return ()

    def join(self, pieces: Sequence[Piece]) -> Piece:
        return ()

    def series(self, pieces: Sequence[Piece]) -> Sums:
        return ()

    def confusion(self, sums: Sums) -> dict[str, int]:
        return {}

    def metrics(self, sums: Sums) -> dict[str, float]:
        n, zeros = sums[0], sums[6]
        if not n:
            return {}
        absolute, squares, errors, truths, truth_squares = (as_fraction(value) for value in sums[1:6])
        spread = truth_squares - truths * truths / n
        return defined(
            {
                "mae": published(absolute / n),
                "rmse": published(square_root(squares / n)),
                "mape": None if zeros else published(as_fraction(sums[7]) / n),
                "bias": published(errors / n),
                "r2": published(1 - squares / spread) if spread > 0 else None,
            }
        )


@dataclass(frozen=True, kw_only=True)
class LifeMetrics(RegressionMetrics):
    """Remaining useful life: those of regression, and the score of the 2008 prognostics challenge as the last sum.

    Saxena, Goebel, Simon and Eklund, Damage propagation modeling for aircraft engine run-to-failure simulation (PHM
    2008): Σ exp(−d/13) − 1 where the answer is too early (d = answer − truth < 0), exp(d/10) − 1 otherwise.
    """

    def zero(self) -> Sums:
        return (*super().zero(), 0)

    def sums(self, truth: np.ndarray, answers: np.ndarray, scores: np.ndarray | None = None) -> Sums:
        if not truth.size:
            return self.zero()
        error = _errors(truth, answers)
        penalty = exp_minus_one(np.where(error < 0, error / -13.0, error / 10.0))
        return (*super().sums(truth, answers), exact_sum(penalty))

    def metrics(self, sums: Sums) -> dict[str, float]:
        found = super().metrics(sums)
        return {**found, "phm08": published(as_fraction(sums[8]))} if found else {}


def _errors(truth: np.ndarray, answers: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        errors: np.ndarray = np.clip(answers - truth, -_MOST, _MOST)
    return errors
