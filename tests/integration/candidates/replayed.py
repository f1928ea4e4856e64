"""A model for tests: answers that were given before, looked up by machine and time; none where none is stored."""

import mlflow.models
import mlflow.pyfunc
import numpy as np


class Replayed(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        with np.load(context.artifacts["answers"]) as stored:
            self.answers = {name: stored[name] for name in stored.files}

    def predict(self, context, model_input, params=None):
        asset = model_input["asset"].iloc[0]
        times, answers = self.answers[f"{asset}.ts"], self.answers[f"{asset}.answers"]
        asked = model_input["ts"].to_numpy("datetime64[us]").astype(np.int64)
        at = np.minimum(np.searchsorted(times, asked), len(times) - 1)
        return np.where(times[at] == asked, answers[at], np.nan)


mlflow.models.set_model(Replayed())
