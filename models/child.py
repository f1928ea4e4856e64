"""The program inside the sandbox: it loads one candidate and answers frames.

It runs by its path, in a process that `confine.py` has confined and in an interpreter that knows none of the
platform's packages, so its imports are the standard library, and pandas, pyarrow and MLflow once it has limited
its memory. The platform imports the wire's constants from here and trusts nothing that comes back: the code it
loads may write to the wire as well. What it has used is not asked of it; the platform reads that from the kernel.

Wire, a stream socket on descriptor 0; all numbers little-endian:

- platform → child: `LENGTH` and a configuration in JSON; `LOAD` when it is to go on from `WARM`; then for each
  frame `REQUEST`, the asset's name in UTF-8, the context's Arrow IPC stream where there is one, the frame's.
- child → platform: `ANSWER` and its body. `STARTED` when it has limited itself and before any package's first
  line of code, `WARM` when the libraries are there and before the candidate's, `READY` when the model is loaded,
  then for each frame in order `PREDICTED` with columns × rows raw float64, or a failure: an exception's name, a
  place and a text, each of bounded length.
"""

from __future__ import annotations

import gc
import json
import math
import os
import resource
import socket
import struct
import sys
import traceback
from typing import Any, Literal, NoReturn

LENGTH = struct.Struct("<I")

#: magic, sequence number, context rows, rows, bytes of context, bytes of payload, bytes of the asset's name.
REQUEST = struct.Struct("<4sQIIIIH")
REQUEST_MAGIC = b"FPq1"

#: What the platform says to a warm child: load the model now.
LOAD = b"FPl1"

#: magic, status, columns, bytes of exception, of place, of text, sequence number, rows.
ANSWER = struct.Struct("<4sBBHHHQI")
ANSWER_MAGIC = b"FPa1"

STARTED, WARM, READY, PREDICTED, ERROR, MEMORY, NONSENSE = range(1, 8)
#: What a failure is called outside.
FAILURES: dict[int, Literal["error", "memory", "nonsense"]] = {
    ERROR: "error",
    MEMORY: "memory",
    NONSENSE: "nonsense",
}

MAX_EXCEPTION, MAX_WHERE, MAX_TEXT = 128, 512, 4096

#: What READY says in its text where MLflow's own check of every call is left out, and where it is not.
DIRECT, CHECKED = "direct", "checked"

#: numpy types for MLflow's names of types.
_DTYPES = {"double": "float64", "float": "float32", "long": "int64", "integer": "int32", "boolean": "bool"}

#: What the libraries may take while they are imported: they may be of the candidate's own choosing.
LIBRARIES_BYTES = 2 << 30


class Nonsense(Exception):
    """The model answered, but not with one usable prediction for each row."""


class Wire:
    """The connection to the platform."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def receive(self, size: int) -> memoryview:
        """Exactly `size` bytes, in memory of their own: a model may keep what it is given."""
        data = memoryview(bytearray(size))
        done = 0
        while done < size:
            read = self._connection.recv_into(data[done:], size - done, socket.MSG_WAITALL)
            if not read:
                os._exit(0)
            done += read
        return data

    def send(self, header: bytes, body: bytes) -> None:
        """Send one answer."""
        self._connection.sendall(header + body)


def main() -> NoReturn:
    """Load the model and answer frames until the platform hangs up."""
    wire = _take_wire()
    (length,) = LENGTH.unpack(wire.receive(LENGTH.size))
    config = json.loads(bytes(wire.receive(length)))
    memory = config["memory_mb"] << 20
    _limit_memory(memory + LIBRARIES_BYTES)
    wire.send(_header(STARTED), b"")
    sys.path += config["packages"]
    import mlflow.pyfunc  # noqa: F401
    import pandas  # noqa: F401  (the candidate's memory is counted from here on)
    import pyarrow.ipc  # noqa: F401

    _limit_memory(memory + (_status_kb("VmData") << 10))
    wire.send(_header(WARM), b"")
    if wire.receive(len(LOAD)) != LOAD:
        os._exit(1)
    try:
        candidate = Candidate(config)
    except BaseException as error:
        _send_failure(wire, 0, error, config)
        sys.exit(1)
    gc.collect()
    gc.freeze()
    way = (DIRECT if candidate.direct else CHECKED).encode()
    wire.send(_header(READY, text=len(way)), way)
    while True:
        _answer(wire, candidate, config)


def _take_wire() -> Wire:
    """Move the wire away from where model code would print or read."""
    connection = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return Wire(connection)


def _limit_memory(limit: int) -> None:
    """Allow so many bytes of private writable memory, and never more than before.

    RLIMIT_AS would also count what is only reserved or mapped.
    """
    _, before = resource.getrlimit(resource.RLIMIT_DATA)
    most = limit if before == resource.RLIM_INFINITY else min(limit, before)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _answer(wire: Wire, candidate: Candidate, config: dict[str, Any]) -> None:
    """Take one frame from the wire and answer it."""
    fields = REQUEST.unpack(wire.receive(REQUEST.size))
    magic, seq, n_context, n_rows, context_size, payload_size, asset_size = fields
    if magic != REQUEST_MAGIC:
        os._exit(1)
    asset = str(wire.receive(asset_size), "utf-8")
    context = wire.receive(context_size)
    payload = wire.receive(payload_size)
    try:
        body = candidate.predict(asset, context, n_context, payload, n_rows)
    except BaseException as error:
        _send_failure(wire, seq, error, config)
        return
    wire.send(_header(PREDICTED, seq=seq, columns=candidate.n_columns, rows=n_rows), body)


def _header(
    status: int,
    *,
    seq: int = 0,
    columns: int = 0,
    rows: int = 0,
    exception: int = 0,
    where: int = 0,
    text: int = 0,
) -> bytes:
    return ANSWER.pack(ANSWER_MAGIC, status, columns, exception, where, text, seq, rows)


def _status_kb(key: str) -> int:
    """A size of this process from the kernel's account of it."""
    with open("/proc/self/status", "rb", buffering=0) as status:
        lines = status.read(8192).split(b"\n")
    wanted = key.encode() + b":"
    return next(int(line.split()[1]) for line in lines if line.startswith(wanted))


