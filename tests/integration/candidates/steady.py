"""A model for tests: how far a moving mean of x lies above one half, as a score, and an anomaly where it does."""

import mlflow.models
import mlflow.pyfunc
import numpy as np


class Steady(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.span = context.model_config["span"]

    def predict(self, context, model_input, params=None):
        mean = model_input["x"].ewm(span=self.span).mean().to_numpy(np.float64)
        score = 1 / (1 + np.exp(-8 * (mean - 0.5)))
        return {"prediction": score > 0.5, "score": score}


mlflow.models.set_model(Steady())
