"""Train a linear regression on engines that ran to failure, and save it as a candidate.

    python examples/cmapss/train.py engines-train.csv MODEL_FOLDER

The candidate predicts the cycles that an engine has left, one number a row, from fourteen sensors.
"""

from __future__ import annotations

import sys

import mlflow.sklearn
import pandas as pd
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression

SENSORS = [f"s{number}" for number in (2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21)]


def main(history: str, folder: str) -> None:
    """Fit on a history file and save the model where there is none yet."""
    rows = pd.read_csv(history)
    inputs = rows[SENSORS].astype(float)
    model = LinearRegression().fit(inputs, rows["rul"])
    signature = infer_signature(inputs, model.predict(inputs))
    mlflow.sklearn.save_model(model, folder, signature=signature)
    print(f"{folder}: trained on {len(rows)} rows of {rows['engine'].nunique()} engines")


if __name__ == "__main__":
    main(*sys.argv[1:])
