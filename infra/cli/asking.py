"""Asking an installation from the command line: as a party, once, with the answer in words."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import typer

from infra.cli.screen import Screen
from infra.errors import InfraError
from infra.words.language import NOTHING, Lang, Phrase, language
from schemas.base import Record
from schemas.events import RequestRefused
from schemas.requests import Command

if TYPE_CHECKING:
    from infra.client import Client

#: Exit code where the installation refuses a request.
REFUSED = 4

R = TypeVar("R", bound=Record)


class WrongInput(InfraError):
    """The command's input is wrong."""

    exit_code = 2


def ask(screen: Screen, client: Client, party: str, command: Command, *, lang: Lang | None = None) -> None:
    """Ask as a party and tell the answer, in the terminal's language if no other is given.

    Raises:
        typer.Exit: with code 4 where the request was refused.
    """
    from infra.words.fact_names import kind_of

    answer = client.ask(party, command)
    fact = answer.fact
    screen.emit({"new": answer.new, **fact.to_dict()})
    if isinstance(fact.body, RequestRefused):
        refuse(screen, fact.body.why, lang=lang)
    number = Phrase(f"fact {fact.number}", f"{fact.number}번 사실")
    again = NOTHING if answer.new else Phrase(", unchanged", ", 변경 없음")
    words = kind_of(fact.body.kind) + Phrase(" (", " (") + number + again + Phrase(")", ")")
    screen.say(f"{fact.subject}: {words.to(language(lang, os.environ))}", "green")


def refuse(screen: Screen, why: Phrase, *, lang: Lang | None = None) -> NoReturn:
    """Tell that a request was refused, and end the command.

    Raises:
        typer.Exit: with code 4.
    """
    told = Phrase("refused: ", "거절됨: ") + why
    screen.say(told.to(language(lang, os.environ)), "red")
    raise typer.Exit(REFUSED)


def either(party: str | None, parties: Sequence[str]) -> str:
    """The party that asks: the one that was named, else the first that may."""
    return party if party is not None else parties[0]


def read_file(path: Path, model: type[R]) -> list[R]:
    """The records of a YAML or JSON file: one, or a list.

    Raises:
        WrongInput: with everything that is wrong, each at its file, line and column.
    """
    from infra.poc.record_reading import read_record
    from infra.poc.yaml_document import read_document

    try:
        document = read_document(path.read_bytes(), str(path))
    except OSError as error:
        raise WrongInput(f"{path}: {error.strerror}") from error
    keys: list[tuple[str | int, ...]] = [()]
    if isinstance(document.data, list):
        keys = [(i,) for i in range(len(document.data))]
    found: list[R] = []
    problems = list(document.problems)
    for key in keys if not problems else []:
        record, wrong = read_record(model, document, key)
        problems += wrong
        if record is not None:
            found.append(record)
    if problems:
        raise WrongInput("\n".join(map(str, problems)))
    return found
