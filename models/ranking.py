"""Which candidates are shown to be better than which: a partial order, from their direct differences.

A family of its own: each pair has the agreement's alpha divided by the number of pairs, so that the whole order is right
with the agreed confidence. Who is not shown to be better stands beside, not below; there is a winner only where one
candidate is shown to be better than every other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from models.decision import UNIT, Bounds
from models.reading import Rule
from schemas.evaluation import Preference, Ranking


def ranked(rule: Rule, candidates: Sequence[str], gains: Mapping[tuple[str, str], Bounds]) -> Ranking | None:
    """The order of candidates; None where there are fewer than two.

    Args:
        rule: of a pair.
        candidates: their names.
        gains: what the first of two gains on the second; each two are there once, in either order.
    """
    if len(candidates) < 2:
        return None
    preferences = []
    for (first, second), found in sorted(gains.items()):
        if found.lower > 0:
            preferences.append(_preference(first, second, found.lower, found.upper))
        elif found.upper < 0:
            preferences.append(_preference(second, first, -found.upper, -found.lower))
    beaten = {name: {one.worse for one in preferences if one.better == name} for name in candidates}
    winners = [name for name in candidates if len(beaten[name]) == len(candidates) - 1]
    return Ranking(
        alpha=float(rule.alpha),
        preferences=tuple(preferences),
        winner=winners[0] if winners else None,
    )


def _preference(better: str, worse: str, lower: int, upper: int) -> Preference:
    return Preference(better=better, worse=worse, lower=lower / UNIT, upper=upper / UNIT)
