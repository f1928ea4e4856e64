"""`fieldproof up`: a whole installation on this machine."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Annotated, Any, TypeVar

import typer

from infra import logs
from infra.cli.screen import Screen
from infra.health_page import READYZ, beside

T = TypeVar("T")


def up(
    port: Annotated[int | None, typer.Option(help="Kafka's port; a free one if not given.")] = None,
    metrics_port: Annotated[
        int, typer.Option(help="Port of the figures for Prometheus; a free one if not given.")
    ] = 0,
    unsandboxed: Annotated[
        bool,
        typer.Option(
            "--allow-unsandboxed",
            help="Run start-ups' code in open agreements though nothing holds it; every evaluation says so.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
) -> None:
    """Run Kafka, MLflow, control and every plant's workers until Ctrl-C. What was there goes on where it stopped.

    Told to stop, workers have 15 seconds to finish what they have in hand (what they do not finish is handled again by the next
    start), MLflow has 10 and Kafka 20: `up` has ended within 60 seconds, usually within five. A second Ctrl-C changes nothing.

    KAFKA_BOOTSTRAP_SERVERS and MLFLOW_TRACKING_URI replace the embedded ones. Data is kept in FIELDPROOF_HOME (.fieldproof).

    Exit code 3: a part could not be started.

    Example: fieldproof up
    """
    screen = Screen(as_json=as_json)
    logs.set_up()
    asyncio.run(_run(screen, port, metrics_port=metrics_port, unsandboxed=unsandboxed))


async def _run(screen: Screen, port: int | None, *, metrics_port: int, unsandboxed: bool) -> None:
    from infra.installation import Installation
    from infra.settings import Settings

    installation = Installation(
        Settings(), progress=screen.say, port=port, metrics_port=metrics_port, unsandboxed=unsandboxed
    )
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    try:
        addresses = await _unless(stopped, installation.start())
        if addresses is not None:
            screen.emit({"kind": "running", **addresses.model_dump()})
            screen.say(
                f"figures for Prometheus: {addresses.metrics}; is it well: {beside(addresses.metrics, READYZ)}"
            )
            screen.say(
                "Ctrl-C stops it. In another terminal: fieldproof init my-poc; fieldproof apply my-poc",
                "green",
            )
            await _unless(stopped, installation.wait())
    finally:
        screen.say("stopping")
        await installation.stop()


async def _unless(stopped: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """The work's result, or None where a signal came first."""
    waiting = asyncio.create_task(stopped.wait())
    working = asyncio.create_task(work)
    done, _ = await asyncio.wait({waiting, working}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if working in done:
        return working.result()
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    return None
