"""What the test's own models and baselines answer, from raw rows: the same as in the sandbox, by other code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tests.faults.checker_records import Frame, code
from tests.faults.checker_topics import Json

#: Answers and scores of the rows of one frame, both float64, shape (n,); scores are None where a model gives none.
Answers = tuple[np.ndarray, np.ndarray | None]


class Raises(Exception):
    """The model raises on this frame."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that answers from one tag; `rows` is how many rows of the asset before the frame it is given."""

    rows: int
    #: Rows before the frame and rows of the frame, of the tag.
    answer: Callable[[np.ndarray, np.ndarray], Answers]


def _threshold(before: np.ndarray, x: np.ndarray) -> Answers:
    return (x > 0.5).astype(float), None


def _moody(before: np.ndarray, x: np.ndarray) -> Answers:
    if (x > 90).any():
        raise Raises
    return _threshold(before, x)


def _peak(before: np.ndarray, x: np.ndarray) -> Answers:
    every = np.concatenate([before, x])
    hot = [bool((every[max(0, n - 4) : n + 1] > 0.9).any()) for n in range(before.size, every.size)]
    return np.array(hot, float), None


def _graded(before: np.ndarray, x: np.ndarray) -> Answers:
    """Silent where x is below 0.02; x itself, up to 1, is its score."""
    return np.where(x < 0.02, np.nan, x > 0.5), np.minimum(x, 1.0)


#: By what a candidate's name begins with.
MODELS: Mapping[str, Model] = {
    "threshold": Model(rows=0, answer=_threshold),
    "moody": Model(rows=0, answer=_moody),
    "peak": Model(rows=4, answer=_peak),
    "graded": Model(rows=0, answer=_graded),
}


def model_of(subject: str, agreement: Json) -> Model | None:
    """The model that a subject is; None where it is none of these."""
    for baseline in agreement.get("baselines", []):
        if baseline["name"] == subject:
            return _baseline(baseline, agreement)
    named = (MODELS[name] for name in MODELS if subject.partition("-")[0] == name)
    return next(named, None)


def _baseline(baseline: Json, agreement: Json) -> Model | None:
    if baseline.get("kind") is not None:
        return None
    usual, rule = code(baseline["answer"], agreement), baseline.get("rule") or {}

    def answer(before: np.ndarray, x: np.ndarray) -> Answers:
        outside = (x > rule.get("above", np.inf)) | (x < rule.get("below", -np.inf))
        return np.where(outside, 1.0 - usual, usual), None

    return Model(rows=0, answer=answer)


def answers_of(model: Model, tag: str, frames: Sequence[Frame]) -> dict[tuple[int, int], Answers | None]:
    """What a model answers to the due frames of one partition, by their place; None where it raises."""
    kept: dict[str, np.ndarray] = {}
    found: dict[tuple[int, int], Answers | None] = {}
    for frame in frames:
        if frame.times_us is None or tag not in frame.values:
            continue
        x, before = frame.values[tag], kept.get(frame.asset, np.empty(0))
        try:
            found[frame.message.place] = model.answer(before, x)
        except Raises:
            found[frame.message.place] = None
        kept[frame.asset] = np.concatenate([before, x])[-model.rows :] if model.rows else np.empty(0)
    return found
