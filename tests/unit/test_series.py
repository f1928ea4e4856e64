"""Events, alarms and the score of the Numenta benchmark, against definitions written down row by row."""

from __future__ import annotations

import csv
import json
import math
import os
import statistics
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.metrics.series import DAY_US, joined, piece_of, series_metrics, series_sums
from tests.unit.nab_formula import PROFILES, nab_score

ROOT = Path(__file__).resolve().parents[2]
NAB = Path(os.environ.get("FIELDPROOF_DATA") or ROOT.parent / "shared" / "data") / "nab"
SERIES = NAB / "machine_temperature_system_failure.csv"

#: A row: label (None: unknown), answer (None: none).
ROWS = st.lists(
    st.tuples(st.sampled_from([0, 0, 1, None]), st.sampled_from([0, 1, None])), min_size=1, max_size=80
)
STEPS = st.lists(st.sampled_from([1, 1, 1, 2, 0, -5, 1000]), min_size=80, max_size=80)
Row = tuple[int | None, int | None]
SECOND = 1_000_000


def columns(rows: list[Row], times: list[int] | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.array(times or range(len(rows)), dtype=np.int64)[: len(rows)] * SECOND,
        np.array([-1 if label is None else label for label, _ in rows], dtype=np.int8),
        np.array([math.nan if answer is None else answer for _, answer in rows], dtype=np.float64),
    )


def counted(times: np.ndarray, truth: np.ndarray, answers: np.ndarray) -> tuple[int, ...]:
    """The sums of rows that come at one go."""
    return series_sums([piece_of(times, truth, answers)])


def events_of(rows: list[Row]) -> list[list[int]]:
    """Positions of the rows of each event."""
    found: list[list[int]] = []
    inside = False
    for position, (label, _) in enumerate(rows):
        if label is None:
            continue
        if label and not inside:
            found.append([])
        if label:
            found[-1].append(position)
        inside = bool(label)
    return found


@given(ROWS, STEPS)
def test_events_delays_and_false_alarms_are_as_they_are_defined(rows: list[Row], steps: list[int]) -> None:
    times = np.cumsum(steps).tolist()
    found = series_metrics([counted(*columns(rows, times))])
    events = events_of(rows)
    alarms = [[at for at in event if rows[at][1] == 1] for event in events]
    hits = [one for one in alarms if one]
    delays = [
        max(0, times[hit[0]] - times[event[0]]) for event, hit in zip(events, alarms, strict=True) if hit
    ]
    assert ("event_recall" in found) == bool(events)
    if events:
        assert found["event_recall"] == pytest.approx(len(hits) / len(events))
    assert found.get("detection_delay_s") == (statistics.median(delays) if delays else None)
    false = [label == 0 and answer == 1 for label, answer in rows if label is not None]
    runs = sum(one and not before for before, one in zip([False, *false], false, strict=False))
    watched = watched_s(rows, times)
    assert ("false_alarms_per_day" in found) == (watched > 0)
    if watched:
        assert found["false_alarms_per_day"] == pytest.approx(runs * DAY_US / SECOND / watched)


