"""What metrics are made of, and how they are published."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import numpy as np

from models.exact import published

#: What a frame says in order, boiled down; empty where a task asks for nothing in order.
Piece = tuple[np.ndarray, ...]

#: Whole numbers that add up and can be taken away again.
Sums = tuple[int, ...]


def ratio(part: int, whole: int) -> float | None:
    """A share as it is published; None where there is nothing to be a share of."""
    return published(Fraction(part, whole)) if whole else None


def defined(found: Mapping[str, float | None]) -> dict[str, float]:
    """Those that have a value."""
    return {name: value for name, value in found.items() if value is not None}
