"""The machines and channels that an exported file seems to hold: a first draft of a plant's description."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice

from infra.words.language import Phrase
from streams.export_columns import ASSET_NAMES, TAG_NAMES, TIME_NAMES, VALUE_NAMES, Layout, fold
from streams.export_numbers import NumberRule, find_decimal, read_numbers
from streams.export_table import Table, open_table
from streams.export_text import Row

#: Rows in which channels are looked for.
SAMPLE_ROWS = 2_000
#: Machines that are listed; more distinct values are hardly machines.
MAX_ASSETS = 200

#: Names of columns that tell the truth of a row: as an input they would give the answer away.
LABEL_NAMES = frozenset(
    (
        *(
            "label",
            "labels",
            "class",
            "target",
            "anomaly",
            "changepoint",
            "fault",
            "failure",
            "rul",
            "quality",
        ),
        *(
            "defect",
            "ok/ng",
            "판정",
            "라벨",
            "정답",
            "이상",
            "이상여부",
            "불량",
            "불량여부",
            "고장",
            "고장여부",
        ),
        *("정상여부", "양불", "양품여부", "합부"),
    )
)
#: Further columns that are neither channels nor worth a word.
_OTHERS = frozenset(
    (
        "일자",
        "측정일",
        "측정일자",
        "수집일자",
        "측정시간",
        "수집시각",
        "no",
        "no.",
        "index",
        "uid",
        "순번",
        "번호",
        "cycle",
        "step",
        "주기",
        "",
    )
)
_UNIT = re.compile(r"\s*[\[(（]([^\[\]()（）]*)[\])）]\s*$")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a file seems to hold: tags with their units, machines, and columns that are left out as no channels.

    Without a column of machines the file's name is taken for the machine's.
    """

    tags: tuple[tuple[str, str], ...]
    assets: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def draft_of(raw: bytes, *, file: str, asset_column: str | None = None) -> Draft | Phrase:
    """Read channels off a file's header and first rows and machines off all of them, or say why there are none.

    Args:
        raw: the file's bytes.
        file: its name.
        asset_column: the column that holds the machine; else one is found by its name.
    """
    table = open_table(raw, Layout(tags=(), assets=(), zone="Asia/Seoul"), file=file)
    if isinstance(table, list):
        said = str(table[0])
        return Phrase(said, f"파일을 읽을 수 없습니다: {said}")
    names = [fold(name) for name in table.header]
    known = ASSET_NAMES if asset_column is None else {fold(asset_column)}
    place = next((place for place, name in enumerate(names) if name in known), None)
    if asset_column is not None and place is None:
        there = ", ".join(table.header)
        return Phrase(
            f"{file} has no column {asset_column!r}; it has {there}",
            f"{file}에 {asset_column!r} 열이 없습니다. 있는 열: {there}",
        )
    whole = _whole(table)
    rows = list(islice(whole, SAMPLE_ROWS))
    draft = _long(table, rows) or _wide(table, rows, place)
    if draft.tags:
        return replace(draft, assets=_assets(place, chain(rows, whole), file))
    return Phrase(
        f"{file} has no column of numbers under a name; its first line must name the columns",
        f"{file}에 이름이 있는 숫자 열이 없습니다. 첫 줄에 열 이름이 있어야 합니다.",
    )


def _whole(table: Table) -> Iterator[list[str]]:
    """The rows that have as many cells as the header."""
    for row in table.body:
        if isinstance(row, Row) and len(row.cells) == len(table.header):
            yield row.cells


def _long(table: Table, rows: Sequence[list[str]]) -> Draft | None:
    """One row a value: the channels stand in a column of their own."""
    names = [fold(name) for name in table.header]
    tag = next((place for place, name in enumerate(names) if name in TAG_NAMES), None)
    if tag is None or not VALUE_NAMES.intersection(names):
        return None
    tags = tuple((name, "1") for name in _distinct(rows, tag))
    return Draft(tags=tags)


def _wide(table: Table, rows: Sequence[list[str]], asset: int | None) -> Draft:
    names = [fold(name) for name in table.header]
    below = _units_below(names, rows)
    measured = rows[1:] if below else rows
    tags: dict[str, str] = {}
    left_out = []
    for place, name in enumerate(table.header):
        if place == asset or names[place] in TIME_NAMES | ASSET_NAMES | _OTHERS:
            continue
        if LABEL_NAMES.intersection((names[place], *names[place].split())) or not _numeric(
            [row[place] for row in measured], table.delimiter
        ):
            left_out.append(name.strip())
            continue
        bare, unit = _split_unit(name)
        tags.setdefault(bare, _ucum(below[place]) if unit == "1" and below else unit)
    return Draft(tags=tuple(tags.items()), left_out=tuple(left_out))


def _units_below(names: Sequence[str], rows: Sequence[list[str]]) -> Sequence[str]:
    """The row of units below the header: the first one, where it has words and neither a time nor a number."""
    first = rows[0] if rows else []
    times = [cell for name, cell in zip(names, first, strict=True) if name in TIME_NAMES] if first else []
    words = [cell for cell in first if cell.strip()]
    if not words or any(cell.strip() for cell in times) or any(cell[:1].isdigit() for cell in words):
        return ()
    return first


def _numeric(cells: Sequence[str], delimiter: str) -> bool:
    """Whether most cells that hold anything are numbers."""
    filled = [cell for cell in cells if cell.strip()]
    numbers = read_numbers(filled, NumberRule(decimal=find_decimal(filled, delimiter=delimiter)))
    return bool(filled) and len(numbers.bad) * 2 < len(filled)


def _split_unit(name: str) -> tuple[str, str]:
    """`Pressure [bar]` is the channel Pressure in bar; °C is Cel in UCUM."""
    found = _UNIT.search(name)
    bare = name[: found.start()].strip() if found else ""
    if found is None or not bare:
        return name.strip(), "1"
    return bare, _ucum(found[1])


def _ucum(unit: str) -> str:
    """A unit as people write it in UCUM."""
    return {"℃": "Cel", "°c": "Cel", "c": "Cel", "rpm": "/min", "": "1"}.get(fold(unit), unit.strip())


def _assets(place: int | None, rows: Iterable[list[str]], file: str) -> tuple[str, ...]:
    stem = file.partition(".")[0]
    found = (stem,) if place is None else _distinct(rows, place)
    fit = all(0 < len(name) <= 64 and not re.search(r"[\s/]", name) for name in found)
    return found if fit and len(found) <= MAX_ASSETS else ()


def _distinct(rows: Iterable[list[str]], place: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row[place].strip() for row in rows if row[place].strip()))
