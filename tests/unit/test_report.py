"""The report on a pairing: the records' own numbers, in both languages, and what strangers wrote is only text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, Group

from infra.cli.verdict import _record, _told
from infra.report.bounds import bounds_picture
from infra.report.charts import counts_picture, labels_picture, ranking_picture, slices_picture
from infra.report.decided import decision_section, ranking_section, verdict_section
from infra.report.markup import Markup, plain, tag, void
from infra.report.measured import FATES, counts_section, law
from infra.report.page import page
from infra.report.section import exact, figure, lasting, share
from infra.report.seen import STANDINGS, Seen, Subject, seen_by
from infra.report.svg import WIDTH, ticks
from infra.report.told import sections
from infra.words.language import Lang
from schemas.evaluation import Comparison, Counts, LabelStatistics, Outcome, Preference, Ranking, Standing
from schemas.events import RequestRefused
from schemas.pairing import Objection
from schemas.terms import Disclosed, Disclosure
from streams.lifecycle import Installation
from tests.unit.report_examples import AT, NAMES, Decided, decided

KOREAN = re.compile("[가-힣]")
HOSTILE = "<script>alert('x')</script>&\"'><img src=x onerror=alert(1)>\u202e\x1b[2J"


@pytest.fixture(scope="module")
def case() -> Decided:
    return decided(60, planned=80, look_every=12)


@pytest.fixture(scope="module")
def seen(case: Decided) -> Seen:
    return case.seen()


class Page(HTMLParser):
    """Which elements and attributes there are, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((name, dict(attributes)))
        if name != "meta":
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        self.text += data


def subject(seen: Seen, name: str = NAMES[0]) -> Subject:
    return next(one for one in seen.candidates if one.name == name)


# --- the page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lang", list(Lang))
def test_the_page_loads_nothing_runs_nothing_and_every_element_is_closed(seen: Seen, lang: Lang) -> None:
    text = page(seen, lang)
    read = Page(text)
    assert read.open == []
    names = {name for name, _ in read.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "a", "form", "base"}
    for _, attributes in read.tags:
        assert not {"src", "href"} & set(attributes)
        assert not any(one.startswith("on") for one in attributes)
    assert "url(http" not in text and "@import" not in text
    assert ("html", {"lang": lang.value}) in read.tags
    policies = [one.get("content") for _, one in read.tags if one.get("http-equiv")]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


@pytest.mark.parametrize("lang", list(Lang))
def test_every_picture_is_well_formed_and_says_what_it_shows(seen: Seen, lang: Lang) -> None:
    text = page(seen, lang)
    pictures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(pictures) >= 4 * len(NAMES) + 1
    for one in pictures:
        root = ElementTree.fromstring(one)
        assert root.get("role") == "img"
        title, told = root[0], root[1]
        assert (title.tag, told.tag) == ("title", "desc")
        assert title.text and told.text
        assert root.get("aria-labelledby") == f"{title.get('id')} {told.get('id')}"
    idents = re.findall(r' id="([^"]+)"', text)
    assert len(idents) == len(set(idents))
    for used in re.findall(r"url\(#([^)]+)\)", text):
        assert used in idents


def test_the_page_is_korean_where_it_is_to_be(seen: Seen) -> None:
    korean, english = page(seen, Lang.KO), page(seen, Lang.EN)
    for one in (*re.findall(r"<h[123]>(.*?)<", korean), *re.findall(r"<dt>(.*?)</dt>", korean)):
        assert KOREAN.search(one) or one.strip() in NAMES or "×" in one, one
    assert not KOREAN.search(english.split("</style>")[1])
    for verdict in ("합격", "판정 보류", "원장 재계산", "바이트까지 같음"):
        assert verdict in korean


def test_names_and_reasons_of_strangers_are_text_and_nothing_else(case: Decided) -> None:
    objection = Objection(id="o1", party="startup-1", person=HOSTILE, reason=HOSTILE, at=AT)
    refused = case.facts[0].model_copy(
        update={"body": RequestRefused(command="start_trial", reason=HOSTILE, reason_ko=HOSTILE)}
    )
    one = replace(case.changed(objections=(objection,), why=HOSTILE, alarms=(HOSTILE,)), facts=(refused,))
    names = {"maker": HOSTILE, "plant-1": HOSTILE, "startup-1": HOSTILE}
    renamed = replace(one.seen(), names=names)
    evil = [replace(each, name=HOSTILE, held=HOSTILE) for each in renamed.candidates]
    evil[0] = replace(evil[0], verdict=_of(evil[0]).model_copy(update={"reason": HOSTILE, "rule": HOSTILE}))
    for lang in Lang:
        read = Page(page(replace(renamed, candidates=tuple(evil)), lang))
        assert read.open == []
        assert not {name for name, _ in read.tags} & {"script", "img"}
        assert not any(key.startswith("on") for _, attributes in read.tags for key in attributes)
        assert read.text.count("<script>alert('x')</script>") > 10
        assert "\u202e" not in read.text and "\x1b" not in read.text


