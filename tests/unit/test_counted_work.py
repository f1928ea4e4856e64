"""What a frame costs, counted instead of timed: messages, sends, copies and calls.

A timing says little on a machine that does something else as well; how often anything is called is the same everywhere.
The bounds are what was counted plus a tenth. Who means to spend more on every frame raises them knowingly.
"""

from __future__ import annotations

import asyncio
import sys
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from agents.scorer import Folded
from infra.sandbox.wire import Wire
from models import child
from schemas.agreement import Task
from streams import topics
from streams.envelope import LEDGER_OUTCOME
from streams.frames import encode_frame
from streams.ledger_codec import Entry, encode
from tests.unit import ledger_examples as examples
from tests.unit.test_runner import World as Answering
from tests.unit.test_scorer import World as Scoring
from tests.unit.twins import PLANT, Arrived, Broker, MemoryState, a_deployment, arrow, until

TELEMETRY, LEDGER = topics.telemetry(PLANT), topics.ledger(PLANT)
TAGS = ("Pressure", "Current")

#: Frames before anything is counted, and those that are.
WARM, FRAMES = 64, 256

#: Calls of Python functions and of C functions that a frame may cost.
RUNNER_CALLS, SCORER_CALLS, CHILD_CALLS = 370, 605, 157


class Calls:
    """Calls while it counts, in this thread."""

    def __init__(self) -> None:
        self.count = 0

    def _one(self, frame: Any, event: str, argument: Any) -> None:
        self.count += event in ("call", "c_call")

    @contextmanager
    def counting(self) -> Any:
        sys.setprofile(self._one)
        try:
            yield self
        finally:
            sys.setprofile(None)


def frame(number: int, rows: int) -> bytes:
    rng = np.random.default_rng(number)
    times = (number * rows + np.arange(rows)) * 1_000_000
    return encode_frame(times, {tag: rng.normal(size=rows) for tag in TAGS})


# --- the runner -----------------------------------------------------------------------------------------------------


async def answered(rows: int, work: Callable[[Answering], Awaitable[None]]) -> Answering:
    """A runner with frames in front of it, the first of them done."""
    world = Answering(deployment=a_deployment())
    for number in range(WARM + FRAMES):
        world.broker.append(TELEMETRY, frame(number, rows), key=b"pump-1", listed=arrow(f"f{number}"))
    async with world.running():
        await world.take(0, WARM)
        await until(lambda: len(world.done) == WARM)
        await work(world)
    return world


async def take_the_rest(world: Answering) -> None:
    await world.take(WARM)
    await until(lambda: len(world.done) == WARM + FRAMES)


def runner_calls(rows: int) -> float:
    calls = Calls()

    async def counted(world: Answering) -> None:
        with calls.counting():
            await take_the_rest(world)

    asyncio.run(answered(rows, counted))
    return calls.count / FRAMES


def test_a_frame_is_one_question_one_message_and_one_acknowledgement() -> None:
    world = asyncio.run(answered(50, take_the_rest))
    outcomes = [one for one in world.broker.of(LEDGER) if one.header("ce_type") == LEDGER_OUTCOME]
    assert len(outcomes) == len(world.asking.asked) == len(world.done) == WARM + FRAMES
    assert {topic: len(there) for topic, there in world.broker.topics.items()} == {
        TELEMETRY: WARM + FRAMES,
        LEDGER: WARM + FRAMES,
    }


def test_a_frame_reaches_the_candidate_in_the_memory_in_which_it_came() -> None:
    world = asyncio.run(answered(50, take_the_rest))
    for asked, record in zip(world.asking.asked, world.broker.of(TELEMETRY), strict=True):
        assert asked.payload is record.value


def test_the_runner_calls_as_often_for_a_thousand_rows_as_for_fifty() -> None:
    few, many = runner_calls(50), runner_calls(1000)
    assert few <= RUNNER_CALLS
    assert many <= few * 1.02


# --- the wire and the child -----------------------------------------------------------------------------------------


class Socket:
    """Takes everything at once, and remembers in whose memory it lay."""

    def __init__(self) -> None:
        self.sent: list[list[object]] = []

    def setblocking(self, on: bool) -> None: ...

    def setsockopt(self, *given: int) -> None: ...

    def sendmsg(self, parts: Any) -> int:
        self.sent.append([part.obj for part in parts])
        return sum(len(part) for part in parts)


def test_a_request_is_one_call_of_the_kernel_and_nothing_of_it_is_put_together_before() -> None:
    end, parts = Socket(), (b"header", b"pump-1", frame(1, 500))
    assert Wire(end).send(*parts)  # type: ignore[arg-type]
    assert [[id(one) for one in sent] for sent in end.sent] == [[id(one) for one in parts]]


