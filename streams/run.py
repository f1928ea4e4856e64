"""One deployment as the ledger tells it: which frames counted, and what became of their rows."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from schemas.evaluation import Audit, Counts, Service
from schemas.faults import Fault
from schemas.ledger import Covered, Ended, Outcome, Started
from streams.intervals import IntervalIndex
from streams.ledger_codec import OutcomeRows
from streams.tally import Tally
from streams.truth import Rows, Truth, Version

DAY_MS = 24 * 60 * 60 * 1000

#: Turns truths and answers, both float64 of shape (n,), into whole numbers that add up.
SumsOf = Callable[[np.ndarray, np.ndarray], tuple[int, ...]]

#: scored, awaiting a label, unlabelled, abstained; the task's sums follow.
STATES = 4


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the ledger says of one subject so far."""

    subject: str
    counts: Counts
    audit: Audit
    sums: tuple[int, ...]
    service: Service | None = None
    faults: tuple[Fault, ...] = ()


@dataclass(kw_only=True)
class Run:
    """The state of one deployment. Constant in memory but for its rows."""

    started: Started
    sums_of: SumsOf
    #: The smallest offset that has no outcome yet, for each telemetry partition.
    expected: dict[int, int] = field(default_factory=dict)
    until: dict[int, int] | None = None
    tally: Tally = field(default_factory=Tally)
    rows: dict[str, IntervalIndex[Rows]] = field(default_factory=dict)
    by_frame: dict[tuple[str, str], list[Rows]] = field(default_factory=dict)
    #: Frames that came, by asset and id.
    seen: set[tuple[str, str]] = field(default_factory=set)
    kept: dict[tuple[int, int], tuple[Outcome, Rows | None]] = field(default_factory=dict)
    totals: list[list[int]] = field(default_factory=list)
    _shares: dict[tuple[int, int], list[list[int]]] = field(default_factory=dict)
    _dirty: set[tuple[int, int]] = field(default_factory=set)
    #: Repeated frames, until the end is known.
    _repeated: list[tuple[int, int]] = field(default_factory=list)
    #: Frames with rows that waited when they were last measured, by deadline; some may wait no more.
    _waiting: list[tuple[int, tuple[int, int]]] = field(default_factory=list)
    _queued: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        if not self.expected:
            self.expected = dict(self.started.starts)

    @property
    def deadline_ms(self) -> int:
        """How long after a frame's arrival its labels may come."""
        return int(self.started.agreement.labels.deadline_days * DAY_MS)

    # --- which frames count ---------------------------------------------------------------------------------------

    def fits(self, outcome: OutcomeRows) -> bool:
        """Whether its answers are one for each subject and row, and of classes that there are."""
        if outcome.meta.result != "answered":
            return True
        shape = (len(self.started.subjects), outcome.meta.rows)
        if outcome.answers.shape != shape or outcome.times_us.shape != shape[1:]:
            return False
        classes = len(self.started.agreement.classes)
        known = outcome.answers[np.isfinite(outcome.answers)]
        coded = (known >= 0) & (known < classes) & (known == np.floor(known))
        return not classes or bool(coded.all())

    def passes(self, meta: Outcome | Covered) -> bool:
        """Whether it is the next in its partition, so that its offsets are done; duplicates and gaps are only noted."""
        expected = self.expected.get(meta.partition)
        if expected is None or (self.until is not None and meta.first >= self.until.get(meta.partition, 0)):
            return False
        if meta.last < expected:
            self.tally.duplicates += 1
            return False
        if meta.first > expected:
            self.tally.gaps += 1
            return False
        self.expected[meta.partition] = meta.last + 1
        return True

    def due(self, meta: Outcome) -> bool:
        """Whether its frame lies before the end, as far as that is known."""
        return self.until is None or meta.last < self.until.get(meta.partition, 0)

    def take(self, outcome: OutcomeRows, truth: Truth) -> Rows | None:
        """Count an outcome in; gives its rows where it has answers that can be scored."""
        meta = outcome.meta
        if (meta.asset, meta.frame) in self.seen:
            # Its sender was not sure that it had arrived, and sent it again: the rows are there already.
            self.tally.repeated += 1
            self._repeated.append((meta.partition, meta.last))
            return None
        self.seen.add((meta.asset, meta.frame))
        self.tally.count(meta, 1)
        rows: Rows | None = None
        if meta.result == "answered":
            rows = Rows(
                frame=meta.frame,
                asset=meta.asset,
                partition=meta.partition,
                offset=meta.last,
                deadline_ms=meta.appended_ms + self.deadline_ms,
                result=meta.result,
                times_us=outcome.times_us,
                answers=outcome.answers,
                truth=np.empty(0),
            )
            self.place(rows, truth)
        # Kept until the end is known: frames past it are taken out again.
        if self.until is None or rows is not None:
            self.kept[meta.partition, meta.last] = (meta, rows)
        return rows

    def place(self, rows: Rows, truth: Truth) -> None:
        """Join rows with what is known, and keep them to be joined with what comes."""
        rows.truth = truth.resolve(rows)
        self.rows.setdefault(rows.asset, IntervalIndex()).add(rows.start_us, rows.end_us, rows)
        self.by_frame.setdefault((rows.asset, rows.frame), []).append(rows)
        self._dirty.add((rows.partition, rows.offset))

    def end(self, ended: Ended) -> None:
        """Fix the end; frames that were counted past it are taken out."""
        if self.until is not None:
            return
        self.until = until = dict(ended.until)
        for key in [key for key in self.kept if key[1] >= until.get(key[0], 0)]:
            self._drop(key)
        self.tally.repeated -= sum(offset >= until.get(at, 0) for at, offset in self._repeated)
        self._repeated.clear()
        # What can no more be taken out, and has no rows that a label could change, has nothing left to say.
        self.kept = {key: one for key, one in self.kept.items() if one[1] is not None}

    def _drop(self, key: tuple[int, int]) -> None:
        meta, rows = self.kept.pop(key)
        self.tally.count(meta, -1)
        if rows is not None:
            rows.result = "dropped"
            self.tally.corrected -= rows.corrected
            self.tally.labels_late -= rows.late
            self._settle_dropped(key)

    def _settle_dropped(self, key: tuple[int, int]) -> None:
        share = self._shares.pop(key, None)
        self._dirty.discard(key)
        if share is not None:
            self._add(share, -1)

    def complete(self) -> bool:
        """Whether every offset up to the end has its outcome."""
        return self.until is not None and all(
            self.expected.get(partition, offset) >= offset for partition, offset in self.until.items()
        )

    # --- labels ---------------------------------------------------------------------------------------------------

    def affected(self, asset: str, versions: Iterable[Version]) -> list[Rows]:
        """The counted rows that these versions of a label may be about, each once."""
        found: dict[int, Rows] = {}
        for version in versions:
            if version.frame is not None:
                hit = [
                    rows for rows in self.by_frame.get((asset, version.frame), []) if rows.result != "dropped"
                ]
            else:
                hit = self.between(asset, version.start_us, version.end_us)
            found.update((id(rows), rows) for rows in hit)
        return list(found.values())

    def between(self, asset: str, start_us: int, end_us: int) -> list[Rows]:
        """The counted frames of an asset with rows around that time."""
        index = self.rows.get(asset)
        found = index.overlapping(start_us, end_us) if index is not None else []
        return [rows for rows in found if rows.result != "dropped"]

    def relabel(self, rows: Rows, truth: np.ndarray) -> None:
        """Give rows their labels anew, and note how many changed after they were known."""
        changed = ~np.isnan(rows.truth) & ~((rows.truth == truth) | (np.isnan(rows.truth) & np.isnan(truth)))
        rows.corrected += int(np.count_nonzero(changed))
        self.tally.corrected += int(np.count_nonzero(changed))
        rows.truth = truth
        self._dirty.add((rows.partition, rows.offset))

    def come_late(self, rows: Rows) -> None:
        """Note a label that came after the deadline of these rows."""
        rows.late += 1
        self.tally.labels_late += 1

    def expire(self, at_ms: int) -> None:
        """Have the frames measured again whose deadline lies before that time."""
        while self._waiting and self._waiting[0][0] < at_ms:
            _, key = heapq.heappop(self._waiting)
            self._queued.discard(key)
            if key in self.kept:
                self._dirty.add(key)

    def touch(self, rows: Rows) -> None:
        """Have rows measured again, because a watermark or a deadline has passed them."""
        self._dirty.add((rows.partition, rows.offset))

    # --- scores ---------------------------------------------------------------------------------------------------

    def settle(self, truths: dict[str, Truth], ticked_ms: int) -> None:
        """Measure again whatever changed since the last time."""
        for key in sorted(self._dirty):
            rows = self.kept[key][1]
            if rows is None:
                continue
            old = self._shares.get(key)
            if old is not None:
                self._add(old, -1)
            new = self._measure(rows, truths[rows.asset], ticked_ms)
            self._shares[key] = new
            self._add(new, 1)
            if _waits(new) and key not in self._queued:
                self._queued.add(key)
                heapq.heappush(self._waiting, (rows.deadline_ms, key))
        self._dirty.clear()

    def _add(self, share: Sequence[Sequence[int]], sign: int) -> None:
        if not self.totals:
            self.totals = [[0] * len(one) for one in share]
        for total, one in zip(self.totals, share, strict=True):
            for i, value in enumerate(one):
                total[i] += sign * value

    def _measure(self, rows: Rows, truth: Truth, ticked_ms: int) -> list[list[int]]:
        watermark_us = truth.watermark_for(rows.deadline_ms)
        under = (
            rows.times_us < watermark_us if watermark_us is not None else np.zeros(rows.times_us.size, bool)
        )
        known = rows.truth
        if self.started.agreement.labels.absent_means == "normal":
            known = np.where(np.isnan(known) & under, 0.0, known)
        closed = under | (rows.deadline_ms < ticked_ms)
        labelled = ~np.isnan(known)
        return [self._share(answers, known, labelled, closed) for answers in rows.answers]

    def _share(
        self, answers: np.ndarray, known: np.ndarray, labelled: np.ndarray, closed: np.ndarray
    ) -> list[int]:
        answered = np.isfinite(answers)
        scored = answered & labelled
        waiting = answered & ~labelled
        unlabelled = int(np.count_nonzero(waiting & closed))
        return [
            int(np.count_nonzero(scored)),
            int(np.count_nonzero(waiting)) - unlabelled,
            unlabelled,
            int(answers.size - np.count_nonzero(answered)),
            *self.sums_of(known[scored], answers[scored]),
        ]

    def awaiting(self) -> bool:
        """Whether any row still waits for a label; asked after `settle`."""
        return any(total[1] for total in self.totals)

    def next_deadline_ms(self) -> int | None:
        """The earliest deadline of a frame with rows that wait; asked after `settle`."""
        while self._waiting and not _waits(self._shares.get(self._waiting[0][1], ())):
            self._queued.discard(heapq.heappop(self._waiting)[1])
        return self._waiting[0][0] if self._waiting else None

    def standings(self, zero: tuple[int, ...]) -> list[Standing]:
        """One a subject; asked after `settle`."""
        totals = self.totals or [[0] * STATES + list(zero) for _ in self.started.subjects]
        return [
            Standing(
                subject=subject,
                counts=self._counts(total),
                audit=self._audit(),
                sums=tuple(total[STATES:]),
                service=None if self.started.baseline else self.tally.service.told(),
                faults=self.tally.faults(),
            )
            for subject, total in zip(self.started.subjects, totals, strict=True)
        ]

    def _counts(self, total: Sequence[int]) -> Counts:
        return Counts(
            rows_in=self.tally.rows_in,
            scored=total[0],
            awaiting_label=total[1],
            unlabelled=total[2],
            abstained=total[3],
            failed=self.tally.failed,
            refused=self.tally.refused,
        )

    def _audit(self) -> Audit:
        tally = self.tally
        return Audit(
            frames=tally.frames,
            frames_refused=tally.frames_refused,
            frames_repeated=tally.repeated,
            duplicates=tally.duplicates,
            gaps=tally.gaps,
            labels_late=tally.labels_late,
            corrected=tally.corrected,
            failed_by_kind={kind: rows for kind, rows in sorted(tally.failed_by_kind.items()) if rows},
        )


def _waits(share: Sequence[Sequence[int]]) -> bool:
    """Whether a frame, as it was last measured, has rows that wait for a label."""
    return any(one[1] for one in share)
