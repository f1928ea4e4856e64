"""Hotelling's T² and the Q statistic (squared prediction error), smoothed: an MLflow model from code.

Everything learnt is in the JSON artifact `parameters`, `{"tags": [...], "window": 5, "machines": {name:
{"mean", "scale", "t2_factor", "t2_limit", "q_factor", "q_limit"}}}`; the name is the asset, or `*` for any.
With z = (x - mean) / scale both statistics are sums of squares: T² = |t2_factor · z|², Q = |q_factor · z|².
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel
from numpy.typing import NDArray


def sum_of_squares(factor: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.float64]:
    """|factor · z|² a row, in a fixed order of operations.

    A matrix product may round the same row differently in a frame of another size; column arithmetic may not.
    """
    total = np.zeros(len(z))
    for weights in factor:
        projected = np.zeros(len(z))
        for column, weight in enumerate(weights):
            projected += weight * z[:, column]
        total += projected * projected
    return total


def rolling_median(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Median of the last `window` values, this one included; -inf (never an alarm) where fewer are known."""
    smooth = np.full(len(values), -np.inf)
    if len(values) >= window:
        smooth[window - 1 :] = np.median(np.lib.stride_tricks.sliding_window_view(values, window), axis=1)
    return smooth


class Hotelling(PythonModel):
    """Alarm (1.0) where the median of T² or Q exceeds its limit; NaN where a reading is missing."""

    def load_context(self, context: Any) -> None:
        self.learnt = json.loads(Path(context.artifacts["parameters"]).read_text(encoding="utf-8"))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> NDArray[np.float64]:
        """One prediction for each row given, of shape (n,); the rows are one machine's, in order of time."""
        machine = self.machine(model_input)
        values = model_input[self.learnt["tags"]].to_numpy(np.float64)
        z = (values - np.asarray(machine["mean"])) / np.asarray(machine["scale"])
        alarm = np.zeros(len(z))
        for name in ("t2", "q"):
            factor, limit = np.asarray(machine[f"{name}_factor"]), machine[f"{name}_limit"]
            smooth = rolling_median(sum_of_squares(factor, z), self.learnt["window"])
            alarm = np.where(np.isnan(smooth), np.nan, np.maximum(alarm, smooth > limit))
        return alarm

    def machine(self, rows: pd.DataFrame) -> dict[str, Any]:
        """What was learnt of the machine whose rows these are."""
        machines: dict[str, dict[str, Any]] = self.learnt["machines"]
        if "*" in machines or rows.empty:
            return machines.get("*") or next(iter(machines.values()))
        asset = rows["asset"].iloc[0]
        if asset not in machines:
            raise ValueError(f"nothing was learnt of machine {asset!r}; known are {sorted(machines)}")
        return machines[asset]


set_model(Hotelling())
