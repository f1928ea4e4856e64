"""What the tables say."""

from __future__ import annotations

from datetime import UTC, datetime

from infra.cli.screen import unanswered_in_words
from schemas.agreement import Task
from schemas.evaluation import Audit, Counts, Evaluation


def evaluation(counts: Counts, audit: Audit) -> Evaluation:
    return Evaluation(
        pairing="p",
        plant="p",
        startup="s",
        candidate="c-v1",
        baseline=False,
        task=Task.ANOMALY,
        ledger_partition=0,
        ledger_offset=0,
        chain="0" * 64,
        at=datetime(2026, 3, 2, tzinfo=UTC),
        final=False,
        counts=counts,
        audit=audit,
        metrics={},
        sandbox="full",
    )


def test_rows_without_an_answer_are_told_with_their_reasons() -> None:
    counts = Counts(rows_in=20, scored=8, failed=10, abstained=2)
    failed = evaluation(counts, Audit(failed_by_kind={"nonsense": 10}))
    assert unanswered_in_words(failed) == "12 (nonsense 10, abstained 2)"
    assert unanswered_in_words(evaluation(Counts(rows_in=8, scored=8), Audit())) == "0"
