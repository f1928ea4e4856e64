"""Telemetry as JSON, for sources that cannot write Arrow frames."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from schemas.base import Moment, TagName


class JsonRow(BaseModel):
    """One row of one asset: `{"ts": "2026-03-02T09:00:00+09:00", "values": {"Pressure": 1.8}}`.

    A value of null is missing. Numbers that JSON does not have (NaN, Infinity) are refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    ts: Moment
    values: dict[TagName, float | None] = Field(min_length=1)
