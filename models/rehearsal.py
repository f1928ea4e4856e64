"""What a rehearsal showed: whether a trial on the same terms could be judged at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from models.dependence import MOST
from models.exact import published
from models.metric_check import LEAST_EVENTS
from schemas.agreement import Agreement
from schemas.evaluation import Counts
from schemas.pairing import Rehearsal
from schemas.rehearsal import MetricCheck, UnitCheck


class Standing(Protocol):
    """How one subject of a rehearsal stands."""

    @property
    def subject(self) -> str: ...

    @property
    def counts(self) -> Counts: ...


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a rehearsal says about the decision by units, where one is agreed."""

    #: The constant answer that lost least; None where nothing is labelled.
    constant: float | None = None
    units: UnitCheck | None = None
    check: MetricCheck | None = None
    #: Units that each candidate would need, as `Rehearsal.needed` tells it.
    needed: Mapping[str, int | None] = field(default_factory=dict)


def rehearsed(
    standings: Sequence[Standing], agreement: Agreement, evidence: Evidence | None = None
) -> Rehearsal:
    """Look at every subject of a rehearsal.

    It passes where the agreed number of rows came, some of them are labelled, every row could be given to the candidates,
    and each candidate answered as many as the agreement asks for. Where units decide, they also have to depend little enough
    on one another, and the rule has to turn away what knows nothing.
    """
    remarks: list[str] = []
    rows = max((one.counts.rows_in for one in standings), default=0)
    if rows < agreement.phases.rehearsal_rows:
        remarks.append(f"{rows} rows came, {agreement.phases.rehearsal_rows} are agreed")
    refused = max((one.counts.refused for one in standings), default=0)
    if refused:
        remarks.append(f"{refused} rows lacked an agreed input")
    labelled = max((one.counts.scored for one in standings), default=0)
    if not labelled:
        remarks.append("no row has a label")
    for one in standings:
        silent = one.counts.failed + one.counts.abstained
        if silent > agreement.acceptance.max_unanswered * one.counts.rows_in:
            remarks.append(f"{one.subject} did not answer {silent} of {one.counts.rows_in} rows")
    evidence = evidence or Evidence()
    remarks += [*_of_units(evidence.units, agreement), *_of_the_rule(evidence.check, agreement)]
    answered = min((_answered(one.counts) for one in standings), default=0.0)
    return Rehearsal(
        passed=not remarks,
        rows=rows,
        labelled=published(labelled / rows) if rows else 0.0,
        answered=published(answered),
        remarks=tuple(remarks),
        constant=evidence.constant,
        units=evidence.units,
        check=evidence.check,
        needed=dict(evidence.needed),
    )


def _of_units(found: UnitCheck | None, agreement: Agreement) -> Iterator[str]:
    if found is None or agreement.decision is None:
        return
    if found.passed is False:
        yield (
            f"units depend on one another: the mean of {found.at} in a row varies {found.dependence:.3g} times as much as "
            f"that of independent ones, and {MOST:g} is the most; agree on longer units"
        )
    if found.passed is None and agreement.decision.unit.kind in ("row", "event"):
        yield (
            f"{found.units} units are too few to tell whether they depend on one another, which "
            f"{agreement.decision.unit.kind}s as units have to show"
        )


def _of_the_rule(found: MetricCheck | None, agreement: Agreement) -> Iterator[str]:
    if found is None:
        return
    if not found.detectors:
        what = f"{found.events} labelled events" if agreement.classes else "the units"
        yield f"the rule cannot be checked with {what}: at least {LEAST_EVENTS} are needed"
    for one in found.detectors:
        if one.headroom < 0 and one.name == "oracle":
            yield f"the rule accepts a candidate that knows every label in {100 * one.accepted:.3g} % of the trials only"
        elif one.headroom < 0:
            yield (
                f"the rule would accept {one.name!r}, which knows nothing, in {100 * one.accepted:.3g} % of the trials; "
                "agree on longer units, other baselines or another loss"
            )


def _answered(counts: Counts) -> float:
    silent = counts.failed + counts.abstained + counts.refused
    return 1 - silent / counts.rows_in if counts.rows_in else 0.0
