"""Results that others have published, from the public recordings, through the fold of the ledger."""

from __future__ import annotations

import csv
import gzip
import json
import math
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVR

from models.metrics import every_metric, metrics_for
from schemas.agreement import Task
from streams.ledger import Book
from streams.ledger_codec import Entry
from tests.unit.ledger_examples import (
    agreement,
    fold,
    label,
    label_frame,
    outcome,
    standing,
    started,
    watermark,
)
from tests.unit.nab_formula import PROFILES, nab_score

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("FIELDPROOF_DATA") or ROOT.parent / "shared" / "data")
FRAME = 500


def needs(name: str) -> pytest.MarkDecorator:
    there = (DATA / name).is_dir()
    return pytest.mark.skipif(not there, reason=f"no {name} in {DATA}: set FIELDPROOF_DATA to its parent")


def metrics_of(book: Book, task: Task = Task.ANOMALY) -> dict[str, float]:
    return every_metric(metrics_for(agreement(task=task)), standing(book))


# --- C-MAPSS: remaining useful life ---------------------------------------------------------------------------------

SENSORS = [4 + sensor for sensor in (2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21)]


def cmapss(name: str) -> np.ndarray:
    with gzip.open(DATA / "cmapss" / f"{name}_FD001.txt.gz") as file:
        return np.loadtxt(file)


@needs("cmapss")
@pytest.mark.parametrize(
    ("model", "clipped", "rmse", "r2", "phm08"),
    [
        (LinearRegression(), False, 31.952633, 0.408774, 13223.4),
        (LinearRegression(), True, 21.900213, 0.722261, 1314.0),
        (make_pipeline(MinMaxScaler(), SVR(kernel="linear")), True, 21.580480, 0.730311, None),
    ],
    ids=["linear", "linear, clipped", "support vectors"],
)
def test_remaining_life_of_engines_is_scored_as_published(
    model: Any, clipped: bool, rmse: float, r2: float, phm08: float | None
) -> None:
    train, test, truth = cmapss("train"), cmapss("test"), cmapss("RUL")
    lives = pd.Series(train[:, 1]).groupby(train[:, 0]).transform("max").to_numpy() - train[:, 1]
    model.fit(train[:, SENSORS], np.minimum(lives, 125) if clipped else lives)
    last = np.array([test[test[:, 0] == engine][-1] for engine in np.unique(test[:, 0])])
    answers = model.predict(last[:, SENSORS]).tolist()
    times = list(range(len(answers)))
    start = started(agreement(task=Task.RUL))
    book = fold(start, outcome(0, answers=answers), label_frame(0, times, truth.tolist(), frame="f0"))
    found = metrics_of(book, Task.RUL)
    assert (round(found["rmse"], 6), round(found["r2"], 6)) == (rmse, r2)
    if phm08 is not None:
        assert round(found["phm08"], 1) == phm08


# --- NAB: a clock that was put back -----------------------------------------------------------------------------------


def machine_temperature() -> tuple[list[datetime], np.ndarray, list[tuple[datetime, datetime]]]:
    with (DATA / "nab" / "machine_temperature_system_failure.csv").open() as file:
        rows = list(csv.DictReader(file))
    (spans,) = json.loads((DATA / "nab" / "windows.json").read_text()).values()
    windows = [(datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in spans]
    times = [datetime.fromisoformat(row["timestamp"]) for row in rows]
    return times, np.array([float(row["value"]) for row in rows]), windows


def micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)


@needs("nab")
@pytest.mark.parametrize(("low", "high"), [(60.0, 105.0), (75.0, 95.0)])
def test_on_a_series_with_a_clock_put_back_counts_add_up_and_the_score_is_the_benchmarks(
    low: float, high: float
) -> None:
    times, values, windows = machine_temperature()
    at = [micros(moment) for moment in times]
    alarms = (values < low) | (values > high)
    frames: list[Entry] = [
        outcome(
            i, answers=alarms[place : place + FRAME].astype(float).tolist(), times=at[place : place + FRAME]
        )
        for i, place in enumerate(range(0, len(at), FRAME))
    ]
    labels: list[Entry] = [
        label(i, micros(start), micros(end) + 1, 1.0) for i, (start, end) in enumerate(windows)
    ]
    mark = watermark(9, max(at) + 1)
    book = fold(started(agreement(absent="normal")), *labels[:2], *frames, mark, *labels[2:])
    counts = standing(book).counts
    assert len(set(at)) == len(at) - 12 and (np.diff(at) < 0).sum() == 1
    assert counts.hold() and counts.rows_in == counts.scored == len(at) == 22_695
    truth = [any(start <= moment <= end for start, end in windows) for moment in times]
    assert standing(book).sums[:4] == (
        sum(not a and not b for a, b in zip(truth, alarms, strict=True)),
        sum(not a and b for a, b in zip(truth, alarms, strict=True)),
        sum(a and not b for a, b in zip(truth, alarms, strict=True)),
        sum(a and b for a, b in zip(truth, alarms, strict=True)),
    )
    edges = [(times.index(start), len(times) - 1 - times[::-1].index(end)) for start, end in windows]
    found = metrics_of(book)
    for profile in PROFILES:
        assert found[profile] == pytest.approx(nab_score(alarms.tolist(), edges, profile), rel=1e-8, abs=1e-8)


# --- SKAB: eight detectors --------------------------------------------------------------------------------------------

DETECTORS = [
    ("Conv_AE", 0.78, 13.55, 28.02),
    ("MSET", 0.78, 39.73, 14.13),
    ("T2-q", 0.76, 26.62, 24.92),
    ("LSTM_AE", 0.74, 29.96, 25.92),
    ("T2", 0.66, 19.21, 42.60),
    ("Vanilla_LSTM", 0.54, 12.54, 59.53),
    ("Vanilla_AE", 0.39, 2.59, 75.15),
    ("Isolation_Forest", 0.29, 2.56, 82.89),
]


def skab_entries(detector: str) -> Iterator[Entry]:
    """Each file's test rows as frames of an asset of its own, with their labels; rows without prediction abstained."""
    with gzip.open(DATA / "skab-predictions" / f"{detector}.csv.gz", "rt") as file:
        predicted = {(row["file"], row["datetime"]): float(row["prediction"]) for row in csv.DictReader(file)}
    names = sorted({name for name, _ in predicted})
    for i, name in enumerate(names):
        with (DATA / "skab" / "data" / name).open() as file:
            rows = list(csv.DictReader(file, delimiter=";"))[400:]
        answers = [predicted.get((name, row["datetime"]), math.nan) for row in rows]
        times = [micros(datetime.fromisoformat(row["datetime"])) for row in rows]
        yield outcome(i, answers=answers, times=times, asset="pump-1")
        codes = [float(row["anomaly"]) for row in rows]
        yield label_frame(i, list(range(len(rows))), codes, frame=f"f{i}")


@needs("skab-predictions")
@pytest.mark.parametrize(("detector", "f1", "far", "mar"), DETECTORS)
def test_published_detectors_score_as_published_and_what_they_left_out_is_counted_apart(
    detector: str, f1: float, far: float, mar: float
) -> None:
    book = fold(started(agreement()), *skab_entries(detector))
    found, counts = metrics_of(book), standing(book).counts
    assert (round(found["f1"], 2), round(100 * found["far"], 2), round(100 * found["mar"], 2)) == (
        f1,
        far,
        mar,
    )
    assert counts.rows_in == 23_801 and counts.hold()
    assert counts.abstained == (170 if detector == "Vanilla_LSTM" else 0)
