"""A model for tests: x itself as a score, an anomaly where it is above one half, and no answer where it is below 0.02."""

import mlflow.models
import mlflow.pyfunc
import numpy as np


class Graded(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        x = model_input["x"].to_numpy(np.float64)
        return {"prediction": np.where(x < 0.02, np.nan, x > 0.5), "score": np.minimum(x, 1.0)}


mlflow.models.set_model(Graded())
