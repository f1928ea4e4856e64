"""Baselines: what they answer, that grouping and repetition change nothing, and what an agreement may say of them."""

from __future__ import annotations

import asyncio
import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.agreement.words import document
from infra.words.language import Lang
from models.baselines import Baselines, rows_before
from schemas.agreement import Agreement, Baseline
from streams.context import Context
from streams.frames import encode_frame, read_arrow

NAN = math.nan
VALUES = st.lists(st.sampled_from([1.0, 2.5, -3.0, 0.1, NAN]), min_size=1, max_size=12)


def agreed(*baselines: dict[str, Any], task: str = "anomaly", **terms: Any) -> Agreement:
    metric = {"metric": "accuracy", "at_least": 0.5}
    if task in ("regression", "forecasting", "rul"):
        metric = {"metric": "mae", "at_most": 1}
    listed = [{"name": f"b{i}", **one} for i, one in enumerate(baselines)]
    fields = {"task": task, "assets": ["p"], "inputs": ["x", "y"], "acceptance": metric, "baselines": listed}
    return Agreement.model_validate({**fields, **terms})


def answers(
    agreement: Agreement,
    values: list[float],
    *,
    cuts: tuple[int, ...] = (),
    pairing: str = "pump-2026-01",
    asset: str = "p",
    start: int = 0,
    constant: float | None = None,
) -> np.ndarray:
    """The answers to rows that come in frames, as a runner would hand them over."""
    baselines = Baselines(agreement, pairing=pairing, constant=constant)
    context, found = Context(rows=rows_before(agreement)), []
    edges = [0, *sorted(cuts), len(values)]
    for first, end in pairwise(edges):
        times = np.arange(start + first, start + end, dtype=np.int64) * 1_000_000
        part = np.array(values[first:end])
        payload = encode_frame(times, {"x": part, "y": np.clip(part, -1e9, 1e9) * 10})
        before, n_before = context.before(asset)
        if end > first:
            told = asyncio.run(baselines.predict(asset, payload, end - first, before, n_before))
            found.append(told.columns)  # type: ignore[union-attr]
            context.add(asset, read_arrow(payload))  # type: ignore[arg-type]
    return np.concatenate(found, axis=1)


RULE = {"answer": "normal", "rule": {"tag": "y", "above": 20, "below": -20}}
CHANCE = {"answer": "normal", "kind": "random", "shares": {"anomaly": 0.25}}


REHEARSED: dict[str, Any] = {"phases": {"rehearsal_rows": 10}, "decision": {"planned_units": 100}}


def test_the_plants_rule_alarms_outside_its_range_only() -> None:
    found = answers(agreed(RULE), [2.0, 2.1, -2.0, -2.1, NAN, 0.0])
    assert found.tolist() == [[0, 1, 0, 1, 0, 0]]
    upper = {"answer": "anomaly", "rule": {"tag": "x", "above": 1}}
    assert answers(agreed(upper), [0.0, 2.0, NAN]).tolist() == [[1, 0, 1]]


def test_the_last_known_value_is_looked_for_so_many_rows_back() -> None:
    values = [5.0, NAN, NAN, NAN, 7.0, NAN]
    ways = [{"answer": 0, "kind": "last", "tag": "x", "rows": rows} for rows in (1, 3)]
    found = answers(agreed(*ways, task="regression"), values)
    assert found.tolist() == [[5, 0, 0, 0, 7, 0], [5, 5, 5, 0, 7, 7]]


def test_the_average_is_of_the_values_that_are_known() -> None:
    way = {"answer": -1, "kind": "average", "tag": "x", "rows": 3}
    found = answers(agreed(way, task="forecasting"), [3.0, NAN, 6.0, NAN, NAN, NAN])
    assert found.tolist() == [[3, 3, 4.5, 6, 6, -1]]


def test_a_forecast_of_an_input_is_by_that_input() -> None:
    way = {"answer": 0, "kind": "last"}
    agreement = agreed(way, task="forecasting", target="y")
    assert answers(agreement, [1.0, 2.0]).tolist() == [[10, 20]]
    with pytest.raises(ValidationError, match="none of the inputs x, y"):
        agreed(way, task="forecasting", target="load")


def test_the_best_constant_answers_its_own_until_it_is_known() -> None:
    agreement = agreed({"answer": "normal", "kind": "best_constant"}, **REHEARSED)
    assert answers(agreement, [1.0, 2.0]).tolist() == [[0, 0]]
    assert answers(agreement, [1.0, 2.0], constant=1.0).tolist() == [[1, 1]]


def test_chance_answers_at_the_agreed_shares() -> None:
    three = {"answer": "c", "kind": "random", "shares": {"b": 0.2, "a": 0.3}}
    agreement = agreed(three, task="classification", classes=["a", "b", "c"])
    found = answers(agreement, [0.0] * 40_000)[0]
    shares = [float(np.mean(found == code)) for code in range(3)]
    assert shares == pytest.approx([0.3, 0.2, 0.5], abs=0.01)
    assert set(answers(agreed({**CHANCE, "shares": {"anomaly": 1}}), [0.0] * 500)[0]) == {1.0}
    assert set(answers(agreed({**CHANCE, "shares": {"anomaly": 0}}), [0.0] * 500)[0]) == {0.0}


