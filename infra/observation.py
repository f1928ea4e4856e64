"""Looking at an installation while it runs: the broker, MLflow, the workers, alarms and lag."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from infra.errors import InfraError
from infra.health import SILENT_S, Health, Seen, WorkerSeen
from infra.kafka import admin as kafka_admin
from infra.kafka.groups import runner_group
from infra.mlflow import server as mlflow_server
from infra.supervisor import PlantSupervisor, Worker, Workers, wanted
from schemas.base import Ident
from schemas.pairing import DONE
from streams import topics
from streams.lifecycle import Installation

#: Seconds between looks at the processes, and between questions to the broker and to MLflow.
BEAT_S, ASK_S = 1.0, 3.0


class Observer:
    """Keeps an installation's health up to date.

    Args:
        health: what is seen is noted here.
        workers: the worker processes.
        state: the facts as they stand.
        plants: the supervisors of the plants that have been taken up.
    """

    def __init__(
        self,
        health: Health,
        *,
        bootstrap: str,
        mlflow: str,
        workers: Workers,
        state: Installation,
        plants: Mapping[Ident, PlantSupervisor],
    ) -> None:
        self._health = health
        self._bootstrap = bootstrap
        self._mlflow = mlflow
        self._workers = workers
        self._state = state
        self._plants = plants
        #: When each last answered, and what the broker said.
        self._broker_at: float | None = None
        self._mlflow_at: float | None = None
        self._lag: dict[tuple[str, str, str], int] = {}
        self._rejected: dict[str, int] = {}

    async def run(self) -> None:
        """Look for ever."""
        await asyncio.gather(self._look(), self._again(self._ask_broker), self._again(self._ask_mlflow))

    async def _look(self) -> None:
        while True:
            self._health.beat_s = time.monotonic()
            self._health.note(self._seen(self._health.beat_s), datetime.now(UTC))
            await asyncio.sleep(BEAT_S)

    @staticmethod
    async def _again(ask: Callable[[], None]) -> None:
        while True:
            await asyncio.to_thread(ask)
            await asyncio.sleep(ASK_S)

    def _ask_broker(self) -> None:
        pairings = [one for one in self._state.pairings.values() if one.phase not in DONE]
        deployments = [(pairing, one) for pairing in pairings for one in pairing.present()]
        plants = list(self._state.plants)
        named = [topics.rejected(plant) for plant in plants]
        named += {topics.telemetry(pairing.plant) for pairing in pairings}
        groups = [runner_group(one.id) for _, one in deployments]
        try:
            ends, committed = kafka_admin.positions(self._bootstrap, named or [topics.EVENTS], groups)
        except InfraError:
            return
        self._rejected = {
            plant: sum(end for (topic, _), end in ends.items() if topic == topics.rejected(plant))
            for plant in plants
        }
        self._lag = {}
        for pairing, one in deployments:
            topic, there = topics.telemetry(pairing.plant), committed.get(runner_group(one.id), {})
            self._lag[pairing.plant, pairing.id, one.id] = sum(
                max(
                    0,
                    (one.until or ends_of(ends, topic)).get(partition, 0)
                    - there.get((topic, partition), start),
                )
                for partition, start in one.starts.items()
            )
        self._broker_at = time.monotonic()

    def _ask_mlflow(self) -> None:
        if mlflow_server.asked(self._mlflow) and mlflow_server.answers(self._mlflow):
            self._mlflow_at = time.monotonic()

    def _seen(self, now_s: float) -> Seen:
        pairings = self._state.pairings
        broker_s = None if self._broker_at is None else now_s - self._broker_at
        return Seen(
            bootstrap=self._bootstrap,
            mlflow=self._mlflow,
            broker_s=broker_s,
            mlflow_s=None if self._mlflow_at is None else now_s - self._mlflow_at,
            mlflow_asked=mlflow_server.asked(self._mlflow),
            workers={
                name: _worker(one, now_s, self._workers.policy.healthy_s)
                for name, one in self._workers.running.items()
            },
            wanted=should_run(self._state),
            waits={
                f"runner.{name}": reason
                for plant in self._plants.values()
                for name, reason in plant.waits.items()
            },
            alarms={
                (one.plant, one.id): one.alarms
                for one in pairings.values()
                if one.alarms and one.phase not in DONE
            },
            lag=self._lag if broker_s is not None and broker_s <= SILENT_S else None,
            rejected=self._rejected,
        )


def should_run(state: Installation) -> tuple[str, ...]:
    """The names of the workers that the facts ask for."""
    scorers = [f"scorer.{plant}" for plant in sorted(state.plants)]
    runners = [f"runner.{name}" for name in sorted(wanted(state.pairings))]
    return ("control", *scorers, *runners)


def _worker(one: Worker, now_s: float, healthy_s: float) -> WorkerSeen:
    alive = one.start_at is None and one.process.alive()
    # One that has run for long has got over its earlier ends, though they are counted until the next.
    ends = 0 if alive and now_s - one.started_at > healthy_s else one.ends
    return WorkerSeen(alive=alive, ends=ends, restarts=one.restarts, log=str(one.process.log_path))


def ends_of(ends: Mapping[tuple[str, int], int], topic: str) -> dict[int, int]:
    """The ends of one topic's partitions."""
    return {partition: end for (name, partition), end in ends.items() if name == topic}
