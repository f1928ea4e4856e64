"""Control that dies between any two of its steps, and two controls at once: nothing lost, nothing twice, no gap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.base import Offsets
from schemas.events import Fact, RequestRefused
from schemas.pairing import Phase
from schemas.requests import (
    Command,
    ConsentToAgreement,
    EndTrial,
    PausePlant,
    ProposePairing,
    Request,
    ResumePlant,
    StartRehearsal,
    StartTrial,
    StopPairing,
    WithdrawPairing,
)
from schemas.terms import Phases
from streams import topics
from streams.envelope import Headers, RawRecord
from streams.lifecycle import Installation
from streams.topics import TopicSpec
from tests.unit.test_control import AT, LIFE, World
from tests.unit.twins import PAIRING, PLANT, Broker, Crashed, Topics, an_agreement

#: Days that pass before control looks at the clock.
Step = tuple[str, Command] | timedelta

STORY: list[Step] = [*LIFE, timedelta(0), timedelta(days=15)]
TOLD = [
    "organisation_registered",
    "organisation_registered",
    "organisation_registered",
    "programme_opened",
    "plant_admitted",
    "need_declared",
    "pairing_proposed",
    "consent_given",
    "consent_given",
    "trial_started",
    "candidate_submitted",
    "candidate_submitted",
    "trial_ended",
    "pairing_concluded",
    "objection_period_opened",
    "pairing_settled",
]


class Fuse:
    """Blows at one effect on the world: before it, or after."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.left, self.after = at, after

    def before(self) -> None:
        self.left -= 1
        if self.left == 0 and not self.after:
            raise KeyboardInterrupt

    def done(self) -> None:
        if self.left == 0 and self.after:
            raise KeyboardInterrupt


class MortalBroker(Broker):
    """A broker whose client dies with the process."""

    fuse = Fuse(-1, after=False)

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> Awaitable[object]:
        self.fuse.before()
        sent = await super().send(topic, key, value, headers)
        self.fuse.done()
        return sent


class MortalTopics(Topics):
    """Topics stay when the process that made them dies."""

    def __init__(self, broker: MortalBroker, made: list[str]) -> None:
        super().__init__()
        self.broker, self.made = broker, made

    async def ensure(self, specs: Sequence[TopicSpec]) -> None:
        self.broker.fuse.before()
        await super().ensure(specs)
        self.broker.fuse.done()


def folded(broker: Broker) -> tuple[Installation, list[Fact]]:
    """What every reader makes of the facts' topic."""
    state, facts = Installation(), []
    for record in broker.of(topics.EVENTS):
        fact = Fact.model_validate_json(record.value or b"")
        if state.fold(fact):
            facts.append(fact)
    return state, facts


async def lives(broker: MortalBroker, made: list[str], story: list[Step], clock: Any) -> int:
    """Run what is left of a story in one process; gives how many steps were acknowledged before it died."""
    world = World(broker)
    world.maker = world.control._maker = MortalTopics(broker, made)  # type: ignore[assignment]
    world.clock = clock
    acknowledged = 0
    try:
        async with world.running():
            for step in story:
                if isinstance(step, timedelta):
                    world.clock += step
                    await world.control.tick()
                else:
                    await world.ask(*step)
                acknowledged += 1
    except (Crashed, KeyboardInterrupt):
        pass
    return acknowledged


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_control_may_die_between_any_two_of_its_steps(after: bool) -> None:
    """Every effect on the world, one after the other, is the last of a process; the next one is handed what was open."""
    effect = 0
    while True:
        effect += 1
        broker, made = MortalBroker(), []
        broker.fuse = Fuse(effect, after=after)
        done = asyncio.run(lives(broker, made, STORY, AT))
        died = done < len(STORY)
        broker.fuse = Fuse(-1, after=False)
        clock = AT + timedelta(hours=1)
        if done == len(STORY) - 1:
            clock += timedelta(days=15)
        if died:
            done += asyncio.run(lives(broker, made, STORY[done:], clock))
        assert done == len(STORY)
        state, facts = folded(broker)
        assert [one.body.kind for one in facts] == TOLD, f"effect {effect}"
        assert [one.number for one in facts] == list(range(1, len(TOLD) + 1))
        assert len(broker.of(topics.EVENTS)) == len(TOLD), "nothing was written that readers have to ignore"
        shown = World(broker).shown()
        assert shown == state.pairings[PAIRING] and shown.phase is Phase.SETTLED
        assert {topics.ledger(PLANT), topics.results("maker"), topics.requests(PLANT)} <= set(made)
        if not died:
            assert effect > 30
            return


