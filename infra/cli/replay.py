"""`fieldproof replay`: send what a factory exported as if it were measured now."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from infra.cli import replay_layout as read
from infra.cli.label_check import agreements_of, not_understood
from infra.errors import BrokerUnavailable, InfraError
from infra.replay import BadExport, ReplayReport, labels_of, read_exports, read_labels
from infra.replay import replay as send
from infra.settings import Settings, running
from infra.yaml_document import read_document
from schemas.agreement import Agreement
from schemas.labels import IntervalLabel, PointLabel
from schemas.parties import Plant
from streams.export_labels import LabelFile
from streams.export_plan import ROWS_PER_FRAME, Planned, first_rows, outside, plan
from streams.export_text import Problem
from streams.exports import Export

_TIMES = "Times"
_COLUMNS = "Columns"
_VALUES = "Values"
_LABELS = "Labels"
_SENDING = "Sending"


def replay(
    files: Annotated[list[Path], typer.Argument(help="CSV or text files, also .gz, in the order to send them.")],
    plant: Annotated[str | None, typer.Option(help="The plant; not needed where there is one.")] = None,
    plant_file: Annotated[Path | None, typer.Option(help="Its plant.yaml, to check files without an installation.")] = None,
    asset: Annotated[str | None, typer.Option(help="The asset of all rows; else the file's name tells. With {} in it, what to make of the asset column: 'engine-{}'.", rich_help_panel=_COLUMNS)] = None,
    asset_column: Annotated[str | None, typer.Option(help="The column that holds the asset.", rich_help_panel=_COLUMNS)] = None,
    tag: Annotated[list[str], typer.Option(help="A column that is called otherwise than its tag: 'Druck=Pressure'. Repeat.", rich_help_panel=_COLUMNS)] = [],  # noqa: B006
    ignore: Annotated[list[str], typer.Option(help="A column that is not sent; also a pattern such as 'Q_*'. Repeat.", rich_help_panel=_COLUMNS)] = [],  # noqa: B006
    columns: Annotated[str | None, typer.Option(help="Names of the columns where the file has no header: 'unit,cycle,s1,s2'.", rich_help_panel=_COLUMNS)] = None,
    tag_column: Annotated[str | None, typer.Option(help="Long form, one row a value: the column that holds the tag.", rich_help_panel=_COLUMNS)] = None,
    value_column: Annotated[str | None, typer.Option(help="Long form: the column that holds the value.", rich_help_panel=_COLUMNS)] = None,
    time_column: Annotated[str | None, typer.Option(help="The column that holds the time, or the step with --step; 'date+time' joins two.", rich_help_panel=_TIMES)] = None,
    time_format: Annotated[str | None, typer.Option(help="As in strptime, where times are not told by their look: '%d/%m/%Y %H:%M'.", rich_help_panel=_TIMES)] = None,
    time_zone: Annotated[str | None, typer.Option(help="Zone of times that carry none; else the plant's.", rich_help_panel=_TIMES)] = None,
    start: Annotated[str | None, typer.Option(help="Files without time: the time of the first row, or of step 0.", rich_help_panel=_TIMES)] = None,
    step: Annotated[str | None, typer.Option(help="Files without time: from one row or step to the next, such as 1s.", rich_help_panel=_TIMES)] = None,
    missing: Annotated[list[str], typer.Option(help="One more text that means there is no value. Repeat.", rich_help_panel=_VALUES)] = [],  # noqa: B006
    number: Annotated[list[str], typer.Option(help="A text that stands for a number: 'ON=1'. Repeat.", rich_help_panel=_VALUES)] = [],  # noqa: B006
    decimal: Annotated[str | None, typer.Option(help="The decimal mark, . or , where the file does not tell.", rich_help_panel=_VALUES)] = None,
    delimiter: Annotated[str | None, typer.Option(help="What separates cells: a character, tab or space; else it is found.", rich_help_panel=_VALUES)] = None,
    encoding: Annotated[str | None, typer.Option(help="Such as cp949; else it is found.", rich_help_panel=_VALUES)] = None,
    label_column: Annotated[str | None, typer.Option(help="The column that holds each row's label; it is sent apart.", rich_help_panel=_LABELS)] = None,
    labels: Annotated[list[Path], typer.Option(help="A file of events (asset, start, end, value) or moments (asset, ts, value). Repeat.", rich_help_panel=_LABELS)] = [],  # noqa: B006
    label_columns: Annotated[str | None, typer.Option(help="Its columns: 'start=FROM,end=TO,value=KIND'.", rich_help_panel=_LABELS)] = None,
    label_value: Annotated[str | None, typer.Option(help="The label of events that carry none.", rich_help_panel=_LABELS)] = None,
    label_map: Annotated[list[str], typer.Option(help="What a label means: '불량=anomaly'. Repeat.", rich_help_panel=_LABELS)] = [],  # noqa: B006
    label_delay: Annotated[str, typer.Option(help="Send labels so much later than their rows, in the data's time: 2h.", rich_help_panel=_LABELS)] = "0",
    watermark: Annotated[bool | None, typer.Option("--watermark/--no-watermark", help="State at the end that labels are complete. [default: where labels are given]", rich_help_panel=_LABELS)] = None,
    speed: Annotated[float | None, typer.Option(help="Times the real speed, such as 60; else as fast as it goes.", min=1e-6, rich_help_panel=_SENDING)] = None,
    rows_per_frame: Annotated[int, typer.Option(help="Rows that are sent together.", min=1, max=100_000, rich_help_panel=_SENDING)] = ROWS_PER_FRAME,
    from_message: Annotated[int, typer.Option("--from", help="Go on after so many messages, as a broken replay says.", min=0, rich_help_panel=_SENDING)] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the first rows as they would be sent, and send nothing.", rich_help_panel=_SENDING)] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON Lines on stdout.", rich_help_panel=_SENDING)] = False,
) -> None:  # fmt: skip
    """Send exported files as telemetry, with their labels, at any speed.

    Encoding, separator, times (also 오전/오후), units below the header, long form and values such as Bad or #N/A are found;
    what cannot be told for sure is asked for, with file, line and column, and then nothing is sent.

    Example: fieldproof replay press-line-3.csv --ignore 품질 --labels events.csv --speed 600

    Exit code 2: a file or an option is wrong; 3: no broker answers, or it went away.
    """
    said = _Said(as_json=as_json)
    with said.errors():
        site, agreements, bootstrap = _plant(plant, plant_file)
        read.check_asset(asset, site)
        zone = _zone(time_zone or site.time_zone)
        start_us, step_us = read.steps(start, step, zone=zone)
        layout = read.layout_of(
            site, zone=zone, columns=read.names(columns), rename=read.pairs(tag, "--tag", "Druck=Pressure"),
            ignore=tuple(ignore), time_column=time_column, asset_column=asset_column, label_column=label_column,
            tag_column=tag_column, value_column=value_column, asset=asset, time_format=time_format, start_us=start_us,
            step_us=step_us, encoding=encoding, delimiter=read.delimiter(delimiter), decimal=read.decimal(decimal),
            missing=frozenset(word.lower() for word in missing), numbers=read.numbers(number),
            label_map=read.pairs(label_map, "--label-map", "불량=anomaly"),
        )  # fmt: skip
        roles = read.pairs(read.names(label_columns), "--label-columns", "start=FROM,end=TO,value=KIND")
        exports = read_exports(files, layout)
        label_files = read_labels(labels, read.for_labels(layout, exports), columns=roles, value=label_value)
        job = _Job(
            exports=exports, labels=labels_of(label_files), rows_per_frame=rows_per_frame,
            delay_us=read.duration(label_delay, "--label-delay"),
            watermarks=bool(labels or label_column) if watermark is None else watermark,
        )  # fmt: skip
        said.understood(exports, label_files, job)
        _check_labels(job, agreements)
        if dry_run:
            said.preview(job, zone)
            return
        with said.progress(job) as progress:
            report = send(
                job.plan(),
                bootstrap=bootstrap(),
                plant=site.id,
                speed=speed,
                skip=from_message,
                progress=progress,
            )
        said.done(report, site)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What is to be sent."""

    exports: Sequence[Export]
    labels: Sequence[IntervalLabel | PointLabel]
    rows_per_frame: int
    delay_us: int
    watermarks: bool

    @property
    def rows(self) -> int:
        return sum(export.rows for export in self.exports)

    def plan(self) -> Iterator[Planned]:
        return plan(
            self.exports,
            self.labels,
            rows_per_frame=self.rows_per_frame,
            label_delay_us=self.delay_us,
            watermarks=self.watermarks,
        )


