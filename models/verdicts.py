"""The agreement's rule applied to a final evaluation."""

from __future__ import annotations

from models.exact import SIGNIFICANT_DIGITS
from schemas.agreement import Acceptance
from schemas.base import Digest
from schemas.evaluation import Evaluation, Outcome, Verdict


def rule_in_words(rule: Acceptance) -> str:
    """The rule as a sentence's part: `f1 at least 0.7 over at least 500 rows`."""
    bound = f"at least {rule.at_least:.9g}" if rule.at_least is not None else f"at most {rule.at_most:.9g}"
    return f"{rule.metric} {bound} over at least {rule.min_rows} scored rows"


def judge(
    rule: Acceptance, evaluation: Evaluation, *, digest: Digest, recomputed_equal: bool, retired: bool = False
) -> Verdict:
    """Accepted where the threshold is met, rejected where it is not, inconclusive where too little was scored.

    Rows that the candidate did not answer cannot help it: more of them than the agreement allows and it is rejected.
    """
    threshold = rule.at_least if rule.at_least is not None else rule.at_most
    assert threshold is not None, "the agreement has exactly one threshold"
    value = evaluation.metrics.get(rule.metric)
    outcome, reason = _decide(rule, evaluation, value, threshold)
    if retired:
        outcome, reason = Outcome.INCONCLUSIVE, "its start-up retired it before the trial ended"
    return Verdict(
        pairing=evaluation.pairing,
        plant=evaluation.plant,
        startup=evaluation.startup,
        candidate=evaluation.candidate,
        verdict=outcome,
        rule=rule_in_words(rule),
        value=value,
        threshold=threshold,
        reason=reason,
        evaluation=evaluation,
        agreement_digest=digest,
        recomputed_equal=recomputed_equal,
    )


def _decide(
    rule: Acceptance, evaluation: Evaluation, value: float | None, threshold: float
) -> tuple[Outcome, str]:
    counts = evaluation.counts
    unanswered = counts.abstained + counts.failed
    if counts.rows_in and unanswered > rule.max_unanswered * counts.rows_in:
        share = 100 * unanswered / counts.rows_in
        return Outcome.REJECTED, f"{share:.1f} % of the rows were not answered"
    if counts.scored < rule.min_rows:
        return Outcome.INCONCLUSIVE, f"only {counts.scored} rows were scored, {rule.min_rows} are needed"
    if value is None:
        return Outcome.INCONCLUSIVE, f"{rule.metric} is not defined on these rows"
    met = value >= threshold if rule.at_least is not None else value <= threshold
    comparison = "meets" if met else "misses"
    # Six digits are for people; all that are published where six would make a near miss look like a hit.
    digits = 6 if value == threshold or f"{value:g}" != f"{threshold:g}" else SIGNIFICANT_DIGITS
    return (
        Outcome.ACCEPTED if met else Outcome.REJECTED,
        f"{rule.metric} of {value:.{digits}g} {comparison} the threshold of {threshold:.{digits}g}",
    )
