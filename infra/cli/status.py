"""`fieldproof status`: where everything stands."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from infra.cli.screen import Screen, scores


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
) -> None:
    """Show the installation, its pairings and where every candidate stands.

    Exit code 3: no installation answers.

    Example: fieldproof status --json
    """
    from infra.client import Client
    from infra.results import present
    from infra.words.facts import paused

    screen = Screen(as_json=as_json)
    with Client.connect() as client:
        state, addresses = client.state, client.addresses
        board = present(client.bootstrap, list(state.plants))
        lags = {one.id: client.lag(one) for one in state.pairings.values()}
    screen.emit(
        {
            "kind": "installation",
            "bootstrap": addresses.bootstrap,
            "mlflow": addresses.mlflow,
            "facts": state.number,
        }
    )
    screen.say(f"Kafka {addresses.bootstrap}   MLflow {addresses.mlflow}   facts 사실 {state.number}")
    for ident, why in state.paused.items():
        screen.emit({**why.to_dict(), "kind": "paused"})
        reason = paused(why)
        screen.say(f"{ident} is paused: {reason.en}", "red")
        screen.say(f"공장 {ident} 일시 중지: {reason.ko}. 재개: fieldproof plant resume {ident}", "red")
    table = Table(title="Pairings · 매칭", title_justify="left")
    for name in (
        "pairing 매칭",
        "plant 공장",
        "start-up 스타트업",
        "phase 단계",
        "since",
        "frames waiting 대기",
    ):
        table.add_column(name)
    for one in state.pairings.values():
        waiting = lags[one.id]
        screen.emit(
            {
                "kind": "pairing",
                "pairing": one.id,
                "plant": one.plant,
                "startup": one.startup,
                "phase": one.phase,
                "since": one.since.isoformat(),
                "frames_waiting": waiting,
            }
        )
        told = ", ".join(f"{name} {count}" for name, count in waiting.items() if count) or "0"
        table.add_row(one.id, one.plant, one.startup, one.phase, f"{one.since:%Y-%m-%d %H:%M:%S} UTC", told)
    for evaluation in board.evaluations.values():
        screen.emit(evaluation.to_dict())
    for verdict in board.verdicts.values():
        screen.emit(verdict.to_dict())
    if not as_json:
        screen.show(table)
        screen.show(scores(board.evaluations, board.verdicts))
