"""The rehearsal's checks: units that depend on one another, and rules that knowing nothing is enough for."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from agents.decisions import evidence
from infra.words.said import said
from models.decision import UNIT
from models.dependence import dependence, unit_check
from models.losses import FULL, Losses, Share
from models.metric_check import Check, Early, Sample, best_constant
from models.planning import units_needed_at
from models.reading import Rule
from models.rehearsal import rehearsed
from schemas.agreement import Task
from schemas.ledger import Tick
from schemas.terms import DecisionUnit
from streams.ledger_codec import Entry
from tests.unit.ledger_examples import PAIRING, label_frame
from tests.unit.trial_examples import (
    BASELINES,
    CANDIDATE,
    DAY_MS,
    MINUTE_US,
    agreement,
    ended,
    fold,
    frame,
    started,
)

ERRORS = Losses(share=Share(), table=FULL * (1 - np.eye(2, dtype=np.int64)))
NUMBERS = Losses(share=Share(), distance=10.0)


def sample(
    truth: np.ndarray, block: int, *rivals: np.ndarray | float, assets: np.ndarray | None = None
) -> Sample:
    return Sample(
        truth=truth,
        units=np.arange(truth.size) // block,
        assets=np.zeros(truth.size, dtype=np.int64) if assets is None else assets,
        rivals=np.array([np.broadcast_to(one, truth.shape) for one in rivals]),
    )


def check(found: Sample, *, planned: int = 200, losses: Losses = ERRORS, **more: Any) -> Check:
    rule = Rule(planned=planned, alpha=Decimal("0.05"), margin=Decimal(0))
    return Check(rule=rule, alpha=0.05, losses=losses, sample=found, **more)


def rare_events(count: int = 40, gap: int = 97, long: int = 12) -> np.ndarray:
    """Events of about a tenth of the time, at times that nothing foretells."""
    random = np.random.default_rng(9)
    parts = []
    for _ in range(count):
        parts += [np.zeros(gap + int(random.integers(-60, 61))), np.ones(long)]
    return np.concatenate(parts)


# --- units ------------------------------------------------------------------------------------------------------------


def test_independent_units_pass_and_units_that_are_alike_for_a_while_do_not() -> None:
    random = np.random.default_rng(1)
    alone = random.integers(-1, 2, 4000)
    found = unit_check([alone])
    assert found.passed
    assert found.dependence is not None
    assert found.dependence < 1.5
    together = unit_check([alone, np.repeat(random.integers(-1, 2, 100), 40)])
    assert together.passed is False
    assert together.dependence is not None
    assert 25 < together.dependence < 50
    assert together.units == 4000


def test_a_stretch_of_equal_units_counts_as_its_length() -> None:
    found = dependence(np.repeat(np.random.default_rng(3).integers(0, 2, 20_000), 10))
    assert found is not None
    assert 9 < found[0] < 12


@pytest.mark.parametrize("gains", [np.zeros(500), np.arange(39) % 2, np.empty(0)])
def test_too_few_units_or_equal_ones_tell_nothing(gains: np.ndarray) -> None:
    assert dependence(gains) is None
    assert unit_check([gains]).passed is None


# --- the rule ---------------------------------------------------------------------------------------------------------


def test_a_rule_against_the_best_constant_turns_away_what_knows_nothing_and_accepts_the_oracle() -> None:
    found = check(sample(rare_events(), 30, 0.0)).run(1, trials=400)
    assert found.passed
    assert found.events == 40
    assert [one.name for one in found.detectors] == [
        "always class 0",
        "always class 1",
        *(f"random {share}" for share in ("0.0982", "0.01", "0.05", "0.1", "0.25", "0.5", "0.9")),
        "random episodes",
        "oracle",
    ]
    assert all(one.accepted == 0 for one in found.detectors[:-1])
    assert found.detectors[-1].accepted == 1


def test_a_rule_with_no_alarm_as_its_only_baseline_is_refused_where_alarms_are_mostly_right() -> None:
    mostly = 1 - rare_events()
    found = check(sample(mostly, 1, 0.0), planned=1000).run(1, trials=200)
    assert not found.passed
    told = {one.name: one for one in found.detectors}
    assert told["always class 1"].accepted > 0.95
    assert told["random 0.5"].accepted == 1
    assert told["random 0.5"].headroom < -0.9
    # With the best constant beside it the same rule is fit to be used on longer units.
    assert check(sample(mostly, 60, 0.0, 1.0)).run(1, trials=200).passed


def test_a_rule_that_accepts_nobody_is_refused_too() -> None:
    found = check(sample(rare_events(), 30, 0.0), planned=14).run(1, trials=200)
    assert not found.passed
    assert [one.name for one in found.detectors if one.headroom < 0] == ["oracle"]


def test_an_early_reading_is_tried_as_it_is_read() -> None:
    rows = sample(rare_events(), 30, 0.0)
    early = check(rows, early=Early(least_units=20)).run(1, trials=200)
    assert early.passed
    assert early.detectors[-1].accepted == 1
    # Read early, equal answers are not accepted: their outcome never falls.
    assert early.detectors[0].accepted == 0


def test_fewer_than_ten_events_cannot_be_checked() -> None:
    found = check(sample(rare_events(count=9), 30, 0.0)).run(1)
    assert (found.passed, found.events, found.detectors) == (False, 9, ())
    none = check(sample(np.empty(0), 1, np.empty(0))).run(1)
    assert not none.passed


def test_events_end_with_their_asset_and_none_is_torn_apart() -> None:
    truth = np.array([0, 1, 1, 1, 0, 1.0])
    found = sample(truth, 2, 0.0, assets=np.array([0, 0, 0, 1, 1, 1]))
    assert found.events() == [(1, 3), (3, 4), (5, 6)]
    longest = check(sample(rare_events(long=75), 30, 0.0), planned=60).run(1, trials=20)
    assert longest.together == 4


def test_units_are_drawn_in_blocks_that_follow_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[np.ndarray] = []

    def spy(self: Check, events: object) -> Any:
        def lose(units: np.ndarray, first: int, random: np.random.Generator) -> np.ndarray:
            drawn.append(units)
            return np.zeros(units.shape, dtype=np.int64)

        return iter([("spy", lose)])

    monkeypatch.setattr(Check, "_detectors", spy)
    found = check(sample(rare_events(long=75), 30, 0.0), planned=61).run(1, trials=20)
    units = np.concatenate(drawn)
    assert units.shape == (20, 61)
    size = int(units.max()) + 1
    steps = np.diff(units, axis=1) % size
    inside = np.arange(60) % found.together != found.together - 1
    assert np.all(steps[:, inside] == 1)
    assert np.any(steps[:, ~inside] != 1)


def test_numbers_are_tried_with_constants_and_with_permuted_labels() -> None:
    random = np.random.default_rng(2)
    truth = np.cumsum(random.normal(size=3000)) % 10
    found = check(sample(truth, 20, float(np.median(truth))), losses=NUMBERS, planned=150).run(1, trials=200)
    told = {one.name: one for one in found.detectors}
    assert {"permuted labels", "oracle"} < set(told)
    assert told["oracle"].accepted == 1
    assert told["permuted labels"].accepted == 0
    assert sum(name.startswith("always") for name in told) == 9


def test_more_classes_than_two_are_answered_by_chance_as_often_as_they_occur() -> None:
    losses = Losses(share=Share(), table=FULL * (1 - np.eye(3, dtype=np.int64)))
    truth = rare_events() * np.random.default_rng(4).integers(1, 3, rare_events().size)
    found = check(sample(truth, 30, 0.0), losses=losses).run(1, trials=100)
    assert [one.name for one in found.detectors if one.accepted > 0] == ["oracle"]


def test_the_same_seed_draws_the_same_trials() -> None:
    one = check(sample(rare_events(), 30, 0.0), planned=60)
    assert one.run(5, trials=50) == one.run(5, trials=50)


def test_the_best_constant_is_the_one_that_loses_least() -> None:
    rows = sample(rare_events(), 30)
    assert best_constant(ERRORS, rows, []) == 0.0
    assert best_constant(ERRORS, sample(1 - rare_events(), 30), []) == 1.0
    truth = np.array([1.0, 2, 2, 3, 50])
    assert best_constant(Losses(share=Share(), distance=10), sample(truth, 1), []) == 2.0
    assert best_constant(Losses(share=Share(), distance=10), sample(np.array([0, 4.0]), 1), [2.0]) in (
        0.0,
        2.0,
        4.0,
    )
    assert best_constant(ERRORS, sample(np.empty(0), 1), []) is None


# --- a rehearsal ------------------------------------------------------------------------------------------------------


def rehearsal(truth: np.ndarray, answers: np.ndarray, **agreed: Any) -> Any:
    """The report on a rehearsal of these rows, twelve a minute."""
    agreement_ = agreement(**{"planned": 200, "slots": 1, "unit": DecisionUnit(minutes=1), **agreed})
    numeric = agreement_.task is Task.REGRESSION
    times = (np.arange(truth.size) * (MINUTE_US // 12)).tolist()
    baseline = np.full(truth.size, 2.0 if numeric else 0.0)
    rows = [
        started(agreement_, constant=None),
        started(agreement_, subject="first", constant=None),
    ]
    entries: list[Entry] = [
        one.model_copy(update={"deployment": f"{one.deployment}.rehearsal-1", "phase": "rehearsal"})
        for one in rows
    ]
    for name, one in ((BASELINES, baseline), (CANDIDATE, answers)):
        deployment = f"{name}.rehearsal-1"
        entries += [frame(0, times, [one.tolist()], deployment=deployment), ended(1, deployment=deployment)]
    entries += [
        label_frame(0, times, truth.tolist()),
        Tick(pairing=PAIRING, at_ms=2 * DAY_MS),
    ]
    book = fold(entries)
    runs = [book.runs[f"{name}.rehearsal-1"] for name in (BASELINES, CANDIDATE)]
    standings = [one for run in runs for one in run.standings()]
    return rehearsed(standings, agreement_, evidence(book, runs[0].started))


def test_a_rehearsal_tells_the_best_constant_and_that_units_and_rule_pass() -> None:
    truth = rare_events()
    random = np.random.default_rng(5)
    wrong = random.random(truth.size) < 0.03
    found = rehearsal(truth, np.where(wrong, 1 - truth, truth))
    assert found.passed, found.remarks
    assert found.constant == 0.0
    assert found.units.passed
    assert found.check.passed
    assert found.check.trials == 2000
    assert set(found.needed) == {"first"}


def test_a_rehearsal_tells_how_many_units_a_verdict_needs_at_its_rates() -> None:
    truth = np.tile([0.0] * 7 + [1.0] * 5, 60)
    answers = truth.copy()
    answers[::60] = 1 - answers[::60]
    found = rehearsal(truth, answers)
    gains = np.full(60, 5 * UNIT // 12)
    # In every fifth minute one row is wrong, which the baseline had right.
    gains[::5] = 5 * UNIT // 12 - UNIT // 12
    rule = Rule(planned=200, alpha=Decimal("0.05"), margin=Decimal(0))
    assert found.needed == {"first": units_needed_at(rule, [gains])}
    assert 15 < found.needed["first"] < 40
    assert rehearsal(truth, np.zeros(truth.size)).needed == {"first": None}


def test_a_rehearsal_refuses_rows_as_units_where_rows_are_alike_for_a_while() -> None:
    truth = rare_events()
    found = rehearsal(truth, np.roll(truth, 5), unit=DecisionUnit(kind="row"))
    assert not found.passed
    assert found.units.passed is False
    assert any("units depend on one another" in one for one in found.remarks)
    assert all(said(one).ko != one for one in found.remarks)


def test_a_rehearsal_with_few_events_or_rows_says_that_nothing_can_be_checked() -> None:
    truth = rare_events(count=3)
    found = rehearsal(truth, truth)
    assert any("cannot be checked with 3 labelled events" in one for one in found.remarks)
    assert all(said(one).ko != one for one in found.remarks)
    few = rehearsal(truth[:20], truth[:20], unit=DecisionUnit(kind="row"))
    assert any("too few to tell" in one for one in few.remarks)
    assert all(said(one).ko != one for one in few.remarks)


def test_a_rehearsal_without_a_decision_says_what_it_always_said() -> None:
    found = rehearsed([], agreement().model_copy(update={"decision": None}))
    assert found.remarks == ("no row has a label",)
    assert (found.constant, found.units, found.check) == (None, None, None)
