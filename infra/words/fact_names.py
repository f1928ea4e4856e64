"""What kinds of facts and commands are called, and the values in them."""

from __future__ import annotations

from infra.words.language import Phrase

VERDICTS = {
    "accepted": Phrase("accepted", "합격"),
    "rejected": Phrase("rejected", "불합격"),
    "equivalent": Phrase("equivalent", "동등"),
    "inconclusive": Phrase("inconclusive", "판정 보류"),
}
OUTCOMES = {
    "contract": Phrase("contract", "도입 계약"),
    "regional_settlement": Phrase("regional settlement", "지역 정착"),
    "investment": Phrase("investment", "투자"),
    "another_trial": Phrase("another trial", "추가 실증"),
    "none": Phrase("none", "없음"),
}

#: Facts by their kind; their English is the kind itself.
_FACTS = {
    "organisation_registered": "기관 등록",
    "programme_opened": "사업 개설",
    "plant_admitted": "공장 등록",
    "need_declared": "수요 등록",
    "pairing_proposed": "매칭 제안",
    "agreement_amended": "협약 변경안 제출",
    "consent_given": "협약 동의",
    "rehearsal_started": "예행 시작",
    "rehearsal_ended": "예행 종료",
    "rehearsal_reported": "예행 결과 보고",
    "trial_started": "실증 시작",
    "candidate_submitted": "후보 모델 제출",
    "candidate_retired": "후보 모델 철수",
    "candidate_returned": "후보 모델 반환",
    "candidate_resumed": "후보 모델 재개",
    "deployment_started": "배치 시작",
    "deployment_ended": "배치 종료",
    "deployment_suspended": "배치 보류",
    "audit_reported": "측정 점검",
    "erasure_ordered": "기록 삭제 요청",
    "pairing_erased": "기록 삭제 결과",
    "capacity_reported": "장비 용량 보고",
    "trial_ended": "실증 종료",
    "pairing_concluded": "판정",
    "objection_period_opened": "이의 제기 기간 시작",
    "objection_raised": "이의 제기",
    "objection_resolved": "이의 심의",
    "pairing_settled": "판정 확정",
    "follow_up_recorded": "후속 조치 기록",
    "pairing_stopped": "매칭 중단",
    "pairing_withdrawn": "매칭 철회",
    "pairing_expired": "기한 만료",
    "plant_paused": "계측 일시 중지",
    "plant_resumed": "계측 재개",
    "key_published": "서명 키 공개",
    "request_refused": "요청 거절",
}
#: Commands by their kind, likewise.
_COMMANDS = {
    "register_organisation": "기관 등록",
    "open_programme": "사업 개설",
    "admit_plant": "공장 등록",
    "declare_need": "수요 등록",
    "propose_pairing": "매칭 제안",
    "amend_agreement": "협약 변경",
    "consent_to_agreement": "협약 동의",
    "start_rehearsal": "예행 시작",
    "end_rehearsal": "예행 종료",
    "start_trial": "실증 시작",
    "submit_candidate": "후보 모델 제출",
    "retire_candidate": "후보 모델 철수",
    "return_candidate": "후보 모델 반환",
    "resume_candidate": "후보 모델 재개",
    "end_trial": "실증 종료",
    "stop_pairing": "매칭 중단",
    "withdraw_pairing": "매칭 철회",
    "object_to_verdict": "이의 제기",
    "resolve_objection": "이의 심의",
    "record_follow_up": "후속 조치 기록",
    "pause_plant": "계측 일시 중지",
    "resume_plant": "계측 재개",
    "publish_key": "서명 키 공개",
    "report_rehearsal": "예행 결과 보고",
    "report_conclusion": "판정 보고",
    "report_started": "배치 시작 보고",
    "report_ended": "배치 종료 보고",
    "report_suspended": "배치 보류 보고",
    "report_audit": "측정 점검 보고",
    "erase_records": "기록 삭제",
    "report_erased": "기록 삭제 보고",
    "report_capacity": "장비 용량 보고",
    "report_rejections": "거부된 메시지 보고",
    "unreadable": "읽을 수 없는 요청",
}


def kind_of(kind: str) -> Phrase:
    """What a kind of fact or command is called."""
    plain = kind.replace("_", " ")
    return Phrase(plain, _FACTS.get(kind) or _COMMANDS.get(kind) or plain)
