"""A model that makes the attempt which the asset's name says, and answers 0 where it was held."""

import json

import mlflow.models
import mlflow.pyfunc
import numpy as np
import pandas as pd
from attacks import MORE
from escape import ATTEMPTS, Escaped, _execute, tried


class Hostile(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: pd.DataFrame, params=None):
        what, _, target = model_input["asset"].iloc[0].partition(" ")
        held, told = tried({**ATTEMPTS, **MORE, "execute": (_execute,)}[what], json.loads(target))
        if not held:
            raise Escaped(told)
        return np.zeros(len(model_input))


mlflow.models.set_model(Hostile())
