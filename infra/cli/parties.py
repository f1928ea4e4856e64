"""`fieldproof organisation|programme|plant|need`: who takes part and what they bring."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from infra.cli.asking import ask, read_file
from infra.cli.screen import Screen

FileArgument = Annotated[Path, typer.Argument(help="A YAML file with one, or a list.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")]
PlantArgument = Annotated[str | None, typer.Argument(help="The plant; not needed where there is one.")]

organisation = typer.Typer(help="Organisations: firms, cities, centres, funds.", no_args_is_help=True)
programme = typer.Typer(help="Programmes under which pairings run.", no_args_is_help=True)
plant = typer.Typer(help="Plants: sites with machines and channels.", no_args_is_help=True)
need = typer.Typer(help="Needs: a plant's problems that candidates may solve.", no_args_is_help=True)


@organisation.command()
def register(file: FileArgument, as_json: JsonOption = False) -> None:
    """Register organisations, as the installation's operator.

    Exit code 2: the file is wrong; 3: the installation does not answer; 4: a request was refused.

    Example: fieldproof organisation register organisations.yaml
    """
    from infra.client import Client
    from schemas.parties import Organisation
    from schemas.requests import RegisterOrganisation
    from streams.topics import OPERATOR

    with Client.connect() as client:
        for one in read_file(file, Organisation):
            ask(Screen(as_json=as_json), client, OPERATOR, RegisterOrganisation(organisation=one))


@organisation.command("list")
def list_organisations(as_json: JsonOption = False) -> None:
    """List the organisations.

    Exit code 3: the installation does not answer.

    Example: fieldproof organisation list
    """
    from infra.client import Client

    screen = Screen(as_json=as_json)
    with Client.connect() as client:
        for one in client.state.organisations.values():
            screen.emit(one.to_dict())
            screen.say(f"{one.id}  {one.name}  ({', '.join(one.roles)})")


@programme.command("open")
def open_programme(file: FileArgument, as_json: JsonOption = False) -> None:
    """Open programmes, as the first of their operators.

    Exit code 2: the file is wrong; 3: the installation does not answer; 4: a request was refused.

    Example: fieldproof programme open programme.yaml
    """
    from infra.client import Client
    from schemas.parties import Programme
    from schemas.requests import OpenProgramme

    with Client.connect() as client:
        for one in read_file(file, Programme):
            ask(Screen(as_json=as_json), client, one.operators[0], OpenProgramme(programme=one))


@plant.command()
def admit(file: FileArgument, as_json: JsonOption = False) -> None:
    """Admit plants, as their owners, and publish the keys under which their evidence is signed.

    A key is made in this folder where there is none; keep it: who has it signs for the plant.

    Exit code 2: the file is wrong; 3: the installation does not answer; 4: a request was refused.

    Example: fieldproof plant admit plant.yaml
    """
    from infra.client import Client
    from infra.evidence.sealing import keys_in_use
    from infra.settings import Settings
    from schemas.parties import Plant
    from schemas.requests import AdmitPlant, PublishKey

    with Client.connect() as client:
        for one in read_file(file, Plant):
            ask(Screen(as_json=as_json), client, one.owner, AdmitPlant(plant=one))
            key = keys_in_use(client.state, one.id, Settings().home)[one.id]
            ask(Screen(as_json=as_json), client, one.owner, PublishKey(holder=one.id, key=key))


@plant.command()
def pause(
    ident: PlantArgument = None,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "paused by the plant",
    as_json: JsonOption = False,
) -> None:
    """Pause a plant's telemetry, as its owner: no candidate is given a frame until it is resumed.

    Exit code 2: there is no such plant; 3: the installation does not answer; 4: the request was refused.

    Example: fieldproof plant pause --reason "maintenance"
    """
    from infra.client import Client
    from schemas.requests import PausePlant

    with Client.connect() as client:
        site = client.plant(ident)
        ask(Screen(as_json=as_json), client, site.owner, PausePlant(plant=site.id, reason=reason))


@plant.command()
def resume(ident: PlantArgument = None, as_json: JsonOption = False) -> None:
    """Go on where a plant was paused, as its owner.

    Exit code 2: there is no such plant; 3: the installation does not answer; 4: the request was refused.

    Example: fieldproof plant resume
    """
    from infra.client import Client
    from schemas.requests import ResumePlant

    with Client.connect() as client:
        site = client.plant(ident)
        ask(Screen(as_json=as_json), client, site.owner, ResumePlant(plant=site.id))


@need.command()
def declare(file: FileArgument, as_json: JsonOption = False) -> None:
    """Declare needs, as the owners of their plants.

    Exit code 2: the file is wrong; 3: the installation does not answer; 4: a request was refused.

    Example: fieldproof need declare need.yaml
    """
    from infra.client import Client
    from schemas.parties import Need
    from schemas.requests import DeclareNeed

    with Client.connect() as client:
        for one in read_file(file, Need):
            owner = client.plant(one.plant).owner
            ask(Screen(as_json=as_json), client, owner, DeclareNeed(need=one))
