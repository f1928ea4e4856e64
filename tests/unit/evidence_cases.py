"""A pairing with everything that its evidence is made of, in memory: facts, ledger, labels, and what its scorer published."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from infra.evidence.case import Case, concerning
from infra.evidence.keys import public_key, signing_key
from schemas.agreement import Agreement
from schemas.events import (
    Body,
    CandidateRetired,
    CandidateSubmitted,
    ConsentGiven,
    Fact,
    NeedDeclared,
    OrganisationRegistered,
    PairingConcluded,
    PairingProposed,
    PairingStopped,
    PlantAdmitted,
    ProgrammeOpened,
    TrialEnded,
    TrialStarted,
)
from schemas.labels import IntervalLabel
from schemas.ledger import Tick
from schemas.pairing import BASELINES, Candidate, Pairing
from schemas.parties import Need, Organisation, Programme, Role
from schemas.terms import Disclosed, Disclosure, Keys
from streams import topics
from streams.envelope import LABEL, RawRecord, headers
from streams.frames import moment
from streams.label_codec import decode_label, for_pairing, source_of
from streams.ledger_codec import Entry, encode
from streams.lifecycle import Installation
from streams.topics import OPERATOR
from tests.unit import trial_examples as trials
from tests.unit.test_scorer import World
from tests.unit.twins import PAIRING, PLANT, a_plant

#: The plant's time begins here: labels are kept by the millisecond.
BEGIN_US = 1_772_400_000_000_000
MINUTE_US = 60_000_000
#: Labels of somebody else before the trial's begin.
EARLIER = 3
ALL = Disclosed(what=("counts", "metrics", "verdict", "unit_losses"), every="close")


def agreed(keys: Keys | None, *, told: Disclosed = ALL, **more: Any) -> Agreement:
    """A decision by rows, of which everything is disclosed at the close."""
    one = trials.agreement(
        unit=trials.DecisionUnit(kind="row"),
        **{"planned": 60, "slots": 3, "answers": ["normal"], **more},
    )
    return one.model_copy(update={"keys": keys, "disclosure": Disclosure(startup=told, coordinator=told)})


def keys_of(control: Path, plant: Path) -> Keys:
    """The keys of two homes."""
    return Keys(
        plant=public_key(signing_key(plant, PLANT)), control=public_key(signing_key(control, OPERATOR))
    )


@dataclass(kw_only=True)
class Proof:
    """A trial of rows with two candidates; the parts of it can be changed before it is made a case."""

    agreement: Agreement
    answers: dict[str, list[float]]
    truth: list[int | None]
    retired: tuple[str, ...] = ()
    stopped: bool = False
    constant: float | None = 0.0
    #: Entries of another pairing before each of its own.
    strangers: int = 0
    facts: list[Fact] = field(default_factory=list)

    def case(self) -> Case:
        """The case, after its scorer has published everything."""
        self._tell()
        state = Installation()
        closing: Pairing | None = None
        for fact in self.facts:
            state.fold(fact)
            if isinstance(fact.body, TrialEnded):
                closing = state.pairings[PAIRING]
        pairing = closing or state.pairings[PAIRING]
        labels = list(self._labels())
        world = asyncio.run(_scored(pairing, list(self._entries(pairing, labels)), self.strangers))
        if not self.stopped:
            verdicts = {one.candidate: one.verdict for one in world.verdicts()}
            self._add(PLANT, PAIRING, PairingConcluded(pairing=PAIRING, verdicts=verdicts))
            state.fold(self.facts[-1])
        done = state.pairings[PAIRING]
        ledger = world.broker.of(topics.ledger(PLANT))

        def sent(starts: dict[int, int]) -> Iterator[RawRecord]:
            return (one for one in labels if one.offset >= starts.get(one.partition, 10**9))

        return Case(
            pairing=done,
            facts=tuple(concerning(done, self.facts)),
            evaluations=_values(world.broker.of(topics.evaluations(PLANT))),
            verdicts=_values(world.broker.of(topics.verdicts(PLANT))),
            ledger=lambda: iter(ledger),
            labels=sent,
        )

    # --- facts ------------------------------------------------------------------------------------------------------

    def _add(self, party: str, subject: str, body: Body) -> None:
        number = len(self.facts) + 1
        self.facts.append(
            Fact(
                number=number,
                at=moment(BEGIN_US) + timedelta(minutes=number),
                party=party,
                request=f"r{number}",
                subject=subject,
                body=body,
            )
        )

    def _tell(self) -> None:
        digest = self.agreement.digest()
        for ident, role in (
            ("maker", Role.MANUFACTURER),
            ("startup-1", Role.STARTUP),
            ("other-startup", Role.STARTUP),
            ("city", Role.COORDINATOR),
        ):
            organisation = Organisation(id=ident, name=ident, roles=(role,))
            self._add(OPERATOR, ident, OrganisationRegistered(organisation=organisation))
        programme = Programme(id="programme-1", name="Cohort", operators=("city",))
        self._add("city", "programme-1", ProgrammeOpened(programme=programme))
        self._add("maker", PLANT, PlantAdmitted(plant=a_plant()))
        need = Need(id="need-1", programme="programme-1", plant=PLANT, title="Pumps")
        self._add("maker", "need-1", NeedDeclared(need=need))
        proposed = PairingProposed(
            pairing=PAIRING,
            need="need-1",
            startup="startup-1",
            agreement=self.agreement,
            agreement_digest=digest,
        )
        self._add("city", PAIRING, proposed)
        for party, person in (("maker", "Kim Maker"), ("startup-1", "Lee Startup")):
            given = ConsentGiven(pairing=PAIRING, agreement_digest=digest, person=person)
            self._add(party, PAIRING, given)
        for name in self.answers:
            one = Candidate(id=name, startup="startup-1", model=name, version="1", digest="0" * 64)
            self._add("startup-1", PAIRING, CandidateSubmitted(pairing=PAIRING, candidate=one))
        began = TrialStarted(pairing=PAIRING, telemetry_from={0: 0}, labels_from={0: EARLIER})
        self._add("maker", PAIRING, began)
        for name in self.retired:
            gone = CandidateRetired(pairing=PAIRING, candidate=name, until={0: 1}, reason="it is too weak")
            self._add("startup-1", PAIRING, gone)
        if self.stopped:
            self._add(
                "maker", PAIRING, PairingStopped(pairing=PAIRING, until={0: 1}, reason="the line is sold")
            )
        else:
            ended = TrialEnded(pairing=PAIRING, until={0: 1}, reason="asked for")
            self._add("maker", PAIRING, ended)

    # --- what was measured ------------------------------------------------------------------------------------------

    def _labels(self) -> Iterator[RawRecord]:
        for number in range(EARLIER):
            yield label_message(number, number, "normal")
        classes = self.agreement.classes
        for row, code in enumerate(self.truth):
            if code is not None:
                yield label_message(EARLIER + row, row, classes[code])

    def _entries(self, pairing: Pairing, labels: Iterable[RawRecord]) -> Iterator[Entry]:
        times = [BEGIN_US + row * MINUTE_US for row in range(len(self.truth))]
        rival = [
            [float(self.agreement.code(one.answer or 0))] * len(times) for one in self.agreement.baselines
        ]
        yield trials.started(self.agreement, constant=self.constant)
        for name in self.answers:
            yield trials.started(self.agreement, subject=name, constant=self.constant)
        yield trials.frame(0, times, rival, deployment=f"{PAIRING}/{BASELINES}")
        for name, answers in self.answers.items():
            yield trials.frame(0, times, [answers], deployment=f"{PAIRING}/{name}")
        for record in labels:
            decoded = decode_label(record)
            entry = for_pairing(decoded, pairing, source_of(record))  # type: ignore[arg-type]
            if entry is not None:
                yield entry  # type: ignore[misc]
        if not self.stopped:
            for name in (BASELINES, *self.answers):
                yield trials.ended(1, deployment=f"{PAIRING}/{name}")
            # Labels that never came are not waited for any more.
            yield Tick(pairing=PAIRING, at_ms=3 * trials.DAY_MS, telemetry={0: 1})


def label_message(offset: int, row: int, value: str, *, ident: str | None = None) -> RawRecord:
    """What the plant sent of one row."""
    start = BEGIN_US + row * MINUTE_US
    one = IntervalLabel(
        id=ident or f"l{offset}",
        asset="pump-1",
        start=moment(start),
        end=moment(start + MINUTE_US),
        value=value,
    )
    return RawRecord(
        topic=topics.labels(PLANT),
        partition=0,
        offset=offset,
        timestamp_ms=10 + offset,
        key=b"pump-1",
        value=one.to_json(),
        headers=tuple(headers(LABEL, source="/plants/plant-1", ident=one.id)),
    )


async def _scored(pairing: Pairing, entries: Sequence[Entry], strangers: int) -> World:
    world = World(pairing=pairing, now_ms=4 * trials.DAY_MS)
    async with world.running():
        for number, entry in enumerate(entries):
            for _ in range(strangers):
                _, value, listed = encode(entry, source="/test", ident="x")
                world.broker.append(
                    topics.ledger(PLANT), value, key=b"another-one", listed=listed, at_ms=999 + number
                )
            world.write(entry, ms=1000 + number)
            if number % 30 == 5:
                await world.caught_up()
        for _ in range(3):
            await world.caught_up()
    return world


def _values(records: Iterable[RawRecord]) -> tuple[bytes, ...]:
    return tuple(one.value or b"" for one in records)


#: What of a proof is agreed, and not drawn.
_TERMS = ("told", "early", "least_units", "planned", "answers", "incumbent", "margin")


def a_proof(keys: Keys | None, **more: Any) -> Proof:
    """Sixty rows of which one candidate finds every fault and the other none."""
    truth: list[int | None] = [row % 2 for row in range(60)]
    terms = {name: more.pop(name) for name in _TERMS if name in more}
    perfect = [float(code or 0) for code in truth]
    proof = Proof(
        agreement=agreed(keys, **terms),
        answers={"first": perfect, "second": [0.0] * len(truth)},
        truth=truth,
    )
    return replace(proof, **more)
