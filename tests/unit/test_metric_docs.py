"""The page on metrics names every metric and every kind of baseline."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from schemas.agreement import METRICS, Task
from schemas.baselines import Baseline

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("task", list(Task))
def test_the_page_names_every_metric(task: Task) -> None:
    assert [name for name in METRICS[task] if f"`{name}`" not in PAGE] == []


def test_the_page_names_every_kind_of_baseline() -> None:
    kinds = get_args(get_args(Baseline.model_fields["kind"].annotation)[0])
    assert kinds and [kind for kind in kinds if f"kind: {kind}" not in PAGE] == []
