"""What one seed of the kill test sends, and whom it kills when: everything follows from the seed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Literal

import numpy as np
import pyarrow as pa

from schemas.agreement import Acceptance, Agreement, Baseline, LabelRule, Limits
from schemas.baselines import Rule
from schemas.labels import IntervalLabel, LabelRecord, PointLabel, Watermark, Withdrawal
from schemas.slices import Slice
from streams.envelope import ARROW, FRAME, FRAME_HEADER, JSON, LABEL, LABEL_FRAME, Headers, headers
from streams.envelope import ROWS as JSON_ROWS
from streams.frames import TS_TYPE, encode_batch, encode_frame, moment

BEGIN_US = 1_772_409_600_000_000
SECOND_US = 1_000_000

ASSETS = ("m1", "m2", "m3", "m4")
MODELS = ("moody", "peak", "graded")

#: The candidates', and the baselines' together.
DEPLOYMENTS = len(MODELS) + 1

FRAMES, ROWS = 60, 50

#: Seconds in which the frames are sent, and bursts of them.
LOAD_S, STRIKES = 14.0, 8

Target = Literal["runner", "second", "scorer", "control", "child", "broker", "zombie"]

#: How often each is hit.
WEIGHTS: dict[Target, int] = {
    "runner": 5, "second": 3, "child": 3, "scorer": 2, "control": 1, "broker": 2, "zombie": 2,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Send:
    """One message, so many seconds after the load has begun; None: after the trial's end."""

    at_s: float | None
    topic: Literal["telemetry", "labels"]
    partition: int
    key: str
    value: bytes
    headers: Headers


#: A broker and a zombie take their time: more than one of each only makes a seed longer.
ONCE: frozenset[Target] = frozenset({"broker", "zombie"})


@dataclass(frozen=True, kw_only=True)
class Kill:
    """A process that is hit; `draw` chooses among those that there are."""

    at_s: float
    target: Target
    draw: float
    #: How long a zombie stands still.
    still_s: float = 0.0


@dataclass(kw_only=True)
class Plan:
    """One seed."""

    seed: int
    agreement: Agreement
    sends: list[Send] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    #: When bursts of frames come.
    strikes_s: list[float] = field(default_factory=list)
    #: When a second worker joins each deployment's group.
    joins_s: list[float] = field(default_factory=list)


def plan_of(seed: int, *, attempt: int = 0) -> Plan:
    """The plan of a seed; a further attempt is the same load with the same kills and more."""
    rng = Random(seed)
    agreement = _agreement(rng)
    # Kills strike where frames have just come in a burst: there a worker has much in hand.
    strikes = sorted(rng.uniform(1, LOAD_S) for _ in range(STRIKES))
    plan = Plan(seed=seed, agreement=agreement, strikes_s=strikes)
    for partition, asset in enumerate(ASSETS):
        _Sender(plan, rng, partition, asset).fill()
    plan.sends.sort(key=lambda one: LOAD_S if one.at_s is None else one.at_s)
    plan.kills = _kills(Random(f"{seed}-0"), 4, strikes)
    if attempt:
        hit = {one.target for one in plan.kills}
        more = _kills(Random(f"{seed}-{attempt}"), 3 * attempt, strikes)
        plan.kills += [one for one in more if one.target not in (hit & ONCE)]
        plan.kills.sort(key=lambda one: one.at_s)
    plan.joins_s = sorted(rng.uniform(0, LOAD_S / 4) for _ in range(DEPLOYMENTS))
    return plan


def _agreement(rng: Random) -> Agreement:
    deadline_s = rng.choice((6.0, 12.0, 3600.0))
    silent = rng.choice(("normal", "unlabelled"))
    baselines = (
        Baseline(name="no-alarm", answer="normal"),
        Baseline(name="rule", answer="normal", rule=Rule(tag="x", above=0.97)),
    )
    return Agreement(
        task="anomaly",
        assets=ASSETS,
        inputs=("x",),
        labels=LabelRule(deadline_days=deadline_s / 86_400, absent_means=silent),
        baselines=baselines,
        acceptance=Acceptance(metric="f1", at_least=0.5, min_rows=1),
        limits=Limits(timeout_s=30, memory_mb=1024),
        slices=(Slice(by="asset"),),
    )


def _kills(rng: Random, count: int, strikes: Sequence[float]) -> list[Kill]:
    """At least one runner, its second and one more, most of them within a moment of a burst."""
    drawn = rng.choices(list(WEIGHTS), weights=list(WEIGHTS.values()), k=rng.randint(count - 2, count))
    targets: list[Target] = ["runner", "second", *drawn]
    once = [one for n, one in enumerate(targets) if one not in ONCE or one not in targets[:n]]
    return sorted(
        (
            Kill(
                at_s=rng.choice(strikes) + rng.uniform(0.0, 0.6),
                target=one,
                draw=rng.random(),
                still_s=rng.uniform(10.5, 12.5),
            )
            for one in once
        ),
        key=lambda one: one.at_s,
    )


