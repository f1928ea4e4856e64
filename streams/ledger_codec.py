"""Ledger entries to and from bytes.

Entries with rows (outcomes, label frames) are Arrow streams whose schema metadata holds the entry as JSON, so that any
Arrow library opens them; every other entry is JSON.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from schemas.columns import array_of, column_of
from schemas.ledger import (
    PLAIN_ENTRY,
    Closed,
    Covered,
    Ended,
    Label,
    LabelFrame,
    Outcome,
    Started,
    Tick,
    Watermark,
)
from schemas.rejected import Rejected
from streams.arrow_size import opened_bytes
from streams.envelope import (
    ARROW,
    JSON,
    LEDGER_ENTRY,
    LEDGER_LABELS,
    LEDGER_OUTCOME,
    Headers,
    RawRecord,
    headers,
)
from streams.frames import OPEN_BYTES, first_problem

META = b"fieldproof"

#: What Arrow and this module raise over bytes that are no entry.
NOT_READABLE = (
    pa.ArrowException,
    IndexError,
    KeyError,
    MemoryError,
    OSError,
    StopIteration,
    TypeError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True, kw_only=True)
class OutcomeRows:
    """An outcome with its rows.

    Attributes:
        times_us: int64, shape (n,); empty where the frame could not be read.
        answers: float64, shape (m, n) for m subjects; not-a-number where there is no answer.
        scores: what was given beside the answers, of the same shape; None where there is nothing.
        codes: the part of each agreed slice that each row is in, int8, shape (k, n), −1 unknown; None without slices.
    """

    meta: Outcome
    times_us: np.ndarray
    answers: np.ndarray
    scores: np.ndarray | None = None
    codes: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class LabelRows:
    """A label frame with its rows.

    Attributes:
        times_us: int64, shape (n,).
        codes: float64, shape (n,); not-a-number where a row has no label.
    """

    meta: LabelFrame
    times_us: np.ndarray
    codes: np.ndarray


Plain = Started | Ended | Covered | Label | Watermark | Tick | Closed
Entry = Plain | OutcomeRows | LabelRows


def encode(entry: Entry, *, source: str, ident: str) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers of an entry; the key is its pairing."""
    if isinstance(entry, OutcomeRows):
        columns = {f"answer_{i}": column for i, column in enumerate(entry.answers)}
        if entry.scores is not None:
            columns |= {f"score_{i}": column for i, column in enumerate(entry.scores)}
        if entry.codes is not None:
            columns |= {f"slice_{i}": column for i, column in enumerate(entry.codes)}
        value = _with_rows(entry.meta.to_json(), entry.times_us, columns)
        listed = headers(LEDGER_OUTCOME, source=source, ident=ident, content=ARROW)
        return entry.meta.pairing.encode(), value, listed
    if isinstance(entry, LabelRows):
        value = _with_rows(entry.meta.to_json(), entry.times_us, {"code": entry.codes})
        listed = headers(LEDGER_LABELS, source=source, ident=ident, content=ARROW)
        return entry.meta.pairing.encode(), value, listed
    return (
        entry.pairing.encode(),
        entry.to_json(),
        headers(LEDGER_ENTRY, source=source, ident=ident, content=JSON),
    )


def _with_rows(meta: bytes, times_us: np.ndarray, columns: dict[str, np.ndarray]) -> bytes:
    arrays: list[pa.Array[Any]] = [column_of(times_us, pa.int64())]
    arrays += [column_of(values, _type_of(name)) for name, values in columns.items()]
    fields: list[pa.Field[Any]] = [
        pa.field("ts_us", pa.int64()),
        *(pa.field(name, _type_of(name)) for name in columns),
    ]
    batch = pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, metadata={META: meta}))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _type_of(name: str) -> pa.DataType:
    return pa.int8() if name.startswith("slice_") else pa.float64()


def decode(record: RawRecord) -> Entry | Rejected:
    """Read a ledger message; what cannot be read is a value that says why."""
    entry = _decode(record)
    if isinstance(entry, Rejected):
        return entry
    pairing = entry.meta.pairing if isinstance(entry, OutcomeRows | LabelRows) else entry.pairing
    if record.key != pairing.encode():
        return Rejected(
            reason="wrong_value", detail=f"the entry is of {pairing!r}, and its key names another"
        )
    return entry


def _decode(record: RawRecord) -> Entry | Rejected:
    value = record.value or b""
    try:
        match record.header("ce_type"):
            case kind if kind == LEDGER_OUTCOME:
                meta, times, columns = _open(value)
                outcome = Outcome.model_validate_json(meta)
                answers, scores, codes = (
                    _named(columns, name, times.size) for name in ("answer", "score", "slice")
                )
                return OutcomeRows(
                    meta=outcome,
                    times_us=times,
                    answers=answers,
                    scores=scores if len(scores) else None,
                    codes=codes if len(codes) else None,
                )
            case kind if kind == LEDGER_LABELS:
                meta, times, columns = _open(value)
                return LabelRows(
                    meta=LabelFrame.model_validate_json(meta), times_us=times, codes=columns["code"]
                )
            case kind if kind == LEDGER_ENTRY:
                return PLAIN_ENTRY.validate_json(value)
            case kind:
                return Rejected(reason="unknown_kind", detail=f"no ledger entry has the type {kind!r}")
    except ValidationError as error:
        return Rejected(reason="not_readable", detail=first_problem(error))
    except NOT_READABLE as error:
        return Rejected(reason="not_readable", detail=" ".join(str(error).split())[:200])


def _named(columns: dict[str, np.ndarray], name: str, rows: int) -> np.ndarray:
    """The columns `name_0`, `name_1`, … on top of one another."""
    found: list[np.ndarray] = []
    while (column := columns.get(f"{name}_{len(found)}")) is not None:
        found.append(column)
    return np.vstack(found) if found else np.empty((0, rows))


def _open(value: bytes) -> tuple[bytes, np.ndarray, dict[str, np.ndarray]]:
    """Metadata, times, and the other columns by name; those that this version does not know are left alone."""
    if opened_bytes(value) > OPEN_BYTES:
        raise ValueError("the entry opens to more than any entry holds")
    with pa.ipc.open_stream(value) as reader:
        batch = reader.read_next_batch()
    batch.validate(full=True)
    first, *names = batch.schema.names
    kinds = [pa.int64(), *map(_type_of, names)]
    if batch.schema.types != kinds or any(column.null_count for column in batch.columns):
        raise ValueError(f"the rows of an entry are {first}, int64, and columns of numbers without nulls")
    times, *columns = map(array_of, batch.columns)
    return batch.schema.metadata[META], times, dict(zip(batch.schema.names[1:], columns, strict=True))
