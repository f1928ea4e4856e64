"""A model for tests: x itself as a score, an anomaly where it is above one half, and no answer where it is below 0.02.

It is slow, so that its worker has frames in hand whenever it is killed.
"""

import time

import mlflow.models
import mlflow.pyfunc
import numpy as np


class Graded(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        time.sleep(0.06)
        x = model_input["x"].to_numpy(np.float64)
        return {"prediction": np.where(x < 0.02, np.nan, x > 0.5), "score": np.minimum(x, 1.0)}


mlflow.models.set_model(Graded())
