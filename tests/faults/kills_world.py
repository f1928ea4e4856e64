"""One installation whose processes are killed: where they are, what came in their place, and a second worker a group."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from kafka import KafkaProducer

from infra.client import Client
from infra.errors import BrokerUnavailable
from infra.kafka.admin import cluster_id_at
from infra.settings import Addresses
from infra.submission import submit
from schemas.agreement import Agreement
from schemas.pairing import Candidate
from schemas.requests import EndTrial, StartTrial, SubmitCandidate
from tests.faults.kills_plan import ASSETS, MODELS, Send
from tests.integration.commands import ROOT, Running, environment, wait_for
from tests.integration.models import save_one
from tests.integration.plants import MAKER, STARTUP, Site

PLANT = "works"

#: How long anything is waited for: a broker that comes back, a worker, a verdict.
PATIENCE_S = 120.0


@dataclass
class Second:
    """Another worker of a runner's group, kept running beside the installation's own."""

    world: World
    #: The deployment's worker file without its ending.
    name: str
    process: subprocess.Popen[bytes] | None = None

    def look_after(self) -> None:
        """Start it, and again where it has ended."""
        if self.process is None or self.process.poll() is not None:
            self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        told = json.loads((self.world.workers / f"{self.name}.json").read_bytes())
        path = self.world.workers / f"second-{self.name}.json"
        path.write_text(json.dumps({**told, "number": 1}))
        with (self.world.home / "logs" / f"second-{self.name}.log").open("ab") as sink:
            return subprocess.Popen(
                [sys.executable, "-m", "infra.worker", str(path)],
                cwd=ROOT,
                env=environment(self.world.home),
                stdout=sink,
                stderr=sink,
            )

    def stop(self) -> None:
        """End it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(20)


