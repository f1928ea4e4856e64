"""Baselines: ways to answer without a model, that a candidate has to be compared with.

They answer every row, the same however rows are grouped into frames and however often they are asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from models.contract import TS, Failed, Predicted
from schemas.agreement import Agreement
from schemas.baselines import Baseline, Rule
from schemas.columns import array_of


@dataclass(frozen=True, kw_only=True)
class Given:
    """A frame with the rows before it.

    Attributes:
        asset: the machine.
        times_us: int64, shape (n,).
        values: float64, shape (k + n,), by tag: those of the k rows before come first; not-a-number is missing.
    """

    asset: str
    times_us: np.ndarray
    values: dict[str, np.ndarray]

    def back(self, tag: str, rows: int) -> np.ndarray:
        """A tag's value that many rows before each row; not-a-number where there is none."""
        values, n = self.values[tag], self.times_us.size
        start = values.size - n - rows
        padded = np.concatenate([np.full(max(0, -start), np.nan), values])
        return padded[max(0, start) :][:n]


#: Answers n rows: float64, shape (n,); what is not finite is answered with the baseline's own constant.
Way = Callable[[Given], np.ndarray]


class Baselines:
    """The baselines of a pairing together; a `Predictor`."""

    def __init__(self, agreement: Agreement, *, pairing: str, constant: float | None = None) -> None:
        """Read what is agreed.

        Args:
            agreement: the agreement.
            pairing: the pairing's id; chance is drawn from it.
            constant: the constant answer that did best in the rehearsal, as a code; None before there is one.
        """
        self._constants = [agreement.code(baseline.answer) for baseline in agreement.baselines]
        self._ways = [_way(baseline, agreement, pairing, constant) for baseline in agreement.baselines]
        self._tags = {
            tag for baseline in agreement.baselines if (tag := baseline.source(agreement.target)) is not None
        }

    async def predict(
        self, asset: str, payload: bytes | memoryview, n_rows: int, context: bytes | None, n_context: int
    ) -> Predicted | Failed:
        """The answers, shape (baselines, rows)."""
        columns = np.repeat(np.array(self._constants, dtype=np.float64)[:, None], n_rows, axis=1)
        if any(way is not None for way in self._ways):
            given = self._read(asset, payload, context)
            for column, way in zip(columns, self._ways, strict=True):
                if way is not None:
                    answers = way(given)
                    np.copyto(column, answers, where=np.isfinite(answers))
        return Predicted(columns=columns, cpu_ns=0, wall_ns=0, max_rss_kb=0)

    def _read(self, asset: str, payload: bytes | memoryview, context: bytes | None) -> Given:
        frame = _batch(payload)
        batches = [frame] if context is None else [_batch(context), frame]
        return Given(
            asset=asset,
            times_us=array_of(frame.column(TS)),
            values={tag: np.concatenate([_values(batch, tag) for batch in batches]) for tag in self._tags},
        )


def rows_before(agreement: Agreement) -> int:
    """How many rows before a frame the baselines look at."""
    return max((baseline.look_back - 1 for baseline in agreement.baselines), default=0)


def _batch(stream: bytes | memoryview) -> pa.RecordBatch:
    with pa.ipc.open_stream(pa.py_buffer(stream)) as reader:
        return reader.read_next_batch()


def _values(batch: pa.RecordBatch, tag: str) -> np.ndarray:
    return array_of(batch.column(tag).cast(pa.float64(), safe=False))


def _way(baseline: Baseline, agreement: Agreement, pairing: str, constant: float | None) -> Way | None:
    """How it answers; None where its constant is all."""
    if baseline.rule is not None:
        other = 1.0 - agreement.code(baseline.answer)
        return _by_rule(baseline.rule, other)
    match baseline.kind:
        case "best_constant":
            return None if constant is None else lambda given: np.full(given.times_us.size, constant)
        case "random":
            return _by_chance(baseline, agreement.classes, pairing)
        case "last":
            return _last(baseline.source(agreement.target) or "", baseline.look_back)
        case "average":
            return _average(baseline.source(agreement.target) or "", baseline.look_back)
        case None:
            return None


def _by_rule(rule: Rule, alarm: float) -> Way:
    above = np.inf if rule.above is None else rule.above
    below = -np.inf if rule.below is None else rule.below

    def answer(given: Given) -> np.ndarray:
        values = given.back(rule.tag, 0)
        return np.where((values > above) | (values < below), alarm, np.nan)

    return answer


def _last(tag: str, rows: int) -> Way:
    def answer(given: Given) -> np.ndarray:
        found = given.back(tag, 0)
        for age in range(1, rows):
            found = np.where(np.isnan(found), given.back(tag, age), found)
        return found

    return answer


def _average(tag: str, rows: int) -> Way:
    def answer(given: Given) -> np.ndarray:
        total = np.zeros(given.times_us.size)
        known = np.zeros(given.times_us.size)
        # One row after another, the oldest first: the same additions wherever a frame begins.
        with np.errstate(over="ignore", invalid="ignore"):
            for age in range(rows - 1, -1, -1):
                values = given.back(tag, age)
                there = ~np.isnan(values)
                total += np.where(there, values, 0.0)
                known += there
            return np.where(known > 0, total / np.maximum(known, 1), np.nan)

    return answer


def _by_chance(baseline: Baseline, classes: tuple[str, ...], pairing: str) -> Way:
    """Draws a class for each row from the pairing, the baseline, the machine and the row's time."""
    shares = [(classes.index(name), share) for name, share in (baseline.shares or {}).items()]

    def answer(given: Given) -> np.ndarray:
        drawn = _draws(f"{pairing}\n{baseline.name}\n{given.asset}", given.times_us)
        found, reached = np.full(drawn.size, np.nan), 0.0
        for code, share in sorted(shares):
            found = np.where((drawn >= reached) & (drawn < reached + share), float(code), found)
            reached += share
        return found

    return answer


def _draws(name: str, times_us: np.ndarray) -> np.ndarray:
    """Numbers from 0 to below 1, evenly spread: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) at each time."""
    seed = np.uint64(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little"))
    mixed = times_us.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + seed
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    drawn: np.ndarray = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return drawn
