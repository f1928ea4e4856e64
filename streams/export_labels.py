"""Labels as factories keep them: a column beside the values, a list of events, or a list of moments."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from schemas.agreement import LabelValue
from schemas.labels import IntervalLabel, PointLabel
from streams.export_assets import asset_named
from streams.export_columns import ASSET_NAMES, TIME_NAMES, Layout, fold, suggestion
from streams.export_table import Table, open_table
from streams.export_text import Problem, Row
from streams.export_times import TimeRule, read_times
from streams.frames import micros, moment

#: A row with one of these has no label. Shorter than the list for values: `Bad` may well be a label.
UNLABELLED = frozenset({"", "-", "na", "n/a", "#n/a", "nan", "null", "none"})

MAX_PROBLEMS = 20

_WHOLE = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?", re.ASCII)

_ROLES: Mapping[str, frozenset[str]] = {
    "asset": ASSET_NAMES,
    "start": frozenset(
        [
            "start",
            "begin",
            "from",
            "start time",
            "start_time",
            "시작",
            "시작시간",
            "시작시각",
            "시작일시",
            "발생",
            "발생시각",
            "발생일시",
        ]
    ),
    "end": frozenset(
        [
            "end",
            "until",
            "to",
            "stop",
            "end time",
            "end_time",
            "종료",
            "종료시간",
            "종료시각",
            "종료일시",
            "끝",
            "해제",
            "복구",
            "복구일시",
        ]
    ),
    "ts": TIME_NAMES | {"cycle", "주기"},
    "value": frozenset(
        [
            "value",
            "label",
            "kind",
            "class",
            "type",
            "event",
            "값",
            "라벨",
            "종류",
            "구분",
            "유형",
            "판정",
            "이벤트",
        ]
    ),
    "id": frozenset({"id"}),
}


@dataclass(frozen=True, kw_only=True)
class LabelFile:
    """One file of labels as it was understood.

    Attributes:
        labels: in the order of the file.
        notes: how it was read, for its sender to check.
    """

    file: str
    labels: tuple[IntervalLabel | PointLabel, ...]
    notes: tuple[str, ...]


def label_array(texts: Sequence[str], layout: Layout) -> pa.Array[Any]:
    """Labels of n rows as one type: whole numbers, numbers, yes and no, or texts; null where a row has none."""
    mapping = {fold(name): meaning for name, meaning in layout.label_map.items()}
    known: dict[str, str | None] = {}
    for text in dict.fromkeys(texts):
        cell = mapping.get(fold(text), text.strip())
        known[text] = None if cell.lower() in UNLABELLED or cell.lower() in layout.missing else cell
    found = {cell for cell in known.values() if cell is not None}
    if found and all(_WHOLE.fullmatch(cell) for cell in found):
        return _typed(texts, {cell: int(cell) for cell in found}, known, pa.int64())
    if found and all(_NUMBER.fullmatch(cell) for cell in found):
        return _typed(texts, {cell: float(cell) for cell in found}, known, pa.float64())
    if found and all(cell.lower() in {"true", "false"} for cell in found):
        return _typed(texts, {cell: cell.lower() == "true" for cell in found}, known, pa.bool_())
    return _typed(texts, {cell: cell for cell in found}, known, pa.string())


def _typed(
    texts: Sequence[str], values: Mapping[str, LabelValue], known: Mapping[str, str | None], kind: pa.DataType
) -> pa.Array[Any]:
    by_text = {text: None if cell is None else values[cell] for text, cell in known.items()}
    return pa.array([by_text[text] for text in texts], type=kind)


def parse_labels(
    raw: bytes,
    layout: Layout,
    *,
    file: str,
    columns: Mapping[str, str] | None = None,
    value: str | None = None,
) -> LabelFile | list[Problem]:
    """Read a file of events (start, end) or of moments (ts).

    Args:
        raw: its bytes.
        layout: as for the telemetry; of it the assets, the zone, the times' form and what labels mean are used.
        file: its name, for messages.
        columns: names of the columns by role: `asset`, `start`, `end`, `ts`, `value`, `id`; others are found, the
            asset also by the name that it has in the telemetry.
        value: the label of rows that carry none.
    """
    given = dict(columns or {})
    likely = () if layout.asset_column is None else (layout.asset_column,)
    hints = replace(
        layout,
        ignore=(
            *layout.ignore,
            *(name for names in _ROLES.values() for name in names),
            *given.values(),
            *likely,
        ),
    )
    table = open_table(raw, hints, file=file)
    if isinstance(table, list):
        return table
    if layout.asset_column is not None and fold(layout.asset_column) in map(fold, table.header):
        given.setdefault("asset", layout.asset_column)
    roles = _find_roles(table, given, has_value=value is not None)
    if isinstance(roles, list):
        return roles
    return _LabelReader(table, roles, layout, value).result()


def _find_roles(table: Table, given: Mapping[str, str], *, has_value: bool) -> dict[str, int] | list[Problem]:
    folded = [fold(name) for name in table.header]
    problems: list[Problem] = []
    roles: dict[str, int] = {}

    def problem(detail: str) -> None:
        problems.append(Problem(file=table.file, line=table.header_line, detail=detail))

    for role, names in _ROLES.items():
        wanted = {fold(given[role])} if role in given else names
        places = [
            place for place, name in enumerate(folded) if name in wanted and place not in roles.values()
        ]
        if role == "ts" and role not in given and "start" in roles:
            continue
        if len(places) > 1:
            which = " and ".join(repr(table.header[place]) for place in places)
            problem(f"{which} may both be the {role}; say which with --label-columns {role}=NAME")
        elif places:
            roles[role] = places[0]
        elif role in given:
            problem(f"there is no column {given[role]!r}{suggestion(given[role], table.header)}")
    if ("start" in roles) != ("end" in roles) or not ({"start", "ts"} & roles.keys()):
        problem(
            "labels need the columns start and end, or ts, and value; name them with --label-columns, such as "
            f"--label-columns start=NAME,end=NAME,value=NAME (columns: {', '.join(table.header)})"
        )
    if "value" not in roles and not has_value:
        problem(
            "there is no column for the label; name it with --label-columns value=NAME, or give --label-value"
        )
    return problems or roles


class _LabelReader:
    """One file of labels being read; problems are gathered, not raised."""

    def __init__(self, table: Table, roles: Mapping[str, int], layout: Layout, value: str | None) -> None:
        self.table, self.roles, self.layout, self.value = table, roles, layout, value
        self.problems: list[Problem] = []
        self.seen: Counter[tuple[str, ...]] = Counter()
        self.naive = 0

    def result(self) -> LabelFile | list[Problem]:
        rows = self._rows()
        if self.problems or not rows:
            return self.problems or [
                Problem(file=self.table.file, detail="the file has a header and no labels")
            ]
        assets = [self._asset(row) for row in rows]
        times = {role: self._times(rows, role) for role in ("start", "end", "ts") if role in self.roles}
        place = self.roles.get("value")
        texts = [(row.cells[place].strip() if place is not None else "") or self.value or "" for row in rows]
        values = label_array(texts, self.layout).to_pylist()
        if self.problems:
            return self.problems[:MAX_PROBLEMS]
        labels = []
        for index, row in enumerate(rows):
            value = values[index]
            if value is None:
                if "start" in self.roles:
                    self._problem("the event says not what it is; give --label-value", row, "value")
                continue
            at = {role: found[index] for role, found in times.items()}
            label = self._label(row, assets[index], at, value)
            if label is not None:
                labels.append(label)
        if self.problems:
            return self.problems[:MAX_PROBLEMS]
        return LabelFile(
            file=self.table.file, labels=tuple(labels), notes=tuple(self._told(labels, len(rows)))
        )

    def _problem(self, detail: str, row: Row, role: str | None = None) -> None:
        place = self.roles.get(role) if role else None
        column = None if place is None else self.table.header[place]
        self.problems.append(Problem(file=self.table.file, line=row.line, column=column, detail=detail))

    def _rows(self) -> list[Row]:
        last = max(self.roles.values())
        rows: list[Row] = []
        for row in self.table.body:
            if isinstance(row, Problem):
                self.problems.append(row)
            elif len(row.cells) <= last:
                self._problem(
                    f"the row has {len(row.cells)} cells and the header {len(self.table.header)}", row
                )
            else:
                rows.append(row)
        return rows

    def _asset(self, row: Row) -> str:
        place = self.roles.get("asset")
        if place is not None:
            asset = asset_named(row.cells[place], self.layout)
            if asset is None:
                near = suggestion(row.cells[place], self.layout.assets)
                self._problem(f"the plant has no asset {row.cells[place]!r}{near}", row, "asset")
            return asset or ""
        if self.layout.asset in self.layout.assets:
            return str(self.layout.asset)
        if len(self.layout.assets) != 1 and not self.problems:
            self._problem("which asset are the labels of? Give --asset, or --label-columns asset=NAME", row)
        return self.layout.assets[0]

    def _times(self, rows: Sequence[Row], role: str) -> list[int]:
        cells = [row.cells[self.roles[role]] for row in rows]
        layout = self.layout
        rule = TimeRule(zone=layout.zone, format=layout.time_format)
        if layout.step_us is not None and _NUMBER.fullmatch(cells[0].strip()):
            rule = replace(rule, start_us=layout.start_us, step_us=layout.step_us)
        times = read_times(cells, rule)
        for place, detail in islice(times.bad.items(), MAX_PROBLEMS):
            self._problem(detail, rows[place], role)
        self.naive += times.naive
        return [int(us) for us in times.us]

    def _label(
        self, row: Row, asset: str, at: Mapping[str, int], value: LabelValue
    ) -> IntervalLabel | PointLabel | None:
        first = at["start"] if "start" in at else at["ts"]
        ident = row.cells[self.roles["id"]].strip() if "id" in self.roles else self._ident(asset, first)
        try:
            if "start" in at:
                start, end = moment(at["start"]), moment(at["end"])
                return IntervalLabel(id=ident, asset=asset, start=start, end=end, value=value)
            return PointLabel(id=ident, asset=asset, ts=moment(first), value=value)
        except ValidationError as error:
            self._problem(str(error.errors()[0]["msg"]).removeprefix("Value error, "), row)
            return None

    def _ident(self, asset: str, us: int) -> str:
        """The same for the same machine and moment, so that a corrected file replaces what the first one said."""
        kind = "interval" if "start" in self.roles else "point"
        key = (kind, asset, str(us))
        self.seen[key] += 1
        return hashlib.sha256("\0".join((*key, str(self.seen[key]))).encode()).hexdigest()[:24]

    def _told(self, labels: Sequence[IntervalLabel | PointLabel], rows: int) -> list[str]:
        notes = [*self.table.notes, f"{len(labels)} labels"]
        left_out = [
            name for place, name in enumerate(self.table.header) if place not in self.roles.values() and name
        ]
        if left_out:
            notes.append(f"not used: {', '.join(left_out)}")
        if self.naive:
            notes.append(f"times without a zone are of {self.layout.zone}")
        if len(labels) < rows:
            notes.append(f"{rows - len(labels)} rows without a label were left out")
        return notes


def due_us(label: IntervalLabel | PointLabel) -> int:
    """The moment in data time, µs since 1970, from which on the label may be known: an event's end."""
    return micros(label.end if isinstance(label, IntervalLabel) else label.ts)
