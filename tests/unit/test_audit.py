"""The measurement looks at itself: gaps that stay open and rows that do not add up are told, and told again when healed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agents import scorer as module
from agents.audit import GAP_S, uneven, unfilled
from agents.scores import new_book
from infra.state import StateFiles
from infra.words.said import said
from schemas.evaluation import Counts, Evaluation
from schemas.pairing import Pairing
from schemas.requests import ReportAudit, Request
from streams.ledger import Book
from tests.unit import ledger_examples as examples
from tests.unit.test_metrics_page import evaluation
from tests.unit.test_scorer import REQUESTS, World, start
from tests.unit.twins import CANDIDATE, PAIRING, a_pairing, until

OPEN_MS = GAP_S * 1000


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LOOK_S", 0), ("CADENCE_S", 0), ("WAIT_S", 0.002)):
        monkeypatch.setattr(module, name, value)


def told(world: World) -> list[ReportAudit]:
    asked = (Request.model_validate_json(one.value or b"").command for one in world.broker.of(REQUESTS))
    return [one for one in asked if isinstance(one, ReportAudit)]


def a_book(*offsets: int, ms: int = 0) -> Book:
    """A book whose candidate answered the frames at these offsets, one after the other."""
    book = new_book(PAIRING)
    for number, entry in enumerate([start(), *(examples.outcome(one, answers=[1]) for one in offsets)]):
        book.fold(entry, offset=number, digest=bytes(32), at_ms=ms + number)
    return book


# --- the fold ---------------------------------------------------------------------------------------------------------


def test_a_gap_is_open_until_the_expected_offset_has_moved_past_it() -> None:
    book = a_book(0, 2, 3)
    run = book.runs[CANDIDATE]
    assert [(gap.offset, gap.until, gap.since_ms) for gap in run.open_gaps().values()] == [(1, 4, 2)]
    book.fold(examples.outcome(1, answers=[1]), offset=4, digest=bytes(32))
    assert run.open_gaps()
    book.fold(examples.outcome(2, answers=[1]), offset=5, digest=bytes(32))
    assert run.open_gaps()
    book.fold(examples.outcome(3, answers=[1]), offset=6, digest=bytes(32))
    assert run.open_gaps() == {}
    assert run.tally.gaps == 2


def test_each_gap_has_a_time_of_its_own() -> None:
    book = a_book(0, 2, 1, 2)
    book.fold(examples.outcome(7, answers=[1]), offset=9, digest=bytes(32), at_ms=500)
    run = book.runs[CANDIDATE]
    assert [(gap.offset, gap.until, gap.since_ms) for gap in run.open_gaps().values()] == [(3, 8, 500)]


def test_a_gap_that_the_end_lies_before_is_none() -> None:
    book = a_book(0, 5)
    book.fold(examples.ended(1), offset=9, digest=bytes(32))
    assert book.runs[CANDIDATE].open_gaps() == {}


def test_what_was_passed_over_is_in_no_score_and_in_no_chain() -> None:
    late, never = a_book(0, 2, 1, ms=5), a_book(0, 1, ms=999)
    assert late.chain == never.chain
    assert late.entries == never.entries


def test_a_gap_is_an_alarm_after_its_time_and_its_words_stay_the_same() -> None:
    book = a_book(0, 2)
    runs = list(book.runs.values())
    assert unfilled(runs, at_ms=1 + OPEN_MS) == ()
    (alarm,) = unfilled(runs, at_ms=2 + OPEN_MS)
    book.fold(examples.outcome(7, answers=[1]), offset=9, digest=bytes(32), at_ms=8)
    assert unfilled(runs, at_ms=10 * OPEN_MS) == (alarm,)
    assert CANDIDATE in alarm and "offset 1 of telemetry partition 0" in alarm
    assert said(alarm).ko != alarm


def test_rows_that_do_not_add_up_are_an_alarm() -> None:
    whole = evaluation(3, scored=20)
    assert uneven([whole]) == ()
    broken = whole.model_copy(update={"counts": Counts(rows_in=20, scored=20, failed=3)})
    (alarm,) = uneven([whole, broken])
    assert alarm == "the rows of t2q-v1 do not add up: 20 came in, 23 are accounted for"
    assert said(alarm).ko != alarm


# --- in service -------------------------------------------------------------------------------------------------------


def test_an_open_gap_is_told_once_and_again_when_it_is_healed() -> None:
    async def scenario() -> None:
        world = World()
        world.write(start(), examples.outcome(0, answers=[1]), examples.outcome(2, answers=[1]))
        async with world.running():
            await world.caught_up()
            assert told(world) == []
            world.now = OPEN_MS
            await until(lambda: told(world))
            (first,) = told(world)
            assert first.pairing == PAIRING and len(first.alarms) == 1
            world.board.show(alarmed(first.alarms))
            await world.caught_up()
            world.write(*(examples.outcome(one, answers=[1]) for one in (1, 2)), ms=OPEN_MS)
            await world.caught_up()
            await until(lambda: len(told(world)) == 2)
            await world.caught_up()
        assert [one.alarms for one in told(world)] == [first.alarms, ()]

    asyncio.run(scenario())


def alarmed(alarms: tuple[str, ...]) -> Pairing:
    return a_pairing().model_copy(update={"alarms": alarms, "fact": 9})


def test_a_gap_is_remembered_by_a_scorer_that_was_started_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(state=StateFiles(tmp_path, module.topics.ledger("plant-1")))
        world.write(start(), examples.outcome(0, answers=[1]), examples.outcome(2, answers=[1]), ms=7)
        async with world.running():
            await world.caught_up()
            world.now = OPEN_MS + 7
            await until(lambda: told(world))
        (first,) = told(world)
        again = World(
            broker=world.broker,
            state=StateFiles(tmp_path, module.topics.ledger("plant-1")),
            pairing=alarmed(first.alarms),
            now_ms=OPEN_MS + 8,
        )
        again._fed = 3
        again.scorer.assigned([0])
        async with again.running():
            await until(lambda: again.scorer._partitions and again.scorer._looked)
            await again.caught_up()
            assert len(told(again)) == 1
            again.write(*(examples.outcome(one, answers=[1]) for one in (1, 2)))
            await again.caught_up()
            await until(lambda: len(told(again)) == 2)
        assert told(again)[-1].alarms == ()

    asyncio.run(scenario())


def test_a_gap_whose_end_stands_behind_what_is_folded_is_no_alarm() -> None:
    """A scorer that was away reads old entries: by the clock each of their gaps would have been open for long."""

    async def scenario() -> None:
        world = World(now_ms=100 * OPEN_MS)
        world.write(start(), examples.outcome(0, answers=[1]), examples.outcome(2, answers=[1]))
        filled = [examples.outcome(one, answers=[1]) for one in (1, 2)]
        async with world.running():
            await world.feed()
            world.write(*filled)
            await until(lambda: world.done == [0, 1, 2])
            for _ in range(20):
                await asyncio.sleep(0.002)
            assert told(world) == []
            await world.caught_up()
        assert told(world) == []

    asyncio.run(scenario())


def test_rows_that_do_not_add_up_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "evaluations", lost(module.evaluations))

    async def scenario() -> None:
        world = World()
        world.write(start(), examples.outcome(0, answers=[1, 0]))
        async with world.running():
            await world.caught_up()
            await until(lambda: told(world))
        assert told(world)[0].alarms == ("the rows of t2q-v1 do not add up: 3 came in, 2 are accounted for",)

    asyncio.run(scenario())


def lost(real: Any) -> Any:
    """Evaluations of which a row has gone missing."""

    def found(*args: Any, **more: Any) -> list[Evaluation]:
        return list(_each(real(*args, **more)))

    def _each(found: list[Evaluation]) -> Iterator[Evaluation]:
        for one in found:
            counts = one.counts.model_copy(update={"rows_in": one.counts.rows_in + 1})
            yield one.model_copy(update={"counts": counts})

    return found
