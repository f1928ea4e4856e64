"""Whether decision units depend on one another: rows that do look like much more evidence than they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from models.exact import published
from schemas.rehearsal import UnitCheck

#: The variance of means may be so many times that of independent units.
MOST = 2.0
#: Means are taken over so many units that there are at least this many of them side by side.
SIDE_BY_SIDE = 20


def unit_check(series: Iterable[np.ndarray]) -> UnitCheck:
    """Look at gains in their canonical order, each candidate's on each rival; the most dependent of them counts.

    Args:
        series: millionths, each of shape (n,).
    """
    count, worst, at = 0, None, None
    for gains in series:
        count = max(count, gains.size)
        found = dependence(gains)
        if found is not None and (worst is None or found[0] > worst):
            worst, at = found
    if worst is None:
        return UnitCheck(units=count)
    return UnitCheck(passed=worst <= MOST, units=count, dependence=published(worst), at=at)


def dependence(gains: np.ndarray) -> tuple[float, int] | None:
    """The largest m · Var(mean of m in a row) / Var over m, and that m; None with too few units, or no variance.

    For independent units it is 1 at every m, but for chance; where all units of a stretch are alike it is its length.
    """
    deviations = gains - gains.mean() if gains.size else gains.astype(np.float64)
    variance = float(np.mean(deviations**2)) if gains.size else 0.0
    if not variance:
        return None
    sums = np.append(0.0, np.cumsum(deviations))
    found = None
    for m in _lengths(gains.size // SIDE_BY_SIDE):
        ratio = float(np.mean((sums[m:] - sums[:-m]) ** 2)) / m / variance
        if found is None or ratio > found[0]:
            found = ratio, m
    return found


def _lengths(longest: int) -> Iterator[int]:
    """Every length up to 20, then each a tenth longer than the one before."""
    m = 2
    while m <= longest:
        yield m
        m = max(m + 1, m * 11 // 10)
