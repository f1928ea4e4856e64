"""Models of several libraries, each made and run in the environment that it asks for, with wheels from the index."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from infra.environments.environment import Environment, own_environment
from infra.environments.store import Environments
from infra.mlflow.files import contract_of
from infra.sandbox.command import Level
from infra.sandbox.spec import ChildSpec
from models.contract import Predicted
from schemas.agreement import Task
from tests.contract.children import run, sandbox, stream

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

TAGS = [f"t{number}" for number in range(4)]
N = 50
ROWS = np.random.default_rng(3).normal(size=(N, len(TAGS)))

#: What MLflow notes of its surroundings, named here: so a model is made in the environment that it will have.
BASE = ["mlflow-skinny", "setuptools==80.9.0"]

#: One minor version before the platform's: a model that pins it must not run with any other.
SKLEARN = ".".join(importlib.metadata.version("scikit-learn").split(".")[:2])
EARLIER = [*BASE, f"scikit-learn<{SKLEARN}"]

#: Runs where the start-up is: in the model's own environment, and not in a sandbox.
_MAKING = """
import sys
sys.path.append({packages!r})
import numpy as np, pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
table = pd.DataFrame(np.load("rows.npy"), columns={tags!r})
target = table.to_numpy() @ np.arange(1.0, 1 + table.shape[1])
signature = ModelSignature(Schema([ColSpec("double", tag) for tag in {tags!r}]), Schema([ColSpec("double")]))
options = dict(path="model", pip_requirements={requirements!r}, signature=signature)
{making}
import mlflow.pyfunc
np.save("expected.npy", np.asarray(mlflow.pyfunc.load_model("model").predict(table), dtype=float).ravel())
"""

SKLEARN_MODEL = """
import mlflow.sklearn
from sklearn.ensemble import GradientBoostingRegressor
model = GradientBoostingRegressor(random_state=0).fit(table, target)
mlflow.sklearn.save_model(model, serialization_format="cloudpickle", **options)
"""

#: A model from code that imports a file of its own, and tells what it finds around itself.
CODE_MODEL = """
from pathlib import Path
Path("rules.py").write_text("LIMIT = 0.25\\n")
Path("code_model.py").write_text('''
import importlib.util, rules, mlflow.models, mlflow.pyfunc, sklearn
OURS = ("schemas", "streams", "models", "agents", "infra", "faust", "aiokafka", "kafka", "typer", "pip")
class Model(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        seen = [name for name in OURS if importlib.util.find_spec(name)]
        return (model_input["t0"] > rules.LIMIT) + 10.0 * len(seen) + float(sklearn.__version__.split(".")[1]) * 100
mlflow.models.set_model(Model())
''')
import mlflow.pyfunc
mlflow.pyfunc.save_model(python_model="code_model.py", code_paths=["rules.py"], **options)
"""

ONNX_MODEL = """
import mlflow.onnx
from onnx import TensorProto, helper
weights = helper.make_tensor("w", TensorProto.FLOAT, [4, 1], [1, 2, 3, 4])
rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, [None, 4])
answer = helper.make_tensor_value_info("prediction", TensorProto.FLOAT, [None, 1])
graph = helper.make_graph([helper.make_node("MatMul", ["rows", "w"], ["prediction"])], "g", [rows], [answer], [weights])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
threads = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}
mlflow.onnx.save_model(model, onnx_session_options=threads, **options)
"""

XGBOOST_MODEL = """
import mlflow.xgboost, xgboost
model = xgboost.train({"seed": 0}, xgboost.DMatrix(table, target), 20)
mlflow.xgboost.save_model(model, **options)
"""


@dataclass(frozen=True)
class Made:
    """A start-up's model, and what it answers where it was made."""

    model: Path
    environment: Environment
    expected: np.ndarray


Make = Callable[[str, list[str]], Made]


@pytest.fixture(scope="session")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    """One folder for all tests here: each package is fetched once."""
    return Environments(tmp_path_factory.mktemp("environments"))


@pytest.fixture
def make(environments: Environments, tmp_path: Path) -> Make:
    """Makes a model by a script, with requirements that are its own."""

    def made(making: str, requirements: list[str]) -> Made:
        wish = tmp_path / "wish"
        wish.mkdir()
        (wish / "requirements.txt").write_text("\n".join(requirements))
        environment = environments.of(wish)
        np.save(tmp_path / "rows.npy", ROWS)
        program = textwrap.dedent(_MAKING).format(
            packages=str(environment.packages), tags=TAGS, requirements=requirements, making=making
        )
        command = [str(environment.interpreter), "-s", "-S", "-B", "-c", program]
        variables = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "HOME": str(tmp_path)}
        done = subprocess.run(
            command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return Made(tmp_path / "model", environment, np.load(tmp_path / "expected.npy"))

    return made


def answers(made: Made, environment: Environment, level: Level) -> np.ndarray:
    """What the sandboxed model answers to the same rows."""
    found: list[np.ndarray] = []

    async def main() -> None:
        contract = contract_of(made.model)
        spec = ChildSpec(model=made.model, contract=contract, task=Task.REGRESSION, environment=environment)
        async with sandbox(spec, level) as child:
            columns = {tag: ROWS[:, number] for number, tag in enumerate(TAGS)}
            answer = await child.predict("press-1", stream(columns), N, None, 0)
            assert isinstance(answer, Predicted), answer
            found.append(answer.columns[0])

    run(main())
    return found[0]


@pytest.mark.parametrize(
    ("making", "requirements"),
    [
        pytest.param(SKLEARN_MODEL, EARLIER, id="sklearn"),
        pytest.param(XGBOOST_MODEL, [*BASE, "xgboost-cpu"], id="xgboost"),
        pytest.param(ONNX_MODEL, [*BASE, "onnx", "onnxruntime"], id="onnx"),
    ],
)
def test_a_model_answers_in_the_sandbox_bit_for_bit_what_it_answered_where_it_was_made(
    make: Make, environments: Environments, best: Level, making: str, requirements: list[str]
) -> None:
    made = make(making, requirements)
    environment = environments.of(made.model)
    assert environment == made.environment, "nothing is built twice"
    assert environment != own_environment()
    assert len(set(made.expected)) > 1
    assert (answers(made, environment, best) == made.expected).all()


def test_a_model_from_code_imports_its_own_files_and_its_own_versions_and_nothing_of_the_platform(
    make: Make, environments: Environments, level: Level
) -> None:
    made = make(CODE_MODEL, EARLIER)
    version = float(SKLEARN.split(".")[1]) - 1
    expected = (ROWS[:, 0] > 0.25) + 100 * version
    assert (answers(made, environments.of(made.model), level) == expected).all()
    assert (made.expected == expected).all()
    assert sys.version_info[:2] == contract_python(made.model)


def contract_python(model: Path) -> tuple[int, ...]:
    """The Python that MLflow wrote down."""
    first = (model / "python_env.yaml").read_text().splitlines()[0]
    return tuple(int(part) for part in first.removeprefix("python: ").split(".")[:2])
