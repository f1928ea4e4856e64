"""A model for tests: an anomaly where x leaves the range of its configuration."""

import mlflow.models
import mlflow.pyfunc
import numpy as np


class Limits(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.low, self.high = context.model_config["low"], context.model_config["high"]

    def predict(self, context, model_input, params=None):
        x = model_input["x"].to_numpy(np.float64)
        return ((x < self.low) | (x > self.high)).astype(np.float64)


mlflow.models.set_model(Limits())
