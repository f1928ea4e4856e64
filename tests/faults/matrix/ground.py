"""Where the faults happen: a whole installation, and single runners on a broker without anything else."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from infra.kafka import admin as kafka_admin
from infra.kafka.broker import EmbeddedKafka
from infra.kafka.groups import runner_group
from infra.kafka.producer import Producer
from infra.mlflow.server import MlflowServer
from infra.worker import WorkerSpec
from schemas.agreement import Agreement
from schemas.pairing import Deployment, Pairing, Phase
from schemas.parties import Asset, Plant, Tag
from streams import topics
from streams.envelope import ARROW, FRAME, RawRecord, headers
from streams.frames import encode_frame
from tests.faults.checker import check, entries_of, read
from tests.faults.checker_ledger import Deployment as Seen
from tests.faults.checker_ledger import Walk
from tests.faults.checker_topics import Message
from tests.integration.commands import ROOT, environment, wait_for, worker_pid
from tests.integration.conftest import Shared
from tests.integration.plants import BEGIN_US, SECOND_US, Site, agreement

#: One label of so many seconds covers every row of a test.
SPAN_S = 100_000


def dice(name: str) -> random.Random:
    """The chance of one test; its seed is printed, and `FAULT_SEED` replays it."""
    seed = os.environ.get("FAULT_SEED") or f"{name}-{datetime.now(UTC):%H%M%S%f}"
    print(f"FAULT_SEED={seed}")
    return random.Random(seed)


@dataclass(frozen=True, kw_only=True)
class Ground:
    """An installation whose broker and MLflow server can be got at."""

    shared: Shared
    kafka: EmbeddedKafka
    mlflow: MlflowServer
    models: Path
    #: Ledgers that were looked into, by plant.
    ledgers: dict[str, Ledger] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.shared.home

    def runner(self, pairing: str, candidate: str) -> int:
        """The process of a candidate's runner."""
        name = f"runner.{pairing}/{candidate}"
        return int(wait_for(lambda: worker_pid(self.home, name), f"the process of {name}"))

    def replaced(self, name: str, before: int) -> int:
        """The process that came in the place of another one."""

        def look() -> int | None:
            now = worker_pid(self.home, name)
            return now if now != before else None

        return int(wait_for(look, f"a new process of {name}"))

    def children(self, runner: int, *, least: int = 1) -> list[int]:
        """The processes in which a runner's candidate is held, and one is kept warm: so many or more."""

        def look() -> list[int] | None:
            found = psutil.Process(runner).children(recursive=True)
            held = [one.pid for one in found if _held(one)]
            return held if len(held) >= least else None

        return list(wait_for(look, f"{least} processes of the candidate"))

    def committed(self, site: Site, deployment: str, partition: int = 0) -> int:
        """The offset at which a runner's group goes on."""
        there = kafka_admin.group_offsets(self.kafka.bootstrap, runner_group(deployment))
        return there.get((topics.telemetry(site.name), partition), 0)

    def seen(self, site: Site, pairing: str, deployment: str) -> Seen:
        """A deployment as the ledger tells it."""
        return self.walk(site, pairing).deployments[deployment]

    def walk(self, site: Site, pairing: str) -> Walk:
        """What the ledger tells of a pairing now."""
        if site.name not in self.ledgers:
            self.ledgers[site.name] = Ledger(self.kafka.bootstrap, site.name)
        return self.ledgers[site.name].walk(pairing)

    def wait_outcome(self, site: Site, deployment: str, frame: str) -> None:
        """Wait until a frame's outcome stands in the ledger."""
        pairing = deployment.partition("/")[0]
        wait_for(
            lambda: frame in self.frames(site, pairing, deployment),
            f"the outcome of {frame} for {deployment}",
        )

    def frames(self, site: Site, pairing: str, deployment: str) -> list[str]:
        """The frames whose outcomes stand in the ledger and count."""
        found = self.walk(site, pairing).deployments.get(deployment)
        return [] if found is None else [entry.told["frame"] for entry in found.outcomes.values()]

    def prove(self, site: Site, pairing: str, *candidates: str) -> dict[str, Any]:
        """End a trial, and hold everything about it against what was sent."""
        site.end(pairing)
        for asset in site.plant.assets:
            site.complete(SPAN_S, asset=asset.name)
        for name in candidates:
            site.verdict(pairing, name)
        report = check(read(self.kafka.bootstrap, site.name), pairing)
        told = report.to_dict()
        assert told["findings"] == []
        assert (told["byte_equal"], told["lost"], told["twice"]) == (True, 0, 0)
        return told


def _held(process: psutil.Process) -> bool:
    """Whether this is a candidate's own process, and not one that holds it."""
    try:
        return "confine.py" in " ".join(process.cmdline()) and not process.children()
    except psutil.Error:
        return False


def open_with(site: Site, pairing: str, model: Path, name: str, **terms: Any) -> str:
    """Agree on a pairing, start its trial with one candidate, and label everything as an anomaly."""
    assets = tuple(asset.name for asset in site.plant.assets)
    # On a machine that is busy, a child takes long to come back; nothing here is about that limit.
    site.open(pairing, agreement(assets=assets, timeout_s=120, **terms))
    candidate = site.submit(pairing, model, name).candidate.id
    for asset in assets:
        site.label(f"{pairing}-{asset}", 0, SPAN_S, "anomaly", asset=asset)
    return candidate


