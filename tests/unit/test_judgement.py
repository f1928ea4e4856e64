"""Verdicts, baselines and the rows before a frame."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.baselines import Baselines
from models.contract import Predicted
from models.verdicts import judge, rule_in_words
from schemas.agreement import Acceptance, Agreement, Baseline, Task
from schemas.evaluation import Audit, Counts, Evaluation, Outcome, Verdict
from streams.context import Context
from streams.frames import read_arrow

RULE = Acceptance(metric="f1", at_least=0.7, min_rows=10, max_unanswered=0.05)
MOST = Acceptance(metric="far", at_most=0.1, min_rows=10)


def evaluation(counts: Counts, **metrics: float) -> Evaluation:
    return Evaluation(
        pairing="pump-2026-01",
        plant="plant-1",
        startup="startup-1",
        candidate="t2q-v1",
        baseline=False,
        task=Task.ANOMALY,
        ledger_partition=0,
        ledger_offset=9,
        chain="0" * 64,
        at=datetime(2026, 3, 2, tzinfo=UTC),
        final=True,
        counts=counts,
        audit=Audit(),
        metrics=metrics,
        sandbox="none",
    )


def verdict(rule: Acceptance, counts: Counts, **metrics: float) -> Verdict:
    return judge(rule, evaluation(counts, **metrics), digest="1" * 64, recomputed_equal=True)


ALL = Counts(rows_in=100, scored=100)


@pytest.mark.parametrize(
    ("rule", "counts", "metrics", "outcome", "reason"),
    [
        (RULE, ALL, {"f1": 0.7}, Outcome.ACCEPTED, "f1 of 0.7 meets the threshold of 0.7"),
        (RULE, ALL, {"f1": 0.69999999}, Outcome.REJECTED, "f1 of 0.69999999 misses"),
        (RULE, ALL, {"f1": 0.712345678}, Outcome.ACCEPTED, "f1 of 0.712346 meets"),
        (MOST, ALL, {"far": 0.1}, Outcome.ACCEPTED, "meets"),
        (MOST, ALL, {"far": 0.100000001}, Outcome.REJECTED, "far of 0.100000001 misses"),
        (RULE, Counts(rows_in=9, scored=9), {"f1": 1}, Outcome.INCONCLUSIVE, "only 9 rows were scored, 10"),
        (RULE, Counts(), {}, Outcome.INCONCLUSIVE, "only 0 rows"),
        (RULE, ALL, {}, Outcome.INCONCLUSIVE, "f1 is not defined"),
        (RULE, Counts(rows_in=100, scored=95, abstained=5), {"f1": 1}, Outcome.ACCEPTED, "meets"),
        (
            RULE,
            Counts(rows_in=100, scored=94, abstained=3, failed=3),
            {"f1": 1},
            Outcome.REJECTED,
            "6.0 % of the rows were not answered",
        ),
        (RULE, Counts(rows_in=10, failed=10), {}, Outcome.REJECTED, "100.0 %"),
        # Rows that the platform did not hand over are not the candidate's silence.
        (RULE, Counts(rows_in=100, scored=20, refused=80), {"f1": 1}, Outcome.ACCEPTED, "meets"),
    ],
)
def test_the_rule_gives_a_verdict_and_its_reason(
    rule: Acceptance, counts: Counts, metrics: dict[str, float], outcome: Outcome, reason: str
) -> None:
    found = verdict(rule, counts, **metrics)
    assert found.verdict is outcome
    assert reason in found.reason
    assert found.value == metrics.get(rule.metric)


def test_a_verdict_carries_its_rule_its_evaluation_and_the_sealed_agreement() -> None:
    found = judge(RULE, evaluation(ALL, f1=0.8), digest="1" * 64, recomputed_equal=False)
    assert found.rule == rule_in_words(RULE) == "f1 at least 0.7 over at least 10 scored rows"
    assert rule_in_words(MOST) == "far at most 0.1 over at least 10 scored rows"
    assert (found.threshold, found.agreement_digest, found.recomputed_equal) == (0.7, "1" * 64, False)
    assert found.evaluation == evaluation(ALL, f1=0.8)
    assert Verdict.model_validate_json(found.to_json()) == found


@given(
    st.integers(0, 100),
    st.integers(0, 100),
    st.integers(0, 100),
    st.floats(0, 1),
    st.sampled_from(["abstained", "failed"]),
)
def test_leaving_more_rows_unanswered_never_turns_a_verdict_for_the_better(
    scored: int, abstained: int, moved: int, value: float, where: str
) -> None:
    moved = min(moved, scored)
    before = Counts(rows_in=scored + abstained, scored=scored, abstained=abstained)
    silent = {"scored": scored - moved, where: getattr(before, where) + moved}
    after = before.model_copy(update=silent)
    assert after.hold()
    if verdict(RULE, before, f1=value).verdict is not Outcome.ACCEPTED:
        assert verdict(RULE, after, f1=value).verdict is not Outcome.ACCEPTED


# --- baselines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "answers", "codes"),
    [("anomaly", ["anomaly", 0], [1.0, 0.0]), ("regression", [2.5, -1], [2.5, -1.0])],
)
def test_baselines_answer_in_the_order_of_the_agreement(
    task: str, answers: list[Any], codes: list[float]
) -> None:
    rule = {"metric": "mae", "at_most": 1} if task == "regression" else {"metric": "f1", "at_least": 1}
    agreed = Agreement(
        task=Task(task),
        assets=("p",),
        inputs=("x",),
        baselines=tuple(Baseline(name=f"b{i}", answer=answer) for i, answer in enumerate(answers)),
        acceptance=Acceptance(**rule),  # type: ignore[arg-type]
    )
    found = asyncio.run(Baselines(agreed, pairing="p").predict("p", b"", 3, None, 0))
    assert isinstance(found, Predicted)
    assert found.columns.shape == (2, 3)
    assert found.columns[:, 0].tolist() == found.columns[:, 2].tolist() == codes


# --- the rows before a frame --------------------------------------------------------------------------------------------


def rows(start: int, count: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"x": np.arange(start, start + count, dtype=float)})


def kept(context: Context, asset: str) -> list[float]:
    payload, count = context.before(asset)
    if payload is None:
        assert count == 0
        return []
    batch = read_arrow(payload)
    assert isinstance(batch, pa.RecordBatch)
    assert batch.num_rows == count
    return list(batch.to_pydict()["x"])


@given(
    st.integers(0, 7),
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 5)), max_size=12),
)
def test_the_context_is_the_last_rows_of_the_asset(k: int, frames: list[tuple[str, int]]) -> None:
    context = Context(rows=k)
    seen: dict[str, list[float]] = {"a": [], "b": []}
    for number, (asset, count) in enumerate(frames):
        for name, values in seen.items():
            assert kept(context, name) == (values[-k:] if k else [])
        batch = rows(number * 10, count)
        context.add(asset, batch)
        seen[asset] += batch.to_pydict()["x"]
    for name, values in seen.items():
        assert kept(context, name) == (values[-k:] if k else [])


def test_senders_may_differ_in_what_they_say_about_a_column() -> None:
    context = Context(rows=4)
    strict = pa.schema([pa.field("x", pa.float64(), nullable=False)], metadata={"made": "elsewhere"})
    context.add("a", rows(0, 2))
    context.add("a", pa.RecordBatch.from_arrays([pa.array([7.0])], schema=strict))
    context.add("a", rows(8, 1))
    assert kept(context, "a") == [0.0, 1.0, 7.0, 8.0]


def test_a_few_rows_do_not_keep_a_large_frame_in_memory() -> None:
    context = Context(rows=2)
    context.add("a", rows(0, 50_000))
    assert context._kept["a"].get_total_buffer_size() < 1000
