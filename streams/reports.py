"""What becomes of the reports of a plant's workers: facts about deployments, measured and not asked for by a party."""

from __future__ import annotations

from schemas.base import Ident
from schemas.events import (
    AuditReported,
    Body,
    CandidateReturned,
    DeploymentEnded,
    DeploymentStarted,
    DeploymentSuspended,
    PairingConcluded,
    RehearsalReported,
)
from schemas.pairing import Deployment, Pairing, Phase
from schemas.requests import (
    ReportAudit,
    ReportConclusion,
    ReportEnded,
    ReportRehearsal,
    ReportStarted,
    ReportSuspended,
    ReturnCandidate,
)
from streams.conditions import asked_by_workers, existing, not_over, require, stands_in

Report = (
    ReportRehearsal
    | ReportConclusion
    | ReportStarted
    | ReportEnded
    | ReportSuspended
    | ReturnCandidate
    | ReportAudit
)


def reported(party: Ident, report: Report, pairing: Pairing) -> Body:
    """The fact that a report becomes.

    Raises:
        Refusal: it is not the plant's, or does not fit where the pairing stands.
    """
    asked_by_workers(party, pairing)
    match report:
        case ReportRehearsal(rehearsal=rehearsal):
            stands_in(pairing, (Phase.REHEARSING,), "only a rehearsal that has ended is reported on")
            require(pairing.rehearsed(), f"the rehearsal of {pairing.id} still runs; end it first")
            return RehearsalReported(pairing=pairing.id, rehearsal=rehearsal)
        case ReportConclusion(verdicts=verdicts):
            stands_in(pairing, (Phase.CLOSING,), "only a closing pairing is concluded")
            return PairingConcluded(pairing=pairing.id, verdicts=verdicts)
        case ReportAudit(alarms=alarms):
            not_over(pairing)
            return AuditReported(pairing=pairing.id, alarms=alarms)
        case ReturnCandidate(candidate=ident, reason=reason):
            return _returned(pairing, ident, reason)
        case _:
            return _of_deployment(report, pairing)


def _of_deployment(report: ReportStarted | ReportEnded | ReportSuspended, pairing: Pairing) -> Body:
    not_over(pairing)
    deployment = existing("deployment", report.deployment, {one.id: one for one in pairing.deployments})
    match report:
        case ReportStarted(sandbox=sandbox, load_ms=load_ms):
            return DeploymentStarted(
                pairing=pairing.id, deployment=deployment.id, sandbox=sandbox, load_ms=load_ms
            )
        case ReportEnded():
            require(deployment.until is not None, f"{deployment.id} still runs; it has no end yet")
            require(deployment.ended is None, f"{deployment.id} has ended already")
            return DeploymentEnded(pairing=pairing.id, deployment=deployment.id)
        case ReportSuspended(fault=fault):
            require(deployment.candidate is not None, f"{deployment.id} runs no start-up's code")
            require(deployment.suspended is None, f"{deployment.id} is suspended already")
            return DeploymentSuspended(pairing=pairing.id, deployment=deployment.id, fault=fault)


def _returned(pairing: Pairing, ident: Ident, reason: str) -> Body:
    stands_in(
        pairing,
        (Phase.AGREED, Phase.REHEARSING, Phase.RUNNING, Phase.CLOSING),
        "a candidate is given back before the verdict",
    )
    candidate = existing("candidate", ident, {one.id: one for one in pairing.candidates})
    require(pairing.runs(candidate), f"{ident} does not run in {pairing.id} any more")
    ran = [one.id for one in pairing.present() if _began(one, ident)]
    require(not ran, f"{ident} has been running as {', '.join(ran)}: what it answered counts")
    return CandidateReturned(pairing=pairing.id, candidate=ident, reason=reason)


def _began(deployment: Deployment, candidate: Ident) -> bool:
    return candidate in deployment.subjects and deployment.started is not None
