"""The measurement looks at itself: what is missing from the ledger, or does not add up, in words for everyone concerned.

An alarm's text stays the same as long as it is about the same thing, so that it is told once.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.evaluation import Evaluation
from streams.run import Run

#: Whoever fills a gap writes everything behind it again: that takes seconds. One that stays open so long is not noise.
GAP_S = 60

DIFFERS = "the ledger folded again differs from the running scores"


def unfilled(runs: Iterable[Run], *, at_ms: int) -> tuple[str, ...]:
    """The gaps that have been open for `GAP_S` at that time, one text each."""
    return tuple(
        f"no outcome of {run.started.deployment} for offset {gap.offset} of telemetry partition {partition} came "
        f"within {GAP_S} s of one behind it"
        for run in runs
        for partition, gap in run.open_gaps().items()
        if at_ms - gap.since_ms >= GAP_S * 1000
    )


def uneven(evaluations: Iterable[Evaluation]) -> tuple[str, ...]:
    """The subjects whose rows do not add up: the law of counts is broken."""
    return tuple(
        f"the rows of {one.candidate} do not add up: {one.counts.rows_in} came in, {one.counts.told()} are accounted for"
        for one in evaluations
        if not one.counts.hold()
    )
