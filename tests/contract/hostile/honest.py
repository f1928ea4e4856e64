"""A model that uses what scientific Python offers, as honest ones do, and answers the sum of its inputs."""

import asyncio
import concurrent.futures
import contextlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import mlflow.models
import mlflow.pyfunc
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import scipy.linalg
import scipy.signal


def through_files(table):
    """Parquet, CSV and a copied folder, in the scratch."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "first")
        folder.mkdir()
        pa.parquet.write_table(pa.Table.from_pandas(table), folder / "table.parquet")
        table.to_csv(folder / "table.csv", index=False)
        copied = Path(shutil.copytree(folder, Path(name, "second")))
        pd.testing.assert_frame_equal(pd.read_csv(copied / "table.csv"), table)
        return pd.read_parquet(copied / "table.parquet")


def in_threads(table):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return sum(pool.map(lambda name: table[name].to_numpy(), table.columns))


async def in_a_loop(values):
    await asyncio.sleep(0)
    return await asyncio.to_thread(lambda: values)


class Honest(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: pd.DataFrame, params=None):
        with contextlib.suppress(OSError):
            subprocess.run(["git", "--version"], check=False)
        matrix = np.random.default_rng(1).normal(size=(200, 200))
        np.testing.assert_allclose(scipy.linalg.inv(matrix) @ matrix, np.eye(200), atol=1e-6)
        scipy.signal.butter(4, 0.1)
        return asyncio.run(in_a_loop(in_threads(through_files(model_input))))


mlflow.models.set_model(Honest())
