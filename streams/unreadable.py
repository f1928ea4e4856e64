"""Requests that cannot be read: what is wrong with them, and where."""

from __future__ import annotations

from pydantic import ValidationError

from schemas.events import RequestRefused
from streams.frames import first_problem
from streams.topics import MESSAGE_BYTES

#: What is wrong, by the beginning of pydantic's name for it. Other things are said as pydantic says them.
_KOREAN = {
    "missing": "필수 항목이 없습니다",
    "extra_forbidden": "없는 항목입니다",
    "json_invalid": "올바른 JSON이 아닙니다",
    "union_tag": "종류(kind)가 없거나 알 수 없는 값입니다",
    "string_pattern_mismatch": "쓸 수 없는 글자가 있습니다",
    "string_too_short": "너무 짧습니다",
    "string_too_long": "너무 깁니다",
    "string": "글자 값이 필요합니다",
    "literal_error": "목록에 없는 값입니다",
    "enum": "목록에 없는 값입니다",
    "datetime": "2026-03-02T09:00:00+09:00과 같은 시각이 필요합니다",
    "int": "정수가 필요합니다",
    "float": "숫자가 필요합니다",
    "too_short": "목록에 항목이 부족합니다",
    "model": "항목을 모은 객체가 필요합니다",
}
TOO_LARGE = RequestRefused(
    command="unreadable",
    reason=f"the request is larger than {MESSAGE_BYTES} bytes",
    reason_ko=f"요청이 너무 큽니다. {MESSAGE_BYTES}바이트까지 보낼 수 있습니다.",
)
#: Characters of what is told: it may quote what was sent.
MOST = 1000


def unreadable(error: ValidationError) -> RequestRefused:
    """The refusal of a request that is none."""
    said = first_problem(error)
    return RequestRefused(
        command="unreadable",
        reason=f"the request cannot be read: {said}"[:MOST],
        reason_ko=f"요청을 읽을 수 없습니다. 고쳐서 새로 보내 주세요. {_in_korean(error)}({said})"[:MOST],
    )


def _in_korean(error: ValidationError) -> str:
    detail = error.errors(include_url=False)[0]
    kind = detail["type"]
    if kind == "term":
        # The terms of an agreement say themselves what is wrong with them.
        return str(detail["ctx"]["ko"])
    return next((words for start, words in _KOREAN.items() if kind.startswith(start)), "값을 확인해 주세요")
