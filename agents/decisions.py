"""The decision by units, kept up to date beside the fold of the ledger: units from `streams`, bounds from `models`."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np

from models.decision import UNIT, Bounds
from models.dependence import unit_check
from models.losses import Losses
from models.metric_check import Check, Early, Sample, best_constant
from models.path import Looks, Path, bounds_of
from models.planning import units_needed_at
from models.ranking import ranked
from models.ratios import Linear, lower
from models.reading import Pair, Rule, acceptance_excluded, first_reading, outcome
from models.rehearsal import Evidence
from models.verdicts import Bar, Beside
from schemas.agreement import Agreement
from schemas.evaluation import Comparison, Corrections, Outcome, Ranking, Ratio, Standing
from schemas.ledger import Started
from schemas.terms import Decision
from streams.ledger import Book, round_of
from streams.units import BLOCK, Gained, Units

#: Above this share of units that the platform itself took out, nothing is decided.
MOST_DROPPED = 0.05


def losses_for(started: Started) -> Losses:
    """How units lose under the agreement of a deployment."""
    return Losses.of(started.agreement)


class Counted(Protocol):
    """Units in their order, as far as a decision looks at them."""

    def take_stale(self) -> int:
        """The place from which on something has changed since this was last asked."""

    def entered(self, *candidates: str) -> int:
        """How many units, from the first, are closed and answered by all of these candidates."""

    def gained(self, candidate: str, rival: str, start: int, stop: int) -> Gained:
        """What a candidate gained on a rival in the units start … stop − 1."""

    def unlabelled(self, start: int, stop: int) -> np.ndarray:
        """Of the units start … stop − 1, whether one has a row whose label never came: bool."""


class Duel:
    """A candidate's gains on one rival, unit by unit."""

    def __init__(self, units: Counted, candidate: str, rival: str, planned: int) -> None:
        self._units = units
        self._names = candidate, rival
        self._planned = planned
        self.pair = Pair(low=Path(), high=Path())
        #: Of every unit looked at, whether it was dropped, and the events that began in it.
        self.dropped = np.empty(0, dtype=bool)
        self.events = np.empty(0, dtype=np.int64)

    @property
    def count(self) -> int:
        """Units that count."""
        return len(self.pair.low)

    def cut(self, place: int) -> None:
        """Forget the units from a place in the order on."""
        if place < self.dropped.size:
            self.dropped, self.events = self.dropped[:place], self.events[:place]
            count = int(np.count_nonzero(~self.dropped))
            self.pair.low.cut(count)
            self.pair.high.cut(count)

    def advance(self, stop: int) -> None:
        """Take in the units up to a place in the order; never more than are planned."""
        while self.dropped.size < stop and self.count < self._planned:
            start = self.dropped.size
            found = self._units.gained(*self._names, start, min(start + BLOCK, stop))
            counts = np.cumsum(~found.dropped)
            size = int(np.searchsorted(counts, self._planned - self.count)) + 1
            kept = ~found.dropped[:size]
            self.pair.low.extend(found.low[:size][kept])
            self.pair.high.extend(found.high[:size][kept])
            self.dropped = np.concatenate([self.dropped, found.dropped[:size]])
            self.events = np.concatenate([self.events, found.events[:size]])

    def events_of(self, count: int) -> int:
        """Events that began in the first so many units that count."""
        kept = np.flatnonzero(~self.dropped)[:count]
        return int(self.events[kept].sum())

    def places(self, count: int) -> int:
        """Places in the order that the first so many units that count take up, dropped ones among them."""
        return int(np.flatnonzero(~self.dropped)[count - 1]) + 1 if count else 0


