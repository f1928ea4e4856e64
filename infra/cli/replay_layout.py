"""Options of `fieldproof replay` as what they mean; a wrong one says how it is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import typer

from schemas.parties import Plant
from streams.export_columns import Layout, suggestion
from streams.export_times import TimeRule, duration_us, read_times
from streams.exports import Export

_DELIMITERS = {
    "tab": "\t",
    "\\t": "\t",
    "semicolon": ";",
    "comma": ",",
    "bar": "|",
    "space": " ",
    "whitespace": " ",
}


def pairs(texts: Sequence[str], option: str, example: str) -> dict[str, str]:
    """`NAME=MEANING` of an option given several times; the last `=` counts."""
    found = {}
    for text in texts:
        name, equals, meaning = text.rpartition("=")
        if not equals or not name or not meaning:
            raise typer.BadParameter(f"{text!r}: write {option} {example!r}", param_hint=option)
        found[name.strip()] = meaning.strip()
    return found


def names(text: str | None) -> tuple[str, ...]:
    """`a,b,c` as names."""
    return tuple(part.strip() for part in text.split(",")) if text else ()


def numbers(texts: Sequence[str]) -> dict[str, float]:
    """`ON=1` as the number that a word stands for, by the word in lower case."""
    found = {}
    for word, text in pairs(texts, "--number", "ON=1").items():
        try:
            found[word.lower()] = float(text)
        except ValueError as error:
            raise typer.BadParameter(f"{text!r} is no number: write 'ON=1'", param_hint="--number") from error
    return found


def delimiter(text: str | None) -> str | None:
    """One character, or its name."""
    if text is None or len(text) == 1:
        return text
    if text.lower() not in _DELIMITERS:
        known = ", ".join(_DELIMITERS)
        raise typer.BadParameter(f"{text!r}: one character, or {known}", param_hint="--delimiter")
    return _DELIMITERS[text.lower()]


def decimal(text: str | None) -> Literal[".", ","] | None:
    """A point or a comma."""
    if text is None or text == ".":
        return "." if text else None
    if text == ",":
        return ","
    raise typer.BadParameter(f"{text!r}: it is . or ,", param_hint="--decimal")


def duration(text: str, option: str) -> int:
    """A length of time in µs."""
    found = duration_us(text)
    if found is None:
        raise typer.BadParameter(
            f"{text!r}: write a number with its unit, such as 1s, 500ms, 2h", param_hint=option
        )
    return found


def steps(start: str | None, step: str | None, *, zone: str) -> tuple[int | None, int | None]:
    """The time of step 0 and the length of a step in µs; neither without the other."""
    if (start is None) != (step is None):
        raise typer.BadParameter("--start and --step go together: --start 2026-03-02T09:00 --step 1s")
    if start is None or step is None:
        return None, None
    read = read_times([start], TimeRule(zone=zone))
    if read.bad:
        raise typer.BadParameter(read.bad[0], param_hint="--start")
    length = duration(step, "--step")
    if length <= 0:
        raise typer.BadParameter("a step takes more than no time", param_hint="--step")
    return int(read.us[0]), length


def check_asset(asset: str | None, plant: Plant) -> None:
    """Refuse an asset that the plant does not have before any file is read."""
    known = [each.name for each in plant.assets]
    if asset is not None and "{}" not in asset and asset not in known:
        near = suggestion(asset, known)
        raise typer.BadParameter(f"the plant has no asset {asset!r}{near} Its assets: {', '.join(known)}")


def layout_of(plant: Plant, **given: object) -> Layout:
    """What is known of the files: the plant's record and what the options say."""
    return Layout(
        tags=tuple(tag.name for tag in plant.tags),
        assets=tuple(asset.name for asset in plant.assets),
        **given,  # type: ignore[arg-type]
    )


def for_labels(layout: Layout, exports: Sequence[Export]) -> Layout:
    """What is known of files of labels: without a column of their own they are of the only machine that is sent."""
    sent = tuple(dict.fromkeys(rows.asset for export in exports for rows in export.assets))
    if layout.asset is None and len(sent) == 1 and len(layout.assets) > 1:
        return replace(layout, asset=sent[0])
    return layout
