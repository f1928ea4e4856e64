"""A simulated circulating-pump bench: eight tags, one row a second, with faults that are known.

A pump drives water from a tank through a suction valve, a discharge valve and a loop back into the tank; a
frequency inverter sets its speed, as on the SKAB bench, whose tags it uses. Everything it returns is marked
as simulated. The formulas and their sources stand in `infra.demo.physics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.random import Generator
from numpy.typing import NDArray

from infra.demo.physics import (
    DENSITY,
    GRAVITY,
    OperatingPoint,
    Operation,
    Pump,
    Series,
    bearing_vibration,
    lag,
    motor_load,
    operating_point,
)

FaultKind = Literal["valve closing", "cavitation", "rotor imbalance"]

#: The tags in the order of the columns, with their UCUM units.
UNITS = {
    "Accelerometer1RMS": "[g]",
    "Accelerometer2RMS": "[g]",
    "Current": "A",
    "Pressure": "bar",
    "Temperature": "Cel",
    "Thermocouple": "Cel",
    "Voltage": "V",
    "Volume Flow RateRMS": "L/min",
}
TAGS = tuple(UNITS)
FAULTS: tuple[FaultKind, ...] = ("valve closing", "cavitation", "rotor imbalance")

SECOND_US = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault to simulate: rows `first` (included) to `until` (excluded)."""

    kind: FaultKind
    first: int
    until: int
    #: 0 (hardly there) to 1 (as bad as it gets).
    severity: float


