"""The kit's first model runs as it is, on what a plant gives, and what it saves can be submitted."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.demo.pump import TAGS, plan_episodes, simulate
from infra.kit.contents import write_kit
from infra.kit.history import History
from infra.mlflow.files import contract_of, read_mlmodel
from infra.words.language import Phrase
from models.child import Answers
from models.contract import check_signature
from schemas.agreement import Acceptance, Agreement, Task
from schemas.pairing import Pairing
from schemas.parties import Asset, Plant, Tag
from tests.integration import commands
from tests.unit.twins import a_pairing

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]

INPUTS = (*TAGS, '유량 "순간"')
ROWS = 3000


def an_agreement(task: Task) -> Agreement:
    accepted = {"metric": "rmse", "at_most": 1} if task.numeric else {"metric": "accuracy", "at_least": 0.5}
    return Agreement(
        task=task,
        assets=("pump-1",),
        inputs=INPUTS,
        classes=("1", "0") if task is Task.CLASSIFICATION else (),
        acceptance=Acceptance(**accepted),  # type: ignore[arg-type]
        training_data="extract",
    )


def a_history(task: Task, *, labelled: bool) -> History:
    """The demo's pump for fifty minutes, with an input that is silent and one that overflows now and then."""
    rng = np.random.default_rng(7)
    bench = simulate(rng=rng, rows=ROWS, start=1_772_400_000_000_000, episodes=plan_episodes(rng, ROWS))
    values = np.column_stack([bench.values, np.full(ROWS, np.nan)])
    values[::50, 2] = np.inf
    values[::70, 3] = np.nan
    truth = np.zeros(ROWS)
    for episode in bench.episodes:
        truth[(bench.ts >= episode.start_ts) & (bench.ts < episode.end_ts)] = 1
    if task.numeric:
        truth = bench.values[:, 3] * 2
    truth[-500:] = np.nan
    return History(
        asset=np.full(ROWS, "pump-1"),
        times_us=bench.ts,
        values=values,
        truth=truth if labelled else np.full(ROWS, np.nan),
        telemetry={0: (0, 50)},
        labels={0: 3},
        unreadable={},
    )


def a_kit(root: Path, task: Task, sample: History | Phrase) -> tuple[Path, Pairing]:
    pairing = a_pairing(agreed=an_agreement(task))
    tags = tuple(Tag(name=name) for name in INPUTS)
    plant = Plant(id="plant-1", name="plant", owner="maker", assets=(Asset(name="pump-1"),), tags=tags)
    write_kit(root / "kit", pairing, plant, sample)
    return root / "kit", pairing


def ran(kit: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=kit,
        env=commands.environment(kit),
        check=False,
        capture_output=True,
        text=True,
    )


def answers(kit: Path, pairing: Pairing) -> np.ndarray:
    """What the saved model answers to rows with every trouble in them, as the platform reads it."""
    asked = (
        "import json, mlflow, numpy as np, pandas as pd; model = mlflow.pyfunc.load_model('my-model');"
        f"rows = pd.DataFrame(np.zeros((4, {len(INPUTS)})), columns={list(INPUTS)!r});"
        "rows.iloc[1] = np.nan; rows.iloc[2] = np.inf; rows.iloc[3] = -1e308;"
        "print(json.dumps(np.asarray(model.predict(rows)).tolist()))"
    )
    done = ran(kit, "-c", asked)
    assert done.returncode == 0, done.stderr
    given = json.loads(done.stdout.splitlines()[-1])
    kind = object if isinstance(given[0], str) else float
    agreement = pairing.agreement
    read = Answers(agreement.task, list(agreement.classes), score=False).read(
        np.array(given, dtype=kind), 4, 4
    )
    return np.frombuffer(read, dtype=np.float64)


@pytest.mark.parametrize(
    "task, labelled",
    [(Task.ANOMALY, True), (Task.ANOMALY, False), (Task.CLASSIFICATION, True), (Task.REGRESSION, True)],
)
def test_the_first_model_is_trained_and_saved_so_that_it_can_be_submitted(
    tmp_path: Path, task: Task, labelled: bool
) -> None:
    kit, pairing = a_kit(tmp_path, task, a_history(task, labelled=labelled))
    for _ in range(2):
        done = ran(kit, "train.py")
        assert done.returncode == 0, done.stderr
    assert f"learnt from {2500 if labelled else ROWS} of {ROWS} rows" in done.stdout
    assert ("what an isolation forest finds rare" in done.stdout) is not labelled
    contract = contract_of(kit / "my-model")
    assert check_signature(contract, INPUTS, task) == []
    assert tuple(column.name for column in contract.columns) == INPUTS
    metadata: Mapping[str, Any] = read_mlmodel(kit / "my-model")["metadata"]
    digest = hashlib.sha256((kit / "extract.csv").read_bytes()).hexdigest()
    assert metadata["training_data_sha256"] == digest
    assert np.isfinite(answers(kit, pairing)).all()


@pytest.mark.parametrize("task", [Task.CLASSIFICATION, Task.REGRESSION])
def test_without_labels_the_script_says_what_to_do(tmp_path: Path, task: Task) -> None:
    kit, _ = a_kit(tmp_path, task, a_history(task, labelled=False))
    done = ran(kit, "train.py")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "has no two different labels" in done.stderr and "fieldproof label send" in done.stderr
    assert not (kit / "my-model").exists()


def test_without_an_extract_the_script_says_what_to_do(tmp_path: Path) -> None:
    kit, _ = a_kit(tmp_path, Task.ANOMALY, Phrase("none is agreed", "제공하지 않습니다."))
    done = ran(kit, "train.py")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "there is no extract.csv here: README.md says why" in done.stderr


def test_the_notebook_runs_as_the_script_does(tmp_path: Path) -> None:
    kit, _ = a_kit(tmp_path, Task.ANOMALY, a_history(Task.ANOMALY, labelled=True))
    cells = json.loads((kit / "first-model.ipynb").read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(one["source"]) for one in cells if one["cell_type"] == "code")
    done = ran(kit, "-c", code)
    assert done.returncode == 0, done.stderr
    assert (kit / "my-model" / "MLmodel").is_file()
