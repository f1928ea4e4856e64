"""Metrics: what scikit-learn says, from sums that add up and can be taken away again."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from models.exact import published
from models.metrics import (
    AnomalyMetrics,
    ClassMetrics,
    LifeMetrics,
    Metrics,
    RegressionMetrics,
    every_metric,
    metrics_for,
)
from models.metrics.classes import cost_of
from models.metrics.ranking import average_precision
from schemas.agreement import Acceptance, Agreement, Task, metrics_known
from schemas.terms import Cost

BINARY = AnomalyMetrics(classes=("normal", "anomaly"))
THREE = ClassMetrics(classes=("a", "b", "c"))
NUMBERS = RegressionMetrics()
LIFE = LifeMetrics()
METRICS_OF_ROWS = pytest.mark.parametrize(
    "metrics", [BINARY, THREE, NUMBERS, LIFE], ids=["binary", "three", "numbers", "life"]
)

CODES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60)
PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)
VALUES = st.lists(
    st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)),
    min_size=2,
    max_size=60,
)


def columns(pairs: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(pairs, dtype=np.float64)
    return table[:, 0], table[:, 1]


def scores(metrics: Metrics, pairs: list[Any]) -> dict[str, float]:
    return metrics.metrics(metrics.sums(*columns(pairs)))


def near(value: float) -> Any:
    return pytest.approx(value, rel=1e-8, abs=1e-12)


@given(PAIRS)
def test_two_classes_score_as_in_scikit_learn(pairs: list[Any]) -> None:
    truth, answers = columns(pairs)
    found = scores(BINARY, pairs)
    tn, fp, fn, tp = sk.confusion_matrix(truth, answers, labels=[0, 1]).ravel().tolist()
    assert BINARY.sums(truth, answers) == (tn, fp, fn, tp, 0, 0, 0)
    assert found["accuracy"] == near(sk.accuracy_score(truth, answers))
    assert found["balanced_accuracy"] == near(balanced(truth, answers))
    assert ("mcc" in found) == (min(tn + fp, fn + tp, tn + fn, fp + tp) > 0)
    if "mcc" in found:
        assert found["mcc"] == near(sk.matthews_corrcoef(truth, answers))
    wanted = {
        "f1": (sk.f1_score, 2 * tp + fp + fn),
        "precision": (sk.precision_score, tp + fp),
        "recall": (sk.recall_score, tp + fn),
    }
    for name, (score, defined) in wanted.items():
        assert (name in found) == bool(defined)
        if defined:
            assert found[name] == near(score(truth, answers, zero_division=0))
    assert ("far" in found, "mar" in found) == (bool(fp + tn), bool(fn + tp))
    assert found.get("far", 0) == near(fp / (fp + tn) if fp + tn else 0)
    assert found.get("mar", 0) == near(fn / (fn + tp) if fn + tp else 0)


@given(CODES)
def test_several_classes_score_as_in_scikit_learn(pairs: list[Any]) -> None:
    truth, answers = columns(pairs)
    found = scores(THREE, pairs)
    matrix = sk.confusion_matrix(truth, answers, labels=[0, 1, 2])
    assert THREE.sums(truth, answers) == tuple(matrix.ravel().tolist())
    assert list(THREE.confusion(THREE.sums(truth, answers)).values()) == matrix.ravel().tolist()
    macro: dict[str, Any] = {"average": "macro", "zero_division": 0}
    correlated = {"mcc"} if len(set(truth)) > 1 and len(set(answers)) > 1 else set()
    assert found.keys() - correlated == found.keys() - {"mcc"}
    if "mcc" in found:
        assert found["mcc"] == near(sk.matthews_corrcoef(truth, answers))
    assert {name: value for name, value in found.items() if name != "mcc"} == {
        "accuracy": near(sk.accuracy_score(truth, answers)),
        "balanced_accuracy": near(balanced(truth, answers)),
        "macro_precision": near(sk.precision_score(truth, answers, **macro)),
        "macro_recall": near(sk.recall_score(truth, answers, **macro)),
        "macro_f1": near(sk.f1_score(truth, answers, **macro)),
    }


def balanced(truth: np.ndarray, answers: np.ndarray) -> float:
    """scikit-learn's definition; its own function warns where a class is answered that is nowhere true."""
    return float(sk.recall_score(truth, answers, labels=np.unique(truth), average="macro", zero_division=0))


