"""What became of a pairing's records, in words, English or Korean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from infra.words.language import NOTHING, Phrase
from schemas.erasure import Erasure, Part, Remaining
from streams import topics

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
    """What is gone, and what is not, as one sentence."""
    first, *rest = lines(erasure)
    for one in rest:
        first += Phrase("; ", "; ") + one
    return first


def lines(erasure: Erasure) -> Iterator[Phrase]:
    """What is gone and what is not, one thing after the other."""
    gone = ", ".join(f"{one.topic}/{one.partition} {one.first}–{one.until - 1}" for one in erasure.erased)
    yield Phrase(f"erased: {gone or 'no records'}", f"삭제됨: {gone or '기록 없음'}")
    if erasure.files_erased:
        files = ", ".join(erasure.files_erased)
        yield Phrase(f"files gone from the machine: {files}", f"장비에서 삭제된 파일: {files}")
    for one in erasure.remaining:
        yield remaining(one)
    if erasure.files_remaining:
        left = ", ".join(erasure.files_remaining)
        yield Phrase(
            f"not yet: files of {left}, which another pairing runs",
            f"아직 남음: {left} 파일(다른 매칭에서 사용 중)",
        )
    if any(one.topic.startswith(topics.ledger("")) for one in erasure.erased):
        yield Phrase(
            "the ledger is gone: its scores can no longer be recomputed; hash of its last entry: "
            f"{erasure.chain or 'none was published'}",
            "원장이 삭제되어 점수를 다시 계산할 수 없음. 마지막 항목의 해시: "
            f"{erasure.chain or '공개된 것이 없음'}",
        )


def remaining(one: Remaining) -> Phrase:
    """What cannot go yet, because of whom, and until when."""
    where = f"{one.topic}/{one.partition} {one.first}–{one.until - 1}"
    return Phrase(f"not yet: {where}", f"아직 남음: {where}") + _why(one)


def _why(one: Remaining) -> Phrase:
    if not one.needed_by:
        return NOTHING
    who = ", ".join(one.needed_by)
    if one.due is None:
        return Phrase(
            f" (needed by {who}; it goes once that is over and erased)",
            f" ({who}에서 필요, 해당 매칭이 끝나고 삭제된 뒤에 삭제됨)",
        )
    until = f"{one.due:%Y-%m-%d %H:%M} UTC"
    return Phrase(f" (needed by {who} until {until})", f" ({who}에서 필요, {until}까지)")
