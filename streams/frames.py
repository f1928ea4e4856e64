"""Frames (데이터 묶음): batches of rows of one asset, as Arrow IPC or as JSON rows.

A frame is one complete Arrow IPC stream with one record batch: `ts` as timestamp[us, UTC] and one column a tag, matched
by name, primitive types only. It is checked in full before any of it is used.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from schemas.columns import array_of
from schemas.rejected import Rejected
from schemas.telemetry import JsonRow
from streams.arrow_size import opened_bytes
from streams.envelope import ARROW, RawRecord
from streams.topics import FRAME_BYTES

TS = "ts"
TS_TYPE = pa.timestamp("us", tz="UTC")

#: What a frame may hold once it is open, in bytes: a compressed one may not grow without bound.
OPEN_BYTES = 64 * FRAME_BYTES
#: Eight bytes a row for its time and for each subject's answer and score: an outcome of so many rows fits into the ledger.
MAX_ROWS = 65_536

_TOO_MUCH = "the frame opens to too many rows; send fewer rows a frame"

_ROWS: TypeAdapter[list[JsonRow]] = TypeAdapter(list[JsonRow])
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Rows of one asset.

    Attributes:
        asset: the machine, from the message's key.
        ident: the frame's id; rows are identified by frame and position.
        batch: `ts` and the tags, n rows.
        raw: the Arrow stream as it came, or None where the rows came as JSON.
    """

    asset: str
    ident: str
    batch: pa.RecordBatch
    raw: bytes | None

    @property
    def rows(self) -> int:
        return int(self.batch.num_rows)

    def times(self) -> np.ndarray:
        """Times of the rows: int64, microseconds since 1970, shape (n,)."""
        return array_of(self.batch.column(self.batch.schema.get_field_index(TS)))


def micros(moment: datetime) -> int:
    """A moment as whole microseconds since 1970, without going through a float."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def moment(us: int) -> datetime:
    """Microseconds since 1970 as a moment in UTC."""
    return _EPOCH + timedelta(microseconds=us)


def encode_frame(times_us: np.ndarray, values: Mapping[str, np.ndarray]) -> bytes:
    """One Arrow IPC stream of the rows.

    Args:
        times_us: int64, microseconds since 1970, shape (n,).
        values: one array of shape (n,) a tag; not-a-number is missing.
    """
    columns: dict[str, pa.Array[Any]] = {TS: pa.array(times_us, type=pa.int64()).cast(TS_TYPE)}
    columns.update({tag: _column(array) for tag, array in values.items()})
    return encode_batch(pa.RecordBatch.from_pydict(columns))


def _column(array: np.ndarray) -> pa.Array[Any]:
    # A float that is not a number is a missing value.
    column: pa.Array[Any] = pa.array(array, from_pandas=array.dtype.kind == "f")
    return column


def encode_batch(batch: pa.RecordBatch) -> bytes:
    """One complete Arrow IPC stream holding that batch."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def decode_frame(record: RawRecord, *, tags: Sequence[str] | None = None) -> Frame | Rejected:
    """Read a telemetry message, Arrow or JSON, in full; what cannot be read is a value that says why.

    Args:
        record: the message; its key is the asset.
        tags: the plant's tags; a column that is none of them is refused. None skips that check.
    """
    if record.value is None or not record.key:
        return Rejected(
            reason="not_readable", detail="the message needs the asset as its key and rows as its value"
        )
    try:
        asset = record.key.decode()
    except UnicodeDecodeError:
        return Rejected(reason="not_readable", detail="the key is not UTF-8; it has to be the asset's name")
    if len(record.value) > FRAME_BYTES:
        return Rejected(
            reason="too_large",
            detail=f"the frame has {len(record.value)} bytes, {FRAME_BYTES} are allowed; send fewer rows a frame",
        )
    content = record.header("content-type")
    arrow = content == ARROW or (content is None and record.value[:4] == b"\xff\xff\xff\xff")
    batch = read_arrow(record.value) if arrow else _read_json(record.value)
    if isinstance(batch, Rejected):
        return batch
    problem = _check(batch, tags)
    if problem is not None:
        return problem
    return Frame(asset=asset, ident=record.ident, batch=batch, raw=record.value if arrow else None)


def read_arrow(value: bytes) -> pa.RecordBatch | Rejected:
    """The only record batch of a complete Arrow IPC stream, validated in full."""
    try:
        with pa.ipc.open_stream(value) as reader:
            columns = [(field.name, field.type) for field in reader.schema]
            nested = [name for name, kind in columns if not _primitive(kind)]
            if nested:
                return Rejected(
                    reason="wrong_type",
                    detail=f"columns {', '.join(nested)} are not numbers, booleans, texts or times",
                )
            # Before anything is decompressed: a few kilobytes can hold gigabytes.
            if opened_bytes(value) > OPEN_BYTES:
                return Rejected(reason="too_large", detail=_TOO_MUCH)
            batch = reader.read_next_batch()
            # Columns may lie on top of one another in the stream: as numbers side by side they would not.
            if batch.num_rows > MAX_ROWS or 8 * batch.num_rows * batch.num_columns > OPEN_BYTES:
                return Rejected(reason="too_large", detail=_TOO_MUCH)
            batch.validate(full=True)
            if next(iter(reader), None) is not None:
                return Rejected(
                    reason="not_readable", detail="a frame is one Arrow stream with one record batch"
                )
    except (
        pa.ArrowException,
        StopIteration,
        OSError,
        ValueError,
        MemoryError,
        TypeError,
        struct.error,
    ) as error:
        return Rejected(reason="not_readable", detail=f"no Arrow stream of one record batch: {_short(error)}")
    return batch


