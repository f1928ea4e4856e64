"""A candidate's files on disk: what they declare and the digest that freezes them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from infra.errors import InfraError
from models.contract import Contract, Problem, read_contract


class UnusableModel(InfraError):
    """The model cannot be a candidate."""

    exit_code = 2


def read_mlmodel(directory: Path) -> dict[str, Any]:
    """The parsed MLmodel file.

    Raises:
        UnusableModel: there is none, or it cannot be read.
    """
    path = directory / "MLmodel"
    if not path.is_file():
        raise UnusableModel(
            f"{directory} is no MLflow model: it has no MLmodel file. "
            "Save one with mlflow.sklearn.save_model or mlflow.pyfunc.save_model."
        )
    try:
        found = YAML(typ="safe", pure=True).load(path.read_text())
    except (YAMLError, UnicodeDecodeError) as error:
        raise UnusableModel(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise UnusableModel(f"{path} cannot be read: it is no mapping")
    return found


def contract_of(directory: Path) -> Contract:
    """What the model in a directory declares about itself.

    Raises:
        UnusableModel: it declares nothing that can be used; the text says what to do.
    """
    contract = read_contract(read_mlmodel(directory))
    if isinstance(contract, Problem):
        raise UnusableModel(contract.text)
    return contract


#: What MLflow writes beside a model's files when it downloads them: how it was asked for, not what it is.
DOWNLOAD_NOTE = "registered_model_meta"


def digest_of(directory: Path) -> str:
    """SHA-256 over the sorted relative names of a model's files, each with the SHA-256 of its bytes.

    Raises:
        UnusableModel: a file is a symbolic link or lies outside.
    """
    total = hashlib.sha256()
    for path in sorted(directory.rglob("*"), key=lambda one: one.relative_to(directory).as_posix()):
        if path.is_symlink():
            raise UnusableModel(f"{path} is a symbolic link; a model's files have to be its own")
        if path.is_file() and path != directory / DOWNLOAD_NOTE:
            name = path.relative_to(directory).as_posix()
            total.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()
