"""`fieldproof replay`: send what a factory exported as if it were measured now."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.table import Table

from infra.cli import replay_layout as read
from infra.cli.exports import (
    FileOptions,
    Job,
    plant_of_file,
    rows_bar,
    tell_problems,
    tell_understood,
    with_file_options,
)
from infra.cli.label_check import agreements_of
from infra.cli.screen import Screen
from infra.errors import BrokerUnavailable, InfraError
from infra.replay import BadExport, ReplayReport
from infra.replay import replay as send
from infra.settings import Settings, running
from schemas.agreement import Agreement
from schemas.parties import Plant
from streams.export_plan import first_rows

_LABELS = "Labels"
_SENDING = "Sending"


@with_file_options
def replay(
    files: Annotated[list[Path], typer.Argument(help="CSV or text files, also .gz, in the order to send them.")],
    options: FileOptions,
    plant: Annotated[str | None, typer.Option(help="The plant; not needed where there is one.")] = None,
    plant_file: Annotated[Path | None, typer.Option(help="Its plant.yaml, to check files without an installation.")] = None,
    label_delay: Annotated[str, typer.Option(help="Send labels so much later than their rows, in the data's time: 2h.", rich_help_panel=_LABELS)] = "0",
    speed: Annotated[float | None, typer.Option(help="Times the real speed, such as 60; else as fast as it goes.", min=1e-6, rich_help_panel=_SENDING)] = None,
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
    said = _Said(screen=_screen(as_json=as_json))
    with said.errors():
        site, agreements, bootstrap = _plant(plant, plant_file)
        layout = options.layout(site)
        job = options.read(files, layout, delay_us=read.duration(label_delay, "--label-delay"))
        tell_understood(said.screen, job)
        job.check_labels(agreements)
        if dry_run:
            said.preview(job, layout.zone)
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


def _plant(ident: str | None, path: Path | None) -> tuple[Plant, Sequence[Agreement], Callable[[], str]]:
    """The plant's record, its trials' agreements, and how to learn the broker's address once it is needed."""
    if path is not None:
        return plant_of_file(path), (), lambda: running(Settings()).bootstrap
    from infra.client import Client  # slow to import, and not needed for a look at files

    with Client.connect() as client:
        bootstrap, site = client.bootstrap, client.plant(ident)
        return site, agreements_of(site.id, client.state.pairings.values()), lambda: bootstrap


def _screen(*, as_json: bool) -> Screen:
    return Screen(as_json=as_json, people=Console(stderr=True, soft_wrap=True, highlight=False))


@dataclass(kw_only=True)
class _Said:
    """Words for people on stderr, rows and JSON Lines on stdout."""

    screen: Screen
    last: ReplayReport = field(default_factory=ReplayReport)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Say what went wrong, and end with the exit code that it has."""
        try:
            yield
        except BadExport as error:
            tell_problems(self.screen, error.problems, "nothing was sent")
            raise typer.Exit(error.exit_code) from error
        except InfraError as error:
            self.screen.say(str(error), "red")
            self.screen.emit({"kind": "error", "message": str(error), "acknowledged": self.last.acknowledged})
            otherwise = 3 if isinstance(error, BrokerUnavailable) else 1
            raise typer.Exit(getattr(error, "exit_code", otherwise)) from error
        except KeyboardInterrupt as error:
            sent = self.last.acknowledged
            self.screen.say(f"stopped; {sent} messages are acknowledged: go on with --from {sent}", "yellow")
            raise typer.Exit(130) from error

    def preview(self, job: Job, zone: str) -> None:
        """The first rows as they would be sent, and how much it would be."""
        total = ReplayReport()
        for message in job.plan():
            total.count(message)
        for export in job.exports:
            rows = list(first_rows([export], 5))
            self.screen.emit({"kind": "rows", "file": export.file, "rows": rows})
            if not self.screen.as_json:
                Console(file=sys.stdout).print(_table(rows, export.file, zone))
        self.screen.emit({"kind": "plan", **asdict(total)})
        self.screen.say(f"would send {_counted(total)}; nothing was sent (--dry-run)")

    @contextmanager
    def progress(self, job: Job) -> Iterator[Callable[[ReplayReport], None]]:
        with rows_bar(self.screen, job.rows) as show:

            def advance(report: ReplayReport) -> None:
                self.last = report
                show(report.rows)

            yield advance

    def done(self, report: ReplayReport, plant: Plant) -> None:
        self.screen.emit({"kind": "report", "plant": plant.id, **asdict(report)})
        self.screen.say(f"sent {_counted(report)} to {plant.id}", "green")


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
