"""The terms of an agreement beside the task itself: how it is decided, how long it takes, who sees and keeps what.

Every term has a value that holds where an agreement says nothing, and that value is sealed with the rest.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from schemas.base import Ident, PublicKey, Record

#: A length of time in days; parts of a day are fine.
Days = Annotated[float, Field(gt=0, le=3650)]
Share = Annotated[float, Field(ge=0, le=1)]
Amount = Annotated[float, Field(ge=0, le=1e15)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


def wrong(keys: str | tuple[str | int, ...], en: str, ko: str) -> PydanticCustomError:
    """What a record's own check has to say about one of its fields, in both languages.

    Args:
        keys: the field, or the steps to it from the record; it may be one that is not given.
        en: what is wrong and what to do about it.
        ko: the same in Korean.
    """
    steps = (keys,) if isinstance(keys, str) else keys
    path = ".".join(map(str, steps))
    return PydanticCustomError("term", "{path}: {en}", {"path": path, "keys": steps, "en": en, "ko": ko})


class DecisionUnit(Record):
    """What a decision counts: stretches of the trial that do not overlap, each with one loss between 0 and 1."""

    #: A fixed block of time of one asset; one run to failure; one labelled event; or a single row.
    kind: Literal["block", "run", "event", "row"] = "block"
    #: Length of a block; 60 where nothing is said.
    minutes: int | None = Field(default=None, ge=1, le=525_600)
    #: When blocks begin, in minutes after midnight UTC; at midnight where nothing is said. Midnight in Korea is 900.
    offset_minutes: int | None = Field(default=None, ge=0, lt=525_600)

    @model_validator(mode="after")
    def _minutes_of_blocks(self) -> DecisionUnit:
        for name in ("minutes", "offset_minutes"):
            if getattr(self, name) is not None and self.kind != "block":
                raise wrong(
                    name,
                    f"only a block has a length and begins at a time; a {self.kind} is as long as it is: remove the line",
                    f"길이와 시작 시각은 block에만 씁니다. {self.kind}에서는 이 줄을 지우세요.",
                )
        return self

    @property
    def block_minutes(self) -> int:
        """Length of a block in minutes."""
        return self.minutes or 60


class Expected(Record):
    """What both sides expect, to plan with; it decides nothing."""

    #: Mean loss of a unit, 0 … 1.
    baseline_loss: Share | None = None
    candidate_loss: Share | None = None
    #: Standard deviation, from unit to unit, of the baseline's loss less the candidate's. Without it every
    #: unit is taken as right or wrong, independently for both.
    gain_sd: Share | None = None
    #: Where machines do not run round the clock, or units are no blocks.
    units_a_day: float | None = Field(default=None, gt=0, le=1e9)

    @model_validator(mode="after")
    def _both_losses(self) -> Expected:
        for given, missing in (("baseline_loss", "candidate_loss"), ("candidate_loss", "baseline_loss")):
            if getattr(self, given) is not None and getattr(self, missing) is None:
                raise wrong(
                    missing,
                    f"is missing beside {given}: one says nothing without the other",
                    f"{given}와(과) 함께 써야 합니다.",
                )
        return self


class Decision(Record):
    """When losses compared unit by unit say that a candidate beats the baselines (판정 규칙)."""

    unit: DecisionUnit = DecisionUnit()
    #: How many units the trial is planned for; never extended.
    planned_units: int = Field(ge=1, le=1_000_000_000)
    #: The chance of accepting a candidate wrongly in all slots together, with two rivals; both sides of intervals share it.
    alpha: float = Field(default=0.05, ge=0.0001, le=0.5)
    #: By how much a candidate's mean loss has to be below the baselines'.
    margin: float = Field(default=0.0, ge=0, lt=1)
    #: How many candidates are given a verdict; each at alpha divided by this.
    slots: int = Field(default=3, ge=1, le=1000)
    #: Whether a verdict may fall before the planned end.
    early: bool = False
    #: Below these no verdict falls early.
    least_units: int | None = Field(default=None, ge=1)
    least_events: int | None = Field(default=None, ge=1)
    #: `error`: the share of wrong rows, in regression the mean of |error| / loss_cap. `cost`: by the cost matrix.
    loss: Literal["error", "cost"] = "error"
    #: Where a loss is full: in regression the error of a row, in the target's unit; with costs the cost of a unit.
    loss_cap: float | None = Field(default=None, gt=0, le=1e15)
    #: The baseline that stands for what the plant does today: it has to be beaten, and the best constant answer. Every
    #: baseline has to be where none is named.
    incumbent: Ident | None = None
    expected: Expected = Expected()

    @model_validator(mode="after")
    def _early_after_a_least(self) -> Decision:
        if self.early and self.least_units is None:
            raise wrong(
                "least_units",
                "is missing: a verdict may fall early only after a least number of units",
                "조기 판정에는 최소 판정 단위 수가 필요합니다. `least_units: …`를 추가하세요.",
            )
        if self.least_units is not None and self.least_units > self.planned_units:
            raise wrong(
                "least_units",
                f"is more than the {self.planned_units} planned units",
                f"계획한 판정 단위 {self.planned_units}개보다 많습니다.",
            )
        return self

    def check(self, *, regression: bool, baselines: tuple[str, ...], cost: bool) -> None:
        """Raises what does not fit the rest of the agreement."""
        if not baselines:
            raise wrong(
                "decision",
                "compares candidates with baselines: name at least one under `baselines`",
                "비교할 기준이 없습니다. `baselines`에 하나 이상 쓰세요.",
            )
        if self.incumbent is not None and self.incumbent not in baselines:
            raise wrong(
                ("decision", "incumbent"),
                f"{self.incumbent!r} is no baseline; use one of {', '.join(baselines)}",
                f"{self.incumbent!r}은(는) 비교 기준이 아닙니다. 가능한 값: {', '.join(baselines)}.",
            )
        if self.loss == "cost" and not cost:
            raise wrong(
                ("decision", "loss"),
                "is by cost, and no cost is given: add `cost: …`, or use error",
                "비용으로 판정하려면 `cost: …`가 필요합니다. 없으면 error를 쓰세요.",
            )
        if regression and self.loss_cap is None:
            raise wrong(
                ("decision", "loss_cap"),
                "is missing: give the error from which on an answer is as wrong as can be",
                "회귀 과제에는 손실이 최대가 되는 오차 `loss_cap: …`이 필요합니다.",
            )
        if self.loss_cap is not None and not regression and self.loss != "cost":
            raise wrong(
                ("decision", "loss_cap"),
                "is for regression and for losses by cost; an answer here is right or wrong: remove the line",
                "회귀 과제나 비용 손실에만 씁니다. 이 줄을 지우세요.",
            )


class Cost(Record):
    """What a wrong answer to one row costs the manufacturer (비용)."""

    #: ISO 4217.
    currency: str = "KRW"
    #: With two classes: the second one answered where the first is true, and the other way round.
    false_alarm: Amount | None = None
    missed: Amount | None = None
    #: With more classes: by true class, then by answered class; what is not named costs nothing.
    matrix: dict[str, dict[str, Amount]] = {}

    @model_validator(mode="after")
    def _one_form(self) -> Cost:
        if re.fullmatch("[A-Z]{3}", self.currency) is None:
            raise wrong(
                "currency",
                f"{self.currency!r} is no code of a currency: three capitals, such as KRW",
                f"{self.currency!r}은(는) 통화 코드가 아닙니다. KRW처럼 대문자 세 글자로 쓰세요.",
            )
        pair = (self.false_alarm, self.missed)
        if self.matrix and pair != (None, None):
            raise wrong(
                "matrix",
                "give either false_alarm and missed, or a matrix",
                "false_alarm과 missed, 또는 matrix 중 하나만 쓰세요.",
            )
        if not self.matrix and None in pair:
            name = "false_alarm" if self.false_alarm is None else "missed"
            raise wrong(
                name,
                "is missing: costs are false_alarm and missed, or a matrix",
                "비용은 false_alarm과 missed, 또는 matrix로 씁니다.",
            )
        return self

    def check(self, classes: tuple[str, ...]) -> None:
        """Raises what does not fit the classes; regression has none."""
        if not classes:
            raise wrong(
                "cost",
                "is by classes, and a regression task has none: remove it",
                "비용은 클래스별로 정합니다. 회귀 과제에는 쓸 수 없으니 지우세요.",
            )
        if not self.matrix and len(classes) != 2:
            raise wrong(
                ("cost", "missed"),
                "is for two classes; here give a matrix: by true class, then by answered class",
                "클래스가 둘일 때만 씁니다. 여기서는 matrix(실제 클래스 → 답한 클래스)로 쓰세요.",
            )
        for actual, row in self.matrix.items():
            for keys in ((actual,), *((actual, answer) for answer in row)):
                if keys[-1] not in classes:
                    every = ", ".join(classes)
                    raise wrong(
                        ("cost", "matrix", *keys),
                        f"{keys[-1]!r} is none of the classes {every}",
                        f"{keys[-1]!r}은(는) 클래스가 아닙니다. 가능한 값: {every}.",
                    )
            if row.get(actual):
                raise wrong(
                    ("cost", "matrix", actual, actual),
                    "a right answer costs nothing: remove the line",
                    "맞은 답에는 비용이 없습니다. 이 줄을 지우세요.",
                )

    def table(self, classes: tuple[str, ...]) -> tuple[tuple[float, ...], ...]:
        """What an answer costs, by the code of the true class, then of the answered one."""
        table: dict[str, dict[str, float]] = dict(self.matrix)
        if self.false_alarm is not None and self.missed is not None:
            first, second = classes
            table = {first: {second: self.false_alarm}, second: {first: self.missed}}
        return tuple(
            tuple(table.get(actual, {}).get(answer, 0.0) for answer in classes) for actual in classes
        )


class Phases(Record):
    """How long each part of a proof takes (단계)."""

    #: A rehearsal ends after so many days, or so many rows; 0 rows and no days: there is none.
    rehearsal_days: Days | None = None
    rehearsal_rows: int = Field(default=0, ge=0, le=1_000_000_000)
    #: Without it a trial runs until it is ended.
    trial_days: Days | None = None
    #: For the last labels after the trial; as long as labels count where nothing is said.
    closing_days: Days | None = None


class Quotas(Record):
    """How much of the proof one start-up may take up."""

    #: Candidates that may be submitted in all, new versions included.
    candidates: int = Field(default=5, ge=1, le=1000)


#: What a party may be told: numbers of rows; metrics with their confusion; the verdict; the loss of every unit.
Told = Literal["counts", "metrics", "verdict", "unit_losses"]


class Disclosed(Record):
    """What one party may see, and how often."""

    what: tuple[Told, ...] = ()
    every: Literal["live", "daily", "close"] = "daily"

    @model_validator(mode="after")
    def _once_each(self) -> Disclosed:
        if len(set(self.what)) < len(self.what):
            raise wrong("what", "names something twice", "같은 것이 두 번 있습니다.")
        return self


_USUAL: tuple[Told, ...] = ("counts", "metrics", "verdict")


class Disclosure(Record):
    """What may be disclosed to whom (공개 범위). The manufacturer sees everything; observers see released reports."""

    startup: Disclosed = Disclosed(what=_USUAL)
    coordinator: Disclosed = Disclosed(what=_USUAL)
    observer: Disclosed = Disclosed(every="close")


class Rights(Record):
    """Who holds what afterwards (권리)."""

    data: Text = "The data stay the manufacturer's. (데이터는 제조사에 속한다.)"
    derived_data: Text = (
        "Labels, predictions and scores are the manufacturer's; the start-up may keep its own scores. "
        "(라벨·예측·점수는 제조사에 속하며, 스타트업은 자기 점수를 보관할 수 있다.)"
    )
    model: Text = "The model stays the start-up's. (모델은 스타트업에 속한다.)"


class Keys(Record):
    """Whose signatures stand under the evidence of this proof (서명 키): Ed25519 public keys."""

    #: Of the manufacturer for its plant.
    plant: PublicKey
    #: Of the installation that judges requests.
    control: PublicKey


class Retention(Record):
    """How long things are kept; without a number as long as the installation keeps them (보존 기간)."""

    telemetry_days: Days | None = None
    #: After the close.
    ledger_days: Days | None = None
    artifact_days: Days | None = None
