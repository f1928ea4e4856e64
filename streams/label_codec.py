"""Labels as they come from the plant, and the ledger entries that they become for a pairing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from schemas.agreement import Agreement, LabelValue
from schemas.columns import array_of
from schemas.labels import LABEL_RECORD, IntervalLabel, PointLabel, Watermark, Withdrawal
from schemas.ledger import Label, LabelFrame, Source
from schemas.ledger import Watermark as WatermarkEntry
from schemas.pairing import Pairing
from schemas.rejected import Rejected
from streams.envelope import ARROW, FRAME_HEADER, IDENT_CHARS, REPLAYED_HEADER, RawRecord
from streams.frames import TS, TS_TYPE, first_problem, micros, read_arrow
from streams.ledger_codec import Entry, LabelRows
from streams.topics import MESSAGE_BYTES

VALUE = "value"


@dataclass(frozen=True, kw_only=True)
class Points:
    """A label frame as it came: times and values of one asset.

    Attributes:
        times_us: int64, shape (n,).
        values: n values; None where a row has no label.
    """

    id: str
    asset: str
    frame: str | None
    times_us: np.ndarray
    values: list[LabelValue | None]


Decoded = PointLabel | IntervalLabel | Withdrawal | Watermark | Points


def decode_label(record: RawRecord) -> Decoded | Rejected:
    """Read a label message, JSON or Arrow; what cannot be read is a value that says why."""
    if not record.value or not record.key:
        return Rejected(
            reason="not_readable", detail="a label message has the asset as its key and a label as its value"
        )
    if len(record.value) > MESSAGE_BYTES:
        return Rejected(reason="too_large", detail=f"a label message has at most {MESSAGE_BYTES} bytes")
    try:
        key = record.key.decode()
        if record.header("content-type") == ARROW:
            return _points(record, key)
        label = LABEL_RECORD.validate_json(record.value)
    except ValidationError as error:
        return Rejected(reason="not_readable", detail=first_problem(error))
    except (UnicodeDecodeError, ValueError) as error:
        return Rejected(reason="not_readable", detail=str(error)[:200])
    if label.asset != key:
        return Rejected(reason="unknown_asset", detail=f"the key names {key!r} and the label {label.asset!r}")
    return label


def _points(record: RawRecord, asset: str) -> Points | Rejected:
    batch = read_arrow(record.value or b"")
    if isinstance(batch, Rejected):
        return batch
    names = batch.schema.names
    if sorted(names) != [TS, VALUE] or batch.schema.field(TS).type != TS_TYPE:
        return Rejected(
            reason="wrong_column", detail="a label frame has `ts` (timestamp[us, UTC]) and `value`"
        )
    times, values = batch.column(names.index(TS)), batch.column(names.index(VALUE))
    if pa.types.is_timestamp(values.type):
        return Rejected(reason="wrong_type", detail="`value` holds times; send class names or numbers")
    frame = record.header(FRAME_HEADER)
    if frame is not None and len(frame) > IDENT_CHARS:
        return Rejected(reason="wrong_value", detail=f"{FRAME_HEADER} has more than {IDENT_CHARS} characters")
    if times.null_count or not batch.num_rows:
        return Rejected(
            reason="wrong_time", detail="every row of a label frame has a time, and there is at least one"
        )
    return Points(
        id=record.ident,
        asset=asset,
        frame=frame,
        times_us=array_of(times),
        values=values.to_pylist(),
    )


def source_of(record: RawRecord) -> Source:
    """Where a label stands in the order of its topic, and when the broker appended it.

    One that was rejected and is replayed stands where it stood first: what has corrected it since is not undone.
    """
    place, first = f"{record.topic}:{record.partition}:", record.header(REPLAYED_HEADER) or ""
    number = first.removeprefix(place)
    earlier = first.startswith(place) and number.isascii() and number.isdigit() and len(number) < 20
    offset = min(int(number), record.offset) if earlier else record.offset
    return Source(partition=record.partition, offset=offset, appended_ms=record.timestamp_ms)


def for_pairing(decoded: Decoded, pairing: Pairing, source: Source) -> Entry | Rejected | None:
    """The ledger entry that a label is for a pairing.

    None where the pairing is not about that asset or its labels begin later; a rejection where the value is none of
    the agreement's.
    """
    begins = pairing.labels_from.get(source.partition, 0)
    if decoded.asset not in pairing.agreement.assets or source.offset < begins:
        return None
    try:
        return _entry(decoded, pairing, source)
    except ValueError as error:
        return Rejected(reason="wrong_value", detail=f"for {pairing.id}: {error}")


def _entry(decoded: Decoded, pairing: Pairing, source: Source) -> Entry:
    agreement = pairing.agreement
    match decoded:
        case Watermark(asset=asset, until=until):
            return WatermarkEntry(pairing=pairing.id, asset=asset, until_us=micros(until), source=source)
        case Withdrawal(id=ident, asset=asset):
            return Label(pairing=pairing.id, asset=asset, id=ident, source=source)
        case PointLabel(id=ident, asset=asset, ts=ts, value=value):
            start, end = micros(ts), micros(ts) + 1
        case IntervalLabel(id=ident, asset=asset, value=value):
            start, end = micros(decoded.start), micros(decoded.end)
        case Points():
            meta = LabelFrame(
                pairing=pairing.id, asset=decoded.asset, id=decoded.id, frame=decoded.frame, source=source
            )
            return LabelRows(meta=meta, times_us=decoded.times_us, codes=codes(decoded.values, agreement))
    return Label(
        pairing=pairing.id,
        asset=asset,
        id=ident,
        start_us=start,
        end_us=end,
        code=agreement.code(value),
        source=source,
    )


def codes(values: list[LabelValue | None], agreement: Agreement) -> np.ndarray:
    """Label values as codes: float64, shape (n,), not-a-number where there is none.

    Raises:
        ValueError: a value is none of the agreement's.
    """
    known: dict[LabelValue, float] = {
        value: agreement.code(value) for value in set(values) if value is not None
    }
    return np.array([np.nan if value is None else known[value] for value in values], dtype=np.float64)
