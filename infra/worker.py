"""The composition of the three kinds of worker: `python -m infra.worker control|scorer|runner ASSIGNMENT.json`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import faust
from pydantic import BaseModel, ConfigDict

from agents.feeds import Feeds
from agents.labels import Labels
from agents.lifecycle import Control
from agents.reports import Reports
from agents.runner import Assignment, Runner
from agents.scorer import Scorer
from infra import logs
from infra.clock import now_ms
from infra.faust_worker import (
    LARGE_BUFFER,
    FaustSender,
    Intake,
    crash,
    guarded,
    make_app,
    raw_topic,
    run,
)
from infra.kafka import admin as kafka_admin
from infra.kafka.groups import CONTROL, runner_group, scorer_group
from infra.kafka.log import PairingBoard, TopicLog, TopicTail, largest_message
from infra.mlflow.files import contract_of
from infra.preparation import Ready, Unusable
from infra.sandbox.candidate import Candidate
from infra.sandbox.command import Level
from infra.sandbox.host import ChildSpec
from infra.state import StateFiles
from models.baselines import Baselines
from schemas.pairing import Deployment, Pairing
from schemas.parties import Plant
from streams import topics
from streams.lifecycle import Installation


class WorkerSpec(BaseModel):
    """What a worker process is told."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["control", "scorer", "runner"]
    bootstrap: str
    home: Path
    plant: Plant | None = None
    pairing: Pairing | None = None
    deployment: Deployment | None = None
    #: How this machine holds a candidate's code, found by trying.
    level: Level = "none"
    #: The candidate's files and environment; or why it cannot be run.
    prepared: Ready | Unusable | None = None
    #: Which of the workers of its group it is: several share the partitions, each under a name of its own.
    number: int = 0

    @property
    def group(self) -> str:
        """The app's name and consumer group."""
        if self.kind == "control":
            return CONTROL
        if self.kind == "scorer":
            assert self.plant is not None
            return scorer_group(self.plant.id)
        assert self.deployment is not None
        return runner_group(self.deployment.id)


def control_app(spec: WorkerSpec) -> faust.App:
    """Control: requests in, facts out, and to each party what it may see of them."""
    # Requests do not wait for feeds that lag.
    app = make_app(spec.group, bootstrap=spec.bootstrap, home=spec.home, member=None, buffer=LARGE_BUFFER)
    requests = raw_topic(app, topics.requests(topics.OPERATOR))
    told = raw_topic(app, topics.EVENTS)
    # A party that is registered later has a topic of its own: by default Faust waits 45 s before it looks.
    app.topics._resubscribe_sleep_lock_seconds = 0.2

    def listen(state: Installation) -> None:
        parties = [topics.OPERATOR, *state.organisations, *state.plants]
        _resubscribe(app, requests.topics[0], [topics.requests(party) for party in parties])
        scored = [name(plant) for plant in state.plants for name in (topics.evaluations, topics.verdicts)]
        _resubscribe(app, topics.EVENTS, [topics.EVENTS, *scored])

    sender, reading = FaustSender(app), TopicLog(spec.bootstrap)
    control = Control(
        sender=sender,
        log=reading,
        events=TopicTail(spec.bootstrap, topics.EVENTS),
        maker=AdminTopics(spec.bootstrap),
        listen=listen,
        crash=crash,
        now=lambda: datetime.now(UTC),
    )
    feeds = Feeds(sender=sender, log=reading, events=TopicTail(spec.bootstrap, topics.EVENTS), crash=crash)
    asked = Intake(prefix=topics.requests(""))
    # Facts, evaluations and verdicts: everything of this installation but the requests.
    seen = Intake(prefix=(topics.EVENTS, topics.evaluations(""), topics.verdicts("")))

    async def judge_requests(stream: Any) -> None:
        await control.process(asked.arrivals(stream))

    async def tell_parties(stream: Any) -> None:
        await feeds.process(seen.arrivals(stream))

    async def keep_listening() -> None:
        # Faust forgets a change of topics that comes while partitions are being assigned: it is told again.
        while True:
            await asyncio.sleep(0.2)
            named = {name for channel in app.topics for name in channel.topics}
            if not app.rebalancing and named - set(app.topics._topic_name_index):
                app.topics._flag_changes()

    async def keep_control() -> None:
        await control.begin()
        await asyncio.gather(
            control.background(),
            feeds.background(),
            asked.watch(app, seen),
            seen.watch(app, asked),
            keep_listening(),
        )

    app.agent(requests, name="control", concurrency=1)(judge_requests)
    app.agent(told, name="feeds", concurrency=1)(tell_parties)
    app.task(guarded(keep_control))
    return app