def _of(one: Subject) -> Any:
    assert one.verdict is not None
    return one.verdict


def test_a_terminal_is_not_controlled_by_what_strangers_wrote(seen: Seen) -> None:
    evil = replace(subject(seen), name="[red]\x1b[2J", held="[bold]\x1b]0;x\x07")
    console = Console(width=400, record=True, file=StringIO(), force_terminal=False)
    console.print(Group(*_told(evil.name, sections(evil, seen), Lang.EN)))
    text = console.export_text()
    assert "[red]" in text and "[bold]" in text
    assert "\x1b" not in text and "\x07" not in text


@given(st.text())
def test_whatever_a_text_holds_it_comes_out_of_the_page_as_it_is_seen(text: str) -> None:
    read = Page(str(tag("p", text, title=text)))
    assert [name for name, _ in read.tags] == ["p"]
    assert read.text == plain(text)
    assert read.tags[0][1]["title"] == plain(text)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", plain(text))


def test_markup_made_here_is_not_escaped_twice() -> None:
    assert tag("p", tag("b", "1 < 2"), class_="x", data=None) == '<p class="x"><b>1 &lt; 2</b></p>'
    assert void("meta", http_equiv="a") == '<meta http-equiv="a">'
    assert tag("line", x1=1.0, y1=0.33333) == '<line x1="1" y1="0.333"></line>'
    assert isinstance(tag("p"), Markup)


# --- the numbers ------------------------------------------------------------------------------------------------------


def words_in(picture: Markup | None) -> str:
    """What is written in a picture, without what is told beside it."""
    assert picture is not None
    root = ElementTree.fromstring(str(picture))
    return " | ".join(one.text or "" for one in root.iter("text"))


def numbers_in(picture: Markup | None) -> str:
    assert picture is not None
    root = ElementTree.fromstring(str(picture))
    return " | ".join(one.text or "" for one in root.iter() if one.tag in ("text", "desc"))


def test_the_bounds_of_the_picture_and_the_table_are_those_of_the_verdict(case: Decided, seen: Seen) -> None:
    for verdict in case.verdicts:
        assert verdict.decision is not None
        one = subject(seen, verdict.candidate)
        drawn = numbers_in(bounds_picture("p", one.standings, Lang.EN))
        written = words_in(bounds_picture("p", one.standings, Lang.EN))
        section = decision_section(one, seen)
        assert section is not None and section.grid is not None
        cells = {cell.en for row in section.grid.rows for cell in row}
        for rival in verdict.decision.comparisons:
            for bound in (rival.lower, rival.upper):
                assert f"{bound:+.6f}" in drawn
                assert f"{bound:+.6f}" in written
                assert f"{bound:+.6f}" in cells
        assert f"After {verdict.decision.units} of {verdict.decision.planned} planned" in drawn


def test_bounds_are_drawn_where_they_stood_at_every_look(case: Decided, seen: Seen) -> None:
    one = subject(seen)
    told = [
        each.decision for each in case.evaluations if each.candidate == one.name and each.decision is not None
    ]
    assert [each.units for each in one.standings] == sorted({each.units for each in told})
    picture = bounds_picture("p", one.standings, Lang.KO)
    assert picture is not None
    root = ElementTree.fromstring(str(picture))
    panels = [each for each in root.iter("g") if each.get("transform")]
    assert len(panels) == len(one.standings[-1].comparisons)
    for panel, rival in zip(panels, one.standings[-1].comparisons, strict=True):
        lines = [each.get("d") for each in panel.iter("path") if each.get("class") == "bound"]
        assert len(lines) == 2
        upper, lower = (_points(each or "") for each in lines)
        assert len(upper) == len(lower) == len(one.standings)
        scale = _scale(panel)
        for at, standing in enumerate(one.standings):
            bounds = next(each for each in standing.comparisons if each.rival == rival.rival)
            assert upper[at] == pytest.approx(scale(bounds.upper), abs=0.02)
            assert lower[at] == pytest.approx(scale(bounds.lower), abs=0.02)


