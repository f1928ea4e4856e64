"""What time alone brings about: deadlines pass by themselves, as facts of the party `clock`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from schemas.base import Offsets
from schemas.events import (
    Body,
    ErasureOrdered,
    ObjectionPeriodOpened,
    PairingExpired,
    PairingSettled,
    RehearsalEnded,
    TrialEnded,
)
from schemas.pairing import Pairing, Phase
from streams import erasing
from streams.lifecycle import Installation, later, who_acts_next

#: The party that facts of time alone are ascribed to.
CLOCK = "clock"


def overdue(state: Installation, now: datetime) -> Iterator[tuple[str, Body]]:
    """The facts that time alone has brought about, each with the id of a request that nobody sent."""
    for pairing in state.pairings.values():
        body = _of_time(pairing, now)
        if body is not None:
            yield f"{body.kind}-{pairing.id}-{pairing.fact}", body
        parts = erasing.due(pairing, now)
        if parts:
            order = ErasureOrdered(pairing=pairing.id, parts=parts)
            yield f"{order.kind}-{pairing.id}-{'-'.join(parts)}", order


def _of_time(pairing: Pairing, now: datetime) -> Body | None:
    if pairing.phase is Phase.CONCLUDED:
        return ObjectionPeriodOpened(
            pairing=pairing.id, until=later(pairing.since, pairing.agreement.objection_days)
        )
    if pairing.due is None or now < pairing.due:
        return None
    if pairing.phase in (Phase.PROPOSED, Phase.AGREED):
        return PairingExpired(pairing=pairing.id, phase=pairing.phase, waited_for=who_acts_next(pairing))
    if pairing.phase is Phase.OBJECTION_PERIOD and all(one.resolution for one in pairing.objections):
        return PairingSettled(pairing=pairing.id)
    return None


def time_up(state: Installation, now: datetime) -> Iterator[tuple[str, Pairing]]:
    """Rehearsals and trials whose agreed length is over, each with the id of a request that nobody sent."""
    for pairing in state.pairings.values():
        phases = pairing.agreement.phases
        days = {Phase.REHEARSING: phases.rehearsal_days, Phase.RUNNING: phases.trial_days}.get(pairing.phase)
        runs = bool(pairing.present()) and not pairing.rehearsed()
        if days is not None and runs and now >= later(pairing.since, days):
            yield f"time-up-{pairing.id}-{pairing.fact}", pairing


def end_of(pairing: Pairing, until: Offsets) -> Body:
    """The fact that ends a rehearsal or trial whose time is up."""
    if pairing.phase is Phase.REHEARSING:
        return RehearsalEnded(pairing=pairing.id, until=until)
    return TrialEnded(pairing=pairing.id, until=until, reason="the agreed time is over")
