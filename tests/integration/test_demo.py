"""The demo as a newcomer runs it, with somebody watching beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.integration import commands
from tests.integration.commands import Json, Ran, Running

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def seen(home: Path) -> tuple[Ran, Ran, list[int]]:
    """The demo's end, what `watch` saw meanwhile, and every process that belonged to the demo."""
    demo = Running(home, "demo", "--json")
    watch: Running | None = None
    try:
        # From the first evaluation on there is something to watch, and the demo still runs.
        demo.record("evaluation")
        pids = list(commands.processes_of(home))
        watch = Running(home, "watch", "--json", "--until-verdicts", "3")
        watched = watch.end(200)
        done = demo.end(200)
    finally:
        for each in (demo, watch):
            if each is not None and each.process.poll() is None:
                each.process.kill()
    return done, watched, pids


@pytest.fixture(scope="module")
def summary(seen: tuple[Ran, Ran, list[int]]) -> Json:
    return seen[0].records[-1]


def test_every_line_on_stdout_is_json_and_the_last_one_is_the_summary(
    seen: tuple[Ran, Ran, list[int]], summary: Json
) -> None:
    done = seen[0]
    assert done.code == 0, done.err
    assert all(isinstance(one, dict) for one in done.records)
    assert summary["kind"] == "summary"
    assert [one["kind"] for one in done.records].count("summary") == 1


def test_the_summary_says_of_every_candidate_what_became_of_it(summary: Json) -> None:
    assert len(summary["evaluations"]) == 3
    for one in summary["evaluations"]:
        assert {"pairing", "plant", "startup", "candidate", "counts", "metrics", "verdict"} <= set(one)
        assert one["simulated"] is True
        assert set(one["counts"]) == {
            "rows_in", "scored", "awaiting_label", "unlabelled", "abstained", "failed", "refused",
        }  # fmt: skip


def test_the_counts_add_up_for_candidates_and_baselines(summary: Json) -> None:
    every = [*summary["evaluations"], *summary["baselines"]]
    assert len(every) == 5
    for one in every:
        counts = dict(one["counts"])
        rows_in = counts.pop("rows_in")
        assert rows_in == sum(counts.values()) == 3 * 4200, one


def test_the_bad_candidate_is_rejected_and_a_good_one_accepted(summary: Json) -> None:
    verdicts = {one["candidate"]: one["verdict"] for one in summary["evaluations"]}
    assert verdicts["envelope-v1"] == "rejected"
    assert verdicts["t2q-v1"] == "accepted"


def test_watch_beside_it_reads_the_same_results_from_the_topics(
    seen: tuple[Ran, Ran, list[int]], summary: Json
) -> None:
    done, watched, _ = seen
    assert watched.code == 0, watched.err
    kinds = {one["kind"] for one in watched.records}
    assert kinds == {"evaluation", "verdict"}
    running = [one for one in watched.records if one["kind"] == "evaluation" and not one["final"]]
    assert running, "evaluations came while the trial ran"
    told = {json.dumps(one, sort_keys=True) for one in done.records}
    assert all(json.dumps(one, sort_keys=True) in told for one in watched.records if one["kind"] == "verdict")
    verdicts = {one["candidate"]: one["verdict"] for one in watched.records if one["kind"] == "verdict"}
    assert verdicts == {one["candidate"]: one["verdict"] for one in summary["evaluations"]}


def test_no_process_of_it_is_left(seen: tuple[Ran, Ran, list[int]], home: Path) -> None:
    pids = seen[2]
    # Broker, MLflow, control, scorer, five runners, their guards, and the candidates' children.
    assert len(pids) > 15
    commands.wait_until_none(home, *pids)
