"""Ledger entries to build tests from."""

from __future__ import annotations

import hashlib

import numpy as np

from models.metrics import metrics_for
from schemas.agreement import Acceptance, Agreement, LabelRule, Task
from schemas.ledger import Covered, Ended, Label, LabelFrame, Outcome, Source, Started, Tick, Watermark
from streams.ledger import Book
from streams.ledger_codec import Entry, LabelRows, OutcomeRows
from streams.run import Standing

PAIRING = "pump-2026-01"
CANDIDATE = f"{PAIRING}/t2q-v1"
DAY_MS = 24 * 60 * 60 * 1000


def agreement(
    *, task: Task = Task.ANOMALY, absent: str = "unlabelled", deadline_days: float = 1
) -> Agreement:
    metric, bound = ("rmse", {"at_most": 10.0}) if task.numeric else ("accuracy", {"at_least": 0.5})
    return Agreement(
        task=task,
        assets=("pump-1", "pump-2"),
        inputs=("Pressure",),
        classes=("a", "b", "c") if task is Task.CLASSIFICATION else (),
        labels=LabelRule(deadline_days=deadline_days, absent_means=absent),  # type: ignore[arg-type]
        acceptance=Acceptance(metric=metric, **bound),  # type: ignore[arg-type]
    )


def started(
    agreed: Agreement, *, deployment: str = CANDIDATE, starts: dict[int, int] | None = None
) -> Started:
    return Started(
        pairing=PAIRING,
        deployment=deployment,
        plant="plant-1",
        startup="startup-1",
        subjects=("t2q-v1",),
        baseline=False,
        agreement=agreed,
        agreement_digest=agreed.digest(),
        starts=starts or {0: 0},
        sandbox="none",
    )


def outcome(
    last: int,
    *,
    answers: list[float],
    times: list[int] | None = None,
    first: int | None = None,
    asset: str = "pump-1",
    result: str = "answered",
    appended_ms: int = 0,
    deployment: str = CANDIDATE,
    scores: list[float] | None = None,
) -> OutcomeRows:
    n = len(answers)
    base = last * 1000
    return OutcomeRows(
        meta=Outcome(
            pairing=PAIRING,
            deployment=deployment,
            partition=0,
            first=last if first is None else first,
            last=last,
            asset=asset,
            frame=f"f{last}",
            appended_ms=appended_ms,
            rows=n,
            result=result,  # type: ignore[arg-type]
            failure="error" if result == "failed" else None,
        ),
        times_us=np.array(times if times is not None else [base + i for i in range(n)], dtype=np.int64),
        answers=np.array([answers], dtype=np.float64),
        scores=None if scores is None else np.array([scores], dtype=np.float64),
    )


def label(
    offset: int,
    start: int,
    end: int,
    code: float | None,
    *,
    ident: str | None = None,
    asset: str = "pump-1",
    ms: int = 0,
) -> Label:
    source = Source(partition=0, offset=offset, appended_ms=ms)
    return Label(
        pairing=PAIRING,
        asset=asset,
        id=ident or f"l{offset}",
        start_us=start,
        end_us=end,
        code=code,
        source=source,
    )


def label_frame(
    offset: int, times: list[int], codes: list[float], *, frame: str | None = None, ms: int = 0
) -> LabelRows:
    source = Source(partition=0, offset=offset, appended_ms=ms)
    return LabelRows(
        meta=LabelFrame(pairing=PAIRING, asset="pump-1", id=f"lf{offset}", frame=frame, source=source),
        times_us=np.array(times, dtype=np.int64),
        codes=np.array(codes, dtype=np.float64),
    )


def watermark(offset: int, until: int, *, asset: str = "pump-1", ms: int = 0) -> Watermark:
    source = Source(partition=0, offset=offset, appended_ms=ms)
    return Watermark(pairing=PAIRING, asset=asset, until_us=until, source=source)


def tick(at_ms: int) -> Tick:
    return Tick(pairing=PAIRING, at_ms=at_ms)


def ended(until: int, *, deployment: str = CANDIDATE) -> Ended:
    return Ended(pairing=PAIRING, deployment=deployment, until={0: until})


def covered(first: int, last: int) -> Covered:
    return Covered(pairing=PAIRING, deployment=CANDIDATE, partition=0, first=first, last=last)


def fold(*entries: Entry) -> Book:
    """The book after these entries, settled."""
    book = Book(pairing=PAIRING, measures_for=lambda entry: metrics_for(entry.agreement))
    for offset, entry in enumerate(entries):
        book.fold(entry, offset=offset, digest=hashlib.sha256(repr(entry).encode()).digest())
    book.settle()
    return book


def standing(book: Book, deployment: str = CANDIDATE) -> Standing:
    """How the only subject of a deployment stands."""
    return book.runs[deployment].standings()[0]
