"""`fieldproof request`: requests as any client could write them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from pydantic import Field

from infra.cli.asking import ask, read_file
from infra.cli.screen import Screen
from schemas.base import Ident, Record
from schemas.requests import Command

app = typer.Typer(help="Requests: what a party asks for, as a file.", no_args_is_help=True)


class RequestFile(Record):
    """A request and the party that asks."""

    party: Ident = Field(description="whose topic it is written to")
    command: Command


@app.callback()
def requests() -> None:
    """Requests: what a party asks for, as a file."""


@app.command()
def send(
    file: Annotated[Path, typer.Argument(help="YAML or JSON: `party` and `command`, one or a list.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
) -> None:
    """Send requests from a file. Sent again unchanged they act once.

    Exit code 2: the file is wrong; 3: the installation does not answer; 4: a request was refused.

    Example: fieldproof request send request.yaml
    """
    from infra.client import Client

    with Client.connect() as client:
        for one in read_file(file, RequestFile):
            ask(Screen(as_json=as_json), client, one.party, one.command)
