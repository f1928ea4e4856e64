"""What a child uses is measured and limited from outside, and costs the platform nothing."""

from __future__ import annotations

import asyncio
import re
import time

import numpy as np
import psutil
import pytest

import infra.sandbox.host
from infra.sandbox.command import Level
from infra.sandbox.process import Meter
from models.contract import Failed, Predicted
from tests.contract.children import Models, Shared, ask, failed, family, run, sandbox, stream, values

pytestmark = [pytest.mark.timeout(120)]

MB = 1 << 20


# CPU time.


def test_what_a_frame_cost_is_measured_whether_it_is_answered_or_not(moods: Shared) -> None:
    burnt = moods.ask("burns:0.2")
    assert isinstance(burnt, Predicted), burnt
    assert burnt.cpu_ns >= 0.2e9
    assert burnt.wall_ns >= 0.2e9
    raised = failed(moods.ask("burns-and-raises:0.2"))
    assert raised.cpu_ns >= 0.2e9
    assert raised.wall_ns >= 0.2e9
    cheap = moods.ask()
    assert isinstance(cheap, Predicted), cheap
    assert 0 < cheap.cpu_ns < 0.2e9


def test_the_cpu_time_of_all_threads_counts(moods: Shared) -> None:
    burnt = moods.ask("burns-in-threads:0.2")
    assert isinstance(burnt, Predicted), burnt
    assert burnt.cpu_ns >= 0.4e9


def test_what_threads_use_between_two_answers_counts_for_the_next_one(models: Models, best: Level) -> None:
    async def main() -> None:
        async with sandbox(models.spec("moods"), best) as child:
            assert values(await ask(child, "keeps-burning")) == [1, 2, 3]
            used = 0
            while used < 2e8:
                answer = await ask(child)
                assert isinstance(answer, Predicted), answer
                used = max(answer.cpu_ns, used)
                await asyncio.sleep(0.5)

    run(main())


def test_a_frame_that_uses_too_much_cpu_time_ends_the_child(models: Models, level: Level) -> None:
    async def main() -> None:
        async with sandbox(models.spec("moods", cpu_s=0.3, timeout_s=100), level) as child:
            assert values(await ask(child)) == [11, 22, 33]
            spun, behind = await asyncio.gather(ask(child, "spins"), ask(child))
            assert (failed(spun).kind, failed(spun).begun) == ("timeout", True)
            assert "used more than 0.3 s of CPU time" in failed(spun).text
            assert failed(spun).cpu_ns > 0.3e9
            assert (failed(behind).begun, failed(behind).cpu_ns) == (False, 0)
            assert child.ended

    run(main())


def test_threads_use_a_frames_cpu_time_together(models: Models, best: Level) -> None:
    async def main() -> None:
        async with sandbox(models.spec("moods", cpu_s=0.3, timeout_s=100), best) as child:
            spun = failed(await ask(child, "burns-in-threads:0.2"))
            assert "used more than 0.3 s of CPU time" in spun.text

    run(main())


