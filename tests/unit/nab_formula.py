"""The Numenta benchmark's score, row by row as its paper describes it, in floats: what the platform's is compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence

#: Weights of the benchmark's three profiles: a window found, a false alarm, a window missed.
PROFILES = {"nab": (1.0, 0.11, 1.0), "nab_low_fp": (1.0, 0.22, 1.0), "nab_low_fn": (1.0, 0.11, 2.0)}


def sigma(y: float) -> float:
    return -1.0 if y >= 3 else 2 / (1 + math.exp(5 * y)) - 1


def nab_score(alarms: Sequence[bool], windows: Sequence[tuple[int, int]], profile: str) -> float:
    """The normalised score of one series.

    Args:
        alarms: whether each row is an alarm.
        windows: first and last row of each window, in order.
        profile: one of the three.
    """
    found, false_alarm, missed = PROFILES[profile]
    n = len(alarms)
    probation = min(math.floor(0.15 * n), 0.15 * 5000)
    best = {window: -missed for window in windows if window[1] >= probation}
    false = 0.0
    last: tuple[int, int] | None = None
    for row, alarm in enumerate(alarms):
        inside = next((window for window in windows if window[0] <= row <= window[1]), None)
        if alarm and row >= probation:
            if inside is not None:
                width = inside[1] - inside[0] + 1
                value = sigma(-(inside[1] - row + 1) / width) / sigma(-1) * found
                best[inside] = max(best[inside], value)
            elif last is None or last[0] == last[1]:
                false -= false_alarm
            else:
                false += sigma((row - last[1]) / (last[1] - last[0])) * false_alarm
        if inside is not None and row == inside[1]:
            last = inside
    nothing = -missed * len(best)
    perfect = found * len(best)
    return 100 * (sum(best.values()) + false - nothing) / (perfect - nothing)