class Decider:
    """The decision of one trial: every candidate against every rival."""

    def __init__(self, units: Counted, decision: Decision, rivals: Sequence[str]) -> None:
        self._units = units
        self._decision = decision
        self._rule = Rule.of(decision)
        self._looks = Looks(self._rule.planned, self._rule.alpha / 2)
        self._rivals = rivals
        self._duels: dict[str, dict[str, Duel]] = {}
        #: Up to which unit an early outcome was looked for, and where it fell.
        self._looked: dict[str, int] = {}
        self._fell: dict[str, int | None] = {}

    def standing(self, candidate: str) -> Standing:
        """Where a candidate stands, as far as its units are closed."""
        duels = self._followed(candidate)
        one = next(iter(duels.values()))
        fell = self._fallen(candidate, list(duels.values())) if self._decision.early else None
        count = one.count if fell is None else fell
        found = {rival: self._bounds(duel, count) for rival, duel in duels.items()}
        places = one.dropped.size if fell is None else one.places(count)
        dropped = int(np.count_nonzero(one.dropped[:places]))
        broken = dropped > MOST_DROPPED * places
        opened = outcome(self._rule, list(found.values()))
        return Standing(
            units=count,
            planned=self._rule.planned,
            alpha=float(self._rule.alpha),
            margin=self._decision.margin,
            comparisons=tuple(_comparison(name, duels[name], count, found[name]) for name in duels),
            outcome=Outcome.INCONCLUSIVE if broken else opened,
            acceptance_excluded=acceptance_excluded(self._rule, list(found.values())),
            fell_at=fell,
            events=one.events_of(count),
            unlabelled=int(np.count_nonzero(self._units.unlabelled(0, places))),
            dropped=dropped,
            guarantee="none" if broken else "anytime_valid",
        )

    def counted(self, candidate: str, standing: Standing) -> np.ndarray:
        """Of the places in the order that a standing takes up, which count: bool."""
        one = next(iter(self._followed(candidate).values()))
        return ~one.dropped[: one.places(standing.units)]

    def ranking(self, candidates: Sequence[str]) -> Ranking | None:
        """The candidates against one another, each two on the units that both have closed."""
        rule = Rule.of_a_pair(self._decision)
        found = {}
        for first, second in itertools.combinations(sorted(candidates), 2):
            duel = Duel(self._units, first, second, rule.planned)
            duel.advance(self._units.entered(first, second))
            found[first, second] = bounds_of(duel.pair.low.end, duel.pair.high.end, rule.planned, rule.alpha)
        return ranked(rule, candidates, found)

    def _followed(self, candidate: str) -> dict[str, Duel]:
        stale = self._units.take_stale()
        for name, known in self._duels.items():
            for duel in known.values():
                duel.cut(stale)
            self._forget(name)
        if candidate not in self._duels:
            planned = self._rule.planned
            self._duels[candidate] = {
                rival: Duel(self._units, candidate, rival, planned) for rival in self._rivals
            }
        duels = self._duels[candidate]
        entered = self._units.entered(candidate)
        for duel in duels.values():
            duel.cut(entered)
            duel.advance(entered)
        self._forget(candidate)
        return duels

    def _forget(self, candidate: str) -> None:
        """What was found about an early outcome holds as long as the units that it was found in."""
        count = min((duel.count for duel in self._duels[candidate].values()), default=0)
        self._looked[candidate] = min(self._looked.get(candidate, 0), count)
        fell = self._fell.get(candidate)
        if fell is not None and fell > count:
            self._fell[candidate] = None

    def _fallen(self, candidate: str, duels: list[Duel]) -> int | None:
        """The number of units after which an early outcome fell."""
        if self._fell.get(candidate) is None:
            start = max(self._looked[candidate], self._least(duels[0]) - 1)
            stop = duels[0].count
            pairs = [duel.pair for duel in duels]
            if start < stop:
                self._fell[candidate] = first_reading(self._rule, self._looks, pairs, start=start, stop=stop)
            self._looked[candidate] = stop
        return self._fell.get(candidate)

    def _least(self, duel: Duel) -> int:
        """The number of units from which on an early outcome may fall."""
        units, events = self._decision.least_units or 1, self._decision.least_events or 0
        if not events:
            return units
        sums = np.cumsum(duel.events[~duel.dropped])
        return max(units, int(np.searchsorted(sums, events)) + 1)

    def _bounds(self, duel: Duel, count: int) -> Bounds:
        low, high = duel.pair.low.at(count), duel.pair.high.at(count)
        return bounds_of(low, high, self._rule.planned, self._rule.alpha)


def _comparison(rival: str, duel: Duel, count: int, found: Bounds) -> Comparison:
    low, high = duel.pair.low.at(count), duel.pair.high.at(count)
    seen = low.total // count / UNIT if count and low == high else None
    return Comparison(rival=rival, lower=found.lower / UNIT, upper=found.upper / UNIT, seen=seen)


def rivals_of(units: Units, agreement: Agreement) -> tuple[str, ...]:
    """What a candidate has to beat: the incumbent, or else every baseline; and the constants that none of them is."""
    decision = agreement.decision
    assert decision is not None, "without a decision there are no rivals"
    named = [one for one in agreement.baselines if decision.incumbent in (None, one.name)]
    known = {agreement.code(one.answer) for one in named if one.constant}
    others = (name for name, code in units.constants.items() if code not in known)
    return (*(one.name for one in named), *others)


