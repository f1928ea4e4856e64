"""What the fields of an agreement are called, and how their values read."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import rfc8785

from infra.words.language import Phrase

#: Names of terms by their path; a path that is not here has the name of the nearest one above it.
NAMES: dict[str, Phrase] = {
    "task": Phrase("task", "과제"),
    "assets": Phrase("assets", "설비"),
    "inputs": Phrase("inputs", "입력값"),
    "target": Phrase("what is predicted", "예측 대상"),
    "unit": Phrase("unit of the target", "예측 단위"),
    "classes": Phrase("classes", "클래스"),
    "labels": Phrase("labels", "라벨"),
    "labels.deadline_days": Phrase("days within which labels count", "라벨 인정 기간(일)"),
    "labels.absent_means": Phrase("what a row without a label means", "라벨이 없는 행의 의미"),
    "labels.watermark_days": Phrase("days between watermarks", "검사 완료 보고 주기(일)"),
    "baselines": Phrase("baselines", "비교 기준"),
    "acceptance": Phrase("acceptance", "합격 기준"),
    "acceptance.metric": Phrase("metric of acceptance", "합격 지표"),
    "acceptance.at_least": Phrase("threshold, at least", "합격 기준값(이상)"),
    "acceptance.at_most": Phrase("threshold, at most", "합격 기준값(이하)"),
    "acceptance.min_rows": Phrase("least number of scored rows", "최소 채점 행 수"),
    "acceptance.max_unanswered": Phrase("largest share of unanswered rows", "무응답 최대 비율"),
    "metrics": Phrase("metrics shown", "표시할 지표"),
    "slices": Phrase("slices", "구간별 결과"),
    "decision": Phrase("decision", "판정 규칙"),
    "decision.unit": Phrase("decision unit", "판정 단위"),
    "decision.unit.minutes": Phrase("length of a decision unit in minutes", "판정 단위 길이(분)"),
    "decision.unit.offset_minutes": Phrase(
        "when decision units begin, minutes after midnight UTC", "판정 단위 시작(UTC 자정부터 분)"
    ),
    "decision.planned_units": Phrase("planned units", "계획한 판정 단위 수"),
    "decision.alpha": Phrase("chance of a wrong verdict (alpha)", "잘못 판정할 확률(alpha)"),
    "decision.margin": Phrase("margin", "마진"),
    "decision.slots": Phrase("candidates with a verdict", "판정받는 후보 수"),
    "decision.early": Phrase("early verdict", "조기 판정"),
    "decision.least_units": Phrase("least units for an early verdict", "조기 판정 최소 단위 수"),
    "decision.least_events": Phrase("least events for an early verdict", "조기 판정 최소 사건 수"),
    "decision.loss": Phrase("loss", "손실"),
    "decision.loss_cap": Phrase("cap of the loss", "손실 상한"),
    "decision.incumbent": Phrase("what the plant does today", "현행 방식"),
    "decision.expected": Phrase("expectations for planning", "계획용 예상치"),
    "cost": Phrase("costs", "비용"),
    "cost.currency": Phrase("currency", "통화"),
    "cost.false_alarm": Phrase("cost of a false alarm", "오경보 비용"),
    "cost.missed": Phrase("cost of a miss", "미탐 비용"),
    "limits": Phrase("limits", "한도"),
    "limits.timeout_s": Phrase("seconds for a frame", "데이터 묶음당 시간(초)"),
    "limits.start_timeout_s": Phrase("seconds for loading", "모델 적재 시간(초)"),
    "limits.memory_mb": Phrase("memory (MB)", "메모리(MB)"),
    "limits.context_rows": Phrase("preceding rows", "앞선 행 수"),
    "limits.cpu_s": Phrase("CPU seconds for a frame", "데이터 묶음당 CPU 시간(초)"),
    "limits.failures": Phrase("largest share of failures", "실패 최대 비율"),
    "limits.abstentions": Phrase("largest share of abstentions", "기권 최대 비율"),
    "phases": Phrase("phases", "단계"),
    "phases.rehearsal_days": Phrase("days of rehearsal", "리허설 기간(일)"),
    "phases.rehearsal_rows": Phrase("rows of rehearsal", "리허설 행 수"),
    "phases.trial_days": Phrase("days of trial", "실증 기간(일)"),
    "phases.closing_days": Phrase("days for the last labels", "마감 기간(일)"),
    "quotas.candidates": Phrase("candidates that may be submitted", "제출 가능한 후보 수"),
    "classification": Phrase("classification", "보안 등급"),
    "disclosure": Phrase("disclosure", "공개 범위"),
    "disclosure.startup": Phrase("disclosed to the start-up", "스타트업에 공개"),
    "disclosure.coordinator": Phrase("disclosed to coordinators", "운영기관에 공개"),
    "disclosure.observer": Phrase("disclosed to observers", "참관인에게 공개"),
    "training_data": Phrase("training data", "학습 데이터"),
    "rights.data": Phrase("rights in the data", "데이터 권리"),
    "rights.derived_data": Phrase("rights in derived data", "파생 데이터 권리"),
    "rights.model": Phrase("rights in the model", "모델 권리"),
    "retention": Phrase("retention", "보존 기간"),
    "retention.telemetry_days": Phrase("days that telemetry is kept", "데이터 보존(일)"),
    "retention.ledger_days": Phrase("days that the ledger is kept", "원장 보존(일)"),
    "retention.artifact_days": Phrase("days that models are kept", "모델 보존(일)"),
    "keys": Phrase("signing keys of the evidence", "증거 서명 키"),
    "keys.plant": Phrase("the plant's signing key", "공장 서명 키"),
    "keys.control": Phrase("the installation's signing key", "설치(제어) 서명 키"),
    "respond_days": Phrase("days for consent", "동의 기한(일)"),
    "objection_days": Phrase("days for objections", "이의 제기 기간(일)"),
}

NOT_AGREED = Phrase("not agreed", "정하지 않음")


def name_of(path: str) -> Phrase:
    """The name of a term, or of what it belongs to."""
    known = path
    while known not in NAMES and "." in known:
        known = known.rsplit(".", 1)[0]
    return NAMES.get(known, Phrase(path, path))


def value_text(value: Any) -> str:
    """A value of a term on one line, with every digit."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return ", ".join(value) or "–"
    return value if isinstance(value, str) else rfc8785.dumps(value).decode()


def number(value: float) -> str:
    """A number with every digit and without a tail of zeros: `14`, `0.05`, `1,200,000`."""
    whole = float(value).is_integer() and abs(value) < 1e15
    return f"{value:,.0f}" if whole else repr(value)


def percent(share: float) -> str:
    """A share in percent, with every digit: `5 %`."""
    return f"{(Decimal(repr(share)) * 100).normalize():f} %"


def joined(words: Iterable[Phrase]) -> Phrase:
    """Words one after another, with commas."""
    every = list(words)
    return Phrase(", ".join(one.en for one in every), ", ".join(one.ko for one in every))
