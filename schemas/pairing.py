"""A pairing (매칭) as it stands now: who agreed to what, its candidates, what runs from where, and who must act next."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from schemas.agreement import Agreement
from schemas.base import Digest, Ident, Moment, Offsets, Record
from schemas.erasure import Erasure, Part
from schemas.evaluation import Outcome
from schemas.faults import Fault
from schemas.rehearsal import MetricCheck, UnitCheck


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

#: Phases in which nobody may ask any more for what was measured, or for a candidate's files.
DONE = ENDED | {Phase.SETTLED}

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
    #: Said to be one of the project's own models; its files are compared before it is run as one.
    shipped: bool = False


class Deployment(Record):
    """A candidate running in one phase of a pairing (배치), from and until given telemetry offsets."""

    id: str
    phase: DeploymentPhase = "trial"
    #: What it gives evaluations for: the candidate, or the baselines by name.
    subjects: tuple[str, ...] = Field(min_length=1)
    candidate: Candidate | None = None
    #: Which rehearsal or trial of the pairing it is of, counted from 1.
    round: int = 1
    starts: Offsets
    #: Fixed when it ends: the first offsets that are no longer due.
    until: Offsets | None = None
    #: When its worker first reported that it takes frames, and how its code is held.
    started: Moment | None = None
    sandbox: str | None = None
    #: How often its model was loaded.
    loads: int = 0
    #: Why its candidate is given no frames any more; every frame fails until somebody resumes it.
    suspended: Fault | None = None
    #: When every frame that was due had its outcome.
    ended: Moment | None = None


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
    #: Where a decision by units is agreed: the constant answer that lost least, the code of a class or a number, which the
    #: trial is compared with; whether its units may stand; and whether its rule turns away what knows nothing.
    constant: float | None = None
    units: UnitCheck | None = None
    check: MetricCheck | None = None
    #: Units after which each candidate would be accepted if the trial went on like the rehearsal, in half of all trials; None
    #: where that is not within the plan.
    needed: dict[str, int | None] = {}


class Amendment(Record):
    """Another agreement, on the table while the trial goes on under the present one."""

    agreement: Agreement
    agreement_digest: Digest
    #: The revision that it becomes when both sides have consented to it.
    revision: int
    reason: str


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
    #: What would begin a new trial, once both sides consent to it.
    amendment: Amendment | None = None
    phase: Phase
    since: Moment
    #: Why it stands where it stands, in words.
    why: str
    #: When this phase ends by itself, if it does.
    due: Moment | None = None
    #: The parties that have to act next; none where it waits for time or for its workers.
    waits_for: tuple[Ident, ...] = ()
    #: The last step that it made, as the fact's kind, and when.
    progress: str = "pairing_proposed"
    progress_at: Moment | None = None
    #: True while the plant has paused its telemetry.
    paused: bool = False
    #: True while it is paused because too much of what it sent had to be rejected: its labels wait, too.
    held: bool = False
    candidates: tuple[Candidate, ...] = ()
    retired: tuple[Ident, ...] = ()
    #: Candidates that the platform could not run: their places in the quota are free again.
    returned: tuple[Ident, ...] = ()
    #: Where the telemetry of the present phase begins: every deployment starts here, so that all are judged on the same rows.
    telemetry_from: Offsets = {}
    #: Where its labels begin: labels sent earlier are not its own.
    labels_from: Offsets = {}
    deployments: tuple[Deployment, ...] = ()
    #: How often it was rehearsed, and what the last time showed.
    rehearsals: int = 0
    rehearsal: Rehearsal | None = None
    #: How many trials were begun; an agreement amended on the way begins another.
    trials: int = 0
    verdicts: dict[str, Outcome] = {}
    objections: tuple[Objection, ...] = ()
    #: What is wrong with its measurement, as its workers reported last; nothing where it is sound.
    alarms: tuple[str, ...] = ()
    #: When its measurement was over: retention counts from here.
    closed_at: Moment | None = None
    #: What of its records is to be deleted, and what has become of that so far.
    erasing: tuple[Part, ...] = ()
    erasure: Erasure | None = None
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
        revision = self.amendment.revision if self.amendment is not None else self.revision
        return any(one.party == party and one.revision == revision for one in self.consents)

    def present(self) -> tuple[Deployment, ...]:
        """The deployments of the rehearsal or trial that it is in, or was in last."""
        rehearses = self.phase is Phase.REHEARSING
        phase: DeploymentPhase = "rehearsal" if rehearses else "trial"
        latest = self.rehearsals if rehearses else self.trials
        return tuple(one for one in self.of_phase(phase) if one.round == latest)

    def rehearsed(self) -> bool:
        """Whether it is in a rehearsal whose telemetry has ended, and that is being looked at."""
        present = self.present()
        return self.phase is Phase.REHEARSING and bool(present) and all(one.until for one in present)

    def of_phase(self, phase: DeploymentPhase) -> tuple[Deployment, ...]:
        """The deployments of one phase."""
        return tuple(one for one in self.deployments if one.phase == phase)

    def slot(self, ident: Ident) -> int | None:
        """The place of a candidate among those that were not given back, from 1: which slot for a verdict it takes."""
        taken = [one.id for one in self.candidates if one.id not in self.returned]
        return taken.index(ident) + 1 if ident in taken else None

    def runs(self, candidate: Candidate) -> bool:
        """Whether a candidate is still one: neither retired nor returned."""
        return candidate.id not in self.retired and candidate.id not in self.returned


#: Name of the deployment that runs a pairing's baselines together.
BASELINES = "baselines"


def deployment_id(pairing: str, name: str, *, rehearsal: int = 0, trial: int = 1) -> str:
    """The readable id of a deployment: `pump-2026-01/t2q-v1`, with `.rehearsal-2` or `.trial-2` behind it in the second one."""
    if rehearsal:
        return f"{pairing}/{name}.rehearsal-{rehearsal}"
    return f"{pairing}/{name}" + (f".trial-{trial}" if trial > 1 else "")
