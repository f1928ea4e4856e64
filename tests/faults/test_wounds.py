"""Wounds made on purpose in copies of a whole trial: the checker finds them, and the platform's own audit where it can see them."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from agents import scorer as module
from agents.audit import DIFFERS, GAP_S, uneven, unfilled
from agents.scorer import Scorer
from agents.scores import digest_of, evaluations, new_book, read_entry
from infra.state import StateFiles
from schemas.base import Offsets
from schemas.evaluation import Verdict
from schemas.events import Fact, PairingConcluded
from schemas.pairing import Pairing
from schemas.requests import ReportAudit, Request
from streams import topics
from streams.envelope import RawRecord
from streams.ledger import Book
from streams.lifecycle import Installation
from streams.run import Run
from tests.faults.checker import Report, check
from tests.faults.checker_ledger import Walk
from tests.faults.checker_records import Entry, entries_of, with_words
from tests.faults.checker_topics import Json, Message, Records
from tests.unit.twins import Board, Broker, Crash, until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def whole(killed: tuple[Json, Records]) -> Records:
    """A trial of which nothing is missing."""
    told, records = killed
    assert not told["findings"], told
    return records


def pairing_of(records: Records) -> str:
    return next(one.key for one in records.ledger if one.key is not None)


def checked(records: Records) -> Report:
    return check(records, pairing_of(records))


def counting(records: Records, candidate: str = "peak") -> list[Entry]:
    """The outcomes of a candidate that count."""
    walk = Walk.over(entries_of(records.ledger, pairing_of(records)))
    found = next(one for one in walk.deployments.values() if candidate in one.name)
    return list(found.outcomes.values())


def without(records: Records, gone: Entry) -> Records:
    """The records without an entry, also where a worker that was killed left it to be written again."""
    every = entries_of(records.ledger, pairing_of(records))
    places = {one.message.place for one in every if said(one) == said(gone)}
    return records.but(ledger=[one for one in records.ledger if one.place not in places])


def said(entry: Entry) -> tuple[object, ...]:
    """What an entry is about: a label by where it came from, an outcome by its frame."""
    told = entry.told
    return told["kind"], *(told.get(name) for name in ("deployment", "partition", "last", "source"))


def later(records: Records, entry: Message) -> Records:
    """An entry written down just before the one that closes the ledger, under an offset that no other entry has."""
    last = next(n for n, one in enumerate(records.ledger) if b'"closed"' in one.value)
    again = replace(entry, offset=records.ledger[-1].offset + 1)
    return records.but(ledger=[*records.ledger[:last], again, *records.ledger[last:]])


def raw(message: Message, topic: str) -> RawRecord:
    return RawRecord(
        topic=topic,
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=message.at_ms,
        key=None if message.key is None else message.key.encode(),
        value=message.value,
        headers=tuple((name, text.encode()) for name, text in message.headers.items()),
    )


def folded(records: Records) -> Book:
    """The platform's own fold of a ledger."""
    name = pairing_of(records)
    book = new_book(name)
    for message in records.ledger:
        record = raw(message, topics.ledger(records.plant))
        read = read_entry(record)
        if isinstance(read, tuple) and read[0] == name and not book.closed:
            book.fold(read[1], offset=record.offset, digest=digest_of(record), at_ms=record.timestamp_ms)
    return book


def published(records: Records, book: Book) -> Records:
    """The records with what the platform would publish of a ledger."""
    closed = next(one for one in records.ledger if b'"closed"' in one.value)
    found = evaluations(
        book, partition=closed.partition, offset=closed.offset, at_ms=closed.at_ms, final=True
    )
    told = [
        replace(closed, key=f"{one.pairing}/{one.candidate}", value=one.to_json(), headers={})
        for one in found
    ]
    return records.but(evaluations=told)


# --- the checker ------------------------------------------------------------------------------------------------------


def test_nothing_is_found_where_nothing_is_wrong(whole: Records, tmp_path: Path) -> None:
    report = checked(whole)
    assert report.findings == []
    assert report.byte_equal
    assert report.figures["outcomes"] == report.figures["due"] > 900
    whole.save(tmp_path / "dump.jsonl")
    assert checked(Records.load(tmp_path / "dump.jsonl")).findings == []
    assert checked(published(whole, folded(whole))).findings == []


def test_an_outcome_that_is_missing_from_the_ledger_is_found(whole: Records) -> None:
    for at in (0, 100, -1):
        report = checked(without(whole, counting(whole)[at]))
        assert report.figures["lost"] >= 1
        assert not report.byte_equal


