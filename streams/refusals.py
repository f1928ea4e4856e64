"""Rejected messages: the original bytes with where they came from and why; and how many of them are too many."""

from __future__ import annotations

from collections import Counter, deque

from schemas.parties import RejectLimit
from schemas.rejected import Rejected, Rejections
from streams.envelope import REJECTED, Headers, RawRecord, headers
from streams.topics import MESSAGE_BYTES


def rejected_message(record: RawRecord, why: Rejected, *, source: str) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers of the message that keeps a rejected one.

    The key is the origin, so that a message which several workers could not read is recognised as one. A value is kept as
    far as a message may go: one that its sender compressed can be larger than what any topic would take from us.
    """
    listed = headers(REJECTED, source=source, ident=record.origin, content="application/octet-stream")
    listed += [
        ("fp_topic", record.topic.encode()),
        ("fp_partition", str(record.partition).encode()),
        ("fp_offset", str(record.offset).encode()),
        ("fp_bytes", str(len(record.value or b"")).encode()),
        ("fp_reason", why.reason.encode()),
        ("fp_detail", why.detail[:2000].encode()),
    ]
    return record.origin.encode(), (record.value or b"")[:MESSAGE_BYTES], listed


class Recent:
    """The last messages that were looked at: which of them were rejected, and why."""

    def __init__(self, limit: RejectLimit) -> None:
        self._limit = limit
        self._last: deque[Rejected | None] = deque(maxlen=limit.last)

    def note(self, why: Rejected | None) -> None:
        """One more; None where it was taken."""
        self._last.append(why)

    def too_many(self) -> bool:
        """Whether more were rejected than may be."""
        rejected = sum(why is not None for why in self._last)
        return rejected >= self._limit.at_least and rejected > self._limit.share * len(self._last)

    def told(self, topic: str) -> Rejections:
        """The figures, where any was rejected."""
        rejected = [why for why in self._last if why is not None]
        ((reason, _),) = Counter(why.reason for why in rejected).most_common(1)
        detail = next(why.detail for why in reversed(rejected) if why.reason == reason)
        return Rejections(
            topic=topic, rejected=len(rejected), of=len(self._last), reason=reason, detail=detail[:500]
        )
