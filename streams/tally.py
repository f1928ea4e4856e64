"""Whole numbers about a deployment that no label can change."""

from __future__ import annotations

from dataclasses import dataclass, field
from sys import intern
from typing import Literal

from schemas.base import Record
from schemas.faults import FailureKind, Fault
from schemas.ledger import Outcome
from streams.labelling import Labelling
from streams.service import ServiceTally

#: Different faults that are told apart: a candidate chooses among them, so that they are few is what keeps rows in.
MOST_FAULTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What stays in memory of an outcome that counts, so that it can be taken out again: a record takes ten times as much."""

    asset: str
    frame: str
    partition: int
    last: int
    appended_ms: int
    rows: int
    result: Literal["answered", "failed", "refused", "unreadable"]
    failure: FailureKind | None
    exception: str | None
    where: str | None
    cpu_us: int
    wall_us: int
    peak_kb: int

    @classmethod
    def of(cls, meta: Outcome) -> Counted:
        """What stays of this one."""
        return cls(
            asset=intern(meta.asset),
            frame=meta.frame,
            partition=meta.partition,
            last=meta.last,
            appended_ms=meta.appended_ms,
            rows=meta.rows,
            result=meta.result,
            failure=meta.failure,
            exception=meta.exception,
            where=meta.where,
            cpu_us=meta.cpu_us,
            wall_us=meta.wall_us,
            peak_kb=meta.peak_kb,
        )


class Gap(Record):
    """Offsets of one telemetry partition, from `offset` to before `until`, whose outcomes are missing or came too early."""

    offset: int
    until: int
    #: When the ledger first held an outcome behind them.
    since_ms: int


class Noise(Record):
    """What of a deployment is not among the entries that count: what came twice, and what came too early."""

    duplicates: int = 0
    gaps: int = 0
    #: By telemetry partition.
    open: dict[int, Gap] = {}


@dataclass(kw_only=True)
class Tally:
    """Whole numbers about a run that no label can change."""

    frames: int = 0
    frames_refused: int = 0
    rows_in: int = 0
    failed: int = 0
    refused: int = 0
    repeated: int = 0
    duplicates: int = 0
    gaps: int = 0
    #: Gaps that nothing has filled yet, by telemetry partition.
    open: dict[int, Gap] = field(default_factory=dict)
    labelling: Labelling = field(default_factory=Labelling)
    failed_by_kind: dict[str, int] = field(default_factory=dict)
    service: ServiceTally = field(default_factory=ServiceTally)
    #: Failed frames by kind, exception and place.
    _faults: dict[tuple[FailureKind, str | None, str | None], int] = field(default_factory=dict)

    @property
    def noise(self) -> Noise:
        """What would be lost with the entries that did not count."""
        return Noise(duplicates=self.duplicates, gaps=self.gaps, open=self.open)

    def hear(self, noise: Noise) -> None:
        """Take up what was noted before."""
        self.duplicates, self.gaps, self.open = noise.duplicates, noise.gaps, dict(noise.open)

    def pass_over(self, partition: int, offset: int, until: int, at_ms: int) -> None:
        """Note an outcome that came before the one that is expected."""
        self.gaps += 1
        known = self.open.get(partition)
        if known is None:
            self.open[partition] = Gap(offset=offset, until=until, since_ms=at_ms)
        elif until > known.until:
            self.open[partition] = known.model_copy(update={"until": until})

    def fill(self, partition: int, upto: int) -> None:
        """Note that every offset before `upto` has its outcome."""
        gap = self.open.get(partition)
        if gap is not None and upto >= gap.until:
            del self.open[partition]

    def count(self, meta: Counted, sign: int) -> None:
        """Count an outcome in (sign 1), or out again (sign −1)."""
        if meta.result == "unreadable":
            self.frames_refused += sign
            return
        self.frames += sign
        self.rows_in += sign * meta.rows
        if meta.result == "refused":
            self.refused += sign * meta.rows
        elif meta.failure != "suspended":
            self.service.count(meta, sign)
        if meta.result == "failed":
            self.failed += sign * meta.rows
            kind = meta.failure or "error"
            self.failed_by_kind[kind] = self.failed_by_kind.get(kind, 0) + sign * meta.rows
            self._count_fault((kind, meta.exception, meta.where), sign)

    def _count_fault(self, fault: tuple[FailureKind, str | None, str | None], sign: int) -> None:
        if fault not in self._faults and len(self._faults) >= MOST_FAULTS:
            return
        self._faults[fault] = self._faults.get(fault, 0) + sign

    def faults(self) -> tuple[Fault, ...]:
        """What went wrong in how many frames, the most frequent first."""
        found = sorted(self._faults.items(), key=lambda one: (-one[1], str(one[0])))
        return tuple(
            Fault(kind=kind, exception=exception, where=where, count=count)
            for (kind, exception, where), count in found
            if count > 0
        )
