"""`fieldproof init`: write the folder of a proof of concept, ready to be changed."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.poc.columns import draft_of
from infra.poc.template import EXAMPLE_TAGS, ExampleTag, FolderNotWritten, write_folder
from infra.words.language import Lang, Phrase, language
from schemas.agreement import Task

#: As much of an exported file as is looked at.
READ_BYTES = 16 * 1024 * 1024


def init(
    directory: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    task: Annotated[Task, typer.Option(help="What candidates are asked for.")] = Task.ANOMALY,
    from_csv: Annotated[
        Path | None, typer.Option(help="Take tags and assets from the columns of this exported file.")
    ] = None,
    asset_column: Annotated[
        str | None, typer.Option(help="The column of that file that holds the machine, as in replay.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="What every id begins with, such as press: press-plant, press-2026-01.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
    lang: Annotated[
        Lang | None, typer.Option(help="Language of messages; the terminal's if not given.")
    ] = None,
) -> None:
    """Write the folder of a proof of concept: a complete example in commented YAML.

    Nothing that exists is overwritten.

    Exit code 2: the folder is not empty, or the file cannot be read.

    Example: fieldproof init my-poc --task anomaly --from-csv export.csv
    """
    spoken = language(lang, os.environ)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        _check_name(name)
        draft = _draft(from_csv, asset_column)
        written = write_folder(directory, task, draft.tags, draft.assets, name=name)
    except FolderNotWritten as error:
        console.print(error.phrase.to(spoken), style="red", markup=False)
        if as_json:
            print(json.dumps({"status": "refused", "reason": str(error.phrase)}, ensure_ascii=False))
        raise typer.Exit(error.exit_code) from error
    for path in written:
        console.print(str(path), markup=False)
        if as_json:
            print(json.dumps({"status": "written", "file": str(path)}, ensure_ascii=False))
    if from_csv is not None:
        console.print(_check_draft(draft.left_out).to(spoken), style="yellow", markup=False)
    quoted = shlex.quote(str(directory))
    after = Phrase(
        f"\nNext: change the names and tags in these files, then\n  fieldproof apply {quoted}",
        f"\n다음: 파일의 이름과 계측값을 고친 뒤 실행하세요.\n  fieldproof apply {quoted}",
    )
    console.print(after.to(spoken), markup=False)


@dataclass(frozen=True, kw_only=True)
class _Content:
    tags: Sequence[ExampleTag] = EXAMPLE_TAGS
    assets: Sequence[str] = ()
    left_out: Sequence[str] = ()


def _check_name(name: str | None) -> None:
    if name is not None and not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name):
        raise FolderNotWritten(
            Phrase(
                f"{name!r} cannot begin an id: use small letters, digits and hyphens, at most 31",
                f"{name!r}(으)로는 id를 만들 수 없습니다. 영문 소문자·숫자·하이픈으로 31자까지 쓰세요.",
            )
        )


def _draft(file: Path | None, asset_column: str | None) -> _Content:
    """What the example is filled with: its own names, or those of an exported file."""
    if file is None:
        return _Content()
    try:
        with file.open("rb") as opened:
            raw = opened.read(READ_BYTES)
    except OSError as error:
        why = error.strerror or str(error)
        raise FolderNotWritten(
            Phrase(f"{file}: {why}", f"{file}: 파일을 읽을 수 없습니다({why}).")
        ) from error
    if len(raw) == READ_BYTES:
        raw = raw[: raw.rfind(b"\n") + 1]
    found = draft_of(raw, file=file.name, asset_column=asset_column)
    if isinstance(found, Phrase):
        raise FolderNotWritten(found)
    tags = [ExampleTag(name=name, unit=unit) for name, unit in found.tags]
    return _Content(tags=tags, assets=found.assets, left_out=found.left_out)


def _check_draft(left_out: Sequence[str]) -> Phrase:
    every = ", ".join(left_out)
    check = Phrase(
        "Check in plant.yaml the units, and in agreement.yaml that no input gives the answer away.",
        "plant.yaml의 단위를 확인하고, agreement.yaml의 입력값에 정답이 드러나는 열이 없는지 확인하세요.",
    )
    if not left_out:
        return check
    return (
        Phrase(
            f"Left out as labels or not numbers: {every}. ", f"라벨이거나 숫자가 아니어서 뺀 열: {every}. "
        )
        + check
    )
