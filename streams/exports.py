"""What factories export: one file's bytes as rows of machines, or all that is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from streams import export_long
from streams.export_assets import asset_named, asset_of_file
from streams.export_columns import Columns, Layout, resolve, suggestion
from streams.export_labels import label_array
from streams.export_numbers import MISSING, NumberRule, find_decimal, read_number, read_numbers
from streams.export_table import Table, open_table
from streams.export_text import NAMES, Problem, Row
from streams.export_times import TimeRule, Times, read_times

#: Rows that are read together.
CHUNK_ROWS = 4_000
#: Rows from which the decimal mark is told.
SAMPLE_ROWS = 2_000
#: After so many problems a file is given up: the rest would say the same.
MAX_PROBLEMS = 20

Micros = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class AssetRows:
    """The rows of one machine in the order of the file.

    Attributes:
        asset: the machine.
        times: µs since 1970, shape (n,).
        values: by tag, shape (n,); not-a-number is missing.
        labels: the label of each row, shape (n,), null where there is none; None where the file has no labels.
    """

    asset: str
    times: Micros
    values: dict[str, Values]
    labels: pa.Array[Any] | None = None

    @property
    def rows(self) -> int:
        return len(self.times)


@dataclass(frozen=True, kw_only=True)
class Export:
    """One file as it was understood.

    Attributes:
        digest: SHA-256 of the file's bytes.
        notes: how it was read, for its sender to check.
    """

    file: str
    digest: str
    assets: tuple[AssetRows, ...]
    notes: tuple[str, ...]

    @property
    def rows(self) -> int:
        return sum(asset.rows for asset in self.assets)


def parse(raw: bytes, layout: Layout, *, file: str) -> Export | list[Problem]:
    """Read one exported file.

    Args:
        raw: its bytes, gzip-compressed or not.
        layout: what is known of it beforehand.
        file: its name, for messages and for the asset's name.
    """
    table = open_table(raw, layout, file=file)
    if isinstance(table, list):
        return table
    columns = resolve(table.header, layout, file=file, line=table.header_line)
    if isinstance(columns, list):
        return columns
    reader = _Reader(table, columns, layout)
    reader.read()
    return reader.export(hashlib.sha256(raw).hexdigest())


@dataclass
class _Gathered:
    """What has been read of one machine so far, chunk by chunk."""

    times: list[Micros] = field(default_factory=list)
    values: list[list[Values]] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)


class _Reader:
    """One file being read; problems are gathered, not raised."""

    def __init__(self, table: Table, columns: Columns, layout: Layout) -> None:
        self.table, self.columns, self.layout = table, columns, layout
        self.problems: list[Problem] = []
        self.notes = list(table.notes)
        self.width = len(columns.names)
        self.counted = 0
        self.naive = self.twice = self.never = 0
        self.gathered: dict[str, _Gathered] = {}
        self.tags = list(columns.tags.values())
        self.long = export_long.Gathered()
        self.whole: str | None = None
        self.numbers = NumberRule(missing=layout.missing, words=layout.numbers)
        self.times = TimeRule(
            zone=layout.zone, format=layout.time_format, start_us=layout.start_us, step_us=layout.step_us
        )

    def read(self) -> None:
        """Read all rows, or as many as it takes to have seen enough problems."""
        if self.columns.asset is None:
            whole = asset_of_file(self.layout, file=self.table.file)
            if isinstance(whole, Problem):
                self.problems.append(whole)
                return
            self.whole = whole
        body = self._rows()
        first = self._without_units(list(islice(body, SAMPLE_ROWS)))
        self._settle_decimal(first)
        body = chain(first, body)
        while len(self.problems) < MAX_PROBLEMS and (chunk := list(islice(body, CHUNK_ROWS))):
            self._chunk(chunk)

    def export(self, digest: str) -> Export | list[Problem]:
        """What was read, or what stood in its way."""
        if not self.problems and not self.counted:
            self._problem("the file has a header and no rows", line=None)
        if self.problems:
            return sorted(self.problems, key=lambda problem: problem.line or 0)[:MAX_PROBLEMS]
        assets = self.long.assets() if self.columns.long else self._assets()
        found = tuple(
            AssetRows(asset=asset, times=times, values=values, labels=labels)
            for asset, (times, values, labels) in assets.items()
        )
        return Export(
            file=self.table.file, digest=digest, assets=found, notes=(*self.notes, *self._told(found))
        )

    def _problem(self, detail: str, *, line: int | None, column: int | None = None) -> None:
        name = None if column is None else self.columns.names[column]
        self.problems.append(Problem(file=self.table.file, line=line, column=name, detail=detail))

    def _rows(self) -> Iterator[Row]:
        """The rows of the file's width; a cell too many is forgiven where it is empty."""
        for row in self.table.body:
            if isinstance(row, Problem):
                self.problems.append(row)
                continue
            if len(row.cells) == self.width:
                yield row
                continue
            extra = row.cells[self.width :]
            if len(row.cells) < self.width or any(cell.strip() for cell in extra):
                detail = f"the row has {len(row.cells)} cells and the header {self.width}"
                if len(self.problems) < MAX_PROBLEMS:
                    self._problem(detail + self._advice(row), line=row.line)
                continue
            yield Row(row.line, row.cells[: self.width])

    def _advice(self, row: Row) -> str:
        if len(row.cells) < self.width:
            return "; is the file cut off?"
        return (
            f"; put a text that holds a {NAMES.get(self.table.delimiter, 'delimiter')} into quotation marks"
        )

    def _without_units(self, first: list[Row]) -> list[Row]:
        """The rows without a row of units below the header: no time in it, and words where numbers should be."""
        if not first or not self.columns.tags:
            return first
        cells = first[0].cells
        time = " ".join(cells[place] for place in self.columns.time).strip()
        timed = bool(self.columns.time) and not isinstance(self._read_times([time]).bad.get(0), str)
        values = [cells[place].strip() for place in self.columns.tags]
        words = [
            value
            for value in values
            if isinstance(read_number(value, replace(self.numbers, decimal=".")), str)
        ]
        if (
            timed
            or not words
            or not all(value in {*words, "1"} or value.lower() in MISSING for value in values)
        ):
            return first
        self.notes.append(f"line {first[0].line} was taken as units: {', '.join(words)}")
        return first[1:]

    def _settle_decimal(self, first: Sequence[Row]) -> None:
        places = [self.columns.value] if self.columns.value is not None else list(self.columns.tags)
        sample = (row.cells[place] for row in first for place in places)
        decimal = self.layout.decimal or find_decimal(sample, delimiter=self.table.delimiter)
        self.numbers = replace(self.numbers, decimal=decimal)
        if decimal == ",":
            self.notes.append("numbers have decimal commas")

    def _chunk(self, chunk: Sequence[Row]) -> None:
        cells = list(zip(*(row.cells for row in chunk), strict=True))
        times = self._times(chunk, cells)
        groups = self._groups(chunk, cells)
        self.counted += len(chunk)
        if self.columns.tag is not None and self.columns.value is not None:
            tags = self._tag_names(chunk, cells[self.columns.tag])
            values = self._values(chunk, cells[self.columns.value], self.columns.value)
            self.long.add(times, tags, values, groups)
            return
        values_by_tag = [self._values(chunk, cells[place], place) for place in self.columns.tags]
        labels = cells[self.columns.label] if self.columns.label is not None else None
        for asset, places in groups.items():
            part = self.gathered.setdefault(asset, _Gathered())
            part.times.append(times if places is None else times[places])
            part.values.append([each if places is None else each[places] for each in values_by_tag])
            if labels is not None:
                part.labels.extend(labels if places is None else [labels[place] for place in places])

    def _times(self, chunk: Sequence[Row], cells: Sequence[Sequence[str]]) -> Micros:
        columns = self.columns.time
        if not columns:
            texts: Sequence[str] = [str(self.counted + place) for place in range(len(chunk))]
        elif len(columns) == 1:
            texts = cells[columns[0]]
        else:
            texts = [" ".join(parts) for parts in zip(*(cells[place] for place in columns), strict=True)]
        times = self._read_times(texts)
        for place, detail in islice(times.bad.items(), MAX_PROBLEMS):
            self._problem(detail, line=chunk[place].line, column=columns[0] if columns else None)
        self.naive += times.naive
        self.twice += times.twice
        self.never += times.never
        return times.us

    def _read_times(self, texts: Sequence[str]) -> Times:
        return read_times(texts, self.times)

    def _values(self, chunk: Sequence[Row], cells: Sequence[str], column: int) -> Values:
        numbers = read_numbers(cells, self.numbers)
        for place, detail in islice(numbers.bad.items(), MAX_PROBLEMS):
            self._problem(detail, line=chunk[place].line, column=column)
        return numbers.values

    def _groups(
        self, chunk: Sequence[Row], cells: Sequence[Sequence[str]]
    ) -> dict[str, NDArray[np.int64] | None]:
        """Positions of each machine's rows in the chunk; None stands for all of them."""
        column = self.columns.asset
        if column is None:
            return {str(self.whole): None}
        coded = pa.array(cells[column], type=pa.string()).dictionary_encode()
        codes = coded.indices.to_numpy()
        groups: dict[str, list[NDArray[np.int64]]] = {}
        for code, name in enumerate(map(str, coded.dictionary.to_pylist())):
            places = np.flatnonzero(codes == code)
            asset = asset_named(name, self.layout)
            if asset is None:
                near = suggestion(name, self.layout.assets)
                self._problem(
                    f"the plant has no asset {name!r}{near}", line=chunk[int(places[0])].line, column=column
                )
                continue
            groups.setdefault(asset, []).append(places)
        return {asset: np.sort(np.concatenate(parts)) for asset, parts in groups.items()}

    def _tag_names(self, chunk: Sequence[Row], cells: Sequence[str]) -> list[str | None]:
        """The tag of each row in long form; None where it is to be ignored."""
        tags = {name: export_long.tag_or_ignored(name, self.layout) for name in dict.fromkeys(cells)}
        for name, tag in tags.items():
            if tag == "":
                line = chunk[cells.index(name)].line
                self._problem(export_long.unknown_tag(name, self.layout), line=line, column=self.columns.tag)
        return [tags[name] or None for name in cells]

    def _assets(self) -> dict[str, tuple[Micros, dict[str, Values], pa.Array[Any] | None]]:
        texts = [part.labels for part in self.gathered.values()]
        labels = (
            label_array(list(chain.from_iterable(texts)), self.layout)
            if self.columns.label is not None
            else None
        )
        done: dict[str, tuple[Micros, dict[str, Values], pa.Array[Any] | None]] = {}
        start = 0
        for asset, part in self.gathered.items():
            times = np.concatenate(part.times)
            values = [np.concatenate(column) for column in zip(*part.values, strict=True)]
            own = None if labels is None else labels.slice(start, len(times))
            done[asset] = (times, dict(zip(self.tags, values, strict=True)), own)
            start += len(times)
        return done

    def _told(self, assets: Sequence[AssetRows]) -> Iterator[str]:
        """How the file was read, where its sender could have meant otherwise."""
        zone = self.layout.zone
        if self.naive:
            yield f"times without a zone are of {zone}"
        if self.twice:
            yield f"{self.twice} rows have a time that {zone} had twice, as clocks went back: taken as the first"
        if self.never:
            yield f"{self.never} rows have a time that {zone} never had, as clocks went forward: taken an hour on"
        if self.columns.ignored:
            yield f"ignored: {', '.join(self.columns.ignored)}"
        if self.columns.long:
            yield "long form: rows are in the order of their times"
        absent = sorted(set(self.layout.tags) - {tag for asset in assets for tag in asset.values})
        if absent:
            yield f"tags of the plant that the file does not have: {', '.join(absent)}"
        for asset in assets:
            missing = sum(int(np.isnan(column).sum()) for column in asset.values.values())
            back = int((np.diff(asset.times) < 0).sum())
            yield (
                f"{asset.asset}: {asset.rows} rows, {missing} values missing"
                + (f", time steps back {back} times (kept as it is)" if back else "")
            )
