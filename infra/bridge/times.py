"""Times of rows. One rule for a whole column and for a single text: what a column gives, each of its texts gives alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infra.bridge.layout import Layout
from streams.frames import TS_TYPE

#: Years 1990 to 2099, in microseconds: what lies outside was written in another unit, or by a clock that was never set.
EARLIEST, LATEST = 631_152_000_000_000, 4_102_444_800_000_000

Times = np.ndarray[Any, np.dtype[np.int64]]


def micros_of_texts(texts: pa.Array[Any] | pa.ChunkedArray[Any], zone: str | None) -> Times | None:
    """ISO 8601 texts as microseconds since 1970; None where one of them is no such time.

    Digits behind the microsecond are cut off. A clock's hour that comes twice is the first one.
    """
    for read in _readings(texts, zone):
        try:
            return np.asarray(read.cast(pa.int64()).to_numpy(), dtype=np.int64)
        except pa.ArrowInvalid:
            continue
    return None


def _readings(texts: Any, zone: str | None) -> Iterator[Any]:
    for form in ("as it is", "cut"):
        given = texts if form == "as it is" else pc.replace_substring_regex(texts, r"(\.\d{6})\d+", r"\1")
        yield from _attempt(given, TS_TYPE, None)
        if zone is not None:
            yield from _attempt(given, pa.timestamp("us"), zone)


def _attempt(texts: Any, kind: pa.DataType, zone: str | None) -> Iterator[Any]:
    try:
        read = texts.cast(kind)
        yield (
            read
            if zone is None
            else pc.assume_timezone(read, zone, ambiguous="earliest", nonexistent="raise")
        )
    except pa.ArrowInvalid:
        return


def micros_of_numbers(numbers: Times, layout: Layout) -> Times | None:
    """Whole numbers of the layout's unit as microseconds since 1970; None where one of them is outside 1990 to 2099."""
    unit = layout.clock.micros
    if numbers.min() < EARLIEST // unit or numbers.max() >= LATEST // unit:
        return None
    return numbers * unit


def plausible(times: Times) -> bool:
    """Whether all lie between 1990 and 2099."""
    return bool(times.min() >= EARLIEST and times.max() < LATEST)