class Ledger:
    """A plant's ledger, read once as it grows."""

    def __init__(self, bootstrap: str, plant: str) -> None:
        self._tail = kafka_admin.Tail(bootstrap, topics.ledger(plant))
        self.messages: list[Message] = []

    def walk(self, pairing: str) -> Walk:
        """What it tells of a pairing now."""
        self.messages += [_message(record) for record in self._tail.new(wait_s=0.25)]
        return Walk.over(entries_of(self.messages, pairing))

    def close(self) -> None:
        """Close its connection."""
        self._tail.close()


def _message(record: RawRecord) -> Message:
    return Message(
        partition=record.partition,
        offset=record.offset,
        at_ms=record.timestamp_ms,
        key=(record.key or b"").decode(),
        value=record.value or b"",
        headers={name: value.decode() for name, value in record.headers},
    )


# --- runners on a broker without anything else ------------------------------------------------------------------------


class Bench:
    """A plant of which nobody knows but the runners that a test starts; they answer as baselines do."""

    def __init__(self, bootstrap: str, home: Path, name: str, *, partitions: int) -> None:
        self.bootstrap, self.home, self.name = bootstrap, home, name
        self.partitions = partitions
        self.plant = Plant(id=name, name=name, owner="maker", partitions=partitions, assets=(Asset(name="m1"),), tags=(Tag(name="x"),))  # fmt: skip
        agreed: Agreement = agreement()
        starts = dict.fromkeys(range(partitions), 0)
        self.deployment = Deployment(id=f"{name}/baselines", subjects=("no-alarm",), starts=starts)
        self.pairing = Pairing(
            id=name,
            programme="trials",
            need="need",
            plant=name,
            manufacturer="maker",
            startup="startup",
            coordinators=("centre",),
            agreement=agreed,
            agreement_digest=agreed.digest(),
            phase=Phase.RUNNING,
            since=datetime(2026, 3, 2, tzinfo=UTC),
            why="the trial runs",
            deployments=(self.deployment,),
            fact=1,
        )
        self.group = runner_group(self.deployment.id)
        self.workers: list[subprocess.Popen[bytes]] = []
        kafka_admin.ensure_topics(bootstrap, topics.of_plant(name, partitions))
        self._producer = Producer(bootstrap)
        self._ledger = Ledger(bootstrap, name)
        self._sent = 0

    def start(self, *, number: int = 0, module: str = "infra.worker", **env: str) -> subprocess.Popen[bytes]:
        """Start a runner: the group's worker of that number."""
        spec = WorkerSpec(kind="runner", bootstrap=self.bootstrap, home=self.home, plant=self.plant, pairing=self.pairing, deployment=self.deployment, number=number)  # fmt: skip
        path = self.home / f"runner-{number}.json"
        path.write_text(spec.model_dump_json())
        with (self.home / f"runner-{number}.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", module, str(path)],
                cwd=ROOT,
                env=environment(self.home, **env),
                stdout=log,
                stderr=log,
            )
        self.workers.append(worker)
        return worker

    def stop(self) -> None:
        """End whatever runs."""
        for worker in self.workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait(30)
        self._producer.close()
        self._ledger.close()

    def send(self, rows: int = 3, *, partition: int | None = None) -> str:
        """Send a frame to a partition, or to each in turn; gives its id."""
        number, self._sent = self._sent, self._sent + 1
        times = BEGIN_US + (np.arange(rows) + 10 * number).astype(np.int64) * SECOND_US
        value = encode_frame(times, {"x": np.full(rows, 0.25)})
        listed = headers(FRAME, source="/test", ident=f"f-{number}", content=ARROW)
        self._producer.append(
            topics.telemetry(self.name),
            b"m1",
            value,
            listed,
            partition=number % self.partitions if partition is None else partition,
        )
        return f"f-{number}"

    def committed(self) -> dict[int, int]:
        """Where the group goes on, by partition."""
        there = kafka_admin.group_offsets(self.bootstrap, self.group)
        return {partition: offset for (_, partition), offset in there.items()}

    def seen(self) -> Seen | None:
        """The deployment as the ledger tells it."""
        return self._ledger.walk(self.name).deployments.get(self.deployment.id)

    def wait_whole(self) -> Seen:
        """Wait until everything that was sent has its outcome."""
        ends = kafka_admin.end_offsets(self.bootstrap, topics.telemetry(self.name))

        def look() -> Seen | None:
            seen = self.seen()
            return (
                seen
                if seen is not None and all(seen.expected[at] >= end for at, end in ends.items())
                else None
            )

        seen: Seen = wait_for(look, "an outcome for every frame")
        assert sorted(seen.outcomes) == [(at, n) for at, end in sorted(ends.items()) for n in range(end)]
        return seen

    def members(self) -> dict[str, list[int]]:
        """The group's members by name, with the partitions that each has; empty while they are being assigned."""
        with kafka_admin._admin(self.bootstrap) as admin:
            found = admin.describe_groups([self.group])[self.group]
        if found["group_state"] != "Stable":
            return {}
        return {
            str(one["group_instance_id"]): _partitions(one["member_assignment"]) for one in found["members"]
        }


def _partitions(assignment: Any) -> list[int]:
    told = assignment if isinstance(assignment, dict) else assignment.to_dict()
    listed: Sequence[Any] = told.get("assigned_partitions") or told.get("assignment") or []
    return sorted(n for one in listed for n in (one["partitions"] if isinstance(one, dict) else one[1]))


def end(process: subprocess.Popen[bytes], number: signal.Signals) -> int:
    """End a process by a signal, and wait for it."""
    process.send_signal(number)
    return process.wait(60)
