"""The parts that pictures are drawn with: scales, ticks, and a frame that says in words what it shows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from infra.report.markup import Markup, tag, together

#: Every picture is so wide in its own units: a page of A4 within its margins.
WIDTH = 680.0


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A straight line from values to places."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value."""
        if self.high <= self.low:
            return self.start
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from low to high, at most so many."""
    span = high - low
    if not span > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(step for one in (1, 2, 5, 10, 20, 50) if span / (step := one * power) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def picture(name: str, title: str, told: str, height: float, parts: Iterable[Markup]) -> Markup:
    """A picture with its title and, for whoever does not see it, what it shows.

    Args:
        name: unique in the page.
    """
    return tag(
        "svg",
        tag("title", title, id=f"{name}-title"),
        tag("desc", told, id=f"{name}-desc"),
        together(*parts),
        viewBox=f"0 0 {WIDTH:g} {height:g}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        class_="picture",
    )


def text(x: float, y: float, content: str, class_: str = "", anchor: str = "start") -> Markup:
    """Words at a place."""
    return tag("text", content, x=x, y=y, class_=class_ or None, text_anchor=anchor)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def rect(x: float, y: float, width: float, height: float, class_: str, fill: str | None = None) -> Markup:
    """A rectangle."""
    return tag("rect", x=x, y=y, width=max(width, 0), height=max(height, 0), class_=class_, fill=fill)


def path(points: Sequence[tuple[float, float]], class_: str, *, closed: bool = False) -> Markup:
    """A line through points, or the area within them."""
    steps = " ".join(f"{'L' if at else 'M'}{x:.2f},{y:.2f}" for at, (x, y) in enumerate(points))
    return tag("path", d=f"{steps}{' Z' if closed else ''}", class_=class_)


def shortened(content: str, most: int) -> str:
    """A name that fits: Korean letters are twice as wide as others."""
    width = 0
    for at, one in enumerate(content):
        width += 2 if ord(one) > 0x1100 else 1
        if width > most:
            return content[: max(at - 1, 1)] + "…"
    return content
