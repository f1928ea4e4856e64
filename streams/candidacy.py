"""Candidates in and out: what control asks before it takes one, and what it does with the others."""

from __future__ import annotations

from schemas.base import Ident, Offsets
from schemas.events import CandidateResumed, CandidateRetired, CandidateSubmitted
from schemas.pairing import BASELINES, OVER, Candidate, Pairing, Phase
from schemas.parties import Capacity
from schemas.requests import ResumeCandidate, RetireCandidate, SubmitCandidate
from streams.conditions import (
    asked_by,
    asked_by_plant_side,
    existing,
    places_taken,
    require,
    stands_in,
)
from streams.lifecycle import Installation

#: What a candidate needs of the machine beside the memory that its agreement allows: its worker, its libraries.
WORKER_MB, LIBRARIES_MB = 120, 280
#: The share of the memory that candidates may have; the rest is the broker's and the system's.
MEMORY_SHARE = 0.8
#: Candidates that one core may be asked to carry.
CANDIDATES_A_CORE = 8


def submitted(
    party: Ident, command: SubmitCandidate, pairing: Pairing, state: Installation
) -> CandidateSubmitted:
    """The fact that a candidate is taken.

    Raises:
        Refusal: it may not be taken; the reason says what to do.
    """
    candidate, limits = command.candidate, pairing.agreement.limits
    asked_by(party, (pairing.startup,), "candidates are submitted", pairing)
    require(
        candidate.startup == party,
        f"{candidate.id} names {candidate.startup} as its start-up; it has to be {party}",
    )
    stands_in(
        pairing,
        (Phase.AGREED, Phase.REHEARSING, Phase.RUNNING),
        "candidates are taken from the agreement to the trial's end",
    )
    reserved = candidate.id == BASELINES or candidate.id in {one.name for one in pairing.agreement.baselines}
    require(not reserved, f"the name {candidate.id!r} is a baseline's; choose another")
    require(
        pairing.candidate(candidate.id) is None,
        f"{candidate.id!r} is a candidate of {pairing.id} already; submit a new version",
    )
    quota, taken = pairing.agreement.quotas.candidates, places_taken(pairing)
    require(
        taken < quota,
        f"the agreement of {pairing.id} allows {quota} candidates and {taken} were submitted; "
        "a retired one keeps its place",
    )
    require(
        candidate.context_rows <= limits.context_rows,
        f"{candidate.id} asks for {candidate.context_rows} preceding rows, "
        f"the agreement of {pairing.id} allows {limits.context_rows}",
    )
    _fits_the_machine(candidate, pairing, state)
    return CandidateSubmitted(pairing=pairing.id, candidate=candidate)


def retired(party: Ident, command: RetireCandidate, pairing: Pairing, until: Offsets) -> CandidateRetired:
    """The fact that a candidate is taken out.

    Raises:
        Refusal
    """
    asked_by(party, (pairing.startup,), "candidates are retired", pairing)
    stands_in(
        pairing,
        (Phase.PROPOSED, Phase.AGREED, Phase.REHEARSING, Phase.RUNNING),
        "a candidate is retired before the trial ends",
    )
    candidate = existing("candidate", command.candidate, {one.id: one for one in pairing.candidates})
    require(
        pairing.runs(candidate), f"{candidate.id} is retired from {pairing.id} already, or was given back"
    )
    return CandidateRetired(pairing=pairing.id, candidate=candidate.id, until=until, reason=command.reason)


def resumed(party: Ident, command: ResumeCandidate, pairing: Pairing) -> CandidateResumed:
    """The fact that a suspended candidate is tried again.

    Raises:
        Refusal
    """
    asked_by_plant_side(party, pairing, "a suspended candidate is resumed")
    stands_in(
        pairing,
        (Phase.REHEARSING, Phase.RUNNING, Phase.CLOSING),
        "a candidate is resumed while it has frames to answer",
    )
    candidate = existing("candidate", command.candidate, {one.id: one for one in pairing.candidates})
    held = any(one.suspended is not None and candidate.id in one.subjects for one in pairing.present())
    require(held, f"{candidate.id} is not suspended in {pairing.id}")
    return CandidateResumed(pairing=pairing.id, candidate=candidate.id, reason=command.reason)


def _fits_the_machine(candidate: Candidate, pairing: Pairing, state: Installation) -> None:
    """Refuse more than the plant's machine has said that it can carry."""
    capacity = state.capacities.get(pairing.plant)
    if capacity is None:
        return
    others = [
        one
        for other in state.pairings.values()
        if other.plant == pairing.plant and other.phase not in OVER
        for one in [other] * sum(other.runs(each) for each in other.candidates)
    ]
    most = capacity.cores * CANDIDATES_A_CORE
    require(
        len(others) < most,
        f"the machine of {pairing.plant} has {capacity.cores} cores and carries {most} candidates at "
        f"{CANDIDATES_A_CORE} a core; {len(others)} are there: retire one, or use a larger machine",
    )
    _fits_the_memory(candidate, pairing, capacity, others)


def _fits_the_memory(
    candidate: Candidate, pairing: Pairing, capacity: Capacity, others: list[Pairing]
) -> None:
    taken, wanted = sum(_memory_mb(one) for one in others), _memory_mb(pairing)
    most = int(capacity.memory_mb * MEMORY_SHARE)
    require(
        taken + wanted <= most,
        f"{candidate.id} may need {wanted} MB; {len(others)} candidates of {pairing.plant} may need {taken} MB, and "
        f"{most} MB of the machine's {capacity.memory_mb} MB are theirs: retire one, agree on less memory_mb, "
        "or use a larger machine",
    )


def _memory_mb(pairing: Pairing) -> int:
    return pairing.agreement.limits.memory_mb + WORKER_MB + LIBRARIES_MB