def _primitive(kind: pa.DataType) -> bool:
    # A zone that is no UTF-8 raises where it is looked at, as a name does: here it is a value still.
    if pa.types.is_timestamp(kind):
        return kind.tz is None or bool(kind.tz)
    return bool(_numeric(kind) or pa.types.is_string(kind))


def _short(error: object) -> str:
    return " ".join(str(error).split())[:200]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number; send null for a missing value")


def _read_json(value: bytes) -> pa.RecordBatch | Rejected:
    try:
        data = json.loads(value, parse_constant=_refuse_constant)
        rows = _ROWS.validate_python(data if isinstance(data, list) else [data])
    except (ValueError, RecursionError) as error:
        detail = first_problem(error) if isinstance(error, ValidationError) else _short(error)
        return Rejected(
            reason="not_readable", detail=f'JSON rows look like {{"ts": …, "values": {{…}}}}: {detail}'
        )
    return _batch_of(rows)


def first_problem(error: ValidationError) -> str:
    """The first thing that is wrong, with the place where it is."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else str(first["msg"])


def _batch_of(rows: Iterable[JsonRow]) -> pa.RecordBatch | Rejected:
    listed = list(rows)
    if not listed:
        return Rejected(reason="no_rows", detail="the list of rows is empty")
    names = sorted({name for row in listed for name in row.values})
    if 8 * len(listed) * len(names) > OPEN_BYTES or len(listed) > MAX_ROWS:
        # Rows that each name other tags open to a table of the square of their number.
        return Rejected(reason="too_large", detail=_TOO_MUCH)
    columns: dict[str, pa.Array[Any]] = {
        TS: pa.array([micros(row.ts) for row in listed], type=pa.int64()).cast(TS_TYPE)
    }
    columns.update(
        {name: pa.array([row.values.get(name) for row in listed], type=pa.float64()) for name in names}
    )
    return pa.RecordBatch.from_pydict(columns)


def _check(batch: pa.RecordBatch, tags: Sequence[str] | None) -> Rejected | None:
    names = batch.schema.names
    if len(set(names)) != len(names):
        return Rejected(reason="wrong_column", detail="a column stands twice", rows=batch.num_rows)
    if TS not in names:
        return Rejected(reason="wrong_column", detail="the column `ts` is missing", rows=batch.num_rows)
    if batch.schema.field(TS).type != TS_TYPE:
        found = batch.schema.field(TS).type
        return Rejected(
            reason="wrong_type", detail=f"`ts` is {found}; send timestamp[us, UTC]", rows=batch.num_rows
        )
    if batch.num_rows == 0:
        return Rejected(reason="no_rows", detail="the frame has no rows")
    if batch.column(names.index(TS)).null_count:
        return Rejected(reason="wrong_time", detail="a row has no time", rows=batch.num_rows)
    if tags is not None:
        unknown = sorted(set(names) - {TS} - set(tags))
        if unknown:
            detail = f"the plant has no tag {', '.join(map(repr, unknown))}; its tags are {', '.join(tags)}"
            return Rejected(reason="wrong_column", detail=detail, rows=batch.num_rows)
    return None


@dataclass(frozen=True, kw_only=True)
class Selected:
    """What a candidate may see of a frame: `ts` and the agreed inputs, as float64, in the agreement's order.

    Attributes:
        batch: the rows.
        payload: the same as one Arrow IPC stream.
    """

    batch: pa.RecordBatch
    payload: bytes


def select(frame: Frame, inputs: Sequence[str]) -> Selected | Rejected:
    """The part of a frame that a candidate may see; the stream is handed on untouched where it is just that."""
    names = frame.batch.schema.names
    missing = [name for name in inputs if name not in names]
    if missing:
        return Rejected(
            reason="wrong_column", detail=f"the frame has no {', '.join(missing)}", rows=frame.rows
        )
    doubles = all(pa.types.is_float64(frame.batch.schema.field(name).type) for name in inputs)
    if frame.raw is not None and names == [TS, *inputs] and doubles:
        return Selected(batch=frame.batch, payload=frame.raw)
    columns = {TS: frame.batch.column(names.index(TS))}
    for name in inputs:
        column = frame.batch.column(names.index(name))
        if not _numeric(column.type):
            return Rejected(
                reason="wrong_type", detail=f"{name!r} is {column.type}, not a number", rows=frame.rows
            )
        # Counters beyond 2**53 become the nearest float: a cast that insists on exactness would raise.
        columns[name] = column.cast(pa.float64(), safe=False)
    batch = pa.RecordBatch.from_pydict(columns)
    return Selected(batch=batch, payload=encode_batch(batch))


def _numeric(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))