def _resubscribe(app: faust.App, first: str, names: Iterable[str]) -> None:
    """Have the agent that reads the topic `first` read all of these."""
    wanted = tuple(names)
    for channel in app.topics:
        # The agent reads a copy of the topic that it was given; the subscription follows what the copies name.
        if first in channel.topics and tuple(channel.topics) != wanted:
            channel.topics = wanted
            app.topics._flag_changes()


class AdminTopics:
    """Makes topics through the admin client; a `TopicMaker`."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap

    async def ensure(self, specs: Sequence[topics.TopicSpec]) -> None:
        """Create those that are missing."""
        await asyncio.to_thread(kafka_admin.ensure_topics, self._bootstrap, specs)


def scorer_app(spec: WorkerSpec) -> faust.App:
    """The scorer of a plant, with its labels agent."""
    assert spec.plant is not None
    plant = spec.plant.id
    member = f"{spec.group}-0"
    app = make_app(spec.group, bootstrap=spec.bootstrap, home=spec.home, member=member, gathers=True)
    board = PairingBoard(spec.bootstrap, plant)
    reading = TopicLog(spec.bootstrap)
    sender = FaustSender(app)
    labels = Labels(
        spec.plant,
        sender=sender,
        log=reading,
        board=board,
        reports=Reports(plant, sender=sender, source=f"/plants/{plant}/labels", now_ms=now_ms),
        crash=crash,
    )
    scorer = Scorer(
        plant,
        sender=sender,
        log=reading,
        board=board,
        labels=labels,
        state=StateFiles(spec.home / "state" / plant, topics.ledger(plant)),
        crash=crash,
        now_ms=now_ms,
    )
    told, entered = Intake(prefix=topics.labels(plant)), Intake(prefix=topics.ledger(plant))
    ready = asyncio.Event()

    async def take_labels(stream: Any) -> None:
        await ready.wait()
        await labels.process(told.arrivals(stream))

    async def fold_ledger(stream: Any) -> None:
        await ready.wait()
        await scorer.process(entered.arrivals(stream))

    async def keep_scores() -> None:
        # In a group, whatever fails ends all of it: also what is still waited for at the start.
        async with asyncio.TaskGroup() as group:
            group.create_task(board.follow())
            await board.loaded()
            for working in (
                labels.background(),
                scorer.background(),
                told.watch(app, entered),
                entered.watch(app, told),
            ):
                group.create_task(working)
            ready.set()

    app.agent(raw_topic(app, topics.labels(plant)), name="labels", concurrency=1)(take_labels)
    app.agent(raw_topic(app, topics.ledger(plant)), name="scorer", concurrency=1)(fold_ledger)
    app.task(guarded(keep_scores))
    app.on_partitions_revoked.connect(_on_moved(scorer.moved), weak=False)

    async def on_assigned(app: Any, assigned: Any, **kwargs: Any) -> None:
        scorer.assigned(place.partition for place in assigned if place.topic == topics.ledger(plant))

    app.on_partitions_assigned.connect(on_assigned, weak=False)
    return app


def _on_moved(moved: Any) -> Any:
    async def on_revoked(app: Any, revoked: Any, **kwargs: Any) -> None:
        moved()

    return on_revoked


def runner_app(spec: WorkerSpec) -> faust.App:
    """The runner of one deployment."""
    assert spec.plant is not None and spec.pairing is not None and spec.deployment is not None
    plant, member = spec.plant.id, f"{spec.group}-{spec.number}"
    app = make_app(spec.group, bootstrap=spec.bootstrap, home=spec.home, member=member)
    board = PairingBoard(spec.bootstrap, spec.plant.id)
    predictor = _predictor(spec)
    sender = FaustSender(app)
    source = f"/plants/{spec.plant.id}/runners/{spec.deployment.id}"
    held = spec.prepared.held if isinstance(spec.prepared, Ready) else "in process"
    runner = Runner(
        Assignment(pairing=spec.pairing, deployment=spec.deployment, plant=spec.plant, sandbox=held),
        predictor=predictor,
        sender=sender,
        log=TopicLog(spec.bootstrap),
        board=board,
        reports=Reports(spec.plant.id, sender=sender, source=source, now_ms=now_ms),
        crash=crash,
    )
    intake = Intake(prefix=topics.telemetry(spec.plant.id))
    ready = asyncio.Event()

    async def serve(stream: Any) -> None:
        await ready.wait()
        await runner.process(intake.arrivals(stream))

    async def keep_running() -> None:
        # In a group, whatever fails ends all of it: also what is still waited for at the start.
        async with asyncio.TaskGroup() as group:
            group.create_task(board.follow())
            await board.loaded()
            runner.ledger_bytes = await largest_message(spec.bootstrap, topics.ledger(plant))
            starting = group.create_task(_start(spec, predictor, runner, board))
            await runner.begin()
            await starting
            group.create_task(runner.background())
            group.create_task(intake.watch(app))
            ready.set()

    app.agent(raw_topic(app, topics.telemetry(spec.plant.id)), name="runner", concurrency=1)(serve)
    app.task(guarded(keep_running))
    app.on_partitions_revoked.connect(_on_moved(runner.moved), weak=False)
    return app


def _predictor(spec: WorkerSpec) -> Candidate | Unusable | Baselines:
    assert spec.pairing is not None
    match spec.prepared:
        case Ready(model=model, environment=environment):
            child = ChildSpec.agreed(model, contract_of(model), spec.pairing.agreement, environment)
            return Candidate(child, level=spec.level)
        case Unusable() as unusable:
            return unusable
        case None:
            rehearsal = spec.pairing.rehearsal
            constant = rehearsal.constant if rehearsal is not None else None
            return Baselines(spec.pairing.agreement, pairing=spec.pairing.id, constant=constant)


async def _start(
    spec: WorkerSpec, predictor: Candidate | Unusable | Baselines, runner: Runner, board: PairingBoard
) -> None:
    """Load the model, unless its candidate is suspended."""
    assert spec.pairing is not None and spec.deployment is not None
    present = board.pairings.get(spec.pairing.id, spec.pairing).deployment(spec.deployment.id)
    suspended = present is not None and present.suspended is not None
    if isinstance(predictor, Unusable) and not suspended:
        runner.suspended(predictor.fault, 1)
    if isinstance(predictor, Candidate):
        predictor.on_loaded = runner.loaded
        predictor.on_suspended = runner.suspended
        await (predictor.suspend() if suspended else predictor.start())


APPS = {"control": control_app, "scorer": scorer_app, "runner": runner_app}


def main(path: str) -> None:
    """Run the worker that a file describes."""
    spec = WorkerSpec.model_validate_json(Path(path).read_bytes())
    logs.set_up(level=logging.INFO)
    logs.about(
        plant=spec.plant.id if spec.plant is not None else None,
        pairing=spec.pairing.id if spec.pairing is not None else None,
        deployment=spec.deployment.id if spec.deployment is not None else None,
    )
    os.environ.setdefault("F_DATADIR", str(spec.home / "faust"))
    run(APPS[spec.kind](spec))


if __name__ == "__main__":
    main(sys.argv[1])
