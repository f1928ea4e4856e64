"""`fieldproof rejected`: what a plant sent and could not be taken; shown, and sent again once its cause is mended."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args
from zoneinfo import ZoneInfo

import typer
from rich.table import Table

from infra.cli.asking import WrongInput
from infra.cli.screen import Screen
from infra.words.language import Lang, language
from schemas.rejected import Reason

if TYPE_CHECKING:
    from infra.client import Client
    from infra.rejected import Rejection
    from schemas.parties import Plant

app = typer.Typer(
    help="Rejected messages: what could not be taken, why, and sending it again.", no_args_is_help=True
)

PlantOption = Annotated[str | None, typer.Option(help="The plant; not needed where there is one.")]
ReasonOption = Annotated[str | None, typer.Option(help=f"Only these: {', '.join(get_args(Reason))}.")]
SinceOption = Annotated[
    str | None, typer.Option(help="Only those rejected from this moment on; in the plant's time zone.")
]
LangOption = Annotated[Lang | None, typer.Option(help="Language; the terminal's if not given.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")]
OriginArgument = Annotated[str, typer.Argument(help="Where it stands, as `rejected list` names it.")]

#: Rejections of a reason that are named, the last ones; and bytes of a message that are shown.
EXAMPLES, SHOWN_BYTES = 3, 256


@app.command("list")
def list_rejected(
    plant: PlantOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    each: Annotated[bool, typer.Option("--each", help="Every one of them, not a summary.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List what could not be taken of a plant's telemetry and labels, by reason, each message once.

    Requests that cannot be read are answered by facts: `fieldproof feed` shows them to their sender.

    Exit code 2: the input is wrong; 3: the installation does not answer.

    Example: fieldproof rejected list --since "2026-03-02 09:00"
    """
    from infra.client import Client
    from infra.rejected import read

    screen = Screen(as_json=as_json)
    with Client.connect() as client:
        site = client.plant(plant)
        found = _chosen(read(client.bootstrap, site.id).values(), reason, _moment(site, since))
    if each:
        for one in found:
            screen.emit({"kind": "rejection", "plant": site.id, **one.to_dict()})
            if not as_json:
                print(f"{one.at:%Y-%m-%d %H:%M:%S}Z  {one.origin}  {one.reason}  {one.detail}")
        return
    by_reason: dict[str, list[Rejection]] = {}
    for one in found:
        by_reason.setdefault(one.reason, []).append(one)
    groups = sorted(by_reason.items(), key=lambda group: -len(group[1]))
    for name, ones in groups:
        screen.emit(_summary(site.id, name, ones))
    if not as_json:
        screen.show(_table(site.id, groups))


