"""`fieldproof label history`: which labels were corrected, what that changed, and which corrections came too late."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer
from rich.table import Table

from infra.cli.screen import Screen
from infra.words.language import Lang, Phrase, language

if TYPE_CHECKING:
    from streams.corrections import Correction

#: Exit code where there is nothing left to read.
ERASED = 2

_COUNTED = Phrase("counted", "반영")
_TOO_LATE = Phrase("too late, changes nothing", "기한이 지나 반영하지 않음")
_NONE = Phrase("No label was corrected.", "정정된 라벨이 없습니다.")
#: What numbers are changed into, and labels that are taken back.
_DIRECTIONS = {
    "up": Phrase("up", "상향"),
    "down": Phrase("down", "하향"),
    "unlabelled": Phrase("unlabelled", "라벨 없음"),
}


def history(
    pairing: Annotated[str | None, typer.Argument(help="The pairing; not needed where there is one.")] = None,
    lang: Annotated[Lang | None, typer.Option(help="Language; the terminal's if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
) -> None:
    """Show which labels were corrected, what that changed, and which corrections came after their deadline.

    It is read from the ledger: rows of the latest rehearsal or trial, by what their label was changed from and into. A
    correction after the deadline is recorded, and changes no score.

    Exit code 2: there is no such pairing, or its ledger was erased; 3: the installation does not answer.

    Example: fieldproof label history pump-2026-01 --lang ko
    """
    from agents.scores import digest_of, new_book, read_entry
    from infra.client import Client
    from infra.evidence.case import gone, read_case
    from streams.corrections import corrections

    screen, spoken = Screen(as_json=as_json), language(lang, os.environ)
    with Client.connect() as client:
        present = client.pairing(pairing)
        if (why := gone(present)) is not None:
            screen.say(why.to(spoken), "red")
            raise typer.Exit(ERASED)
        zone = ZoneInfo(client.state.plants[present.plant].time_zone)
        book = new_book(present.id)
        for record in read_case(client, present).entries():
            read = read_entry(record)
            if isinstance(read, tuple):
                book.fold(read[1], offset=record.offset, digest=digest_of(record))
    book.settle()
    found = corrections(book)
    for one in found:
        screen.emit({"kind": "correction", "pairing": present.id, **asdict(one)})
    if not found:
        screen.say(_NONE.to(spoken))
    elif not as_json:
        screen.show(_table(found, zone, spoken))


def _table(found: list[Correction], zone: ZoneInfo, lang: Lang) -> Table:
    table = Table(box=None)
    for name in (
        Phrase("when", "시각"),
        Phrase("machine", "설비"),
        Phrase("label", "라벨"),
        Phrase("rows", "행"),
        Phrase("", ""),
    ):
        table.add_column(name.to(lang))
    for one in found:
        for changed, what in ((one.changed, _COUNTED), (one.late, _TOO_LATE)):
            if changed:
                when = _local(one.appended_ms, zone)
                table.add_row(when, one.asset, one.label, _rows(changed, lang), what.to(lang))
    return table


def _local(at_ms: int, zone: ZoneInfo) -> str:
    from streams.frames import moment

    return moment(at_ms * 1000).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")


def _rows(changed: dict[str, int], lang: Lang) -> str:
    return ", ".join(f"{_direction(name, lang)}: {count}" for name, count in sorted(changed.items()))


def _direction(name: str, lang: Lang) -> str:
    steps = (_DIRECTIONS[step].to(lang) if step in _DIRECTIONS else step for step in name.split("/"))
    return " → ".join(steps)
