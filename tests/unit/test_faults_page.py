"""The table of faults is true: every test that it names is there, and every fault has one."""

from __future__ import annotations

import ast
import re

import pytest

from tests.guide import ROOT

PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
TRIED = PAGE.partition("## The rules about Faust")[0]
ROWS = [line.split(" | ") for line in TRIED.splitlines() if line.startswith("| ")][2:]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", PAGE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0].strip("| "))
def test_a_fault_has_a_promise_and_a_test(row: list[str]) -> None:
    fault, promise, tried = row
    assert promise
    assert re.search(r"`tests/[\w/]+\.py::test_\w+`", tried), f"{fault} is tried by nothing"


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_test_that_is_named_is_there(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_test_of_the_matrix_is_named() -> None:
    there = {
        (str(path.relative_to(ROOT)), node.name)
        for path in (ROOT / "tests" / "faults" / "matrix").glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }
    assert there - set(NAMED) == set()
