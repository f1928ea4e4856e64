"""Questions to a Kafka broker and orders to it, beside the workers' own traffic: topics, offsets, reading."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TypeVar

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import (
    BrokerResponseError,
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    IllegalGenerationError,
    KafkaError,
    NoError,
    NotCoordinatorError,
    RebalanceInProgressError,
    TopicAlreadyExistsError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
)
from kafka.structs import OffsetAndMetadata

from infra.errors import BrokerRefused, BrokerUnavailable, GroupBusy, OffsetsGone, TopicMismatch, TopicMissing
from infra.ports import answers
from streams.envelope import RawRecord
from streams.topics import TopicSpec

#: How long a broker may take to answer the first time, and each time after.
CONNECT_S, REQUEST_S = 5.0, 15.0
_POLL_MS = 250
#: How long a reader may stand still before it asks whether the broker is still there, and before it gives up.
_DOUBT_S, _GIVE_UP_S = 2.0, 30.0
_NEW_TOPICS_S = 2.0
_FETCH_BYTES = 8 * 1024 * 1024

_Answer = TypeVar("_Answer")
#: Where a group's offsets live is settled a moment after the first question.
_UNSETTLED = (CoordinatorNotAvailableError, CoordinatorLoadInProgressError, NotCoordinatorError)


def cluster_id_at(bootstrap: str, *, timeout_s: float = CONNECT_S) -> str | None:
    """The id of the cluster whose broker answers there, None if none answers in time."""
    try:
        with _admin(bootstrap, connect_s=timeout_s) as admin:
            return str(admin.describe_cluster()["cluster_id"])
    except BrokerUnavailable:
        return None


def ensure_topics(bootstrap: str, declarations: Iterable[TopicSpec]) -> list[str]:
    """Create the declared topics that are missing; return their names.

    Raises TopicMismatch when one exists with another number of partitions, BrokerUnavailable.
    """
    declared = {spec.name: spec for spec in declarations}
    with _admin(bootstrap) as admin:
        present = _partition_counts(admin)
        for spec in declared.values():
            if spec.name in present and present[spec.name] != spec.partitions:
                raise TopicMismatch(
                    f"topic {spec.name} has {present[spec.name]} partitions, declared are {spec.partitions}. "
                    "The number never changes: declare the one it has, or use another installation."
                )
        missing = [spec for name, spec in declared.items() if name not in present]
        if missing:
            _create(admin, missing)
    return [spec.name for spec in missing]


def topic_id(bootstrap: str, topic: str) -> str:
    """The id that the cluster gave the topic when it was made; empty at brokers before Kafka 2.8.

    Raises TopicMissing, BrokerUnavailable.
    """
    with _admin(bootstrap) as admin:
        for found in admin.describe_topics():
            if found["name"] == topic:
                return str(found.get("topic_id") or "")
    raise _missing(topic)


def end_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """The next offset of each partition. Raises TopicMissing, BrokerUnavailable."""
    return _offsets(bootstrap, topic, OffsetSpec.LATEST)


def begin_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """The first offset of each partition that can still be read. Raises TopicMissing, BrokerUnavailable."""
    return _offsets(bootstrap, topic, OffsetSpec.EARLIEST)


def delete_before(bootstrap: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Delete the beginning of partitions: what lies before these offsets. Raises BrokerUnavailable, BrokerRefused."""
    wanted = {TopicPartition(topic, number): offset for number, offset in offsets.items()}
    with _admin(bootstrap) as admin:
        admin.delete_records(wanted)


def _offsets(bootstrap: str, topic: str, at: OffsetSpec) -> dict[int, int]:
    with _admin(bootstrap) as admin:
        count = _partition_counts(admin).get(topic)
        if count is None:
            raise _missing(topic)
        wanted = {TopicPartition(topic, number): at for number in range(count)}
        return {
            place.partition: found.offset for place, found in admin.list_partition_offsets(wanted).items()
        }


Places = dict[tuple[str, int], int]


