"""Exported files on the command line: the options by which they are read, and what is told of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_type_hints
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from pydantic import ValidationError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from infra.cli import replay_layout as read
from infra.cli.label_check import not_understood
from infra.cli.screen import Screen
from infra.poc.yaml_document import read_document
from infra.replay import labels_of, read_exports, read_labels
from schemas.agreement import Agreement
from schemas.labels import IntervalLabel, PointLabel
from schemas.parties import Plant
from streams.export_columns import Layout
from streams.export_labels import LabelFile
from streams.export_plan import ROWS_PER_FRAME, Planned, outside, plan
from streams.export_text import Problem
from streams.exports import Export

_TIMES = "Times"
_COLUMNS = "Columns"
_VALUES = "Values"
_LABELS = "Labels"
_SENDING = "Sending"


@dataclass(frozen=True, kw_only=True)
class FileOptions:
    """How files are read, as the command line says it: each field is an option of the same name."""

    # fmt: off
    asset: Annotated[str | None, typer.Option(help="The asset of all rows; else the file's name tells. With {} in it, what to make of the asset column: 'engine-{}'.", rich_help_panel=_COLUMNS)] = None
    asset_column: Annotated[str | None, typer.Option(help="The column that holds the asset.", rich_help_panel=_COLUMNS)] = None
    tag: Annotated[list[str], typer.Option(help="A column that is called otherwise than its tag: 'Druck=Pressure'. Repeat.", rich_help_panel=_COLUMNS)] = field(default_factory=list)
    ignore: Annotated[list[str], typer.Option(help="A column that is not sent; also a pattern such as 'Q_*'. Repeat.", rich_help_panel=_COLUMNS)] = field(default_factory=list)
    columns: Annotated[str | None, typer.Option(help="Names of the columns where the file has no header: 'unit,cycle,s1,s2'.", rich_help_panel=_COLUMNS)] = None
    tag_column: Annotated[str | None, typer.Option(help="Long form, one row a value: the column that holds the tag.", rich_help_panel=_COLUMNS)] = None
    value_column: Annotated[str | None, typer.Option(help="Long form: the column that holds the value.", rich_help_panel=_COLUMNS)] = None
    time_column: Annotated[str | None, typer.Option(help="The column that holds the time, or the step with --step; 'date+time' joins two.", rich_help_panel=_TIMES)] = None
    time_format: Annotated[str | None, typer.Option(help="As in strptime, where times are not told by their look: '%d/%m/%Y %H:%M'.", rich_help_panel=_TIMES)] = None
    time_zone: Annotated[str | None, typer.Option(help="Zone of times that carry none; else the plant's.", rich_help_panel=_TIMES)] = None
    start: Annotated[str | None, typer.Option(help="Files without time: the time of the first row, or of step 0.", rich_help_panel=_TIMES)] = None
    step: Annotated[str | None, typer.Option(help="Files without time: from one row or step to the next, such as 1s.", rich_help_panel=_TIMES)] = None
    missing: Annotated[list[str], typer.Option(help="One more text that means there is no value. Repeat.", rich_help_panel=_VALUES)] = field(default_factory=list)
    number: Annotated[list[str], typer.Option(help="A text that stands for a number: 'ON=1'. Repeat.", rich_help_panel=_VALUES)] = field(default_factory=list)
    decimal: Annotated[str | None, typer.Option(help="The decimal mark, . or , where the file does not tell.", rich_help_panel=_VALUES)] = None
    delimiter: Annotated[str | None, typer.Option(help="What separates cells: a character, tab or space; else it is found.", rich_help_panel=_VALUES)] = None
    encoding: Annotated[str | None, typer.Option(help="Such as cp949; else it is found.", rich_help_panel=_VALUES)] = None
    label_column: Annotated[str | None, typer.Option(help="The column that holds each row's label; it is sent apart.", rich_help_panel=_LABELS)] = None
    labels: Annotated[list[Path], typer.Option(help="A file of events (asset, start, end, value) or moments (asset, ts, value). Repeat.", rich_help_panel=_LABELS)] = field(default_factory=list)
    label_columns: Annotated[str | None, typer.Option(help="Its columns: 'start=FROM,end=TO,value=KIND'.", rich_help_panel=_LABELS)] = None
    label_value: Annotated[str | None, typer.Option(help="The label of events that carry none.", rich_help_panel=_LABELS)] = None
    label_map: Annotated[list[str], typer.Option(help="What a label means: '불량=anomaly'. Repeat.", rich_help_panel=_LABELS)] = field(default_factory=list)
    watermark: Annotated[bool | None, typer.Option("--watermark/--no-watermark", help="State at the end that labels are complete. [default: where labels are given]", rich_help_panel=_LABELS)] = None
    rows_per_frame: Annotated[int, typer.Option(help="Rows that are sent together.", min=1, max=100_000, rich_help_panel=_SENDING)] = ROWS_PER_FRAME
    # fmt: on

    def zone(self, plant: Plant) -> str:
        """The zone of times that carry none.

        Raises:
            typer.BadParameter: there is no such zone.
        """
        name = self.time_zone or plant.time_zone
        try:
            return ZoneInfo(name).key
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise typer.BadParameter(
                f"unknown zone {name!r}; use a name such as Asia/Seoul", param_hint="--time-zone"
            ) from error

    def layout(self, plant: Plant) -> Layout:
        """What is known of the files: the plant's record and what the options say.

        Raises:
            typer.BadParameter: an option cannot be meant so.
        """
        read.check_asset(self.asset, plant)
        zone = self.zone(plant)
        start_us, step_us = read.steps(self.start, self.step, zone=zone)
        return read.layout_of(
            plant, zone=zone, columns=read.names(self.columns), rename=read.pairs(self.tag, "--tag", "Druck=Pressure"),
            ignore=tuple(self.ignore), time_column=self.time_column, asset_column=self.asset_column,
            label_column=self.label_column, tag_column=self.tag_column, value_column=self.value_column, asset=self.asset,
            time_format=self.time_format, start_us=start_us, step_us=step_us, encoding=self.encoding,
            delimiter=read.delimiter(self.delimiter), decimal=read.decimal(self.decimal),
            missing=frozenset(word.lower() for word in self.missing), numbers=read.numbers(self.number),
            label_map=read.pairs(self.label_map, "--label-map", "불량=anomaly"),
        )  # fmt: skip

    def read(self, files: Sequence[Path], layout: Layout, *, delay_us: int = 0) -> Job:
        """Read the files and the files of labels that the options name.

        Raises:
            BadExport: with everything that is wrong with any of them.
            typer.BadParameter: an option cannot be meant so.
        """
        roles = read.pairs(read.names(self.label_columns), "--label-columns", "start=FROM,end=TO,value=KIND")
        exports = read_exports(files, layout)
        label_files = read_labels(
            self.labels, read.for_labels(layout, exports), columns=roles, value=self.label_value
        )
        given = bool(self.labels or self.label_column)
        return Job(
            exports=exports,
            label_files=label_files,
            rows_per_frame=self.rows_per_frame,
            delay_us=delay_us,
            watermarks=given if self.watermark is None else self.watermark,
        )


@dataclass(frozen=True, kw_only=True)
class Job:
    """What files hold, and how it is to be sent."""

    exports: Sequence[Export]
    label_files: Sequence[LabelFile]
    rows_per_frame: int
    #: How much later than their rows labels are sent, in the data's time.
    delay_us: int
    watermarks: bool

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(export.rows for export in self.exports)

    @property
    def labels(self) -> list[IntervalLabel | PointLabel]:
        """What the files of labels hold."""
        return labels_of(self.label_files)

    def plan(self) -> Iterator[Planned]:
        """The messages, in the order in which they are sent."""
        return plan(
            self.exports,
            self.labels,
            rows_per_frame=self.rows_per_frame,
            label_delay_us=self.delay_us,
            watermarks=self.watermarks,
        )

    def check_labels(self, agreements: Sequence[Agreement]) -> None:
        """See that some agreement understands every label.

        Raises:
            typer.BadParameter: none does.
        """
        values: set[Any] = {label.value for label in self.labels}
        for rows in (rows for export in self.exports for rows in export.assets):
            if rows.labels is not None:
                values.update(rows.labels.drop_null().unique().to_pylist())
        wrong = not_understood(sorted(values, key=str), agreements)
        if wrong is not None:
            raise typer.BadParameter(f"{wrong}. Say what it means, such as --label-map '불량=anomaly'")


def plant_of_file(path: Path) -> Plant:
    """The plant's record in its YAML file.

    Raises:
        typer.BadParameter: it cannot be read, or something in it is wrong.
    """
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


def with_file_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options by which files are read, in the place of its parameter of the type `FileOptions`."""
    hints = get_type_hints(command, include_extras=True)
    listed: list[inspect.Parameter] = []
    place = ""
    for parameter in inspect.signature(command).parameters.values():
        if hints[parameter.name] is FileOptions:
            place = parameter.name
            listed += _parameters()
        else:
            kind = inspect.Parameter.KEYWORD_ONLY
            listed.append(parameter.replace(annotation=hints[parameter.name], kind=kind))
    names = [option.name for option in fields(FileOptions)]

    @wraps(command)
    def flat(**given: Any) -> None:
        options = FileOptions(**{name: given.pop(name) for name in names})
        command(**given, **{place: options})

    flat.__signature__ = inspect.Signature(listed)  # type: ignore[attr-defined]
    flat.__annotations__ = {one.name: one.annotation for one in listed}
    return flat


