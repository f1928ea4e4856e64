"""What units lose: whole numbers, silence at the maximum, and missing labels at their worst and best."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.decision import UNIT
from models.losses import FULL, Losses
from schemas.agreement import Acceptance, Agreement, Baseline, Task
from schemas.terms import Cost, Decision

NAN = float("nan")


def agreed(task: Task = Task.ANOMALY, *, cost: Cost | None = None, **decision: Any) -> Agreement:
    numeric = task is Task.REGRESSION
    metric: dict[str, Any] = (
        {"metric": "mae", "at_most": 1} if numeric else {"metric": "accuracy", "at_least": 0}
    )
    return Agreement(
        task=task,
        assets=("pump-1",),
        inputs=("Pressure",),
        classes=("a", "b", "c") if task is Task.CLASSIFICATION else (),
        baselines=(
            Baseline(
                name="first", answer=0.0 if numeric else ("a" if task is Task.CLASSIFICATION else "normal")
            ),
        ),
        acceptance=Acceptance(**metric),
        cost=cost,
        decision=Decision(planned_units=100, **decision),
    )


CASES = {
    "errors": Losses.of(agreed()),
    "three classes": Losses.of(agreed(Task.CLASSIFICATION)),
    "costs": Losses.of(agreed(cost=Cost(false_alarm=0.1, missed=0.7), loss="cost")),
    "capped costs": Losses.of(
        agreed(cost=Cost(false_alarm=20_000, missed=500_000), loss="cost", loss_cap=700_000)
    ),
    "numbers": Losses.of(agreed(Task.REGRESSION, loss_cap=4.0)),
}


def unit_losses(losses: Losses, truth: list[float], *answers: list[float]) -> tuple[int, ...]:
    """What one unit of these rows loses under each of the answers."""
    known = np.array(truth)
    return tuple(
        int(losses.losses(losses.points(known, np.array(one)).sum(keepdims=True), np.array([known.size]))[0])
        for one in answers
    )


def test_a_unit_loses_the_share_of_its_rows_that_are_wrong_in_whole_millionths() -> None:
    assert unit_losses(CASES["errors"], [0, 1, 1], [0, 1, 0], [1, 0, 0], [0, 1, 1]) == (333_333, UNIT, 0)
    assert unit_losses(CASES["three classes"], [0, 1, 2, 2], [0, 0, 2, 1]) == (500_000,)


def test_numbers_lose_by_their_distance_up_to_the_agreed_one() -> None:
    assert unit_losses(CASES["numbers"], [0.0, 10.0], [1.0, 30.0]) == (625_000,)
    assert unit_losses(CASES["numbers"], [-1e308], [1e308]) == (UNIT,)


def test_costs_are_a_share_of_the_largest_or_of_the_agreed_cap() -> None:
    assert unit_losses(CASES["costs"], [0, 1], [1, 1], [0, 0], [1, 0]) == (71_428, 500_000, 571_428)
    assert unit_losses(CASES["capped costs"], [0, 1], [1, 1], [0, 0], [1, 0]) == (28_571, 714_285, 742_857)
    assert unit_losses(CASES["capped costs"], [1, 1], [0, 0]) == (UNIT,)


@settings(deadline=None)
@given(st.sampled_from(sorted(CASES)), st.data())
def test_replacing_an_answer_by_silence_never_lowers_a_loss(case: str, data: st.DataObject) -> None:
    losses = CASES[case]
    codes = st.floats(-20, 20) if losses.table is None else st.sampled_from([0.0, 1.0])
    n = data.draw(st.integers(1, 6))
    truth = data.draw(st.lists(codes, min_size=n, max_size=n))
    answers = data.draw(st.lists(st.one_of(codes, st.just(NAN)), min_size=n, max_size=n))
    row = data.draw(st.integers(0, n - 1))
    silent = [NAN if i == row else answer for i, answer in enumerate(answers)]
    spoken, unspoken = unit_losses(losses, truth, answers, silent)
    assert spoken <= unspoken


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(sorted(CASES)), st.data())
def test_missing_labels_leave_a_range_that_holds_every_label_they_could_have_had(
    case: str, data: st.DataObject
) -> None:
    losses = CASES[case]
    numeric = losses.table is None
    classes = [0.0, 1.0] if not numeric and len(losses.table) == 2 else [0.0, 1.0, 2.0]  # type: ignore[arg-type]
    codes = st.sampled_from([-9.0, -1.0, 0.3, 2.0, 9.0]) if numeric else st.sampled_from(classes)
    n, missing = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 3))
    truth = np.array(data.draw(st.lists(codes, min_size=n, max_size=n)))
    silence = data.draw(st.sampled_from([0, FULL]))
    pick = st.lists(st.one_of(codes, st.just(NAN)), min_size=n, max_size=n)
    baseline, candidate = np.array(data.draw(pick)), np.array(data.draw(pick))
    known = np.arange(n) >= missing
    points = [
        losses.points(truth[known], one[known], silent=silent).sum(keepdims=True)
        for one, silent in ((baseline, silence), (candidate, FULL))
    ]
    unknown = losses.unknown(baseline[~known], candidate[~known], silent=silence).sum(axis=1, keepdims=True)
    low, high = losses.gains(*points, np.array([n]), unknown)
    possible = (-9.0, -1.0, 0.0, 0.3, 1.0, 2.0, 9.0) if numeric else classes
    found = []
    for missed in itertools.product(possible, repeat=int((~known).sum())):
        truth[~known] = missed
        whole = [
            losses.points(truth, one, silent=silent).sum(keepdims=True)
            for one, silent in ((baseline, silence), (candidate, FULL))
        ]
        found.append(int(losses.gains(*whole, np.array([n]))[0][0]))
    assert -UNIT <= low[0] <= min(found)
    assert max(found) <= high[0] <= UNIT
    if case in ("errors", "three classes", "costs"):
        # Without a cap the range is as narrow as can be, but for rounding.
        assert min(found) - low[0] <= 1
        assert high[0] - max(found) <= 1


def test_equal_answers_gain_nothing_whatever_the_label() -> None:
    for losses in (CASES["errors"], CASES["numbers"]):
        both = np.array([1.0, 0.0])
        assert not losses.unknown(both, both)[:2].any()


@pytest.mark.parametrize("case", sorted(CASES))
def test_a_unit_without_rows_loses_nothing(case: str) -> None:
    nothing = np.zeros(1, dtype=np.int64)
    assert CASES[case].losses(nothing, nothing).tolist() == [0]
