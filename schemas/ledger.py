"""Entries of the ledger (원장): the ordered log from which scores are computed.

Times are whole numbers, microseconds (`_us`) or milliseconds (`_ms`) since 1970 in UTC, and label values are codes
(`Agreement.code`): the fold parses nothing.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, model_validator

from schemas.agreement import Agreement
from schemas.base import Digest, Ident, Offsets, Record
from schemas.faults import FailureKind


class Started(Record):
    """A deployment begins: what it gives evaluations for, under which agreement, from which offsets. The first counts."""

    kind: Literal["started"] = "started"
    pairing: Ident
    deployment: str
    plant: Ident
    startup: Ident
    subjects: tuple[str, ...]
    baseline: bool
    phase: Literal["rehearsal", "trial"] = "trial"
    agreement: Agreement
    agreement_digest: Digest
    starts: Offsets
    sandbox: str
    simulated: bool = False
    #: Which of the agreement's slots for a verdict its candidate takes, from 1.
    slot: int | None = None
    #: The constant answer that did best in the rehearsal, frozen before the trial; the code of a class, or a number.
    constant: float | None = None
    #: Whether the rehearsal showed that units depend little enough on one another.
    units_checked: bool | None = None


class Ended(Record):
    """A deployment is over: offsets from `until` on are not due. The first counts."""

    kind: Literal["ended"] = "ended"
    pairing: Ident
    deployment: str
    until: Offsets


class Covered(Record):
    """Telemetry offsets `first` … `last` that a deployment passed and that were not due."""

    kind: Literal["covered"] = "covered"
    pairing: Ident
    deployment: str
    partition: int
    first: int
    last: int


class TagHistogram(Record):
    """How the values of one tag in a frame are spread: how many lie in each bin [i · 2^scale, (i + 1) · 2^scale)."""

    tag: str
    scale: int
    bins: tuple[int, ...]
    counts: tuple[int, ...]
    #: Rows without a value.
    missing: int = 0

    @model_validator(mode="after")
    def _one_count_a_bin(self) -> TagHistogram:
        if len(self.bins) != len(self.counts):
            raise ValueError("each bin has one count")
        return self


class Outcome(Record):
    """What became of one due frame (처리 결과). It travels as the metadata of an Arrow stream with the rows' times and answers."""

    kind: Literal["outcome"] = "outcome"
    pairing: Ident
    deployment: str
    partition: int
    #: The offsets that it covers: `last` is its frame, those before it were passed and not due.
    first: int
    last: int
    asset: str
    #: The frame's id: rows are identified by frame and position.
    frame: str
    #: When the broker appended the frame.
    appended_ms: int
    rows: int
    #: `unreadable`: the frame could not be read; `refused`: it could, and may not be given to a candidate.
    result: Literal["answered", "failed", "refused", "unreadable"]
    failure: FailureKind | None = None
    #: Why, in a few words; at the plant only.
    detail: str | None = None
    #: The exception's class where it is a well-known one, and the candidate's own file and line.
    exception: str | None = None
    where: str | None = None
    #: Measured from outside the candidate: CPU time, time from its turn to its answer, peak resident memory.
    cpu_us: int = 0
    wall_us: int = 0
    peak_kb: int = 0
    #: The spread of the inputs, where this deployment tells it: one does for all of a trial.
    histograms: tuple[TagHistogram, ...] | None = None


class Source(Record):
    """Where a label stands in the plant's label topic, and when the broker appended it."""

    partition: int
    offset: int
    appended_ms: int


class Label(Record):
    """One label version for a pairing: the truth of an asset's rows from `start_us` on and before `end_us`."""

    kind: Literal["label"] = "label"
    pairing: Ident
    asset: str
    id: str
    start_us: int = 0
    end_us: int = 0
    #: None where the label is withdrawn.
    code: float | None = None
    source: Source


class LabelFrame(Record):
    """Many point labels at once. It travels as the metadata of an Arrow stream with their times and codes."""

    kind: Literal["label_frame"] = "label_frame"
    pairing: Ident
    asset: str
    id: str
    #: The telemetry frame whose rows they are for, position by position; without it they are joined by time.
    frame: str | None = None
    source: Source


class Watermark(Record):
    """The labels of an asset are complete before `until_us`."""

    kind: Literal["watermark"] = "watermark"
    pairing: Ident
    asset: str
    until_us: int
    source: Source


class Tick(Record):
    """Every label that the broker had appended before `at_ms` stands in the ledger: deadlines up to then have passed."""

    kind: Literal["tick"] = "tick"
    pairing: Ident
    at_ms: int
    #: Every telemetry message that the broker had appended before `at_ms` lies before these offsets.
    telemetry: Offsets | None = None


class Closed(Record):
    """Every deployment has ended and every row is settled: the verdict is the fold of the entries up to here."""

    kind: Literal["closed"] = "closed"
    pairing: Ident
    #: The deployments that are judged: those of the last trial.
    deployments: tuple[str, ...] = ()


PlainEntry = Annotated[
    Started | Ended | Covered | Label | Watermark | Tick | Closed, Field(discriminator="kind")
]

PLAIN_ENTRY: TypeAdapter[Started | Ended | Covered | Label | Watermark | Tick | Closed] = TypeAdapter(
    PlainEntry
)