@app.command()
def show(
    origin: OriginArgument,
    out: Annotated[Path | None, typer.Option(help="Write the original bytes to this file.")] = None,
    lang: LangOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a rejected message: why and when it was rejected, its key and headers, and how it begins.

    Exit code 2: there is no such rejection; 3: the installation does not answer.

    Example: fieldproof rejected show fp.telemetry.press-1:0:4711 --out frame.arrow
    """
    from infra.client import Client
    from infra.rejected import kept, original, plant_of, read
    from infra.words.rejections import reason as in_words

    screen = Screen(as_json=as_json)
    with Client.connect() as client:
        plant = client.plant(plant_of(origin)).id
        one = _known(read(client.bootstrap, plant), [origin])[0]
        message = original(client.bootstrap, one)
        value = kept(client.bootstrap, plant, one) if message is None else message.value or b""
    if out is not None:
        out.write_bytes(value)
    key = None if message is None or message.key is None else message.key.decode(errors="replace")
    headers = [] if message is None else [(name, _text(told)) for name, told in message.headers]
    record = {"kind": "rejection", "plant": plant, **one.to_dict(), "key": key, "headers": headers}
    screen.emit({**record, "begins": _begins(value), "whole": len(value) == one.size})
    if not as_json:
        words = in_words(one.reason).to(language(lang, os.environ))
        print(f"{one.origin}\n{one.at:%Y-%m-%d %H:%M:%S}Z  {one.reason} ({words})\n{one.detail}")
        print(f"key: {key}")
        for name, told in headers:
            print(f"{name}: {told}")
        for place in one.replayed:
            print(f"replayed 재전송: {place}")
        print(f"{one.size} bytes:\n{_begins(value)}")


@app.command()
def replay(
    origins: Annotated[
        list[str] | None, typer.Argument(help="Which ones, as `list --each` names them.")
    ] = None,
    reason: ReasonOption = None,
    plant: PlantOption = None,
    again: Annotated[bool, typer.Option("--again", help="Also those that were replayed before.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send rejected messages again as they were, once their cause is mended, as the plant: each to where it came from.

    They keep their ids: what has counted already counts no second time, and a label comes in the place where it stood
    first, so that it undoes no later correction. Telemetry that comes after a trial's end is not part of it.

    Exit code 2: there is no such rejection, or it was replayed before; 3: the installation does not answer.

    Example: fieldproof rejected replay --reason unknown_asset
    """
    from infra.client import Client
    from infra.rejected import plant_of, read

    if not origins and reason is None:
        raise WrongInput("say which: their origins, or --reason; `fieldproof rejected list` shows them")
    screen = Screen(as_json=as_json)
    with Client.connect() as client:
        site = client.plant(plant or (plant_of(origins[0]) if origins else None))
        known = read(client.bootstrap, site.id)
        chosen = _chosen(_known(known, origins) if origins else known.values(), reason, None)
        before = [one for one in chosen if one.replayed and not again]
        if origins and before:
            told = ", ".join(f"{one.origin} as {one.replayed[-1]}" for one in before)
            raise WrongInput(f"replayed before: {told}; give --again to send it once more")
        _send(client, site, [one for one in chosen if one not in before], screen)
    if before:
        screen.say(f"{len(before)} were replayed before · 이미 재전송됨 {len(before)}건 (--again)", "yellow")


def _send(client: Client, site: Plant, chosen: Sequence[Rejection], screen: Screen) -> None:
    from infra.rejected import NotReplayed
    from infra.rejected import replay as send_again

    sent = 0
    # In the order in which they were sent first.
    for one in sorted(chosen, key=lambda one: (one.topic, one.partition, one.offset)):
        try:
            now = send_again(client, site.id, one)
        except NotReplayed as error:
            if len(chosen) == 1:
                raise
            screen.emit({"kind": "not_replayed", "origin": one.origin, "reason": str(error)})
            screen.say(str(error), "yellow")
            continue
        sent += 1
        screen.emit({"kind": "replayed", "origin": one.origin, "to": now})
    screen.say(f"sent again {sent} of {len(chosen)} · {len(chosen)}건 중 {sent}건 재전송", "green")


def _known(known: dict[str, Rejection], origins: Sequence[str]) -> list[Rejection]:
    missing = [one for one in origins if one not in known]
    if missing:
        raise WrongInput(f"nothing was rejected there: {', '.join(missing)}; see `fieldproof rejected list`")
    return [known[one] for one in dict.fromkeys(origins)]


def _chosen(found: Iterable[Rejection], reason: str | None, since: datetime | None) -> list[Rejection]:
    if reason is not None and reason not in get_args(Reason):
        raise WrongInput(f"there is no reason {reason!r}; there are: {', '.join(get_args(Reason))}")
    return [one for one in found if reason in (None, one.reason) and (since is None or one.at >= since)]


def _moment(site: Plant, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise WrongInput(f"{text!r} is no time; write 2026-03-02 09:00") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(site.time_zone))


def _summary(plant: str, reason: str, ones: Sequence[Rejection]) -> dict[str, object]:
    return {
        "kind": "rejections",
        "plant": plant,
        "reason": reason,
        "count": len(ones),
        "replayed": sum(bool(one.replayed) for one in ones),
        "first": ones[0].at.isoformat(),
        "last": ones[-1].at.isoformat(),
        "examples": [{"origin": one.origin, "detail": one.detail} for one in ones[-EXAMPLES:]],
    }


def _table(plant: str, groups: Sequence[tuple[str, Sequence[Rejection]]]) -> Table:
    from infra.words.rejections import reason as in_words

    table = Table(title=f"Rejected at {plant} · {plant} 거부된 메시지", title_justify="left")
    for name in ("reason 사유", "messages 건수", "replayed 재전송", "last 최근", "examples 예"):
        table.add_column(name)
    for name, ones in groups:
        table.add_row(
            f"{name} {in_words(name).ko}",
            str(len(ones)),
            str(sum(bool(one.replayed) for one in ones)),
            f"{ones[-1].at:%Y-%m-%d %H:%M:%S}Z",
            "\n".join(f"{one.origin}  {one.detail}" for one in ones[-EXAMPLES:]),
        )
    return table


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _begins(value: bytes) -> str:
    """How a message begins: as text where it is text, else in hexadecimal digits."""
    start = value[:SHOWN_BYTES]
    text = start.decode(errors="ignore")
    if len(text.encode()) >= len(start) - 3 and all(one.isprintable() or one in "\r\n\t" for one in text):
        return text
    return start.hex(" ", 4)
