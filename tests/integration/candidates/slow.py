"""A model for tests: it takes as many seconds for a frame as its largest x says."""

import time

import mlflow.models
import mlflow.pyfunc
import numpy as np


class Slow(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        x = model_input["x"].to_numpy(np.float64)
        time.sleep(float(x.max()))
        return np.zeros(len(x))


mlflow.models.set_model(Slow())
