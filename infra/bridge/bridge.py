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
look (`_revoked`). A bridge that stood still for longer than its session must not do that, since its partitions have another
owner: it ends. What it had handed to its connection before it stood still is still sent: that, in a process that was frozen
for more than 10 s while frames were under way and that another one replaced, is where a row can be framed twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)

from infra.bridge.framed import Mark, Ranges, Source, mark_of
from infra.bridge.lane import Cut, Lane, most_rows
from infra.bridge.layout import Layout
from infra.bridge.reading import Read, Reader
from infra.errors import BrokerUnavailable, InfraError, OffsetsGone
from infra.kafka import admin as kafka_admin
from infra.kafka import lenient
from infra.words.language import Phrase
from schemas.parties import Plant, RejectLimit
from schemas.rejected import Rejected, Rejections
from streams import topics
from streams.envelope import ARROW, FRAME, RawRecord, headers, pairs
from streams.refusals import Recent, rejected_message

ROWS, AGE_S = 500, 1.0

#: Messages taken at a time; with fewer than a frame's worth it waits a moment for more.
LOT, LINGER_S, POLL_MS = 5000, 0.01, 100
#: Frames on their way at once.
WINDOW = 64
#: How long none of them may be acknowledged, and how long the end of a bridge may take.
ACK_S, STOP_S = 60.0, 15.0
#: How long a member of the group may be silent before its partitions are given to others.
SESSION_S = 10.0
#: How often is committed and told, and how often the target is asked where it ends.
TICK_S, ENDS_S = 1.0, 600.0

Places = dict[int, int]


class TooManyRejected(InfraError):
    """More rows had to be rejected than may be: the fields are named wrongly, or the source has changed."""

    exit_code = 2

    def __init__(self, told: Rejections, at: str) -> None:
        self.words = Phrase(
            f"{told.rejected} of the last {told.of} rows had to be rejected, up to {at}. Most of them: {told.reason}: "
            f"{told.detail}. These rows were not taken: start the bridge again once the cause is mended, or allow more "
            "with --max-rejected",
            f"최근 {told.of}행 가운데 {told.rejected}행을 받을 수 없어 {at}에서 멈춤. 가장 많은 까닭: {told.reason}: {told.detail}. "
            "이 행들은 아직 처리하지 않았으므로, 원인을 고친 뒤 다시 시작하거나 --max-rejected로 한도를 높일 것",
        )
        super().__init__(self.words.en)