def _points(drawn: str) -> list[float]:
    return [float(one) for one in re.findall(r",(-?[\d.]+)", drawn)]


def _scale(panel: ElementTree.Element) -> Any:
    """From values to places, as the ticks of the picture say it."""
    marks = [
        (float(each.text or ""), float(each.get("y") or "") - 4)
        for each in panel.iter("text")
        if each.get("class") == "tick" and each.get("text-anchor") == "end"
    ]
    (low, start), (high, end) = marks[0], marks[-1]
    return lambda value: start + (value - low) / (high - low) * (end - start)


def test_a_short_course_is_drawn_as_far_as_it_has_come_and_one_look_as_an_interval() -> None:
    one = standing(units=10, planned=1000)
    drawn = numbers_in(bounds_picture("p", [one], Lang.EN))
    assert "planned end: 1,000 →" in drawn
    assert bounds_picture("p", [], Lang.EN) is None
    assert bounds_picture("p", [one.model_copy(update={"comparisons": ()})], Lang.EN) is None
    early = one.model_copy(update={"fell_at": 10, "planned": 20})
    assert "fell at 10" in numbers_in(bounds_picture("p", [early], Lang.EN))


def standing(units: int, planned: int = 100) -> Standing:
    return Standing(
        units=units,
        planned=planned,
        alpha=0.05,
        margin=0.1,
        comparisons=(Comparison(rival="always normal", lower=-0.2, upper=0.4),),
        outcome=Outcome.INCONCLUSIVE,
    )


def test_rows_are_shown_by_the_law_of_counts_and_a_breach_of_it_is_loud(seen: Seen) -> None:
    counts = Counts(
        rows_in=1000, scored=700, awaiting_label=200, unlabelled=50, abstained=40, failed=9, refused=1
    )
    drawn = counts_picture("p", counts, Lang.EN)
    told = numbers_in(drawn)
    for name, said in FATES.items():
        assert f"{said.en} {getattr(counts, name):,}" in told
    assert "1,000 = 700 + 200 + 50 + 40 + 9 + 1" in told
    bars = [each for each in ElementTree.fromstring(str(drawn)).iter("rect") if each.get("height") == "30"]
    widths = [float(each.get("width") or 0) / WIDTH * 1000 for each in bars]
    assert widths == pytest.approx([getattr(counts, name) for name in FATES], abs=0.01)
    # One after the other, without a hole.
    ends = [float(each.get("x") or 0) + float(each.get("width") or 0) for each in bars]
    assert [float(each.get("x") or 0) for each in bars[1:]] == pytest.approx(ends[:-1], abs=0.01)
    assert "DO NOT ADD UP" in law(counts.model_copy(update={"scored": 1})).en
    assert counts_picture("p", Counts(), Lang.EN) is None
    evaluation = subject(seen).evaluation
    assert evaluation is not None and evaluation.counts is not None
    section = counts_section(evaluation)
    assert section is not None and section.grid is not None
    rows = {row[0].en: row[1].en for row in section.grid.rows}
    assert rows["scored"] == f"{evaluation.counts.scored:,}"


def test_parts_of_the_rows_stand_at_their_metric_and_one_without_it_has_a_dash(seen: Seen) -> None:
    one = subject(seen).evaluation
    assert one is not None
    picture = slices_picture("p", one.slices, "accuracy", whole=0.9, threshold=0.7, lang=Lang.KO)
    assert picture is not None
    told = numbers_in(picture)
    dots = list(ElementTree.fromstring(str(picture)).iter("circle"))
    values = [each.metrics["accuracy"] for each in one.slices if each.metrics]
    places = [float(each.get("cx") or 0) for each in dots]
    assert len(dots) == len(values) == 3
    assert sorted(range(3), key=lambda at: places[at]) == sorted(range(3), key=lambda at: values[at])
    for each in one.slices:
        assert figure(each.metrics.get("accuracy")) in told
    assert "기준값 0.7" in told and "근무조 알 수 없음" in told
    assert slices_picture("p", one.slices[3:], "accuracy", whole=None, threshold=None, lang=Lang.KO) is None


