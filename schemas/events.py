"""Facts: what control has decided, numbered without a gap and never changed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.agreement import Agreement
from schemas.base import Digest, Ident, Moment, Offsets, PublicKey, Record
from schemas.erasure import Erasure, Part
from schemas.evaluation import Outcome
from schemas.faults import Fault
from schemas.pairing import Candidate, Phase, Rehearsal
from schemas.parties import Capacity, Need, Organisation, Plant, Programme
from schemas.rejected import Rejections
from schemas.words import Phrase


class OrganisationRegistered(Record):
    kind: Literal["organisation_registered"] = "organisation_registered"
    organisation: Organisation


class ProgrammeOpened(Record):
    kind: Literal["programme_opened"] = "programme_opened"
    programme: Programme


class PlantAdmitted(Record):
    kind: Literal["plant_admitted"] = "plant_admitted"
    plant: Plant


class NeedDeclared(Record):
    kind: Literal["need_declared"] = "need_declared"
    need: Need


class PairingProposed(Record):
    """A pairing lies on the table, with its agreement."""

    kind: Literal["pairing_proposed"] = "pairing_proposed"
    pairing: Ident
    need: Ident
    startup: Ident
    agreement: Agreement
    agreement_digest: Digest


class AgreementAmended(Record):
    """Another agreement lies on the table; earlier consents are to another hash. A trial that runs goes on meanwhile."""

    kind: Literal["agreement_amended"] = "agreement_amended"
    pairing: Ident
    agreement: Agreement
    agreement_digest: Digest
    reason: str


class ConsentGiven(Record):
    """One side has consented to the agreement of that hash; with both it is agreed."""

    kind: Literal["consent_given"] = "consent_given"
    pairing: Ident
    agreement_digest: Digest
    person: str
    #: Where a trial ended by it, because both sides have now consented to amend the agreement on the way.
    until: Offsets | None = None


class RehearsalStarted(Record):
    kind: Literal["rehearsal_started"] = "rehearsal_started"
    pairing: Ident
    telemetry_from: Offsets
    labels_from: Offsets


class RehearsalEnded(Record):
    kind: Literal["rehearsal_ended"] = "rehearsal_ended"
    pairing: Ident
    until: Offsets


class RehearsalReported(Record):
    """What the rehearsal showed; the trial may start where it passed."""

    kind: Literal["rehearsal_reported"] = "rehearsal_reported"
    pairing: Ident
    rehearsal: Rehearsal


class TrialStarted(Record):
    """The trial runs: its baselines, and every candidate that comes, from these offsets on."""

    kind: Literal["trial_started"] = "trial_started"
    pairing: Ident
    telemetry_from: Offsets
    labels_from: Offsets


class CandidateSubmitted(Record):
    """A candidate is frozen; where a rehearsal or trial runs, it runs from its first frame on."""

    kind: Literal["candidate_submitted"] = "candidate_submitted"
    pairing: Ident
    candidate: Candidate


class CandidateRetired(Record):
    kind: Literal["candidate_retired"] = "candidate_retired"
    pairing: Ident
    candidate: Ident
    until: Offsets
    reason: str


class CandidateReturned(Record):
    """The platform could not run a candidate: what it was to run is taken back, and its place in the quota is free."""

    kind: Literal["candidate_returned"] = "candidate_returned"
    pairing: Ident
    candidate: Ident
    reason: str


class CandidateResumed(Record):
    """A suspended candidate is tried again."""

    kind: Literal["candidate_resumed"] = "candidate_resumed"
    pairing: Ident
    candidate: Ident
    reason: str


class DeploymentStarted(Record):
    """A deployment's model is loaded and takes frames; a fact at each load."""

    kind: Literal["deployment_started"] = "deployment_started"
    pairing: Ident
    deployment: str
    sandbox: str
    load_ms: int


class DeploymentEnded(Record):
    """Every frame that was due for a deployment has its outcome."""

    kind: Literal["deployment_ended"] = "deployment_ended"
    pairing: Ident
    deployment: str


class DeploymentSuspended(Record):
    """A candidate is given no frames any more, after repeated faults: they fail until it is resumed."""

    kind: Literal["deployment_suspended"] = "deployment_suspended"
    pairing: Ident
    deployment: str
    fault: Fault


class AuditReported(Record):
    """Whether a pairing's measurement is whole; every alarm is a reason to doubt its scores."""

    kind: Literal["audit_reported"] = "audit_reported"
    pairing: Ident
    alarms: tuple[str, ...]


class ErasureOrdered(Record):
    """These parts of a pairing's records are to be deleted: its owner wants it, or the agreement's time is over."""

    kind: Literal["erasure_ordered"] = "erasure_ordered"
    pairing: Ident
    parts: tuple[Part, ...]


