"""A model for tests: an anomaly where any of this row and the four before it has x above 0.9."""

import mlflow.models
import mlflow.pyfunc
import numpy as np


class Peak(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return (model_input["x"].rolling(5, min_periods=1).max() > 0.9).to_numpy(np.float64)


mlflow.models.set_model(Peak())
