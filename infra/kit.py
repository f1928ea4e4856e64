"""What a start-up is given to begin with: the schema of what its model gets, the units, the allowed extract, a notebook."""

from __future__ import annotations

import json
from pathlib import Path

from infra.errors import InfraError
from schemas.pairing import Pairing
from schemas.parties import Plant


class KitNotWritten(InfraError):
    """The kit cannot be written there."""

    exit_code = 2


def write_kit(directory: Path, pairing: Pairing, plant: Plant) -> list[Path]:
    """Write a pairing's kit into a directory that does not exist yet.

    Raises:
        KitNotWritten: the directory is there already.
    """
    if directory.exists() and any(directory.iterdir()):
        raise KitNotWritten(f"{directory} is not empty; name a new directory")
    directory.mkdir(parents=True, exist_ok=True)
    texts = {
        "README.md": _readme(pairing, plant),
        "schema.json": json.dumps(_schema(pairing, plant), ensure_ascii=False, indent=2) + "\n",
        "train.py": _script(pairing),
        "first-model.ipynb": json.dumps(_notebook(pairing), ensure_ascii=False, indent=1) + "\n",
    }
    written = []
    for name, text in texts.items():
        (directory / name).write_text(text)
        written.append(directory / name)
    return written


def _schema(pairing: Pairing, plant: Plant) -> dict[str, object]:
    units = {tag.name: tag for tag in plant.tags}
    agreement = pairing.agreement
    return {
        "pairing": pairing.id,
        "agreement_digest": pairing.agreement_digest,
        "task": agreement.task,
        "target": agreement.target,
        "unit": agreement.unit,
        "classes": list(agreement.classes),
        "assets": list(agreement.assets),
        "inputs": [
            {"name": name, "type": "double", "unit": units[name].unit, "description": units[name].description}
            for name in agreement.inputs
        ],
        "optional_inputs": [
            {"name": "ts", "type": "datetime", "metadata": "with_ts"},
            {"name": "asset", "type": "string", "metadata": "with_asset"},
        ],
        "most_context_rows": agreement.limits.context_rows,
        "training_data": agreement.training_data,
        "limits": agreement.limits.model_dump(mode="json"),
        "acceptance": agreement.acceptance.model_dump(mode="json", exclude_none=True),
        "simulated": plant.simulated,
    }


_ANSWERS = {
    "anomaly": "0 (normal) or 1 (anomaly)",
    "classification": "the name of a class",
    "regression": "a number",
}


def _readme(pairing: Pairing, plant: Plant) -> str:
    agreement = pairing.agreement
    rows = "\n".join(
        f"| {tag.name} | {tag.unit} | {tag.description or ''} |"
        for tag in plant.tags
        if tag.name in agreement.inputs
    )
    return f"""# {pairing.id}

{plant.name}: {agreement.target}. Task: {agreement.task}. Answer for every row: {_ANSWERS[agreement.task]}; not-a-number abstains.

| input | unit (UCUM) | meaning |
| --- | --- | --- |
{rows}

Training data: {agreement.training_data}. The plant hands over an extract where the agreement says so; none is in this folder.

1. Train a model whose `predict` takes a table with these columns and gives one answer a row (`train.py`, `first-model.ipynb`).
2. Save it with a signature: `mlflow.sklearn.save_model(model, "my-model", signature=…, pip_requirements=[…])`.
3. `fieldproof candidate submit {pairing.id} my-model`
4. `fieldproof feed {pairing.startup}` shows what the agreement lets you see.

이 폴더에는 모델이 받게 될 입력의 이름·단위와 첫 모델의 예제가 있습니다.
"""


def _script(pairing: Pairing) -> str:
    agreement = pairing.agreement
    inputs = json.dumps(list(agreement.inputs), ensure_ascii=False)
    model, target = {
        "anomaly": ("LogisticRegression(max_iter=1000)", "0 or 1"),
        "classification": ("LogisticRegression(max_iter=1000)", "a class name"),
        "regression": ("LinearRegression()", "a number"),
    }[agreement.task]
    return f'''"""A first model: trained on extract.csv, which holds the inputs and a column `label` ({target})."""

import mlflow
import pandas as pd
from mlflow.models import infer_signature
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression  # noqa: F401
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

INPUTS = {inputs}

extract = pd.read_csv("extract.csv")
inputs, labels = extract[INPUTS].astype(float), extract["label"]
model = make_pipeline(SimpleImputer(), StandardScaler(), {model}).fit(inputs, labels)
mlflow.sklearn.save_model(
    model,
    "my-model",
    signature=infer_signature(inputs.head(), model.predict(inputs.head())),
    pip_requirements=["scikit-learn"],
)
'''


def _notebook(pairing: Pairing) -> dict[str, object]:
    def cell(kind: str, text: str) -> dict[str, object]:
        made: dict[str, object] = {
            "cell_type": kind,
            "metadata": {},
            "source": text.splitlines(keepends=True),
        }
        return made if kind == "markdown" else {**made, "outputs": [], "execution_count": None}

    return {
        "cells": [
            cell("markdown", f"# {pairing.id}\n\nA first model, as in `train.py`.\n"),
            cell("code", _script(pairing)),
            cell("markdown", f"Then: `fieldproof candidate submit {pairing.id} my-model`\n"),
        ],
        "metadata": {"language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