class PairingErased(Record):
    """What of a pairing's records is gone, and what cannot go yet; again whenever more has gone."""

    kind: Literal["pairing_erased"] = "pairing_erased"
    pairing: Ident
    erasure: Erasure


class CapacityReported(Record):
    """What the machine that runs a plant's candidates can carry."""

    kind: Literal["capacity_reported"] = "capacity_reported"
    plant: Ident
    capacity: Capacity


class TrialEnded(Record):
    kind: Literal["trial_ended"] = "trial_ended"
    pairing: Ident
    until: Offsets
    reason: str


class PairingConcluded(Record):
    """The ledger is closed and the verdicts have fallen."""

    kind: Literal["pairing_concluded"] = "pairing_concluded"
    pairing: Ident
    verdicts: dict[str, Outcome]


class ObjectionPeriodOpened(Record):
    """Both sides may object until then."""

    kind: Literal["objection_period_opened"] = "objection_period_opened"
    pairing: Ident
    until: Moment


class ObjectionRaised(Record):
    kind: Literal["objection_raised"] = "objection_raised"
    pairing: Ident
    objection: str
    person: str
    reason: str


class ObjectionResolved(Record):
    kind: Literal["objection_resolved"] = "objection_resolved"
    pairing: Ident
    objection: str
    resolution: Literal["upheld", "dismissed"]
    reason: str


class PairingSettled(Record):
    """The objection period is over and no objection is open."""

    kind: Literal["pairing_settled"] = "pairing_settled"
    pairing: Ident


class FollowUpRecorded(Record):
    kind: Literal["follow_up_recorded"] = "follow_up_recorded"
    pairing: Ident
    outcome: Literal["contract", "regional_settlement", "investment", "another_trial", "none"]
    note: str


class PairingStopped(Record):
    """Broken off by the plant or a coordinator; what ran ends at these offsets, and there is no verdict."""

    kind: Literal["pairing_stopped"] = "pairing_stopped"
    pairing: Ident
    until: Offsets
    reason: str


class PairingWithdrawn(Record):
    """Left by the start-up; what ran ends at these offsets, and there is no verdict."""

    kind: Literal["pairing_withdrawn"] = "pairing_withdrawn"
    pairing: Ident
    until: Offsets
    reason: str


class PairingExpired(Record):
    """Whoever had to act did not act in time."""

    kind: Literal["pairing_expired"] = "pairing_expired"
    pairing: Ident
    phase: Phase
    waited_for: tuple[Ident, ...]


class KeyPublished(Record):
    """Evidence of a plant, or of control, is signed under this key from now on; agreements keep the keys that they seal."""

    kind: Literal["key_published"] = "key_published"
    holder: Ident
    key: PublicKey


class PlantPaused(Record):
    """No candidate is given a frame until the plant's owner resumes it; where too much was rejected, labels wait too."""

    kind: Literal["plant_paused"] = "plant_paused"
    plant: Ident
    reason: str
    #: Where nobody asked for it: too much of what the plant sent had to be rejected. Only its owner is told what.
    rejections: Rejections | None = None


class PlantResumed(Record):
    kind: Literal["plant_resumed"] = "plant_resumed"
    plant: Ident


class RequestRefused(Record):
    """A request that changes nothing, and why, in words that its sender can act on."""

    kind: Literal["request_refused"] = "request_refused"
    command: str
    reason: str
    #: The same in Korean.
    reason_ko: str | None = None

    @property
    def why(self) -> Phrase:
        """The reason in both languages; in English alone where an earlier version refused."""
        return Phrase(self.reason, self.reason_ko or self.reason)


Body = Annotated[
    OrganisationRegistered
    | ProgrammeOpened
    | PlantAdmitted
    | NeedDeclared
    | PairingProposed
    | AgreementAmended
    | ConsentGiven
    | RehearsalStarted
    | RehearsalEnded
    | RehearsalReported
    | TrialStarted
    | CandidateSubmitted
    | CandidateRetired
    | TrialEnded
    | PairingConcluded
    | ObjectionPeriodOpened
    | ObjectionRaised
    | ObjectionResolved
    | PairingSettled
    | FollowUpRecorded
    | PairingStopped
    | PairingWithdrawn
    | PairingExpired
    | PlantPaused
    | PlantResumed
    | CandidateReturned
    | CandidateResumed
    | DeploymentStarted
    | DeploymentEnded
    | DeploymentSuspended
    | AuditReported
    | ErasureOrdered
    | PairingErased
    | CapacityReported
    | KeyPublished
    | RequestRefused,
    Field(discriminator="kind"),
]


class Fact(Record):
    """One fact. Readers ignore any number but the next."""

    number: int = Field(ge=1)
    at: Moment
    #: The party whose request it answers, and that request's id; `clock` where time alone made it.
    party: Ident
    request: str
    #: The organisation, programme, plant, need or pairing that it is about.
    subject: str
    body: Body
