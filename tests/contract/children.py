"""Saved models for tests, and children that run them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import warnings
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil
import pyarrow as pa
import ruamel.yaml

from infra.sandbox.candidate import Candidate
from infra.sandbox.command import Level
from infra.sandbox.host import Loaded, Sandbox
from infra.sandbox.spec import ChildSpec
from models.contract import Contract, Failed, Predicted, read_contract
from schemas.agreement import Task

TAGS = [f"t{number}" for number in range(8)]
N = 50


@dataclass(frozen=True)
class Models:
    """Saved models, with what they were trained on and what they answer in this process."""

    root: Path
    table: pd.DataFrame
    expected: dict[str, npt.NDArray[np.float64]]

    def spec(self, name: str, task: Task = Task.REGRESSION, **more: Any) -> ChildSpec:
        contract = read_contract(ruamel.yaml.YAML(typ="safe").load(self.root / name / "MLmodel"))
        assert isinstance(contract, Contract), contract
        return ChildSpec(model=self.root / name, contract=contract, task=task, **more)


def save_models(root: Path) -> Models:
    """Train and save what the tests ask."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _saved_models(root)


def _saved_models(root: Path) -> Models:
    import mlflow.pyfunc
    import mlflow.sklearn
    from mlflow.models import ModelSignature, infer_signature
    from mlflow.types import ColSpec, Schema
    from sklearn.linear_model import LinearRegression, LogisticRegression  # type: ignore[import-untyped]
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

    random = np.random.default_rng(7)
    table = pd.DataFrame(random.normal(size=(N, 8)), columns=TAGS)
    target = table.to_numpy() @ random.normal(size=8)
    states = np.where(target < -1, "idle", np.where(target < 1, "run", "fault"))
    expected = {}
    for name, model, truth in (
        ("linear", make_pipeline(StandardScaler(), LinearRegression()), target),
        ("states", LogisticRegression(), states),
    ):
        model.fit(table, truth)
        signature = infer_signature(table, model.predict(table))
        mlflow.sklearn.save_model(
            model, root / name, signature=signature, pip_requirements=[], serialization_format="cloudpickle"
        )
        expected[name] = _predicted_outside(root / name, table)
    expected["states"] = np.array([["idle", "run", "fault"].index(state) for state in expected["states"]])

    moods = Schema([ColSpec("string", "asset"), ColSpec("double", "b"), ColSpec("double", "a")])
    _save_code(root / "moods", Path(__file__).with_name("moods.py"), ModelSignature(moods))
    number = ModelSignature(Schema([ColSpec("double", "a")]))
    for name, (signature, options, body) in {
        "median": (number, {"context_rows": 4}, "return table['a'].rolling(5, min_periods=1).median()"),
        "scored": (
            number,
            {"score": True},
            "return {'prediction': table['a'] > 2, 'score': table['a'] / 10}",
        ),
        "timed": (
            ModelSignature(
                Schema([ColSpec("datetime", "ts"), ColSpec("long", "n"), ColSpec("boolean", "on")])
            ),
            {},
            "return table['ts'].dt.hour * table['n'] * table['on']",
        ),
        "unloadable": (number, {}, "return table['a']\nraise RuntimeError('no licence')"),
        "slow-to-load": (number, {}, "return table['a']\nwhile True: pass"),
        "dead-on-arrival": (number, {}, "return table['a']\nimport os; os._exit(5)"),
    }.items():
        source = root / f"{name}.py"
        first, _, rest = body.partition("\n")
        rest = f"import os\nif os.environ.get('LOKY_MAX_CPU_COUNT'):\n    {rest}" if rest else ""
        source.write_text(textwrap.dedent(_CODE).format(predict=first, then=rest))
        _save_code(root / name, source, signature, metadata={"fieldproof": options})
    return Models(root=root, table=table, expected=expected)


def _predicted_outside(model: Path, table: pd.DataFrame) -> npt.NDArray[Any]:
    """What MLflow answers without a sandbox; the environment decides on the last bits, so it is the same."""
    table.to_pickle(model.parent / "table")
    program = """
        import mlflow.pyfunc, pandas, sys
        model, table = sys.argv[1:]
        answer = mlflow.pyfunc.load_model(model).predict(pandas.read_pickle(table))
        pandas.Series(answer).to_pickle(table)
    """
    argv = [sys.executable, "-c", textwrap.dedent(program), str(model), str(model.parent / "table")]
    subprocess.run(argv, env={"OPENBLAS_NUM_THREADS": "1"}, check=True, stderr=subprocess.DEVNULL)
    answered: npt.NDArray[Any] = pd.read_pickle(model.parent / "table").to_numpy()
    return answered


#: `then` runs only where the environment is a candidate's: not while the model is being saved.
_CODE = """
    import mlflow.models
    import mlflow.pyfunc

    class Model(mlflow.pyfunc.PythonModel):
        def predict(self, context, table, params=None):
            {predict}

    mlflow.models.set_model(Model())
    {then}
"""


def _save_code(path: Path, source: Path, signature: Any, **more: Any) -> None:
    import mlflow.pyfunc

    mlflow.pyfunc.save_model(path, python_model=str(source), signature=signature, pip_requirements=[], **more)


def stream(columns: dict[str, Any]) -> bytes:
    """One Arrow IPC stream with one record batch."""
    batch = pa.RecordBatch.from_pydict(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


FRAME = stream({"a": [1.0, 2.0, 3.0], "b": [10.0, 20.0, 30.0], "unused": [0.0, 0.0, 0.0]})


async def ask(child: Sandbox | Candidate, mood: str = "sum") -> Predicted | Failed:
    """Hand over a frame of three rows of an asset that is called like the mood."""
    return await child.predict(mood, FRAME, 3, None, 0)


def values(answer: Predicted | Failed) -> list[float]:
    assert isinstance(answer, Predicted), answer
    return [float(value) for value in answer.columns[0]]


def failed(answer: Predicted | Loaded | Failed) -> Failed:
    assert isinstance(answer, Failed), answer
    return answer


@asynccontextmanager
async def sandbox(spec: ChildSpec, level: Level) -> AsyncIterator[Sandbox]:
    child = Sandbox(spec, level=level)
    try:
        loaded = await child.start()
        assert isinstance(loaded, Loaded), loaded
        # Every model here is one for which MLflow's check of each call may be left out.
        assert loaded.direct
        yield child
    finally:
        await child.close()


@dataclass(frozen=True)
class Shared:
    """One loop with one child of many moods, for tests that leave it alive."""

    runner: asyncio.Runner
    child: Sandbox

    def ask(self, mood: str = "sum") -> Predicted | Failed:
        return self.runner.run(ask(self.child, mood))


_SHARED: dict[Level, Shared] = {}


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


def family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert alive == []
