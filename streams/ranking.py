"""How many rows of each class have each score, kept up to date without sorting everything anew."""

from __future__ import annotations

import numpy as np


class Ranking:
    """Scores of rows by class; rows come and go.

    What is known is kept in order of score. Changes wait until they are asked for and are merged then: a stable sort of
    two ordered runs takes time in proportion to their length.
    """

    def __init__(self) -> None:
        self._scores = np.empty(0)
        #: Rows of the first and of the second class, by score.
        self._counts = np.empty((2, 0), dtype=np.int64)
        self._changes: list[tuple[np.ndarray, np.ndarray]] = []

    def change(self, scores: np.ndarray, codes: np.ndarray, sign: int) -> None:
        """Take rows in (sign 1) or out again (sign −1).

        Args:
            scores: float64, finite, shape (n,).
            codes: int8, 0 or 1, shape (n,).
        """
        if scores.size:
            order = np.argsort(scores, kind="stable")
            weights = np.zeros((2, scores.size), dtype=np.int64)
            weights[codes[order], np.arange(scores.size)] = sign
            self._changes.append((scores[order], weights))

    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the second and of the first class: int64, by score, the highest first."""
        self._merge()
        return self._counts[1, ::-1], self._counts[0, ::-1]

    def _merge(self) -> None:
        if not self._changes:
            return
        scores = np.concatenate([self._scores, *(one for one, _ in self._changes)])
        counts = np.concatenate([self._counts, *(one for _, one in self._changes)], axis=1)
        self._changes.clear()
        order = np.argsort(scores, kind="stable")
        scores, counts = scores[order], counts[:, order]
        first = np.flatnonzero(np.append(True, scores[1:] != scores[:-1]))
        counts = np.add.reduceat(counts, first, axis=1)
        there = counts.any(axis=0)
        self._scores, self._counts = scores[first][there], counts[:, there]
