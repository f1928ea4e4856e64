"""A whole trial from recorded data, in an installation of its own: what the demo and the SKAB run have in common.

It takes the way that people take: requests, submissions, a replay, labels, an end. Only the hands are quicker.
"""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infra.client import Client
from infra.errors import InfraError
from infra.evidence.sealing import keys_in_use
from infra.folder_lock import LOCK_FILE, held_folder
from infra.installation import Installation
from infra.poc.folder import PocFolder
from infra.replay import ReplayReport, replay
from infra.results import Scoreboard, results
from infra.sandbox.containment import LEVELS_MEAN, probe_level
from infra.settings import Settings
from infra.submission import submit
from schemas.evaluation import Evaluation, Verdict
from schemas.labels import IntervalLabel, PointLabel
from schemas.requests import Command, EndTrial, StartTrial
from streams.export_plan import plan
from streams.exports import Export


class TrialFailed(InfraError):
    """The trial did not come to its verdicts."""

    exit_code = 1


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model of a start-up for a pairing."""

    pairing: str
    name: str
    path: Path


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What a trial is made of.

    Attributes:
        history: rows from before the trial: they pass through the plant's topics and are due for nobody.
        rows: the trial's rows, with labels of their own where the recording has them.
        labels: labels of the trial beside those.
        label_delay_us: how much later than their rows labels come, in data time.
        speed: data seconds a second; None is as fast as it goes.
    """

    folder: PocFolder
    history: Sequence[Export]
    rows: Sequence[Export]
    labels: Sequence[IntervalLabel | PointLabel] = ()
    label_delay_us: int = 0
    speed: float | None = None
    rows_per_frame: int = 500


class Listener(Protocol):
    """Whoever wants to know how a trial goes."""

    def say(self, text: str) -> None:
        """A step has begun."""

    def result(self, result: Evaluation | Verdict, board: Scoreboard) -> None:
        """An evaluation or a verdict has been published."""

    def sent(self, report: ReplayReport) -> None:
        """More of the recording has been sent."""


def fresh_home(settings: Settings, name: str) -> Settings:
    """Settings for an installation of its own below the usual one, emptied of what an earlier run left.

    Raises:
        FolderBusy: it still runs.
    """
    home = settings.home / name
    with held_folder(home, purpose=f"`fieldproof {name}`"):
        for left in home.iterdir():
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            elif left.name != LOCK_FILE:
                left.unlink()
    return settings.model_copy(update={"home": home})


async def run_trial(
    recorded: Recorded,
    prepare: Callable[[Path], Sequence[Entry]],
    *,
    settings: Settings,
    listener: Listener,
    patience_s: float = 600.0,
) -> Scoreboard:
    """Run a trial to its verdicts.

    Args:
        recorded: the data and the folder that describes the proof.
        prepare: makes the models in a directory; called while the installation starts.
        settings: where the installation keeps its data.
        listener: told what happens.
        patience_s: how long the verdicts may take after everything was sent.

    Raises:
        TrialFailed: a request was refused, or the verdicts did not come in time.
        InfraError: a part of the installation could not be started.
    """
    installation = Installation(settings, progress=listener.say)
    stopped = threading.Event()
    try:
        models = settings.home / "start-ups"
        models.mkdir(parents=True, exist_ok=True)
        listener.say("the start-ups train their models")
        _, entries = await asyncio.gather(installation.start(), asyncio.to_thread(prepare, models))
        return await asyncio.to_thread(_work, recorded, entries, settings, listener, stopped, patience_s)
    finally:
        stopped.set()
        listener.say("stopping")
        await installation.stop()


def _work(
    recorded: Recorded,
    entries: Sequence[Entry],
    settings: Settings,
    listener: Listener,
    stopped: threading.Event,
    patience_s: float,
) -> Scoreboard:
    with Client.connect(settings) as client:
        keys = keys_in_use(client.state, recorded.folder.plant.id, settings.home)
        commands = recorded.folder.sealed(keys).commands()
        _ask(client, [one for one in commands if not isinstance(one[1], StartTrial)], listener)
        plant = recorded.folder.plant.id
        if recorded.history:
            listener.say("the plant's history passes before the trial begins")
            replay(plan(recorded.history, watermarks=False), bootstrap=client.bootstrap, plant=plant)
        _ask(client, [one for one in commands if isinstance(one[1], StartTrial)], listener)
        for entry in entries:
            submitted = submit(client, entry.pairing, str(entry.path), name=entry.name)
            if submitted.answer.refused is not None:
                raise TrialFailed(f"{entry.name}: {submitted.answer.refused}")
            listener.say(f"{submitted.candidate.id} is submitted to {entry.pairing}")
        level = probe_level()
        listener.say(f"candidates' code is held at level {level}: {LEVELS_MEAN[level]}")
        watching = _Watching(client.bootstrap, len(entries), listener, stopped)
        watching.start()
        listener.say("the plant's machines run")
        replay(
            plan(
                recorded.rows,
                recorded.labels,
                rows_per_frame=recorded.rows_per_frame,
                label_delay_us=recorded.label_delay_us,
            ),
            bootstrap=client.bootstrap,
            plant=plant,
            speed=recorded.speed,
            progress=listener.sent,
        )
        listener.say("the trial ends; verdicts follow when every row is settled")
        ended: list[tuple[str, Command]] = [
            (recorded.folder.plant.owner, EndTrial(pairing=one.id)) for one in recorded.folder.pairings
        ]
        _ask(client, ended, listener)
        return watching.wait(patience_s)


def _ask(client: Client, commands: Sequence[tuple[str, Command]], listener: Listener) -> None:
    for party, command in commands:
        answer = client.ask(party, command)
        if answer.refused is not None:
            raise TrialFailed(f"{command.kind} of {party} was refused: {answer.refused}")
        listener.say(f"{party}: {answer.fact.body.kind.replace('_', ' ')} {answer.fact.subject}")


class _Watching(threading.Thread):
    """Follows the results until every candidate has its verdict, and every baseline its final scores."""

    def __init__(self, bootstrap: str, candidates: int, listener: Listener, stopped: threading.Event) -> None:
        super().__init__(name="watching", daemon=True)
        self._broker = bootstrap
        self._candidates = candidates
        self._listener = listener
        self._stopped = stopped
        self._board = Scoreboard()
        #: Whose final scores have been read themselves: a verdict that is read before them brings them along.
        self._final: set[tuple[str, str]] = set()
        self._broken: InfraError | None = None

    def run(self) -> None:
        try:
            for result in results(self._broker, stopped=self._stopped):
                self._board.take(result)
                if isinstance(result, Evaluation) and result.final:
                    self._final.add((result.pairing, result.candidate))
                self._listener.result(result, self._board)
                if self._complete():
                    return
        except InfraError as error:
            self._broken = error

    def _complete(self) -> bool:
        # Verdicts have a topic of their own: they may be read before the last evaluations.
        final = self._final >= self._board.evaluations.keys()
        return final and len(self._board.verdicts) >= self._candidates

    def wait(self, patience_s: float) -> Scoreboard:
        """The final scores."""
        self.join(patience_s)
        if self._broken is not None:
            raise self._broken
        missing = self._candidates - len(self._board.verdicts)
        if missing:
            raise TrialFailed(
                f"{missing} verdicts did not come within {patience_s:g} s; see the logs in the home directory"
            )
        return self._board
