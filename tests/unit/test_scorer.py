"""The scorer: scores are the fold of the ledger, whatever happens to the process and its state file."""

from __future__ import annotations

import asyncio
import copy
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agents import scorer as module
from agents.scorer import Folded, Scorer
from agents.scores import evaluations, measures_for, new_book
from infra.state import StateFiles
from schemas.base import Offsets
from schemas.evaluation import Evaluation, Outcome, Verdict
from schemas.ledger import Closed, Ended, Started, Tick
from schemas.pairing import Pairing, Phase
from schemas.rejected import Rejected
from schemas.requests import ReportAudit, ReportConclusion, ReportEnded, ReportRehearsal, Request
from streams import topics
from streams.ledger import Book
from streams.ledger_codec import Entry, decode, encode
from streams.tally import Noise
from tests.unit import ledger_examples as examples
from tests.unit import trial_examples as trials
from tests.unit.twins import (
    CANDIDATE,
    DAY_MS,
    PAIRING,
    PLANT,
    Board,
    Broker,
    Crash,
    Crashed,
    MemoryState,
    a_deployment,
    a_pairing,
    an_agreement,
    arrivals_of,
    ended,
    settle,
    until,
)

LEDGER, LABELS = topics.ledger(PLANT), topics.labels(PLANT)
EVALUATIONS, VERDICTS = topics.evaluations(PLANT), topics.verdicts(PLANT)
REQUESTS, REJECTED = topics.requests(PLANT), topics.rejected(PLANT)


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cadences are for people; the tests wait for facts."""
    monkeypatch.setattr(module, "LOOK_S", 0)
    monkeypatch.setattr(module, "CADENCE_S", 0)
    monkeypatch.setattr(module, "WAIT_S", 0.002)
    monkeypatch.setattr(module, "GATHER_S", 0)


class Told:
    """What of the labels stands in the ledger, as the test says; in the place of the labels agent."""

    def __init__(self) -> None:
        self.upto = 10**9
        self.asked: list[tuple[str, Offsets]] = []

    def taken(self, pairing: str, ends: Offsets) -> bool:
        self.asked.append((pairing, ends))
        return all(end <= self.upto for end in ends.values())


class World:
    """A scorer with everything around it; started again by making another from its parts."""

    def __init__(
        self,
        *,
        broker: Broker | None = None,
        state: Any = None,
        pairing: Pairing | None = None,
        now_ms: int = 0,
    ) -> None:
        self.now = now_ms
        self.broker = broker or Broker()
        self.state = MemoryState() if state is None else state
        self.board = Board(*([pairing] if pairing else [a_pairing()]))
        self.told = Told()
        self.crash = Crash()
        self.done: list[int] = []
        self.scorer = Scorer(
            PLANT,
            sender=self.broker,
            log=self.broker,
            board=self.board,
            labels=self.told,  # type: ignore[arg-type]
            state=self.state,
            crash=self.crash,
            now_ms=lambda: self.now,
        )
        self._fed = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        working = asyncio.ensure_future(self.scorer.background())
        try:
            yield self
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    def write(self, *entries: Entry, ms: int = 0) -> None:
        for entry in entries:
            key, value, listed = encode(entry, source="/test", ident="x")
            self.broker.append(LEDGER, value, key=key, listed=listed, at_ms=ms)

    async def feed(self, first: int | None = None) -> None:
        """Hand out what stands in the ledger, from where it stopped or from an offset on."""
        records = self.broker.of(LEDGER)[self._fed if first is None else first :]
        self._fed = len(self.broker.of(LEDGER))
        await self.scorer.process(arrivals_of(records, self.done))

    async def caught_up(self) -> None:
        """Everything that stands in the ledger is handed out and acknowledged, also what this makes it say."""

        for _ in range(6):
            new = self._fed < len(self.broker.of(LEDGER))
            await self.feed()
            await until(lambda: not new or self.done[-1:] == [self._fed - 1])  # noqa: B023
            await asyncio.sleep(0.004)

    def kinds(self) -> list[type]:
        return [type(decode(one)) for one in self.broker.of(LEDGER)]

    def evaluations(self) -> list[Evaluation]:
        return [Evaluation.model_validate_json(one.value or b"") for one in self.broker.of(EVALUATIONS)]

    def verdicts(self) -> list[Verdict]:
        return [Verdict.model_validate_json(one.value or b"") for one in self.broker.of(VERDICTS)]


def start() -> Started:
    return examples.started(an_agreement())


def a_trial() -> list[Entry]:
    """Three frames, all labelled, a duplicate, and an end."""
    return [
        start(),
        examples.outcome(0, answers=[1, 0]),
        examples.outcome(1, answers=[1]),
        examples.outcome(1, answers=[0]),
        examples.label(0, 0, 1500, 1),
        examples.outcome(2, answers=[0, float("nan")]),
        examples.label(1, 1500, 2500, 0),
        examples.ended(3),
    ]


def test_scores_are_published_with_the_place_in_the_ledger_that_they_speak_of() -> None:
    async def scenario() -> None:
        world = World()
        world.write(*a_trial()[:5], ms=3)
        async with world.running():
            await world.feed()
            await until(lambda: world.done == [0, 1, 2, 3, 4])
        last = world.evaluations()[-1]
        assert (last.pairing, last.candidate, last.final, last.baseline) == (PAIRING, "t2q-v1", False, False)
        assert (last.ledger_partition, last.ledger_offset) == (0, 4)
        assert last.at.timestamp() == 0.003
        assert last.confusion["anomaly/anomaly"] == 2
        assert last.audit.duplicates == 1
        assert world.broker.of(EVALUATIONS)[-1].key == f"{PAIRING}/t2q-v1".encode()

    asyncio.run(scenario())


def test_a_candidate_is_published_once_in_a_second_and_then_as_it_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [100.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    monkeypatch.setattr(module, "CADENCE_S", 1.0)

    async def scenario() -> None:
        world = World()
        async with world.running():
            for entry in a_trial()[:4]:
                world.write(entry)
                await world.caught_up()
                clock[0] += 0.3
            assert [one.ledger_offset for one in world.evaluations()] == [0]
            clock[0] += 0.1
            await until(lambda: len(world.evaluations()) > 1)
        assert [one.ledger_offset for one in world.evaluations()] == [0, 3]

    asyncio.run(scenario())


def test_entries_are_acknowledged_in_order_and_after_they_are_written_down() -> None:
    async def scenario() -> None:
        world = World()
        world.write(*a_trial())
        saved = world.state.save

        def save(partition: int, **what: Any) -> None:
            assert world.done == []
            saved(partition, **what)

        world.state.save = save
        async with world.running():
            await world.feed()
            await until(lambda: len(world.done) == 8)
        assert world.done == list(range(8))
        assert world.state.position == 8
        assert 3 not in world.state.entries

    asyncio.run(scenario())


def test_a_state_file_that_cannot_be_written_ends_the_process_and_acknowledges_nothing() -> None:
    async def scenario() -> None:
        world = World()
        world.write(*a_trial())
        world.state.broken = True
        await world.feed()
        with pytest.raises(Crashed):
            await asyncio.wait_for(world.scorer.background(), 5)
        assert world.done == []

    asyncio.run(scenario())


@pytest.mark.parametrize("topic", [EVALUATIONS, VERDICTS, REQUESTS])
def test_a_broker_that_refuses_what_is_published_ends_the_process_and_acknowledges_nothing(
    topic: str,
) -> None:
    async def scenario() -> None:
        world = World(pairing=ended(a_pairing(), 3))
        world.write(*a_trial(), Closed(pairing=PAIRING))
        world.broker.refuses = {topic}
        await world.feed()
        with pytest.raises(Crashed):
            await asyncio.wait_for(world.scorer.background(), 5)
        assert world.done == []
        assert world.state.position == 0

    asyncio.run(scenario())


def test_a_verdict_is_published_once_everything_is_settled_and_before_the_close_is_acknowledged() -> None:
    async def scenario() -> None:
        world = World(pairing=ended(a_pairing(), 3))
        world.write(*a_trial()[:-1])
        async with world.running():
            await world.feed()
            await until(lambda: len(world.done) == 7)
            await asyncio.sleep(0.01)
            assert Closed not in world.kinds()
            world.write(examples.ended(3))
            await world.caught_up()
        assert world.kinds().count(Closed) == 1
        (verdict,) = world.verdicts()
        assert verdict.verdict is Outcome.REJECTED
        assert "not answered" in verdict.reason
        assert verdict.recomputed_equal
        assert verdict.evaluation.final
        assert verdict.evaluation == world.evaluations()[-1]
        assert verdict.evaluation.audit.duplicates == 1
        asked = [Request.model_validate_json(one.value or b"").command for one in world.broker.of(REQUESTS)]
        assert asked == [
            ReportEnded(pairing=PAIRING, deployment=f"{PAIRING}/t2q-v1"),
            ReportAudit(pairing=PAIRING),
            ReportConclusion(pairing=PAIRING, verdicts={"t2q-v1": Outcome.REJECTED}),
        ]
        assert world.state.closed == {PAIRING}
        assert world.state.entries == {}

    asyncio.run(scenario())


def test_a_pairing_that_still_runs_is_not_closed() -> None:
    async def scenario() -> None:
        world = World()
        world.write(*a_trial())
        async with world.running():
            await world.caught_up()
        assert Closed not in world.kinds()

    asyncio.run(scenario())


def test_a_correction_on_its_way_is_waited_for_before_the_close() -> None:
    async def scenario() -> None:
        world = World(pairing=ended(a_pairing(), 3))
        world.broker.append(LABELS, b"a correction")
        world.told.upto = 0
        world.write(*a_trial())
        async with world.running():
            await world.caught_up()
            assert Closed not in world.kinds()
            world.write(examples.label(2, 0, 1500, 0, ident="l0"))
            world.told.upto = 1
            # What comes after the look counts no more.
            world.broker.append(LABELS, b"another")
            await world.caught_up()
        assert world.kinds().count(Closed) == 1
        assert world.verdicts()[0].evaluation.audit.corrected == 3

    asyncio.run(scenario())


def test_what_comes_after_the_close_changes_nothing() -> None:
    async def scenario() -> None:
        world = World(pairing=ended(a_pairing(), 3))
        world.write(*a_trial())
        async with world.running():
            await world.caught_up()
            world.write(Closed(pairing=PAIRING), examples.label(9, 0, 10, 0), *a_trial())
            await world.caught_up()
        assert len(world.verdicts()) == 1
        assert world.evaluations()[-1].final

    asyncio.run(scenario())


def test_a_closed_pairing_stays_closed_after_a_restart() -> None:
    async def scenario() -> None:
        world = World(pairing=ended(a_pairing(), 3))
        world.write(*a_trial(), Closed(pairing=PAIRING))
        async with world.running():
            await world.caught_up()
        again = World(broker=world.broker, state=world.state, pairing=ended(a_pairing(), 3))
        again._fed = 9
        again.write(*a_trial(), Closed(pairing=PAIRING))
        async with again.running():
            await again.caught_up()
        assert len(again.verdicts()) == 1

    asyncio.run(scenario())


def results(world: World) -> list[bytes]:
    return [(one.key or b"") + (one.value or b"") for one in world.broker.of(VERDICTS)]


def test_a_restart_at_any_entry_with_any_state_file_gives_the_same_verdict() -> None:
    async def scenario() -> None:
        straight = World(pairing=ended(a_pairing(), 3))
        entries: list[Entry] = [
            *a_trial()[:4],
            examples.covered(2, 2),
            examples.outcome(2, answers=[1]),
            *a_trial()[4:7],
            examples.ended(3),
            examples.watermark(3, 9000),
            examples.label(4, 1000, 1001, 0),
            examples.tick(5),
        ]
        straight.write(*entries)
        states: list[MemoryState] = []
        async with straight.running():
            for offset in range(len(entries)):
                states.append(copy.deepcopy(straight.state))
                await straight.scorer.process(
                    arrivals_of(straight.broker.of(LEDGER)[offset : offset + 1], straight.done)
                )
                await until(lambda wanted=offset: straight.done[-1:] == [wanted])  # type: ignore[misc]
            straight._fed = len(entries)
            await straight.caught_up()
        wanted = results(straight)
        assert len(wanted) == 1
        # Acknowledged up to `position`; the file knows less, as much, or more.
        for position in range(len(entries)):
            for known in {0, position, max(0, position - 2), min(len(entries) - 1, position + 3)}:
                again = World(pairing=ended(a_pairing(), 3), state=copy.deepcopy(states[known]))
                again.broker.topics[LEDGER] = list(straight.broker.of(LEDGER)[: len(entries)])
                again._fed = position
                async with again.running():
                    await again.caught_up()
                assert results(again) == wanted, (position, known)
                assert again.verdicts()[0].recomputed_equal

    asyncio.run(scenario())


def test_a_crash_while_the_verdict_is_published_publishes_the_same_again() -> None:
    async def scenario() -> None:
        world = World(pairing=ended(a_pairing(), 3))
        world.write(*a_trial(), Closed(pairing=PAIRING))
        world.broker.refuses = {REQUESTS}
        await world.feed()
        with pytest.raises(Crashed):
            await asyncio.wait_for(world.scorer.background(), 5)
        world.broker.refuses = set()
        again = World(broker=world.broker, state=world.state, pairing=ended(a_pairing(), 3))
        async with again.running():
            await again.caught_up()
        first, second = results(again)
        assert first == second
        asked = [
            Request.model_validate_json(one.value or b"").command.kind for one in world.broker.of(REQUESTS)
        ]
        assert asked == ["report_audit", "report_conclusion"]

    asyncio.run(scenario())


def test_an_idle_scorer_that_starts_again_still_lets_deadlines_pass_and_closes() -> None:
    async def scenario() -> None:
        pairing = ended(a_pairing(), 1)
        world = World(pairing=pairing)
        world.write(start(), examples.outcome(0, answers=[1]), examples.ended(1))
        async with world.running():
            await world.caught_up()
        assert Closed not in world.kinds()
        again = World(broker=world.broker, state=world.state, pairing=pairing, now_ms=DAY_MS + 2)
        again._fed = 3
        again.scorer.assigned([0])
        async with again.running():
            await until(lambda: Tick in again.kinds())
            await again.caught_up()
        assert again.kinds()[3:] == [Tick, Closed]
        assert again.verdicts()[0].verdict is Outcome.INCONCLUSIVE
        assert again.verdicts()[0].evaluation.counts.unlabelled == 1

    asyncio.run(scenario())


def test_partitions_that_moved_away_are_left_alone() -> None:
    async def scenario() -> None:
        world = World()
        world.scorer.assigned([0])
        world.write(start())
        async with world.running():
            await until(lambda: world.state.position == 1)
            world.scorer.moved()
            world.write(*a_trial()[1:], Closed(pairing=PAIRING))
            await asyncio.sleep(0.02)
            assert world.scorer._partitions == {}
            world.scorer.assigned([0])
            await until(lambda: world.state.position == 9)
        assert len(world.verdicts()) == 1

    asyncio.run(scenario())


def test_a_deadline_passes_only_when_the_labels_before_it_stand_in_the_ledger() -> None:
    async def scenario() -> None:
        world = World(now_ms=DAY_MS)
        world.broker.append(LABELS, b"a label")
        world.told.upto = 0
        world.write(start(), examples.outcome(0, answers=[1]))
        async with world.running():
            await world.caught_up()
            # Not one millisecond early.
            assert world.told.asked == []
            world.now = DAY_MS + 1
            await until(lambda: world.told.asked)
            await asyncio.sleep(0.01)
            assert Tick not in world.kinds()
            world.now = DAY_MS + 500
            world.told.upto = 1
            await until(lambda: Tick in world.kinds())
        (tick,) = [one for one in map(decode, world.broker.of(LEDGER)) if isinstance(one, Tick)]
        # The moment at which the ends of the labels were looked at, not the later one.
        assert tick.at_ms == DAY_MS + 1
        assert world.told.asked[0] == (PAIRING, {0: 1})

    asyncio.run(scenario())


def test_a_deadline_passes_once() -> None:
    async def scenario() -> None:
        world = World(now_ms=DAY_MS + 7)
        world.write(start(), examples.outcome(0, answers=[1]))
        async with world.running():
            await world.caught_up()
            await asyncio.sleep(0.02)
        assert world.kinds().count(Tick) == 1
        assert world.evaluations()[-1].counts.unlabelled == 1

    asyncio.run(scenario())


def test_a_running_state_that_differs_from_the_ledger_is_reported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of the fold, put in here: one frame is counted twice while it runs."""

    async def scenario() -> None:
        world = World(pairing=ended(a_pairing(), 3))
        world.write(*a_trial())
        taken = Folded.take

        def twice(self: Folded, record: Any) -> Any:
            found = taken(self, record)
            if record.offset == 1:
                self.books[PAIRING].runs[CANDIDATE].tally.rows_in += 2
            return found

        monkeypatch.setattr(Folded, "take", twice)
        async with world.running():
            await world.caught_up()
        (verdict,) = world.verdicts()
        assert not verdict.recomputed_equal
        # What is published is what the ledger says.
        assert verdict.evaluation.counts.rows_in == 5
        assert "differs" in caplog.text

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        (PAIRING.encode(), b"nonsense", "fieldproof.ledger.entry"),
        (PAIRING.encode(), b"nonsense", "fieldproof.ledger.outcome"),
        (PAIRING.encode(), b"{}", "something else"),
        (b"another", start().to_json(), "fieldproof.ledger.entry"),
        (b"\xff", start().to_json(), "fieldproof.ledger.entry"),
    ],
)
def test_a_ledger_entry_that_is_none_is_kept_and_stops_nothing(key: bytes, value: bytes, kind: str) -> None:
    async def scenario() -> None:
        world = World(pairing=ended(a_pairing(), 3))
        world.broker.append(LEDGER, value, key=key, listed=[("ce_type", kind.encode())])
        world.write(*a_trial())
        async with world.running():
            await world.caught_up()
        (kept,) = world.broker.of(REJECTED)
        assert (kept.value, kept.header("fp_topic")) == (value, LEDGER)
        assert world.verdicts()[0].recomputed_equal

    asyncio.run(scenario())


