"""Trying a candidate at home, with a predictor in the place of its sandbox."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import typer.main
from typer.testing import CliRunner, Result

from infra.cli.exports import FileOptions
from infra.cli.main import app
from infra.environments.environment import own_environment
from infra.recordings import export_of
from infra.tryout.attempt import Attempt, first_rows, lacking, plant_of
from infra.tryout.memory import MemoryTopics
from infra.tryout.tryout import AHEAD, Trial, Tried
from models.contract import Column, Contract, Failed, Predicted
from schemas.agreement import Acceptance, Agreement, Baseline, LabelRule, Task
from schemas.evaluation import Counts, Evaluation, Outcome
from schemas.labels import IntervalLabel
from schemas.parties import Asset, Plant
from streams.export_plan import Planned, plan
from streams.exports import Export
from streams.frames import moment
from tests.unit.twins import BrokenWorld, Model

BEGIN_US = 1_772_400_000_000_000
NOW_MS = BEGIN_US // 1000
DAY_S = 24 * 60 * 60


def an_agreement(*, absent: str = "normal", assets: Sequence[str] = ("m1",), baselines: int = 1) -> Agreement:
    return Agreement(
        task=Task.ANOMALY,
        assets=tuple(assets),
        inputs=("x",),
        labels=LabelRule(deadline_days=14, absent_means=absent),  # type: ignore[arg-type]
        baselines=tuple(Baseline(name=f"no-alarm-{number}", answer="normal") for number in range(baselines)),
        acceptance=Acceptance(metric="accuracy", at_least=0.2, min_rows=10),
    )


def rows_of(asset: str, count: int, *, labels: bool = False, tag: str = "x") -> Export:
    """Rows a second apart, whose value is their number; every fourth one is labelled as an anomaly."""
    number = np.arange(count)
    return export_of(
        f"{asset}.csv",
        asset,
        BEGIN_US + number * 1_000_000,
        (tag,),
        number[:, None].astype(float),
        labels=number % 4 == 0 if labels else None,
    )


def an_event(start: int, end: int) -> IntervalLabel:
    begin, stop = (moment(BEGIN_US + second * 1_000_000) for second in (start, end))
    return IntervalLabel(id="call-1", asset="m1", start=begin, end=stop, value="anomaly")


def an_attempt(tmp_path: Path, agreement: Agreement, *, plant: Plant | None = None) -> Attempt:
    model = tmp_path / "My Model"
    model.mkdir()
    (model / "MLmodel").write_text("flavors: {}")
    return Attempt(
        model=model,
        contract=Contract(columns=(Column(name="x", type="double"),)),
        agreement=agreement,
        plant=plant or plant_of(agreement),
        environment=own_environment(),
        level="none",
    )


class Alarm(Model):
    """Answers 1 for every row, but fails or dies where the frame's number says so."""

    def __init__(self, *, fails: Sequence[int] = (), dies: int | None = None) -> None:
        super().__init__()
        self.fails, self.dies = fails, dies

    async def predict(
        self, asset: str, payload: bytes | memoryview, n_rows: int, context: bytes | None, n_context: int
    ) -> Predicted | Failed:
        number = len(self.asked)
        answer = await super().predict(asset, payload, n_rows, context, n_context)
        if number == self.dies:
            raise BrokenWorld("the sandbox has gone")
        if number in self.fails:
            text = f"ValueError: number {number} of all frames"
            return Failed(kind="error", text=text, exception="ValueError", where="code/model.py:7")
        return answer


def tried(
    attempt: Attempt, messages: Sequence[Planned], model: Model | None = None, **options: object
) -> Tried:
    async def main() -> Tried:
        trial = Trial(
            attempt,
            model or Alarm(),
            now_ms=lambda: NOW_MS,
            progress=lambda _: None,
            **options,  # type: ignore[arg-type]
        )
        return await asyncio.wait_for(trial.run(messages), 30)

    return asyncio.run(main())


def of(result: Tried, name: str) -> Evaluation:
    return result.board.evaluations["try-out", name]


# --- a trial --------------------------------------------------------------------------------------------------------


