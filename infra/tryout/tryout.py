"""A candidate tried at home: the platform's own runners, labels agent, scorer and sandbox, without its broker.

Nothing here scores: messages go through topics in memory to the same agents that a plant's workers run, and the verdict
is the one that they publish.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn, TypeVar

from agents.labels import Labels
from agents.reports import Reports
from agents.runner import Assignment, Runner
from agents.scorer import Scorer
from infra.errors import InfraError
from infra.mlflow.files import UnusableModel
from infra.results import Scoreboard, read_result
from infra.sandbox.candidate import Candidate
from infra.sandbox.host import ChildSpec, SandboxUnavailable
from infra.tryout.attempt import Attempt
from infra.tryout.memory import MemoryBoard, MemoryTopics, NoState, Reader
from models.baselines import Baselines
from models.contract import Failed, Predicted, Predictor
from schemas.evaluation import Verdict
from schemas.faults import Fault
from schemas.pairing import Deployment, Pairing, Phase
from streams import topics
from streams.export_plan import Planned

#: Messages handed out ahead of what is done.
AHEAD = 64

_DAY_MS = 24 * 60 * 60 * 1000

T = TypeVar("T")


class NotLoaded(UnusableModel):
    """The model was not loaded; on the platform every frame would fail."""

    def __init__(self, failure: Failed) -> None:
        super().__init__(failure.text)
        self.trouble = Trouble(fault=_fault(failure, 1), text=failure.text)


class NoSandbox(InfraError):
    """The sandbox does not work on this machine."""


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """A fault of a model with all that was said of it, for those whose model and data it is."""

    fault: Fault
    text: str


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What became of it.

    Attributes:
        board: the final evaluations, of the candidate and of the baselines, and the verdict.
        waited: rows of the candidate that had no label yet when everything was sent: on the platform they wait
            for as long as labels are taken, and the verdict with them.
        troubles: faults of the model, the most frequent first.
    """

    board: Scoreboard
    waited: int
    troubles: Sequence[Trouble]

    @property
    def verdict(self) -> Verdict:
        """The candidate's verdict, as it would fall."""
        (verdict,) = self.board.verdicts.values()
        return verdict


async def try_out(
    attempt: Attempt,
    messages: Iterable[Planned],
    *,
    now_ms: Callable[[], int],
    progress: Callable[[int], None] = lambda _: None,
) -> Tried:
    """Send messages through the agents to a verdict.

    Args:
        attempt: what is tried.
        messages: what a replay would send to the plant's topics.
        now_ms: the clock, milliseconds since 1970.
        progress: told how many rows the model was given and has done with.

    Raises:
        NotLoaded: the model cannot be loaded.
        NoSandbox: the sandbox does not work here.
    """
    spec = ChildSpec.agreed(attempt.model, attempt.contract, attempt.agreement, attempt.environment)
    candidate = Candidate(replace(spec, tracebacks=True), level=attempt.level, sleep=_at_once)
    trial = Trial(attempt, candidate, now_ms=now_ms, progress=progress)
    candidate.on_suspended = trial.suspended
    try:
        loaded = await candidate.start()
        if isinstance(loaded, Failed):
            raise NotLoaded(loaded)
        return await trial.run(messages)
    except SandboxUnavailable as error:
        raise NoSandbox(str(error)) from error
    finally:
        await candidate.close()


async def _at_once(seconds: float) -> None:
    """Start a child again without the wait that spares a plant's machine: nothing is counted otherwise for it."""


@dataclass(kw_only=True)
class _Witness:
    """Hands frames on to a predictor, and remembers what went wrong."""

    predictor: Predictor
    progress: Callable[[int], None]
    rows: int = 0
    #: By what a start-up would be told: how often, and the first text.
    failed: dict[tuple[object, ...], tuple[Failed, int]] = field(default_factory=dict)

    async def predict(
        self, asset: str, payload: bytes | memoryview, n_rows: int, context: bytes | None, n_context: int
    ) -> Predicted | Failed:
        """Answer one frame as the predictor does."""
        answer = await self.predictor.predict(asset, payload, n_rows, context, n_context)
        if isinstance(answer, Failed):
            key = (answer.kind, answer.exception, answer.where)
            first, count = self.failed.get(key, (answer, 0))
            self.failed[key] = first, count + 1
        self.rows += n_rows
        self.progress(self.rows)
        return answer

    def troubles(self) -> list[Trouble]:
        """The faults, the most frequent first."""
        found = sorted(self.failed.values(), key=lambda one: -one[1])
        return [Trouble(fault=_fault(first, count), text=first.text) for first, count in found]


def _fault(failure: Failed, count: int) -> Fault:
    return Fault(kind=failure.kind, exception=failure.exception, where=failure.where, count=count)


