"""What the broker's clock says: when it appended what, and how many rows a second that makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from kafka import KafkaConsumer, TopicPartition

from infra.kafka import admin
from streams.topics import FRAME_BYTES, TopicSpec


@dataclass(frozen=True, kw_only=True)
class Span:
    """So many messages from the first append to the last.

    Messages of one batch are appended at one time: those of the first batch were made before it, so they do not count.
    """

    messages: int
    first_ms: int
    last_ms: int
    #: Of the messages those that were appended after the first of them.
    after_first: int

    @property
    def per_s(self) -> float:
        """Messages a second; 0 where all came at once and nothing can be said."""
        took_ms = self.last_ms - self.first_ms
        return self.after_first / took_ms * 1000 if took_ms else 0.0

    @property
    def seconds(self) -> float:
        """How long all of them take at that rate."""
        return self.messages / self.per_s if self.per_s else 0.0


def span(appended_ms: Sequence[int]) -> Span:
    """The span of messages that were appended at these moments, in any order; at least one."""
    moments = np.sort(np.asarray(appended_ms, dtype=np.int64))
    return Span(
        messages=moments.size,
        first_ms=int(moments[0]),
        last_ms=int(moments[-1]),
        after_first=int(np.count_nonzero(moments > moments[0])),
    )


def ensure(bootstrap: str, *names: str, partitions: int = 1) -> None:
    """Make topics whose times are the broker's."""
    config = {"message.timestamp.type": "LogAppendTime", "max.message.bytes": str(2 * FRAME_BYTES)}
    admin.ensure_topics(
        bootstrap, [TopicSpec(name=name, partitions=partitions, config=config) for name in names]
    )


def appended(bootstrap: str, topic: str, start: int) -> list[int]:
    """When each message of a topic with one partition was appended, from an offset on."""
    return [record.timestamp_ms for record in admin.read_all(bootstrap, topic, start={0: start})]


class End:
    """Where a topic ends, asked often over one connection."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._consumer = KafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        self._place = TopicPartition(topic, 0)

    def __call__(self) -> int:
        """The next offset of its first partition."""
        return int(self._consumer.end_offsets([self._place])[self._place])

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()
