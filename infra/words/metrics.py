"""What metrics are called in front of a committee, in both languages."""

from __future__ import annotations

from infra.words.language import Phrase

_NAMES = {
    "f1": Phrase("F1", "F1"),
    "precision": Phrase("precision", "정밀도"),
    "recall": Phrase("recall", "재현율"),
    "accuracy": Phrase("accuracy", "정확도"),
    "far": Phrase("false alarm rate (FAR)", "오경보율(FAR)"),
    "mar": Phrase("missed alarm rate (MAR)", "미탐율(MAR)"),
    "balanced_accuracy": Phrase("balanced accuracy", "균형 정확도"),
    "mcc": Phrase("Matthews correlation (MCC)", "매슈스 상관계수(MCC)"),
    "average_precision": Phrase("average precision", "평균 정밀도(AP)"),
    "brier": Phrase("Brier score", "브라이어 점수"),
    "log_loss": Phrase("log loss", "로그 손실"),
    "macro_precision": Phrase("macro precision", "매크로 정밀도"),
    "macro_recall": Phrase("macro recall", "매크로 재현율"),
    "macro_f1": Phrase("macro F1", "매크로 F1"),
    "event_recall": Phrase("events found", "사건 탐지율"),
    "detection_delay_s": Phrase("detection delay (s)", "탐지 지연(초)"),
    "false_alarms_per_day": Phrase("false alarms a machine-day", "설비·일당 오경보 수"),
    "nab": Phrase("NAB score", "NAB 점수"),
    "nab_low_fp": Phrase("NAB score, few false alarms", "NAB 점수(오경보 중시)"),
    "nab_low_fn": Phrase("NAB score, few misses", "NAB 점수(미탐 중시)"),
    "mae": Phrase("mean absolute error (MAE)", "평균 절대 오차(MAE)"),
    "rmse": Phrase("root mean square error (RMSE)", "평균 제곱근 오차(RMSE)"),
    "r2": Phrase("R²", "결정계수(R²)"),
    "mape": Phrase("mean absolute percentage error (MAPE)", "평균 절대 백분율 오차(MAPE)"),
    "phm08": Phrase("PHM08 score", "PHM08 점수"),
    "bias": Phrase("bias", "편향"),
    "error_rate": Phrase("share of wrong answers", "오답 비율"),
}


def metric(name: str) -> Phrase:
    """What a metric is called; one without a name of its own by its id."""
    return _NAMES.get(name, Phrase(name, name))
