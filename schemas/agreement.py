"""The agreement (협약): the protocol of a proof that both sides consent to, as data."""

from __future__ import annotations

import hashlib
import math
from enum import StrEnum
from typing import Annotated, Literal

import rfc8785
from pydantic import Field, model_validator

from schemas.base import AssetName, Digest, Record, TagName
from schemas.baselines import Baseline, LabelValue
from schemas.slices import Slice
from schemas.terms import (
    Cost,
    Days,
    Decision,
    Disclosure,
    Keys,
    Phases,
    Quotas,
    Retention,
    Rights,
    Share,
    wrong,
)

__all__ = [
    "ANOMALY_CLASSES",
    "METRICS",
    "Acceptance",
    "Agreement",
    "Baseline",
    "LabelRule",
    "LabelValue",
    "Limits",
    "Task",
    "metrics_known",
]


class Task(StrEnum):
    """What a candidate is asked for."""

    ANOMALY = "anomaly"
    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    #: The number is a later value of what is measured, such as the next hour's load.
    FORECASTING = "forecasting"
    #: The number is how long a machine will still run.
    RUL = "rul"

    @property
    def numeric(self) -> bool:
        """Whether answers are numbers instead of classes."""
        return self in (Task.REGRESSION, Task.FORECASTING, Task.RUL)


#: The two classes of an anomaly task, in the order of their codes 0 and 1.
ANOMALY_CLASSES = ("normal", "anomaly")

_TWO_CLASSES = {
    "f1": True,
    "precision": True,
    "recall": True,
    "accuracy": True,
    "far": False,
    "mar": False,
    "balanced_accuracy": True,
    "mcc": True,
    # Of candidates that give a score beside every answer.
    "average_precision": True,
    "brier": False,
    "log_loss": False,
}
_CLASSES = {
    "accuracy": True,
    "macro_precision": True,
    "macro_recall": True,
    "macro_f1": True,
    "balanced_accuracy": True,
    "mcc": True,
}
_EVENTS = {
    "event_recall": True,
    "detection_delay_s": False,
    "false_alarms_per_day": False,
    "nab": True,
    "nab_low_fp": True,
    "nab_low_fn": True,
}
_NUMBERS = {"mae": False, "rmse": False, "r2": True, "mape": False}

#: Metrics that an acceptance rule may name, by task, and whether more of it is better.
METRICS: dict[Task, dict[str, bool]] = {
    Task.ANOMALY: {**_TWO_CLASSES, **_EVENTS},
    Task.CLASSIFICATION: _CLASSES,
    Task.REGRESSION: _NUMBERS,
    Task.FORECASTING: _NUMBERS,
    Task.RUL: {**_NUMBERS, "phm08": False},
}


def metrics_known(task: Task, classes: int) -> dict[str, bool]:
    """The metrics of a task with so many classes, and whether more of each is better."""
    two = task is Task.CLASSIFICATION and classes == 2
    return {**METRICS[task], **_TWO_CLASSES} if two else METRICS[task]


class LabelRule(Record):
    """How truth arrives."""

    #: Days after a frame's arrival within which a label or a correction for its rows still counts.
    deadline_days: float = Field(default=14, gt=0, le=3650)
    #: What a row means that the watermark has passed and no label covers: `normal` where only events are
    #: labelled, `unlabelled` where silence says nothing.
    absent_means: Literal["normal", "unlabelled"] = "unlabelled"
    #: The plant's duty: at least every so many days it says up to when its labels are complete.
    watermark_days: Days | None = None

    @model_validator(mode="after")
    def _watermark_in_time(self) -> LabelRule:
        if self.watermark_days is not None and self.watermark_days > self.deadline_days:
            raise wrong(
                "watermark_days",
                f"is longer than labels count ({self.deadline_days:g} days); make it shorter",
                f"라벨 인정 기간({self.deadline_days:g}일)보다 깁니다. 줄이세요.",
            )
        return self