class _Sender:
    """The frames and labels of one machine."""

    def __init__(self, plan: Plan, rng: Random, partition: int, asset: str) -> None:
        self._plan, self._rng = plan, rng
        self._partition, self._asset = partition, asset
        self._numbers = np.random.default_rng([plan.seed, partition])

    def fill(self) -> None:
        """Everything that the machine sends."""
        moments = sorted(self._moment_of_frame() for _ in range(FRAMES))
        for number, at_s in enumerate(moments):
            self._frame(number, at_s)
        for number in range(0, FRAMES, 3):
            self._labels(number, moments[number])
        self._marks(moments)

    def _moment_of_frame(self) -> float:
        """Three of four frames come in bursts."""
        if self._rng.random() < 0.25:
            return self._rng.uniform(0, LOAD_S)
        return self._rng.choice(self._plan.strikes_s) + self._rng.uniform(0, 0.1)

    # --- frames ---------------------------------------------------------------------------------------------------

    def _frame(self, number: int, at_s: float) -> None:
        rng, ident = self._rng, f"{self._asset}-{number}"
        chance = rng.random()
        if chance < 0.02:
            listed = headers(FRAME, source="/test", ident=ident, content=ARROW)
            self._send(at_s, "telemetry", b"\xff\xff\xff\xff no frame", listed)
            return
        times, x = self._rows(number, raises=chance < 0.05)
        if chance > 0.9:
            rows = [
                {"ts": moment(int(t)).isoformat(), "values": {"x": v}} for t, v in zip(times, x, strict=True)
            ]
            value, listed = (
                json.dumps(rows).encode(),
                headers(JSON_ROWS, source="/test", ident=ident, content=JSON),
            )
        else:
            value = encode_frame(times, {"x": x})
            listed = headers(FRAME, source="/test", ident=ident, content=ARROW)
        self._send(at_s, "telemetry", value, listed)
        if rng.random() < 0.08:  # its sender was not sure that it had arrived
            self._send(min(at_s + rng.uniform(0, 2), LOAD_S), "telemetry", value, listed)

    def _rows(self, number: int, *, raises: bool) -> tuple[np.ndarray, np.ndarray]:
        times = BEGIN_US + (np.arange(ROWS) + number * ROWS) * SECOND_US
        if number % 17 == 5:
            times += SECOND_US // 3  # a clock that was changed
        x = self._numbers.uniform(0, 1, ROWS).round(6)
        if raises:
            x[self._rng.randrange(ROWS)] = 99.0
        return times.astype(np.int64), x

    # --- labels ---------------------------------------------------------------------------------------------------

    def _labels(self, number: int, at_s: float) -> None:
        """A label for some rows of three frames: early, late, corrected, withdrawn, sent twice."""
        rng = self._rng
        start = number * ROWS + rng.randrange(ROWS)
        end = start + rng.randint(1, 3 * ROWS)
        ident, value = f"{self._asset}-l{number}", rng.choice(("anomaly", "normal"))
        sent_s = self._moment(at_s)
        kind = rng.random()
        if kind < 0.15:
            self._label(sent_s, PointLabel(id=ident, asset=self._asset, ts=self._at(start), value=value))
        elif kind < 0.3:
            self._label_frame(sent_s, number)
        else:
            self._interval(sent_s, ident, start, end, value)
            if rng.random() < 0.4:
                other = rng.choice(("anomaly", "normal"))
                self._interval(self._moment(at_s), ident, start, rng.randint(start + 1, end + 20), other)
            if rng.random() < 0.15:
                self._label(self._moment(at_s), Withdrawal(id=ident, asset=self._asset))
            if rng.random() < 0.2:
                self._interval(sent_s, ident, start, end, value)

    def _moment(self, at_s: float) -> float | None:
        """Before its rows, with them, some seconds later, or after the end."""
        at = at_s + self._rng.choice((-1.0, 0.5, 3.0, 8.0, 40.0))
        return None if at > LOAD_S else max(0.0, at)

    def _marks(self, moments: Sequence[float]) -> None:
        for share in (0.3, 0.6):
            number = int(FRAMES * share)
            self._mark(moments[number] + self._rng.uniform(0, 2), number * ROWS)
        self._mark(None, FRAMES * ROWS + 10)

    def _interval(self, at_s: float | None, ident: str, start: int, end: int, value: str) -> None:
        label = IntervalLabel(
            id=ident, asset=self._asset, start=self._at(start), end=self._at(end), value=value
        )
        self._label(at_s, label)

    def _mark(self, at_s: float | None, second: int) -> None:
        self._label(at_s, Watermark(asset=self._asset, until=self._at(second)))

    def _label(self, at_s: float | None, label: LabelRecord) -> None:
        listed = headers(LABEL, source="/test", ident=f"label-{self._asset}")
        self._send(at_s, "labels", label.to_json(), listed)

    def _label_frame(self, at_s: float | None, number: int) -> None:
        """Labels of one frame, row by row; some rows have none."""
        times, _ = self._rows(number, raises=False)
        values = [self._rng.choice(("normal", "anomaly", None)) for _ in range(ROWS)]
        batch = pa.RecordBatch.from_pydict(
            {"ts": pa.array(times).cast(TS_TYPE), "value": pa.array(values, pa.string())}
        )
        ident = f"{self._asset}-{number}"
        listed = headers(LABEL_FRAME, source="/test", ident=f"{ident}-labels", content=ARROW)
        self._send(at_s, "labels", encode_batch(batch), [*listed, (FRAME_HEADER, ident.encode())])

    def _at(self, second: int):  # type: ignore[no-untyped-def]
        return moment(BEGIN_US + second * SECOND_US)

    def _send(
        self, at_s: float | None, topic: Literal["telemetry", "labels"], value: bytes, listed: Headers
    ) -> None:
        self._plan.sends.append(
            Send(
                at_s=at_s,
                topic=topic,
                partition=self._partition,
                key=self._asset,
                value=value,
                headers=listed,
            )
        )
