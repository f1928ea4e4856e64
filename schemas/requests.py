"""Requests: what a party asks for. Who asked is the topic that a request came in on, never a name in its body."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.agreement import Agreement
from schemas.base import Digest, Ident, Moment, PublicKey, Record
from schemas.erasure import Erasure
from schemas.evaluation import Outcome
from schemas.faults import Fault
from schemas.pairing import Candidate, Rehearsal
from schemas.parties import Capacity, Need, Organisation, Plant, Programme
from schemas.rejected import Rejections


class RegisterOrganisation(Record):
    """Makes an organisation known. Asked by the installation's operator."""

    kind: Literal["register_organisation"] = "register_organisation"
    organisation: Organisation


class OpenProgramme(Record):
    """Opens a programme. Asked by a coordinator that operates it."""

    kind: Literal["open_programme"] = "open_programme"
    programme: Programme


class AdmitPlant(Record):
    """Admits a plant. Asked by the manufacturer that owns it."""

    kind: Literal["admit_plant"] = "admit_plant"
    plant: Plant


class DeclareNeed(Record):
    """Declares a need of a plant. Asked by the manufacturer that owns the plant."""

    kind: Literal["declare_need"] = "declare_need"
    need: Need


Person = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=2000)]


class ProposePairing(Record):
    """Puts a pairing with its agreement on the table. Asked by a coordinator that operates the need's programme."""

    kind: Literal["propose_pairing"] = "propose_pairing"
    pairing: Ident
    need: Ident
    startup: Ident
    agreement: Agreement


class AmendAgreement(Record):
    """Puts another agreement on the table; both sides have to consent anew. Asked by a coordinator or either side.

    A trial that runs goes on under the present agreement until both have consented; then a new trial begins.
    """

    kind: Literal["amend_agreement"] = "amend_agreement"
    pairing: Ident
    agreement: Agreement
    reason: Reason


class ConsentToAgreement(Record):
    """Consents to the agreement of that hash. Asked by the manufacturer and by the start-up."""

    kind: Literal["consent_to_agreement"] = "consent_to_agreement"
    pairing: Ident
    agreement_digest: Digest
    #: Who signs.
    person: Person


class StartRehearsal(Record):
    """Begins the rehearsal: frames from now on are answered and scored, and do not count. Asked by the manufacturer or a coordinator."""

    kind: Literal["start_rehearsal"] = "start_rehearsal"
    pairing: Ident


class EndRehearsal(Record):
    """Ends the rehearsal; what was sent until now is looked at. Asked by the manufacturer or a coordinator.

    The plant's workers ask it where the agreed number of rows has come.
    """

    kind: Literal["end_rehearsal"] = "end_rehearsal"
    pairing: Ident


class StartTrial(Record):
    """Begins the trial: frames from now on are due. Asked by the manufacturer or a coordinator."""

    kind: Literal["start_trial"] = "start_trial"
    pairing: Ident


class SubmitCandidate(Record):
    """Submits a candidate. In a trial it runs from the trial's first frame on. Asked by the pairing's start-up."""

    kind: Literal["submit_candidate"] = "submit_candidate"
    pairing: Ident
    candidate: Candidate


class RetireCandidate(Record):
    """Takes a candidate out: what it answered until now stays counted. Asked by the pairing's start-up."""

    kind: Literal["retire_candidate"] = "retire_candidate"
    pairing: Ident
    candidate: Ident
    reason: Reason


class ResumeCandidate(Record):
    """Has a suspended candidate tried again. Asked by the manufacturer or a coordinator."""

    kind: Literal["resume_candidate"] = "resume_candidate"
    pairing: Ident
    candidate: Ident
    reason: Reason


class EndTrial(Record):
    """Ends the telemetry of a trial; what was sent until now is due. Asked by its manufacturer or a coordinator."""

    kind: Literal["end_trial"] = "end_trial"
    pairing: Ident
    reason: Reason = "the planned trial is over"


class StopPairing(Record):
    """Breaks a pairing off: there will be no verdict. Asked by its manufacturer or a coordinator."""

    kind: Literal["stop_pairing"] = "stop_pairing"
    pairing: Ident
    reason: Reason


class WithdrawPairing(Record):
    """Leaves a pairing: there will be no verdict. Asked by its start-up."""

    kind: Literal["withdraw_pairing"] = "withdraw_pairing"
    pairing: Ident
    reason: Reason


class ObjectToVerdict(Record):
    """Objects to the verdict within the objection period. Asked by the manufacturer or the start-up."""

    kind: Literal["object_to_verdict"] = "object_to_verdict"
    pairing: Ident
    person: Person
    reason: Reason


class ResolveObjection(Record):
    """Decides on an objection. Asked by a coordinator."""

    kind: Literal["resolve_objection"] = "resolve_objection"
    pairing: Ident
    objection: str
    resolution: Literal["upheld", "dismissed"]
    reason: Reason


