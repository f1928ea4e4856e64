"""How a peer is talked to: its model is loaded once, then one job a line on stdin, and one answer a line on stdout."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

Job = dict[str, Any]
Answer = dict[str, Any]

#: Calls before anything is measured.
WARM = 5


def serve(run: Callable[[Job], Answer]) -> None:
    """Answer jobs until nobody asks any more; ends with the process that started it, however that ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    print(json.dumps({"ready": True}), file=answers)
    for line in sys.stdin:
        used = time.process_time()
        try:
            answer = run(json.loads(line))
        except Exception as error:  # noqa: BLE001  (told, and the round goes on without it)
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answer["cpu_s"] = time.process_time() - used
        print(json.dumps(answer), file=answers)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)


def model_of(path: str) -> Any:
    """The model itself, without what MLflow puts around it."""
    import mlflow.sklearn

    # A model that was fitted to named columns complains of bare arrays at every call.
    warnings.simplefilter("ignore")
    return mlflow.sklearn.load_model(path)


def table_of(value: bytes, tags: list[str], *, arrays: bool) -> Any:
    """A frame's rows as the model takes them: columns without a copy by Arrow, one block of all.

    Args:
        value: an Arrow IPC stream of one record batch.
        tags: the model's inputs.
        arrays: a bare array of shape (rows, tags) instead of the table with names that the model was fitted to.
    """
    with pa.ipc.open_stream(pa.py_buffer(value)) as reader:
        batch = reader.read_next_batch()
    block = np.empty((len(tags), batch.num_rows))
    for row, tag in zip(block, tags, strict=True):
        row[:] = batch.column(tag).to_numpy(zero_copy_only=True)
    return block.T if arrays else pd.DataFrame(block.T, columns=_header(tuple(tags)), copy=False)


@cache
def _header(tags: tuple[str, ...]) -> pd.Index:
    """The names of a table's columns, made once: pandas and scikit-learn look every new one over."""
    return pd.Index(tags)


def answers_of(model: Any, table: Any) -> bytes:
    """One float64 a row."""
    return bytes(np.asarray(model.predict(table), dtype=np.float64).tobytes())


def warm(model: Any, tags: list[str], rows: int, *, arrays: bool) -> None:
    """Call a model a few times."""
    block = np.zeros((len(tags), rows)).T
    for _ in range(WARM):
        model.predict(block if arrays else pd.DataFrame(block, columns=tags))
