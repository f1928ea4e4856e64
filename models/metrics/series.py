"""Metrics of one asset's rows in the telemetry's order: events, alarms, and the score of the Numenta benchmark.

They are about the rows that have a label, in the order of partition, offset and row; neither clock changes nor the order of labels
matter. An event is a run of rows labelled anomalous. No point adjustment: an alarm anywhere in an event finds it, and
says nothing about its other rows. An event whose rows got no answer is missed: silence finds nothing.

A frame is boiled down to its runs of rows that are alike, once, when it or its labels change; an asset is counted over its runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

import numpy as np

from models.elementary import exp_minus_one
from models.exact import SCALE, as_fraction, exact_sum, published
from models.metrics.sums import Piece, Sums, defined, ratio

DAY_US = 24 * 60 * 60 * 1_000_000

#: A step of about so many or more of the asset's usual steps is a standstill, or a gap: it counts as one usual step.
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

# A piece is a frame boiled down, all int64. Runs, shape (3, r): rows, time of the first, and what they are (2 for anomalous, and 1 for an
# alarm). Edges, shape (3, 1): time of its first and of its last row, and whether the last one is watched. Steps, shape
# (5, b): by size, how many and their sum, and how many from watched rows and their sum.


def piece_of(times_us: np.ndarray, truth: np.ndarray, answers: np.ndarray) -> Piece:
    """Boil a frame down.

    Args:
        times_us: int64, shape (n,), n ≥ 1.
        truth: int8 codes, shape (n,): 0 normal, 1 anomalous, −1 unknown.
        answers: float64, shape (n,): 1 is an alarm, not-a-number no answer.
    """
    labelled = truth >= 0
    kinds = 2 * truth[labelled].astype(np.int64) + (answers[labelled] == 1)
    first = np.flatnonzero(np.diff(kinds, prepend=-1))
    lengths = np.diff(np.append(first, kinds.size))
    runs = np.array([lengths, times_us[labelled][first], kinds[first]])
    watched = labelled & np.isfinite(answers)
    edges = np.array([[times_us[0]], [times_us[-1]], [watched[-1]]], dtype=np.int64)
    return runs, edges, _by_size(np.diff(times_us), watched[:-1])


def joined(pieces: Sequence[Piece]) -> Piece:
    """Frames that follow one another as one; there is at least one."""
    runs = np.concatenate([runs for runs, _, _ in pieces], axis=1)
    edges = np.concatenate([edges for _, edges, _ in pieces], axis=1)
    return runs, np.array([edges[0, :1], edges[1, -1:], edges[2, -1:]]), _steps(pieces, edges)


def _steps(pieces: Sequence[Piece], edges: np.ndarray) -> np.ndarray:
    """The steps within frames and from each to the next, by size."""
    between = _by_size(edges[0, 1:] - edges[1, :-1], edges[2, :-1] > 0)
    every = np.concatenate([*(steps for _, _, steps in pieces), between], axis=1)
    sizes, place = np.unique(every[0], return_inverse=True)
    return np.array([sizes, *(_added(one, place, sizes.size) for one in every[1:])])


def series_sums(pieces: Sequence[Piece]) -> Sums:
    """The sums of one asset, of its frames in order: `_HEAD` whole numbers, then each found event's delay in microseconds."""
    if not pieces:
        return ()
    lengths, times, kinds = np.concatenate([runs for runs, _, _ in pieces], axis=1)
    anomalous, alarm = kinds >= 2, (kinds & 1) == 1
    first, last = _runs(anomalous)
    hits = _first_in(np.flatnonzero(alarm & anomalous), first, last)
    found = hits >= 0
    delays = np.maximum(times[hits[found]] - times[first[found]], 0)
    return (
        int(first.size),
        int(np.count_nonzero(found)),
        int(_runs(alarm & ~anomalous)[0].size),
        _watched_us(pieces),
        *_nab(lengths, anomalous, alarm, first, last),
        *sorted(delays.tolist()),
    )