def test_a_class_that_is_never_answered_lowers_the_mean_precision() -> None:
    constant = [(0, 0)] * 9 + [(1, 0)]
    assert scores(THREE, constant)["macro_precision"] == 0.45


@given(VALUES)
def test_numbers_score_as_in_scikit_learn(pairs: list[Any]) -> None:
    truth, answers = columns(pairs)
    found = scores(NUMBERS, pairs)
    assert found["mae"] == near(sk.mean_absolute_error(truth, answers))
    assert found["rmse"] == near(sk.root_mean_squared_error(truth, answers))
    if truth.std() > 1e-3 * (1 + abs(truth.mean())):
        assert found["r2"] == pytest.approx(sk.r2_score(truth, answers), rel=1e-6, abs=1e-6)
    if len(set(truth.tolist())) == 1:
        assert "r2" not in found
    if np.abs(truth).min() > 1e-9:
        assert found["mape"] == near(sk.mean_absolute_percentage_error(truth, answers))
    assert ("mape" in found) == (not (truth == 0).any())


@given(st.floats(-1e3, 1e3), st.integers(1, 9))
def test_the_error_of_a_constant_offset_is_that_offset(offset: float, n: int) -> None:
    found = NUMBERS.metrics(NUMBERS.sums(np.zeros(n), np.full(n, offset)))
    assert found == {"mae": published(abs(offset)), "rmse": published(abs(offset)), "bias": published(offset)}


SCORED = st.lists(st.tuples(st.booleans(), st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0])), min_size=1)


@given(SCORED)
def test_probabilities_score_as_in_scikit_learn(rows: list[Any]) -> None:
    truth, scores = columns(rows)
    found = BINARY.metrics(BINARY.sums(truth, np.zeros_like(truth), scores))
    assert found["brier"] == pytest.approx(sk.brier_score_loss(truth, scores), rel=1e-8, abs=1e-15)
    assert found["log_loss"] == pytest.approx(sk.log_loss(truth, scores, labels=[0, 1]), rel=1e-8, abs=1e-15)


@pytest.mark.parametrize("odd", [-0.1, 1.1, float("nan"), float("inf"), 1e300])
def test_where_a_score_is_missing_or_no_probability_nothing_is_said_of_probabilities(odd: float) -> None:
    truth, scores = np.array([0.0, 1.0, 1.0]), np.array([0.1, odd, 0.9])
    found = BINARY.metrics(BINARY.sums(truth, truth, scores))
    assert found["f1"] == 1 and not {"brier", "log_loss"} & found.keys()


@given(st.lists(st.tuples(st.floats(0, 500), st.floats(0, 500)), min_size=1, max_size=40))
def test_remaining_life_is_scored_by_the_formula_of_the_challenge(pairs: list[Any]) -> None:
    wanted = sum(
        math.expm1(-(answer - truth) / 13) if answer < truth else math.expm1((answer - truth) / 10)
        for truth, answer in pairs
    )
    assert scores(LIFE, pairs)["phm08"] == pytest.approx(wanted, rel=1e-8)
    assert scores(NUMBERS, pairs).items() <= scores(LIFE, pairs).items()


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.0, 0.1, 0.5, 2.0, -3.0])), min_size=1))
def test_average_precision_is_as_in_scikit_learn(rows: list[Any]) -> None:
    truth, values = columns(rows)
    levels = np.unique(values)[::-1]
    of = [np.array([np.sum((values == level) & (truth == code)) for level in levels]) for code in (1, 0)]
    found = average_precision(of[0], of[1])
    wanted = sk.average_precision_score(truth, values) if truth.any() else None
    assert found == (None if wanted is None else near(wanted))


