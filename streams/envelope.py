"""The envelope of every message: CloudEvents 1.0 in Kafka's binary mode, attributes as `ce_…` headers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

ARROW = "application/vnd.apache.arrow.stream"
JSON = "application/json"

#: Header of a label frame: the id of the telemetry frame whose rows it labels, position by position.
FRAME_HEADER = "fp_frame"

#: Header of a message that was rejected and is sent again: where it stood when it was sent first.
REPLAYED_HEADER = "fp_replayed_from"

Headers = list[tuple[str, bytes]]

#: The longest id of a message: ids are written into every entry that comes of it.
IDENT_CHARS = 200

# Types of what is not in the record's own `kind`.
FRAME = "fieldproof.telemetry.frame"
ROWS = "fieldproof.telemetry.rows"
LABEL = "fieldproof.label"
LABEL_FRAME = "fieldproof.label.frame"
REQUEST = "fieldproof.request"
FACT = "fieldproof.fact"
PAIRING = "fieldproof.pairing"
LEDGER_ENTRY = "fieldproof.ledger.entry"
LEDGER_OUTCOME = "fieldproof.ledger.outcome"
LEDGER_LABELS = "fieldproof.ledger.labels"
EVALUATION = "fieldproof.evaluation"
VERDICT = "fieldproof.verdict"
FEED = "fieldproof.feed"
REJECTED = "fieldproof.rejected"
REPLAYED = "fieldproof.rejected.replayed"


@dataclass(frozen=True, kw_only=True)
class RawRecord:
    """A message as the broker holds it. `timestamp_ms` is the append time where the topic says so."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    def header(self, name: str) -> str | None:
        """The last header of that name, as text; None where there is none or it is no UTF-8."""
        for key, value in reversed(self.headers):
            if key == name:
                try:
                    return value.decode()
                except (UnicodeDecodeError, AttributeError):
                    return None
        return None

    @property
    def ident(self) -> str:
        """The id that its sender gave it; where it stands, if there is none or it is no name any more."""
        given = self.header("ce_id")
        return given if given and len(given) <= IDENT_CHARS else f"{self.partition}-{self.offset}"

    @property
    def origin(self) -> str:
        """Where it stands: `topic:partition:offset`."""
        return f"{self.topic}:{self.partition}:{self.offset}"


def headers(
    kind: str, *, source: str, ident: str, content: str = JSON, at: datetime | None = None
) -> Headers:
    """The attributes of one message.

    Args:
        kind: the CloudEvents type, one of this module's names.
        source: who made it, as a URI reference such as `/plants/ansan-1`.
        ident: unique within the source.
        content: the media type of the value.
        at: when it happened; left out where the broker's append time is the clock.
    """
    listed = [
        ("ce_specversion", b"1.0"),
        ("ce_type", kind.encode()),
        ("ce_source", source.encode()),
        ("ce_id", ident.encode()),
        ("content-type", content.encode()),
    ]
    if at is not None:
        listed.append(("ce_time", at.astimezone(UTC).isoformat().replace("+00:00", "Z").encode()))
    return listed


def pairs(raw: Any) -> tuple[tuple[str, bytes], ...]:
    """Headers in whatever form a client library gives them, as pairs of name and bytes."""
    items = raw.items() if isinstance(raw, dict) else raw or ()
    return tuple(
        (name.decode(errors="replace") if isinstance(name, bytes) else str(name), bytes(value or b""))
        for name, value in items
    )
