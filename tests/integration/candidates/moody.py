"""A model for tests: it raises where x is above 90, hangs where x is above 80, and is a threshold elsewhere."""

import time

import mlflow.models
import mlflow.pyfunc
import numpy as np


class Moody(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        x = model_input["x"].to_numpy(np.float64)
        if (x > 90).any():
            raise ValueError("no answer to this")
        while (x > 80).any():
            time.sleep(1)
        return (x > 0.5).astype(np.float64)


mlflow.models.set_model(Moody())
