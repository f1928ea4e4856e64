"""The agreement's rule applied to a final evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from models.exact import SIGNIFICANT_DIGITS
from schemas.agreement import Acceptance
from schemas.base import Digest
from schemas.evaluation import (
    Corrections,
    Evaluation,
    Guarantee,
    Outcome,
    Ranking,
    Ratio,
    Standing,
    Verdict,
)
from schemas.terms import Decision

Bar = Literal["retired", "no_slot", "unchecked"]

_BARS: dict[Bar, str] = {
    "retired": "its start-up retired it before the trial ended",
    "no_slot": "the agreement has no slot left for a verdict on it",
    "unchecked": "rows or events are its units, and no rehearsal has shown that they depend little on one another",
}


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What stands beside a decision by units at the close."""

    ratio: Ratio | None = None
    ranking: Ranking | None = None
    corrections: Corrections | None = None


def rule_in_words(rule: Acceptance) -> str:
    """The rule as a sentence's part: `f1 at least 0.7 over at least 500 rows`."""
    bound = f"at least {rule.at_least:.9g}" if rule.at_least is not None else f"at most {rule.at_most:.9g}"
    return f"{rule.metric} {bound} over at least {rule.min_rows} scored rows"


def whole_rule(rule: Acceptance, decision: Decision | None) -> str:
    """The whole rule as a sentence's part, the decision by units included."""
    words = rule_in_words(rule)
    if decision is None:
        return words
    less = f"at least {decision.margin:g} less" if decision.margin else "less"
    return (
        f"loses {less} than every rival in up to {decision.planned_units} units "
        f"(alpha {decision.alpha:g} for {decision.slots} candidates), and {words}"
    )


def judge(
    rule: Acceptance,
    evaluation: Evaluation,
    *,
    digest: Digest,
    recomputed_equal: bool,
    decision: Decision | None = None,
    bar: Bar | None = None,
    beside: Beside | None = None,
) -> Verdict:
    """What the agreement's rule gives.

    Without a decision by units: accepted where the threshold is met, rejected where it is not, inconclusive where too little
    was scored. With one the threshold is a condition beside it. Rows that the candidate did not answer cannot help it: more
    of them than the agreement allows and it is rejected.

    Args:
        rule: the agreement's threshold.
        evaluation: the final evaluation.
        digest: the agreement's.
        recomputed_equal: whether folding the range again gave the same bytes.
        decision: the agreement's decision by units.
        bar: why there is no verdict on this candidate whatever its numbers; None where nothing stands in its way.
        beside: what else is told where units decide.
    """
    beside = beside or Beside()
    threshold = rule.at_least if rule.at_least is not None else rule.at_most
    assert threshold is not None, "the agreement has exactly one threshold"
    value = evaluation.metrics.get(rule.metric)
    guarantee: Guarantee = "none"
    outcome, reason = _decide(rule, evaluation, value, threshold)
    if bar is not None:
        outcome, reason = Outcome.INCONCLUSIVE, _BARS[bar]
    elif decision is not None and evaluation.decision is not None:
        silent = _too_silent(rule, evaluation)
        outcome, reason, guarantee = _by_units(evaluation.decision, outcome, reason, silent=silent)
    return Verdict(
        pairing=evaluation.pairing,
        plant=evaluation.plant,
        startup=evaluation.startup,
        candidate=evaluation.candidate,
        verdict=outcome,
        rule=whole_rule(rule, decision),
        value=value,
        threshold=threshold,
        guarantee=guarantee,
        reason=reason,
        decision=evaluation.decision,
        ratio=_with_met(beside.ratio, rule, value),
        ranking=beside.ranking,
        corrections=beside.corrections,
        evaluation=evaluation,
        agreement_digest=digest,
        recomputed_equal=recomputed_equal,
    )


def _with_met(ratio: Ratio | None, rule: Acceptance, value: float | None) -> Ratio | None:
    return None if ratio is None else ratio.model_copy(update={"met": _met(rule, value)})


def _met(rule: Acceptance, value: float | None) -> bool | None:
    """Whether a number meets the threshold; None where there is none."""
    if value is None:
        return None
    return value >= rule.at_least if rule.at_least is not None else value <= (rule.at_most or 0.0)


def _by_units(
    standing: Standing, threshold: Outcome, reason: str, *, silent: bool
) -> tuple[Outcome, str, Guarantee]:
    """The decision by units, where the threshold's own outcome and reason do not stand in its way."""
    if silent or threshold is Outcome.INCONCLUSIVE:
        return threshold, reason, "none"
    said = _units_in_words(standing)
    if standing.outcome is Outcome.ACCEPTED and threshold is not Outcome.ACCEPTED:
        return Outcome.REJECTED, f"{said}; but {reason}", "none"
    return standing.outcome, f"{said}; {reason}", standing.guarantee


def _units_in_words(standing: Standing) -> str:
    after = f"after {standing.units} of {standing.planned} planned units"
    lower = min(standing.comparisons, key=lambda one: one.lower, default=None)
    upper = min(standing.comparisons, key=lambda one: one.upper, default=None)
    if lower is None or upper is None:
        return f"nothing to compare with {after}"
    match standing.outcome:
        case Outcome.ACCEPTED:
            return f"it loses at least {lower.lower:.6f} less a unit than {lower.rival} {after}"
        case Outcome.REJECTED:
            return f"it loses at least {-upper.upper:.6f} more a unit than {upper.rival} {after}"
        case Outcome.EQUIVALENT:
            return f"it is within {standing.margin:g} of {upper.rival} {after}"
        case Outcome.INCONCLUSIVE if standing.guarantee == "none":
            return f"the platform itself took out {standing.dropped} units, more than may be {after}"
        case Outcome.INCONCLUSIVE:
            cannot = ", and it can no longer be accepted" if standing.acceptance_excluded else ""
            return (
                f"between {lower.lower:.6f} and {upper.upper:.6f} less a unit, which is open {after}{cannot}"
            )


def _too_silent(rule: Acceptance, evaluation: Evaluation) -> bool:
    counts = evaluation.counts
    return bool(counts.rows_in) and counts.abstained + counts.failed > rule.max_unanswered * counts.rows_in


def _decide(
    rule: Acceptance, evaluation: Evaluation, value: float | None, threshold: float
) -> tuple[Outcome, str]:
    counts = evaluation.counts
    if _too_silent(rule, evaluation):
        share = 100 * (counts.abstained + counts.failed) / counts.rows_in
        return Outcome.REJECTED, f"{share:.1f} % of the rows were not answered"
    if counts.scored < rule.min_rows:
        return Outcome.INCONCLUSIVE, f"only {counts.scored} rows were scored, {rule.min_rows} are needed"
    if value is None:
        return Outcome.INCONCLUSIVE, f"{rule.metric} is not defined on these rows"
    met = _met(rule, value)
    comparison = "meets" if met else "misses"
    # Six digits are for people; all that are published where six would make a near miss look like a hit.
    digits = 6 if value == threshold or f"{value:g}" != f"{threshold:g}" else SIGNIFICANT_DIGITS
    return (
        Outcome.ACCEPTED if met else Outcome.REJECTED,
        f"{rule.metric} of {value:.{digits}g} {comparison} the threshold of {threshold:.{digits}g}",
    )
