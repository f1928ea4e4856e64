"""Results that others have published, from the public recordings, through the fold of the ledger."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from models.metrics import every_metric, metrics_for
from schemas.agreement import Task
from streams.ledger import Book
from streams.ledger_codec import Entry
from tests.published import (
    DETECTORS,
    LIVES,
    SENSORS,
    SKAB_ROWS,
    Detector,
    Life,
    answers_of,
    confusion,
    engines,
    fitted,
    lives_left,
    machine_temperature,
    needs,
    predictions,
    skab,
)
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

FRAME = 500


def metrics_of(book: Book, task: Task = Task.ANOMALY) -> dict[str, float]:
    return every_metric(metrics_for(agreement(task=task)), standing(book))


def confusion_of(book: Book) -> dict[str, int]:
    return metrics_for(agreement()).confusion(standing(book).sums)


# --- C-MAPSS: remaining useful life ---------------------------------------------------------------------------------


@needs("cmapss")
@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
def test_remaining_life_of_engines_is_scored_as_published(life: Life) -> None:
    last = engines("test").groupby("engine").last()
    answers = fitted(life, engines("train")).predict(last[list(SENSORS)]).tolist()
    start = started(agreement(task=Task.RUL))
    labels = label_frame(0, list(range(len(answers))), lives_left().tolist(), frame="f0")
    found = metrics_of(fold(start, outcome(0, answers=answers), labels), Task.RUL)
    assert (round(found["rmse"], 6), round(found["r2"], 6)) == (life.rmse, life.r2)
    if life.phm08 is not None:
        assert round(found["phm08"], 1) == life.phm08


# --- NAB: a clock that was put back ---------------------------------------------------------------------------------


def frames_of(ts: np.ndarray, alarms: np.ndarray) -> list[Entry]:
    return [
        outcome(
            i,
            answers=alarms[place : place + FRAME].astype(float).tolist(),
            times=ts[place : place + FRAME].tolist(),
        )
        for i, place in enumerate(range(0, len(ts), FRAME))
    ]


@needs("nab")
@pytest.mark.parametrize(("low", "high"), [(60.0, 105.0), (75.0, 95.0)])
def test_on_a_series_with_a_clock_put_back_counts_add_up_and_the_score_is_the_benchmarks(
    low: float, high: float
) -> None:
    series = machine_temperature()
    alarms = (series.values < low) | (series.values > high)
    frames = frames_of(series.ts, alarms)
    labels: list[Entry] = [label(i, start, end + 1, 1.0) for i, (start, end) in enumerate(series.windows)]
    mark = watermark(9, int(series.ts.max()) + 1)
    book = fold(started(agreement(absent="normal")), *labels[:2], *frames, mark, *labels[2:])
    counts = standing(book).counts
    assert series.twice.sum() == 12 and (np.diff(series.ts) < 0).sum() == 1
    assert counts.hold() and counts.rows_in == counts.scored == len(series.ts) == 22_695
    assert confusion_of(book) == confusion(series.anomaly, alarms)
    found = metrics_of(book)
    for profile in PROFILES:
        expected = nab_score(alarms.tolist(), series.edges, profile)
        assert found[profile] == pytest.approx(expected, rel=1e-8, abs=1e-8)


@needs("nab")
def test_two_rows_of_one_time_have_the_labels_of_their_own_places() -> None:
    series = machine_temperature()
    alarms = series.values > 94
    labels: list[Entry] = [
        label_frame(
            i,
            series.ts[place : place + FRAME].tolist(),
            series.twice[place : place + FRAME].astype(float).tolist(),
            frame=f"f{i}",
        )
        for i, place in enumerate(range(0, len(series.ts), FRAME))
    ]
    book = fold(started(agreement()), *labels[::-1], *frames_of(series.ts, alarms))
    assert standing(book).counts.scored == 22_695
    assert confusion_of(book) == confusion(series.twice, alarms)
    # By their times alone both rows of a pair would have the label of one.
    by_time = np.isin(series.ts, series.ts[series.twice])
    assert confusion_of(book) != confusion(by_time, alarms)


# --- SKAB: eight detectors ------------------------------------------------------------------------------------------


def skab_entries(detector: str) -> Iterator[Entry]:
    """Each file's test rows as a frame, with their labels; rows without prediction abstained."""
    predicted = predictions(detector)
    for i, part in enumerate(skab()):
        answers = answers_of(part, predicted).tolist()
        yield outcome(i, answers=answers, times=part.ts.tolist(), asset="pump-1")
        codes = part.anomaly.astype(float).tolist()
        yield label_frame(i, list(range(len(codes))), codes, frame=f"f{i}")


@needs("skab", "skab-predictions")
@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_published_detectors_score_as_published_and_what_they_left_out_is_counted_apart(
    detector: Detector,
) -> None:
    book = fold(started(agreement()), *skab_entries(detector.name))
    found, counts = metrics_of(book), standing(book).counts
    shown = (round(found["f1"], 2), round(100 * found["far"], 2), round(100 * found["mar"], 2))
    assert shown == (detector.f1, detector.far, detector.mar)
    assert counts.hold() and counts.rows_in == SKAB_ROWS
    assert (counts.abstained, counts.scored) == (detector.silent, SKAB_ROWS - detector.silent)
    if detector.counts is not None:
        names = ("anomaly/anomaly", "normal/normal", "normal/anomaly", "anomaly/normal")
        assert tuple(confusion_of(book)[name] for name in names) == detector.counts
