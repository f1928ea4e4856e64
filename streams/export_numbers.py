"""Numbers as factories write them: decimal points and commas, thousands, and the many words for "no value"."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

#: What historians, spreadsheets and people write where there is no value; compared in lower case.
MISSING = frozenset(
    """
    |-|--|---|.|?|*|***|n/a|na|nan|-nan|nan(ind)|-nan(ind)|-1.#ind|1.#qnan|null|(null)|none|nil|n.a.|\\n|missing|
    bad|bad input|bad quality|bad data|bad_data|no data|nodata|no_data|no sample|no result|no value|not available|
    i/o timeout|io timeout|timeout|comm fail|comm. fail|comm error|comm err|communication error|not connected|
    not connect|disconnected|offline|off-line|arc off-line|scan off|scan timeout|intf shut|interface shut down|
    shutdown|pt created|configure|calc failed|calc off|calc timeout|under range|over range|inp outrange|
    out of serv|out of service|invalid|invalid data|invalid float|uncertain|error|err|unknown|
    #n/a|#n/a n/a|#na|#value!|#ref!|#div/0!|#num!|#name?|#null!|#error|
    없음|값없음|값 없음|데이터없음|데이터 없음|결측|미측정|측정불가|측정 불가|통신불량|통신 불량|통신이상|통신두절|
    오류|에러|불량
    """.replace("\n    ", "")
    .strip()
    .split("|")
)

_PLAIN = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COMMA = re.compile(r"[+-]?(\d+(,\d*)?|,\d+)([eE][+-]?\d+)?", re.ASCII)
_THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", re.ASCII)
_THOUSANDS_POINT = re.compile(r"[+-]?\d{1,3}(\.\d{3})+(,\d*)?", re.ASCII)
#: One group of three digits after the mark and no zero before it: as well thousands as a fraction.
_EITHER_WAY = re.compile(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class NumberRule:
    """How a file's numbers are to be read."""

    #: The decimal mark; None where the file does not tell, and a comma has to be refused.
    decimal: Literal[".", ","] | None = "."
    #: More words for "no value", in lower case.
    missing: frozenset[str] = frozenset()
    #: Words that stand for a number, in lower case: `{"on": 1.0}`.
    words: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """What became of n cells.

    Attributes:
        values: float64, shape (n,); not-a-number is missing.
        bad: why a cell could not be read, by position.
    """

    values: NDArray[np.float64]
    bad: dict[int, str] = field(default_factory=dict)


def read_numbers(cells: Sequence[str], rule: NumberRule) -> Numbers:
    """Read n cells; one that is neither a number nor a word for "no value" is in `bad`, never an exception."""
    values = _read_plain(cells, rule)
    if values is not None:
        return Numbers(values=values)
    values = np.full(len(cells), np.nan)
    bad: dict[int, str] = {}
    for place, cell in enumerate(cells):
        number = read_number(cell, rule)
        if isinstance(number, str):
            bad[place] = number
        else:
            values[place] = number
    return Numbers(values=values, bad=bad)


def _read_plain(cells: Sequence[str], rule: NumberRule) -> NDArray[np.float64] | None:
    """All cells at once where every one is a plain number or missing; None where any is not."""
    if rule.decimal == "," or rule.words:
        return None
    texts = pa.array(cells, type=pa.string())
    try:
        numbers = texts.cast(pa.float64())
    except pa.ArrowInvalid:
        try:
            trimmed = pc.utf8_trim_whitespace(texts)
            words = pa.array(sorted(MISSING | rule.missing))
            absent = pc.is_in(pc.utf8_lower(trimmed), value_set=words)
            numbers = pc.if_else(absent, pa.scalar(None, pa.string()), trimmed).cast(pa.float64())
        except pa.ArrowInvalid:
            return None
    values = np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.float64)
    return None if np.isinf(values).any() else values


def read_number(cell: str, rule: NumberRule) -> float | str:
    """One cell as a number, not-a-number where it says that there is none; or what is wrong with it."""
    text = cell.strip()
    lower = text.lower()
    if lower in rule.words:
        return rule.words[lower]
    if lower in MISSING or lower in rule.missing:
        return math.nan
    digits = _digits(text, rule.decimal)
    if digits is None:
        return _why_not(text, rule)
    number = float(digits)
    return number if math.isfinite(number) else f"{_short(text)} is too large for a number of 64 bits"


def _digits(text: str, decimal: str | None) -> str | None:
    """The number with a point and without thousands; None where it is none."""
    if decimal == ",":
        if _COMMA.fullmatch(text):
            return text.replace(",", ".")
        return text.replace(".", "").replace(",", ".") if _THOUSANDS_POINT.fullmatch(text) else None
    if _PLAIN.fullmatch(text):
        return text
    return text.replace(",", "") if decimal == "." and _THOUSANDS.fullmatch(text) else None


def _why_not(text: str, rule: NumberRule) -> str:
    if rule.decimal is None and (_THOUSANDS.fullmatch(text) or _COMMA.fullmatch(text)):
        return (
            f"{_short(text)} may have a decimal comma or thousands: say which with --decimal , or --decimal ."
        )
    if rule.decimal == "." and _COMMA.fullmatch(text):
        return f"{_short(text)} has a decimal comma where the file has points; where it has none, give --decimal ,"
    return (
        f"{_short(text)} is no number; give --missing {_short(text)} where it means that there is no value, "
        f"or --number {_short(text + '=1')} where it stands for one"
    )


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")


def find_decimal(cells: Iterable[str], *, delimiter: str) -> Literal[".", ","] | None:
    """The decimal mark that a sample of cells tells; None where a comma could be either."""
    points = commas = unsure_points = 0
    for cell in cells:
        text = cell.strip()
        if _EITHER_WAY.fullmatch(text):
            unsure_points += "." in text
        elif "." in text and _PLAIN.fullmatch(text):
            points += 1
        elif "," in text and _COMMA.fullmatch(text):
            commas += 1
        elif _THOUSANDS.fullmatch(text):
            points += 1
        elif _THOUSANDS_POINT.fullmatch(text):
            commas += 1
    if commas > points and delimiter != ",":
        return ","
    return "." if points or unsure_points or delimiter == "," else None
