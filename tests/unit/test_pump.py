"""The simulated bench obeys physics, is deterministic, and separates good candidates from bad ones."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.demo.pump import FAULTS, TAGS, Bench, Fault, FaultKind, build_pump, plan_episodes, simulate

START = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


def bench(*, seed: int = 7, rows: int = 2_000, episodes: tuple[Fault, ...] = ()) -> Bench:
    return simulate(rng=np.random.default_rng(seed), rows=rows, start=START, episodes=episodes)


def column(values: NDArray[np.float64], tag: str) -> NDArray[np.float64]:
    return values[:, TAGS.index(tag)]


def deviation(kind: FaultKind, tag: str) -> float:
    """Mean change of a tag in the worst part of a fault, against the same run without the fault."""
    fault = Fault(kind=kind, first=1_000, until=1_240, severity=1.0)
    worst = slice(1_120, 1_200)
    changed, healthy = bench(episodes=(fault,)), bench()
    return float(np.mean(column(changed.values, tag)[worst] - column(healthy.values, tag)[worst]))


def test_the_same_seed_gives_the_same_rows() -> None:
    np.testing.assert_array_equal(bench(seed=3).values, bench(seed=3).values)
    assert not np.array_equal(bench(seed=3).values, bench(seed=4).values)


def test_rows_are_one_second_apart_and_every_reading_is_finite() -> None:
    run = bench(rows=500)
    assert run.ts[0] == START
    assert set(np.diff(run.ts)) == {1_000_000}
    assert run.values.shape == (500, len(TAGS))
    assert np.isfinite(run.values).all()


def test_the_table_is_marked_as_simulated_and_names_its_units() -> None:
    table = bench(rows=10).table
    assert table.column_names == ["ts", *TAGS]
    assert table.schema.metadata == {b"simulated": b"true"}
    assert table.schema.field("Pressure").metadata == {b"unit": b"bar"}


def test_the_label_covers_exactly_the_rows_of_the_episode() -> None:
    run = bench(episodes=(Fault(kind="cavitation", first=300, until=500, severity=0.5),))
    (episode,) = run.episodes
    inside = (run.ts >= episode.start_ts) & (run.ts < episode.end_ts)
    np.testing.assert_array_equal(inside, run.anomaly)
    assert run.anomaly.sum() == 200


def test_a_healthy_bench_stays_within_what_its_sensors_may_show() -> None:
    values = bench(rows=7_200).values
    for tag, (low, high) in {
        "Current": (1.5, 4.0),
        "Pressure": (0.4, 1.3),
        "Voltage": (207.0, 253.0),  # EN 50160: 230 V ± 10 %
        "Temperature": (60.0, 110.0),
        "Thermocouple": (20.0, 40.0),
        "Volume Flow RateRMS": (90.0, 150.0),
    }.items():
        assert low < column(values, tag).min() <= column(values, tag).max() < high, tag


def test_a_closing_discharge_valve_raises_the_pressure_and_lowers_flow_and_current() -> None:
    assert deviation("valve closing", "Pressure") > 0.1
    assert deviation("valve closing", "Volume Flow RateRMS") < -20
    assert deviation("valve closing", "Current") < -0.1


def test_cavitation_lowers_pressure_and_flow_and_shakes_the_bearing() -> None:
    assert deviation("cavitation", "Pressure") < -0.2
    assert deviation("cavitation", "Volume Flow RateRMS") < -20
    assert deviation("cavitation", "Accelerometer1RMS") > 0.01


def test_rotor_imbalance_shakes_the_bearing_and_leaves_the_flow_alone() -> None:
    assert deviation("rotor imbalance", "Accelerometer1RMS") > 0.01
    assert deviation("rotor imbalance", "Volume Flow RateRMS") == pytest.approx(0, abs=1e-9)


def test_the_set_points_of_normal_operation_move_more_than_the_noise() -> None:
    flow = column(bench(rows=7_200).values, "Volume Flow RateRMS")
    assert np.std(flow) > 5 * np.std(np.diff(flow)) / np.sqrt(2)


@pytest.mark.parametrize("seed", range(5))
def test_planned_faults_are_of_every_kind_and_leave_health_between_them(seed: int) -> None:
    faults = plan_episodes(np.random.default_rng(seed), 3_000)
    assert {fault.kind for fault in faults} == set(FAULTS)
    assert faults[0].first >= 120
    assert faults[-1].until <= 3_000 - 120
    assert all(later.first - earlier.until >= 240 for earlier, later in pairwise(faults))


def test_a_fault_outside_the_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="plan_episodes"):
        bench(rows=200, episodes=(Fault(kind="cavitation", first=100, until=300, severity=0.5),))


def test_machines_of_a_series_differ_slightly() -> None:
    one, other = build_pump(np.random.default_rng(1)), build_pump(np.random.default_rng(2))
    assert one != other
    assert one.shutoff_head == pytest.approx(other.shutoff_head, rel=0.15)
