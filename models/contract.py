"""The candidate contract: what a model declares about itself, and what answering a frame means."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from schemas.agreement import Task
from schemas.faults import FailureKind

#: The key under which an MLmodel file's `metadata` speaks to this platform.
METADATA_KEY = "fieldproof"

#: Columns that are no tags: the row's time and the machine's name.
TS = "ts"
ASSET = "asset"

#: Frames that are with a candidate at one time, at most: those between the broker and the ledger.
WINDOW = 64

#: Signature types that a tag's values can be handed over as.
TAG_TYPES = frozenset({"double", "float", "long", "integer", "boolean"})


_FLAGS = ("with_ts", "with_asset", "score")


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """A candidate's answer to one frame."""

    #: Shape (n_columns, n_rows): predictions (class codes or values), then scores if declared. NaN abstains.
    columns: npt.NDArray[np.float64]
    #: CPU time of all threads of the process since its answer before, read from the kernel; 0 where that does not say.
    cpu_ns: int
    #: From handing the frame over, or from the answer before it where it had to queue, to the last byte.
    wall_ns: int
    #: The largest resident size of the child so far, read from the kernel.
    max_rss_kb: int


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A candidate's failure, with everything in it bounded and safe to print."""

    kind: FailureKind
    #: For the plant only: it may contain the plant's values.
    text: str
    #: The exception's class where one was raised, `Exception` for any that is not well known; a start-up may see it.
    exception: str | None = None
    #: The model's own file and line, such as `code/model.py:12`; a start-up may see it.
    where: str | None = None
    #: False where the child ended before this frame's turn: it says nothing about this frame, ask again.
    begun: bool = True
    #: What it cost until then, as of an answer. The CPU time is as of the last look where the process died.
    cpu_ns: int = 0
    wall_ns: int = 0
    max_rss_kb: int = 0


class Predictor(Protocol):
    """Whatever answers frames: a candidate in its sandbox, or a baseline."""

    async def predict(
        self, asset: str, payload: bytes | memoryview, n_rows: int, context: bytes | None, n_context: int
    ) -> Predicted | Failed:
        """Answer one frame.

        Args:
            asset: the machine that the frame is of.
            payload: one Arrow IPC stream with one record batch of `n_rows` rows.
            n_rows: rows in the payload, and in the answer.
            context: one Arrow IPC stream with the `n_context` rows of the asset before this frame.
            n_context: rows in the context, 0 where there is none.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the table that a model is given."""

    name: str
    #: MLflow's name of the type: `double`, `long`, `datetime`, …
    type: str


@dataclass(frozen=True, kw_only=True)
class Contract:
    """What a model declares about itself."""

    #: The table's columns in the order of the signature, `ts` and `asset` among them where it has them.
    columns: tuple[Column, ...]
    #: How many preceding rows of the asset it is given before each frame.
    context_rows: int = 0
    with_ts: bool = False
    with_asset: bool = False
    #: Whether it answers a score beside each prediction.
    score: bool = False
    #: Types of the declared outputs by name; a nameless output has the key "".
    outputs: tuple[Column, ...] = ()

    @property
    def tags(self) -> tuple[Column, ...]:
        """The columns that are tags of the agreement."""
        special = {name for name, used in ((TS, self.with_ts), (ASSET, self.with_asset)) if used}
        return tuple(column for column in self.columns if column.name not in special)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Why a model cannot be read as a candidate, and what to do about it."""

    text: str


_NO_SIGNATURE = (
    "the model has no signature: log it with signature=mlflow.models.infer_signature(inputs, predictions), "
    "where inputs is a table with one named column for each tag"
)
_NO_NAMES = (
    "the signature's inputs have no names: infer it from a pandas DataFrame "
    "with one named column for each tag, not from an array"
)


def read_contract(mlmodel: Mapping[str, Any]) -> Contract | Problem:
    """Read what a model declares, from its parsed MLmodel file."""
    flavors = mlmodel.get("flavors")
    if not isinstance(flavors, Mapping) or "python_function" not in flavors:
        return Problem(
            text="the model has no python_function flavour: log it with mlflow.pyfunc or mlflow.sklearn"
        )
    inputs = _columns(mlmodel, "inputs")
    if isinstance(inputs, Problem):
        return inputs
    if not inputs:
        return Problem(text=_NO_SIGNATURE)
    if any(not column.name for column in inputs):
        return Problem(text=_NO_NAMES)
    outputs = _columns(mlmodel, "outputs")
    if isinstance(outputs, Problem):
        return outputs
    return _with_options(mlmodel, inputs, outputs)


def _columns(mlmodel: Mapping[str, Any], side: str) -> tuple[Column, ...] | Problem:
    signature = mlmodel.get("signature")
    text = signature.get(side) if isinstance(signature, Mapping) else None
    if text is None:
        return ()
    try:
        specs = json.loads(text)
        return tuple(Column(name=str(spec.get("name", "")), type=_type(spec)) for spec in specs)
    except (TypeError, ValueError, AttributeError, KeyError):
        return Problem(
            text=f"the signature's {side} cannot be read: log the model again with mlflow 2 or newer"
        )


def _type(spec: Mapping[str, Any]) -> str:
    """MLflow's type name; a tensor is named by its element type, with its inner shape where it has one."""
    if spec["type"] != "tensor":
        return str(spec["type"])
    tensor = spec["tensor-spec"]
    inner = "×".join(str(size) for size in tensor["shape"][1:])
    return f"tensor {tensor['dtype']}" + (f" {inner}" if inner else "")


