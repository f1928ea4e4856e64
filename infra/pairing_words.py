"""A pairing and its story in words, English or Korean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from infra.words import Lang, Phrase
from schemas.events import Body, Fact
from schemas.pairing import Pairing, Phase
from streams.deadlines import CLOCK
from streams.lifecycle import who_acts_next

PHASES = {
    Phase.PROPOSED: Phrase("proposed", "제안됨"),
    Phase.AGREED: Phrase("agreed", "협약됨"),
    Phase.REHEARSING: Phrase("rehearsing", "예행 중"),
    Phase.RUNNING: Phrase("running", "실증 중"),
    Phase.CLOSING: Phrase("closing, labels still due", "마감 중(라벨 대기)"),
    Phase.CONCLUDED: Phrase("concluded", "판정 완료"),
    Phase.OBJECTION_PERIOD: Phrase("objection period", "이의 제기 기간"),
    Phase.SETTLED: Phrase("settled", "확정"),
    Phase.FOLLOWED_UP: Phrase("followed up", "후속 조치 완료"),
    Phase.STOPPED: Phrase("stopped", "중단"),
    Phase.WITHDRAWN: Phrase("withdrawn", "철회"),
    Phase.EXPIRED: Phrase("expired", "기한 만료"),
}

_NEXT = {
    Phase.PROPOSED: Phrase("consent to the agreement", "협약 동의"),
    Phase.AGREED: Phrase(
        "start the trial (or a rehearsal), or submit a candidate", "실증(또는 예행) 시작 또는 후보 모델 제출"
    ),
    Phase.REHEARSING: Phrase(
        "send telemetry and labels, then end the rehearsal", "계측·라벨 전송 후 예행 종료"
    ),
    Phase.RUNNING: Phrase("send telemetry and labels, then end the trial", "계측·라벨 전송 후 실증 종료"),
    Phase.CLOSING: Phrase("send the labels that are still due", "남은 라벨 전송"),
    Phase.OBJECTION_PERIOD: Phrase("decide on the open objection", "제기된 이의 심의"),
    Phase.SETTLED: Phrase("record what follows", "후속 조치 기록"),
}

_VERDICTS = {
    "accepted": Phrase("accepted", "합격"),
    "rejected": Phrase("rejected", "불합격"),
    "equivalent": Phrase("equivalent", "동등"),
    "inconclusive": Phrase("inconclusive", "판정 보류"),
}


def lines(pairing: Pairing, lang: Lang) -> Iterator[tuple[str, str]]:
    """Where a pairing stands, as names and texts."""
    yield Phrase("pairing", "매칭").to(lang), pairing.id
    yield Phrase("manufacturer, plant", "제조기업, 공장").to(lang), f"{pairing.manufacturer}, {pairing.plant}"
    yield Phrase("start-up", "스타트업").to(lang), pairing.startup
    yield Phrase("stands", "단계").to(lang), PHASES[pairing.phase].to(lang)
    yield Phrase("since", "시작").to(lang), f"{pairing.since:%Y-%m-%d %H:%M:%S} UTC"
    yield Phrase("because", "사유").to(lang), pairing.why
    waiting = who_acts_next(pairing)
    if waiting:
        what = _NEXT[pairing.phase].to(lang)
        yield Phrase("next", "다음 행동").to(lang), f"{', '.join(waiting)}: {what}"
    if pairing.due is not None:
        yield Phrase("until", "기한").to(lang), f"{pairing.due:%Y-%m-%d %H:%M} UTC"
    if pairing.paused:
        yield (
            Phrase("paused", "일시 중지").to(lang),
            Phrase("the plant has paused its telemetry", "공장이 계측을 멈췄습니다").to(lang),
        )
    yield Phrase("agreement", "협약").to(lang), f"{pairing.agreement_digest[:12]}… (r{pairing.revision})"
    for consent in pairing.consents:
        yield (
            Phrase("consent", "동의").to(lang),
            f"{consent.party}: {consent.person}, {consent.at:%Y-%m-%d %H:%M} UTC",
        )
    for candidate in pairing.candidates:
        gone = Phrase(" (retired)", " (철수)").to(lang) if candidate.id in pairing.retired else ""
        yield Phrase("candidate", "후보 모델").to(lang), f"{candidate.id}{gone}, {candidate.digest[:12]}…"
    for name, verdict in pairing.verdicts.items():
        yield Phrase("verdict", "판정").to(lang), f"{name}: {_VERDICTS[verdict].to(lang)}"


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


def told(body: Body) -> Phrase:
    """A fact as a sentence."""
    match body.kind:
        case "pairing_proposed":
            short = body.agreement_digest[:12]
            return Phrase(f"proposed the pairing, agreement {short}…", f"매칭을 제안함, 협약 {short}…")
        case "agreement_amended":
            short = body.agreement_digest[:12]
            return Phrase(
                f"amended the agreement to {short}…: {body.reason}",
                f"협약을 {short}…로 변경함: {body.reason}",
            )
        case "consent_given":
            short = body.agreement_digest[:12]
            return Phrase(
                f"consented to agreement {short}…, signed by {body.person}",
                f"협약 {short}…에 동의함, 서명 {body.person}",
            )
        case "rehearsal_started":
            return Phrase("started the rehearsal", "예행을 시작함")
        case "rehearsal_ended":
            return Phrase("ended the rehearsal", "예행을 종료함")
        case "rehearsal_reported":
            return _rehearsal(body.rehearsal.passed, body.rehearsal.rows, body.rehearsal.remarks)
        case "trial_started":
            return Phrase("started the trial", "실증을 시작함")
        case "candidate_submitted":
            one = body.candidate
            return Phrase(
                f"submitted candidate {one.id} ({one.model} version {one.version}, {one.digest[:12]}…)",
                f"후보 모델 {one.id} 제출 ({one.model} 버전 {one.version}, {one.digest[:12]}…)",
            )
        case "candidate_retired":
            return Phrase(
                f"retired candidate {body.candidate}: {body.reason}",
                f"후보 모델 {body.candidate} 철수: {body.reason}",
            )
        case _:
            return _told_of_the_end(body)


def _told_of_the_end(body: Body) -> Phrase:
    match body.kind:
        case "trial_ended":
            return Phrase(f"ended the trial: {body.reason}", f"실증을 종료함: {body.reason}")
        case "pairing_concluded":
            english = ", ".join(f"{name} {_VERDICTS[one].en}" for name, one in body.verdicts.items())
            korean = ", ".join(f"{name} {_VERDICTS[one].ko}" for name, one in body.verdicts.items())
            return Phrase(f"the verdicts have fallen: {english}", f"판정: {korean}")
        case "objection_period_opened":
            return Phrase(
                f"objections may be raised until {body.until:%Y-%m-%d %H:%M} UTC",
                f"{body.until:%Y-%m-%d %H:%M} UTC까지 이의를 제기할 수 있음",
            )
        case "objection_raised":
            return Phrase(f"{body.person} objected: {body.reason}", f"{body.person} 이의 제기: {body.reason}")
        case "objection_resolved":
            decided = Phrase("upheld", "인용") if body.resolution == "upheld" else Phrase("dismissed", "기각")
            return Phrase(
                f"the objection was {decided.en}: {body.reason}", f"이의 {decided.ko}: {body.reason}"
            )
        case "pairing_settled":
            return Phrase(
                "the verdict stands: the objection period is over", "이의 제기 기간이 끝나 판정이 확정됨"
            )
        case "follow_up_recorded":
            return Phrase(
                f"what followed: {body.outcome} {body.note}".rstrip(),
                f"후속 조치: {body.outcome} {body.note}".rstrip(),
            )
        case "pairing_stopped":
            return Phrase(f"stopped the pairing: {body.reason}", f"매칭을 중단함: {body.reason}")
        case "pairing_withdrawn":
            return Phrase(f"withdrew: {body.reason}", f"매칭을 철회함: {body.reason}")
        case "pairing_expired":
            who = ", ".join(body.waited_for)
            return Phrase(f"expired: {who} did not act in time", f"기한 만료: {who}의 조치가 없었음")
        case "request_refused":
            what = body.command.replace("_", " ")
            return Phrase(f"was refused ({what}): {body.reason}", f"거절됨 ({what}): {body.reason}")
        case kind:
            return Phrase(kind.replace("_", " "), kind.replace("_", " "))


def _rehearsal(passed: bool, rows: int, remarks: tuple[str, ...]) -> Phrase:
    said = "; ".join(remarks)
    if passed:
        return Phrase(f"the rehearsal passed on {rows} rows", f"예행 통과, {rows}행")
    return Phrase(f"the rehearsal did not pass: {said}", f"예행 미통과: {said}")
