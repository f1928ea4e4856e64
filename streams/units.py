"""Decision units (판정 단위): disjoint stretches of the trial, each with one loss, in an order that the telemetry fixes.

A unit is complete with the frame that passes its end, and stands in the order by that frame: broker's timestamp, partition,
offset, row. What the end of the trial cuts off follows, by its last frame. So neither an asset that falls silent holds the
others up, nor does the order of outcomes or labels in the ledger enter.

Units are those of the trusted deployment, the baselines': its outcomes say which rows there are, and what their labels are;
a candidate's say only what it answered to them. Whatever a frame adds to its units is taken away and added again when a
label changes, so that what a change costs does not depend on how long the trial has been.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from schemas.terms import DecisionUnit
from streams.pieces import Lane, Piece, Place
from streams.run import Run
from streams.truth import Rows, Truth

#: Partition and offset of a frame.
Key = tuple[int, int]
Truths = Mapping[str, Truth]

#: Units looked at together.
BLOCK = 4096

_AFTER_ALL: Place = (2**62, 0, 0, 0)
_BEFORE_ALL: Place = (-(2**62), 0, 0, 0)
_NEVER = 2**62
_NOTHING = np.empty(0, dtype=np.int64)
#: In place of a unit's rank while others may still come before it.
_UNRANKED = 2**62


#: Something of rows by their labels and answers, float64, shape (n,), not-a-number where there is none: int64, shape (n,).
OfRows = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Losses(Protocol):
    """How rows and units lose, in whole points and whole millionths."""

    def points(self, truth: np.ndarray, answers: np.ndarray, *, silent: int | None = None) -> np.ndarray:
        """What rows lose: int64, shape (n,); silent rows as much as is said, or everything."""

    def unknown(self, rival: np.ndarray, candidate: np.ndarray, *, silent: int | None = None) -> np.ndarray:
        """What rows without a label may lose: int64, shape (6, n)."""

    def losses(self, points: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Losses of units by their points and rows: int64 millionths, shape (n,)."""

    def gains(
        self, rival: np.ndarray, candidate: np.ndarray, rows: np.ndarray, unknown: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """What the candidate gains in units, at the least and at the most: int64 millionths."""


@dataclass(frozen=True, kw_only=True)
class Gained:
    """What a candidate gained on a rival in units that follow one another, each of shape (n,).

    Attributes:
        low, high: int64 millionths, with labels that never came at their worst and at their best for the candidate.
        dropped: units that a fault of the platform took out, for both; bool.
        events: events that began in the unit.
    """

    low: np.ndarray
    high: np.ndarray
    dropped: np.ndarray
    events: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Rows with a label, asset by asset, each asset's in the order of the telemetry.

    Attributes:
        truth: float64, shape (n,).
        units, assets: which unit and asset each row is of, int64, shape (n,), both rising from 0.
        rivals: what each rival answered, float64, shape (n,); not-a-number where it was silent.
    """

    truth: np.ndarray
    units: np.ndarray
    assets: np.ndarray
    rivals: dict[str, np.ndarray]


class Columns:
    """Whole numbers of units, by name; zero where nothing was added."""

    def __init__(self) -> None:
        self.size = 0
        self._columns: dict[str, np.ndarray] = {}

    def __getitem__(self, name: str) -> np.ndarray:
        column = self._columns.get(name)
        if column is None or column.size < self.size:
            grown = np.zeros(max(64, 2 * self.size), dtype=np.int64)
            if column is not None:
                grown[: column.size] = column
            column = self._columns[name] = grown
        return column


class Units:
    """The decision units of one rehearsal or trial."""

    def __init__(
        self,
        unit: DecisionUnit,
        losses: Losses,
        *,
        baselines: Sequence[str],
        constants: Mapping[str, float],
        late: bool = False,
    ) -> None:
        """Args:
        unit: what a unit is.
        losses: how answers lose.
        baselines: subjects of the trusted deployment, in its order.
        constants: further rivals, which always answer the same. Where there is one alone, it also answers where a
            baseline is silent; where there are more, such a row costs the baseline nothing.
        late: whether labels count that came too late: what a verdict would have been.
        """
        self._unit = unit
        self._losses = losses
        self._baselines = tuple(baselines)
        self.constants = dict(constants)
        self._late = late
        self._by_label = unit.kind in ("run", "event")
        self.trusted: Run | None = None
        self.candidates: dict[str, Run] = {}
        self._empty()

    def _empty(self) -> None:
        self._pieces: dict[Key, Piece] = {}
        self._lanes: dict[str, Lane] = {}
        self._columns = Columns()
        #: Complete units that others may still come before: where they stand.
        self._complete: list[tuple[Place, list[int]]] = []
        self._last = _BEFORE_ALL
        self._disordered = False
        self._cut_off = False
        self._order = np.zeros(64, dtype=np.int64)
        self._ordered = 0
        #: Frames with rows whose label never came, by unit.
        self._ragged: dict[int, dict[Key, Piece]] = {}
        #: How many units of the order are closed, and answered by each candidate; from where on anything changed.
        self._entered: dict[str, int] = {}
        self._stale = 0

    @property
    def rivals(self) -> tuple[str, ...]:
        """The baselines and constants that a candidate is compared with."""
        return (*self._baselines, *self.constants)

    def again(self, truths: Truths, ticked_ms: int, *, late: bool) -> Units:
        """The same units counted anew, with labels that came too late or without."""
        other = Units(
            self._unit, self._losses, baselines=self._baselines, constants=self.constants, late=late
        )
        other.trusted, other.candidates = self.trusted, self.candidates
        other._anew(truths, ticked_ms)
        return other

    # --- what happened since ----------------------------------------------------------------------------------------

    def follow(self, truths: Truths, ticked_ms: int) -> None:
        """Take in what the deployments and their labels have become."""
        trusted = self.trusted
        if trusted is None:
            return
        moved = False
        for key in sorted(trusted.changed):
            moved |= self._change(trusted, key, truths, ticked_ms)
        for name, run in self.candidates.items():
            for piece in [self._pieces[key] for key in run.changed if key in self._pieces]:
                if piece.units.size:
                    self._answered(name, run, piece)
        for run in (trusted, *self.candidates.values()):
            run.changed.clear()
        if not moved:
            self._cut_closed()
            self._arrange(trusted)
        if moved or self._disordered:
            self._anew(truths, ticked_ms)

    def _anew(self, truths: Truths, ticked_ms: int) -> None:
        """Count everything again: a boundary has moved, frames were taken out, or one came before its time."""
        assert self.trusted is not None
        self._empty()
        for key in sorted(self.trusted.kept):
            self._change(self.trusted, key, truths, ticked_ms)
        self._cut_closed()
        self._arrange(self.trusted)

    def _change(self, trusted: Run, key: Key, truths: Truths, ticked_ms: int) -> bool:
        """Measure a frame as it stands now; gives whether that moves boundaries which are drawn."""
        piece, (meta, rows) = self._pieces.get(key), trusted.kept.get(key, (None, None))
        if rows is None or meta is None:
            return piece is not None
        if rows.times_us.size == 0:
            return False
        lane = self._lanes.setdefault(rows.asset, Lane())
        if piece is None:
            piece = self._pieces[key] = Piece(rows=rows, appended_ms=meta.appended_ms)
            lane.append(piece)
            if self._by_label:
                lane.uncut.append(piece)
        before = piece.known
        self._join(piece, trusted, truths[rows.asset], ticked_ms)
        if piece.units.size == 0 and not self._by_label:
            self._cut(piece, lane)
        elif piece.units.size and self._by_label and not np.array_equal(before, piece.known, equal_nan=True):
            return True
        if piece.units.size:
            self._measure(piece)
        return False

    def _join(self, piece: Piece, trusted: Run, truth: Truth, ticked_ms: int) -> None:
        rows: Rows = piece.rows
        if self._late:
            rows = replace(rows, truth=truth.resolve(replace(rows, deadline_ms=_NEVER)))
        piece.known, under = trusted.scores.known(rows, truth.watermark_for(rows.deadline_ms))
        piece.closed = under | (rows.deadline_ms < ticked_ms)

    # --- boundaries -------------------------------------------------------------------------------------------------

    def _cut_closed(self) -> None:
        """Draw the boundaries that depend on labels, as far as every label is there or will never be."""
        for lane in self._lanes.values():
            done = 0
            while done < len(lane.uncut) and not lane.uncut[done].open():
                self._cut(lane.uncut[done], lane)
                self._measure(lane.uncut[done])
                done += 1
            del lane.uncut[:done]

    def _cut(self, piece: Piece, lane: Lane) -> None:
        begins = lane.boundaries(piece, self._unit)
        goes_on = begins[:1] != [0]
        begun = list(range(self._columns.size, self._columns.size + len(begins)))
        self._columns.size += len(begins)
        units = [lane.unit, *begun]
        piece.units = np.array(units if goes_on else begun, dtype=np.int64)
        piece.starts = np.array([0, *begins] if goes_on else begins, dtype=np.int64)
        if self._unit.kind == "row":
            heapq.heappush(self._complete, (piece.place(), begun))
        else:
            for row, unit in zip(begins, units, strict=False):
                if unit >= 0:
                    heapq.heappush(self._complete, (piece.place(row), [unit]))
        lane.unit = units[-1]
        self._put(piece, "rows", piece.sizes())
        self._put(piece, "frames", np.ones(piece.units.size, dtype=np.int64))

    # --- what frames add to units -----------------------------------------------------------------------------------

    def _measure(self, piece: Piece) -> None:
        labelled = ~np.isnan(piece.known)
        self._put(piece, "open", piece.sums(~labelled & ~piece.closed))
        self._put(piece, "unlabelled", piece.sums(~labelled & piece.closed))
        self._put(piece, "faults", piece.sums(np.full(labelled.size, piece.rows.result == "failed")))
        self._note_ragged(piece)
        for one in (piece, piece.after):
            if one is not None and one.units.size:
                self._put(one, "events", one.sums(one.happening() & ~one.happened()))
        for name in self.rivals:
            self._lose(piece, name, self._rival(piece, name), silent=0)
        for name, run in self.candidates.items():
            self._answered(name, run, piece)

    def _note_ragged(self, piece: Piece) -> None:
        missing = piece.added["unlabelled"]
        if not self._ragged and not missing.any():
            return
        for unit, count in zip(piece.units.tolist(), missing.tolist(), strict=True):
            if count:
                self._ragged.setdefault(unit, {})[piece.rows.key] = piece
            elif unit in self._ragged:
                self._ragged[unit].pop(piece.rows.key, None)

    def _rival(self, piece: Piece, name: str) -> np.ndarray:
        """The answers of a baseline or a constant, to rows of one frame."""
        constant = self.constants.get(name)
        if constant is not None:
            return np.full(piece.known.size, constant)
        answers: np.ndarray = piece.rows.answers[self._baselines.index(name)]
        if len(self.constants) == 1:
            (best,) = self.constants.values()
            return np.where(np.isfinite(answers), answers, best)
        return answers

    def _answers(self, run: Run, piece: Piece) -> np.ndarray:
        """A candidate's answers; silence where it gave none."""
        _, rows = run.kept.get(piece.rows.key, (None, None))
        if rows is None or rows.times_us.size != piece.known.size:
            return np.full(piece.known.size, np.nan)
        answers: np.ndarray = rows.answers[0]
        return answers

    def _answered(self, name: str, run: Run, piece: Piece) -> None:
        """Note whether a candidate's outcome is there, and what it loses."""
        meta, rows = run.kept.get(piece.rows.key, (None, None))
        there = np.ones(piece.units.size, dtype=np.int64)
        self._put(piece, f"answered {name}", there * (meta is not None))
        # What was readable for one deployment and not for the other is the platform's fault.
        strange = meta is not None and (
            meta.result in ("refused", "unreadable")
            or (rows is not None and rows.times_us.size != piece.known.size)
        )
        self._put(piece, f"faults {name}", there * strange)
        self._lose(piece, name, self._answers(run, piece))

    def _lose(self, piece: Piece, name: str, answers: np.ndarray, silent: int | None = None) -> None:
        labelled = ~np.isnan(piece.known)
        points = np.zeros(labelled.size, dtype=np.int64)
        points[labelled] = self._losses.points(piece.known[labelled], answers[labelled], silent=silent)
        self._put(piece, f"points {name}", piece.sums(points))

    def _put(self, piece: Piece, name: str, values: np.ndarray) -> None:
        """Have a frame add so much to its units, instead of what it added."""
        before = piece.added.get(name)
        change = values if before is None else values - before
        piece.added[name] = values
        if change.any():
            self._columns[name][piece.units] += change
            ranks = self._columns["rank"][piece.units]
            first = int(np.where(ranks > 0, ranks - 1, _UNRANKED).min())
            self._stale = min(self._stale, first)
            for one, entered in self._entered.items():
                self._entered[one] = min(entered, first)

    # --- order ------------------------------------------------------------------------------------------------------

    def _arrange(self, trusted: Run) -> None:
        """Put complete units into their order, as far as no other can come before them."""
        uncut = [lane.uncut[0].place() for lane in self._lanes.values() if lane.uncut]
        bound = min([*uncut, *trusted.passed()], default=_AFTER_ALL)
        while self._complete and self._complete[0][0] < bound:
            place, units = heapq.heappop(self._complete)
            self._disordered |= place < self._last
            self._last = place
            self._place(units)
        if bound == _AFTER_ALL and not self._cut_off and self._unit.kind != "row":
            self._cut_off = True
            self._place(self._remains())

    def _remains(self) -> list[int]:
        """The units that the end of the trial has cut off, by their last frame; without its event one is none."""
        lanes = [lane for lane in self._lanes.values() if lane.unit >= 0 and lane.last is not None]
        if self._unit.kind == "event":
            lanes = [lane for lane in lanes if self._columns["events"][lane.unit]]
        lanes.sort(key=lambda lane: lane.last.place() if lane.last is not None else _AFTER_ALL)
        return [lane.unit for lane in lanes]

    def _place(self, units: list[int]) -> None:
        stop = self._ordered + len(units)
        while stop > self._order.size:
            self._order = np.concatenate([self._order, np.zeros_like(self._order)])
        self._order[self._ordered : stop] = units
        self._columns["rank"][units] = np.arange(self._ordered, stop) + 1
        self._ordered = stop

    # --- what they say ----------------------------------------------------------------------------------------------

    def take_stale(self) -> int:
        """From which place in the order on anything may have changed since this was last asked."""
        stale, self._stale = self._stale, _UNRANKED
        return stale

    def waiting(self) -> bool:
        """Whether complete units wait for telemetry to pass elsewhere, before their place is sure."""
        return bool(self._complete)

    def entered(self, *candidates: str) -> int:
        """How many units, from the first, are closed and answered by all of these candidates."""
        return min(self._enter(one) for one in candidates)

    def _enter(self, candidate: str) -> int:
        at = self._entered.get(candidate, 0)
        opened, frames = self._columns["open"], self._columns["frames"]
        answered = self._columns[f"answered {candidate}"]
        while at < self._ordered:
            units = self._order[at : min(at + BLOCK, self._ordered)]
            closed = (opened[units] == 0) & (answered[units] == frames[units])
            if not closed.all():
                at += int(np.argmin(closed))
                break
            at += units.size
        self._entered[candidate] = at
        return at

    def gained(self, candidate: str, rival: str, start: int, stop: int) -> Gained:
        """What a candidate gained on a baseline, a constant or another candidate, in the units start … stop − 1."""
        units = self._order[start : min(stop, self._ordered)]
        rows = self._columns["rows"][units]
        first, second = (self._columns[f"points {name}"][units] for name in (rival, candidate))
        low, high = self._losses.gains(first, second, rows, self._unknown(candidate, rival, units))
        # Columns may be longer than there are units, and of different lengths.
        faults = self._columns["faults"][units] + self._columns[f"faults {candidate}"][units]
        if rival in self.candidates:
            faults = faults + self._columns[f"faults {rival}"][units]
        return Gained(low=low, high=high, dropped=faults > 0, events=self._columns["events"][units])

    def _unknown(self, candidate: str, rival: str, units: np.ndarray) -> np.ndarray | None:
        """What rows without a label may lose, summed by unit; None where there are none."""
        ragged = np.flatnonzero(self._columns["unlabelled"][units]).tolist()
        if not ragged:
            return None
        sums = np.zeros((6, units.size), dtype=np.int64)
        at = {int(units[i]): i for i in ragged}
        pieces = {key: piece for unit in at for key, piece in self._ragged[unit].items()}
        for piece in pieces.values():
            missing = np.isnan(piece.known) & piece.closed
            other = self.candidates.get(rival)
            answers = self._answers(other, piece) if other is not None else self._rival(piece, rival)
            ours = self._answers(self.candidates[candidate], piece)
            values = np.zeros((6, missing.size), dtype=np.int64)
            values[:, missing] = self._losses.unknown(
                answers[missing], ours[missing], silent=0 if other is None else None
            )
            for unit, value in zip(piece.units.tolist(), piece.sums(values).T, strict=True):
                if unit in at:
                    sums[:, at[unit]] += value
        return sums

    def losses(self, name: str, start: int, stop: int) -> np.ndarray:
        """What a candidate or rival lost in the units start … stop − 1: int64 millionths, labelled rows alone."""
        units = self._order[start : min(stop, self._ordered)]
        return self._losses.losses(self._columns[f"points {name}"][units], self._columns["rows"][units])

    def totals(self, candidate: str, of: OfRows, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """Something of every row, summed by unit, in the units 0 … stop − 1, and their rows; each int64, shape (stop,)."""
        units = self._order[:stop]
        sums = np.zeros(self._columns.size, dtype=np.int64)
        run = self.candidates[candidate]
        for piece in self._pieces.values():
            if piece.units.size:
                sums[piece.units] += piece.sums(of(piece.known, self._answers(run, piece)))
        return sums[units], self._columns["rows"][units]

    def labelled_rows(self) -> Labelled:
        """The rows with a label, asset by asset, with their units and what the rivals answered."""
        truth: list[np.ndarray] = []
        units: list[np.ndarray] = []
        assets: list[np.ndarray] = []
        answers: list[np.ndarray] = []
        by_asset: dict[str, list[Piece]] = {}
        for key in sorted(self._pieces):
            if self._pieces[key].units.size:
                by_asset.setdefault(self._pieces[key].rows.asset, []).append(self._pieces[key])
        for number, asset in enumerate(sorted(by_asset)):
            for piece in by_asset[asset]:
                there = ~np.isnan(piece.known)
                truth.append(piece.known[there])
                units.append(np.repeat(piece.units, piece.sizes())[there])
                assets.append(np.full(truth[-1].size, number))
                answers.append(np.array([self._rival(piece, name)[there] for name in self.rivals]))
        if not truth:
            return Labelled(truth=np.empty(0), units=_NOTHING, assets=_NOTHING, rivals={})
        every = np.concatenate(units)
        return Labelled(
            truth=np.concatenate(truth),
            units=np.cumsum(np.diff(every, prepend=every[:1]) != 0),
            assets=np.concatenate(assets),
            rivals=dict(zip(self.rivals, np.concatenate(answers, axis=1), strict=True)),
        )

    def unlabelled(self, start: int, stop: int) -> np.ndarray:
        """Of the units start … stop − 1, whether one has a row whose label never came: bool."""
        found: np.ndarray = self._columns["unlabelled"][self._order[start:stop]] > 0
        return found

    def corrections(self, candidate: str, truths: Truths) -> tuple[int, int]:
        """Rows whose first label was corrected so that a candidate loses less, and so that it loses more."""
        run, toward, away = self.candidates[candidate], 0, 0
        for piece in self._pieces.values():
            first = _first(piece, truths[piece.rows.asset])
            changed = ~np.isnan(first) & ~np.isnan(piece.known) & (first != piece.known)
            if changed.any():
                answers = self._answers(run, piece)[changed]
                before = self._losses.points(first[changed], answers)
                now = self._losses.points(piece.known[changed], answers)
                toward += int(np.count_nonzero(now < before))
                away += int(np.count_nonzero(now > before))
        return toward, away


def _first(piece: Piece, truth: Truth) -> np.ndarray:
    """The labels that rows were given first, whatever was said later."""
    found = np.full(piece.rows.times_us.size, np.nan)
    for version in reversed(truth.about(piece.rows)):
        version.lay(piece.rows, found)
    return found
