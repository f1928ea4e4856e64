"""What could not be read: kept with its original bytes, where it came from and why."""

from __future__ import annotations

from typing import Literal

from schemas.base import Record

Reason = Literal[
    "not_readable",
    "too_large",
    "no_rows",
    "wrong_column",
    "wrong_type",
    "wrong_time",
    "unknown_asset",
    "wrong_value",
    "unknown_kind",
]


class Rejected(Record):
    """Why a message was not taken, for the person who sent it; the bytes travel beside it."""

    reason: Reason
    #: What is wrong and what to do about it.
    detail: str
    #: Rows that are known to be lost with it, where they could be counted.
    rows: int = 0
