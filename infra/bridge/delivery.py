"""What a bridge sends: appended in order, and counted when the broker has it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaProducer

from infra.bridge.framed import SOURCE_HEADER, Source
from infra.bridge.job import Job, Report
from infra.bridge.lane import Cut, Lane
from infra.errors import BrokerUnavailable
from schemas.rejected import Rejected
from streams import topics
from streams.envelope import ARROW, FRAME, Headers, RawRecord, headers
from streams.refusals import rejected_message

#: Messages on their way at once, and how long none of them may be acknowledged.
WINDOW, ACK_S = 64, 60.0


class Delivery:
    """The way to a plant's telemetry and rejections."""

    def __init__(
        self, job: Job, source: Source, report: Report, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.telemetry, self._rejections = topics.telemetry(job.plant.id), topics.rejected(job.plant.id)
        #: Where the telemetry's partitions end, or ended before.
        self.ends: dict[int, int] = {}
        self._tags, self._by = job.layout.tags, f"/plants/{job.plant.id}"
        self._source, self._report, self._clock = source, report, clock
        self._on_way: set[asyncio.Future[Any]] = set()
        self._failed: BaseException | None = None
        self._acknowledged_at = clock()
        self._producer = AIOKafkaProducer(
            bootstrap_servers=job.target,
            acks="all",
            enable_idempotence=True,
            # aiokafka's lz4 works at level 9, a fifth of the bridge's time; this is smaller, at a quarter of that.
            compression_type="zstd",
            max_request_size=topics.WRITTEN_BYTES,
            max_batch_size=topics.FRAME_BYTES,
            request_timeout_ms=int(ACK_S * 1000),
        )

    async def start(self) -> None:
        """Connect. Raises KafkaError."""
        await self._producer.start()

    async def stop(self) -> None:
        """Disconnect; what is not acknowledged is sent as far as it goes."""
        await self._producer.stop()

    async def frame(self, lane: Lane, cut: Cut) -> None:
        """Append a frame."""
        ident = self._source.frame_id(lane.partition, cut.asset, cut.first, cut.last)
        listed = headers(FRAME, source=self._by, ident=ident, content=ARROW)
        listed.append((SOURCE_HEADER, self._source.header(lane.partition, cut.first, cut.last)))
        value = cut.encoded(self._tags)
        await self._append(
            lane, cut.first, self.telemetry, cut.asset.encode(), value, listed, rows=len(cut.offsets)
        )

    async def rejection(self, lane: Lane, record: RawRecord, why: Rejected) -> None:
        """Append what cannot be taken, with the reason."""
        self._report.rejected += 1
        key, value, listed = rejected_message(record, why, source=self._by)
        await self._append(lane, record.offset, self._rejections, key, value, listed)

    async def all_acknowledged(self) -> None:
        """Wait until nothing is on its way. Raises as `check` does."""
        while self._on_way:
            await asyncio.wait(self._on_way, timeout=1)
            self.check()
        self.check()

    def check(self) -> None:
        """Raise what became of something that was sent, and BrokerUnavailable where nothing is acknowledged."""
        if self._failed is not None:
            raise self._failed
        if self._on_way and self._clock() - self._acknowledged_at > ACK_S:
            raise BrokerUnavailable(
                f"the broker has acknowledged nothing for {ACK_S:g} s; start the bridge again"
            )

    async def _append(
        self, lane: Lane, first: int, topic: str, key: bytes, value: bytes, listed: Headers, *, rows: int = 0
    ) -> None:
        while len(self._on_way) >= WINDOW:
            await asyncio.wait(self._on_way, timeout=1, return_when=asyncio.FIRST_COMPLETED)
            self.check()
        if not self._on_way:
            self._acknowledged_at = self._clock()
        number = lane.sent(first)
        sent: asyncio.Future[Any] = await self._producer.send(topic, key=key, value=value, headers=listed)
        self._on_way.add(sent)
        sent.add_done_callback(lambda _: self._done(sent, lane, number, rows))

    def _done(self, sent: asyncio.Future[Any], lane: Lane, number: int, rows: int) -> None:
        self._on_way.discard(sent)
        if sent.cancelled() or sent.exception() is not None:
            self._failed = self._failed or (None if sent.cancelled() else sent.exception())
            return
        place = sent.result()
        if rows:
            self.ends[place.partition] = max(self.ends.get(place.partition, 0), place.offset + 1)
            self._report.frames += 1
            self._report.rows += rows
        lane.acknowledged(number)
        self._acknowledged_at = self._clock()
