"""A pairing (매칭) as it stands now: who agreed to what, its candidates, what runs from where, and who must act next."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from schemas.agreement import Agreement
from schemas.base import Digest, Ident, Moment, Offsets, Record
from schemas.evaluation import Outcome


class Phase(StrEnum):
    """Where a pairing stands."""

    #: An agreement lies on the table; the manufacturer or the start-up has not consented to it yet.
    PROPOSED = "proposed"
    AGREED = "agreed"
    REHEARSING = "rehearsing"
    RUNNING = "running"
    #: Telemetry has ended; labels are still due.
    CLOSING = "closing"
    #: The verdicts have fallen.
    CONCLUDED = "concluded"
    OBJECTION_PERIOD = "objection_period"
    SETTLED = "settled"
    FOLLOWED_UP = "followed_up"
    STOPPED = "stopped"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


#: Phases in which candidates run, or have still to work off what is due.
ACTIVE = frozenset({Phase.REHEARSING, Phase.RUNNING, Phase.CLOSING})

#: Phases that nothing leaves.
ENDED = frozenset({Phase.FOLLOWED_UP, Phase.STOPPED, Phase.WITHDRAWN, Phase.EXPIRED})

#: Phases in which nothing more is measured.
OVER = ENDED | {Phase.CONCLUDED, Phase.OBJECTION_PERIOD, Phase.SETTLED}

DeploymentPhase = Literal["rehearsal", "trial"]


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
    """A candidate running in one phase of a pairing (배치), from and until given telemetry offsets."""

    id: str
    phase: DeploymentPhase = "trial"
    #: What it gives evaluations for: the candidate, or the baselines by name.
    subjects: tuple[str, ...] = Field(min_length=1)
    candidate: Candidate | None = None
    starts: Offsets
    #: Fixed when it ends: the first offsets that are no longer due.
    until: Offsets | None = None


class Consent(Record):
    """Who of one side consented to which agreement, and when."""

    party: Ident
    person: str = Field(min_length=1, max_length=200)
    at: Moment
    agreement_digest: Digest
    #: Which of the agreements that lay on the table: one that returns after another is consented to anew.
    revision: int = 1


class Rehearsal(Record):
    """What a rehearsal showed; none of it counts in the verdict."""

    passed: bool
    rows: int
    #: Shares of the rows: labelled, and answered by the weakest candidate.
    labelled: float
    answered: float
    #: What both sides have to look at, in words.
    remarks: tuple[str, ...] = ()


class Objection(Record):
    """What one side says against the verdict, and what became of it."""

    id: str
    party: Ident
    person: str
    reason: str
    at: Moment
    resolution: Literal["upheld", "dismissed"] | None = None
    resolution_reason: str | None = None


class Pairing(Record):
    """One start-up's proof at one plant under one agreement: the fold of its facts."""

    id: Ident
    programme: Ident
    need: Ident
    plant: Ident
    manufacturer: Ident
    startup: Ident
    coordinators: tuple[Ident, ...]
    agreement: Agreement
    agreement_digest: Digest
    #: Counts the agreements that lay on the table; consent is to one of them.
    revision: int = 1
    consents: tuple[Consent, ...] = ()
    phase: Phase
    since: Moment
    #: Why it stands where it stands, in words.
    why: str
    #: When this phase ends by itself, if it does.
    due: Moment | None = None
    #: True while the plant has paused its telemetry.
    paused: bool = False
    candidates: tuple[Candidate, ...] = ()
    retired: tuple[Ident, ...] = ()
    #: Where the telemetry of the present phase begins: every deployment starts here, so that all are judged on the same rows.
    telemetry_from: Offsets = {}
    #: Where its labels begin: labels sent earlier are not its own.
    labels_from: Offsets = {}
    deployments: tuple[Deployment, ...] = ()
    #: How often it was rehearsed, and what the last time showed.
    rehearsals: int = 0
    rehearsal: Rehearsal | None = None
    verdicts: dict[str, Outcome] = {}
    objections: tuple[Objection, ...] = ()
    simulated: bool = False
    #: Number of the last fact that changed it.
    fact: int

    def deployment(self, ident: str) -> Deployment | None:
        """The deployment of that id, if it has one."""
        return next((one for one in self.deployments if one.id == ident), None)

    def candidate(self, ident: str) -> Candidate | None:
        """The candidate of that id, if it has one."""
        return next((one for one in self.candidates if one.id == ident), None)

    def consented(self, party: str) -> bool:
        """Whether that side has consented to the agreement that lies on the table."""
        return any(one.party == party and one.revision == self.revision for one in self.consents)

    def present(self) -> tuple[Deployment, ...]:
        """The deployments of the rehearsal or trial that it is in."""
        if self.phase is Phase.REHEARSING:
            return tuple(one for one in self.deployments if one.id.endswith(f".rehearsal-{self.rehearsals}"))
        return self.of_phase("trial")

    def rehearsed(self) -> bool:
        """Whether it is in a rehearsal whose telemetry has ended, and that is being looked at."""
        present = self.present()
        return self.phase is Phase.REHEARSING and bool(present) and all(one.until for one in present)

    def of_phase(self, phase: DeploymentPhase) -> tuple[Deployment, ...]:
        """The deployments of one phase."""
        return tuple(one for one in self.deployments if one.phase == phase)


#: Name of the deployment that runs a pairing's baselines together.
BASELINES = "baselines"


def deployment_id(pairing: str, name: str, rehearsal: int = 0) -> str:
    """The readable id of a deployment: `pump-2026-01/t2q-v1`, and with `.rehearsal-2` behind it in the second one."""
    return f"{pairing}/{name}{f'.rehearsal-{rehearsal}' if rehearsal else ''}"
