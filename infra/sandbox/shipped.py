"""Which models are Fieldproof's own: those need no containment, because none of their code is a stranger's."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any

import infra.demo
from infra.environments.requirements import Refused, requirements_of
from infra.mlflow.files import DOWNLOAD_NOTE, UnusableModel, read_mlmodel

#: What our code imports. A package of any other name would be a stranger's code.
_PACKAGES = frozenset({"mlflow", "numpy", "pandas"})

#: What MLflow writes beside a model from code, and what our code reads.
_TEXTS = frozenset({"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", DOWNLOAD_NOTE})
_DATA = frozenset({".json"})

#: How MLflow is told to load a model from code, and nothing else that it would import or unpickle.
_LOADER = "mlflow.pyfunc.loaders.code_model"
_LOADED_BY = frozenset(
    {
        "artifacts",
        "cloudpickle_version",
        "code",
        "env",
        "loader_module",
        "model_code_path",
        "python_version",
        "streamable",
    }
)


def shipped(model: Path) -> bool:
    """Whether every line that runs when this model is loaded came with Fieldproof.

    Its scripts are ours, byte for byte; it holds no pickles, which are programs too, and asks for no package but
    those that our scripts import.
    """
    try:
        loaded = read_mlmodel(model)
    except (UnusableModel, OSError):
        return False
    asked = requirements_of(model)
    if isinstance(asked, Refused) or not asked.names() <= _PACKAGES:
        return False
    return _from_code(loaded) and all(_harmless(path, model) for path in model.rglob("*"))


def _from_code(loaded: dict[str, Any]) -> bool:
    flavors = loaded.get("flavors")
    if not isinstance(flavors, dict) or set(flavors) != {"python_function"}:
        return False
    flavor = flavors["python_function"]
    if not isinstance(flavor, dict) or not set(flavor) <= _LOADED_BY:
        return False
    return flavor.get("loader_module") == _LOADER and flavor.get("code") is None


def _harmless(path: Path, model: Path) -> bool:
    if path.is_symlink() or not (path.is_file() or path.is_dir()):
        return False
    if path.is_dir() or path.relative_to(model).as_posix() in _TEXTS:
        return True
    if path.suffix == ".py":
        return _digest(path) in _own_scripts()
    return path.suffix in _DATA


@functools.cache
def _own_scripts() -> frozenset[str]:
    return frozenset(map(_digest, Path(infra.demo.__file__).with_name("model_code").glob("*.py")))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
