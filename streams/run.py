"""One deployment as the ledger tells it: which frames counted, and what became of their rows."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from pydantic import TypeAdapter

from schemas.evaluation import Audit, Counts, LabelStatistics, Service
from schemas.faults import Fault
from schemas.ledger import Covered, Ended, Outcome, Started, TagHistogram
from streams.drift import Inputs
from streams.intervals import IntervalIndex
from streams.labelling import Labelling
from streams.ledger_codec import OutcomeRows
from streams.scores import ABSTAINED, LABELLED, SCORED, UNLABELLED, WAITING, Amount, Measures, Part, Scores
from streams.tally import Counted, Gap, Tally
from streams.truth import Rows, Truth, Version

DAY_MS = 24 * 60 * 60 * 1000

#: What becomes of frames that nobody was given.
REFUSED = ("refused", "unreadable")

HISTOGRAMS = TypeAdapter(tuple[TagHistogram, ...])


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the ledger says of one subject so far."""

    subject: str
    counts: Counts
    audit: Audit
    sums: tuple[int, ...]
    series: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    ranking: tuple[np.ndarray, np.ndarray] | None = field(default=None, compare=False)
    labels: LabelStatistics
    parts: tuple[Part, ...] = ()
    service: Service | None = None
    faults: tuple[Fault, ...] = ()


