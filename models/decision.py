"""When losses compared unit by unit say that one candidate is better: an anytime-valid confidence sequence.

The empirical Bernstein sequence of Howard, Ramdas, McAuliffe and Sekhon (Annals of Statistics 49, 2021,
Theorem 4), as Choe and Ramdas (Operations Research 72, 2024) use it to compare forecasters: with probability
at least 1 − alpha, for all k at once, lower ≤ the mean over i ≤ k of E[gain i | what came before] ≤ upper. It
holds under drift and dependence and speaks of this trial, not of the future.

Sums are whole numbers and bounds use exp, ln and sqrt of `decimal` only, which round correctly at any
precision: the same bytes on every machine.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import (
    ROUND_CEILING,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    Overflow,
    localcontext,
)

#: Losses and gains are whole numbers of millionths.
UNIT = 1_000_000
PRECISION = 40
#: Newton's steps end where they move less than this share: far below the millionth that is published.
_ENOUGH = Decimal("1e-32")
#: A term of the mixture that is e⁻¹²⁰ of the largest is below the precision.
_NEGLIGIBLE = Decimal(-120)


@dataclass(frozen=True, kw_only=True)
class Gains:
    """What is kept of the units so far; a gain is the baseline's loss less the candidate's, −10⁶ … 10⁶."""

    k: int = 0
    total: int = 0
    #: Sums of squared distances from the predicted gain, which is at most 0 below and at least 0 above.
    spread_lower: int = 0
    spread_upper: int = 0

    def add(self, gain: int) -> Gains:
        """With one more unit, in canonical order.

        Raises:
            ValueError: the gain is outside −10⁶ … 10⁶.
        """
        if abs(gain) > UNIT:
            raise ValueError(f"a gain lies between -{UNIT} and {UNIT}, not at {gain}")
        return self._and(gain)

    def _and(self, gain: int) -> Gains:
        # The mean before this unit and of one more observation of 0, so that the first has a prediction too.
        mean = self.total // (self.k + 1)
        return Gains(
            k=self.k + 1,
            total=self.total + gain,
            spread_lower=self.spread_lower + (gain - max(-UNIT, min(0, mean))) ** 2,
            spread_upper=self.spread_upper + (gain - min(UNIT, max(0, mean))) ** 2,
        )

    @classmethod
    def of(cls, gains: Iterable[int]) -> Gains:
        """All of these, in this order."""
        state = cls()
        for gain in gains:
            state = state.add(gain)
        return state

    @classmethod
    def never_below(cls, gains: Iterable[int]) -> Gains:
        """Gains that may be larger than 10⁶ and are never below −10⁶: enough for a lower bound, and for nothing else.

        Raises:
            ValueError: a gain is below −10⁶.
        """
        state = cls()
        for gain in gains:
            if gain < -UNIT:
                raise ValueError(f"a gain is never below -{UNIT}, and here is {gain}")
            state = state._and(gain)
        return state


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What the mean gain lies between, in millionths."""

    lower: int
    upper: int


def bounds(gains: Gains, *, planned: int, alpha: Decimal) -> Bounds:
    """The confidence sequence after k units: the lower bound rounded down, the upper one up.

    Args:
        gains: the units so far.
        planned: the number of units sealed in the agreement.
        alpha: the chance of being wrong that this candidate has, 0 … 1: the agreement's, divided by its slots.

    Raises:
        ValueError: there are more units than planned, or alpha is outside 0 … 1.
    """
    if gains.k > planned:
        raise ValueError(f"{gains.k} units are more than the {planned} planned; a plan is never extended")
    if not 0 < alpha < 1:
        raise ValueError(f"alpha lies between 0 and 1, not at {alpha}")
    if not gains.k:
        return Bounds(lower=-UNIT, upper=UNIT)
    with localcontext(context()):
        mixture = Mixture.of(planned, alpha / 2)
        return Bounds(lower=_lower(gains, mixture), upper=_upper(gains, mixture))


def lower_bound(gains: Gains, *, planned: int, a: Decimal) -> int:
    """One side alone, at the chance `a`, in millionths: also for gains above one, which are never below minus one."""
    with localcontext(context()):
        return _lower(gains, Mixture.of(planned, a)) if gains.k else -UNIT


def _lower(gains: Gains, mixture: Mixture) -> int:
    square = Decimal(UNIT) ** 2
    lower = (Decimal(gains.total) / UNIT - mixture.radius(gains.spread_lower / square)) / gains.k
    return max(-UNIT, int((lower * UNIT).to_integral_value(ROUND_FLOOR)))


def _upper(gains: Gains, mixture: Mixture) -> int:
    square = Decimal(UNIT) ** 2
    upper = (Decimal(gains.total) / UNIT + mixture.radius(gains.spread_upper / square)) / gains.k
    return min(UNIT, int((upper * UNIT).to_integral_value(ROUND_CEILING)))


def context() -> Context:
    """What the bounds are computed with: 40 digits, ties to even, and no silent overflow."""
    return Context(
        prec=PRECISION,
        rounding=ROUND_HALF_EVEN,
        Emin=-999_999,
        Emax=999_999,
        traps=[InvalidOperation, DivisionByZero, Overflow],
    )


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """The mixture over λ_j = 0.75 · 2^(−j/2), j = 0 … J − 1, J = max(4, ceil(log2 planned))."""

    rates: tuple[Decimal, ...]
    #: ψ(λ) = −ln(1 − λ) − λ of each.
    costs: tuple[Decimal, ...]
    #: ln(J / a): what the log of the sum of the terms has to reach.
    target: Decimal

    @classmethod
    def of(cls, planned: int, a: Decimal) -> Mixture:
        """The mixture for so many planned units, at the chance a on one side."""
        count = max(4, (planned - 1).bit_length())
        rates = tuple(Decimal("0.75") * (1 / Decimal(1 << j)).sqrt() for j in range(count))
        return cls(
            rates=rates,
            costs=tuple(-(1 - rate).ln() - rate for rate in rates),
            target=(count / a).ln(),
        )

    def _at(self, spread: Decimal) -> tuple[tuple[Decimal, Decimal], ...]:
        return tuple(zip(self.rates, (cost * spread for cost in self.costs), strict=True))

    def reached(self, r: Decimal, spread: Decimal) -> bool:
        """Whether r is at least the radius: the mixture is evaluated once, no root is looked for."""
        exponents = [rate * r - cost for rate, cost in self._at(spread)]
        top = max(exponents)
        total = sum((one - top).exp() for one in exponents if one - top > _NEGLIGIBLE)
        return top + Decimal(total).ln() >= self.target

    def radius(self, spread: Decimal) -> Decimal:
        """The r with (1/J) Σ exp(λ_j r − ψ(λ_j) · spread) = 1/a, by Newton's method.

        The log of the sum is convex and rises in r: from a point that is too large, steps never pass the root.
        """
        pairs = self._at(spread)
        # One term alone reaches the target here, so all of them together do earlier.
        r = min((self.target + cost) / rate for rate, cost in pairs)
        for _ in range(200):
            exponents = [rate * r - cost for rate, cost in pairs]
            top = max(exponents)
            total = slope = Decimal(0)
            for (rate, _), exponent in zip(pairs, exponents, strict=True):
                if exponent - top > _NEGLIGIBLE:
                    term = (exponent - top).exp()
                    total += term
                    slope += rate * term
            step = (top + total.ln() - self.target) * total / slope
            r -= step
            if abs(step) <= _ENOUGH * r:
                break
        return r
