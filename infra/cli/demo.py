"""`fieldproof demo` and `fieldproof skab`: whole trials, from nothing to verdicts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.live import Live

from infra.cli.screen import Screen, scores
from infra.errors import InfraError
from infra.replay import ReplayReport
from infra.results import Scoreboard
from infra.trial import Entry, Recorded
from infra.words.language import Phrase, language
from infra.words.verdicts import because
from schemas.evaluation import Evaluation, Verdict


class UnreadableData(InfraError):
    """The recordings cannot be read."""

    exit_code = 2


def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="A folder with SKAB's recordings: real bench data instead of simulated."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the simulated plant.")] = 7,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON Lines on stdout; the last one is the summary.")
    ] = False,
) -> None:
    """Run a plant with two start-ups and three candidates, live to verdicts, in an installation of its own.

    The data is simulated and marked so, unless --data names recordings. `fieldproof watch` beside it follows the results.

    Exit code 1: the trial did not come to its verdicts; 2: the data cannot be read; 3: a part could not be started.

    Example: fieldproof demo --json | tail -1
    """
    from infra.demo import run

    trial, train = run.simulated(seed) if data is None else _readable(lambda: run.recorded_bench(data))
    screen = Screen(as_json=as_json)
    if data is None:
        screen.say(f"simulated data, seed {seed} · 모의 데이터", "yellow")
    board = _run(screen, trial, lambda directory: run.entries(directory, train), "demo")
    screen.show(scores(board.evaluations, board.verdicts))
    screen.emit(summary(board))
    _say_what_next(screen, next(iter(run.PAIRINGS.values())))


def _say_what_next(screen: Screen, pairing: str) -> None:
    """The demo's installation has ended, and keeps what it held."""
    from infra.settings import Settings

    home = Settings().home / "demo"
    told = Phrase(
        f"why, with pictures: FIELDPROOF_HOME={home} fieldproof up; then, in another terminal: "
        f"FIELDPROOF_HOME={home} fieldproof report {pairing}",
        f"판정 이유와 그림: FIELDPROOF_HOME={home} fieldproof up 실행 후, 다른 터미널에서 "
        f"FIELDPROOF_HOME={home} fieldproof report {pairing}",
    )
    screen.say(told.to(language(None, os.environ)), "dim")


def skab(
    data: Annotated[Path, typer.Option(help="The folder with SKAB's recordings.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print evaluations as JSON Lines too.")] = False,
) -> None:
    """Send all 34 recordings of SKAB through the whole platform, with three published detectors as candidates.

    The last lines are the pooled confusion counts, one JSON object a detector, to be held against the published ones.

    Exit code 1: the trial did not come to its verdicts; 2: the data cannot be read; 3: a part could not be started.

    Example: fieldproof skab --data SKAB
    """
    from infra.skab import run

    trial, train = _readable(lambda: run.recorded(data))
    screen = Screen(as_json=as_json)
    board = _run(screen, trial, lambda directory: run.entries(directory, train), "skab")
    screen.people.print(scores(board.evaluations, board.verdicts))
    for record in run.counts(board):
        Screen(as_json=True).emit(record)


def _readable(read: Callable[[], tuple[Recorded, Any]]) -> tuple[Recorded, Any]:
    try:
        return read()
    except (FileNotFoundError, ValueError) as error:
        raise UnreadableData(str(error)) from error


def _run(
    screen: Screen, trial: Recorded, prepare: Callable[[Path], Sequence[Entry]], name: str
) -> Scoreboard:
    from infra.settings import Settings
    from infra.trial import fresh_home, run_trial

    settings = fresh_home(Settings(), name)
    with _Shown(screen) as listener:
        return asyncio.run(run_trial(trial, prepare, settings=settings, listener=listener))


def summary(board: Scoreboard) -> dict[str, object]:
    """Every candidate's final counts, metrics and verdict; the baselines stand apart."""
    final = [board.evaluations[key] for key in sorted(board.evaluations)]
    return {
        "kind": "summary",
        "evaluations": [_summed(one, board) for one in final if not one.baseline],
        "baselines": [_summed(one, board) for one in final if one.baseline],
    }


def _summed(one: Evaluation, board: Scoreboard) -> dict[str, object]:
    verdict = board.verdicts.get((one.pairing, one.candidate))
    return {
        "pairing": one.pairing,
        "plant": one.plant,
        "startup": one.startup,
        "candidate": one.candidate,
        "simulated": one.simulated,
        "counts": one.counts.model_dump(),
        "metrics": one.metrics,
        "verdict": verdict.verdict if verdict is not None else None,
    }


class _Shown:
    """A trial as people see it: steps line by line, scores as a table that changes."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._live = Live(console=screen.people, auto_refresh=False, transient=True)
        self._on = screen.people.is_terminal

    def __enter__(self) -> _Shown:
        if self._on:
            self._live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._on:
            self._live.stop()

    def say(self, text: str) -> None:
        """A step has begun."""
        self._screen.say(f"· {text}", "dim")

    def result(self, result: Evaluation | Verdict, board: Scoreboard) -> None:
        """An evaluation or a verdict has been published."""
        self._screen.emit(result.to_dict())
        if self._on:
            self._live.update(scores(board.evaluations, board.verdicts), refresh=True)
        elif isinstance(result, Verdict):
            why = because(result.reason).to(language(None, os.environ))
            self._screen.say(f"· {result.pairing} {result.candidate}: {result.verdict}, {why}")

    def sent(self, report: ReplayReport) -> None:
        """More of the recording has been sent; the scores show it."""
