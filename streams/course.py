"""The course of a proof: what control asks before a rehearsal or trial begins or ends, and about what follows it."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.base import Ident, Offsets
from schemas.events import (
    Body,
    FollowUpRecorded,
    ObjectionRaised,
    ObjectionResolved,
    PairingStopped,
    PairingWithdrawn,
    RehearsalEnded,
    RehearsalStarted,
    TrialEnded,
    TrialStarted,
)
from schemas.pairing import Pairing, Phase
from schemas.requests import (
    EndRehearsal,
    EndTrial,
    ObjectToVerdict,
    RecordFollowUp,
    ResolveObjection,
    StartRehearsal,
    StartTrial,
    StopPairing,
    WithdrawPairing,
)
from schemas.words import Phrase
from streams import topics
from streams.conditions import (
    asked_by,
    asked_by_plant_side,
    begin_at,
    listed,
    not_over,
    require,
    something_ran,
    stands_in,
    unpaused,
)

Step = StartRehearsal | EndRehearsal | StartTrial | EndTrial | StopPairing | WithdrawPairing
Afterwards = ObjectToVerdict | ResolveObjection | RecordFollowUp


def taken(party: Ident, step: Step, pairing: Pairing, ends: Mapping[str, Offsets]) -> Body:
    """The fact that a step is taken, from or until the present ends of the plant's topics.

    Raises:
        Refusal: it may not be; the reason says what to do. So do all of these.
    """
    until = ends[topics.telemetry(pairing.plant)]
    match step:
        case StartRehearsal():
            return _rehearsal_started(party, pairing, ends)
        case EndRehearsal():
            return _rehearsal_ended(party, pairing, until)
        case StartTrial():
            return _trial_started(party, pairing, ends)
        case EndTrial(reason=reason):
            asked_by_plant_side(party, pairing, Phrase("the trial is ended", "실증 종료"))
            rule = Phrase("only a trial that runs is ended", "진행 중인 실증만 종료할 수 있습니다.")
            stands_in(pairing, (Phase.RUNNING,), rule)
            something_ran(pairing)
            return TrialEnded(pairing=pairing.id, until=until, reason=reason)
        case StopPairing(reason=reason):
            asked_by_plant_side(party, pairing, Phrase("a pairing is stopped", "매칭 중단"))
            not_over(pairing)
            return PairingStopped(pairing=pairing.id, until=until, reason=reason)
        case WithdrawPairing(reason=reason):
            asked_by(party, (pairing.startup,), Phrase("a pairing is withdrawn from", "매칭 철회"), pairing)
            not_over(pairing)
            return PairingWithdrawn(pairing=pairing.id, until=until, reason=reason)


def _rehearsal_started(party: Ident, pairing: Pairing, ends: Mapping[str, Offsets]) -> RehearsalStarted:
    asked_by_plant_side(party, pairing, Phrase("the rehearsal is started", "예행 시작"))
    rule = Phrase(
        "a rehearsal begins once both sides have consented",
        "예행은 양쪽이 협약에 동의한 뒤에 시작할 수 있습니다.",
    )
    stands_in(pairing, (Phase.AGREED,), rule)
    unpaused(pairing)
    return RehearsalStarted(pairing=pairing.id, **begin_at(pairing, ends))


def _rehearsal_ended(party: Ident, pairing: Pairing, until: Offsets) -> RehearsalEnded:
    # The plant's workers end it where the agreed rows have come.
    if party != pairing.plant:
        asked_by_plant_side(party, pairing, Phrase("the rehearsal is ended", "예행 종료"))
    rule = Phrase("only a rehearsal that runs is ended", "진행 중인 예행만 종료할 수 있습니다.")
    stands_in(pairing, (Phase.REHEARSING,), rule)
    something_ran(pairing)
    require(
        not pairing.rehearsed(),
        f"the rehearsal of {pairing.id} has ended already; it is reported once its rows are settled",
        f"매칭 {pairing.id}의 예행은 이미 종료되었습니다. 남은 행이 정리되면 결과가 보고됩니다.",
    )
    return RehearsalEnded(pairing=pairing.id, until=until)


def _trial_started(party: Ident, pairing: Pairing, ends: Mapping[str, Offsets]) -> TrialStarted:
    asked_by_plant_side(party, pairing, Phrase("the trial is started", "실증 시작"))
    rule = Phrase(
        "a trial begins once both sides have consented",
        "실증은 양쪽이 협약에 동의한 뒤에 시작할 수 있습니다.",
    )
    stands_in(pairing, (Phase.AGREED,), rule)
    unpaused(pairing)
    wanted = pairing.agreement.phases.rehearsal_rows
    require(
        not wanted or (pairing.rehearsal is not None and pairing.rehearsal.passed),
        f"the agreement of {pairing.id} asks for a rehearsal of {wanted} rows that passed; start one first",
        f"매칭 {pairing.id}의 협약에 따라 실증 전에 {wanted}행 이상의 예행을 통과해야 합니다. "
        "먼저 예행을 시작해 주세요.",
    )
    return TrialStarted(pairing=pairing.id, **begin_at(pairing, ends))


def followed(party: Ident, command: Afterwards, pairing: Pairing, request: str) -> Body:
    """The fact that an objection is raised or decided on, or that something came of the proof.

    Args:
        request: the request's id; an objection bears it.
    """
    match command:
        case ObjectToVerdict(person=person, reason=reason):
            sides = (pairing.manufacturer, pairing.startup)
            asked_by(party, sides, Phrase("objections are raised", "이의 제기"), pairing)
            rule = Phrase(
                "objections are raised within the objection period",
                "이의는 이의 제기 기간에만 제기할 수 있습니다.",
            )
            stands_in(pairing, (Phase.OBJECTION_PERIOD,), rule)
            return ObjectionRaised(pairing=pairing.id, objection=request, person=person, reason=reason)
        case ResolveObjection():
            return _resolved(party, command, pairing)
        case RecordFollowUp(outcome=outcome, note=note):
            what = Phrase("the follow-up is recorded", "후속 조치 기록")
            asked_by(party, pairing.coordinators, what, pairing)
            rule = Phrase(
                "what follows is recorded once the pairing is settled",
                "후속 조치는 판정이 확정된 뒤에 기록할 수 있습니다.",
            )
            stands_in(pairing, (Phase.SETTLED,), rule)
            return FollowUpRecorded(pairing=pairing.id, outcome=outcome, note=note)


def _resolved(party: Ident, command: ResolveObjection, pairing: Pairing) -> ObjectionResolved:
    asked_by(party, pairing.coordinators, Phrase("objections are decided on", "이의 심의"), pairing)
    open_ = {one.id for one in pairing.objections if one.resolution is None}
    there = listed(open_)
    require(
        command.objection in open_,
        f"{pairing.id} has no open objection {command.objection!r}; open: {there.en}",
        f"매칭 {pairing.id}에 심의를 기다리는 이의 {command.objection!r} 건이 없습니다. 심의 대상: {there.ko}.",
    )
    return ObjectionResolved(
        pairing=pairing.id,
        objection=command.objection,
        resolution=command.resolution,
        reason=command.reason,
    )
