"""A pairing and its story in words, English or Korean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from infra.words.fact_names import VERDICTS, kind_of
from infra.words.facts import deployed, fault_in_words, outcome, told
from infra.words.language import NOTHING, Lang, Phrase
from infra.words.said import said
from schemas.events import Fact
from schemas.pairing import Pairing, Phase
from streams.deadlines import CLOCK
from streams.names import PHASES

_NEXT = {
    Phase.PROPOSED: Phrase("consent to the agreement", "협약 동의"),
    Phase.AGREED: Phrase("start the trial, or a rehearsal", "실증(또는 예행) 시작"),
    Phase.REHEARSING: Phrase(
        "send telemetry and labels, then end the rehearsal", "계측·라벨 전송 후 예행 종료"
    ),
    Phase.RUNNING: Phrase("send telemetry and labels, then end the trial", "계측·라벨 전송 후 실증 종료"),
    Phase.CLOSING: Phrase("send the labels that are still due", "남은 라벨 전송"),
    Phase.OBJECTION_PERIOD: Phrase("decide on the open objection", "제기된 이의 심의"),
    Phase.SETTLED: Phrase("record what follows", "후속 조치 기록"),
}
_SUBMIT = Phrase("submit a candidate", "후보 모델 제출")
_AMENDED = Phrase(
    "consent to the amended agreement; the trial goes on meanwhile",
    "변경된 협약에 동의(그동안 실증은 계속됨)",
)


def lines(pairing: Pairing, lang: Lang) -> Iterator[tuple[str, str]]:
    """Where a pairing stands, as names and texts."""
    for name, text in (*_where(pairing), *_terms(pairing), *_what_runs(pairing)):
        yield name.to(lang), text.to(lang)


def why(pairing: Pairing) -> Phrase:
    """Why it stands where it stands."""
    if pairing.phase is Phase.FOLLOWED_UP:
        what, _, note = pairing.why.partition(": ")
        return outcome(what, note)
    return said(pairing.why)


def _where(pairing: Pairing) -> Iterator[tuple[Phrase, Phrase]]:
    yield Phrase("pairing", "매칭"), _same(pairing.id)
    yield Phrase("manufacturer, plant", "수요기업, 공장"), _same(f"{pairing.manufacturer}, {pairing.plant}")
    yield Phrase("start-up", "스타트업"), _same(pairing.startup)
    yield Phrase("stands", "단계"), PHASES[pairing.phase]
    yield Phrase("since", "시작"), _same(f"{pairing.since:%Y-%m-%d %H:%M:%S} UTC")
    yield Phrase("because", "사유"), why(pairing)
    yield Phrase("last step", "최근 진행"), _last_step(pairing)
    if pairing.waits_for:
        waiting = _same(f"{', '.join(pairing.waits_for)}: ")
        yield Phrase("next", "다음 행동"), waiting + _next(pairing)
    if pairing.due is not None:
        yield Phrase("until", "기한"), _same(f"{pairing.due:%Y-%m-%d %H:%M} UTC")
    if pairing.paused:
        yield (
            Phrase("paused", "일시 중지"),
            Phrase(
                "too much of what the plant sent had to be rejected", "공장이 보낸 메시지가 너무 많이 거부됨"
            )
            if pairing.held
            else Phrase("the plant has paused its telemetry", "공장이 계측을 멈췄습니다"),
        )
    for alarm in pairing.alarms:
        yield Phrase("alarm", "경고"), said(alarm)


def _terms(pairing: Pairing) -> Iterator[tuple[Phrase, Phrase]]:
    yield Phrase("agreement", "협약"), _same(f"{pairing.agreement_digest[:12]}… (r{pairing.revision})")
    if pairing.amendment is not None:
        one = pairing.amendment
        short = _same(f"{one.agreement_digest[:12]}… (r{one.revision}): ")
        yield Phrase("on the table", "변경안"), short + said(one.reason)
    for consent in pairing.consents:
        at = f"{consent.at:%Y-%m-%d %H:%M} UTC"
        yield (
            Phrase("consent", "동의"),
            _same(f"{consent.party}: {consent.person}, {at} (r{consent.revision})"),
        )


def _what_runs(pairing: Pairing) -> Iterator[tuple[Phrase, Phrase]]:
    for candidate in pairing.candidates:
        digest = f", {candidate.digest[:12]}…"
        yield (
            Phrase("candidate", "후보 모델"),
            _same(candidate.id) + _gone(candidate.id, pairing) + _same(digest),
        )
    for one in pairing.present():
        if one.suspended is not None:
            fault = fault_in_words(one.suspended)
            yield Phrase("suspended", "보류"), deployed(one.id) + _same(": ") + fault
    for name, verdict in pairing.verdicts.items():
        yield Phrase("verdict", "판정"), _same(f"{name}: ") + VERDICTS[verdict]


def _last_step(pairing: Pairing) -> Phrase:
    at = f", {pairing.progress_at:%Y-%m-%d %H:%M:%S} UTC" if pairing.progress_at is not None else ""
    return kind_of(pairing.progress) + _same(at)


def _next(pairing: Pairing) -> Phrase:
    if pairing.phase is Phase.RUNNING and pairing.amendment is not None:
        return _AMENDED
    if pairing.phase is Phase.AGREED and pairing.waits_for == (pairing.startup,):
        return _SUBMIT
    return _NEXT[pairing.phase]


def _gone(candidate: str, pairing: Pairing) -> Phrase:
    if candidate in pairing.returned:
        return Phrase(" (given back by the platform)", " (플랫폼이 반환)")
    return Phrase(" (retired)", " (철수)") if candidate in pairing.retired else NOTHING


def _same(text: str) -> Phrase:
    """A text that reads alike in both languages."""
    return Phrase(text, text)


def story(
    facts: Iterable[Fact], names: Mapping[str, str], zone: str, lang: Lang
) -> Iterator[tuple[str, str, str]]:
    """What happened: when (in the plant's time), by whom, and what with its reason."""
    clock = Phrase("time", "시간 경과").to(lang)
    for fact in facts:
        who = clock if fact.party == CLOCK else names.get(fact.party, fact.party)
        yield _local(fact.at, zone), who, told(fact.body).to(lang)


def _local(at: datetime, zone: str) -> str:
    return at.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")