def _send_failure(wire: Wire, seq: int, error: BaseException, config: dict[str, Any]) -> None:
    error = _origin(error)
    status = MEMORY if isinstance(error, MemoryError) else NONSENSE if isinstance(error, Nonsense) else ERROR
    name = type(error).__name__
    try:
        said = str(error)
    except BaseException:
        said = "(its message could not be made)"
    shown = said if isinstance(error, Nonsense) else f"{name}: {said}" if said else name
    exception = _bounded("" if isinstance(error, Nonsense) else name, MAX_EXCEPTION)
    where = _bounded(_where(error, config["model"]), MAX_WHERE)
    if config["tracebacks"] and not isinstance(error, Nonsense):
        shown = _traceback(error)
    text = _bounded(shown, MAX_TEXT)
    # The traceback keeps the frame's data alive, which may be what used the memory up.
    error.__traceback__ = None
    lengths = {"exception": len(exception), "where": len(where), "text": len(text)}
    wire.send(_header(status, seq=seq, **lengths), exception + where + text)


def _origin(error: BaseException) -> BaseException:
    """What MLflow wrapped: its own exceptions say little of the model's."""
    while type(error).__module__.startswith("mlflow.") and error.__cause__ is not None:
        error = error.__cause__
    return error


def _bounded(text: str, size: int) -> bytes:
    return text.encode("utf-8", "replace")[:size].decode("utf-8", "ignore").encode()


def _traceback(error: BaseException) -> str:
    """What Python would print, from where the model is called on; the end of it, where it is too long."""
    passed = error.__traceback__
    while passed is not None and passed.tb_frame.f_code.co_filename == __file__:
        passed = passed.tb_next
    lines = traceback.format_exception(type(error), error, passed)
    return "".join(lines).encode("utf-8", "replace")[-MAX_TEXT:].decode("utf-8", "ignore")


def _where(error: BaseException, model_path: str) -> str:
    """The deepest place in the model's own files that the error passed, or nothing."""
    inside = os.path.realpath(model_path) + os.sep
    place = ""
    traceback = error.__traceback__
    while traceback is not None:
        name = os.path.realpath(traceback.tb_frame.f_code.co_filename)
        if name.startswith(inside):
            place = f"{name[len(inside) :]}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


