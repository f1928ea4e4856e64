"""What a model declares, and whether it fits an agreement."""

from __future__ import annotations

import json
from typing import Any

import pytest

from models.contract import Column, Contract, Problem, check_signature, read_contract
from schemas.agreement import Task

TAGS = ("Pressure", "Temperature")


def mlmodel(inputs: dict[str, str], **more: Any) -> dict[str, Any]:
    """A parsed MLmodel file with these inputs."""
    signature = {"inputs": json.dumps([{"name": n, "type": t, "required": True} for n, t in inputs.items()])}
    return {"flavors": {"python_function": {}}, "signature": signature} | more


def contract(inputs: dict[str, str], **more: Any) -> Contract:
    read = read_contract(mlmodel(inputs, **more))
    assert isinstance(read, Contract), read
    return read


def problem(raw: dict[str, Any]) -> str:
    read = read_contract(raw)
    assert isinstance(read, Problem), read
    return read.text


def test_inputs_are_read_in_the_order_of_the_signature() -> None:
    read = contract({"Temperature": "double", "Pressure": "float"})
    assert read.columns == (Column(name="Temperature", type="double"), Column(name="Pressure", type="float"))
    assert (read.context_rows, read.with_ts, read.with_asset, read.score) == (0, False, False, False)


def test_options_are_read_from_the_metadata() -> None:
    options = {"context_rows": 12, "with_ts": True, "with_asset": True, "score": True}
    read = contract(
        {"ts": "datetime", "asset": "string", "Pressure": "double"}, metadata={"fieldproof": options}
    )
    assert (read.context_rows, read.with_ts, read.with_asset, read.score) == (12, True, True, True)
    assert [column.name for column in read.tags] == ["Pressure"]


def test_time_and_asset_are_recognised_by_name_and_type_without_metadata() -> None:
    read = contract({"ts": "datetime", "asset": "string", "Pressure": "double"})
    assert (read.with_ts, read.with_asset) == (True, True)


def test_a_tag_called_asset_stays_a_tag() -> None:
    read = contract({"asset": "double"})
    assert not read.with_asset
    assert [column.name for column in read.tags] == ["asset"]


def test_a_model_without_a_signature_is_told_how_to_get_one() -> None:
    assert "has no signature: log it with signature=" in problem({"flavors": {"python_function": {}}})
    assert "has no signature" in problem({"flavors": {"python_function": {}}, "signature": None})


def test_a_signature_without_names_is_told_to_use_a_table() -> None:
    spec = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 8]}}]
    raw = {"flavors": {"python_function": {}}, "signature": {"inputs": json.dumps(spec)}}
    assert "no names" in problem(raw)


@pytest.mark.parametrize("text", ["{", "7", "[7]", '[{"name": "a"}]', '"text"'])
def test_a_broken_signature_is_a_problem_and_no_exception(text: str) -> None:
    raw = {"flavors": {"python_function": {}}, "signature": {"inputs": text}}
    assert "cannot be read" in problem(raw)


def test_a_model_without_the_python_function_flavour_is_refused() -> None:
    assert "python_function" in problem({"flavors": {"onnx": {}}})
    assert "python_function" in problem({})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"context_row": 3}, "did you mean 'context_rows'?"),
        ({"context_rows": -1}, "whole number"),
        ({"context_rows": True}, "whole number"),
        ({"score": "yes"}, "true or false"),
        ({"with_ts": True}, "no input 'ts' of type datetime"),
        ([], "has to be a mapping"),
    ],
)
def test_wrong_options_are_named(options: Any, said: str) -> None:
    assert said in problem(mlmodel({"Pressure": "double"}, metadata={"fieldproof": options}))


def test_a_fitting_model_has_no_problems() -> None:
    assert check_signature(contract({"Pressure": "double"}), TAGS, Task.ANOMALY) == []


def test_a_misspelt_input_is_answered_with_the_nearest_tag() -> None:
    said = check_signature(contract({"Presure": "double"}), TAGS, Task.ANOMALY)
    assert said == ["input 'Presure' is not in the agreement; did you mean 'Pressure'?"]


def test_an_input_that_resembles_nothing_is_answered_with_what_there_is() -> None:
    said = check_signature(contract({"xyz": "double"}), TAGS, Task.ANOMALY)
    assert said == ["input 'xyz' is not in the agreement; it has Pressure, Temperature"]


def test_an_input_declared_as_text_is_refused() -> None:
    (said,) = check_signature(contract({"Pressure": "string"}), TAGS, Task.ANOMALY)
    assert "declared as string" in said


def test_more_context_than_agreed_is_refused() -> None:
    asked = contract({"Pressure": "double"}, metadata={"fieldproof": {"context_rows": 11}})
    (said,) = check_signature(asked, TAGS, Task.ANOMALY, max_context_rows=10)
    assert "asks for 11 preceding rows, the agreement allows 10" in said
    assert check_signature(asked, TAGS, Task.ANOMALY, max_context_rows=11) == []


def outputs(*specs: dict[str, Any]) -> Contract:
    raw = mlmodel({"Pressure": "double"}, metadata={"fieldproof": {"score": len(specs) > 1}})
    raw["signature"]["outputs"] = json.dumps(specs)
    read = read_contract(raw)
    assert isinstance(read, Contract)
    return read


def test_text_is_no_answer_to_a_regression() -> None:
    answered = outputs({"type": "string", "name": "prediction"})
    assert "answers text" in check_signature(answered, TAGS, Task.REGRESSION)[0]
    assert check_signature(answered, TAGS, Task.CLASSIFICATION) == []


def test_probabilities_of_three_classes_are_no_prediction() -> None:
    answered = outputs({"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 3]}})
    assert "3 values a row" in check_signature(answered, TAGS, Task.CLASSIFICATION)[0]


def test_a_declared_score_needs_its_columns() -> None:
    wrong = outputs({"type": "double", "name": "a"}, {"type": "double", "name": "b"})
    assert any("'prediction' and 'score'" in text for text in check_signature(wrong, TAGS, Task.ANOMALY))
    right = outputs({"type": "double", "name": "prediction"}, {"type": "double", "name": "score"})
    assert check_signature(right, TAGS, Task.ANOMALY) == []