def positions(
    bootstrap: str, topics: Collection[str], groups: Collection[str]
) -> tuple[Places, dict[str, Places]]:
    """The ends of topics, and the committed offsets of groups, by (topic, partition); over one connection.

    Topics that are missing are left out. Raises BrokerUnavailable.
    """
    with _admin(bootstrap) as admin:
        counts = _partition_counts(admin)
        wanted = {
            TopicPartition(topic, number): OffsetSpec.LATEST
            for topic in topics
            for number in range(counts.get(topic, 0))
        }
        ends = admin.list_partition_offsets(wanted) if wanted else {}
        committed = _once_settled(lambda: admin.list_group_offsets(dict.fromkeys(groups))) if groups else {}
    return (
        {(place.topic, place.partition): found.offset for place, found in ends.items()},
        {
            group: {
                (place.topic, place.partition): one.offset for place, one in found.items() if one.offset >= 0
            }
            for group, found in committed.items()
        },
    )


def group_offsets(bootstrap: str, group: str) -> dict[tuple[str, int], int]:
    """Committed offsets of a consumer group by (topic, partition); empty if it has none."""
    with _admin(bootstrap) as admin:
        found = _once_settled(lambda: admin.list_group_offsets({group: None})).get(group, {})
        return {
            (place.topic, place.partition): each.offset for place, each in found.items() if each.offset >= 0
        }


def group_notes(bootstrap: str, group: str, topic: str) -> dict[int, tuple[int, str]]:
    """Committed offsets of a consumer group with the text that was committed beside each, by partition."""
    with _admin(bootstrap) as admin:
        found = _once_settled(lambda: admin.list_group_offsets({group: None})).get(group, {})
        return {
            place.partition: (each.offset, each.metadata or "")
            for place, each in found.items()
            if place.topic == topic and each.offset >= 0
        }


def set_group_offsets(bootstrap: str, group: str, topic: str, offsets: Mapping[int, int]) -> None:
    """Set where a group without active members continues, by partition. Raises GroupBusy, TopicMissing."""
    wanted = {
        TopicPartition(topic, number): OffsetAndMetadata(offset, "", -1) for number, offset in offsets.items()
    }
    with _admin(bootstrap) as admin:
        _once_settled(lambda: _alter_offsets(admin, group, wanted))


def _alter_offsets(
    admin: KafkaAdminClient, group: str, wanted: Mapping[TopicPartition, OffsetAndMetadata]
) -> None:
    for place, problem in admin.alter_group_offsets(group, wanted).items():
        if problem in (UnknownMemberIdError, RebalanceInProgressError, IllegalGenerationError):
            raise GroupBusy(
                f"group {group} still has active members, so its offsets stand. Stop its workers first."
            )
        if problem is UnknownTopicOrPartitionError:
            raise _missing(f"{place.topic} (partition {place.partition})")
        if problem is not NoError:
            raise problem


def _once_settled(ask: Callable[[], _Answer]) -> _Answer:
    """Ask again while the group's coordinator is only being found or loaded."""
    deadline = time.monotonic() + REQUEST_S
    while True:
        try:
            return ask()
        except _UNSETTLED:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def read_all(
    bootstrap: str,
    topic: str,
    *,
    start: Mapping[int, int] | None = None,
    end: Mapping[int, int] | None = None,
) -> Iterator[RawRecord]:
    """Records of a topic up to `end` (exclusive; unless given, its end now), in order within a partition.

    Offsets are by partition. One that `start` leaves out is read from its beginning; one that a given `end`
    leaves out is not read. Raises TopicMissing and OffsetsGone before anything is read, and
    BrokerUnavailable.
    """
    with _consumer(bootstrap) as consumer:
        present = {TopicPartition(topic, number) for number in _partitions(consumer, topic)}
        first, last = consumer.beginning_offsets(present), consumer.end_offsets(present)
    start, until = (
        start or {},
        {place.partition: offset for place, offset in last.items()} if end is None else end,
    )
    begin = {place.partition: start.get(place.partition, offset) for place, offset in first.items()}
    for place, offset in first.items():
        if place.partition in until and begin[place.partition] < offset:
            raise OffsetsGone(
                f"{topic} partition {place.partition} begins at offset {offset} now; "
                f"{begin[place.partition]} was wanted. Its retention has deleted what lies between."
            )
    ranges = {
        TopicPartition(topic, n): (begin[n], stop) for n, stop in until.items() if begin.get(n, stop) < stop
    }
    return _read_ranges(bootstrap, ranges)


