"""`fieldproof pairing`: the course of a proof."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.cli.screen import Screen

REFUSED = 4

app = typer.Typer(help="Pairings: one start-up's proof at one plant.", no_args_is_help=True)


@app.callback()
def pairings() -> None:
    """Pairings: one start-up's proof at one plant."""


@app.command()
def end(
    pairing: Annotated[
        str | None, typer.Argument(help="The pairing; every running one if not given.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why it ends now.")] = "the planned trial is over",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
) -> None:
    """End a trial: the frames sent until now count, and the verdict falls when their labels are in.

    Exit code 2: there is no such pairing; 3: the installation does not answer; 4: the request was refused.

    Example: fieldproof pairing end pump-2026-01
    """
    from infra.client import Client, Unknown
    from schemas.pairing import Phase
    from schemas.requests import EndTrial

    screen = Screen(as_json=as_json)
    with Client.connect() as client:
        known = client.state.pairings
        running = sorted(name for name, one in known.items() if one.phase is Phase.RUNNING)
        chosen = [pairing] if pairing is not None else running
        if pairing is not None and pairing not in known:
            raise Unknown(f"there is no pairing {pairing!r}. There are: {', '.join(sorted(known)) or 'none'}")
        if not chosen:
            raise Unknown("no pairing is running")
        refused = False
        for name in chosen:
            answer = client.ask(known[name].manufacturer, EndTrial(pairing=name, reason=reason))
            screen.emit({"kind": "trial_ended", "pairing": name, "refused": answer.refused})
            refused = refused or answer.refused is not None
            screen.say(f"{name}: {answer.refused or 'ended; the verdict falls when its labels are in'}")
    if refused:
        raise typer.Exit(REFUSED)
