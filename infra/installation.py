"""A whole installation on one machine: broker, MLflow, control, and each plant's workers, up and down together."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from contextlib import ExitStack

from infra.client import Client, NoAnswer
from infra.environments.store import Environments
from infra.errors import BrokerUnavailable, InfraError
from infra.evidence.keys import public_key, signing_key
from infra.folder_lock import held_folder
from infra.health import Health
from infra.kafka import admin as kafka_admin
from infra.kafka.broker import EmbeddedKafka
from infra.kafka.log import follow
from infra.metrics_page import MetricsPage
from infra.mlflow.registry import ModelRegistry
from infra.mlflow.server import MlflowServer
from infra.observation import Observer
from infra.results import Scoreboard, read_result
from infra.settings import ADDRESS_FILE, Addresses, Settings
from infra.supervisor import LOOK_S, PlantSupervisor, RestartPolicy, Workers
from infra.worker import WorkerSpec
from schemas.evaluation import Verdict
from schemas.requests import PublishKey
from streams import topics
from streams.lifecycle import Installation as State
from streams.lifecycle import fact_in

log = logging.getLogger(__name__)

Progress = Callable[[str], None]

#: How often in a row a broker is started again that ends by itself, and how long it has to run to begin a new row.
BROKER_STARTS, BROKER_HEALTHY_S = 5, 10.0


class Installation:
    """Runs everything that has no address of its own."""

    def __init__(
        self,
        settings: Settings,
        *,
        progress: Progress = log.info,
        port: int | None = None,
        metrics_port: int = 0,
        unsandboxed: bool = False,
    ) -> None:
        self._metrics_port = metrics_port
        self._settings = settings
        self._unsandboxed = unsandboxed
        self._home = settings.home.resolve()
        self._progress = progress
        self._port = port
        self._broker: EmbeddedKafka | None = None
        self._broker_since = 0.0
        self._broker_ends = 0
        self._mlflow: MlflowServer | None = None
        self._held = ExitStack()
        self._workers = Workers(home=self._home)
        self._environments = Environments(settings.cache / "environments")
        self._tasks: list[asyncio.Task[None]] = []
        self._state = State()
        self._board = Scoreboard()
        self._health = Health()
        self._plants: dict[str, PlantSupervisor] = {}
        self.addresses: Addresses | None = None

    async def start(self) -> Addresses:
        """Start broker, MLflow and control; what was running before goes on.

        Raises:
            FolderBusy: another installation runs in this home.
            InfraError: a part could not be started.
        """
        # The workers hold the lock too: those of an installation that was killed have ended before this one begins.
        hold = held_folder(self._home, purpose="installation")
        self._workers.held = (await asyncio.to_thread(self._held.enter_context, hold),)
        bootstrap, uri = await asyncio.gather(self._start_control(), self._start_mlflow())
        page = self._held.enter_context(MetricsPage(self._board, self._health, port=self._metrics_port))
        self.addresses = Addresses(
            bootstrap=bootstrap,
            mlflow=uri,
            metrics=page.url,
            cluster_id=self._broker.cluster_id if self._broker else "",
            pid=os.getpid(),
        )
        observer = Observer(
            self._health,
            bootstrap=bootstrap,
            mlflow=uri,
            workers=self._workers,
            state=self._state,
            plants=self._plants,
        )
        work = (self._follow(bootstrap, uri), self._look_after(), self._keep_mlflow(), observer.run())
        self._tasks = [asyncio.create_task(one) for one in work]
        self.addresses.write(self._home)
        self._progress(f"running: Kafka at {bootstrap}, MLflow at {uri}")
        return self.addresses

    async def _start_control(self) -> str:
        """Start the broker, and control as soon as it answers: neither needs MLflow."""
        bootstrap = await self._start_broker()
        await asyncio.to_thread(kafka_admin.ensure_topics, bootstrap, topics.of_installation())
        await self._workers.start("control", WorkerSpec(kind="control", bootstrap=bootstrap, home=self._home))
        await asyncio.to_thread(self._publish_key, bootstrap)
        return bootstrap

    def _publish_key(self, bootstrap: str) -> None:
        """Make the key known under which control's evidence is signed; from then on agreements seal it."""
        key = public_key(signing_key(self._home, topics.OPERATOR))
        addresses = Addresses(bootstrap=bootstrap, mlflow="", cluster_id="", pid=os.getpid())
        try:
            with Client(addresses) as client:
                client.ask(topics.OPERATOR, PublishKey(holder=topics.OPERATOR, key=key), timeout_s=60)
        except NoAnswer as error:
            log.warning("control's signing key is not known yet: %s", error)

    async def _start_broker(self) -> str:
        if self._settings.kafka_bootstrap_servers:
            return self._settings.kafka_bootstrap_servers
        self._broker = EmbeddedKafka(self._home / "kafka", port=self._port, progress=self._progress)
        await asyncio.to_thread(self._broker.start)
        self._broker_since = time.monotonic()
        return self._broker.bootstrap

    async def _start_mlflow(self) -> str:
        if self._settings.mlflow_tracking_uri:
            return self._settings.mlflow_tracking_uri
        self._progress("starting MLflow")
        self._mlflow = MlflowServer(self._home / "mlflow")
        await asyncio.to_thread(self._mlflow.start)
        return self._mlflow.tracking_uri

    async def wait(self) -> None:
        """Wait until a part fails that cannot be started again."""
        await asyncio.gather(*self._tasks)

    async def stop(self) -> None:
        """Stop everything in order: workers finish what they have in hand, then MLflow and the broker go."""
        if self.addresses is not None:
            (self._home / ADDRESS_FILE).unlink(missing_ok=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._workers.stop(*self._workers.running)
        if self._mlflow is not None:
            await asyncio.to_thread(self._mlflow.stop)
        if self._broker is not None:
            await asyncio.to_thread(self._broker.stop)
        self._held.close()

    async def _look_after(self) -> None:
        while True:
            if self._broker is not None and not self._broker.alive():
                await self._start_broker_again(self._broker)
            await self._workers.look_after()
            await asyncio.sleep(LOOK_S)

    async def _start_broker_again(self, broker: EmbeddedKafka) -> None:
        """Start a broker that has ended by itself; workers wait for it, or end and are started after it.

        Raises:
            BrokerUnavailable: it ends again and again.
        """
        lived_s = time.monotonic() - self._broker_since
        self._broker_ends = 1 if lived_s > BROKER_HEALTHY_S else self._broker_ends + 1
        if self._broker_ends > BROKER_STARTS:
            raise BrokerUnavailable(
                f"Kafka has ended by itself {self._broker_ends} times in a row; {broker.log_path} may say why. "
                "Start `fieldproof up` again once that is mended: everything goes on where it was."
            )
        log.warning(
            "Kafka has ended by itself; started again at %s; see %s", broker.bootstrap, broker.log_path
        )
        try:
            await asyncio.to_thread(broker.start_again)
        except InfraError as error:
            log.warning("Kafka could not be started again: %s", error)
        self._broker_since = time.monotonic()

    async def _keep_mlflow(self) -> None:
        """Start an MLflow again that has ended by itself, where it was. Trials that run do without it meanwhile."""
        wait = RestartPolicy()
        ends = 0
        while self._mlflow is not None:
            await asyncio.sleep(wait.delay_s(ends))
            if self._mlflow.alive():
                ends = 0
                continue
            ends += 1
            log.warning("MLflow has ended by itself; started again; see %s", self._mlflow.log_path)
            try:
                await asyncio.to_thread(self._mlflow.start)
            except InfraError as error:
                log.warning("MLflow could not be started again: %s", error)

    async def _follow(self, bootstrap: str, mlflow: str) -> None:
        """Follow the facts: an admitted plant gets its workers."""
        async with asyncio.TaskGroup() as group:
            async for record in follow(bootstrap, topics.EVENTS):
                before = set(self._state.plants)
                fact = fact_in(record.value)
                if fact is not None:
                    self._state.fold(fact)
                for ident in set(self._state.plants) - before:
                    registry = ModelRegistry(mlflow, self._home / "models" / ident)
                    supervisor = PlantSupervisor(
                        self._state.plants[ident],
                        bootstrap=bootstrap,
                        home=self._home,
                        workers=self._workers,
                        registry=registry,
                        environments=self._environments,
                        unsandboxed=self._unsandboxed,
                    )
                    self._plants[ident] = supervisor
                    group.create_task(supervisor.run())
                    group.create_task(self._record_verdicts(bootstrap, ident, registry))
                    group.create_task(self._keep_board(bootstrap, ident))

    async def _record_verdicts(self, bootstrap: str, plant: str, registry: ModelRegistry) -> None:
        """Write final evaluations back to MLflow; what stands there already is left alone."""
        async for record in follow(bootstrap, topics.verdicts(plant)):
            verdict = read_result(record)
            if not isinstance(verdict, Verdict):
                log.warning("%s holds no verdict that this version can read", record.origin)
                continue
            pairing = self._state.pairings.get(verdict.pairing)
            candidate = pairing.candidate(verdict.candidate) if pairing is not None else None
            if candidate is not None:
                await registry.record(verdict, candidate)

    async def _keep_board(self, bootstrap: str, plant: str) -> None:
        """Keep the latest evaluations for whoever asks for the figures."""
        async for record in follow(bootstrap, topics.evaluations(plant)):
            result = read_result(record)
            if result is not None:
                self._board.take(result)
