"""The machines and channels that an exported file seems to hold: a first draft of a plant's description."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from infra.words import Phrase
from streams.export_columns import ASSET_NAMES, TAG_NAMES, TIME_NAMES, VALUE_NAMES, Layout, fold
from streams.export_numbers import NumberRule, find_decimal, read_numbers
from streams.export_table import Table, open_table
from streams.export_text import Row

#: Rows that are looked at.
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
        "",
    )
)
_UNIT = re.compile(r"\s*[\[(（]([^\[\]()（）]*)[\])）]\s*$")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a file seems to hold: tags with their units, and columns that are left out as no channels."""

    tags: tuple[tuple[str, str], ...]
    assets: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def draft_of(raw: bytes, *, file: str) -> Draft | Phrase:
    """Read channels and machines off a file's header and first rows, or say why there are none."""
    table = open_table(raw, Layout(tags=(), assets=(), zone="Asia/Seoul"), file=file)
    if isinstance(table, list):
        said = str(table[0])
        return Phrase(said, f"파일을 읽을 수 없습니다: {said}")
    rows = list(_sample(table))
    draft = _long(table, rows) or _wide(table, rows)
    if draft.tags:
        return draft
    return Phrase(
        f"{file} has no column of numbers under a name; its first line must name the columns",
        f"{file}에 이름이 있는 숫자 열이 없습니다. 첫 줄에 열 이름이 있어야 합니다.",
    )


def _sample(table: Table) -> Iterator[list[str]]:
    for count, row in enumerate(table.body):
        if count == SAMPLE_ROWS:
            return
        if isinstance(row, Row) and len(row.cells) == len(table.header):
            yield row.cells


def _long(table: Table, rows: Sequence[list[str]]) -> Draft | None:
    """One row a value: the channels stand in a column of their own."""
    names = [fold(name) for name in table.header]
    tag = next((place for place, name in enumerate(names) if name in TAG_NAMES), None)
    if tag is None or not VALUE_NAMES.intersection(names):
        return None
    tags = tuple((name, "1") for name in _distinct(rows, tag))
    return Draft(tags=tags, assets=_assets(names, rows))


def _wide(table: Table, rows: Sequence[list[str]]) -> Draft:
    names = [fold(name) for name in table.header]
    tags: dict[str, str] = {}
    left_out = []
    for place, name in enumerate(table.header):
        if names[place] in TIME_NAMES | ASSET_NAMES | _OTHERS:
            continue
        if LABEL_NAMES.intersection((names[place], *names[place].split())) or not _numeric(
            [row[place] for row in rows], table.delimiter
        ):
            left_out.append(name.strip())
            continue
        bare, unit = _split_unit(name)
        tags.setdefault(bare, unit)
    return Draft(tags=tuple(tags.items()), assets=_assets(names, rows), left_out=tuple(left_out))


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
    unit = {"℃": "Cel", "°c": "Cel", "c": "Cel", "rpm": "/min", "": "1"}.get(fold(found[1]), found[1].strip())
    return bare, unit


def _assets(names: Sequence[str], rows: Sequence[list[str]]) -> tuple[str, ...]:
    place = next((place for place, name in enumerate(names) if name in ASSET_NAMES), None)
    found = () if place is None else _distinct(rows, place)
    fit = all(len(name) <= 64 and not re.search(r"[\s/]", name) for name in found)
    return found if fit and len(found) <= MAX_ASSETS else ()


def _distinct(rows: Sequence[list[str]], place: int) -> tuple[str, ...]:
    return tuple(dict.fromkeys(row[place].strip() for row in rows if row[place].strip()))
