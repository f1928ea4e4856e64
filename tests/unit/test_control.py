"""Control: requests are judged against the facts so far, act once, and facts are numbered without a gap."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.lifecycle import Control
from schemas.evaluation import Outcome
from schemas.events import Fact, RequestRefused, TrialEnded
from schemas.pairing import BASELINES, Pairing, Phase
from schemas.parties import Need, Organisation, Programme, Role
from schemas.requests import (
    AdmitPlant,
    Command,
    ConsentToAgreement,
    DeclareNeed,
    EndTrial,
    OpenProgramme,
    ProposePairing,
    RegisterOrganisation,
    ReportConclusion,
    Request,
    StartTrial,
    SubmitCandidate,
)
from streams import topics
from streams.judgement import judge, offsets_needed, subject
from streams.lifecycle import Installation
from tests.unit.twins import (
    PAIRING,
    PLANT,
    Broker,
    Crash,
    Crashed,
    Tail,
    Topics,
    a_candidate,
    a_plant,
    an_agreement,
    arrivals_of,
    settle,
    until,
)

AT = datetime(2026, 3, 2, tzinfo=UTC)
OPERATOR = topics.OPERATOR


def organisation(ident: str, *roles: Role) -> RegisterOrganisation:
    return RegisterOrganisation(organisation=Organisation(id=ident, name=ident, roles=roles))


def consent(person: str) -> ConsentToAgreement:
    return ConsentToAgreement(pairing=PAIRING, agreement_digest=an_agreement().digest(), person=person)


#: The life of a pairing, each request with who asks it.
LIFE: list[tuple[str, Command]] = [
    (OPERATOR, organisation("maker", Role.MANUFACTURER)),
    (OPERATOR, organisation("startup-1", Role.STARTUP)),
    (OPERATOR, organisation("city", Role.COORDINATOR, Role.OBSERVER)),
    ("city", OpenProgramme(programme=Programme(id="programme-1", name="Cohort 1", operators=("city",)))),
    ("maker", AdmitPlant(plant=a_plant())),
    ("maker", DeclareNeed(need=Need(id="need-1", programme="programme-1", plant=PLANT, title="Pumps"))),
    ("city", ProposePairing(pairing=PAIRING, need="need-1", startup="startup-1", agreement=an_agreement())),
    ("maker", consent("Head of plant")),
    ("startup-1", consent("CTO")),
    ("maker", StartTrial(pairing=PAIRING)),
    ("startup-1", SubmitCandidate(pairing=PAIRING, candidate=a_candidate())),
    ("startup-1", SubmitCandidate(pairing=PAIRING, candidate=a_candidate(ident="t2q-v2"))),
    ("maker", EndTrial(pairing=PAIRING)),
    (PLANT, ReportConclusion(pairing=PAIRING, verdicts={"t2q-v1": Outcome.ACCEPTED})),
]


@pytest.fixture(autouse=True)
def _time_decides_only_where_a_test_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(control: Control) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(Control, "_watch_the_clock", never)


PARTIES = [OPERATOR, "maker", "startup-1", "city", PLANT, "stranger"]


class World:
    """Control with everything around it; started again by making another with the same broker."""

    def __init__(self, broker: Broker | None = None) -> None:
        self.broker = broker or Broker()
        self.maker = Topics()
        self.crash = Crash()
        self.heard: list[tuple[str, ...]] = []
        self.done: list[int] = []
        self.clock = AT
        self.control = Control(
            sender=self.broker,
            log=self.broker,
            events=Tail(self.broker, topics.EVENTS),
            maker=self.maker,
            listen=self._listen,
            crash=self.crash,
            now=self._now,
        )

    def _listen(self, state: Installation) -> None:
        self.heard.append((OPERATOR, *state.organisations, *state.plants))

    def _now(self) -> datetime:
        self.clock += timedelta(seconds=1)
        return self.clock

    @asynccontextmanager
    async def running(self) -> Any:
        await self.control.begin()
        working = asyncio.ensure_future(self.control.background())
        try:
            yield self
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    async def ask(self, party: str, command: Command, *, ident: str = "") -> None:
        named = ident or hashlib.sha256(party.encode() + command.to_json()).hexdigest()[:32]
        request = Request(id=named, at=AT, command=command)
        record = self.broker.append(topics.requests(party), request.to_json(), at_ms=0)
        await self.take(record)

    async def take(self, record: Any) -> None:
        before = len(self.done)
        await self.control.process(arrivals_of([record], self.done))
        await until(lambda: len(self.done) > before)

    def facts(self) -> list[Fact]:
        return [Fact.model_validate_json(one.value or b"") for one in self.broker.of(topics.EVENTS)]

    def refusals(self) -> list[str]:
        return [one.body.reason for one in self.facts() if isinstance(one.body, RequestRefused)]

    def shown(self) -> Pairing:
        return Pairing.model_validate_json(self.broker.of(topics.pairings(PLANT))[-1].value or b"")


def scenario(run: Callable[[], Any]) -> Callable[[], None]:
    """A test that is a coroutine."""

    def test() -> None:
        asyncio.run(run())

    test.__name__, test.__doc__ = run.__name__, run.__doc__
    return test


@scenario
async def test_a_pairing_lives_from_its_opening_to_its_verdict() -> None:
    world = World()
    world.broker.append(topics.telemetry(PLANT), b"before")
    world.broker.append(topics.labels(PLANT), b"before")
    world.broker.append(topics.labels(PLANT), b"before")
    async with world.running():
        for party, command in LIFE[:12]:
            await world.ask(party, command)
        running = world.shown()
        world.broker.append(topics.telemetry(PLANT), b"a frame")
        for party, command in LIFE[12:]:
            await world.ask(party, command)
    assert world.refusals() == []
    assert [one.number for one in world.facts()] == list(range(1, len(LIFE) + 1))
    assert (running.telemetry_from, running.labels_from) == ({0: 1}, {0: 2})
    assert [one.id for one in running.deployments] == [
        f"{PAIRING}/{BASELINES}",
        f"{PAIRING}/t2q-v1",
        f"{PAIRING}/t2q-v2",
    ]
    assert {tuple(one.starts.items()) for one in running.deployments} == {((0, 1),)}
    assert all(one.until is None for one in running.deployments)
    last = world.shown()
    assert last.phase is Phase.CONCLUDED
    assert [one.until for one in last.deployments] == [{0: 2}] * 3
    assert last.agreement_digest == an_agreement().digest()


@scenario
async def test_topics_are_made_before_the_fact_that_promises_them_and_control_listens_to_new_parties() -> (
    None
):
    world = World()
    ensured = world.maker.ensure
    step = 0

    async def ensure(specs: Any) -> None:
        assert len(world.facts()) == step
        await ensured(specs)

    world.maker.ensure = ensure  # type: ignore[method-assign]
    async with world.running():
        for party, command in LIFE[:5]:
            await world.ask(party, command)
            step += 1
    for party in ("maker", "startup-1", "city", PLANT):
        assert topics.requests(party) in world.maker.made
        assert party in world.heard[-1]
    assert topics.ledger(PLANT) in world.maker.made
    assert world.heard[0] == (OPERATOR,)


@scenario
async def test_a_request_sent_twice_acts_once() -> None:
    world = World()
    async with world.running():
        for party, command in LIFE[:12]:
            await world.ask(party, command)
            await world.ask(party, command)
    assert [one.number for one in world.facts()] == list(range(1, 13))
    assert world.refusals() == []


@scenario
async def test_the_same_id_from_another_party_is_another_request() -> None:
    world = World()
    async with world.running():
        await world.ask(OPERATOR, LIFE[0][1], ident="the-same-id")
        await world.ask("maker", LIFE[1][1], ident="the-same-id")
    assert len(world.facts()) == 2
    assert len(world.refusals()) == 1


@scenario
async def test_a_request_that_was_refused_is_granted_once_what_it_lacked_is_there() -> None:
    world = World()
    async with world.running():
        await world.ask("maker", LIFE[4][1])
        assert "no organisation" in world.refusals()[0]
        await world.ask(OPERATOR, LIFE[0][1])
        await world.ask("maker", LIFE[4][1])
        await world.ask("maker", LIFE[4][1])
    assert [one.body.kind for one in world.facts()] == [
        "request_refused",
        "organisation_registered",
        "plant_admitted",
    ]


@pytest.mark.parametrize("cut", range(len(LIFE)))
def test_after_a_crash_between_fact_and_acknowledgement_nothing_happens_twice(cut: int) -> None:
    async def run() -> None:
        broker = Broker()
        world = World(broker)
        async with world.running():
            for party, command in LIFE[: cut + 1]:
                await world.ask(party, command)
        before = len(world.facts())
        again = World(broker)
        async with again.running():
            party = LIFE[cut][0]
            await again.take(broker.of(topics.requests(party))[-1])
            assert len(again.facts()) == before
            for party, command in LIFE[cut + 1 :]:
                await again.ask(party, command)
        assert again.refusals() == []
        assert [one.number for one in again.facts()] == list(range(1, len(LIFE) + 1))
        assert again.shown().phase is Phase.CONCLUDED
        assert topics.ledger(PLANT) in again.maker.made

    asyncio.run(run())


@scenario
async def test_a_pairing_that_was_not_shown_before_a_crash_is_shown_at_the_start() -> None:
    world = World()
    world.broker.refuses = {topics.pairings(PLANT)}
    async with world.running():
        for party, command in LIFE[:6]:
            await world.ask(party, command)
        with pytest.raises(Crashed):
            await world.ask(*LIFE[6])
    # The request is not acknowledged, and its fact stands.
    assert len(world.done) == 6
    assert len(world.facts()) == 7
    world.broker.refuses = set()
    again = World(world.broker)
    async with again.running():
        assert again.shown().id == PAIRING
        assert again.shown().fact == 7


@scenario
async def test_a_fact_that_the_broker_refuses_ends_the_process_and_acknowledges_nothing() -> None:
    world = World()
    world.broker.refuses = {topics.EVENTS}
    world.broker.topics[topics.EVENTS] = []
    working = asyncio.ensure_future(world.control.background())
    world.control._ready.set()
    with pytest.raises(Crashed):
        await world.ask(*LIFE[0])
    assert world.done == []
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


@scenario
async def test_requests_wait_until_the_facts_are_read() -> None:
    world = World()
    record = world.broker.append(topics.requests(OPERATOR), b"{}")
    taking = asyncio.ensure_future(world.control.process(arrivals_of([record], world.done)))
    await settle()
    assert world.facts() == []
    async with world.running():
        await until(lambda: world.done == [0])
    await taking
    assert len(world.facts()) == 1


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"null",
        b'{"id":"12345678","at":"2026-03-02T09:00:00Z","command":{"kind":"rule_the_world"}}',
    ],
)
def test_a_request_that_cannot_be_read_is_refused_in_words(value: bytes) -> None:
    async def run() -> None:
        world = World()
        async with world.running():
            record = world.broker.append(topics.requests("maker"), value)
            await world.take(record)
            await world.ask(*LIFE[0])
        refused, granted = world.facts()
        assert (refused.party, refused.request) == ("maker", f"{topics.requests('maker')}:0:0")
        assert "cannot be read" in world.refusals()[0]
        assert granted.number == 2

    asyncio.run(run())


# --- judging ----------------------------------------------------------------------------------------------------------


def after(count: int, *more: tuple[str, Command]) -> Installation:
    """The state after so many steps of the life."""
    state = Installation()
    for party, command in [*LIFE[:count], *more]:
        grant(state, party, command)
    return state


def grant(state: Installation, party: str, command: Command, *, request: str = "") -> Fact:
    ends = {topic: {0: state.number} for topic in offsets_needed(command, state)}
    number = state.number + 1
    ident = request or f"request-{number}"
    body = judge(party, command, state, request=ident, ends=ends)
    fact = Fact(number=number, at=AT, party=party, request=ident, subject=subject(command), body=body)
    assert state.fold(fact)
    return fact


@pytest.mark.parametrize(
    ("steps", "party", "command", "reason"),
    [
        (0, "maker", LIFE[0][1], "only the operator"),
        (5, OPERATOR, organisation(PLANT, Role.STARTUP), "is taken"),
        (0, OPERATOR, organisation(OPERATOR, Role.STARTUP), "is taken"),
        (1, OPERATOR, organisation("maker", Role.STARTUP), "other content"),
        (3, "maker", LIFE[3][1], "one of its operators"),
        (2, "city", LIFE[3][1], "no organisation 'city'; known: maker, startup-1"),
        (3, "city", AdmitPlant(plant=a_plant()), "is admitted by its owner"),
        (3, "startup-1", AdmitPlant(plant=a_plant().model_copy(update={"owner": "startup-1"})), "is no"),
        (3, "maker", AdmitPlant(plant=a_plant().model_copy(update={"id": "city"})), "the id 'city' is taken"),
        (5, "maker", AdmitPlant(plant=a_plant().model_copy(update={"partitions": 9})), "other content"),
        (5, "city", LIFE[5][1], "only maker declares"),
        (6, "maker", LIFE[6][1], "are proposed by city"),
        (7, *LIFE[6], "exists; choose a new id"),
        (
            6,
            "city",
            LIFE[6][1].model_copy(update={"startup": "maker"}),
            "is no startup",
        ),
        (
            6,
            "city",
            LIFE[6][1].model_copy(
                update={"agreement": an_agreement().model_copy(update={"inputs": ("Flow",)})}
            ),
            "has no tag Flow",
        ),
        (
            6,
            "city",
            LIFE[6][1].model_copy(
                update={"agreement": an_agreement().model_copy(update={"assets": ("pump-9",)})}
            ),
            "has no asset pump-9",
        ),
        (6, "city", LIFE[6][1].model_copy(update={"need": "another"}), "no need 'another'; known: need-1"),
        (8, "city", LIFE[7][1], "consented to by maker or startup-1, not by city"),
        (
            8,
            *LIFE[7],
            "maker has consented to the agreement of pump-2026-01 already; startup-1 has to consent next",
        ),
        (9, *LIFE[8], "while an agreement lies on the table; pump-2026-01 is agreed"),
        (8, *LIFE[9], "once both sides have consented; pump-2026-01 is proposed"),
        (9, "startup-1", LIFE[9][1], "started by maker or city, not by startup-1"),
        (10, *LIFE[9], "pump-2026-01 is running"),
        (8, *LIFE[10], "from the agreement to the trial's end; pump-2026-01 is proposed"),
        (10, "maker", LIFE[10][1], "are submitted by startup-1"),
        (
            10,
            "startup-1",
            SubmitCandidate(
                pairing=PAIRING, candidate=a_candidate().model_copy(update={"startup": "another"})
            ),
            "has to be startup-1",
        ),
        (
            10,
            "startup-1",
            SubmitCandidate(pairing=PAIRING, candidate=a_candidate(ident="baselines")),
            "is a baseline's",
        ),
        (
            10,
            "startup-1",
            SubmitCandidate(pairing=PAIRING, candidate=a_candidate(ident="always-normal")),
            "is a baseline's",
        ),
        (10, "startup-1", SubmitCandidate(pairing=PAIRING, candidate=a_candidate(context_rows=1001)), "1000"),
        (11, "startup-1", LIFE[10][1], "is a candidate of pump-2026-01 already; submit a new version"),
        (13, *LIFE[11], "to the trial's end; pump-2026-01 is closing"),
        (12, "startup-1", LIFE[12][1], "is ended by maker or city, not by startup-1"),
        (13, *LIFE[12], "only a trial that runs is ended; pump-2026-01 is closing"),
        (6, *LIFE[12], "no pairing 'pump-2026-01'; known: none"),
        (13, "maker", LIFE[13][1], f"only the workers of {PLANT}"),
        (12, *LIFE[13], "only a closing pairing is concluded; pump-2026-01 is running"),
        (14, *LIFE[13], "only a closing pairing is concluded; pump-2026-01 is concluded"),
    ],
)
def test_what_may_not_be_granted_is_refused_in_words_that_help(
    steps: int, party: str, command: Command, reason: str
) -> None:
    state = after(steps)
    before = Installation(**{**vars(state), "number": 0, "granted": {}})
    fact = grant(state, party, command)
    assert isinstance(fact.body, RequestRefused)
    assert reason in fact.body.reason
    assert fact.body.command == command.kind
    assert Installation(**{**vars(state), "number": 0, "granted": {}}) == before


def test_the_same_thing_may_be_asked_for_again_under_a_new_request() -> None:
    state = after(6)
    for party, command in LIFE[:6]:
        assert not isinstance(grant(state, party, command).body, RequestRefused)
    assert len(state.organisations) == 3


def test_a_coordinator_may_end_a_trial_too() -> None:
    assert isinstance(grant(after(12), "city", EndTrial(pairing=PAIRING)).body, TrialEnded)


def test_a_pairing_without_baselines_has_no_deployment_for_them() -> None:
    agreed = an_agreement().model_copy(update={"baselines": ()})
    opened = LIFE[6][1].model_copy(update={"agreement": agreed})
    agrees = ConsentToAgreement(pairing=PAIRING, agreement_digest=agreed.digest(), person="x")
    state = after(6, ("city", opened), ("maker", agrees), ("startup-1", agrees), LIFE[9])
    assert state.pairings[PAIRING].phase is Phase.RUNNING
    assert state.pairings[PAIRING].deployments == ()


STEPS = st.lists(
    st.tuples(st.integers(0, len(LIFE) - 1), st.one_of(st.none(), st.sampled_from(PARTIES))), max_size=40
)
ORDER = [Phase.PROPOSED, Phase.AGREED, Phase.RUNNING, Phase.CLOSING, Phase.CONCLUDED]


@given(STEPS, st.lists(st.booleans(), min_size=40, max_size=40))
def test_whoever_replays_the_facts_has_the_same_state(steps: Any, again: list[bool]) -> None:
    """Requests in any order, from anyone, sent twice: every state is one that control may be in."""
    state, facts = Installation(), []
    for (number, other), twice in zip(steps, again, strict=False):
        asked, command = LIFE[number]
        party = other or asked
        for _ in range(1 + twice):
            request = f"{party}-{number}"
            if (party, request) in state.granted:
                continue
            before = {name: one.phase for name, one in state.pairings.items()}
            facts.append(grant(state, party, command, request=request))
            for name, pairing in state.pairings.items():
                assert ORDER.index(pairing.phase) - ORDER.index(before.get(name, pairing.phase)) in (0, 1)
                ids = [one.id for one in pairing.deployments]
                assert len(set(ids)) == len(ids)
                ended = ORDER.index(pairing.phase) > ORDER.index(Phase.RUNNING)
                assert all((one.until is not None) == ended for one in pairing.deployments)
    assert [fact.number for fact in facts] == list(range(1, len(facts) + 1))
    replayed = Installation()
    for fact in facts:
        there = Fact.model_validate_json(fact.to_json())
        assert there == fact
        assert replayed.fold(there)
        # A fact that a second writer wrote under the same number is ignored.
        assert not replayed.fold(there)
    assert replayed == state