class Acceptance(Record):
    """When a candidate is accepted: one metric and one threshold, over at least so many scored rows."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    #: Below this number of scored rows the verdict is inconclusive.
    min_rows: int = Field(default=1, ge=1)
    #: The largest share of rows that may fail or be abstained from, 0 … 1.
    max_unanswered: float = Field(default=0.05, ge=0, le=1)

    @model_validator(mode="after")
    def _one_threshold(self) -> Acceptance:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError("give exactly one of at_least and at_most")
        return self


class Limits(Record):
    """What a candidate may use."""

    #: Seconds for one frame; guards against hanging.
    timeout_s: float = Field(default=30, gt=0, le=600)
    #: Seconds for loading the model.
    start_timeout_s: float = Field(default=120, gt=0, le=1800)
    memory_mb: int = Field(default=2048, ge=128, le=16_777_216)
    #: CPU seconds for one frame, of all its threads together.
    cpu_s: float | None = Field(default=None, gt=0, le=36_000)
    #: The largest shares of rows that may fail, and that may be abstained from; `acceptance.max_unanswered` is for both together.
    failures: Share | None = None
    abstentions: Share | None = None
    #: The most preceding rows that a model may ask for.
    context_rows: int = Field(default=1000, ge=0, le=100_000)


class Agreement(Record):
    """The protocol of a proof: what is predicted from what, how it is labelled and when it is accepted."""

    task: Task
    assets: tuple[AssetName, ...] = Field(min_length=1)
    #: The tags that a candidate is given, and no others.
    inputs: tuple[TagName, ...] = Field(min_length=1)
    #: What is predicted, for people: `anomaly`, `remaining cycles`.
    target: str = "anomaly"
    #: The unit of a regression target in UCUM notation.
    unit: str | None = None
    #: Class names in the order of their codes; the second one is what an anomaly task looks for.
    classes: tuple[str, ...] = ()
    labels: LabelRule = LabelRule()
    baselines: tuple[Baseline, ...] = Field(default=(), max_length=10)
    acceptance: Acceptance
    #: Metrics that both sides want to see; all that the task has where none is named.
    metrics: tuple[str, ...] = ()
    #: Parts of the rows that both sides want to see apart, where there are any.
    slices: Annotated[tuple[Slice, ...], Field(max_length=5)] | None = None
    #: The rule for units compared with the baselines, where one is agreed.
    decision: Decision | None = None
    cost: Cost | None = None
    limits: Limits = Limits()
    phases: Phases = Phases()
    quotas: Quotas = Quotas()
    classification: Literal["open", "restricted", "defence"] = "open"
    disclosure: Disclosure = Disclosure()
    #: What the start-up is given to learn from: an extract, statistics only, or nothing.
    training_data: Literal["extract", "statistics", "none"] = "none"
    rights: Rights = Rights()
    retention: Retention = Retention()
    #: Days within which the other side has to consent, and within which either may object to a verdict.
    respond_days: Days = 14
    objection_days: Days = 14
    #: The keys under which evidence is signed; the installation's are put in where none are given.
    keys: Keys | None = None

    @model_validator(mode="before")
    @classmethod
    def _anomaly_classes(cls, data: object) -> object:
        if isinstance(data, dict) and data.get("task") == Task.ANOMALY and not data.get("classes"):
            return {**data, "classes": ANOMALY_CLASSES}
        return data

    @model_validator(mode="after")
    def _coherent(self) -> Agreement:
        self._check_classes()
        self._check_acceptance()
        self._check_baselines()
        for what, names in (
            ("asset", self.assets),
            ("input", self.inputs),
            ("baseline", [baseline.name for baseline in self.baselines]),
        ):
            twice = sorted({name for name in names if list(names).count(name) > 1})
            if twice:
                raise ValueError(f"{what} named twice: {', '.join(twice)}")
        self._check_metrics()
        for at, one in enumerate(self.slices or ()):
            one.check(at, inputs=self.inputs)
        if self.decision is not None:
            self.decision.check(
                regression=self.task.numeric,
                baselines=tuple(one.name for one in self.baselines),
                cost=self.cost is not None,
            )
        if self.cost is not None:
            self.cost.check(self.classes)
        self._check_times()
        self._check_disclosure()
        return self

    def _check_classes(self) -> None:
        if self.task is Task.ANOMALY and not 2 == len(self.classes) == len(set(self.classes)):
            raise ValueError(
                "an anomaly task has two classes: the normal one first, the anomalous one second"
            )
        if self.task is Task.CLASSIFICATION and not 2 <= len(set(self.classes)) == len(self.classes):
            raise ValueError("a classification task lists two or more different classes")
        if self.task.numeric and self.classes:
            raise ValueError(f"a {self.task} task has no classes")
        if self.labels.absent_means == "normal" and self.task is not Task.ANOMALY:
            raise ValueError("absent_means: normal is for anomaly tasks only")

    def _check_baselines(self) -> None:
        rehearsal = self.phases.rehearsal_days is not None or self.phases.rehearsal_rows > 0
        rehearsed = rehearsal and self.decision is not None
        for at, baseline in enumerate(self.baselines):
            self.code(baseline.answer)
            baseline.check(
                at, classes=self.classes, inputs=self.inputs, target=self.target, rehearsed=rehearsed
            )

    def _check_acceptance(self) -> None:
        known = metrics_known(self.task, len(self.classes))
        name = self.acceptance.metric
        if name not in known:
            raise ValueError(f"metric {name!r} is not of a {self.task} task; use one of {', '.join(known)}")
        if known[name] != (self.acceptance.at_least is not None):
            wanted = "at_least" if known[name] else "at_most"
            raise ValueError(f"for {name} the threshold is given as {wanted}")

    def _check_metrics(self) -> None:
        known = metrics_known(self.task, len(self.classes))
        for index, name in enumerate(self.metrics):
            if name not in known:
                every = ", ".join(known)
                raise wrong(
                    ("metrics", index),
                    f"{name!r} is not of a {self.task} task; use one of {every}",
                    f"{name!r}은(는) {self.task} 과제의 지표가 아닙니다. 가능한 값: {every}.",
                )

    def _check_times(self) -> None:
        closing, kept = self.phases.closing_days, self.retention.ledger_days
        if closing is not None and closing < self.labels.deadline_days:
            raise wrong(
                ("phases", "closing_days"),
                f"ends while labels still count ({self.labels.deadline_days:g} days); make it longer",
                f"라벨 인정 기간({self.labels.deadline_days:g}일)보다 짧습니다. 늘리세요.",
            )
        if kept is not None and kept < self.objection_days:
            raise wrong(
                ("retention", "ledger_days"),
                f"is shorter than the objection period ({self.objection_days:g} days), in which the scores "
                "must be recomputable",
                f"이의 제기 기간({self.objection_days:g}일)보다 짧습니다. 그동안 점수를 다시 계산할 수 있어야 합니다.",
            )

    def _check_disclosure(self) -> None:
        if self.classification == "defence" and self.disclosure.observer.what:
            raise wrong(
                ("disclosure", "observer"),
                "sees nothing where the classification is defence: make it `what: []`",
                "방산 등급에서는 참관인에게 공개할 수 없습니다. `what: []`로 쓰세요.",
            )

    def code(self, value: LabelValue) -> float:
        """The number that stands for a label value: the class's position, or the value itself where it is a number.

        Raises:
            ValueError: the value is none of the classes, or no finite number.
        """
        if self.task.numeric:
            try:
                number = math.nan if isinstance(value, (bool, str)) else float(value)
            except OverflowError:
                number = math.inf
            if not math.isfinite(number):
                raise ValueError(f"{value!r} is no number")
            return number
        if isinstance(value, str) and value in self.classes:
            return float(self.classes.index(value))
        if not isinstance(value, str) and self.task is Task.ANOMALY and value in (0, 1):
            return float(value)
        if str(value) in self.classes:
            return float(self.classes.index(str(value)))
        raise ValueError(f"{value!r} is none of the classes {', '.join(self.classes)}")

    def canonical(self) -> bytes:
        """The agreement as canonical JSON (RFC 8785): the same bytes from the same terms, whoever writes them."""
        return rfc8785.dumps(self.to_dict())

    def digest(self) -> Digest:
        """SHA-256 of the canonical JSON, in hexadecimal: what both sides consent to."""
        return hashlib.sha256(self.canonical()).hexdigest()