class Candidate:
    """A loaded model, with its frames built and its answers read as the contract says."""

    def __init__(self, config: dict[str, Any]) -> None:
        import mlflow.pyfunc
        import pandas as pd

        self._columns: list[tuple[str, str]] = [(name, type_) for name, type_ in config["columns"]]
        self._header = pd.Index([name for name, _ in self._columns])
        self._special = {"ts": config["with_ts"], "asset": config["with_asset"]}
        self._plain = all(type_ == "double" for _, type_ in self._columns)
        self.n_columns = 2 if config["score"] else 1
        self._answers = Answers(config["task"], config["classes"], score=config["score"])
        model = mlflow.pyfunc.load_model(config["model"], suppress_warnings=True)
        direct = _direct(model, self._example())
        self.direct = direct is not None
        self._predict = direct or model.predict

    def predict(
        self, asset: str, context: memoryview, n_context: int, payload: memoryview, n_rows: int
    ) -> bytes:
        """The answer's columns one after the other, as raw float64."""
        parts = [_read(context, n_context, "context")] if n_context else []
        parts.append(_read(payload, n_rows, "frame"))
        table = self._table(parts, asset, n_context + n_rows)
        return self._answers.read(self._predict(table), n_context + n_rows, n_rows)

    def _table(self, parts: list[Any], asset: str, n: int) -> Any:
        import numpy as np
        import pandas as pd

        if self._plain:
            block = np.empty((len(self._columns), n))
            for row, (name, _) in zip(block, self._columns, strict=True):
                _fill(row, parts, name)
            # The names are looked over once, and not for every frame by pandas and again by scikit-learn; a view of
            # them, so that what a model writes on its table stays there.
            return pd.DataFrame(block.T, columns=self._header.view(), copy=False)
        return pd.DataFrame(
            {name: self._series(parts, asset, n, name, type_) for name, type_ in self._columns}
        )

    def _series(self, parts: list[Any], asset: str, n: int, name: str, type_: str) -> Any:
        import numpy as np
        import pandas as pd

        if self._special.get(name) and name == "asset":
            return pd.Series([asset] * n, dtype="str")
        if self._special.get(name):
            moments = np.concatenate([_column(part, name).to_numpy(zero_copy_only=False) for part in parts])
            # In UTC and without a zone, as MLflow's own check would hand it over.
            return moments.astype("datetime64[ns]")
        values = np.empty(n, dtype=_DTYPES[type_])
        whole = values.dtype.kind != "f"
        for part in parts if whole else ():
            if _column(part, name).null_count:
                raise ValueError(f"input {name!r} has missing values: declare it as double in the signature")
        _fill(values, parts, name)
        return values

    def _example(self) -> Any:
        """Two rows of the kind that the model is given, to find out what MLflow's check does with them."""
        import pandas as pd

        kinds: dict[str, Any] = {"string": pd.Series(["a", "b"], dtype="str")}
        kinds["datetime"] = pd.Series([0, 1], dtype="datetime64[ns]")
        kinds |= {type_: pd.Series([0, 1], dtype=dtype) for type_, dtype in _DTYPES.items()}
        return pd.DataFrame({name: kinds[type_] for name, type_ in self._columns})


def _direct(model: Any, example: Any) -> Any:
    """The model's predict without MLflow's check of its input, or None where that could change a result.

    The check costs about a millisecond a call. Tables are built as the signature declares them, so it may be
    left out where it hands an example back unchanged.
    """
    import inspect

    try:
        from mlflow.pyfunc import _validate_prediction_input

        meta = model.metadata
        if meta._is_signature_from_type_hint() or meta._is_type_hint_from_example():
            return None
        inputs, params = meta.get_input_schema(), meta.get_params_schema()
        if inputs is None or params is not None:
            return None
        checked, _ = _validate_prediction_input(example.copy(), None, inputs, params, model.loader_module)
        same = list(checked.dtypes) == list(example.dtypes) and checked.equals(example)
        if not same or list(checked.columns) != list(example.columns):
            return None
        inner = model._predict_fn
        taken = inspect.signature(inner).parameters.get("params")
    except Exception:
        return None
    if taken is not None and taken.kind is not inspect.Parameter.VAR_KEYWORD:
        return lambda table: inner(table, params=None)
    return inner


def _read(data: memoryview, n_rows: int, what: str) -> Any:
    """The one record batch of an Arrow IPC stream."""
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
        batch = reader.read_next_batch()
    if batch.num_rows != n_rows:
        raise ValueError(f"the platform announced {n_rows} rows of {what} and sent {batch.num_rows}")
    return batch


def _column(batch: Any, name: str) -> Any:
    index = batch.schema.get_field_index(name)
    if index < 0:
        raise ValueError(f"input {name!r} is not in the frame")
    return batch.column(index)


def _fill(values: Any, parts: list[Any], name: str) -> None:
    """Put one column of all parts into `values`; a missing number becomes not-a-number."""
    start = 0
    for part in parts:
        column = _column(part, name)
        values[start : start + len(column)] = column.to_numpy(zero_copy_only=False)
        start += len(column)


