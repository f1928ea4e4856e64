"""`fieldproof candidate`: models of start-ups."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.asking import refuse
from infra.cli.exports import FileOptions, with_file_options
from infra.cli.screen import Screen
from infra.words.language import Lang, language
from schemas.events import RequestRefused

app = typer.Typer(help="Candidates: the models of start-ups.", no_args_is_help=True)


@app.callback()
def candidates() -> None:
    """Candidates: the models of start-ups."""


@app.command()
def submit(
    pairing: Annotated[str, typer.Argument(help="The pairing, such as pump-2026-01.")],
    model: Annotated[
        str,
        typer.Argument(
            help="A folder with an MLflow model, runs:/RUN/PATH, models:/NAME/VERSION or models:/NAME@ALIAS."
        ),
    ],
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
    from infra.submission import Refused
    from infra.submission import submit as send

    screen = Screen(as_json=as_json)
    with Client.connect() as client:
        try:
            submitted = send(client, pairing, model, name=name)
        except Refused as beforehand:
            refuse(screen, beforehand.why)
    candidate, answer = submitted.candidate, submitted.answer
    screen.emit({"kind": "candidate", "new": answer.new, "refused": answer.refused, **candidate.to_dict()})
    if isinstance(answer.fact.body, RequestRefused):
        refuse(screen, answer.fact.body.why)
    screen.say(
        f"{candidate.id}: submitted to {pairing}, model {candidate.model} version {candidate.version}, "
        f"digest {candidate.digest[:12]}…",
        "green",
    )
    screen.say("Watch it with: fieldproof watch")


@app.command("try")
@with_file_options
def try_out(
    model: Annotated[Path, typer.Argument(help="The folder of an MLflow model.")],
    agreement: Annotated[Path, typer.Option(help="The agreement's YAML file, or the folder of a proof.")],
    rows: Annotated[list[Path], typer.Option(help="A CSV or text file of rows, also .gz, read as replay reads it. Repeat.")],
    options: FileOptions,
    limit: Annotated[int | None, typer.Option(help="Only so many rows of each machine in each file.", min=1)] = None,
    plant_file: Annotated[Path | None, typer.Option(help="The plant's plant.yaml; else its assets and tags are those of the agreement.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
    lang: Annotated[Lang | None, typer.Option(help="Language of messages; the terminal's if not given.")] = None,
) -> None:  # fmt: skip
    """Try a model on this machine, in the same sandbox and with the same scoring as on the platform, and without one.

    Files are read with the options of replay. Counts, metrics and the verdict are those that the platform would give.

    Exit code 2: the model or a file is wrong; 3: its environment or the sandbox is not to be had here.

    Example: fieldproof candidate try ./my-model --agreement agreement.yaml --rows press-line-3.csv --labels events.csv
    """
    from infra.cli.tried import Desk

    desk = Desk(screen=Screen(as_json=as_json), lang=language(lang, os.environ))
    desk.try_model(model, agreement, rows, options, plant_file=plant_file, limit=limit)


@app.command()
def retire(
    candidate: Annotated[str, typer.Argument(help="The candidate, such as t2q-v1.")],
    pairing: Annotated[str | None, typer.Option(help="Its pairing; not needed where there is one.")] = None,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "replaced",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
) -> None:
    """Take a candidate out while the trial runs; the others go on.

    Exit code 2: there is no such pairing; 3: the installation does not answer; 4: the request was refused.

    Example: fieldproof candidate retire t2q-v1 --pairing pump-2026-01 --reason "v2 is better"
    """
    from infra.cli.asking import ask
    from infra.client import Client
    from schemas.requests import RetireCandidate

    with Client.connect() as client:
        present = client.pairing(pairing)
        command = RetireCandidate(pairing=present.id, candidate=candidate, reason=reason)
        ask(Screen(as_json=as_json), client, present.startup, command)


@app.command()
def resume(
    candidate: Annotated[str, typer.Argument(help="The candidate, such as t2q-v1.")],
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    pairing: Annotated[str | None, typer.Option(help="Its pairing; not needed where there is one.")] = None,
    party: Annotated[
        str | None, typer.Option("--as", help="The party that asks; the manufacturer if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
) -> None:
    """Have a suspended candidate tried again, as its plant or a coordinator.

    Exit code 2: there is no such pairing; 3: the installation does not answer; 4: the request was refused.

    Example: fieldproof candidate resume t2q-v1 --pairing pump-2026-01 --reason "the sensor is mended"
    """
    from infra.cli.asking import ask, either
    from infra.client import Client
    from schemas.requests import ResumeCandidate

    with Client.connect() as client:
        present = client.pairing(pairing)
        command = ResumeCandidate(pairing=present.id, candidate=candidate, reason=reason)
        ask(Screen(as_json=as_json), client, either(party, [present.manufacturer]), command)


@app.command("list")
def list_candidates(
    pairing: Annotated[str | None, typer.Option(help="Only this pairing.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
) -> None:
    """List candidates with their models, digests and what became of them.

    Exit code 2: there is no such pairing; 3: the installation does not answer.

    Example: fieldproof candidate list
    """
    from infra.client import Client

    screen = Screen(as_json=as_json)
    with Client.connect() as client:
        known = client.state.pairings.values() if pairing is None else [client.pairing(pairing)]
        for one in known:
            for candidate in one.candidates:
                verdict = one.verdicts.get(candidate.id)
                gone = {**dict.fromkeys(one.retired, "retired"), **dict.fromkeys(one.returned, "returned")}
                state = verdict or gone.get(candidate.id, one.phase.value)
                screen.emit({"pairing": one.id, "state": state, **candidate.to_dict()})
                screen.say(
                    f"{one.id}  {candidate.id}  {candidate.model} v{candidate.version}  {candidate.digest[:12]}…  {state}"
                )
