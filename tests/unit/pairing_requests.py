"""Requests about a few pairings at one plant: every one that may be made, and those that are likely to be granted."""

from __future__ import annotations

from random import Random

from schemas.agreement import Agreement
from schemas.evaluation import Outcome
from schemas.faults import Fault
from schemas.pairing import Candidate, Pairing, Phase, Rehearsal
from schemas.parties import Capacity, Need, Organisation, Programme, Role
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
    ReportAudit,
    ReportCapacity,
    ReportConclusion,
    ReportEnded,
    ReportRehearsal,
    ReportStarted,
    ReportSuspended,
    ResolveObjection,
    ResumeCandidate,
    ResumePlant,
    RetireCandidate,
    ReturnCandidate,
    StartRehearsal,
    StartTrial,
    StopPairing,
    SubmitCandidate,
    WithdrawPairing,
)
from schemas.terms import Phases, Quotas
from streams import topics
from streams.deadlines import CLOCK
from tests.unit.twins import PLANT, a_candidate, a_plant, an_agreement

P = Phase

STARTUPS = {f"pump-{number}": f"startup-{1 + number % 2}" for number in range(4)}
PAIRINGS = tuple(STARTUPS)
PARTIES = (topics.OPERATOR, "maker", "city", "startup-1", "startup-2", PLANT, "stranger", CLOCK)

#: What a person writes as a reason; anything else was said by the platform.
WRITTEN = "as we discussed"
CANDIDATES = ("v1", "v2", "v3", "v4", "always-normal")
FAULT = Fault(kind="timeout", count=3)
#: A large machine, and one for five candidates.
MACHINES = (
    Capacity(cores=8, memory_mb=131_072, sandbox="full"),
    Capacity(cores=1, memory_mb=16_384, sandbox="none", unsandboxed=True),
)


def terms(number: int) -> Agreement:
    """Agreements that differ in what the life depends on; the last one in what is predicted, too."""
    return an_agreement().model_copy(
        update={
            "target": "faults" if number < 3 else "leaks",
            "phases": Phases(
                rehearsal_rows=5 if number == 1 else 0,
                rehearsal_days=2 if number else None,
                trial_days=30 if number else None,
            ),
            "quotas": Quotas(candidates=1 + number),
            "baselines": an_agreement().baselines if number != 2 else (),
        }
    )


AGREEMENTS = [terms(number) for number in range(4)]


def _organisation(ident: str, role: Role) -> RegisterOrganisation:
    return RegisterOrganisation(organisation=Organisation(id=ident, name=ident, roles=(role,)))


PARTICIPANTS: list[tuple[str, Command]] = [
    (topics.OPERATOR, _organisation("maker", Role.MANUFACTURER)),
    (topics.OPERATOR, _organisation("city", Role.COORDINATOR)),
    (topics.OPERATOR, _organisation("startup-1", Role.STARTUP)),
    (topics.OPERATOR, _organisation("startup-2", Role.STARTUP)),
    ("city", OpenProgramme(programme=Programme(id="programme-1", name="Cohort", operators=("city",)))),
    ("maker", AdmitPlant(plant=a_plant())),
    ("maker", DeclareNeed(need=Need(id="need-1", programme="programme-1", plant=PLANT, title="Pumps"))),
]


def asked_by(command: Command) -> str:
    """Someone who may ask this."""
    own = STARTUPS.get(getattr(command, "pairing", ""), "startup-1")
    match command:
        case SubmitCandidate() | RetireCandidate() | WithdrawPairing() | ObjectToVerdict():
            return own
        case ProposePairing() | ResolveObjection() | RecordFollowUp():
            return "city"
        case _ if command.kind.startswith("report_") or isinstance(command, ReturnCandidate):
            return PLANT
        case _:
            return "maker"


def possible(pairing: str, known: Pairing | None) -> list[Command]:
    """Every request that may be made of a pairing, in any phase."""
    digests = [one.digest() for one in AGREEMENTS]
    objections = [one.id for one in known.objections] if known is not None else []
    return [
        *(proposal(pairing, agreed) for agreed in AGREEMENTS),
        *(AmendAgreement(pairing=pairing, agreement=agreed, reason=WRITTEN) for agreed in AGREEMENTS),
        *(ConsentToAgreement(pairing=pairing, agreement_digest=digest, person="A") for digest in digests),
        StartRehearsal(pairing=pairing),
        EndRehearsal(pairing=pairing),
        StartTrial(pairing=pairing),
        EndTrial(pairing=pairing),
        StopPairing(pairing=pairing, reason=WRITTEN),
        WithdrawPairing(pairing=pairing, reason=WRITTEN),
        PausePlant(plant=PLANT, reason=WRITTEN),
        ResumePlant(plant=PLANT),
        ObjectToVerdict(pairing=pairing, person="A", reason=WRITTEN),
        RecordFollowUp(pairing=pairing, outcome="contract"),
        *(SubmitCandidate(pairing=pairing, candidate=candidate(pairing, name)) for name in CANDIDATES),
        *(RetireCandidate(pairing=pairing, candidate=name, reason=WRITTEN) for name in CANDIDATES),
        *(ResumeCandidate(pairing=pairing, candidate=name, reason=WRITTEN) for name in CANDIDATES),
        *(
            ResolveObjection(pairing=pairing, objection=one, resolution="dismissed", reason=WRITTEN)
            for one in (*objections, "none")
        ),
        *_reports(pairing, [one.id for one in known.deployments] if known is not None else []),
    ]


