"""What became of a pairing's records, in words, English or Korean."""

from __future__ import annotations

from collections.abc import Iterable

from infra.words.language import NOTHING, Phrase
from schemas.erasure import Erasure, Part, Remaining

PARTS = {
    "telemetry": Phrase("telemetry", "계측 데이터"),
    "ledger": Phrase("ledger", "원장"),
    "artifacts": Phrase("files of candidates", "후보 모델 파일"),
}


def erasure_ordered(parts: Iterable[Part]) -> Phrase:
    """What is to be deleted."""
    named = [PARTS[one] for one in parts]
    english, korean = ", ".join(one.en for one in named), ", ".join(one.ko for one in named)
    return Phrase(f"ordered to erase: {english}", f"기록 삭제를 요청함: {korean}")


def erased(erasure: Erasure) -> Phrase:
    """What is gone, and what is not."""
    gone = "; ".join(f"{one.topic}/{one.partition} {one.first}–{one.until - 1}" for one in erasure.erased)
    files = ", ".join(erasure.files_erased)
    told = Phrase(f"erased: {gone or 'no records'}", f"삭제됨: {gone or '기록 없음'}")
    if files:
        told += Phrase(f"; files of {files}", f"; 파일: {files}")
    for one in erasure.remaining:
        told += Phrase("; ", "; ") + remaining(one)
    if erasure.files_remaining:
        left = ", ".join(erasure.files_remaining)
        told += Phrase(f"; not yet: files of {left}", f"; 아직 남음: {left} 파일")
    return told


def remaining(one: Remaining) -> Phrase:
    """What cannot go yet, because of whom, and until when."""
    where = f"{one.topic}/{one.partition} {one.first}–{one.until - 1}"
    return Phrase(f"not yet: {where}", f"아직 남음: {where}") + _why(one)


def _why(one: Remaining) -> Phrase:
    if not one.needed_by:
        return NOTHING
    who = ", ".join(one.needed_by)
    until = f"{one.due:%Y-%m-%d %H:%M} UTC" if one.due is not None else None
    return Phrase(
        f" (needed by {who}" + (f" until {until})" if until else "; it goes once that is over and erased)"),
        f" ({who}에서 필요" + (f", {until}까지)" if until else ", 해당 매칭이 끝나고 삭제된 뒤에 삭제됨)"),
    )
