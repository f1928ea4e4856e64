"""Where commands speak: JSON Lines for programs on stdout, words for people on stderr."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.table import Table

from schemas.agreement import Task
from schemas.evaluation import Evaluation, Outcome, Verdict

_COLOURS = {
    Outcome.ACCEPTED: "green",
    Outcome.REJECTED: "red",
    Outcome.INCONCLUSIVE: "yellow",
    Outcome.EQUIVALENT: "cyan",
}


@dataclass(frozen=True, kw_only=True)
class Screen:
    """The two ways in which a command speaks."""

    as_json: bool
    people: Console = field(default_factory=lambda: _console(stderr=True))

    def say(self, text: str, style: str = "") -> None:
        """Tell people."""
        self.people.print(text, style=style, markup=False)

    def emit(self, record: Mapping[str, object]) -> None:
        """Tell programs, where they were asked for."""
        if self.as_json:
            print(json.dumps(record, ensure_ascii=False), flush=True)

    def show(self, table: RenderableType) -> None:
        """Show people a table or more: on stdout, unless programs read there."""
        (self.people if self.as_json else _console(stderr=False)).print(table)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        # A file or a pipe has no width of its own; eighty columns would break every row.
        console.width = 400
    return console


#: The metrics that a table shows, by task; all of them stand in the JSON.
SHOWN = {
    Task.ANOMALY: ("f1", "far", "mar"),
    Task.CLASSIFICATION: ("accuracy", "macro_f1"),
    Task.REGRESSION: ("rmse", "mae", "r2"),
    Task.FORECASTING: ("rmse", "mae", "r2"),
    Task.RUL: ("rmse", "phm08", "r2"),
}


def scores(
    evaluations: Mapping[tuple[str, str], Evaluation], verdicts: Mapping[tuple[str, str], Verdict]
) -> Table:
    """The latest evaluation of every candidate and baseline, with its verdict where there is one."""
    table = Table(title="Evaluations and verdicts · 평가와 판정", title_justify="left")
    for name, justify in (
        ("pairing\n매칭", "left"),
        ("candidate\n후보", "left"),
        ("rows\n행", "right"),
        ("scored\n채점", "right"),
        ("waiting\n라벨 대기", "right"),
        ("failed\n무응답", "right"),
        ("metrics\n지표", "left"),
        ("verdict\n판정", "left"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for key in sorted(evaluations):
        table.add_row(*_row(evaluations[key], verdicts.get(key)))
    return table


def _row(one: Evaluation, verdict: Verdict | None) -> list[str]:
    counts = one.counts
    name = f"[dim]{one.candidate} (baseline)[/dim]" if one.baseline else one.candidate
    return [
        one.pairing,
        name,
        str(counts.rows_in),
        str(counts.scored),
        str(counts.awaiting_label),
        unanswered_in_words(one),
        metrics_in_words(one),
        verdict_in_words(verdict),
    ]


def unanswered_in_words(one: Evaluation) -> str:
    """How many rows got no answer, and why: `1200 (nonsense 1200)`."""
    counts = one.counts
    kinds = {**one.audit.failed_by_kind, "abstained": counts.abstained, "refused": counts.refused}
    why = ", ".join(f"{kind} {count}" for kind, count in kinds.items() if count)
    total = counts.abstained + counts.failed + counts.refused
    return f"{total} ({why})" if why else str(total)


def metrics_in_words(one: Evaluation) -> str:
    """The main metrics, shortened for reading: `f1 0.887  far 0.021  mar 0.04`."""
    return (
        "  ".join(f"{name} {one.metrics[name]:.4g}" for name in SHOWN[one.task] if name in one.metrics) or "–"
    )


def verdict_in_words(verdict: Verdict | None) -> str:
    """The verdict with its colour; a dash where there is none yet."""
    if verdict is None:
        return "–"
    colour = _COLOURS[verdict.verdict]
    return f"[{colour}]{verdict.verdict} {_KOREAN[verdict.verdict]}[/{colour}]"


_KOREAN = {
    Outcome.ACCEPTED: "합격",
    Outcome.REJECTED: "불합격",
    Outcome.EQUIVALENT: "동등",
    Outcome.INCONCLUSIVE: "판정 보류",
}
