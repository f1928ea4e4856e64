"""A decided pairing, as its records tell it: through the scorer's own fold, looked at as the labels came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from agents.scores import evaluations, new_book, verdicts_of
from infra.report.seen import Seen, seen_by
from schemas.agreement import Agreement
from schemas.base import Ident
from schemas.evaluation import (
    Counts,
    ErrorDrift,
    Evaluation,
    InputDrift,
    LabelStatistics,
    Service,
    SliceScores,
    TagDrift,
    Verdict,
)
from schemas.events import ConsentGiven, Fact, PairingConcluded, TrialStarted
from schemas.faults import Fault
from schemas.pairing import Consent, Pairing, Phase
from schemas.terms import Cost, DecisionUnit
from streams.ledger_codec import Entry
from streams.lifecycle import Installation
from tests.unit.ledger_examples import label
from tests.unit.trial_examples import BASELINES, MINUTE_US, PAIRING, agreement, ended, fold, frame, started
from tests.unit.twins import a_candidate, a_pairing

AT = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)
NAMES = ("alpha-v2", "beta-v1", "gamma-v1")


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What an installation holds of a pairing that is over."""

    pairing: Pairing
    facts: tuple[Fact, ...]
    evaluations: tuple[Evaluation, ...]
    verdicts: tuple[Verdict, ...]

    def seen(self, reader: Ident | None = None, *, fallen: bool = True) -> Seen:
        """As a party sees it, once the verdicts have fallen or before."""
        state = Installation()
        state.pairings[self.pairing.id] = self.pairing
        return seen_by(
            reader,
            self.pairing,
            state=state,
            facts=self.facts,
            evaluations=self.evaluations if fallen else [one for one in self.evaluations if not one.final],
            verdicts=self.verdicts if fallen else (),
            at=AT + timedelta(days=2),
        )

    def changed(self, **pairing: Any) -> Decided:
        """The same with another pairing."""
        return replace(self, pairing=self.pairing.model_copy(update=pairing))


def terms(rows: int, **decision: Any) -> Agreement:
    """Terms under which rows are the units, and wrong answers cost money."""
    agreed = agreement(
        unit=DecisionUnit(kind="row"),
        answers=["normal", "anomaly"],
        **{"planned": rows, "margin": 0.02, "slots": 3, **decision},
    )
    rule = agreed.acceptance.model_copy(update={"at_least": 0.7, "min_rows": 50})
    cost = Cost(false_alarm=30_000, missed=1_200_000)
    return Agreement.model_validate(
        {**agreed.to_dict(), "acceptance": rule.to_dict(), "cost": cost.to_dict()}
    )


def decided(rows: int = 400, *, planned: int | None = None, look_every: int = 8, seed: int = 3) -> Decided:
    """A trial of three candidates: one good, one middling, one that knows little; the labels come in order."""
    rng = Random(seed)
    agreed = terms(planned or rows)
    truth = [int(rng.random() < 0.4) for _ in range(rows)]
    answers = {
        name: [float(one if rng.random() < right else 1 - one) for one in truth]
        for name, right in zip(NAMES, (0.97, 0.86, 0.55), strict=True)
    }
    times = [i * MINUTE_US for i in range(rows)]
    entries: list[Entry] = [started(agreed)]
    entries += [started(agreed, subject=name) for name in answers]
    entries += [frame(0, times, [[0.0] * rows, [1.0] * rows], deployment=BASELINES)]
    entries += [frame(0, times, [one], deployment=f"{PAIRING}/{name}") for name, one in answers.items()]
    entries += [ended(1, deployment=one) for one in (BASELINES, *(f"{PAIRING}/{name}" for name in answers))]
    book, told = fold(entries, new_book(PAIRING)), list[Evaluation]()
    for at, (time, code) in enumerate(zip(times, truth, strict=True)):
        fold([label(at, time, time + 1, float(code))], book)
        if at % look_every == look_every - 1 and at + 1 < rows:
            told += _look(book, at, final=False)
    final = [_richer(one) for one in _look(book, rows, final=True)]
    verdicts = verdicts_of(book, final, equal=True, retired=frozenset())
    return Decided(
        pairing=_pairing(agreed, verdicts),
        facts=_facts(agreed, verdicts),
        evaluations=(*told, *final),
        verdicts=tuple(verdicts),
    )


def _look(book: Any, offset: int, *, final: bool) -> list[Evaluation]:
    at_ms = int(AT.timestamp() * 1000) + 60_000 * (offset + 1)
    return evaluations(book, partition=0, offset=offset, at_ms=at_ms, final=final)


def _richer(one: Evaluation) -> Evaluation:
    """With what a small trial in memory has none of."""
    if one.baseline:
        return one
    parts = {"pump-1": 0.05, "pump-2": -0.11, "pump-3": 0.02}
    accuracy, rows = one.metrics["accuracy"], one.counts.scored
    slices = [
        SliceScores(
            by="asset",
            value=name,
            counts=Counts(rows_in=rows // 3, scored=rows // 3),
            metrics={"accuracy": round(min(accuracy + off, 1), 6)},
        )
        for name, off in parts.items()
    ]
    slices.append(SliceScores(by="shift", value="unknown", counts=Counts(rows_in=4, abstained=4), metrics={}))
    drift = TagDrift(tag="Pressure", rows=rows, missing=0.01, missing_before=0.0, psi=0.31, ks=0.18)
    return one.model_copy(
        update={
            "slices": tuple(slices),
            "input_drift": InputDrift(reference="rehearsal", tags=(drift,)),
            "error_drift": ErrorDrift(
                error="error_rate", rows_before=200, rows_after=200, before=0.02, after=0.05
            ),
            "labels": LabelStatistics(
                rows=rows,
                labelled=rows - 12,
                delay_p50_ms=5_400_000,
                delay_p90_ms=40_000_000,
                corrections={"0/1": 3, "1/unlabelled": 1},
            ),
            "service": Service(
                frames=40, p50_us=8100, p95_us=19000, p99_us=31000, cpu_us_per_1000_rows=21000, peak_mb=181
            ),
            "faults": (Fault(kind="timeout", count=2),),
            "sandbox": "full",
        }
    )


def _pairing(agreed: Agreement, verdicts: Sequence[Verdict]) -> Pairing:
    one = a_pairing(phase=Phase.OBJECTION_PERIOD, agreed=agreed)
    consent = Consent(
        party=one.startup, agreement_digest=agreed.digest(), revision=1, person="Head of engineering", at=AT
    )
    return one.model_copy(
        update={
            "candidates": tuple(a_candidate(ident=name) for name in NAMES),
            "verdicts": {each.candidate: each.verdict for each in verdicts},
            "consents": (consent,),
            "why": "both sides may object",
        }
    )


def _facts(agreed: Agreement, verdicts: Sequence[Verdict]) -> tuple[Fact, ...]:
    digest, fell = agreed.digest(), {one.candidate: one.verdict for one in verdicts}
    bodies = (
        ("startup-1", ConsentGiven(pairing=PAIRING, agreement_digest=digest, person="Head of engineering")),
        ("maker", TrialStarted(pairing=PAIRING, telemetry_from={0: 0}, labels_from={0: 0})),
        ("plant-1", PairingConcluded(pairing=PAIRING, verdicts=fell)),
    )
    return tuple(
        Fact(number=at + 1, at=AT, party=party, request=f"r{at}", subject=PAIRING, body=body)
        for at, (party, body) in enumerate(bodies)
    )
