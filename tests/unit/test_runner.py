"""The runner: every due frame gets one outcome, and nothing is acknowledged before the ledger has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from agents import runner as module
from agents.reports import Reports
from agents.runner import MOST_PASSED, WINDOW_BYTES, Assignment, Runner
from models.baselines import Baselines
from models.contract import WINDOW
from schemas.agreement import Baseline, Task
from schemas.ledger import Covered, Ended, Started
from schemas.pairing import Deployment, Pairing
from schemas.parties import Plant, RejectLimit
from schemas.requests import Request
from schemas.slices import Slice
from streams import topics
from streams.frames import read_arrow
from streams.ledger_codec import Entry, OutcomeRows, decode
from tests.unit.twins import (
    CANDIDATE,
    PAIRING,
    PLANT,
    Arrived,
    Board,
    Broker,
    Crash,
    Crashed,
    Model,
    a_deployment,
    a_pairing,
    a_plant,
    arrivals_of,
    arrow,
    ended,
    frame_bytes,
    settle,
    until,
)

TELEMETRY, LEDGER, REJECTED = topics.telemetry(PLANT), topics.ledger(PLANT), topics.rejected(PLANT)


class World:
    """A runner with everything around it."""

    def __init__(
        self,
        *,
        broker: Broker | None = None,
        model: Model | Baselines | None = None,
        pairing: Pairing | None = None,
        deployment: Deployment | None = None,
        plant: Plant | None = None,
    ) -> None:
        self.broker = broker or Broker()
        self.model = model or Model()
        deployment = deployment or a_deployment()
        self.board = Board(pairing or a_pairing(deployment))
        self.crash = Crash()
        self.done: list[int] = []
        self.runner = Runner(
            Assignment(
                pairing=self.board.pairings[PAIRING],
                deployment=deployment,
                plant=plant or a_plant(),
                sandbox="none",
            ),
            predictor=self.model,
            sender=self.broker,
            log=self.broker,
            board=self.board,
            reports=Reports(
                "plant-1", sender=self.broker, source="/plants/plant-1/runner", now_ms=self.broker.now_ms
            ),
            crash=self.crash,
        )

    @property
    def asking(self) -> Model:
        assert isinstance(self.model, Model)
        return self.model

    @asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        working = asyncio.ensure_future(self.runner.background())
        try:
            yield self
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    async def take(self, first: int = 0, end: int | None = None) -> None:
        records = self.broker.of(TELEMETRY)[first:end]
        await self.runner.process(arrivals_of(records, self.done))

    def send(
        self, count: int, *, asset: str = "pump-1", rows: int = 2, start: int | None = None, ms: int = 0
    ) -> None:
        for _ in range(count):
            at = len(self.broker.of(TELEMETRY)) * 10 if start is None else start
            self.broker.append(
                TELEMETRY, frame_bytes(at, rows), key=asset.encode(), listed=arrow(f"f{at}"), at_ms=ms
            )

    def entries(self) -> list[Entry]:
        found = [decode(record) for record in self.broker.of(LEDGER)]
        assert not [one for one in found if not isinstance(one, Entry)]
        return [one for one in found if isinstance(one, Entry)]

    def outcomes(self) -> list[OutcomeRows]:
        return [one for one in self.entries() if isinstance(one, OutcomeRows)]

    def ranges(self) -> list[tuple[str, int, int]]:
        found = []
        for one in self.entries():
            if isinstance(one, OutcomeRows):
                found.append((one.meta.result, one.meta.first, one.meta.last))
            if isinstance(one, Covered):
                found.append(("covered", one.first, one.last))
        return found


async def waiting(task: Awaitable[object]) -> asyncio.Future[object]:
    found = asyncio.ensure_future(task)
    await settle()
    return found


def test_outcomes_carry_the_answers_the_times_and_where_the_frame_stands() -> None:
    async def scenario() -> None:
        world = World(deployment=a_deployment(start=1))
        world.send(2, ms=7)
        async with world.running():
            await world.take(1)
            await until(lambda: world.done == [1])
        (outcome,) = world.outcomes()
        assert (outcome.meta.pairing, outcome.meta.deployment) == (PAIRING, CANDIDATE)
        assert (outcome.meta.first, outcome.meta.last, outcome.meta.frame) == (1, 1, "f10")
        assert (outcome.meta.appended_ms, outcome.meta.rows, outcome.meta.cpu_us) == (7, 2, 2)
        assert outcome.times_us.tolist() == [10_000_000, 11_000_000]
        assert outcome.answers.tolist() == [[1.0, 1.0]]
        assert outcome.meta.histograms is None
        assert world.broker.of(LEDGER)[0].key == PAIRING.encode()

    asyncio.run(scenario())


def test_frames_are_acknowledged_in_order_and_only_once_the_ledger_has_their_outcome() -> None:
    async def scenario() -> None:
        world = World(model=Model(at_once=None))
        world.broker.held = []
        world.send(4)
        async with world.running():
            await world.take()
            await until(lambda: len(world.asking.asked) == 4)
            for asked in reversed(world.asking.asked[1:]):
                asked.answers()
            await settle()
            assert world.outcomes() == []
            world.asking.asked[0].answers()
            await until(lambda: len(world.outcomes()) == 4)
            assert [one.meta.last for one in world.outcomes()] == [0, 1, 2, 3]
            # The broker has the last three, not the first.
            first = world.broker.held.pop(0)
            world.broker.release()
            await settle()
            assert world.done == []
            first.set_result(None)
            await until(lambda: world.done == [0, 1, 2, 3])
        assert world.crash.errors == []

    asyncio.run(scenario())


def test_a_ledger_that_refuses_an_outcome_ends_the_process_and_acknowledges_nothing() -> None:
    async def scenario() -> None:
        world = World()
        world.send(3)
        world.broker.refuses = {LEDGER}
        working = asyncio.ensure_future(world.runner.background())
        await world.take()
        with pytest.raises(Crashed):
            await asyncio.wait_for(working, 5)
        assert world.done == []
        assert "closed" in str(world.crash.errors[0])

    asyncio.run(scenario())


def test_a_log_that_cannot_be_read_ends_the_process_instead_of_leaving_the_agent() -> None:
    async def scenario() -> None:
        world = World(deployment=a_deployment(context_rows=3))
        world.send(2)
        world.broker.refuses = {TELEMETRY}
        with pytest.raises(Crashed):
            await world.take(1)
        assert "cannot be read" in str(world.crash.errors[0])

    asyncio.run(scenario())


def test_a_predictor_that_raises_ends_the_process_and_acknowledges_nothing() -> None:
    async def scenario() -> None:
        world = World(model=Model(at_once=None))
        world.send(1)
        working = asyncio.ensure_future(world.runner.background())
        await world.take()
        await until(lambda: world.asking.asked)
        world.asking.asked[0].answer.set_exception(OSError("no sandbox"))
        with pytest.raises(Crashed):
            await asyncio.wait_for(working, 5)
        assert world.done == []

    asyncio.run(scenario())


def test_a_score_beside_the_answers_goes_into_the_ledger() -> None:
    async def scenario() -> None:
        world = World(model=Model(at_once=None))
        world.send(2)
        async with world.running():
            await world.take()
            await until(lambda: len(world.asking.asked) == 2)
            world.asking.asked[0].answers(1.0, 0.75)
            world.asking.asked[1].answers(0.0)
            await until(lambda: world.done == [0, 1])
        scored, plain = world.outcomes()
        assert scored.answers.tolist() == [[1.0, 1.0]]
        assert scored.scores is not None and scored.scores.tolist() == [[0.75, 0.75]]
        assert plain.scores is None

    asyncio.run(scenario())


def test_the_part_of_each_slice_that_a_row_is_in_goes_into_the_ledger_also_of_failures() -> None:
    async def scenario() -> None:
        pairing = a_pairing(a_deployment())
        slices = (
            Slice(by="asset"),
            Slice(by="tag", tag="Pressure", cuts=(0.5,)),
            Slice(by="shift", starts=(0, 9)),
        )
        agreed = pairing.agreement.model_copy(update={"slices": slices})
        world = World(model=Model(at_once=None), pairing=pairing.model_copy(update={"agreement": agreed}))
        world.send(2)
        async with world.running():
            await world.take()
            await until(lambda: len(world.asking.asked) == 2)
            world.asking.asked[0].answers()
            world.asking.asked[1].fails()
            await until(lambda: world.done == [0, 1])
        for one in world.outcomes():
            assert one.codes is not None and one.codes.dtype == np.int8 and one.codes.shape == (2, 2)
        # 1970 began at nine in the morning in Seoul.
        assert [one.codes[1].tolist() for one in world.outcomes() if one.codes is not None] == [
            [1, 1],
            [1, 1],
        ]

    asyncio.run(scenario())


def test_a_failure_is_an_outcome_counted_against_the_candidate() -> None:
    async def scenario() -> None:
        world = World(model=Model(at_once=None))
        world.send(2)
        async with world.running():
            await world.take()
            await until(lambda: len(world.asking.asked) == 2)
            world.asking.asked[0].fails("memory")
            world.asking.asked[1].answers()
            await until(lambda: world.done == [0, 1])
        failed, answered = world.outcomes()
        assert (failed.meta.result, failed.meta.failure, failed.meta.rows) == ("failed", "memory", 2)
        assert failed.answers.size == 0 and failed.times_us.size == 2
        assert answered.meta.result == "answered"

    asyncio.run(scenario())


def test_frames_that_are_not_due_are_covered_by_the_next_outcome() -> None:
    async def scenario() -> None:
        world = World(deployment=a_deployment(start=1))
        world.send(2, asset="pump-1")
        world.send(2, asset="pump-3")
        world.send(1, asset="pump-2")
        async with world.running():
            await world.take()
            await until(lambda: len(world.done) == 5)
        # Offset 0 lies before the start; a third pump is no part of the agreement.
        assert world.ranges() == [("answered", 0, 1), ("answered", 2, 4)]
        assert world.done == [0, 1, 2, 3, 4]

    asyncio.run(scenario())


def test_frames_that_are_not_due_are_covered_while_they_keep_coming(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agreed machine stands still, another one sends on: nothing may pile up."""

    async def scenario() -> None:
        clock = [100.0]
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
        monkeypatch.setattr(module, "FLUSH_S", 0.001)
        world = World()
        world.send(40, asset="pump-3")
        async with world.running():
            for i in range(40):
                # Each comes before the one before it has waited long enough.
                clock[0] += 0.0004
                await world.take(i, i + 1)
                await asyncio.sleep(0.002)
            assert len(world.done) > 20
        assert world.ranges()[0] == ("covered", 0, world.ranges()[0][2])

    asyncio.run(scenario())


