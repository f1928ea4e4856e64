"""Baselines: the constant answers that a candidate has to be compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.contract import Failed, Predicted
from schemas.agreement import Agreement


@dataclass(frozen=True, kw_only=True)
class Constants:
    """Answers every row of every frame with the same numbers, one a baseline; a `Predictor`."""

    answers: tuple[float, ...]

    @classmethod
    def of(cls, agreement: Agreement) -> Constants:
        """The baselines of an agreement, in its order."""
        return cls(answers=tuple(agreement.code(baseline.answer) for baseline in agreement.baselines))

    async def predict(
        self, asset: str, payload: bytes | memoryview, n_rows: int, context: bytes | None, n_context: int
    ) -> Predicted | Failed:
        """The constants, shape (baselines, rows)."""
        columns = np.repeat(np.array(self.answers, dtype=np.float64)[:, None], n_rows, axis=1)
        return Predicted(columns=columns, cpu_ns=0, wall_ns=0, max_rss_kb=0)
