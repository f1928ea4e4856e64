"""The other pictures of a report: what became of the rows, metrics by part, labels, and the order of candidates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from infra.report.markup import Markup, tag
from infra.report.measured import FATES, law, slice_name
from infra.report.section import figure, lasting, share
from infra.report.svg import WIDTH, Scale, line, picture, rect, shortened, text, ticks
from infra.words.language import Lang, Phrase
from infra.words.metrics import metric
from schemas.evaluation import Counts, LabelStatistics, Ranking, SliceScores

#: Milliseconds, and what they are called: the marks of the axis of delays.
_TIMES = (
    (1, Phrase("1 ms", "1 ms")),
    (1000, Phrase("1 s", "1초")),
    (60_000, Phrase("1 min", "1분")),
    (3_600_000, Phrase("1 h", "1시간")),
    (86_400_000, Phrase("1 day", "1일")),
    (30 * 86_400_000, Phrase("30 days", "30일")),
    (365 * 86_400_000, Phrase("1 year", "1년")),
)


def counts_picture(name: str, counts: Counts, lang: Lang) -> Markup | None:
    """What became of every row, as one bar; None where no row came in."""
    if not counts.rows_in:
        return None
    parts: list[Markup] = []
    across = Scale(low=0, high=counts.told() or 1, start=0, end=WIDTH)
    place, below = 0, 0
    for fate, said in FATES.items():
        rows = getattr(counts, fate)
        if not rows:
            continue
        start, end = across(place), across(place + rows)
        parts.append(rect(start, 2, end - start, 30, f"fate {fate}", fill=_fill(name, fate)))
        # A name stands below its part where it is in nobody's way, else in the list.
        x, y = (below % 3) * WIDTH / 3, 56 + below // 3 * 18
        parts.append(rect(x, y - 10, 12, 12, f"fate {fate}", fill=_fill(name, fate)))
        told = f"{said.to(lang)} {rows:,} ({share(rows, counts.rows_in)})"
        parts.append(text(x + 18, y, told, "legend"))
        place, below = place + rows, below + 1
    title = Phrase("What became of every row", "모든 행의 행방").to(lang)
    height = 50.0 + math.ceil(below / 3) * 18
    return picture(name, title, law(counts).to(lang), height, [_patterns(name), *parts])


def _fill(name: str, fate: str) -> str | None:
    """What has no pattern is told apart by its colour and its place."""
    return f"url(#{name}-{fate})" if fate in _HATCHES else None


#: How the parts that are no answers are hatched, so that they differ without colour: direction in degrees, and width.
_HATCHES = {"awaiting_label": (45, 2.0), "abstained": (0, 2.0), "failed": (135, 4.0), "refused": (90, 1.5)}


def _patterns(name: str) -> Markup:
    return tag(
        "defs",
        *(
            tag(
                "pattern",
                rect(0, 0, 8, 8, f"ground {fate}"),
                tag("line", x1=0, y1=0, x2=0, y2=8, class_="hatch", stroke_width=width),
                id=f"{name}-{fate}",
                width=8,
                height=8,
                patternUnits="userSpaceOnUse",
                patternTransform=f"rotate({turn})",
            )
            for fate, (turn, width) in _HATCHES.items()
        ),
    )


def slices_picture(
    name: str,
    slices: Sequence[SliceScores],
    shown: str,
    *,
    whole: float | None,
    threshold: float | None,
    lang: Lang,
) -> Markup | None:
    """A metric by part: a dot for each, the whole as a line, the threshold dashed; None where no part has it.

    Args:
        shown: the metric.
        whole: its value over all rows.
        threshold: what it has to reach, where it is the agreed one.
    """
    values = [one.metrics[shown] for one in slices if shown in one.metrics]
    if not values:
        return None
    every = [*values, *(one for one in (whole, threshold) if one is not None)]
    low, high = min(every), max(every)
    room = 0.1 * (high - low) or 0.05 * (abs(high) or 1)
    across = Scale(low=low - room, high=high + room, start=170, end=WIDTH - 130)
    bottom = 26.0 + 24 * len(slices)
    parts: list[Markup] = []
    for value in ticks(across.low, across.high, 6):
        parts.append(line(across(value), 18, across(value), bottom, "grid"))
        parts.append(text(across(value), bottom + 16, f"{value:g}", "tick", "middle"))
    if whole is not None:
        parts.append(line(across(whole), 18, across(whole), bottom, "whole"))
        parts.append(text(across(whole), 12, Phrase("all rows", "전체").to(lang), "small", "middle"))
    if threshold is not None:
        parts.append(line(across(threshold), 18, across(threshold), bottom, "margin"))
        marked = Phrase(f"threshold {threshold:g}", f"기준값 {threshold:g}").to(lang)
        parts.append(text(across(threshold), bottom + 30, marked, "small", "middle"))
    for at, one in enumerate(slices):
        y, value_ = 34.0 + 24 * at, one.metrics.get(shown)
        parts.append(text(160, y + 4, shortened(slice_name(one).to(lang), 26), "legend", "end"))
        if value_ is not None:
            parts.append(tag("circle", cx=across(value_), cy=y, r=5, class_="dot"))
        rows = Phrase(f"{one.counts.scored:,} rows", f"{one.counts.scored:,}행").to(lang)
        parts.append(text(WIDTH, y + 4, f"{figure(value_)}  ·  {rows}", "number", "end"))
    called = metric(shown)
    title = Phrase(f"{called.en} by part", f"구간별 {called.ko}").to(lang)
    told = "; ".join(
        f"{slice_name(one).to(lang)} {figure(one.metrics.get(shown))} ({one.counts.scored:,})"
        for one in slices
    )
    return picture(name, title, told, bottom + (36 if threshold is not None else 22), parts)


def labels_picture(name: str, labels: LabelStatistics, deadline_ms: float, lang: Lang) -> Markup | None:
    """How many rows have a label, and how long labels took beside the time in which they count; None without rows."""
    if not labels.rows:
        return None
    covered = Scale(low=0, high=labels.rows, start=0, end=WIDTH)
    coverage = Phrase(
        f"{labels.labelled:,} of {labels.rows:,} rows have a label ({share(labels.labelled, labels.rows)})",
        f"{labels.rows:,}행 중 {labels.labelled:,}행에 라벨 있음({share(labels.labelled, labels.rows)})",
    )
    parts = [
        text(0, 12, coverage.to(lang), "legend"),
        rect(0, 20, WIDTH, 12, "missing"),
        rect(0, 20, covered(labels.labelled), 12, "fate scored"),
        *_delays(labels, deadline_ms, lang),
    ]
    title = Phrase("Label coverage and delay", "라벨 확보율과 지연").to(lang)
    known = [ms for ms in (labels.delay_p50_ms, labels.delay_p90_ms) if ms is not None]
    told = coverage + Phrase("; ", "; ") + _lasted(known)
    return picture(name, title, told.to(lang), 130 if known else 40, parts)


def _lasted(known: Sequence[int]) -> Phrase:
    if not known:
        return Phrase("no delay is known", "지연은 알 수 없음")
    first, last = lasting(known[0]), lasting(known[-1])
    return Phrase(
        f"half of the labels came within {first.en}, nine of ten within {last.en}",
        f"라벨의 절반은 {first.ko}, 90%는 {last.ko} 안에 옴",
    )


def _delays(labels: LabelStatistics, deadline_ms: float, lang: Lang) -> Iterator[Markup]:
    """The delays on an axis whose steps are tenfold: seconds and weeks have room on it."""
    known = {"50 %": labels.delay_p50_ms, "90 %": labels.delay_p90_ms}
    found = {said: max(ms, 1) for said, ms in known.items() if ms is not None}
    if not found:
        return
    y = 86.0
    low = min(1000.0, *found.values())
    across = Scale(
        low=math.log10(low),
        high=math.log10(max(deadline_ms, *found.values())) + 0.1,
        start=20,
        end=WIDTH - 20,
    )
    yield line(across.start, y, across.end, y, "zero")
    for ms, mark in _TIMES:
        if across.low <= math.log10(ms) <= across.high:
            x = across(math.log10(ms))
            yield line(x, y - 4, x, y + 4, "zero")
            yield text(x, y + 20, mark.to(lang), "tick", "middle")
    x = across(math.log10(deadline_ms))
    yield line(x, y - 20, x, y + 26, "planned")
    counted = Phrase("labels count until ", "라벨 인정 기한 ") + lasting(deadline_ms)
    yield text(x, y + 38, counted.to(lang), "small", "end")
    ends = [across(math.log10(ms)) for ms in found.values()]
    yield line(min(ends), y, max(ends), y, "whole")
    for at, (said, ms) in enumerate(found.items()):
        x = across(math.log10(ms))
        yield tag("circle", cx=x, cy=y, r=5, class_="dot")
        # The first leans to the left and the second to the right: they may be close to one another.
        anchor, off = ("end", 4) if at == 0 and len(found) > 1 and x > 120 else ("start", -4)
        yield text(
            x + off,
            y - 12 - (12 * at if x <= 120 else 0),
            f"{said}: {lasting(ms).to(lang)}",
            "number",
            anchor,
        )


def ranking_picture(name: str, ranking: Ranking, candidates: Sequence[str], lang: Lang) -> Markup | None:
    """Candidates in rows, the better above, an arrow where one is shown to be better; None where nothing is shown."""
    if not ranking.preferences or len(candidates) > 12:
        return None
    known = set(candidates)
    edges = {(one.better, one.worse) for one in ranking.preferences if {one.better, one.worse} <= known}
    # An arrow that follows from two others is left out; the table has it.
    direct = {(a, b) for a, b in edges if not any((a, c) in edges and (c, b) in edges for c in candidates)}
    depth = _depths(edges, candidates)
    rows = [[one for one in candidates if depth[one] == level] for level in range(max(depth.values()) + 1)]
    places = {
        one: (WIDTH * (at + 1) / (len(row) + 1), 20.0 + 70 * level)
        for level, row in enumerate(rows)
        for at, one in enumerate(row)
    }
    head = tag("path", d="M0,0 L8,4 L0,8 Z", class_="head")
    marker = tag(
        "marker", head, id=f"{name}-arrow", markerWidth=8, markerHeight=8, refX=8, refY=4, orient="auto"
    )
    parts = [tag("defs", marker)]
    for better, worse in sorted(direct):
        (x1, y1), (x2, y2) = places[better], places[worse]
        # Arrows from two sides do not end on one another.
        x2 += max(-60.0, min(60.0, (x1 - x2) / 4))
        parts.append(
            tag(
                "line",
                x1=x1,
                y1=y1 + 16,
                x2=x2,
                y2=y2 - 17,
                class_="arrow",
                marker_end=f"url(#{name}-arrow)",
            )
        )
    for one, (x, y) in places.items():
        best = one == ranking.winner
        parts.append(
            tag("rect", x=x - 84, y=y - 16, width=168, height=32, rx=6, class_=f"node{' best' * best}")
        )
        parts.append(text(x, y + 5, ("★ " if best else "") + shortened(one, 20), "legend", "middle"))
    title = Phrase("Which candidate is shown to be better", "입증된 후보 간 우열").to(lang)
    told = "; ".join(Phrase(f"{a} better than {b}", f"{a}: {b}보다 나음").to(lang) for a, b in sorted(edges))
    return picture(name, title, told, 70.0 * len(rows) - 30, parts)


def _depths(edges: set[tuple[str, str]], candidates: Sequence[str]) -> dict[str, int]:
    """How many stand above each, one above the other; each is shown to be better than those below, so there is no circle."""
    depth = dict.fromkeys(candidates, 0)
    for _ in candidates:
        for better, worse in edges:
            depth[worse] = min(max(depth[worse], depth[better] + 1), len(candidates) - 1)
    return depth
