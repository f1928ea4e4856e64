"""Faults of candidates (고장), as far as they are told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.base import Record

#: What became of a frame that a candidate did not answer. `suspended`: it was not asked any more.
FailureKind = Literal["error", "timeout", "memory", "nonsense", "died", "suspended"]


class Fault(Record):
    """A fault of a candidate as far as it may leave the plant: no text of the candidate's own making is in it."""

    kind: FailureKind
    #: The exception's class, where it is a well-known one.
    exception: str | None = None
    #: The candidate's own file and line.
    where: str | None = None
    #: How often it happened.
    count: int = Field(default=1, ge=1)