# --- two at once ------------------------------------------------------------------------------------------------------


class SharedBroker(Broker):
    """A broker between two controls: before each of its answers others may have theirs."""

    def __init__(self, waits: Sequence[int]) -> None:
        super().__init__()
        self.waits = list(waits)

    async def elsewhere(self) -> None:
        for _ in range(self.waits.pop() if self.waits else 0):
            await asyncio.sleep(0)

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> Awaitable[object]:
        await self.elsewhere()
        sent = await super().send(topic, key, value, headers)
        await self.elsewhere()
        return sent

    async def ends(self, topic: str) -> Offsets:
        await self.elsewhere()
        return await super().ends(topic)


@asynccontextmanager
async def two(broker: Broker) -> AsyncIterator[tuple[World, World]]:
    """Two controls that know the same facts."""
    one, other = World(broker), World(broker)
    async with one.running(), other.running():
        yield one, other


#: What may come in any order once both sides have consented: requests, and looks at the clock.
CONTESTED: list[Step] = [
    LIFE[9],
    LIFE[10],
    LIFE[11],
    LIFE[12],
    LIFE[13],
    ("city", EndTrial(pairing=PAIRING)),
    ("maker", StopPairing(pairing=PAIRING, reason="rebuilt")),
    ("startup-1", WithdrawPairing(pairing=PAIRING, reason="moved on")),
    ("maker", StartRehearsal(pairing=PAIRING)),
    ("maker", PausePlant(plant=PLANT, reason="repairs")),
    ("maker", ResumePlant(plant=PLANT)),
    timedelta(0),
    timedelta(days=20),
]
ENDS = {"pairing_stopped", "pairing_withdrawn", "pairing_expired"}
ONCE = ENDS | {
    "trial_started",
    "trial_ended",
    "pairing_concluded",
    "objection_period_opened",
    "pairing_settled",
}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, len(CONTESTED) - 1), st.sampled_from(["one", "other", "both"])), max_size=14
    ),
    st.lists(st.integers(0, 6), min_size=120, max_size=120),
)
def test_two_controls_at_once_number_facts_without_a_gap_and_act_once(
    script: list[tuple[int, str]], waits: list[int]
) -> None:
    async def run() -> None:
        broker = SharedBroker([])
        world = World(broker)
        async with world.running():
            for party, command in LIFE[:9]:
                await world.ask(party, command)
        broker.waits = list(waits)
        async with two(broker) as worlds:
            work: list[list[Any]] = [[], []]
            for place, (number, who) in enumerate(script):
                step = CONTESTED[number]
                if isinstance(step, timedelta):
                    item: RawRecord | timedelta = step
                else:
                    request = Request(id=f"request-{place}", at=AT, command=step[1])
                    item = broker.append(topics.requests(step[0]), request.to_json())
                for index in {"one": [0], "other": [1], "both": [0, 1]}[who]:
                    work[index].append(item)

            async def works(world: World, items: list[Any]) -> None:
                for item in items:
                    await given_to(world, item)

            await asyncio.gather(*(works(world, items) for world, items in zip(worlds, work, strict=True)))
            broker.waits = []
            for world in worlds:
                await world.control._catch_up()
            state, facts = folded(broker)
            assert worlds[0].control._state == worlds[1].control._state == state
        assert [one.number for one in facts] == list(range(1, len(facts) + 1))
        answered = [(one.party, one.request) for one in facts if not isinstance(one.body, RequestRefused)]
        assert len(set(answered)) == len(answered), "acted twice"
        asked = {
            f"request-{place}"
            for place, (n, _) in enumerate(script)
            if not isinstance(CONTESTED[n], timedelta)
        }
        assert asked <= {one.request for one in facts}, "a request was lost"
        kinds = [one.body.kind for one in facts]
        for kind in ONCE:
            assert kinds.count(kind) <= 1, kind
        over = [index for index, kind in enumerate(kinds) if kind in ENDS]
        later = set(kinds[over[0] + 1 :]) if over else set()
        assert later <= {"request_refused", "plant_paused", "plant_resumed"}

    asyncio.run(run())