def test_an_answer_that_took_too_much_cpu_time_is_none(
    models: Models, best: Level, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody looks before the answer.
    monkeypatch.setattr(infra.sandbox.host, "_LOOK_S", 90)

    async def main() -> None:
        async with sandbox(models.spec("moods", cpu_s=0.1, timeout_s=100), best) as child:
            assert failed(await ask(child, "burns:0.15")).kind == "timeout"
            assert child.ended

    run(main())


def test_each_frame_of_many_has_the_whole_limit(models: Models, best: Level) -> None:
    async def main() -> None:
        async with sandbox(models.spec("moods", cpu_s=0.5, timeout_s=100), best) as child:
            answers = await asyncio.gather(*(ask(child, "burns:0.2") for _ in range(5)))
            used = [answer.cpu_ns for answer in answers if isinstance(answer, Predicted)]
            assert len(used) == 5
            assert sum(used) >= 5 * 0.2e9

    run(main())


def test_a_platform_that_comes_late_blames_nobody(models: Models, best: Level) -> None:
    async def main() -> None:
        async with sandbox(models.spec("moods", cpu_s=0.3, timeout_s=0.5), best) as child:
            meter = Meter(family(child.pid)[-1].pid)
            until_ns = meter.cpu_ns() + 0.9e9
            asked = [asyncio.create_task(ask(child, "burns:0.2")) for _ in range(5)]
            await asyncio.sleep(0)
            # The platform is busy, and the child answers one after the other.
            while meter.cpu_ns() < until_ns:
                time.sleep(0.02)
            answers = await asyncio.gather(*asked)
            for answer in answers:
                assert isinstance(answer, Predicted), answer
                assert answer.cpu_ns < 0.4e9
            # What was found together is shared, with what the next one had used by then: together it is all there.
            assert sum(answer.cpu_ns for answer in answers) > 0.99e9

    run(main())


def test_waiting_costs_no_cpu_time_and_a_hang_says_how_little_it_used(models: Models, level: Level) -> None:
    async def main() -> None:
        async with sandbox(models.spec("moods", cpu_s=0.4, timeout_s=1), level) as child:
            hung = failed(await ask(child, "hangs"))
            assert hung.kind == "timeout"
            said = re.fullmatch(r"no answer within 1 s; its process had used (.*) s of CPU time", hung.text)
            assert said is not None
            assert float(said[1]) < 0.4
            assert hung.wall_ns >= 1e9

    run(main())


# Memory.


def test_the_peak_of_memory_is_read_from_the_kernel(moods: Shared) -> None:
    before = moods.ask()
    assert isinstance(before, Predicted), before
    assert before.max_rss_kb > 50_000
    grown: Predicted | Failed = moods.ask("grows")
    # It is looked at a few times a second.
    while isinstance(grown, Predicted) and grown.max_rss_kb < before.max_rss_kb + 100_000:
        grown = moods.ask()
    assert isinstance(grown, Predicted), grown


# The platform's own.


def own_mb() -> float:
    return float(psutil.Process().memory_info().rss) / MB


def test_one_that_prints_without_end_is_answered_for_and_takes_no_memory(models: Models, best: Level) -> None:
    async def main() -> None:
        async with sandbox(models.spec("moods"), best) as child:
            assert len(values(await ask(child, "babbles"))) == 3
            before = own_mb()
            while values(await ask(child, "babbles"))[0] < 10:
                await asyncio.sleep(0.01)
            assert own_mb() < before + 5

    run(main())


@pytest.mark.parametrize("mood", ["floods-the-wire", "lies-about-lengths", "scribbles"])
def test_a_flooded_wire_takes_no_memory(models: Models, best: Level, mood: str) -> None:
    async def main() -> None:
        async with sandbox(models.spec("moods"), best) as child:
            assert values(await ask(child)) == [11, 22, 33]
            before = own_mb()
            await ask(child, mood)
            while not child.ended:
                await asyncio.sleep(0.01)
            assert child.failure is not None
            assert child.failure.kind == "nonsense"
            assert own_mb() < before + 5

    run(main())


def test_an_answer_that_trickles_in_is_put_together(models: Models, best: Level) -> None:
    n = 3000
    frame = stream({"a": np.arange(n, dtype=np.float64), "b": np.zeros(n)})

    async def main() -> None:
        async with sandbox(models.spec("moods"), best) as child:
            assert values(await child.predict("trickles", frame, n, None, 0)) == list(range(n))

    run(main())


@pytest.mark.parametrize("mood", ["answers-twice", "speaks-unasked"])
def test_an_answer_that_nobody_asked_for_ends_the_child(models: Models, best: Level, mood: str) -> None:
    async def main() -> None:
        async with sandbox(models.spec("moods"), best) as child:
            assert values(await ask(child, mood)) == [1, 2, 3]
            while not child.ended:
                await asyncio.sleep(0.01)
            assert child.failure is not None
            assert "where nothing was due" in child.failure.text
            assert failed(await ask(child)).begun is False

    run(main())


# What leaves the plant.


def test_an_exception_of_the_models_own_is_told_without_its_name(moods: Shared) -> None:
    answer = failed(moods.ask("names-its-exception"))
    assert answer.exception == "Exception"
    assert answer.where is not None
    assert answer.where.startswith("moods.py:")
    assert "Pressure1.0" in answer.text


def test_values_in_a_forged_name_and_place_are_not_told(models: Models, best: Level) -> None:
    async def main() -> None:
        async with sandbox(models.spec("moods"), best) as child:
            answer = failed(await ask(child, "forges-a-fault"))
            assert (answer.exception, answer.where) == ("Exception", None)
            assert answer.text == "for the plant"

    run(main())
