"""Tiny models of start-ups, saved once a session."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

CODE = Path(__file__).with_name("candidates")

#: Types of inputs that are no tags.
TYPES = {"ts": "datetime", "asset": "string"}


def save(root: Path) -> None:
    """Save `threshold`, `peak` (asks for four rows of context), `moody`, and models that no agreement takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save_one(root / "threshold", "threshold")
        save_one(root / "peak", "peak", context_rows=4)
        save_one(root / "moody", "moody")
        save_one(root / "slow", "slow")
        save_one(root / "greedy", "threshold", context_rows=5000)
        save_one(root / "curious", "threshold", inputs=("x", "secret"))
        save_one(root / "unsigned", "threshold", inputs=())
    (root / "empty").mkdir()


def save_one(
    path: Path,
    code: str,
    *,
    inputs: tuple[str, ...] = ("x",),
    context_rows: int = 0,
    score: bool = False,
    **more: Any,
) -> None:
    """Save the model of a script in `candidates`; `more` is handed to MLflow."""
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import ColSpec, Schema

    signature = None
    if inputs:
        columns = Schema([ColSpec(TYPES.get(name, "double"), name) for name in inputs])
        signature = ModelSignature(inputs=columns, outputs=Schema([ColSpec("double")]))
    scratch = path.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    save_model(
        path=str(path),
        python_model=str(CODE / f"{code}.py"),
        signature=signature,
        pip_requirements=["mlflow"],
        uv_project_path=str(scratch),
        metadata={"fieldproof": {"context_rows": context_rows, "score": score}},
        **more,
    )
