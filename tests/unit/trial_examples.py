"""Trials with a decision by units, as ledger entries."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from agents.decisions import losses_for, standing_of
from models.metrics import metrics_for
from schemas.agreement import Acceptance, Agreement, Baseline, LabelRule, Task
from schemas.evaluation import Standing
from schemas.ledger import Ended, Outcome, Started
from schemas.terms import Decision, DecisionUnit
from streams.ledger import Book
from streams.ledger_codec import Entry, OutcomeRows
from streams.units import Units
from tests.unit.ledger_examples import PAIRING

BASELINES = f"{PAIRING}/baselines"
CANDIDATE = f"{PAIRING}/first"
DAY_MS = 24 * 60 * 60 * 1000
MINUTE_US = 60_000_000
NAN = float("nan")


def agreement(
    *,
    task: Task = Task.ANOMALY,
    unit: DecisionUnit | None = None,
    answers: Sequence[Any] = ("normal",),
    absent: str = "unlabelled",
    planned: int = 100,
    **decision: Any,
) -> Agreement:
    numeric = task is Task.REGRESSION
    metric: dict[str, Any] = (
        {"metric": "mae", "at_most": 1e6} if numeric else {"metric": "accuracy", "at_least": 0.0}
    )
    return Agreement(
        task=task,
        assets=("pump-1", "pump-2", "pump-3"),
        inputs=("Pressure",),
        labels=LabelRule(deadline_days=1, absent_means=absent),  # type: ignore[arg-type]
        baselines=tuple(Baseline(name=f"baseline-{i}", answer=one) for i, one in enumerate(answers)),
        acceptance=Acceptance(**metric, max_unanswered=1),
        decision=Decision(
            unit=unit or DecisionUnit(minutes=1),
            planned_units=planned,
            **{"slots": 1, **({"loss_cap": 1.0} if numeric else {}), **decision},
        ),
    )


def started(
    agreed: Agreement, *, subject: str | None = None, partitions: int = 1, constant: float | None = 0.0
) -> Started:
    return Started(
        pairing=PAIRING,
        deployment=f"{PAIRING}/{subject}" if subject else BASELINES,
        plant="plant-1",
        startup="startup-1",
        subjects=(subject,) if subject else tuple(one.name for one in agreed.baselines),
        baseline=subject is None,
        agreement=agreed,
        agreement_digest=agreed.digest(),
        starts=dict.fromkeys(range(partitions), 0),
        sandbox="none",
        constant=constant,
        units_checked=True,
    )


def frame(
    offset: int,
    times_us: Sequence[int],
    answers: Sequence[Sequence[float]],
    *,
    deployment: str,
    asset: str = "pump-1",
    partition: int = 0,
    appended_ms: int = 0,
    result: str = "answered",
    first: int | None = None,
) -> OutcomeRows:
    return OutcomeRows(
        meta=Outcome(
            pairing=PAIRING,
            deployment=deployment,
            partition=partition,
            first=offset if first is None else first,
            last=offset,
            asset=asset,
            frame=f"{partition}-{offset}",
            appended_ms=appended_ms,
            rows=len(times_us),
            result=result,  # type: ignore[arg-type]
            failure="error" if result == "failed" else None,
        ),
        times_us=np.array(times_us, dtype=np.int64),
        answers=np.array(answers, dtype=np.float64) if result == "answered" else np.empty((0, len(times_us))),
    )


def pair(
    offset: int,
    times_us: Sequence[int],
    baselines: Sequence[Sequence[float]],
    answers: Sequence[float],
    *,
    results: tuple[str, str] = ("answered", "answered"),
    **where: Any,
) -> list[OutcomeRows]:
    """What became of one frame for the baselines and for the candidate."""
    return [
        frame(offset, times_us, baselines, deployment=BASELINES, result=results[0], **where),
        frame(offset, times_us, [answers], deployment=CANDIDATE, result=results[1], **where),
    ]


def ended(*until: int, deployment: str) -> Ended:
    return Ended(pairing=PAIRING, deployment=deployment, until=dict(enumerate(until)))


def ends(*until: int) -> list[Entry]:
    return [ended(*until, deployment=one) for one in (BASELINES, CANDIDATE)]


def empty() -> Book:
    return Book(
        pairing=PAIRING,
        measures_for=lambda entry: metrics_for(entry.agreement),
        losses_for=losses_for,
    )


def fold(entries: Iterable[Entry], book: Book | None = None) -> Book:
    book = book or empty()
    for offset, entry in enumerate(entries):
        book.fold(entry, offset=offset, digest=hashlib.sha256(repr(entry).encode()).digest())
    book.settle()
    return book


def standing(book: Book, deployment: str = CANDIDATE) -> Standing:
    book.settle()
    found = standing_of(book, book.runs[deployment].started)
    assert found is not None
    return found


def units(book: Book) -> Units:
    (found,) = book.units.values()
    return found


def losses(book: Book, *names: str) -> list[list[int]]:
    """What each of these lost, unit by unit, in the units that have entered."""
    found = units(book)
    count = found.entered("first")
    return [found.losses(name, 0, count).tolist() for name in names]
