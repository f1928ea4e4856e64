"""An alarm outside mean ± k standard deviations of any tag: an MLflow model from code.

The JSON artifact `parameters` is `{"tags": [...], "k": 3, "machines": {name: {"mean": [...], "deviation":
[...]}}}`; the name is the asset, or `*` for any.
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


class Envelope(PythonModel):
    """Alarm (1.0) where any tag leaves its envelope; NaN (no answer) where a reading is missing."""

    def load_context(self, context: Any) -> None:
        self.learnt = json.loads(Path(context.artifacts["parameters"]).read_text(encoding="utf-8"))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> NDArray[np.float64]:
        """One prediction for each row given, of shape (n,)."""
        if model_input.empty:
            return np.zeros(0)
        machine = self.machine(model_input)
        values = model_input[self.learnt["tags"]].to_numpy(np.float64)
        width = self.learnt["k"] * np.asarray(machine["deviation"])
        outside = (np.abs(values - np.asarray(machine["mean"])) > width).any(axis=1)
        return np.where(np.isnan(values).any(axis=1), np.nan, outside)

    def machine(self, rows: pd.DataFrame) -> dict[str, Any]:
        """What was learnt of the machine whose rows these are."""
        machines: dict[str, dict[str, Any]] = self.learnt["machines"]
        if "*" in machines:
            return machines["*"]
        asset = rows["asset"].iloc[0]
        if asset not in machines:
            raise ValueError(f"nothing was learnt of machine {asset!r}; known are {sorted(machines)}")
        return machines[asset]


set_model(Envelope())