@dataclass(kw_only=True)
class Run:
    """The state of one deployment. Constant in memory but for its rows."""

    started: Started
    measures: Measures
    #: The smallest offset that has no outcome yet, for each telemetry partition.
    expected: dict[int, int] = field(default_factory=dict)
    until: dict[int, int] | None = None
    tally: Tally = field(default_factory=Tally)
    rows: dict[str, IntervalIndex[Rows]] = field(default_factory=dict)
    by_frame: dict[tuple[str, str], list[Rows]] = field(default_factory=dict)
    #: Frames that came, by asset and id; with the outcome that counts where none of that id could be taken.
    seen: dict[tuple[str, str], Counted | None] = field(default_factory=dict)
    kept: dict[tuple[int, int], tuple[Counted, Rows | None]] = field(default_factory=dict)
    scores: Scores = field(init=False)
    inputs: Inputs = field(default_factory=Inputs)
    #: Frames whose outcome or labels changed since units were last counted, where an agreement asks for units.
    changed: set[tuple[int, int]] = field(default_factory=set)
    #: When the broker appended the last frame of each partition; and a moment before which every frame lies before
    #: these offsets.
    reached: dict[int, int] = field(default_factory=dict)
    horizon: tuple[int, dict[int, int]] | None = None
    _dirty: set[tuple[int, int]] = field(default_factory=set)
    #: Repeated frames, until the end is known; and refused ones whose place a frame of the same id has taken.
    _repeated: list[tuple[int, int]] = field(default_factory=list)
    _mended: dict[tuple[int, int], tuple[Counted, tuple[int, int]]] = field(default_factory=dict)
    #: How the inputs of each frame are spread, as JSON, until the end is known.
    _spread: dict[tuple[int, int], bytes] = field(default_factory=dict)
    #: Frames with rows that waited when they were last measured, by deadline; some may wait no more.
    _waiting: list[tuple[int, tuple[int, int]]] = field(default_factory=list)
    _queued: set[tuple[int, int]] = field(default_factory=set)
    #: Frames with rows that have no label and may still get one, whatever was answered, where units are counted.
    _open: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.scores = Scores(self.started.agreement, self.measures, subjects=len(self.started.subjects))
        if not self.expected:
            self.expected = dict(self.started.starts)

    @property
    def in_units(self) -> bool:
        """Whether the agreement asks for a decision by units."""
        return self.started.agreement.decision is not None

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
        if outcome.scores is not None and outcome.scores.shape != shape:
            return False
        if outcome.codes is not None and outcome.codes.shape[1:] != shape[1:]:
            return False
        classes = len(self.started.agreement.classes)
        known = outcome.answers[np.isfinite(outcome.answers)]
        coded = (known >= 0) & (known < classes) & (known == np.floor(known))
        return not classes or bool(coded.all())

    def passes(self, meta: Outcome | Covered, *, at_ms: int = 0) -> bool:
        """Whether it is the next in its partition, so that its offsets are done; duplicates and gaps are only noted.

        Args:
            meta: what covers the offsets.
            at_ms: when the ledger took it.
        """
        expected = self.expected.get(meta.partition)
        if expected is None or (self.until is not None and meta.first >= self.until.get(meta.partition, 0)):
            return False
        if meta.last < expected:
            self.tally.duplicates += 1
            return False
        if meta.first > expected:
            self.tally.pass_over(meta.partition, expected, meta.last + 1, at_ms)
            return False
        self.expected[meta.partition] = meta.last + 1
        self.tally.fill(meta.partition, meta.last + 1)
        return True

    def due(self, meta: Outcome | Counted) -> bool:
        """Whether its frame lies before the end, as far as that is known."""
        return self.until is None or meta.last < self.until.get(meta.partition, 0)

    def take(self, outcome: OutcomeRows, truth: Truth) -> Rows | None:
        """Count an outcome in; gives its rows where it has answers that can be scored.

        Of frames with one id one counts: the first that could be taken, or without any the first that was refused.
        """
        meta = Counted.of(outcome.meta)
        self.reached[meta.partition] = meta.appended_ms
        name, taken = (meta.asset, meta.frame), meta.result not in REFUSED
        if name in self.seen and (self.seen[name] is None or not taken):
            # Its sender was not sure that it had arrived, and sent it again: the rows are there already.
            self._repeat(meta)
            return None
        refused = self.seen.get(name)
        if refused is not None:
            # It was refused before, and has been mended since.
            self.tally.count(refused, -1)
            self._repeat(refused)
            self._mended[refused.partition, refused.last] = (refused, (meta.partition, meta.last))
        self.seen[name] = None if taken else meta
        self.tally.count(meta, 1)
        self._count_inputs(outcome)
        rows: Rows | None = None
        answers = self._answers(outcome)
        if answers is not None:
            rows = Rows(
                frame=meta.frame,
                asset=meta.asset,
                partition=meta.partition,
                offset=meta.last,
                deadline_ms=meta.appended_ms + self.deadline_ms,
                result=meta.result,
                times_us=outcome.times_us,
                answers=answers,
                truth=np.empty(0),
                scores=outcome.scores if meta.result == "answered" else None,
                codes=outcome.codes,
            )
            self.place(rows, truth)
        # Kept until the end is known: frames past it are taken out again.
        if self.until is None or rows is not None or self.in_units:
            self.kept[meta.partition, meta.last] = (meta, rows)
            self._note_change((meta.partition, meta.last))
        return rows

    def _repeat(self, meta: Counted) -> None:
        self.tally.repeated += 1
        self._repeated.append((meta.partition, meta.last))

    def _note_change(self, key: tuple[int, int]) -> None:
        if self.in_units:
            self.changed.add(key)

    def _count_inputs(self, outcome: OutcomeRows) -> None:
        meta = outcome.meta
        if meta.histograms and meta.rows and outcome.times_us.shape == (meta.rows,):
            self.inputs.count(meta.histograms, int(outcome.times_us[0]), 1)
            if self.until is None:
                self._spread[meta.partition, meta.last] = HISTOGRAMS.dump_json(meta.histograms)

    def _answers(self, outcome: OutcomeRows) -> np.ndarray | None:
        """The answers to a frame's rows, of which a failed one has none; None where the rows are not known."""
        if outcome.meta.result == "answered":
            return outcome.answers
        if outcome.meta.result == "failed" and outcome.times_us.shape == (outcome.meta.rows,):
            return np.broadcast_to(np.nan, (len(self.started.subjects), outcome.meta.rows))
        return None

    def place(self, rows: Rows, truth: Truth) -> None:
        """Join rows with what is known, and keep them to be joined with what comes."""
        rows.truth = truth.resolve(rows)
        self._note(rows, self._labelling(rows, truth))
        self.rows.setdefault(rows.asset, IntervalIndex()).add(rows.start_us, rows.end_us, rows)
        self.by_frame.setdefault((rows.asset, rows.frame), []).append(rows)
        self._dirty.add(rows.key)

    def end(self, ended: Ended) -> None:
        """Fix the end; frames that were counted past it are taken out."""
        if self.until is not None:
            return
        self.until = until = dict(ended.until)
        for key in [key for key in self.kept if key[1] >= until.get(key[0], 0)]:
            self._drop(key)
        self.tally.repeated -= sum(offset >= until.get(at, 0) for at, offset in self._repeated)
        self._repeated.clear()
        for refused, (at, offset) in self._mended.values():
            if self.due(refused) and offset >= until.get(at, 0):
                self._unmend(refused)
        self._mended.clear()
        self._spread.clear()
        # What can no more be taken out, and has no rows that a label could change, has nothing left to say.
        if not self.in_units:
            self.kept = {key: one for key, one in self.kept.items() if one[1] is not None}

    def _unmend(self, refused: Counted) -> None:
        """The frame that was sent in its place came after the end: the refusal counts again."""
        self.tally.count(refused, 1)
        self.tally.repeated -= 1
        self.seen[refused.asset, refused.frame] = refused

    def _drop(self, key: tuple[int, int]) -> None:
        meta, rows = self.kept.pop(key)
        self._note_change(key)
        self._open.discard(key)
        if key in self._mended:
            return
        self.tally.count(meta, -1)
        if rows is not None:
            if key in self._spread:
                spread = HISTOGRAMS.validate_json(self._spread.pop(key))
                self.inputs.count(spread, int(rows.times_us[0]), -1)
            rows.result = "dropped"
            self.tally.labelling.add(rows.labelling, -1)
            self._dirty.discard(key)
            self.scores.drop(rows)

    def complete(self) -> bool:
        """Whether every offset up to the end has its outcome."""
        return self.until is not None and all(
            self.expected.get(partition, offset) >= offset for partition, offset in self.until.items()
        )

    def open_gaps(self) -> dict[int, Gap]:
        """What was passed over and is due, by telemetry partition, until its outcome has come after all."""
        until = self.until or {}
        return {
            partition: gap
            for partition, gap in sorted(self.tally.open.items())
            if self.expected[partition] < min(gap.until, until.get(partition, gap.until))
        }

    def passed(self) -> list[tuple[int, int, int, int]]:
        """For each partition that is not done a place in the telemetry before which it holds nothing new.

        A place is the broker's timestamp, partition, offset and row of a frame. The broker's timestamps never fall.
        """
        at_ms, ends = self.horizon or (-1, {})
        return [
            (
                max(self.reached.get(partition, -1), at_ms if offset >= ends.get(partition, 0) else -1),
                partition,
                offset,
                0,
            )
            for partition, offset in self.expected.items()
            if self.until is None or offset < self.until.get(partition, 0)
        ]

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

    def relabel(self, rows: Rows, version: Version, resolved: np.ndarray, watermark_us: int | None) -> None:
        """Give rows their labels anew because of the newest version, which came in time, and note what it changed."""
        noted = Labelling()
        self._note_arrival(rows, version, noted)
        before, _ = self.scores.known(rows, watermark_us)
        rows.truth = resolved
        after, _ = self.scores.known(rows, watermark_us)
        noted.changed(before, after, self.started.agreement)
        self._note(rows, noted)
        self._dirty.add(rows.key)

    def come_late(self, rows: Rows) -> None:
        """Note that the newest version of a label came after the deadline of these rows."""
        self._note(rows, Labelling(late=1))

    def join_again(self, rows: Rows, truth: Truth) -> None:
        """Give rows their labels anew because something came before what is known already."""
        rows.truth = truth.resolve(rows)
        self.tally.labelling.add(rows.labelling, -1)
        rows.labelling = Labelling()
        self._note(rows, self._labelling(rows, truth))
        self._dirty.add(rows.key)

    def _labelling(self, rows: Rows, truth: Truth) -> Labelling:
        """What is known of the rows' labels, as their topic tells it: whether they came before the rows' answers is no matter."""
        noted = Labelling(late=truth.late(rows))
        for one in truth.told(rows):
            self._note_arrival(rows, one.version, noted)
            before, after = (
                self.scores.counted(rows.times_us, labels, one.watermark_us)[0]
                for labels in (one.before, one.after)
            )
            noted.changed(before, after, self.started.agreement)
        return noted

    def _note_arrival(self, rows: Rows, version: Version, noted: Labelling) -> None:
        appended_ms = rows.deadline_ms - self.deadline_ms
        noted.came(version.rows_of(rows), max(0, version.appended_ms - appended_ms))

    def _note(self, rows: Rows, noted: Labelling) -> None:
        rows.labelling.add(noted)
        self.tally.labelling.add(noted)

    def expire(self, at_ms: int) -> None:
        """Have the frames measured again whose deadline lies before that time."""
        while self._waiting and self._waiting[0][0] < at_ms:
            _, key = heapq.heappop(self._waiting)
            self._queued.discard(key)
            if key in self.kept:
                self._dirty.add(key)

    def touch(self, rows: Rows) -> None:
        """Have rows measured again, because a watermark or a deadline has passed them."""
        self._dirty.add(rows.key)

    # --- scores ---------------------------------------------------------------------------------------------------

    def settle(self, truths: dict[str, Truth], ticked_ms: int) -> None:
        """Measure again whatever changed since the last time."""
        for key in sorted(self._dirty):
            rows = self.kept[key][1]
            if rows is None:
                continue
            watermark_us = truths[rows.asset].watermark_for(rows.deadline_ms)
            self.scores.measure(rows, watermark_us, ticked_ms)
            if self.in_units:
                self._note_change(key)
                self._note_open(rows, watermark_us, ticked_ms)
            if self._waits(key) and key not in self._queued:
                self._queued.add(key)
                heapq.heappush(self._waiting, (rows.deadline_ms, key))
        self._dirty.clear()

    def _note_open(self, rows: Rows, watermark_us: int | None, ticked_ms: int) -> None:
        """A unit is closed when its rows are, also those that were not answered."""
        known, under = self.scores.known(rows, watermark_us)
        closed = rows.deadline_ms < ticked_ms or bool(np.all(under | ~np.isnan(known)))
        (self._open.discard if closed else self._open.add)(rows.key)

    def _waits(self, key: tuple[int, int]) -> bool:
        return self.scores.waits(key) or key in self._open

    def awaiting(self) -> bool:
        """Whether any row still waits for a label; asked after `settle`."""
        return self.scores.awaiting() or bool(self._open)

    def next_deadline_ms(self) -> int | None:
        """The earliest deadline of a frame with rows that wait; asked after `settle`."""
        while self._waiting and not self._waits(self._waiting[0][1]):
            self._queued.discard(heapq.heappop(self._waiting)[1])
        return self._waiting[0][0] if self._waiting else None

    def standings(self) -> list[Standing]:
        """One a subject; asked after `settle`."""
        return [
            Standing(
                subject=subject,
                counts=self._counts(amount),
                audit=self._audit(),
                sums=amount.sums,
                series=amount.series,
                ranking=amount.ranking,
                parts=amount.parts,
                labels=self.tally.labelling.told(
                    labelled=amount.states[LABELLED], rows=sum(amount.states[:LABELLED])
                ),
                service=None if self.started.baseline else self.tally.service.told(),
                faults=self.tally.faults(),
            )
            for subject, amount in zip(self.started.subjects, self.scores.amounts(), strict=True)
        ]

    def _counts(self, amount: Amount) -> Counts:
        return Counts(
            rows_in=self.tally.rows_in,
            scored=amount.states[SCORED],
            awaiting_label=amount.states[WAITING],
            unlabelled=amount.states[UNLABELLED],
            abstained=amount.states[ABSTAINED],
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
            labels_late=tally.labelling.late,
            corrected=tally.labelling.corrected,
            failed_by_kind={kind: rows for kind, rows in sorted(tally.failed_by_kind.items()) if rows},
        )
