"""Rows of a plant from before a cut in its topics, with what is known of them: what a start-up may learn from."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from schemas.agreement import Agreement
from schemas.base import Offsets
from schemas.columns import array_of
from schemas.ledger import Started, Watermark
from schemas.pairing import Pairing
from schemas.parties import Plant
from schemas.rejected import Rejected
from streams import topics
from streams.envelope import RawRecord
from streams.frames import decode_frame, select
from streams.label_codec import decode_label, for_pairing, source_of
from streams.ledger import Book
from streams.ledger_codec import Entry, LabelRows
from streams.truth import Rows

#: Telemetry is read backwards in blocks of so many messages, each four times as long as the one before.
FIRST_BLOCK, GROWTH = 1000, 4

#: A model may learn from any label that was known before the cut, however late it came.
NEVER_MS = 2**62

#: Told while topics are read: messages so far, and rows taken from them.
Progress = Callable[[int, int], None]

#: Gives the records of a topic with start ≤ offset < end that still exist, in order; a partition that `start` leaves
#: out begins at its beginning.
Read = Callable[[str, Offsets, Offsets], Iterable[RawRecord]]


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Where a pairing's history ends: by partition, the first offsets that are no more of it."""

    telemetry: Offsets
    labels: Offsets


@dataclass(frozen=True, kw_only=True)
class History:
    """Rows of the agreed assets, asset by asset as the agreement names them, each in order of time.

    Attributes:
        asset: names, shape (n,).
        times_us: int64, microseconds since 1970, shape (n,).
        values: float64, shape (n, m), one column an agreed input; not-a-number is missing.
        truth: float64 codes (`Agreement.code`), shape (n,); not-a-number is unknown.
        telemetry: by partition, the first offset that was handed over and the first that was not any more.
        labels: by partition, the first offset that was not read any more.
        unreadable: messages between these offsets that could not be read, by reason.
        repeated: frames that were left out because their sender had sent them twice.
    """

    asset: np.ndarray
    times_us: np.ndarray
    values: np.ndarray
    truth: np.ndarray
    telemetry: Mapping[int, tuple[int, int]]
    labels: Offsets
    unreadable: Mapping[str, int]
    repeated: int = 0

    @property
    def rows(self) -> int:
        return int(self.times_us.size)

    @property
    def labelled(self) -> int:
        """Rows whose label is known."""
        return int(np.count_nonzero(~np.isnan(self.truth)))


@dataclass(frozen=True, kw_only=True)
class _Taken:
    """The agreed part of one frame, whole: labels by position need every row of it."""

    asset: str
    frame: str
    partition: int
    offset: int
    times_us: np.ndarray
    values: np.ndarray


@dataclass(frozen=True, kw_only=True)
class _Unread:
    partition: int
    offset: int
    reason: str


def history_until(
    cut: Cut, pairing: Pairing, plant: Plant, read: Read, *, rows: int, progress: Progress
) -> History:
    """The newest rows before a cut, as many of each agreed asset, at most `rows` in all; and what is known of them."""
    agreement = pairing.agreement
    share = max(1, rows // len(agreement.assets))
    taking = _Taking(agreement=agreement, plant=plant, share=share, progress=progress)
    taken = taking.take(read, cut.telemetry)
    book, unread = _labels(cut.labels, pairing, read, taken, taking.told)
    parts = [_part(frames, book, agreement, share) for frames in taken.values() if frames]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)] or _empty(agreement)
    first = _first_offsets(taken.values())
    lost = Counter(one.reason for one in taking.unread if one.offset >= first.get(one.partition, 0))
    return History(
        asset=columns[0],
        times_us=columns[1],
        values=columns[2],
        truth=columns[3],
        telemetry={partition: (first.get(partition, end), end) for partition, end in cut.telemetry.items()},
        labels=cut.labels,
        unreadable={
            **{f"telemetry {reason}": count for reason, count in sorted(lost.items())},
            **{f"labels {reason}": count for reason, count in sorted(unread.items())},
        },
        repeated=taking.repeated,
    )


