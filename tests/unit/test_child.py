"""Reading what models return: numbers, classes, abstentions, nonsense."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.child import Answers, Nonsense
from streams.frames import encode_frame
from tests.unit.test_counted_work import TAGS, a_child

ANOMALY = Answers("anomaly", ["normal", "anomaly"], score=False)
STATES = Answers("classification", ["idle", "run", "fault"], score=False)
NUMBERED = Answers("classification", ["1", "2", "3"], score=False)
NUMBERS = Answers("regression", [], score=False)
SCORED = Answers("anomaly", ["normal", "anomaly"], score=True)


def read(answers: Answers, answer: Any, n: int | None = None, n_rows: int | None = None) -> list[float]:
    n = len(answer) if n is None else n
    return list(np.frombuffer(answers.read(answer, n, n_rows or n)))


@pytest.mark.parametrize(
    "answer",
    [
        [1.5, 2.0],
        (1.5, 2),
        np.array([1.5, 2.0]),
        np.array([[1.5], [2.0]], dtype=np.float32),
        np.array([1.5, 2], dtype=object),
        pd.Series([1.5, 2.0], index=[7, 7]),
        pd.Series([1.5, 2.0], dtype="Float64"),
        pd.DataFrame({"anything": [1.5, 2.0]}),
        pd.DataFrame({"prediction": [1.5, 2.0], "more": ["x", "y"]}),
        {"prediction": [1.5, 2.0], "more": 7},
        {"prediction": np.array([1.5, 2.0])},
    ],
)
def test_numbers_are_read_from_whatever_holds_one_for_each_row(answer: Any) -> None:
    assert read(NUMBERS, answer, 2) == [1.5, 2.0]


@pytest.mark.parametrize(
    "answer",
    [
        [0, 2, 1],
        [0.0, 2.0, 1.0],
        ["idle", "fault", "run"],
        np.array(["idle", "fault", "run"]),
        pd.Series(["idle", "fault", "run"]),
        pd.Series(["idle", "fault", "run"], dtype="category"),
        ["idle", 2, "run"],
    ],
)
def test_classes_are_read_by_name_and_by_code(answer: Any) -> None:
    assert read(STATES, answer) == [0, 2, 1]


def test_numbers_are_names_where_classes_are_called_by_numbers() -> None:
    assert read(NUMBERED, [1, 3]) == [0, 2]
    assert read(NUMBERED, ["1", "3"]) == [0, 2]
    assert read(NUMBERED, np.array([1.0, 3.0], dtype=object)) == [0, 2]
    with pytest.raises(Nonsense, match="none of the classes 1, 2, 3"):
        read(NUMBERED, [0])


def test_an_anomaly_is_a_truth_value_a_code_or_a_name() -> None:
    for answer in ([False, True], [0, 1], ["normal", "anomaly"], np.array([False, True]), [False, 1.0]):
        assert read(ANOMALY, answer) == [0, 1]


@pytest.mark.parametrize("nothing", [None, math.nan, pd.NA, pd.NaT, np.nan])
def test_nothing_is_an_abstention(nothing: object) -> None:
    assert np.isnan(read(NUMBERS, [1.0, nothing])[1])
    assert np.isnan(read(ANOMALY, [1.0, nothing])[1])
    assert np.isnan(read(STATES, ["run", nothing])[1])


def test_nothing_in_a_nullable_column_is_an_abstention() -> None:
    assert np.isnan(read(NUMBERS, pd.Series([1, None], dtype="Int64"))[1])
    assert np.isnan(read(ANOMALY, pd.Series([True, None], dtype="boolean"))[1])


def test_only_the_answers_to_the_frame_are_returned_not_those_to_its_context() -> None:
    assert read(NUMBERS, [1.0, 2.0, 3.0, 4.0], 4, 2) == [3.0, 4.0]
    with pytest.raises(Nonsense, match="2 values for 4 rows"):
        read(NUMBERS, [3.0, 4.0], 4, 2)


def test_scores_follow_the_predictions() -> None:
    answer = pd.DataFrame({"score": [0.1, 0.9], "prediction": [False, True]})
    assert read(SCORED, answer, 2) == [0, 1, 0.1, 0.9]
    assert read(SCORED, {"prediction": ["normal", "anomaly"], "score": [0.1, 0.9]}, 2) == [0, 1, 0.1, 0.9]


def test_outlier_models_of_scikit_learn_are_told_to_translate() -> None:
    with pytest.raises(Nonsense, match=r"answered -1.*scikit-learn"):
        read(ANOMALY, np.array([1, -1]))


@pytest.mark.parametrize(
    ("answers", "answer", "said"),
    [
        (NUMBERS, [1.0], "1 values for 2 rows"),
        (NUMBERS, np.zeros((2, 3)), r"shape \(2, 3\)"),
        (NUMBERS, 7.0, "answered float"),
        (NUMBERS, None, "answered NoneType"),
        (NUMBERS, (x for x in [1.0, 2.0]), "answered generator"),
        (NUMBERS, ["1.5", "2"], "'1.5' as prediction, which is no number"),
        (NUMBERS, [1.0, math.inf], "row 1 is infinite"),
        (NUMBERS, np.array([1j, 2j]), "complex"),
        (NUMBERS, [[1.0], [1.0, 2.0]], "different lengths"),
        (NUMBERS, [1.0, object()], "no number"),
        (NUMBERS, pd.to_datetime(pd.Series([0, 1])), "datetime64"),
        (NUMBERS, pd.DataFrame({"a": [1, 2], "b": [1, 2]}), "'a', 'b'; one has to be called 'prediction'"),
        (NUMBERS, {}, "has to be called 'prediction'"),
        (ANOMALY, [0.3, 1.0], "answered 0.3, which is none of the classes"),
        (ANOMALY, [2, 1], "answered 2"),
        (ANOMALY, ["ok", "normal"], "answered 'ok'"),
        (STATES, [0, 3], "answered 3"),
        (STATES, ["run", 7], "answered 7"),
        (STATES, ["run", math.inf], "answered inf"),
        (STATES, [["run"], ["idle", "run"]], "different lengths"),
        (SCORED, [0, 1], "answer a table with 'prediction' and 'score', not list"),
        (SCORED, {"prediction": [0, 1]}, "no column 'score'"),
        (SCORED, {"prediction": [0, 1], "score": [1.0]}, r"1 values for 2 rows \(score\)"),
    ],
)
def test_nonsense_is_named(answers: Answers, answer: Any, said: str) -> None:
    with pytest.raises(Nonsense, match=said):
        read(answers, answer, 2)


def test_a_long_value_is_shown_shortly() -> None:
    with pytest.raises(Nonsense) as caught:
        read(STATES, ["x" * 10_000])
    assert len(str(caught.value)) < 200


def test_what_a_model_writes_on_its_table_is_gone_with_the_frame() -> None:
    seen: list[Any] = []

    def scribble(table: Any) -> np.ndarray:
        seen.append((list(table.columns), table.columns.name, table.to_numpy().tolist()))
        table.columns.name = "mine"
        table["more"] = 1.0
        table.columns = ["x", "y", "z"]
        table.loc[:] = 9.0
        return np.zeros(2)

    one = a_child(scribble)
    values = dict(zip(TAGS, np.array([[1.0, 2.0], [3.0, 4.0]]), strict=True))
    frame = memoryview(encode_frame(np.array([0, 1]), values))
    for _ in range(2):
        one.predict("m1", memoryview(b""), 0, frame, 2)
    assert seen == [(list(TAGS), None, [[1.0, 3.0], [2.0, 4.0]])] * 2
