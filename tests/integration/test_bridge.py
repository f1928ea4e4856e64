"""Rows from a topic of single messages into frames, on a real broker: each exactly once, in order, whatever is killed."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer

from infra.bridge.bridge import Bridge
from infra.bridge.framed import Source
from infra.bridge.job import Job, Note, Report, TooManyRejected
from infra.bridge.layout import Clock, Layout
from infra.errors import BrokerUnavailable, TopicMissing
from infra.kafka import admin as kafka_admin
from infra.kafka.broker import EmbeddedKafka
from infra.ports import free_ports
from infra.rejected import gather
from schemas.parties import Asset, Plant, RejectLimit, Tag
from streams import topics
from streams.envelope import RawRecord
from streams.frames import Frame, decode_frame
from streams.topics import TopicSpec
from tests.integration.commands import Running, run, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ASSETS, TAGS = ("m1", "m2", "m3", "설비4"), ("x", "y")
BEGIN_MS = 1_772_452_800_000
ROW = tuple[int, float, float]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


class Line:
    """A plant, a topic of rows for it, and what became of them."""

    def __init__(self, broker: EmbeddedKafka, name: str, *, partitions: int = 2) -> None:
        self.bootstrap, self.name, self.topic = broker.bootstrap, name, f"{name}.raw"
        self.plant = Plant(
            id=name,
            name=name,
            owner="maker",
            partitions=2,
            assets=tuple(Asset(name=asset) for asset in ASSETS),
            tags=tuple(Tag(name=tag) for tag in TAGS),
        )
        kafka_admin.ensure_topics(self.bootstrap, topics.of_plant(name, 2))
        self.partitions = partitions
        self.make_topic()
        self.sent: dict[str, list[ROW]] = defaultdict(list)
        self.bad: set[str] = set()

    def make_topic(self) -> None:
        kafka_admin.ensure_topics(
            self.bootstrap, [TopicSpec(name=self.topic, partitions=self.partitions, config={})]
        )

    def send(self, count: int, *, bad_every: int = 0, stop: threading.Event | None = None) -> None:
        """Send so many rows, all of them numbered by their time; some cannot be read."""
        producer = KafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5)
        done = []
        for _ in range(count):
            number = sum(map(len, self.sent.values()))
            asset = ASSETS[number % 7 % len(ASSETS)]
            row = (BEGIN_MS + number, float(number), number / 7)
            self.sent[asset].append(row)
            value = {"ts": row[0], "x": row[1], "y": row[2]}
            producer.send(self.topic, key=asset.encode(), value=json.dumps(value).encode())
            if bad_every and number % bad_every == 0:
                done.append(producer.send(self.topic, key=asset.encode(), value=b'{"ts": "soon"}'))
            if stop is not None and number % 100 == 0 and stop.wait(0.005):
                break
        producer.flush()
        for one in done:
            place = one.get(timeout=10)
            self.bad.add(f"{place.topic}:{place.partition}:{place.offset}")
        producer.close()

    def job(self, **changes: Any) -> Job:
        layout = Layout(assets=ASSETS, fields={tag: tag for tag in TAGS}, clock=Clock.MILLIS)
        given: dict[str, Any] = {
            "topic": self.topic, "source": self.bootstrap, "target": self.bootstrap, "plant": self.plant,
            "layout": layout, "limit": self.plant.rejects, "until_end": True, "age_s": 0.2,
        }  # fmt: skip
        return Job(**(given | changes))

    def bridge(self, **changes: Any) -> Report:
        return asyncio.run(Bridge(self.job(**changes)).run())

    def command(self, tmp_path: Path, *options: str) -> list[str]:
        path = tmp_path / f"{self.name}.yaml"
        path.write_text(self.plant.model_dump_json(exclude_none=True), encoding="utf-8")
        return [
            "bridge", "rows", "--from", self.topic, "--plant-file", str(path), "--ts", "ms", "--age", "100ms", "--json", *options,
        ]  # fmt: skip

    def running(self, tmp_path: Path, *options: str) -> Running:
        return Running(tmp_path, *self.command(tmp_path, *options), KAFKA_BOOTSTRAP_SERVERS=self.bootstrap)

    # --- what is there --------------------------------------------------------------------------------------------

    def messages(self) -> list[RawRecord]:
        return list(kafka_admin.read_all(self.bootstrap, topics.telemetry(self.name)))

    def frames(self) -> list[Frame]:
        """The frames, each id once, as the platform counts them."""
        found = [decode_frame(record, tags=TAGS) for record in self.messages()]
        assert all(isinstance(one, Frame) for one in found), found
        once: dict[str, Frame] = {}
        for one in found:
            if isinstance(one, Frame):
                once.setdefault(one.ident, one)
        return list(once.values())

    def arrived(self) -> dict[str, list[ROW]]:
        rows: dict[str, list[ROW]] = defaultdict(list)
        for frame in self.frames():
            columns = [frame.batch.column(tag).to_pylist() for tag in TAGS]
            rows[frame.asset] += zip((frame.times() // 1000).tolist(), *columns, strict=True)
        return rows

    def rejected(self) -> set[str]:
        return set(gather(kafka_admin.read_all(self.bootstrap, topics.rejected(self.name))))

    def ends(self) -> int:
        return sum(kafka_admin.end_offsets(self.bootstrap, topics.telemetry(self.name)).values())

    def check(self) -> None:
        """Every row of the source stands in one frame, in its order; everything else was rejected, once."""
        arrived = self.arrived()
        for asset in ASSETS:
            assert arrived[asset] == self.sent[asset], _difference(arrived[asset], self.sent[asset])
        assert self.rejected() == self.bad


def framed(bridge: Running) -> int:
    """Rows that a running bridge has told of."""
    return max((one.get("rows", 0) for one in bridge.records), default=0)


def _difference(arrived: Sequence[ROW], sent: Sequence[ROW]) -> str:
    twice = len(arrived) - len(set(arrived))
    return f"{len(set(sent) - set(arrived))} rows lost, {twice} twice, in order: {list(arrived) == sorted(arrived)}"


# --- nothing is lost, nothing counts twice --------------------------------------------------------------------------


def test_every_row_stands_in_one_frame_in_order_though_the_bridge_is_killed_at_random_moments(
    broker: EmbeddedKafka, tmp_path: Path
) -> None:
    line, random = Line(broker, "killed"), Random(7)
    stop = threading.Event()
    load = threading.Thread(target=line.send, args=(200_000,), kwargs={"bad_every": 997, "stop": stop})
    load.start()
    skipped = 0
    try:
        for _ in range(4):
            # Frames of another size each time: no frame ends where one did before.
            bridge = line.running(tmp_path, "--rows", str(random.randint(20, 60)))
            # Once it is at work: at any point of a frame's way, and of a commit's.
            until = line.ends() + random.randint(1, 1000)
            wait_for(lambda until=until: line.ends() >= until, "frames", alive=bridge.alive)
            bridge.process.kill()
            bridge.end()
            skipped += max((one["skipped"] for one in bridge.records if "skipped" in one), default=0)
    finally:
        stop.set()
        load.join()
    last = run(
        tmp_path,
        *line.command(tmp_path, "--rows", "50", "--until-end"),
        KAFKA_BOOTSTRAP_SERVERS=line.bootstrap,
    )
    assert last.code == 0, last.err
    line.check()
    # What was tried is what happened: rows were framed and not committed when a bridge was killed.
    assert skipped + last.records[-1]["skipped"] > 0
    assert last.records[-1]["behind"] == 0


def test_every_row_stands_in_one_frame_though_the_broker_is_killed(tmp_path: Path) -> None:
    own = EmbeddedKafka(tmp_path / "kafka")
    own.start()
    try:
        line = Line(own, "broken")
        line.send(50_000, bad_every=997)
        bridge = line.running(tmp_path, "--rows", "5")
        wait_for(lambda: framed(bridge), "rows", alive=bridge.alive)
        own.kill()
        assert framed(bridge) < 50_000
        own.start_again()
        wait_for(lambda: framed(bridge) == 50_000, "all rows", alive=bridge.alive)
        bridge.process.send_signal(signal.SIGTERM)
        assert bridge.end().code == 0
        line.check()
    finally:
        own.stop()


def test_a_bridge_that_is_told_to_end_sends_what_it_holds_and_leaves_nothing_to_look_for(
    broker: EmbeddedKafka, tmp_path: Path
) -> None:
    line = Line(broker, "ended")
    line.send(1_000)
    bridge = line.running(tmp_path, "--age", "10min")
    # Nothing is full yet but what 1,000 rows fill: the rest is held.
    wait_for(
        lambda: any(one.get("behind") == 0 for one in bridge.records),
        "it to have read all",
        alive=bridge.alive,
    )
    bridge.process.send_signal(signal.SIGTERM)
    ended = bridge.end(timeout_s=15)
    assert ended.code == 0, ended.err
    assert ended.records[-1]["kind"] == "report" and ended.records[-1]["rows"] == 1_000
    line.check()
    assert line.bridge() == Report(rows=0, frames=0, rejected=0, skipped=0, behind=0)


def test_two_bridges_share_the_partitions_and_one_takes_over_what_the_other_leaves(
    broker: EmbeddedKafka, tmp_path: Path
) -> None:
    line = Line(broker, "shared", partitions=4)
    stop = threading.Event()
    load = threading.Thread(target=line.send, args=(200_000,), kwargs={"stop": stop})
    load.start()
    try:
        first = line.running(tmp_path)
        wait_for(lambda: framed(first), "rows", alive=first.alive)
        second = line.running(tmp_path)
        wait_for(lambda: framed(second), "rows", alive=second.alive)
        first.process.send_signal(signal.SIGINT)
        assert first.end().code == 0
    finally:
        stop.set()
        load.join()
    left = sum(map(len, line.sent.values())) - framed(first)
    wait_for(lambda: framed(second) == left, "the rest of the rows", alive=second.alive)
    second.process.send_signal(signal.SIGTERM)
    assert second.end().code == 0
    line.check()


def test_rows_whose_commits_the_broker_forgot_are_found_in_their_frames(broker: EmbeddedKafka) -> None:
    line = Line(broker, "forgotten")
    line.send(2_000)
    line.bridge()
    line.send(500)
    admin = KafkaAdminClient(bootstrap_servers=line.bootstrap)
    admin.delete_groups([line.job().group])
    admin.close()
    notes: list[Note] = []
    report = asyncio.run(Bridge(line.job(), note=notes.append).run())
    assert (report.rows, report.skipped) == (500, 2_000)
    assert [one.kind for one in notes] == ["looking"]
    line.check()


def test_a_topic_that_was_made_anew_has_other_rows(broker: EmbeddedKafka) -> None:
    line = Line(broker, "anew")
    line.send(300)
    line.bridge()
    admin = KafkaAdminClient(bootstrap_servers=line.bootstrap)
    admin.delete_topics([line.topic])
    admin.close()
    wait_for(lambda: _gone(line), "the topic to be gone")
    line.make_topic()
    line.send(300)
    assert line.bridge().rows == 300
    line.check()


def _gone(line: Line) -> bool:
    try:
        kafka_admin.topic_id(line.bootstrap, line.topic)
    except TopicMissing:
        return True
    return False


def test_only_a_few_messages_are_looked_through_at_a_start(
    broker: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = Line(broker, "looked")
    line.send(3_000)
    line.bridge(rows=10)
    looked: list[int] = []

    def counted(self: Source, records: Any, since: Any) -> Any:
        listed = list(records)
        looked.append(len(listed))
        return {}

    monkeypatch.setattr(Source, "framed", counted)
    line.send(10)
    line.bridge()
    assert looked == [0]


# --- frames ---------------------------------------------------------------------------------------------------------


def test_frames_are_cut_by_size_and_the_rest_by_age(broker: EmbeddedKafka, tmp_path: Path) -> None:
    line = Line(broker, "cut", partitions=1)
    line.send(1_000)
    bridge = line.running(tmp_path, "--rows", "100")
    wait_for(lambda: sum(frame.rows for frame in line.frames()) == 1_000, "all rows", alive=bridge.alive)
    bridge.stop()
    sizes = defaultdict(list)
    for frame in line.frames():
        sizes[frame.asset].append(frame.rows)
    for asset, rows in line.sent.items():
        assert sizes[asset] == [100] * (len(rows) // 100) + [len(rows) % 100][: len(rows) % 100]
    line.check()


def test_a_frame_says_what_it_holds(broker: EmbeddedKafka) -> None:
    line = Line(broker, "said", partitions=1)
    line.send(14)
    line.bridge()
    ident = kafka_admin.topic_id(line.bootstrap, line.topic)
    found = {(one.key or b"").decode(): one for one in line.messages()}
    # Rows 0, 4, 7 and 11 are of the first machine.
    assert found["m1"].header("fp_source") == f"said.raw@{ident}:0:0-11"
    assert found["m1"].header("ce_source") == "/plants/said"
    assert found["m1"].ident == Source(topic="said.raw", ident=ident).frame_id(0, "m1", 0, 11)


def test_rows_that_came_before_may_be_left_out(broker: EmbeddedKafka) -> None:
    line = Line(broker, "newest")
    line.send(100)
    assert line.bridge(newest=True).rows == 0
    line.sent.clear()
    line.send(50)
    assert line.bridge(newest=True).rows == 50
    line.check()


# --- what cannot be taken -------------------------------------------------------------------------------------------


def test_bad_rows_are_kept_with_their_origin_and_the_others_go_on(broker: EmbeddedKafka) -> None:
    line = Line(broker, "bad")
    line.send(3_000, bad_every=100)
    notes: list[Note] = []
    report = asyncio.run(Bridge(line.job(), note=notes.append).run())
    assert (report.rows, report.rejected) == (3_000, 30)
    assert [(one.kind, one.record["reason"]) for one in notes] == [("rejection", "wrong_time")]
    line.check()


def test_too_many_bad_rows_stop_it_before_them_and_none_is_lost_once_the_cause_is_mended(
    broker: EmbeddedKafka,
) -> None:
    line = Line(broker, "wrong", partitions=1)
    line.send(200)
    seconds = Layout(assets=ASSETS, fields={tag: tag for tag in TAGS}, clock=Clock.SECONDS)
    with pytest.raises(
        TooManyRejected, match=r"20 of the last 20 rows .* wrong:raw:0:19".replace("wrong:", "wrong.")
    ) as told:
        line.bridge(layout=seconds)
    assert "is --ts right?" in told.value.words.en and "--max-rejected" in told.value.words.ko
    assert line.bridge().rows == 200
    line.check()
    line.send(100)
    assert line.bridge(layout=seconds, limit=RejectLimit(share=1)).rejected == 100


def test_an_unknown_field_is_told_once(broker: EmbeddedKafka) -> None:
    line = Line(broker, "unknown")
    line.send(100)
    notes: list[Note] = []
    only_x = Layout(assets=ASSETS, fields={"x": "x"}, clock=Clock.MILLIS)
    asyncio.run(Bridge(line.job(layout=only_x), note=notes.append).run())
    assert [(one.kind, one.record) for one in notes] == [("unknown_field", {"field": "y"})]


# --- the world ------------------------------------------------------------------------------------------------------


def test_what_is_not_there_is_said(broker: EmbeddedKafka, tmp_path: Path) -> None:
    line = Line(broker, "world")
    with pytest.raises(TopicMissing, match="nothing"):
        line.bridge(topic="nothing")
    with pytest.raises(BrokerUnavailable):
        line.bridge(source=f"127.0.0.1:{free_ports(1)[0]}")
    own = run(
        tmp_path,
        *line.command(tmp_path, "--from", "fp.telemetry.world"),
        KAFKA_BOOTSTRAP_SERVERS=line.bootstrap,
    )
    assert own.code == 2 and "platform's own topics" in own.err
