"""Who may see what of a pairing, and how often: the agreement's word on it, as a function."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from schemas.agreement import Agreement
from schemas.base import Ident
from schemas.erasure import Erasure
from schemas.evaluation import Evaluation, Verdict
from schemas.events import (
    CapacityReported,
    Fact,
    PairingConcluded,
    PairingErased,
    PlantPaused,
    PlantResumed,
    RehearsalReported,
    RequestRefused,
)
from schemas.feeds import FeedEvaluation, FeedFact, FeedVerdict
from schemas.pairing import OVER, Pairing
from schemas.terms import Disclosed, Told
from streams.lifecycle import Installation

#: The manufacturer's data and labels made them: it sees all of them, as they come.
EVERYTHING = Disclosed(what=("counts", "metrics", "verdict", "unit_losses"), every="live")
#: In place of a verdict's reason, which tells numbers of rows or the metric's value.
NO_FIGURES = "the agreement shows you the verdict without its figures"
NOTHING = Disclosed(what=(), every="close")


def parties_of(pairing: Pairing) -> tuple[Ident, ...]:
    """The parties that have a share in a pairing, each once."""
    return tuple(dict.fromkeys((pairing.manufacturer, pairing.startup, *pairing.coordinators)))


def granted_to(party: Ident, pairing: Pairing) -> Disclosed:
    """What the agreement lets a party see; a stranger sees nothing."""
    disclosure = pairing.agreement.disclosure
    if party == pairing.manufacturer:
        return EVERYTHING
    if party == pairing.startup:
        return disclosure.startup
    if party in pairing.coordinators:
        return disclosure.coordinator
    return NOTHING


def fact_for(fact: Fact, state: Installation) -> Iterable[tuple[Ident, FeedFact]]:
    """Who is told of a fact: the sides of its pairing; of a refusal only the party that was refused.

    What a plant's machine can carry is the plant's own affair: only its owner is told. Of a pause everyone is told who waits for it.
    """
    body = fact.body
    if isinstance(body, PlantPaused | PlantResumed):
        open_ = [pairing for pairing in state.touched(body) if pairing.phase not in OVER]
        waiting = {party for pairing in open_ for party in parties_of(pairing)}
        owner = state.plants[body.plant].owner
        return [
            (party, FeedFact(fact=fact if party == owner else _without_figures(fact)))
            for party in sorted({owner, *waiting})
        ]
    pairing = state.pairings.get(getattr(body, "pairing", ""))
    if isinstance(body, RequestRefused) or pairing is None:
        party = state.plants[body.plant].owner if isinstance(body, CapacityReported) else fact.party
        return [(party, FeedFact(fact=fact))] if party in state.organisations else []
    seen = ((party, _as_seen(party, pairing, fact)) for party in parties_of(pairing))
    return [(party, FeedFact(fact=one)) for party, one in seen if one is not None]


def _without_figures(fact: Fact) -> Fact:
    """A pause as others than the plant's owner see it: what was rejected tells of its data."""
    if not isinstance(fact.body, PlantPaused):
        return fact
    return fact.model_copy(update={"body": fact.body.model_copy(update={"rejections": None})})


def _as_seen(party: Ident, pairing: Pairing, fact: Fact) -> Fact | None:
    """A fact as far as the agreement lets a party see it: without verdicts, and no numbers of a rehearsal."""
    what, body = granted_to(party, pairing).what, fact.body
    if isinstance(body, PairingConcluded) and "verdict" not in what:
        return fact.model_copy(update={"body": body.model_copy(update={"verdicts": {}})})
    if isinstance(body, RehearsalReported) and "counts" not in what:
        return None
    if isinstance(body, RehearsalReported) and "metrics" not in what:
        shown = body.rehearsal.model_copy(update={"needed": {}})
        return fact.model_copy(update={"body": body.model_copy(update={"rehearsal": shown})})
    if isinstance(body, PairingErased) and party != pairing.manufacturer:
        return fact.model_copy(
            update={"body": body.model_copy(update={"erasure": _for_others(body.erasure)})}
        )
    return fact


