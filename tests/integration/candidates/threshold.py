"""A model for tests: an anomaly where x is above one half."""

import mlflow.models
import mlflow.pyfunc
import numpy as np


class Threshold(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return (model_input["x"].to_numpy(np.float64) > 0.5).astype(np.float64)


mlflow.models.set_model(Threshold())
