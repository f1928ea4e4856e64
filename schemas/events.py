"""Facts: what control has decided, numbered without a gap and never changed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from schemas.agreement import Agreement
from schemas.base import Digest, Ident, Moment, Offsets, Record
from schemas.evaluation import Outcome
from schemas.pairing import Deployment
from schemas.parties import Need, Organisation, Plant, Programme


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


class PairingOpened(Record):
    """A pairing runs: its baselines, and every candidate that comes, from these offsets on."""

    kind: Literal["pairing_opened"] = "pairing_opened"
    pairing: Ident
    need: Ident
    startup: Ident
    agreement: Agreement
    agreement_digest: Digest
    telemetry_from: Offsets
    labels_from: Offsets


class CandidateDeployed(Record):
    kind: Literal["candidate_deployed"] = "candidate_deployed"
    pairing: Ident
    deployment: Deployment


class TrialEnded(Record):
    kind: Literal["trial_ended"] = "trial_ended"
    pairing: Ident
    until: Offsets
    reason: str


class PairingConcluded(Record):
    kind: Literal["pairing_concluded"] = "pairing_concluded"
    pairing: Ident
    verdicts: dict[str, Outcome]


class RequestRefused(Record):
    """A request that changes nothing, and why, in words that its sender can act on."""

    kind: Literal["request_refused"] = "request_refused"
    command: str
    reason: str


Body = Annotated[
    OrganisationRegistered
    | ProgrammeOpened
    | PlantAdmitted
    | NeedDeclared
    | PairingOpened
    | CandidateDeployed
    | TrialEnded
    | PairingConcluded
    | RequestRefused,
    Field(discriminator="kind"),
]


class Fact(Record):
    """One fact. Readers ignore any number but the next."""

    number: int = Field(ge=1)
    at: Moment
    #: The party whose request it answers, and that request's id.
    party: Ident
    request: str
    #: The organisation, programme, plant, need or pairing that it is about.
    subject: str
    body: Body
