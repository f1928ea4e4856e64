"""HTML and SVG from plain Python. Text is escaped unless it was made here: what strangers wrote can only ever be text."""

from __future__ import annotations

import html
import re
import unicodedata

#: What a name may not do to the line it stands in: control it, or turn its direction around.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufffe\uffff]"
)


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


def plain(text: str) -> str:
    """A text as people may see it: line breaks are spaces, and what controls a terminal or a line's direction is visible."""
    without = _UNSEEN.sub("\ufffd", text.replace("\n", " ").replace("\t", " "))
    return "".join("\ufffd" if unicodedata.category(one) == "Cs" else one for one in without)


def escaped(text: str) -> Markup:
    """A text as markup that shows it."""
    return text if isinstance(text, Markup) else Markup(html.escape(plain(text)))


def tag(name: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """An element. `class_` and `stroke_width` are `class` and `stroke-width`; an attribute that is None is left out."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(plain(_value(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = "".join(escaped(one) for one in children)
    return Markup(f"<{name}{said}>{inside}</{name}>")


def void(name: str, /, **attributes: str | float | None) -> Markup:
    """An HTML element without an end, such as `meta`."""
    return Markup(str(tag(name, **attributes)).removesuffix(f"</{name}>"))


def together(*parts: str) -> Markup:
    """Parts one after the other."""
    return Markup("".join(escaped(one) for one in parts))


def _value(value: str | float) -> str:
    # Three digits after the point are more than a printer shows.
    return value if isinstance(value, str) else f"{value:.3f}".rstrip("0").rstrip(".")