def test_labels_are_shown_by_their_coverage_and_delay_beside_the_deadline() -> None:
    labels = LabelStatistics(rows=200, labelled=150, delay_p50_ms=1500, delay_p90_ms=7_200_000)
    told = numbers_in(labels_picture("p", labels, 14 * 86_400_000, Lang.KO))
    for text in ("200행 중 150행에 라벨 있음(75.0 %)", "50 %: 1.5초", "90 %: 2시간", "라벨 인정 기한 14일"):
        assert text in told
    unknown = LabelStatistics(rows=3)
    assert "지연은 알 수 없음" in numbers_in(labels_picture("p", unknown, 1000, Lang.KO))
    assert labels_picture("p", LabelStatistics(), 1000, Lang.KO) is None


def test_a_ranking_draws_only_what_is_shown_and_no_arrow_that_follows_from_others() -> None:
    pairs = [("a", "b"), ("b", "c"), ("a", "c")]
    ranking = Ranking(
        alpha=0.01,
        preferences=tuple(Preference(better=a, worse=b, lower=0.1, upper=0.2) for a, b in pairs),
        winner="a",
    )
    picture = ranking_picture("p", ranking, ["c", "b", "a", "d"], Lang.EN)
    root = ElementTree.fromstring(str(picture))
    assert len([one for one in root.iter("line") if one.get("class") == "arrow"]) == 2
    assert "a better than c" in numbers_in(picture)
    assert ranking_picture("p", Ranking(alpha=0.01), ["a", "b"], Lang.EN) is None
    circle = ranking.model_copy(
        update={
            "preferences": (*ranking.preferences, Preference(better="c", worse="a", lower=0.1, upper=0.2))
        }
    )
    assert ranking_picture("p", circle, ["a", "b", "c"], Lang.EN) is not None


def test_the_ranking_of_a_pairing_is_told_once(seen: Seen) -> None:
    section = ranking_section(seen)
    assert section is not None and section.grid is not None
    assert {row[0].en for row in section.grid.rows} <= set(NAMES)
    assert page(seen, Lang.KO).count("후보 순위") == 1


# --- who sees what, and when ------------------------------------------------------------------------------------------


def told(seen: Seen, name: str = NAMES[0]) -> set[str]:
    return {one.key for one in sections(subject(seen, name), seen)}


def test_the_plant_sees_everything_of_a_candidate(seen: Seen) -> None:
    assert told(seen) == {
        "verdict", "decision", "ratio", "corrections", "metrics", "confusion", "slices", "counts", "labels", "drift",
        "service", "origin",
    }  # fmt: skip
    assert len(seen.facts) == 3


def test_a_party_sees_what_the_agreement_shows_it(case: Decided) -> None:
    disclosure = Disclosure(startup=Disclosed(what=("verdict",)), coordinator=Disclosed(what=("counts",)))
    agreed = case.pairing.agreement.model_copy(update={"disclosure": disclosure})
    shown = case.changed(agreement=agreed)
    startup = shown.seen("startup-1")
    assert told(startup) == {"verdict", "origin"}
    text = page(startup, Lang.KO)
    assert "합격" in text and "협약에 따라 수치 없이 판정만 공개됨" in text
    verdict = case.verdicts[0]
    assert verdict.decision is not None
    assert exact(verdict.decision.comparisons[0].lower) not in text
    city = shown.seen("city")
    assert told(city) == {"verdict", "counts", "labels", "service", "origin"}
    words = page(city, Lang.KO)
    assert "협약에 따라 공개되지 않음" in words
    assert "합격" not in words.split("합의한 내용")[0]
    assert "아직 판정 전" not in words
    concluded = city.facts[-1].body
    assert getattr(concluded, "verdicts", None) == {}


def test_a_party_that_is_told_at_the_close_sees_no_course(case: Decided) -> None:
    disclosure = Disclosure(startup=Disclosed(every="close", what=("counts", "metrics", "verdict")))
    shown = case.changed(agreement=case.pairing.agreement.model_copy(update={"disclosure": disclosure}))
    assert [one.units for one in subject(shown.seen("startup-1")).standings] == [60]
    assert subject(shown.seen("startup-1", fallen=False)).evaluation is None
    assert len(subject(shown.seen()).standings) > 1


