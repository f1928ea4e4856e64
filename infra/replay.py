"""Sending a planned replay to Kafka: everything acknowledged, at the pace of the rows' own times or as fast as it goes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.errors import BrokerResponseError, KafkaConnectionError, KafkaError

from infra.errors import BrokerRefused, BrokerUnavailable, InfraError
from infra.kafka.admin import end_offsets
from schemas.labels import IntervalLabel, PointLabel
from streams import topics
from streams.export_columns import Layout
from streams.export_labels import LabelFile, parse_labels
from streams.export_plan import Planned
from streams.export_text import Problem
from streams.exports import Export, parse

#: Messages on their way at once: enough to keep a broker busy, few enough to send again.
WINDOW = 64
BATCH_BYTES = topics.FRAME_BYTES
#: How long one message may go without an acknowledgement.
ACK_S = 60.0


class BadExport(InfraError):
    """Files cannot be sent as they are. Nothing was sent."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class ReplayBroken(BrokerUnavailable):
    """The broker went away during a replay."""

    exit_code = 3

    def __init__(self, report: ReplayReport, detail: str) -> None:
        done = report.acknowledged
        super().__init__(
            f"the broker went away ({detail}). {done} messages are acknowledged: {report.frames} frames with "
            f"{report.rows} rows{_until(report)}. Once it is back, run the same command with --from {done}: it sends what "
            f"is left, with the same ids; up to {WINDOW} messages may then arrive twice."
        )
        self.report = report


def _until(report: ReplayReport) -> str:
    ends = ", ".join(f"{asset} {count}" for asset, count in report.assets.items())
    return f" ({ends})" if ends else ""


@dataclass(kw_only=True)
class ReplayReport:
    """What has been acknowledged by the broker.

    Attributes:
        acknowledged: messages of the plan, counted from its start.
        labels: label records; label_frames: messages with the labels of a frame's rows.
        bytes: of the values, before compression.
        assets: rows by machine.
    """

    acknowledged: int = 0
    frames: int = 0
    rows: int = 0
    labels: int = 0
    label_frames: int = 0
    watermarks: int = 0
    bytes: int = 0
    assets: dict[str, int] = field(default_factory=dict)

    def count(self, message: Planned) -> None:
        """Count one message."""
        self.acknowledged += 1
        self.frames += message.kind == "frame"
        self.labels += message.kind == "label"
        self.label_frames += message.kind == "label_frame"
        self.watermarks += message.kind == "watermark"
        self.rows += message.rows
        self.bytes += len(message.value)
        if message.rows:
            self.assets[message.asset] = self.assets.get(message.asset, 0) + message.rows


Progress = Callable[[ReplayReport], None]


def read_exports(paths: Sequence[Path], layout: Layout) -> list[Export]:
    """Read files of telemetry. Raises BadExport with everything that is wrong with any of them."""
    found = [parse(_read(path), layout, file=str(path)) for path in paths]
    _raise_for([problem for each in found if isinstance(each, list) for problem in each])
    return [each for each in found if isinstance(each, Export)]


def read_labels(
    paths: Sequence[Path], layout: Layout, *, columns: dict[str, str], value: str | None
) -> list[LabelFile]:
    """Read files of labels. Raises BadExport with everything that is wrong with any of them."""
    found = [
        parse_labels(_read(path), layout, file=str(path), columns=columns, value=value) for path in paths
    ]
    _raise_for([problem for each in found if isinstance(each, list) for problem in each])
    return [each for each in found if isinstance(each, LabelFile)]


def labels_of(files: Iterable[LabelFile]) -> list[IntervalLabel | PointLabel]:
    """The labels of all files."""
    return [label for file in files for label in file.labels]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadExport([Problem(file=str(path), detail=error.strerror or str(error))]) from error


def _raise_for(problems: Sequence[Problem]) -> None:
    if problems:
        raise BadExport(problems)


