"""Slices (구간별 결과): parts of the rows that an agreement wants to see apart."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.base import Record, TagName
from schemas.terms import wrong

#: Where a row is in none of the ranges, because the tag has no value.
UNKNOWN = "unknown"

#: The field that each way to cut needs.
_NEEDS = {"shift": "starts", "tag": "cuts"}


class Slice(Record):
    """One way to cut: by machine, by shift, or by the ranges of a tag."""

    by: Literal["asset", "shift", "tag"]
    #: Hours of the plant's day at which shifts begin.
    starts: (
        Annotated[tuple[Annotated[int, Field(ge=0, le=23)], ...], Field(min_length=2, max_length=24)] | None
    ) = None
    tag: TagName | None = None
    #: Where one range of the tag ends and the next begins, itself part of the upper one.
    cuts: Annotated[tuple[float, ...], Field(min_length=1, max_length=20)] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Slice:
        for name, owner in (("starts", "shift"), ("tag", "tag"), ("cuts", "tag")):
            given = getattr(self, name) is not None
            if given and self.by != owner:
                raise wrong(name, f"is for slices by {owner}: remove the line", f"{owner}별 구간에만 씁니다.")
            if not given and self.by == owner:
                raise wrong(name, f"is missing: slices by {owner} need it", f"{owner}별 구간에 필요합니다.")
        for name in _NEEDS.values():
            steps: Sequence[float] = getattr(self, name) or ()
            if any(before >= after for before, after in pairwise(steps)):
                raise wrong(name, "do not rise: write each once, in order", "작은 것부터 한 번씩만 쓰세요.")
        return self

    @property
    def name(self) -> str:
        """What it is called in an evaluation."""
        return self.tag or self.by

    @property
    def values(self) -> tuple[str, ...]:
        """Names of its parts in the order of their codes; of machines there are as many as the agreement names."""
        if self.starts is not None:
            ends = (*self.starts[1:], self.starts[0])
            return tuple(f"{start:02}:00–{end:02}:00" for start, end in zip(self.starts, ends, strict=True))
        if self.cuts is not None:
            inner = (f"{low:g} … {high:g}" for low, high in pairwise(self.cuts))
            return (f"< {self.cuts[0]:g}", *inner, f"≥ {self.cuts[-1]:g}")
        return ()

    def check(self, at: int, *, inputs: Sequence[str]) -> None:
        """Raises what does not fit the rest of the agreement; `at` is its place in the list."""
        if self.tag is not None and self.tag not in inputs:
            every = ", ".join(inputs)
            raise wrong(
                ("slices", at, "tag"),
                f"{self.tag!r} is none of the inputs {every}",
                f"{self.tag!r}은(는) 입력값이 아닙니다. 가능한 값: {every}.",
            )
