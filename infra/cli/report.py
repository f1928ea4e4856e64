"""`fieldproof report`: a pairing's verdicts as one file, for a committee to read and to print."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.screen import Screen
from infra.words.language import Lang, Phrase, language


def report(
    pairing: Annotated[str | None, typer.Argument(help="The pairing; not needed where there is one.")] = None,
    out: Annotated[Path | None, typer.Option(help="The file to write; PAIRING.html if not given.")] = None,
    party: Annotated[
        str | None, typer.Option("--as", help="Only what the agreement shows this party; else all of it.")
    ] = None,
    lang: Annotated[Lang | None, typer.Option(help="Language; the terminal's if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
) -> None:
    """Write a report on a pairing for a committee: verdicts, agreement, pictures, story, in one HTML file.

    The file loads nothing, runs nothing, and prints on A4. Without --as it holds all that the plant may see: give a
    start-up or a coordinator the one that is written with --as.

    Exit code 2: there is no such pairing, or the party has no share in it; 3: the installation does not answer.

    Example: fieldproof report pump-2026-01 --out report.html --lang ko
    """
    from infra.cli.asking import WrongInput
    from infra.client import Client
    from infra.report.page import page
    from infra.report.read import read

    screen, spoken = Screen(as_json=as_json), language(lang, os.environ)
    with Client.connect() as client:
        seen = read(client, pairing, party)
    path = out or Path(f"{seen.pairing.id}.html")
    try:
        path.write_text(page(seen, spoken), encoding="utf-8")
    except OSError as error:
        raise WrongInput(f"{path} cannot be written: {error.strerror}") from error
    verdicts = {
        one.name: one.verdict.verdict.value if one.verdict is not None else None for one in seen.candidates
    }
    screen.emit(
        {
            "kind": "report",
            "pairing": seen.pairing.id,
            "path": str(path),
            "lang": spoken.value,
            "as": party,
            "verdicts": verdicts,
        }
    )
    screen.say(Phrase(f"wrote {path}", f"{path} 작성함").to(spoken), "green")
