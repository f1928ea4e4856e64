"""`fieldproof candidate`: models of start-ups."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.cli.screen import Screen

REFUSED = 4

app = typer.Typer(help="Candidates: the models of start-ups.", no_args_is_help=True)


@app.callback()
def candidates() -> None:
    """Candidates: the models of start-ups."""


@app.command()
def submit(
    pairing: Annotated[str, typer.Argument(help="The pairing, such as pump-2026-01.")],
    model: Annotated[str, typer.Argument(help="A folder with an MLflow model, or models:/NAME/VERSION.")],
    name: Annotated[
        str | None, typer.Option(help="Its name in the registry; the folder's if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
) -> None:
    """Submit a model: it is checked against the agreement, registered, frozen, and runs from the pairing's first frame on.

    The model is never run by this command.

    Exit code 2: the model cannot be a candidate; 3: the installation does not answer; 4: the request was refused.

    Example: fieldproof candidate submit pump-2026-01 ./my-model
    """
    from infra.client import Client
    from infra.submission import submit as send

    screen = Screen(as_json=as_json)
    with Client.connect() as client:
        submitted = send(client, pairing, model, name=name)
    candidate, answer = submitted.candidate, submitted.answer
    screen.emit({"kind": "candidate", "new": answer.new, "refused": answer.refused, **candidate.to_dict()})
    if answer.refused is not None:
        screen.say(f"refused 거절: {answer.refused}", "red")
        raise typer.Exit(REFUSED)
    screen.say(
        f"{candidate.id}: submitted to {pairing}, model {candidate.model} version {candidate.version}, "
        f"digest {candidate.digest[:12]}…",
        "green",
    )
    screen.say("Watch it with: fieldproof watch")
