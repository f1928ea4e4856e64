"""Gains unit by unit, with every sum on the way: what looking after each unit asks for, and corrections go back to.

A look at one k costs a root to twenty places; a look at every k need not find it. Whether the lower bound has reached a
level is whether the mixture, at the sum less k levels, has reached 1/a: one evaluation, in floats for all k at once, and in
decimals where floats lie too close to tell. The answer is that of `models.decision`, always.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache

import numpy as np

from models.decision import UNIT, Bounds, Gains, Mixture, bounds, context

#: Sums are kept for every so many units; those between are added up again.
STRIDE = 4096

#: Floats are believed where the log of the mixture is further than this from where it has to be: an absolute part for exp,
#: log and the sum of at most 40 terms, and a share of the exponents' parts, which cancel. Both are more than ten times what
#: rounding of 2⁻⁵³ a step can add up to, with exp and log wrong by four units in the last place.
_SURE, _SURE_SHARE = 1e-12, 1e-14


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """The sums after each of some units that follow one another.

    Attributes:
        k: int64, shape (n,): how many units they are the sums of.
        totals: int64, shape (n,), in millionths.
        lower, upper: int64, shape (n,): what the spreads have grown by since `before`.
        before: the sums before the first of them.
    """

    k: np.ndarray
    totals: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    before: Gains

    @classmethod
    def after(cls, before: Gains, gains: np.ndarray) -> Stretch:
        """The sums of at most `STRIDE` gains, each between −10⁶ and 10⁶: nothing leaves 64 bits."""
        totals = before.total + np.cumsum(gains)
        k = before.k + 1 + np.arange(gains.size)
        # The mean before this unit and of one more observation of 0, as `Gains.add` has it.
        means = (totals - gains) // k
        return cls(
            k=k,
            totals=totals,
            lower=np.cumsum((gains - np.clip(means, -UNIT, 0)) ** 2),
            upper=np.cumsum((gains - np.clip(means, 0, UNIT)) ** 2),
            before=before,
        )

    def gains(self, i: int) -> Gains:
        """The sums after the i-th of them, as the decision takes them."""
        return Gains(
            k=int(self.k[i]),
            total=int(self.totals[i]),
            spread_lower=self.before.spread_lower + int(self.lower[i]),
            spread_upper=self.before.spread_upper + int(self.upper[i]),
        )


class Path:
    """Gains in their order. Adding a unit is constant work; going back costs what comes after."""

    def __init__(self) -> None:
        self._gains = np.zeros(64, dtype=np.int32)
        self._marks = [Gains()]
        self._end = Gains()

    def __len__(self) -> int:
        return self._end.k

    @property
    def end(self) -> Gains:
        """The sums of all units."""
        return self._end

    def extend(self, gains: np.ndarray) -> None:
        """Add units.

        Args:
            gains: whole millionths, shape (n,).

        Raises:
            ValueError: a gain is outside −10⁶ … 10⁶.
        """
        if gains.size and int(np.abs(gains).max()) > UNIT:
            raise ValueError(f"gains lie between -{UNIT} and {UNIT}")
        start = len(self)
        while start + gains.size > self._gains.size:
            self._gains = np.concatenate([self._gains, np.zeros_like(self._gains)])
        self._gains[start : start + gains.size] = gains
        for stretch in self._stretches(start, start + gains.size):
            self._end = stretch.gains(-1)
            if self._end.k % STRIDE == 0:
                self._marks.append(self._end)

    def cut(self, k: int) -> None:
        """Forget everything after the first k units."""
        if k < len(self):
            self._end = self.at(k)
            del self._marks[k // STRIDE + 1 :]

    def at(self, k: int) -> Gains:
        """The sums after k units."""
        mark = self._marks[k // STRIDE]
        rest = self._gains[mark.k : k].astype(np.int64)
        return Stretch.after(mark, rest).gains(-1) if rest.size else mark

    def gains(self) -> np.ndarray:
        """Every gain, int32."""
        return self._gains[: len(self)]

    def stretches(self, start: int, stop: int) -> Iterator[Stretch]:
        """The sums after the units start + 1 … stop."""
        return self._stretches(start, min(stop, len(self)))

    def _stretches(self, start: int, stop: int) -> Iterator[Stretch]:
        before = self._end if start == len(self) else self.at(start)
        while start < stop:
            end = min(stop, (start // STRIDE + 1) * STRIDE)
            stretch = Stretch.after(before, self._gains[start:end].astype(np.int64))
            yield stretch
            start, before = end, stretch.gains(-1)


class Looks:
    """Looks after each of many units, at one confidence."""

    def __init__(self, planned: int, a: Decimal) -> None:
        """Args:
        planned: the units sealed in the agreement.
        a: the chance of being wrong on one side.
        """
        with localcontext(context()):
            self._mixture = Mixture.of(planned, a)
        self._rates = np.array([float(one) for one in self._mixture.rates])
        self._costs = np.array([float(one) for one in self._mixture.costs])
        self._target = float(self._mixture.target)

    def lower_reaches(self, stretch: Stretch, level: int | np.ndarray) -> np.ndarray:
        """Whether the published lower bound, in millionths, is at least a level; bool, shape (n,)."""
        sums = stretch.totals - stretch.k * level
        found = self._reached(sums, stretch.lower, stretch.before.spread_lower)
        return found | (np.asarray(level) <= -UNIT)

    def upper_reaches(self, stretch: Stretch, level: int | np.ndarray) -> np.ndarray:
        """Whether the published upper bound, in millionths, is at most a level; bool, shape (n,)."""
        sums = stretch.k * level - stretch.totals
        found = self._reached(sums, stretch.upper, stretch.before.spread_upper)
        return found | (np.asarray(level) >= UNIT)

    def _reached(self, sums: np.ndarray, grown: np.ndarray, before: int) -> np.ndarray:
        return self.reached(sums, grown.astype(np.float64) + float(before), lambda i: before + int(grown[i]))

    def reached(self, sums: np.ndarray, spreads: np.ndarray, exactly: Callable[[int], int]) -> np.ndarray:
        """Whether sums are at least their radius.

        Args:
            sums: int64, shape (n,), in millionths.
            spreads: float64, shape (n,), in millionths squared, as near as a float can be.
            exactly: the i-th spread itself.
        """
        found = np.zeros(sums.shape, dtype=bool)
        # The radius is positive: sums that are not have not reached it.
        some = np.flatnonzero(sums > 0)
        if some.size == 0:
            return found
        r, v = sums[some] / UNIT, spreads[some] / UNIT**2
        exponents = self._rates[:, None] * r - self._costs[:, None] * v
        top = exponents.max(axis=0)
        excess = top + np.log(np.exp(exponents - top).sum(axis=0)) - self._target
        found[some] = excess > 0
        close = np.abs(excess) <= _SURE + _SURE_SHARE * (self._rates[0] * r + self._costs[0] * v)
        for i in some[close].tolist():
            found[i] = self._exactly(int(sums[i]), exactly(i))
        return found

    def _exactly(self, total: int, spread: int) -> bool:
        with localcontext(context()):
            return self._mixture.reached(Decimal(total) / UNIT, Decimal(spread) / UNIT**2)


@lru_cache(maxsize=4096)
def bounds_of(low: Gains, high: Gains, planned: int, alpha: Decimal) -> Bounds:
    """The bounds where labels that never came are taken at their worst below and at their best above."""
    below = bounds(low, planned=planned, alpha=alpha)
    above = below if low == high else bounds(high, planned=planned, alpha=alpha)
    return Bounds(lower=below.lower, upper=above.upper)
