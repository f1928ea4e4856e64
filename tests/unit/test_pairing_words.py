"""Words for facts and pairings: everything that the platform says it says in both languages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest
import typer

from infra.cli.apply import Status, carry_out
from infra.cli.asking import ask
from infra.cli.screen import Screen
from infra.client import Answer
from infra.poc.folder import read_folder
from infra.words.fact_names import kind_of
from infra.words.facts import deployed, fault_in_words, told
from infra.words.language import Lang
from infra.words.pairings import lines, story, why
from infra.words.said import said
from models.rehearsal import rehearsed
from schemas import events, requests
from schemas.evaluation import Counts
from schemas.events import Fact, RequestRefused
from schemas.faults import Fault
from schemas.pairing import Amendment, Pairing, Phase, Rehearsal
from schemas.parties import Capacity
from schemas.rehearsal import Detector, MetricCheck, UnitCheck
from schemas.requests import Command, StartTrial
from schemas.terms import Phases
from streams.lifecycle import Installation
from tests.unit.pairing_requests import WRITTEN
from tests.unit.test_pairing_laws import PairingLife
from tests.unit.twins import PAIRING, PLANT, a_candidate, a_deployment, a_pairing, an_agreement

KOREAN = re.compile("[가-힣]")
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
FAULT = Fault(kind="error", exception="ValueError", where="model.py:12", count=3)
REFUSED = RequestRefused(command="start_trial", reason="not yet", reason_ko="아직 시작할 수 없습니다")


def kinds(union: Any) -> set[str]:
    return {one.model_fields["kind"].default for one in get_args(get_args(union)[0])}


@pytest.mark.parametrize("kind", sorted(kinds(events.Body) | kinds(requests.Command) | {"unreadable"}))
def test_every_kind_of_fact_and_command_has_a_name_in_both_languages(kind: str) -> None:
    named = kind_of(kind)
    assert named.en == kind.replace("_", " ")
    assert KOREAN.search(named.ko) and not re.search("[a-z]", named.ko)


def test_whatever_happens_is_told_in_both_languages() -> None:
    """Lives of pairings in which every kind of fact comes about."""
    seen: set[str] = set()
    for seed in range(8):
        life = PairingLife()
        life.everyone_takes_part()
        life.much_happens(Random(seed), 250)
        state = Installation()
        for fact in life.facts:
            seen.add(fact.body.kind)
            state.fold(fact)
            for pairing in state.touched(fact.body):
                reads_in_both_languages(pairing)
            sentence = told(fact.body)
            assert KOREAN.search(sentence.ko) and not KOREAN.search(sentence.en), sentence
            # Where a sentence is not made yet, the kind stands for it.
            assert sentence.en != fact.body.kind.replace("_", " ")
    assert len(seen) > 28


def reads_in_both_languages(pairing: Pairing) -> None:
    because = why(pairing)
    assert because.en == WRITTEN or (KOREAN.search(because.ko) and not KOREAN.search(because.en)), because
    english, korean = list(lines(pairing, Lang.EN)), list(lines(pairing, Lang.KO))
    assert len(english) == len(korean)
    assert all(KOREAN.search(name) for name, _ in korean)
    assert not any(KOREAN.search(name + text) for name, text in english)


@pytest.mark.parametrize(
    ("body", "english", "korean"),
    [
        (
            events.DeploymentStarted(
                pairing=PAIRING, deployment=f"{PAIRING}/t2q-v1", sandbox="full", load_ms=2140
            ),
            "loaded candidate t2q-v1 (sandbox full, 2.1 s)",
            "후보 모델 t2q-v1 불러옴(격리 full, 2.1초)",
        ),
        (
            events.DeploymentStarted(
                pairing=PAIRING, deployment=f"{PAIRING}/baselines.rehearsal-2", sandbox="none", load_ms=0
            ),
            "loaded the baselines in rehearsal 2 (sandbox none, 0.0 s)",
            "비교 기준(예행 2회차) 불러옴(격리 none, 0.0초)",
        ),
        (
            events.DeploymentEnded(pairing=PAIRING, deployment=f"{PAIRING}/t2q-v1.trial-2"),
            "candidate t2q-v1 in trial 2 answered everything that was due",
            "후보 모델 t2q-v1(실증 2회차): 처리할 데이터를 모두 처리함",
        ),
        (
            events.DeploymentSuspended(pairing=PAIRING, deployment=f"{PAIRING}/t2q-v1", fault=FAULT),
            "suspended candidate t2q-v1: error (ValueError, model.py:12), 3 times",
            "후보 모델 t2q-v1 보류: 오류 (ValueError, model.py:12), 3회",
        ),
        (
            events.CandidateResumed(pairing=PAIRING, candidate="t2q-v1", reason="mended"),
            "resumed candidate t2q-v1: mended",
            "후보 모델 t2q-v1 재개: mended",
        ),
        (
            events.CandidateReturned(pairing=PAIRING, candidate="t2q-v1", reason="no files"),
            "gave candidate t2q-v1 back, its place is free again: no files",
            "후보 모델 t2q-v1 반환(제출 한도에서 제외): no files",
        ),
        (
            events.AuditReported(pairing=PAIRING, alarms=()),
            "checked the measurement: it is whole",
            "측정 점검: 이상 없음",
        ),
        (
            events.AuditReported(
                pairing=PAIRING, alarms=("the ledger folded again differs from the running scores",)
            ),
            "checked the measurement, alarm: the ledger folded again differs from the running scores",
            "측정 점검 경고: 원장을 다시 계산한 결과가 진행 중의 평가와 다름",
        ),
        (
            events.CapacityReported(
                plant=PLANT, capacity=Capacity(cores=2, memory_mb=8000, sandbox="none", unsandboxed=True)
            ),
            f"the machine of {PLANT} has 2 cores and 8000 MB, sandbox none; models may run without a sandbox",
            f"공장 {PLANT}의 장비: 코어 2개, 메모리 8000MB, 격리 none, 격리 없는 실행 허용",
        ),
        (
            events.ConsentGiven(pairing=PAIRING, agreement_digest="a" * 64, person="CTO", until={0: 7}),
            "consented to agreement aaaaaaaaaaaa…, signed by CTO; the trial under the earlier terms ends",
            "협약 aaaaaaaaaaaa…에 동의함, 서명 CTO; 이전 조건의 실증은 종료됨",
        ),
        (
            events.TrialEnded(pairing=PAIRING, until={0: 7}, reason="the agreed time is over"),
            "ended the trial: the agreed time is over",
            "실증을 종료함: 합의한 기간이 끝남",
        ),
        (REFUSED, "was refused (start trial): not yet", "거절됨 (실증 시작): 아직 시작할 수 없습니다"),
        (
            events.PairingConcluded(pairing=PAIRING, verdicts={}),
            "the verdicts have fallen",
            "판정이 나옴",
        ),
    ],
)
def test_a_fact_is_told_as_a_sentence(body: events.Body, english: str, korean: str) -> None:
    assert (told(body).en, told(body).ko) == (english, korean)


def test_a_single_fault_without_a_place_is_told_too() -> None:
    fault = fault_in_words(Fault(kind="timeout"))
    assert (fault.en, fault.ko) == ("timeout, once", "시간 초과, 1회")
    assert deployed("pump/odd.other-3").en == "candidate odd in other 3"


@dataclass
class Stood:
    subject: str
    counts: Counts


def test_a_rehearsal_tells_people_how_many_units_candidates_would_need() -> None:
    rule = MetricCheck(
        passed=True, trials=2000, detectors=(Detector(name="oracle", accepted=1, bound=1, headroom=0.2),)
    )
    shown = Rehearsal(
        passed=True,
        rows=480,
        labelled=1,
        answered=1,
        units=UnitCheck(passed=True, units=40, dependence=1.2, at=2),
        check=rule,
        needed={"t2q-v1": 31, "pca-v1": None},
    )
    sentence = told(events.RehearsalReported(pairing=PAIRING, rehearsal=shown))
    assert "units needed at these rates: pca-v1 –, t2q-v1 31" in sentence.en
    assert "필요한 판정 단위 수: pca-v1 –, t2q-v1 31" in sentence.ko


def test_remarks_on_rehearsals_are_told_in_korean() -> None:
    agreed = an_agreement().model_copy(update={"phases": Phases(rehearsal_rows=100)})
    counts = Counts(rows_in=10, failed=6, refused=4)
    remarks = rehearsed([Stood("v1", counts)], agreed).remarks
    assert len(remarks) == 4
    for one in remarks:
        text = said(one)
        assert KOREAN.search(text.ko) and set(re.findall(r"\d+", text.ko)) == set(re.findall(r"\d+", one))


def shown(pairing: Pairing, lang: Lang) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, text in lines(pairing, lang):
        found.setdefault(name, []).append(text)
    return found


def test_a_pairing_shows_what_holds_it_up() -> None:
    other = an_agreement().model_copy(update={"objection_days": 20})
    amendment = Amendment(agreement=other, agreement_digest=other.digest(), revision=2, reason="longer")
    held = a_deployment().model_copy(update={"suspended": FAULT})
    pairing = a_pairing(held).model_copy(
        update={
            "amendment": amendment,
            "waits_for": ("startup-1",),
            "progress": "deployment_suspended",
            "progress_at": AT,
            "alarms": ("no row has a label",),
            "candidates": (a_candidate(), a_candidate(ident="t2q-v0"), a_candidate(ident="t2q-v2")),
            "retired": ("t2q-v0",),
            "returned": ("t2q-v2",),
        }
    )
    english, korean = shown(pairing, Lang.EN), shown(pairing, Lang.KO)
    assert english["on the table"] == [f"{other.digest()[:12]}… (r2): longer"]
    assert english["next"] == ["startup-1: consent to the amended agreement; the trial goes on meanwhile"]
    assert english["last step"] == ["deployment suspended, 2026-03-02 09:00:00 UTC"]
    assert english["alarm"] == ["no row has a label"]
    assert english["suspended"] == ["candidate t2q-v1: error (ValueError, model.py:12), 3 times"]
    assert [one.split(",")[0] for one in english["candidate"]] == [
        "t2q-v1",
        "t2q-v0 (retired)",
        "t2q-v2 (given back by the platform)",
    ]
    assert korean["사유"] == ["실증이 진행 중임"]
    assert korean["변경안"] == english["on the table"]
    assert korean["다음 행동"] == ["startup-1: 변경된 협약에 동의(그동안 실증은 계속됨)"]
    assert korean["최근 진행"] == ["배치 보류, 2026-03-02 09:00:00 UTC"]
    assert korean["경고"] == ["라벨이 있는 행이 없음"]
    assert korean["보류"] == ["후보 모델 t2q-v1: 오류 (ValueError, model.py:12), 3회"]
    assert [one.split(",")[0] for one in korean["후보 모델"]][1:] == [
        "t2q-v0 (철수)",
        "t2q-v2 (플랫폼이 반환)",
    ]


@pytest.mark.parametrize(
    ("phase", "waits_for", "english"),
    [
        (Phase.AGREED, ("startup-1",), "submit a candidate"),
        (Phase.AGREED, ("maker",), "start the trial, or a rehearsal"),
        (Phase.SETTLED, ("city",), "record what follows"),
    ],
)
def test_the_next_step_is_that_of_whoever_has_to_take_it(
    phase: Phase, waits_for: tuple[str, ...], english: str
) -> None:
    pairing = a_pairing(phase=phase).model_copy(update={"waits_for": waits_for})
    assert shown(pairing, Lang.EN)["next"] == [f"{waits_for[0]}: {english}"]


@pytest.mark.parametrize(
    ("phase", "kept", "korean"),
    [
        (Phase.PROPOSED, "maker has consented", "동의함: maker"),
        (Phase.EXPIRED, "maker, startup-1 did not act in time", "기한 안에 조치가 없었음: maker, startup-1"),
        (Phase.FOLLOWED_UP, "regional_settlement: two lines", "지역 정착: two lines"),
        (Phase.STOPPED, "the line is rebuilt", "the line is rebuilt"),
        (Phase.STOPPED, "라인을 다시 지음", "라인을 다시 지음"),
    ],
)
def test_why_a_pairing_stands_there_is_told_in_korean_unless_somebody_wrote_it(
    phase: Phase, kept: str, korean: str
) -> None:
    assert why(a_pairing(phase=phase).model_copy(update={"why": kept})).ko == korean


def test_the_story_names_who_and_tells_the_plants_time() -> None:
    body = events.AuditReported(pairing=PAIRING, alarms=())
    fact = Fact(number=1, at=AT, party=PLANT, request="audit-1", subject=PAIRING, body=body)
    by_time = fact.model_copy(update={"party": "clock"})
    assert list(story([fact, by_time], {PLANT: "가상 1공장"}, "Asia/Seoul", Lang.KO)) == [
        ("2026-03-02 18:00:00", "가상 1공장", "측정 점검: 이상 없음"),
        ("2026-03-02 18:00:00", "시간 경과", "측정 점검: 이상 없음"),
    ]


# --- refusals on the command line -------------------------------------------------------------------------------------


class Refusing:
    """An installation that refuses everything."""

    def ask(self, party: str, command: Command) -> Answer:
        fact = Fact(number=1, at=AT, party=party, request="request-1", subject=PAIRING, body=REFUSED)
        return Answer(fact=fact, new=True)


@pytest.mark.parametrize(
    ("locale", "lang", "said_so"),
    [
        ("ko_KR.UTF-8", None, "거절됨: 아직 시작할 수 없습니다"),
        ("C.UTF-8", None, "refused: not yet"),
        ("C.UTF-8", Lang.KO, "거절됨: 아직 시작할 수 없습니다"),
        ("ko_KR.UTF-8", Lang.EN, "refused: not yet"),
    ],
)
def test_a_refusal_is_told_in_the_terminals_language_or_the_one_asked_for(
    locale: str,
    lang: Lang | None,
    said_so: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LC_ALL", locale)
    with pytest.raises(typer.Exit) as ended:
        ask(Screen(as_json=False), Refusing(), "maker", StartTrial(pairing=PAIRING), lang=lang)  # type: ignore[arg-type]
    assert ended.value.exit_code == 4
    assert capsys.readouterr().err.strip() == said_so


def test_a_folder_that_is_refused_carries_the_reason_in_both_languages() -> None:
    folder = read_folder(Path(__file__).parents[2] / "examples" / "uijeongbu-pump")
    step = next(iter(carry_out(folder, Refusing())))
    assert (step.status, step.reason, step.reason_ko) == (
        Status.REFUSED,
        "not yet",
        "아직 시작할 수 없습니다",
    )
