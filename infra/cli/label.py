"""`fieldproof label`: the truth about a machine, told after the fact."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo

import typer

from infra.cli.label_check import agreements_of, not_understood
from infra.cli.label_history import history
from infra.cli.screen import Screen
from infra.errors import InfraError
from schemas.agreement import LabelValue
from schemas.labels import IntervalLabel, PointLabel, Watermark, Withdrawal

if TYPE_CHECKING:
    from infra.client import Client
    from schemas.parties import Plant

app = typer.Typer(help="Labels: what really happened, told by the plant.", no_args_is_help=True)
app.command()(history)

PlantOption = Annotated[str | None, typer.Option(help="The plant; not needed where there is one.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")]


AnyLabel = PointLabel | IntervalLabel | Withdrawal | Watermark
MakeLabel = Callable[["Plant"], AnyLabel]


class WrongLabel(InfraError):
    """The label cannot be sent as it is."""

    exit_code = 2


@app.command()
def send(
    asset: Annotated[str, typer.Argument(help="The machine.")],
    value: Annotated[str, typer.Argument(help="A class such as anomaly, or a number.")],
    at: Annotated[str | None, typer.Option(help="The moment of a point label.")] = None,
    start: Annotated[str | None, typer.Option(help="The first moment of an interval.")] = None,
    end: Annotated[str | None, typer.Option(help="The first moment after the interval.")] = None,
    ident: Annotated[
        str | None, typer.Option("--id", help="A name to correct it by; made from the rest if not given.")
    ] = None,
    plant: PlantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send one label, for a moment or an interval. Many labels go with `fieldproof replay --labels`.

    Times without a zone are in the plant's.

    Exit code 2: the label is wrong; 3: the installation does not answer.

    Example: fieldproof label send pump-1 anomaly --start "2026-03-02 09:00" --end "2026-03-02 09:20"
    """
    _with_plant(plant, as_json, lambda site: _label(site, asset, value, at, start, end, ident))


@app.command()
def correct(
    ident: Annotated[str, typer.Argument(help="The id of the label to correct.")],
    asset: Annotated[str, typer.Argument(help="Its machine.")],
    value: Annotated[
        str | None, typer.Argument(help="The right value; leave it out with --withdraw.")
    ] = None,
    at: Annotated[str | None, typer.Option(help="The moment of a point label.")] = None,
    start: Annotated[str | None, typer.Option(help="The first moment of an interval.")] = None,
    end: Annotated[str | None, typer.Option(help="The first moment after the interval.")] = None,
    withdraw: Annotated[bool, typer.Option("--withdraw", help="Take the label back.")] = False,
    plant: PlantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a label's right version, or take it back. It counts until the agreement's deadline.

    Exit code 2: the label is wrong; 3: the installation does not answer.

    Example: fieldproof label correct event-7 pump-1 normal --start "2026-03-02 09:00" --end "2026-03-02 09:20"
    """
    if withdraw:
        _with_plant(plant, as_json, lambda site: Withdrawal(id=ident, asset=_asset(site, asset)))
    elif value is None:
        raise WrongLabel("give the right value, or --withdraw")
    else:
        _with_plant(plant, as_json, lambda site: _label(site, asset, value, at, start, end, ident))


@app.command()
def complete(
    until: Annotated[str, typer.Argument(help="Labels are complete before this moment.")],
    asset: Annotated[
        list[str] | None, typer.Option(help="The machine; all of them if not given. Repeat.")
    ] = None,
    plant: PlantOption = None,
    as_json: JsonOption = False,
) -> None:
    """State that labels are complete up to a time (여기까지 검사 완료).

    Exit code 2: the time is wrong; 3: the installation does not answer.

    Example: fieldproof label complete "2026-03-02 18:00"
    """
    from infra.client import Client

    screen = Screen(as_json=as_json)
    with Client.connect() as client:
        site = client.plant(plant)
        moment = _moment(site, until)
        for name in asset or [one.name for one in site.assets]:
            _send(client, site, Watermark(asset=_asset(site, name), until=moment), screen)


def _with_plant(plant: str | None, as_json: bool, make: MakeLabel) -> None:
    from infra.client import Client

    screen = Screen(as_json=as_json)
    with Client.connect() as client:
        site = client.plant(plant)
        label = make(site)
        if isinstance(label, PointLabel | IntervalLabel):
            wrong = not_understood([label.value], agreements_of(site.id, client.state.pairings.values()))
            if wrong is not None:
                raise WrongLabel(wrong)
        _send(client, site, label, screen)


def _send(client: Client, site: Plant, label: AnyLabel, screen: Screen) -> None:
    from streams import topics
    from streams.envelope import LABEL, headers

    value = label.to_json()
    ident = f"label-{hashlib.sha256(value).hexdigest()[:24]}"
    client.send(
        topics.labels(site.id),
        label.asset.encode(),
        value,
        headers(LABEL, source=f"/plants/{site.id}", ident=ident),
    )
    screen.emit(label.to_dict())
    screen.say(f"sent to {site.id}: {value.decode()}", "green")


def _label(
    site: Plant, asset: str, value: str, at: str | None, start: str | None, end: str | None, ident: str | None
) -> AnyLabel:
    name = _asset(site, asset)
    if at is not None and start is None and end is None:
        moment = _moment(site, at)
        return PointLabel(
            id=ident or f"{name}-{moment.isoformat()}", asset=name, ts=moment, value=_value(value)
        )
    if at is None and start is not None and end is not None:
        first, last = _moment(site, start), _moment(site, end)
        if last <= first:
            raise WrongLabel(f"the interval ends ({end}) before it starts ({start})")
        ident = ident or f"{name}-{first.isoformat()}-{last.isoformat()}"
        return IntervalLabel(id=ident, asset=name, start=first, end=last, value=_value(value))
    raise WrongLabel("give either --at, or --start and --end")


def _value(text: str) -> LabelValue:
    try:
        return float(text)
    except ValueError:
        return text


def _asset(site: Plant, name: str) -> str:
    known = [asset.name for asset in site.assets]
    if name not in known:
        raise WrongLabel(f"{site.id} has no asset {name!r}; it has {', '.join(known)}")
    return name


def _moment(site: Plant, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise WrongLabel(
            f"{text!r} is no time; write 2026-03-02 09:00, with +09:00 where it is not the plant's zone"
        ) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(site.time_zone))
