"""Ratios of what was measured in one run: pure arithmetic on its rounds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Field = Literal["rows_s", "seconds", "evaluated_rows_s", "evaluated_seconds"]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One side of a ratio: who did what in which case."""

    case: str
    who: str = "platform"
    field: Field = "rows_s"


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """What is divided by what."""

    over: Side
    under: Side


def _base(who: str, *, scored: bool = False) -> Ratio:
    field: Field = "evaluated_rows_s" if scored else "rows_s"
    return Ratio(over=Side(case="base", field=field), under=Side(case="base", who=who))


#: Quix Streams does no scoring: the platform's side ends with the evaluation that counts all rows.
RATIOS: dict[str, Ratio] = {
    "platform_vs_loop_linear": _base("loop"),
    "platform_vs_predict_forest": Ratio(over=Side(case="forest"), under=Side(case="forest", who="predict")),
    "platform_vs_quix_frames": _base("quix-frames", scored=True),
    "platform_vs_quix_rows": _base("quix-rows", scored=True),
    "platform_vs_per_row": _base("per-row"),
    "platform_vs_http_rows": _base("http-rows"),
    "platform_vs_http_frames": _base("http-frames"),
    "four_vs_one_forest": Ratio(
        over=Side(case="candidates-4", field="seconds"), under=Side(case="candidates-1", field="seconds")
    ),
    "ten_times_rows": Ratio(
        over=Side(case="times-10", field="seconds"), under=Side(case="times-1", field="seconds")
    ),
}

#: Said beside them: against bare arrays, which the model was not fitted to and takes faster; and with scoring counted in, or not.
FURTHER: dict[str, Ratio] = {
    "platform_vs_loop_arrays_linear": _base("loop-arrays"),
    "platform_vs_quix_frames_arrays": _base("quix-frames-arrays", scored=True),
    "platform_vs_predict_linear": _base("predict"),
    "platform_vs_loop_forest": Ratio(over=Side(case="forest"), under=Side(case="forest", who="loop")),
    "loop_vs_predict_linear": Ratio(
        over=Side(case="base", who="loop"), under=Side(case="base", who="predict")
    ),
    "evaluated_vs_loop_linear": _base("loop", scored=True),
    "outcomes_vs_quix_frames": _base("quix-frames"),
    "ten_times_rows_evaluated": Ratio(
        over=Side(case="times-10", field="evaluated_seconds"),
        under=Side(case="times-1", field="evaluated_seconds"),
    ),
    # What the machine itself makes of four models at once, with nothing around them.
    "four_vs_one_predict_forest": Ratio(
        over=Side(case="candidates-4", who="predict", field="seconds"),
        under=Side(case="candidates-1", who="predict", field="seconds"),
    ),
    "four_vs_one_forest_evaluated": Ratio(
        over=Side(case="candidates-4", field="evaluated_seconds"),
        under=Side(case="candidates-1", field="evaluated_seconds"),
    ),
}


def ratio_of(rounds: Sequence[dict[str, Any]], wanted: Ratio) -> float | None:
    """The median of the ratios of each round in which both sides were measured; None where there is no such round."""
    over, under = values(rounds, wanted.over), values(rounds, wanted.under)
    found = [over[number] / under[number] for number in sorted(over.keys() & under.keys()) if under[number]]
    return statistics.median(found) if found else None


def values(rounds: Sequence[dict[str, Any]], side: Side) -> dict[int, float]:
    """What one side did in each round; rounds that failed are left out."""
    return {
        int(one["round"]): float(one[side.field])
        for one in rounds
        if (one["case"], one["who"]) == (side.case, side.who) and one.get(side.field)
    }


def medians(rounds: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line for each case and contender: medians over its rounds, in the order in which they came."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in rounds:
        found.setdefault((one["case"], one["who"]), []).append(one)
    return [
        {"case": case, "who": who, "rounds": sum("error" not in one for one in each), **_medians(each)}
        for (case, who), each in found.items()
    ]


def _medians(each: Sequence[dict[str, Any]]) -> dict[str, Any]:
    good = [one for one in each if "error" not in one]
    fields = ("rows_s", "evaluated_rows_s", "seconds", "evaluated_seconds", "cpu_s")
    figures: dict[str, Any] = {
        name: statistics.median(one[name] for one in good) for name in fields if good and name in good[0]
    }
    for name in ("cpu_ms_per_frame", "rss_mb"):
        if good and name in good[0]:
            kinds = sorted({kind for one in good for kind in one[name]})
            figures[name] = {
                kind: round(statistics.median(one[name].get(kind, 0.0) for one in good), 4) for kind in kinds
            }
    errors = [one["error"] for one in each if "error" in one]
    return figures | ({"error": errors[-1]} if errors else {})
