"""What a trial's units come to: standings, early outcomes, verdicts, rankings."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.decisions import bar_of, beside
from models.decision import UNIT, Bounds, Gains, bounds
from models.path import Looks, Path
from models.ranking import ranked
from models.reading import Pair, Rule, acceptance_excluded, first_reading, outcome
from models.verdicts import Beside, judge
from schemas.agreement import Acceptance, Task
from schemas.evaluation import Comparison, Counts, Outcome, Ratio, Standing, Verdict
from schemas.ledger import Tick
from schemas.terms import Decision, DecisionUnit
from streams.ledger import Book
from streams.ledger_codec import Entry
from tests.unit.ledger_examples import PAIRING, label
from tests.unit.test_judgement import evaluation
from tests.unit.trial_examples import (
    BASELINES,
    CANDIDATE,
    DAY_MS,
    MINUTE_US,
    agreement,
    ended,
    fold,
    frame,
    standing,
    started,
)

ALPHA = Decimal("0.05")
ROW = DecisionUnit(kind="row")


def rule(margin: str = "0", planned: int = 100) -> Rule:
    return Rule(planned=planned, alpha=ALPHA, margin=Decimal(margin))


def trial(
    truth: list[int],
    baselines: list[list[float]],
    candidates: dict[str, list[float]],
    *,
    slots: dict[str, int] | None = None,
    constant: float | None = 0.0,
    **agreed: Any,
) -> Book:
    """A whole trial of rows as units, every row labelled."""
    agreement_ = agreement(
        **{"unit": ROW, "answers": ["normal"] * len(baselines), "planned": len(truth), **agreed}
    )
    times = [i * MINUTE_US for i in range(len(truth))]
    entries: list[Entry] = [started(agreement_, constant=constant)]
    for name in candidates:
        one = started(agreement_, subject=name, constant=constant)
        entries.append(one.model_copy(update={"slot": (slots or {}).get(name)}))
    entries += [frame(0, times, baselines, deployment=BASELINES), ended(1, deployment=BASELINES)]
    for name, answers in candidates.items():
        entries += [
            frame(0, times, [answers], deployment=f"{PAIRING}/{name}"),
            ended(1, deployment=f"{PAIRING}/{name}"),
        ]
    labels = [label(i, t, t + 1, float(code)) for i, (t, code) in enumerate(zip(times, truth, strict=True))]
    return fold([*entries, *labels])


# --- one moment -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("margin", "found", "expected"),
    [
        ("0", [(1, 9), (1, 9)], Outcome.ACCEPTED),
        ("0", [(0, 9)], Outcome.INCONCLUSIVE),
        ("0", [(1, 9), (-9, -1)], Outcome.REJECTED),
        ("0", [(-9, 0)], Outcome.INCONCLUSIVE),
        ("0.00001", [(11, 20)], Outcome.ACCEPTED),
        ("0.00001", [(10, 20)], Outcome.INCONCLUSIVE),
        ("0.00001", [(-10, 10)], Outcome.EQUIVALENT),
        ("0.00001", [(-11, 10)], Outcome.INCONCLUSIVE),
        ("0.00001", [(-10, 11)], Outcome.INCONCLUSIVE),
        ("0.00001", [(-10, 10), (11, 20)], Outcome.EQUIVALENT),
        ("0.00001", [(-30, -11)], Outcome.REJECTED),
        ("0.00001", [(-30, -10)], Outcome.INCONCLUSIVE),
        ("0", [], Outcome.INCONCLUSIVE),
    ],
)
def test_bounds_against_every_rival_give_one_outcome(
    margin: str, found: list[tuple[int, int]], expected: Outcome
) -> None:
    both = [Bounds(lower=low, upper=high) for low, high in found]
    assert outcome(rule(margin), both) is expected


def test_acceptance_is_excluded_where_some_rival_cannot_be_beaten_by_the_margin() -> None:
    assert acceptance_excluded(rule("0.00001"), [Bounds(lower=0, upper=9), Bounds(lower=0, upper=50)])
    assert not acceptance_excluded(rule("0.00001"), [Bounds(lower=0, upper=10)])
    assert acceptance_excluded(rule(), [Bounds(lower=-5, upper=-1)])
    assert not acceptance_excluded(rule(), [Bounds(lower=-5, upper=0)])


def test_a_margin_between_two_millionths_is_held_exactly() -> None:
    between = rule("0.0000015")
    assert outcome(between, [Bounds(lower=2, upper=9)]) is Outcome.ACCEPTED
    assert outcome(between, [Bounds(lower=1, upper=9)]) is Outcome.INCONCLUSIVE
    assert outcome(between, [Bounds(lower=-1, upper=1)]) is Outcome.EQUIVALENT
    assert outcome(between, [Bounds(lower=-9, upper=-2)]) is Outcome.REJECTED
    assert acceptance_excluded(between, [Bounds(lower=0, upper=1)])


# --- the first of many ------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-1, 1), st.integers(-1, 1), st.integers(0, 1)), min_size=1, max_size=60),
    st.sampled_from(["0", "0.3", "0.9"]),
    st.integers(0, 30),
)
def test_an_early_outcome_falls_at_the_first_unit_at_which_it_would_be_read(
    drawn: list[tuple[int, int, int]], margin: str, start: int
) -> None:
    gains = np.array([[a * UNIT, max(-1, b) * UNIT, c * UNIT] for a, b, c in drawn]).T
    pairs = []
    for row in (gains[0] // 2 + UNIT // 2, gains[1] // 4 + 3 * UNIT // 4):
        low, high = Path(), Path()
        low.extend(row)
        high.extend(np.minimum(row + gains[2] // 8, UNIT))
        pairs.append(Pair(low=low, high=high))
    found = first_reading(rule(margin), Looks(100, ALPHA / 2), pairs, start=start, stop=len(drawn))
    expected = None
    for k in range(start + 1, len(drawn) + 1):
        told = []
        for one in pairs:
            below = bounds(one.low.at(k), planned=100, alpha=ALPHA)
            above = bounds(one.high.at(k), planned=100, alpha=ALPHA)
            told.append(Bounds(lower=below.lower, upper=above.upper))
        if outcome(rule(margin), told) is not Outcome.INCONCLUSIVE:
            expected = k
            break
    assert found == expected


def test_an_early_verdict_is_read_where_it_fell_and_not_where_the_trial_ended() -> None:
    truth = [1] * 40 + [0] * 60
    # Right in the first forty units, wrong in all that follow: at the planned end it would not be accepted.
    answers = [1.0] * 100
    late = standing(trial(truth, [[0.0] * 100], {"first": answers}))
    assert (late.units, late.outcome, late.fell_at) == (100, Outcome.INCONCLUSIVE, None)
    early = standing(trial(truth, [[0.0] * 100], {"first": answers}, early=True, least_units=5))
    assert (early.outcome, early.fell_at) == (Outcome.ACCEPTED, early.units)
    assert bounds(Gains.of([UNIT] * early.units), planned=100, alpha=ALPHA).lower > 0
    assert bounds(Gains.of([UNIT] * (early.units - 1)), planned=100, alpha=ALPHA).lower <= 0
    held = standing(trial(truth, [[0.0] * 100], {"first": answers}, early=True, least_units=35))
    assert held.fell_at == 35


def test_an_early_verdict_waits_for_its_least_number_of_events() -> None:
    truth = ([1] * 9 + [0]) * 10
    answers = [float(one) for one in truth]
    found = standing(
        trial(truth, [[0.0] * 100], {"first": answers}, early=True, least_units=1, least_events=4)
    )
    assert (found.fell_at, found.events) == (31, 4)


def test_a_correction_before_the_unit_at_which_it_fell_moves_an_early_outcome() -> None:
    truth = [1] * 60
    book = trial(truth, [[0.0] * 60], {"first": [1.0] * 60}, early=True, least_units=1)
    before = standing(book)
    fold([label(99, 3 * MINUTE_US, 3 * MINUTE_US + 1, 0, ident="l3", ms=5)], book)
    after = standing(book)
    assert before.fell_at is not None
    assert after.fell_at is not None
    assert after.fell_at > before.fell_at
    again = trial([1] * 3 + [0] + [1] * 56, [[0.0] * 60], {"first": [1.0] * 60}, early=True, least_units=1)
    assert after == standing(again)


# --- whom it has to beat ----------------------------------------------------------------------------------------------


def names(book: Book) -> list[str]:
    return [one.rival for one in standing(book).comparisons]


def test_every_baseline_has_to_be_beaten_and_the_best_constant_where_none_of_them_is_that() -> None:
    truth, answers = [0, 1] * 30, [0.0, 1.0] * 30
    both = [[0.0] * 60, [1.0] * 60]
    assert names(trial(truth, both, {"first": answers}, answers=["normal", "anomaly"])) == [
        "baseline-0",
        "baseline-1",
    ]
    assert names(trial(truth, both[:1], {"first": answers}, constant=1.0)) == ["baseline-0", "always anomaly"]
    # Without a rehearsal every class is a constant that might be the best.
    assert names(trial(truth, both[:1], {"first": answers}, constant=None)) == [
        "baseline-0",
        "always anomaly",
    ]
    named = trial(
        truth, both, {"first": answers}, answers=["normal", "anomaly"], incumbent="baseline-1", constant=1.0
    )
    assert names(named) == ["baseline-1"]


def test_a_candidate_that_beats_one_baseline_and_not_the_other_is_not_accepted() -> None:
    truth = [1] * 50 + [0] * 50
    found = standing(trial(truth, [[0.0] * 100, [1.0] * 50 + [0.0] * 50], {"first": [1.0] * 90 + [0.0] * 10}))
    assert [one.rival for one in found.comparisons] == ["baseline-0", "baseline-1"]
    assert found.outcome is Outcome.REJECTED


# --- the close --------------------------------------------------------------------------------------------------------


def test_slots_retirement_and_unchecked_units_bar_a_verdict() -> None:
    agreed = agreement(slots=2)
    one = started(agreed, subject="first")
    assert bar_of(one, frozenset()) is None
    assert bar_of(one, frozenset({"first"})) == "retired"
    assert bar_of(one.model_copy(update={"slot": 2}), frozenset()) is None
    assert bar_of(one.model_copy(update={"slot": 3}), frozenset()) == "no_slot"
    rows = started(agreement(unit=ROW), subject="first")
    assert bar_of(rows, frozenset()) is None
    assert bar_of(rows.model_copy(update={"units_checked": None}), frozenset()) == "unchecked"


def test_candidates_are_ranked_on_their_direct_differences() -> None:
    truth = [1] * 200
    best, middle = [1.0] * 200, [1.0] * 120 + [0.0] * 80
    same = [1.0, 0.0] * 60 + [1.0, 0.0] * 40
    book = trial(truth, [[0.0] * 200], {"first": best, "second": middle, "third": same}, slots=None)
    told = beside(book, book.runs[CANDIDATE].started, frozenset())
    assert told is not None
    assert told.ranking is not None
    assert told.ranking.winner == "first"
    assert [(one.better, one.worse) for one in told.ranking.preferences] == [
        ("first", "second"),
        ("first", "third"),
    ]
    alone = beside(book, book.runs[CANDIDATE].started, frozenset({"second", "third"}))
    assert alone is not None
    assert alone.ranking is None


def test_a_pair_has_its_share_of_alpha_and_there_is_no_winner_among_equals() -> None:
    decision = Decision(planned_units=100, slots=4, alpha=0.06)
    pair = Rule.of_a_pair(decision)
    assert pair.alpha == Decimal("0.01")
    open_, won = Bounds(lower=-5, upper=5), Bounds(lower=1, upper=9)
    found = ranked(pair, ["a", "b", "c"], {("a", "b"): won, ("a", "c"): open_, ("b", "c"): open_})
    assert found is not None
    assert found.winner is None
    lost = Bounds(lower=-9, upper=-1)
    found = ranked(pair, ["a", "b"], {("a", "b"): lost})
    assert found is not None
    assert (found.winner, found.preferences[0].lower, found.preferences[0].upper) == ("b", 1e-6, 9e-6)


def test_a_threshold_is_shown_by_the_linear_bound_beside_the_decision() -> None:
    truth = [1, 0] * 150
    book = trial(truth, [[0.0] * 300], {"first": [1.0, 0.0] * 150})
    told = beside(book, book.runs[CANDIDATE].started, frozenset())
    assert told is not None
    assert told.ratio is not None
    # The examples' threshold is an accuracy of at least 0: nothing can miss it, so nothing is to be shown.
    assert told.ratio.guarantee == "none"


def test_late_labels_are_told_with_the_verdict_they_would_give() -> None:
    truth = [1] * 60
    book = trial(truth, [[0.0] * 60], {"first": [1.0] * 60})
    late: list[Entry] = [
        label(100 + i, i * MINUTE_US, i * MINUTE_US + 1, 0, ident=f"l{i}", ms=2 * DAY_MS) for i in range(60)
    ]
    corrected: list[Entry] = [label(90, 0, 1, 0, ident="l0", ms=5)]
    fold([*corrected, *late, Tick(pairing=PAIRING, at_ms=3 * DAY_MS)], book)
    told = beside(book, book.runs[CANDIDATE].started, frozenset())
    assert told is not None
    assert told.corrections is not None
    assert standing(book).outcome is Outcome.ACCEPTED
    assert told.corrections.with_late is Outcome.REJECTED
    assert (told.corrections.toward, told.corrections.away) == (0, 1)


# --- verdicts ---------------------------------------------------------------------------------------------------------

THRESHOLD = Acceptance(metric="f1", at_least=0.7, min_rows=10)
ALL = Counts(rows_in=100, scored=100)


def verdict(found: Outcome, f1: float = 0.8, counts: Counts = ALL, **more: Any) -> Verdict:
    told = Standing(
        units=100,
        planned=100,
        alpha=0.05,
        margin=0.0,
        comparisons=(Comparison(rival="plant-rule", lower=0.01, upper=0.2),),
        outcome=found,
    )
    one = evaluation(counts, f1=f1).model_copy(update={"decision": told})
    return judge(
        THRESHOLD,
        one,
        digest="1" * 64,
        recomputed_equal=True,
        decision=Decision(planned_units=100),
        beside=Beside(ratio=Ratio(shown=False)),
        **more,
    )


@pytest.mark.parametrize("found", list(Outcome))
def test_where_units_decide_the_verdict_is_theirs_and_holds_at_any_time(found: Outcome) -> None:
    told = verdict(found)
    assert (told.verdict, told.guarantee) == (found, "anytime_valid")
    assert told.decision is not None
    assert "every rival in up to 100 units" in told.rule
    assert "f1 at least 0.7" in told.rule


def test_the_agreed_threshold_stays_a_condition_beside_the_units() -> None:
    assert verdict(Outcome.ACCEPTED).ratio == Ratio(met=True, shown=False)
    told = verdict(Outcome.ACCEPTED, f1=0.6)
    assert told.ratio == Ratio(met=False, shown=False)
    assert (told.verdict, told.guarantee) == (Outcome.REJECTED, "none")
    assert "less a unit than plant-rule" in told.reason
    assert "misses the threshold" in told.reason
    silent = verdict(Outcome.ACCEPTED, counts=Counts(rows_in=100, scored=50, abstained=50))
    assert (silent.verdict, silent.guarantee) == (Outcome.REJECTED, "none")
    few = verdict(Outcome.ACCEPTED, counts=Counts(rows_in=5, scored=5))
    assert (few.verdict, few.guarantee) == (Outcome.INCONCLUSIVE, "none")


def test_a_barred_candidate_gets_no_verdict_by_its_numbers() -> None:
    told = verdict(Outcome.ACCEPTED, bar="no_slot")
    assert (told.verdict, told.guarantee) == (Outcome.INCONCLUSIVE, "none")
    assert "no slot left" in told.reason


def test_numbers_are_decided_by_their_capped_distance() -> None:
    truth = [10] * 80
    book = trial(
        truth,
        [[8.0] * 80],
        {"first": [9.9] * 80},
        task=Task.REGRESSION,
        answers=[8.0],
        loss_cap=4.0,
        constant=8.0,
    )
    found = standing(book)
    assert found.outcome is Outcome.ACCEPTED
    assert found.comparisons[0].seen == pytest.approx(0.475, abs=1e-5)
