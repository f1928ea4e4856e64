"""Reading a ledger to its scores: entries into a pairing's book, and its evaluations and verdicts out of it.

The scorer, `recompute` and the check of an evidence bundle all take this way, so that they cannot differ in anything but
what they are given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from agents.decisions import bar_of, beside, losses_for, standing_of
from agents.figures import error_drift_of, input_drifts, slices_of
from models.metrics import Metrics, every_metric, metrics_for, spent
from models.verdicts import judge
from schemas.evaluation import Evaluation, InputDrift, Verdict
from schemas.ledger import Started
from schemas.rejected import Rejected
from streams.envelope import RawRecord
from streams.frames import moment
from streams.ledger import Book, round_of
from streams.ledger_codec import Entry, LabelRows, OutcomeRows, decode
from streams.run import Run


def new_book(pairing: str) -> Book:
    """A pairing's book with nothing in it."""
    return Book(pairing=pairing, measures_for=measures_for, losses_for=losses_for)


def measures_for(started: Started) -> Metrics:
    """How the task of a deployment's agreement sums up answers."""
    return metrics_for(started.agreement)


def evaluations(book: Book, *, partition: int, offset: int, at_ms: int, final: bool) -> list[Evaluation]:
    """The scores of every subject of a pairing as its ledger stands, in its latest rehearsal or trial.

    One evaluation a subject: an earlier round does not stand beside what came after it under the same name. Of a closed
    pairing only the deployments that are judged.
    """
    book.settle()
    drifts = input_drifts(book)
    latest: dict[str, Evaluation] = {}
    for name, run in book.runs.items():
        if not book.judged or name in book.judged:
            drift = drifts.get(round_of(run.started))
            for one in _of_run(
                book, run, drift, partition=partition, offset=offset, at_ms=at_ms, final=final
            ):
                latest[one.candidate] = one
    return [latest[name] for name in sorted(latest)]


def _of_run(
    book: Book,
    run: Run,
    drift: InputDrift | None,
    *,
    partition: int,
    offset: int,
    at_ms: int,
    final: bool,
) -> list[Evaluation]:
    started = run.started
    metrics = metrics_for(started.agreement)
    return [
        Evaluation(
            pairing=book.pairing,
            plant=started.plant,
            startup=started.startup,
            candidate=standing.subject,
            baseline=started.baseline,
            phase=started.phase,
            task=started.agreement.task,
            ledger_partition=partition,
            ledger_offset=offset,
            chain=book.chain.hex(),
            at=moment(at_ms * 1000),
            final=final,
            counts=standing.counts,
            audit=standing.audit,
            confusion=metrics.confusion(standing.sums),
            metrics=every_metric(metrics, standing),
            cost=spent(started.agreement, standing.sums),
            slices=tuple(slices_of(started.agreement, metrics, standing)),
            input_drift=drift,
            error_drift=error_drift_of(metrics, standing),
            labels=standing.labels,
            decision=standing_of(book, started),
            service=standing.service,
            faults=standing.faults,
            sandbox=started.sandbox,
            simulated=started.simulated,
        )
        for standing in run.standings()
    ]


def digest_of(record: RawRecord) -> bytes:
    """SHA-256 of an entry's bytes, as it goes into the chain."""
    return hashlib.sha256(record.value or b"").digest()


def read_entry(record: RawRecord) -> tuple[str, Entry] | Rejected:
    """An entry with the pairing that it is of, which is also its key: what a range is read again by."""
    entry = decode(record)
    if isinstance(entry, Rejected):
        return entry
    pairing = entry.meta.pairing if isinstance(entry, OutcomeRows | LabelRows) else entry.pairing
    if record.key != pairing.encode():
        return Rejected(
            reason="not_readable", detail=f"the key of an entry of {pairing} has to be {pairing!r}"
        )
    return pairing, entry


def verdicts_of(
    book: Book, final: Sequence[Evaluation], *, equal: bool, retired: frozenset[str]
) -> list[Verdict]:
    """What the agreement's rule says of each candidate.

    Args:
        book: the closed pairing.
        final: its final evaluations.
        equal: whether two folds of the same entries came to the same evaluations.
        retired: candidates that were taken out of the trial.
    """
    judged = {
        run.started.subjects[0]: run.started
        for name, run in book.runs.items()
        if not run.started.baseline and (not book.judged or name in book.judged)
    }
    return [
        judge(
            judged[one.candidate].agreement.acceptance,
            one,
            digest=judged[one.candidate].agreement_digest,
            recomputed_equal=equal,
            decision=judged[one.candidate].agreement.decision,
            bar=bar_of(judged[one.candidate], retired),
            beside=beside(book, judged[one.candidate], retired),
        )
        for one in final
        if not one.baseline and one.phase == "trial"
    ]
