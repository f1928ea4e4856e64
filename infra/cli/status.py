"""`fieldproof status`: where everything stands."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from infra.cli.screen import Screen, scores
from infra.words.alarms import todo
from infra.words.language import Lang, Phrase, language
from infra.words.said import said

if TYPE_CHECKING:
    from schemas.events import PlantPaused
    from schemas.pairing import Pairing


def status(
    lang: Annotated[Lang | None, typer.Option(help="The language of what is wrong.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
) -> None:
    """Show the installation, its pairings and where every candidate stands; in red what is wrong, and what to do.

    Exit code 3: no installation answers.

    Example: fieldproof status --json
    """
    from infra.client import Client
    from infra.health_page import read_health
    from infra.results import present

    screen, spoken = Screen(as_json=as_json), language(lang, os.environ)
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
    _tell_pauses(screen, state.paused)
    health = read_health(addresses.metrics)
    _tell_failures(screen, health, spoken)
    _tell_alarms(screen, state.pairings.values(), spoken)
    table = _pairings()
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
                "alarms": list(one.alarms),
            }
        )
        told = ", ".join(f"{name} {count}" for name, count in waiting.items() if count) or "0"
        table.add_row(one.id, one.plant, one.startup, one.phase, f"{one.since:%Y-%m-%d %H:%M:%S} UTC", told)
    for evaluation in board.evaluations.values():
        screen.emit(evaluation.to_dict())
    for verdict in board.verdicts.values():
        screen.emit(verdict.to_dict())
    if health is not None:
        screen.emit({"kind": "health", **health})
    if not as_json:
        screen.show(table)
        screen.show(scores(board.evaluations, board.verdicts))


def _pairings() -> Table:
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
    return table


def _tell_failures(screen: Screen, health: Mapping[str, Any] | None, lang: Lang) -> None:
    """What the installation itself says is wrong with it; alarms are told from the facts."""
    for check in health["checks"] if health is not None else ():
        if check["state"] == "failed" and check["name"] != "audit":
            what, do = check["what"][lang], check.get("todo", {}).get(lang, "")
            screen.say(f"✗ {check['name']} ({check['since'][:19]} UTC): {what}", "red")
            screen.say(f"  → {do}", "red")


def _tell_pauses(screen: Screen, paused: Mapping[str, PlantPaused]) -> None:
    from infra.words.facts import paused as words

    for ident, why in paused.items():
        screen.emit({**why.to_dict(), "kind": "paused"})
        told = words(why)
        screen.say(f"{ident} is paused: {told.en}", "red")
        screen.say(f"공장 {ident} 일시 중지: {told.ko}. 재개: fieldproof plant resume {ident}", "red")


def _tell_alarms(screen: Screen, pairings: Iterable[Pairing], lang: Lang) -> None:
    for one in pairings:
        for alarm in one.alarms:
            told = Phrase(f"✗ {one.id}: ", f"✗ {one.id}: ") + said(alarm)
            screen.say(told.to(lang), "red")
            screen.say(f"  → {todo(alarm).to(lang)}", "red")
