"""The agreement (협약): the protocol of a proof that both sides consent to, as data."""

from __future__ import annotations

import hashlib
import json
import math
from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from schemas.base import AssetName, Ident, Record, TagName

LabelValue = bool | int | float | str


class Task(StrEnum):
    """What a candidate is asked for."""

    ANOMALY = "anomaly"
    CLASSIFICATION = "classification"
    REGRESSION = "regression"


#: The two classes of an anomaly task, in the order of their codes 0 and 1.
ANOMALY_CLASSES = ("normal", "anomaly")

#: Metrics that an acceptance rule may name, by task, and whether more of it is better.
METRICS: dict[Task, dict[str, bool]] = {
    Task.ANOMALY: {
        "f1": True,
        "precision": True,
        "recall": True,
        "accuracy": True,
        "far": False,
        "mar": False,
    },
    Task.CLASSIFICATION: {"accuracy": True, "macro_precision": True, "macro_recall": True, "macro_f1": True},
    Task.REGRESSION: {"mae": False, "rmse": False, "r2": True},
}


class LabelRule(Record):
    """How truth arrives."""

    #: Days after a frame's arrival within which a label or a correction for its rows still counts.
    deadline_days: float = Field(default=14, gt=0, le=3650)
    #: What a row means that the watermark has passed and no label covers: `normal` where only events are
    #: labelled, `unlabelled` where silence says nothing.
    absent_means: Literal["normal", "unlabelled"] = "unlabelled"


class Baseline(Record):
    """A constant answer that a candidate has to be compared with, frozen before the first label."""

    name: Ident
    answer: LabelValue


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
    memory_mb: int = Field(default=2048, ge=128)
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
    limits: Limits = Limits()
    classification: Literal["open", "restricted", "defence"] = "open"

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
        for baseline in self.baselines:
            self.code(baseline.answer)
        for what, names in (
            ("asset", self.assets),
            ("input", self.inputs),
            ("baseline", [baseline.name for baseline in self.baselines]),
        ):
            twice = sorted({name for name in names if list(names).count(name) > 1})
            if twice:
                raise ValueError(f"{what} named twice: {', '.join(twice)}")
        return self

    def _check_classes(self) -> None:
        if self.task is Task.ANOMALY and not 2 == len(self.classes) == len(set(self.classes)):
            raise ValueError(
                "an anomaly task has two classes: the normal one first, the anomalous one second"
            )
        if self.task is Task.CLASSIFICATION and not 2 <= len(set(self.classes)) == len(self.classes):
            raise ValueError("a classification task lists two or more different classes")
        if self.task is Task.REGRESSION and self.classes:
            raise ValueError("a regression task has no classes")
        if self.labels.absent_means == "normal" and self.task is not Task.ANOMALY:
            raise ValueError("absent_means: normal is for anomaly tasks only")

    def _check_acceptance(self) -> None:
        known = METRICS[self.task]
        if self.task is Task.CLASSIFICATION and len(self.classes) == 2:
            known = {**known, **METRICS[Task.ANOMALY]}
        name = self.acceptance.metric
        if name not in known:
            raise ValueError(f"metric {name!r} is not of a {self.task} task; use one of {', '.join(known)}")
        if known[name] != (self.acceptance.at_least is not None):
            wanted = "at_least" if known[name] else "at_most"
            raise ValueError(f"for {name} the threshold is given as {wanted}")

    def code(self, value: LabelValue) -> float:
        """The number that stands for a label value: the class's position, or the value itself in regression.

        Raises:
            ValueError: the value is none of the classes, or no finite number.
        """
        if self.task is Task.REGRESSION:
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

    def digest(self) -> str:
        """SHA-256 of the agreement's JSON with sorted keys and no spaces."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()
