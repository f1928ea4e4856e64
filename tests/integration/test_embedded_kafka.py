"""A real broker: starting, stopping, dying with its parent, and what is asked of it."""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer

from infra.errors import (
    BrokerUnavailable,
    FolderBusy,
    GroupBusy,
    OffsetsGone,
    PortTaken,
    TopicMismatch,
    TopicMissing,
)
from infra.kafka import admin as kafka_admin
from infra.kafka.broker import EmbeddedKafka
from infra.kafka.log import TopicTail
from streams.envelope import RawRecord
from streams.topics import MESSAGE_BYTES, TopicSpec
from tests.gone import wait_until_gone

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PARENT = """
import sys, time
from pathlib import Path
from infra.kafka.broker import EmbeddedKafka

broker = EmbeddedKafka(Path(sys.argv[1]))
broker.start()
print(broker.pid, broker.bootstrap, broker.cluster_id, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka(tmp_path_factory.mktemp("kafka")) as running:
        yield running


@pytest.fixture
def topic(broker: EmbeddedKafka, request: pytest.FixtureRequest) -> str:
    """A topic of two partitions for one test."""
    name = f"t.{abs(hash(request.node.name))}"
    assert kafka_admin.ensure_topics(broker.bootstrap, [spec(name)]) == [name]
    return name


def spec(name: str, partitions: int = 2, **config: str) -> TopicSpec:
    return TopicSpec(
        name=name, partitions=partitions, config={"max.message.bytes": str(MESSAGE_BYTES)} | config
    )


def send(broker: EmbeddedKafka, topic: str, *values: bytes, partition: int = 0) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap, max_request_size=2 * MESSAGE_BYTES)
    for value in values:
        producer.send(topic, value, key=b"key", partition=partition, headers=[("kind", b"test")])
    producer.flush()
    producer.close()


def values(records: Iterator[RawRecord]) -> list[bytes | None]:
    return [record.value for record in records]


def test_a_restart_keeps_the_data_the_cluster_and_the_offsets(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path) as first:
        kafka_admin.ensure_topics(first.bootstrap, [spec("kept")])
        send(first, "kept", b"a", b"b")
        kafka_admin.set_group_offsets(first.bootstrap, "readers", "kept", {0: 1})
        cluster_id = first.cluster_id
    assert not first.alive()
    again = EmbeddedKafka(tmp_path)
    with again:
        assert again.cluster_id == cluster_id
        assert kafka_admin.ensure_topics(again.bootstrap, [spec("kept")]) == []
        assert values(kafka_admin.read_all(again.bootstrap, "kept")) == [b"a", b"b"]
        assert kafka_admin.group_offsets(again.bootstrap, "readers") == {("kept", 0): 1}
        assert "started" in again.log_path.read_text()
        pid = again.pid
        again.kill()
        wait_until_gone([pid])
    with again:
        assert values(kafka_admin.read_all(again.bootstrap, "kept")) == [b"a", b"b"]


def test_the_broker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid, bootstrap, cluster_id = parent.stdout.readline().split()
        assert kafka_admin.cluster_id_at(bootstrap) == cluster_id
        parent.kill()
    wait_until_gone([int(pid)])
    assert kafka_admin.cluster_id_at(bootstrap, timeout_s=0.5) is None


def test_a_port_that_was_asked_for_but_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port}.*another port"):
            EmbeddedKafka(tmp_path, port=port).start()


def test_a_second_broker_on_the_same_data_says_that_one_runs(broker: EmbeddedKafka) -> None:
    with pytest.raises(FolderBusy, match="another Kafka already runs"):
        EmbeddedKafka(broker.home).start()
    assert kafka_admin.cluster_id_at(broker.bootstrap) == broker.cluster_id


def test_topics_are_created_once_and_never_change_their_partitions(broker: EmbeddedKafka) -> None:
    wanted = [spec("once.a"), spec("once.b", 3, **{"cleanup.policy": "compact"})]
    assert kafka_admin.ensure_topics(broker.bootstrap, wanted) == ["once.a", "once.b"]
    assert kafka_admin.ensure_topics(broker.bootstrap, wanted) == []
    with pytest.raises(TopicMismatch, match=r"once\.a has 2 partitions, declared are 5"):
        kafka_admin.ensure_topics(broker.bootstrap, [spec("once.a", 5)])


def test_a_topic_nobody_declared_is_not_created_by_asking_for_it(broker: EmbeddedKafka) -> None:
    with pytest.raises(TopicMissing, match=r"no\.such"):
        kafka_admin.read_all(broker.bootstrap, "no.such")
    with pytest.raises(TopicMissing, match=r"no\.such"):
        kafka_admin.end_offsets(broker.bootstrap, "no.such")


def test_reading_all_ends_at_the_offsets_of_the_call(broker: EmbeddedKafka, topic: str) -> None:
    send(broker, topic, b"a", b"b")
    send(broker, topic, b"c", partition=1)
    reading = kafka_admin.read_all(broker.bootstrap, topic)
    send(broker, topic, b"too late")
    records = sorted(reading, key=lambda record: (record.partition, record.offset))
    assert [(r.topic, r.partition, r.offset, r.key, r.value, r.headers) for r in records] == [
        (topic, 0, 0, b"key", b"a", (("kind", b"test"),)),
        (topic, 0, 1, b"key", b"b", (("kind", b"test"),)),
        (topic, 1, 0, b"key", b"c", (("kind", b"test"),)),
    ]
    assert all(record.timestamp_ms > 1_700_000_000_000 for record in records)
    assert kafka_admin.end_offsets(broker.bootstrap, topic) == {0: 3, 1: 1}


def test_a_tail_gives_what_came_and_leaves_nothing_asked(broker: EmbeddedKafka, topic: str) -> None:
    async def main() -> None:
        tail = TopicTail(broker.bootstrap, topic)
        try:
            assert await tail.new() == []
            for number in range(3):
                await asyncio.to_thread(send, broker, topic, b"a", b"b")
                assert [record.offset for record in await tail.new()] == [2 * number, 2 * number + 1]
                assert await tail.new() == []
                # The broker would answer a request for what is not there yet first, and the next look would wait for it.
                assert tail._consumer is not None
                assert not tail._consumer._fetcher._in_flight
        finally:
            await tail.close()

    asyncio.run(main())


def test_reading_a_range_gives_exactly_its_offsets(broker: EmbeddedKafka, topic: str) -> None:
    send(broker, topic, *(b"%d" % number for number in range(2_000)))
    send(broker, topic, b"elsewhere", partition=1)
    found = list(kafka_admin.read_all(broker.bootstrap, topic, start={0: 7}, end={0: 1_203}))
    assert [record.offset for record in found] == list(range(7, 1_203))
    assert list(kafka_admin.read_all(broker.bootstrap, topic, start={0: 5}, end={0: 5})) == []


def test_offsets_that_retention_deleted_are_an_error_not_a_shorter_answer(
    broker: EmbeddedKafka, topic: str
) -> None:
    from kafka import KafkaAdminClient, TopicPartition

    send(broker, topic, b"a", b"b", b"c")
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.delete_records({TopicPartition(topic, 0): 2})
    admin.close()
    assert values(kafka_admin.read_all(broker.bootstrap, topic)) == [b"c"]
    with pytest.raises(OffsetsGone, match="begins at offset 2 now; 1 was wanted"):
        kafka_admin.read_all(broker.bootstrap, topic, start={0: 1})


def test_a_frame_of_the_largest_size_passes(broker: EmbeddedKafka, topic: str) -> None:
    frame = bytes(MESSAGE_BYTES - 10_000)
    send(broker, topic, frame)
    assert values(kafka_admin.read_all(broker.bootstrap, topic)) == [frame]


def test_a_group_starts_where_it_was_set_to(broker: EmbeddedKafka, topic: str) -> None:
    send(broker, topic, b"a", b"b", b"c")
    kafka_admin.set_group_offsets(broker.bootstrap, "fresh", topic, {0: 2, 1: 0})
    assert kafka_admin.group_offsets(broker.bootstrap, "fresh") == {(topic, 0): 2, (topic, 1): 0}
    assert kafka_admin.group_offsets(broker.bootstrap, "unknown") == {}
    consumer = KafkaConsumer(topic, bootstrap_servers=broker.bootstrap, group_id="fresh")
    try:
        assert next(consumer).value == b"c"
        with pytest.raises(GroupBusy, match="Stop its workers"):
            kafka_admin.set_group_offsets(broker.bootstrap, "fresh", topic, {0: 0})
    finally:
        consumer.close()


def test_following_sees_old_records_new_ones_and_topics_that_come_later(broker: EmbeddedKafka) -> None:
    kafka_admin.ensure_topics(broker.bootstrap, [spec("feed.a"), spec("unfed.a")])
    send(broker, "feed.a", b"old")
    send(broker, "unfed.a", b"not asked for")
    stopped = threading.Event()
    following = kafka_admin.follow(broker.bootstrap, re.compile(r"feed\..*"), stopped=stopped)
    assert next(following).value == b"old"
    send(broker, "feed.a", b"new", partition=1)
    assert next(following).value == b"new"
    kafka_admin.ensure_topics(broker.bootstrap, [spec("feed.b")])
    send(broker, "feed.b", b"later topic")
    assert next(following).value == b"later topic"
    stopped.set()
    assert list(following) == []


def test_following_from_now_on_leaves_out_what_was_there(broker: EmbeddedKafka, topic: str) -> None:
    send(broker, topic, b"old")
    following = kafka_admin.follow(broker.bootstrap, [topic], from_beginning=False)
    found: list[bytes | None] = []
    reader = threading.Thread(target=lambda: found.append(next(following).value))
    reader.start()
    while reader.is_alive():  # the follower takes its positions at a moment of its own
        send(broker, topic, b"new")
        reader.join(0.2)
    assert found == [b"new"]


def test_a_broker_that_is_gone_is_an_error_that_says_where_and_what_to_do(tmp_path: Path) -> None:
    broker = EmbeddedKafka(tmp_path)
    with broker:
        kafka_admin.ensure_topics(broker.bootstrap, [spec("gone")])
        send(broker, "gone", *(bytes(100_000) for _ in range(300)))
        reading = kafka_admin.read_all(broker.bootstrap, "gone")
        following = kafka_admin.follow(broker.bootstrap, ["gone"])
        next(reading)
        next(following)
        broker.kill()
        told = rf"{re.escape(broker.bootstrap)}.*fieldproof up"
        with pytest.raises(BrokerUnavailable, match=told):
            list(reading)
        with pytest.raises(BrokerUnavailable, match=told):
            list(following)
        with pytest.raises(BrokerUnavailable, match=told):
            kafka_admin.ensure_topics(broker.bootstrap, [spec("gone")])
