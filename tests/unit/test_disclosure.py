"""Feeds: each party is told what the agreement lets it see of its own pairings, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.feeds import Feeds
from schemas.agreement import Task
from schemas.evaluation import Audit, Counts, Evaluation, Outcome, Ratio, Standing, Verdict
from schemas.events import (
    AgreementAmended,
    AuditReported,
    Body,
    CandidateReturned,
    CapacityReported,
    DeploymentEnded,
    DeploymentStarted,
    DeploymentSuspended,
    Fact,
    PairingConcluded,
    PairingProposed,
    PlantPaused,
    RehearsalReported,
    RequestRefused,
)
from schemas.faults import Fault
from schemas.feeds import FEED_ITEM, FeedEvaluation, FeedFact, FeedVerdict
from schemas.pairing import Rehearsal
from schemas.parties import Capacity, Role
from schemas.requests import Command, ProposePairing
from schemas.terms import Disclosed, Disclosure, Told
from streams import topics
from streams.disclosure import NO_FIGURES
from streams.lifecycle import Installation
from tests.unit.test_control import LIFE, grant, organisation
from tests.unit.twins import PLANT, Broker, Crash, Tail, an_agreement, arrivals_of, until

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
MINE, THEIRS = "mine-1", "theirs-1"
PARTIES = ("maker", "city", "startup-1", "startup-2", "stranger")
EVERY: tuple[Told, ...] = ("counts", "metrics", "verdict", "unit_losses")

#: Numbers that stand in no other place: where one turns up, it was disclosed.
COUNT, METRIC, NEEDED = 77123, 0.4242, 88456


def disclosed() -> st.SearchStrategy[Disclosed]:
    whats = st.lists(st.sampled_from(EVERY), unique=True).map(tuple)
    return st.builds(Disclosed, what=whats, every=st.sampled_from(["live", "daily", "close"]))


def evaluation(
    pairing: str, *, offset: int = 10, days: float = 0, final: bool = False, candidate: str = "v1"
) -> Evaluation:
    return Evaluation(
        pairing=pairing,
        plant=PLANT,
        startup="startup-1",
        candidate=candidate,
        baseline=False,
        task=Task.ANOMALY,
        ledger_partition=0,
        ledger_offset=offset,
        chain="a" * 64,
        at=AT + timedelta(days=days),
        final=final,
        counts=Counts(rows_in=COUNT, scored=COUNT),
        audit=Audit(frames=COUNT),
        confusion={"normal/normal": COUNT},
        metrics={"f1": METRIC},
        sandbox="full",
    )


def verdict(pairing: str) -> Verdict:
    return Verdict(
        pairing=pairing,
        plant=PLANT,
        startup="startup-1",
        candidate="v1",
        verdict=Outcome.REJECTED,
        rule="f1 at least 0.5",
        value=METRIC,
        threshold=0.5,
        reason=f"f1 of {METRIC} misses the threshold of 0.5; {COUNT} rows",
        evaluation=evaluation(pairing, final=True),
        agreement_digest="b" * 64,
        recomputed_equal=True,
    )


class Town:
    """An installation with two pairings of two start-ups, and its feeds."""

    def __init__(self, terms: Disclosure) -> None:
        self.broker = Broker()
        self.state = Installation()
        steps: list[tuple[str, Command]] = [
            *LIFE[:6],
            (topics.OPERATOR, organisation("startup-2", Role.STARTUP)),
            (topics.OPERATOR, organisation("stranger", Role.STARTUP)),
        ]
        agreed = an_agreement().model_copy(update={"disclosure": terms})
        for pairing, startup in ((MINE, "startup-1"), (THEIRS, "startup-2")):
            proposed = ProposePairing(pairing=pairing, need="need-1", startup=startup, agreement=agreed)
            steps.append(("city", proposed))
        for party, command in steps:
            self.append(grant(self.state, party, command))
        self.told = 0

    def append(self, fact: Fact) -> None:
        self.broker.append(topics.EVENTS, fact.to_json())

    def happens(self, party: str, about: str, body: Body) -> None:
        number = self.state.number + 1
        fact = Fact(number=number, at=AT, party=party, request=f"request-{number}", subject=about, body=body)
        assert self.state.fold(fact)
        self.append(fact)

    def score(self, *results: Evaluation | Verdict) -> None:
        for one in results:
            topic = topics.verdicts(PLANT) if isinstance(one, Verdict) else topics.evaluations(PLANT)
            self.broker.append(topic, one.to_json())

    def tells(self) -> None:
        """A new process takes everything in from the beginning, as after a crash before any acknowledgement."""
        asyncio.run(self._tells())

    async def _tells(self) -> None:
        tail = Tail(self.broker, topics.EVENTS)
        feeds = Feeds(sender=self.broker, log=self.broker, events=tail, crash=Crash())
        done: list[int] = []
        records = [
            one
            for topic in (topics.EVENTS, topics.evaluations(PLANT), topics.verdicts(PLANT))
            for one in self.broker.of(topic)
        ]
        working = asyncio.ensure_future(feeds.background())
        await feeds.process(arrivals_of(records, done))
        await until(lambda: len(done) == len(records))
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

    def seen(self, party: str) -> list[FeedFact | FeedEvaluation | FeedVerdict]:
        """What a reader makes of a feed: each id once."""
        once = {one.header("ce_id"): one for one in self.broker.of(topics.results(party))}
        return [FEED_ITEM.validate_json(one.value or b"") for one in once.values()]

    def evaluations(self, party: str) -> list[FeedEvaluation]:
        return [one for one in self.seen(party) if isinstance(one, FeedEvaluation)]


def pairings_in(item: FeedFact | FeedEvaluation | FeedVerdict) -> set[str]:
    found = item.fact.subject if isinstance(item, FeedFact) else item.pairing
    return {found} & {MINE, THEIRS}


@given(disclosed(), disclosed())
def test_no_party_sees_more_than_the_agreement_lets_it(startup: Disclosed, coordinator: Disclosed) -> None:
    town = Town(Disclosure(startup=startup, coordinator=coordinator))
    town.score(evaluation(MINE, offset=10), evaluation(MINE, offset=20, final=True), verdict(MINE))
    shown = Rehearsal(
        passed=False,
        rows=COUNT,
        labelled=0.5,
        answered=0.5,
        remarks=(f"{COUNT} rows came",),
        needed={"v1": NEEDED},
    )
    town.happens(PLANT, MINE, RehearsalReported(pairing=MINE, rehearsal=shown))
    town.happens(PLANT, MINE, PairingConcluded(pairing=MINE, verdicts={"v1": Outcome.REJECTED}))
    town.tells()
    rights = {"startup-1": startup.what, "city": coordinator.what, "maker": EVERY}
    for party, what in rights.items():
        text = b"".join(one.value or b"" for one in town.broker.of(topics.results(party))).decode()
        assert (str(COUNT) in text) == ("counts" in what or "metrics" in what), (party, what)
        assert (str(METRIC) in text) == ("metrics" in what), (party, what)
        assert (str(NEEDED) in text) == ({"counts", "metrics"} <= set(what)), (party, what)
        assert ('"rejected"' in text) == ("verdict" in what), (party, what)
        for one in town.evaluations(party):
            assert (one.counts is not None) == (one.audit is not None) == ("counts" in what)
            assert (one.metrics is not None) == (one.confusion is not None) == ("metrics" in what)
        # That it was concluded, everybody with a share in it is told.
        assert "pairing_concluded" in text


@given(disclosed())
def test_nobody_sees_another_pairing_or_anothers_refusal(terms: Disclosed) -> None:
    town = Town(Disclosure(startup=terms, coordinator=terms))
    town.score(
        *(one for pairing in (MINE, THEIRS) for one in (evaluation(pairing, final=True), verdict(pairing)))
    )
    for party in ("startup-1", "startup-2", "maker", "city", "stranger"):
        town.happens(
            party, MINE, RequestRefused(command="start_trial", reason=f"no, {party}, wait for the city")
        )
    town.tells()
    for party in PARTIES:
        items = town.seen(party)
        share = {"startup-1": {MINE}, "startup-2": {THEIRS}, "stranger": set()}.get(party, {MINE, THEIRS})
        facts = [one.fact for one in items if isinstance(one, FeedFact)]
        refused = [one for one in facts if isinstance(one.body, RequestRefused)]
        assert {one.party for one in refused} == {party}
        others = [one for one in items if not (isinstance(one, FeedFact) and one.fact in refused)]
        assert {name for one in others for name in pairings_in(one)} == share
    # A stranger is told of its own refusal, and nothing else.
    assert len(town.seen("stranger")) == 1
    assert topics.results(topics.OPERATOR) not in town.broker.topics
    assert topics.results("clock") not in town.broker.topics


DAYS = st.lists(st.floats(0, 4).map(lambda days: round(days, 2)), min_size=1, max_size=12).map(sorted)


@given(DAYS, st.sampled_from(["live", "daily", "close"]), st.lists(st.integers(0, 12), max_size=3))
def test_how_often_a_party_is_told_outlives_every_process(
    days: Sequence[float], every: str, cuts: list[int]
) -> None:
    """Evaluations come in over days; processes end anywhere, and their successors begin with the first message again."""
    town = Town(Disclosure(startup=Disclosed(what=("counts",), every=every)))  # type: ignore[arg-type]
    for place, day in enumerate(days):
        town.score(evaluation(MINE, offset=10 + place, days=day))
        if place in cuts:
            town.tells()
    town.tells()
    before = town.evaluations("startup-1")
    town.score(evaluation(MINE, offset=100, days=5, final=True))
    town.tells()
    town.tells()
    told = town.evaluations("startup-1")
    wanted = {
        "live": list(range(10, 10 + len(days))),
        "daily": [10 + days.index(next(d for d in days if (AT + timedelta(days=d)).date() == date)) for date in
                  sorted({(AT + timedelta(days=day)).date() for day in days})],
        "close": [],
    }[every]  # fmt: skip
    assert [one.ledger_offset for one in before] == wanted
    assert [one.ledger_offset for one in told] == [*wanted, 100]
    assert [one.final for one in told] == [False] * len(wanted) + [True]
    # Read again from the beginning, nothing is told a second time: not even under the same id.
    sent = [FEED_ITEM.validate_json(one.value or b"") for one in town.broker.of(topics.results("startup-1"))]
    assert [one for one in sent if isinstance(one, FeedEvaluation)] == told


def test_items_of_two_pairings_are_two_items() -> None:
    """The coordinator has a share in both; candidates and ledger offsets may be called alike."""
    town = Town(Disclosure())
    town.score(*(one for pairing in (MINE, THEIRS) for one in (evaluation(pairing), verdict(pairing))))
    town.tells()
    assert {one.pairing for one in town.evaluations("city")} == {MINE, THEIRS}
    assert {one.pairing for one in town.seen("city") if isinstance(one, FeedVerdict)} == {MINE, THEIRS}


def test_a_verdict_without_figures_says_so() -> None:
    town = Town(Disclosure(startup=Disclosed(what=("verdict",))))
    town.score(verdict(MINE))
    town.tells()
    (told,) = (one for one in town.seen("startup-1") if isinstance(one, FeedVerdict))
    assert (told.verdict, told.value, told.reason) == (Outcome.REJECTED, None, NO_FIGURES)


@pytest.mark.parametrize(("what", "seen"), [(("verdict",), False), (("verdict", "metrics"), True)])
def test_what_a_verdict_by_units_is_worth_is_told_and_its_bounds_where_metrics_are(
    what: tuple[Told, ...], seen: bool
) -> None:
    town = Town(Disclosure(startup=Disclosed(what=what)))
    standing = Standing(units=9, planned=9, alpha=0.05, margin=0.0, outcome=Outcome.REJECTED)
    town.score(
        verdict(MINE).model_copy(
            update={"decision": standing, "guarantee": "anytime_valid", "ratio": Ratio(met=False)}
        )
    )
    town.tells()
    (told,) = (one for one in town.seen("startup-1") if isinstance(one, FeedVerdict))
    assert told.guarantee == "anytime_valid"
    assert (told.decision, told.ratio) == ((standing, Ratio(met=False)) if seen else (None, None))


def test_an_amended_disclosure_holds_for_what_comes_after_it() -> None:
    town = Town(Disclosure(startup=Disclosed(what=("counts", "metrics"))))
    closed = an_agreement().model_copy(update={"disclosure": Disclosure(startup=Disclosed(what=()))})
    amended = AgreementAmended(
        pairing=MINE, agreement=closed, agreement_digest=closed.digest(), reason="less"
    )

    async def run() -> None:
        tail = Tail(town.broker, topics.EVENTS)
        feeds = Feeds(sender=town.broker, log=town.broker, events=tail, crash=Crash())
        await feeds._take(town.broker.of(topics.EVENTS)[-1])
        town.happens("city", MINE, amended)
        town.score(evaluation(MINE))
        # The evaluation reaches the feeds before the fact does: topics have no order between them.
        await feeds._take(town.broker.of(topics.evaluations(PLANT))[0])

    asyncio.run(run())
    assert town.evaluations("startup-1") == []


@pytest.mark.parametrize("value", [b"", b"{", b"null", b'{"kind": "fact"}'])
def test_what_is_no_record_is_told_to_nobody(value: bytes) -> None:
    town = Town(Disclosure())
    before = {name: len(town.broker.of(topics.results(name))) for name in PARTIES}
    town.broker.append(topics.evaluations(PLANT), value)
    town.broker.append(topics.verdicts(PLANT), value)
    asyncio.run(_only_results(town))
    assert {name: len(town.broker.of(topics.results(name))) for name in PARTIES} == before


async def _only_results(town: Town) -> None:
    feeds = Feeds(sender=town.broker, log=town.broker, events=Tail(town.broker, topics.EVENTS), crash=Crash())
    for topic in (topics.evaluations(PLANT), topics.verdicts(PLANT)):
        for record in town.broker.of(topic):
            await feeds._take(record)


def test_every_fact_of_a_pairing_reaches_those_with_a_share_in_it() -> None:
    town = Town(Disclosure())
    town.tells()
    for party, share in (("startup-1", [MINE]), ("startup-2", [THEIRS]), ("maker", [MINE, THEIRS])):
        proposed = [
            one.fact.subject
            for one in town.seen(party)
            if isinstance(one, FeedFact) and isinstance(one.fact.body, PairingProposed)
        ]
        assert proposed == share


#: What the workers of a plant report of a pairing.
REPORTED: list[Body] = [
    DeploymentStarted(pairing=MINE, deployment=f"{MINE}/v1", sandbox="full", load_ms=900),
    DeploymentSuspended(
        pairing=MINE,
        deployment=f"{MINE}/v1",
        fault=Fault(kind="error", exception="ValueError", where="model.py:12", count=3),
    ),
    DeploymentEnded(pairing=MINE, deployment=f"{MINE}/v1"),
    CandidateReturned(pairing=MINE, candidate="v1", reason="its files cannot be fetched"),
    AuditReported(pairing=MINE, alarms=("the ledger folded again differs from the running scores",)),
]


@pytest.mark.parametrize("body", REPORTED, ids=lambda body: str(body.kind))
@given(disclosed())
@settings(max_examples=5)
def test_both_sides_and_the_coordinator_are_told_what_became_of_a_deployment(
    body: Body, terms: Disclosed
) -> None:
    """Whatever numbers they may see: without it nobody knows why nothing moves."""
    town = Town(Disclosure(startup=terms, coordinator=terms))
    town.happens(PLANT, MINE, body)
    town.tells()
    told = {
        party: [one.fact.body for one in town.seen(party) if isinstance(one, FeedFact)] for party in PARTIES
    }
    assert [party for party in PARTIES if body in told[party]] == ["maker", "city", "startup-1"]


def test_what_a_machine_can_carry_is_told_to_the_plants_owner_alone() -> None:
    town = Town(Disclosure())
    carried = CapacityReported(plant=PLANT, capacity=Capacity(cores=4, memory_mb=8000, sandbox="full"))
    town.happens(PLANT, PLANT, carried)
    town.tells()
    told = {
        party: [one.fact.body for one in town.seen(party) if isinstance(one, FeedFact)] for party in PARTIES
    }
    assert [party for party in PARTIES if carried in told[party]] == ["maker"]
    assert topics.results(PLANT) not in town.broker.topics


def test_a_fault_says_what_happened_and_where_and_nothing_that_the_candidate_wrote() -> None:
    assert set(Fault.model_fields) == {"kind", "exception", "where", "count"}


def test_only_facts_that_counted_are_told() -> None:
    """Another control that came second, or bytes that are no fact: both stand in the topic, and are nobody's news."""
    town = Town(Disclosure())
    loser = Fact(
        number=town.state.number,
        at=AT,
        party="maker",
        request="request-late",
        subject=PLANT,
        body=PlantPaused(plant="nowhere", reason="it came second"),
    )
    town.append(loser)
    town.broker.append(topics.EVENTS, b"no fact at all")
    town.happens("maker", PLANT, PlantPaused(plant=PLANT, reason="repairs"))
    town.tells()
    told = [item.fact.body for item in town.seen("maker") if isinstance(item, FeedFact)]
    assert [one.reason for one in told if isinstance(one, PlantPaused)] == ["repairs"]
