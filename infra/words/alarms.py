"""What an alarm about a measurement asks people to do, in both languages."""

from __future__ import annotations

import re

from infra.words.language import Phrase

_OTHER = Phrase(
    "look into the logs of the plant's scorer, and treat the scores as in doubt until the alarm is gone",
    "공장 scorer의 로그를 확인하고, 경고가 사라질 때까지 점수를 확정된 것으로 보지 마세요.",
)
_TODO = {
    r"no outcome of .+": Phrase(
        "restart the installation: its runner takes up again what is not acknowledged; if the alarm stays, end the trial "
        "and begin another, for these frames will have no outcome",
        "설치를 다시 시작하세요. 확인되지 않은 데이터부터 다시 처리합니다. 그래도 경고가 남으면 해당 데이터는 처리 결과 없이 "
        "남으므로, 실증을 종료하고 새로 시작하세요.",
    ),
    r"the rows of .+ do not add up.*": Phrase(
        "do not decide on these scores: stop the installation, remove the plant's folder below `state`, and start it again, "
        "which folds the ledger anew; if the alarm stays, report it with the log of the scorer",
        "이 점수로 결정하지 마세요. 설치를 멈추고 `state` 아래의 공장 폴더를 지운 뒤 다시 시작하면 원장을 처음부터 다시 계산합니다. "
        "그래도 경고가 남으면 scorer의 로그와 함께 알려 주세요.",
    ),
    r"the ledger folded again differs .+": Phrase(
        "do not settle on this verdict: object to it, and have the ledger computed again from its start on another machine",
        "이 판정을 확정하지 마세요. 이의를 제기하고, 다른 장비에서 원장을 처음부터 다시 계산해 보세요.",
    ),
}


def todo(alarm: str) -> Phrase:
    """What to do about an alarm of a pairing."""
    return next((what for pattern, what in _TODO.items() if re.fullmatch(pattern, alarm)), _OTHER)