async def given_to(world: World, item: RawRecord | timedelta) -> None:
    """Hand a request over, or look at the clock after so much time."""
    if isinstance(item, timedelta):
        world.clock += item
        await world.control.tick()
    else:
        await world.take(item)


async def expired_against(party: str, command: Command) -> list[str]:
    """The deadline passes in one control while the other takes a request that comes first in the topic."""
    broker = SharedBroker([])
    world = World(broker)
    async with world.running():
        for step in LIFE[:8]:
            await world.ask(*step)
    async with two(broker) as (one, other):
        other.clock += timedelta(days=20)
        await one.ask(party, command)
        await other.control.tick()
        await other.control.tick()
        await one.control.tick()
    return [fact.body.kind for fact in folded(broker)[1]][8:]


def test_a_deadline_that_another_fact_has_overtaken_does_not_pass() -> None:
    """The second control has not read the consent when its clock says that the proposal is too old."""
    found = asyncio.run(expired_against(*LIFE[8]))
    assert found[0] == "consent_given"
    # The days to start the trial have only begun, and pass later.
    assert found[1:] == ["pairing_expired"] or found[1:] == []


def test_a_pairing_that_was_stopped_does_not_expire() -> None:
    found = asyncio.run(expired_against("maker", StopPairing(pairing=PAIRING, reason="rebuilt")))
    assert found == ["pairing_stopped"]


def test_what_time_has_brought_about_happens_once_however_often_control_looks() -> None:
    async def run() -> list[str]:
        broker = Broker()
        for _ in range(3):
            world = World(broker)
            world.clock = AT + timedelta(days=60)
            async with world.running():
                for party, command in LIFE[:8]:
                    await world.ask(party, command)
                for _ in range(3):
                    await world.control.tick()
                world.clock += timedelta(days=60)
                for _ in range(3):
                    await world.control.tick()
        return [fact.body.kind for fact in folded(broker)[1]]

    assert asyncio.run(run())[8:] == ["pairing_expired"]


def test_trials_and_rehearsals_end_by_themselves_at_the_offsets_of_that_moment() -> None:
    agreed = an_agreement().model_copy(update={"phases": Phases(trial_days=30)})

    async def run() -> Installation:
        broker = Broker()
        world = World(broker)
        async with world.running():
            for party, command in LIFE[:6]:
                await world.ask(party, command)
            await world.ask(
                "city",
                ProposePairing(pairing=PAIRING, need="need-1", startup="startup-1", agreement=agreed),
            )
            for side in ("maker", "startup-1"):
                consent = ConsentToAgreement(pairing=PAIRING, agreement_digest=agreed.digest(), person=side)
                await world.ask(side, consent)
            await world.ask("maker", StartTrial(pairing=PAIRING))
            broker.append(topics.telemetry(PLANT), b"a frame")
            world.clock += timedelta(days=29)
            await world.control.tick()
            assert folded(broker)[0].pairings[PAIRING].phase is Phase.RUNNING
            world.clock += timedelta(days=2)
            await world.control.tick()
            broker.append(topics.telemetry(PLANT), b"too late")
            await world.control.tick()
        return folded(broker)[0]

    pairing = asyncio.run(run()).pairings[PAIRING]
    assert pairing.phase is Phase.CLOSING and pairing.why == "the agreed time is over"
    assert {one.until[0] for one in pairing.deployments if one.until} == {1}
