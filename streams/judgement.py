"""What becomes of a request: the fact it asks for, or its refusal with a reason that its sender can act on.

Pure: `judge` decides and changes nothing. Beside it: `streams.candidacy`, `streams.reports`, and what time alone brings about in `streams.deadlines`.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas.base import Ident, Offsets
from schemas.events import (
    AgreementAmended,
    Body,
    CapacityReported,
    ConsentGiven,
    FollowUpRecorded,
    NeedDeclared,
    ObjectionRaised,
    ObjectionResolved,
    OrganisationRegistered,
    PairingProposed,
    PairingStopped,
    PairingWithdrawn,
    PlantAdmitted,
    PlantPaused,
    PlantResumed,
    ProgrammeOpened,
    RehearsalEnded,
    RehearsalStarted,
    RequestRefused,
    TrialEnded,
    TrialStarted,
)
from schemas.pairing import Pairing, Phase
from schemas.parties import Organisation, Plant, Programme, Role
from schemas.requests import (
    AdmitPlant,
    AmendAgreement,
    Command,
    ConsentToAgreement,
    DeclareNeed,
    EndRehearsal,
    EndTrial,
    ObjectToVerdict,
    OpenProgramme,
    PausePlant,
    ProposePairing,
    RecordFollowUp,
    RegisterOrganisation,
    ReportCapacity,
    ResolveObjection,
    ResumeCandidate,
    ResumePlant,
    RetireCandidate,
    StartRehearsal,
    StartTrial,
    StopPairing,
    SubmitCandidate,
    WithdrawPairing,
)
from streams import topics
from streams.candidacy import resumed, retired, submitted
from streams.conditions import (
    Refusal,
    asked_by,
    asked_by_owner,
    asked_by_plant_side,
    begin_at,
    existing,
    fits,
    fits_candidates,
    listed,
    new_or_same,
    not_over,
    require,
    something_ran,
    stands_in,
    unpaused,
    with_role,
)
from streams.deadlines import CLOCK
from streams.lifecycle import Installation, who_acts_next
from streams.reports import Report, reported

#: Ids that no organisation or plant may bear.
RESERVED = frozenset({topics.OPERATOR, CLOCK})

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
        case PausePlant(plant=ident) | ResumePlant(plant=ident) | ReportCapacity(plant=ident):
            return ident
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
        return RequestRefused(command=command.kind, reason=str(refusal))


def _grant(
    party: Ident, command: Command, state: Installation, request: str, ends: Mapping[str, Offsets]
) -> Body:
    match command:
        case RegisterOrganisation(organisation=organisation):
            return _register(party, organisation, state)
        case OpenProgramme(programme=programme):
            return _open_programme(party, programme, state)
        case AdmitPlant(plant=plant):
            return _admit(party, plant, state)
        case DeclareNeed(need=need):
            plant = existing("plant", need.plant, state.plants)
            require(plant.owner == party, f"only {plant.owner} declares needs of {plant.id}")
            existing("programme", need.programme, state.programmes)
            new_or_same("need", need.id, need, state.needs)
            return NeedDeclared(need=need)
        case PausePlant(plant=ident, reason=reason):
            asked_by_owner(party, ident, state)
            require(ident not in state.paused, f"{ident} is paused already")
            return PlantPaused(plant=ident, reason=reason)
        case ResumePlant(plant=ident):
            asked_by_owner(party, ident, state)
            require(ident in state.paused, f"{ident} is not paused: its telemetry is taken as it comes")
            return PlantResumed(plant=ident)
        case ReportCapacity(plant=ident, capacity=capacity):
            existing("plant", ident, state.plants)
            require(party == ident, f"only the workers of {ident} report what its machine can carry")
            return CapacityReported(plant=ident, capacity=capacity)
        case ProposePairing():
            return _propose(party, command, state)
        case _:
            pairing = existing("pairing", command.pairing, state.pairings)
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
            return _amend(party, command, pairing, state.plants[pairing.plant])
        case ConsentToAgreement():
            return _consent(party, command, pairing, ends[topics.telemetry(pairing.plant)])
        case StartRehearsal():
            asked_by_plant_side(party, pairing, "the rehearsal is started")
            stands_in(pairing, (Phase.AGREED,), "a rehearsal begins once both sides have consented")
            unpaused(pairing)
            return RehearsalStarted(pairing=pairing.id, **begin_at(pairing, ends))
        case EndRehearsal():
            if party != pairing.plant:
                asked_by_plant_side(party, pairing, "the rehearsal is ended")
            stands_in(pairing, (Phase.REHEARSING,), "only a rehearsal that runs is ended")
            something_ran(pairing)
            require(
                not pairing.rehearsed(),
                f"the rehearsal of {pairing.id} has ended already; it is reported once its rows are settled",
            )
            return RehearsalEnded(pairing=pairing.id, until=ends[topics.telemetry(pairing.plant)])
        case StartTrial():
            return _start_trial(party, pairing, ends)
        case SubmitCandidate():
            return submitted(party, command, pairing, state)
        case RetireCandidate():
            return retired(party, command, pairing, ends[topics.telemetry(pairing.plant)])
        case ResumeCandidate():
            return resumed(party, command, pairing)
        case report if isinstance(report, Report):
            return reported(party, report, pairing)
        case _:
            return _towards_the_end(party, command, pairing, request, ends)


def _towards_the_end(
    party: Ident, command: Command, pairing: Pairing, request: str, ends: Mapping[str, Offsets]
) -> Body:
    match command:
        case EndTrial(reason=reason):
            asked_by_plant_side(party, pairing, "the trial is ended")
            stands_in(pairing, (Phase.RUNNING,), "only a trial that runs is ended")
            something_ran(pairing)
            return TrialEnded(pairing=pairing.id, until=ends[topics.telemetry(pairing.plant)], reason=reason)
        case StopPairing(reason=reason):
            asked_by_plant_side(party, pairing, "a pairing is stopped")
            not_over(pairing)
            return PairingStopped(
                pairing=pairing.id, until=ends[topics.telemetry(pairing.plant)], reason=reason
            )
        case WithdrawPairing(reason=reason):
            asked_by(party, (pairing.startup,), "a pairing is withdrawn from", pairing)
            not_over(pairing)
            return PairingWithdrawn(
                pairing=pairing.id, until=ends[topics.telemetry(pairing.plant)], reason=reason
            )
        case ObjectToVerdict(person=person, reason=reason):
            asked_by(party, (pairing.manufacturer, pairing.startup), "objections are raised", pairing)
            stands_in(pairing, (Phase.OBJECTION_PERIOD,), "objections are raised within the objection period")
            return ObjectionRaised(pairing=pairing.id, objection=request, person=person, reason=reason)
        case ResolveObjection(objection=ident, resolution=resolution, reason=reason):
            asked_by(party, pairing.coordinators, "objections are decided on", pairing)
            open_ = {one.id for one in pairing.objections if one.resolution is None}
            require(
                ident in open_,
                f"{pairing.id} has no open objection {ident!r}; open: {listed(open_)}",
            )
            return ObjectionResolved(
                pairing=pairing.id, objection=ident, resolution=resolution, reason=reason
            )
        case RecordFollowUp(outcome=outcome, note=note):
            asked_by(party, pairing.coordinators, "the follow-up is recorded", pairing)
            stands_in(pairing, (Phase.SETTLED,), "what follows is recorded once the pairing is settled")
            return FollowUpRecorded(pairing=pairing.id, outcome=outcome, note=note)
        case _:
            raise AssertionError(f"{command.kind} is judged elsewhere")


# --- the longer judgements --------------------------------------------------------------------------------------------


def _register(party: Ident, organisation: Organisation, state: Installation) -> OrganisationRegistered:
    require(party == topics.OPERATOR, "only the operator of the installation registers organisations")
    new_or_same("organisation", organisation.id, organisation, state.organisations)
    taken = organisation.id in state.plants or organisation.id in RESERVED
    require(not taken, f"the id {organisation.id!r} is taken; choose another")
    return OrganisationRegistered(organisation=organisation)


def _open_programme(party: Ident, programme: Programme, state: Installation) -> ProgrammeOpened:
    for operator in programme.operators:
        with_role(operator, Role.COORDINATOR, state)
    require(party in programme.operators, f"{programme.id} is opened by one of its operators")
    new_or_same("programme", programme.id, programme, state.programmes)
    return ProgrammeOpened(programme=programme)


def _admit(party: Ident, plant: Plant, state: Installation) -> PlantAdmitted:
    with_role(plant.owner, Role.MANUFACTURER, state)
    require(party == plant.owner, f"{plant.id} is admitted by its owner {plant.owner}")
    taken = plant.id in state.organisations or plant.id in RESERVED
    require(not taken, f"the id {plant.id!r} is taken; choose another for the plant")
    new_or_same("plant", plant.id, plant, state.plants)
    return PlantAdmitted(plant=plant)


def _propose(party: Ident, command: ProposePairing, state: Installation) -> PairingProposed:
    need = existing("need", command.need, state.needs)
    operators = state.programmes[need.programme].operators
    require(party in operators, f"pairings of {need.programme} are proposed by {', '.join(operators)}")
    with_role(command.startup, Role.STARTUP, state)
    require(command.pairing not in state.pairings, f"the pairing {command.pairing!r} exists; choose a new id")
    fits(command.agreement.assets, command.agreement.inputs, state.plants[need.plant])
    return PairingProposed(
        pairing=command.pairing,
        need=command.need,
        startup=command.startup,
        agreement=command.agreement,
        agreement_digest=command.agreement.digest(),
    )


def _amend(party: Ident, command: AmendAgreement, pairing: Pairing, plant: Plant) -> AgreementAmended:
    agreement, digest = command.agreement, command.agreement.digest()
    asked_by(
        party,
        (pairing.manufacturer, pairing.startup, *pairing.coordinators),
        "the agreement is amended",
        pairing,
    )
    stands_in(
        pairing,
        (Phase.PROPOSED, Phase.AGREED, Phase.RUNNING),
        "an agreement is amended before the trial, or while it runs",
    )
    fits(agreement.assets, agreement.inputs, plant)
    fits_candidates(agreement, pairing)
    on_table = pairing.amendment.agreement_digest if pairing.amendment else pairing.agreement_digest
    require(
        digest != on_table,
        f"this agreement lies on the table of {pairing.id} already; consent to it, or change it",
    )
    if pairing.phase is Phase.RUNNING:
        require(
            digest != pairing.agreement_digest,
            f"the trial of {pairing.id} runs under this agreement; nothing is amended",
        )
        before, after = pairing.agreement, agreement
        require(
            (after.task, after.classes, after.target) == (before.task, before.classes, before.target),
            f"what the trial of {pairing.id} predicts is not amended on the way; propose another pairing for it",
        )
    return AgreementAmended(
        pairing=pairing.id, agreement=agreement, agreement_digest=digest, reason=command.reason
    )


def _consent(party: Ident, command: ConsentToAgreement, pairing: Pairing, until: Offsets) -> ConsentGiven:
    asked_by(party, (pairing.manufacturer, pairing.startup), "an agreement is consented to", pairing)
    amendment = pairing.amendment
    if amendment is None:
        stands_in(pairing, (Phase.PROPOSED,), "consent is given while an agreement lies on the table")
    digest = pairing.agreement_digest if amendment is None else amendment.agreement_digest
    require(
        command.agreement_digest == digest,
        f"the agreement on the table of {pairing.id} has the hash {digest[:12]}…, "
        f"you consent to {command.agreement_digest[:12]}…; read it again with `fieldproof agreement show`",
    )
    others = [one for one in who_acts_next(pairing) if one != party]
    require(
        not pairing.consented(party),
        f"{party} has consented to the agreement of {pairing.id} already; {', '.join(others)} has to consent next",
    )
    return ConsentGiven(
        pairing=pairing.id,
        agreement_digest=command.agreement_digest,
        person=command.person,
        until=until if amendment is not None and not others else None,
    )


def _start_trial(party: Ident, pairing: Pairing, ends: Mapping[str, Offsets]) -> TrialStarted:
    asked_by_plant_side(party, pairing, "the trial is started")
    stands_in(pairing, (Phase.AGREED,), "a trial begins once both sides have consented")
    unpaused(pairing)
    wanted = pairing.agreement.phases.rehearsal_rows
    if wanted:
        passed = pairing.rehearsal is not None and pairing.rehearsal.passed
        require(
            passed,
            f"the agreement of {pairing.id} asks for a rehearsal of {wanted} rows that passed; start one first",
        )
    return TrialStarted(pairing=pairing.id, **begin_at(pairing, ends))
