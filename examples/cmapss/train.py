"""Train a linear regression on engines that ran to failure, and save it as a candidate.

    python examples/cmapss/train.py engines-train.csv MODEL_FOLDER

The candidate predicts the cycles that an engine has left, one number a row, from fourteen sensors.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings

import mlflow
import mlflow.sklearn
import pandas as pd
import sklearn
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression

SENSORS = [f"s{number}" for number in (2, 3, 4, 7, 8, 9, 11, 12, 13, 14, 15, 17, 20, 21)]

#: Written out: MLflow would look for them, and take along the lock file of the folder that it runs in.
REQUIREMENTS = [f"mlflow=={mlflow.__version__}", f"scikit-learn=={sklearn.__version__}"]
os.environ["MLFLOW_UV_AUTO_DETECT"] = "false"
logging.getLogger("mlflow").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="mlflow")


def main(history: str, folder: str) -> None:
    """Fit on a history file and save the model where there is none yet."""
    rows = pd.read_csv(history)
    inputs = rows[SENSORS].astype(float)
    model = LinearRegression().fit(inputs, rows["rul"])
    signature = infer_signature(inputs, model.predict(inputs))
    mlflow.sklearn.save_model(model, folder, signature=signature, pip_requirements=REQUIREMENTS)
    print(f"{folder}: trained on {len(rows)} rows of {rows['engine'].nunique()} engines")


if __name__ == "__main__":
    main(*sys.argv[1:])