def test_no_more_than_so_many_passed_messages_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(module, "FLUSH_S", 3600)
        world = World()
        world.send(2 * MOST_PASSED + 3, asset="pump-3")
        async with world.running():
            await world.take()
            await until(lambda: len(world.done) == 2 * MOST_PASSED)
        assert world.ranges() == [
            ("covered", 0, MOST_PASSED - 1),
            ("covered", MOST_PASSED, 2 * MOST_PASSED - 1),
        ]

    asyncio.run(scenario())


def test_a_frame_never_overtakes_the_range_before_it() -> None:
    """A full queue lets a late comer in before one that waits; the fold would take that for a gap."""

    async def scenario() -> None:
        world = World()
        world.send(WINDOW)
        world.send(1, asset="pump-3")
        world.send(1)
        # Nothing is written yet, so the queue fills up.
        await world.take(0, WINDOW + 1)
        lane = world.runner._lanes[0]
        covering = await waiting(world.runner._cover(0, lane))
        # The range's turn comes, and the frame asks in the same moment.
        taking = asyncio.ensure_future(world.take(WINDOW + 1, WINDOW + 2))
        world.runner._work.get_nowait()
        await settle()
        async with world.running():
            await asyncio.gather(covering, taking)
            await until(lambda: len(world.ranges()) == WINDOW + 1)
        assert world.ranges()[-2:] == [
            ("covered", WINDOW, WINDOW),
            ("answered", WINDOW + 1, WINDOW + 1),
        ]

    asyncio.run(scenario())


