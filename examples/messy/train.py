"""Train a detector on the press's days without a fault, and save it as a candidate.

    python examples/messy/train.py examples/messy/press-line-3-history.csv MODEL_FOLDER

The candidate answers 1 for a row that it takes for an anomaly and 0 for a normal one: scikit-learn's own -1 and 1 are no
classes of the agreement.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from typing import Any

import mlflow
import mlflow.pyfunc
import numpy as np
import pandas as pd
import sklearn
from mlflow.models import infer_signature
from sklearn.covariance import EllipticEnvelope
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

TAGS = ["압력", "온도", "진동", "전류"]

#: Written out: MLflow would look for them, and take along the lock file of the folder that it runs in.
REQUIREMENTS = [f"mlflow=={mlflow.__version__}", f"scikit-learn=={sklearn.__version__}"]
os.environ["MLFLOW_UV_AUTO_DETECT"] = "false"
logging.getLogger("mlflow").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="mlflow")


class Press(mlflow.pyfunc.PythonModel):
    """Rows that lie far outside the cloud of normal ones, with gaps filled by the normal median."""

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """One number a row: 1 for an anomaly, 0 for a normal one."""
        return (self.pipeline.predict(model_input[TAGS]) == -1).astype(float)


def read_history(file: str) -> pd.DataFrame:
    """The measured values of an export: CP949, a remark above the header, units below it, `Bad` where nothing was read."""
    rows = pd.read_csv(file, sep=";", encoding="cp949", header=1)[1:]
    return rows[TAGS].apply(pd.to_numeric, errors="coerce")


def main(history: str, folder: str) -> None:
    """Fit on a history file and save the model where there is none yet."""
    inputs = read_history(history)
    envelope = EllipticEnvelope(contamination=0.005, random_state=0)
    pipeline = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), envelope).fit(inputs)
    signature = infer_signature(inputs.fillna(0.0), np.zeros(len(inputs)))
    mlflow.pyfunc.save_model(
        folder, python_model=Press(pipeline), signature=signature, pip_requirements=REQUIREMENTS
    )
    print(f"{folder}: trained on {len(inputs)} rows")


if __name__ == "__main__":
    main(*sys.argv[1:])