def test_pairings_in_one_ledger_do_not_see_each_other() -> None:
    async def scenario() -> None:
        world = World(pairing=ended(a_pairing(), 3))
        for entry in a_trial():
            world.write(entry)
            other = entry
            if isinstance(entry, Started | Ended):
                other = entry.model_copy(update={"pairing": "other-1"})
            world.write(other)
        world.board.show(a_pairing(ident="other-1"))
        async with world.running():
            await world.caught_up()
        assert [one.pairing for one in world.verdicts()] == [PAIRING]
        assert {one.pairing for one in world.evaluations()} == {PAIRING, "other-1"}

    asyncio.run(scenario())


def test_the_scores_of_a_pairing_do_not_depend_on_the_batches_in_which_they_are_folded() -> None:
    async def scenario() -> None:
        found = []
        for step in (1, 3, 100):
            world = World(pairing=ended(a_pairing(), 3))
            world.write(*a_trial())
            async with world.running():
                for first in range(0, 8, step):
                    await world.scorer.process(
                        arrivals_of(world.broker.of(LEDGER)[first : first + step], world.done)
                    )
                    await settle()
                    await asyncio.sleep(0.003)
                world._fed = 8
                await world.caught_up()
            found.append(results(world))
        assert found[0] == found[1] == found[2]

    asyncio.run(scenario())


