"""From a file's bytes to its rows: compression, encoding, delimiter, quotes; each row with the line it stands on."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

#: A file may open to this many bytes: it is held in memory.
OPEN_BYTES = 2 * 1024**3
_CHUNK = 1024 * 1024
#: Lines that are looked at to find out how a file is written.
SAMPLE_LINES = 60

#: In the order in which a tie is decided; a space stands for white space of any length.
DELIMITERS = ("\t", ";", "|", ",", " ")
NAMES = {"\t": "tab", ";": "semicolon", "|": "bar", ",": "comma", " ": "white space"}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong with a file: where, and what to do about it."""

    file: str
    detail: str
    line: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        column = "" if self.column is None else f" column {self.column!r}:"
        return f"{place}:{column} {self.detail}"


@dataclass(frozen=True, kw_only=True)
class Text:
    """A file's text, with line ends as they were, and the encoding it came in."""

    text: str
    encoding: str


class Row(NamedTuple):
    """The cells of one row and the line on which it starts, counted from 1."""

    line: int
    cells: list[str]


def open_text(raw: bytes, *, file: str, encoding: str | None = None) -> Text | Problem:
    """The text of a file in UTF-8, UTF-16 or CP949, gzip-compressed or not."""
    if raw[:2] == b"\x1f\x8b":
        opened = _gunzip(raw)
        if isinstance(opened, str):
            return Problem(file=file, detail=opened)
        raw = opened
    if encoding is not None:
        return _decode(raw, file, encoding)
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _decode(raw, file, "utf-16")
    if raw[:3] == b"\xef\xbb\xbf":
        return _decode(raw, file, "utf-8-sig")
    head = raw[:4096]
    if len(head) >= 4 and head.count(0) > len(head) // 4:
        return _decode(raw, file, "utf-16-le" if head[1::2].count(0) >= head[::2].count(0) else "utf-16-be")
    text = _decode(raw, file, "utf-8")
    if isinstance(text, Text):
        return text
    korean = _decode(raw, file, "cp949")
    if isinstance(korean, Text):
        return korean
    return Problem(
        file=file,
        line=korean.line,
        detail="the text is neither UTF-8 nor CP949 here; give --encoding, or export it as CSV and not as a workbook",
    )


def _gunzip(raw: bytes) -> bytes | str:
    parts: list[bytes] = []
    size = 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as source:
            while part := source.read(_CHUNK):
                parts.append(part)
                size += len(part)
                if size > OPEN_BYTES:
                    return "the file opens to more than 2 GiB; split it"
    except (OSError, EOFError, zlib.error) as error:
        return f"the compressed file is damaged ({error}); export or copy it again"
    return b"".join(parts)


def _decode(raw: bytes, file: str, encoding: str) -> Text | Problem:
    try:
        return Text(text=raw.decode(encoding), encoding="utf-8" if encoding == "utf-8-sig" else encoding)
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        return Problem(
            file=file, line=line, detail=f"the text is not {encoding} here; give the right --encoding"
        )
    except (LookupError, ValueError):
        return Problem(file=file, detail=f"there is no encoding {encoding!r}; use utf-8, cp949 or utf-16")


def rows(text: str, *, delimiter: str, file: str) -> Iterator[Row | Problem]:
    """The rows that hold anything; a problem ends them."""
    source = io.StringIO(text, newline=None)
    if delimiter == " ":
        yield from (
            Row(number, cells) for number, line in enumerate(source, start=1) if (cells := line.split())
        )
        return
    reader = csv.reader(source, delimiter=delimiter, skipinitialspace=True)
    start = 1
    try:
        for cells in reader:
            if any(cells):
                yield Row(start, cells)
            start = reader.line_num + 1
    except csv.Error as error:
        yield Problem(
            file=file, line=start, detail=f"the row cannot be read ({error}); is a quotation mark left open?"
        )


def find_delimiter(text: str, *, known: frozenset[str]) -> str:
    """What separates the cells: what brings out most of the names already known, else what cuts most evenly."""
    sample = head(text)
    best, best_score = ",", (-1, -1.0)
    for delimiter in DELIMITERS:
        found = [row.cells for row in rows(sample, delimiter=delimiter, file="") if isinstance(row, Row)]
        width, share = _evenness(found)
        if width < 2:
            continue
        hits = max(sum(cell.strip().casefold() in known for cell in cells) for cells in found)
        # White space also cuts times in two: it has to be told by names, or be the only one.
        score = (hits, 0.0 if delimiter == " " else round(share, 1))
        if score > best_score:
            best, best_score = delimiter, score
    return best


def head(text: str) -> str:
    """The first lines, enough to see how a file is written."""
    return "\n".join(text[:200_000].splitlines()[:SAMPLE_LINES])


def _evenness(found: list[list[str]]) -> tuple[int, float]:
    """The most frequent number of cells, and the share of rows that have it."""
    widths = Counter(len(cells) for cells in found)
    if not widths:
        return 0, 0.0
    width, count = max(widths.items(), key=lambda item: (item[1], item[0]))
    return width, count / len(found)