def follow(
    bootstrap: str,
    topics: Collection[str] | re.Pattern[str],
    *,
    from_beginning: bool = True,
    stopped: threading.Event | None = None,
) -> Iterator[RawRecord]:
    """Records of topics as they come, until `stopped` is set. A pattern has to match the whole name.

    Topics that appear later are read from their beginning within a few seconds. Raises BrokerUnavailable
    when the broker has gone.
    """
    wanted = _chooser(topics)
    known: set[TopicPartition] = set()
    look_at = 0.0
    with _consumer(bootstrap) as consumer:
        progress = _Progress(bootstrap)
        while stopped is None or not stopped.is_set():
            if time.monotonic() >= look_at:
                new = _matching(consumer, wanted) - known
                _take_on(consumer, known, new, from_beginning=from_beginning or bool(look_at))
                known |= new
                look_at = time.monotonic() + _NEW_TOPICS_S
            if not known:
                time.sleep(_POLL_MS / 1000)
                continue
            batch = consumer.poll(timeout_ms=_POLL_MS)
            progress.check(moved=bool(batch), idle_is_fine=True)
            for records in batch.values():
                yield from map(_raw, records)


class Tail:
    """One partition of a topic, read from its beginning as far as it goes at each call, over one connection."""

    def __init__(self, bootstrap: str, topic: str, partition: int = 0) -> None:
        """Raises TopicMissing, BrokerUnavailable."""
        self._bootstrap = bootstrap
        self._place = TopicPartition(topic, partition)
        self._open = _consumer(bootstrap)
        self._consumer = self._open.__enter__()
        with _translated(bootstrap):
            _partitions(self._consumer, topic)
            self._consumer.assign([self._place])
            self._consumer.seek_to_beginning(self._place)

    def new(self, *, wait_s: float = 0.0) -> list[RawRecord]:
        """The records since the last call; where there is none, waits up to `wait_s` for the first.

        Raises BrokerUnavailable when the broker has gone.
        """
        with _translated(self._bootstrap):
            end = self._consumer.end_offsets([self._place])[self._place]
            progress = _Progress(self._bootstrap)
            found: list[RawRecord] = []
            deadline = time.monotonic() + wait_s
            while True:
                behind = self._consumer.position(self._place) < end
                if not behind and (found or time.monotonic() >= deadline):
                    return found
                batch = self._consumer.poll(timeout_ms=_POLL_MS if behind or wait_s else 0)
                found += [_raw(record) for records in batch.values() for record in records]
                progress.check(moved=bool(batch), idle_is_fine=not behind)

    def close(self) -> None:
        """Close the connection."""
        self._open.__exit__(None, None, None)


def _read_ranges(bootstrap: str, ranges: Mapping[TopicPartition, tuple[int, int]]) -> Iterator[RawRecord]:
    if not ranges:
        return
    with _consumer(bootstrap) as consumer:
        open_, progress = dict(ranges), _Progress(bootstrap)
        consumer.assign(list(open_))
        for place, (begin, _) in ranges.items():
            consumer.seek(place, begin)
        while open_:
            batch = consumer.poll(timeout_ms=_POLL_MS)
            for place, records in batch.items():
                yield from (_raw(record) for record in records if record.offset < ranges[place][1])
            # By position, not by the last record: compaction and transactions leave offsets without one.
            done = [place for place, (_, stop) in open_.items() if consumer.position(place) >= stop]
            for place in done:
                del open_[place]
            if done and open_:
                consumer.assign(list(open_))
            progress.check(moved=bool(batch or done), idle_is_fine=False)