def replay(
    plan: Iterable[Planned],
    *,
    bootstrap: str,
    plant: str,
    speed: float | None = None,
    skip: int = 0,
    progress: Progress = lambda _: None,
    ack_s: float = ACK_S,
) -> ReplayReport:
    """Send a plan, in its order, and wait until the broker has all of it.

    Args:
        plan: the messages.
        bootstrap: addresses of the broker.
        plant: whose topics they go to.
        speed: data seconds a second; None is as fast as it goes.
        skip: so many messages of the plan have been sent before and are passed over.
        progress: told after every acknowledgement.
        ack_s: how long one message may go without being acknowledged, in seconds.

    Raises:
        BrokerUnavailable: no broker answers; as ReplayBroken, which tells what is acknowledged, where it went away.
        BrokerRefused: it does not take a message.
        TopicMissing: the plant's topics are not there.
    """
    for topic in (topics.telemetry(plant), topics.labels(plant)):
        end_offsets(bootstrap, topic)
    sending = _Sending(plant=plant, speed=speed, skip=skip, progress=progress, ack_s=ack_s)
    return asyncio.run(sending.run(plan, bootstrap))


class _Sending:
    """One replay on its way."""

    def __init__(
        self, *, plant: str, speed: float | None, skip: int, progress: Progress, ack_s: float
    ) -> None:
        self.plant, self.speed, self.skip, self.progress, self.ack_s = plant, speed, skip, progress, ack_s
        self.report = ReplayReport(acknowledged=skip)
        self.on_way: deque[tuple[Planned, asyncio.Future[object]]] = deque()
        self.origin: tuple[float, int] | None = None

    async def run(self, plan: Iterable[Planned], bootstrap: str) -> ReplayReport:
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            max_request_size=topics.MESSAGE_BYTES,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=int(self.ack_s * 1000),
        )
        try:
            await producer.start()
        except KafkaConnectionError as error:
            raise BrokerUnavailable() from error
        try:
            await self._send_all(plan, producer)
        except (KafkaError, TimeoutError) as error:
            raise self._translated(error) from error
        finally:
            with suppress(TimeoutError, KafkaError):
                await asyncio.wait_for(producer.stop(), timeout=5)
        return self.report

    async def _send_all(self, plan: Iterable[Planned], producer: AIOKafkaProducer) -> None:
        for number, message in enumerate(plan):
            if number < self.skip:
                continue
            await self._pace(message.at_us)
            while len(self.on_way) >= WINDOW or (self.on_way and self.on_way[0][1].done()):
                await self._acknowledge()
            future = await asyncio.wait_for(self._send(message, producer), timeout=self.ack_s)
            self.on_way.append((message, future))
        while self.on_way:
            await self._acknowledge()

    async def _send(self, message: Planned, producer: AIOKafkaProducer) -> asyncio.Future[object]:
        future: asyncio.Future[object] = await producer.send(
            message.topic(self.plant),
            key=message.asset.encode(),
            value=message.value,
            headers=message.headers(self.plant),
        )
        return future

    async def _acknowledge(self) -> None:
        message, future = self.on_way[0]
        await asyncio.wait_for(asyncio.shield(future), timeout=self.ack_s)
        self.on_way.popleft()
        self.report.count(message)
        self.progress(self.report)

    async def _pace(self, at_us: int) -> None:
        """Wait until the replay may be at this time of the data."""
        if self.speed is None:
            return
        now = asyncio.get_running_loop().time()
        if self.origin is None:
            self.origin = (now, at_us)
        wait = due_s(at_us, origin=self.origin, speed=self.speed) - now
        while self.on_way and self.on_way[0][1].done():
            await self._acknowledge()
        if wait > 0:
            await asyncio.sleep(wait)

    def _translated(self, error: Exception) -> InfraError:
        detail = str(error) or type(error).__name__
        if isinstance(error, BrokerResponseError) and not error.retriable:
            return BrokerRefused(f"the broker refused a message: {detail}")
        for _, future in self.on_way:
            future.cancel()
        return ReplayBroken(self.report, detail)


def due_s(at_us: int, *, origin: tuple[float, int], speed: float) -> float:
    """When a message is due on the clock by which the replay started: `origin` is that clock's time and the data's."""
    started_s, first_us = origin
    return started_s + (at_us - first_us) / 1_000_000 / speed
