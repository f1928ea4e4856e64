"""Thresholds on ratios: the linear form is the threshold itself, and silence never helps to reach it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.decision import UNIT, Gains, lower_bound
from models.losses import FULL
from models.metrics import metrics_for
from models.ratios import Linear, lower
from models.reading import Rule
from schemas.agreement import Acceptance, Agreement, Baseline, Task
from schemas.terms import Decision

NAN = float("nan")
ALPHA = Decimal("0.05")
THRESHOLDS: list[dict[str, Any]] = [
    {"metric": "f1", "at_least": 0.6},
    {"metric": "precision", "at_least": 0.5},
    {"metric": "recall", "at_least": 0.75},
    {"metric": "accuracy", "at_least": 0.6},
    {"metric": "far", "at_most": 0.25},
    {"metric": "mar", "at_most": 0.4},
]


def agreed(acceptance: dict[str, Any], *, numeric: bool = False) -> Agreement:
    return Agreement(
        task=Task.REGRESSION if numeric else Task.ANOMALY,
        assets=("pump-1",),
        inputs=("Pressure",),
        baselines=(Baseline(name="first", answer=0.0 if numeric else "normal"),),
        acceptance=Acceptance(**acceptance),
        decision=Decision(planned_units=100, loss_cap=10.0 if numeric else None),
    )


CODES = st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.sampled_from([0.0, 1.0])), min_size=1, max_size=30)


@pytest.mark.parametrize("acceptance", THRESHOLDS, ids=lambda one: one["metric"])
@given(rows=CODES)
def test_the_sum_is_not_negative_exactly_where_the_metric_meets_its_threshold(
    acceptance: dict[str, Any], rows: list[tuple[float, float]]
) -> None:
    agreement = agreed(acceptance)
    linear = Linear.of(agreement)
    assert linear is not None
    truth, answers = np.array(rows).T
    metrics = metrics_for(agreement)
    value = metrics.metrics(metrics.sums(truth, answers, None)).get(acceptance["metric"])
    total = int(linear(truth, answers).sum())
    if value is not None:
        # A billionth is lost to rounding in each row.
        met = value >= acceptance["at_least"] if "at_least" in acceptance else value <= acceptance["at_most"]
        assert met == (total >= -len(rows))


@given(st.lists(st.floats(-9, 9), min_size=1, max_size=20))
def test_errors_of_numbers_are_capped_and_their_threshold_is_exact_below(errors: list[float]) -> None:
    for metric, mean in (("rmse", np.mean(np.square(errors)) ** 0.5), ("mae", np.mean(np.abs(errors)))):
        linear = Linear.of(agreed({"metric": metric, "at_most": 3.0}, numeric=True))
        assert linear is not None
        total = int(linear(np.zeros(len(errors)), np.array(errors)).sum())
        if abs(mean - 3) > 1e-6:
            assert (total >= 0) == (mean <= 3)


@pytest.mark.parametrize("numeric", [False, True])
def test_no_row_takes_away_more_than_one_and_what_is_not_known_takes_away_most(numeric: bool) -> None:
    for acceptance in [{"metric": "rmse", "at_most": 3.0}] if numeric else THRESHOLDS:
        linear = Linear.of(agreed(acceptance, numeric=numeric))
        assert linear is not None
        values = np.array([-1e308, 0.0, 4.0, 1e308] if numeric else [0.0, 1.0])
        every = np.array([linear(np.full(values.size, y), values) for y in values])
        assert every.min() == -FULL
        silent = linear(values, np.full(values.size, NAN))
        assert np.all(silent <= every.min(axis=1))
        unlabelled = linear(np.full(values.size, NAN), values)
        assert np.all(unlabelled <= every.min(axis=0))
        assert linear(np.array([NAN]), np.array([NAN])).tolist() == [-FULL]


@pytest.mark.parametrize(
    ("acceptance", "numeric"),
    [
        ({"metric": "mcc", "at_least": 0.5}, False),
        ({"metric": "average_precision", "at_least": 0.5}, False),
        ({"metric": "nab", "at_least": 50.0}, False),
        ({"metric": "r2", "at_least": 0.5}, True),
        ({"metric": "rmse", "at_most": 10.0}, True),
        ({"metric": "far", "at_most": 1.0}, False),
    ],
)
def test_what_is_no_ratio_of_sums_or_asks_for_nothing_has_no_bound(
    acceptance: dict[str, Any], numeric: bool
) -> None:
    assert Linear.of(agreed(acceptance, numeric=numeric)) is None


def test_the_bound_of_rows_is_the_decision_s_lower_bound_with_all_of_alpha_on_one_side() -> None:
    rule = Rule(planned=1000, alpha=ALPHA, margin=Decimal(0))
    sums = np.array([FULL, -FULL, 3 * FULL] * 60)
    bound, rows = lower(rule, sums, np.ones(sums.size, dtype=np.int64))
    gains = Gains.never_below([UNIT, -UNIT, 3 * UNIT] * 60)
    assert (bound * UNIT, rows) == (lower_bound(gains, planned=1000, a=ALPHA), 1)
    assert bound > 0


def test_units_count_by_their_rows() -> None:
    rule = Rule(planned=1000, alpha=ALPHA, margin=Decimal(0))
    sums = np.array([4 * FULL, -2 * FULL] * 50)
    bound, rows = lower(rule, sums, np.array([4, 2] * 50))
    assert rows == 4
    assert bound * UNIT == lower_bound(Gains.never_below([UNIT, -UNIT // 2] * 50), planned=1000, a=ALPHA)


def test_at_the_threshold_a_peeking_reader_is_fooled_and_the_bound_is_not() -> None:
    """F1 of 0.6 exactly, looked at after every row: the number itself passes its threshold in most trials."""
    linear = Linear.of(agreed({"metric": "f1", "at_least": 0.6}))
    assert linear is not None
    random, peeked, shown = np.random.default_rng(20), 0, 0
    # Of the rows that are not normal/normal: TP .3, FP .2, FN .2 has F1 = .6 exactly.
    for _ in range(100):
        kinds = random.choice(4, p=[0.3, 0.2, 0.2, 0.3], size=400)
        truth, answers = np.array([1.0, 0, 1, 0])[kinds], np.array([1.0, 1, 0, 0])[kinds]
        sums = linear(truth, answers)
        peeked += bool(np.any(np.cumsum(sums)[50:] > 0))
        rule = Rule(planned=400, alpha=ALPHA, margin=Decimal(0))
        shown += any(lower(rule, sums[:k], np.ones(k, dtype=np.int64))[0] > 0 for k in range(50, 401, 50))
    assert peeked > 80
    assert shown <= 5
