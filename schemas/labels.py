"""Labels: the truth about a machine, told after the fact by its plant."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, model_validator

from schemas.agreement import LabelValue
from schemas.base import AssetName, Moment, Record


class PointLabel(Record):
    """The truth of the rows of one asset at one moment."""

    kind: Literal["point"] = "point"
    id: str = Field(min_length=1, max_length=200)
    asset: AssetName
    ts: Moment
    value: LabelValue


class IntervalLabel(Record):
    """The truth of every row of one asset from `start` on and before `end`, rows that come later included."""

    kind: Literal["interval"] = "interval"
    id: str = Field(min_length=1, max_length=200)
    asset: AssetName
    start: Moment
    end: Moment
    value: LabelValue

    @model_validator(mode="after")
    def _forward(self) -> IntervalLabel:
        if self.end <= self.start:
            raise ValueError("the interval ends before it starts; `end` is the first moment after it")
        return self


class Withdrawal(Record):
    """Takes a label back: its rows are as if it had never been given."""

    kind: Literal["withdrawal"] = "withdrawal"
    id: str = Field(min_length=1, max_length=200)
    asset: AssetName


class Watermark(Record):
    """The plant's statement that an asset's labels are complete before `until` (여기까지 검사 완료)."""

    kind: Literal["watermark"] = "watermark"
    asset: AssetName
    until: Moment


LabelRecord = Annotated[
    PointLabel | IntervalLabel | Withdrawal | Watermark,
    Field(discriminator="kind"),
]

LABEL_RECORD: TypeAdapter[PointLabel | IntervalLabel | Withdrawal | Watermark] = TypeAdapter(LabelRecord)
