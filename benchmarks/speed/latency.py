"""How long one frame takes at fixed rates, by the broker's clock: telemetry to outcome, and label to evaluation."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed import models
from benchmarks.speed.clock import End
from benchmarks.speed.platform import PLANT, Platform, Told, Trial
from streams import topics
from streams.ledger_codec import OutcomeRows

#: Seconds before anything counts: the first frames find caches empty.
WARM_S = 3.0


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Frames of so many rows, so many a second, for so many seconds after the first few."""

    rate: int
    rows: int
    seconds: float

    @property
    def name(self) -> str:
        return f"{self.rate} frames/s of {self.rows} rows"


#: What the promise is about.
PROMISED = Pace(rate=200, rows=50, seconds=20)


def paces(*, quick: bool) -> tuple[Pace, ...]:
    """What is measured, in order."""
    if quick:
        return (Pace(rate=200, rows=50, seconds=6),)
    rates = (Pace(rate=rate, rows=50, seconds=20) for rate in (50, 200, 1000))
    return (*rates, Pace(rate=1000, rows=1, seconds=20))


def measure(platform: Platform, home: Path, pace: Pace) -> dict[str, Any]:
    """One linear candidate of eight tags, its frames and labels at that pace; milliseconds."""
    with platform.trial([models.save(home, "linear", 8)], 8) as trial:
        count = int(pace.rate * (WARM_S + pace.seconds))
        job = trial.job("pace", rows=pace.rows, frames=count, tags=8) | {"rate": pace.rate}
        end = End(platform.bootstrap, topics.ledger(PLANT))
        start = end()
        end.close()
        sent = platform.sender.run(job)
        trial.counted(count * pace.rows, trial.candidates[0])
        answered, labelled = _latencies(trial, start)
    return {
        "rate": pace.rate,
        "rows": pace.rows,
        "frames": len(answered),
        "sender_late_ms": round(sent["late_s"] * 1000, 1),
        "telemetry_to_outcome_ms": quantiles(answered),
        "label_to_evaluation_ms": quantiles(labelled),
    }


def _latencies(trial: Trial, start: int) -> tuple[list[int], list[int]]:
    """Of each frame after the first seconds."""
    outcomes: dict[str, tuple[int, int, int]] = {}
    labels: dict[str, tuple[int, int]] = {}
    for record, entry in trial.entries(start, labels=True):
        if isinstance(entry, OutcomeRows):
            outcomes[entry.meta.frame] = entry.meta.appended_ms, record.timestamp_ms, record.offset
        elif entry.meta.frame is not None:
            labels[entry.meta.frame] = entry.meta.source.appended_ms, record.offset
    begin = min(appended for appended, _, _ in outcomes.values()) + WARM_S * 1000
    kept = {name: one for name, one in outcomes.items() if one[0] >= begin}
    answered = [done - appended for appended, done, _ in kept.values()]
    told = trial.platform.evaluations(trial.pairing, trial.candidates[0])
    joined = [
        (labels[name][0], max(labels[name][1], offset))
        for name, (_, _, offset) in kept.items()
        if name in labels
    ]
    return answered, until_evaluated(joined, told)


def until_evaluated(joined: Sequence[tuple[int, int]], told: Sequence[Told]) -> list[int]:
    """From each label's append to the first evaluation that knows it and its frame's outcome, in milliseconds.

    Args:
        joined: when a label was appended, and the later of the two entries' offsets in the ledger.
        told: evaluations in order.
    """
    reached = [one.evaluation.ledger_offset for one in told]
    places = ((appended, bisect.bisect_left(reached, offset)) for appended, offset in joined)
    return [told[place].at_ms - appended for appended, place in places if place < len(told)]


def quantiles(milliseconds: Sequence[int]) -> dict[str, float] | None:
    """p50, p99 and the largest; None where there is nothing."""
    if not milliseconds:
        return None
    p50, p99 = np.percentile(milliseconds, (50, 99))
    return {"p50": float(p50), "p99": float(p99), "max": float(max(milliseconds))}