def watched_s(rows: list[Row], times: list[int]) -> float:
    """As it is defined, with sizes by the bits of a step in microseconds."""
    steps = [(after - before) * SECOND for before, after in pairwise(times[: len(rows)])]
    forward = sorted((size(step), step) for step in steps if step > 0)
    if not forward:
        return 0
    middle = forward[(len(forward) - 1) // 2][0]
    alike = [step for size, step in forward if size == middle]
    usual = sum(alike) // len(alike)
    whole = [step if step > 0 and size(step) < size(10 * usual) else usual for step in [*steps, 0]]
    answered = [label is not None and answer is not None for label, answer in rows]
    return sum(step for step, counts in zip(whole, answered, strict=True) if counts) / SECOND


def size(step: int) -> int:
    """The power of two, and which eighth of it."""
    bits = step.bit_length()
    return 8 * bits + (step * 16 // 2**bits) - 8


@given(ROWS, STEPS, st.lists(st.booleans(), min_size=80, max_size=80))
def test_it_does_not_matter_how_rows_are_grouped_into_frames(
    rows: list[Row], steps: list[int], cuts: list[bool]
) -> None:
    whole = columns(rows, np.cumsum(steps).tolist())
    edges = sorted({0, len(rows), *(at for at, cut in enumerate(cuts[: len(rows)]) if cut)})
    pieces = [piece_of(*(column[a:b] for column in whole)) for a, b in pairwise(edges)]
    assert series_sums(pieces) == counted(*whole)
    middle = len(pieces) // 2
    for some in ([joined(pieces)], [joined(pieces[:middle]), *pieces[middle:]] if middle else pieces):
        assert series_sums(some) == counted(*whole)


@given(ROWS)
def test_the_score_of_the_benchmark_is_its_own_formula(rows: list[Row]) -> None:
    labelled = [row for row in rows if row[0] is not None]
    windows = windows_of([row[0] == 1 for row in labelled])
    found = series_metrics([counted(*columns(rows))])
    scored = [one for one in windows if one[1] >= math.floor(0.15 * len(labelled))]
    assert ("nab" in found) == bool(scored)
    for profile in PROFILES if scored else ():
        wanted = nab_score([row[1] == 1 for row in labelled], windows, profile)
        assert found[profile] == pytest.approx(wanted, rel=1e-7, abs=1e-7)


def windows_of(flags: list[bool]) -> list[tuple[int, int]]:
    starts = [at for at, flag in enumerate(flags) if flag and (at == 0 or not flags[at - 1])]
    ends = [at for at, flag in enumerate(flags) if flag and (at + 1 == len(flags) or not flags[at + 1])]
    return list(zip(starts, ends, strict=True))


@given(ROWS, ROWS)
def test_assets_add_up(one: list[Row], other: list[Row]) -> None:
    parts = [counted(*columns(one)), counted(*columns(other))]
    assert series_metrics(parts) == series_metrics(parts[::-1]) == series_metrics([*parts, ()])
    counts = [sum(column) for column in zip(*(part[:3] for part in parts), strict=True)]
    found = series_metrics(parts)
    if counts[0]:
        assert found["event_recall"] == pytest.approx(counts[1] / counts[0])


def test_an_alarm_anywhere_in_an_event_finds_it_and_says_nothing_of_its_other_rows() -> None:
    rows: list[Row] = [(0, 0), (1, 0), (1, 1), (1, 0), (0, 0), (1, None), (1, None), (0, 1)]
    found = series_metrics([counted(*columns(rows))])
    assert found["event_recall"] == 0.5
    assert found["detection_delay_s"] == 1
    assert found["false_alarms_per_day"] == pytest.approx(86_400 / 6)


def test_a_clock_put_back_in_an_event_makes_no_delay_that_is_less_than_none() -> None:
    rows: list[Row] = [(0, 0), (1, 0), (1, 1), (1, 1), (0, 0)]
    found = series_metrics([counted(*columns(rows, [10, 20, 5, 6, 7]))])
    assert found["detection_delay_s"] == 0


def test_a_gap_and_the_last_row_count_as_one_usual_step() -> None:
    rows: list[Row] = [(0, 1), (0, 0), (0, 0), (0, 0)]
    for times in ([0, 2, 4, 6], [0, 2, 4000, 4002], [0, 2, 0, 2], [2, 4, 4, 6]):
        pieces = [piece_of(*(column[at : at + 2] for column in columns(rows, times))) for at in (0, 2)]
        assert series_metrics([series_sums(pieces)])["false_alarms_per_day"] == 86_400 / 8


def test_no_alarm_scores_0_and_one_at_the_first_row_of_each_window_100() -> None:
    truth = [0] * 40 + [1] * 10 + [0] * 40 + [1] * 10
    nothing: list[Row] = [(label, 0) for label in truth]
    best: list[Row] = [(label, int(at in (40, 90))) for at, label in enumerate(truth)]
    for profile in PROFILES:
        assert series_metrics([counted(*columns(nothing))])[profile] == 0
        assert series_metrics([counted(*columns(best))])[profile] == 100


def test_times_that_nobody_can_have_meant_stop_nothing() -> None:
    ends = np.array([-(2**63), 2**63 - 1, 0, 2**62, -(2**62)], dtype=np.int64)
    truth, answers = np.array([0, 1, 1, 0, 1], dtype=np.int8), np.array([1.0, 0.0, 1.0, 1.0, math.nan])
    found = series_metrics([counted(ends, truth, answers)])
    assert found["event_recall"] == 0.5
    assert series_metrics([series_sums([])]) == {}


@pytest.mark.parametrize("rows", [*range(0, 200), 999, 1000, 4999, 5000, 5001, 22695])
def test_the_rows_for_learning_are_those_of_the_benchmark(rows: int) -> None:
    truth, answers = np.zeros(rows + 1, dtype=np.int8), np.ones(rows + 1)
    truth[-1] = 1
    sums = counted(np.arange(rows + 1), truth, answers)
    learning = min(math.floor(0.15 * (rows + 1)), 750)
    assert round(sums[7] / 2**2252) == -(rows - learning)


@pytest.mark.skipif(not SERIES.is_file(), reason=f"no NAB in {NAB}: FIELDPROOF_DATA names its parent")
def test_on_the_machine_temperature_series_the_score_is_that_of_the_benchmark() -> None:
    with SERIES.open() as file:
        rows = [
            (datetime.fromisoformat(one["timestamp"]), float(one["value"])) for one in csv.DictReader(file)
        ]
    labels = json.loads((NAB / "windows.json").read_text())
    spans = [tuple(map(datetime.fromisoformat, one)) for one in next(iter(labels.values()))]
    truth = np.array([any(start <= ts <= end for start, end in spans) for ts, _ in rows])
    values = np.array([value for _, value in rows])
    times = np.array([round((ts - datetime(2013, 1, 1)).total_seconds()) for ts, _ in rows])
    assert rows and len(rows) == 22_695 and (np.diff(times) <= 0).sum() == 1
    for low, high in ((60, 105), (40, 200), (75, 95), (0, 104)):
        alarms = (values < low) | (values > high)
        sums = counted(times * SECOND, truth.astype(np.int8), alarms.astype(float))
        found = series_metrics([sums])
        assert sums[0] == sums[4] == 4
        for profile in PROFILES:
            wanted = nab_score(alarms.tolist(), windows_of(truth.tolist()), profile)
            assert found[profile] == pytest.approx(wanted, rel=1e-8, abs=1e-8), (low, high)
