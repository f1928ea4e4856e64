"""A model for tests that takes what it can get, at each frame, in the way that it was saved with; never an answer."""

import ctypes

import mlflow.models
import mlflow.pyfunc
import moods


def floods(table):
    """Prints without end, starts processes, and burns CPU time in two threads."""
    moods.babbles(table)
    for _ in range(1000):
        moods.forks(table)
    moods.in_threads(1e9)


def eats(table):
    """Takes all the memory that there is, and keeps it."""
    try:
        moods.eats(table)
    except MemoryError:
        # What was taken is held by the exception.
        moods.spins(table)


def crashes(table):
    ctypes.string_at(0)


class Hostile(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.way = {"floods": floods, "eats": eats, "crashes": crashes}[context.model_config["way"]]

    def predict(self, context, model_input, params=None):
        return self.way(model_input.rename(columns={"x": "a"}))


mlflow.models.set_model(Hostile())
