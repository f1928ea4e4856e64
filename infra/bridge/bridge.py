"""The bridge: a topic with one JSON object a message becomes frames in a plant's telemetry.

**Every row exactly once, in order.** A source offset is committed when everything before it is acknowledged by the broker:
good rows in frames, the others in `fp.rejected.<plant>`. So nothing is lost. After a crash rows behind the committed offset
come again, and where a frame ends is not the same the second time: it depends on when rows came. So an id that is made of
what a frame holds is not enough to recognise what was framed before. Instead the telemetry topic itself is asked, as the only
truth: each frame says in a header which rows it holds (`infra.bridge.framed`), and before a partition is read on, the frames
that can hold rows behind its committed offset are looked through; rows that are in one are passed over. Nothing else has to
be kept, and nothing can disagree with the topic.

The look is short: beside each offset it is committed where such frames can stand at the earliest (`Lane.safe`), a second or
two back. Where nothing was committed (a first start, or a group that the broker has forgotten) the topic is looked through
from its beginning, and what is found is committed before the first row is taken.

What that leaves: the same frame may stand twice in the topic where the broker took it and its answer was lost, under the same
id, which the platform counts once; and a rejected row may be rejected again, under the same origin.

**Several bridges** of one source and plant are one consumer group and share its partitions; there is no second group, so that
nobody can frame the same rows twice by mistake. Whoever loses a partition sends what it holds of it before the next one may
look (`on_partitions_revoked`). A bridge that stood still for longer than its session must not do that, since its partitions have another
owner: it ends. What it had handed to its connection before it stood still is still sent: that, in a process that was frozen
for more than 10 s while frames were under way and that another one replaced, is where a row can be framed twice.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from infra.bridge.beginning import Places, begin, marked
from infra.bridge.delivery import Delivery
from infra.bridge.framed import Source
from infra.bridge.job import Job, Note, Report, TooManyRejected
from infra.bridge.lane import Lane, most_rows
from infra.bridge.reading import Read, Reader
from infra.errors import BrokerUnavailable, OffsetsGone
from infra.kafka import admin as kafka_admin
from infra.kafka import lenient
from infra.words.language import Phrase
from streams import topics
from streams.envelope import RawRecord, pairs
from streams.refusals import Recent

#: Messages taken at a time; after fewer than a frame's worth it waits a moment for more.
LOT, LINGER_S, POLL_MS = 5000, 0.01, 100
#: How long the end of a bridge may take.
STOP_S = 15.0
#: How long a member of the group may be silent before its partitions are given to others.
SESSION_S = 10.0
#: How often is committed and told, and how often the target is asked where it ends.
TICK_S, ENDS_S = 1.0, 600.0


def collect_seldom() -> None:
    """Have Python look for garbage less often: a lot is thousands of objects that go by themselves when it is done."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