def test_a_model_gets_the_verdict_of_its_agreement(tmp_path: Path) -> None:
    exports = [rows_of("m1", 1200, labels=True)]
    model = Alarm()
    result = tried(an_attempt(tmp_path, an_agreement()), list(plan(exports)), model)
    final = of(result, "my-model")
    assert final.final
    assert final.counts == Counts(rows_in=1200, scored=1200)
    assert final.confusion == {
        "normal/normal": 0,
        "normal/anomaly": 900,
        "anomaly/normal": 0,
        "anomaly/anomaly": 300,
    }
    assert result.verdict.evaluation == final
    assert (result.verdict.verdict, result.verdict.value) == (Outcome.ACCEPTED, 0.25)
    assert result.verdict.recomputed_equal
    assert of(result, "no-alarm-0").metrics["accuracy"] == 0.75
    assert [asked.n_rows for asked in model.asked] == [500, 500, 200]
    assert (result.waited, result.troubles) == (0, [])


def test_an_agreement_without_baselines_is_tried_without(tmp_path: Path) -> None:
    attempt = an_attempt(tmp_path, an_agreement(baselines=0))
    result = tried(attempt, list(plan([rows_of("m1", 20, labels=True)])))
    assert list(result.board.evaluations) == [("try-out", "my-model")]


def test_more_messages_than_are_handed_out_ahead_come_all_to_their_end(tmp_path: Path) -> None:
    assets = ("m1", "m2")
    exports = [rows_of(asset, 3 * AHEAD, labels=True) for asset in assets]
    messages = list(plan(exports, rows_per_frame=1))
    told: list[int] = []

    async def main() -> Tried:
        attempt = an_attempt(tmp_path, an_agreement(assets=assets))
        return await Trial(attempt, Alarm(), now_ms=lambda: NOW_MS, progress=told.append).run(messages)

    result = asyncio.run(main())
    assert of(result, "my-model").counts.scored == 6 * AHEAD
    assert told == list(range(1, 6 * AHEAD + 1))


def test_rows_without_a_label_are_settled_as_after_the_deadline_and_told(tmp_path: Path) -> None:
    messages = list(plan([rows_of("m1", 100)], [an_event(10, 30)], watermarks=False))
    result = tried(an_attempt(tmp_path, an_agreement(absent="unlabelled")), messages)
    assert result.waited == 80
    assert of(result, "my-model").counts == Counts(rows_in=100, scored=20, unlabelled=80)
    assert (of(result, "my-model").at - moment(BEGIN_US)).total_seconds() > 14 * DAY_S


def test_what_a_watermark_says_needs_no_deadline(tmp_path: Path) -> None:
    messages = list(plan([rows_of("m1", 100)], [an_event(10, 30)]))
    result = tried(an_attempt(tmp_path, an_agreement()), messages)
    assert (result.waited, of(result, "my-model").counts.scored) == (0, 100)
    assert (of(result, "my-model").at - moment(BEGIN_US)).total_seconds() < DAY_S


def test_faults_are_told_with_their_text_and_counted_as_on_the_platform(tmp_path: Path) -> None:
    messages = list(plan([rows_of("m1", 60, labels=True)], rows_per_frame=10))
    result = tried(an_attempt(tmp_path, an_agreement()), messages, Alarm(fails=(1, 3)))
    (trouble,) = result.troubles
    assert trouble.text == "ValueError: number 1 of all frames"
    assert (trouble.fault.kind, trouble.fault.where, trouble.fault.count) == ("error", "code/model.py:7", 2)
    final = of(result, "my-model")
    assert (final.counts.failed, final.audit.failed_by_kind) == (20, {"error": 20})
    assert result.verdict.verdict is Outcome.REJECTED


def test_a_broken_world_ends_the_try(tmp_path: Path) -> None:
    messages = list(plan([rows_of("m1", 60)], rows_per_frame=10, watermarks=False))
    with pytest.raises(BrokenWorld):
        tried(an_attempt(tmp_path, an_agreement()), messages, Alarm(dies=2))


def test_rows_of_machines_outside_the_agreement_are_not_given_to_the_model(tmp_path: Path) -> None:
    agreement = an_agreement()
    plant = plant_of(agreement).model_copy(
        update={"id": "ansan-1", "assets": (Asset(name="m1"), Asset(name="m2"))}
    )
    exports = [rows_of("m1", 20, labels=True), rows_of("m2", 30, labels=True)]
    result = tried(an_attempt(tmp_path, agreement, plant=plant), list(plan(exports)))
    final = of(result, "my-model")
    assert (final.plant, final.counts.rows_in) == ("ansan-1", 20)


# --- what is tried ----------------------------------------------------------------------------------------------------


