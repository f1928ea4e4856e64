"""What the sandbox costs: for a frame, at a candidate's start, and what hostile candidates cost the honest ones beside them.

    python -m benchmarks.sandbox [overhead] [start] [neighbours] [--rounds 7] [--json]

Run it on a machine that does nothing else. The last line with --json is one object with all figures.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.metadata
import json
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.installation import installation
from benchmarks.speed.load import Load, names
from benchmarks.speed.models import save as save_model
from infra.environments.store import Environments
from infra.errors import InfraError
from infra.mlflow.files import contract_of
from infra.sandbox.candidate import Candidate
from infra.sandbox.command import Launch, Level, probe_level
from infra.sandbox.host import Loaded
from infra.sandbox.spec import ChildSpec
from infra.settings import Settings
from models import child
from models.contract import WINDOW, Predicted
from schemas.agreement import Task
from tests.integration import crowd

PARTS = ("overhead", "start", "neighbours")

TAGS = names(8)
ROWS = 500

#: Frames of a round: about a second of work.
FRAMES = {"forest": 60, "linear": 1500}

#: What the project promises: of the forest's time, seconds of a start, of the honest candidates' p99 service time.
MOST_OVERHEAD, MOST_START_S, MOST_P99 = 1.15, 5.0, 2.0

#: Seconds of frames, and frames a second, at which ten candidates use less than half of two cores.
SECONDS, FRAMES_S = 30, 6

#: Loaded in an environment of its own: it asks for an earlier scikit-learn than the platform's.
CODE = """
import mlflow.models, mlflow.pyfunc, sklearn.ensemble

class Own(mlflow.pyfunc.PythonModel):
    def predict(self, context, table, params=None):
        return table["t0"]

mlflow.models.set_model(Own())
"""

Figures = dict[str, Any]


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sandbox", description=__doc__.splitlines()[0])
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all of them if not given"
    )
    parser.add_argument("--rounds", type=int, default=7, help="the medians are over so many")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON Lines on stdout")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    level = probe_level()
    console = Console(stderr=given.as_json)
    console.print(f"candidates are held at level {level}")
    figures: Figures = {"kind": "sandbox", "level": level}
    with tempfile.TemporaryDirectory() as name, threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for part in given.parts or PARTS:
            figures[part] = MEASURE[part](Path(name), level, given.rounds)
            console.print(SHOW[part](figures[part]))
    if given.as_json:
        print(json.dumps(figures | {"met": met(figures)}))


def met(figures: Figures) -> dict[str, bool]:
    """Which of the promises hold, of those that were measured."""
    found: dict[str, bool] = {}
    if "overhead" in figures:
        found["overhead"] = figures["overhead"]["forest"]["ratio"] <= MOST_OVERHEAD
    if "start" in figures:
        found["start"] = all(one["seconds"] <= MOST_START_S for one in figures["start"].values())
    if "neighbours" in figures:
        found["neighbours"] = figures["neighbours"]["p99_ratio"] <= MOST_P99
    return found


# --- models ---------------------------------------------------------------------------------------------------------


def save(root: Path, name: str) -> ChildSpec:
    """Train a model of eight tags and save it, once."""
    path = save_model(root, name, len(TAGS))
    return ChildSpec(model=path, contract=contract_of(path), task=Task.REGRESSION)


def save_own(root: Path) -> Path:
    """A model that the platform's own packages do not fit."""
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    (root / "own.py").write_text(CODE)
    (root / "project").mkdir()
    ours = ".".join(importlib.metadata.version("scikit-learn").split(".")[:2])
    mlflow.pyfunc.save_model(
        root / "own",
        python_model=str(root / "own.py"),
        signature=ModelSignature(Schema([ColSpec("double", tag) for tag in TAGS])),
        pip_requirements=["mlflow-skinny", f"scikit-learn<{ours}"],
        uv_project_path=str(root / "project"),  # or this project's own lock file goes in
    )
    return root / "own"


