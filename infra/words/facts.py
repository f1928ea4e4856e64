"""Facts in words, English or Korean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from infra.words.erasures import erased, erasure_ordered
from infra.words.fact_names import OUTCOMES, VERDICTS, kind_of
from infra.words.language import NOTHING, Phrase
from infra.words.rejections import reason
from infra.words.said import said
from schemas.events import (
    AuditReported,
    Body,
    CapacityReported,
    ConsentGiven,
    DeploymentStarted,
    PairingConcluded,
    PlantPaused,
    RequestRefused,
)
from schemas.faults import Fault
from schemas.pairing import BASELINES, Rehearsal

_RESOLUTIONS = {"upheld": Phrase("upheld", "인용"), "dismissed": Phrase("dismissed", "기각")}
_FAULTS = {
    "error": Phrase("error", "오류"),
    "timeout": Phrase("timeout", "시간 초과"),
    "memory": Phrase("memory", "메모리 초과"),
    "nonsense": Phrase("nonsense", "잘못된 출력"),
    "died": Phrase("died", "비정상 종료"),
    "suspended": Phrase("suspended", "보류 중"),
}


def told(body: Body) -> Phrase:
    """A fact as a sentence."""
    match body.kind:
        case "pairing_proposed":
            short = body.agreement_digest[:12]
            return Phrase(f"proposed the pairing, agreement {short}…", f"매칭을 제안함, 협약 {short}…")
        case "agreement_amended":
            short, why = body.agreement_digest[:12], said(body.reason)
            return Phrase(
                f"amended the agreement to {short}…: {why.en}", f"협약 변경안 {short}… 제출: {why.ko}"
            )
        case "consent_given":
            return _consent(body)
        case "rehearsal_started":
            return Phrase("started the rehearsal", "예행을 시작함")
        case "rehearsal_ended":
            return Phrase("ended the rehearsal", "예행을 종료함")
        case "rehearsal_reported":
            return _rehearsal(body.rehearsal)
        case "trial_started":
            return Phrase("started the trial", "실증을 시작함")
        case "trial_ended":
            why = said(body.reason)
            return Phrase(f"ended the trial: {why.en}", f"실증을 종료함: {why.ko}")
        case "request_refused":
            return _refusal(body)
        case _:
            return _told_of_candidates(body)


def _told_of_candidates(body: Body) -> Phrase:
    match body.kind:
        case "candidate_submitted":
            one = body.candidate
            return Phrase(
                f"submitted candidate {one.id} ({one.model} version {one.version}, {one.digest[:12]}…)",
                f"후보 모델 {one.id} 제출 ({one.model} 버전 {one.version}, {one.digest[:12]}…)",
            )
        case "candidate_retired":
            why = said(body.reason)
            return Phrase(
                f"retired candidate {body.candidate}: {why.en}", f"후보 모델 {body.candidate} 철수: {why.ko}"
            )
        case "candidate_returned":
            why = said(body.reason)
            return Phrase(
                f"gave candidate {body.candidate} back, its place is free again: {why.en}",
                f"후보 모델 {body.candidate} 반환(제출 한도에서 제외): {why.ko}",
            )
        case "candidate_resumed":
            why = said(body.reason)
            return Phrase(
                f"resumed candidate {body.candidate}: {why.en}", f"후보 모델 {body.candidate} 재개: {why.ko}"
            )
        case "deployment_started":
            return _loaded(body)
        case "deployment_ended":
            what = deployed(body.deployment)
            return Phrase(
                f"{what.en} answered everything that was due", f"{what.ko}: 처리할 데이터를 모두 처리함"
            )
        case "deployment_suspended":
            what, fault = deployed(body.deployment), fault_in_words(body.fault)
            return Phrase(f"suspended {what.en}: {fault.en}", f"{what.ko} 보류: {fault.ko}")
        case "audit_reported":
            return _audit(body)
        case "erasure_ordered":
            return erasure_ordered(body.parts)
        case "pairing_erased":
            return erased(body.erasure)
        case _:
            return _told_of_the_end(body)


def _told_of_the_end(body: Body) -> Phrase:
    match body.kind:
        case "pairing_concluded":
            return _conclusion(body)
        case "objection_period_opened":
            until = f"{body.until:%Y-%m-%d %H:%M} UTC"
            return Phrase(f"objections may be raised until {until}", f"{until}까지 이의를 제기할 수 있음")
        case "objection_raised":
            return Phrase(f"{body.person} objected: {body.reason}", f"{body.person} 이의 제기: {body.reason}")
        case "objection_resolved":
            decided = _RESOLUTIONS[body.resolution]
            return Phrase(
                f"the objection was {decided.en}: {body.reason}", f"이의 {decided.ko}: {body.reason}"
            )
        case "pairing_settled":
            return Phrase(
                "the verdict stands: the objection period is over", "이의 제기 기간이 끝나 판정이 확정됨"
            )
        case "follow_up_recorded":
            followed = outcome(body.outcome, body.note)
            return Phrase(f"what followed: {followed.en}", f"후속 조치: {followed.ko}")
        case "pairing_stopped":
            return Phrase(f"stopped the pairing: {body.reason}", f"매칭을 중단함: {body.reason}")
        case "pairing_withdrawn":
            return Phrase(f"withdrew: {body.reason}", f"매칭을 철회함: {body.reason}")
        case "pairing_expired":
            who = ", ".join(body.waited_for)
            return Phrase(f"expired: {who} did not act in time", f"기한 만료: {who}의 조치가 없었음")
        case _:
            return _told_of_participants(body)


def _told_of_participants(body: Body) -> Phrase:
    match body.kind:
        case "organisation_registered":
            return Phrase(
                f"registered {body.organisation.id} ({body.organisation.name})",
                f"기관 {body.organisation.id} 등록 ({body.organisation.name})",
            )
        case "programme_opened":
            return Phrase(
                f"opened programme {body.programme.id} ({body.programme.name})",
                f"사업 {body.programme.id} 개설 ({body.programme.name})",
            )
        case "plant_admitted":
            return Phrase(
                f"admitted plant {body.plant.id} ({body.plant.name})",
                f"공장 {body.plant.id} 등록 ({body.plant.name})",
            )
        case "need_declared":
            return Phrase(
                f"declared need {body.need.id} ({body.need.title})",
                f"수요 {body.need.id} 등록 ({body.need.title})",
            )
        case "plant_paused":
            why = paused(body)
            return Phrase(f"paused plant {body.plant}: {why.en}", f"공장 {body.plant} 일시 중지: {why.ko}")
        case "plant_resumed":
            return Phrase(f"resumed plant {body.plant}", f"공장 {body.plant} 재개")
        case "capacity_reported":
            return _capacity(body)
        case "key_published":
            short = f"{body.key[:12]}…"
            return Phrase(
                f"published the signing key of {body.holder}: {short}",
                f"{body.holder}의 서명 키 공개: {short}",
            )
        case kind:
            return kind_of(kind)


def paused(body: PlantPaused) -> Phrase:
    """Why a plant is paused, with the figures where too much was rejected."""
    found = body.rejections
    if found is None:
        return said(body.reason)
    why = reason(found.reason)
    return Phrase(
        f"{found.rejected} of the last {found.of} messages on {found.topic} were rejected, most of them as "
        f"{why.en}: {found.detail}",
        f"{found.topic}의 최근 메시지 {found.of}건 중 {found.rejected}건 거부, 주된 사유 {why.ko}: {found.detail}",
    )


# --- the longer sentences ---------------------------------------------------------------------------------------------


def _consent(body: ConsentGiven) -> Phrase:
    short = body.agreement_digest[:12]
    consented = Phrase(
        f"consented to agreement {short}…, signed by {body.person}",
        f"협약 {short}…에 동의함, 서명 {body.person}",
    )
    if body.until is None:
        return consented
    return consented + Phrase("; the trial under the earlier terms ends", "; 이전 조건의 실증은 종료됨")


def _rehearsal(shown: Rehearsal) -> Phrase:
    if shown.passed:
        told = Phrase(f"the rehearsal passed on {shown.rows} rows", f"예행 통과, {shown.rows}행")
        return told + _checks(shown)
    remarks = several(shown.remarks)
    told = Phrase(f"the rehearsal did not pass: {remarks.en}", f"예행 미통과: {remarks.ko}")
    return told + _checks(shown)


def _checks(shown: Rehearsal) -> Phrase:
    """What it says about the decision by units, where one is agreed."""
    units, rule = shown.units, shown.check
    if units is None or rule is None:
        return Phrase("", "")
    passed = {
        True: Phrase("pass", "통과"),
        False: Phrase("do not pass", "미통과"),
        None: Phrase("are too few to check", "점검하기에 부족"),
    }
    apart = "" if units.dependence is None else f", {units.dependence:.3g}"
    said = Phrase(
        f"; {units.units} units {passed[units.passed].en} (dependence{apart or ' unknown'})",
        f"; 판정 단위 {units.units}개 {passed[units.passed].ko}(의존도{apart or ' 알 수 없음'})",
    )
    if not rule.detectors:
        return said + Phrase("; the rule cannot be checked", "; 판정 규칙은 점검할 수 없음")
    worst = min(rule.detectors, key=lambda one: one.headroom)
    rate, verdict = f"{100 * worst.accepted:.3g}", passed[rule.passed]
    said += _needed(shown.needed)
    return said + Phrase(
        f"; the rule {'passes' if rule.passed else verdict.en}, nearest: {worst.name!r} accepted in {rate} % of "
        f"{rule.trials} trials",
        f"; 판정 규칙 {verdict.ko}, 한계에 가장 가까운 것: {worst.name!r} {rule.trials}회 중 {rate}% 합격",
    )


def _needed(units: Mapping[str, int | None]) -> Phrase:
    """How many units candidates would need if the trial went on like the rehearsal."""
    if not units:
        return NOTHING
    known = {name: "–" if count is None else str(count) for name, count in sorted(units.items())}
    listed = ", ".join(f"{name} {count}" for name, count in known.items())
    return Phrase(f"; units needed at these rates: {listed}", f"; 이 추세라면 필요한 판정 단위 수: {listed}")


def _refusal(body: RequestRefused) -> Phrase:
    what = kind_of(body.command)
    return Phrase(f"was refused ({what.en}): {body.why.en}", f"거절됨 ({what.ko}): {body.why.ko}")


def _loaded(body: DeploymentStarted) -> Phrase:
    what, seconds = deployed(body.deployment), body.load_ms / 1000
    return Phrase(
        f"loaded {what.en} (sandbox {body.sandbox}, {seconds:.1f} s)",
        f"{what.ko} 불러옴(격리 {body.sandbox}, {seconds:.1f}초)",
    )


def _audit(body: AuditReported) -> Phrase:
    if not body.alarms:
        return Phrase("checked the measurement: it is whole", "측정 점검: 이상 없음")
    alarms = several(body.alarms)
    return Phrase(f"checked the measurement, alarm: {alarms.en}", f"측정 점검 경고: {alarms.ko}")


def _capacity(body: CapacityReported) -> Phrase:
    one = body.capacity
    carried = Phrase(
        f"the machine of {body.plant} has {one.cores} cores and {one.memory_mb} MB, sandbox {one.sandbox}",
        f"공장 {body.plant}의 장비: 코어 {one.cores}개, 메모리 {one.memory_mb}MB, 격리 {one.sandbox}",
    )
    if not one.unsandboxed:
        return carried
    return carried + Phrase("; models may run without a sandbox", ", 격리 없는 실행 허용")


def _conclusion(body: PairingConcluded) -> Phrase:
    # The agreement may keep the verdicts from whoever is told of the conclusion.
    if not body.verdicts:
        return Phrase("the verdicts have fallen", "판정이 나옴")
    english = ", ".join(f"{name} {VERDICTS[one].en}" for name, one in body.verdicts.items())
    korean = ", ".join(f"{name} {VERDICTS[one].ko}" for name, one in body.verdicts.items())
    return Phrase(f"the verdicts have fallen: {english}", f"판정: {korean}")


# --- parts of sentences -----------------------------------------------------------------------------------------------


def deployed(ident: str) -> Phrase:
    """What a deployment runs, by its id, and in which rehearsal or trial where it is not the first trial."""
    name, _, phase = ident.rpartition("/")[2].partition(".")
    what = (
        Phrase("the baselines", "비교 기준")
        if name == BASELINES
        else Phrase(f"candidate {name}", f"후보 모델 {name}")
    )
    kind, _, number = phase.rpartition("-")
    if not kind:
        return what
    korean = {"rehearsal": "예행", "trial": "실증"}.get(kind, kind)
    return what + Phrase(f" in {kind} {number}", f"({korean} {number}회차)")


def fault_in_words(fault: Fault) -> Phrase:
    """A candidate's fault: `error (ValueError, model.py:12), 3 times`."""
    kind = _FAULTS.get(fault.kind, Phrase(fault.kind, fault.kind))
    where = ", ".join(part for part in (fault.exception, fault.where) if part)
    places = f" ({where})" if where else ""
    times = Phrase("once", "1회") if fault.count == 1 else Phrase(f"{fault.count} times", f"{fault.count}회")
    return Phrase(f"{kind.en}{places}, {times.en}", f"{kind.ko}{places}, {times.ko}")


def outcome(what: str, note: str) -> Phrase:
    """What came of a proof, with its note."""
    behind = f": {note}" if note else ""
    return OUTCOMES.get(what, Phrase(what, what)) + Phrase(behind, behind)


def several(texts: Iterable[str]) -> Phrase:
    """Texts of the platform, one after the other."""
    phrases = [said(one) for one in texts]
    return Phrase("; ".join(one.en for one in phrases), "; ".join(one.ko for one in phrases))
