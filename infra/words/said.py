"""What the platform itself says in records, in Korean: a record keeps one text, in English.

What people wrote stays as they wrote it.
"""

from __future__ import annotations

import re

from infra.words.language import Phrase

#: Whole texts, with what varies in groups.
_KOREAN = {
    # Why a pairing stands where it stands.
    r"proposed": r"매칭이 제안됨",
    r"(.+) has consented": r"동의함: \1",
    r"both sides have consented": r"양쪽이 협약에 동의함",
    r"both sides have consented to other terms: a new trial has to begin": (
        r"양쪽이 변경된 협약에 동의하여 실증을 새로 시작해야 함"
    ),
    r"the rehearsal runs": r"예행이 진행 중임",
    r"the rehearsal is being looked at": r"예행 결과를 정리하고 있음",
    r"the rehearsal passed": r"예행을 통과함",
    r"the rehearsal did not pass": r"예행을 통과하지 못함",
    r"the trial runs": r"실증이 진행 중임",
    r"the verdicts have fallen": r"판정이 나옴",
    r"both sides may object": r"양쪽이 이의를 제기할 수 있음",
    r"an objection is open": r"심의할 이의가 있음",
    r"an objection was upheld": r"이의가 인용됨",
    r"an objection was dismissed": r"이의가 기각됨",
    r"the objection period is over": r"이의 제기 기간이 끝남",
    r"(.+) did not act in time": r"기한 안에 조치가 없었음: \1",
    # Reasons that nobody had to write.
    r"the agreed time is over": r"합의한 기간이 끝남",
    r"the planned trial is over": r"계획한 실증이 끝남",
    r"terms renegotiated": r"조건을 다시 협의함",
    r"replaced": r"다른 후보 모델로 교체함",
    r"too many of its messages had to be rejected": r"거부된 메시지가 너무 많음",
    # Remarks on rehearsals, and alarms.
    r"(\d+) rows came, (\d+) are agreed": r"\1행이 들어옴(합의한 행 수 \2)",
    r"(\d+) rows lacked an agreed input": r"합의한 입력값이 없는 행 \1개",
    r"no row has a label": r"라벨이 있는 행이 없음",
    r"(.+) did not answer (\d+) of (\d+) rows": r"\1: \3행 가운데 \2행에 응답하지 않음",
    r"units depend on one another: the mean of (\d+) in a row varies (.+) times as much as that of independent ones, and (.+) "
    r"is the most; agree on longer units": (
        r"판정 단위가 서로 얽혀 있음: 연속 \1개 평균의 분산이 독립일 때의 \2배(한도 \3배), 더 긴 단위로 합의 필요"
    ),
    r"(\d+) units are too few to tell whether they depend on one another, which (.+)s as units have to show": (
        r"판정 단위 \1개로는 서로 독립인지 알 수 없음(\2 단위는 입증 필요)"
    ),
    r"the rule cannot be checked with (\d+) labelled events: at least (\d+) are needed": (
        r"라벨된 사건 \1개로는 판정 규칙을 점검할 수 없음(최소 \2개)"
    ),
    r"the rule cannot be checked with the units: at least (\d+) are needed": (
        r"판정 단위가 적어 판정 규칙을 점검할 수 없음(최소 \1개)"
    ),
    r"the rule accepts a candidate that knows every label in (.+) % of the trials only": (
        r"모든 라벨을 아는 후보도 \1%만 합격하는 규칙임"
    ),
    r"the rule would accept '(.+)', which knows nothing, in (.+) % of the trials; agree on longer units, other baselines or "
    r"another loss": (
        r"아무것도 모르는 '\1'도 \2% 합격하는 규칙임, 더 긴 단위나 다른 비교 기준·손실로 합의 필요"
    ),
    r"the ledger folded again differs from the running scores": (
        r"원장을 다시 계산한 결과가 진행 중의 평가와 다름"
    ),
    r"no outcome of (.+) for offset (\d+) of telemetry partition (\d+) came within (\d+) s of one behind it": (
        r"\1: 계측 파티션 \3의 오프셋 \2 처리 결과가 뒤의 결과보다 \4초 넘게 늦어짐"
    ),
    r"the rows of (.+) do not add up: (\d+) came in, (\d+) are accounted for": (
        r"\1: 들어온 행 \2개와 집계된 행 \3개가 일치하지 않음"
    ),
    # Why the platform gives a candidate back; what a tool said may have several lines.
    r"this machine does not contain a candidate's code \(level none\)\..+": (
        "이 장비는 후보 모델의 코드를 격리하지 못함(수준 none), bubblewrap 설치 후 `fieldproof doctor`로 확인 필요"
    ),
    r"data classified (\w+) is handed only to candidates held at level full; here it is (\w+)\..+": (
        r"\1 등급의 데이터는 full 수준으로 격리된 후보 모델에만 전달됨(이 장비는 \2), bubblewrap 설치 필요"
    ),
    r"no MLflow server is known: .+": "알려진 MLflow 서버가 없음, `fieldproof up`으로 시작 필요",
    r"(?s)MLflow at (\S+) does not answer: (.+)\. Start it with `fieldproof up`, or check MLFLOW_TRACKING_URI\.": (
        r"MLflow(\1)가 응답하지 않음: \2"
    ),
    r"(?s)MLflow (?:was not ready after|ended while it started)(.+)": r"MLflow가 시작되지 못함:\1",
    r"uv is not installed, which builds .+": "후보 모델의 실행 환경을 만드는 uv가 설치되어 있지 않음",
    r"(?s)the time was up while `(.+?)` was still running\.(.*)": (
        r"실행 환경을 만들다가 시간을 초과함(`\1`).\2"
    ),
    r"the disk of (.+) has (.+) left, and (.+) have to stay free\. Make room, then try again\.": (
        r"\1의 디스크 여유가 \2뿐임(\3 이상이어야 함)"
    ),
    r"(?s)the environment cannot be built here at present: (.+) Check the network and the package index .+": (
        r"지금은 실행 환경을 만들 수 없음: \1 네트워크와 패키지 저장소 확인 필요"
    ),
    r"(?s)the model was made with Python (.+?); this machine has (.+?), and no other could be fetched\. .+ uv says: (.+)": (
        r"모델은 Python \1로 만들어졌는데 이 장비에는 \2만 있고 내려받을 수도 없음. uv: \3"
    ),
}


def said(text: str) -> Phrase:
    """A text of a record in both languages; one that the platform did not make is the same in both."""
    for pattern, korean in _KOREAN.items():
        found = re.fullmatch(pattern, text)
        if found:
            return Phrase(text, found.expand(korean))
    return Phrase(text, text)