def frames(count: int) -> list[bytes]:
    """Telemetry as it comes out of the log."""
    load = Load(run="sandbox", rows=ROWS, tags=len(TAGS))
    return [load.frame(number).value for number in range(count)]


# --- a frame --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one frame took, in microseconds: of time, and of CPU time on both sides of the sandbox."""

    wall_us: float
    cpu_us: float


def overhead(root: Path, level: Level, rounds: int) -> Figures:
    """The same frames to the same model, in this process and in the sandbox, in turns."""
    return {name: _compared(save(root, name), level, frames(count), rounds) for name, count in FRAMES.items()}


def _compared(spec: ChildSpec, level: Level, payloads: Sequence[bytes], rounds: int) -> Figures:
    unheld = Launch(argv=(), env={}, model=str(spec.model), packages=())
    here = child.Candidate(json.loads(spec.config(unheld)[child.LENGTH.size :]))
    pairs: list[tuple[Cost, Cost]] = []

    async def measure() -> None:
        async with started(spec, level) as candidate:
            for number in range(rounds + 1):
                pair = _in_process(here, payloads), await _sandboxed(candidate, payloads)
                # The first round warms both.
                if number:
                    pairs.append(pair)

    gc.collect()
    gc.freeze()
    asyncio.run(measure())
    middle = statistics.median
    return {
        "in_process_us": middle(here.wall_us for here, _ in pairs),
        "sandboxed_us": middle(there.wall_us for _, there in pairs),
        "ratio": middle(there.wall_us / here.wall_us for here, there in pairs),
        "cpu_ratio": middle(there.cpu_us / here.cpu_us for here, there in pairs),
    }


def _in_process(model: child.Candidate, payloads: Sequence[bytes]) -> Cost:
    """One after the other, with the child's own program: what is left out is the sandbox and the way to it."""
    began, used = time.perf_counter(), time.process_time()
    for payload in payloads:
        model.predict("m1", memoryview(b""), 0, memoryview(payload), ROWS)
    return _cost(began, used, 0.0, len(payloads))


async def _sandboxed(candidate: Candidate, payloads: Sequence[bytes]) -> Cost:
    """As many on their way at once as the runner has."""
    began, used, left = time.perf_counter(), time.process_time(), iter(payloads)
    inside_ns = 0

    async def lane() -> None:
        nonlocal inside_ns
        for payload in left:
            answer = await candidate.predict("m1", payload, ROWS, None, 0)
            assert isinstance(answer, Predicted), answer
            inside_ns += answer.cpu_ns

    await asyncio.gather(*(lane() for _ in range(WINDOW)))
    return _cost(began, used, inside_ns / 1e9, len(payloads))


def _cost(began: float, used: float, inside_s: float, count: int) -> Cost:
    cpu_s = time.process_time() - used + inside_s
    return Cost(wall_us=(time.perf_counter() - began) / count * 1e6, cpu_us=cpu_s / count * 1e6)


@asynccontextmanager
async def started(spec: ChildSpec, level: Level) -> AsyncIterator[Candidate]:
    """A candidate with its model loaded."""
    candidate = Candidate(spec, level=level)
    try:
        loaded = await candidate.start()
        assert isinstance(loaded, Loaded), loaded
        yield candidate
    finally:
        await candidate.close()


def show_overhead(figures: Figures) -> Table:
    """A row for each model."""
    table = _table(
        f"a frame of {ROWS} rows", "in process", "sandboxed", "ratio", "ratio of CPU time", "at most"
    )
    for name, one in figures.items():
        times = (f"{one[key] / 1000:.2f} ms" for key in ("in_process_us", "sandboxed_us"))
        most = f"{MOST_OVERHEAD}" if name == "forest" else ""
        table.add_row(name, *times, f"{one['ratio']:.3f}", f"{one['cpu_ratio']:.3f}", most)
    return table


# --- a start --------------------------------------------------------------------------------------------------------


