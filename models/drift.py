"""How far inputs and errors have moved since the reference: told, and never used to re-weigh a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from models.elementary import logarithm
from models.exact import as_fraction, exact_sum, published
from models.metrics import Metrics, Sums
from schemas.evaluation import ErrorDrift

#: Groups of equal weight that the reference is cut into.
GROUPS = 10


def stability_index(reference: np.ndarray, present: np.ndarray) -> float | None:
    """Population stability index: Σ (p − q) · ln(p / q) over tenths of the reference, q there and p now.

    The symmetrised divergence of Kullback and Leibler (1951), over deciles as in credit scoring (Siddiqi, Credit Risk
    Scorecards, 2006: below 0.1 little has changed, above 0.25 much). Half a row is added to each group, so that an empty one
    has a logarithm. None where there are no rows on one side.

    Args:
        reference, present: int64, shape (k,): rows by bin, in order.
    """
    there, now = int(reference.sum()), int(present.sum())
    if not there or not now:
        return None
    before = np.cumsum(reference) - reference
    groups = np.minimum(GROUPS * before // there, GROUPS - 1)
    used, place = np.unique(groups, return_inverse=True)
    q = _shares(np.bincount(place, weights=reference, minlength=used.size), there)
    p = _shares(np.bincount(place, weights=present, minlength=used.size), now)
    return published(as_fraction(exact_sum((p - q) * logarithm(p / q))))


def _shares(rows: np.ndarray, total: int) -> np.ndarray:
    shares: np.ndarray = (rows + 0.5) / (total + 0.5 * rows.size)
    return shares


def largest_difference(reference: np.ndarray, present: np.ndarray) -> float | None:
    """Statistic of Kolmogorov and Smirnov: the largest difference of both distribution functions, at the ends of bins.

    No probability goes with it: rows that follow one another are no independent draws. None where there are no rows on one side.

    Args:
        reference, present: int64, shape (k,): rows by bin, in order.
    """
    there, now = int(reference.sum()), int(present.sum())
    if not there or not now:
        return None
    apart = np.abs(np.cumsum(present) * there - np.cumsum(reference) * now)
    return published(Fraction(int(apart.max()), there * now))


def error_drift(metrics: Metrics, days: Sequence[tuple[int, Sums]]) -> ErrorDrift | None:
    """The error of the earlier and of the later half of the scored rows, cut between two days; None with fewer than two.

    Args:
        metrics: the task's.
        days: scored rows and sums of each day that has some, in order.
    """
    scored = [rows for rows, _ in days]
    if len(days) < 2:
        return None
    reached = np.cumsum(scored)
    cut = int(np.argmin(np.abs(2 * reached[:-1] - reached[-1]))) + 1
    (name, before), (_, after) = (
        _error(metrics, [sums for _, sums in part]) for part in (days[:cut], days[cut:])
    )
    return ErrorDrift(
        error=name,
        rows_before=sum(scored[:cut]),
        rows_after=sum(scored[cut:]),
        before=before,
        after=after,
    )


def _error(metrics: Metrics, days: Sequence[Sums]) -> tuple[str, float]:
    found = metrics.metrics(tuple(map(sum, zip(*days, strict=True))))
    if "mae" in found:
        return "mae", found["mae"]
    return "error_rate", published(1 - Fraction(found["accuracy"]))
