"""What of a fault leaves the plant: nothing that a candidate could have chosen after it saw the rows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.sandbox.spec import ChildSpec
from models.contract import Contract
from models.faults import KNOWN, known_exception, known_place
from schemas.agreement import Task

SOURCES = {"moods.py": 130, "code/plant/model.py": 9, "empty.py": 0}


@pytest.mark.parametrize(
    "name",
    ["ValueError", "KeyError", "SystemExit", "MemoryError", "LinAlgError", "NotFittedError", "ArrowInvalid"],
)
def test_well_known_exceptions_are_told(name: str) -> None:
    assert known_exception(name) == name


@pytest.mark.parametrize("name", ["Pressure371", "valueerror", "ValueError: 371", " ValueError", "Exception"])
def test_any_other_exception_is_just_an_exception(name: str) -> None:
    assert known_exception(name) == "Exception"


def test_no_exception_stays_none() -> None:
    assert known_exception("") is None


@pytest.mark.parametrize("place", ["moods.py:1", "moods.py:130", "code/plant/model.py:9"])
def test_lines_of_the_candidates_own_sources_are_told(place: str) -> None:
    assert known_place(place, SOURCES) == place


@pytest.mark.parametrize(
    "place",
    [
        "",
        "moods.py",
        "moods.py:",
        "moods.py:0",
        "moods.py:131",
        "moods.py:007",
        "moods.py:-1",
        "moods.py:1.5",
        "moods.py:٣",
        "moods.py:1\n",
        "moods.py:1 ",
        "moods.py:99999999999999999999",
        "./moods.py:1",
        "code/../moods.py:1",
        "code//plant/model.py:1",
        "/etc/passwd:1",
        "empty.py:1",
        "371.py:1",
    ],
)
def test_any_other_place_is_not_told(place: str) -> None:
    assert known_place(place, SOURCES) is None


@given(exception=st.text(max_size=40), place=st.text(max_size=40))
def test_what_is_told_is_one_of_few_things_known_beforehand(exception: str, place: str) -> None:
    assert known_exception(exception) in {*KNOWN, None}
    allowed = {None, *(f"{name}:{line}" for name, lines in SOURCES.items() for line in range(1, lines + 1))}
    assert known_place(place, SOURCES) in allowed


def test_the_sources_are_the_models_own_python_files_with_their_lines(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "code").mkdir(parents=True)
    (model / "model.py").write_bytes(b"a = 1\r\nb = 2\nc = 3")
    (model / "code" / "part.py").write_bytes(b"\n\n")
    (model / "data.bin").write_bytes(b"\n" * 100)
    (model / "huge.py").write_bytes(b"\n" * ((1 << 20) + 1))
    (tmp_path / "outside.py").write_bytes(b"\n")
    os.symlink(tmp_path / "outside.py", model / "linked.py")
    os.symlink(tmp_path, model / "above")
    spec = ChildSpec(model=model, contract=Contract(columns=()), task=Task.REGRESSION)
    assert spec.sources == {"model.py": 3, "code/part.py": 2}
