"""One seed of the kill test, from its agreement to the checker's report."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from kafka.errors import KafkaError

from infra.errors import InfraError
from tests.faults.checker import check
from tests.faults.checker_topics import Json, Records, ends, read
from tests.faults.kills_plan import DEPLOYMENTS, Kill, Plan
from tests.faults.kills_world import PATIENCE_S, PLANT, Feeder, World, send_signal

#: How long before it is hit a process is looked for.
AIM_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A process that was killed, and how to find what came in its place."""

    target: str
    what: str
    before: int
    look: Callable[[], int | None]

    def replaced(self) -> bool:
        """Whether another process runs in its place."""
        return self.look() not in (None, self.before)


@dataclass(kw_only=True)
class Run:
    """A seed under way."""

    world: World
    plan: Plan
    pairing: str
    hits: list[Hit] = field(default_factory=list)
    #: Zombies that stand still, and when each goes on.
    still: list[tuple[float, int]] = field(default_factory=list)
    missed: int = 0
    #: When each part of it was done.
    marks: dict[str, float] = field(default_factory=dict)

    def run(self) -> tuple[Json, Records]:
        """Everything; gives what came of it, and what stands in the topics."""
        self._mark("began")
        starts = ends(self.world.bootstrap, PLANT)
        self.world.open(self.pairing, self.plan.agreement)
        try:
            self.world.wait(self._ready, f"the deployments of {self.pairing}")
            self._mark("ready")
            self._under_load()
            self._mark("loaded")
            self.world.end(self.pairing)
            self._feed()
            records = self._concluded(starts)
            self._mark("closed")
        finally:
            for _, pid in self.still:
                send_signal(pid, signal.SIGCONT)
            self.world.release()
        report = check(records, self.pairing).to_dict()
        self._mark("checked")
        kills = Counter(hit.target for hit in self.hits)
        told = {
            "seed": self.plan.seed,
            **{
                name: report[name]
                for name in ("byte_equal", "lost", "twice", "duplicates_seen", "gaps", "due")
            },
            "kills": dict(sorted(kills.items())),
            "rebalances": self.world.rebalances(self.pairing),
            "findings": report["findings"],
            "seconds": self._seconds(),
        }
        return told, records

    def _mark(self, name: str) -> None:
        self.marks[name] = time.monotonic()

    def _seconds(self) -> dict[str, float]:
        """How long each part took, and all of it."""
        moments = list(self.marks.items())
        parts = {name: round(at - before, 1) for (_, before), (name, at) in pairwise(moments)}
        return {**parts, "all": round(moments[-1][1] - moments[0][1], 1)}

    # --- load and kills -------------------------------------------------------------------------------------------

    def _under_load(self) -> None:
        feeder = self._feeder(during=True)
        feeder.start()
        began = time.monotonic()
        seconds = threading.Thread(target=self._double, daemon=True)
        seconds.start()
        kills = list(self.plan.kills)
        aimed: Kill | None = None
        while kills or self.still or feeder.is_alive():
            now = time.monotonic() - began
            if kills and kills[0] is not aimed and kills[0].at_s <= now + AIM_S:
                # Found beforehand, so that it is hit in time.
                aimed = kills[0]
                self._target(aimed)[1]()
            while kills and kills[0].at_s <= now:
                self._kill(kills.pop(0))
            for at, pid in list(self.still):
                if at <= time.monotonic():
                    send_signal(pid, signal.SIGCONT)
                    self.still.remove((at, pid))
            time.sleep(0.02)
        seconds.join(PATIENCE_S)
        if feeder.broken is not None:
            raise feeder.broken
        for hit in self.hits:
            self.world.wait(hit.replaced, f"another process of {hit.what} after {hit.before}")

    def _double(self) -> None:
        """Put a second worker beside each runner, under load: its group is assigned its partitions anew."""
        began = time.monotonic()
        names = self.world.runners(self.pairing)
        for at_s, name in zip(self.plan.joins_s, names, strict=True):
            time.sleep(max(0.0, began + at_s - time.monotonic()))
            self.world.double(name)

    def _ready(self) -> bool:
        """Whether every deployment has reported that it takes frames."""
        pairing = self.world.client.refresh().pairings[self.pairing]
        present = pairing.present()
        return len(present) == DEPLOYMENTS and all(one.started for one in present)

    def _feeder(self, *, during: bool) -> Feeder:
        sends = [one for one in self.plan.sends if (one.at_s is not None) == during]
        return Feeder(self.world.bootstrap, PLANT, sends, done=threading.Event())

    def _feed(self) -> None:
        feeder = self._feeder(during=False)
        feeder.start()
        feeder.join(PATIENCE_S)
        if feeder.broken is not None:
            raise feeder.broken

    def _kill(self, kill: Kill) -> None:
        """Hit a process, as soon as there is one to be hit."""
        name, look = self._target(kill)
        if kill.target == "broker":
            # A broker that is only coming up again is not worth another kill.
            self.world.wait(self.world.answers, "the broker")
        try:
            pid = int(self.world.wait(look, f"the process of {name}"))
        except AssertionError:
            self.missed += 1
            return
        if kill.target == "zombie":
            send_signal(pid, signal.SIGSTOP)
            self.still.append((time.monotonic() + kill.still_s, pid))
            self.hits.append(Hit(target="zombie", what=name, before=0, look=lambda: pid))
        else:
            send_signal(pid, signal.SIGKILL)
            self.hits.append(Hit(target=kill.target, what=name, before=pid, look=look))

    def _target(self, kill: Kill) -> tuple[str, Callable[[], int | None]]:
        world = self.world
        if kill.target == "broker":
            return "the broker", world.broker
        if kill.target == "control":
            return "control", lambda: world.process("control")
        if kill.target == "scorer":
            return "the scorer", lambda: world.process(f"scorer.{PLANT}")
        found = world.wait(lambda: world.runners(self.pairing), "a runner's file")
        candidates = [one for one in found if not one.endswith(".baselines")]
        if kill.target == "child":
            found = candidates or found
        name = found[int(kill.draw * len(found))]
        if kill.target == "child":
            return f"the child of {name}", lambda: world.child(name)
        if kill.target == "second":
            return f"the second {name}", lambda: world.process(f"second-{name}")
        return name, lambda: world.process(name)

    # --- the end --------------------------------------------------------------------------------------------------

    def _concluded(self, starts: dict[str, dict[int, int]]) -> Records:
        """What stands in the topics, once control knows of the verdicts."""

        def look() -> Any:
            with suppress(InfraError, KafkaError, AssertionError):
                pairing = self.world.client.refresh().pairings.get(self.pairing)
                return pairing is not None and bool(pairing.verdicts)
            self.world.reconnect()
            return None

        with suppress(AssertionError):  # what is missing then, the checker says
            self.world.wait(look, f"the verdicts of {self.pairing}")
        return read(self.world.bootstrap, PLANT, starts)


def counts(told: Json) -> bool:
    """Whether a seed has seen what it was for: a kill, a rebalance and an outcome that came twice."""
    return bool(sum(told["kills"].values()) and told["rebalances"] and told["duplicates_seen"])


def whole(told: Json) -> bool:
    """Whether nothing was found."""
    return bool(told["byte_equal"] and not told["lost"] and not told["twice"] and not told["findings"])