def test_costs_are_whole_numbers_of_the_currency() -> None:
    table = Cost(false_alarm=20_000, missed=500_000.5).table(BINARY.classes)
    sums = BINARY.sums(*columns([(0, 1)] * 3 + [(1, 0)] * 3 + [(1, 1), (0, 0)]), np.full(8, 0.5))
    assert cost_of(table, sums) == 3 * 20_000 + 1_500_002
    three = Cost(matrix={"a": {"b": 1e15}, "c": {"a": 0.1}}).table(THREE.classes)
    assert cost_of(three, THREE.sums(*columns([(0, 1)] * 100 + [(2, 0)] * 5))) == 10**17


@METRICS_OF_ROWS
@given(data=st.data())
def test_sums_add_up_and_can_be_taken_away_again(metrics: Metrics, data: st.DataObject) -> None:
    codes = st.integers(0, 1 if metrics is BINARY else 2)
    one = st.floats(allow_nan=False, allow_infinity=False) if metrics in (NUMBERS, LIFE) else codes
    pairs = data.draw(st.lists(st.tuples(one, one), min_size=1, max_size=20))
    cut = data.draw(st.integers(0, len(pairs)))
    truth, answers = columns(pairs)
    whole = metrics.sums(truth, answers)
    parts = [metrics.sums(truth[:cut], answers[:cut]), metrics.sums(truth[cut:], answers[cut:])]
    assert tuple(map(sum, zip(*parts, strict=True))) == whole
    assert tuple(a - b - c for a, b, c in zip(whole, *parts, strict=True)) == metrics.zero()


@given(st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 2), min_size=1, max_size=5))
def test_no_answer_is_too_large_or_too_small_to_be_scored(pairs: list[Any]) -> None:
    found = scores(NUMBERS, pairs)
    assert all(math.isfinite(value) for value in found.values())


def test_an_answer_far_off_does_not_look_like_a_perfect_one() -> None:
    far = scores(NUMBERS, [(-sys.float_info.max, sys.float_info.max), (1.0, 1.0)])
    assert far["rmse"] > 1e307
    assert far["mae"] > 1e307
    assert scores(NUMBERS, [(0.0, 1e250), (1e-200, 0.0)])["r2"] < -1e300


@METRICS_OF_ROWS
def test_without_rows_nothing_is_defined(metrics: Metrics) -> None:
    assert metrics.sums(np.empty(0), np.empty(0)) == metrics.zero()
    assert metrics.metrics(metrics.zero()) == {}


@dataclass(frozen=True)
class Known:
    """Figures of a subject."""

    sums: tuple[int, ...]
    series: dict[str, tuple[int, ...]]
    ranking: tuple[np.ndarray, np.ndarray] | None


@pytest.mark.parametrize("task", list(Task))
def test_every_metric_that_a_rule_may_name_is_computed(task: Task) -> None:
    for classes in ((), ("a", "b"), ("a", "b", "c")):
        if task.numeric != (not classes) or (task is Task.ANOMALY and len(classes) != 2):
            continue
        bound: dict[str, Any] = {"at_most": 1} if task.numeric else {"at_least": 0.5}
        agreed = Agreement(
            task=task,
            assets=("p",),
            inputs=("x",),
            classes=classes,
            acceptance=Acceptance(metric="mae" if task.numeric else "accuracy", **bound),
        )
        metrics = metrics_for(agreed)
        truth = np.array([1.0, 1.0, 2.0, 0.0]) if task.numeric else np.array([0.0, 1.0, 0.0, 1.0])
        answers = np.array([0.0, 1.0, 1.0, 0.0])
        told = Known(
            metrics.sums(truth[:3], answers[:3], np.array([0.1, 0.2, 0.3])),
            {"p": metrics.series([metrics.piece(np.arange(4) * 1_000_000, truth.astype(np.int8), answers)])},
            (np.ones(3, int), np.ones(3, int)) if len(classes) == 2 else None,
        )
        found = every_metric(metrics, told)
        assert set(metrics_known(task, len(classes))) == found.keys() - {"bias"}
        assert metrics.metrics(metrics.zero()) == {}
