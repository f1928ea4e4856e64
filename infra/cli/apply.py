"""`fieldproof apply`: make what a folder describes true, once, however often it is run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Protocol

import typer
from rich.console import Console

from infra.cli.asking import REFUSED
from infra.poc.folder import FolderProblems, PocFolder, read_folder
from infra.words.language import Lang, Phrase, language
from schemas.events import Fact, RequestRefused
from schemas.requests import Command
from streams.judgement import subject

#: Stands for what every later step needs.
EVERYTHING = "*"


class Status(StrEnum):
    """What became of one object of the folder."""

    NEW = "new"
    UNCHANGED = "unchanged"
    REFUSED = "refused"
    #: Not asked for, because what it needs was refused.
    SKIPPED = "skipped"
    #: Would be asked for.
    PLANNED = "planned"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One request of the folder and its answer."""

    status: Status
    #: What is asked for: the command's kind.
    command: str
    id: str
    party: str
    reason: str | None = None
    #: The same in Korean.
    reason_ko: str | None = None
    #: Number of the fact that answers it.
    fact: int | None = None


class Reply(Protocol):
    """A fact, and whether this request made it rather than an earlier one like it."""

    @property
    def fact(self) -> Fact: ...

    @property
    def new(self) -> bool: ...


class Asker(Protocol):
    """Whoever can ask an installation."""

    def ask(self, party: str, command: Command) -> Reply: ...


def plan(folder: PocFolder) -> Iterator[Step]:
    """What would be asked for."""
    for party, command in folder.commands():
        yield _step(Status.PLANNED, party, command)


def carry_out(folder: PocFolder, asker: Asker) -> Iterator[Step]:
    """Ask for everything in order; what a refused thing carries is not asked for."""
    refused: set[str] = set()
    for party, command in folder.commands():
        pairing = getattr(command, "pairing", None)
        # A pairing's steps hang on one another, and all of them on what comes before.
        if EVERYTHING in refused or pairing in refused:
            yield _step(Status.SKIPPED, party, command)
            continue
        step = _asked(asker, party, command)
        if step.status is Status.REFUSED:
            refused.add(pairing or EVERYTHING)
        yield step


def _asked(asker: Asker, party: str, command: Command) -> Step:
    reply = asker.ask(party, command)
    number = reply.fact.number
    if isinstance(reply.fact.body, RequestRefused):
        return _step(Status.REFUSED, party, command, refused=reply.fact.body, fact=number)
    return _step(Status.NEW if reply.new else Status.UNCHANGED, party, command, fact=number)


def _step(
    status: Status,
    party: str,
    command: Command,
    *,
    refused: RequestRefused | None = None,
    fact: int | None = None,
) -> Step:
    return Step(
        status=status,
        command=command.kind,
        id=subject(command),
        party=party,
        reason=refused.reason if refused is not None else None,
        reason_ko=refused.reason_ko if refused is not None else None,
        fact=fact,
    )


def apply(
    directory: Annotated[Path, typer.Argument(help="A folder that `fieldproof init` wrote.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the folder and ask for nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
    lang: Annotated[
        Lang | None, typer.Option(help="Language of messages; the terminal's if not given.")
    ] = None,
) -> None:
    """Open what a folder describes: organisations, programme, plant, need and pairings.

    Running it again changes nothing that is there already.

    Exit code 2: something in the folder is wrong. 4: a request was refused.

    Example: fieldproof apply my-poc
    """
    report = _Report(language(lang, os.environ), as_json=as_json)
    try:
        folder = read_folder(directory)
    except FolderProblems as error:
        report.problems(error)
        raise typer.Exit(error.exit_code) from error
    report.notes(folder)
    if dry_run:
        report.steps(plan(folder))
        return
    # Not needed, and slow to import, for a folder that is wrong.
    from infra.client import Client
    from infra.evidence.sealing import keys_in_use, proposed_in
    from infra.settings import Settings

    with Client.connect() as client:
        keys = keys_in_use(client.state, folder.plant.id, Settings().home)
        folder = folder.sealed(keys, proposed_in(client.facts))
        statuses = report.steps(carry_out(folder, client))
    if Status.REFUSED in statuses:
        raise typer.Exit(REFUSED)
    report.next_steps(folder)


_STATUS_WORDS = {
    Status.NEW: (Phrase("new", "신규"), "green"),
    Status.UNCHANGED: (Phrase("unchanged", "변경 없음"), "dim"),
    Status.REFUSED: (Phrase("refused", "거절"), "red"),
    Status.SKIPPED: (Phrase("not asked", "요청 안 함"), "yellow"),
    Status.PLANNED: (Phrase("would be asked", "요청 예정"), "cyan"),
}
_THINGS = {
    "register_organisation": Phrase("organisation", "기관"),
    "open_programme": Phrase("programme", "사업"),
    "admit_plant": Phrase("plant", "공장"),
    "declare_need": Phrase("need", "수요"),
    "publish_key": Phrase("signing key", "서명 키"),
    "propose_pairing": Phrase("pairing proposed", "매칭 제안"),
    "consent_to_agreement": Phrase("agreement consented to", "협약 동의"),
    "start_trial": Phrase("trial started", "실증 시작"),
}


class _Report:
    """Words for people on stderr, JSON Lines for programs on stdout."""

    def __init__(self, lang: Lang, *, as_json: bool) -> None:
        self.lang = lang
        self.as_json = as_json
        self.console = Console(stderr=True, soft_wrap=True, highlight=False)

    def say(self, text: str, style: str = "") -> None:
        self.console.print(text, style=style, markup=False)

    def emit(self, **fields: object) -> None:
        if self.as_json:
            present = {name: value for name, value in fields.items() if value is not None}
            print(json.dumps(present, ensure_ascii=False), flush=True)

    def problems(self, error: FolderProblems) -> None:
        for line in error.lines(self.lang):
            self.say(line, "red")
        for one in error.problems:
            self.emit(**{**asdict(one), "status": "problem", "message": one.message.to(self.lang)})
        count = len(error.problems)
        self.say(
            Phrase(
                f"\n{count} to put right; nothing was asked for",
                f"\n고칠 곳 {count}개. 아무것도 요청하지 않았습니다.",
            ).to(self.lang)
        )

    def notes(self, folder: PocFolder) -> None:
        for one in folder.notes:
            self.say(one.text(one.message.to(self.lang)), "yellow")

    def steps(self, steps: Iterable[Step]) -> set[Status]:
        seen = set()
        for step in steps:
            seen.add(step.status)
            self.emit(**asdict(step))
            word, style = _STATUS_WORDS[step.status]
            said = Phrase(step.reason or "", step.reason_ko or step.reason or "").to(self.lang)
            reason = f": {said}" if said else ""
            self.say(f"{_THINGS[step.command].to(self.lang)} {step.id}: {word.to(self.lang)}{reason}", style)
        return seen

    def next_steps(self, folder: PocFolder) -> None:
        submit = "\n".join(f"  fieldproof candidate submit {one.id} MODEL_FOLDER" for one in folder.pairings)
        replay = f"  fieldproof replay DATA.csv --plant {folder.plant.id}"
        words = Phrase(
            f"\nNext, each start-up submits its model:\n{submit}\nThen send the plant's data:\n{replay}",
            f"\n다음: 각 스타트업이 모델을 제출합니다.\n{submit}\n그리고 공장 데이터를 보냅니다.\n{replay}",
        )
        self.say(words.to(self.lang))
