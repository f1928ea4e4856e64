"""What a rehearsal says about the decision by units, before any of it counts."""

from __future__ import annotations

from schemas.base import Record


class Detector(Record):
    """How often a way to answer that knows nothing, or everything, would be accepted (사소한 탐지기)."""

    #: `always normal`, `random 0.05`, `random episodes`, `permuted labels`; `oracle` knows every label.
    name: str
    #: The share of the trials drawn in which it was accepted.
    accepted: float
    #: With 95 % confidence it is accepted no more often than this (Clopper–Pearson); of the oracle no less often.
    bound: float
    #: How far that is from where the rule would not be fit to be used; below 0 it is not.
    headroom: float


class MetricCheck(Record):
    """Whether the agreed rule turns away what knows nothing and accepts what knows everything (지표 점검)."""

    passed: bool
    #: Trials drawn from the rehearsal's labels, and units of each.
    trials: int = 0
    units: int = 0
    #: Units drawn together, so that no event is torn apart; and the events that were labelled.
    together: int = 0
    events: int = 0
    detectors: tuple[Detector, ...] = ()


class UnitCheck(Record):
    """Whether units depend little enough on one another (판정 단위 점검)."""

    #: None where there are too few to tell.
    passed: bool | None = None
    units: int = 0
    #: The largest m · Var(mean of m gains in a row) / Var(gain); 1 where units do not depend on one another.
    dependence: float | None = None
    #: At how many in a row that was.
    at: int | None = None
