"""Metrics of answers from arrays of rows, with scikit-learn where it has them and by the book where it has not."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context
from fractions import Fraction

import numpy as np
from sklearn import metrics as sk

DAY_US = 24 * 60 * 60 * 1_000_000

_NINE = Context(prec=9, rounding=ROUND_HALF_EVEN)

#: Weights of the Numenta benchmark's profiles: a window found, a false alarm, a window missed.
_PROFILES = {
    "nab": (1, Fraction(11, 100), 1),
    "nab_low_fp": (1, Fraction(22, 100), 1),
    "nab_low_fn": (1, Fraction(11, 100), 2),
}


def rounded(value: float | Fraction) -> float:
    """A number with the nine significant digits that are published."""
    return float(_NINE.create_decimal_from_float(float(value))) + 0.0


def of_rows(
    task: str, classes: Sequence[str], truth: np.ndarray, answers: np.ndarray, scores: np.ndarray | None
) -> dict[str, float]:
    """Metrics of rows with label and answer, those that are defined: all float64, shape (n,)."""
    if not truth.size:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # scikit-learn warns where a class is missing: those are left out here
        found = _of_classes(task, len(classes), truth, answers) if classes else _of_numbers(truth, answers)
        if scores is not None and len(classes) == 2 and np.isfinite(scores).all():
            found |= _of_scores(truth, scores)
    return {name: rounded(value) for name, value in found.items()}


def _of_classes(task: str, n: int, truth: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    found = {
        "accuracy": sk.accuracy_score(truth, answers),
        "balanced_accuracy": sk.balanced_accuracy_score(truth, answers),
    }
    if len(np.unique(truth)) > 1 and len(np.unique(answers)) > 1:
        found["mcc"] = sk.matthews_corrcoef(truth, answers)
    if n == 2:
        found |= _of_second(truth, answers)
    if task == "classification":
        options = {"average": "macro", "zero_division": 0}
        found["macro_precision"] = sk.precision_score(truth, answers, **options)
        found["macro_recall"] = sk.recall_score(truth, answers, **options)
        found["macro_f1"] = sk.f1_score(truth, answers, **options)
    return found


def _of_second(truth: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    """What is said of the second class; what would divide by nothing is left out."""
    actual, alarm = truth == 1, answers == 1
    found = {}
    if actual.any() or alarm.any():
        found["f1"] = sk.f1_score(actual, alarm)
    if alarm.any():
        found["precision"] = sk.precision_score(actual, alarm)
    if actual.any():
        found["recall"] = sk.recall_score(actual, alarm)
        found["mar"] = np.mean(~alarm[actual])
    if not actual.all():
        found["far"] = np.mean(alarm[~actual])
    return found


def _of_scores(truth: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    found = {}
    if (truth == 1).any():
        found["average_precision"] = sk.average_precision_score(truth, scores)
    if ((scores >= 0) & (scores <= 1)).all():
        found["brier"] = sk.brier_score_loss(truth, scores)
        found["log_loss"] = sk.log_loss(truth, scores, labels=[0.0, 1.0])
    return found


def _of_numbers(truth: np.ndarray, answers: np.ndarray) -> dict[str, float]:
    found = {
        "mae": sk.mean_absolute_error(truth, answers),
        "rmse": math.sqrt(sk.mean_squared_error(truth, answers)),
        "bias": math.fsum(answers - truth) / truth.size,
    }
    if (truth != 0).all():
        found["mape"] = sk.mean_absolute_percentage_error(truth, answers)
    if len(np.unique(truth)) > 1:
        found["r2"] = sk.r2_score(truth, answers)
    return found


# --- events -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Series:
    """Every row of one asset that counts, in the telemetry's order: truth and answers not-a-number where there is none."""

    times_us: np.ndarray
    truth: np.ndarray
    answers: np.ndarray


@dataclass(frozen=True, kw_only=True)
class _Watched:
    """What the rows of one asset amount to."""

    events: int
    delays: list[int]
    false_alarms: int
    watched_us: int
    windows: int
    early: list[float]
    false: list[float]