def test_the_window_is_bounded() -> None:
    async def scenario() -> None:
        world = World(model=Model(at_once=None))
        world.send(10 * WINDOW)
        async with world.running():
            taking = await waiting(world.take())
            # In the queue, one being written, one waiting to get in.
            assert len(world.asking.asked) <= WINDOW + 2
            assert not taking.done()
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)
        assert world.done == []

    asyncio.run(scenario())


def test_the_window_is_bounded_in_bytes_as_well() -> None:
    async def scenario() -> None:
        world = World(model=Model(at_once=None))
        # Bytes that nobody reads behind the rows: they are held as well.
        value = frame_bytes(0) + bytes(topics.FRAME_BYTES - len(frame_bytes(0)))
        fit = WINDOW_BYTES // len(value)
        assert fit < WINDOW
        for number in range(fit + 3):
            world.broker.append(TELEMETRY, value, key=b"pump-1", listed=arrow(f"f{number}"))
        async with world.running():
            taking = await waiting(world.take())
            assert len(world.asking.asked) == fit
            world.asking.asked[0].answers(1.0)
            await until(lambda: len(world.asking.asked) == fit + 1)
            await settle()
            assert len(world.asking.asked) == fit + 1
            for asked in world.asking.asked:
                if not asked.answer.done():
                    asked.answers(1.0)
            world.asking.at_once = 1.0
            await taking
            await until(lambda: len(world.done) == fit + 3)
        assert world.done == list(range(fit + 3))

    asyncio.run(scenario())


