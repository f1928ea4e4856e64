"""The fold of the facts: organisations, plants and pairings as they stand now.

Everyone folds the same facts to the same state; only control decides what becomes one (`streams.judgement`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import ValidationError

from schemas.base import Ident, Moment, Offsets, PublicKey
from schemas.events import (
    AgreementAmended,
    AuditReported,
    Body,
    CandidateResumed,
    CandidateRetired,
    CandidateReturned,
    CandidateSubmitted,
    CapacityReported,
    ConsentGiven,
    DeploymentEnded,
    DeploymentStarted,
    DeploymentSuspended,
    ErasureOrdered,
    Fact,
    FollowUpRecorded,
    KeyPublished,
    NeedDeclared,
    ObjectionPeriodOpened,
    ObjectionRaised,
    ObjectionResolved,
    OrganisationRegistered,
    PairingConcluded,
    PairingErased,
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
from schemas.pairing import (
    BASELINES,
    Amendment,
    Candidate,
    Consent,
    Deployment,
    DeploymentPhase,
    Objection,
    Pairing,
    Phase,
    deployment_id,
)
from schemas.parties import Capacity, Need, Organisation, Plant, Programme


@dataclass(kw_only=True)
class Installation:
    """Everything that the facts so far say."""

    organisations: dict[Ident, Organisation] = field(default_factory=dict)
    programmes: dict[Ident, Programme] = field(default_factory=dict)
    plants: dict[Ident, Plant] = field(default_factory=dict)
    needs: dict[Ident, Need] = field(default_factory=dict)
    pairings: dict[Ident, Pairing] = field(default_factory=dict)
    #: Plants whose telemetry is paused, and why.
    paused: dict[Ident, PlantPaused] = field(default_factory=dict)
    #: What the machines of plants can carry, as they reported last.
    capacities: dict[Ident, Capacity] = field(default_factory=dict)
    #: The keys under which evidence is signed, of plants and of control (`operator`).
    keys: dict[Ident, PublicKey] = field(default_factory=dict)
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

    def touched(self, body: Body) -> list[Pairing]:
        """The pairings that a fact has changed, as they stand now."""
        if isinstance(body, PlantPaused | PlantResumed):
            return [one for one in self.pairings.values() if one.plant == body.plant]
        found = self.pairings.get(getattr(body, "pairing", ""))
        return [found] if found is not None else []

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
            case PlantPaused(plant=plant_id) | PlantResumed(plant=plant_id):
                self._pause(plant_id, fact)
            case PairingProposed() as proposed:
                self.pairings[proposed.pairing] = self._proposed(proposed, fact)
            case CapacityReported(plant=plant_id, capacity=capacity):
                self.capacities[plant_id] = capacity
            case KeyPublished(holder=holder, key=key):
                self.keys[holder] = key
            case RequestRefused():
                pass
            case body:
                self.pairings[body.pairing] = changed(self.pairings[body.pairing], fact)

    def _pause(self, plant: Ident, fact: Fact) -> None:
        if isinstance(fact.body, PlantPaused):
            self.paused[plant] = fact.body
        else:
            self.paused.pop(plant, None)
        for ident, pairing in self.pairings.items():
            if pairing.plant == plant:
                step = {**self._stands(plant), "fact": fact.number}
                self.pairings[ident] = pairing.model_copy(update=step)

    def _stands(self, plant: Ident) -> dict[str, bool]:
        """Whether a plant is paused, and its labels too."""
        paused = self.paused.get(plant)
        return {"paused": paused is not None, "held": paused is not None and paused.rejections is not None}

    def _proposed(self, proposed: PairingProposed, fact: Fact) -> Pairing:
        need = self.needs[proposed.need]
        plant = self.plants[need.plant]
        pairing = Pairing(
            id=proposed.pairing,
            programme=need.programme,
            need=need.id,
            plant=plant.id,
            manufacturer=plant.owner,
            startup=proposed.startup,
            coordinators=self.programmes[need.programme].operators,
            agreement=proposed.agreement,
            agreement_digest=proposed.agreement_digest,
            phase=Phase.PROPOSED,
            since=fact.at,
            why="proposed",
            due=later(fact.at, proposed.agreement.respond_days),
            **self._stands(plant.id),
            simulated=plant.simulated,
            progress_at=fact.at,
            fact=fact.number,
        )
        return pairing.model_copy(update={"waits_for": who_acts_next(pairing)})


def fact_in(value: bytes | None) -> Fact | None:
    """The fact in a message; None where it holds none. Control alone writes facts: what is none has no number either."""
    try:
        return Fact.model_validate_json(value or b"")
    except ValidationError:
        return None


#: Phases with whose beginning a pairing's measurement is over.
CLOSES = frozenset({Phase.CONCLUDED, Phase.STOPPED, Phase.WITHDRAWN, Phase.EXPIRED})


def later(at: Moment, days: float) -> datetime:
    """So many days after a moment."""
    return at + timedelta(days=days)


def changed(pairing: Pairing, fact: Fact) -> Pairing:
    """The pairing after a fact about it."""
    step = {"progress": fact.body.kind, "progress_at": fact.at, "fact": fact.number}
    after = pairing.model_copy(update={**_update(pairing, fact), **step})
    return after.model_copy(update={"waits_for": who_acts_next(after)})


def who_acts_next(pairing: Pairing) -> tuple[Ident, ...]:
    """The parties that a pairing waits for; none where it waits for time or for its workers."""
    match pairing.phase:
        case Phase.PROPOSED:
            return _sides_to_consent(pairing)
        case Phase.AGREED if not any(pairing.runs(one) for one in pairing.candidates):
            return (pairing.startup,)
        case Phase.RUNNING if pairing.amendment is not None:
            return _sides_to_consent(pairing)
        case Phase.AGREED | Phase.REHEARSING | Phase.RUNNING | Phase.CLOSING:
            return (pairing.manufacturer,)
        case Phase.OBJECTION_PERIOD if any(one.resolution is None for one in pairing.objections):
            return pairing.coordinators
        case Phase.SETTLED:
            return pairing.coordinators
        case _:
            return ()


def _sides_to_consent(pairing: Pairing) -> tuple[Ident, ...]:
    return tuple(party for party in (pairing.manufacturer, pairing.startup) if not pairing.consented(party))


def _update(pairing: Pairing, fact: Fact) -> dict[str, object]:
    match fact.body:
        case AgreementAmended() as body:
            return _amended(pairing, body, fact)
        case ConsentGiven() as body:
            return _consent(pairing, body, fact)
        case RehearsalStarted(telemetry_from=telemetry, labels_from=labels):
            count = pairing.rehearsals + 1
            started = pairing.model_copy(
                update={"telemetry_from": telemetry, "labels_from": labels, "rehearsals": count}
            )
            return {
                "rehearsals": count,
                **_deploy(started, "rehearsal"),
                **_enter(Phase.REHEARSING, fact, "the rehearsal runs"),
            }
        case RehearsalEnded(until=until):
            return {"deployments": _until(pairing, until), "why": "the rehearsal is being looked at"}
        case RehearsalReported(rehearsal=rehearsal):
            why = "the rehearsal passed" if rehearsal.passed else "the rehearsal did not pass"
            return {
                "rehearsal": rehearsal,
                **_enter(Phase.AGREED, fact, why, days=pairing.agreement.respond_days),
            }
        case TrialStarted(telemetry_from=telemetry, labels_from=labels):
            count = pairing.trials + 1
            started = pairing.model_copy(
                update={"telemetry_from": telemetry, "labels_from": labels, "trials": count}
            )
            return {
                "trials": count,
                **_deploy(started, "trial"),
                **_enter(Phase.RUNNING, fact, "the trial runs"),
            }
        case CandidateSubmitted(candidate=candidate):
            return _submitted(pairing, candidate)
        case CandidateRetired(candidate=ident, until=until):
            retired = (*pairing.retired, ident)
            return {"retired": retired, "deployments": _until(pairing, until, only=ident)}
        case CandidateReturned(candidate=ident):
            return {
                "returned": (*pairing.returned, ident),
                "deployments": tuple(one for one in pairing.deployments if not _never_ran(one, ident)),
            }
        case CandidateResumed(candidate=ident):
            return {"deployments": _each(pairing, {"suspended": None}, of=ident)}
        case DeploymentStarted() | DeploymentEnded() | DeploymentSuspended() as body:
            return {"deployments": _reported(pairing, body, fact.at)}
        case AuditReported(alarms=alarms):
            return {"alarms": alarms}
        case ErasureOrdered(parts=parts):
            return {"erasing": (*pairing.erasing, *(one for one in parts if one not in pairing.erasing))}
        case PairingErased(erasure=erasure):
            return {"erasure": erasure}
        case _:
            return _ending(pairing, fact)


def _amended(pairing: Pairing, body: AgreementAmended, fact: Fact) -> dict[str, object]:
    """Before the trial the new agreement takes the table; a trial that runs goes on until both have consented to it."""
    if pairing.phase is Phase.RUNNING:
        revision = (pairing.amendment.revision if pairing.amendment else pairing.revision) + 1
        amendment = Amendment(
            agreement=body.agreement,
            agreement_digest=body.agreement_digest,
            revision=revision,
            reason=body.reason,
        )
        return {"amendment": amendment, "why": body.reason}
    return {
        "agreement": body.agreement,
        "agreement_digest": body.agreement_digest,
        "revision": pairing.revision + 1,
        "rehearsal": None,
        **_enter(Phase.PROPOSED, fact, body.reason, days=body.agreement.respond_days),
    }


def _never_ran(deployment: Deployment, candidate: Ident) -> bool:
    return candidate in deployment.subjects and deployment.started is None


def _each(pairing: Pairing, update: dict[str, object], *, of: Ident) -> tuple[Deployment, ...]:
    """The deployments, those of one candidate changed."""
    return tuple(one.model_copy(update=update) if of in one.subjects else one for one in pairing.deployments)


def _reported(
    pairing: Pairing, body: DeploymentStarted | DeploymentEnded | DeploymentSuspended, at: Moment
) -> tuple[Deployment, ...]:
    """The deployments, one changed by what its worker reported."""

    def after(one: Deployment) -> dict[str, object]:
        match body:
            case DeploymentStarted(sandbox=sandbox):
                return {"started": one.started or at, "sandbox": sandbox, "loads": one.loads + 1}
            case DeploymentEnded():
                return {"ended": at}
            case DeploymentSuspended(fault=fault):
                return {"suspended": fault}

    return tuple(
        one.model_copy(update=after(one)) if one.id == body.deployment else one for one in pairing.deployments
    )


def _ending(pairing: Pairing, fact: Fact) -> dict[str, object]:
    match fact.body:
        case TrialEnded(until=until, reason=reason):
            return {"deployments": _until(pairing, until), **_enter(Phase.CLOSING, fact, reason)}
        case PairingConcluded(verdicts=verdicts):
            return {"verdicts": verdicts, **_enter(Phase.CONCLUDED, fact, "the verdicts have fallen")}
        case ObjectionPeriodOpened(until=until):
            return {**_enter(Phase.OBJECTION_PERIOD, fact, "both sides may object"), "due": until}
        case ObjectionRaised() as body:
            objection = Objection(
                id=body.objection, party=fact.party, person=body.person, reason=body.reason, at=fact.at
            )
            return {"objections": (*pairing.objections, objection), "why": "an objection is open"}
        case ObjectionResolved() as body:
            return {
                "objections": _resolved(pairing.objections, body),
                "why": f"an objection was {body.resolution}",
            }
        case PairingSettled():
            return _enter(Phase.SETTLED, fact, "the objection period is over")
        case FollowUpRecorded(outcome=outcome, note=note):
            return _enter(Phase.FOLLOWED_UP, fact, f"{outcome}: {note}" if note else outcome)
        case PairingStopped(until=until, reason=reason):
            return {"deployments": _until(pairing, until), **_enter(Phase.STOPPED, fact, reason)}
        case PairingWithdrawn(until=until, reason=reason):
            return {"deployments": _until(pairing, until), **_enter(Phase.WITHDRAWN, fact, reason)}
        case PairingExpired(waited_for=waited_for):
            return _enter(Phase.EXPIRED, fact, f"{', '.join(waited_for)} did not act in time")
        case body:
            raise AssertionError(f"{body.kind} is not about a pairing")


def _enter(phase: Phase, fact: Fact, why: str, *, days: float | None = None) -> dict[str, object]:
    due = later(fact.at, days) if days is not None else None
    entered: dict[str, object] = {
        "phase": phase,
        "since": fact.at,
        "why": why,
        "due": due,
        "amendment": None,
    }
    return entered | ({"closed_at": fact.at} if phase in CLOSES else {})


def _consent(pairing: Pairing, body: ConsentGiven, fact: Fact) -> dict[str, object]:
    amendment = pairing.amendment
    consent = Consent(
        party=fact.party,
        person=body.person,
        at=fact.at,
        agreement_digest=body.agreement_digest,
        revision=pairing.revision if amendment is None else amendment.revision,
    )
    after = pairing.model_copy(update={"consents": (*pairing.consents, consent)})
    if _sides_to_consent(after):
        return {"consents": after.consents, "why": f"{fact.party} has consented"}
    if amendment is None:
        why = "both sides have consented"
        days = pairing.agreement.respond_days
        return {"consents": after.consents, **_enter(Phase.AGREED, fact, why, days=days)}
    why = "both sides have consented to other terms: a new trial has to begin"
    return {
        "consents": after.consents,
        "agreement": amendment.agreement,
        "agreement_digest": amendment.agreement_digest,
        "revision": amendment.revision,
        "rehearsal": None,
        "deployments": _until(pairing, body.until or {}),
        **_enter(Phase.AGREED, fact, why, days=amendment.agreement.respond_days),
    }


def _deploy(pairing: Pairing, phase: DeploymentPhase) -> dict[str, object]:
    """The baselines and every candidate that was submitted, from the phase's first offsets on."""
    names = tuple(baseline.name for baseline in pairing.agreement.baselines)
    deployed = [_baselines(pairing, names, phase)] if names else []
    deployed += [_of(pairing, one, phase) for one in pairing.candidates if pairing.runs(one)]
    return {
        "telemetry_from": pairing.telemetry_from,
        "labels_from": pairing.labels_from,
        "deployments": (*pairing.deployments, *deployed),
    }


