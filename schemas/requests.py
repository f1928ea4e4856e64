"""Requests: what a party asks for. Who asked is the topic that a request came in on, never a name in its body."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.agreement import Agreement
from schemas.base import Ident, Moment, Record
from schemas.evaluation import Outcome
from schemas.pairing import Candidate
from schemas.parties import Need, Organisation, Plant, Programme


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


class OpenPairing(Record):
    """Opens a pairing under an agreement. Asked by a coordinator that operates the need's programme."""

    kind: Literal["open_pairing"] = "open_pairing"
    pairing: Ident
    need: Ident
    startup: Ident
    agreement: Agreement


class SubmitCandidate(Record):
    """Submits a candidate, which runs from the pairing's first frame on. Asked by the pairing's start-up."""

    kind: Literal["submit_candidate"] = "submit_candidate"
    pairing: Ident
    candidate: Candidate


class EndTrial(Record):
    """Ends the telemetry of a trial; what was sent until now is due. Asked by its manufacturer or a coordinator."""

    kind: Literal["end_trial"] = "end_trial"
    pairing: Ident
    reason: str = "the planned trial is over"


class ReportConclusion(Record):
    """Tells that a pairing's ledger is closed, with its verdicts. Asked by the plant's scorer."""

    kind: Literal["report_conclusion"] = "report_conclusion"
    pairing: Ident
    verdicts: dict[str, Outcome]


Command = Annotated[
    RegisterOrganisation
    | OpenProgramme
    | AdmitPlant
    | DeclareNeed
    | OpenPairing
    | SubmitCandidate
    | EndTrial
    | ReportConclusion,
    Field(discriminator="kind"),
]


class Request(Record):
    """One request. Sent twice with the same id it acts once."""

    id: str = Field(min_length=8, max_length=64)
    at: Moment
    command: Command