def test_no_more_than_a_window_of_outcomes_waits_for_the_broker() -> None:
    async def scenario() -> None:
        world = World()
        world.broker.held = []
        world.send(10 * WINDOW)
        async with world.running():
            taking = await waiting(world.take())
            assert len(world.outcomes()) <= WINDOW + 2
            assert len(world.asking.asked) <= 2 * WINDOW + 5
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("value", "result", "rows"),
    [
        (b"no frame", "unreadable", 0),
        (b"", "unreadable", 0),
        (b'[{"ts": "2026-03-02T09:00:00Z", "values": {"Pressure": 1}}]', "refused", 1),
        (b'[{"ts": "2026-03-02T09:00:00Z", "values": {"Unknown": 1}}]', "refused", 1),
    ],
)
def test_what_cannot_be_read_is_an_outcome_and_kept_with_its_bytes(
    value: bytes, result: str, rows: int
) -> None:
    async def scenario() -> None:
        world = World()
        world.broker.append(TELEMETRY, value, key=b"pump-1")
        world.send(1)
        async with world.running():
            await world.take()
            await until(lambda: world.done == [0, 1])
        assert world.ranges() == [(result, 0, 0), ("answered", 1, 1)]
        assert world.outcomes()[0].meta.rows == rows
        (kept,) = world.broker.of(REJECTED)
        assert kept.value == value
        assert kept.key == f"{TELEMETRY}:0:0".encode()
        assert kept.header("fp_offset") == "0"
        assert kept.header("fp_reason")

    asyncio.run(scenario())


def test_messages_of_a_machine_that_the_plant_does_not_have_are_kept_and_acknowledged() -> None:
    async def scenario() -> None:
        world = World()
        world.send(1, asset="pumpe-1")
        world.broker.append(TELEMETRY, b"x", key=b"\xff")
        world.send(1)
        async with world.running():
            await world.take()
            await until(lambda: world.done == [0, 1, 2])
        assert world.ranges() == [("answered", 0, 2)]
        assert [one.header("fp_reason") for one in world.broker.of(REJECTED)] == ["unknown_asset"] * 2

    asyncio.run(scenario())


def test_nothing_is_acknowledged_whose_rejection_was_not_kept() -> None:
    async def scenario() -> None:
        world = World()
        world.send(1, asset="pumpe-1")
        world.send(1)
        world.broker.refuses = {REJECTED}
        working = asyncio.ensure_future(world.runner.background())
        await world.take()
        with pytest.raises(Crashed):
            await asyncio.wait_for(working, 5)
        assert world.done == []

    asyncio.run(scenario())


def test_the_ledger_hears_of_the_start_first_and_of_the_end_once_it_is_fixed() -> None:
    async def scenario() -> None:
        world = World()
        await world.runner.begin()
        world.send(3)
        async with world.running():
            await world.take(0, 2)
            world.board.show(ended(world.board.pairings[PAIRING], 2))
            await until(lambda: any(isinstance(one, Ended) for one in world.entries()))
            await world.take(2)
            await until(lambda: len(world.asking.asked) == 2)
            await settle()
        entries = world.entries()
        assert isinstance(entries[0], Started)
        assert entries[0].starts == {0: 0}
        assert [one.until for one in entries if isinstance(one, Ended)] == [{0: 2}]
        # The frame past the end went to no candidate.
        assert [one.meta.last for one in world.outcomes()] == [0, 1]

    asyncio.run(scenario())


def test_a_runner_that_starts_after_the_end_says_so_again() -> None:
    async def scenario() -> None:
        pairing = ended(a_pairing(), 3)
        world = World(pairing=pairing)
        await world.runner.begin()
        assert [type(one) for one in world.entries()] == [Started, Ended]

    asyncio.run(scenario())


