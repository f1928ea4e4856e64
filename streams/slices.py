"""Which part of each slice a row is in: told by whoever has the frame, since the ledger does not hold it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from schemas.columns import array_of
from schemas.slices import Slice

HOUR_US = 3_600_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def coded(slices: Sequence[Slice] | None) -> list[int]:
    """The places of the slices that rows have codes for: all but those by machine, which every frame names."""
    return [at for at, one in enumerate(slices or ()) if one.by != "asset"]


def codes_of(batch: pa.RecordBatch, times_us: np.ndarray, slices: Sequence[Slice], zone: str) -> np.ndarray:
    """The part of each coded slice that each row is in: int8, shape (k, n); −1 where the tag has no value.

    Args:
        batch: the agreed inputs, float64.
        times_us: int64, shape (n,).
        slices: the agreement's.
        zone: the plant's time zone.
    """
    found = [_codes(batch, times_us, slices[at], zone) for at in coded(slices)]
    return np.array(found, dtype=np.int8).reshape(len(found), times_us.size)


def _codes(batch: pa.RecordBatch, times_us: np.ndarray, one: Slice, zone: str) -> np.ndarray:
    if one.starts is not None:
        hours = _local_hours(times_us, ZoneInfo(zone))
        # Before the day's first start the last shift of the day before goes on.
        codes = (np.searchsorted(one.starts, hours, side="right") - 1) % len(one.starts)
        return np.where(hours < 0, -1, codes)
    values = array_of(batch.column(one.tag or ""))
    return np.where(np.isnan(values), -1, np.searchsorted(one.cuts or (), values, side="right"))


def _local_hours(times_us: np.ndarray, zone: ZoneInfo) -> np.ndarray:
    """The hour of the plant's day; −1 where the time is none that a calendar has. A zone changes its clock on the quarter."""
    quarters, where = np.unique(times_us // (HOUR_US // 4), return_inverse=True)
    hours = [_local_hour(int(quarter), zone) for quarter in quarters]
    return np.array(hours, dtype=np.int64)[where]


def _local_hour(quarter: int, zone: ZoneInfo) -> int:
    try:
        return (_EPOCH + timedelta(minutes=15 * quarter)).astimezone(zone).hour
    except OverflowError:
        return -1
