"""Workers and children that end in the middle of a frame."""

from __future__ import annotations

import os
import signal

import pytest

from infra.faust_worker import BROKEN_WORLD
from streams import topics
from tests.faults.matrix.ground import Bench, Ground, end, open_with
from tests.integration.commands import wait_for
from tests.integration.plants import Site

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def site(ground: Ground) -> Site:
    """One plant for all of these."""
    return ground.shared.site("stops")


def send(site: Site, pairing: str, n_rows: int, slow_s: float = 0) -> None:
    """Six frames, of which the third keeps the candidate busy."""
    for number in range(6):
        # The slow candidate takes as many seconds for a frame as its largest x says.
        x = [0.0] * n_rows
        if number == 2:
            x[0] = slow_s
        site.frame(f"{pairing}-{number}", 10 * number, x)


def begin_of(ground: Ground, site: Site, pairing: str) -> int:
    """The telemetry offset at which a pairing's trial began."""
    client = ground.shared.client
    client.refresh()
    return client.state.pairings[pairing].telemetry_from[0]


def wait_in_hand(ground: Ground, site: Site, pairing: str, candidate: str) -> None:
    """Wait until the candidate is busy with its third frame: the one before has its outcome."""
    ground.wait_outcome(site, f"{pairing}/{candidate}", f"{pairing}-1")


def test_a_frame_in_hand_at_sigterm_is_finished_or_handled_again(ground: Ground, site: Site) -> None:
    name = open_with(site, "term-1", ground.models / "slow", "term")
    runner = ground.runner("term-1", name)
    send(site, "term-1", 5, slow_s=4)
    wait_in_hand(ground, site, "term-1", name)
    os.kill(runner, signal.SIGTERM)
    ground.replaced(f"runner.term-1/{name}", runner)
    ground.prove(site, "term-1", name)
    assert ground.frames(site, "term-1", f"term-1/{name}") == [f"term-1-{n}" for n in range(6)]


def test_a_slow_frame_is_not_committed_past_when_its_worker_is_killed(ground: Ground, site: Site) -> None:
    name = open_with(site, "slow-1", ground.models / "slow", "slow")
    deployment = f"slow-1/{name}"
    runner = ground.runner("slow-1", name)
    begin = begin_of(ground, site, "slow-1")
    send(site, "slow-1", 5, slow_s=4)
    wait_in_hand(ground, site, "slow-1", name)
    wait_for(lambda: ground.committed(site, deployment) == begin + 2, "the commit up to the slow frame")
    os.kill(runner, signal.SIGKILL)
    assert ground.committed(site, deployment) == begin + 2
    ground.replaced(f"runner.{deployment}", runner)
    ground.prove(site, "slow-1", name)
    assert ground.frames(site, "slow-1", deployment) == [f"slow-1-{n}" for n in range(6)]


@pytest.mark.parametrize("times", [1, 2])
def test_a_frame_whose_child_is_killed_is_tried_once_more_and_then_failed_with_that_cause(
    ground: Ground, site: Site, times: int
) -> None:
    pairing = f"child-{times}"
    name = open_with(site, pairing, ground.models / "slow", pairing)
    runner = ground.runner(pairing, name)
    send(site, pairing, 5, slow_s=3 if times == 1 else 60)
    wait_in_hand(ground, site, pairing, name)
    for number in range(times):
        # Once one has ended, another is kept warm beside the one that has the frame: both are killed.
        for child in ground.children(runner, least=number + 1):
            os.kill(child, signal.SIGKILL)
    ground.wait_outcome(site, f"{pairing}/{name}", f"{pairing}-5")
    outcomes = {
        one.told["frame"]: one.told
        for one in ground.seen(site, pairing, f"{pairing}/{name}").outcomes.values()
    }
    third = outcomes[f"{pairing}-2"]
    if times == 1:
        assert third["result"] == "answered"
    else:
        assert (third["result"], third["failure"]) == ("failed", "died")
        assert "killed by SIGKILL" in third["detail"]
    others = {told["result"] for frame, told in outcomes.items() if frame != f"{pairing}-2"}
    assert others == {"answered"}
    assert ground.runner(pairing, name) == runner
    ground.prove(site, pairing, name)


@pytest.mark.parametrize("step", ["take", "_answer"])
def test_a_frame_whose_handling_raises_is_there_after_the_restart(bench: Bench, step: str) -> None:
    sent = [bench.send() for _ in range(6)]
    worker = bench.start(module="tests.faults.matrix.raising", RAISE_AT=sent[3], RAISE_IN=step)
    assert worker.wait(60) == BROKEN_WORLD
    assert bench.committed().get(0, 0) <= 3
    bench.start()
    seen = bench.wait_whole()
    assert [entry.told["frame"] for entry in seen.outcomes.values()] == sent


def test_a_worker_that_is_told_to_stop_ends_well_and_has_committed_what_it_did(bench: Bench) -> None:
    worker = bench.start()
    sent = [bench.send() for _ in range(6)]
    seen = bench.wait_whole()
    assert end(worker, signal.SIGTERM) == 0
    assert bench.committed() == {0: len(sent)}
    assert seen.duplicates == 0
    assert topics.telemetry(bench.name)
