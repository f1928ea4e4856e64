"""The kit's first model: the same steps as a script and as a notebook."""

from __future__ import annotations

import json
from dataclasses import dataclass
from string import Template
from typing import Any

from infra.kit.sample import EXTRACT, columns_of
from schemas.agreement import Task
from schemas.pairing import Pairing


@dataclass(frozen=True, kw_only=True)
class Step:
    """A cell of the notebook, and a part of the script."""

    title: str
    code: str


_DATA = Step(
    title="The extract: inputs, and the label where it is known. 학습 데이터를 읽습니다.",
    code="""
import hashlib
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import sklearn
from sklearn.ensemble import $IMPORTED
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

INPUTS = $INPUTS
LABEL = "$LABEL"
EXTRACT = Path("$EXTRACT")

if not EXTRACT.is_file():
    raise SystemExit(
        f"there is no {EXTRACT} here: README.md says why. Put a table of your own there, with the columns "
        f"{', '.join([*INPUTS, LABEL])}, and run this again"
    )
# Only what is empty is missing: a machine may be called NA.
extract = pd.read_csv(EXTRACT, dtype={LABEL: $LABEL_TYPE}, keep_default_na=False, na_values=[""])
inputs, labels = extract[INPUTS].astype(float), extract[LABEL]


def with_inputs(model):
    # Any input is usable: a sensor that is silent or overflows fails no frame.
    finite = FunctionTransformer(np.clip, kw_args={"a_min": -1e15, "a_max": 1e15})
    return make_pipeline(finite, SimpleImputer(keep_empty_features=True), model)
""",
)

_UNSUPERVISED = Step(
    title="Where labels tell no faults apart, what is rare stands in for them. 이상 라벨이 없으면 드문 행을 이상으로 봅니다.",
    code="""
NORMAL, ANOMALY = $CLASSES
if labels.nunique() < 2:
    print("no labels of both kinds: what an isolation forest finds rare stands in for anomalies")
    usual = inputs[labels != ANOMALY] if (labels != ANOMALY).any() else inputs
    forest = with_inputs(IsolationForest(contamination=0.01, random_state=0))
    labels = pd.Series(np.where(forest.fit(usual).predict(inputs) < 0, ANOMALY, NORMAL))
""",
)

_LABELLED = Step(
    title="Without labels there is nothing to learn here. 라벨이 없으면 학습할 수 없습니다.",
    code="""
if labels.nunique() < 2:
    raise SystemExit(
        f"{EXTRACT} has no two different labels. Ask the plant for labels of rows from before the trial "
        "(`fieldproof label send`, `fieldproof replay --labels`) and for the kit again, or add labels of your own"
    )
""",
)

_MODEL = Step(
    title="The model: change it as you like. 모델을 바꿔 보세요.",
    code="""
model = with_inputs($MODEL)
known = labels.notna()
model.fit(inputs[known], labels[known])
print(f"learnt from {known.sum()} of {len(extract)} rows")
""",
)

_SAVE = Step(
    title="Saved anew each time, with a signature and the sum of the data that it learnt from. 서명과 함께 저장합니다.",
    code="""
shutil.rmtree("my-model", ignore_errors=True)
mlflow.sklearn.save_model(
    model,
    "my-model",
    # Any kind of model can be saved so; whoever it is submitted to loads it in a sandbox.
    serialization_format="cloudpickle",
    signature=mlflow.models.infer_signature(inputs.head(), model.predict(inputs.head())),
    pip_requirements=[f"scikit-learn=={sklearn.__version__}"],
    metadata={"training_data_sha256": hashlib.sha256(EXTRACT.read_bytes()).hexdigest()},
)
print("saved. Next: fieldproof candidate submit $PAIRING my-model")
""",
)

_FOREST = "RandomForestClassifier(n_estimators=50, min_samples_leaf=5, random_state=0)"
_NUMBERS = (
    "RandomForestRegressor",
    "RandomForestRegressor(n_estimators=50, min_samples_leaf=20, max_features=0.5, random_state=0)",
    _LABELLED,
)
_MODELS = {
    Task.ANOMALY: ("IsolationForest, RandomForestClassifier", _FOREST, _UNSUPERVISED),
    Task.CLASSIFICATION: ("RandomForestClassifier", _FOREST, _LABELLED),
    Task.REGRESSION: _NUMBERS,
    Task.FORECASTING: _NUMBERS,
    Task.RUL: _NUMBERS,
}


def steps(pairing: Pairing) -> list[Step]:
    """A first model for the agreement's task, step by step."""
    agreement = pairing.agreement
    imported, model, middle = _MODELS[agreement.task]
    fill = {
        "IMPORTED": imported,
        "MODEL": model,
        "INPUTS": _literal(agreement.inputs),
        "LABEL": columns_of(agreement)[1],
        # Classes may look like numbers; they are names all the same.
        "LABEL_TYPE": "float" if agreement.task.numeric else "object",
        "CLASSES": _literal(agreement.classes),
        "EXTRACT": EXTRACT,
        "PAIRING": pairing.id,
    }
    return [
        Step(title=step.title, code=Template(step.code).substitute(fill).strip() + "\n")
        for step in (_DATA, middle, _MODEL, _SAVE)
    ]


def _literal(names: tuple[str, ...]) -> str:
    return json.dumps(names, ensure_ascii=False)


def script(pairing: Pairing) -> str:
    """`train.py`."""
    head = f'"""A first model for {pairing.id}: run it in this folder. 첫 모델 예제입니다."""\n\n'
    return head + "\n".join(f"# {step.title}\n{step.code}" for step in steps(pairing))


def notebook(pairing: Pairing) -> dict[str, Any]:
    """`first-model.ipynb`: the same, in the notebook format 4.5."""
    cells = [
        _cell("markdown", "title", f"# {pairing.id}\n\nThe same as `train.py`. `train.py`와 같습니다.\n")
    ]
    for number, step in enumerate(steps(pairing), start=1):
        cells.append(_cell("markdown", f"said-{number}", f"## {step.title}\n"))
        cells.append(_cell("code", f"step-{number}", step.code))
    return {
        "cells": cells,
        "metadata": {"language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _cell(kind: str, ident: str, text: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "cell_type": kind,
        "id": ident,
        "metadata": {},
        "source": text.splitlines(keepends=True),
    }
    return made if kind == "markdown" else {**made, "outputs": [], "execution_count": None}