def test_an_outcome_for_another_frame_is_found(whole: Records) -> None:
    entry = counting(whole)[7]
    ledger = [
        with_words(entry, frame="m1-9999", appended_ms=0) if one.place == entry.message.place else one
        for one in whole.ledger
    ]
    report = checked(whole.but(ledger=ledger))
    assert any("another frame, appended_ms" in text for text in report.findings)


def test_an_answer_that_the_model_does_not_give_is_found(whole: Records) -> None:
    entry = next(one for one in counting(whole) if one.told["result"] == "answered")
    report = checked(
        whole.but(ledger=[turned(entry) if one.place == entry.message.place else one for one in whole.ledger])
    )
    assert any("other answers than its model gives" in text for text in report.findings)


def turned(entry: Entry) -> Message:
    """An outcome whose first answer is the other class."""
    batch = pa.ipc.open_stream(entry.message.value).read_next_batch()
    answers = np.array(entry.columns["answer_0"])
    answers[0] = 1.0 - answers[0]
    at = batch.schema.names.index("answer_0")
    columns = [pa.array(answers) if n == at else one for n, one in enumerate(batch.columns)]
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=batch.schema))
    return replace(entry.message, value=bytes(sink.getvalue()))


def test_a_failure_without_a_cause_is_found(whole: Records) -> None:
    entry = next(one for one in counting(whole, "moody") if one.told["result"] == "failed")
    ledger = [
        with_words(entry, failure=None) if one.place == entry.message.place else one for one in whole.ledger
    ]
    assert any("without a cause" in text for text in checked(whole.but(ledger=ledger)).findings)