def _check_labels(job: _Job, agreements: Sequence[Agreement]) -> None:
    values: set[Any] = {label.value for label in job.labels}
    for rows in (rows for export in job.exports for rows in export.assets):
        if rows.labels is not None:
            values.update(rows.labels.drop_null().unique().to_pylist())
    wrong = not_understood(sorted(values, key=str), agreements)
    if wrong is not None:
        raise typer.BadParameter(f"{wrong}. Say what it means, such as --label-map '불량=anomaly'")


def _plant(ident: str | None, path: Path | None) -> tuple[Plant, Sequence[Agreement], Callable[[], str]]:
    """The plant's record, its trials' agreements, and how to learn the broker's address once it is needed."""
    if path is not None:
        return _plant_of_file(path), (), lambda: running(Settings()).bootstrap
    from infra.client import Client  # slow to import, and not needed for a look at files

    with Client.connect() as client:
        bootstrap, site = client.bootstrap, client.plant(ident)
        return site, agreements_of(site.id, client.state.pairings.values()), lambda: bootstrap


def _plant_of_file(path: Path) -> Plant:
    try:
        document = read_document(path.read_bytes(), str(path))
    except OSError as error:
        raise typer.BadParameter(f"{path}: {error.strerror}", param_hint="--plant-file") from error
    if document.problems:
        raise typer.BadParameter(str(document.problems[0]), param_hint="--plant-file")
    try:
        return Plant.model_validate(document.data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise typer.BadParameter(f"{path}: {where}: {first['msg']}", param_hint="--plant-file") from error


def _zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise typer.BadParameter(
            f"unknown zone {name!r}; use a name such as Asia/Seoul", param_hint="--time-zone"
        ) from error


class _Said:
    """Words for people on stderr, rows and JSON Lines on stdout."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(stderr=True, soft_wrap=True, highlight=False)
        self.last: ReplayReport | None = None

    def say(self, text: str, style: str = "") -> None:
        self.console.print(text, style=style, markup=False)

    def emit(self, **fields: Any) -> None:
        if self.as_json:
            print(json.dumps(fields, ensure_ascii=False), flush=True)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Say what went wrong, and end with the exit code that it has."""
        try:
            yield
        except BadExport as error:
            self.problems(error.problems)
            raise typer.Exit(error.exit_code) from error
        except InfraError as error:
            self.say(str(error), "red")
            self.emit(
                kind="error", message=str(error), acknowledged=self.last.acknowledged if self.last else 0
            )
            otherwise = 3 if isinstance(error, BrokerUnavailable) else 1
            raise typer.Exit(getattr(error, "exit_code", otherwise)) from error
        except KeyboardInterrupt as error:
            sent = self.last.acknowledged if self.last else 0
            self.say(f"stopped; {sent} messages are acknowledged: go on with --from {sent}", "yellow")
            raise typer.Exit(130) from error

    def problems(self, problems: Sequence[Problem]) -> None:
        for problem in problems:
            self.say(str(problem), "red")
            self.emit(kind="problem", **asdict(problem))
        self.say(f"{len(problems)} to put right; nothing was sent")

    def understood(self, exports: Sequence[Export], label_files: Sequence[LabelFile], job: _Job) -> None:
        read = [(each.file, each.notes) for each in exports] + [
            (each.file, each.notes) for each in label_files
        ]
        for file, notes in read:
            self.say(file, "bold")
            for note in notes:
                self.say(f"  {note}")
            self.emit(kind="file", file=file, notes=notes)
        astray = outside(exports, job.labels)
        if astray:
            self.say(
                f"{astray} of {len(job.labels)} labels are of no row in these files: is the zone right?",
                "yellow",
            )
        if not job.watermarks:
            self.say("no watermark is sent: nothing says that the labels are complete")

    def preview(self, job: _Job, zone: str) -> None:
        """The first rows as they would be sent, and how much it would be."""
        total = ReplayReport()
        for message in job.plan():
            total.count(message)
        for export in job.exports:
            rows = list(first_rows([export], 5))
            self.emit(kind="rows", file=export.file, rows=rows)
            if not self.as_json:
                Console(file=sys.stdout).print(_table(rows, export.file, zone))
        self.emit(kind="plan", **asdict(total))
        self.say(f"would send {_counted(total)}; nothing was sent (--dry-run)")

    @contextmanager
    def progress(self, job: _Job) -> Iterator[Any]:
        columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self.console, transient=True) as bar:
            task = bar.add_task("rows", total=job.rows)

            def advance(report: ReplayReport) -> None:
                self.last = report
                bar.update(task, completed=report.rows)

            yield advance

    def done(self, report: ReplayReport, plant: Plant) -> None:
        self.emit(kind="report", plant=plant.id, **asdict(report))
        self.say(f"sent {_counted(report)} to {plant.id}", "green")


def _counted(report: ReplayReport) -> str:
    assets = len(report.assets)
    return (
        f"{report.rows} rows of {assets} asset{'' if assets == 1 else 's'} in {report.frames} frames, "
        f"{report.label_frames} label frames, {report.labels} labels, {report.watermarks} watermarks "
        f"({report.bytes / 1_000_000:.1f} MB)"
    )


def _table(rows: Sequence[dict[str, Any]], title: str, zone: str) -> Table:
    """Rows for people, times as the plant's clocks show them."""
    tags = list(dict.fromkeys(tag for row in rows for tag in row["values"]))
    labelled = any("label" in row for row in rows)
    table = Table("asset", f"ts ({zone})", *tags, *(["label"] if labelled else []), title=title)
    for row in rows:
        at = datetime.fromisoformat(row["ts"]).astimezone(ZoneInfo(zone))
        cells = ["" if (value := row["values"].get(tag)) is None else f"{value:g}" for tag in tags]
        label = row.get("label")
        table.add_row(
            row["asset"], at.isoformat(sep=" "), *cells,
            *(["" if label is None else str(label)] if labelled else []),
        )  # fmt: skip
    return table
