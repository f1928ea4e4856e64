"""What is told of a pairing's candidates, as far as whoever reads it may see it. Pure: records in, records out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from zoneinfo import ZoneInfo

from schemas.base import Ident
from schemas.evaluation import Evaluation, Standing, Verdict
from schemas.events import Fact, TrialStarted
from schemas.feeds import FeedEvaluation, FeedVerdict
from schemas.pairing import Pairing
from schemas.terms import Told
from streams.disclosure import (
    EVERYTHING,
    due,
    evaluation_as_seen,
    evaluation_for,
    fact_for,
    granted_to,
    verdict_as_seen,
    verdict_for,
)
from streams.lifecycle import Installation

#: So many standings are kept of a candidate at the most; of longer trials every second, every fourth, …
STANDINGS = 1000


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A candidate or a baseline, as far as it is told of."""

    name: str
    baseline: bool = False
    #: None while none has fallen, or where it is not told.
    verdict: FeedVerdict | None = None
    #: The latest of the present round.
    evaluation: FeedEvaluation | None = None
    #: Where the decision by units stood as its trial went on, one for each number of units.
    standings: tuple[Standing, ...] = ()
    #: How its code was held.
    held: str | None = None
    #: Whether folding the ledger again gave the same bytes; None where it is not told.
    recomputed_equal: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A pairing for one reader."""

    pairing: Pairing
    #: The party that reads; None for the plant, which sees the whole.
    reader: Ident | None
    what: tuple[Told, ...]
    candidates: tuple[Subject, ...]
    baselines: tuple[Subject, ...]
    facts: tuple[Fact, ...]
    #: What organisations and the plant are called.
    names: Mapping[Ident, str]
    zone: str
    at: datetime

    def called(self, ident: Ident) -> str:
        """The name of a party, or its id."""
        return self.names.get(ident, ident)

    def local(self, at: datetime) -> str:
        """A moment in the plant's time."""
        return f"{at.astimezone(ZoneInfo(self.zone)):%Y-%m-%d %H:%M}"


@dataclass(kw_only=True)
class _Course:
    """What has been read of one subject."""

    evaluation: Evaluation | None = None
    told: FeedEvaluation | None = None
    standings: list[Standing] = field(default_factory=list)
    #: Every so many new standings one is kept.
    step: int = 1
    skipped: int = 0

    def take(self, one: Evaluation, told: FeedEvaluation) -> None:
        self.evaluation, self.told = one, told
        standing = told.decision
        if standing is None or standing.units == 0:
            return
        if self.standings and self.standings[-1].units == standing.units:
            self.standings[-1] = standing
            return
        self.skipped += 1
        if self.skipped >= self.step:
            self.skipped = 0
            self.standings.append(standing)
        if len(self.standings) >= STANDINGS:
            del self.standings[::2]
            self.step *= 2

    def course(self) -> tuple[Standing, ...]:
        """The standings that were kept, and in any case the last."""
        last = self.told.decision if self.told is not None else None
        if last is None or not self.standings or self.standings[-1] == last:
            return tuple(self.standings)
        return (*self.standings, last)


def seen_by(
    reader: Ident | None,
    pairing: Pairing,
    *,
    state: Installation,
    facts: Iterable[Fact],
    evaluations: Iterable[Evaluation],
    verdicts: Iterable[Verdict],
    at: datetime,
) -> Seen:
    """A pairing as one reader may see it.

    Args:
        reader: a party, told as much and as often as its feed; None for the plant's own people.
        state, facts: the installation's, those of other pairings among them.
        evaluations, verdicts: the plant's, in the order of their topics, those of other pairings among them.
        at: the present, for the record.
    """
    own = [one for one in facts if one.subject == pairing.id]
    since = max((one.at for one in own if isinstance(one.body, TrialStarted)), default=None)
    fallen = {one.candidate: one for one in verdicts if one.pairing == pairing.id}
    courses: dict[str, _Course] = {}
    for one in evaluations:
        if one.pairing == pairing.id:
            _take(courses.setdefault(one.candidate, _Course()), one, reader, pairing, since)
    for verdict in fallen.values():
        _take(courses.setdefault(verdict.candidate, _Course()), verdict.evaluation, reader, pairing, None)
    names = list(dict.fromkeys([*(one.id for one in pairing.candidates), *courses]))
    subjects = [_subject(name, courses.get(name), fallen.get(name), reader, pairing) for name in names]
    plant = state.plants.get(pairing.plant)
    called = {one.id: one.name for one in state.organisations.values()}
    called |= {one.id: one.name for one in state.plants.values()}
    return Seen(
        pairing=pairing,
        reader=reader,
        what=(EVERYTHING if reader is None else granted_to(reader, pairing)).what,
        candidates=tuple(one for one in subjects if not one.baseline),
        baselines=tuple(one for one in subjects if one.baseline),
        facts=tuple(_told_of(own, reader, state)),
        names=called,
        zone=plant.time_zone if plant is not None else "UTC",
        at=at,
    )


def _take(
    course: _Course, one: Evaluation, reader: Ident | None, pairing: Pairing, since: datetime | None
) -> None:
    """An evaluation into the course of its subject, where the reader is told of it; earlier trials are not of this one."""
    if one.phase == "trial" and since is not None and one.at < since:
        return
    if course.evaluation is not None and _place(one) < _place(course.evaluation):
        return
    if reader is None:
        told = evaluation_as_seen(one, EVERYTHING.what, faults=True)
    else:
        told = evaluation_for(reader, pairing, one) if due(reader, pairing, one, course.told) else None
    if told is not None:
        course.take(one, told)


def _place(one: Evaluation) -> tuple[bool, bool, int]:
    """Where an evaluation stands: what is final, and the trial, come after the rest."""
    return one.phase == "trial", one.final, one.ledger_offset


def _subject(
    name: str, course: _Course | None, verdict: Verdict | None, reader: Ident | None, pairing: Pairing
) -> Subject:
    last = course.evaluation if course is not None else None
    if verdict is None:
        told = None
    elif reader is None:
        told = verdict_as_seen(verdict, EVERYTHING.what)
    else:
        told = verdict_for(reader, pairing, verdict)
    return Subject(
        name=name,
        baseline=last is not None and last.baseline,
        verdict=told,
        evaluation=course.told if course is not None else None,
        standings=course.course() if course is not None else (),
        held=last.sandbox if last is not None else None,
        recomputed_equal=verdict.recomputed_equal if verdict is not None and reader is None else None,
    )


def _told_of(facts: Iterable[Fact], reader: Ident | None, state: Installation) -> Iterator[Fact]:
    """The facts that a reader is told of, as it is told of them."""
    for fact in facts:
        if reader is None:
            yield fact
            continue
        yield from (item.fact for party, item in fact_for(fact, state) if party == reader)