class RecordFollowUp(Record):
    """Records what came of a settled pairing. Asked by a coordinator."""

    kind: Literal["record_follow_up"] = "record_follow_up"
    pairing: Ident
    outcome: Literal["contract", "regional_settlement", "investment", "another_trial", "none"]
    note: str = ""


class PublishKey(Record):
    """Makes the key known under which evidence is signed. Asked by a plant's owner, and by the operator for control."""

    kind: Literal["publish_key"] = "publish_key"
    #: A plant, or `operator` for control.
    holder: Ident
    key: PublicKey


class PausePlant(Record):
    """Pauses a plant's telemetry: no candidate is given a frame until it is resumed. Asked by the plant's owner."""

    kind: Literal["pause_plant"] = "pause_plant"
    plant: Ident
    reason: Reason


class ResumePlant(Record):
    """Goes on where the plant was paused. Asked by the plant's owner."""

    kind: Literal["resume_plant"] = "resume_plant"
    plant: Ident


class ReportRehearsal(Record):
    """Tells what a rehearsal showed. Asked by the plant's scorer."""

    kind: Literal["report_rehearsal"] = "report_rehearsal"
    pairing: Ident
    rehearsal: Rehearsal


class ReportConclusion(Record):
    """Tells that a pairing's ledger is closed, with its verdicts. Asked by the plant's scorer."""

    kind: Literal["report_conclusion"] = "report_conclusion"
    pairing: Ident
    verdicts: dict[str, Outcome]


class ReportStarted(Record):
    """Tells that a deployment's model is loaded and takes frames; again at each load. Asked by the plant's workers."""

    kind: Literal["report_started"] = "report_started"
    pairing: Ident
    deployment: str
    sandbox: str
    load_ms: int = Field(default=0, ge=0)


class ReportEnded(Record):
    """Tells that every frame due for a deployment has its outcome. Asked by the plant's scorer."""

    kind: Literal["report_ended"] = "report_ended"
    pairing: Ident
    deployment: str


class ReportSuspended(Record):
    """Tells that a candidate is given no frames any more, after repeated faults. Asked by the plant's workers."""

    kind: Literal["report_suspended"] = "report_suspended"
    pairing: Ident
    deployment: str
    fault: Fault


class ReturnCandidate(Record):
    """Gives a candidate back that the platform could not run; it costs no place. Asked by the plant's workers."""

    kind: Literal["return_candidate"] = "return_candidate"
    pairing: Ident
    candidate: Ident
    reason: Reason


class ReportAudit(Record):
    """Tells whether a pairing's measurement is whole. Asked by the plant's scorer."""

    kind: Literal["report_audit"] = "report_audit"
    pairing: Ident
    alarms: tuple[Reason, ...] = ()


class EraseRecords(Record):
    """Has a pairing's records deleted: telemetry, ledger, files of candidates. Asked by the plant's owner.

    Only once it is settled or broken off. Evaluations, verdicts and facts stay, and hashes of what is gone.
    """

    kind: Literal["erase_records"] = "erase_records"
    pairing: Ident


class ReportErased(Record):
    """Tells what of a pairing's records is gone, and what cannot go yet. Asked by the plant's workers."""

    kind: Literal["report_erased"] = "report_erased"
    pairing: Ident
    erasure: Erasure


class ReportCapacity(Record):
    """Tells what the machine that runs a plant's candidates can carry. Asked by the plant's workers."""

    kind: Literal["report_capacity"] = "report_capacity"
    plant: Ident
    capacity: Capacity


class ReportRejections(Record):
    """Tells that too much of what a plant sends has to be rejected: it is paused. Asked by the plant's workers."""

    kind: Literal["report_rejections"] = "report_rejections"
    plant: Ident
    rejections: Rejections


Command = Annotated[
    RegisterOrganisation
    | OpenProgramme
    | AdmitPlant
    | DeclareNeed
    | ProposePairing
    | AmendAgreement
    | ConsentToAgreement
    | StartRehearsal
    | EndRehearsal
    | StartTrial
    | SubmitCandidate
    | RetireCandidate
    | EndTrial
    | StopPairing
    | WithdrawPairing
    | ObjectToVerdict
    | ResolveObjection
    | RecordFollowUp
    | PausePlant
    | ResumePlant
    | ReportRehearsal
    | ReportConclusion
    | ResumeCandidate
    | ReportStarted
    | ReportEnded
    | ReportSuspended
    | ReturnCandidate
    | ReportAudit
    | EraseRecords
    | ReportErased
    | ReportCapacity
    | ReportRejections
    | PublishKey,
    Field(discriminator="kind"),
]


class Request(Record):
    """One request. Sent twice with the same id it acts once."""

    id: str = Field(min_length=8, max_length=64)
    at: Moment
    command: Command
