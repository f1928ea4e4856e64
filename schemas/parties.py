"""Who takes part, and what they bring: organisations, programmes, plants and needs."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from schemas.base import AssetName, Ident, Record, TagName


class Role(StrEnum):
    """What an organisation may do; one organisation may hold several roles."""

    MANUFACTURER = "manufacturer"
    STARTUP = "startup"
    COORDINATOR = "coordinator"
    OBSERVER = "observer"


class Organisation(Record):
    """A firm, a city, a centre or a fund (기관)."""

    id: Ident
    name: str = Field(min_length=1)
    roles: tuple[Role, ...] = Field(min_length=1)


class Programme(Record):
    """A support programme (사업) under which pairings run."""

    id: Ident
    name: str = Field(min_length=1)
    #: The organisations that operate it.
    operators: tuple[Ident, ...] = Field(min_length=1)
    region: str | None = None
    cohort: str | None = None
    starts: date | None = None
    ends: date | None = None


class Tag(Record):
    """One measured channel (계측값)."""

    name: TagName
    #: The unit in UCUM notation, such as `bar`, `A`, `L/min`, `Cel`; `1` where there is none.
    unit: str = "1"
    description: str | None = None


class Asset(Record):
    """One machine or line (설비)."""

    name: AssetName
    description: str | None = None


class RejectLimit(Record):
    """Where a plant's line stops, instead of one message after the other being rejected."""

    #: The share of the last messages that may be rejected, at one reader of a topic; 1 where it never stops.
    share: float = Field(default=0.2, gt=0, le=1)
    #: How many messages these are, and how many of them have to be rejected in any case.
    last: int = Field(default=100, ge=1, le=10_000)
    at_least: int = Field(default=20, ge=1, le=10_000)


class Plant(Record):
    """A site (공장) with its machines and channels."""

    id: Ident
    name: str = Field(min_length=1)
    #: The manufacturer that owns the data.
    owner: Ident
    #: The zone of times that carry none, such as `Asia/Seoul`.
    time_zone: str = "Asia/Seoul"
    #: Partitions of the plant's telemetry and label topics; never changed afterwards.
    partitions: int = Field(default=1, ge=1, le=64)
    assets: tuple[Asset, ...] = Field(min_length=1)
    tags: tuple[Tag, ...] = Field(min_length=1)
    rejects: RejectLimit = RejectLimit()
    #: True where the data come from a simulator; every report says so.
    simulated: bool = False

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"unknown time zone {value!r}; use a name such as Asia/Seoul") from error
        return value

    @model_validator(mode="after")
    def _names_once(self) -> Plant:
        for what, names in (
            ("asset", [asset.name for asset in self.assets]),
            ("tag", [tag.name for tag in self.tags]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} named twice: {', '.join(twice)}")
        if any(tag.name == "ts" for tag in self.tags):
            raise ValueError("no tag may be called ts: that is the column of a row's time")
        return self


#: How a machine holds a candidate's code.
SandboxLevel = Literal["full", "reduced", "none"]


class Capacity(Record):
    """What the machine that runs a plant's candidates can carry, and how it holds their code."""

    cores: int = Field(ge=1)
    memory_mb: int = Field(ge=1)
    #: The sandbox's level, found by trying.
    sandbox: SandboxLevel
    #: Whether its operator lets start-ups' code run without a sandbox.
    unsandboxed: bool = False


class Need(Record):
    """A plant's problem (수요) that candidates may solve."""

    id: Ident
    programme: Ident
    plant: Ident
    title: str = Field(min_length=1)
    description: str | None = None