class _Progress:
    """Tells a quiet topic from a broker that has gone."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._moved_at = self._asked_at = time.monotonic()

    def check(self, *, moved: bool, idle_is_fine: bool) -> None:
        now = time.monotonic()
        if moved:
            self._moved_at = self._asked_at = now
        elif now - self._asked_at > _DOUBT_S:
            self._asked_at = now
            if not _any_answers(self._bootstrap):
                raise _unavailable(self._bootstrap)
            if not idle_is_fine and now - self._moved_at > _GIVE_UP_S:
                raise BrokerUnavailable(
                    f"the Kafka broker at {self._bootstrap} has sent nothing for {_GIVE_UP_S:.0f} s "
                    "though it has more. Look into its log; restart it."
                )


def _any_answers(bootstrap: str) -> bool:
    addresses = (address.strip().rpartition(":") for address in bootstrap.split(","))
    return any(answers(int(port), host=host.strip("[]"), timeout_s=2.0) for host, _, port in addresses)


def _take_on(
    consumer: KafkaConsumer, known: set[TopicPartition], new: set[TopicPartition], *, from_beginning: bool
) -> None:
    if not new:
        return
    consumer.assign(list(known | new))  # keeps the positions of those known
    offsets = consumer.beginning_offsets(new) if from_beginning else consumer.end_offsets(new)
    for place, offset in offsets.items():
        consumer.seek(place, offset)


def _chooser(topics: Collection[str] | re.Pattern[str]) -> Callable[[str], bool]:
    if isinstance(topics, re.Pattern):
        pattern = topics
        return lambda name: pattern.fullmatch(name) is not None
    names = {topics} if isinstance(topics, str) else set(topics)
    return lambda name: name in names


def _matching(consumer: KafkaConsumer, wanted: Callable[[str], bool]) -> set[TopicPartition]:
    names = [name for name in consumer.topics() if wanted(name)]
    return {TopicPartition(name, number) for name in names for number in _partitions(consumer, name)}


def _partitions(consumer: KafkaConsumer, topic: str) -> set[int]:
    consumer.topics()  # refreshes the metadata of every topic, so that the next line knows it
    found = consumer.partitions_for_topic(topic)
    if not found:
        raise _missing(topic)
    return set(found)


def _raw(record: object) -> RawRecord:
    return RawRecord(
        topic=record.topic,  # type: ignore[attr-defined]
        partition=record.partition,  # type: ignore[attr-defined]
        offset=record.offset,  # type: ignore[attr-defined]
        timestamp_ms=record.timestamp,  # type: ignore[attr-defined]
        key=record.key,  # type: ignore[attr-defined]
        value=record.value,  # type: ignore[attr-defined]
        headers=tuple(record.headers or ()),  # type: ignore[attr-defined]
    )


def _partition_counts(admin: KafkaAdminClient) -> dict[str, int]:
    return {topic["name"]: len(topic["partitions"]) for topic in admin.describe_topics()}


def _create(admin: KafkaAdminClient, missing: Iterable[TopicSpec]) -> None:
    wanted = {
        spec.name: {"num_partitions": spec.partitions, "configs": dict(spec.config)} for spec in missing
    }
    with suppress(TopicAlreadyExistsError):  # another process was faster
        admin.create_topics(wanted)
    admin.wait_for_topics(list(wanted))


@contextmanager
def _admin(bootstrap: str, *, connect_s: float = CONNECT_S) -> Iterator[KafkaAdminClient]:
    with _translated(bootstrap):
        admin = KafkaAdminClient(
            bootstrap_servers=bootstrap,
            bootstrap_timeout_ms=int(connect_s * 1000),
            request_timeout_ms=int(REQUEST_S * 1000),
            reconnect_backoff_max_ms=500,
        )
        try:
            yield admin
        finally:
            admin.close()


@contextmanager
def _consumer(bootstrap: str) -> Iterator[KafkaConsumer]:
    with _translated(bootstrap):
        consumer = KafkaConsumer(
            bootstrap_servers=bootstrap,
            bootstrap_timeout_ms=int(CONNECT_S * 1000),
            request_timeout_ms=int(REQUEST_S * 1000),
            reconnect_backoff_max_ms=500,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=_FETCH_BYTES,
            metrics_enabled=False,
        )
        try:
            yield consumer
        finally:
            consumer.close()


@contextmanager
def _translated(bootstrap: str) -> Iterator[None]:
    try:
        yield
    except KafkaError as error:
        if isinstance(error, BrokerResponseError) and not error.retriable:
            raise BrokerRefused(f"the Kafka broker at {bootstrap} refused: {error}") from error
        raise _unavailable(bootstrap, str(error)) from error


def _unavailable(bootstrap: str, detail: str = "") -> BrokerUnavailable:
    return BrokerUnavailable(
        f"no Kafka broker answers at {bootstrap}{f' ({detail})' if detail else ''}. "
        "Start it with `fieldproof up`, or check KAFKA_BOOTSTRAP_SERVERS."
    )


def _missing(topic: str) -> TopicMissing:
    return TopicMissing(
        f"topic {topic} does not exist. Topics are created at the start: run `fieldproof up`."
    )
