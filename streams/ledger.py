"""The fold of the ledger: a pairing's state after each entry, deterministic, without a clock of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from schemas.ledger import Closed, Covered, Ended, Label, Started, Tick, Watermark
from schemas.pairing import BASELINES
from streams.ledger_codec import Entry, LabelRows, OutcomeRows
from streams.run import Run
from streams.scores import Measures
from streams.truth import Truth, Version
from streams.units import Losses, Units

BEFORE_ALL = -(2**62)

#: Gives the way a task sums up answers, for the agreement of a deployment.
MeasuresFor = Callable[[Started], Measures]
#: Gives the way units lose, where the agreement of a deployment asks for units.
LossesFor = Callable[[Started], Losses]


@dataclass(kw_only=True)
class Book:
    """The state of one pairing."""

    pairing: str
    #: How the task sums up answers; known from the first deployment's agreement on.
    measures_for: MeasuresFor
    #: How units lose; without it none are counted.
    losses_for: LossesFor | None = None
    runs: dict[str, Run] = field(default_factory=dict)
    truths: dict[str, Truth] = field(default_factory=dict)
    #: The decision units of each rehearsal and trial, by its place in the names of its deployments.
    units: dict[str, Units] = field(default_factory=dict)
    ticked_ms: int = 0
    closed: bool = False
    #: The deployments that are judged, named by the entry that closed it.
    judged: tuple[str, ...] = ()
    #: SHA-256 chained over the entries that counted, in their order.
    chain: bytes = bytes(32)
    entries: int = 0
    #: Offset of the pairing's first entry.
    first_offset: int | None = None

    def fold(self, entry: Entry, *, offset: int, digest: bytes, at_ms: int = 0) -> bool:
        """Take an entry in; gives whether it counted.

        Args:
            entry: the entry.
            offset: its offset in the ledger partition.
            digest: SHA-256 of its value's bytes.
            at_ms: when the ledger took it: since when a gap is open, which is in no score.
        """
        if self.first_offset is None:
            self.first_offset = offset
        if self.closed or not self._apply(entry, at_ms):
            return False
        self.chain = hashlib.sha256(self.chain + digest).digest()
        self.entries += 1
        return True

    def _apply(self, entry: Entry, at_ms: int) -> bool:
        match entry:
            case OutcomeRows():
                return self._outcome(entry, at_ms)
            case LabelRows():
                return self._label_frame(entry)
            case Label():
                return self._label(entry)
            case Covered():
                run = self.runs.get(entry.deployment)
                return run is not None and run.passes(entry, at_ms=at_ms)
            case Watermark():
                return self._watermark(entry)
            case Started():
                return self._started(entry)
            case Ended():
                return self._ended(entry)
            case Tick():
                return self._tick(entry)
            case Closed():
                self.closed, self.judged = True, entry.deployments
                return True

    def truth(self, asset: str) -> Truth:
        """What is known of an asset's labels."""
        return self.truths.setdefault(asset, Truth())

    def _started(self, entry: Started) -> bool:
        if entry.deployment in self.runs:
            return False
        run = self.runs[entry.deployment] = Run(started=entry, measures=self.measures_for(entry))
        if run.in_units and self.losses_for is not None:
            self._count_units(run, self.losses_for(entry))
        return True

    def _count_units(self, run: Run, losses: Losses) -> None:
        """Have the rows of a deployment counted in the units of its rehearsal or trial."""
        agreement, name = run.started.agreement, round_of(run.started)
        assert agreement.decision is not None, "units belong to a decision"
        units = self.units.get(name)
        if units is None:
            units = self.units[name] = Units(
                agreement.decision.unit,
                losses,
                baselines=[one.name for one in agreement.baselines],
                constants=constants(run.started),
            )
        if run.started.baseline:
            units.trusted = run
        else:
            units.candidates[run.started.subjects[0]] = run

    def _ended(self, entry: Ended) -> bool:
        run = self.runs.get(entry.deployment)
        if run is None or run.until is not None:
            return False
        run.end(entry)
        return True

    def _outcome(self, entry: OutcomeRows, at_ms: int) -> bool:
        run = self.runs.get(entry.meta.deployment)
        if run is None or not run.fits(entry) or not run.passes(entry.meta, at_ms=at_ms):
            return False
        # Past the end it counts for the offsets that led up to it, and its rows do not.
        if run.due(entry.meta):
            run.take(entry, self.truth(entry.meta.asset))
        return True

    def _label(self, entry: Label) -> bool:
        withdrawn = entry.code is None
        version = Version(
            id=entry.id,
            offset=entry.source.offset,
            appended_ms=entry.source.appended_ms,
            start_us=0 if withdrawn else entry.start_us,
            end_us=0 if withdrawn else entry.end_us,
            code=entry.code,
        )
        return self._version(entry.asset, version)

    def _label_frame(self, entry: LabelRows) -> bool:
        # Points joined by time are looked up by bisection; those of one frame keep their positions.
        by_time = entry.meta.frame is None
        order = np.argsort(entry.times_us, kind="stable") if by_time else np.arange(entry.times_us.size)
        times, codes = entry.times_us[order], entry.codes[order]
        empty = times.size == 0
        version = Version(
            id=entry.meta.id,
            offset=entry.meta.source.offset,
            appended_ms=entry.meta.source.appended_ms,
            start_us=0 if empty else int(times.min()),
            end_us=0 if empty else int(times.max()) + 1,
            frame=entry.meta.frame,
            times_us=times,
            codes=codes,
        )
        return self._version(entry.meta.asset, version)

    def _version(self, asset: str, version: Version) -> bool:
        truth = self.truth(asset)
        if truth.known(version):
            return False
        in_order = version.offset > truth.newest
        before = truth.add(version)
        for run in self.runs.values():
            for rows in run.affected(asset, (version, *before)):
                if not in_order:
                    run.join_again(rows, truth)
                elif version.appended_ms > rows.deadline_ms:
                    run.come_late(rows)
                else:
                    resolved = truth.resolve(rows) if before else version.over(rows)
                    run.relabel(rows, version, resolved, truth.watermark_for(rows.deadline_ms))
        return True

    def _watermark(self, entry: Watermark) -> bool:
        truth, source = self.truth(entry.asset), entry.source
        in_order = source.offset > truth.newest
        passed = truth.raise_watermark(source.appended_ms, source.offset, entry.until_us)
        if passed is not None and entry.until_us <= passed:
            return False
        for run in self.runs.values():
            for rows in run.between(entry.asset, BEFORE_ALL if passed is None else passed, entry.until_us):
                if in_order:
                    run.touch(rows)
                else:
                    run.join_again(rows, truth)
        return True

    def _tick(self, entry: Tick) -> bool:
        if entry.at_ms <= self.ticked_ms:
            return False
        for run in self.runs.values():
            run.expire(entry.at_ms)
            if entry.telemetry is not None:
                run.horizon = entry.at_ms, entry.telemetry
        self.ticked_ms = entry.at_ms
        return True

    def settle(self) -> None:
        """Bring the totals up to date."""
        for run in self.runs.values():
            run.settle(self.truths, self.ticked_ms)
        for units in self.units.values():
            units.follow(self.truths, self.ticked_ms)

    def units_wait(self) -> bool:
        """Whether complete units wait for silent partitions, before their place is sure. After `settle`."""
        return any(units.waiting() for units in self.units.values())

    def ready_to_close(self, deployments: set[str]) -> bool:
        """Whether these deployments have all ended, each due frame has its outcome and no row waits. After `settle`."""
        return not self.closed and all(
            name in self.runs and self.runs[name].complete() and not self.runs[name].awaiting()
            for name in deployments
        )

    def next_deadline_ms(self) -> int | None:
        """The earliest deadline that rows wait for. After `settle`."""
        found = [run.next_deadline_ms() for run in self.runs.values()]
        return min((one for one in found if one is not None), default=None)


def round_of(started: Started) -> str:
    """What the names of all deployments of one rehearsal or trial end in: nothing in the first trial."""
    name = BASELINES if started.baseline else started.subjects[0]
    return started.deployment.removeprefix(f"{started.pairing}/{name}")


def constants(started: Started) -> dict[str, float]:
    """The constant answers that a candidate has to beat: the rehearsal's best; without a rehearsal every class."""
    classes = started.agreement.classes
    if started.constant is None:
        return {f"always {name}": float(code) for code, name in enumerate(classes)}
    name = classes[int(started.constant)] if classes else f"{started.constant:.9g}"
    return {f"always {name}": started.constant}