def _baselines(pairing: Pairing, names: tuple[str, ...], phase: DeploymentPhase) -> Deployment:
    return Deployment(
        id=_ident(pairing, BASELINES, phase),
        phase=phase,
        round=_round(pairing, phase),
        subjects=names,
        starts=pairing.telemetry_from,
    )


def _of(pairing: Pairing, candidate: Candidate, phase: DeploymentPhase) -> Deployment:
    return Deployment(
        id=_ident(pairing, candidate.id, phase),
        phase=phase,
        round=_round(pairing, phase),
        subjects=(candidate.id,),
        candidate=candidate,
        starts=pairing.telemetry_from,
    )


def _ident(pairing: Pairing, name: str, phase: DeploymentPhase) -> str:
    if phase == "rehearsal":
        return deployment_id(pairing.id, name, rehearsal=pairing.rehearsals)
    return deployment_id(pairing.id, name, trial=pairing.trials)


def _round(pairing: Pairing, phase: DeploymentPhase) -> int:
    return pairing.rehearsals if phase == "rehearsal" else pairing.trials


def _submitted(pairing: Pairing, candidate: Candidate) -> dict[str, object]:
    phases: dict[Phase, DeploymentPhase] = {Phase.REHEARSING: "rehearsal", Phase.RUNNING: "trial"}
    now = phases.get(pairing.phase)
    # A rehearsal that is being looked at takes no more: it would never end.
    joins = now is not None and not pairing.rehearsed()
    deployed = (_of(pairing, candidate, now),) if now is not None and joins else ()
    return {
        "candidates": (*pairing.candidates, candidate),
        "deployments": (*pairing.deployments, *deployed),
    }


def _until(pairing: Pairing, until: Offsets, *, only: Ident | None = None) -> tuple[Deployment, ...]:
    """The deployments with their end fixed where it is not yet; only those of one candidate where one is named."""

    def ends(one: Deployment) -> bool:
        return one.until is None and (only is None or only in one.subjects)

    return tuple(one.model_copy(update={"until": until}) if ends(one) else one for one in pairing.deployments)


def _resolved(objections: tuple[Objection, ...], body: ObjectionResolved) -> tuple[Objection, ...]:
    decided = {"resolution": body.resolution, "resolution_reason": body.reason}
    return tuple(one.model_copy(update=decided) if one.id == body.objection else one for one in objections)