class Answers:
    """Reads what a model returns: one prediction a row, as a number or as a class's code."""

    def __init__(self, task: str, classes: list[str], *, score: bool) -> None:
        self._task = task
        self._classes = classes
        self._codes = {name: float(code) for code, name in enumerate(classes)}
        self._score = score
        # Where classes are called "1", "2", "3", a number is meant as a name. An anomaly is always 0 or 1.
        self._numbers = {} if task == "anomaly" else _as_numbers(self._codes)

    def read(self, answer: Any, n: int, n_rows: int) -> bytes:
        """Raw float64 of the last `n_rows` of `n` answers: predictions, then scores where they are declared.

        Raises:
            Nonsense: the answer is not one usable prediction for each of the `n` rows.
        """
        prediction, score = self._parts(answer)
        values = _values(prediction, n, "prediction")[n - n_rows :]
        column = self._coded(values) if self._classes else _finite(values, "prediction")
        body: bytes = column.tobytes()
        if self._score:
            scores: bytes = _finite(_values(score, n, "score")[n - n_rows :], "score").tobytes()
            body += scores
        return body

    def _parts(self, answer: Any) -> tuple[Any, Any]:
        import pandas as pd

        if isinstance(answer, (pd.DataFrame, dict)):
            names = list(answer)
            if "prediction" not in names and len(names) != 1:
                shown = ", ".join(repr(name) for name in names[:10])
                raise Nonsense(f"the model answered the columns {shown}; one has to be called 'prediction'")
            if self._score and "score" not in names:
                raise Nonsense("the model declares a score and answered no column 'score'")
            prediction = answer["prediction" if "prediction" in names else names[0]]
            return prediction, answer["score"] if self._score else None
        if self._score:
            kind = type(answer).__name__
            raise Nonsense(
                f"the model declares a score: answer a table with 'prediction' and 'score', not {kind}"
            )
        return answer, None

    def _coded(self, values: Any) -> Any:
        import numpy as np

        if values.dtype.kind == "O":
            return np.array([self._code(value) for value in values.tolist()], dtype=np.float64)
        numbers = values.astype(np.float64)
        if self._numbers and values.dtype.kind != "b":
            coded = np.full(len(numbers), math.nan)
            for number, code in self._numbers.items():
                coded[numbers == number] = code
        else:
            usable = (numbers >= 0) & (numbers < len(self._classes)) & (numbers == np.floor(numbers))
            coded = np.where(usable, numbers, math.nan)
        unknown = np.isnan(coded) & ~np.isnan(numbers)
        if unknown.any():
            self._refuse(values[int(unknown.argmax())].item())
        return coded

    def _code(self, value: Any) -> float:
        if isinstance(value, str):
            return self._codes[value] if value in self._codes else self._refuse(value)
        number = _number(value, "prediction")
        if math.isnan(number):
            return number
        if self._numbers and not isinstance(value, bool):
            return self._numbers[number] if number in self._numbers else self._refuse(value)
        return number if number in self._codes.values() else self._refuse(value)

    def _refuse(self, value: Any) -> NoReturn:
        classes = ", ".join(self._classes[:20])
        text = f"the model answered {_shown(value)}, which is none of the classes {classes}"
        if self._task == "anomaly":
            text += "; answer 0 for normal and 1 for an anomaly, or these names"
            if value == -1:
                text += " (scikit-learn's outlier models say -1 and 1: translate it in the model)"
        raise Nonsense(text)


def _as_numbers(codes: dict[str, float]) -> dict[float, float]:
    try:
        return {float(name): code for name, code in codes.items()}
    except ValueError:
        return {}


def _values(answer: Any, n: int, what: str) -> Any:
    """A one-dimensional numpy array of `n` numbers, booleans or objects."""
    import numpy as np
    import pandas as pd

    if isinstance(answer, (pd.Series, pd.Index)):
        answer = answer.to_numpy()
    elif isinstance(answer, pd.api.extensions.ExtensionArray):
        answer = np.asarray(answer)
    if not isinstance(answer, (np.ndarray, list, tuple)):
        raise Nonsense(f"the model answered {type(answer).__name__}; answer an array, a series or a list")
    try:
        values = np.asarray(answer)
    except ValueError:
        raise Nonsense(f"the {what} is a list of lists of different lengths") from None
    if values.dtype.kind in "US":
        values = np.asarray(answer, dtype=object)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.ndim != 1:
        raise Nonsense(f"the {what} has the shape {values.shape} where ({n},) is due")
    if len(values) != n:
        raise Nonsense(f"the model answered {len(values)} values for {n} rows ({what})")
    if values.dtype.kind not in "fiubO":
        raise Nonsense(f"the {what} is of the type {values.dtype}, which is no number and no class")
    return values


def _finite(values: Any, what: str) -> Any:
    import numpy as np

    if values.dtype.kind == "O":
        values = np.array([_number(value, what) for value in values.tolist()], dtype=np.float64)
    numbers = values.astype(np.float64)
    endless = np.isinf(numbers)
    if endless.any():
        raise Nonsense(f"the {what} of row {int(endless.argmax())} is infinite; abstain with not-a-number")
    return numbers


def _number(value: Any, what: str) -> float:
    """One value as a number; None and pandas' NA are not-a-number."""
    import pandas as pd

    if value is None or value is pd.NA or value is pd.NaT:
        return math.nan
    try:
        if not isinstance(value, (str, bytes)):
            return float(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise Nonsense(f"the model answered {_shown(value)} as {what}, which is no number")


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = type(value).__name__
    return text if len(text) <= 80 else text[:80] + "…"


if __name__ == "__main__":
    main()