@dataclass(frozen=True, kw_only=True)
class Episode:
    """A fault that was simulated, as a half-open interval of event time in microseconds since 1970, UTC."""

    kind: FaultKind
    start_ts: int
    end_ts: int


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What one simulated machine recorded, and what was wrong with it.

    `ts` has shape (n,), microseconds UTC, one second apart; `values` (n, 8), in the order of TAGS;
    `anomaly` (n,), true in an episode.
    """

    ts: NDArray[np.int64]
    values: Series
    anomaly: NDArray[np.bool_]
    episodes: tuple[Episode, ...]

    @property
    def table(self) -> pa.Table:
        """The rows as Arrow: `ts` timestamp[us, UTC], a float64 column a tag; `simulated` as metadata."""
        fields: list[pa.Field[Any]] = [pa.field("ts", pa.timestamp("us", tz="UTC"), nullable=False)]
        fields += [pa.field(tag, pa.float64(), metadata={"unit": unit}) for tag, unit in UNITS.items()]
        columns: list[pa.Array[Any]] = [pa.array(self.ts, pa.timestamp("us", tz="UTC"))]
        columns += [pa.array(column) for column in self.values.T]
        return pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata={"simulated": "true"}))


def build_pump(rng: Generator) -> Pump:
    """Draw one machine of a series: hydraulics within 2 %, balance and site within what is usual."""
    ideal = Pump()
    near = rng.normal(1.0, 0.02, size=4)
    return Pump(
        shutoff_head=ideal.shutoff_head * near[0],
        head_fall=ideal.head_fall * near[1],
        loop_resistance=ideal.loop_resistance * near[2],
        suction_resistance=ideal.suction_resistance,
        efficiency=ideal.efficiency * near[3],
        balance_grade=float(rng.uniform(4.0, 6.3)),
        ambient=float(rng.uniform(18.0, 24.0)),
    )


def plan_episodes(rng: Generator, rows: int, *, every: int = 700) -> tuple[Fault, ...]:
    """Plan about one fault in `every` rows, each kind in turn, with at least 120 healthy rows on either side.

    Rows are seconds. A fault lasts 180 to 300 s. Fewer than `every` (at least 600) rows hold none.
    """
    slots = rows // max(every, 600)
    kinds = [FAULTS[k] for k in rng.permutation(len(FAULTS))]
    faults = []
    for slot in range(slots):
        length = int(rng.integers(180, 301))
        room = rows // slots - length - 240
        first = slot * (rows // slots) + 120 + int(rng.integers(0, max(room, 1)))
        severity = float(rng.uniform(0.3, 1.0))
        kind = kinds[slot % len(kinds)]
        faults.append(Fault(kind=kind, first=first, until=first + length, severity=severity))
    return tuple(faults)


def simulate(
    *, rng: Generator, rows: int, start: int, episodes: Sequence[Fault] = (), pump: Pump | None = None
) -> Bench:
    """Run one bench for `rows` seconds from `start` (microseconds since 1970, UTC).

    The same generator state and arguments give the same rows. Raises ValueError for a fault that lies outside
    the rows.
    """
    for fault in episodes:
        if not 0 <= fault.first < fault.until <= rows:
            raise ValueError(f"{fault} lies outside the {rows} rows: plan it with plan_episodes(rng, {rows})")
    values = _measure(rng, pump or Pump(), _operate(rng, rows, episodes))
    ts = start + SECOND_US * np.arange(rows, dtype=np.int64)
    anomaly = np.zeros(rows, dtype=np.bool_)
    for fault in episodes:
        anomaly[fault.first : fault.until] = True
    happened = tuple(_episode(fault, start) for fault in episodes)
    return Bench(ts=ts, values=values, anomaly=anomaly, episodes=happened)


def _episode(fault: Fault, start: int) -> Episode:
    first, until = start + fault.first * SECOND_US, start + fault.until * SECOND_US
    return Episode(kind=fault.kind, start_ts=first, end_ts=until)


def _operate(rng: Generator, rows: int, faults: Sequence[Fault]) -> Operation:
    speed = _set_points(rng, rows, low=0.90, high=1.0, ramp_s=15)
    discharge = _set_points(rng, rows, low=0.74, high=0.92, ramp_s=10)
    throttling, imbalance = np.ones(rows), np.ones(rows)
    courses = np.random.default_rng(rng.integers(2**63))  # of their own: a fault changes no noise elsewhere
    for fault in faults:
        span = slice(fault.first, fault.until)
        shape = _course(courses, fault)
        if fault.kind == "valve closing":
            discharge[span] *= 1 - (0.35 + 0.25 * fault.severity) * shape
        elif fault.kind == "cavitation":
            throttling[span] += (30 + 20 * fault.severity) * shape
        else:
            imbalance[span] += (0.8 + 1.7 * fault.severity) * shape
    return Operation(speed=speed, discharge=discharge, throttling=throttling, imbalance=imbalance)


def _set_points(rng: Generator, rows: int, *, low: float, high: float, ramp_s: int) -> Series:
    """Operators change the set point every 3 to 10 minutes; the drive follows in a ramp."""
    steps = np.cumsum(rng.integers(180, 600, size=rows // 180 + 1))
    levels = rng.uniform(low, high, size=len(steps) + 1)
    wanted = levels[np.searchsorted(steps, np.arange(rows), side="right")]
    padded = np.concatenate([np.full(ramp_s, wanted[0]), wanted])
    return np.convolve(padded, np.full(ramp_s, 1 / ramp_s), mode="valid")[1:]


def _course(rng: Generator, fault: Fault) -> Series:
    """How a fault comes and goes, 0 to 1: valves ramp and ramp back, imbalance grows until repaired."""
    x = np.linspace(0, 1, fault.until - fault.first)
    if fault.kind == "rotor imbalance":
        return np.asarray(np.minimum(1.0, x / float(rng.uniform(0.3, 0.8))) ** 1.3)
    rise, fall = rng.uniform(0.08, 0.25), rng.uniform(0.04, 0.12)
    return np.clip(np.minimum(x / rise, (1 - x) / fall), 0, 1)


def _measure(rng: Generator, pump: Pump, state: Operation) -> Series:
    """Physics first, then what the sensors make of it. Shape (n, 8), in the order of TAGS."""
    n = len(state.speed)
    hall = pump.ambient + 0.5 * np.sin(2 * np.pi * (np.arange(n) / 7_200 + rng.uniform()))
    fluid = _fluid(hall, operating_point(pump, state, np.full(n, pump.ambient + 8.0)))
    point = operating_point(pump, state, fluid)
    voltage = 230 + lag(rng.normal(0, 20, n), seconds=60, first=0.0)
    electric, current = motor_load(point.shaft_power, voltage)
    body = hall + lag(0.42 * (electric - point.shaft_power), seconds=900)  # 0.42 K for each W that is lost
    vibration = bearing_vibration(pump, state, point)
    # A gauge behind the pump sees the head that the suction line has left, and 0.4 m of water in the tank.
    pressure = DENSITY * GRAVITY * (point.head - point.suction_loss + 0.4) / 1e5
    flicker = 1 + 4 * point.cavitation  # vapour makes pressure and flow unsteady
    return np.column_stack(
        [
            _sensor(rng, vibration, noise=0.010 * vibration, drift=0.0008, step=1e-5),
            _sensor(rng, 1.25 * vibration + 0.01, noise=0.012 * vibration, drift=0.001, step=1e-5),
            _sensor(rng, current, noise=0.035, drift=0.0, step=1e-3),
            _sensor(rng, pressure, noise=0.012 * flicker, drift=0.003, step=2e-3),
            _sensor(rng, body, noise=0.15, drift=0.05, step=1e-2),
            _sensor(rng, lag(fluid, seconds=12), noise=0.03, drift=0.03, step=1e-3),
            _sensor(rng, voltage, noise=0.8, drift=0.0, step=0.1),
            _sensor(rng, point.flow, noise=0.5 * flicker, drift=0.1, step=0.05),
        ]
    )


def _fluid(hall: Series, point: OperatingPoint) -> Series:
    """Water temperature in °C: all shaft power becomes heat, which 60 l (251 kJ/K) lose at 45 W/K."""
    return hall + lag(point.shaft_power / 45, seconds=5_600)


def _sensor(rng: Generator, true: Series, *, noise: Series | float, drift: float, step: float) -> Series:
    """Add white noise and a slow drift (a random walk that forgets within half an hour), then quantise."""
    n = len(true)
    wander = lag(rng.normal(0, drift * 60, n), seconds=1_800, first=0.0)
    return np.asarray(np.round((true + rng.normal(0, 1, n) * noise + wander) / step) * step)