def series_metrics(parts: Iterable[Sums]) -> dict[str, float]:
    """The metrics of several assets together; empty where the task has none.

    - `event_recall`: events with at least one alarm among their rows, of all.
    - `detection_delay_s`: the median, over events found, from the first row to the first alarm.
    - `false_alarms_per_day`: runs of alarms on rows labelled normal, a day of machine time; see `_watched_us`.
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
    """Positions of the first and the last of each stretch that is flagged."""
    steps = np.diff(flags.astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1


def _first_in(positions: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """For each stretch the first of the positions that lies in it; −1 where there is none."""
    at = np.searchsorted(positions, starts)
    first = np.append(positions, -1)[at]
    return np.where((first >= starts) & (first <= ends), first, -1)


def _median_s(delays: list[int]) -> float | None:
    if not delays:
        return None
    twice = delays[(len(delays) - 1) // 2] + delays[len(delays) // 2]
    return published(Fraction(twice, 2_000_000))


# --- machine time -----------------------------------------------------------------------------------------------------


def _watched_us(pieces: Sequence[Piece]) -> int:
    """Machine time: the steps from each answered and labelled row to the next row of the asset.

    The usual step is the mean of those that are as large as the median, to within an eighth. Steps back, of 0, and of about
    ten usual steps or more count as a usual one, as does the step after the last row.
    """
    edges = np.concatenate([edges for _, edges, _ in pieces], axis=1)
    sizes, steps, total, watched_steps, watched_total = _steps(pieces, edges)
    reached = np.cumsum(np.where(sizes >= 0, steps, 0))
    if not reached.size or not reached[-1]:
        return 0
    middle = int(np.searchsorted(reached, (int(reached[-1]) + 1) // 2))
    usual = int(total[middle]) // int(steps[middle])
    whole = (sizes >= 0) & (sizes < _sizes(np.array([LONGEST_STEP * usual]))[0])
    odd = int(watched_steps[~whole].sum()) + int(edges[2, -1])
    return int(watched_total[whole].sum()) + odd * usual


def _by_size(steps: np.ndarray, watched: np.ndarray) -> np.ndarray:
    """Steps in microseconds by size: sizes, how many and their sum, and how many from watched rows and their sum."""
    sizes, place = np.unique(_sizes(steps), return_inverse=True)
    columns = (np.ones_like(steps), steps, watched.astype(np.int64), np.where(watched, steps, 0))
    return np.array([sizes, *(_added(one, place, sizes.size) for one in columns)])


def _sizes(steps: np.ndarray) -> np.ndarray:
    """Eight sizes a power of two; −1 for a step back, or of 0."""
    fractions, powers = np.frexp(np.maximum(steps, 1).astype(np.float64))
    found: np.ndarray = np.where(
        steps > 0, 8 * powers.astype(np.int64) + (16 * fractions).astype(np.int64) - 8, -1
    )
    return found


def _added(values: np.ndarray, place: np.ndarray, size: int) -> np.ndarray:
    found = np.zeros(size, dtype=np.int64)
    np.add.at(found, place, values)
    return found


# --- the Numenta benchmark --------------------------------------------------------------------------------------------


def _nab(
    lengths: np.ndarray, anomalous: np.ndarray, alarm: np.ndarray, first: np.ndarray, last: np.ndarray
) -> Sums:
    """Lavin and Ahmad, Evaluating real-time anomaly detection algorithms: the Numenta anomaly benchmark (ICMLA 2015).

    Windows are the events. The first alarm in one gives σ(y)/σ(−1) at y = −(rows from it to the window's last, itself
    included) / width; each alarm elsewhere gives σ(y) at y = rows past the last window's end / (that width − 1), and −1
    from y = 3 on and before the first window; σ(y) = 2 / (1 + exp(5y)) − 1.
    """
    ends = np.cumsum(lengths)
    begins = ends - lengths
    rows = int(ends[-1]) if ends.size else 0
    scored_from = int(min(rows, _PROBATION_ROWS) * _PROBATION)
    begins = np.maximum(begins, scored_from)
    starts, stops = (ends - lengths)[first], ends[last] - 1
    widths = stops - starts + 1
    windows = stops >= scored_from
    hits = _first_in(np.flatnonzero(alarm & anomalous & (ends > scored_from)), first, last)
    hit = windows & (hits >= 0)
    early = _sigmoid((begins[hits[hit]] - stops[hit] - 1) / widths[hit]) / _sigmoid(np.array([-1.0]))
    false = alarm & ~anomalous & (ends > scored_from)
    return (
        int(np.count_nonzero(windows)),
        int(np.count_nonzero(hit)),
        exact_sum(early),
        _nab_false(begins[false], ends[false], stops, widths),
    )


def _nab_false(begins: np.ndarray, ends: np.ndarray, stops: np.ndarray, widths: np.ndarray) -> int:
    """The scores of false alarms in the rows begins … ends − 1, after windows that stop there; in `SCALE`."""
    before = np.searchsorted(stops, begins) - 1
    there = before >= 0
    stop, reach = np.zeros_like(begins), np.zeros_like(begins)
    stop[there], reach[there] = stops[before[there]], widths[before[there]] - 1
    # Beyond three widths each row scores −1; only those nearer are looked at one by one.
    near = np.clip(stop + 3 * reach - begins, 0, ends - begins)
    far = int((ends - begins - near).sum())
    which = np.repeat(np.arange(near.size), near)
    place = np.arange(which.size) - (np.cumsum(near) - near)[which]
    past = (begins[which] + place - stop[which]) / reach[which]
    return exact_sum(_sigmoid(past)) - far * SCALE


def _sigmoid(position: np.ndarray) -> np.ndarray:
    grown = exp_minus_one(5.0 * position)
    found: np.ndarray = -grown / (2.0 + grown)
    return found


def _nab_score(sums: Sequence[int], weights: tuple[Fraction, Fraction, Fraction]) -> float | None:
    """Between 0 for no alarm and 100 for every window found at its first row, with no false alarm."""
    windows, hits, early, false = sums
    if not windows:
        return None
    hit, false_alarm, miss = weights
    score = hit * as_fraction(early) + false_alarm * as_fraction(false) - miss * (windows - hits)
    return published(100 * (score + miss * windows) / ((hit + miss) * windows))
