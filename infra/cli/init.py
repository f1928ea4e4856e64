"""`fieldproof init`: write the folder of a proof of concept, ready to be changed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.poc_template import FolderNotWritten, write_folder
from infra.words import Lang, Phrase, language
from schemas.agreement import Task


def init(
    directory: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    task: Annotated[Task, typer.Option(help="What candidates are asked for.")] = Task.ANOMALY,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
    lang: Annotated[
        Lang | None, typer.Option(help="Language of messages; the terminal's if not given.")
    ] = None,
) -> None:
    """Write the folder of a proof of concept: a complete example in commented YAML.

    Nothing that exists is overwritten.

    Example: fieldproof init my-poc --task anomaly
    """
    spoken = language(lang, os.environ)
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    try:
        written = write_folder(directory, task)
    except FolderNotWritten as error:
        console.print(error.phrase.to(spoken), style="red", markup=False)
        if as_json:
            print(json.dumps({"status": "refused", "reason": str(error.phrase)}, ensure_ascii=False))
        raise typer.Exit(error.exit_code) from error
    for path in written:
        console.print(str(path), markup=False)
        if as_json:
            print(json.dumps({"status": "written", "file": str(path)}, ensure_ascii=False))
    after = Phrase(
        f"\nNext: change the names and tags in these files, then\n  fieldproof apply {directory}",
        f"\n다음: 파일의 이름과 계측값을 고친 뒤 실행하세요.\n  fieldproof apply {directory}",
    )
    console.print(after.to(spoken), markup=False)