def test_a_double_count_that_was_patched_in_is_found(whole: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    report = checked(published(whole, doubled(whole, monkeypatch)))
    assert report.figures["twice"] >= 1
    assert not report.byte_equal


def doubled(records: Records, monkeypatch: pytest.MonkeyPatch) -> Book:
    """The fold of a platform that counts one frame twice."""
    take: Callable[..., object] = Run.take

    def twice(run: Run, outcome: object, truth: object) -> object:
        rows = take(run, outcome, truth)
        if len(run.kept) == 40:
            run.tally.count(outcome.meta, 1)  # type: ignore[attr-defined]
        return rows

    with monkeypatch.context() as patched:
        patched.setattr(Run, "take", twice)
        return folded(records)


def test_a_label_that_is_folded_twice_or_left_out_is_found(whole: Records) -> None:
    walk = Walk.over(entries_of(whole.ledger, pairing_of(whole)))
    label = next(one for one in walk.labels if one.kind == "label" and one.told.get("code") is not None)
    left_out = checked(without(whole, label))
    assert left_out.figures["labels_lost"] == 1
    source = {**label.told["source"], "offset": label.told["source"]["offset"] + 100_000}
    again = checked(later(whole, with_words(label, source=source)))
    assert again.figures["labels_twice"] == 1
    # The same version once more is no harm: it is known by its place.
    assert checked(published(later(whole, label.message), folded(whole))).figures["labels_twice"] == 0


def test_a_label_that_was_sent_again_after_its_rejection_is_the_one_that_stood_there_first(
    whole: Records,
) -> None:
    first = whole.labels[0]
    origin = f"fp.labels.{whole.plant}:{first.partition}:{first.offset}"
    again = replace(
        first, offset=first.offset + 10_000, headers={**first.headers, "fp_replayed_from": origin}
    )
    found = checked(whole.but(labels=[*whole.labels, again]))
    assert (found.figures["labels_lost"], found.figures["labels_twice"]) == (0, 0)


def test_rows_that_do_not_add_up_are_found_in_any_evaluation(whole: Records) -> None:
    first = whole.evaluations[0]
    told = json.loads(first.value)
    told["counts"]["rows_in"] += 1
    report = checked(
        whole.but(evaluations=[replace(first, value=json.dumps(told).encode()), *whole.evaluations[1:]])
    )
    assert any("do not add up" in text for text in report.findings)


def test_a_figure_that_was_altered_is_found(whole: Records) -> None:
    last = whole.verdicts[-1]
    told = json.loads(last.value)
    told["evaluation"]["metrics"]["f1"] += 1e-9
    report = checked(
        whole.but(verdicts=[*whole.verdicts[:-1], replace(last, value=json.dumps(told).encode())])
    )
    assert not report.byte_equal


# --- the platform's own audit -----------------------------------------------------------------------------------------


def test_the_fold_notices_an_outcome_that_is_missing_as_a_gap_that_stays_open(whole: Records) -> None:
    book = folded(without(whole, counting(whole)[20]))
    gone = next(run for name, run in book.runs.items() if "peak" in name)
    assert not gone.complete()
    last_ms = whole.ledger[-1].at_ms
    assert any("peak" in text for text in unfilled(book.runs.values(), at_ms=last_ms + GAP_S * 1000))
    assert not unfilled(folded(whole).runs.values(), at_ms=last_ms + GAP_S * 1000)


def test_the_law_of_counts_notices_a_double_count(whole: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    found = evaluations(doubled(whole, monkeypatch), partition=0, offset=0, at_ms=0, final=False)
    assert uneven(found)
    assert not uneven(evaluations(folded(whole), partition=0, offset=0, at_ms=0, final=False))


class Told:
    """Labels of which every one stands in the ledger."""

    def taken(self, pairing: str, ends: Offsets) -> bool:
        return True


def closing_pairing(records: Records) -> Pairing:
    """The pairing as its workers saw it last, before its verdicts."""
    state = Installation()
    for one in records.events:
        fact = Fact.model_validate_json(one.value)
        if isinstance(fact.body, PairingConcluded) and fact.body.pairing == pairing_of(records):
            break
        state.fold(fact)
    return state.pairings[pairing_of(records)]


async def scored(records: Records, state: Path, *, end: int | None = None) -> Broker:
    """A scorer that is started with a state file, and reads the ledger up to an entry, or to its close."""
    broker, ledger = Broker(), topics.ledger(records.plant)
    broker.topics[ledger] = [raw(one, ledger) for one in records.ledger][:end]
    files = StateFiles(state, ledger)
    scorer = Scorer(
        records.plant,
        sender=broker,
        log=broker,
        board=Board(closing_pairing(records)),
        labels=Told(),  # type: ignore[arg-type]
        state=files,
        crash=Crash(),
        now_ms=lambda: 0,
    )
    scorer.assigned([0])
    working = asyncio.ensure_future(scorer.background())
    wanted = len(broker.topics[ledger])
    try:
        await until(lambda: StateFiles(state, ledger).load(0).position >= wanted)
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
    return broker


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cadences are for people; nothing is closed before its time."""
    monkeypatch.setattr(module, "WAIT_S", 0.002)
    monkeypatch.setattr(module, "LOOK_S", 10**9)


def verdicts(broker: Broker, plant: str) -> list[Verdict]:
    return [Verdict.model_validate_json(one.value or b"") for one in broker.of(topics.verdicts(plant))]


def alarms(broker: Broker, plant: str) -> list[str]:
    asked = [Request.model_validate_json(one.value or b"") for one in broker.of(topics.requests(plant))]
    return [text for one in asked if isinstance(one.command, ReportAudit) for text in one.command.alarms]


def test_a_state_file_that_was_rolled_back_is_caught_up_from_the_ledger(
    whole: Records, tmp_path: Path, at_once: None
) -> None:
    async def scenario() -> None:
        old, state = tmp_path / "old", tmp_path / "state"
        await scored(whole, state, end=len(whole.ledger) // 3)
        shutil.copytree(state, old)
        await scored(whole, state, end=2 * len(whole.ledger) // 3)
        broker = await scored(whole, old)
        found = {one.candidate: one for one in verdicts(broker, whole.plant)}
        assert found and alarms(broker, whole.plant) == []
        for message in whole.verdicts:
            assert found[message.json()["candidate"]].to_json() == message.value

    asyncio.run(scenario())


def test_a_state_file_of_which_a_part_was_rolled_back_is_noticed_at_the_close(
    whole: Records, tmp_path: Path, at_once: None
) -> None:
    async def scenario() -> Broker:
        state = tmp_path / "state"
        await scored(whole, state, end=2 * len(whole.ledger) // 3)
        with closing(sqlite3.connect(state / "ledger-0.sqlite")) as db, db:
            middle = db.execute("SELECT max(offset) / 2 FROM entries").fetchone()[0]
            # The entries of an older file under the position of a newer one.
            db.execute("DELETE FROM entries WHERE offset > ?", (middle,))
        return await scored(whole, state)

    broker = asyncio.run(scenario())
    found = verdicts(broker, whole.plant)
    assert found and not any(one.recomputed_equal for one in found)
    assert DIFFERS in alarms(broker, whole.plant)
    # What is published is the fold of the ledger all the same; and the checker sees that the platform was in doubt.
    told = [
        replace(whole.verdicts[0], key=f"{one.pairing}/{one.candidate}", value=one.to_json()) for one in found
    ]
    report = checked(whole.but(verdicts=told))
    assert report.byte_equal
    assert any("own recomputation differed" in text for text in report.findings)
