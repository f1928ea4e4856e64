"""Replaying files into a real broker."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from typer.testing import CliRunner

from infra.cli.replay import replay as command
from infra.errors import BrokerUnavailable, TopicMissing
from infra.kafka import admin as kafka_admin
from infra.kafka.broker import EmbeddedKafka
from infra.ports import free_ports
from infra.replay import ReplayBroken, ReplayReport, read_exports, read_labels, replay
from schemas.labels import LABEL_RECORD, IntervalLabel, Watermark
from streams import topics
from streams.envelope import RawRecord
from streams.export_columns import Layout
from streams.export_plan import Planned, plan
from streams.frames import Frame, decode_frame

pytestmark = pytest.mark.integration

MESSY = Path(__file__).parents[2] / "examples" / "messy"
TAGS = ("압력", "온도", "진동", "전류")
LAYOUT = Layout(
    tags=TAGS,
    assets=("press-line-3",),
    zone="Asia/Seoul",
    ignore=("품질", "비고"),
    label_map={"고장": "anomaly", "불량": "anomaly"},
)
OPTIONS = [
    "--plant-file", str(MESSY / "plant.yaml"), "--ignore", "품질", "--ignore", "비고",
    "--labels", str(MESSY / "press-line-3-events.csv"), "--label-map", "고장=anomaly", "--label-map", "불량=anomaly", "--json",
]  # fmt: skip

app = typer.Typer()
app.command()(command)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


def messy_plan(rows_per_frame: int = 100) -> list[Planned]:
    exports = read_exports([MESSY / "press-line-3.csv"], LAYOUT)
    labels = read_labels([MESSY / "press-line-3-events.csv"], LAYOUT, columns={}, value=None)
    return list(plan(exports, labels[0].labels, rows_per_frame=rows_per_frame))


def admit(broker: EmbeddedKafka, plant: str) -> None:
    kafka_admin.ensure_topics(broker.bootstrap, topics.of_plant(plant, 1))


def sent(broker: EmbeddedKafka, topic: str) -> list[RawRecord]:
    """Everything in the only partition of a topic, with the client that workers read with."""
    return asyncio.run(_read(broker.bootstrap, TopicPartition(topic, 0)))


async def _read(bootstrap: str, partition: TopicPartition) -> list[RawRecord]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        found: list[RawRecord] = []
        while await consumer.position(partition) < end:
            for record in (
                await consumer.getone(partition),
                *(await consumer.getmany(partition)).get(partition, []),
            ):
                found.append(_raw(record))
        return found
    finally:
        await consumer.stop()


def _raw(record: ConsumerRecord) -> RawRecord:
    return RawRecord(
        topic=record.topic, partition=record.partition, offset=record.offset, timestamp_ms=record.timestamp,
        key=record.key, value=record.value, headers=tuple(record.headers),
    )  # fmt: skip


def frames(broker: EmbeddedKafka, plant: str) -> list[Frame]:
    found = [decode_frame(record, tags=TAGS) for record in sent(broker, topics.telemetry(plant))]
    assert all(isinstance(frame, Frame) for frame in found)
    return [frame for frame in found if isinstance(frame, Frame)]


def test_a_messy_file_arrives_complete_and_in_order(broker: EmbeddedKafka) -> None:
    admit(broker, "one")
    messages = messy_plan()
    report = replay(messages, bootstrap=broker.bootstrap, plant="one")
    arrived = frames(broker, "one")
    assert [frame.ident for frame in arrived] == [each.ident for each in messages if each.kind == "frame"]
    assert sum(frame.rows for frame in arrived) == report.rows == 1200
    labels = [
        LABEL_RECORD.validate_json(record.value or b"") for record in sent(broker, topics.labels("one"))
    ]
    assert [type(label) for label in labels] == [IntervalLabel] * 6 + [Watermark]
    assert (report.frames, report.labels, report.watermarks, report.acknowledged) == (12, 6, 1, 19)


def test_sending_a_file_again_gives_the_same_ids(broker: EmbeddedKafka) -> None:
    admit(broker, "two")
    for _ in range(2):
        replay(messy_plan(), bootstrap=broker.bootstrap, plant="two")
    idents = [frame.ident for frame in frames(broker, "two")]
    assert idents[:12] == idents[12:]


def test_the_rows_own_times_set_the_pace(broker: EmbeddedKafka) -> None:
    admit(broker, "three")
    replay(messy_plan(), bootstrap=broker.bootstrap, plant="three", speed=10_000)
    stamps = [record.timestamp_ms for record in sent(broker, topics.telemetry("three"))]
    # 11,000 s of data lie between the first frame's end and the last one's.
    assert stamps[-1] - stamps[0] >= 1_000


def test_a_plant_without_topics_is_told_before_anything_is_sent(broker: EmbeddedKafka) -> None:
    with pytest.raises(TopicMissing, match=r"fp\.telemetry\.nowhere"):
        replay(messy_plan(), bootstrap=broker.bootstrap, plant="nowhere")


def test_no_broker_is_an_error_that_says_so() -> None:
    with pytest.raises(BrokerUnavailable):
        replay(messy_plan(), bootstrap=f"127.0.0.1:{free_ports(1)[0]}", plant="one")


def test_a_replay_that_the_broker_left_goes_on_where_it_was(tmp_path: Path) -> None:
    broker = EmbeddedKafka(tmp_path / "kafka")
    broker.start()
    admit(broker, "plant")
    messages = messy_plan(rows_per_frame=2)

    def cut(report: ReplayReport) -> None:
        if report.acknowledged == 200:
            broker.kill()

    try:
        with pytest.raises(ReplayBroken) as broken:
            replay(messages, bootstrap=broker.bootstrap, plant="plant", progress=cut, ack_s=3)
        done = broken.value.report.acknowledged
        assert done >= 200
        assert f"--from {done}" in str(broken.value)
        broker.start()
        report = replay(messages, bootstrap=broker.bootstrap, plant="plant", skip=done)
        assert report.acknowledged == len(messages)
        arrived = [frame.ident for frame in frames(broker, "plant")]
    finally:
        broker.stop()
    wanted = [each.ident for each in messages if each.kind == "frame"]
    assert list(dict.fromkeys(arrived)) == wanted


def test_the_command_sends_and_reports(broker: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch) -> None:
    admit(broker, "press-plant")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap)
    result = CliRunner().invoke(app, [str(MESSY / "press-line-3.csv"), *OPTIONS])
    assert result.exit_code == 0, result.stderr
    last = json.loads(result.stdout.splitlines()[-1])
    assert (last["kind"], last["rows"], last["labels"], last["watermarks"]) == ("report", 1200, 6, 1)
    assert "times without a zone are of Asia/Seoul" in result.stderr
    assert sum(frame.rows for frame in frames(broker, "press-plant")) == 1200


def test_the_command_ends_with_3_where_no_broker_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{free_ports(1)[0]}")
    result = CliRunner().invoke(app, [str(MESSY / "press-line-3.csv"), *OPTIONS])
    assert result.exit_code == 3
    assert "no Kafka broker answers" in result.stderr
