"""A million rows through the whole platform: does the memory of any process grow, and does the lag return to zero?

    python -m benchmarks.soak [--rows 1000000] [--frame-rows 50] [--rows-s 4000] [--json]

Two candidates are judged while labels come a few seconds after their rows. The platform's processes are looked at as the
operating system has them, every few seconds, from the first frame until everything has been scored.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import threading
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from kafka import KafkaProducer
from rich.console import Console
from rich.table import Table

from benchmarks.installation import installation
from benchmarks.sandbox import TAGS, Figures
from benchmarks.speed.load import Load, Message, assets
from benchmarks.speed.models import save
from benchmarks.speed.usage import kind_of, worker_of
from schemas.agreement import Acceptance, Agreement, Baseline, LabelRule, Limits
from schemas.requests import StartTrial
from streams import topics
from tests.integration.plants import MAKER, Site

ASSETS = assets(2)
MODELS = ("linear", "forest")
PAIRING = "soak"

#: How often processes are looked at, in seconds.
EVERY_S = 2.0

#: What a process has learnt to hold by then does not count as growth: a share of all frames.
WARM = 0.25

#: Labels come so many frames after theirs.
BEHIND = 40


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="how many are sent")
    parser.add_argument("--frame-rows", type=int, default=50, help="how many a frame holds")
    parser.add_argument("--rows-s", type=float, default=4000, help="how many come a second")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON on stdout")
    given = parser.parse_args()
    console = Console(stderr=given.as_json)
    with tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figures = soak(Path(name), console, given.rows, given.frame_rows, given.rows_s)
    console.print(table(figures))
    if given.as_json:
        print(json.dumps(figures))


# --- the trial ------------------------------------------------------------------------------------------------------


def soak(root: Path, console: Console, rows: int, frame_rows: int, rows_s: float) -> Figures:
    """Send the rows at an even pace, wait until all are scored, and say what every process held meanwhile."""
    models = {name: save(root, name, len(TAGS)) for name in MODELS}
    with installation(root / "home") as there:
        site = there.site("works", assets=ASSETS, tags=TAGS)
        candidates = _open(site, models)
        watched = Watched()
        feeder = Feeder(site, rows // frame_rows, frame_rows, rows_s)
        feeder.start()
        began = time.monotonic()
        while not _scored(site, candidates, rows):
            lag = site.client.lag(site.client.refresh().pairings[PAIRING])
            watched.look(feeder.sent, lag)
            console.print(
                f"{feeder.sent * frame_rows:,} of {rows:,} rows sent, {max(lag.values())} frames behind"
            )
            if feeder.broken is not None:
                raise feeder.broken
            time.sleep(EVERY_S)
        took = time.monotonic() - began
        lag = site.client.lag(site.client.refresh().pairings[PAIRING])
        watched.look(feeder.sent, lag)
        return {
            "kind": "soak",
            "rows": rows,
            "frame_rows": frame_rows,
            "seconds": round(took, 1),
            "scored": {name: _count(site, name) for name in candidates},
            "lag": {"most": watched.most_lag, "last": max(lag.values())},
            "memory_mb": {name: told(held, feeder.frames, rows) for name, held in watched.held.items()},
        }


def _open(site: Site, models: Mapping[str, Path]) -> list[str]:
    """Start the trial, and wait until every model is loaded."""
    site.propose(PAIRING, terms())
    names = [site.submit(PAIRING, path, name).candidate.id for name, path in models.items()]
    site.ask(MAKER, StartTrial(pairing=PAIRING))

    def ready() -> bool:
        present = site.client.refresh().pairings[PAIRING].present()
        return len(present) > len(models) and all(one.started for one in present)

    site.seen.wait(ready, "the deployments", timeout_s=200)
    return names


def terms() -> Agreement:
    """A sum of eight values that is known a moment later."""
    return Agreement(
        task="regression",
        assets=tuple(ASSETS),
        inputs=tuple(TAGS),
        labels=LabelRule(deadline_days=1),
        baselines=(Baseline(name="zero", answer=0.0),),
        acceptance=Acceptance(metric="rmse", at_most=1.0),
        limits=Limits(memory_mb=512),
    )


def _count(site: Site, candidate: str) -> int:
    """Its rows with a score so far."""
    latest = site.latest(PAIRING, candidate)
    return 0 if latest is None else latest.counts.scored


def _scored(site: Site, candidates: list[str], rows: int) -> bool:
    return all(_count(site, name) == rows for name in candidates)


class Feeder(threading.Thread):
    """Sends frames at an even pace, and what was true of their rows a moment later."""

    def __init__(self, site: Site, frames: int, rows: int, rows_s: float) -> None:
        super().__init__(name="feeder", daemon=True)
        self.frames, self.sent = frames, 0
        self.broken: BaseException | None = None
        self._site, self._pace_s = site, rows / rows_s
        # Machines that take turns; here they share the plant's only partition.
        self._load = Load(run="soak", rows=rows, tags=len(TAGS), partitions=len(ASSETS))

    def run(self) -> None:
        producer = KafkaProducer(bootstrap_servers=self._site.client.bootstrap, acks="all", linger_ms=5)
        try:
            began = time.monotonic()
            for number in range(self.frames + BEHIND):
                time.sleep(max(0.0, began + number * self._pace_s - time.monotonic()))
                if number < self.frames:
                    self._put(producer, topics.telemetry(self._site.name), self._load.frame(number))
                    self.sent = number + 1
                if number >= BEHIND:
                    self._put(producer, topics.labels(self._site.name), self._load.label(number - BEHIND))
            producer.flush()
        except Exception as error:  # noqa: BLE001
            self.broken = error
        finally:
            producer.close()

    def _put(self, producer: KafkaProducer, topic: str, one: Message) -> None:
        producer.send(topic, key=one.key, value=one.value, headers=one.headers)


# --- memory ---------------------------------------------------------------------------------------------------------


@dataclass
class Watched:
    """What each process held, by what it is: frames sent so far, and megabytes that are its own alone."""

    held: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    most_lag: int = 0

    def look(self, sent: int, lag: Mapping[str, int]) -> None:
        """Look at every process once."""
        self.most_lag = max(self.most_lag, *lag.values())
        now: dict[str, float] = {}
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                name = name_of(process)
                if name is not None:
                    now[name] = now.get(name, 0.0) + process.memory_full_info().uss / 1e6
        for name, megabytes in now.items():
            self.held.setdefault(name, []).append((sent, megabytes))


def name_of(process: psutil.Process) -> str | None:
    """What a process of an installation is; None where it is neither a worker, a candidate nor the broker."""
    line = process.cmdline()
    kind = kind_of(line)
    if kind == "child":
        above = (worker_of(one.cmdline()) for one in process.parents())
        return f"child of {next(filter(None, above), 'a runner')}"
    return "broker" if kind == "broker" else worker_of(line)


def told(held: list[tuple[int, float]], frames: int, rows: int) -> dict[str, float]:
    """What a process held when it was warm and at the end, its most, and its growth a million rows from then on."""
    warm = [one for one in held if one[0] >= WARM * frames] or held
    sent, megabytes = np.array(warm).T
    slope = float(np.polyfit(sent / frames * rows / 1e6, megabytes, 1)[0]) if np.ptp(sent) else 0.0
    figures = {"warm": megabytes[0], "end": megabytes[-1], "most": megabytes.max(), "growth": slope}
    return {name: round(float(one), 1) for name, one in figures.items()}


def table(figures: Figures) -> Table:
    """A row for each process."""
    shown = Table(
        title=f"{figures['rows']:,} rows in {figures['seconds']:g} s, lag at the end {figures['lag']['last']}"
    )
    shown.add_column("its own memory, MB")
    for column in ("after a quarter", "at the end", "most", "growth in a million rows"):
        shown.add_column(column, justify="right")
    for name, one in sorted(figures["memory_mb"].items()):
        shown.add_row(name, *(f"{one[key]:.1f}" for key in ("warm", "end", "most", "growth")))
    return shown


if __name__ == "__main__":
    main()
