"""What a rehearsal showed: whether a trial on the same terms could be judged at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from models.exact import published
from schemas.agreement import Agreement
from schemas.evaluation import Counts
from schemas.pairing import Rehearsal


class Standing(Protocol):
    """How one subject of a rehearsal stands."""

    @property
    def subject(self) -> str: ...

    @property
    def counts(self) -> Counts: ...


def rehearsed(standings: Sequence[Standing], agreement: Agreement) -> Rehearsal:
    """Look at every subject of a rehearsal.

    It passes where the agreed number of rows came, some of them are labelled, every row could be given to the candidates,
    and each candidate answered as many as the agreement asks for.
    """
    remarks: list[str] = []
    rows = max((one.counts.rows_in for one in standings), default=0)
    if rows < agreement.phases.rehearsal_rows:
        remarks.append(f"{rows} rows came, {agreement.phases.rehearsal_rows} are agreed")
    refused = max((one.counts.refused for one in standings), default=0)
    if refused:
        remarks.append(f"{refused} rows lacked an agreed input")
    labelled = max((one.counts.scored for one in standings), default=0)
    if not labelled:
        remarks.append("no row has a label")
    for one in standings:
        silent = one.counts.failed + one.counts.abstained
        if silent > agreement.acceptance.max_unanswered * one.counts.rows_in:
            remarks.append(f"{one.subject} did not answer {silent} of {one.counts.rows_in} rows")
    answered = min((_answered(one.counts) for one in standings), default=0.0)
    return Rehearsal(
        passed=not remarks,
        rows=rows,
        labelled=published(labelled / rows) if rows else 0.0,
        answered=published(answered),
        remarks=tuple(remarks),
    )


def _answered(counts: Counts) -> float:
    silent = counts.failed + counts.abstained + counts.refused
    return 1 - silent / counts.rows_in if counts.rows_in else 0.0
