"""What becomes of a request: the fact it asks for, or its refusal with a reason that its sender can act on.

Pure: `judge` decides and changes nothing. Time alone decides too (`overdue`): deadlines pass by themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import TypeVar

from schemas.agreement import Agreement
from schemas.base import Ident, Offsets
from schemas.events import (
    AgreementAmended,
    Body,
    CandidateRetired,
    CandidateSubmitted,
    ConsentGiven,
    FollowUpRecorded,
    NeedDeclared,
    ObjectionPeriodOpened,
    ObjectionRaised,
    ObjectionResolved,
    OrganisationRegistered,
    PairingConcluded,
    PairingExpired,
    PairingProposed,
    PairingSettled,
    PairingStopped,
    PairingWithdrawn,
    PlantAdmitted,
    PlantPaused,
    PlantResumed,
    ProgrammeOpened,
    RehearsalEnded,
    RehearsalReported,
    RehearsalStarted,
    RequestRefused,
    TrialEnded,
    TrialStarted,
)
from schemas.pairing import BASELINES, OVER, Pairing, Phase
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
    ReportConclusion,
    ReportRehearsal,
    ResolveObjection,
    ResumePlant,
    RetireCandidate,
    StartRehearsal,
    StartTrial,
    StopPairing,
    SubmitCandidate,
    WithdrawPairing,
)
from streams import topics
from streams.lifecycle import Installation, later

T = TypeVar("T")

#: The party that facts of time alone are ascribed to.
CLOCK = "clock"

#: Ids that no organisation or plant may bear.
RESERVED = frozenset({topics.OPERATOR, CLOCK})

#: Commands that fix offsets, of telemetry alone or of labels too.
_AT_TELEMETRY = (EndRehearsal, EndTrial, StopPairing, WithdrawPairing, RetireCandidate)
_AT_BOTH = (StartRehearsal, StartTrial)


class Refusal(Exception):
    """A request that may not be granted; its text says why and what to do."""


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
            plant = _known("plant", need.plant, state.plants)
            _require(plant.owner == party, f"only {plant.owner} declares needs of {plant.id}")
            _known("programme", need.programme, state.programmes)
            _new_or_same("need", need.id, need, state.needs)
            return NeedDeclared(need=need)
        case PausePlant(plant=ident, reason=reason):
            _owner(party, ident, state)
            _require(ident not in state.paused, f"{ident} is paused already")
            return PlantPaused(plant=ident, reason=reason)
        case ResumePlant(plant=ident):
            _owner(party, ident, state)
            _require(ident in state.paused, f"{ident} is not paused: its telemetry is taken as it comes")
            return PlantResumed(plant=ident)
        case ProposePairing():
            return _propose(party, command, state)
        case _:
            pairing = _known("pairing", command.pairing, state.pairings)
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
        case AmendAgreement(agreement=agreement, reason=reason):
            _allowed(
                party,
                (pairing.manufacturer, pairing.startup, *pairing.coordinators),
                "the agreement is amended",
                pairing,
            )
            _in(pairing, (Phase.PROPOSED, Phase.AGREED), "an agreement is amended before the trial")
            _fits(agreement.assets, agreement.inputs, state.plants[pairing.plant])
            _fits_candidates(agreement, pairing)
            digest = agreement.digest()
            _require(
                digest != pairing.agreement_digest,
                f"this agreement lies on the table of {pairing.id} already; consent to it, or change it",
            )
            return AgreementAmended(
                pairing=pairing.id, agreement=agreement, agreement_digest=digest, reason=reason
            )
        case ConsentToAgreement():
            return _consent(party, command, pairing)
        case StartRehearsal():
            _runs_it(party, pairing, "the rehearsal is started")
            _in(pairing, (Phase.AGREED,), "a rehearsal begins once both sides have consented")
            _unpaused(pairing)
            return RehearsalStarted(pairing=pairing.id, **_from(pairing, ends))
        case EndRehearsal():
            _runs_it(party, pairing, "the rehearsal is ended")
            _in(pairing, (Phase.REHEARSING,), "only a rehearsal that runs is ended")
            _something_ran(pairing)
            _require(
                not pairing.rehearsed(),
                f"the rehearsal of {pairing.id} has ended already; it is reported once its rows are settled",
            )
            return RehearsalEnded(pairing=pairing.id, until=ends[topics.telemetry(pairing.plant)])
        case ReportRehearsal(rehearsal=rehearsal):
            _workers(party, pairing)
            _in(pairing, (Phase.REHEARSING,), "only a rehearsal that has ended is reported on")
            _require(pairing.rehearsed(), f"the rehearsal of {pairing.id} still runs; end it first")
            return RehearsalReported(pairing=pairing.id, rehearsal=rehearsal)
        case StartTrial():
            return _start_trial(party, pairing, ends)
        case SubmitCandidate():
            return _submit(party, command, pairing)
        case RetireCandidate(candidate=ident, reason=reason):
            _allowed(party, (pairing.startup,), "candidates are retired", pairing)
            _in(
                pairing,
                (Phase.PROPOSED, Phase.AGREED, Phase.REHEARSING, Phase.RUNNING),
                "a candidate is retired before the trial ends",
            )
            _known("candidate", ident, {one.id: one for one in pairing.candidates})
            _require(ident not in pairing.retired, f"{ident} is retired from {pairing.id} already")
            until = ends[topics.telemetry(pairing.plant)]
            return CandidateRetired(pairing=pairing.id, candidate=ident, until=until, reason=reason)
        case _:
            return _towards_the_end(party, command, pairing, request, ends)


def _towards_the_end(
    party: Ident, command: Command, pairing: Pairing, request: str, ends: Mapping[str, Offsets]
) -> Body:
    match command:
        case EndTrial(reason=reason):
            _runs_it(party, pairing, "the trial is ended")
            _in(pairing, (Phase.RUNNING,), "only a trial that runs is ended")
            _something_ran(pairing)
            return TrialEnded(pairing=pairing.id, until=ends[topics.telemetry(pairing.plant)], reason=reason)
        case ReportConclusion(verdicts=verdicts):
            _workers(party, pairing)
            _in(pairing, (Phase.CLOSING,), "only a closing pairing is concluded")
            return PairingConcluded(pairing=pairing.id, verdicts=verdicts)
        case StopPairing(reason=reason):
            _runs_it(party, pairing, "a pairing is stopped")
            _not_over(pairing)
            return PairingStopped(
                pairing=pairing.id, until=ends[topics.telemetry(pairing.plant)], reason=reason
            )
        case WithdrawPairing(reason=reason):
            _allowed(party, (pairing.startup,), "a pairing is withdrawn from", pairing)
            _not_over(pairing)
            return PairingWithdrawn(
                pairing=pairing.id, until=ends[topics.telemetry(pairing.plant)], reason=reason
            )
        case ObjectToVerdict(person=person, reason=reason):
            _allowed(party, (pairing.manufacturer, pairing.startup), "objections are raised", pairing)
            _in(pairing, (Phase.OBJECTION_PERIOD,), "objections are raised within the objection period")
            return ObjectionRaised(pairing=pairing.id, objection=request, person=person, reason=reason)
        case ResolveObjection(objection=ident, resolution=resolution, reason=reason):
            _allowed(party, pairing.coordinators, "objections are decided on", pairing)
            open_ = {one.id for one in pairing.objections if one.resolution is None}
            _require(
                ident in open_,
                f"{pairing.id} has no open objection {ident!r}; open: {_listed(open_)}",
            )
            return ObjectionResolved(
                pairing=pairing.id, objection=ident, resolution=resolution, reason=reason
            )
        case RecordFollowUp(outcome=outcome, note=note):
            _allowed(party, pairing.coordinators, "the follow-up is recorded", pairing)
            _in(pairing, (Phase.SETTLED,), "what follows is recorded once the pairing is settled")
            return FollowUpRecorded(pairing=pairing.id, outcome=outcome, note=note)
        case _:
            raise AssertionError(f"{command.kind} is judged elsewhere")


# --- time -------------------------------------------------------------------------------------------------------------


def overdue(state: Installation, now: datetime) -> Iterator[tuple[str, Body]]:
    """The facts that time alone has brought about, each with the id of a request that nobody sent."""
    for pairing in state.pairings.values():
        body = _of_time(pairing, now)
        if body is not None:
            yield f"{body.kind}-{pairing.id}-{pairing.fact}", body


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


def who_acts_next(pairing: Pairing) -> tuple[Ident, ...]:
    """The parties that a pairing waits for; none where it waits for time or for its workers."""
    match pairing.phase:
        case Phase.PROPOSED:
            return tuple(
                party for party in (pairing.manufacturer, pairing.startup) if not pairing.consented(party)
            )
        case Phase.AGREED if not pairing.candidates:
            return (pairing.startup,)
        case Phase.AGREED | Phase.REHEARSING | Phase.RUNNING:
            return (pairing.manufacturer,)
        case Phase.CLOSING:
            return (pairing.manufacturer,)
        case Phase.OBJECTION_PERIOD if any(one.resolution is None for one in pairing.objections):
            return pairing.coordinators
        case Phase.SETTLED:
            return pairing.coordinators
        case _:
            return ()


# --- conditions -------------------------------------------------------------------------------------------------------


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise Refusal(reason)


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _known(what: str, ident: Ident, known: Mapping[Ident, T]) -> T:
    if ident not in known:
        raise Refusal(f"there is no {what} {ident!r}; known: {_listed(known)}")
    return known[ident]


def _new_or_same(what: str, ident: Ident, record: object, known: Mapping[Ident, object]) -> None:
    there = known.get(ident)
    if there is not None and there != record:
        raise Refusal(
            f"the {what} {ident!r} exists with other content; choose a new id, or restore the old content"
        )


def _allowed(party: Ident, parties: Collection[Ident], what: str, pairing: Pairing) -> None:
    _require(party in parties, f"{what} by {' or '.join(parties)}, not by {party}; it is about {pairing.id}")


def _runs_it(party: Ident, pairing: Pairing, what: str) -> None:
    _allowed(party, (pairing.manufacturer, *pairing.coordinators), what, pairing)


def _workers(party: Ident, pairing: Pairing) -> None:
    _require(party == pairing.plant, f"only the workers of {pairing.plant} report on {pairing.id}")


def _in(pairing: Pairing, phases: Collection[Phase], rule: str) -> None:
    _require(
        pairing.phase in phases,
        f"{rule}; {pairing.id} is {pairing.phase} since {pairing.since:%Y-%m-%d %H:%M} UTC",
    )


def _not_over(pairing: Pairing) -> None:
    _require(pairing.phase not in OVER, f"{pairing.id} is over: it is {pairing.phase}")


def _unpaused(pairing: Pairing) -> None:
    _require(
        not pairing.paused, f"{pairing.plant} is paused; its owner {pairing.manufacturer} resumes it first"
    )


def _something_ran(pairing: Pairing) -> None:
    _require(
        bool(pairing.present()),
        f"nothing has run in {pairing.id}: its start-up {pairing.startup} submits a candidate first, "
        "or the pairing is stopped",
    )


def _owner(party: Ident, plant: Ident, state: Installation) -> None:
    owner = _known("plant", plant, state.plants).owner
    _require(party == owner, f"{plant} is paused and resumed by its owner {owner}")


def _with_role(ident: Ident, role: Role, state: Installation) -> Organisation:
    organisation = _known("organisation", ident, state.organisations)
    _require(role in organisation.roles, f"{ident} is no {role}; register it with that role")
    return organisation


def _fits(assets: Collection[str], inputs: Collection[str], plant: Plant) -> None:
    for what, wanted, there in (
        ("asset", assets, {asset.name for asset in plant.assets}),
        ("tag", inputs, {tag.name for tag in plant.tags}),
    ):
        unknown = [name for name in wanted if name not in there]
        _require(not unknown, f"{plant.id} has no {what} {', '.join(unknown)}")


def _fits_candidates(agreement: Agreement, pairing: Pairing) -> None:
    """What was submitted stays submitted: new terms have to hold it."""
    names = {BASELINES, *(one.name for one in agreement.baselines)}
    taken = sorted(names & {one.id for one in pairing.candidates})
    _require(not taken, f"{', '.join(taken)} is a candidate of {pairing.id}; rename the baseline")
    count, quota = len(pairing.candidates), agreement.quotas.candidates
    _require(
        count <= quota,
        f"{count} candidates of {pairing.id} were submitted; allow at least as many, not {quota}",
    )
    for one in pairing.candidates:
        allowed = agreement.limits.context_rows
        _require(
            one.id in pairing.retired or one.context_rows <= allowed,
            f"{one.id} asks for {one.context_rows} preceding rows; allow as many, not {allowed}, or retire it",
        )


def _from(pairing: Pairing, ends: Mapping[str, Offsets]) -> dict[str, Offsets]:
    return {
        "telemetry_from": ends[topics.telemetry(pairing.plant)],
        "labels_from": ends[topics.labels(pairing.plant)],
    }


# --- the longer judgements --------------------------------------------------------------------------------------------


def _register(party: Ident, organisation: Organisation, state: Installation) -> OrganisationRegistered:
    _require(party == topics.OPERATOR, "only the operator of the installation registers organisations")
    _new_or_same("organisation", organisation.id, organisation, state.organisations)
    taken = organisation.id in state.plants or organisation.id in RESERVED
    _require(not taken, f"the id {organisation.id!r} is taken; choose another")
    return OrganisationRegistered(organisation=organisation)


def _open_programme(party: Ident, programme: Programme, state: Installation) -> ProgrammeOpened:
    for operator in programme.operators:
        _with_role(operator, Role.COORDINATOR, state)
    _require(party in programme.operators, f"{programme.id} is opened by one of its operators")
    _new_or_same("programme", programme.id, programme, state.programmes)
    return ProgrammeOpened(programme=programme)


def _admit(party: Ident, plant: Plant, state: Installation) -> PlantAdmitted:
    _with_role(plant.owner, Role.MANUFACTURER, state)
    _require(party == plant.owner, f"{plant.id} is admitted by its owner {plant.owner}")
    taken = plant.id in state.organisations or plant.id in RESERVED
    _require(not taken, f"the id {plant.id!r} is taken; choose another for the plant")
    _new_or_same("plant", plant.id, plant, state.plants)
    return PlantAdmitted(plant=plant)


def _propose(party: Ident, command: ProposePairing, state: Installation) -> PairingProposed:
    need = _known("need", command.need, state.needs)
    operators = state.programmes[need.programme].operators
    _require(party in operators, f"pairings of {need.programme} are proposed by {', '.join(operators)}")
    _with_role(command.startup, Role.STARTUP, state)
    _require(
        command.pairing not in state.pairings, f"the pairing {command.pairing!r} exists; choose a new id"
    )
    _fits(command.agreement.assets, command.agreement.inputs, state.plants[need.plant])
    return PairingProposed(
        pairing=command.pairing,
        need=command.need,
        startup=command.startup,
        agreement=command.agreement,
        agreement_digest=command.agreement.digest(),
    )


def _consent(party: Ident, command: ConsentToAgreement, pairing: Pairing) -> ConsentGiven:
    _allowed(party, (pairing.manufacturer, pairing.startup), "an agreement is consented to", pairing)
    _in(pairing, (Phase.PROPOSED,), "consent is given while an agreement lies on the table")
    stale = command.agreement_digest != pairing.agreement_digest
    _require(
        not stale,
        f"the agreement on the table of {pairing.id} has the hash {pairing.agreement_digest[:12]}…, "
        f"you consent to {command.agreement_digest[:12]}…; read it again with `fieldproof agreement show`",
    )
    others = ", ".join(one for one in who_acts_next(pairing) if one != party)
    _require(
        not pairing.consented(party),
        f"{party} has consented to the agreement of {pairing.id} already; {others} has to consent next",
    )
    return ConsentGiven(pairing=pairing.id, agreement_digest=command.agreement_digest, person=command.person)


def _start_trial(party: Ident, pairing: Pairing, ends: Mapping[str, Offsets]) -> TrialStarted:
    _runs_it(party, pairing, "the trial is started")
    _in(pairing, (Phase.AGREED,), "a trial begins once both sides have consented")
    _unpaused(pairing)
    wanted = pairing.agreement.phases.rehearsal_rows
    if wanted:
        passed = pairing.rehearsal is not None and pairing.rehearsal.passed
        _require(
            passed,
            f"the agreement of {pairing.id} asks for a rehearsal of {wanted} rows that passed; start one first",
        )
    return TrialStarted(pairing=pairing.id, **_from(pairing, ends))


def _submit(party: Ident, command: SubmitCandidate, pairing: Pairing) -> CandidateSubmitted:
    candidate, limits = command.candidate, pairing.agreement.limits
    _allowed(party, (pairing.startup,), "candidates are submitted", pairing)
    _require(
        candidate.startup == party,
        f"{candidate.id} names {candidate.startup} as its start-up; it has to be {party}",
    )
    _in(
        pairing,
        (Phase.AGREED, Phase.REHEARSING, Phase.RUNNING),
        "candidates are taken from the agreement to the trial's end",
    )
    reserved = candidate.id == BASELINES or candidate.id in {one.name for one in pairing.agreement.baselines}
    _require(not reserved, f"the name {candidate.id!r} is a baseline's; choose another")
    _require(
        pairing.candidate(candidate.id) is None,
        f"{candidate.id!r} is a candidate of {pairing.id} already; submit a new version",
    )
    quota = pairing.agreement.quotas.candidates
    _require(
        len(pairing.candidates) < quota,
        f"the agreement of {pairing.id} allows {quota} candidates and {len(pairing.candidates)} were submitted; "
        "a retired one keeps its place",
    )
    _require(
        candidate.context_rows <= limits.context_rows,
        f"{candidate.id} asks for {candidate.context_rows} preceding rows, "
        f"the agreement of {pairing.id} allows {limits.context_rows}",
    )
    return CandidateSubmitted(pairing=pairing.id, candidate=candidate)
