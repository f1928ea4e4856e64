"""What a run has found: its figures as one object, the promises in a table, and a picture."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.speed.ratios import FURTHER, RATIOS, medians, ratio_of

Results = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Promise:
    """A figure that was promised.

    Attributes:
        number: of the promise in the README.
        what: in words.
        path: where the figure stands in the results.
        least, most: bounds; both hold.
        form: how it is shown.
    """

    number: int
    what: str
    path: tuple[str, ...]
    least: float | None = None
    most: float | None = None
    form: str = "{:.2f}"

    def figure(self, results: Results) -> float | None:
        """What was measured; None where it was not."""
        found: Any = results
        for step in self.path:
            found = found.get(step) if isinstance(found, dict) else None
        return found if isinstance(found, int | float) else None

    def met(self, results: Results) -> bool | None:
        """Whether it holds; None where it was not measured."""
        figure = self.figure(results)
        if figure is None:
            return None
        return (self.least is None or figure >= self.least) and (self.most is None or figure <= self.most)

    @property
    def bounds(self) -> str:
        shown = [("at least", self.least), ("at most", self.most)]
        return ", ".join(f"{words} {bound:,g}" for words, bound in shown if bound is not None)


def _ratio(number: int, what: str, name: str, **bounds: float) -> Promise:
    return Promise(number=number, what=what, path=("ratios", name), **bounds)  # type: ignore[arg-type]


PROMISES = (
    _ratio(1, "platform / hand-written loop, linear", "platform_vs_loop_linear", least=0.8),
    _ratio(1, "platform / predict alone, forest", "platform_vs_predict_forest", least=0.9),
    _ratio(2, "platform, scored / Quix Streams on frames", "platform_vs_quix_frames", least=1.0),
    _ratio(2, "platform, scored / Quix Streams on rows", "platform_vs_quix_rows", least=10),
    _ratio(2, "platform / a message and a predict a row", "platform_vs_per_row", least=50),
    _ratio(2, "platform / MLflow over HTTP, row by row", "platform_vs_http_rows", least=50),
    _ratio(3, "four forests / one, wall time", "four_vs_one_forest", most=2.2),
    Promise(number=4, what="framer, JSON rows a second", path=("framer_rows_s",), least=100_000, form="{:,.0f}"),
    Promise(number=5, what="latency at 200 frames/s, p50 ms", path=("latency_ms", "p50"), most=20, form="{:.1f}"),
    Promise(number=5, what="latency at 200 frames/s, p99 ms", path=("latency_ms", "p99"), most=100, form="{:.1f}"),
    _ratio(6, "ten times the rows / once, time", "ten_times_rows", least=9, most=11),
    Promise(
        number=6, what="speed with 10⁶ rows waiting for labels / without", path=("waiting", "speed"), least=0.9
    ),
    Promise(
        number=6, what="scorer with 10⁶ rows waiting, MB", path=("waiting", "scorer_mb"), most=1000, form="{:.0f}"
    ),
)  # fmt: skip


def results_of(
    rounds: Sequence[dict[str, Any]],
    *,
    latency: Sequence[dict[str, Any]],
    framer: dict[str, Any] | None,
    about: dict[str, Any],
) -> Results:
    """Everything as one object.

    Args:
        rounds: of every group, as `Contest.rounds` gives them.
        latency: of each pace; the promised one has `promised`.
        framer: the last line of the framer's own benchmark; None where it was not measured.
        about: date, machine, versions, and how it was run.
    """
    promised = next((one for one in latency if one.get("promised")), {})
    results = {
        "kind": "speed",
        **about,
        "ratios": {name: _rounded(ratio_of(rounds, one)) for name, one in RATIOS.items()},
        "further_ratios": {name: _rounded(ratio_of(rounds, one)) for name, one in FURTHER.items()},
        "framer_rows_s": (framer or {}).get("framer_rows_s"),
        "framer": framer,
        "latency_ms": _p50_p99(promised),
        "latency": list(latency),
        "waiting": _waiting(rounds),
        "medians": medians(rounds),
        "rounds": list(rounds),
    }
    results["met"] = {f"{one.number}: {one.what}": one.met(results) for one in PROMISES}
    return results


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 4)


def _p50_p99(promised: dict[str, Any]) -> dict[str, float | None]:
    found = promised.get("telemetry_to_outcome_ms") or {}
    return {name: found.get(name) for name in ("p50", "p99")}


def _waiting(rounds: Sequence[dict[str, Any]]) -> dict[str, float] | None:
    """What a million rows without labels do: to the speed until every outcome is scored, and to the scorer."""
    pairs = [
        {one["case"]: one for one in rounds if one["round"] == number and "error" not in one}
        for number in sorted({one["round"] for one in rounds if one["case"] == "waiting"})
    ]
    both = [(one["waiting"], one["not-waiting"]) for one in pairs if {"waiting", "not-waiting"} <= one.keys()]
    if not both:
        return None
    return {
        "speed": round(statistics.median(a["rows_s"] / b["rows_s"] for a, b in both), 4),
        "speed_evaluated": round(
            statistics.median(a["evaluated_rows_s"] / b["evaluated_rows_s"] for a, b in both), 4
        ),
        "scorer_mb": max(a["rss_mb"]["scorer"] for a, _ in both),
    }


# --- tables ---------------------------------------------------------------------------------------------------------


def promises(results: Results) -> Table:
    """Each promise with its figure."""
    remarks = [
        ("quick", "quick: for a first look"),
        ("interrupted", "interrupted: the rest was not measured"),
    ]
    table = Table(title="; ".join(text for name, text in remarks if results[name]) or None)
    for column in ("", "promise", "figure", "bound", "met"):
        table.add_column(column, justify="right" if column == "figure" else "left")
    for one in PROMISES:
        figure, met = one.figure(results), one.met(results)
        shown = "not measured" if figure is None else one.form.format(figure)
        said = {True: "[green]yes[/]", False: "[red]no[/]", None: "–"}[met]
        table.add_row(str(one.number), one.what, shown, one.bounds, said)
    return table


def speeds(results: Results) -> Table:
    """The medians of every case and contender."""
    table = Table()
    for column in ("case", "who", "rounds", "rows/s", "rows/s, scored", "CPU ms a frame"):
        table.add_column(column, justify="left" if column in ("case", "who") else "right")
    for one in results["medians"]:
        used = one.get("cpu_ms_per_frame", {})
        told = " ".join(
            f"{kind} {ms:.2f}" for kind, ms in sorted(used.items(), key=lambda of: -of[1]) if ms >= 0.005
        )
        fields = [f"{one[name]:,.0f}" if name in one else "" for name in ("rows_s", "evaluated_rows_s")]
        table.add_row(one["case"], one["who"], str(one["rounds"]), *fields, one.get("error", told)[:90])
    return table


def delays(results: Results) -> Table:
    """Latencies at each pace."""
    table = Table()
    for column in (
        "pace",
        "telemetry → outcome, ms: p50",
        "p99",
        "max",
        "label → evaluation, ms: p50",
        "p99",
        "max",
    ):
        table.add_column(column, justify="left" if column == "pace" else "right")
    for one in results["latency"]:
        cells = []
        for name in ("telemetry_to_outcome_ms", "label_to_evaluation_ms"):
            found = one.get(name) or {}
            cells += [f"{found[key]:.0f}" if key in found else "–" for key in ("p50", "p99", "max")]
        table.add_row(f"{one['rate']} frames/s of {one['rows']} rows", *cells)
    return table


# --- picture --------------------------------------------------------------------------------------------------------


def draw(results: Results, path: Path) -> None:
    """Rows a second of everybody in the base case and with forests, on a logarithmic axis; as SVG."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot

    lines = [one for one in results["medians"] if one["case"] in ("base", "forest") and "rows_s" in one]
    lines.sort(key=lambda one: (one["case"] != "base", -one["rows_s"]))
    figure, axes = pyplot.subplots(figsize=(8, 0.32 * len(lines) + 1.2), layout="constrained")
    for place, one in enumerate(lines):
        ours = one["who"] == "platform"
        axes.barh(place, one["rows_s"], color="#1f6f8b" if ours else "#b8c4cc")
        if "evaluated_rows_s" in one:
            axes.plot([one["evaluated_rows_s"]] * 2, [place - 0.4, place + 0.4], color="#0b2f3c")
        axes.annotate(f" {one['rows_s']:,.0f}", (one["rows_s"], place), va="center", fontsize=8)
    models = {"base": "linear", "forest": "forest"}
    axes.set_yticks(range(len(lines)), [f"{one['who']} ({models[one['case']]})" for one in lines], fontsize=8)
    axes.set(xscale="log", xlabel="rows a second; the dark line: until every row is scored")
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.spines[["top", "right"]].set_visible(False)
    mpl.rcParams["svg.hashsalt"] = "fieldproof"
    figure.savefig(path, format="svg", metadata={"Date": None})
    pyplot.close(figure)
