"""What a part of a report is made of, and how numbers are written in it."""

from __future__ import annotations

from dataclasses import dataclass

from infra.words.language import NOTHING, Phrase

#: What is not there.
DASH = "–"


@dataclass(frozen=True, kw_only=True)
class Grid:
    """A table: the first cell of a row says what the row is about; numbers stand to the right."""

    head: tuple[Phrase, ...]
    rows: tuple[tuple[Phrase, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of what is told of a candidate, alike on a terminal and on paper."""

    key: str
    title: Phrase
    lines: tuple[tuple[Phrase, Phrase], ...] = ()
    grid: Grid | None = None
    #: What it means, in a sentence.
    note: Phrase = NOTHING


def same(text: str) -> Phrase:
    """A text that reads alike in both languages."""
    return Phrase(text, text)


def count(number: int) -> Phrase:
    """A whole number: `12,600`."""
    return same(f"{number:,}")


def figure(value: float | None) -> str:
    """A number for people, four digits: `0.9304`, `-2,076`."""
    if value is None:
        return DASH
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.3e}"
    return f"{value:.4g}"


def exact(value: float | None) -> str:
    """A bound, with the six digits that it is published with: `+0.012300`."""
    return DASH if value is None else f"{value:+.6f}"


def share(part: int, whole: int) -> str:
    """A part of a whole in percent: `86.3 %`; what is little is not shown as nothing."""
    if not whole:
        return DASH
    percent = 100 * part / whole
    if part and percent < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if part < whole and percent > 99.9 else f"{percent:.1f} %"


def money(amount: int, currency: str) -> Phrase:
    """What something costs: `1,200,000원`."""
    if currency == "KRW":
        return Phrase(f"{amount:,} won", f"{amount:,}원")
    return same(f"{amount:,} {currency}")


def lasting(ms: float) -> Phrase:
    """A length of time in the unit that suits it: `1.8 s`, `3.2 days`."""
    for unit, en, ko in (
        (86_400_000, " days", "일"),
        (3_600_000, " h", "시간"),
        (60_000, " min", "분"),
        (1000, " s", "초"),
    ):
        if ms >= unit:
            length = f"{ms / unit:.3g}"
            return Phrase(length + en, length + ko)
    return same(f"{ms:.3g} ms")
