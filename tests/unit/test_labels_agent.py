"""The labels agent: every label stands in the ledger of every pairing that it is for, whenever that pairing came."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from agents import labels as module
from agents.labels import Labels
from agents.reports import Reports
from models.metrics import metrics_for
from schemas.ledger import Label, Watermark
from schemas.pairing import Pairing, Phase
from schemas.parties import Plant, RejectLimit
from schemas.requests import Request
from streams import topics
from streams.envelope import REPLAYED_HEADER
from streams.ledger import Book
from streams.ledger_codec import decode
from tests.unit.ledger_examples import outcome, standing, started
from tests.unit.twins import (
    PAIRING,
    PLANT,
    Board,
    Broker,
    Crash,
    Crashed,
    a_pairing,
    a_plant,
    an_agreement,
    arrivals_of,
    json_label,
    settle,
    until,
)

LABELS, LEDGER, REJECTED = topics.labels(PLANT), topics.ledger(PLANT), topics.rejected(PLANT)


class World:
    def __init__(self, *pairings: Pairing, plant: Plant | None = None) -> None:
        self.broker = Broker()
        self.board = Board(*pairings)
        self.crash = Crash()
        self.done: list[int] = []
        self.labels = Labels(
            plant or a_plant(),
            sender=self.broker,
            log=self.broker,
            board=self.board,
            reports=Reports(PLANT, sender=self.broker, source="/test", now_ms=lambda: 0),
            crash=self.crash,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        working = asyncio.ensure_future(self.labels.background())
        try:
            await settle()
            yield self
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    def tell(self, *records: dict[str, Any], asset: str = "pump-1") -> None:
        for record in records:
            value = json.dumps({"asset": asset, **record}).encode()
            at = len(self.broker.of(LABELS))
            self.broker.append(LABELS, value, key=asset.encode(), listed=json_label(f"l{at}"), at_ms=at)

    async def take(self, first: int = 0) -> None:
        await self.labels.process(arrivals_of(self.broker.of(LABELS)[first:], self.done))

    def entries(self, pairing: str = PAIRING) -> list[Any]:
        return [decode(one) for one in self.broker.of(LEDGER) if one.key == pairing.encode()]

    def offsets(self, pairing: str = PAIRING) -> list[int]:
        return [one.source.offset for one in self.entries(pairing)]


def point(ident: str, *, value: Any = "anomaly", second: int = 0) -> dict[str, Any]:
    return {"kind": "point", "id": ident, "ts": f"1970-01-01T00:00:{second:02}Z", "value": value}


def test_a_label_stands_in_the_ledger_with_its_code_and_its_source_before_it_is_acknowledged() -> None:
    async def scenario() -> None:
        world = World(a_pairing())
        async with world.running():
            world.broker.held = []
            world.tell(point("a"), {"kind": "watermark", "until": "1970-01-01T00:00:05Z"})
            await world.take()
            await settle()
            assert world.done == []
            world.broker.release()
            await until(lambda: world.done == [0, 1])
        label, watermark = world.entries()
        assert isinstance(label, Label)
        assert (label.code, label.start_us, label.end_us) == (1.0, 0, 1)
        assert (label.source.partition, label.source.offset, label.source.appended_ms) == (0, 0, 0)
        assert isinstance(watermark, Watermark)
        assert (watermark.until_us, watermark.source.appended_ms) == (5_000_000, 1)

    asyncio.run(scenario())


def test_a_pairing_that_appears_later_gets_what_was_labelled_before() -> None:
    async def scenario() -> None:
        world = World()
        async with world.running():
            world.tell(point("a"), point("b"), point("c"))
            await world.take()
            await until(lambda: world.done == [0, 1, 2])
            assert world.broker.of(LEDGER) == []
            world.board.show(a_pairing(labels_from=1))
            await until(lambda: world.labels.taken(PAIRING, {0: 3}))
            assert world.offsets() == [1, 2]
            world.tell(point("d"))
            assert not world.labels.taken(PAIRING, {0: 4})
            await world.take(3)
            await until(lambda: world.labels.taken(PAIRING, {0: 4}))
        assert world.offsets() == [1, 2, 3]

    asyncio.run(scenario())


def test_labels_are_caught_up_only_when_the_ledger_has_them() -> None:
    async def scenario() -> None:
        world = World()
        world.tell(point("a"))
        async with world.running():
            world.broker.held = []
            world.board.show(a_pairing())
            await until(lambda: world.offsets() == [0])
            await settle()
            assert not world.labels.taken(PAIRING, {0: 1})
            world.broker.release()
            await until(lambda: world.labels.taken(PAIRING, {0: 1}))
            assert not world.labels.taken("another", {0: 0})

    asyncio.run(scenario())


def test_a_long_history_is_read_in_blocks_and_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(module, "BLOCK", 10)
        world = World()
        world.tell(*(point(f"l{i}") for i in range(25)))
        async with world.running():
            world.board.show(a_pairing(labels_from=2))
            await until(lambda: world.labels.taken(PAIRING, {0: 25}))
        assert world.offsets() == list(range(2, 25))
        assert world.broker.reads == [(LABELS, 2, 12), (LABELS, 12, 22), (LABELS, 22, 25)]

    asyncio.run(scenario())


def test_labels_that_are_taken_twice_change_nothing() -> None:
    async def scenario() -> None:
        world = World(a_pairing())
        async with world.running():
            world.tell(point("a"), point("a", value="normal"), {"kind": "withdrawal", "id": "b"})
            await world.take()
            await world.take(1)
            await until(lambda: len(world.done) == 5)
        book = Book(pairing=PAIRING, measures_for=lambda entry: metrics_for(entry.agreement))
        start = started(an_agreement())
        entries = [start, outcome(0, answers=[1]), *world.entries()]
        counted = [book.fold(one, offset=i, digest=bytes(32)) for i, one in enumerate(entries)]
        assert counted == [True] * 5 + [False] * 2
        book.settle()
        assert standing(book).counts.scored == 1

    asyncio.run(scenario())


def test_a_label_goes_to_every_pairing_of_its_machine_and_to_no_other() -> None:
    async def scenario() -> None:
        agreed = an_agreement().model_copy(update={"assets": ("pump-2",)})
        world = World(a_pairing(), a_pairing(ident="other", agreed=agreed))
        async with world.running():
            world.tell(point("a"))
            world.tell(point("b"), asset="pump-2")
            world.tell(point("c"), asset="pump-3")
            await world.take()
            await until(lambda: len(world.done) == 3)
        assert (world.offsets(), world.offsets("other")) == ([0, 1], [1])
        assert world.broker.of(REJECTED) == []

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"{", "not_readable"),
        (b"", "not_readable"),
        (json.dumps({"asset": "pump-1", **point("a", value="broken")}).encode(), "wrong_value"),
        (json.dumps({"asset": "pump-1", **point("a", value=10**400)}).encode(), "wrong_value"),
        (json.dumps({"asset": "pump-2", **point("a")}).encode(), "unknown_asset"),
    ],
)
def test_a_label_that_is_none_is_kept_with_its_bytes_and_harms_no_neighbour(
    value: bytes, reason: str
) -> None:
    async def scenario() -> None:
        world = World(a_pairing())
        async with world.running():
            world.broker.append(LABELS, value, key=b"pump-1", listed=json_label("x"))
            world.tell(point("b"))
            await world.take()
            await until(lambda: world.done == [0, 1])
        (kept,) = world.broker.of(REJECTED)
        assert (kept.value, kept.header("fp_reason")) == (value, reason)
        assert world.offsets() == [1]

    asyncio.run(scenario())


def test_a_ledger_that_refuses_a_label_ends_the_process_and_acknowledges_nothing() -> None:
    async def scenario() -> None:
        world = World(a_pairing())
        working = asyncio.ensure_future(world.labels.background())
        await settle()
        world.tell(point("a"))
        world.broker.refuses = {LEDGER}
        await world.take()
        with pytest.raises(Crashed):
            await asyncio.wait_for(working, 5)
        assert world.done == []

    asyncio.run(scenario())


def test_a_sender_that_raises_ends_the_process_instead_of_leaving_the_agent() -> None:
    async def scenario() -> None:
        world = World(a_pairing())
        async with world.running():
            world.tell(point("a"))

            async def send(*args: object) -> Any:
                raise OSError("no producer")

            world.broker.send = send  # type: ignore[method-assign]
            with pytest.raises(Crashed):
                await world.take()
        assert world.done == []

    asyncio.run(scenario())


def test_a_history_that_cannot_be_read_ends_the_process() -> None:
    async def scenario() -> None:
        world = World(a_pairing())
        world.tell(point("a"))
        world.broker.refuses = {LABELS}
        with pytest.raises(Crashed):
            await asyncio.wait_for(world.labels.background(), 5)

    asyncio.run(scenario())


def test_a_concluded_pairing_gets_no_more_labels() -> None:
    async def scenario() -> None:
        world = World(a_pairing())
        async with world.running():
            world.board.show(a_pairing(phase=Phase.CONCLUDED, fact=9))
            await settle()
            world.tell(point("a"))
            await world.take()
            await until(lambda: world.done == [0])
        assert world.broker.of(LEDGER) == []

    asyncio.run(scenario())


def test_a_label_for_a_machine_that_nobody_knows_is_rejected_and_one_of_no_pairing_is_not() -> None:
    async def scenario() -> None:
        world = World(a_pairing())
        async with world.running():
            world.tell(point("a"), asset="pump-9")
            world.tell(point("b"), asset="pump-3")  # the plant's, in no agreement
            await world.take()
            await until(lambda: world.done == [0, 1])
        assert [one.key for one in world.broker.of(REJECTED)] == [f"{LABELS}:0:0".encode()]
        (kept,) = world.broker.of(REJECTED)
        assert kept.header("fp_reason") == "unknown_asset"
        assert "has no asset 'pump-9'; it has pump-1, pump-2, pump-3" in (kept.header("fp_detail") or "")
        assert world.broker.of(LEDGER) == []

    asyncio.run(scenario())


def test_a_machine_of_an_agreement_is_known_whatever_the_plant_says() -> None:
    async def scenario() -> None:
        bare = a_plant().model_copy(update={"assets": a_plant().assets[2:]})
        world = World(a_pairing(), plant=bare)
        async with world.running():
            world.tell(point("a"))
            await world.take()
            await until(lambda: world.done == [0])
        assert world.broker.of(REJECTED) == []
        assert world.offsets() == [0]

    asyncio.run(scenario())


def test_what_nobody_can_read_is_rejected_once_also_where_a_pairing_comes_later() -> None:
    async def scenario() -> None:
        world = World()
        async with world.running():
            world.tell({"kind": "nonsense"})
            await world.take()
            await until(lambda: world.done == [0])
            world.board.show(a_pairing())
            await until(lambda: world.labels.taken(PAIRING, {0: 1}))
        assert len(world.broker.of(REJECTED)) == 1

    asyncio.run(scenario())


STRICT = a_plant().model_copy(update={"rejects": RejectLimit(share=0.5, last=4, at_least=2)})
REQUESTS = topics.requests(PLANT)


def reports(world: World) -> list[Any]:
    return [Request.model_validate_json(one.value or b"").command for one in world.broker.of(REQUESTS)]


def test_the_line_stops_where_too_much_is_rejected_and_goes_on_once_it_is_resumed() -> None:
    async def scenario() -> None:
        world = World(a_pairing(), plant=STRICT)
        async with world.running():
            world.tell(point("a"), {"kind": "nonsense"}, point("b", value="odd"), point("c"), {"kind": "x"})
            taking = asyncio.ensure_future(world.take())
            await until(lambda: reports(world))
            await settle()
            # Two of three were rejected: what comes behind is neither taken nor rejected.
            assert world.done == [0, 1, 2]
            (report,) = reports(world)
            told = report.rejections
            assert (told.topic, told.rejected, told.of) == (LABELS, 2, 3)
            assert told.reason in ("not_readable", "wrong_value")
            world.board.show(a_pairing(fact=6).model_copy(update={"paused": True, "held": True}))
            await settle()
            assert world.done == [0, 1, 2]
            world.board.show(a_pairing(fact=7))
            await until(lambda: world.done == [0, 1, 2, 3, 4])
            await taking
        # One more bad one is no reason to stop again: the count began anew.
        assert len(reports(world)) == 1
        assert world.offsets() == [0, 3]

    asyncio.run(scenario())


def test_labels_wait_while_too_much_is_rejected_also_for_a_worker_that_starts_then() -> None:
    async def scenario() -> None:
        held = a_pairing().model_copy(update={"paused": True, "held": True})
        world = World(held, plant=STRICT)
        world.tell(point("a"), point("b"))
        async with world.running():
            taking = asyncio.ensure_future(world.take())
            await settle()
            assert (world.done, world.broker.of(LEDGER)) == ([], [])
            assert not world.labels.taken(PAIRING, {0: 1})
            world.board.show(a_pairing(fact=6))
            await until(lambda: world.labels.taken(PAIRING, {0: 2}))
            await taking
        assert sorted(set(world.offsets())) == [0, 1]

    asyncio.run(scenario())


def test_labels_go_on_while_the_owner_pauses_the_telemetry() -> None:
    async def scenario() -> None:
        world = World(a_pairing().model_copy(update={"paused": True}), plant=STRICT)
        world.tell(point("a"))
        async with world.running():
            await world.take()
            await until(lambda: world.done == [0])
        assert world.offsets()[:1] == [0]

    asyncio.run(scenario())


def test_what_is_right_for_one_pairing_stops_nothing() -> None:
    async def scenario() -> None:
        numbers = an_agreement().model_copy(update={"classes": ("normal", "odd")})
        world = World(a_pairing(), a_pairing(ident="other-1", agreed=numbers), plant=STRICT)
        async with world.running():
            world.tell(*(point(f"l{i}", value="odd") for i in range(8)))
            await world.take()
            await until(lambda: len(world.done) == 8)
        assert reports(world) == []
        assert len(world.broker.of(REJECTED)) == 8

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("named", "stands"),
    [
        (f"{LABELS}:0:1", 1),
        (f"{LABELS}:0:3", 3),
        # Nothing that a sender writes there puts a label before or behind where it may stand.
        (f"{LABELS}:0:9", 3),
        (f"{LABELS}:1:1", 3),
        (f"{topics.telemetry(PLANT)}:0:1", 3),
        (f"{LABELS}:0:-1", 3),
        (f"{LABELS}:0:{'9' * 30}", 3),
        ("nowhere", 3),
    ],
)
def test_a_label_that_is_replayed_stands_where_it_stood_first(named: str, stands: int) -> None:
    async def scenario() -> None:
        world = World(a_pairing())
        async with world.running():
            world.tell(point("x"), point("a"), point("a", value="normal"))
            again = json.dumps({"asset": "pump-1", **point("a")}).encode()
            listed = [*json_label("l1"), (REPLAYED_HEADER, named.encode())]
            world.broker.append(LABELS, again, key=b"pump-1", listed=listed, at_ms=9)
            await world.take()
            await until(lambda: len(world.done) == 4)
        assert world.offsets() == [0, 1, 2, stands]
        assert world.entries()[3].source.appended_ms == 9

    asyncio.run(scenario())
