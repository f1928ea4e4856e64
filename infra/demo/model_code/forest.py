"""Isolation forests, smoothed by a majority vote over the last rows: an MLflow model from code.

The artifact `forests` is a joblib file: `{"tags": [...], "window": 3, "machines": {name:
IsolationForest}}`; the name is the asset, or `*` for any.
"""

from __future__ import annotations

from typing import Any

import joblib
import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel
from numpy.typing import NDArray


class Forest(PythonModel):
    """Alarm (1.0) where most of the last `window` rows are outliers; 0.0 until `window` rows are known."""

    def load_context(self, context: Any) -> None:
        self.learnt = joblib.load(context.artifacts["forests"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> NDArray[np.float64]:
        """One prediction for each row given, of shape (n,); the rows are one machine's, in order of time."""
        alarm = np.zeros(len(model_input))
        window = self.learnt["window"]
        if len(model_input) < window:
            return alarm
        values = model_input[self.learnt["tags"]].to_numpy(np.float64)
        missing = np.isnan(values).any(axis=1)
        outlier = self.forest(model_input).predict(np.nan_to_num(values)) == -1
        last = np.lib.stride_tricks.sliding_window_view(outlier, window).sum(axis=1)
        alarm[window - 1 :] = 2 * last > window
        return np.where(missing, np.nan, alarm)

    def forest(self, rows: pd.DataFrame) -> Any:
        """The forest of the machine whose rows these are."""
        machines: dict[str, Any] = self.learnt["machines"]
        if "*" in machines:
            return machines["*"]
        asset = rows["asset"].iloc[0]
        if asset not in machines:
            raise ValueError(f"nothing was learnt of machine {asset!r}; known are {sorted(machines)}")
        return machines[asset]


set_model(Forest())