def start(root: Path, level: Level, rounds: int) -> Figures:
    """From nothing to a loaded model, with its files in the system's cache."""
    figures = {"platform": asyncio.run(_starts(save(root, "forest"), level, rounds))}
    own = save_own(root)
    try:
        environment = Environments(Settings().cache / "environments").of(own)
    except InfraError as error:
        print(f"no start in an environment of its own: {error}", file=sys.stderr)
        return figures
    spec = ChildSpec(model=own, contract=contract_of(own), task=Task.REGRESSION, environment=environment)
    return figures | {"own": asyncio.run(_starts(spec, level, rounds))}


async def _starts(spec: ChildSpec, level: Level, rounds: int) -> Figures:
    took: list[tuple[float, float]] = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        async with started(spec, level):
            took.append((time.perf_counter() - began, crowd.used_s()))
    # The first one fills the cache.
    return {
        "seconds": statistics.median(seconds for seconds, _ in took[1:]),
        "cpu_s": statistics.median(cpu_s for _, cpu_s in took[1:]),
    }


def show_start(figures: Figures) -> Table:
    """A row for each environment."""
    table = _table("a start with a warm cache", "time", "CPU time", "at most")
    for name, one in figures.items():
        times = (f"{one[key]:.2f} s" for key in ("seconds", "cpu_s"))
        table.add_row(f"environment: {name}", *times, f"{MOST_START_S:g} s")
    return table


# --- neighbours -----------------------------------------------------------------------------------------------------


def neighbours(root: Path, level: Level, rounds: int) -> Figures:
    """The service time of seven honest candidates, alone and beside three hostile ones; from the ledger."""
    folder = root / "crowd"
    folder.mkdir()
    models = crowd.save_crowd(folder)
    honest = {name: path for name, path in models.items() if name not in crowd.HOSTILE}
    with installation(root / "home") as there:
        alone = crowd.hold(
            there.site("alone", assets=crowd.ASSETS), honest, seconds=SECONDS, frames_s=FRAMES_S
        )
        beside = crowd.hold(
            there.site("beside", assets=crowd.ASSETS), models, seconds=SECONDS, frames_s=FRAMES_S
        )
    worst = max(_quantile(beside, 99, name) / _quantile(alone, 99, name) for name in honest)
    return {
        "alone": {f"p{q}_us": _quantile(alone, q, *honest) for q in (50, 95, 99)},
        "beside": {f"p{q}_us": _quantile(beside, q, *honest) for q in (50, 95, 99)},
        "p99_ratio": _quantile(beside, 99, *honest) / _quantile(alone, 99, *honest),
        "worst_p99_ratio": worst,
        "cpu_share": {"alone": alone.cpu_share, "beside": beside.cpu_share},
        "same_outcomes": all(alone.outcomes[name] == beside.outcomes[name] for name in honest),
    }


def _quantile(seen: crowd.Seen, percent: int, *names: str) -> float:
    return float(np.percentile([wall for name in names for wall in seen.walls_us[name]], percent))


def show_neighbours(figures: Figures) -> Table:
    """A row for each trial."""
    table = _table("seven honest candidates", "p50", "p95", "p99", "CPU used", "p99 ratio", "at most")
    for name, ratio, most in (("alone", "", ""), ("beside", f"{figures['p99_ratio']:.2f}", f"{MOST_P99:g}")):
        times = (f"{figures[name][f'p{q}_us'] / 1000:.1f} ms" for q in (50, 95, 99))
        table.add_row(name, *times, f"{figures['cpu_share'][name]:.0%}", ratio, most)
    return table


def _table(what: str, *columns: str) -> Table:
    table = Table()
    table.add_column(what)
    for column in columns:
        table.add_column(column, justify="right")
    return table


MEASURE: dict[str, Callable[[Path, Level, int], Figures]] = {
    "overhead": overhead,
    "start": start,
    "neighbours": neighbours,
}
SHOW: dict[str, Callable[[Figures], Table]] = {
    "overhead": show_overhead,
    "start": show_start,
    "neighbours": show_neighbours,
}

if __name__ == "__main__":
    main()