@dataclass(kw_only=True)
class World:
    """An installation with one plant."""

    home: Path
    #: The folder of the candidates' models.
    models: Path
    up: Running
    addresses: Addresses
    client: Client
    site: Site
    candidates: dict[str, Candidate] = field(default_factory=dict)
    seconds: dict[str, Second] = field(default_factory=dict)
    #: Where each worker was found last.
    _known: dict[str, int | None] = field(default_factory=dict)
    _keeper: threading.Thread | None = None
    _stopped: threading.Event = field(default_factory=threading.Event)
    #: Held while second workers are looked after or taken away.
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def started(cls, root: Path) -> World:
        """Start an installation in a folder of its own."""
        models = root / "models"
        models.mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name in MODELS:
                save_one(models / name, name, context_rows=4 if name == "peak" else 0, score=name == "graded")
        home = root / "home"
        up = Running(home, "up", "--json")
        try:
            record = up.record("running")
            addresses = Addresses.model_validate({name: record[name] for name in Addresses.model_fields})
            client = Client(addresses)
            site = Site(client, None, PLANT, assets=ASSETS, partitions=len(ASSETS))  # type: ignore[arg-type]
        except BaseException:
            up.stop()
            raise
        world = cls(home=home.resolve(), models=models, up=up, addresses=addresses, client=client, site=site)
        world._keeper = threading.Thread(target=world._keep, daemon=True)
        world._keeper.start()
        return world

    def stop(self) -> None:
        """End everything."""
        self._stopped.set()
        if self._keeper is not None:
            self._keeper.join(30)
        self.release()
        with suppress(Exception):
            self.client.__exit__(None, None, None)
        self.up.stop()

    @property
    def workers(self) -> Path:
        return self.home / "workers"

    @property
    def bootstrap(self) -> str:
        return self.addresses.bootstrap

    # --- pairings -------------------------------------------------------------------------------------------------

    def open(self, pairing: str, agreement: Agreement) -> None:
        """Agree on a pairing, submit its candidates and start its trial."""
        self.site.propose(pairing, agreement)
        for name in MODELS:
            if name not in self.candidates:
                self.candidates[name] = submit(
                    self.client, pairing, str(self.models / name), name=name
                ).candidate
            else:
                self.site.ask(STARTUP, SubmitCandidate(pairing=pairing, candidate=self.candidates[name]))
        self.site.ask(MAKER, StartTrial(pairing=pairing))

    def end(self, pairing: str) -> None:
        """End a trial, whatever state the client's connection is in."""
        self.reconnect()
        self.site.ask(MAKER, EndTrial(pairing=pairing))

    def reconnect(self) -> None:
        """Make the client anew: a connection may not have outlived its broker."""

        def look() -> Client | None:
            try:
                client = Client(self.addresses)
                client.refresh()
            except BrokerUnavailable:
                return None
            return client

        with suppress(Exception):
            self.client.__exit__(None, None, None)
        self.client = self.site.client = wait_for(
            look, "the broker", timeout_s=PATIENCE_S, alive=self.up.alive
        )

    # --- processes ------------------------------------------------------------------------------------------------

    def runners(self, pairing: str) -> list[str]:
        """The worker files of a pairing's runners, without their ending."""
        return sorted(path.stem for path in self.workers.glob(f"runner.{pairing}.*.json"))

    def double(self, name: str) -> None:
        """Have a second worker in the group of this runner from now on."""
        with self._lock:
            self.seconds.setdefault(name, Second(self, name))

    def release(self) -> None:
        """End the second workers."""
        with self._lock:
            for second in self.seconds.values():
                second.stop()
            self.seconds.clear()

    def _keep(self) -> None:
        while not self._stopped.wait(0.25):
            with self._lock:
                for second in self.seconds.values():
                    second.look_after()

    def process(self, name: str) -> int | None:
        """The process of a worker file."""
        told = str(self.workers / f"{name}.json")
        # Looking through every process takes a while: where it was found last is looked at first.
        known = self._known.get(name)
        if known is not None and _is_worker(_words(known), told):
            return known
        found = (one.pid for one in psutil.process_iter(["cmdline"]) if _is_worker(one.info["cmdline"], told))
        self._known[name] = next(found, None)
        return self._known[name]

    def child(self, name: str) -> int | None:
        """The sandboxed process of a runner: the innermost one."""
        worker = self.process(name)
        if worker is None:
            return None
        with suppress(psutil.Error):
            below = [
                one for one in psutil.Process(worker).children(recursive=True) if "child.py" in _line(one)
            ]
            return int(below[-1].pid) if below else None
        return None

    def broker(self) -> int | None:
        """The broker's process."""
        for process in psutil.process_iter(["name", "cmdline"]):
            if process.info["name"] == "java" and str(self.home) in " ".join(process.info["cmdline"] or []):
                return int(process.pid)
        return None

    def answers(self) -> bool:
        """Whether the broker serves clients."""
        return cluster_id_at(self.bootstrap, timeout_s=2.0) == self.addresses.cluster_id

    def wait(self, look: Callable[[], Any], what: str) -> Any:
        """What `look` finds, once it finds something."""
        return wait_for(look, what, timeout_s=PATIENCE_S, alive=self.up.alive)

    def rebalances(self, pairing: str) -> int:
        """How often groups of a pairing's runners were assigned their partitions anew, as the broker's log tells."""
        pattern = re.compile(rf"Stabilized group fp\.runner\.{re.escape(pairing)}\.\S+ generation (\d+) ")
        told = "".join(
            path.read_text(errors="replace") for path in (self.home / "kafka" / "logs").glob("kafka.log*")
        )
        return sum(int(generation) > 1 for generation in pattern.findall(told))


def _line(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def _is_worker(words: list[str] | None, told: str) -> bool:
    """Whether a command line is that of a worker with this file; its guard is not meant."""
    return words is not None and told in words and words[1:3] == ["-m", "infra.worker"]


def send_signal(pid: int, number: int) -> None:
    """Signal a process that may have gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


class Feeder(threading.Thread):
    """Sends what a plan says, when it says it, each message once the broker has the one before."""

    def __init__(self, bootstrap: str, plant: str, sends: Sequence[Send], *, done: threading.Event) -> None:
        super().__init__(name="feeder", daemon=True)
        self._address, self._plant, self._sends, self._done = bootstrap, plant, sends, done
        self.broken: BaseException | None = None

    def run(self) -> None:
        # While its broker is away, the producer keeps what it was given, and tries again by itself.
        producer = KafkaProducer(
            bootstrap_servers=self._address,
            acks="all",
            reconnect_backoff_max_ms=300,
            delivery_timeout_ms=int(PATIENCE_S * 1000),
        )
        try:
            began = time.monotonic()
            for one in self._sends:
                if self._done.wait(max(0.0, began + (one.at_s or 0.0) - time.monotonic())):
                    break
                sent = producer.send(
                    f"fp.{one.topic}.{self._plant}",
                    key=one.key.encode(),
                    value=one.value,
                    headers=list(one.headers),
                    partition=one.partition,
                )
                sent.get(timeout=PATIENCE_S)
        except BaseException as error:
            self.broken = error
        finally:
            producer.close(timeout=5)
