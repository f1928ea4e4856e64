"""Candidates in and out: what control asks before it takes one, and what it does with the others."""

from __future__ import annotations

from schemas.base import Ident, Offsets
from schemas.events import CandidateResumed, CandidateRetired, CandidateSubmitted
from schemas.pairing import BASELINES, OVER, Candidate, Pairing, Phase
from schemas.parties import Capacity
from schemas.requests import ResumeCandidate, RetireCandidate, SubmitCandidate
from schemas.words import Phrase
from streams import names
from streams.conditions import (
    Refusal,
    asked_by,
    asked_by_plant_side,
    existing,
    places_taken,
    require,
    stands_in,
    still_runs,
)
from streams.holding import why_not
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
        Refusal: it may not be taken; the reason says what to do. So do all of these.
    """
    candidate = command.candidate
    asked_by(party, (pairing.startup,), Phrase("candidates are submitted", "후보 모델 제출"), pairing)
    require(
        candidate.startup == party,
        f"{candidate.id} names {candidate.startup} as its start-up; it has to be {party}",
        f"후보 모델 {candidate.id}에 적힌 스타트업: {candidate.startup}. 이 항목에는 {party}만 쓸 수 있습니다.",
    )
    rule = Phrase(
        "candidates are taken from the agreement to the trial's end",
        "후보 모델은 협약이 맺어진 뒤부터 실증이 끝나기 전까지 제출할 수 있습니다.",
    )
    stands_in(pairing, (Phase.AGREED, Phase.REHEARSING, Phase.RUNNING), rule)
    _has_a_name_of_its_own(candidate, pairing)
    _has_a_place(pairing)
    most = pairing.agreement.limits.context_rows
    require(
        candidate.context_rows <= most,
        f"{candidate.id} asks for {candidate.context_rows} preceding rows, "
        f"the agreement of {pairing.id} allows {most}; declare fewer, or have the agreement amended",
        f"후보 모델 {candidate.id}에는 앞선 행 {candidate.context_rows}개가 필요하지만 "
        f"매칭 {pairing.id}의 협약 한도는 {most}개입니다. 필요한 행 수를 줄이거나 협약 변경을 요청해 주세요.",
    )
    _fits_the_machine(candidate, pairing, state)
    return CandidateSubmitted(pairing=pairing.id, candidate=candidate)


def retired(party: Ident, command: RetireCandidate, pairing: Pairing, until: Offsets) -> CandidateRetired:
    """The fact that a candidate is taken out."""
    asked_by(party, (pairing.startup,), Phrase("candidates are retired", "후보 모델 철수"), pairing)
    rule = Phrase(
        "a candidate is retired before the trial ends",
        "후보 모델은 실증이 끝나기 전까지만 철수할 수 있습니다.",
    )
    stands_in(pairing, (Phase.PROPOSED, Phase.AGREED, Phase.REHEARSING, Phase.RUNNING), rule)
    candidate = existing(names.CANDIDATE, command.candidate, {one.id: one for one in pairing.candidates})
    still_runs(candidate, pairing)
    return CandidateRetired(pairing=pairing.id, candidate=candidate.id, until=until, reason=command.reason)


def resumed(party: Ident, command: ResumeCandidate, pairing: Pairing) -> CandidateResumed:
    """The fact that a suspended candidate is tried again."""
    asked_by_plant_side(party, pairing, Phrase("a suspended candidate is resumed", "보류된 후보 모델의 재개"))
    rule = Phrase(
        "a candidate is resumed while it has frames to answer",
        "후보 모델은 응답할 데이터가 남아 있는 동안에만 재개할 수 있습니다.",
    )
    stands_in(pairing, (Phase.REHEARSING, Phase.RUNNING, Phase.CLOSING), rule)
    candidate = existing(names.CANDIDATE, command.candidate, {one.id: one for one in pairing.candidates})
    held = any(one.suspended is not None and candidate.id in one.subjects for one in pairing.present())
    require(
        held,
        f"{candidate.id} is not suspended in {pairing.id}; it is given its frames",
        f"매칭 {pairing.id}의 후보 모델 {candidate.id}에는 보류가 걸려 있지 않습니다. 데이터는 계속 전달되고 있습니다.",
    )
    return CandidateResumed(pairing=pairing.id, candidate=candidate.id, reason=command.reason)


def _has_a_name_of_its_own(candidate: Candidate, pairing: Pairing) -> None:
    reserved = {BASELINES, *(one.name for one in pairing.agreement.baselines)}
    require(
        candidate.id not in reserved,
        f"the name {candidate.id!r} is a baseline's; choose another",
        f"{candidate.id!r}: 비교 기준에 쓰이는 이름입니다. 후보 모델에 다른 이름을 써 주세요.",
    )
    require(
        pairing.candidate(candidate.id) is None,
        f"{candidate.id!r} is a candidate of {pairing.id} already; submit a new version",
        f"{candidate.id!r}: 매칭 {pairing.id}에 이미 제출된 후보 모델입니다. 새 버전을 제출해 주세요.",
    )


def _has_a_place(pairing: Pairing) -> None:
    quota, count = pairing.agreement.quotas.candidates, places_taken(pairing)
    require(
        count < quota,
        f"the agreement of {pairing.id} allows {quota} candidates and {count} were submitted; "
        "a retired one keeps its place: have the agreement amended for more",
        f"매칭 {pairing.id}의 협약은 후보 모델을 {quota}개까지 허용하며 이미 {count}개가 제출되었습니다. "
        "철수한 후보 모델도 한도에 포함됩니다. 더 제출하려면 협약 변경을 요청해 주세요.",
    )


def _fits_the_machine(candidate: Candidate, pairing: Pairing, state: Installation) -> None:
    """Refuse more than the plant's machine has said that it can carry."""
    capacity = state.capacities.get(pairing.plant)
    if capacity is None:
        return
    refusal = why_not(
        capacity.sandbox,
        pairing.agreement.classification,
        shipped=candidate.shipped,
        allow_unsandboxed=capacity.unsandboxed,
    )
    if refusal is not None:
        raise Refusal(
            f"{candidate.id} may not run at {pairing.plant}: {refusal.en}",
            f"후보 모델 {candidate.id}: 공장 {pairing.plant}에서 실행할 수 없습니다. {refusal.ko}",
        )
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
        f"공장 {pairing.plant}의 장비(코어 {capacity.cores}개)에서는 코어당 {CANDIDATES_A_CORE}개씩 "
        f"후보 모델을 {most}개까지 실행할 수 있으며 지금 {len(others)}개가 있습니다. "
        "후보 모델을 철수하거나 더 큰 장비를 써 주세요.",
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
        f"후보 모델 {candidate.id}에는 메모리가 {wanted}MB까지 필요합니다. 공장 {pairing.plant}의 장비 메모리 "
        f"{capacity.memory_mb}MB 가운데 후보 모델 몫은 {most}MB이며, 이미 있는 후보 모델 {len(others)}개에 "
        f"{taken}MB까지 필요합니다. 후보 모델을 철수하거나, 협약의 memory_mb 한도를 낮추거나, 더 큰 장비를 써 주세요.",
    )


def _memory_mb(pairing: Pairing) -> int:
    return pairing.agreement.limits.memory_mb + WORKER_MB + LIBRARIES_MB
