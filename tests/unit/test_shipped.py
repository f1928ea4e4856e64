"""Which models count as Fieldproof's own, and what makes one a stranger's."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.demo.saving import Detector, save
from infra.sandbox.shipped import shipped


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that the demo would save."""
    path = tmp_path_factory.mktemp("shipped") / "model"
    learnt = {"tags": ["a"], "k": 3, "machines": {"*": {"mean": [0.0], "deviation": [1.0]}}}
    save(Detector(code="envelope", artifact="parameters", inputs=["a"], learnt=learnt, context_rows=0), path)
    return path


def test_a_model_of_the_demo_is_our_own(saved: Path) -> None:
    assert shipped(saved)


def replaced(name: str, old: str, new: str) -> Callable[[Path], object]:
    def change(model: Path) -> None:
        text = (model / name).read_text()
        assert old in text
        (model / name).write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    "change",
    [
        replaced("envelope.py", "import json", "import json, os"),
        replaced("MLmodel", "mlflow.pyfunc.loaders.code_model", "mlflow.sklearn"),
        replaced("MLmodel", "code: null", "code: code"),
        replaced("MLmodel", "code: null", "code: null\n    python_model: model.pkl"),
        replaced("MLmodel", "python_function:", "sklearn:\n    code: null\n  python_function:"),
        replaced("requirements.txt", "numpy==", "numpy-by-a-stranger==1\nnumpy=="),
        lambda model: (model / "more.py").write_text("x = 1"),
        lambda model: (model / "artifacts" / "model.pkl").write_bytes(pickle.dumps(1)),
        lambda model: (model / "artifacts" / "library.so").touch(),
        lambda model: (model / "artifacts" / "link.json").symlink_to("/etc/hostname"),
        lambda model: (model / "MLmodel").unlink(),
        lambda model: (model / "MLmodel").write_text("- no mapping"),
    ],
)
def test_anything_more_or_else_makes_it_a_strangers(
    saved: Path, tmp_path: Path, change: Callable[[Path], object]
) -> None:
    model = Path(shutil.copytree(saved, tmp_path / "model"))
    change(model)
    assert not shipped(model)
