"""The report on a pairing as one HTML file: nothing in it is loaded from anywhere, and nothing in it runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from infra.agreement.words import in_short
from infra.report.bounds import bounds_picture
from infra.report.charts import counts_picture, labels_picture, ranking_picture, slices_picture
from infra.report.decided import ranking_of, ranking_section, threshold_of, verdict_section
from infra.report.markup import Markup, plain, tag, void
from infra.report.measured import slice_metric
from infra.report.section import Grid, Section
from infra.report.seen import Seen, Subject
from infra.report.told import sections
from infra.words.alarms import todo
from infra.words.fact_names import VERDICTS
from infra.words.language import Lang, Phrase
from infra.words.pairings import story, why
from infra.words.said import said
from infra.words.verdicts import because
from schemas.evaluation import Standing
from streams.names import PHASES

_STYLE = Path(__file__).with_name("page.css")
#: Beside the colour, so that a verdict can be told without it.
_SIGNS = {"accepted": "✔", "rejected": "✖", "equivalent": "≈", "inconclusive": "?", "pending": "…"}
#: Nothing is loaded and nothing runs, whatever strangers wrote.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
#: Up to so many classes their table fits on a page.
_CLASSES = 8


def page(seen: Seen, lang: Lang) -> str:
    """The whole report, as the text of an HTML file."""
    title = Phrase(f"Report on {seen.pairing.id}", f"실증 평가 보고서 {seen.pairing.id}").to(lang)
    head = tag(
        "head",
        void("meta", charset="utf-8"),
        void("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        void("meta", name="referrer", content="no-referrer"),
        tag("title", title),
        tag("style", Markup(_STYLE.read_text(encoding="utf-8"))),
    )
    several = (_candidate(at, one, seen, lang) for at, one in enumerate(seen.candidates))
    body = tag(
        "body",
        tag("header", *_head(seen, lang)),
        tag(
            "main",
            _verdicts(seen, lang),
            _agreement(seen, lang),
            _ranking(seen, lang),
            *several,
            _story(seen, lang),
        ),
        _foot(seen, lang),
    )
    return f"<!doctype html>\n{tag('html', head, body, lang=lang.value)}\n"


# --- the head ---------------------------------------------------------------------------------------------------------


def _head(seen: Seen, lang: Lang) -> Iterator[Markup]:
    pairing = seen.pairing
    yield tag(
        "p",
        Phrase("FIELDPROOF · proof of concept report", "실증 평가 보고서 · Fieldproof").to(lang),
        class_="over",
    )
    who = f"{seen.called(pairing.plant)} × {seen.called(pairing.startup)}"
    yield tag("h1", who)
    lead = f"{pairing.id} · {PHASES[pairing.phase].to(lang)} · {why(pairing).to(lang)}"
    yield tag("p", lead, class_="lead")
    if pairing.simulated:
        simulated = Phrase(
            "SIMULATED DATA. These numbers say nothing of a real plant.",
            "모의 데이터입니다. 실제 공장의 성능을 말해 주지 않습니다.",
        )
        yield tag("p", tag("strong", simulated.to(lang)), class_="banner", role="note")
    for alarm in pairing.alarms:
        told = tag("strong", Phrase("Alarm: ", "경고: ").to(lang), said(alarm).to(lang))
        yield tag("div", told, tag("p", todo(alarm).to(lang)), class_="banner alarm", role="note")
    if seen.reader is not None:
        told_to = Phrase(
            f"For {seen.called(seen.reader)}, as far as the agreement lets it see.",
            f"{seen.called(seen.reader)} 열람용: 협약이 공개한 범위만 담았습니다.",
        )
        yield tag("p", told_to.to(lang), class_="note")


def _tone(subject: Subject) -> str:
    return subject.verdict.verdict.value if subject.verdict is not None else "pending"


def _badge(subject: Subject, seen: Seen, lang: Lang) -> Markup:
    """The verdict, or why there is none to show."""
    tone = _tone(subject)
    words = VERDICTS.get(tone) or verdict_section(subject, seen).lines[0][1]
    return tag("span", f"{_SIGNS[tone]} {words.to(lang)}", class_=f"badge {tone}")


def _verdicts(seen: Seen, lang: Lang) -> Markup:
    """Every candidate with its verdict, why, and what that is worth: once where it is the same of all."""
    heading = tag("h2", Phrase("Verdicts", "판정 요약").to(lang))
    if not seen.candidates:
        none = Phrase("No candidate has been submitted.", "제출된 후보 모델이 없습니다.")
        return tag("section", heading, tag("p", none.to(lang)))
    worth = {verdict_section(one, seen).note.to(lang) for one in seen.candidates} - {""}
    cards = [_card(one, seen, lang, alike=len(worth) < 2) for one in seen.candidates]
    alike = [tag("p", *worth, class_="note")] if len(worth) == 1 else []
    return tag("section", heading, tag("div", *cards, class_="cards"), *alike)


def _card(one: Subject, seen: Seen, lang: Lang, *, alike: bool) -> Markup:
    note = verdict_section(one, seen).note.to(lang)
    return tag(
        "article",
        tag("header", tag("span", one.name, class_="name"), _badge(one, seen, lang)),
        *([tag("p", because(one.verdict.reason).to(lang))] if one.verdict is not None else []),
        *([tag("p", note, class_="note")] if note and not alike else []),
        class_=f"card {_tone(one)}",
    )


def _agreement(seen: Seen, lang: Lang) -> Markup:
    pairing = seen.pairing
    rows = [
        (Phrase("agreement, SHA-256", "협약 SHA-256"), tag("code", pairing.agreement_digest)),
        (Phrase("manufacturer", "수요기업"), seen.called(pairing.manufacturer)),
        (Phrase("plant", "공장"), seen.called(pairing.plant)),
        (Phrase("start-up", "스타트업"), seen.called(pairing.startup)),
        (Phrase("coordinators", "운영기관"), ", ".join(seen.called(one) for one in pairing.coordinators)),
    ]
    local = seen.local
    for one in pairing.consents:
        rows.append(
            (
                Phrase("consented", "동의"),
                f"{seen.called(one.party)}: {one.person}, {local(one.at)} (r{one.revision})",
            )
        )
    for each in pairing.objections:
        rows.append((Phrase("objection", "이의"), f"{each.person}: {each.reason}"))
    # The document marks values as Markdown does.
    terms = [tag("li", one.to(lang).replace("`", "")) for one in in_short(pairing.agreement)]
    return tag(
        "section",
        tag("h2", Phrase("What was agreed", "합의한 내용").to(lang)),
        tag("dl", *(_pair(name.to(lang), value) for name, value in rows)),
        tag("h3", Phrase("In short", "주요 조건").to(lang)),
        tag("ul", *terms, class_="terms"),
    )


def _pair(name: str, value: str) -> Markup:
    return tag("div", tag("dt", name), tag("dd", value))


# --- a candidate ------------------------------------------------------------------------------------------------------


def _candidate(at: int, one: Subject, seen: Seen, lang: Lang) -> Markup:
    heading = tag("h2", one.name, " ", _badge(one, seen, lang))
    parts = (_section(f"c{at}", each, one, seen, lang) for each in sections(one, seen))
    return tag("section", heading, *parts, class_="candidate")


def _section(name: str, section: Section, one: Subject, seen: Seen, lang: Lang) -> Markup:
    parts: list[Markup] = [tag("h3", section.title.to(lang))]
    drawn = _drawn(f"{name}-{section.key}", section.key, one, seen, lang)
    if drawn is not None:
        parts.append(tag("figure", drawn))
    if section.grid is not None:
        parts.append(_grid(section.key, section.grid, lang))
    if section.lines:
        parts.append(tag("dl", *(_pair(said_.to(lang), text.to(lang)) for said_, text in section.lines)))
    if section.note.en:
        parts.append(tag("p", section.note.to(lang), class_="note"))
    return tag("section", *parts, class_=section.key)


def _drawn(name: str, key: str, one: Subject, seen: Seen, lang: Lang) -> Markup | None:
    """The picture of a part, where it has one."""
    told, agreement = one.evaluation, seen.pairing.agreement
    if key == "decision":
        fallen = one.verdict.decision if one.verdict is not None else None
        return bounds_picture(name, _until(one.standings, fallen), lang)
    if told is None:
        return None
    if key == "counts" and told.counts is not None:
        return counts_picture(name, told.counts, lang)
    if key == "labels" and told.labels is not None:
        deadline_ms = agreement.labels.deadline_days * 86_400_000
        return labels_picture(name, told.labels, deadline_ms, lang)
    shown = slice_metric(told, seen)
    if key == "slices" and shown is not None:
        threshold = threshold_of(agreement) if shown == agreement.acceptance.metric else None
        whole = (told.metrics or {}).get(shown)
        return slices_picture(name, told.slices, shown, whole=whole, threshold=threshold, lang=lang)
    return None


def _until(standings: Sequence[Standing], fallen: Standing | None) -> Sequence[Standing]:
    """The course of a decision up to where it fell."""
    if fallen is None:
        return standings
    return [*(one for one in standings if one.units < fallen.units), fallen]


def _grid(key: str, grid: Grid, lang: Lang) -> Markup:
    if key == "confusion" and len(grid.rows) <= _CLASSES:
        return _confusion(grid, lang)
    head = tag("tr", *(tag("th", one.to(lang), scope="col") for one in grid.head))
    rows = (
        tag("tr", tag("th", row[0].to(lang), scope="row"), *(tag("td", one.to(lang)) for one in row[1:]))
        for row in grid.rows
    )
    sums = "sums" if key == "counts" else None
    return tag("table", tag("thead", head), tag("tbody", *rows), class_=sums)


def _confusion(grid: Grid, lang: Lang) -> Markup:
    """The table with every cell as dark as its share of its row."""
    head = tag("tr", *(tag("th", one.to(lang), scope="col") for one in grid.head))
    rows = []
    for at, row in enumerate(grid.rows):
        numbers = [int(one.en.replace(",", "")) for one in row[1:]]
        whole = sum(numbers) or 1
        cells = (
            tag(
                "td",
                tag("div", f"{number:,}"),
                tag("div", f"{100 * number / whole:.1f} %", class_="note"),
                class_="right" if place == at else None,
                style=f"background: rgb(29 90 158 / {0.35 * number / whole:.3f})",
            )
            for place, number in enumerate(numbers)
        )
        rows.append(tag("tr", tag("th", row[0].to(lang), scope="row"), *cells))
    return tag("table", tag("thead", head), tag("tbody", *rows), class_="confusion")


# --- the rest ---------------------------------------------------------------------------------------------------------


def _ranking(seen: Seen, lang: Lang) -> Markup:
    section, ranking = ranking_section(seen), ranking_of(seen)
    if section is None or ranking is None:
        return Markup("")
    drawn = ranking_picture("ranking", ranking, [one.name for one in seen.candidates], lang)
    return tag(
        "section",
        tag("h2", section.title.to(lang)),
        *([tag("figure", drawn)] if drawn is not None else []),
        *([_grid(section.key, section.grid, lang)] if section.grid is not None else []),
        tag("dl", *(_pair(name.to(lang), text.to(lang)) for name, text in section.lines)),
        tag("p", section.note.to(lang), class_="note"),
    )


def _story(seen: Seen, lang: Lang) -> Markup:
    rows = (
        tag("tr", tag("td", at), tag("td", who), tag("td", what))
        for at, who, what in story(seen.facts, seen.names, seen.zone, lang)
    )
    heads = (Phrase("when", "때"), Phrase("who", "누가"), Phrase("what happened", "무엇을"))
    head = tag("tr", *(tag("th", one.to(lang), scope="col") for one in heads))
    heading = Phrase(f"What happened ({seen.zone})", f"경과 ({seen.zone})")
    return tag(
        "section",
        tag("h2", heading.to(lang)),
        tag("table", tag("thead", head), tag("tbody", *rows), class_="story"),
    )


def _foot(seen: Seen, lang: Lang) -> Markup:
    written = Phrase(f"Written {seen.local(seen.at)}. ", f"작성 {seen.local(seen.at)}. ")
    ident = plain(seen.pairing.id)
    check = Phrase(
        "Whoever may read the ledger can compute every number again",
        "원장을 볼 수 있는 사람은 모든 숫자를 다시 계산해 볼 수 있습니다",
    )
    return tag(
        "footer",
        tag(
            "p",
            (written + check).to(lang),
            ": ",
            tag("code", f"fieldproof recompute --pairing {ident}"),
            class_="note",
        ),
    )
