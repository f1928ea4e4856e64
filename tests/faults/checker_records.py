"""Frames, labels and entries of the ledger, taken apart without the platform's code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from tests.faults.checker_topics import Json, Message

ARROW = "application/vnd.apache.arrow.stream"


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A telemetry message.

    Attributes:
        ident: the id that its sender gave it.
        times_us: int64, shape (n,); None where the message cannot be read.
        values: float64 by tag, each of shape (n,).
    """

    message: Message
    asset: str
    ident: str
    times_us: np.ndarray | None
    values: Mapping[str, np.ndarray] = field(default_factory=dict)


def frame_of(message: Message) -> Frame:
    """Take a telemetry message apart."""
    ident = message.headers.get("ce_id") or f"{message.partition}-{message.offset}"
    frame = Frame(message=message, asset=message.key or "", ident=ident, times_us=None)
    try:
        table = _opened(message.value) if message.headers.get("content-type") == ARROW else _listed(message)
    except (pa.ArrowException, ValueError, KeyError, TypeError, OSError, StopIteration):
        return frame
    if table is None:
        return frame
    times, values = table
    return replace(frame, times_us=times, values=values)


def _opened(value: bytes) -> tuple[np.ndarray, dict[str, np.ndarray]] | None:
    batch = pa.ipc.open_stream(value).read_next_batch()
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    if "ts" not in columns or not batch.num_rows:
        return None
    times = np.asarray(columns.pop("ts").cast(pa.int64()))
    return times, {name: np.asarray(one.cast(pa.float64())) for name, one in columns.items()}


def _listed(message: Message) -> tuple[np.ndarray, dict[str, np.ndarray]] | None:
    rows = message.json()
    rows = rows if isinstance(rows, list) else [rows]
    if not rows:
        return None
    names = sorted({name for row in rows for name in row["values"]})
    found = {
        name: np.array([np.nan if (one := row["values"].get(name)) is None else one for row in rows], float)
        for name in names
    }
    return np.array([micros(row["ts"]) for row in rows]), found


def micros(text: str) -> int:
    """An ISO 8601 moment as whole microseconds since 1970."""
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    seconds = int(moment.replace(microsecond=0).timestamp())
    return seconds * 1_000_000 + moment.microsecond


@dataclass(frozen=True, kw_only=True)
class Label:
    """One label message: an interval, a withdrawal (no value), or points with their times or positions."""

    message: Message
    asset: str
    ident: str
    value: float | None = None
    start_us: int = 0
    end_us: int = 0
    #: The telemetry frame that points belong to, by position; without it they are joined by time.
    frame: str | None = None
    times_us: np.ndarray | None = None
    values: np.ndarray | None = None

    @property
    def offset(self) -> int:
        return self.message.offset

    def span(self) -> tuple[int, int]:
        """From its first moment on, and before its last."""
        if self.times_us is None:
            return self.start_us, self.end_us
        return int(self.times_us.min()), int(self.times_us.max()) + 1


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A watermark: the labels of an asset are complete before that time."""

    message: Message
    asset: str
    until_us: int


def label_of(message: Message, agreement: Json) -> Label | Mark | None:
    """Take a label message apart, by the agreement's classes; None where it is none for it."""
    if message.key not in agreement["assets"]:
        return None
    if message.headers.get("content-type") == ARROW:
        return _points(message, agreement)
    told = message.json()
    asset, kind = told["asset"], told["kind"]
    if kind == "watermark":
        return Mark(message=message, asset=asset, until_us=micros(told["until"]))
    if kind == "withdrawal":
        return Label(message=message, asset=asset, ident=told["id"])
    start = micros(told["ts"] if kind == "point" else told["start"])
    end = start + 1 if kind == "point" else micros(told["end"])
    value = code(told["value"], agreement)
    return Label(message=message, asset=asset, ident=told["id"], value=value, start_us=start, end_us=end)


def _points(message: Message, agreement: Json) -> Label:
    batch = pa.ipc.open_stream(message.value).read_next_batch()
    told = [None if one is None else code(one, agreement) for one in batch.column("value").to_pylist()]
    return Label(
        message=message,
        asset=message.key or "",
        ident=message.headers.get("ce_id") or f"{message.partition}-{message.offset}",
        frame=message.headers.get("fp_frame"),
        times_us=np.asarray(batch.column("ts").cast(pa.int64())),
        values=np.array([np.nan if one is None else one for one in told], float),
    )


def code(value: Any, agreement: Json) -> float:
    """The number of a label value: the place of its class, or the number itself."""
    classes = agreement.get("classes") or []
    if not classes:
        return float(value)
    return float(classes.index(value)) if value in classes else float(value)


# --- entries of the ledger --------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An entry: its own words, and its columns where it has rows."""

    message: Message
    told: Json
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        return str(self.told["kind"])

    def rows(self, name: str) -> np.ndarray:
        """The columns `name_0`, `name_1`, … on top of one another; None of them: shape (0, 0)."""
        found = [self.columns[one] for one in sorted(self.columns) if one.startswith(f"{name}_")]
        return np.vstack(found) if found else np.empty((0, 0))


def entries_of(messages: Iterable[Message], pairing: str) -> list[Entry]:
    """The entries of one pairing, in the order of the ledger."""
    return [entry_of(one) for one in messages if one.key == pairing]


def entry_of(message: Message) -> Entry:
    """Take an entry apart."""
    if message.headers.get("content-type") != ARROW:
        return Entry(message=message, told=message.json())
    batch = pa.ipc.open_stream(message.value).read_next_batch()
    told = json.loads(batch.schema.metadata[b"fieldproof"])
    columns = {name: np.asarray(one) for name, one in zip(batch.schema.names, batch.columns, strict=True)}
    return Entry(message=message, told=told, columns=columns)


def with_words(entry: Entry, **told: Any) -> Message:
    """The message of an entry that says something else."""
    words = {**entry.told, **told}
    if not entry.columns:
        return replace(entry.message, value=json.dumps(words).encode())
    batch = pa.ipc.open_stream(entry.message.value).read_next_batch()
    batch = batch.replace_schema_metadata({b"fieldproof": json.dumps(words).encode()})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return replace(entry.message, value=bytes(sink.getvalue()))
