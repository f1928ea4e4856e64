"""How long it takes until the next outcome after a worker, or the broker, was killed under load: a benchmark.

    python -m tests.faults.recovery --rounds 10

Every frame has its place in the broker's own clock, and so has every outcome. Measured is from the signal to the first outcome in the
ledger that comes from the process in the killed one's place; with the broker, from the signal as well as from the moment at
which it serves clients again.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tests.faults.checker_records import entries_of
from tests.faults.checker_topics import Message, ends, read
from tests.faults.kills_plan import ASSETS, Send, plan_of
from tests.faults.kills_world import PLANT, Feeder, World, send_signal

PAIRING = "recovery"

#: Frames a second over all machines, each once.
FRAMES_S = 40.0


def load(seconds: float) -> list[Send]:
    """Frames of all machines at an even pace; their contents are those of the kill test."""
    frames = [one for one in plan_of(1).sends if one.topic == "telemetry" and b"no frame" not in one.value]
    found = []
    for number in range(int(seconds * FRAMES_S)):
        one = frames[number % len(frames)]
        listed = [(name, value) for name, value in one.headers if name != "ce_id"]
        listed.append(("ce_id", f"r-{number}".encode()))
        partition = number % len(ASSETS)
        found.append(
            Send(
                at_s=number / FRAMES_S,
                topic="telemetry",
                partition=partition,
                key=ASSETS[partition],
                value=one.value,
                headers=listed,
            )
        )
    return found


class Measured:
    """A trial with one candidate's runner under load, and what is killed of it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._name = ""

    def open(self) -> None:
        """Start a trial, and wait until its runners take frames."""
        self._world.open(PAIRING, plan_of(1).agreement)

        def ready() -> bool:
            present = self._world.client.refresh().pairings[PAIRING].present()
            return len(present) > 1 and all(one.started for one in present)

        self._world.wait(ready, "the deployments")
        self._name = next(one for one in self._world.runners(PAIRING) if ".peak" in one)

    def worker(self) -> float:
        """Seconds from the end of a runner to the next outcome of its deployment."""
        starts = ends(self._world.bootstrap, PLANT)
        pid = self._world.wait(lambda: self._world.process(self._name), "the runner")
        at_ms = time.time() * 1000
        send_signal(pid, signal.SIGKILL)
        return (self._next_outcome(starts, at_ms) - at_ms) / 1000

    def broker(self) -> tuple[float, float]:
        """Seconds from the end of the broker, and from its return, to the next outcome."""
        starts = ends(self._world.bootstrap, PLANT)
        pid = self._world.wait(self._world.broker, "the broker")
        at_ms = time.time() * 1000
        send_signal(pid, signal.SIGKILL)
        self._world.wait(lambda: self._world.broker() not in (pid, None), "another broker")
        self._world.wait(self._world.answers, "its answer")
        back_ms = time.time() * 1000
        found = self._next_outcome(starts, at_ms)
        return (found - at_ms) / 1000, max(0.0, found - back_ms) / 1000

    def _next_outcome(self, starts: dict[str, dict[int, int]], after_ms: float) -> float:
        """When the ledger took the first outcome of the deployment after that time, by the broker's clock."""
        # What was on its way when the process died is not of the one in its place: it is there at once.
        settled = after_ms + 250

        def look() -> float | None:
            found = (one.at_ms for one in self._outcomes(starts) if one.at_ms > settled)
            return next(found, None)

        return float(self._world.wait(look, "the next outcome"))

    def _outcomes(self, starts: dict[str, dict[int, int]]) -> Iterator[Message]:
        records = read(self._world.bootstrap, PLANT, starts)
        for entry in entries_of(records.ledger, PAIRING):
            if entry.kind == "outcome" and "/peak" in entry.told["deployment"]:
                yield entry.message


def measure(rounds: int) -> dict[str, object]:
    """Kill a worker and the broker so many times each, under load."""
    with tempfile.TemporaryDirectory(prefix="fieldproof-recovery-") as folder:
        world = World.started(Path(folder))
        stopped = threading.Event()
        try:
            measured = Measured(world)
            measured.open()
            feeder = Feeder(world.bootstrap, PLANT, load(rounds * 60.0), done=stopped)
            feeder.start()
            workers, brokers = [], []
            rng = Random(1)
            for _ in range(rounds):
                time.sleep(rng.uniform(3, 5))  # until everything runs evenly again
                workers.append(measured.worker())
                time.sleep(rng.uniform(11, 13))
                brokers.append(measured.broker())
                print(
                    json.dumps({"worker_s": workers[-1], "broker_s": brokers[-1]}),
                    file=sys.stderr,
                    flush=True,
                )
            return {
                "rounds": rounds,
                "recovery_s": {
                    "worker": _spread(workers),
                    "broker": _spread([one for one, _ in brokers]),
                    "broker_back": _spread([one for _, one in brokers]),
                },
            }
        finally:
            stopped.set()
            world.stop()


def _spread(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {"p50": round(ordered[len(ordered) // 2], 2), "max": round(ordered[-1], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how soon outcomes come again after a kill.")
    parser.add_argument("--rounds", type=int, default=10, help="how often a worker and the broker are killed")
    given = parser.parse_args()
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    print(json.dumps(measure(given.rounds)))


if __name__ == "__main__":
    main()
