"""What becomes of a candidate whose child ends, again and again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import infra.sandbox.candidate
import infra.sandbox.host
import infra.sandbox.standing
from infra.sandbox.candidate import Candidate
from infra.sandbox.command import Level
from infra.sandbox.host import Sandbox
from infra.sandbox.process import ChildProcess
from infra.sandbox.spec import ChildSpec
from infra.sandbox.standing import Backoff
from models.contract import Failed
from tests.contract.children import Models, ask, failed, run, values

pytestmark = [pytest.mark.timeout(120)]


@dataclass
class Clock:
    """Time that passes only when somebody sleeps."""

    now: float = 1000

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@asynccontextmanager
async def candidate(spec: ChildSpec, level: Level, clock: Clock | None = None) -> AsyncIterator[Candidate]:
    clock = clock or Clock()
    kept = Candidate(spec, level=level, monotonic=clock, sleep=clock.sleep, restarts=Backoff(first_s=8))
    try:
        yield kept
    finally:
        await kept.close()


def test_a_frame_whose_child_died_is_tried_once_more(models: Models, tmp_path: Path) -> None:
    async def main() -> None:
        async with candidate(models.spec("moods"), "none") as kept:
            mood = f"once:{tmp_path / 'marker'}"
            before, tried, behind = await asyncio.gather(ask(kept), ask(kept, mood), ask(kept))
            assert values(before) == values(tried) == values(behind) == [11, 22, 33]

    run(main())


def test_a_frame_that_kills_its_child_twice_fails_and_the_next_one_is_answered(
    models: Models, best: Level
) -> None:
    async def main() -> None:
        clock = Clock()
        async with candidate(models.spec("moods"), best, clock) as kept:
            poison, behind = await asyncio.gather(ask(kept, "exits"), ask(kept))
            assert failed(poison).kind == "died"
            assert values(behind) == [11, 22, 33]

    run(main())


def test_a_child_killed_from_outside_is_replaced(models: Models, best: Level) -> None:
    async def main() -> None:
        async with candidate(models.spec("moods"), best) as kept:
            assert values(await ask(kept)) == [11, 22, 33]
            killed = kept.pid
            os.kill(killed, signal.SIGKILL)
            while kept.pid == killed:
                assert values(await ask(kept)) == [11, 22, 33]

    run(main())


def test_frames_behind_a_hanging_one_are_answered_by_the_next_child(models: Models, best: Level) -> None:
    async def main() -> None:
        async with candidate(models.spec("moods", timeout_s=1), best) as kept:
            hung, behind = await asyncio.gather(ask(kept, "hangs"), ask(kept))
            assert failed(hung).kind == "timeout"
            assert values(behind) == [11, 22, 33]

    run(main())


def test_a_model_that_fails_to_load_is_not_loaded_again_before_its_time(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = processes(monkeypatch)

    async def main() -> None:
        clock = Clock()
        async with candidate(models.spec("unloadable"), "none", clock) as kept:
            assert failed(await kept.start()).kind == "error"
            for _ in range(3):
                answer = failed(await ask(kept))
                assert (answer.kind, answer.begun) == ("error", True)
                assert "cannot be loaded: RuntimeError: no licence" in answer.text
            assert len(started) == 1
            clock.now += 60
            await ask(kept)
            assert len(started) == 2
            clock.now += 60
            await ask(kept)
            assert len(started) == 2

    run(main())


def test_a_death_while_loading_is_tried_once_more(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    started = processes(monkeypatch)

    async def main() -> None:
        async with candidate(models.spec("dead-on-arrival"), "none") as kept:
            answer = failed(await kept.start())
            assert (answer.kind, "exit status 5" in answer.text) == ("died", True)
            assert len(started) == 2
            assert failed(await ask(kept)).begun
            assert len(started) == 2

    run(main())


def test_a_candidate_whose_process_ends_again_and_again_is_suspended(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infra.sandbox.standing, "MOST_ENDS", 4)
    started = processes(monkeypatch)
    told: list[tuple[Failed, int]] = []

    async def main() -> None:
        async with candidate(models.spec("moods", timeout_s=1), "none") as kept:
            kept.on_suspended = lambda last, faults: told.append((last, faults))
            answers = [await ask(kept, mood) for mood in ("hangs", "exits", "exits", "sum", "sum")]
            # One that dies is tried twice; for the last of them there was no second time.
            kinds = [failed(answer).kind for answer in answers]
            assert kinds == ["timeout", "died", "died", "suspended", "suspended"]
            assert "suspended after 4 faults" in failed(answers[-1]).text
            assert "exit status 3" in failed(answers[-1]).text
            assert failed(await kept.start()).kind == "suspended"
            assert [(last.kind, faults) for last, faults in told] == [("died", 4)]
            assert kept.pid == 0
            await all_gone(started)

    run(main())


def test_a_model_that_cannot_be_loaded_again_and_again_suspends_its_candidate(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infra.sandbox.standing, "MOST_LOADS", 3)
    started = processes(monkeypatch)
    told: list[tuple[Failed, int]] = []

    async def main() -> None:
        clock = Clock()
        async with candidate(models.spec("unloadable"), "none", clock) as kept:
            kept.on_suspended = lambda last, faults: told.append((last, faults))
            await kept.start()
            for _ in range(4):
                clock.now += 600
                await ask(kept)
            assert failed(await ask(kept)).kind == "suspended"
            assert [(last.exception, faults) for last, faults in told] == [("RuntimeError", 3)]
            assert len(started) == 3

    run(main())


def test_a_suspension_outlives_the_worker(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    started = processes(monkeypatch)

    async def main() -> None:
        async with candidate(models.spec("moods"), "none") as kept:
            await kept.suspend()
            assert failed(await kept.start()).kind == "suspended"
            assert failed(await ask(kept)).kind == "suspended"
            assert started == []

    run(main())


def test_exceptions_however_many_suspend_nobody(models: Models, best: Level) -> None:
    async def main() -> None:
        async with candidate(models.spec("moods"), best) as kept:
            for _ in range(30):
                assert failed(await ask(kept, "raises")).kind == "error"
            assert values(await ask(kept)) == [11, 22, 33]

    run(main())


def test_every_load_is_told(models: Models, best: Level) -> None:
    loads: list[int] = []

    async def main() -> None:
        async with candidate(models.spec("moods"), best) as kept:
            kept.on_loaded = loads.append
            await kept.start()
            assert len(loads) == 1
            await ask(kept, "exits")
            assert values(await ask(kept)) == [11, 22, 33]
            assert len(loads) == 3
            assert min(loads) > 0

    run(main())


# The warm child.


def test_a_warm_child_takes_over_from_the_second_end_on(
    models: Models, best: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = processes(monkeypatch)

    async def main() -> None:
        async with candidate(models.spec("moods", timeout_s=2), best) as kept:
            assert values(await ask(kept)) == [11, 22, 33]
            assert len(started) == 1
            # The first end finds nothing warm: the second process is for this one, the third is kept.
            await ask(kept, "hangs")
            assert values(await ask(kept)) == [11, 22, 33]
            await reached(lambda: len(started) == 3)
            assert kept.pid == started[1].pid
            await ask(kept, "hangs")
            assert values(await ask(kept)) == [11, 22, 33]
            assert kept.pid == started[2].pid
        await all_gone(started)

    run(main())


def test_a_warm_child_that_has_ended_is_not_used(
    models: Models, best: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = processes(monkeypatch)

    async def main() -> None:
        async with candidate(models.spec("moods", timeout_s=2), best) as kept:
            await ask(kept, "hangs")
            assert values(await ask(kept)) == [11, 22, 33]
            await reached(lambda: len(started) == 3)
            started[2].kill()
            await started[2].gone
            await ask(kept, "hangs")
            assert values(await ask(kept)) == [11, 22, 33]
            assert kept.pid == started[3].pid

    run(main())


def test_nothing_is_left_of_a_closed_candidate_not_even_its_warm_child(
    models: Models, best: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = processes(monkeypatch)
    warm: list[Sandbox] = []

    class Seen(Sandbox):
        async def warm(self) -> Failed | None:
            failure = await super().warm()
            warm.append(self)
            return failure

    monkeypatch.setattr(infra.sandbox.candidate, "Sandbox", Seen)

    async def main() -> None:
        async with candidate(models.spec("moods", timeout_s=1), best) as kept:
            await ask(kept, "hangs")
            assert values(await ask(kept)) == [11, 22, 33]
            await reached(lambda: len(warm) == 3)
        await all_gone(started)

    run(main())


def processes(monkeypatch: pytest.MonkeyPatch) -> list[ChildProcess]:
    """The children that are started from here on."""
    seen: list[ChildProcess] = []

    class Seen(ChildProcess):
        def __init__(self, *arguments: Any, **more: Any) -> None:
            super().__init__(*arguments, **more)
            seen.append(self)

    monkeypatch.setattr(infra.sandbox.host, "ChildProcess", Seen)
    return seen


async def reached(fact: Callable[[], bool]) -> None:
    while not fact():
        await asyncio.sleep(0.01)


async def all_gone(started: list[ChildProcess]) -> None:
    for process in started:
        await process.gone
