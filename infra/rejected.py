"""Rejected messages as their plant reads them: each once, however many workers could not take it; and sent again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from infra.client import Client
from infra.errors import InfraError, OffsetsGone
from infra.kafka import admin as kafka_admin
from streams import topics
from streams.envelope import REJECTED, REPLAYED, RawRecord
from streams.refusals import REPLAYED_TO, replayed_message, sent_again


class NotReplayed(InfraError):
    """The message cannot be sent again."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """One message that could not be taken.

    Attributes:
        topic, partition, offset: where it stands.
        reason, detail: why, as the first worker said that could not take it.
        at: when that was, by the worker's clock.
        size: its bytes; what is kept may be cut off.
        kept: where its bytes are kept in the topic of rejections.
        replayed: where it was sent again.
    """

    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    at: datetime
    size: int
    kept: int
    replayed: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """Where it stands: `topic:partition:offset`."""
        return f"{self.topic}:{self.partition}:{self.offset}"

    def to_dict(self) -> dict[str, object]:
        """The rejection as plain JSON values."""
        return {
            "origin": self.origin,
            "reason": self.reason,
            "detail": self.detail,
            "at": self.at.isoformat(),
            "bytes": self.size,
            "replayed_to": list(self.replayed),
        }


def read(bootstrap: str, plant: str) -> dict[str, Rejection]:
    """What was rejected of a plant so far, by origin, in the order in which it was rejected.

    Raises:
        BrokerUnavailable: the broker does not answer.
        TopicMissing: there is no such plant.
    """
    return gather(kafka_admin.read_all(bootstrap, topics.rejected(plant)))


def gather(records: Iterable[RawRecord]) -> dict[str, Rejection]:
    """The rejections in messages of a plant's topic of rejections, each once."""
    found: dict[str, Rejection] = {}
    for record in records:
        origin = (record.key or b"").decode(errors="replace")
        known = found.get(origin)
        match record.header("ce_type"):
            case kind if kind == REJECTED and known is None:
                rejection = _rejection(record)
                if rejection is not None and rejection.origin == origin:
                    found[origin] = rejection
            case kind if kind == REPLAYED and known is not None:
                found[origin] = replace(
                    known, replayed=(*known.replayed, record.header(REPLAYED_TO) or "unknown")
                )
    return found


def _rejection(record: RawRecord) -> Rejection | None:
    """The rejection in a message; None where it holds none."""
    try:
        return Rejection(
            topic=record.header("fp_topic") or "",
            partition=int(record.header("fp_partition") or ""),
            offset=int(record.header("fp_offset") or ""),
            reason=record.header("fp_reason") or "",
            detail=record.header("fp_detail") or "",
            at=datetime.fromtimestamp(record.timestamp_ms / 1000, UTC),
            size=int(record.header("fp_bytes") or len(record.value or b"")),
            kept=record.offset,
        )
    except (ValueError, OverflowError):
        return None


def plant_of(origin: str) -> str | None:
    """The plant that an origin's topic is of; None where it is of none."""
    topic = origin.partition(":")[0]
    for name in (topics.telemetry, topics.labels, topics.ledger):
        if topic.startswith(name("")) and topic != name(""):
            return topic.removeprefix(name(""))
    return None


def original(bootstrap: str, rejection: Rejection) -> RawRecord | None:
    """The message itself, with its key and headers; None where its topic keeps it no longer.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    place, offset = rejection.partition, rejection.offset
    try:
        found = kafka_admin.read_all(
            bootstrap, rejection.topic, start={place: offset}, end={place: offset + 1}
        )
        return next((record for record in found if record.offset == offset), None)
    except OffsetsGone:
        return None


def kept(bootstrap: str, plant: str, rejection: Rejection) -> bytes:
    """The bytes that are kept with a rejection.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    start, end = {0: rejection.kept}, {0: rejection.kept + 1}
    for record in kafka_admin.read_all(bootstrap, topics.rejected(plant), start=start, end=end):
        return record.value or b""
    return b""


def replay(client: Client, plant: str, rejection: Rejection) -> str:
    """Send a rejected message again to the place that it came from, as the plant; gives where it stands now.

    Its id stays the same, so that it counts once however often it is sent. Between the message and the note that it was
    sent a crash leaves no note: it is sent once more, and counts once.

    Raises:
        NotReplayed: it is none of the plant's own messages, too large, or not kept any more.
        BrokerUnavailable: the broker does not answer.
    """
    if rejection.topic not in (topics.telemetry(plant), topics.labels(plant)):
        raise NotReplayed(
            f"{rejection.origin} was not sent by the plant: only telemetry and labels are replayed"
        )
    if rejection.size > topics.MESSAGE_BYTES:
        raise NotReplayed(
            f"{rejection.origin} has {rejection.size} bytes, {topics.MESSAGE_BYTES} are allowed: divide it"
        )
    record = original(client.bootstrap, rejection)
    if record is None:
        raise NotReplayed(f"{rejection.origin} is not to be had any more; send it from its source")
    key, value, listed = sent_again(record)
    partition, offset = client.send(record.topic, key, value, listed, partition=record.partition)
    now = f"{record.topic}:{partition}:{offset}"
    client.send(topics.rejected(plant), *replayed_message(record.origin, now, source=f"/plants/{plant}"))
    return now
