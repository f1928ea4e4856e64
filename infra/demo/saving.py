"""Saving a detector as an MLflow model from code, which any interpreter with the usual packages can load."""

from __future__ import annotations

import json
import platform
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib

CODE = Path(__file__).parent / "model_code"


@dataclass(frozen=True, kw_only=True)
class Detector:
    """A fitted detector, ready to be saved."""

    #: Name of the script in `model_code`, without `.py`.
    code: str
    #: Name of the artifact the script reads; a JSON file for `parameters`, a joblib file otherwise.
    artifact: str
    learnt: Mapping[str, Any]
    #: The tags of its signature; those it reads stand in `learnt["tags"]`.
    inputs: Sequence[str]
    #: Preceding rows that the detector wants in front of each frame.
    context_rows: int

    @property
    def with_asset(self) -> bool:
        """Whether it must be told which machine the rows are of."""
        return "*" not in self.learnt["machines"]


def save(detector: Detector, path: Path) -> None:
    """Write the MLflow model to the directory `path`, which must not exist yet.

    Inputs are the tags as doubles, and `asset` as a string where the detector has learnt each machine
    apart; the output is one double a row. The metadata says what the platform has to hand over:
    `{"fieldproof": {"context_rows", "with_ts", "with_asset"}}`.
    """
    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(An input example was not|Any type hint is)")
        from mlflow.pyfunc import save_model  # 2.7 s: only who saves a model waits for it

        artifact = _write(detector, Path(scratch))
        save_model(
            path=str(path),
            python_model=str(CODE / f"{detector.code}.py"),
            artifacts={detector.artifact: str(artifact)},
            signature=_signature(detector),
            conda_env=_environment(detector),
            uv_project_path=scratch,  # or the lock file of the working directory's project goes in
            metadata={
                "fieldproof": {
                    "context_rows": detector.context_rows,
                    "with_ts": False,
                    "with_asset": detector.with_asset,
                }
            },
        )


def _write(detector: Detector, directory: Path) -> Path:
    if detector.artifact == "parameters":
        file = directory / "parameters.json"
        file.write_text(json.dumps(detector.learnt), encoding="utf-8")
    else:
        file = directory / f"{detector.artifact}.joblib"
        joblib.dump(dict(detector.learnt), file, compress=3)
    return file


def _environment(detector: Detector) -> dict[str, Any]:
    """What the script needs, in today's versions; written out, because MLflow's inference takes seconds."""
    packages = ["mlflow", "numpy", "pandas"]
    if detector.artifact != "parameters":
        packages += ["joblib", "scikit-learn"]
    pinned = [f"{name}=={version(name)}" for name in packages]
    return {
        "name": "candidate",
        "channels": ["conda-forge"],
        "dependencies": [f"python={platform.python_version()}", "pip", {"pip": pinned}],
    }


def _signature(detector: Detector) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    inputs: list[ColSpec | TensorSpec] = [ColSpec(DataType.double, tag) for tag in detector.inputs]
    if detector.with_asset:
        inputs.append(ColSpec(DataType.string, "asset"))
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([ColSpec(DataType.double)]))
