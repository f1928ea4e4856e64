"""Baselines (비교 기준): what a candidate has to be compared with, frozen before the first label.

They run as a deployment of the platform, on the same rows as the candidates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from schemas.base import Ident, Record, TagName
from schemas.terms import Share, wrong

LabelValue = bool | int | float | str

#: Whole numbers up to here are the same in every reader of JSON (RFC 8785, section 3.2.2.3).
_LARGEST_INTEGER = 2**53 - 1

#: How far back the last known value is looked for where nothing is said.
LAST_ROWS = 10


class Rule(Record):
    """The plant's own rule: the other class where a tag leaves its range (기존 경보 규칙)."""

    tag: TagName
    #: Above this, or below this.
    above: float | None = None
    below: float | None = None

    @model_validator(mode="after")
    def _a_range(self) -> Rule:
        if self.above is None and self.below is None:
            raise wrong("above", "is missing: give above, below, or both", "above나 below를 쓰세요.")
        if self.above is not None and self.below is not None and self.below > self.above:
            raise wrong(
                "below",
                f"is more than above ({self.above:g}): every value would be an alarm",
                f"above({self.above:g})보다 큽니다. 모든 값이 경보가 됩니다.",
            )
        return self


class Baseline(Record):
    """One way to answer without a model: always the same, by chance, by what was measured last, or by the plant's rule."""

    name: Ident
    #: Always this; with a kind or a rule where that says nothing, such as where a value is missing.
    answer: LabelValue
    #: `best_constant`: the constant answer that did best in the rehearsal. `random`: by chance, at these shares.
    #: `last`: a tag's last known value. `average`: the mean of its last values.
    kind: Literal["best_constant", "random", "last", "average"] | None = None
    #: Answers the other class, outside its range.
    rule: Rule | None = None
    #: Of `random`: how often each class is answered; what is left is `answer`.
    shares: dict[str, Share] | None = None
    #: Of `last` and `average`: the tag; the target where that is an input.
    tag: TagName | None = None
    #: Of `average`: how many rows, this one included. Of `last`: how many it looks back where a value is missing.
    rows: Annotated[int, Field(ge=1, le=1000)] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Baseline:
        if self.kind is not None and self.rule is not None:
            raise wrong("rule", "stands beside a kind: give one of them", "kind와 rule 중 하나만 쓰세요.")
        if isinstance(self.answer, int) and abs(self.answer) > _LARGEST_INTEGER:
            raise wrong(
                "answer",
                f"whole numbers end at {_LARGEST_INTEGER}; write a larger one as 1.0e+20",
                f"정수는 {_LARGEST_INTEGER}까지만 씁니다. 더 큰 수는 1.0e+20처럼 쓰세요.",
            )
        self._nothing_beside()
        return self

    def _nothing_beside(self) -> None:
        belongs = {"shares": ("random",), "tag": ("last", "average"), "rows": ("last", "average")}
        for name, kinds in belongs.items():
            if getattr(self, name) is not None and self.kind not in kinds:
                listed = ", ".join(kinds)
                raise wrong(
                    name,
                    f"is of the kinds {listed} alone: remove the line",
                    f"{listed}에만 씁니다. 이 줄을 지우세요.",
                )
        for name, kind in (("shares", "random"), ("rows", "average")):
            if self.kind == kind and getattr(self, name) is None:
                raise wrong(name, f"is missing: a {kind} baseline needs it", f"{kind}에 필요합니다.")

    @property
    def constant(self) -> bool:
        """Whether it always answers the same."""
        return self.kind is None and self.rule is None

    @property
    def look_back(self) -> int:
        """How many rows it looks at, the answered one included."""
        return self.rows or (LAST_ROWS if self.kind == "last" else 1)

    def source(self, target: str) -> str | None:
        """The tag that it answers by; None where it answers by none."""
        if self.rule is not None:
            return self.rule.tag
        return (self.tag or target) if self.kind in ("last", "average") else None

    def check(
        self, at: int, *, classes: Sequence[str], inputs: Sequence[str], target: str, rehearsed: bool
    ) -> None:
        """Raises what does not fit the rest of the agreement; `at` is its place in the list, numbers have no classes."""
        where = ("baselines", at)
        if self.kind in ("last", "average") and classes:
            raise wrong(
                (*where, "kind"),
                f"answers a number, and here classes are answered: no {self.kind}",
                f"{self.kind}은(는) 숫자로 답합니다. 클래스로 답하는 과제에는 쓸 수 없습니다.",
            )
        if self.rule is not None and len(classes) != 2:
            raise wrong(
                (*where, "rule"),
                "tells two classes apart, no numbers and no more classes",
                "클래스가 둘인 과제에만 쓸 수 있습니다.",
            )
        source = self.source(target)
        if source is not None and source not in inputs:
            every = ", ".join(inputs)
            raise wrong(
                (*where, "rule", "tag") if self.rule is not None else (*where, "tag"),
                f"{source!r} is none of the inputs {every}",
                f"{source!r}은(는) 입력값이 아닙니다. 가능한 값: {every}.",
            )
        if self.kind == "best_constant" and not rehearsed:
            raise wrong(
                (*where, "kind"),
                "is found in a rehearsal, by a decision's losses: agree on `phases: {rehearsal_rows: …}` and `decision: …`",
                "최선의 고정 답은 리허설에서 판정 규칙의 손실로 찾습니다. `phases: {rehearsal_rows: …}`와 `decision: …`을 "
                "추가하세요.",
            )
        self._check_shares(where, classes)

    def _check_shares(self, where: tuple[str, int], classes: Sequence[str]) -> None:
        if self.shares is None:
            return
        if not classes:
            raise wrong(
                (*where, "kind"),
                "draws among classes, and here numbers are answered",
                "클래스 중에서 고릅니다. 숫자로 답하는 과제에는 쓸 수 없습니다.",
            )
        every = ", ".join(classes)
        for name in self.shares:
            if name not in classes:
                raise wrong(
                    (*where, "shares", name),
                    f"{name!r} is none of the classes {every}",
                    f"{name!r}은(는) 클래스가 아닙니다. 가능한 값: {every}.",
                )
        if math.fsum(self.shares.values()) > 1:
            raise wrong(
                (*where, "shares"),
                "are more than 1 together",
                "합이 1을 넘습니다.",
            )