def test_the_first_rows_are_those_of_each_machine_in_each_file() -> None:
    short = first_rows([rows_of("m1", 20, labels=True), rows_of("m2", 5)], 8)
    assert [one.rows for one in short] == [8, 5]
    (rows,) = short[0].assets
    assert rows.values["x"].tolist() == list(range(8))
    assert rows.labels is not None and len(rows.labels) == 8


def test_an_input_that_a_file_does_not_have_is_named() -> None:
    (problem,) = lacking([rows_of("m1", 3), rows_of("m1", 3, tag="y")], an_agreement())
    assert "there is no column for the input 'x'" in str(problem)


def test_topics_in_memory_keep_what_is_asked_for_again_and_let_go_of_the_rest() -> None:
    async def main() -> None:
        topics = MemoryTopics(now_ms=lambda: 7, passing=frozenset({"t"}))
        one, both = topics.reader("t"), topics.reader("t", "l")
        for topic in ("t", "l", "t"):
            await (await topics.send(topic, b"k", topic.encode(), []))
        assert (await topics.ends("t"), await topics.ends("l")) == ({0: 2}, {0: 1})
        assert (await topics.read("t", 0, 0, 2), len(await topics.read("l", 0, 0, 1))) == ([], 1)
        seen = []
        async for arrival in both.arrivals():
            seen.append((arrival.record.topic, arrival.record.offset, arrival.record.timestamp_ms))
            waiting = asyncio.ensure_future(both.at_most(3 - len(seen)))
            await asyncio.sleep(0)
            assert not waiting.done()
            arrival.ack()
            await waiting
            if len(seen) == 3:
                break
        assert seen == [("t", 0, 7), ("l", 0, 7), ("t", 1, 7)]
        await one.at_most(2)

    asyncio.run(main())


# --- the command ------------------------------------------------------------------------------------------------------

AGREEMENT = json.dumps(an_agreement().to_dict())
ROWS = "ts,x,y\n2026-03-02T00:00:00Z,1,2\n2026-03-02T00:00:01Z,2,2\n"


def run(tmp_path: Path, *options: str, rows: str = ROWS, agreement: str = AGREEMENT, x: str = "x") -> Result:
    model = tmp_path / "model"
    model.mkdir()
    inputs = json.dumps([{"type": "double", "name": x, "required": True}])
    (model / "MLmodel").write_text(
        json.dumps({"flavors": {"python_function": {}}, "signature": {"inputs": inputs}})
    )
    (tmp_path / "m1.csv").write_text(rows)
    (tmp_path / "agreement.yaml").write_text(agreement)
    named = ["--agreement", str(tmp_path / "agreement.yaml"), "--rows", str(tmp_path / "m1.csv")]
    return CliRunner().invoke(app, ["candidate", "try", str(model), *named, *options])


@pytest.mark.parametrize("command", ["replay", "candidate try"])
def test_both_commands_read_files_with_the_same_options(command: str) -> None:
    found = typer.main.get_command(app)
    for word in command.split():
        found = found.commands[word]  # type: ignore[attr-defined]
    options = {one.name: one for one in found.params}
    assert {one.name for one in fields(FileOptions)} <= options.keys()
    assert options["rows_per_frame"].default == 500
    assert "options" not in options


def test_what_is_wrong_with_a_file_is_told_and_nothing_is_run(tmp_path: Path) -> None:
    result = run(tmp_path, rows=ROWS.replace("x", "z").replace("y", "x2"), agreement=AGREEMENT)
    assert result.exit_code == 2
    assert "no column is one of the plant's tags: x" in result.stderr
    assert "nothing was run" in result.stderr


def test_an_agreement_that_cannot_be_read_is_told_with_its_line_in_the_language_asked_for(
    tmp_path: Path,
) -> None:
    result = run(tmp_path, "--lang", "ko", agreement="task: anomaly\nassets: [m1]\n")
    assert result.exit_code == 2
    assert "agreement.yaml:" in result.stderr
    assert any("가" <= sign <= "힣" for sign in result.stderr)


def test_a_model_that_asks_for_what_the_agreement_does_not_have_is_not_run(tmp_path: Path) -> None:
    result = run(tmp_path, x="pressure")
    assert "input 'pressure' is not in the agreement" in str(result.exception)
    assert getattr(result.exception, "exit_code", None) == 2


def test_a_label_that_the_agreement_does_not_know_is_told(tmp_path: Path) -> None:
    result = run(tmp_path, "--label-column", "y")
    assert result.exit_code == 2
    assert "its agreement knows normal, anomaly" in result.stderr
