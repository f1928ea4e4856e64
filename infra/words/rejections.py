"""Why messages are rejected, in words."""

from __future__ import annotations

from infra.words.language import Phrase

_REASONS = {
    "not_readable": Phrase("not readable", "읽을 수 없음"),
    "too_large": Phrase("too large", "너무 큼"),
    "no_rows": Phrase("without rows", "행이 없음"),
    "wrong_column": Phrase("wrong columns", "열이 맞지 않음"),
    "wrong_type": Phrase("wrong type", "자료형이 맞지 않음"),
    "wrong_time": Phrase("wrong time", "시각이 맞지 않음"),
    "unknown_asset": Phrase("unknown asset", "등록되지 않은 설비"),
    "wrong_value": Phrase("wrong value", "값이 맞지 않음"),
    "unknown_kind": Phrase("unknown kind", "알 수 없는 종류"),
}


def reason(of: str) -> Phrase:
    """What a reason is called."""
    return _REASONS.get(of, Phrase(of, of))