def told_to_both_sides(agreement: Agreement) -> tuple[Told, ...]:
    """What the agreement shows to the start-up and to coordinators alike."""
    disclosure = agreement.disclosure
    return tuple(one for one in disclosure.startup.what if one in disclosure.coordinator.what)


def _for_others(erasure: Erasure) -> Erasure:
    """What is gone and what is not: which other pairings the plant has is its own affair."""
    remaining = (one.model_copy(update={"needed_by": (), "due": None}) for one in erasure.remaining)
    return erasure.model_copy(update={"remaining": tuple(remaining)})


def evaluation_for(party: Ident, pairing: Pairing, evaluation: Evaluation) -> FeedEvaluation | None:
    """What a party may see of an evaluation; None where that is nothing. How often is `due`."""
    faults = party in (pairing.manufacturer, pairing.startup)
    return evaluation_as_seen(evaluation, granted_to(party, pairing).what, faults=faults)


def evaluation_as_seen(
    evaluation: Evaluation, what: Collection[Told], *, faults: bool = False
) -> FeedEvaluation | None:
    """An evaluation as far as these may be seen; None where that is nothing."""
    if "counts" not in what and "metrics" not in what:
        return None
    counts, metrics = "counts" in what, "metrics" in what
    return FeedEvaluation(
        pairing=evaluation.pairing,
        candidate=evaluation.candidate,
        baseline=evaluation.baseline,
        phase=evaluation.phase,
        at=evaluation.at,
        final=evaluation.final,
        ledger_offset=evaluation.ledger_offset,
        chain=evaluation.chain,
        counts=evaluation.counts if counts else None,
        audit=evaluation.audit if counts else None,
        metrics=evaluation.metrics if metrics else None,
        confusion=evaluation.confusion if metrics else None,
        cost=evaluation.cost if metrics else None,
        slices=evaluation.slices if metrics else (),
        input_drift=evaluation.input_drift if metrics else None,
        error_drift=evaluation.error_drift if metrics else None,
        labels=evaluation.labels if counts else None,
        decision=evaluation.decision if metrics else None,
        service=evaluation.service if counts else None,
        faults=evaluation.faults if faults else (),
    )


def verdict_for(party: Ident, pairing: Pairing, verdict: Verdict) -> FeedVerdict | None:
    """What a party may see of a verdict; None where that is nothing."""
    return verdict_as_seen(verdict, granted_to(party, pairing).what)


def verdict_as_seen(verdict: Verdict, what: Collection[Told]) -> FeedVerdict | None:
    """A verdict as far as these may be seen; None where that is nothing."""
    if "verdict" not in what:
        return None
    metrics = "metrics" in what
    return FeedVerdict(
        pairing=verdict.pairing,
        candidate=verdict.candidate,
        verdict=verdict.verdict,
        rule=verdict.rule,
        reason=verdict.reason if "counts" in what and "metrics" in what else NO_FIGURES,
        value=verdict.value if metrics else None,
        threshold=verdict.threshold,
        guarantee=verdict.guarantee,
        decision=verdict.decision if metrics else None,
        ratio=verdict.ratio if metrics else None,
        ranking=verdict.ranking if metrics else None,
        corrections=verdict.corrections if metrics else None,
        agreement_digest=verdict.agreement_digest,
        chain=verdict.evaluation.chain,
    )


def due(party: Ident, pairing: Pairing, evaluation: Evaluation, last: FeedEvaluation | None) -> bool:
    """Whether an evaluation is to be sent to a party now, after the last one that was sent.

    Live: every one. Daily: the first of each day, UTC. At the close: the final one alone; it is sent in any case, once.
    """
    if last is not None and last.ledger_offset >= evaluation.ledger_offset and last.final >= evaluation.final:
        return False
    every = granted_to(party, pairing).every
    if evaluation.final or every == "live":
        return True
    if every == "daily":
        return last is None or last.at.date() < evaluation.at.date()
    return False
