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
    PairingErased,
    RehearsalReported,
)
from schemas.faults import Fault
from schemas.pairing import Deployment, Pairing, Phase, Rehearsal
from schemas.requests import (
    ReportAudit,
    ReportConclusion,
    ReportEnded,
    ReportErased,
    ReportRehearsal,
    ReportStarted,
    ReportSuspended,
    ReturnCandidate,
)
from schemas.words import Phrase
from streams import names
from streams.conditions import asked_by_workers, existing, not_over, require, stands_in, still_runs

Report = (
    ReportRehearsal
    | ReportConclusion
    | ReportStarted
    | ReportEnded
    | ReportSuspended
    | ReturnCandidate
    | ReportAudit
    | ReportErased
)


def reported(party: Ident, report: Report, pairing: Pairing) -> Body:
    """The fact that a report becomes.

    Raises:
        Refusal: it is not the plant's, or does not fit where the pairing stands.
    """
    asked_by_workers(party, pairing)
    match report:
        case ReportRehearsal(rehearsal=rehearsal):
            return _rehearsed(rehearsal, pairing)
        case ReportConclusion(verdicts=verdicts):
            rule = Phrase(
                "only a closing pairing is concluded", "판정은 마감 중인 매칭에만 내릴 수 있습니다."
            )
            stands_in(pairing, (Phase.CLOSING,), rule)
            return PairingConcluded(pairing=pairing.id, verdicts=verdicts)
        case ReportAudit(alarms=alarms):
            not_over(pairing)
            return AuditReported(pairing=pairing.id, alarms=alarms)
        case ReturnCandidate(candidate=ident, reason=reason):
            return _returned(pairing, ident, reason)
        case ReportErased(erasure=erasure):
            require(
                set(erasure.parts) <= set(pairing.erasing),
                f"nobody has ordered that of {pairing.id}; its owner does with `fieldproof plant erase`",
                f"매칭 {pairing.id}에 요청되지 않은 삭제입니다. `fieldproof plant erase`로 먼저 요청해 주세요.",
            )
            return PairingErased(pairing=pairing.id, erasure=erasure)
        case _:
            return _of_deployment(report, pairing)


def _rehearsed(rehearsal: Rehearsal, pairing: Pairing) -> RehearsalReported:
    rule = Phrase(
        "only a rehearsal that has ended is reported on",
        "예행 결과는 종료된 예행에 대해서만 보고할 수 있습니다.",
    )
    stands_in(pairing, (Phase.REHEARSING,), rule)
    require(
        pairing.rehearsed(),
        f"the rehearsal of {pairing.id} still runs; end it first",
        f"매칭 {pairing.id}의 예행이 아직 진행 중입니다. 먼저 예행을 종료해 주세요.",
    )
    return RehearsalReported(pairing=pairing.id, rehearsal=rehearsal)


def _of_deployment(report: ReportStarted | ReportEnded | ReportSuspended, pairing: Pairing) -> Body:
    not_over(pairing)
    known = {one.id: one for one in pairing.deployments}
    deployment = existing(names.DEPLOYMENT, report.deployment, known)
    match report:
        case ReportStarted(sandbox=sandbox, load_ms=load_ms):
            return DeploymentStarted(
                pairing=pairing.id, deployment=deployment.id, sandbox=sandbox, load_ms=load_ms
            )
        case ReportEnded():
            return _ended(deployment, pairing)
        case ReportSuspended(fault=fault):
            return _suspended(deployment, fault, pairing)


def _ended(deployment: Deployment, pairing: Pairing) -> DeploymentEnded:
    require(
        deployment.until is not None,
        f"{deployment.id} still runs; it has no end yet: report it once its rehearsal or trial has ended",
        f"배치 {deployment.id}의 종료 시점이 아직 정해지지 않았습니다. 예행이나 실증이 종료된 뒤에 보고해 주세요.",
    )
    require(
        deployment.ended is None,
        f"{deployment.id} has ended already; nothing has to be reported",
        f"배치 {deployment.id}의 종료는 이미 기록되어 있습니다. 다시 보고하지 않아도 됩니다.",
    )
    return DeploymentEnded(pairing=pairing.id, deployment=deployment.id)


def _suspended(deployment: Deployment, fault: Fault, pairing: Pairing) -> DeploymentSuspended:
    require(
        deployment.candidate is not None,
        f"{deployment.id} runs no start-up's code; only candidates are suspended",
        f"배치 {deployment.id}에는 스타트업의 코드가 없습니다. 보류는 후보 모델에만 적용됩니다.",
    )
    require(
        deployment.suspended is None,
        f"{deployment.id} is suspended already; its plant or a coordinator may resume it",
        f"배치 {deployment.id}에는 이미 보류가 걸려 있습니다. 수요기업이나 운영기관이 재개할 수 있습니다.",
    )
    return DeploymentSuspended(pairing=pairing.id, deployment=deployment.id, fault=fault)


def _returned(pairing: Pairing, ident: Ident, reason: str) -> Body:
    rule = Phrase(
        "a candidate is given back before the verdict", "후보 모델은 판정이 나기 전에만 반환할 수 있습니다."
    )
    stands_in(pairing, (Phase.AGREED, Phase.REHEARSING, Phase.RUNNING, Phase.CLOSING), rule)
    candidate = existing(names.CANDIDATE, ident, {one.id: one for one in pairing.candidates})
    still_runs(candidate, pairing)
    ran = ", ".join(one.id for one in pairing.present() if _began(one, ident))
    require(
        not ran,
        f"{ident} has been running as {ran}: what it answered counts, and it is retired or suspended instead",
        f"후보 모델 {ident}의 실행이 이미 시작되어({ran}) 응답한 결과가 평가에 들어갑니다. "
        "반환 대신 철수나 보류로 처리해 주세요.",
    )
    return CandidateReturned(pairing=pairing.id, candidate=ident, reason=reason)


def _began(deployment: Deployment, candidate: Ident) -> bool:
    return candidate in deployment.subjects and deployment.started is not None
