"""What a child's answers mean, and which of them mean nothing."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from infra.sandbox.answers import Cost, Loaded, meaning
from infra.sandbox.spec import ChildSpec
from infra.sandbox.wire import Answer, Due
from models import child
from models.contract import Contract, Failed, Predicted
from schemas.agreement import Task

COST = Cost(wall_ns=30, cpu_ns=20, max_rss_kb=10)


def meant(
    values: list[float], *, classes: tuple[str, ...] = (), columns: int = 1
) -> Predicted | Loaded | Failed | None:
    task = Task.CLASSIFICATION if classes else Task.REGRESSION
    spec = ChildSpec(model=Path("nowhere"), contract=Contract(columns=()), task=task, classes=classes)
    body = bytearray(np.array(values, dtype="<f8").tobytes())
    due = Due(statuses=frozenset({child.PREDICTED}), columns=columns, rows=len(values) // columns)
    return meaning(Answer(status=child.PREDICTED, body=body, lengths=(0, 0, 0)), due, COST, spec)


def test_predictions_come_with_what_they_cost() -> None:
    answer = meant([1, 2, 3, 4], columns=2)
    assert isinstance(answer, Predicted)
    assert answer.columns.tolist() == [[1, 2], [3, 4]]
    assert (answer.wall_ns, answer.cpu_ns, answer.max_rss_kb) == (30, 20, 10)


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_infinite_value_means_nothing(value: float) -> None:
    assert meant([1, value]) is None
    assert meant([1, 0, 1, value], columns=2, classes=("normal", "anomaly")) is None


@pytest.mark.parametrize("code", [-1, 2, 0.5, 1e300])
def test_a_code_of_no_class_means_nothing(code: float) -> None:
    assert meant([0, code], classes=("normal", "anomaly")) is None


def test_a_score_beside_a_class_may_be_any_number() -> None:
    answer = meant([0, 1, 7.5, -3], columns=2, classes=("normal", "anomaly"))
    assert isinstance(answer, Predicted)
    assert answer.columns.tolist() == [[0, 1], [7.5, -3]]


def test_there_is_one_zero_and_one_not_a_number() -> None:
    payloads = np.array([0x7FF8000000000001, 0xFFF8DEADBEEF0000], dtype="<u8").view("<f8")
    answer = meant([-0.0, *payloads], classes=("idle", "run"))
    assert isinstance(answer, Predicted)
    assert answer.columns.tobytes() == np.array([0.0, np.nan, np.nan]).tobytes()


def test_no_rows_are_no_nonsense() -> None:
    answer = meant([], classes=("normal", "anomaly"))
    assert isinstance(answer, Predicted)
    assert answer.columns.shape == (1, 0)
