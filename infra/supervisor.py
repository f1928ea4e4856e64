"""Keeps the workers of an installation running: control, and for every plant its scorer and its runners."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from agents.reports import Reports
from infra import processes
from infra.capacity import capacity
from infra.clock import now_ms
from infra.environments.store import Environments
from infra.erase import Eraser, files_needed
from infra.errors import BrokerUnavailable
from infra.kafka import admin as kafka_admin
from infra.kafka.groups import runner_group
from infra.kafka.log import PairingBoard
from infra.kafka.producer import Producer
from infra.mlflow.registry import ModelRegistry
from infra.preparation import Forbidden, Preparation, Prepared, Waiting
from infra.sandbox.command import probe_level
from infra.worker import WorkerSpec
from schemas.erasure import Erasure
from schemas.pairing import ACTIVE, DONE, Candidate, Deployment, Pairing
from schemas.parties import Plant
from schemas.requests import ReportCapacity, ReportErased, ReturnCandidate
from streams import topics

log = logging.getLogger(__name__)

LOOK_S = 0.5

#: Seconds that a worker has to finish what it has in hand; what it does not finish is handled again by the next. `up --help`
#: and docs/architecture.md say so.
STOP_S = 15.0

#: Seconds until a candidate is prepared again, and how long that is tried before it is given back.
AGAIN_S, PATIENCE_S = 5.0, 600.0


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """How long a worker that ended by itself stays down: `first_s`, doubled for each end in a row, up to `most_s`."""

    first_s: float = 0.5
    most_s: float = 30.0
    #: A worker that ran so long begins a new row: one that cannot start, or stops at a message, ends sooner.
    healthy_s: float = 20.0

    def delay_s(self, ends: int) -> float:
        """Seconds to wait after so many ends in a row."""
        # A worker that cannot start for days ends so often that the power would be no float any more.
        return min(self.first_s * 2.0 ** min(max(0, ends - 1), 32), self.most_s)


def wanted(pairings: Mapping[str, Pairing]) -> dict[str, tuple[Pairing, Deployment]]:
    """The deployments that have to run, by id: those of the present phase of every pairing that is not paused."""
    return {
        deployment.id: (pairing, deployment)
        for pairing in pairings.values()
        if pairing.phase in ACTIVE and not pairing.paused
        for deployment in pairing.present()
    }


@dataclass(kw_only=True)
class Worker:
    """One worker process that is kept running."""

    spec: WorkerSpec
    process: processes.Process
    started_at: float
    #: Ends in a row; and starts after an end, in all.
    ends: int = 0
    restarts: int = 0
    start_at: float | None = None


@dataclass(kw_only=True)
class Workers:
    """Worker processes by name."""

    home: Path
    policy: RestartPolicy = field(default_factory=RestartPolicy)
    #: Files that stay open until the last worker has ended, such as the lock of the home directory.
    held: tuple[int, ...] = ()
    running: dict[str, Worker] = field(default_factory=dict)

    async def start(self, name: str, spec: WorkerSpec) -> None:
        """Start a worker and keep it running."""
        process = await asyncio.to_thread(self._launch, name, spec)
        self.running[name] = Worker(spec=spec, process=process, started_at=time.monotonic())
        log.info("started %s (process %d)", name, process.pid)

    async def stop(self, *names: str) -> None:
        """Stop workers: they finish what they have in hand."""
        gone = [self.running.pop(name) for name in names if name in self.running]
        if not gone:
            return
        # A thread each: they are told at the same time, and none waits for another to end.
        loop = asyncio.get_running_loop()
        pool = ThreadPoolExecutor(max_workers=len(gone), thread_name_prefix="stop")
        stops = [loop.run_in_executor(pool, worker.process.stop, STOP_S) for worker in gone]
        pool.shutdown(wait=False)
        await asyncio.gather(*stops)

    async def look_after(self) -> None:
        """Start workers again that ended by themselves."""
        now = time.monotonic()
        for name, worker in list(self.running.items()):
            if worker.start_at is not None:
                if now >= worker.start_at:
                    worker.process = await asyncio.to_thread(self._launch, name, worker.spec)
                    worker.started_at, worker.start_at = now, None
                    worker.restarts += 1
                    if self.running.get(name) is not worker:
                        # It was to be stopped while it was being started.
                        await asyncio.to_thread(worker.process.stop, STOP_S)
            elif not worker.process.alive():
                lived = now - worker.started_at
                worker.ends = 1 if lived > self.policy.healthy_s else worker.ends + 1
                worker.start_at = now + self.policy.delay_s(worker.ends)
                log.warning(
                    "%s ended with code %s; started again in %.1f s; see %s",
                    name,
                    worker.process.poll(),
                    self.policy.delay_s(worker.ends),
                    worker.process.log_path,
                )

    def _launch(self, name: str, spec: WorkerSpec) -> processes.Process:
        safe = name.replace("/", ".")
        path = self.home / "workers" / f"{safe}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(spec.model_dump_json().encode())
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        return processes.start(
            [sys.executable, "-m", "infra.worker", str(path)],
            log_path=self.home / "logs" / f"{safe}.log",
            env=environment,
            cwd=Path(__file__).resolve().parent.parent,
            grace_s=10.0,
            held=self.held,
        )


class PlantSupervisor:
    """Starts and stops the workers of one plant, from the state of its pairings."""

    def __init__(
        self,
        plant: Plant,
        *,
        bootstrap: str,
        home: Path,
        workers: Workers,
        registry: ModelRegistry,
        environments: Environments,
        unsandboxed: bool = False,
    ) -> None:
        self._plant = plant
        self._bootstrap = bootstrap
        self._home = home
        self._workers = workers
        self._registry = registry
        self._environments = environments
        self._unsandboxed = unsandboxed
        self._changed = asyncio.Event()
        self._board = PairingBoard(bootstrap, plant.id)
        source = f"/plants/{plant.id}/supervisor"
        self._reports = Reports(plant.id, sender=Producer(bootstrap), source=source, now_ms=now_ms)
        #: Since when the platform has been unable to prepare a deployment.
        self._waiting: dict[str, float] = {}
        #: Why it was, by deployment.
        self.waits: dict[str, str] = {}
        #: Deployments whose candidate is suspended: resumed, they begin anew.
        self._suspended: set[str] = set()
        self._erasing = asyncio.Event()
        self._eraser = Eraser(
            plant.id, bootstrap=bootstrap, home=home, registry=registry, tell=self._tell_erased
        )
        #: Runners that are being prepared: fetching and building one candidate holds up no other.
        self._beginning: set[str] = set()

    async def run(self) -> None:
        """Supervise for ever."""
        level = await asyncio.to_thread(probe_level)
        self._preparation = Preparation(
            self._registry, self._environments, level=level, unsandboxed=self._unsandboxed
        )
        self._level = level
        self._board.on_change(lambda pairing: self._changed.set())
        async with asyncio.TaskGroup() as group:
            group.create_task(self._board.follow())
            await self._board.loaded()
            await self._start_scorer()
            group.create_task(self._erase())
            self._changed.set()
            while True:
                await self._changed.wait()
                self._changed.clear()
                await self._arrange(group)

    async def _start_scorer(self) -> None:
        spec = WorkerSpec(kind="scorer", bootstrap=self._bootstrap, home=self._home, plant=self._plant)
        await self._workers.start(f"scorer.{self._plant.id}", spec)
        carried = capacity(self._level, unsandboxed=self._unsandboxed)
        report = ReportCapacity(plant=self._plant.id, capacity=carried)
        while True:
            try:
                await self._reports.tell_anew(report, "capacity")
            except BrokerUnavailable as error:
                await self._without_broker(error)
            else:
                return

    async def _arrange(self, group: asyncio.TaskGroup) -> None:
        to_run = wanted(self._board.pairings)
        ours = {f"runner.{ident}": pair for ident, pair in to_run.items()}
        every = {
            f"runner.{one.id}" for pairing in self._board.pairings.values() for one in pairing.deployments
        }
        resumed = {f"runner.{ident}" for ident in self._resumed()}
        await self._workers.stop(*(every - set(ours)), *resumed)
        for name, (pairing, deployment) in ours.items():
            if name not in self._workers.running and name not in self._beginning:
                self._beginning.add(name)
                group.create_task(self._begin(name, pairing, deployment))
        await self._remove_models()
        self._erasing.set()

    async def _erase(self) -> None:
        """Delete what was ordered to be deleted, beside everything else."""
        while True:
            await self._erasing.wait()
            self._erasing.clear()
            if not await self._eraser.look(self._board.pairings):
                await asyncio.sleep(AGAIN_S)
                self._erasing.set()

    async def _tell_erased(self, pairing: Pairing, erasure: Erasure) -> None:
        report = ReportErased(pairing=pairing.id, erasure=erasure)
        await self._reports.tell_anew(report, f"erased-{pairing.id}")

    def _resumed(self) -> set[str]:
        """The deployments that were suspended and are no more."""
        held = {
            one.id
            for pairing in self._board.pairings.values()
            for one in pairing.deployments
            if one.suspended is not None
        }
        resumed, self._suspended = self._suspended - held, held
        return resumed

    async def _begin(self, name: str, pairing: Pairing, deployment: Deployment) -> None:
        try:
            await self._prepare_and_start(name, pairing, deployment)
        except BrokerUnavailable as error:
            await self._without_broker(error)
        finally:
            self._beginning.discard(name)
        # What changed meanwhile has not been looked at for this one.
        self._changed.set()

    async def _prepare_and_start(self, name: str, pairing: Pairing, deployment: Deployment) -> None:
        prepared: Prepared | None = None
        if deployment.candidate is not None:
            prepared = await self._preparation.of(deployment.candidate, pairing)
            if isinstance(prepared, Waiting | Forbidden):
                await self._put_off(deployment.candidate, pairing, deployment, prepared)
                return
        self._waiting.pop(deployment.id, None)
        self.waits.pop(deployment.id, None)
        if deployment.id not in wanted(self._board.pairings):
            return
        await asyncio.to_thread(self._place, deployment)
        spec = WorkerSpec(
            kind="runner",
            bootstrap=self._bootstrap,
            home=self._home,
            plant=self._plant,
            pairing=pairing,
            deployment=deployment,
            level=self._level,
            prepared=prepared,
        )
        await self._workers.start(name, spec)

    async def _without_broker(self, error: BrokerUnavailable) -> None:
        """A broker that is away ends no plant's supervision: what it was needed for is tried again."""
        log.warning("plant %s waits for its broker: %s", self._plant.id, error)
        await asyncio.sleep(LOOK_S)

    async def _put_off(
        self, candidate: Candidate, pairing: Pairing, deployment: Deployment, why: Waiting | Forbidden
    ) -> None:
        """Wait until it is tried again; what this platform cannot run, or not for long, goes back to its start-up."""
        since = self._waiting.setdefault(deployment.id, time.monotonic())
        self.waits[deployment.id] = why.reason
        log.warning("%s waits: %s", deployment.id, why.reason)
        if isinstance(why, Forbidden) or time.monotonic() - since > PATIENCE_S:
            report = ReturnCandidate(pairing=pairing.id, candidate=candidate.id, reason=why.reason[:2000])
            await self._reports.tell(report, f"return-{pairing.id}-{candidate.id}")
        await asyncio.sleep(AGAIN_S)

    async def _remove_models(self) -> None:
        """What a start-up submitted stays no longer on this machine than its pairings need it."""
        needed = files_needed(self._board.pairings)
        for pairing in self._board.pairings.values():
            for candidate in pairing.candidates if pairing.phase in DONE else ():
                if candidate.digest not in needed and await self._registry.remove(candidate):
                    log.info("removed the files of %s: %s is %s", candidate.id, pairing.id, pairing.phase)

    def _place(self, deployment: Deployment) -> None:
        """Fix where a new deployment's group begins, before its first worker."""
        group, topic = runner_group(deployment.id), topics.telemetry(self._plant.id)
        there = kafka_admin.group_offsets(self._bootstrap, group)
        missing = {
            partition: offset
            for partition, offset in deployment.starts.items()
            if (topic, partition) not in there
        }
        if missing:
            kafka_admin.set_group_offsets(self._bootstrap, group, topic, missing)
