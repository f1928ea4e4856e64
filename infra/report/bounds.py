"""The picture of a decision: how the bounds against every rival narrowed as units came in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from infra.report.markup import Markup, tag, together
from infra.report.section import exact
from infra.report.svg import WIDTH, Scale, line, path, picture, shortened, text, ticks
from infra.words.language import Lang, Phrase
from infra.words.verdicts import rival
from schemas.evaluation import Comparison, Standing

_TOP, _HEIGHT, _BOTTOM = 26.0, 150.0, 40.0
_LEFT, _RIGHT = 58.0, 112.0
#: Where fewer of the planned units have come than this share, the planned end is told instead of drawn.
_DRAWN_FROM = 0.15
#: Bounds of the first units are as wide as can be: the height is that of the later ones.
_SETTLED = 0.15

_BETTER = Phrase("▲ candidate better", "▲ 후보가 나음")
_WORSE = Phrase("▼ rival better", "▼ 비교 대상이 나음")


@dataclass(frozen=True, kw_only=True)
class _Course:
    """The bounds against one rival, by the number of units."""

    rival: str
    points: tuple[tuple[int, Comparison], ...]

    @property
    def last(self) -> Comparison:
        return self.points[-1][1]


def bounds_picture(name: str, standings: Sequence[Standing], lang: Lang) -> Markup | None:
    """A panel for each rival; None where no unit has been compared.

    Args:
        name: unique in the page.
        standings: those of a trial, in its order; the last is where the decision stands or fell.
    """
    if not standings or not standings[-1].comparisons:
        return None
    last = standings[-1]
    courses = [_course(one.rival, standings) for one in last.comparisons]
    panel = _TOP + _HEIGHT + _BOTTOM
    parts = [
        tag(
            "g",
            together(*_panel(f"{name}-{at}", course, last, courses, lang)),
            transform=f"translate(0 {at * panel:g})",
        )
        for at, course in enumerate(courses)
    ]
    title = Phrase(
        "Bounds of how much less the candidate loses, unit by unit",
        "단위가 쌓이며 좁혀진 손실 차이의 상·하한",
    )
    return picture(name, title.to(lang), _told(last, courses).to(lang), panel * len(courses), parts)


def _course(name: str, standings: Sequence[Standing]) -> _Course:
    every = ((one.units, each) for one in standings for each in one.comparisons if each.rival == name)
    return _Course(rival=name, points=tuple(every))


def _told(last: Standing, courses: Sequence[_Course]) -> Phrase:
    after = Phrase(
        f"After {last.units} of {last.planned} planned units; margin {last.margin:g}.",
        f"계획한 {last.planned}개 중 {last.units}개 단위 뒤, 마진 {last.margin:g}.",
    )
    for one in courses:
        low, high, whom = exact(one.last.lower), exact(one.last.upper), rival(one.rival)
        after += Phrase(
            f" Against {whom.en}: at least {low}, at most {high}.",
            f" {whom.ko} 대비: 하한 {low}, 상한 {high}.",
        )
    return after


def _panel(
    name: str, course: _Course, last: Standing, courses: Sequence[_Course], lang: Lang
) -> Iterator[Markup]:
    drawn_to = last.planned if last.units >= _DRAWN_FROM * last.planned else max(last.units * 1.15, 1)
    across = Scale(low=0, high=drawn_to, start=_LEFT, end=WIDTH - _RIGHT)
    low, high = _range(courses, last)
    up = Scale(low=low, high=high, start=_TOP + _HEIGHT, end=_TOP)
    whom = Phrase("against ", "비교 대상: ") + rival(course.rival)
    yield text(_LEFT, 14, shortened(whom.to(lang), 70), "panel")
    yield from _axes(across, up, last, lang)
    clip = tag("rect", x=_LEFT, y=_TOP, width=WIDTH - _LEFT - _RIGHT, height=_HEIGHT)
    yield tag("clipPath", clip, id=f"{name}-within")
    yield tag("g", together(*_band(course, across, up)), clip_path=f"url(#{name}-within)")
    yield from _ends(course, across, up, last, lang)


def _range(courses: Sequence[_Course], last: Standing) -> tuple[float, float]:
    """From where to where the picture goes: every bound of the later units, zero and the margins."""
    late = [
        one
        for course in courses
        for units, one in course.points
        if units >= _SETTLED * last.units or one is course.last
    ]
    lowest = min(0.0, -last.margin, *(one.lower for one in late))
    highest = max(0.0, last.margin, *(one.upper for one in late))
    room = 0.08 * (highest - lowest or 0.1)
    return max(lowest - room, -1.05), min(highest + room, 1.05)


def _axes(across: Scale, up: Scale, last: Standing, lang: Lang) -> Iterator[Markup]:
    left, right, bottom = across.start, across.end, up.start
    for value in ticks(up.low, up.high, 5):
        yield line(left, up(value), right, up(value), "grid")
        yield text(left - 6, up(value) + 4, f"{value:g}", "tick", "end")
    for value in ticks(0, across.high, 8):
        yield text(across(value), bottom + 16, f"{value:,g}", "tick", "middle")
    yield line(left, up(0), right, up(0), "zero")
    if last.margin:
        for margin in (last.margin, -last.margin):
            yield line(left, up(margin), right, up(margin), "margin")
    units = Phrase("units, in the order of the telemetry", "판정 단위(계측 순서)").to(lang)
    yield text((left + right) / 2, bottom + 32, units, "tick", "middle")
    planned = Phrase(f"planned end: {last.planned:,}", f"계획한 끝: {last.planned:,}").to(lang)
    if across.high == last.planned:
        yield line(right, up.start, right, up.end, "planned")
        yield text(right, _TOP - 5, planned, "small", "end")
    else:
        yield text(right, _TOP - 5, f"{planned} →", "small", "end")


def _band(course: _Course, across: Scale, up: Scale) -> Iterator[Markup]:
    upper = [(across(units), up(one.upper)) for units, one in course.points]
    lower = [(across(units), up(one.lower)) for units, one in course.points]
    means = [(across(units), up(one.seen)) for units, one in course.points if one.seen is not None]
    if len(course.points) > 1:
        yield path([*upper, *reversed(lower)], "band", closed=True)
        yield path(upper, "bound")
        yield path(lower, "bound")
        if len(means) > 1:
            yield path(means, "mean")


def _ends(course: _Course, across: Scale, up: Scale, last: Standing, lang: Lang) -> Iterator[Markup]:
    """Where the bounds stand now, with their numbers."""
    x, one = across(course.points[-1][0]), course.last
    top, bottom = up(one.upper), up(one.lower)
    yield line(x, top, x, bottom, "whisker")
    for y in (top, bottom):
        yield line(x - 5, y, x + 5, y, "whisker")
    if one.seen is not None:
        yield tag("circle", cx=x, cy=up(one.seen), r=3.5, class_="dot")
    if last.fell_at is not None:
        fell = Phrase(f"fell at {last.fell_at:,}", f"{last.fell_at:,}번째에서 판정").to(lang)
        yield text(
            x, up.start - 5, fell, "small halo", "end" if x > (across.start + across.end) / 2 else "start"
        )
    if last.margin:
        margin = Phrase(f"margin {last.margin:g}", f"마진 {last.margin:g}").to(lang)
        yield text(across.end - 4, up(last.margin) - 4, margin, "small halo", "end")
    right = across.end + 10
    # Two numbers that would stand on one another are moved apart.
    middle = (top + bottom) / 2
    apart = max(bottom - top, 15) / 2
    high, low = Phrase("at most", "상한").to(lang), Phrase("at least", "하한").to(lang)
    yield text(right, middle - apart + 4, f"{high} {exact(one.upper)}", "number")
    yield text(right, middle + apart + 4, f"{low} {exact(one.lower)}", "number")
    yield text(right, _TOP - 5, _BETTER.to(lang), "small")
    yield text(right, up.start + 32, _WORSE.to(lang), "small")
