"""`fieldproof verdict`: what was decided of each candidate, and why."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from infra.cli.screen import Screen
from infra.words.language import Lang, Phrase, language

if TYPE_CHECKING:
    from infra.report.section import Grid, Section
    from infra.report.seen import Seen, Subject

app = typer.Typer(help="Verdicts: what was decided of each candidate, and why.", no_args_is_help=True)


@app.command()
def show(
    pairing: Annotated[str | None, typer.Argument(help="The pairing; not needed where there is one.")] = None,
    candidate: Annotated[str | None, typer.Option(help="Only this candidate.")] = None,
    party: Annotated[
        str | None, typer.Option("--as", help="Only what the agreement shows this party; else all of it.")
    ] = None,
    lang: Annotated[Lang | None, typer.Option(help="Language; the terminal's if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
) -> None:
    """Explain the verdict on each candidate: the rule, the reason, the units, the counts, and what it is worth.

    While no verdict has fallen it says where a candidate stands, and whether one may act on that.

    Exit code 2: there is no such pairing or candidate; 3: the installation does not answer.

    Example: fieldproof verdict show pump-2026-01 --candidate t2q-v1 --lang ko
    """
    from infra.client import Client, Unknown
    from infra.report.decided import ranking_section
    from infra.report.read import read
    from infra.report.told import sections

    screen, spoken = Screen(as_json=as_json), language(lang, os.environ)
    with Client.connect() as client:
        seen = read(client, pairing, party)
    chosen = [one for one in seen.candidates if candidate in (None, one.name)]
    if candidate is not None and not chosen:
        known = ", ".join(one.name for one in seen.candidates) or "none"
        raise Unknown(f"{seen.pairing.id} has no candidate {candidate!r}; it has: {known}")
    for one in chosen:
        screen.emit(_record(one, seen))
        if not as_json:
            screen.show(Group(*_told(one.name, sections(one, seen), spoken)))
    ranking = ranking_section(seen)
    if ranking is not None and candidate is None and not as_json:
        screen.show(Group(*_section(ranking, spoken)))
    if not chosen:
        screen.say(Phrase("no candidate has been submitted", "제출된 후보 모델이 없습니다").to(spoken))


def _record(one: Subject, seen: Seen) -> dict[str, object]:
    """A candidate for programs: the records as they are, and the sentences in both languages."""
    from infra.report.decided import verdict_section

    section = verdict_section(one, seen)
    return {
        "kind": "candidate",
        "pairing": seen.pairing.id,
        "candidate": one.name,
        "verdict": one.verdict.to_dict() if one.verdict is not None else None,
        "evaluation": one.evaluation.to_dict() if one.evaluation is not None else None,
        "sandbox": one.held,
        "recomputed_equal": one.recomputed_equal,
        "simulated": seen.pairing.simulated,
        "agreement_digest": seen.pairing.agreement_digest,
        "said": [
            {"name": {"en": name.en, "ko": name.ko}, "text": {"en": text.en, "ko": text.ko}}
            for name, text in section.lines
        ],
        "worth": {"en": section.note.en, "ko": section.note.ko},
    }


def _told(name: str, sections: list[Section], lang: Lang) -> Iterator[RenderableType]:
    from infra.report.markup import plain

    yield Text(f"\n━━ {plain(name)} ━━", style="bold")
    for section in sections:
        yield from _section(section, lang)


def _section(section: Section, lang: Lang) -> Iterator[RenderableType]:
    from infra.report.markup import plain

    yield Text(f"\n{plain(section.title.to(lang))}", style="bold")
    if section.grid is not None:
        yield _grid(section.grid, lang)
    if section.lines:
        table = Table(show_header=False, box=None)
        table.add_column(style="dim")
        table.add_column()
        for name, text in section.lines:
            table.add_row(Text(plain(name.to(lang))), Text(plain(text.to(lang))))
        yield table
    if section.note.en:
        yield Text(plain(section.note.to(lang)), style="italic")


def _grid(grid: Grid, lang: Lang) -> Table:
    from infra.report.markup import plain

    table = Table()
    for at, head in enumerate(grid.head):
        table.add_column(Text(plain(head.to(lang))), justify="right" if at else "left")
    for row in grid.rows:
        table.add_row(*(Text(plain(one.to(lang))) for one in row))
    return table
