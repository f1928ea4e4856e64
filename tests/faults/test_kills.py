"""Trials whose processes are killed at random moments end as if nothing had happened. Each seed prints what it did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.checker_topics import Json, Records
from tests.faults.kills import done, run_seed, summary
from tests.faults.kills_plan import plan_of
from tests.faults.kills_run import counts, whole
from tests.faults.kills_world import World

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

#: One whose broker is killed, and one of whose runners stands still past its session, and goes on.
OTHER_SEED = 11


def test_what_was_killed_leaves_nothing_lost_nothing_twice_and_the_scores_as_they_are(
    killed: tuple[Json, Records],
) -> None:
    told, _ = killed
    assert whole(told), told
    assert counts(told), told


def test_a_broker_that_is_killed_and_a_zombie_leave_the_scores_as_they_are_too(
    world: World, tmp_path: Path
) -> None:
    told = run_seed(world, OTHER_SEED, dumps=tmp_path)
    print(f"seed {OTHER_SEED}: {told}")
    assert whole(told), told
    assert counts(told), told
    assert (told["kills"]["broker"], told["kills"]["zombie"]) == (1, 1)


def test_a_seed_always_does_the_same() -> None:
    one, again, other = plan_of(7), plan_of(7), plan_of(8)
    assert (one.sends, one.kills, one.agreement) == (again.sends, again.kills, again.agreement)
    assert one.sends != other.sends
    assert plan_of(7, attempt=1).sends == one.sends
    first, more = plan_of(OTHER_SEED), plan_of(OTHER_SEED, attempt=3)
    assert set(first.kills) < set(more.kills)
    hit = [one.target for one in more.kills]
    assert (hit.count("broker"), hit.count("zombie")) == (1, 1)


RESULT: Json = {
    "seed": 1,
    "byte_equal": True,
    "lost": 0,
    "twice": 0,
    "duplicates_seen": 3,
    "gaps": 0,
    "kills": {"runner": 2},
    "rebalances": 1,
    "findings": [],
    "seconds": {"all": 9.0},
}


@pytest.mark.parametrize("missing", [{"kills": {}}, {"rebalances": 0}, {"duplicates_seen": 0}])
def test_a_seed_without_a_kill_a_rebalance_and_a_duplicate_does_not_count(missing: Json) -> None:
    assert summary([RESULT])["seeds"] == 1
    assert summary([RESULT | missing])["seeds"] == 0


def test_results_that_stand_in_the_file_are_known_again_and_a_line_cut_off_is_not(tmp_path: Path) -> None:
    out = tmp_path / "kills.jsonl"
    assert done(out) == {}
    out.write_text(json.dumps(RESULT) + "\n" + json.dumps(RESULT | {"seed": 2})[:-9])
    assert list(done(out)) == [1]