def _first_offsets(taken: Iterable[Sequence[_Taken]]) -> Offsets:
    first: Offsets = {}
    for frames in taken:
        for one in frames:
            first[one.partition] = min(one.offset, first.get(one.partition, one.offset))
    return first


def _empty(agreement: Agreement) -> list[np.ndarray]:
    return [
        np.empty(0, dtype=np.str_),
        np.empty(0, dtype=np.int64),
        np.empty((0, len(agreement.inputs))),
        np.empty(0),
    ]


class _Taking:
    """The newest frames of every agreed asset, until each has its share of rows or nothing is left."""

    def __init__(self, *, agreement: Agreement, plant: Plant, share: int, progress: Progress) -> None:
        self._agreement, self._share, self._progress = agreement, share, progress
        self._tags = [tag.name for tag in plant.tags]
        self._topic = topics.telemetry(plant.id)
        self._frames: dict[str, list[_Taken]] = {asset: [] for asset in agreement.assets}
        self._messages = 0
        self.unread: list[_Unread] = []
        self.repeated = 0

    def take(self, read: Read, cut: Offsets) -> dict[str, list[_Taken]]:
        """Frames by asset, in the order in which the broker has them."""
        highs, block = dict(cut), FIRST_BLOCK
        while any(highs.values()) and any(self._wanted(asset) > 0 for asset in self._frames):
            for partition, high in highs.items():
                low = max(0, high - block)
                if low < high:
                    self._take_block(read(self._topic, {partition: low}, {partition: high}))
                highs[partition] = low
            block *= GROWTH
        return {asset: self._once(frames) for asset, frames in self._frames.items()}

    def told(self) -> None:
        """Count one more message, and tell about it now and then."""
        self._messages += 1
        if self._messages % FIRST_BLOCK == 0:
            self._progress(self._messages, sum(map(_rows, self._frames.values())))

    def _wanted(self, asset: str) -> int:
        return self._share - _rows(self._frames[asset])

    def _take_block(self, records: Iterable[RawRecord]) -> None:
        newest: dict[str, _Newest] = {asset: _Newest(self._wanted(asset)) for asset in self._frames}
        for record in records:
            self.told()
            asset = (record.key or b"").decode(errors="replace")
            if asset in newest and newest[asset].wanted > 0:
                found = self._read(record)
                if isinstance(found, _Taken):
                    newest[asset].add(found)
                else:
                    self.unread.append(found)
        for asset, one in newest.items():
            self._frames[asset] = [*one.frames, *self._frames[asset]]

    def _read(self, record: RawRecord) -> _Taken | _Unread:
        frame = decode_frame(record, tags=self._tags)
        if isinstance(frame, Rejected):
            return _Unread(partition=record.partition, offset=record.offset, reason=frame.reason)
        chosen = select(frame, self._agreement.inputs)
        if isinstance(chosen, Rejected):
            return _Unread(partition=record.partition, offset=record.offset, reason=chosen.reason)
        columns = [
            chosen.batch.column(chosen.batch.schema.get_field_index(name)) for name in self._agreement.inputs
        ]
        return _Taken(
            asset=frame.asset,
            frame=frame.ident,
            partition=record.partition,
            offset=record.offset,
            times_us=frame.times(),
            values=np.column_stack([array_of(column) for column in columns]),
        )

    def _once(self, frames: list[_Taken]) -> list[_Taken]:
        """As in a trial, a frame that was sent again under its id counts once."""
        first: dict[str, _Taken] = {}
        for one in frames:
            first.setdefault(one.frame, one)
        self.repeated += len(frames) - len(first)
        return list(first.values())