def test_the_baselines_answer_every_row_with_their_constants() -> None:
    async def scenario() -> None:
        pairing = a_pairing()
        deployment = Deployment(id=f"{PAIRING}/baselines", subjects=("always-normal",), starts={0: 0})
        world = World(
            model=Baselines(pairing.agreement, pairing=pairing.id), pairing=pairing, deployment=deployment
        )
        world.send(1, rows=3)
        async with world.running():
            await world.take()
            await until(lambda: world.done == [0])
        assert world.outcomes()[0].answers.tolist() == [[0.0, 0.0, 0.0]]
        told = world.outcomes()[0].meta.histograms
        assert told is not None and [(one.tag, sum(one.counts)) for one in told] == [
            ("Pressure", 3),
            ("Current", 3),
        ]
        assert world.runner._assignment.started().baseline

    asyncio.run(scenario())


def test_baselines_see_the_rows_before_a_frame() -> None:
    async def scenario() -> None:
        pairing = a_pairing()
        way = Baseline(name="mean", answer=-1, kind="average", tag="Pressure", rows=3)
        terms = {"task": Task.REGRESSION, "classes": (), "baselines": (way,)}
        agreed = pairing.agreement.model_copy(update=terms)
        deployment = Deployment(id=f"{PAIRING}/baselines", subjects=("mean",), starts={0: 0})
        model = Baselines(agreed, pairing=pairing.id)
        world = World(
            model=model, pairing=pairing.model_copy(update={"agreement": agreed}), deployment=deployment
        )
        world.send(2, rows=2)
        async with world.running():
            await world.take()
            await until(lambda: world.done == [0, 1])
        values = [
            value
            for record in world.broker.of(TELEMETRY)
            for value in read_arrow(record.value or b"").column("Pressure").to_pylist()  # type: ignore[union-attr]
        ]
        answers = [value for one in world.outcomes() for value in one.answers[0].tolist()]
        wanted = [np.mean(values[max(0, at - 2) : at + 1]) for at in range(4)]
        assert answers == pytest.approx(wanted)

    asyncio.run(scenario())


def test_a_candidate_sees_the_agreed_inputs_and_nothing_else() -> None:
    async def scenario() -> None:
        world = World()
        batch = pa.RecordBatch.from_pydict(
            {
                "Operator": ["Kim"],
                "Current": np.array([5], np.int32),
                "ts": pa.array([1], pa.timestamp("us", tz="UTC")),
                "Pressure": np.array([1.5], np.float32),
            }
        )
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        world.broker.append(TELEMETRY, bytes(sink.getvalue()), key=b"pump-1", listed=arrow("f"))
        async with world.running():
            await world.take()
            await until(lambda: world.done == [0])
        shown = read_arrow(world.asking.asked[0].payload)
        assert isinstance(shown, pa.RecordBatch)
        assert shown.schema.names == ["ts", "Pressure", "Current"]
        assert shown.to_pydict()["Current"] == [5.0]

    asyncio.run(scenario())


def contexts(world: World) -> list[tuple[str, list[float]]]:
    found: list[tuple[str, list[float]]] = []
    for asked in world.asking.asked:
        batch = read_arrow(asked.context) if asked.context else None
        rows = batch.to_pydict()["Pressure"] if isinstance(batch, pa.RecordBatch) else []
        assert len(rows) == asked.n_context
        found.append((asked.asset, rows))
    return found


def test_the_rows_before_a_frame_are_the_same_when_they_are_read_again() -> None:
    async def scenario() -> None:
        straight = World(deployment=a_deployment(start=2, context_rows=5))
        for i, asset in enumerate(["pump-1", "pump-2", "pump-3", "pump-1", "pump-1", "pump-2"] * 3):
            straight.send(1, asset=asset, rows=1 + i % 3)
            if i % 5 == 4:
                straight.broker.append(TELEMETRY, b"poison", key=asset.encode())
        async with straight.running():
            await straight.take(2)
            await until(lambda: len(straight.done) == len(straight.broker.of(TELEMETRY)) - 2)
        kept = contexts(straight)
        assert kept[0][1] == []
        assert max(len(rows) for _, rows in kept) == 5
        for cut in range(3, len(straight.broker.of(TELEMETRY))):
            again = World(broker=Broker(), deployment=a_deployment(start=2, context_rows=5))
            again.broker.topics[TELEMETRY] = straight.broker.of(TELEMETRY)
            async with again.running():
                await again.take(cut)
                await settle()
            rest = contexts(again)
            assert rest == kept[len(kept) - len(rest) :]

    asyncio.run(scenario())


