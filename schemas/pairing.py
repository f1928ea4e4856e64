"""A pairing (매칭) as it stands now: its agreement, its candidates, and what runs from where."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from schemas.agreement import Agreement
from schemas.base import Digest, Ident, Moment, Offsets, Record


class Phase(StrEnum):
    """Where a pairing stands."""

    RUNNING = "running"
    #: Telemetry has ended; labels are still due.
    CLOSING = "closing"
    CONCLUDED = "concluded"


class Candidate(Record):
    """One model version (후보 모델), frozen by digest when it was submitted."""

    id: Ident
    startup: Ident
    #: The registered model and its version in the MLflow registry.
    model: str
    version: str
    #: Id of the logged model, which no alias can move: `m-…`.
    model_id: str | None = None
    #: The run that logged it; the final evaluation is written back there.
    run_id: str | None = None
    #: SHA-256 over the sorted names and sums of its files.
    digest: Digest
    context_rows: int = Field(default=0, ge=0)
    with_ts: bool = False
    with_asset: bool = False


class Deployment(Record):
    """A candidate running in a pairing (배치), from and until given telemetry offsets."""

    id: str
    #: What it gives evaluations for: the candidate, or the baselines by name.
    subjects: tuple[str, ...] = Field(min_length=1)
    candidate: Candidate | None = None
    starts: Offsets
    #: Fixed when it ends: the first offsets that are no longer due.
    until: Offsets | None = None


class Pairing(Record):
    """One start-up's proof at one plant under one agreement: the fold of its facts."""

    id: Ident
    programme: Ident
    need: Ident
    plant: Ident
    manufacturer: Ident
    startup: Ident
    agreement: Agreement
    agreement_digest: Digest
    phase: Phase
    since: Moment
    #: Where its telemetry begins: every deployment starts here, so that all are judged on the same rows.
    telemetry_from: Offsets
    #: Where its labels begin: labels sent earlier are not its own.
    labels_from: Offsets
    deployments: tuple[Deployment, ...] = ()
    simulated: bool = False
    #: Number of the last fact that changed it.
    fact: int

    def deployment(self, ident: str) -> Deployment | None:
        """The deployment of that id, if it has one."""
        return next((one for one in self.deployments if one.id == ident), None)


def deployment_id(pairing: str, name: str) -> str:
    """The readable id of a deployment: `pump-2026-01/t2q-v1`."""
    return f"{pairing}/{name}"


#: Name of the deployment that runs a pairing's baselines together.
BASELINES = "baselines"