class Trial:
    """One trial in memory, from its start to its verdict.

    Args:
        attempt: what is tried.
        predictor: answers for the model.
        now_ms: the clock, milliseconds since 1970.
        progress: told how many rows the model was given and has done with.
    """

    def __init__(
        self,
        attempt: Attempt,
        predictor: Predictor,
        *,
        now_ms: Callable[[], int],
        progress: Callable[[int], None],
    ) -> None:
        self._plant = plant = attempt.plant.id
        self._now_ms = now_ms
        #: How far its clock is ahead, once deadlines are all that it waits for.
        self._ahead_ms = 0
        self._pairing = attempt.pairing(now_ms=now_ms())
        self._topics = MemoryTopics(now_ms=self._clock, passing=frozenset({topics.telemetry(plant)}))
        self._board = MemoryBoard(self._pairing)
        self._witness = _Witness(predictor=predictor, progress=progress)
        self._labels = Labels(
            attempt.plant,
            sender=self._topics,
            log=self._topics,
            board=self._board,
            reports=self._reports(f"/plants/{plant}/labels"),
            crash=_crash,
        )
        self._scorer = Scorer(
            plant,
            sender=self._topics,
            log=self._topics,
            board=self._board,
            labels=self._labels,
            state=NoState(),
            crash=_crash,
            now_ms=self._clock,
        )
        self._runners = [self._runner(attempt, one) for one in self._pairing.deployments]
        #: To be told when the candidate is suspended.
        self.suspended = self._runners[0].suspended
        self._frames = [self._topics.reader(topics.telemetry(plant)) for _ in self._runners]
        self._told = self._topics.reader(topics.labels(plant))
        self._entries = self._topics.reader(topics.ledger(plant))
        self._results = self._topics.reader(topics.evaluations(plant), topics.verdicts(plant))

    def _clock(self) -> int:
        return self._now_ms() + self._ahead_ms

    def _reports(self, source: str) -> Reports:
        return Reports(self._plant, sender=self._topics, source=source, now_ms=self._clock)

    def _runner(self, attempt: Attempt, deployment: Deployment) -> Runner:
        own = deployment.candidate is not None
        assignment = Assignment(
            pairing=self._pairing,
            deployment=deployment,
            plant=attempt.plant,
            sandbox=attempt.level if own else "in process",
        )
        return Runner(
            assignment,
            predictor=self._witness if own else Baselines(attempt.agreement, pairing=assignment.pairing.id),
            sender=self._topics,
            log=self._topics,
            board=self._board,
            reports=self._reports(assignment.source),
            crash=_crash,
        )

    async def run(self, messages: Iterable[Planned]) -> Tried:
        """Send everything, end the trial, and wait for the verdict."""
        agents = [
            self._labels.background(),
            self._labels.process(self._told.arrivals()),
            self._scorer.background(),
            self._scorer.process(self._entries.arrivals()),
        ]
        for runner, frames in zip(self._runners, self._frames, strict=True):
            await runner.begin()
            agents += [runner.background(), runner.process(frames.arrivals())]
        return await _beside(agents, self._work(messages))

    async def _work(self, messages: Iterable[Planned]) -> Tried:
        readers = [*self._frames, self._told]
        for message in messages:
            headers = message.headers(self._plant)
            self._topics.append(message.topic(self._plant), message.asset.encode(), message.value, headers)
            await _until_done(readers, but=AHEAD)
        await _until_done(readers)
        self._board.show(self._ended())
        board, waited = await self._verdict()
        return Tried(board=board, waited=waited, troubles=self._witness.troubles())

    def _ended(self) -> Pairing:
        """The pairing after the trial's last frame."""
        until = {0: self._topics.end(topics.telemetry(self._plant))}
        ended = tuple(one.model_copy(update={"until": until}) for one in self._pairing.deployments)
        return self._pairing.model_copy(
            update={"phase": Phase.CLOSING, "deployments": ended, "fact": self._pairing.fact + 1}
        )

    async def _verdict(self) -> tuple[Scoreboard, int]:
        """The results once they are final, and how many rows of the candidate had to wait for that."""
        board, waited = Scoreboard(), 0
        candidate = self._pairing.candidates[0].id
        async for arrival in self._results.arrivals():
            result = read_result(arrival.record)
            assert result is not None, "the scorer publishes what can be read"
            board.take(result)
            if isinstance(result, Verdict):
                return board, waited
            whole = result.ledger_offset + 1 == self._topics.end(topics.ledger(self._plant))
            if whole and result.counts.awaiting_label:
                # Nothing more comes: what is left is the time for which labels are taken.
                days = self._pairing.agreement.labels.deadline_days
                self._ahead_ms = int((days + 1) * _DAY_MS)
            if whole and result.candidate == candidate:
                waited = max(waited, result.counts.awaiting_label)
        raise AssertionError("a reader does not end")


def _crash(error: BaseException) -> NoReturn:
    """What ends a worker's process ends the try."""
    raise error


async def _until_done(readers: Iterable[Reader], *, but: int = 0) -> None:
    for reader in readers:
        await reader.at_most(but)


async def _beside(
    agents: Iterable[Coroutine[object, object, object]], work: Coroutine[object, object, T]
) -> T:
    """Do a piece of work while agents run, which do not end by themselves; whatever fails first is raised."""
    helping = [asyncio.ensure_future(one) for one in agents]
    working = asyncio.ensure_future(work)
    try:
        await asyncio.wait([working, *helping], return_when=asyncio.FIRST_COMPLETED)
        for one in helping:
            if one.done():
                one.result()
        return await working
    finally:
        for task in (working, *helping):
            task.cancel()
        await asyncio.gather(working, *helping, return_exceptions=True)
