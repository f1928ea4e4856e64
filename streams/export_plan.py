"""Exports as the messages to send: frames in the order of their times, labels when they are due, watermarks at the end.

The same files with the same options give the same messages with the same ids, however often they are planned.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from schemas.labels import IntervalLabel, PointLabel, Watermark
from streams import envelope, topics
from streams.export_labels import due_us
from streams.exports import AssetRows, Export
from streams.frames import TS, TS_TYPE, encode_batch, encode_frame, micros, moment

ROWS_PER_FRAME = 500

_MEDIA = {
    "frame": envelope.ARROW,
    "label_frame": envelope.ARROW,
    "label": envelope.JSON,
    "watermark": envelope.JSON,
}
_TYPES = {
    "frame": envelope.FRAME,
    "label_frame": envelope.LABEL_FRAME,
    "label": envelope.LABEL,
    "watermark": envelope.LABEL,
}


@dataclass(frozen=True, kw_only=True)
class PlannedFrame:
    """Rows of one machine as one telemetry message, and their labels as one label message.

    Attributes:
        ident: deterministic: of the file, the machine, the frame's number and its rows.
        value: an Arrow stream of at most 1 MiB.
        first_us, last_us: the earliest and the latest time of its rows, µs since 1970.
        labels: an Arrow stream of `ts` and `value`, row by row; None where no row has a label.
    """

    asset: str
    ident: str
    value: bytes
    first_us: int
    last_us: int
    rows: int
    labels: bytes | None = None


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One message of a replay.

    Attributes:
        at_us: where the replay stands when it is sent, in data time, µs since 1970; never goes back.
        rows: rows of telemetry in it.
        frame: the telemetry frame that a label frame is for.
    """

    kind: Literal["frame", "label_frame", "label", "watermark"]
    asset: str
    ident: str
    value: bytes
    at_us: int
    rows: int = 0
    frame: str | None = None

    def topic(self, plant: str) -> str:
        """Where it goes."""
        return topics.telemetry(plant) if self.kind == "frame" else topics.labels(plant)

    def headers(self, plant: str) -> envelope.Headers:
        """Its envelope."""
        listed = envelope.headers(
            _TYPES[self.kind], source=f"/plants/{plant}", ident=self.ident, content=_MEDIA[self.kind]
        )
        if self.frame is not None:
            listed.append((envelope.FRAME_HEADER, self.frame.encode()))
        return listed


def plan_frames(
    rows: AssetRows, *, digest: str, rows_per_frame: int = ROWS_PER_FRAME
) -> Iterator[PlannedFrame]:
    """Frames of one machine's rows, in their order.

    Args:
        rows: of one file.
        digest: the file's SHA-256, which the frames' ids are made of.
        rows_per_frame: at most; fewer where a frame would exceed 1 MiB.
    """
    number = 0
    start = 0
    while start < rows.rows:
        count = min(rows_per_frame, rows.rows - start)
        value, labels = _encode(rows, start, count)
        while count > 1 and max(len(value), len(labels or b"")) > topics.FRAME_BYTES:
            count //= 2
            value, labels = _encode(rows, start, count)
        times = rows.times[start : start + count]
        first, last = int(times.min()), int(times.max())
        yield PlannedFrame(
            asset=rows.asset,
            ident=_ident(digest, rows.asset, number, first, last, count),
            value=value,
            first_us=first,
            last_us=last,
            rows=count,
            labels=labels,
        )
        start += count
        number += 1


def _ident(digest: str, asset: str, number: int, *rest: int) -> str:
    parts = (digest, asset, number, *rest)
    return f"{hashlib.sha256(chr(0).join(map(str, parts)).encode()).hexdigest()[:24]}-{number}"


def _encode(rows: AssetRows, start: int, count: int) -> tuple[bytes, bytes | None]:
    times = rows.times[start : start + count]
    value = encode_frame(times, {tag: column[start : start + count] for tag, column in rows.values.items()})
    if rows.labels is None:
        return value, None
    labels = rows.labels.slice(start, count)
    if labels.null_count == count:
        return value, None
    return value, _encode_labels(times, labels)


def _encode_labels(times: np.ndarray[Any, Any], labels: pa.Array[Any]) -> bytes:
    # A slice would take its whole buffers along.
    own = pa.concat_arrays([labels])
    ts = pa.array(times, type=pa.int64()).cast(TS_TYPE)
    return encode_batch(pa.RecordBatch.from_pydict({TS: ts, "value": own}))