def of_events(series: Sequence[Series]) -> dict[str, float]:
    """Metrics of events over several assets."""
    parts = [_watched(one) for one in series if one.times_us.size]
    events, delays = sum(one.events for one in parts), [us for one in parts for us in one.delays]
    watched, windows = sum(one.watched_us for one in parts), sum(one.windows for one in parts)
    found: dict[str, float | Fraction] = {}
    if events:
        found["event_recall"] = Fraction(len(delays), events)
    if delays:
        found["detection_delay_s"] = Fraction(statistics.median(map(Fraction, delays))) / 1_000_000
    if watched > 0:
        found["false_alarms_per_day"] = Fraction(sum(one.false_alarms for one in parts) * DAY_US, watched)
    for name, (hit, alarm, miss) in _PROFILES.items() if windows else ():
        early, false = (
            [x for one in parts for x in one.early],
            [x for one in parts for x in one.false],
        )
        found_and_false = hit * Fraction(math.fsum(early)) + alarm * Fraction(math.fsum(false))
        score = found_and_false - miss * (windows - len(early))
        found[name] = 100 * (score + miss * windows) / ((hit + miss) * windows)
    return {name: rounded(value) for name, value in found.items()}


def _watched(series: Series) -> _Watched:
    labelled = ~np.isnan(series.truth)
    times, anomalous = series.times_us[labelled], series.truth[labelled] == 1
    alarm = series.answers[labelled] == 1
    runs = _runs(anomalous)
    hits = [next((row for row in range(a, b) if alarm[row]), None) for a, b in runs]
    delays = [
        max(0, int(times[hit] - times[a])) for hit, (a, _) in zip(hits, runs, strict=True) if hit is not None
    ]
    windows, early, false = _numenta(alarm, runs)
    return _Watched(
        events=len(runs),
        delays=delays,
        false_alarms=len(_runs(alarm & ~anomalous)),
        watched_us=_machine_time(series.times_us, labelled & np.isfinite(series.answers)),
        windows=windows,
        early=early,
        false=false,
    )


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """The stretches that are flagged: first row, and the row after the last."""
    found, start = [], None
    for row, flag in enumerate([*flags.tolist(), False]):
        if flag and start is None:
            start = row
        elif not flag and start is not None:
            found.append((start, row))
            start = None
    return found


def _size(step: int) -> int:
    """Eight sizes a power of two; −1 for a step back, or of 0."""
    if step <= 0:
        return -1
    fraction, power = math.frexp(step)
    return 8 * power + math.floor(16 * fraction) - 8


def _machine_time(times_us: np.ndarray, watched: np.ndarray) -> int:
    """The steps from watched rows to the next row, where odd steps and the one after the last count as a usual one."""
    steps = np.diff(times_us).tolist()
    forward = sorted(_size(step) for step in steps if step > 0)
    if not forward:
        return 0
    size = forward[(len(forward) + 1) // 2 - 1]
    alike = [step for step in steps if _size(step) == size]
    usual = sum(alike) // len(alike)
    whole = [0 <= _size(step) < _size(10 * usual) for step in steps]
    taken = [step if fine else usual for step, fine, seen in zip(steps, whole, watched, strict=False) if seen]
    return sum(taken) + (usual if watched[-1] else 0)


def _sigma(y: float) -> float:
    return -1.0 if y >= 3 else 2 / (1 + math.exp(5 * y)) - 1


def _numenta(alarm: np.ndarray, runs: Sequence[tuple[int, int]]) -> tuple[int, list[float], list[float]]:
    """Windows that are scored, the score of each window found, and of each false alarm (Lavin and Ahmad, 2015)."""
    probation = math.floor(Fraction(15, 100) * min(len(alarm), 5000))
    scored = [(a, b) for a, b in runs if b - 1 >= probation]
    early = []
    for a, b in scored:
        hit = next((row for row in range(max(a, probation), b) if alarm[row]), None)
        if hit is not None:
            early.append(_sigma(-(b - hit) / (b - a)) / _sigma(-1))
    inside = {row for a, b in runs for row in range(a, b)}
    false = []
    for row in range(probation, len(alarm)):
        if alarm[row] and row not in inside:
            last = next(((a, b) for a, b in reversed(runs) if b <= row), None)
            width = 0 if last is None else last[1] - last[0] - 1
            false.append(-1.0 if last is None or not width else _sigma((row - last[1] + 1) / width))
    return len(scored), early, false
