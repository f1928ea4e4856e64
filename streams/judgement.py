"""What becomes of a request: the fact it asks for, or its refusal with a reason that its sender can act on.

Pure: `judge` decides and changes nothing. What each request has to meet stands in `streams.participants`, `agreeing`,
`candidacy`, `course` and `reports`; what time alone brings about, in `streams.deadlines`.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas.base import Ident, Offsets
from schemas.events import Body, RequestRefused
from schemas.pairing import Pairing
from schemas.requests import (
    AdmitPlant,
    AmendAgreement,
    Command,
    ConsentToAgreement,
    DeclareNeed,
    EndRehearsal,
    EndTrial,
    EraseRecords,
    OpenProgramme,
    PausePlant,
    ProposePairing,
    PublishKey,
    RegisterOrganisation,
    ReportCapacity,
    ReportRejections,
    ResumeCandidate,
    ResumePlant,
    RetireCandidate,
    StartRehearsal,
    StartTrial,
    StopPairing,
    SubmitCandidate,
    WithdrawPairing,
)
from streams import agreeing, candidacy, course, erasing, names, participants, topics
from streams.conditions import Refusal, existing
from streams.disclosure import parties_of
from streams.lifecycle import Installation
from streams.reports import Report, reported

#: Commands that fix offsets, of telemetry alone or of labels too.
_AT_TELEMETRY = (
    ConsentToAgreement,
    EndRehearsal,
    EndTrial,
    StopPairing,
    WithdrawPairing,
    RetireCandidate,
)
_AT_BOTH = (StartRehearsal, StartTrial)


def offsets_needed(command: Command, state: Installation) -> tuple[str, ...]:
    """The topics whose end offsets the judgement of this command has to know."""
    pairing = state.pairings.get(getattr(command, "pairing", ""))
    if pairing is None:
        return ()
    if isinstance(command, _AT_BOTH):
        return topics.telemetry(pairing.plant), topics.labels(pairing.plant)
    if isinstance(command, _AT_TELEMETRY):
        return (topics.telemetry(pairing.plant),)
    return ()


def subject(command: Command) -> str:
    """The id of what a command is about."""
    match command:
        case RegisterOrganisation(organisation=organisation):
            return organisation.id
        case OpenProgramme(programme=programme):
            return programme.id
        case AdmitPlant(plant=plant):
            return plant.id
        case DeclareNeed(need=need):
            return need.id
        case PausePlant(plant=ident) | ResumePlant(plant=ident):
            return ident
        case ReportCapacity(plant=ident) | ReportRejections(plant=ident):
            return ident
        case PublishKey(holder=holder):
            return holder
        case _:
            return command.pairing


def judge(
    party: Ident, command: Command, state: Installation, *, request: str, ends: Mapping[str, Offsets]
) -> Body:
    """The fact that a request becomes.

    Args:
        party: who asks, by the topic that the request came in on.
        command: what is asked for.
        state: the facts so far.
        request: the request's id.
        ends: end offsets of the topics that `offsets_needed` names.
    """
    try:
        return _grant(party, command, state, request, ends)
    except Refusal as refusal:
        return RequestRefused(command=command.kind, reason=refusal.why.en, reason_ko=refusal.why.ko)


def _grant(
    party: Ident, command: Command, state: Installation, request: str, ends: Mapping[str, Offsets]
) -> Body:
    match command:
        case RegisterOrganisation(organisation=organisation):
            return participants.registered(party, organisation, state)
        case OpenProgramme(programme=programme):
            return participants.opened(party, programme, state)
        case AdmitPlant(plant=plant):
            return participants.admitted(party, plant, state)
        case DeclareNeed(need=need):
            return participants.declared(party, need, state)
        case PausePlant():
            return participants.paused(party, command, state)
        case ReportRejections():
            return participants.held(party, command, state)
        case ResumePlant(plant=ident):
            return participants.resumed(party, ident, state)
        case ReportCapacity():
            return participants.measured(party, command, state)
        case PublishKey():
            return participants.keyed(party, command, state)
        case ProposePairing():
            return agreeing.proposed(party, command, state)
        case _:
            # Whoever has no share in a pairing is not told that there is one.
            pairing = existing(
                names.PAIRING,
                command.pairing,
                state.pairings,
                lambda one: party in (*parties_of(one), one.plant),
            )
            return _about(party, command, pairing, state, request, ends)


def _about(
    party: Ident,
    command: Command,
    pairing: Pairing,
    state: Installation,
    request: str,
    ends: Mapping[str, Offsets],
) -> Body:
    """Requests about a pairing that exists."""
    match command:
        case AmendAgreement():
            return agreeing.amended(party, command, pairing, state)
        case ConsentToAgreement():
            return agreeing.consented(party, command, pairing, ends[topics.telemetry(pairing.plant)])
        case SubmitCandidate():
            return candidacy.submitted(party, command, pairing, state)
        case RetireCandidate():
            return candidacy.retired(party, command, pairing, ends[topics.telemetry(pairing.plant)])
        case ResumeCandidate():
            return candidacy.resumed(party, command, pairing)
        case EraseRecords():
            return erasing.ordered(party, command, pairing)
        case step if isinstance(step, course.Step):
            return course.taken(party, step, pairing, ends)
        case command if isinstance(command, course.Afterwards):
            return course.followed(party, command, pairing, request)
        case report if isinstance(report, Report):
            return reported(party, report, pairing)
        case _:
            raise AssertionError(f"{command.kind} is judged elsewhere")
