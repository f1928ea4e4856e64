"""How many units a verdict needs, at the rates that both sides expect: planning, before anything is measured.

Nothing here decides. The bounds are those of `models.decision` at the sums that are expected after k units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal, localcontext

import numpy as np

from models.decision import UNIT, Mixture, context
from models.reading import Rule
from schemas.evaluation import Outcome
from schemas.terms import Decision

MINUTES_A_DAY = 24 * 60
#: The normal quantile of 0.9: sums that nine trials in ten stay on the right side of.
NINE_IN_TEN = Decimal("1.2815515655446004")
#: Plans for more than 2⁴⁰ units are not looked for.
_LARGEST_GRID = 40


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What a unit's gain (the baseline's loss less the candidate's, −1 … 1) is expected to be."""

    mean: Decimal
    #: Standard deviation from unit to unit.
    sd: Decimal

    @classmethod
    def constant(cls, gain: Decimal) -> Rates:
        """The same gain in every unit: fewer units than this no trial needs."""
        return cls(mean=gain, sd=Decimal(0))

    @classmethod
    def independent(cls, baseline: Decimal, candidate: Decimal) -> Rates:
        """Units that are wholly right or wrong, independently for both, at these mean losses."""
        with localcontext(context()):
            mean = baseline - candidate
            variance = baseline * (1 - baseline) + candidate * (1 - candidate)
            return cls(mean=mean, sd=variance.sqrt())

    @classmethod
    def seen(cls, gains: np.ndarray) -> Rates | None:
        """The mean and deviation of gains in millionths, int64, shape (n,); None without any."""
        count, values = gains.size, gains.tolist()
        if not count:
            return None
        total, squares = sum(values), sum(one * one for one in values)
        with localcontext(context()):
            spread = Decimal(count * squares - total * total).sqrt()
            return cls(mean=Decimal(total) / (count * UNIT), sd=spread / (count * UNIT))


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The verdict that is to be expected, and after how many units; None within no plan."""

    outcome: Outcome
    #: The least number of units within the plan, and the least plan that reaches it.
    units: int | None
    plan: int | None


def forecast(rule: Rule, rates: Rates, *, quantile: Decimal = Decimal(0)) -> Forecast:
    """What the sums that are expected lead to.

    Args:
        rule: the decision.
        rates: what is expected of a unit.
        quantile: of the normal distribution by which sums fall short: 0 for half of all trials,
            `NINE_IN_TEN` for nine of ten. An approximation; the bounds themselves assume nothing.
    """
    outcome = _expected(rule, rates)

    def falls(k: int, planned: int) -> bool:
        return k >= 1 and _outcome(rule, rates, quantile, k, planned) is outcome

    if outcome is Outcome.INCONCLUSIVE:
        return Forecast(outcome=outcome, units=None, plan=None)
    units = _least(lambda k: falls(k, rule.planned), 1, rule.planned)
    return Forecast(outcome=outcome, units=units, plan=_least_plan(lambda k: falls(k, k)))


def units_needed_at(rule: Rule, gains: Iterable[np.ndarray]) -> int | None:
    """The least number of units after which a candidate is accepted whose gains on every rival go on as they were.

    Args:
        rule: the decision.
        gains: its gains on each rival, in millionths, int64, each of shape (n,).
    """
    seen = [Rates.seen(one) for one in gains]
    found = [None if one is None else units_needed(rule, one) for one in seen]
    known = [one for one in found if one is not None]
    return max(known) if known and len(known) == len(found) else None


def units_needed(rule: Rule, rates: Rates) -> int | None:
    """The least number of units after which a candidate is accepted; None where that is not within the plan."""
    found = forecast(rule, rates)
    return found.units if found.outcome is Outcome.ACCEPTED else None


def units_a_day(decision: Decision, assets: int) -> float | None:
    """Units that so many assets yield in a day: as expected, else as many blocks as a day has; None for others."""
    if decision.expected.units_a_day is not None:
        return decision.expected.units_a_day
    if decision.unit.kind != "block":
        return None
    return assets * MINUTES_A_DAY / decision.unit.block_minutes


def _expected(rule: Rule, rates: Rates) -> Outcome:
    """Where the bounds go with more and more units; inconclusive where the mean lies on the margin."""
    if rates.mean > rule.margin:
        return Outcome.ACCEPTED
    if rates.mean < -rule.margin:
        return Outcome.REJECTED
    return Outcome.EQUIVALENT if abs(rates.mean) < rule.margin else Outcome.INCONCLUSIVE


def _outcome(rule: Rule, rates: Rates, quantile: Decimal, k: int, planned: int) -> Outcome:
    with localcontext(context()):
        mixture = Mixture.of(planned, rule.alpha / 2)
        variance = rates.sd * rates.sd
        short = quantile * rates.sd * Decimal(k).sqrt()
        # The predicted gain is at most 0 below and at least 0 above; it takes away a mean on its own side only.
        spreads = [
            k * (variance + (rates.mean**2 if away else 0)) for away in (rates.mean > 0, rates.mean < 0)
        ]
        lower = (k * rates.mean - short - mixture.radius(spreads[0])) / k
        upper = (k * rates.mean + short + mixture.radius(spreads[1])) / k
    if lower > rule.margin:
        return Outcome.ACCEPTED
    if upper < -rule.margin:
        return Outcome.REJECTED
    if -rule.margin <= lower and upper <= rule.margin:
        return Outcome.EQUIVALENT
    return Outcome.INCONCLUSIVE


def _least(holds: Callable[[int], bool], first: int, last: int) -> int | None:
    """The least number that holds, of a property that stays once it holds."""
    if not holds(last):
        return None
    while first < last:
        middle = (first + last) // 2
        first, last = (first, middle) if holds(middle) else (middle + 1, last)
    return first


def _least_plan(holds: Callable[[int], bool]) -> int | None:
    """The least plan that holds: among plans with one mixture a larger one is never worse."""
    first = 1
    for grid in range(4, _LARGEST_GRID + 1):
        found = _least(holds, first, 1 << grid)
        if found is not None:
            return found
        first = (1 << grid) + 1
    return None
