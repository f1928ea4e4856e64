"""A worked example of each fact, and the pairing that the main line of them folds to."""

from __future__ import annotations

from collections.abc import Iterator

from infra.contracts.example_parties import (
    AGREEMENT,
    AMENDED,
    CANDIDATE,
    CAPACITY,
    COORDINATOR,
    DEPLOYED,
    ERASURE,
    FAULT,
    KEY,
    MANUFACTURER,
    NEED,
    ORGANISATION,
    PAIRING,
    PLANT,
    PROGRAMME,
    REHEARSAL,
    REHEARSED,
    STARTUP,
    THE_CANDIDATE,
    THE_NEED,
    THE_PLANT,
    THE_PROGRAMME,
    TRIAL_FROM,
    TRIAL_UNTIL,
    at,
)
from infra.contracts.example_requests import request_id
from schemas import events as told
from schemas.evaluation import Outcome
from schemas.pairing import Pairing, Phase
from streams.deadlines import CLOCK
from streams.lifecycle import Installation
from streams.topics import OPERATOR

#: Who asked, by which kind of command, about what; and what control made of it.
Told = tuple[str, str, str, told.Body]

#: Another pairing, for what does not happen to the first.
OTHER = "press-bearing-2026-02"


def facts() -> Iterator[told.Fact]:
    """Each kind of fact once, in the order of a proof; those of the other pairings come last."""
    seen: set[str] = set()
    for number, one in enumerate([*_begin(), *_run(), *_end(), *_elsewhere()], start=1):
        if one[3].kind not in seen:
            seen.add(one[3].kind)
            yield _fact(number, one)


def pairing() -> Pairing:
    """The pairing in its trial: the fold of the facts up to then."""
    installation = Installation()
    for number, one in enumerate([*_begin(), *_run()], start=1):
        installation.fold(_fact(number, one))
    return installation.pairings[PAIRING]


def _fact(number: int, one: Told) -> told.Fact:
    party, command, about, body = one
    request = request_id(command) if party != CLOCK else command
    return told.Fact(number=number, at=at(number), party=party, request=request, subject=about, body=body)


def _begin() -> Iterator[Told]:
    yield (
        OPERATOR,
        "register_organisation",
        MANUFACTURER,
        told.OrganisationRegistered(organisation=ORGANISATION),
    )
    yield COORDINATOR, "open_programme", PROGRAMME, told.ProgrammeOpened(programme=THE_PROGRAMME)
    yield MANUFACTURER, "admit_plant", PLANT, told.PlantAdmitted(plant=THE_PLANT)
    yield PLANT, "report_capacity", PLANT, told.CapacityReported(plant=PLANT, capacity=CAPACITY)
    yield MANUFACTURER, "declare_need", NEED, told.NeedDeclared(need=THE_NEED)
    proposed = told.PairingProposed(
        pairing=PAIRING, need=NEED, startup=STARTUP, agreement=AGREEMENT, agreement_digest=AGREEMENT.digest()
    )
    yield COORDINATOR, "propose_pairing", PAIRING, proposed
    for party, person in ((MANUFACTURER, "공장장 (plant manager)"), (STARTUP, "대표이사 (chief executive)")):
        consent = told.ConsentGiven(pairing=PAIRING, agreement_digest=AGREEMENT.digest(), person=person)
        yield party, "consent_to_agreement", PAIRING, consent
    yield (
        STARTUP,
        "submit_candidate",
        PAIRING,
        told.CandidateSubmitted(pairing=PAIRING, candidate=THE_CANDIDATE),
    )


def _run() -> Iterator[Told]:
    rehearsed = told.RehearsalStarted(pairing=PAIRING, telemetry_from={0: 0, 1: 0}, labels_from={0: 0, 1: 0})
    yield MANUFACTURER, "start_rehearsal", PAIRING, rehearsed
    yield PLANT, "report_started", PAIRING, _loaded(REHEARSED)
    yield MANUFACTURER, "end_rehearsal", PAIRING, told.RehearsalEnded(pairing=PAIRING, until=TRIAL_FROM)
    reported = told.RehearsalReported(pairing=PAIRING, rehearsal=REHEARSAL)
    yield PLANT, "report_rehearsal", PAIRING, reported
    started = told.TrialStarted(pairing=PAIRING, telemetry_from=TRIAL_FROM, labels_from={0: 12, 1: 9})
    yield COORDINATOR, "start_trial", PAIRING, started
    yield PLANT, "report_started", PAIRING, _loaded(DEPLOYED)
    suspended = told.DeploymentSuspended(pairing=PAIRING, deployment=DEPLOYED, fault=FAULT)
    yield PLANT, "report_suspended", PAIRING, suspended
    resumed = told.CandidateResumed(
        pairing=PAIRING, candidate=CANDIDATE, reason="결측값이 있던 센서를 고쳤습니다."
    )
    yield COORDINATOR, "resume_candidate", PAIRING, resumed