def test_chance_is_the_same_when_it_is_asked_again_and_another_for_another_pairing_machine_or_name() -> None:
    rows = [0.0] * 2000
    one = answers(agreed(CHANCE), rows)
    assert np.array_equal(one, answers(agreed(CHANCE), rows))
    # The bits on every machine: a change of them would change the scores of trials that run.
    assert "".join(str(int(value)) for value in one[0, :32]) == "00000010000000100011011010000000"
    for other in (
        answers(agreed(CHANCE), rows, pairing="pump-2026-02"),
        answers(agreed(CHANCE), rows, asset="q"),
        answers(agreed(CHANCE), rows, start=5000),
        answers(agreed(RULE, CHANCE), rows)[1:],
    ):
        agree = float(np.mean(one == other))
        assert agree == pytest.approx(0.25**2 + 0.75**2, abs=0.05)


@given(VALUES, st.lists(st.integers(0, 12), max_size=4))
def test_answers_do_not_depend_on_how_rows_are_grouped(values: list[float], cuts: list[int]) -> None:
    inside = tuple(cut for cut in cuts if cut <= len(values))
    numbers = agreed(
        {"answer": 7, "kind": "last", "tag": "x", "rows": 3},
        {"answer": 7, "kind": "average", "tag": "y", "rows": 4},
        {"answer": 7},
        task="rul",
    )
    for agreement in (numbers, agreed(RULE, CHANCE)):
        whole = answers(agreement, values)
        assert np.isfinite(whole).all()
        assert np.array_equal(whole, answers(agreement, values, cuts=inside))


def test_numbers_beyond_every_float_are_answered_with_the_constant() -> None:
    way = {"answer": 1, "kind": "average", "tag": "x", "rows": 2}
    assert answers(agreed(way, task="regression"), [1e308, 1e308, math.inf]).tolist() == [[1e308, 1, 1]]


WRONG = [
    ({"answer": "normal", "kind": "last", "tag": "x"}, {}, "baselines.0.kind", "classes are answered"),
    (
        {"answer": 1, "kind": "random", "shares": {"a": 0.1}},
        {"task": "rul"},
        "baselines.0.kind",
        "draws among",
    ),
    ({**CHANCE, "shares": {"odd": 0.1}}, {}, "baselines.0.shares.odd", "none of the classes"),
    ({**CHANCE, "shares": {"normal": 0.6, "anomaly": 0.6}}, {}, "baselines.0.shares", "more than 1"),
    ({"answer": "normal", "kind": "random"}, {}, "shares", "is missing"),
    ({"answer": 1, "kind": "average", "tag": "x"}, {"task": "rul"}, "rows", "is missing"),
    ({"answer": "normal", "tag": "x"}, {}, "tag", "remove the line"),
    ({**CHANCE, "rule": {"tag": "x", "above": 1}}, {}, "rule", "give one of them"),
    (
        {"answer": "normal", "rule": {"tag": "z", "above": 1}},
        {},
        "baselines.0.rule.tag",
        "none of the inputs",
    ),
    ({"answer": 1, "rule": {"tag": "x", "above": 1}}, {"task": "rul"}, "baselines.0.rule", "two classes"),
    ({"answer": "normal", "rule": {"tag": "x"}}, {}, "above", "is missing"),
    ({"answer": "normal", "rule": {"tag": "x", "above": 1, "below": 2}}, {}, "below", "every value"),
    ({"answer": "normal", "kind": "best_constant"}, {}, "baselines.0.kind", "rehearsal"),
]


@pytest.mark.parametrize(("baseline", "terms", "path", "said"), WRONG, ids=[str(one[2]) for one in WRONG])
def test_what_makes_no_sense_is_refused_in_both_languages(
    baseline: dict[str, Any], terms: dict[str, Any], path: str, said: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        agreed(baseline, **terms)
    (error,) = caught.value.errors()
    context = error["ctx"]
    assert context["path"] == path and said in context["en"]
    assert any("가" <= letter <= "힣" for letter in context["ko"])


def test_a_constant_seals_what_it_always_sealed() -> None:
    assert Baseline(name="a", answer=1).to_dict() == {"name": "a", "answer": 1}
    assert [one.constant for one in agreed({"answer": "normal"}, RULE, CHANCE).baselines] == [
        True,
        False,
        False,
    ]


def test_shares_that_add_up_to_one_are_allowed_whatever_floats_make_of_them() -> None:
    classes = [f"c{i}" for i in range(10)]
    shares = dict.fromkeys(classes, 0.1)
    agreed({"answer": "c0", "kind": "random", "shares": shares}, task="classification", classes=classes)


def test_every_way_is_told_in_both_languages() -> None:
    numbers = agreed(
        {"answer": 7, "kind": "last", "tag": "x"},
        {"answer": 7, "kind": "average", "tag": "y", "rows": 4},
        task="regression",
    )
    classes = agreed(RULE, CHANCE, {"answer": "normal", "kind": "best_constant"}, **REHEARSED)
    english = document(numbers, Lang.EN) + document(classes, Lang.EN)
    for said in (
        "Baseline b0: answers the last known x of 10 rows; where there is none 7.",
        "Baseline b1: answers the mean y of the last 4 rows; where there is none 7.",
        "Baseline b0: the plant's rule: anomaly where y is above 20 or below -20, else normal.",
        "Baseline b1: draws by chance: anomaly 25 %, else normal.",
        "Baseline b2: always answers what did best in the rehearsal; in the rehearsal normal.",
    ):
        assert said in english
    korean = document(numbers, Lang.KO) + document(classes, Lang.KO)
    assert "기존 경보 규칙: y 값이 20 초과 또는 -20 미만이면 anomaly" in korean
