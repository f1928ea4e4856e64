"""What a decision's bounds mean, at one moment and at the first of many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext

import numpy as np

from models.decision import UNIT, Bounds, context
from models.path import Looks, Path, Stretch
from schemas.evaluation import Outcome
from schemas.terms import Decision


@dataclass(frozen=True, kw_only=True)
class Rule:
    """The numbers of a decision, for one candidate or one pair of candidates."""

    planned: int
    #: Its share of the agreement's alpha, for both sides of an interval together.
    alpha: Decimal
    margin: Decimal

    @classmethod
    def of(cls, decision: Decision) -> Rule:
        """The rule of an agreement, for each of its slots."""
        with localcontext(context()):
            alpha = Decimal(repr(decision.alpha)) / decision.slots
        return cls(planned=decision.planned_units, alpha=alpha, margin=Decimal(repr(decision.margin)))

    @classmethod
    def of_a_pair(cls, decision: Decision) -> Rule:
        """The rule for two of an agreement's candidates: rankings are a family of their own."""
        pairs = max(1, decision.slots * (decision.slots - 1) // 2)
        with localcontext(context()):
            alpha = Decimal(repr(decision.alpha)) / pairs
        return cls(planned=decision.planned_units, alpha=alpha, margin=Decimal(0))

    @property
    def levels(self) -> Levels:
        """The margin as published bounds are held against it."""
        with localcontext(context()):
            margin = self.margin * UNIT
            down = int(margin.to_integral_value(ROUND_FLOOR))
            up = int(margin.to_integral_value(ROUND_CEILING))
        return Levels(above=down + 1, not_below=-down, below=-down - 1, not_above=down, excluded=up - 1)


@dataclass(frozen=True, kw_only=True)
class Levels:
    """The margin δ in whole millionths, for bounds that are whole millionths too.

    Attributes:
        above: lower > δ where lower ≥ this.
        not_below: lower ≥ −δ where lower ≥ this.
        below: upper < −δ where upper ≤ this.
        not_above: upper ≤ δ where upper ≤ this.
        excluded: upper < δ where upper ≤ this.
    """

    above: int
    not_below: int
    below: int
    not_above: int
    excluded: int


def outcome(rule: Rule, found: Sequence[Bounds]) -> Outcome:
    """What the bounds against every rival say together; inconclusive where they leave it open.

    Accepted only where every rival is beaten; rejected where the candidate is worse than one; equivalent where it is as
    good as one, within the margin, and no worse than any.
    """
    levels = rule.levels
    if not found:
        return Outcome.INCONCLUSIVE
    if all(one.lower >= levels.above for one in found):
        return Outcome.ACCEPTED
    if any(one.upper <= levels.below for one in found):
        return Outcome.REJECTED
    if rule.margin > 0 and all(_no_worse(one, levels) for one in found):
        return Outcome.EQUIVALENT
    return Outcome.INCONCLUSIVE


def _no_worse(one: Bounds, levels: Levels) -> bool:
    return one.lower >= levels.above or (one.lower >= levels.not_below and one.upper <= levels.not_above)


def acceptance_excluded(rule: Rule, found: Sequence[Bounds]) -> bool:
    """Whether some rival cannot be beaten by the margin any more."""
    return any(one.upper <= rule.levels.excluded for one in found)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A candidate's gains on one rival, with labels that never came at their worst and at their best."""

    low: Path
    high: Path


def first_reading(rule: Rule, looks: Looks, pairs: Sequence[Pair], *, start: int, stop: int) -> int | None:
    """The first of the units start + 1 … stop after which the outcome is no longer open; None where there is none.

    Args:
        rule: the rule.
        looks: of the rule's planned units, at half its alpha: each side of an interval has one half.
        pairs: gains on every rival.
        start, stop: how many units there were, and are.
    """
    levels = rule.levels
    stretches = [
        zip(one.low.stretches(start, stop), one.high.stretches(start, stop), strict=True) for one in pairs
    ]
    for together in zip(*stretches, strict=True):
        rivals = [_Rival.of(looks, low, high, levels) for low, high in together]
        fallen = np.logical_and.reduce([one.beaten for one in rivals])
        fallen |= np.logical_or.reduce([one.worse for one in rivals])
        if rule.margin > 0:
            fallen |= np.logical_and.reduce([one.no_worse for one in rivals])
        if fallen.any():
            return int(together[0][0].k[np.argmax(fallen)])
    return None


@dataclass(frozen=True, kw_only=True)
class _Rival:
    """How a candidate stands against one rival after each of many units; bool, shape (n,)."""

    beaten: np.ndarray
    worse: np.ndarray
    no_worse: np.ndarray

    @classmethod
    def of(cls, looks: Looks, low: Stretch, high: Stretch, levels: Levels) -> _Rival:
        beaten = looks.lower_reaches(low, levels.above)
        close = looks.lower_reaches(low, levels.not_below) & looks.upper_reaches(high, levels.not_above)
        return cls(beaten=beaten, worse=looks.upper_reaches(high, levels.below), no_worse=beaten | close)
