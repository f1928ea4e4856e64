"""Refusals of requests about a pairing: each names the thing and says what to do, and changes nothing."""

from __future__ import annotations

import re

import pytest
from pydantic import ValidationError

from infra.request_ids import request_id, undone
from schemas.agreement import Agreement, Baseline
from schemas.evaluation import Outcome
from schemas.events import ConsentGiven, Fact, RequestRefused
from schemas.faults import Fault
from schemas.pairing import Phase, Rehearsal
from schemas.parties import Capacity, Need, Programme, Role, SandboxLevel
from schemas.requests import (
    AdmitPlant,
    AmendAgreement,
    Command,
    ConsentToAgreement,
    DeclareNeed,
    EndRehearsal,
    EndTrial,
    ObjectToVerdict,
    OpenProgramme,
    PausePlant,
    ProposePairing,
    RecordFollowUp,
    ReportAudit,
    ReportCapacity,
    ReportConclusion,
    ReportEnded,
    ReportRehearsal,
    ReportStarted,
    ReportSuspended,
    Request,
    ResolveObjection,
    ResumeCandidate,
    ResumePlant,
    RetireCandidate,
    ReturnCandidate,
    StartRehearsal,
    StartTrial,
    StopPairing,
    SubmitCandidate,
    WithdrawPairing,
)
from schemas.terms import Phases, Quotas
from streams import topics
from streams.lifecycle import Installation
from streams.unreadable import unreadable
from tests.unit.test_control import LIFE, after, grant, organisation
from tests.unit.twins import PAIRING, PLANT, a_candidate, a_plant, an_agreement

Step = tuple[str, Command]


def proposal(*, startup: str = "startup-1", need: str = "need-1") -> ProposePairing:
    return ProposePairing(pairing=PAIRING, need=need, startup=startup, agreement=an_agreement())


KOREAN = re.compile("[가-힣]")


def changed(**terms: object) -> Agreement:
    return an_agreement().model_copy(update=terms)


def amend(agreed: Agreement, party: str = "city") -> Step:
    return party, AmendAgreement(pairing=PAIRING, agreement=agreed, reason="better")


def consents(agreed: Agreement) -> list[Step]:
    return [
        (party, ConsentToAgreement(pairing=PAIRING, agreement_digest=agreed.digest(), person=party))
        for party in ("maker", "startup-1")
    ]


def submit(ident: str, *, context_rows: int = 0) -> Step:
    one = a_candidate(ident=ident, context_rows=context_rows)
    return "startup-1", SubmitCandidate(pairing=PAIRING, candidate=one)


def carries(*, cores: int = 8, memory_mb: int = 100_000, sandbox: SandboxLevel = "full") -> Step:
    capacity = Capacity(cores=cores, memory_mb=memory_mb, sandbox=sandbox)
    return PLANT, ReportCapacity(plant=PLANT, capacity=capacity)


def started(name: str) -> Step:
    return PLANT, ReportStarted(pairing=PAIRING, deployment=f"{PAIRING}/{name}", sandbox="full", load_ms=900)


def ended(name: str) -> Step:
    return PLANT, ReportEnded(pairing=PAIRING, deployment=f"{PAIRING}/{name}")


def suspended(name: str, *, count: int = 3) -> Step:
    fault = Fault(kind="error", exception="ValueError", where="model.py:12", count=count)
    return PLANT, ReportSuspended(pairing=PAIRING, deployment=f"{PAIRING}/{name}", fault=fault)


def resume(ident: str, party: str = "maker") -> Step:
    return party, ResumeCandidate(pairing=PAIRING, candidate=ident, reason="the sensor is mended")


def give_back(ident: str, reason: str = "its files cannot be fetched") -> Step:
    return PLANT, ReturnCandidate(pairing=PAIRING, candidate=ident, reason=reason)


def conclude() -> Step:
    return PLANT, ReportConclusion(pairing=PAIRING, verdicts={})


def report(*, passed: bool) -> Step:
    shown = Rehearsal(passed=passed, rows=5, labelled=1.0, answered=1.0)
    return PLANT, ReportRehearsal(pairing=PAIRING, rehearsal=shown)