def beside(book: Book, started: Started, retired: frozenset[str]) -> Beside | None:
    """What is told beside the decision at the close; None where no units are counted."""
    standing, units = standing_of(book, started), book.units.get(round_of(started))
    if standing is None or units is None:
        return None
    decider, candidate = _decider(units, started), started.subjects[0]
    toward, away = units.corrections(candidate, book.truths)
    late = None
    if book.runs[started.deployment].tally.labelling.late:
        again = units.again(book.truths, book.ticked_ms, late=True)
        late = _new_decider(again, started.agreement).standing(candidate).outcome
    others = [name for name, run in units.candidates.items() if bar_of(run.started, retired) is None]
    return Beside(
        ratio=_ratio(units, decider.counted(candidate, standing), started),
        ranking=decider.ranking(others),
        corrections=Corrections(toward=toward, away=away, with_late=late),
    )


def _ratio(units: Units, counted: np.ndarray, started: Started) -> Ratio:
    """What the units that were read say about the agreed threshold."""
    linear, decision = Linear.of(started.agreement), started.agreement.decision
    if linear is None or decision is None:
        return Ratio()
    sums, rows = units.totals(started.subjects[0], linear, counted.size)
    bound, largest = lower(Rule.of(decision), sums[counted], rows[counted])
    return Ratio(
        shown=bound > 0,
        lower=bound,
        rows=largest,
        capped_at=linear.cap if linear.table is None else None,
        guarantee="anytime_valid",
    )


def evidence(book: Book, started: Started) -> Evidence | None:
    """What a rehearsal says about the decision; None where none is agreed. Takes seconds: it draws thousands of trials.

    Args:
        book: the pairing, settled; nothing of it may change meanwhile.
        started: the baselines' deployment of the rehearsal.
    """
    agreement, units = started.agreement, book.units.get(round_of(started))
    decision = agreement.decision
    if decision is None or units is None or units.trusted is None:
        return None
    losses, rows = Losses.of(agreement), units.labelled_rows()
    every = Sample(truth=rows.truth, units=rows.units, assets=rows.assets, rivals=np.empty((0, 0)))
    agreed = [agreement.code(one.answer) for one in agreement.baselines if one.constant]
    constant = best_constant(losses, every, agreed)
    names = [one.name for one in agreement.baselines if decision.incumbent in (None, one.name)]
    rivals = [_with_constant(rows.rivals[name], agreement, name, constant) for name in names if rows.rivals]
    if constant is not None:
        rivals.append(np.full(rows.truth.size, constant))
    check = Check(
        rule=Rule.of(decision),
        alpha=decision.alpha,
        losses=losses,
        sample=replace(every, rivals=np.array(rivals)),
        early=Early(least_units=decision.least_units or 1) if decision.early else None,
    )
    gains = {
        candidate: [
            units.gained(candidate, rival, 0, units.entered(candidate)).low
            for rival in rivals_of(units, agreement)
        ]
        for candidate in sorted(units.candidates)
    }
    seed = int(started.agreement_digest[:8], 16)
    return Evidence(
        constant=constant,
        units=unit_check(itertools.chain(*gains.values())),
        check=check.run(seed),
        needed={name: units_needed_at(check.rule, each) for name, each in gains.items()},
    )


def _with_constant(
    answers: np.ndarray, agreement: Agreement, name: str, constant: float | None
) -> np.ndarray:
    """What a baseline will answer in the trial, where the best constant is known."""
    kind = next(one.kind for one in agreement.baselines if one.name == name)
    if constant is None:
        return answers
    return np.where((kind == "best_constant") | ~np.isfinite(answers), constant, answers)


def bar_of(started: Started, retired: frozenset[str]) -> Bar | None:
    """Why there is no verdict on a candidate, whatever its numbers; None where nothing stands in its way."""
    decision = started.agreement.decision
    if started.subjects[0] in retired:
        return "retired"
    if decision is None:
        return None
    if started.slot is not None and started.slot > decision.slots:
        return "no_slot"
    if decision.unit.kind in ("row", "event") and not started.units_checked:
        return "unchecked"
    return None


#: One for each trial, as long as its units live.
_DECIDERS: WeakKeyDictionary[Units, Decider] = WeakKeyDictionary()


def standing_of(book: Book, started: Started) -> Standing | None:
    """Where the candidate of a deployment stands; None where no units are counted. Asked after `settle`."""
    units = book.units.get(round_of(started))
    if units is None or units.trusted is None or started.baseline:
        return None
    return _decider(units, started).standing(started.subjects[0])


def _decider(units: Units, started: Started) -> Decider:
    decider = _DECIDERS.get(units)
    if decider is None:
        decider = _DECIDERS[units] = _new_decider(units, started.agreement)
    return decider


def _new_decider(units: Units, agreement: Agreement) -> Decider:
    assert agreement.decision is not None, "without a decision there is nothing to decide"
    return Decider(units, agreement.decision, rivals_of(units, agreement))
