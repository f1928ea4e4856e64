"""`fieldproof bridge`: rows that another system sends one by one become frames in a plant's telemetry."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from infra.bridge.layout import Clock, Layout, check_asset, fields_of
from infra.cli import replay_layout as read
from infra.cli.screen import Screen
from infra.settings import Settings, running
from infra.words.language import Lang, Phrase, language
from schemas.parties import Plant

if TYPE_CHECKING:
    from infra.bridge.bridge import Bridge
    from infra.bridge.job import Job, Note, Report

app = typer.Typer(help="Bring what other systems send into a plant's telemetry.", no_args_is_help=True)

_ROWS = "What a row looks like"
_FRAMES = "Frames"


@app.callback()
def _bridge() -> None:
    """Bring what other systems send into a plant's telemetry."""


@app.command()
def rows(
    topic: Annotated[str, typer.Option("--from", help="The topic with one JSON object a message.")],
    source: Annotated[str | None, typer.Option("--from-bootstrap", help="Its Kafka broker; the installation's if not given.")] = None,
    plant: Annotated[str | None, typer.Option(help="The plant; not needed where there is one.")] = None,
    plant_file: Annotated[Path | None, typer.Option(help="Its plant.yaml, where only a broker runs.")] = None,
    ts_field: Annotated[str, typer.Option(help="The field of the row's time.", rich_help_panel=_ROWS)] = "ts",
    ts: Annotated[Clock, typer.Option(help="How it is written: ISO 8601 text, or a whole number since 1970 of this unit.", rich_help_panel=_ROWS)] = Clock.ISO,
    zone: Annotated[str | None, typer.Option(help="The zone of texts that carry none, such as Asia/Seoul; else they are rejected.", rich_help_panel=_ROWS)] = None,
    asset_field: Annotated[str | None, typer.Option(help="The field that names the asset; the message's key if not given.", rich_help_panel=_ROWS)] = None,
    asset: Annotated[str | None, typer.Option(help="Every row is of this asset.", rich_help_panel=_ROWS)] = None,
    names: Annotated[list[str] | None, typer.Option("--map", help="FIELD=TAG where a field is not named like its tag; may be repeated.", rich_help_panel=_ROWS)] = None,
    tags: Annotated[str | None, typer.Option(help="Only these of the plant's tags: a,b,c.", rich_help_panel=_ROWS)] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Reject rows with unknown fields.", rich_help_panel=_ROWS)] = False,
    max_rejected: Annotated[float | None, typer.Option(help="Stop where a larger share of the last rows is rejected; the plant's limit if not given, 1 never.", min=0.001, max=1, rich_help_panel=_ROWS)] = None,
    rows_a_frame: Annotated[int, typer.Option("--rows", help="Rows of a frame, at most.", min=1, max=65_536, rich_help_panel=_FRAMES)] = 500,
    age: Annotated[str, typer.Option(help="How long a frame waits for more rows: 1s, 5min.", rich_help_panel=_FRAMES)] = "1s",
    newest: Annotated[bool, typer.Option("--newest", help="Begin with rows that come from now on, where none was read yet.", rich_help_panel=_FRAMES)] = False,
    until_end: Annotated[bool, typer.Option("--until-end", help="End once everything is framed that is there at the start.", rich_help_panel=_FRAMES)] = False,
    lang: Annotated[Lang | None, typer.Option(help="Language; the terminal's if not given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.")] = False,
) -> None:  # fmt: skip
    """Put rows that come one a message together into frames: each exactly once, in order, also after a crash.

    Several of them share the topic's partitions. What cannot be taken goes to the plant's rejected messages. Ctrl-C or
    SIGTERM sends what is held and ends within 15 s.

    Example: fieldproof bridge rows --from line3.raw --ts ms --ts-field time --asset-field machine --map AI07=압력

    Exit code 2: an option is wrong, or too many rows are rejected; 3: a broker does not answer.
    """
    from infra.bridge.bridge import Bridge, collect_seldom
    from infra.bridge.job import Job, TooManyRejected

    site, target = _plant(plant, plant_file)
    check_asset(site, asset)
    share = {} if max_rejected is None else {"share": max_rejected}
    job = Job(
        topic=_foreign(topic),
        source=source or target,
        target=target,
        plant=site,
        layout=Layout(
            assets=tuple(one.name for one in site.assets),
            fields=fields_of(site, read.pairs(names or [], "--map", "AI07=압력"), read.names(tags)),
            ts=ts_field,
            clock=ts,
            zone=_zone(zone),
            asset_field=asset_field,
            asset=asset,
            strict=strict,
        ),
        limit=site.rejects.model_copy(update=share),
        rows=rows_a_frame,
        age_s=read.duration(age, "--age") / 1_000_000,
        newest=newest,
        until_end=until_end,
    )
    collect_seldom()
    said = _Said(Screen(as_json=as_json), language(lang, os.environ))
    try:
        said.done(asyncio.run(_run(job, said, Bridge)))
    except TooManyRejected as error:
        said.failed(error.words)
        raise typer.Exit(error.exit_code) from error


async def _run(job: Job, said: _Said, make: type[Bridge]) -> Report:
    bridge = make(job, note=said.note, progress=said.progress)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, bridge.stop)
    return await bridge.run()


def _plant(ident: str | None, path: Path | None) -> tuple[Plant, str]:
    """The plant's record and the address of the broker that has its topics."""
    if path is not None:
        from infra.cli.exports import plant_of_file

        return plant_of_file(path), running(Settings()).bootstrap
    from infra.client import Client

    with Client.connect() as client:
        return client.plant(ident), client.bootstrap


def _foreign(topic: str) -> str:
    if topic.startswith("fp."):
        raise typer.BadParameter(f"{topic} is one of the platform's own topics", param_hint="--from")
    return topic


def _zone(name: str | None) -> str | None:
    try:
        return name and ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise typer.BadParameter(f"no time zone {name!r}; such as Asia/Seoul", param_hint="--zone") from error


class _Said:
    """Words for people on stderr, with a live line on a terminal; JSON Lines on stdout."""

    def __init__(self, screen: Screen, lang: Lang) -> None:
        self._screen, self._lang = screen, lang
        self._status = screen.people.status("") if screen.people.is_terminal else None

    def note(self, note: Note) -> None:
        self._screen.emit({"kind": note.kind, **note.record})
        self._screen.say(note.words.to(self._lang), "yellow")

    def progress(self, report: Report) -> None:
        self._screen.emit({"kind": "progress", **asdict(report)})
        if self._status is not None:
            self._status.start()
            self._status.update(_counted(report).to(self._lang))

    def done(self, report: Report) -> None:
        self._end()
        self._screen.emit({"kind": "report", **asdict(report)})
        self._screen.say(_counted(report).to(self._lang), "green")

    def failed(self, words: Phrase) -> None:
        self._end()
        self._screen.emit({"kind": "error", "message": words.en})
        self._screen.say(words.to(self._lang), "red")

    def _end(self) -> None:
        if self._status is not None:
            self._status.stop()


def _counted(report: Report) -> Phrase:
    behind = "?" if report.behind is None else report.behind
    return Phrase(
        f"{report.rows} rows in {report.frames} frames, {report.rejected} rejected, {report.skipped} framed before, {behind} to read",
        f"{report.rows}행을 {report.frames}개 묶음으로 보냄, 거부 {report.rejected}, 이미 묶인 행 {report.skipped}, 남은 메시지 {behind}",
    )
