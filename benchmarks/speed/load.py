"""The rows that everybody is given: as frames with their labels, as JSON rows, as arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from streams.envelope import ARROW, FRAME, FRAME_HEADER, JSON, LABEL_FRAME, ROWS, Headers, headers
from streams.frames import TS, TS_TYPE, encode_batch, encode_frame
from streams.label_codec import VALUE

#: The time of the first row; rows of one asset are a second apart.
BEGIN_US, SECOND_US = 1_772_400_000_000_000, 1_000_000

#: Frames with values of their own; after them the values come again.
DIFFERENT = 64


def names(tags: int) -> list[str]:
    """The names of so many tags."""
    return [f"t{number}" for number in range(tags)]


def assets(count: int) -> list[str]:
    """The names of so many machines; each has a partition of its own."""
    return [f"m{number}" for number in range(count)]


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message to be sent."""

    partition: int
    key: bytes
    value: bytes
    headers: Headers


@dataclass(frozen=True, kw_only=True)
class Load:
    """Frames of one kind.

    Attributes:
        run: what their ids begin with.
        rows: of a frame.
        tags: how many.
        partitions: as many as there are machines.
    """

    run: str
    rows: int
    tags: int
    partitions: int = 1

    @cached_property
    def blocks(self) -> list[np.ndarray]:
        """Values of frames: float64, shape (tags, rows), each."""
        rng = np.random.default_rng(2)
        return [rng.normal(size=(self.tags, self.rows)) for _ in range(DIFFERENT)]

    def block(self, number: int) -> np.ndarray:
        """Values of one frame."""
        return self.blocks[number % DIFFERENT]

    def times(self, number: int) -> np.ndarray:
        """Times of one frame's rows: int64, microseconds since 1970, shape (rows,)."""
        first = number // self.partitions * self.rows
        return BEGIN_US + (first + np.arange(self.rows, dtype=np.int64)) * SECOND_US

    def frame(self, number: int) -> Message:
        """One frame of telemetry."""
        values = dict(zip(names(self.tags), self.block(number), strict=True))
        listed = headers(FRAME, source="/bench", ident=f"{self.run}-{number}", content=ARROW)
        return self._message(number, encode_frame(self.times(number), values), listed)

    def label(self, number: int) -> Message:
        """The truth of one frame's rows: what the linear model has learned."""
        columns = {TS: pa.array(self.times(number), type=pa.int64()).cast(TS_TYPE)}
        columns[VALUE] = pa.array(self.block(number).sum(axis=0))
        listed = headers(LABEL_FRAME, source="/bench", ident=f"{self.run}-label-{number}", content=ARROW)
        listed.append((FRAME_HEADER, f"{self.run}-{number}".encode()))
        return self._message(number, encode_batch(pa.RecordBatch.from_pydict(columns)), listed)

    def row(self, number: int) -> Message:
        """One row as a JSON message of its own."""
        frame, place = divmod(number, self.rows)
        values = self.block(frame)[:, place].tolist()
        row = {TS: int(self.times(frame)[place]), **dict(zip(names(self.tags), values, strict=True))}
        listed = headers(ROWS, source="/bench", ident=f"{self.run}-row-{number}", content=JSON)
        return self._message(frame, json.dumps(row).encode(), listed)

    def _message(self, number: int, value: bytes, listed: Headers) -> Message:
        partition = number % self.partitions
        key = assets(self.partitions)[partition].encode()
        return Message(partition=partition, key=key, value=value, headers=listed)
