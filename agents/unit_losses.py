"""Losses unit by unit, as they are disclosed where the agreement allows it, and the decision read from them again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from agents.decisions import Decider, rivals_of
from schemas.evaluation import Standing
from schemas.ledger import Started
from schemas.terms import Decision
from streams.ledger import Book, round_of
from streams.units import Gained


@dataclass(frozen=True, kw_only=True)
class UnitLosses:
    """A candidate and one rival in every unit, in the order of the decision; arrays of shape (n,).

    Attributes:
        gained: what the candidate gained, with the units that a fault of the platform took out.
        candidate_loss, rival_loss: int64 millionths, of labelled rows alone.
        unlabelled: units with a row whose label never came; bool.
    """

    candidate: str
    rival: str
    gained: Gained
    candidate_loss: np.ndarray
    rival_loss: np.ndarray
    unlabelled: np.ndarray


def unit_losses(book: Book, started: Started) -> Iterator[UnitLosses]:
    """The losses of a candidate and of each of its rivals, as far as units are closed; nothing where none are counted.

    Args:
        book: the pairing, settled.
        started: the candidate's deployment.
    """
    units = book.units.get(round_of(started))
    if units is None or units.trusted is None or started.baseline:
        return
    candidate = started.subjects[0]
    count = units.entered(candidate)
    for rival in rivals_of(units, started.agreement):
        yield UnitLosses(
            candidate=candidate,
            rival=rival,
            gained=units.gained(candidate, rival, 0, count),
            candidate_loss=units.losses(candidate, 0, count),
            rival_loss=units.losses(rival, 0, count),
            unlabelled=units.unlabelled(0, count),
        )


class _Recorded:
    """Units whose losses are given."""

    def __init__(self, losses: Sequence[UnitLosses]) -> None:
        self._by_rival = {one.rival: one for one in losses}
        self._count = min(one.unlabelled.size for one in losses)

    def take_stale(self) -> int:
        return self._count

    def entered(self, *candidates: str) -> int:
        return self._count

    def gained(self, candidate: str, rival: str, start: int, stop: int) -> Gained:
        found = self._by_rival[rival].gained
        return Gained(
            low=found.low[start:stop],
            high=found.high[start:stop],
            dropped=found.dropped[start:stop],
            events=found.events[start:stop],
        )

    def unlabelled(self, start: int, stop: int) -> np.ndarray:
        return next(iter(self._by_rival.values())).unlabelled[start:stop]


def standing_again(decision: Decision, losses: Sequence[UnitLosses]) -> Standing:
    """Where a candidate stands by its losses against every rival, by the way that the scorer takes.

    Args:
        decision: the agreement's.
        losses: of one candidate, one for each rival, of the same units; at least one.
    """
    decider = Decider(_Recorded(losses), decision, [one.rival for one in losses])
    return decider.standing(losses[0].candidate)