def a_child(predict: Callable[[pd.DataFrame], np.ndarray]) -> child.Candidate:
    """A loaded candidate."""
    loaded = child.Candidate.__new__(child.Candidate)
    loaded._columns, loaded._header = [(tag, "double") for tag in TAGS], pd.Index(TAGS)
    loaded._special, loaded._plain, loaded.n_columns = {"ts": False, "asset": False}, True, 1
    loaded._answers = child.Answers(Task.REGRESSION, [], score=False)
    loaded._predict = predict
    return loaded


def ask(candidate: child.Candidate, payload: bytes, rows: int) -> None:
    candidate.predict("pump-1", memoryview(b""), 0, memoryview(payload), rows)


def child_calls(rows: int) -> int:
    answer, payload, calls = np.zeros(rows), frame(1, rows), Calls()
    candidate = a_child(lambda table: answer)
    ask(candidate, payload, rows)
    with calls.counting():
        ask(candidate, payload, rows)
    return calls.count


def test_the_child_calls_as_often_for_five_thousand_rows_as_for_fifty() -> None:
    few, many = child_calls(50), child_calls(5000)
    assert few <= CHILD_CALLS
    assert many == few


def test_the_child_copies_a_frame_once_on_its_way_to_the_model() -> None:
    rows, most = 5000, []
    answer, payload = np.zeros(rows), frame(1, rows)

    def predict(table: pd.DataFrame) -> np.ndarray:
        most.append(tracemalloc.get_traced_memory()[1] if tracemalloc.is_tracing() else 0)
        return answer

    candidate = a_child(predict)
    ask(candidate, payload, rows)
    tracemalloc.start()
    try:
        ask(candidate, payload, rows)
    finally:
        tracemalloc.stop()
    assert most[1] <= 8 * rows * len(TAGS) + 16_000


# --- the scorer -----------------------------------------------------------------------------------------------------


def entries(frames: int, rows: int) -> list[Entry]:
    """A regression of so many frames, every row labelled before it is answered."""
    found: list[Entry] = [examples.started(examples.agreement(task=Task.REGRESSION))]
    for number in range(frames):
        values = np.random.default_rng(number).normal(size=rows)
        outcome = examples.outcome(number, answers=values.tolist(), times=range(rows))
        labels = examples.label_frame(number, range(rows), (values + 0.5).tolist(), frame=outcome.meta.frame)
        found += [labels, outcome]
    return found


def fold_calls(rows: int) -> float:
    """Calls a frame: its labels and its outcome read, folded, and its rows scored."""
    broker, calls, folded = Broker(), Calls(), Folded(partition=0)
    records = []
    for entry in entries(WARM + FRAMES, rows):
        key, value, listed = encode(entry, source="/test", ident="x")
        records.append(broker.append(LEDGER, value, key=key, listed=listed))
    first = 1 + 2 * WARM
    for record in records[:first]:
        assert folded.take(record) is None
    folded.books[examples.PAIRING].settle()
    with calls.counting():
        for record in records[first:]:
            folded.take(record)
        folded.books[examples.PAIRING].settle()
    (standing,) = folded.books[examples.PAIRING].runs[examples.CANDIDATE].standings()
    assert standing.counts.scored == (WARM + FRAMES) * rows
    return calls.count / FRAMES


def test_the_scorer_calls_as_often_for_a_thousand_rows_as_for_fifty() -> None:
    few, many = fold_calls(50), fold_calls(1000)
    assert few <= SCORER_CALLS
    assert many <= few * 1.05


class Counted(MemoryState):
    """Remembers how often it was written."""

    saves = 0

    def save(self, partition: int, **given: Any) -> None:
        self.saves += 1
        super().save(partition, **given)


def test_what_comes_close_together_is_written_down_together_and_published_once() -> None:
    async def scenario() -> None:
        world = Scoring(state=Counted())
        world.write(*entries(FRAMES, 2))

        async def one_by_one() -> AsyncIterator[Arrived]:
            # As Faust hands messages out: others have their turn after each.
            for record in world.broker.of(LEDGER):
                yield Arrived(record, world.done)
                await asyncio.sleep(0)

        async with world.running():
            await world.scorer.process(one_by_one())
            await until(lambda: len(world.done) == 1 + 2 * FRAMES)
        assert world.state.saves <= FRAMES / 10
        assert len(world.evaluations()) <= world.state.saves

    asyncio.run(scenario())
