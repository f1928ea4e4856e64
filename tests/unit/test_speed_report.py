"""The speed benchmark's arithmetic: what is compared with what, on figures whose answer is known."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.speed import latency, plan, report
from benchmarks.speed.clock import span
from benchmarks.speed.ratios import FURTHER, RATIOS, Ratio, medians, ratio_of
from benchmarks.speed.usage import kind_of

ABOUT = {"date": "2026-03-02T00:00:00+00:00", "quick": False, "interrupted": False}


def rounds(who: str, *speeds: float, case: str = "base", **more: Any) -> list[dict[str, Any]]:
    """One round for each speed."""
    return [
        {"case": case, "who": who, "round": number, "rows_s": speed, "seconds": 1.0, **more}
        for number, speed in enumerate(speeds, start=1)
    ]


def test_a_ratio_is_the_median_of_the_rounds_ratios_and_not_the_ratio_of_medians() -> None:
    measured = [*rounds("platform", 10, 300, 20), *rounds("loop", 10, 100, 40)]
    assert ratio_of(measured, RATIOS["platform_vs_loop_linear"]) == 1.0


def test_a_round_that_failed_on_one_side_is_left_out_and_without_any_there_is_no_ratio() -> None:
    failed = {"case": "base", "who": "loop", "round": 2, "error": "it ended"}
    measured = [*rounds("platform", 30, 1000), *rounds("loop", 10), failed]
    assert ratio_of(measured, RATIOS["platform_vs_loop_linear"]) == 3.0
    assert ratio_of(measured, RATIOS["platform_vs_per_row"]) is None
    assert ratio_of([*rounds("platform", 30), failed], RATIOS["platform_vs_loop_linear"]) is None


def test_against_quix_the_platform_ends_with_the_evaluation_that_counts_all_rows() -> None:
    measured = [*rounds("platform", 100, evaluated_rows_s=50.0), *rounds("quix-frames", 50)]
    assert ratio_of(measured, RATIOS["platform_vs_quix_frames"]) == 1.0
    assert ratio_of(measured, FURTHER["outcomes_vs_quix_frames"]) == 2.0


def test_seconds_are_compared_where_wall_time_is_promised() -> None:
    one, four = rounds("platform", 1, case="candidates-1"), rounds("platform", 1, case="candidates-4")
    four[0]["seconds"] = 2.1
    assert ratio_of([*one, *four], RATIOS["four_vs_one_forest"]) == 2.1


@pytest.mark.parametrize("quick", [False, True])
def test_both_sides_of_every_ratio_take_turns_in_one_group(quick: bool) -> None:
    groups = [
        {(turn.case.name, turn.who) for turn in group.turns} for group in plan.groups(quick=quick, rounds=5)
    ]

    def stands(wanted: Ratio) -> bool:
        sides = {(side.case, side.who) for side in (wanted.over, wanted.under)}
        return any(sides <= group for group in groups)

    assert all(stands(one) for one in RATIOS.values())
    assert quick or all(stands(one) for one in FURTHER.values())


def test_frames_of_every_case_fit_a_message_and_groups_of_one_shape_stand_together() -> None:
    groups = plan.groups(quick=False, rounds=5)
    cases = [turn.case for group in groups for turn in group.turns]
    assert all(8 * case.rows * (case.tags + 1) < 2**20 for case in cases)
    shapes = [group.shape for group in groups]
    changes = sum(one != other for one, other in pairwise(shapes))
    assert changes + 1 == len(set(shapes))
    assert all(len({turn.case.tags for turn in group.turns}) == 1 for group in groups)


def test_messages_of_the_first_append_do_not_count_as_made_after_it() -> None:
    found = span([1000, 1000, 1000, 1500, 2000, 2000])
    assert (found.messages, found.after_first, found.per_s, found.seconds) == (6, 3, 3.0, 2.0)
    assert span([1000, 1000]).per_s == 0.0


def test_a_label_is_evaluated_by_the_first_evaluation_that_has_come_to_both_of_its_entries() -> None:
    told = [
        SimpleNamespace(at_ms=at_ms, evaluation=SimpleNamespace(ledger_offset=offset))
        for at_ms, offset in ((100, 10), (200, 20))
    ]
    joined = [(90, 10), (95, 11), (150, 21)]
    assert latency.until_evaluated(joined, told) == [10, 105]  # type: ignore[arg-type]


def test_medians_tell_every_contender_once_with_its_errors() -> None:
    measured = [*rounds("loop", 1, 3, 2), {"case": "base", "who": "loop", "round": 4, "error": "it ended"}]
    (line,) = medians(measured)
    assert (line["rows_s"], line["rounds"], line["error"]) == (2, 3, "it ended")


def test_a_promise_that_was_not_measured_is_neither_met_nor_broken_and_figures_are_json() -> None:
    measured = [*rounds("platform", 90, evaluated_rows_s=90.0), *rounds("loop", 100)]
    fast = [
        {
            "rate": 200,
            "rows": 50,
            "promised": True,
            "telemetry_to_outcome_ms": {"p50": 30, "p99": 90, "max": 91},
        }
    ]
    found = report.results_of(measured, latency=fast, framer=None, about=ABOUT)
    assert found["ratios"]["platform_vs_loop_linear"] == 0.9
    assert found["ratios"]["platform_vs_http_rows"] is None
    assert found["framer_rows_s"] is None
    assert found["latency_ms"] == {"p50": 30, "p99": 90}
    assert found["met"]["1: platform / hand-written loop, linear"] is True
    assert found["met"]["5: latency at 200 frames/s, p50 ms"] is False
    assert found["met"]["5: latency at 200 frames/s, p99 ms"] is True
    assert found["met"]["4: framer, JSON rows a second"] is None
    assert json.loads(json.dumps(found)) == found
    assert report.promises(found).row_count == len(report.PROMISES)
    assert report.speeds(found).row_count == 2
    assert report.delays(found).row_count == 1


def test_speed_with_waiting_rows_is_compared_round_by_round() -> None:
    with_rows = rounds("platform", 95, 90, case="waiting", evaluated_rows_s=80.0, rss_mb={"scorer": 300.0})
    without = rounds(
        "platform", 100, 100, case="not-waiting", evaluated_rows_s=100.0, rss_mb={"scorer": 90.0}
    )
    found = report.results_of([*without, *with_rows], latency=[], framer=None, about=ABOUT)
    assert found["waiting"] == {"speed": 0.925, "speed_evaluated": 0.8, "scorer_mb": 300.0}


def test_the_picture_is_the_same_for_the_same_figures(tmp_path: Path) -> None:
    measured = [*rounds("platform", 90, evaluated_rows_s=80.0), *rounds("predict", 100, case="forest")]
    found = report.results_of(measured, latency=[], framer=None, about=ABOUT)
    for name in ("one.svg", "two.svg"):
        report.draw(found, tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (["python", "-m", "infra.worker", "/home/workers/runner.p1.lin-v1.json"], "runner"),
        (["python", "-m", "infra.worker", "/home/workers/scorer.plant.json"], "scorer"),
        (["python", "-I", "guard.py", "python", "-m", "infra.worker", "/w/scorer.plant.json"], "other"),
        (["java", "-cp", "x", "kafka.Kafka", "server.properties"], "broker"),
        (["python", "/candidate/confine.py", "{}"], "child"),
        (["python", "-m", "infra.cli.main", "up"], "other"),
    ],
)
def test_processes_are_known_by_their_command_lines(line: list[str], kind: str) -> None:
    assert kind_of(line) == kind