def test_the_rows_before_a_frame_are_read_again_after_the_partitions_moved() -> None:
    async def scenario() -> None:
        world = World(deployment=a_deployment(context_rows=2))
        world.send(3)
        async with world.running():
            await world.take(0, 2)
            await until(lambda: world.done == [0, 1])
            world.runner.moved()
            # The group's offset stood before the last acknowledgement: a frame comes again.
            await world.take(1)
            await until(lambda: world.done == [0, 1, 1, 2])
        assert [rows for _, rows in contexts(world)] == [[], [0, 1], [0, 1], [10, 11]]
        assert [one.meta.last for one in world.outcomes()] == [0, 1, 1, 2]

    asyncio.run(scenario())


def test_each_partition_has_rows_before_its_frames_of_its_own() -> None:
    async def scenario() -> None:
        world = World(deployment=a_deployment(context_rows=2))
        world.send(2)
        records = world.broker.of(TELEMETRY)
        other = records[1].__class__(**{**vars(records[1]), "partition": 1, "offset": 0})
        async with world.running():
            await world.runner.take(Arrived(records[0], world.done))
            await world.runner.take(Arrived(other, world.done))
            await world.runner.take(Arrived(records[1], world.done))
            await until(lambda: len(world.done) == 3)
        assert [rows for _, rows in contexts(world)] == [[], [], [0, 1]]

    asyncio.run(scenario())


def test_passed_frames_are_left_to_whoever_gets_the_partition(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(module, "FLUSH_S", 0.001)
        world = World()
        world.send(2, asset="pump-3")
        await world.take()
        world.runner.moved()
        async with world.running():
            await asyncio.sleep(0.01)
            await settle()
        assert world.ranges() == []
        assert world.done == []

    asyncio.run(scenario())


def test_reading_rows_again_stops_where_every_machine_has_enough() -> None:
    async def scenario() -> None:
        world = World(deployment=a_deployment(context_rows=2))
        world.send(1200)
        world.send(1, asset="pump-2")
        world.send(3)
        async with world.running():
            await world.take(1203)
            await until(lambda: world.done == [1203])
        assert world.broker.reads == [(TELEMETRY, 1203 - 512, 1203)]
        assert contexts(world) == [("pump-1", [12020, 12021])]

    asyncio.run(scenario())


def test_the_line_stops_where_too_many_frames_are_refused_and_control_is_told() -> None:
    async def scenario() -> None:
        strict = a_plant().model_copy(update={"rejects": RejectLimit(share=0.2, last=10, at_least=3)})
        world = World(plant=strict)
        for number in range(8 + 2 * WINDOW):
            value = frame_bytes(number * 10) if number < 5 else b"nonsense"
            world.broker.append(TELEMETRY, value, key=b"pump-1", listed=arrow(f"f{number}"))
        async with world.running():
            taking = await waiting(world.take())
            await until(lambda: world.broker.of(topics.requests(PLANT)))
            await settle()
            assert not taking.done()
            (record,) = world.broker.of(topics.requests(PLANT))
            told = Request.model_validate_json(record.value or b"").command.rejections  # type: ignore[union-attr]
            assert (told.topic, told.rejected, told.of) == (TELEMETRY, 3, 8)
            assert told.reason == "not_readable"
            # What was in flight has its outcome and is acknowledged; nothing behind it is.
            assert world.done == list(range(len(world.done)))
            assert 8 <= len(world.done) <= 8 + WINDOW
            assert len(world.broker.of(REJECTED)) == len(world.done) - 5
            taking.cancel()

    asyncio.run(scenario())


def test_messages_of_unknown_machines_stop_the_line_and_those_of_others_do_not_hide_them() -> None:
    async def scenario() -> None:
        strict = a_plant().model_copy(update={"rejects": RejectLimit(share=0.2, last=10, at_least=3)})
        world = World(plant=strict)
        for number in range(30):
            asset = b"pump-3" if number % 2 else b"pump-9"
            world.broker.append(TELEMETRY, frame_bytes(number * 10), key=asset, listed=arrow(f"f{number}"))
        async with world.running():
            taking = await waiting(world.take())
            await until(lambda: world.broker.of(topics.requests(PLANT)))
            assert not taking.done()
            taking.cancel()

    asyncio.run(scenario())
