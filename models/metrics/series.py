"""Metrics of one asset's rows in the telemetry's order: events, alarms, and the score of the Numenta benchmark.

They are about the rows that have a label, in the order of partition, offset and row; neither clock changes nor the order of labels
matter. An event is a run of rows labelled anomalous. No point adjustment: an alarm anywhere in an event finds it, and
says nothing about its other rows. An event whose rows got no answer is missed: silence finds nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np

from models.elementary import exp_minus_one
from models.exact import as_fraction, exact_sum, published
from models.metrics.sums import Sums, defined, ratio

DAY_US = 24 * 60 * 60 * 1_000_000

#: A step of so many or more of the asset's median steps is a standstill, or a gap: it counts as one median step.
LONGEST_STEP = 10

#: Weights of a window found, a false alarm and a window missed, of the benchmark's three profiles.
PROFILES = {
    "nab": (Fraction(1), Fraction(11, 100), Fraction(1)),
    "nab_low_fp": (Fraction(1), Fraction(22, 100), Fraction(1)),
    "nab_low_fn": (Fraction(1), Fraction(11, 100), Fraction(2)),
}
#: Of an asset's rows the first 15 %, and never more than of 5,000, are for learning: not scored.
_PROBATION = Fraction(15, 100)
_PROBATION_ROWS = 5000

#: The sums before the delays: events, events found, false alarms, microseconds watched, and of NAB the windows, windows
#: found, their scores, the scores of false alarms.
_HEAD = 8


def series_sums(times_us: np.ndarray, truth: np.ndarray, answers: np.ndarray) -> Sums:
    """The sums of one asset: `_HEAD` whole numbers, then the delay of each event found, in microseconds.

    Args:
        times_us: int64, shape (n,), in the telemetry's order.
        truth: int8 codes, shape (n,): 0 normal, 1 anomalous, −1 unknown.
        answers: float64, shape (n,): 1 is an alarm, not-a-number no answer.
    """
    labelled = truth >= 0
    watched_us = _watched(times_us, labelled & np.isfinite(answers))
    times, anomalous, alarm = times_us[labelled], truth[labelled] == 1, answers[labelled] == 1
    starts, ends = _runs(anomalous)
    hits = _first_in(np.flatnonzero(alarm & anomalous), starts, ends)
    found = hits >= 0
    delays = np.maximum(times[hits[found]] - times[starts[found]], 0)
    false = alarm & ~anomalous
    return (
        int(starts.size),
        int(np.count_nonzero(found)),
        int(_runs(false)[0].size),
        watched_us,
        *_nab(alarm & anomalous, np.flatnonzero(false), starts, ends),
        *sorted(delays.tolist()),
    )


def series_metrics(parts: Iterable[Sums]) -> dict[str, float]:
    """The metrics of several assets together; empty where the task has none.

    - `event_recall`: events with at least one alarm among their rows, of all.
    - `detection_delay_s`: the median, over events found, from the first row to the first alarm.
    - `false_alarms_per_day`: runs of alarms on rows labelled normal, a day of machine time. Machine time is the steps from
      each answered and labelled row to the next row; a step back, of 0, or of ten medians and more counts as one median.
    - `nab`, `nab_low_fp`, `nab_low_fn`: see `_nab`; 0 for no alarm at all, 100 for an alarm at each window's first row only.
    """
    known = [part for part in parts if part]
    if not known:
        return {}
    head = [sum(column) for column in zip(*(part[:_HEAD] for part in known), strict=True)]
    events, found, false_alarms, watched_us = head[:4]
    delays = sorted(delay for part in known for delay in part[_HEAD:])
    return defined(
        {
            "event_recall": ratio(found, events),
            "detection_delay_s": _median_s(delays),
            "false_alarms_per_day": ratio(false_alarms * DAY_US, watched_us) if watched_us > 0 else None,
            **{name: _nab_score(head[4:], weights) for name, weights in PROFILES.items()},
        }
    )


def _runs(flags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the first and the last row of each run."""
    steps = np.diff(flags.astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1


def _first_in(positions: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """For each run the first of the positions that lies in it; −1 where there is none."""
    at = np.searchsorted(positions, starts)
    first = np.append(positions, -1)[at]
    return np.where((first >= starts) & (first <= ends), first, -1)


def _watched(times_us: np.ndarray, counted: np.ndarray) -> int:
    steps = np.diff(times_us)
    forward = steps[steps > 0]
    if not forward.size:
        return 0
    middle = (forward.size - 1) // 2
    usual = int(np.partition(forward, middle)[middle])
    whole = np.append(np.where((steps > 0) & (steps // LONGEST_STEP < usual), steps, usual), usual)
    return int(whole[counted].sum())


def _median_s(delays: list[int]) -> float | None:
    if not delays:
        return None
    twice = delays[(len(delays) - 1) // 2] + delays[len(delays) // 2]
    return published(Fraction(twice, 2_000_000))


def _nab(caught: np.ndarray, false: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> Sums:
    """Lavin and Ahmad, Evaluating real-time anomaly detection algorithms: the Numenta anomaly benchmark (ICMLA 2015).

    Windows are the events. The first alarm in one gives σ(y)/σ(−1) at y = −(rows from it to the window's last, itself
    included) / width; each alarm elsewhere gives σ(y) at y = rows past the last window's end / (that width − 1), and −1
    from y = 3 on and before the first window; σ(y) = 2 / (1 + exp(5y)) − 1.
    """
    rows = caught.size
    scored_from = int(min(rows, _PROBATION_ROWS) * _PROBATION)
    windows = ends >= scored_from
    alarms = np.flatnonzero(caught)
    first = _first_in(alarms[alarms >= scored_from], starts, ends)
    hit = windows & (first >= 0)
    widths = ends - starts + 1
    early = _sigmoid((first[hit] - ends[hit] - 1) / widths[hit]) / _sigmoid(np.array([-1.0]))
    false = false[false >= scored_from]
    before = np.searchsorted(ends, false) - 1
    past = np.full(false.size, 3.0)
    behind = (before >= 0) & (widths[before] > 1) if ends.size else np.zeros(false.size, dtype=bool)
    last = before[behind]
    past[behind] = (false[behind] - ends[last]) / (widths[last] - 1)
    return (
        int(np.count_nonzero(windows)),
        int(np.count_nonzero(hit)),
        exact_sum(early),
        exact_sum(_sigmoid(past)),
    )


def _sigmoid(position: np.ndarray) -> np.ndarray:
    grown = exp_minus_one(5.0 * position)
    return np.where(position >= 3.0, -1.0, -grown / (2.0 + grown))


def _nab_score(sums: Sequence[int], weights: tuple[Fraction, Fraction, Fraction]) -> float | None:
    """Between 0 for no alarm and 100 for every window found at its first row, with no false alarm."""
    windows, hits, early, false = sums
    if not windows:
        return None
    hit, false_alarm, miss = weights
    score = hit * as_fraction(early) + false_alarm * as_fraction(false) - miss * (windows - hits)
    return published(100 * (score + miss * windows) / ((hit + miss) * windows))
