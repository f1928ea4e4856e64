"""A file cut into rows, its header found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice

from streams.export_columns import Layout, fold
from streams.export_text import NAMES, SAMPLE_LINES, Problem, Row, find_delimiter, open_text, rows


@dataclass(frozen=True, kw_only=True)
class Table:
    """A file cut into rows.

    Attributes:
        header: the columns' names; `header_line` is None where they were given and are not in the file.
        body: the rows after the header, each once.
    """

    file: str
    delimiter: str
    header: list[str]
    header_line: int | None
    body: Iterator[Row | Problem]
    notes: tuple[str, ...] = ()


def open_table(raw: bytes, layout: Layout, *, file: str) -> Table | list[Problem]:
    """Decode a file, find out what separates its cells, and find its header."""
    opened = open_text(raw, file=file, encoding=layout.encoding)
    if isinstance(opened, Problem):
        return [opened]
    known = layout.named()
    delimiter = layout.delimiter or find_delimiter(opened.text, known=known)
    found = rows(opened.text, delimiter=delimiter, file=file)
    first = list(islice(found, SAMPLE_LINES))
    readable = [row for row in first if isinstance(row, Row)]
    if not readable:
        return [row for row in first if isinstance(row, Problem)] or [
            Problem(file=file, detail="the file is empty")
        ]
    notes = [f"{opened.encoding}, separated by {NAMES.get(delimiter, repr(delimiter))}"]
    if layout.columns:
        return Table(
            file=file, delimiter=delimiter, header=list(layout.columns), header_line=None,
            body=chain(first, found), notes=tuple(notes),
        )  # fmt: skip
    place = _header_place(first, known)
    header = first[place]
    if isinstance(header, Problem):
        return [header]
    if place:
        notes.append(f"lines before the header on line {header.line} were passed over")
    body = chain(first[place + 1 :], found)
    return Table(
        file=file,
        delimiter=delimiter,
        header=header.cells,
        header_line=header.line,
        body=body,
        notes=tuple(notes),
    )


def _header_place(first: Sequence[Row | Problem], known: frozenset[str]) -> int:
    """The first of the rows that hold the most names already known; row 0 where none holds any."""
    hits = [
        sum(_looks_known(cell, known) for cell in row.cells) if isinstance(row, Row) else 0 for row in first
    ]
    return hits.index(max(hits))


def _looks_known(cell: str, known: frozenset[str]) -> bool:
    return fold(cell) in known or fold(cell.split("[", maxsplit=1)[0].split("(", maxsplit=1)[0]) in known
