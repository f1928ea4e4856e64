"""Workers of one group that come, go and are killed, under load and while nothing is sent."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest

from tests.faults.matrix.ground import Bench, dice, end
from tests.integration.commands import wait_for

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(300)]

PARTITIONS = 4


def wait_shared(bench: Bench, workers: int) -> float:
    """Wait until so many workers have all partitions between them; gives the seconds that it took."""
    began = time.monotonic()

    def look() -> bool:
        found = bench.members()
        held = [partitions for partitions in found.values() if partitions]
        return len(held) == workers and sorted(n for each in held for n in each) == list(range(PARTITIONS))

    wait_for(look, f"{workers} workers with a share each; they are {bench.members()}")
    return time.monotonic() - began


@pytest.mark.parametrize("bench", [PARTITIONS], indirect=True)
def test_workers_that_join_leave_and_are_killed_under_load_lose_nothing(bench: Bench) -> None:
    rng = dice("rebalance")
    workers = {0: bench.start()}

    def join() -> None:
        number = next(one for one in (0, 1) if one not in workers)
        workers[number] = bench.start(number=number)

    def leave(number: signal.Signals) -> None:
        end(workers.pop(rng.choice(sorted(workers))), number)

    steps: list[Callable[[], None]] = [lambda: leave(signal.SIGTERM), lambda: leave(signal.SIGKILL)]
    rng.shuffle(steps)
    for step in (join, steps[0], join, steps[1], join):
        for _ in range(rng.randint(15, 30)):
            bench.send()
        step()
        for _ in range(rng.randint(5, 15)):
            bench.send()
    seen = bench.wait_whole()
    print({"outcomes": len(seen.outcomes), "duplicates": seen.duplicates, "gaps": seen.gaps})


@pytest.mark.parametrize("bench", [PARTITIONS], indirect=True)
def test_partitions_move_when_a_worker_joins_or_leaves_while_nothing_is_sent(bench: Bench) -> None:
    workers = [bench.start()]
    for _ in range(PARTITIONS):
        bench.send()
    bench.wait_whole()
    took = {}
    workers.append(bench.start(number=1))
    wait_for(lambda: len(bench.members()) == 2, "two members")
    took["joined"] = wait_shared(bench, 2)
    end(workers.pop(), signal.SIGTERM)
    took["left"] = wait_shared(bench, 1)
    workers.append(bench.start(number=1))
    took["started and joined"] = wait_shared(bench, 2)
    end(workers.pop(), signal.SIGKILL)
    took["killed"] = wait_shared(bench, 1)
    print({what: round(seconds, 1) for what, seconds in took.items()})
    for _ in range(PARTITIONS):
        bench.send()
    assert len(bench.wait_whole().outcomes) == 2 * PARTITIONS