def plan(
    exports: Sequence[Export],
    labels: Iterable[IntervalLabel | PointLabel] = (),
    *,
    rows_per_frame: int = ROWS_PER_FRAME,
    label_delay_us: int = 0,
    watermarks: bool = True,
) -> Iterator[Planned]:
    """All messages of a replay, in the order in which they are sent.

    A label is sent once the replay has reached its time plus the delay, in data time; what is left follows the
    last frame.

    Args:
        exports: the files; rows of one machine keep the order of files and rows.
        labels: events and moments, beside what the exports' own label columns hold.
        label_delay_us: how long after its time a label becomes known.
        watermarks: state at the end, for every machine, that its labels are complete.
    """
    waiting = [(due_us(label) + label_delay_us, number, _label(label)) for number, label in enumerate(labels)]
    heapq.heapify(waiting)
    number = len(waiting)
    clock: int | None = None
    for clock, frame in _merged(exports, rows_per_frame):
        yield Planned(
            kind="frame",
            asset=frame.asset,
            ident=frame.ident,
            value=frame.value,
            at_us=clock,
            rows=frame.rows,
        )
        if frame.labels is not None:
            heapq.heappush(waiting, (frame.last_us + label_delay_us, number, _label_frame(frame)))
            number += 1
        while waiting and waiting[0][0] <= clock:
            yield _at(heapq.heappop(waiting)[2], clock)
    while waiting:
        due, _, message = heapq.heappop(waiting)
        clock = due if clock is None else max(clock, due)
        yield _at(message, clock)
    if watermarks:
        yield from (_at(message, clock or message.at_us) for message in _watermarks(exports))


def _merged(exports: Sequence[Export], rows_per_frame: int) -> Iterator[tuple[int, PlannedFrame]]:
    """Frames of all machines, each with the time by which all its rows have been measured; that never goes back."""
    by_asset: dict[str, list[tuple[str, AssetRows]]] = {}
    for export in exports:
        for rows in export.assets:
            by_asset.setdefault(rows.asset, []).append((export.digest, rows))
    streams = [_timed(parts, rows_per_frame) for parts in by_asset.values()]
    return heapq.merge(*streams, key=lambda item: item[0])


def _timed(parts: Sequence[tuple[str, AssetRows]], rows_per_frame: int) -> Iterator[tuple[int, PlannedFrame]]:
    at = None
    for digest, rows in parts:
        for frame in plan_frames(rows, digest=digest, rows_per_frame=rows_per_frame):
            at = frame.last_us if at is None else max(at, frame.last_us)
            yield at, frame


def _at(message: Planned, clock: int) -> Planned:
    return replace(message, at_us=clock)


def _label_frame(frame: PlannedFrame) -> Planned:
    return Planned(
        kind="label_frame", asset=frame.asset, ident=f"{frame.ident}-labels", value=frame.labels or b"",
        at_us=frame.last_us, frame=frame.ident,
    )  # fmt: skip


def _label(label: IntervalLabel | PointLabel) -> Planned:
    value = label.to_json()
    # A corrected label has the same id in its record; its message is another one.
    ident = f"{label.id[:150]}-{hashlib.sha256(value).hexdigest()[:12]}"
    return Planned(kind="label", asset=label.asset, ident=ident, value=value, at_us=due_us(label))


def _watermarks(exports: Sequence[Export]) -> Iterator[Planned]:
    ends = last_times(exports)
    for asset, last in ends.items():
        value = Watermark(asset=asset, until=moment(last + 1)).to_json()
        ident = f"watermark-{hashlib.sha256(value).hexdigest()[:24]}"
        yield Planned(kind="watermark", asset=asset, ident=ident, value=value, at_us=last)


def last_times(exports: Sequence[Export]) -> dict[str, int]:
    """The latest time of each machine's rows, µs since 1970."""
    ends: dict[str, int] = {}
    for export in exports:
        for rows in export.assets:
            last = int(rows.times.max())
            ends[rows.asset] = max(ends.get(rows.asset, last), last)
    return ends


def outside(exports: Sequence[Export], labels: Iterable[IntervalLabel | PointLabel]) -> int:
    """How many labels are of a machine or a time that the exports have no row of, from its first to its last."""
    ends = last_times(exports)
    starts: dict[str, int] = {}
    for rows in (rows for export in exports for rows in export.assets):
        first = int(rows.times.min())
        starts[rows.asset] = min(starts.get(rows.asset, first), first)
    return sum(
        label.asset not in ends
        or due_us(label) < starts[label.asset]
        or micros(label.start if isinstance(label, IntervalLabel) else label.ts) > ends[label.asset]
        for label in labels
    )


def first_rows(exports: Sequence[Export], count: int) -> Iterator[dict[str, Any]]:
    """The first rows of every machine in every file as plain values, for people to look at."""
    for export in exports:
        for rows in export.assets:
            yield from (_shown(export.file, rows, place) for place in range(min(count, rows.rows)))


def _shown(file: str, rows: AssetRows, place: int) -> dict[str, Any]:
    values = {tag: float(column[place]) for tag, column in rows.values.items()}
    row: dict[str, Any] = {
        "file": file,
        "asset": rows.asset,
        "ts": moment(int(rows.times[place])).isoformat(),
        "values": {tag: None if value != value else value for tag, value in values.items()},
    }
    if rows.labels is not None:
        row["label"] = rows.labels[place].as_py()
    return row
