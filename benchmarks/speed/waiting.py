"""Scoring while a million rows wait for their labels: what the scorer holds, and what it does to the speed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.speed import models
from benchmarks.speed.contest import told
from benchmarks.speed.plan import BASE, Case
from benchmarks.speed.platform import Platform, Trial
from benchmarks.speed.usage import usage

#: Rows that have an outcome and no label.
ROWS = 1_000_000


def measure(platform: Platform, home: Path, case: Case = BASE, rows: int = ROWS) -> list[dict[str, Any]]:
    """The base case without waiting rows, and then with them: one round, as in `Contest.rounds`."""
    rounds = []
    for waiting in (0, rows):
        with platform.trial([models.save(home, case.model, case.tags)], case.tags) as trial:
            if waiting:
                _wait_for_labels(trial, case, waiting)
            before = usage(platform.pid).rss_mb["scorer"]
            job = trial.job("labelled", rows=case.rows, frames=case.frames, tags=case.tags)
            found = told(trial.measure(job | {"first": waiting // case.rows}, burst=False), case)
        name = "waiting" if waiting else "not-waiting"
        rounds.append({"case": name, "who": "platform", "scorer_before_mb": round(before, 1), **found})
    return rounds


def _wait_for_labels(trial: Trial, case: Case, rows: int) -> None:
    """Have so many rows answered that nobody labels."""
    job = trial.job("unlabelled", rows=case.rows, frames=rows // case.rows, tags=case.tags, labelled=False)
    trial.platform.sender.run(job)
    trial.counted(rows, trial.candidates[0], scored=False)
