"""The command `fieldproof`."""

from __future__ import annotations

import logging
import sys

import typer

from infra.cli import (
    agreement,
    apply,
    bridge,
    candidate,
    demo,
    doctor,
    erase,
    evidence,
    feed,
    init,
    label,
    pairing,
    parties,
    rejected,
    replay,
    report,
    request,
    status,
    up,
    verdict,
    watch,
)
from infra.errors import InfraError

app = typer.Typer(
    name="fieldproof",
    help="Proofs of concept of industrial AI on live factory data, with scores that everyone can recompute. 산업 AI 실증.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(up.up)
app.command()(doctor.doctor)
app.command()(demo.demo)
app.command()(demo.skab)
app.command()(init.init)
app.command()(apply.apply)
app.command()(replay.replay)
app.add_typer(bridge.app, name="bridge")
app.command()(watch.watch)
app.command()(status.status)
app.command()(feed.feed)
app.command()(report.report)
app.command()(evidence.recompute)
app.add_typer(candidate.app, name="candidate")
app.add_typer(label.app, name="label")
app.add_typer(rejected.app, name="rejected")
app.add_typer(pairing.app, name="pairing")
app.add_typer(agreement.app, name="agreement")
app.add_typer(parties.organisation, name="organisation")
app.add_typer(parties.programme, name="programme")
parties.plant.command()(erase.erase)
app.add_typer(parties.plant, name="plant")
app.add_typer(parties.need, name="need")
app.add_typer(verdict.app, name="verdict")
app.add_typer(evidence.app, name="evidence")
app.add_typer(request.app, name="request")


def run() -> None:
    """Run the command; what is wrong with the world or the input is told in words, with an exit code."""
    for library in ("kafka", "aiokafka", "mlflow", "alembic"):
        # They repeat at length what the error says in one sentence.
        logging.getLogger(library).setLevel(logging.CRITICAL)
    try:
        app()
    except InfraError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from error


if __name__ == "__main__":
    run()