def _loaded(deployment: str) -> told.DeploymentStarted:
    return told.DeploymentStarted(pairing=PAIRING, deployment=deployment, sandbox="full", load_ms=2140)


def _end() -> Iterator[Told]:
    over = told.TrialEnded(pairing=PAIRING, until=TRIAL_UNTIL, reason="계획한 30일이 끝났습니다.")
    yield COORDINATOR, "end_trial", PAIRING, over
    ended = told.DeploymentEnded(pairing=PAIRING, deployment=DEPLOYED)
    yield PLANT, "report_ended", PAIRING, ended
    yield PLANT, "report_audit", PAIRING, told.AuditReported(pairing=PAIRING, alarms=())
    concluded = told.PairingConcluded(pairing=PAIRING, verdicts={CANDIDATE: Outcome.ACCEPTED})
    yield PLANT, "report_conclusion", PAIRING, concluded
    yield (
        CLOCK,
        f"{PAIRING}.objection-period",
        PAIRING,
        told.ObjectionPeriodOpened(pairing=PAIRING, until=at(28)),
    )
    objection = request_id("object_to_verdict")
    raised = told.ObjectionRaised(
        pairing=PAIRING,
        objection=objection,
        person="대표이사 (chief executive)",
        reason="3월 9일 점검 중의 행이 이상으로 표시되었습니다.",
    )
    yield STARTUP, "object_to_verdict", PAIRING, raised
    resolved = told.ObjectionResolved(
        pairing=PAIRING,
        objection=objection,
        resolution="dismissed",
        reason="점검 기록과 대조한 결과 라벨이 맞습니다.",
    )
    yield COORDINATOR, "resolve_objection", PAIRING, resolved
    yield CLOCK, f"{PAIRING}.settled", PAIRING, told.PairingSettled(pairing=PAIRING)
    followed = told.FollowUpRecorded(
        pairing=PAIRING, outcome="contract", note="1공장에 도입하는 계약을 맺음."
    )
    yield COORDINATOR, "record_follow_up", PAIRING, followed
    parts = told.ErasureOrdered(pairing=PAIRING, parts=("telemetry", "ledger", "artifacts"))
    yield MANUFACTURER, "erase_records", PAIRING, parts
    yield PLANT, "report_erased", PAIRING, told.PairingErased(pairing=PAIRING, erasure=ERASURE)


def _elsewhere() -> Iterator[Told]:
    amended = told.AgreementAmended(
        pairing=OTHER,
        agreement=AMENDED,
        agreement_digest=AMENDED.digest(),
        reason="오경보율을 합격 기준으로 삼고자 합니다.",
    )
    yield MANUFACTURER, "amend_agreement", OTHER, amended
    retired = told.CandidateRetired(
        pairing=OTHER, candidate=CANDIDATE, until=TRIAL_UNTIL, reason="다음 버전으로 교체합니다."
    )
    yield STARTUP, "retire_candidate", OTHER, retired
    returned = told.CandidateReturned(
        pairing=OTHER, candidate=CANDIDATE, reason="모델 저장소에서 파일을 받을 수 없습니다."
    )
    yield PLANT, "return_candidate", OTHER, returned
    stopped = told.PairingStopped(
        pairing=OTHER, until=TRIAL_UNTIL, reason="설비를 이전하여 더 측정할 수 없습니다."
    )
    yield MANUFACTURER, "stop_pairing", OTHER, stopped
    left = told.PairingWithdrawn(pairing=OTHER, until=TRIAL_UNTIL, reason="모델을 더 공급할 수 없습니다.")
    yield STARTUP, "withdraw_pairing", OTHER, left
    expired = told.PairingExpired(pairing=OTHER, phase=Phase.PROPOSED, waited_for=(STARTUP,))
    yield CLOCK, f"{OTHER}.expired", OTHER, expired
    yield MANUFACTURER, "publish_key", PLANT, told.KeyPublished(holder=PLANT, key=KEY)
    yield MANUFACTURER, "pause_plant", PLANT, told.PlantPaused(plant=PLANT, reason="정기 보수")
    yield MANUFACTURER, "resume_plant", PLANT, told.PlantResumed(plant=PLANT)
    refused = told.RequestRefused(
        command="start_trial",
        reason="a trial begins once both sides have consented; "
        f"{OTHER} is proposed since {at():%Y-%m-%d %H:%M} UTC",
        reason_ko="실증은 양쪽이 협약에 동의한 뒤에 시작할 수 있습니다. "
        f"매칭 {OTHER}의 현재 단계: 제안됨({at():%Y-%m-%d %H:%M} UTC부터).",
    )
    yield COORDINATOR, "start_trial", OTHER, refused