@dataclass(kw_only=True)
class Report:
    """What a bridge has done.

    Attributes:
        rows: in frames that the broker has acknowledged.
        frames: those.
        rejected: messages that were rejected.
        skipped: rows that were passed over, since frames held them already.
        behind: messages that have still to be read; None where that is not known yet.
    """

    rows: int = 0
    frames: int = 0
    rejected: int = 0
    skipped: int = 0
    behind: int | None = None


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something that people should know, once."""

    kind: str
    words: Phrase
    record: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is bridged, and how.

    Attributes:
        topic, source: where the rows come from: a topic, and addresses of its broker.
        target: addresses of the installation's broker.
        rows, age_s: a frame has at most so many rows, and waits no longer for more.
        newest: begin with rows that come from now on, where nothing was read yet; else with the oldest ones.
        until_end: end once everything was read that is there at the start.
    """

    topic: str
    source: str
    target: str
    plant: Plant
    layout: Layout
    limit: RejectLimit
    rows: int = ROWS
    age_s: float = AGE_S
    newest: bool = False
    until_end: bool = False

    @property
    def group(self) -> str:
        """The consumer group of every bridge from this topic to this plant."""
        return f"fp.bridge.{self.plant.id}.{self.topic}"


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
        self.report = Report()
        self._job, self._note, self._progress, self._clock = job, note, progress, clock
        self._reader = Reader(job.layout)
        self._recent = Recent(job.limit)
        #: Unknown fields and reasons that were told.
        self._told: set[str] = set()
        self._reasons: set[str] = set()
        self._rows = most_rows(job.layout.tags, job.rows)
        self._telemetry = topics.telemetry(job.plant.id)
        self._rejections = topics.rejected(job.plant.id)
        self._by = f"/plants/{job.plant.id}"
        self._lanes: dict[int, Lane] = {}
        #: Where the source ended when its partition was taken on; what is committed; where the target ends at the earliest.
        self._until: Places = {}
        self._committed: dict[int, tuple[int, Places]] = {}
        self._ends: Places = {}
        self._on_way: set[asyncio.Future[Any]] = set()
        #: Held while rows are taken or partitions change hands; the number of such changes.
        self._lock, self._epoch = asyncio.Lock(), 0
        self._failed: BaseException | None = None
        self._stopping = False
        self._acknowledged_at = self._ticked_at = self._asked_at = self._alive_at = clock()

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
        self._source = Source(
            topic=job.topic, ident=await _asked(kafka_admin.topic_id, job.source, job.topic)
        )
        self._target_id = await _asked(kafka_admin.topic_id, job.target, self._telemetry)
        self._producer, self._consumer = _producer(job), _consumer(job)
        try:
            await self._producer.start()
            await self._consumer.start()
            self._consumer.subscribe([job.topic], listener=self)
            beat = asyncio.create_task(self._beat())
            try:
                await self._work()
            finally:
                beat.cancel()
        except KafkaConnectionError as error:
            raise BrokerUnavailable from error
        except KafkaError as error:
            raise BrokerUnavailable(f"the broker went away ({error}); start the bridge again") from error
        except asyncio.CancelledError as error:
            raise BrokerUnavailable(
                f"the broker has not acknowledged everything within {STOP_S:g} s; the rest comes at the next start"
            ) from error
        finally:
            for client in (self._consumer, self._producer):
                with suppress(TimeoutError, KafkaError):
                    await asyncio.wait_for(client.stop(), timeout=5)
        return self.report

    _main: asyncio.Task[Any] | None = None

    async def _work(self) -> None:
        while not self._stopping:
            epoch = self._epoch
            fetched = await self._fetch()
            async with self._lock:
                self._check()
                try:
                    if epoch == self._epoch:
                        await self._take_all(fetched)
                except TooManyRejected:
                    await self._drain()
                    raise
                await self._tick()
            if self._job.until_end and not fetched and await self._at_end():
                break
            if sum(map(len, fetched.values())) < self._rows:
                await asyncio.sleep(LINGER_S)
        async with self._lock:
            self._check()
            await self._drain()
        self._progress(self.report)

    async def _beat(self) -> None:
        """Notice when this process stands still."""
        while self._clock() - self._alive_at <= SESSION_S:
            self._alive_at = self._clock()
            await asyncio.sleep(1)

    async def _fetch(self) -> Mapping[TopicPartition, Sequence[Any]]:
        try:
            return await self._consumer.getmany(timeout_ms=POLL_MS, max_records=LOT)  # type: ignore[no-any-return]
        except NoOffsetForPartitionError:
            return {}  # `_assigned` is about to say where to read
        except OffsetOutOfRangeError as error:
            if self._lock.locked():
                return {}
            raise OffsetsGone(
                f"rows of {self._job.topic} were deleted by its retention before they were read; start the bridge again, "
                "it says how many and goes on behind them"
            ) from error

    def _check(self) -> None:
        """Raise what went wrong elsewhere."""
        if self._failed is not None:
            raise self._failed
        now = self._clock()
        if self._on_way and now - self._acknowledged_at > ACK_S:
            raise BrokerUnavailable(
                f"the broker has acknowledged nothing for {ACK_S:g} s; start the bridge again"
            )
        if now - self._alive_at > SESSION_S:
            raise BrokerUnavailable(
                f"this process stood still for more than {SESSION_S:g} s; start the bridge again"
            )

    async def _at_end(self) -> bool:
        lanes = dict(self._lanes)
        if not self._epoch:
            return False
        for partition, lane in lanes.items():
            at = TopicPartition(self._job.topic, partition)
            end = self._until[partition]
            # Transactions leave offsets without a message: then only the reader knows that it has passed them.
            if lane.position < end and await self._consumer.position(at) < end:
                return False
        return True

    # --- rows -----------------------------------------------------------------------------------------------------

    async def _take_all(self, fetched: Mapping[TopicPartition, Sequence[Any]]) -> None:
        for place, records in fetched.items():
            lane = self._lanes[place.partition]
            read = self._reader.read([record.value for record in records], [record.key for record in records])
            self._tell_unknown(read)
            self._stop_at_limit(read, records)
            await self._take(lane, read, records)

    async def _take(self, lane: Lane, read: Read, records: Sequence[Any]) -> None:
        offsets = np.fromiter((record.offset for record in records), dtype=np.int64, count=len(records))
        skipped = lane.skipped
        for place, why in read.rejected:
            await self._reject(lane, records[place], why)
        for cut in lane.add(read.rows, offsets[read.rows.places], self._clock()):
            await self._send(lane, cut)
        lane.position = int(offsets[-1]) + 1
        self.report.skipped += lane.skipped - skipped

    def _tell_unknown(self, read: Read) -> None:
        for name in sorted(read.unknown - self._told):
            self._told.add(name)
            words = Phrase(f"unknown field {name!r} is left out", f"알 수 없는 필드 {name!r}은(는) 무시함")
            self._note(Note(kind="unknown_field", words=words, record={"field": name}))

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
                record = records[place]
                told = self._recent.told(self._job.topic)
                raise TooManyRejected(told, f"{record.topic}:{record.partition}:{record.offset}")

    async def _reject(self, lane: Lane, record: Any, why: Rejected) -> None:
        raw = RawRecord(
            topic=record.topic, partition=record.partition, offset=record.offset, timestamp_ms=record.timestamp,
            key=record.key, value=record.value, headers=pairs(record.headers),
        )  # fmt: skip
        if why.reason not in self._reasons:
            self._reasons.add(why.reason)
            words = Phrase(f"rejected {raw.origin}: {why.detail}", f"거부함 {raw.origin}: {why.detail}")
            more: dict[str, object] = {"origin": raw.origin, "reason": why.reason, "detail": why.detail}
            self._note(Note(kind="rejection", words=words, record=more))
        await self._append(lane, raw.offset, self._rejections, *rejected_message(raw, why, source=self._by))
        self.report.rejected += 1

    async def _send(self, lane: Lane, cut: Cut) -> None:
        ident = self._source.frame_id(lane.partition, cut.asset, cut.first, cut.last)
        listed = headers(FRAME, source=self._by, ident=ident, content=ARROW)
        listed.append(("fp_source", self._source.header(lane.partition, cut.first, cut.last)))
        value = cut.encoded(self._job.layout.tags)
        sent = await self._append(lane, cut.first, self._telemetry, cut.asset.encode(), value, listed)
        sent.add_done_callback(lambda _: self._count(sent, len(cut.offsets)))

    async def _append(
        self, lane: Lane, first: int, topic: str, key: bytes, value: bytes, listed: list[tuple[str, bytes]]
    ) -> asyncio.Future[Any]:
        while len(self._on_way) >= WINDOW:
            await asyncio.wait(self._on_way, timeout=1, return_when=asyncio.FIRST_COMPLETED)
            self._check()
        if not self._on_way:
            self._acknowledged_at = self._clock()
        number = lane.sent(first)
        sent: asyncio.Future[Any] = await self._producer.send(topic, key=key, value=value, headers=listed)
        self._on_way.add(sent)
        sent.add_done_callback(lambda _: self._acknowledge(sent, lane, number))
        return sent

    def _acknowledge(self, sent: asyncio.Future[Any], lane: Lane, number: int) -> None:
        self._on_way.discard(sent)
        if sent.cancelled() or sent.exception() is not None:
            self._failed = self._failed or sent.exception()
            return
        place = sent.result()
        if place.topic == self._telemetry:
            self._ends[place.partition] = max(self._ends.get(place.partition, 0), place.offset + 1)
        lane.acknowledged(number)
        self._acknowledged_at = self._clock()

    def _count(self, sent: asyncio.Future[Any], rows: int) -> None:
        if not sent.cancelled() and sent.exception() is None:
            self.report.frames += 1
            self.report.rows += rows

    # --- what is done from time to time ---------------------------------------------------------------------------

    async def _tick(self) -> None:
        now = self._clock()
        for lane in self._lanes.values():
            for cut in lane.due(now):
                await self._send(lane, cut)
        if now - self._ticked_at < TICK_S:
            return
        self._ticked_at = now
        if now - self._asked_at >= ENDS_S:
            self._asked_at = now
            self._ends |= await _asked(kafka_admin.end_offsets, self._job.target, self._telemetry)
        await self._commit()
        self.report.behind = self._behind()
        self._progress(self.report)

    async def _commit(self) -> bool:
        """Commit what is acknowledged; False where the partitions are on their way to somebody else."""
        wanted = {}
        for partition, lane in self._lanes.items():
            lane.stands(self._ends)
            wanted[partition] = lane.safe()
        changed = {number: one for number, one in wanted.items() if self._committed.get(number) != one}
        if changed:
            try:
                await self._consumer.commit(dict(self._marked(changed)))
            except (CommitFailedError, IllegalStateError):
                return False
            self._committed |= changed
        return True

    def _marked(
        self, wanted: Mapping[int, tuple[int, Places]]
    ) -> Iterator[tuple[TopicPartition, tuple[int, str]]]:
        for partition, (offset, ends) in wanted.items():
            mark = Mark(target=self._target_id, ends=ends)
            yield TopicPartition(self._job.topic, partition), (offset, mark.written())

    def _behind(self) -> int | None:
        ends = {
            partition: self._consumer.highwater(TopicPartition(self._job.topic, partition))
            for partition in self._lanes
        }
        return sum(
            max(0, (end if end is not None else self._until[partition]) - self._lanes[partition].position)
            for partition, end in ends.items()
        )

    async def _drain(self) -> None:
        """Send everything that is held, wait for the broker, and commit."""
        for lane in self._lanes.values():
            for cut in lane.rest():
                await self._send(lane, cut)
        while self._on_way:
            await asyncio.wait(self._on_way, timeout=1)
            self._check()
        self._check()
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
                await self._assigned({place.partition for place in assigned})
            except Exception as error:  # noqa: BLE001 - the group's task would only log it
                self._failed = self._failed or error
            self._epoch += 1

    async def _assigned(self, partitions: set[int]) -> None:
        job = self._job
        notes = await _asked(kafka_admin.group_notes, job.source, job.group, job.topic)
        first = await _asked(kafka_admin.begin_offsets, job.source, job.topic)
        self._until = await _asked(kafka_admin.end_offsets, job.source, job.topic)
        starts = {one: self._start(one, notes, first) for one in partitions}
        since = await self._since(partitions, notes)
        framed = await self._framed(starts, since)
        for partition, start in starts.items():
            self._lanes[partition] = Lane(
                partition, start, assets=job.layout.assets, rows=self._rows, age_s=job.age_s, framed=framed, since=since,
            )  # fmt: skip
            self._consumer.seek(TopicPartition(job.topic, partition), start)
        self._committed = {}
        await self._commit()

    def _start(self, partition: int, notes: Mapping[int, tuple[int, str]], first: Places) -> int:
        committed = notes.get(partition)
        if committed is None:
            return self._until[partition] if self._job.newest else first[partition]
        gone = first[partition] - committed[0]
        if gone > 0:
            at = f"{self._job.topic}:{partition}"
            words = Phrase(
                f"{gone} messages of {at} were deleted by its retention before they were read",
                f"{at}의 메시지 {gone}개가 읽기 전에 보존 기간이 지나 삭제됨",
            )
            self._note(Note(kind="gone", words=words, record={"partition": partition, "messages": gone}))
        return max(committed[0], first[partition])

    async def _since(self, partitions: set[int], notes: Mapping[int, tuple[int, str]]) -> Places:
        """Where frames of rows that are not committed can stand at the earliest; learns where the target ends."""
        job = self._job
        begin = await _asked(kafka_admin.begin_offsets, job.target, self._telemetry)
        self._ends = await _asked(kafka_admin.end_offsets, job.target, self._telemetry)
        marks = [mark_of(notes[one][1]) if one in notes else None for one in partitions]
        known = [mark.ends if mark is not None and mark.target == self._target_id else {} for mark in marks]
        since = {
            number: min((max(begin[number], ends.get(number, 0)) for ends in known), default=end)
            for number, end in self._ends.items()
        }
        count = sum(end - since[number] for number, end in self._ends.items())
        if count and not all(known):
            words = Phrase(
                f"looking through {count} messages of {self._telemetry} for rows that are framed already",
                f"이미 묶인 행을 {self._telemetry}의 메시지 {count}개에서 찾는 중",
            )
            self._note(Note(kind="looking", words=words, record={"messages": count}))
        return since

    async def _framed(self, starts: Places, since: Places) -> Ranges:
        """Which rows from the starts on are in frames already."""

        def look() -> Ranges:
            records = kafka_admin.read_all(self._job.target, self._telemetry, start=since, end=self._ends)
            return self._source.framed(records, starts)

        return await asyncio.to_thread(look)


async def _asked(ask: Callable[..., Any], *given: Any) -> Any:
    return await asyncio.to_thread(ask, *given)


def _producer(job: Job) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=job.target,
        acks="all",
        enable_idempotence=True,
        compression_type="lz4",
        max_request_size=topics.WRITTEN_BYTES,
        max_batch_size=topics.FRAME_BYTES,
        request_timeout_ms=int(ACK_S * 1000),
    )


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
