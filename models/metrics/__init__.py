"""Descriptive metrics from whole numbers that add up: what a subject did on the rows that have a label.

Three kinds of figures, each kept up to date without a pass over what has not changed:

- `classes`, `numbers`: sums over rows. A frame's share is taken away and added again when its labels change.
- `series`: events, alarms and the NAB score, which need the rows of an asset in the telemetry's order. Sums over assets,
  counted anew for those that changed.
- `ranking`: average precision, from how many rows of each class have each score.

Rows without an answer are outside of all of them, but for the events that they are part of, and are counted beside them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from models.metrics.classes import AnomalyMetrics, BinaryMetrics, ClassMetrics, cost_of
from models.metrics.numbers import LifeMetrics, RegressionMetrics
from models.metrics.ranking import average_precision
from models.metrics.series import series_metrics
from models.metrics.sums import Piece, Sums
from schemas.agreement import Agreement, Task
from schemas.evaluation import Spent

__all__ = [
    "AnomalyMetrics",
    "BinaryMetrics",
    "ClassMetrics",
    "LifeMetrics",
    "Metrics",
    "RegressionMetrics",
    "Sums",
    "every_metric",
    "metrics_for",
    "spent",
]


class Metrics(Protocol):
    """How answers are turned into sums, and sums into metrics, for one task."""

    def zero(self) -> Sums:
        """The sums of no rows."""

    def sums(self, truth: np.ndarray, answers: np.ndarray, scores: np.ndarray | None = None) -> Sums:
        """Sums over rows.

        Args:
            truth, answers: float64, shape (n,), without not-a-number.
            scores: what the candidate gave beside its answers; not-a-number where a row has none.
        """

    def piece(self, times_us: np.ndarray, truth: np.ndarray, answers: np.ndarray) -> Piece:
        """A frame boiled down to what its rows say in order.

        Args:
            times_us: int64, shape (n,).
            truth: int8 codes, shape (n,); −1 where there is no label.
            answers: float64, shape (n,); not-a-number where there is none.
        """

    def join(self, pieces: Sequence[Piece]) -> Piece:
        """Frames that follow one another, boiled down as one; there is at least one."""

    def series(self, pieces: Sequence[Piece]) -> Sums:
        """Sums over the frames of one asset in the telemetry's order; empty where the task has none."""

    def metrics(self, sums: Sums) -> dict[str, float]:
        """Published metrics of rows; one that is not defined for these sums is left out."""

    def confusion(self, sums: Sums) -> dict[str, int]:
        """Counts by `actual/predicted`; empty where there are no classes."""


class Figures(Protocol):
    """What is known of one subject."""

    @property
    def sums(self) -> Sums: ...

    @property
    def series(self) -> Mapping[str, Sums]: ...

    @property
    def ranking(self) -> tuple[np.ndarray, np.ndarray] | None: ...


def metrics_for(agreement: Agreement) -> Metrics:
    """The metrics of the agreement's task."""
    if agreement.task is Task.RUL:
        return LifeMetrics()
    if agreement.task.numeric:
        return RegressionMetrics()
    if agreement.task is Task.ANOMALY:
        return AnomalyMetrics(classes=agreement.classes)
    if len(agreement.classes) == 2:
        return BinaryMetrics(classes=agreement.classes)
    return ClassMetrics(classes=agreement.classes)


def spent(agreement: Agreement, sums: Sums) -> Spent | None:
    """What answers with these sums cost; None where no costs are agreed."""
    if agreement.cost is None:
        return None
    amount = cost_of(agreement.cost.table(agreement.classes), sums)
    return Spent(currency=agreement.cost.currency, amount=amount)


def every_metric(metrics: Metrics, figures: Figures) -> dict[str, float]:
    """All metrics of one subject that are defined."""
    found = metrics.metrics(figures.sums) | series_metrics(figures.series.values())
    if figures.ranking is not None:
        precision = average_precision(*figures.ranking)
        if precision is not None:
            found["average_precision"] = precision
    return found
