"""`fieldproof replay` as far as it goes without a broker, on the example of a messy export."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from infra.cli.replay import replay
from infra.replay import due_s

MESSY = Path(__file__).parents[2] / "examples" / "messy"
TRIAL = str(MESSY / "press-line-3.csv")
IGNORED = ["--ignore", "품질", "--ignore", "비고"]
LABELS = ["--labels", str(MESSY / "press-line-3-events.csv")]

app = typer.Typer()
app.command()(replay)


def run(*options: str) -> Result:
    return CliRunner().invoke(
        app, ["--plant-file", str(MESSY / "plant.yaml"), "--dry-run", "--json", *options]
    )


def said(result: Result, kind: str) -> list[dict[str, object]]:
    found = [json.loads(line) for line in result.stdout.splitlines()]
    return [each for each in found if each["kind"] == kind]


def test_the_first_rows_are_shown_as_they_would_be_sent() -> None:
    result = run(TRIAL, *IGNORED, *LABELS)
    assert result.exit_code == 0, result.stderr
    rows = said(result, "rows")[0]["rows"]
    assert isinstance(rows, list) and len(rows) == 5
    assert rows[0]["ts"] == "2026-03-03T01:30:00+00:00"
    assert rows[0]["values"] == {"압력": 159.2, "온도": 47.83, "진동": 1.785, "전류": 41.7}
    assert (said(result, "plan")[0]["rows"], said(result, "plan")[0]["watermarks"]) == (1200, 1)


def test_everything_that_is_wrong_is_told_with_its_place_and_2() -> None:
    result = run(TRIAL, "missing.csv", "--ignore", "품실")
    assert result.exit_code == 2
    result = run(TRIAL, "--ignore", "품실")
    assert result.exit_code == 2
    assert "press-line-3.csv:2: column '품질'" in result.stderr
    assert {each["column"] for each in said(result, "problem")} == {"품질", "비고", None}


def test_without_labels_no_watermark_claims_that_they_are_complete() -> None:
    assert said(run(TRIAL, *IGNORED), "plan")[0]["watermarks"] == 0
    assert said(run(TRIAL, *IGNORED, "--watermark"), "plan")[0]["watermarks"] == 1
    assert said(run(TRIAL, *IGNORED, *LABELS, "--no-watermark"), "plan")[0]["watermarks"] == 0


def test_labels_in_another_zone_are_noticed() -> None:
    result = run(str(MESSY / "press-line-3-history.csv"), *IGNORED, *LABELS)
    assert "6 of 6 labels are of no row in these files" in result.stderr


@pytest.mark.parametrize(
    "options",
    [["--asset", "press-line3"], ["--start", "2026-03-02T09:00"], ["--start", "soon", "--step", "1s"], ["--step", "1"],
     ["--label-delay", "soon"], ["--tag", "Druck"], ["--number", "ON=yes"], ["--time-zone", "Asia/Soul"], ["--decimal", "x"],
     ["--delimiter", "semi"], ["--plant-file", "none.yaml"], ["--speed", "0"]],
)  # fmt: skip
def test_a_wrong_option_ends_with_2(options: list[str]) -> None:
    assert run(TRIAL, *IGNORED, *options).exit_code == 2


def test_the_example_is_what_its_script_writes(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("messy_example", MESSY / "make.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main(tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (MESSY / path.name).read_bytes()


def test_a_message_is_due_after_its_share_of_the_datas_time() -> None:
    assert due_s(70_000_000, origin=(100.0, 10_000_000), speed=60) == 101.0