REHEARSE: Step = ("maker", StartRehearsal(pairing=PAIRING))
END_REHEARSAL: Step = ("maker", EndRehearsal(pairing=PAIRING))
START: Step = ("maker", StartTrial(pairing=PAIRING))
END: Step = ("maker", EndTrial(pairing=PAIRING))
STOP: Step = ("maker", StopPairing(pairing=PAIRING, reason="rebuilt"))
PAUSE: Step = ("maker", PausePlant(plant=PLANT, reason="repairs"))
RESUME: Step = ("maker", ResumePlant(plant=PLANT))
BARE = changed(baselines=())
LONGER = changed(objection_days=20)
LONGEST = changed(objection_days=30)

#: What went before (after both consents), the request, and parts of its refusal: in Korean those with Korean letters.
REFUSALS: dict[str, tuple[list[Step], Step, tuple[str, ...]]] = {
    "a hash that is no longer on the table": (
        [amend(changed(target="leaks"))],
        consents(an_agreement())[1],
        (
            f"the agreement on the table of {PAIRING} has the hash",
            "fieldproof agreement show",
            "`fieldproof agreement show pump-2026-01`로 협약을 다시 확인해 주세요",
        ),
    ),
    "a consent given twice": (
        [amend(changed(target="leaks")), consents(changed(target="leaks"))[0]],
        ("maker", consents(changed(target="leaks"))[0][1].model_copy(update={"person": "Another"})),
        ("maker has consented", "startup-1 has to consent next", "maker의 동의는 이미 받았습니다"),
    ),
    "a consent where nothing lies on the table": (
        [],
        ("maker", consents(an_agreement())[0][1].model_copy(update={"person": "Another"})),
        ("while an agreement lies on the table", "agreed since", "현재 단계: 협약됨"),
    ),
    "another start-up": (
        [],
        ("startup-2", SubmitCandidate(pairing=PAIRING, candidate=a_candidate())),
        ("by startup-1", "not by startup-2", PAIRING, "후보 모델 제출: startup-1만 요청할 수 있으며"),
    ),
    "a candidate in another's name": (
        [],
        (
            "startup-1",
            SubmitCandidate(
                pairing=PAIRING, candidate=a_candidate().model_copy(update={"startup": "startup-9"})
            ),
        ),
        ("names startup-9", "has to be startup-1", "적힌 스타트업: startup-9"),
    ),
    "a candidate after the trial": (
        [START, END],
        submit("v1"),
        ("from the agreement to the trial's end", "closing", "현재 단계: 마감 중"),
    ),
    "a candidate called like a baseline": (
        [],
        submit("always-normal"),
        ("'always-normal' is a baseline's", "비교 기준에 쓰이는 이름입니다"),
    ),
    "a candidate that is there": (
        [submit("v1")],
        submit("v1", context_rows=3),
        ("'v1' is a candidate", "submit a new version", "새 버전을 제출해 주세요"),
    ),
    "a candidate that asks for too much": (
        [],
        submit("v1", context_rows=1001),
        ("1001 preceding rows", "allows 1000", "앞선 행 1001개", "한도는 1000개"),
    ),
    "one candidate too many": (
        [
            amend(changed(quotas=Quotas(candidates=1))),
            *consents(changed(quotas=Quotas(candidates=1))),
            submit("v1"),
        ],
        submit("v2"),
        (
            "allows 1 candidates and 1 were submitted",
            "a retired one keeps its place",
            "1개까지 허용하며 이미 1개가 제출되었습니다",
        ),
    ),
    "a retired one keeps its place": (
        [
            amend(changed(quotas=Quotas(candidates=1))),
            *consents(changed(quotas=Quotas(candidates=1))),
            submit("v1"),
            ("startup-1", RetireCandidate(pairing=PAIRING, candidate="v1", reason="old")),
        ],
        submit("v2"),
        ("allows 1 candidates", "철수한 후보 모델도 한도에 포함됩니다"),
    ),
    "more candidates than the machine's cores carry": (
        [
            carries(cores=1),
            amend(changed(quotas=Quotas(candidates=9))),
            *consents(changed(quotas=Quotas(candidates=9))),
            *(submit(f"v{number}") for number in range(8)),
        ],
        submit("v8"),
        ("1 cores and carries 8 candidates", "8 are there: retire one", "8개까지 실행할 수 있으며"),
    ),
    "more memory than the machine has": (
        [carries(memory_mb=4000), submit("v1")],
        submit("v2"),
        ("v2 may need 2448 MB", "3200 MB", "agree on less memory_mb", "2448MB까지 필요합니다"),
    ),
    "a candidate where nothing contains its code": (
        [carries(sandbox="none")],
        submit("v1"),
        (
            f"v1 may not run at {PLANT}: ",
            "bubblewrap",
            f"후보 모델 v1: 공장 {PLANT}에서 실행할 수 없습니다",
        ),
    ),
    "restricted data where code is held half": (
        [
            carries(sandbox="reduced"),
            amend(changed(classification="restricted")),
            *consents(changed(classification="restricted")),
        ],
        submit("v1"),
        ("only to candidates held at level full", "here it is reduced", "실행할 수 없습니다"),
    ),
    "an unknown candidate": (
        [submit("v1")],
        ("startup-1", RetireCandidate(pairing=PAIRING, candidate="v7", reason="old")),
        ("no candidate 'v7'", "known: v1", "등록되지 않은 후보 모델입니다: 'v7'"),
    ),
    "a candidate that is retired": (
        [submit("v1"), ("startup-1", RetireCandidate(pairing=PAIRING, candidate="v1", reason="old"))],
        ("startup-1", RetireCandidate(pairing=PAIRING, candidate="v1", reason="again")),
        ("v1 is retired", PAIRING, "이미 철수되었거나 반환되었습니다"),
    ),
    "a candidate retired too late": (
        [submit("v1"), START, END],
        ("startup-1", RetireCandidate(pairing=PAIRING, candidate="v1", reason="old")),
        ("before the trial ends", "실증이 끝나기 전까지만 철수할 수 있습니다"),
    ),
    "a candidate that was given back": (
        [submit("v1"), give_back("v1")],
        ("startup-1", RetireCandidate(pairing=PAIRING, candidate="v1", reason="again")),
        ("or was given back", "반환되었습니다"),
    ),
    "a candidate given back twice": (
        [submit("v1"), give_back("v1")],
        give_back("v1", "and again"),
        (f"v1 is retired from {PAIRING} already, or was given back", "새 버전을 제출해 주세요"),
    ),
    "a candidate given back that has run": (
        [START, submit("v1"), started("v1")],
        give_back("v1"),
        (
            f"v1 has been running as {PAIRING}/v1",
            "what it answered counts",
            "응답한 결과가 평가에 들어갑니다",
        ),
    ),
    "a candidate given back by its start-up": (
        [submit("v1")],
        ("startup-1", give_back("v1")[1]),
        (f"only the workers of {PLANT}", f"공장 {PLANT}의 작업 프로세스만"),
    ),
    "a candidate given back after the verdict": (
        [submit("v1"), START, END, conclude()],
        give_back("v1"),
        ("before the verdict", "concluded", "판정이 나기 전에만 반환할 수 있습니다"),
    ),
    "a candidate resumed that runs": (
        [START, submit("v1"), started("v1")],
        resume("v1"),
        (f"v1 is not suspended in {PAIRING}", "보류가 걸려 있지 않습니다"),
    ),
    "a candidate resumed by its start-up": (
        [START, submit("v1"), suspended("v1")],
        resume("v1", "startup-1"),
        ("resumed by maker or city", "not by startup-1", "보류된 후보 모델의 재개: maker 또는 city만"),
    ),
    "a candidate resumed before it has frames": (
        [submit("v1")],
        resume("v1"),
        ("while it has frames to answer", "응답할 데이터가 남아 있는 동안에만"),
    ),
    "a candidate suspended twice": (
        [START, submit("v1"), suspended("v1")],
        suspended("v1", count=9),
        (f"{PAIRING}/v1 is suspended already", "may resume it", "이미 보류가 걸려 있습니다"),
    ),
    "suspended baselines": (
        [START],
        suspended("baselines"),
        (f"{PAIRING}/baselines runs no start-up's code", "스타트업의 코드가 없습니다"),
    ),
    "an end of what still runs": (
        [START, submit("v1")],
        ended("v1"),
        (f"{PAIRING}/v1 still runs", "종료 시점이 아직 정해지지 않았습니다"),
    ),
    "an end that was reported": (
        [START, submit("v1"), END, ended("v1")],
        ended("v1"),
        (f"{PAIRING}/v1 has ended already", "이미 기록되어 있습니다"),
    ),
    "a report on a deployment that is not there": (
        [START],
        started("v1"),
        (f"no deployment '{PAIRING}/v1'", f"known: {PAIRING}/baselines", "등록되지 않은 배치입니다"),
    ),
    "a report on a deployment by a party": (
        [START],
        ("maker", started("baselines")[1]),
        (f"only the workers of {PLANT} report on {PAIRING}", f"매칭 {PAIRING}에 관한 보고는"),
    ),
    "a report on what is over": (
        [START, STOP],
        started("baselines"),
        (f"{PAIRING} is over: it is stopped", "another pairing", "측정은 이미 끝났습니다(단계: 중단)"),
    ),
    "an audit by a party": (
        [],
        ("city", ReportAudit(pairing=PAIRING)),
        (f"only the workers of {PLANT}", "작업 프로세스만 할 수 있습니다"),
    ),
    "an audit of what is over": (
        [START, END, conclude()],
        (PLANT, ReportAudit(pairing=PAIRING)),
        (f"{PAIRING} is over: it is concluded", "판정 완료"),
    ),
    "another's machine": (
        [],
        ("maker", carries()[1]),
        (f"only the workers of {PLANT} report", f"공장 {PLANT}의 장비 용량은"),
    ),
    "a rehearsal that is agreed and was not passed": (
        [
            amend(changed(phases=Phases(rehearsal_rows=5))),
            *consents(changed(phases=Phases(rehearsal_rows=5))),
            REHEARSE,
            END_REHEARSAL,
            report(passed=False),
        ],
        START,
        ("a rehearsal of 5 rows that passed", "start one first", "먼저 예행을 시작해 주세요"),
    ),
    "a rehearsal passed under other terms": (
        [
            REHEARSE,
            END_REHEARSAL,
            report(passed=True),
            amend(changed(phases=Phases(rehearsal_rows=5))),
            *consents(changed(phases=Phases(rehearsal_rows=5))),
        ],
        START,
        ("a rehearsal of 5 rows that passed", "5행 이상의 예행을 통과해야 합니다"),
    ),
    "a rehearsal passed under the terms of an earlier trial": (
        [
            *(REHEARSE, END_REHEARSAL, report(passed=True), START),
            amend(changed(phases=Phases(rehearsal_rows=5))),
            *consents(changed(phases=Phases(rehearsal_rows=5))),
        ],
        START,
        ("a rehearsal of 5 rows that passed", "먼저 예행을 시작해 주세요"),
    ),
    "a rehearsal that ended": (
        [REHEARSE, END_REHEARSAL],
        END_REHEARSAL,
        (PAIRING, "has ended already", "예행은 이미 종료되었습니다"),
    ),
    "a rehearsal that still runs": (
        [REHEARSE],
        report(passed=True),
        (PAIRING, "end it first", "먼저 예행을 종료해 주세요"),
    ),
    "a rehearsal while the trial runs": (
        [START],
        REHEARSE,
        ("once both sides have consented", "running", "현재 단계: 실증 중"),
    ),
    "a rehearsal of nothing": (
        [amend(BARE), *consents(BARE), REHEARSE],
        END_REHEARSAL,
        ("nothing has run", "startup-1 submits a candidate first", "먼저 후보 모델을 제출하거나"),
    ),
    "a trial of nothing": (
        [amend(BARE), *consents(BARE), START],
        END,
        ("nothing has run", PAIRING, "or the pairing is stopped", "매칭을 중단해 주세요"),
    ),
    "a trial started by its start-up": (
        [],
        ("startup-1", StartTrial(pairing=PAIRING)),
        ("the trial is started by maker or city", "실증 시작: maker 또는 city만 요청할 수 있으며"),
    ),
    "a trial that does not run": (
        [],
        END,
        ("only a trial that runs is ended", "진행 중인 실증만 종료할 수 있습니다"),
    ),
    "a paused plant": (
        [PAUSE],
        START,
        (PLANT, "its owner maker resumes it first", "maker에서 먼저 재개해 주세요"),
    ),
    "a plant that is paused": ([PAUSE], PAUSE, (PLANT, "paused already", "이미 일시 중지되어 있습니다")),
    "a plant that is not paused": ([], RESUME, (PLANT, "not paused", "일시 중지가 걸려 있지 않습니다")),
    "another's plant": (
        [],
        ("city", PausePlant(plant=PLANT, reason="x")),
        ("by its owner maker", "소유 기업인 maker에서만"),
    ),
    "an unknown plant": (
        [],
        ("maker", PausePlant(plant="plant-9", reason="x")),
        ("'plant-9'", f"known: {PLANT}", f"등록된 공장: {PLANT}"),
    ),
    "an objection that nobody raised": (
        [],
        ("city", ResolveObjection(pairing=PAIRING, objection="x", resolution="upheld", reason="x")),
        (PAIRING, "no open objection 'x'", "open: none", "심의 대상: 없음"),
    ),
    "a follow-up before the settlement": (
        [],
        ("city", RecordFollowUp(pairing=PAIRING, outcome="none")),
        ("once the pairing is settled", PAIRING, "agreed", "판정이 확정된 뒤에"),
    ),
    "what is over": (
        [STOP],
        ("startup-1", WithdrawPairing(pairing=PAIRING, reason="x")),
        (PAIRING, "stopped", "새 매칭을 제안해 주세요"),
    ),
    "terms too narrow for the candidates there are": (
        [submit("v1"), submit("v2")],
        amend(changed(quotas=Quotas(candidates=1))),
        ("2 candidates", "allow at least as many", "2개 이상으로 정해 주세요"),
    ),
    "a baseline named as a candidate": (
        [submit("v1")],
        amend(changed(baselines=(Baseline(name="v1", answer="normal"),))),
        ("v1 is a candidate", "rename the baseline", "비교 기준의 이름을 바꿔 주세요"),
    ),
    "fewer preceding rows than a candidate asks for": (
        [submit("v1", context_rows=900)],
        amend(changed(limits=an_agreement().limits.model_copy(update={"context_rows": 10}))),
        ("v1 asks for 900", "or retire it", "그 후보 모델을 철수해 주세요"),
    ),
    "the very agreement that is on the table": (
        [],
        amend(an_agreement()),
        (PAIRING, "already", "consent to it", "그 협약에 동의하거나"),
    ),
    "the agreement under which the trial runs": (
        [START, amend(LONGER)],
        amend(an_agreement()),
        (f"the trial of {PAIRING} runs under this agreement", "이미 이 협약으로 진행되고 있습니다"),
    ),
    "the amendment that lies on the table of a trial": (
        [START, amend(LONGER)],
        amend(LONGER, "maker"),
        ("lies on the table", "consent to it", "이미 올라와 있는 협약입니다"),
    ),
    "another question while the trial runs": (
        [START],
        amend(changed(target="leaks")),
        (
            f"what the trial of {PAIRING} predicts",
            "propose another pairing",
            "예측 대상은 실증 중에 바꿀 수 없습니다",
        ),
    ),
    "consent to the terms of the trial while others lie on the table": (
        [START, amend(LONGER)],
        ("maker", consents(an_agreement())[0][1].model_copy(update={"person": "Another"})),
        (f"has the hash {LONGER.digest()[:12]}", f"해시는 {LONGER.digest()[:12]}"),
    ),
    "consent to terms that another amendment replaced": (
        [START, amend(LONGER), amend(LONGEST)],
        consents(LONGER)[0],
        (f"has the hash {LONGEST.digest()[:12]}", f"해시는 {LONGEST.digest()[:12]}"),
    ),
    "consent to an amendment that the trial's end dropped": (
        [START, amend(LONGER), consents(LONGER)[0], END],
        consents(LONGER)[1],
        ("while an agreement lies on the table", "closing", "마감 중"),
    ),
    "consent to terms that what was submitted since does not fit": (
        [START, amend(changed(quotas=Quotas(candidates=1))), submit("v1"), submit("v2")],
        consents(changed(quotas=Quotas(candidates=1)))[0],
        ("2 candidates", "allow at least as many, not 1", "2개 이상으로 정해 주세요"),
    ),
    "an amendment after the trial": (
        [START, END],
        amend(LONGER),
        ("before the trial, or while it runs", "실증 중에만 변경할 수 있습니다"),
    ),
    "an asset that the plant does not have": (
        [],
        amend(changed(assets=("pump-9",))),
        (f"{PLANT} has no asset pump-9", "it has: pump-1, pump-2", "없는 설비입니다: pump-9"),
    ),
    "a report by someone else": (
        [],
        ("maker", ReportConclusion(pairing=PAIRING, verdicts={"v1": Outcome.ACCEPTED})),
        (f"only the workers of {PLANT}", PAIRING, "작업 프로세스만 할 수 있습니다"),
    ),
    "a verdict before the end": (
        [START],
        conclude(),
        ("only a closing pairing is concluded", "마감 중인 매칭에만"),
    ),
    "an objection before the verdict": (
        [],
        ("maker", ObjectToVerdict(pairing=PAIRING, person="A", reason="x")),
        ("within the objection period", "이의 제기 기간에만"),
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_names_the_thing_and_says_what_to_do(name: str) -> None:
    before, (party, command), parts = REFUSALS[name]
    state = after(9)
    for step in before:
        body = grant(state, *step).body
        assert not isinstance(body, RequestRefused), body.reason
    known = dict(state.pairings)
    body = grant(state, party, command).body
    assert isinstance(body, RequestRefused) and body.command == command.kind
    for part in parts:
        assert part in (body.why.ko if KOREAN.search(part) else body.why.en)
    assert any(KOREAN.search(part) for part in parts), "what it says in Korean is tested, too"
    assert state.pairings == known


#: Who takes part: after so many steps of the life, the request, and parts of its refusal.
OF_PARTICIPANTS: dict[str, tuple[int, Step, tuple[str, ...]]] = {
    "an organisation registered by another": (
        0,
        ("maker", organisation("maker", Role.MANUFACTURER)),
        ("only the operator", "ask it to register maker", "설치 운영자만 할 수 있습니다"),
    ),
    "an organisation that has changed": (
        1,
        (topics.OPERATOR, organisation("maker", Role.STARTUP)),
        ("'maker' exists with other content", "choose a new id", "이미 다른 내용으로 등록되어 있습니다"),
    ),
    "a programme of others": (
        3,
        ("maker", OpenProgramme(programme=Programme(id="p", name="P", operators=("city",)))),
        ("p is opened by one of its operators: city", "그 운영기관만 할 수 있습니다: city"),
    ),
    "a programme of no coordinator": (
        3,
        ("maker", OpenProgramme(programme=Programme(id="p", name="P", operators=("maker",)))),
        ("maker is no coordinator", "운영기관 역할이 없습니다"),
    ),
    "another's plant": (
        4,
        ("city", AdmitPlant(plant=a_plant())),
        (f"{PLANT} is admitted by its owner maker", "소유 기업인 maker에서만"),
    ),
    "a need of another's plant": (
        5,
        ("city", DeclareNeed(need=Need(id="n", programme="programme-1", plant=PLANT, title="N"))),
        (f"only maker declares needs of {PLANT}", "maker에서만 등록할 수 있습니다"),
    ),
    "a need of no programme": (
        5,
        ("maker", DeclareNeed(need=Need(id="n", programme="p", plant=PLANT, title="N"))),
        ("no programme 'p'", "known: programme-1", "등록되지 않은 사업입니다: 'p'"),
    ),
    "a pairing proposed by another": (
        6,
        ("maker", proposal()),
        ("are proposed by city", "운영기관만 제안할 수 있습니다: city"),
    ),
    "a pairing with no start-up": (
        6,
        ("city", proposal(startup="maker")),
        ("maker is no startup", "스타트업 역할이 없습니다"),
    ),
    "a pairing that is there": (
        7,
        ("city", proposal()),
        (f"the pairing '{PAIRING}' exists", "매칭이 이미 있습니다"),
    ),
    "a need that is not there": (
        6,
        ("city", proposal(need="need-9")),
        ("no need 'need-9'", "known: need-1", "등록되지 않은 수요입니다: 'need-9'"),
    ),
}


@pytest.mark.parametrize("name", OF_PARTICIPANTS)
def test_a_refusal_about_who_takes_part_says_what_to_do(name: str) -> None:
    steps, (party, command), parts = OF_PARTICIPANTS[name]
    body = grant(after(steps), party, command).body
    assert isinstance(body, RequestRefused)
    for part in parts:
        assert part in (body.why.ko if KOREAN.search(part) else body.why.en)
    assert KOREAN.search(body.why.ko) and not KOREAN.search(body.why.en)


def test_whoever_has_no_share_in_a_pairing_is_not_told_that_there_is_one() -> None:
    state = after(9, (topics.OPERATOR, organisation("rival", Role.STARTUP)))
    for party, shown in (("rival", "none"), ("city", PAIRING), ("startup-1", PAIRING), (PLANT, PAIRING)):
        body = grant(state, party, EndTrial(pairing="pump-9")).body
        assert isinstance(body, RequestRefused)
        assert body.reason == f"there is no pairing 'pump-9'; known: {shown}"
        assert (PAIRING in body.why.ko) == (shown == PAIRING)
    for command in (PausePlant(plant="plant-9", reason="x"), proposal(need="need-9")):
        body = grant(state, "rival", command).body
        assert isinstance(body, RequestRefused) and body.reason.endswith("; known: none")


@pytest.mark.parametrize(
    ("value", "said", "korean"),
    [
        (b"{", "Invalid JSON", "올바른 JSON이 아닙니다"),
        (b"{}", "id: Field required", "필수 항목이 없습니다(id:"),
        (b'{"id": "12345678", "at": "now", "command": {"kind": "end_trial"}}', "at:", "시각이 필요합니다"),
        (
            b'{"id": "12345678", "at": "2026-03-02T09:00:00Z", "command": {"kind": "rule"}}',
            "command:",
            "종류(kind)가 없거나 알 수 없는 값입니다",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_in_both_languages(value: bytes, said: str, korean: str) -> None:
    with pytest.raises(ValidationError) as wrong:
        Request.model_validate_json(value)
    refused = unreadable(wrong.value)
    assert refused.reason.startswith("the request cannot be read: ") and said in refused.reason
    assert refused.why.ko.startswith("요청을 읽을 수 없습니다. ") and korean in refused.why.ko


def test_terms_that_cannot_hold_say_so_in_both_languages() -> None:
    wrong = {"kind": "run", "minutes": 5}
    terms = an_agreement().to_dict() | {"decision": {"unit": wrong}}
    command = {"kind": "amend_agreement", "pairing": PAIRING, "agreement": terms, "reason": "x"}
    with pytest.raises(ValidationError) as error:
        Request.model_validate({"id": "12345678", "at": "2026-03-02T09:00:00Z", "command": command})
    refused = unreadable(error.value)
    assert "only a block has a length" in refused.reason
    assert "길이와 시작 시각은 block에만 씁니다" in refused.why.ko


def test_a_refusal_of_an_earlier_version_is_told_in_english() -> None:
    refused = RequestRefused(command="start_trial", reason="not yet")
    assert (refused.why.en, refused.why.ko) == ("not yet", "not yet")


# --- what is granted --------------------------------------------------------------------------------------------------


def test_a_candidate_that_is_given_back_leaves_its_place_to_another() -> None:
    narrow = changed(quotas=Quotas(candidates=1))
    state = after(9)
    for step in (amend(narrow), *consents(narrow), START, submit("v1"), give_back("v1"), submit("v2")):
        assert not isinstance(grant(state, *step).body, RequestRefused), step
    pairing = state.pairings[PAIRING]
    assert [one.id for one in pairing.present()] == [f"{PAIRING}/baselines", f"{PAIRING}/v2"]
    assert (pairing.returned, pairing.retired) == (("v1",), ())


def test_a_candidate_that_ran_in_the_rehearsal_alone_can_be_given_back_in_the_trial() -> None:
    state = after(9)
    rehearsed = (
        PLANT,
        ReportStarted(pairing=PAIRING, deployment=f"{PAIRING}/v1.rehearsal-1", sandbox="full"),
    )
    steps = (submit("v1"), REHEARSE, rehearsed, END_REHEARSAL, report(passed=True), START, give_back("v1"))
    for step in steps:
        assert not isinstance(grant(state, *step).body, RequestRefused), step
    pairing = state.pairings[PAIRING]
    assert [one.id for one in pairing.deployments if "v1" in one.subjects] == [f"{PAIRING}/v1.rehearsal-1"]


def test_a_trial_goes_on_until_both_have_consented_to_other_terms_and_begins_anew_under_them() -> None:
    state = after(9)
    for step in (START, submit("v1"), started("v1"), amend(LONGER), consents(LONGER)[0]):
        assert not isinstance(grant(state, *step).body, RequestRefused), step
    running = state.pairings[PAIRING]
    assert (running.phase, running.waits_for) == (Phase.RUNNING, ("startup-1",))
    assert running.agreement == an_agreement()
    assert all(one.until is None for one in running.present())
    last = grant(state, *consents(LONGER)[1]).body
    assert isinstance(last, ConsentGiven) and last.until is not None
    agreed = state.pairings[PAIRING]
    assert (agreed.phase, agreed.agreement, agreed.amendment) == (Phase.AGREED, LONGER, None)
    assert {tuple((one.until or {}).items()) for one in agreed.deployments} == {tuple(last.until.items())}
    assert not isinstance(grant(state, *START).body, RequestRefused)
    again = state.pairings[PAIRING]
    assert [one.id for one in again.present()] == [f"{PAIRING}/baselines.trial-2", f"{PAIRING}/v1.trial-2"]
    assert all(one.started is None for one in again.present())


@pytest.mark.parametrize("name", ["operator", "clock"])
def test_reserved_names_are_given_to_nobody(name: str) -> None:
    body = grant(after(0), topics.OPERATOR, organisation(name, Role.STARTUP)).body
    assert isinstance(body, RequestRefused) and f"{name!r} is taken; choose another" in body.reason
    plant = AdmitPlant(plant=a_plant().model_copy(update={"id": name}))
    body = grant(after(3), "maker", plant).body
    assert isinstance(body, RequestRefused) and f"{name!r} is taken; choose another" in body.reason


def test_an_agreement_that_returns_to_the_table_is_consented_to_anew() -> None:
    """Both had consented to it before; what both had agreed on in between was put aside."""
    state = after(9)
    for step in (amend(changed(target="leaks")), amend(an_agreement())):
        assert not isinstance(grant(state, *step).body, RequestRefused)
    pairing = state.pairings[PAIRING]
    assert pairing.phase is Phase.PROPOSED and not pairing.consented("maker")
    for step in consents(an_agreement()):
        assert not isinstance(grant(state, *step).body, RequestRefused)
    assert state.pairings[PAIRING].phase is Phase.AGREED


def test_a_candidate_that_comes_while_a_rehearsal_is_looked_at_joins_the_trial_alone() -> None:
    state = after(9)
    for step in (REHEARSE, END_REHEARSAL, submit("late"), report(passed=True), START):
        assert not isinstance(grant(state, *step).body, RequestRefused)
    found = [one.id for one in state.pairings[PAIRING].deployments if "late" in one.subjects]
    assert found == [f"{PAIRING}/late"]


# --- asking the same again --------------------------------------------------------------------------------------------


class Asker:
    """Asks as a command does: the id follows from the content, and from what undid it."""

    def __init__(self, state: Installation) -> None:
        self.state = state
        self.facts: list[Fact] = []

    def ask(self, party: str, command: Command) -> bool:
        """Whether a new fact came of it."""
        ident = request_id(party, command, after=undone(command, self.facts))
        if (party, ident) in self.state.granted:
            return False
        fact = grant(self.state, party, command, request=ident)
        assert not isinstance(fact.body, RequestRefused), fact.body.reason
        self.facts.append(fact)
        return True


def test_what_was_undone_can_be_asked_for_again_in_the_same_words() -> None:
    asker = Asker(after(9))
    leaks = changed(target="leaks")
    for step in (PAUSE, RESUME, PAUSE, RESUME, REHEARSE, END_REHEARSAL):
        assert asker.ask(*step), step
        assert not asker.ask(*step), "asked twice it acts once"
    grant_report = grant(asker.state, *report(passed=False))
    asker.facts.append(grant_report)
    for step in (REHEARSE, END_REHEARSAL):
        assert asker.ask(*step)
        assert not asker.ask(*step)
    asker.facts.append(grant(asker.state, *report(passed=True)))
    for step in (
        amend(leaks),
        *consents(leaks),
        amend(an_agreement()),
        *consents(an_agreement()),
        amend(leaks),
    ):
        assert asker.ask(*step), step
        assert not asker.ask(*step)
    assert asker.state.pairings[PAIRING].agreement == leaks
    # A consent to terms that were replaced stays what it was: asked for again, it is not a stale one.
    assert LIFE[7][1] != consents(leaks)[0][1]
    assert not asker.ask(*consents(an_agreement())[0])


def test_a_second_trial_is_started_and_ended_and_a_candidate_resumed_again_in_the_same_words() -> None:
    asker = Asker(after(9))
    for step in (START, submit("v1")):
        assert asker.ask(*step)
    for count in (1, 2):
        asker.facts.append(grant(asker.state, *suspended("v1", count=count)))
        assert asker.ask(*resume("v1"))
        assert not asker.ask(*resume("v1"))
    assert not asker.ask(*START)
    for step in (amend(LONGER), *consents(LONGER), START, END):
        assert asker.ask(*step), step
        assert not asker.ask(*step), "asked twice it acts once"
    pairing = asker.state.pairings[PAIRING]
    assert (pairing.phase, pairing.trials) == (Phase.CLOSING, 2)