def _with_options(
    mlmodel: Mapping[str, Any], inputs: tuple[Column, ...], outputs: tuple[Column, ...]
) -> Contract | Problem:
    metadata = mlmodel.get("metadata") or {}
    options = metadata.get(METADATA_KEY, {}) if isinstance(metadata, Mapping) else None
    if not isinstance(options, Mapping):
        return Problem(text=f"metadata.{METADATA_KEY} has to be a mapping such as {{context_rows: 10}}")
    known = ("context_rows", *_FLAGS)
    for key in options:
        if key not in known:
            return Problem(text=f"metadata.{METADATA_KEY}.{key} is unknown{_meant(str(key), known)}")
    rows = options.get("context_rows", 0)
    if isinstance(rows, bool) or not isinstance(rows, int) or rows < 0:
        return Problem(text=f"metadata.{METADATA_KEY}.context_rows has to be a whole number, 0 or more")
    for key in _FLAGS:
        if not isinstance(options.get(key, False), bool):
            return Problem(text=f"metadata.{METADATA_KEY}.{key} has to be true or false")
    names = {column.name: column.type for column in inputs}
    for key, name, type_ in (("with_ts", TS, "datetime"), ("with_asset", ASSET, "string")):
        if options.get(key) and names.get(name) != type_:
            lacking = f"the signature has no input {name!r} of type {type_}"
            return Problem(text=f"metadata.{METADATA_KEY}.{key} is true, but {lacking}")
    return Contract(
        columns=inputs,
        context_rows=rows,
        with_ts=options.get("with_ts", names.get(TS) == "datetime"),
        with_asset=options.get("with_asset", names.get(ASSET) == "string"),
        score=options.get("score", False),
        outputs=outputs,
    )


def check_signature(
    contract: Contract, inputs: Collection[str], task: Task, *, max_context_rows: int | None = None
) -> list[str]:
    """What stands between a contract and an agreement, in plain words; empty where nothing does.

    Args:
        inputs: names of the tags that the agreement gives to candidates.
        task: what the agreement asks for.
        max_context_rows: the most preceding rows that the agreement allows.
    """
    problems = [text for column in contract.tags for text in _input_problems(column, inputs)]
    names = [column.name for column in contract.columns]
    problems += [f"input {name!r} is declared twice" for name in sorted(set(names)) if names.count(name) > 1]
    if max_context_rows is not None and contract.context_rows > max_context_rows:
        asked = f"the model asks for {contract.context_rows} preceding rows"
        problems.append(f"{asked}, the agreement allows {max_context_rows}")
    return problems + _output_problems(contract, task)


def _input_problems(column: Column, inputs: Collection[str]) -> list[str]:
    if column.name not in inputs:
        return [f"input {column.name!r} is not in the agreement{_meant(column.name, inputs)}"]
    if column.type not in TAG_TYPES:
        allowed = ", ".join(sorted(TAG_TYPES))
        return [f"input {column.name!r} is declared as {column.type}; tags are given as one of {allowed}"]
    return []


def _output_problems(contract: Contract, task: Task) -> list[str]:
    outputs = {column.name: column.type for column in contract.outputs}
    problems = []
    if contract.score and outputs.keys() - {""} and not {"prediction", "score"} <= outputs.keys():
        problems.append("the model declares a score: its answer needs the columns 'prediction' and 'score'")
    if len(outputs) > 1 and "prediction" not in outputs:
        problems.append("of several output columns one has to be called 'prediction'")
    answer = outputs.get("prediction", next(iter(outputs.values()), None))
    if answer is not None and task.numeric and answer.split()[-1] in ("string", "str", "object"):
        problems.append("the model answers text where the agreement asks for a number")
    if (
        answer is not None
        and answer.startswith("tensor ")
        and len(answer.split()) == 3
        and answer.split()[2] != "1"
    ):
        problems.append(
            f"the model answers {answer.split()[2]} values a row where one prediction is asked for"
        )
    return problems


def _meant(name: str, known: Collection[str]) -> str:
    """A guess at what was meant, or what there is."""
    folded = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    if near:
        return f"; did you mean {folded[near[0]]!r}?"
    shown = ", ".join(sorted(known)[:20])
    return f"; it has {shown}" if shown else ""
