"""Rejected messages: the original bytes with where they came from and why."""

from __future__ import annotations

from schemas.rejected import Rejected
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
