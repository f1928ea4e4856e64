"""An evaluation's figures of parts of the rows."""

from __future__ import annotations

from collections.abc import Iterator

from models.metrics import Metrics
from models.metrics.series import series_metrics
from schemas.agreement import Agreement
from schemas.evaluation import Counts, SliceScores
from schemas.slices import UNKNOWN, Slice
from streams.run import Standing
from streams.scores import ABSTAINED, FAILED, SCORED, UNLABELLED, WAITING, Part


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