class Bridge(ConsumerRebalanceListener):  # type: ignore[misc]
    """One bridge at work."""

    def __init__(
        self,
        job: Job,
        *,
        note: Callable[[Note], None] = lambda _: None,
        progress: Callable[[Report], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`note` is told what people should know, from any thread; `progress` what is done, about once a second."""
        self.report = Report()
        self._job, self._note, self._progress, self._clock = job, note, progress, clock
        self._reader = Reader(job.layout)
        self._recent = Recent(job.limit)
        #: Unknown fields, and reasons of rejections, that were told.
        self._told: set[str] = set()
        self._reasons: set[str] = set()
        self._rows = most_rows(job.layout.tags, job.rows)
        self._lanes: dict[int, Lane] = {}
        #: Where the source ended when its partitions were taken on; what is committed.
        self._until: Places = {}
        self._committed: dict[int, tuple[int, Places]] = {}
        #: Held while rows are taken or partitions change hands; the number of such changes.
        self._lock, self._epoch = asyncio.Lock(), 0
        self._failed: Exception | None = None
        self._main: asyncio.Task[Any] | None = None
        self._stopping = False
        self._ticked_at = self._asked_at = self._alive_at = clock()

    # --- from start to end ----------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Send what is held, commit, and end; what is not acknowledged within 15 s comes again at the next start."""
        if not self._stopping and self._main is not None:
            asyncio.get_running_loop().call_later(STOP_S, self._main.cancel)
        self._stopping = True

    async def run(self) -> Report:
        """Bridge until it is stopped, or until the end.

        Raises:
            TooManyRejected: nothing of the lot in which that happened is committed.
            TopicMissing, BrokerUnavailable, OffsetsGone: the world.
        """
        lenient.install()
        self._main = asyncio.current_task()
        job = self._job
        source_id = await asyncio.to_thread(kafka_admin.topic_id, job.source, job.topic)
        self._source = Source(topic=job.topic, ident=source_id)
        telemetry = topics.telemetry(job.plant.id)
        self._target_id = await asyncio.to_thread(kafka_admin.topic_id, job.target, telemetry)
        self._delivery = Delivery(job, self._source, self.report, clock=self._clock)
        self._consumer = _consumer(job)
        beat = asyncio.create_task(self._beat())
        try:
            await self._delivery.start()
            await self._consumer.start()
            self._consumer.subscribe([job.topic], listener=self)
            await self._work()
        except KafkaConnectionError as error:
            raise BrokerUnavailable from error
        except KafkaError as error:
            raise BrokerUnavailable(f"the broker went away ({error!r}); start the bridge again") from error
        except asyncio.CancelledError as error:
            raise BrokerUnavailable(
                f"the broker has not acknowledged everything within {STOP_S:g} s; the rest comes at the next start"
            ) from error
        finally:
            beat.cancel()
            for client in (self._consumer, self._delivery):
                # A client whose broker has gone may let its own cancelled work out here.
                with suppress(TimeoutError, KafkaError, asyncio.CancelledError):
                    await asyncio.wait_for(client.stop(), timeout=5)
        return self.report

    async def _work(self) -> None:
        while not self._stopping:
            epoch = self._epoch
            fetched = await self._fetch()
            async with self._lock:
                self._check()
                if epoch == self._epoch:
                    await self._take_all(fetched)
                await self._tick()
            if self._job.until_end and not fetched and await self._at_end():
                break
            if sum(map(len, fetched.values())) < self._rows:
                await asyncio.sleep(LINGER_S)
        async with self._lock:
            self._check()
            await self._drain()
        self._progress(self.report)

    async def _fetch(self) -> Mapping[TopicPartition, Sequence[Any]]:
        try:
            return await self._consumer.getmany(timeout_ms=POLL_MS, max_records=LOT)  # type: ignore[no-any-return]
        except NoOffsetForPartitionError:
            return {}  # `_take_on` is about to say where to read
        except OffsetOutOfRangeError as error:
            if self._lock.locked():
                return {}
            raise OffsetsGone(
                f"rows of {self._job.topic} were deleted by its retention before they were read; start the bridge again, "
                "it says how many and goes on behind them"
            ) from error

    async def _beat(self) -> None:
        """Notice when this process stands still."""
        while self._clock() - self._alive_at <= SESSION_S:
            self._alive_at = self._clock()
            await asyncio.sleep(1)

    def _check(self) -> None:
        """Raise what went wrong elsewhere."""
        if self._failed is not None:
            raise self._failed
        self._delivery.check()
        if self._clock() - self._alive_at > SESSION_S:
            raise BrokerUnavailable(
                f"this process stood still for more than {SESSION_S:g} s; start the bridge again"
            )

    async def _at_end(self) -> bool:
        for partition, lane in list(self._lanes.items()):
            end = self._until[partition]
            # Transactions leave offsets without a message: then only the reader knows that it has passed them.
            if lane.position < end and await self._consumer.position(self._place(partition)) < end:
                return False
        return self._epoch > 0

    def _place(self, partition: int) -> TopicPartition:
        return TopicPartition(self._job.topic, partition)

    # --- rows -----------------------------------------------------------------------------------------------------

    async def _take_all(self, fetched: Mapping[TopicPartition, Sequence[Any]]) -> None:
        for place, records in fetched.items():
            read = self._reader.read([record.value for record in records], [record.key for record in records])
            self._tell_unknown(read)
            try:
                self._stop_at_limit(read, records)
            except TooManyRejected:
                await self._drain()
                raise
            await self._take(self._lanes[place.partition], read, records)

    async def _take(self, lane: Lane, read: Read, records: Sequence[Any]) -> None:
        offsets = np.array([record.offset for record in records], dtype=np.int64)
        skipped = lane.skipped
        for place, why in read.rejected:
            raw = _raw(records[place])
            self._tell_reason(raw.origin, why.reason, why.detail)
            await self._delivery.rejection(lane, raw, why)
        for cut in lane.add(read.rows, offsets[read.rows.places], self._clock()):
            await self._delivery.frame(lane, cut)
        lane.position = int(offsets[-1]) + 1
        self.report.skipped += lane.skipped - skipped

    def _tell_unknown(self, read: Read) -> None:
        for name in sorted(read.unknown - self._told):
            self._told.add(name)
            words = Phrase(f"unknown field {name!r} is left out", f"알 수 없는 필드 {name!r}을(를) 무시함")
            self._note(Note(kind="unknown_field", words=words, record={"field": name}))

    def _tell_reason(self, origin: str, reason: str, detail: str) -> None:
        if reason not in self._reasons:
            self._reasons.add(reason)
            words = Phrase(f"rejected {origin}: {detail}", f"거부함 {origin}: {detail}")
            more: dict[str, object] = {"origin": origin, "reason": reason, "detail": detail}
            self._note(Note(kind="rejection", words=words, record=more))

    def _stop_at_limit(self, read: Read, records: Sequence[Any]) -> None:
        """Stop before a lot of which too much would be rejected: it comes again once its cause is mended."""
        before = -1
        for place, why in (*read.rejected, (len(records), None)):
            for _ in range(min(place - before - 1, self._job.limit.last)):
                self._recent.note(None)
            before = place
            if why is None:
                continue
            self._recent.note(why)
            if self._recent.too_many():
                raise TooManyRejected(self._recent.told(self._job.topic), _raw(records[place]).origin)

    # --- what is done from time to time ---------------------------------------------------------------------------

    async def _tick(self) -> None:
        now = self._clock()
        for lane in self._lanes.values():
            for cut in lane.due(now):
                await self._delivery.frame(lane, cut)
        if now - self._ticked_at < TICK_S:
            return
        self._ticked_at = now
        if now - self._asked_at >= ENDS_S:
            self._asked_at = now
            # Others may write there as well: without this, what is looked through at a start would grow.
            ends = await asyncio.to_thread(
                kafka_admin.end_offsets, self._job.target, self._delivery.telemetry
            )
            self._delivery.ends.update(ends)
        await self._commit()
        self.report.behind = self._behind()
        self._progress(self.report)

    async def _commit(self) -> bool:
        """Commit what is acknowledged; False where the partitions are on their way to somebody else."""
        wanted = {}
        for partition, lane in self._lanes.items():
            lane.stands(self._delivery.ends)
            safe = lane.safe()
            if self._committed.get(partition) != safe:
                wanted[partition] = safe
        try:
            if wanted:
                await self._consumer.commit(
                    {
                        self._place(partition): (offset, marked(self._target_id, ends))
                        for partition, (offset, ends) in wanted.items()
                    }
                )
        except (CommitFailedError, IllegalStateError):
            return False
        self._committed |= wanted
        return True

    def _behind(self) -> int:
        ends = {number: self._consumer.highwater(self._place(number)) for number in self._lanes}
        return sum(
            max(0, (self._until[number] if end is None else end) - self._lanes[number].position)
            for number, end in ends.items()
        )

    async def _drain(self) -> None:
        """Send everything that is held, wait for the broker, and commit."""
        for lane in self._lanes.values():
            for cut in lane.rest():
                await self._delivery.frame(lane, cut)
        await self._delivery.all_acknowledged()
        await self._commit()
        self.report.behind = self._behind()

    # --- partitions -----------------------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        """Others are about to take over: what is held has to be in the topic before they look."""
        async with self._lock:
            try:
                self._check()
                # Who may not commit any more has lost its partitions already: what it holds is theirs.
                if self._lanes and await self._commit():
                    await self._drain()
            except Exception as error:  # noqa: BLE001 - the group's task would only log it
                self._failed = self._failed or error
            self._lanes = {}
            self._epoch += 1

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        """Take on partitions where their last reader left them."""
        async with self._lock:
            try:
                await self._take_on({place.partition for place in assigned})
            except Exception as error:  # noqa: BLE001 - the group's task would only log it
                self._failed = self._failed or error
            self._epoch += 1

    async def _take_on(self, partitions: set[int]) -> None:
        job = self._job
        found = await asyncio.to_thread(begin, job, self._source, self._target_id, partitions, self._note)
        self._until = found.until
        self._delivery.ends = dict(found.ends)
        for partition, start in found.starts.items():
            self._lanes[partition] = Lane(
                partition, start, assets=job.layout.assets, rows=self._rows, age_s=job.age_s, framed=found.framed, since=found.since,
            )  # fmt: skip
            self._consumer.seek(self._place(partition), start)
        self._committed = {}
        await self._commit()


def _raw(record: Any) -> RawRecord:
    return RawRecord(
        topic=record.topic, partition=record.partition, offset=record.offset, timestamp_ms=record.timestamp,
        key=record.key, value=record.value, headers=pairs(record.headers),
    )  # fmt: skip


def _consumer(job: Job) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=job.source,
        group_id=job.group,
        enable_auto_commit=False,
        # Rows that were deleted are told of, not jumped over.
        auto_offset_reset="none",
        isolation_level="read_committed",
        session_timeout_ms=int(SESSION_S * 1000),
        # A look through a long topic takes its time.
        max_poll_interval_ms=3_600_000,
        rebalance_timeout_ms=60_000,
        max_partition_fetch_bytes=4 * topics.FRAME_BYTES,
        fetch_max_bytes=16 * topics.FRAME_BYTES,
    )