# --- the state on disk ----------------------------------------------------------------------------------------------


def test_the_state_file_holds_what_the_twin_holds(tmp_path: Path) -> None:
    async def scenario() -> None:
        files, twin = StateFiles(tmp_path, LEDGER), MemoryState()
        for state in (files, twin):
            world = World(state=state)
            world.write(*a_trial()[:6])
            async with world.running():
                await world.feed()
                await until(lambda there=world: len(there.done) == 6)  # type: ignore[misc]
        assert StateFiles(tmp_path, LEDGER).load(0) == twin.load(0)
        assert twin.load(0).noise == {CANDIDATE: Noise(duplicates=1)}

    asyncio.run(scenario())


@pytest.mark.parametrize("damage", ["missing", "empty", "half", "zeros", "other version", "text"])
def test_a_state_file_that_is_damaged_is_folded_anew_from_the_ledger(tmp_path: Path, damage: str) -> None:
    async def scenario() -> None:
        pairing = ended(a_pairing(), 3)
        world = World(state=StateFiles(tmp_path, LEDGER), pairing=pairing)
        world.write(*a_trial()[:6])
        async with world.running():
            await world.feed()
            await until(lambda: len(world.done) == 6)
        world.state._open.pop(0).close()
        path = tmp_path / "ledger-0.sqlite"
        content = path.read_bytes()
        match damage:
            case "missing":
                path.unlink()
            case "empty":
                path.write_bytes(b"")
            case "half":
                path.write_bytes(content[: len(content) // 2])
            case "zeros":
                path.write_bytes(content[:100] + bytes(len(content) - 100))
            case "text":
                path.write_bytes(b"this is no database, " * 100)
            case _:
                db = sqlite3.connect(path)
                db.execute("PRAGMA user_version = 99")
                db.commit()
                db.close()
        again = World(broker=world.broker, state=StateFiles(tmp_path, LEDGER), pairing=pairing)
        again._fed = 6
        again.write(*a_trial()[6:])
        async with again.running():
            await again.caught_up()
        (verdict,) = again.verdicts()
        assert verdict.recomputed_equal
        assert verdict.evaluation.audit.duplicates == 1

    asyncio.run(scenario())


def test_a_closed_pairing_leaves_only_its_name_in_the_state_file(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(state=StateFiles(tmp_path, LEDGER), pairing=ended(a_pairing(), 3))
        world.write(*a_trial())
        async with world.running():
            await world.caught_up()
        kept = StateFiles(tmp_path, LEDGER).load(0)
        assert (list(kept.entries), kept.closed) == ([], frozenset({PAIRING}))
        assert kept.position == len(world.broker.of(LEDGER))

    asyncio.run(scenario())


def test_an_entry_of_another_key_is_no_entry() -> None:
    folded = Folded(partition=0)
    key, value, listed = encode(start(), source="/test", ident="x")
    record = Broker().append(LEDGER, value, key=b"another", listed=listed)
    assert isinstance(folded.take(record), Rejected)
    assert folded.books == {}
    assert new_book(key.decode()).entries == 0


def test_one_evaluation_a_candidate_stands_of_its_trial_or_else_of_its_last_rehearsal() -> None:
    """Its rehearsals have the same name: beside the trial's scores theirs would be taken for them."""
    first, second = (f"{CANDIDATE}.rehearsal-{number}" for number in (1, 2))

    def rows(number: int) -> list[int]:
        book = Book(pairing=PAIRING, measures_for=measures_for)
        entries: list[Entry] = []
        for place, name in enumerate([first, second, CANDIDATE][:number]):
            phase = "trial" if name == CANDIDATE else "rehearsal"
            begun = examples.started(examples.agreement(), deployment=name).model_copy(
                update={"phase": phase}
            )
            answers = [0.0] * (place + 1)
            entries += [begun, examples.outcome(place, answers=answers, first=0, deployment=name)]
        for offset, entry in enumerate(entries):
            book.fold(entry, offset=offset, digest=bytes(32))
        found = evaluations(book, partition=0, offset=9, at_ms=0, final=False)
        assert [one.candidate for one in found] == ["t2q-v1"]
        return [found[0].counts.rows_in, found[0].phase == "trial"]

    assert [rows(number) for number in (1, 2, 3)] == [[1, False], [2, False], [3, True]]


# --- the decision by units --------------------------------------------------------------------------------------------


def by_units(*, partitions: int = 1) -> tuple[Pairing, list[Entry]]:
    """A trial that units decide: its pairing while it closes, and its ledger."""
    agreed = trials.agreement(planned=40, answers=("normal",))
    subjects = (("baselines", agreed.baselines[0].name), ("first", "first"))
    deployments = tuple(
        a_deployment().model_copy(
            update={"id": f"{PAIRING}/{name}", "subjects": (subject,), "until": {0: 41, 1: 0}}
        )
        for name, subject in subjects
    )
    pairing = a_pairing(*deployments, phase=Phase.CLOSING, agreed=agreed)
    entries: list[Entry] = [trials.started(agreed, partitions=partitions)]
    entries.append(trials.started(agreed, subject="first", partitions=partitions))
    for i in range(41):
        entries += trials.pair(i, [i * trials.MINUTE_US], [[0]], [1], appended_ms=i)
        entries.append(examples.label(i, i * trials.MINUTE_US, (i + 1) * trials.MINUTE_US, 1))
    return pairing, entries


def test_a_trial_that_units_decide_ends_in_a_verdict_that_holds_at_any_time() -> None:
    async def scenario() -> None:
        pairing, entries = by_units()
        world = World(pairing=pairing)
        world.write(*entries, *trials.ends(41))
        async with world.running():
            await world.caught_up()
            await until(lambda: len(world.verdicts()) == 1)
        (verdict,) = world.verdicts()
        assert (verdict.verdict, verdict.guarantee) == (Outcome.ACCEPTED, "anytime_valid")
        assert verdict.recomputed_equal
        assert verdict.decision is not None
        assert (verdict.decision.units, verdict.decision.planned) == (40, 40)
        assert [one.rival for one in verdict.decision.comparisons] == ["baseline-0"]
        running = [one for one in world.evaluations() if one.candidate == "first"]
        assert running[-1].decision == verdict.decision
        assert all(one.decision is None for one in world.evaluations() if one.baseline)

    asyncio.run(scenario())


def test_the_ledger_is_told_of_silent_partitions_while_units_wait_for_them() -> None:
    async def scenario() -> None:
        pairing, entries = by_units(partitions=2)
        open_ = tuple(one.model_copy(update={"until": None}) for one in pairing.deployments)
        running = pairing.model_copy(update={"phase": Phase.RUNNING, "deployments": open_})
        world = World(pairing=running, now_ms=module.PASSED_MS)
        for i in range(41):
            world.broker.append(topics.telemetry(PLANT), b"", at_ms=i)
        world.write(*entries)
        async with world.running():
            await world.feed()
            await until(lambda: Tick in world.kinds())
            await world.caught_up()
            told = [one.decision for one in world.evaluations() if one.decision is not None]
            await until(lambda: told[-1].units == 40)
        (tick,) = (one for one in map(decode, world.broker.of(LEDGER)) if isinstance(one, Tick))
        assert tick.telemetry == {0: 41}

    asyncio.run(scenario())


def test_a_rehearsal_is_reported_once_with_what_it_says_of_units_and_rule() -> None:
    async def scenario() -> None:
        pairing, entries = by_units()
        rehearsing = pairing.model_copy(
            update={
                "phase": Phase.REHEARSING,
                "rehearsals": 1,
                "deployments": tuple(
                    one.model_copy(update={"phase": "rehearsal", "until": {0: 41}})
                    for one in pairing.deployments
                ),
            }
        )
        world = World(pairing=rehearsing)
        world.write(*entries, *trials.ends(41))
        async with world.running():
            await world.caught_up()
            await until(lambda: bool(reports(world, ReportRehearsal)))
            await world.caught_up()
        (report,) = reports(world, ReportRehearsal)
        found = report.rehearsal
        assert (found.constant, found.passed) == (1.0, False)
        assert found.units is not None
        assert found.units.units == 41
        assert found.check is not None
        assert found.check.events == 1
        assert "the rule cannot be checked with 1 labelled events: at least 10 are needed" in found.remarks

    asyncio.run(scenario())


def reports(world: World, kind: type[Any]) -> list[Any]:
    """What control was told, of one kind."""
    requests = [Request.model_validate_json(one.value or b"") for one in world.broker.of(REQUESTS)]
    return [one.command for one in requests if isinstance(one.command, kind)]
