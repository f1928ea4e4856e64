"""A worked example of each command, with the party that asks."""

from __future__ import annotations

import uuid
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
    REHEARSAL,
    REJECTIONS,
    STARTUP,
    THE_CANDIDATE,
    THE_NEED,
    THE_PLANT,
    THE_PROGRAMME,
    at,
)
from schemas import requests as ask
from schemas.evaluation import Outcome
from streams.topics import OPERATOR

_NAMES = uuid.UUID("6f9c1c8e-52a5-4c0e-9a0e-3d6a0a4f7b11")


def request_id(kind: str) -> str:
    """The id of the example request of that kind."""
    return uuid.uuid5(_NAMES, kind).hex


def requests() -> Iterator[tuple[str, ask.Request]]:
    """Each command in the order of a proof: the party that asks, and its request."""
    for number, (party, command) in enumerate(_commands()):
        yield party, ask.Request(id=request_id(command.kind), at=at(number), command=command)


def _commands() -> Iterator[tuple[str, ask.Command]]:
    yield OPERATOR, ask.RegisterOrganisation(organisation=ORGANISATION)
    yield COORDINATOR, ask.OpenProgramme(programme=THE_PROGRAMME)
    yield MANUFACTURER, ask.AdmitPlant(plant=THE_PLANT)
    yield MANUFACTURER, ask.DeclareNeed(need=THE_NEED)
    yield (
        COORDINATOR,
        ask.ProposePairing(pairing=PAIRING, need=NEED, startup=STARTUP, agreement=AGREEMENT),
    )
    yield (
        MANUFACTURER,
        ask.AmendAgreement(
            pairing=PAIRING, agreement=AMENDED, reason="오경보율을 합격 기준으로 삼고자 합니다."
        ),
    )
    yield (
        STARTUP,
        ask.ConsentToAgreement(
            pairing=PAIRING, agreement_digest=AGREEMENT.digest(), person="대표이사 (chief executive)"
        ),
    )
    yield from _running()
    yield from _afterwards()
    yield from _of_the_plant()


def _running() -> Iterator[tuple[str, ask.Command]]:
    yield STARTUP, ask.SubmitCandidate(pairing=PAIRING, candidate=THE_CANDIDATE)
    yield MANUFACTURER, ask.StartRehearsal(pairing=PAIRING)
    yield MANUFACTURER, ask.EndRehearsal(pairing=PAIRING)
    yield COORDINATOR, ask.StartTrial(pairing=PAIRING)
    yield (
        STARTUP,
        ask.RetireCandidate(pairing=PAIRING, candidate=CANDIDATE, reason="다음 버전으로 교체합니다."),
    )
    yield (
        COORDINATOR,
        ask.ResumeCandidate(pairing=PAIRING, candidate=CANDIDATE, reason="결측값이 있던 센서를 고쳤습니다."),
    )
    yield COORDINATOR, ask.EndTrial(pairing=PAIRING, reason="계획한 30일이 끝났습니다.")
    yield MANUFACTURER, ask.StopPairing(pairing=PAIRING, reason="설비를 이전하여 더 측정할 수 없습니다.")
    yield STARTUP, ask.WithdrawPairing(pairing=PAIRING, reason="모델을 더 공급할 수 없습니다.")


def _afterwards() -> Iterator[tuple[str, ask.Command]]:
    yield (
        STARTUP,
        ask.ObjectToVerdict(
            pairing=PAIRING,
            person="대표이사 (chief executive)",
            reason="3월 9일 점검 중의 행이 이상으로 표시되었습니다.",
        ),
    )
    yield (
        COORDINATOR,
        ask.ResolveObjection(
            pairing=PAIRING,
            objection=request_id("object_to_verdict"),
            resolution="dismissed",
            reason="점검 기록과 대조한 결과 라벨이 맞습니다.",
        ),
    )
    yield (
        COORDINATOR,
        ask.RecordFollowUp(pairing=PAIRING, outcome="contract", note="1공장에 도입하는 계약을 맺음."),
    )


def _of_the_plant() -> Iterator[tuple[str, ask.Command]]:
    yield MANUFACTURER, ask.PublishKey(holder=PLANT, key=KEY)
    yield MANUFACTURER, ask.PausePlant(plant=PLANT, reason="정기 보수")
    yield MANUFACTURER, ask.ResumePlant(plant=PLANT)
    # The plant's own workers ask under its name.
    yield PLANT, ask.ReportCapacity(plant=PLANT, capacity=CAPACITY)
    yield PLANT, ask.ReportRejections(plant=PLANT, rejections=REJECTIONS)
    yield PLANT, ask.ReportRehearsal(pairing=PAIRING, rehearsal=REHEARSAL)
    yield (
        PLANT,
        ask.ReportStarted(pairing=PAIRING, deployment=DEPLOYED, sandbox="full", load_ms=2140),
    )
    yield PLANT, ask.ReportSuspended(pairing=PAIRING, deployment=DEPLOYED, fault=FAULT)
    yield (
        PLANT,
        ask.ReturnCandidate(
            pairing=PAIRING, candidate=CANDIDATE, reason="모델 저장소에서 파일을 받을 수 없습니다."
        ),
    )
    yield PLANT, ask.ReportEnded(pairing=PAIRING, deployment=DEPLOYED)
    yield PLANT, ask.ReportAudit(pairing=PAIRING)
    yield PLANT, ask.ReportConclusion(pairing=PAIRING, verdicts={CANDIDATE: Outcome.ACCEPTED})
    yield MANUFACTURER, ask.EraseRecords(pairing=PAIRING)
    yield PLANT, ask.ReportErased(pairing=PAIRING, erasure=ERASURE)