class _Newest:
    """The last frames of a stream that hold so many rows."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.frames: deque[_Taken] = deque()
        self._rows = 0

    def add(self, one: _Taken) -> None:
        self.frames.append(one)
        self._rows += one.times_us.size
        while self._rows - self.frames[0].times_us.size >= self.wanted:
            self._rows -= self.frames.popleft().times_us.size


def _rows(frames: Iterable[_Taken]) -> int:
    return sum(one.times_us.size for one in frames)


def _labels(
    until: Offsets,
    pairing: Pairing,
    read: Read,
    taken: Mapping[str, Sequence[_Taken]],
    told: Callable[[], None],
) -> tuple[Book, Counter[str]]:
    """What the labels before these offsets say of the frames, and how many could not be read, by reason."""
    # Labels from before a phase are not that phase's own; here they are what is asked for.
    asking = pairing.model_copy(update={"labels_from": {}})
    book, unread = Book(pairing=pairing.id, measures_for=_no_run), Counter[str]()
    about = {asset: _About(frames) for asset, frames in taken.items() if frames}
    for record in read(topics.labels(pairing.plant), {}, until):
        told()
        decoded = decode_label(record)
        entry = decoded if isinstance(decoded, Rejected) else for_pairing(decoded, asking, source_of(record))
        if isinstance(entry, Rejected):
            unread[entry.reason] += 1
        elif entry is not None and _says_something(entry, book, about):
            book.fold(entry, offset=record.offset, digest=b"")
    return book, unread


def _no_run(started: Started) -> NoReturn:
    raise AssertionError("labels are folded here, and nothing runs")


class _About:
    """Which rows of an asset were taken, roughly: a year of labels may be about others."""

    def __init__(self, frames: Sequence[_Taken]) -> None:
        times = np.concatenate([one.times_us for one in frames])
        self.first, self.last = int(times.min()), int(times.max())
        self.frames = {one.frame for one in frames}

    def touched_by(self, entry: Entry) -> bool:
        if not isinstance(entry, LabelRows):
            start, end = getattr(entry, "start_us", 0), getattr(entry, "end_us", 0)
            return bool(start <= self.last and end > self.first)
        if entry.meta.frame is not None:
            return entry.meta.frame in self.frames
        return bool(((entry.times_us >= self.first) & (entry.times_us <= self.last)).any())


def _says_something(entry: Entry, book: Book, about: Mapping[str, _About]) -> bool:
    """Whether an entry is about rows that were taken, or replaces one that was."""
    meta = entry.meta if isinstance(entry, LabelRows) else entry
    asset, ident = getattr(meta, "asset", ""), getattr(meta, "id", "")
    if asset not in about:
        return False
    known = ident in book.truth(asset).by_id
    return isinstance(entry, Watermark) or known or about[asset].touched_by(entry)


def _part(
    frames: Sequence[_Taken], book: Book, agreement: Agreement, share: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The newest rows of one asset with their truth, in order of time."""
    times = np.concatenate([one.times_us for one in frames])[-share:]
    values = np.concatenate([one.values for one in frames])[-share:]
    truth = np.concatenate([_truth(one, book, agreement) for one in frames])[-share:]
    order = np.argsort(times, kind="stable")
    asset = np.full(times.size, frames[0].asset)
    return asset, times[order], values[order], truth[order]


def _truth(one: _Taken, book: Book, agreement: Agreement) -> np.ndarray:
    rows = Rows(
        frame=one.frame,
        asset=one.asset,
        partition=one.partition,
        offset=one.offset,
        deadline_ms=NEVER_MS,
        result="answered",
        times_us=one.times_us,
        answers=np.empty((0, one.times_us.size)),
        truth=np.empty(0),
    )
    truth = book.truth(one.asset)
    known, watermark_us = truth.resolve(rows), truth.watermark_for(NEVER_MS)
    if agreement.labels.absent_means == "normal" and watermark_us is not None:
        known = np.where(np.isnan(known) & (one.times_us < watermark_us), 0.0, known)
    return known
