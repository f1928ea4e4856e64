"""Retention: who may have records deleted, when time does it, and how far the beginning of a shared log may go."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.erase import ledger_spans, together
from infra.words.erasures import erased, remaining
from infra.words.facts import told as in_words
from schemas.erasure import PARTS, Erased, Erasure, Part, Remaining
from schemas.events import (
    ErasureOrdered,
    Fact,
    PairingConcluded,
    PairingErased,
    PairingSettled,
    PairingStopped,
)
from schemas.ledger import Closed
from schemas.pairing import Pairing, Phase
from schemas.requests import EraseRecords, ReportErased
from schemas.terms import Retention
from streams import topics
from streams.conditions import Refusal
from streams.deadlines import overdue
from streams.disclosure import fact_for
from streams.erasing import FAR, Log, due, ends_at, needs, ordered, planned, telemetry_of
from streams.lifecycle import Installation, changed
from streams.reports import reported
from tests.unit.test_scorer import World, a_trial
from tests.unit.twins import PLANT, Broker, a_deployment, a_pairing, an_agreement

AT = datetime(2026, 3, 2, tzinfo=UTC)
TELEMETRY, LEDGER = topics.telemetry(PLANT), topics.ledger(PLANT)


def over(
    ident: str = "mine",
    *,
    start: int = 10,
    until: int = 20,
    phase: Phase = Phase.SETTLED,
    erasing: tuple[Part, ...] = (),
    **days: float,
) -> Pairing:
    """A pairing whose measurement is over."""
    agreed = an_agreement().model_copy(update={"retention": Retention(**days)})
    one = a_pairing(a_deployment(start=start, until=until), ident=ident, phase=phase, agreed=agreed)
    return one.model_copy(update={"closed_at": AT, "erasing": erasing})


def running(ident: str, *, start: int) -> Pairing:
    return a_pairing(a_deployment(start=start), ident=ident)


def log(*pairings: Pairing, begin: int = 0) -> Log:
    """The telemetry of the plant."""
    spans = {one.id: (first, until) for one in pairings for _, first, until in telemetry_of(one)}
    return Log(topic=TELEMETRY, partition=0, begin=begin, spans=spans)


def plan_of(mine: Pairing, *others: Pairing, begin: int = 0):  # type: ignore[no-untyped-def]
    everyone = {one.id: one for one in (mine, *others)}
    return planned(mine, [log(mine, *others, begin=begin)], everyone, ("telemetry",))


# --- what may go ------------------------------------------------------------------------------------------------------


def test_alone_in_its_log_everything_goes_and_nothing_behind_its_end() -> None:
    plan = plan_of(over())
    assert plan.delete == {(TELEMETRY, 0): 20}
    assert plan.erased == [Erased(topic=TELEMETRY, partition=0, first=10, until=20)]
    assert plan.remaining == []


def test_what_a_running_pairing_needs_bounds_it_and_is_named() -> None:
    plan = plan_of(over(), running("yours", start=15))
    assert plan.delete == {(TELEMETRY, 0): 15}
    (left,) = plan.remaining
    assert (left.first, left.until, left.needed_by, left.due) == (15, 20, ("yours",), None)


def test_a_pairing_that_begins_before_it_keeps_all_of_it() -> None:
    plan = plan_of(over(), running("yours", start=3))
    assert plan.delete == {(TELEMETRY, 0): 3}
    assert plan.erased == []
    assert [(one.first, one.until) for one in plan.remaining] == [(10, 20)]


def test_a_pairing_that_begins_behind_its_end_does_not_matter() -> None:
    plan = plan_of(over(), running("yours", start=20))
    assert plan.delete == {(TELEMETRY, 0): 20}
    assert plan.remaining == []


def test_telemetry_of_a_settled_pairing_without_a_term_goes_along_and_one_with_a_term_does_not() -> None:
    assert plan_of(over(), over("yours", start=5, until=15)).delete == {(TELEMETRY, 0): 20}
    kept = plan_of(over(), over("yours", start=12, until=15, telemetry_days=30))
    assert kept.delete == {(TELEMETRY, 0): 12}
    assert kept.remaining[0].due == AT + timedelta(days=30)
    gone = plan_of(over(), over("yours", start=12, until=15, telemetry_days=30, erasing=("telemetry",)))
    assert gone.delete == {(TELEMETRY, 0): 20}


def test_what_is_gone_already_is_not_deleted_again_and_still_told() -> None:
    plan = plan_of(over(), begin=20)
    assert plan.delete == {}
    assert plan.erased == [Erased(topic=TELEMETRY, partition=0, first=10, until=20)]


def test_a_ledger_is_kept_for_every_pairing_that_did_not_lose_its_own() -> None:
    mine, yours = over(), over("yours")
    everyone = {one.id: one for one in (mine, yours)}
    shared = Log(
        topic=LEDGER, partition=0, begin=0, spans={"mine": (0, 9), "yours": (4, 12), "noise": (2, 3)}
    )
    plan = planned(mine, [shared], everyone, ("ledger",))
    assert plan.delete == {(LEDGER, 0): 4}
    assert plan.remaining[0].needed_by == ("yours",)
    everyone["yours"] = over("yours", erasing=("ledger",))
    assert planned(mine, [shared], everyone, ("ledger",)).delete == {(LEDGER, 0): 9}


def test_only_the_parts_that_were_ordered_are_touched() -> None:
    mine = over()
    assert planned(mine, [log(mine)], {"mine": mine}, ("ledger", "artifacts")).delete == {}


SPANS = st.tuples(st.integers(0, 30), st.integers(0, 15)).map(lambda one: (one[0], one[0] + one[1]))


@given(mine=SPANS, others=st.lists(st.tuples(SPANS, st.booleans()), max_size=4), begin=st.integers(0, 40))
def test_nothing_that_another_pairing_needs_is_ever_deleted_and_nothing_is_forgotten(
    mine: tuple[int, int], others: list[tuple[tuple[int, int], bool]], begin: int
) -> None:
    pairings = [over(start=mine[0], until=mine[1])]
    for number, ((start, until), open_) in enumerate(others):
        name = f"other-{number}"
        pairings.append(running(name, start=start) if open_ else over(name, start=start, until=until))
    plan = plan_of(*pairings, begin=begin)
    gone = max(begin, plan.delete.get((TELEMETRY, 0), 0))
    for (start, _), open_ in others:
        assert not open_ or gone <= max(start, begin)
    assert gone <= max(mine[1], begin)
    told = [(one.first, one.until) for one in (*plan.erased, *plan.remaining)]
    assert sorted(i for first, until in told for i in range(first, until)) == list(range(*mine))


def test_telemetry_reaches_from_the_first_rehearsal_to_the_last_end() -> None:
    runs = [a_deployment(start=3, until=9), a_deployment(start=9, until=30)]
    assert list(telemetry_of(a_pairing(*runs))) == [(0, 3, 30)]
    assert list(telemetry_of(running("open", start=4))) == [(0, 4, FAR)]


# --- who orders it, and when ------------------------------------------------------------------------------------------


def test_only_the_owner_orders_it_and_only_once_it_is_settled_or_broken_off() -> None:
    command = EraseRecords(pairing="mine")
    assert ordered("maker", command, over()).parts == PARTS
    assert ordered("maker", command, over(erasing=("telemetry",))).parts == ("ledger", "artifacts")
    for party, one in (
        ("startup-1", over()),
        ("city", over()),
        ("maker", over(phase=Phase.OBJECTION_PERIOD)),
        ("maker", running("mine", start=0)),
        ("maker", over(erasing=PARTS)),
    ):
        with pytest.raises(Refusal) as refused:
            ordered(party, command, one)
        assert refused.value.why.en != refused.value.why.ko


def test_time_orders_what_the_agreement_says_each_part_in_its_turn() -> None:
    one = over(telemetry_days=1, ledger_days=20, artifact_days=2)
    assert due(one, AT + timedelta(hours=23)) == ()
    assert due(one, AT + timedelta(days=1)) == ("telemetry",)
    assert due(one, AT + timedelta(days=3)) == ("telemetry", "artifacts")
    assert due(one, AT + timedelta(days=20)) == PARTS
    ordered_once = one.model_copy(update={"erasing": ("telemetry",)})
    assert due(ordered_once, AT + timedelta(days=3)) == ("artifacts",)
    assert due(over(), AT + timedelta(days=9999)) == ()
    assert ends_at(running("open", start=0), "telemetry") is None


def test_an_objection_period_keeps_the_ledger_and_not_the_telemetry() -> None:
    one = over(phase=Phase.OBJECTION_PERIOD, telemetry_days=1, ledger_days=14)
    assert due(one, AT + timedelta(days=30)) == ("telemetry",)


def test_the_clock_orders_it_once_and_a_pairing_counts_from_its_close() -> None:
    state = Installation()
    state.pairings["mine"] = over(telemetry_days=1)
    orders = list(overdue(state, AT + timedelta(days=2)))
    assert [(ident, body.parts) for ident, body in orders if isinstance(body, ErasureOrdered)] == [
        ("erasure_ordered-mine-telemetry", ("telemetry",))
    ]
    state.pairings["mine"] = changed(state.pairings["mine"], a_fact(orders[-1][1]))
    assert list(overdue(state, AT + timedelta(days=2))) == []


def a_fact(body: object, *, at: datetime = AT, number: int = 9) -> Fact:
    return Fact.model_validate(
        {"number": number, "at": at, "party": "maker", "request": "r", "subject": "mine", "body": body}
    )


def test_a_close_is_the_verdict_or_the_end_without_one_and_never_moves() -> None:
    closing = a_pairing(ident="mine", phase=Phase.CLOSING)
    concluded = changed(closing, a_fact(PairingConcluded(pairing="mine", verdicts={})))
    settled = changed(concluded, a_fact(PairingSettled(pairing="mine"), at=AT + timedelta(days=9)))
    assert concluded.closed_at == settled.closed_at == AT
    stopped = changed(closing, a_fact(PairingStopped(pairing="mine", until={0: 4}, reason="moved")))
    assert stopped.closed_at == AT
    assert closing.closed_at is None


# --- what is told -----------------------------------------------------------------------------------------------------

ERASURE = Erasure(
    parts=PARTS,
    erased=(Erased(topic=LEDGER, partition=0, first=0, until=9),),
    remaining=(Remaining(topic=TELEMETRY, partition=0, first=3, until=9, needed_by=("yours",), due=AT),),
    files_erased=("t2q-v1",),
    chain="a" * 64,
    agreement_digest="b" * 64,
)


def test_the_plants_workers_tell_what_is_gone_where_it_was_ordered() -> None:
    report = ReportErased(pairing="mine", erasure=ERASURE)
    body = reported(PLANT, report, over(erasing=PARTS))
    assert isinstance(body, PairingErased)
    assert changed(over(erasing=PARTS), a_fact(body)).erasure == ERASURE
    for party, one in ((PLANT, over()), ("maker", over(erasing=PARTS))):
        with pytest.raises(Refusal):
            reported(party, report, one)


def test_both_sides_are_told_and_only_the_owner_which_other_pairing_it_is() -> None:
    state = Installation()
    state.pairings["mine"] = over(erasing=PARTS)
    told = dict(fact_for(a_fact(PairingErased(pairing="mine", erasure=ERASURE)), state))
    assert set(told) == {"maker", "startup-1", "city"}
    seen = {party: item.fact.body.erasure for party, item in told.items()}  # type: ignore[union-attr]
    assert seen["maker"] == ERASURE
    for party in ("startup-1", "city"):
        assert seen[party].remaining[0].needed_by == () and seen[party].remaining[0].due is None
        assert seen[party].erased == ERASURE.erased and seen[party].chain == ERASURE.chain


def test_what_is_gone_and_what_is_not_is_said_in_both_languages() -> None:
    words = erased(ERASURE)
    for text in (words.en, words.ko):
        assert f"{LEDGER}/0 0–8" in text and "t2q-v1" in text and "yours" in text and "a" * 64 in text
    assert "can no longer be recomputed" in words.en
    assert words.ko != words.en
    unknown = remaining(ERASURE.remaining[0].model_copy(update={"due": None}))
    assert "once that is over and erased" in unknown.en
    assert in_words(ErasureOrdered(pairing="mine", parts=PARTS)).ko.startswith("기록 삭제를 요청함")


def test_ranges_of_several_times_are_one() -> None:
    first = Erased(topic=LEDGER, partition=0, first=0, until=4)
    second = Erased(topic=LEDGER, partition=0, first=4, until=9)
    other = Erased(topic=TELEMETRY, partition=1, first=2, until=3)
    assert together((first, other), (second,)) == (
        Erased(topic=LEDGER, partition=0, first=0, until=9),
        other,
    )


def test_the_ledger_tells_whose_its_entries_are() -> None:
    broker = Broker()
    records = [broker.append(LEDGER, b"", key=key) for key in (b"mine", b"yours", b"mine")]
    assert ledger_spans(records) == {"mine": (0, 3), "yours": (1, 2)}


def test_no_pairing_needs_what_it_was_ordered_to_lose() -> None:
    for part in PARTS:
        assert needs(running("open", start=0), part)
        assert not needs(over(erasing=(part,)), part)


# --- what the scorer makes of it --------------------------------------------------------------------------------------


def test_a_pairing_whose_ledger_is_being_deleted_is_not_scored_again_from_what_is_left() -> None:
    """Its rehearsal may be gone and its trial not: folded anew, that would come to other numbers."""

    async def scenario() -> None:
        mine = over("pump-2026-01", erasing=("ledger",))
        world = World(pairing=mine)
        world.write(*a_trial(), Closed(pairing="pump-2026-01"))
        async with world.running():
            await world.caught_up()
        assert world.evaluations() == [] and world.verdicts() == []
        assert world.state.closed == {"pump-2026-01"}
        assert world.broker.of(topics.requests(PLANT)) == []

    asyncio.run(scenario())


def test_needs_is_asked_of_open_pairings_in_every_phase_before_the_settlement() -> None:
    for phase in (Phase.RUNNING, Phase.CLOSING, Phase.CONCLUDED, Phase.OBJECTION_PERIOD):
        assert needs(over(phase=phase), "telemetry")
    for phase in (Phase.SETTLED, Phase.FOLLOWED_UP, Phase.STOPPED):
        assert not needs(over(phase=phase), "telemetry")
        assert needs(over(phase=phase), "ledger")
