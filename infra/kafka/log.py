"""Reading topics beside a worker's own consumer: ranges that are read again, and the state of pairings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from pydantic import ValidationError

from infra.errors import TopicMissing
from infra.kafka import lenient
from schemas.base import Offsets
from schemas.pairing import Pairing
from streams import topics
from streams.envelope import RawRecord, pairs

FETCH_BYTES = 8 * 1024 * 1024


def raw(record: object) -> RawRecord:
    """A record of aiokafka as ours."""
    return RawRecord(
        topic=record.topic,  # type: ignore[attr-defined]
        partition=record.partition,  # type: ignore[attr-defined]
        offset=record.offset,  # type: ignore[attr-defined]
        timestamp_ms=record.timestamp,  # type: ignore[attr-defined]
        key=record.key,  # type: ignore[attr-defined]
        value=record.value,  # type: ignore[attr-defined]
        headers=pairs(record.headers),  # type: ignore[attr-defined]
    )


@asynccontextmanager
async def reader(bootstrap: str, topic: str) -> AsyncIterator[tuple[AIOKafkaConsumer, list[TopicPartition]]]:
    """A consumer without a group that knows a topic, and that topic's partitions; none of them is assigned yet.

    Raises:
        TopicMissing: there is no such topic.
    """
    lenient.install()
    consumer = AIOKafkaConsumer(
        # Named here, the topic's partitions are known once the consumer has started.
        topic,
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
        metadata_max_age_ms=5000,
    )
    try:
        await consumer.start()
        found = consumer.partitions_for_topic(topic)
        if not found:
            raise TopicMissing(f"topic {topic} does not exist; `fieldproof up` creates it")
        consumer.unsubscribe()
        yield consumer, [TopicPartition(topic, number) for number in sorted(found)]
    finally:
        await consumer.stop()


async def follow(bootstrap: str, topic: str) -> AsyncIterator[RawRecord]:
    """Every record of a topic from its beginning, and then as they come."""
    async with reader(bootstrap, topic) as (consumer, places):
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        async for record in consumer:
            yield raw(record)


async def largest_message(bootstrap: str, topic: str) -> int:
    """How many bytes a message of a topic may have, as the topic is set up."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        wanted = {"max.message.bytes": None}
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic, wanted)])
        (found,) = [value for one in answers for *_, entries in one.resources for _, value, *_ in entries]
        return int(found)
    finally:
        await admin.close()


class TopicLog:
    """Ranges of topics, read when they are needed; a `Log`."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    async def ends(self, topic: str) -> Offsets:
        """The next offset of each partition."""
        async with reader(self._bootstrap, topic) as (consumer, places):
            found = await consumer.end_offsets(places)
        return {place.partition: offset for place, offset in found.items()}

    async def read(self, topic: str, partition: int, start: int, end: int) -> Sequence[RawRecord]:
        """The records with start ≤ offset < end that still exist, in order."""
        if start >= end:
            return []
        place = TopicPartition(topic, partition)
        found: list[RawRecord] = []
        async with reader(self._bootstrap, topic) as (consumer, _):
            consumer.assign([place])
            consumer.seek(place, start)
            last = min(end, (await consumer.end_offsets([place]))[place])
            while await consumer.position(place) < last:
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += [raw(record) for record in records if record.offset < end]
        return found

    async def holds(self, topic: str, partition: int, start: int, end: int) -> bool:
        """Whether any message stands at start ≤ offset < end; transactions and compaction leave offsets without one."""
        place = TopicPartition(topic, partition)
        async with reader(self._bootstrap, topic) as (consumer, _):
            consumer.assign([place])
            consumer.seek(place, start)
            last = min(end, (await consumer.end_offsets([place]))[place])
            while await consumer.position(place) < last:
                for records in (await consumer.getmany(timeout_ms=500, max_records=1)).values():
                    return bool(records[0].offset < end)
        return False


class TopicTail:
    """The only partition of a topic, read over one connection as it grows; a `Tail`."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._stack = AsyncExitStack()
        self._consumer: AIOKafkaConsumer | None = None

    async def new(self) -> Sequence[RawRecord]:
        """The records up to its present end that were not given before."""
        place = TopicPartition(self._topic, 0)
        consumer = self._consumer or await self._connect(place)
        end = (await consumer.end_offsets([place]))[place]
        found: list[RawRecord] = []
        consumer.resume(place)
        while await consumer.position(place) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += [raw(record) for record in records]
        # A request for what is not there yet would be open when the end is asked for the next time, and a broker answers one
        # after the other.
        consumer.pause(place)
        return found

    async def close(self) -> None:
        """Close the connection."""
        await self._stack.aclose()

    async def _connect(self, place: TopicPartition) -> AIOKafkaConsumer:
        consumer, _ = await self._stack.enter_async_context(reader(self._bootstrap, self._topic))
        consumer.assign([place])
        consumer.pause(place)
        await consumer.seek_to_beginning(place)
        self._consumer = consumer
        return consumer


class PairingBoard:
    """The present state of a plant's pairings, followed from its compacted topic; a `Board`."""

    def __init__(self, bootstrap: str, plant: str) -> None:
        self._bootstrap = bootstrap
        self._topic = topics.pairings(plant)
        self._pairings: Mapping[str, Pairing] = {}
        self._listeners: list[Callable[[Pairing], None]] = []
        self._loaded = asyncio.Event()

    @property
    def pairings(self) -> Mapping[str, Pairing]:
        """Pairings by id, as they are now: what is being gone through stays as it is while more is taken."""
        return self._pairings

    def on_change(self, listener: Callable[[Pairing], None]) -> None:
        """Call the listener for every pairing there is now, and whenever one changes."""
        self._listeners.append(listener)
        for pairing in self._pairings.values():
            listener(pairing)

    async def loaded(self) -> None:
        """Wait until everything that stood in the topic at the start is known."""
        await self._loaded.wait()

    async def follow(self) -> None:
        """Follow the topic for ever."""
        async with reader(self._bootstrap, self._topic) as (consumer, places):
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends = await consumer.end_offsets(places)
            while True:
                if not self._loaded.is_set() and await self._reached(consumer, ends):
                    self._loaded.set()
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    for record in records:
                        self._take(raw(record))

    async def _reached(self, consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> bool:
        for place, end in ends.items():
            if await consumer.position(place) < end:
                return False
        return True

    def _take(self, record: RawRecord) -> None:
        try:
            pairing = Pairing.model_validate_json(record.value or b"")
        except ValidationError:
            return
        known = self._pairings.get(pairing.id)
        if known is not None and known.fact >= pairing.fact:
            return
        self._pairings = {**self._pairings, pairing.id: pairing}
        for listener in self._listeners:
            listener(pairing)