def _reports(pairing: str, deployments: list[str]) -> list[Command]:
    there = (*deployments, f"{pairing}/nothing")
    return [
        ReportConclusion(pairing=pairing, verdicts={"v1": Outcome.ACCEPTED}),
        *(ReportRehearsal(pairing=pairing, rehearsal=shown(passed=passed)) for passed in (True, False)),
        *(ReportStarted(pairing=pairing, deployment=one, sandbox="full", load_ms=900) for one in there),
        *(ReportEnded(pairing=pairing, deployment=one) for one in there),
        *(ReportSuspended(pairing=pairing, deployment=one, fault=FAULT) for one in there),
        *(ReturnCandidate(pairing=pairing, candidate=name, reason=WRITTEN) for name in CANDIDATES),
        *(ReportAudit(pairing=pairing, alarms=alarms) for alarms in ((), (WRITTEN,))),
        *(ReportCapacity(plant=PLANT, capacity=one) for one in MACHINES),
    ]


#: What is mostly asked for where a pairing stands; what breaks it off comes seldom enough by `possible`.
LIKELY: dict[Phase | None, tuple[str, ...]] = {
    None: ("propose_pairing",),
    P.PROPOSED: (*["consent_to_agreement"] * 5, "amend_agreement", "resume_plant"),
    P.AGREED: (
        *["start_rehearsal", "start_trial", "submit_candidate", "submit_candidate"] * 2,
        "resume_plant",
        "amend_agreement",
        "retire_candidate",
        "return_candidate",
    ),
    P.REHEARSING: (
        "submit_candidate",
        "retire_candidate",
        "return_candidate",
        "end_rehearsal",
        *["report_started", "report_suspended", "resume_candidate"],
        *["report_rehearsal", "report_ended"] * 2,
    ),
    P.RUNNING: (
        *["submit_candidate", "retire_candidate", "return_candidate"],
        *["report_started", "report_suspended", "resume_candidate"] * 2,
        *["amend_agreement", "amend_agreement", *["consent_to_agreement"] * 4],
        *["end_trial", "pause_plant", "resume_plant", "report_capacity"],
    ),
    P.CLOSING: (
        *["report_ended"] * 3,
        *["report_conclusion", "report_audit", "submit_candidate", "resume_candidate"],
        *["return_candidate", "stop_pairing", "withdraw_pairing"],
    ),
    P.OBJECTION_PERIOD: ("object_to_verdict", "resolve_objection"),
    P.SETTLED: ("record_follow_up",),
}


def likely(pairing: str, known: Pairing | None, dice: Random) -> Command:
    """A request that fits the phase; any where little fits."""
    every = possible(pairing, known)
    kind = dice.choice(LIKELY.get(known.phase if known is not None else None, ("",)))
    found = [one for one in every if one.kind == kind and not _vain(one, known)]
    return dice.choice(found or every)


def _vain(command: Command, known: Pairing | None) -> bool:
    """Consent to what is not on the table, and reports on deployments of earlier rounds: seldom worth asking."""
    if known is None:
        return False
    if isinstance(command, ConsentToAgreement):
        on_table = known.amendment or known
        return command.agreement_digest != on_table.agreement_digest
    deployment = getattr(command, "deployment", None)
    return deployment is not None and deployment not in {one.id for one in known.present()}


def proposal(pairing: str, agreed: Agreement) -> ProposePairing:
    return ProposePairing(pairing=pairing, need="need-1", startup=STARTUPS[pairing], agreement=agreed)


def shown(*, passed: bool) -> Rehearsal:
    remarks = () if passed else ("no row has a label",)
    return Rehearsal(passed=passed, rows=1, labelled=1.0, answered=1.0, remarks=remarks)


def candidate(pairing: str, name: str) -> Candidate:
    return a_candidate(ident=name).model_copy(update={"startup": STARTUPS[pairing]})
