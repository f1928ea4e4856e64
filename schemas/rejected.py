"""What could not be read: kept with its original bytes, where it came from and why."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

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


class Rejections(Record):
    """How many of the last messages of a topic were rejected, and why most of them were."""

    topic: str
    rejected: int = Field(ge=1)
    #: Of so many messages.
    of: int = Field(ge=1)
    reason: Reason
    #: What was wrong with the last of them that was rejected for that reason.
    detail: str = Field(max_length=2000)