def test_while_no_verdict_has_fallen_it_says_where_a_candidate_stands(case: Decided) -> None:
    running = case.changed(verdicts={}).seen(fallen=False)
    section = verdict_section(subject(running), running)
    assert "as often as one likes" in section.note.en
    assert "if the trial ended now" in {name.en for name, _ in section.lines}
    assert ("verdict", "no verdict yet") in {(name.en, text.en) for name, text in section.lines}
    without = case.changed(
        verdicts={}, agreement=case.pairing.agreement.model_copy(update={"decision": None})
    ).seen(fallen=False)
    bare = replace(
        subject(without), evaluation=_evaluation(subject(without)).model_copy(update={"decision": None})
    )
    assert "easily deceived" in verdict_section(bare, without).note.en
    rehearsed = replace(bare, evaluation=_evaluation(bare).model_copy(update={"phase": "rehearsal"}))
    assert "none of them counts" in verdict_section(rehearsed, without).note.en


def _evaluation(one: Subject) -> Any:
    assert one.evaluation is not None
    return one.evaluation


def test_a_candidate_without_an_evaluation_is_told_of_too(case: Decided) -> None:
    bare = replace(
        case.changed(verdicts={}, returned=(NAMES[0],), retired=(NAMES[1],)), evaluations=(), verdicts=()
    )
    seen = bare.seen()
    texts = [verdict_section(one, seen).lines[0][1].en for one in seen.candidates]
    assert texts == [
        "none: the platform gave it back",
        "none yet: its start-up retired it",
        "none yet, and no evaluation",
    ]
    assert Page(page(seen, Lang.KO)).open == []
    assert "제출된 후보 모델이 없습니다" in page(bare.changed(candidates=()).seen(), Lang.KO)


def test_a_course_is_kept_within_bounds_and_an_earlier_trial_is_not_of_it(case: Decided) -> None:
    template = next(one for one in case.evaluations if one.candidate == NAMES[0])

    def many(count: int) -> Iterator[Any]:
        for units in range(1, count + 1):
            yield template.model_copy(
                update={"decision": standing(units, 10_000), "ledger_offset": units, "final": False}
            )

    def course(evaluations: Any) -> list[int]:
        seen = seen_by(
            None,
            case.pairing,
            state=Installation(),
            facts=case.facts,
            evaluations=evaluations,
            verdicts=(),
            at=AT,
        )
        return [one.units for one in subject(seen).standings]

    kept = course(many(3 * STANDINGS))
    assert len(kept) <= STANDINGS + 1
    assert kept[-1] == 3 * STANDINGS
    assert max(b - a for a, b in pairwise(kept)) <= 4
    before = template.model_copy(update={"at": AT.replace(year=2025), "decision": standing(7)})
    assert course([before]) == []


# --- for programs, and small things -----------------------------------------------------------------------------------


def test_programs_get_the_records_and_the_sentences_in_both_languages(case: Decided, seen: Seen) -> None:
    record: Any = _record(subject(seen), seen)
    assert record["verdict"]["reason"] == case.verdicts[0].reason
    assert record["evaluation"]["counts"] == case.verdicts[0].evaluation.counts.model_dump()
    assert record["recomputed_equal"] is True
    assert record["agreement_digest"] == case.pairing.agreement_digest
    assert all(KOREAN.search(one["name"]["ko"]) for one in record["said"])
    assert KOREAN.search(record["worth"]["ko"]) and "5 %" in record["worth"]["en"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.93044, "0.9304"), (-2075.94, "-2,076"), (0.0, "0"), (None, "–"), (1.5e12, "1.500e+12")],
)
def test_numbers_are_written_for_people(value: float | None, expected: str) -> None:
    assert figure(value) == expected


def test_little_is_not_nothing_and_nearly_all_is_not_all() -> None:
    assert [share(*one) for one in ((0, 9), (1, 10_000), (9_999, 10_000), (9, 9), (0, 0))] == [
        "0.0 %", "< 0.1 %", "> 99.9 %", "100.0 %", "–",
    ]  # fmt: skip
    assert [lasting(ms).ko for ms in (0.5, 1500, 90_000, 7_200_000, 86_400_000)] == [
        "0.5 ms", "1.5초", "1.5분", "2시간", "1일",
    ]  # fmt: skip


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_round_few_and_within(low: float, span: float) -> None:
    found = ticks(low, low + span)
    assert len(found) <= 7
    assert all(low - 1e-6 * span - 1e-9 <= one <= low + span + 1e-6 * span + 1e-9 for one in found)
    assert found == sorted(set(found))
