"""Tiny models of start-ups, saved once a session."""

from __future__ import annotations

import warnings
from pathlib import Path

CODE = Path(__file__).with_name("candidates")


def save(root: Path) -> None:
    """Save `threshold`, `peak` (asks for four rows of context), `moody`, and models that no agreement takes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _save(root / "threshold", "threshold")
        _save(root / "peak", "peak", context_rows=4)
        _save(root / "moody", "moody")
        _save(root / "greedy", "threshold", context_rows=5000)
        _save(root / "curious", "threshold", inputs=("x", "secret"))
        _save(root / "unsigned", "threshold", inputs=())
    (root / "empty").mkdir()


def _save(path: Path, code: str, *, inputs: tuple[str, ...] = ("x",), context_rows: int = 0) -> None:
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types import ColSpec, Schema

    signature = None
    if inputs:
        columns = Schema([ColSpec("double", name) for name in inputs])
        signature = ModelSignature(inputs=columns, outputs=Schema([ColSpec("double")]))
    scratch = path.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    save_model(
        path=str(path),
        python_model=str(CODE / f"{code}.py"),
        signature=signature,
        pip_requirements=["mlflow"],
        uv_project_path=str(scratch),
        metadata={"fieldproof": {"context_rows": context_rows}},
    )
