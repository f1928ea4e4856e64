"""Rejected messages: the original bytes with where they came from and why; and how many of them are too many."""

from __future__ import annotations

from collections import Counter, deque

from schemas.parties import RejectLimit
from schemas.rejected import Rejected, Rejections
from streams.envelope import REJECTED, REPLAYED, REPLAYED_HEADER, Headers, RawRecord, headers
from streams.topics import MESSAGE_BYTES

#: Header of the note that a message was sent again: where it stands now.
REPLAYED_TO = "fp_replayed_to"


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


def sent_again(record: RawRecord) -> tuple[bytes | None, bytes | None, Headers]:
    """Key, value and headers of a message that was rejected and is sent again: its own, and where it stood first.

    It keeps its id, or gets the one that it was called by: under one id it counts once.
    """
    listed = list(record.headers)
    if record.header("ce_id") != record.ident:
        listed.append(("ce_id", record.ident.encode()))
    if record.header(REPLAYED_HEADER) is None:
        listed.append((REPLAYED_HEADER, record.origin.encode()))
    return record.key, record.value, listed


def replayed_message(origin: str, now: str, *, source: str) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers of the note that a rejected message was sent again, and where it stands now."""
    listed = headers(REPLAYED, source=source, ident=now, content="application/octet-stream")
    return origin.encode(), b"", [*listed, (REPLAYED_TO, now.encode())]


class Recent:
    """The last messages that were looked at: which of them were rejected, and why."""

    def __init__(self, limit: RejectLimit) -> None:
        self._limit = limit
        self._last: deque[Rejected | None] = deque(maxlen=limit.last)
        #: Of these; counted along, as every message is noted.
        self._rejected = 0

    def note(self, why: Rejected | None) -> None:
        """One more; None where it was taken."""
        if len(self._last) == self._limit.last and self._last[0] is not None:
            self._rejected -= 1
        self._last.append(why)
        self._rejected += why is not None

    def too_many(self) -> bool:
        """Whether more were rejected than may be."""
        return self._rejected >= self._limit.at_least and self._rejected > self._limit.share * len(self._last)

    def told(self, topic: str) -> Rejections:
        """The figures, where any was rejected."""
        rejected = [why for why in self._last if why is not None]
        ((reason, _),) = Counter(why.reason for why in rejected).most_common(1)
        detail = next(why.detail for why in reversed(rejected) if why.reason == reason)
        return Rejections(
            topic=topic, rejected=len(rejected), of=len(self._last), reason=reason, detail=detail[:500]
        )