def _parameters() -> Iterator[inspect.Parameter]:
    hints = get_type_hints(FileOptions, include_extras=True)
    for one in fields(FileOptions):
        default = one.default if one.default_factory is MISSING else one.default_factory()
        yield inspect.Parameter(
            one.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[one.name]
        )


def tell_problems(screen: Screen, problems: Sequence[Problem], outcome: str) -> None:
    """Say what is wrong with files, and what became of the command."""
    for problem in problems:
        screen.say(str(problem), "red")
        screen.emit({"kind": "problem", **asdict(problem)})
    screen.say(f"{len(problems)} to put right; {outcome}")


def tell_understood(screen: Screen, job: Job) -> None:
    """Say how the files were read, for whoever gave them to check."""
    understood = [(one.file, one.notes) for one in job.exports]
    for file, notes in understood + [(one.file, one.notes) for one in job.label_files]:
        screen.say(file, "bold")
        for note in notes:
            screen.say(f"  {note}")
        screen.emit({"kind": "file", "file": file, "notes": notes})
    labels = job.labels
    astray = outside(job.exports, labels)
    if astray:
        screen.say(
            f"{astray} of {len(labels)} labels are of no row in these files: is the zone right?", "yellow"
        )
    if not job.watermarks:
        screen.say("no watermark is sent: nothing says that the labels are complete")


@contextmanager
def rows_bar(screen: Screen, total: int) -> Iterator[Callable[[int], None]]:
    """A bar of rows that shows how many are done."""
    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not screen.people.is_terminal
    with Progress(*columns, console=screen.people, transient=True, disable=hidden) as bar:
        task = bar.add_task("rows", total=total)
        yield lambda done: bar.update(task, completed=done)
