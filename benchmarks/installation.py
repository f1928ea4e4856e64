"""`fieldproof up` for benchmarks: in a home of its own, and gone with the process that measures."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra import processes
from infra.client import Client
from infra.errors import BrokerUnavailable
from infra.settings import Settings
from tests.integration.commands import ROOT, environment
from tests.integration.plants import Site
from tests.integration.topic_records import Topics

#: How long an installation may take until it answers, and anything else until it has come, in seconds.
START_S, PATIENCE_S = 180.0, 900.0
_LOOK_S = 0.2


class Stuck(Exception):
    """What was waited for has not come; says what."""


def wait(look: Callable[[], bool], what: str, *, timeout_s: float = PATIENCE_S) -> None:
    """Look now and then until it is so. Raises Stuck."""
    deadline = time.monotonic() + timeout_s
    while not look():
        if time.monotonic() > deadline:
            raise Stuck(f"waited {timeout_s:g} s for {what}")
        time.sleep(_LOOK_S)


@dataclass(frozen=True, kw_only=True)
class Installation:
    """One that runs."""

    pid: int
    client: Client
    topics: Topics

    def site(self, plant: str, **more: Any) -> Site:
        """A new plant, and whatever else a `Site` takes."""
        return Site(self.client, self.topics, plant, **more)


@contextmanager
def installation(home: Path) -> Iterator[Installation]:
    """Start one, and end it; it ends with this process, however this one ends.

    Raises:
        Stuck: it does not answer.
    """
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "MLFLOW_TRACKING_URI"):
        # MLflow writes the latter by itself: it would be that of the installation before.
        os.environ.pop(name, None)
    command = [sys.executable, "-m", "infra.cli.main", "up", "--json"]
    up = processes.start(command, log_path=home / "up.log", env=environment(home), cwd=ROOT, grace_s=20.0)
    try:
        with _connected(home, up) as client:
            seen = Topics(client.bootstrap)
            seen.start()
            try:
                yield Installation(pid=up.pid, client=client, topics=seen)
            finally:
                seen.stop()
    finally:
        up.stop(60.0)


def _connected(home: Path, up: processes.Process) -> Client:
    found: list[Client] = []

    def look() -> bool:
        if not up.alive():
            raise Stuck(f"`fieldproof up` ended: {up.log_tail(5)}")
        with suppress(BrokerUnavailable):
            found.append(Client.connect(Settings(home=home)))
        return bool(found)

    wait(look, "`fieldproof up`", timeout_s=START_S)
    return found[0]
