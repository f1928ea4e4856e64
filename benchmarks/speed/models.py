"""The models that are measured, as start-ups would save them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.speed.load import names

KINDS = ("linear", "forest", "mlp")


def save(root: Path, kind: str, tags: int, seed: int = 0) -> Path:
    """Train a model of so many tags and save it, once; its folder.

    Args:
        root: where models are kept.
        kind: `linear`, `forest` (100 isolation trees) or `mlp` (32 hidden units).
        tags: how many inputs it has.
        seed: models of other seeds are other candidates.
    """
    import mlflow.sklearn
    from mlflow.models import infer_signature

    path = root / f"{kind}-{tags}-{seed}"
    if path.exists():
        return path
    rng = np.random.default_rng(seed + 1)
    table = pd.DataFrame(rng.normal(size=(2000, tags)), columns=names(tags))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = _fitted(kind, table, seed)
        mlflow.sklearn.save_model(
            model,
            path,
            signature=infer_signature(table, model.predict(table)),
            pip_requirements=[],
            serialization_format="cloudpickle",
        )
    return path


def _fitted(kind: str, table: pd.DataFrame, seed: int) -> Any:
    from sklearn.ensemble import IsolationForest
    from sklearn.linear_model import LinearRegression
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    truth = table.sum(axis=1)
    if kind == "forest":
        return IsolationForest(n_estimators=100, random_state=seed).fit(table)
    if kind == "mlp":
        network = MLPRegressor(hidden_layer_sizes=(32,), max_iter=20, random_state=seed)
        return make_pipeline(StandardScaler(), network).fit(table, truth)
    return make_pipeline(StandardScaler(), LinearRegression()).fit(table, truth + seed)
