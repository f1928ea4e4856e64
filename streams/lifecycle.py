"""The life of organisations, plants and pairings: requests are judged against the facts so far, and facts are folded.

`judge` decides and changes nothing; `Installation.fold` takes a decided fact in. Control does both, everyone else only folds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from schemas.base import Ident, Moment, Offsets
from schemas.events import (
    Body,
    CandidateDeployed,
    Fact,
    NeedDeclared,
    OrganisationRegistered,
    PairingConcluded,
    PairingOpened,
    PlantAdmitted,
    ProgrammeOpened,
    RequestRefused,
    TrialEnded,
)
from schemas.pairing import BASELINES, Deployment, Pairing, Phase, deployment_id
from schemas.parties import Need, Organisation, Plant, Programme, Role
from schemas.requests import (
    AdmitPlant,
    Command,
    DeclareNeed,
    EndTrial,
    OpenPairing,
    OpenProgramme,
    RegisterOrganisation,
    ReportConclusion,
    SubmitCandidate,
)
from streams import topics

T = TypeVar("T")


class Refusal(Exception):
    """A request that may not be granted; its text says why and what to do."""


@dataclass(kw_only=True)
class Installation:
    """Everything that the facts so far say."""

    organisations: dict[Ident, Organisation] = field(default_factory=dict)
    programmes: dict[Ident, Programme] = field(default_factory=dict)
    plants: dict[Ident, Plant] = field(default_factory=dict)
    needs: dict[Ident, Need] = field(default_factory=dict)
    pairings: dict[Ident, Pairing] = field(default_factory=dict)
    #: The number of the last fact.
    number: int = 0
    #: Requests that were granted, by party and id.
    granted: dict[tuple[Ident, str], int] = field(default_factory=dict)

    def fold(self, fact: Fact) -> bool:
        """Take the next fact in; any other number is ignored. Gives whether it was the next."""
        if fact.number != self.number + 1:
            return False
        self.number = fact.number
        if not isinstance(fact.body, RequestRefused):
            self.granted[fact.party, fact.request] = fact.number
        self._apply(fact)
        return True

    def _apply(self, fact: Fact) -> None:
        match fact.body:
            case OrganisationRegistered(organisation=organisation):
                self.organisations[organisation.id] = organisation
            case ProgrammeOpened(programme=programme):
                self.programmes[programme.id] = programme
            case PlantAdmitted(plant=plant):
                self.plants[plant.id] = plant
            case NeedDeclared(need=need):
                self.needs[need.id] = need
            case PairingOpened() as opened:
                self.pairings[opened.pairing] = self._opened(opened, fact)
            case CandidateDeployed(pairing=ident, deployment=deployment):
                deployments = (*self.pairings[ident].deployments, deployment)
                self._change(ident, fact, deployments=deployments)
            case TrialEnded(pairing=ident, until=until):
                ended = tuple(
                    one.model_copy(update={"until": until}) for one in self.pairings[ident].deployments
                )
                self._change(ident, fact, deployments=ended, phase=Phase.CLOSING, since=fact.at)
            case PairingConcluded(pairing=ident):
                self._change(ident, fact, phase=Phase.CONCLUDED, since=fact.at)
            case RequestRefused():
                pass

    def _change(self, ident: Ident, fact: Fact, **update: object) -> None:
        self.pairings[ident] = self.pairings[ident].model_copy(update={**update, "fact": fact.number})

    def _opened(self, opened: PairingOpened, fact: Fact) -> Pairing:
        need = self.needs[opened.need]
        plant = self.plants[need.plant]
        names = tuple(baseline.name for baseline in opened.agreement.baselines)
        baselines = Deployment(
            id=deployment_id(opened.pairing, BASELINES),
            subjects=names or (BASELINES,),
            starts=opened.telemetry_from,
        )
        return Pairing(
            id=opened.pairing,
            programme=need.programme,
            need=need.id,
            plant=plant.id,
            manufacturer=plant.owner,
            startup=opened.startup,
            agreement=opened.agreement,
            agreement_digest=opened.agreement_digest,
            phase=Phase.RUNNING,
            since=fact.at,
            telemetry_from=opened.telemetry_from,
            labels_from=opened.labels_from,
            deployments=(baselines,) if names else (),
            simulated=plant.simulated,
            fact=fact.number,
        )


def offsets_needed(command: Command, state: Installation) -> tuple[str, ...]:
    """The topics whose end offsets the judgement of this command has to know."""
    if isinstance(command, OpenPairing) and command.need in state.needs:
        plant = state.needs[command.need].plant
        return topics.telemetry(plant), topics.labels(plant)
    if isinstance(command, EndTrial) and command.pairing in state.pairings:
        return (topics.telemetry(state.pairings[command.pairing].plant),)
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
        case _:
            return command.pairing


def judge(party: Ident, command: Command, state: Installation, *, ends: Mapping[str, Offsets]) -> Body:
    """The fact that a request becomes: what it asks for, or its refusal with a reason.

    Args:
        party: who asks, by the topic that the request came in on.
        command: what is asked for.
        state: the facts so far.
        ends: end offsets of the topics that `offsets_needed` names.
    """
    try:
        return _grant(party, command, state, ends)
    except Refusal as refusal:
        return RequestRefused(command=command.kind, reason=str(refusal))


def _grant(party: Ident, command: Command, state: Installation, ends: Mapping[str, Offsets]) -> Body:
    match command:
        case RegisterOrganisation(organisation=organisation):
            _require(
                party == topics.OPERATOR, "only the operator of the installation registers organisations"
            )
            _new_or_same("organisation", organisation.id, organisation, state.organisations)
            taken = organisation.id in state.plants or organisation.id == topics.OPERATOR
            _require(not taken, f"the id {organisation.id!r} is taken; choose another")
            return OrganisationRegistered(organisation=organisation)
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
        case OpenPairing():
            return _open_pairing(party, command, state, ends)
        case SubmitCandidate():
            return _submit(party, command, state)
        case EndTrial(pairing=ident, reason=reason):
            pairing = _known("pairing", ident, state.pairings)
            operators = state.programmes[pairing.programme].operators
            _require(
                party == pairing.manufacturer or party in operators,
                f"the trial is ended by {pairing.manufacturer} or by a coordinator: {', '.join(operators)}",
            )
            _require(pairing.phase is Phase.RUNNING, f"{ident} is not running; it is {pairing.phase}")
            return TrialEnded(pairing=ident, until=ends[topics.telemetry(pairing.plant)], reason=reason)
        case ReportConclusion(pairing=ident, verdicts=verdicts):
            pairing = _known("pairing", ident, state.pairings)
            _require(party == pairing.plant, f"only the workers of {pairing.plant} report on {ident}")
            _require(pairing.phase is Phase.CLOSING, f"{ident} is not closing; it is {pairing.phase}")
            return PairingConcluded(pairing=ident, verdicts=verdicts)


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise Refusal(reason)


def _known(what: str, ident: Ident, known: Mapping[Ident, T]) -> T:
    if ident not in known:
        there = ", ".join(sorted(known)) or "none yet"
        raise Refusal(f"there is no {what} {ident!r}; known: {there}")
    return known[ident]


def _new_or_same(what: str, ident: Ident, record: object, known: Mapping[Ident, object]) -> None:
    there = known.get(ident)
    if there is not None and there != record:
        raise Refusal(
            f"the {what} {ident!r} exists with other content; choose a new id, or restore the old content"
        )


def _with_role(ident: Ident, role: Role, state: Installation) -> Organisation:
    organisation = _known("organisation", ident, state.organisations)
    _require(role in organisation.roles, f"{ident} is no {role}; give it that role in organisations.yaml")
    return organisation


def _open_programme(party: Ident, programme: Programme, state: Installation) -> ProgrammeOpened:
    for operator in programme.operators:
        _with_role(operator, Role.COORDINATOR, state)
    _require(party in programme.operators, f"{programme.id} is opened by one of its operators")
    _new_or_same("programme", programme.id, programme, state.programmes)
    return ProgrammeOpened(programme=programme)


def _admit(party: Ident, plant: Plant, state: Installation) -> PlantAdmitted:
    _with_role(plant.owner, Role.MANUFACTURER, state)
    _require(party == plant.owner, f"{plant.id} is admitted by its owner {plant.owner}")
    taken = plant.id in state.organisations or plant.id == topics.OPERATOR
    _require(not taken, f"the id {plant.id!r} is an organisation's; choose another for the plant")
    _new_or_same("plant", plant.id, plant, state.plants)
    return PlantAdmitted(plant=plant)


def _open_pairing(
    party: Ident, command: OpenPairing, state: Installation, ends: Mapping[str, Offsets]
) -> PairingOpened:
    need = _known("need", command.need, state.needs)
    operators = state.programmes[need.programme].operators
    _require(party in operators, f"pairings of {need.programme} are opened by {', '.join(operators)}")
    _with_role(command.startup, Role.STARTUP, state)
    _require(
        command.pairing not in state.pairings, f"the pairing {command.pairing!r} exists; choose a new id"
    )
    plant = state.plants[need.plant]
    for what, wanted, there in (
        ("asset", command.agreement.assets, {asset.name for asset in plant.assets}),
        ("tag", command.agreement.inputs, {tag.name for tag in plant.tags}),
    ):
        unknown = [name for name in wanted if name not in there]
        _require(not unknown, f"{plant.id} has no {what} {', '.join(unknown)}")
    return PairingOpened(
        pairing=command.pairing,
        need=command.need,
        startup=command.startup,
        agreement=command.agreement,
        agreement_digest=command.agreement.digest(),
        telemetry_from=ends[topics.telemetry(plant.id)],
        labels_from=ends[topics.labels(plant.id)],
    )


def _submit(party: Ident, command: SubmitCandidate, state: Installation) -> CandidateDeployed:
    pairing = _known("pairing", command.pairing, state.pairings)
    candidate = command.candidate
    _require(party == pairing.startup, f"candidates of {pairing.id} are submitted by {pairing.startup}")
    _require(
        candidate.startup == party,
        f"the candidate names {candidate.startup} as its start-up; it has to be {party}",
    )
    _require(pairing.phase is Phase.RUNNING, f"{pairing.id} takes no more candidates; it is {pairing.phase}")
    ident = deployment_id(pairing.id, candidate.id)
    reserved = candidate.id == BASELINES or candidate.id in {one.name for one in pairing.agreement.baselines}
    _require(not reserved, f"the name {candidate.id!r} is a baseline's; choose another")
    _require(
        pairing.deployment(ident) is None,
        f"{candidate.id!r} runs in {pairing.id} already; submit a new version",
    )
    allowed = pairing.agreement.limits.context_rows
    _require(
        candidate.context_rows <= allowed,
        f"the model asks for {candidate.context_rows} preceding rows, the agreement allows {allowed}",
    )
    # Every candidate begins where the pairing does: all of them see the same rows, the log is their queue.
    return CandidateDeployed(
        pairing=pairing.id,
        deployment=Deployment(
            id=ident, subjects=(candidate.id,), candidate=candidate, starts=pairing.telemetry_from
        ),
    )


def fact_of(body: Body, *, number: int, at: Moment, party: Ident, request: str, about: str) -> Fact:
    """A decided body as the next fact."""
    return Fact(number=number, at=at, party=party, request=request, subject=about, body=body)
