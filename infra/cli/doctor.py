"""`fieldproof doctor`: what this machine can do, and what to do where it cannot."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from infra.cli.screen import Screen
from infra.words.language import Lang, Phrase, language

if TYPE_CHECKING:
    from infra.machine import Fact
    from infra.sandbox.containment import Finding, Probe, Trial

_STYLES = {"full": "green", "reduced": "yellow", "none": "red"}


def doctor(
    lang: Annotated[
        Lang | None, typer.Option(help="Language of messages; the terminal's if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Show how well this machine contains candidates, found by trying to break out, and what else it has.

    Exit code 1: something that an installation needs is missing.

    Example: fieldproof doctor --lang ko
    """
    from infra.machine import machine
    from infra.sandbox.advice import advice, kernel
    from infra.sandbox.containment import probe
    from infra.settings import Settings

    screen, spoken = Screen(as_json=as_json), language(lang, os.environ)
    found, facts = probe(), list(machine(Settings()))
    steps = advice(found, kernel())
    if as_json:
        screen.emit(_record(found, steps, facts))
    else:
        screen.show(_page(found, steps, facts, spoken))
    if not all(fact.ok for fact in facts):
        raise typer.Exit(1)


def _page(found: Probe, steps: list[Phrase], facts: list[Fact], lang: Lang) -> Table:
    """The level that is really there, what was tried, how to reach the next level, and the rest of the machine."""
    from infra.sandbox.containment import LEVELS_MEAN

    level = Phrase("level", "수준").to(lang)
    page = Table.grid()
    page.add_row(
        Text(f"{level} {found.level}: {LEVELS_MEAN[found.level].to(lang)}", f"bold {_STYLES[found.level]}")
    )
    page.add_row(_attempts(found, lang))
    for step in steps:
        page.add_row(Text(f"→ {step.to(lang)}", "yellow"))
    page.add_row(_machine(facts, lang))
    return page


def _attempts(found: Probe, lang: Lang) -> Table:
    """What was tried, and at which level it was held."""
    from infra.sandbox.containment import WHAT

    table = Table()
    table.add_column(Phrase("what a candidate's code tries", "후보 모델 코드의 시도").to(lang))
    tried = [trial for trial in found.trials if trial.findings]
    for trial in tried:
        table.add_column(trial.level, justify="center")
    for what, phrase in WHAT.items():
        table.add_row(phrase.to(lang), *(_cell(what, trial, lang) for trial in tried))
    return table


def _cell(what: str, trial: Trial, lang: Lang) -> str:
    finding: Finding | None = next((one for one in trial.findings if one.what == what), None)
    if finding is None:
        return "–"
    if what == "work":
        good, bad = Phrase("works", "정상"), Phrase("fails", "실패")
    else:
        good, bad = Phrase("held", "차단"), Phrase("possible", "가능")
    return f"[green]{good.to(lang)}[/green]" if finding.held else f"[red]{bad.to(lang)}[/red]"


def _machine(facts: list[Fact], lang: Lang) -> Table:
    table = Table(show_header=False)
    for fact in facts:
        mark = "[green]✓[/green]" if fact.ok else "[red]✗[/red]"
        said = fact.value if fact.ok else f"{fact.value}  → {fact.advice.to(lang)}"
        table.add_row(mark, fact.name.to(lang), said)
    return table


def _record(found: Probe, steps: list[Phrase], facts: list[Fact]) -> dict[str, object]:
    return {
        "kind": "doctor",
        "level": found.level,
        "levels": [
            {
                "level": trial.level,
                "holds": trial.holds,
                "broken": trial.broken,
                "findings": [
                    {"what": one.what, "held": one.held, "told": one.told} for one in trial.findings
                ],
            }
            for trial in found.trials
        ],
        "advice": [{"en": step.en, "ko": step.ko} for step in steps],
        "machine": [
            {
                "what": one.key,
                "value": one.value,
                "ok": one.ok,
                "advice": {"en": one.advice.en, "ko": one.advice.ko},
            }
            for one in facts
        ],
    }
