"""An evaluation's figures beside the metrics of all rows: parts of the rows, and what has moved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Literal

from models.drift import error_drift, largest_difference, stability_index
from models.exact import published
from models.metrics import Metrics
from models.metrics.series import series_metrics
from schemas.agreement import Agreement
from schemas.evaluation import Counts, ErrorDrift, InputDrift, SliceScores, TagDrift
from schemas.slices import UNKNOWN, Slice
from streams.drift import Spread, aligned
from streams.ledger import Book, round_of
from streams.run import Run, Standing
from streams.scores import ABSTAINED, BY_DAY, FAILED, SCORED, UNLABELLED, WAITING, Part


def slices_of(agreement: Agreement, metrics: Metrics, standing: Standing) -> Iterator[SliceScores]:
    """The scores of each part of each agreed slice that has rows."""
    for part in standing.parts:
        at, value = part.group
        if at >= 0 and agreement.slices is not None:
            one = agreement.slices[at]
            found = metrics.metrics(part.sums)
            if one.by == "asset":
                found |= series_metrics([standing.series.get(str(value), ())])
            yield SliceScores(by=one.name, value=_value(one, value), counts=_counts(part), metrics=found)


def _value(one: Slice, value: int | str) -> str:
    if isinstance(value, str):
        return value
    return one.values[value] if 0 <= value < len(one.values) else UNKNOWN


def _counts(part: Part) -> Counts:
    states = part.states
    return Counts(
        rows_in=sum(states[: FAILED + 1]),
        scored=states[SCORED],
        awaiting_label=states[WAITING],
        unlabelled=states[UNLABELLED],
        abstained=states[ABSTAINED],
        failed=states[FAILED],
    )


#: Values that a first day has to have, to be a reference.
LEAST_REFERENCE = 100


def input_drifts(book: Book) -> dict[str, InputDrift]:
    """How far the inputs of each rehearsal or trial have moved; a trial's from the rehearsal before it."""
    telling: dict[str, Run] = {}
    for run in book.runs.values():
        if run.inputs.total:
            telling.setdefault(round_of(run.started), run)
    found: dict[str, InputDrift] = {}
    rehearsal: Run | None = None
    for name, run in telling.items():
        reference, known = _reference(run, rehearsal)
        present = run.inputs.total if known == "rehearsal" else run.inputs.without(reference)
        tags = tuple(
            drift
            for tag in run.started.agreement.inputs
            if tag in reference and (drift := _moved(tag, reference[tag], present[tag])) is not None
        )
        if tags:
            found[name] = InputDrift(reference=known, tags=tags)
        if run.started.phase == "rehearsal":
            rehearsal = run
    return found


def _reference(
    run: Run, rehearsal: Run | None
) -> tuple[Mapping[str, Spread], Literal["rehearsal", "first_day"]]:
    if run.started.phase == "trial" and rehearsal is not None:
        both = run.inputs.total.keys() & rehearsal.inputs.total.keys()
        return {tag: rehearsal.inputs.total[tag] for tag in both}, "rehearsal"
    return run.inputs.first_days(LEAST_REFERENCE), "first_day"


def _moved(tag: str, reference: Spread, present: Spread) -> TagDrift | None:
    before, now = aligned(reference, present)
    index, difference = stability_index(before, now), largest_difference(before, now)
    if index is None or difference is None:
        return None
    return TagDrift(
        tag=tag,
        rows=present.rows,
        missing=_share(present),
        missing_before=_share(reference),
        psi=index,
        ks=difference,
    )


def _share(spread: Spread) -> float:
    return published(Fraction(spread.missing, spread.missing + spread.rows))


def error_drift_of(metrics: Metrics, standing: Standing) -> ErrorDrift | None:
    """How the errors of a subject have moved from day to day."""
    days = [
        (part.states[SCORED], part.sums)
        for part in standing.parts
        if part.group[0] == BY_DAY and part.states[SCORED]
    ]
    return error_drift(metrics, days)
