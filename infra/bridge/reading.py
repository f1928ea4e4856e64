"""Rows out of a source's messages: many at a time where all of them are good, one by one where something is wrong.

The fast way hands the messages, joined by line breaks, to Arrow's JSON reader: ten times as fast as a loop of Python. It is
only believed where every row of the lot is good, and otherwise the lot is halved until what is wrong stands in a small one
that is read row by row (`infra.bridge.single`), which alone decides what is rejected and why. So both ways have to agree
on good rows only, which is what the checks here are for:

- Arrow reads a stream of objects and forgets where a message ended. Each message has to begin with `{` and end with `}`:
  then a boundary `}⏎{` can lie neither within an object nor within a text (texts may not hold line breaks), each message
  is one object or more, and as many rows as messages means one each.
- It takes NaN and Infinity, which JSON does not have, and turns a whole number of four hundred digits into infinity.
- It does not look whether texts are UTF-8.
- It recurses into nested fields without a limit, and ends the process where they are deep enough. Nobody is let that far.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from infra.bridge.layout import Clock, Layout
from infra.bridge.single import Row, Single
from infra.bridge.times import Times, micros_of_numbers, micros_of_texts, plausible
from schemas.rejected import Rejected

#: Lots of so many messages or fewer are not halved any more.
SMALL = 32
#: Brackets in one message; more of them are read row by row, where depth ends in an error and not in the process.
BRACKETS = 64

Floats = np.ndarray[Any, np.dtype[np.float64]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Good rows of a lot of messages, n of them, in their order.

    Attributes:
        places: which messages they are, counted in the lot, shape (n,).
        assets: their machines, as places in the layout's, shape (n,).
        times: microseconds since 1970, shape (n,).
        values: of the tags, not-a-number where there is none, shape (tags, n).
    """

    places: Numbers
    assets: Numbers
    times: Times
    values: Floats


@dataclass(kw_only=True)
class Read:
    """What a lot of messages holds.

    Attributes:
        rows: the good ones.
        rejected: the others: the message's place in the lot, and why.
        unknown: fields that are of no use here.
    """

    rows: Rows
    rejected: list[tuple[int, Rejected]] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)


class Reader:
    """Reads rows of one layout."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._single = Single(layout)
        self._assets = pa.array([name.encode() for name in layout.assets], type=pa.binary())
        time = pa.string() if layout.clock is Clock.ISO else pa.int64()
        columns = [(layout.ts, time), *((name, pa.float64()) for name in layout.fields)]
        if layout.asset_field is not None:
            columns.append((layout.asset_field, pa.string()))
        self._schema = pa.schema(columns)
        self._parse = pj.ParseOptions(explicit_schema=self._schema, newlines_in_values=True)

    def read(self, values: Sequence[bytes | None], keys: Sequence[bytes | None]) -> Read:
        """Read a lot of messages by their values and keys, both of length n."""
        unknown: set[str] = set()
        rejected: list[tuple[int, Rejected]] = []
        parts: list[Rows] = []
        waiting = [(0, len(values))]
        while waiting:
            start, stop = waiting.pop()
            good = self._many(values[start:stop], keys[start:stop], start, unknown)
            if good is not None:
                parts.append(good)
            elif stop - start <= SMALL:
                parts.append(self._each(values, keys, start, stop, rejected, unknown))
            else:
                middle = (start + stop) // 2
                waiting += [(middle, stop), (start, middle)]
        return Read(rows=_joined(parts, len(self.layout.fields)), rejected=rejected, unknown=unknown)

    # --- many at a time -------------------------------------------------------------------------------------------

    def _many(
        self, values: Sequence[bytes | None], keys: Sequence[bytes | None], start: int, unknown: set[str]
    ) -> Rows | None:
        """The rows, where all of them are good."""
        joined = _joinable(values)
        if joined is None:
            return None
        try:
            table = pj.read_json(
                pa.BufferReader(joined),  # type: ignore[arg-type]
                read_options=pj.ReadOptions(use_threads=False, block_size=len(joined) + 1),
                parse_options=self._parse,
            )
            strange = set(table.column_names) - self.layout.known
        except (pa.ArrowException, UnicodeDecodeError):
            return None
        if table.num_rows != len(values) or (strange and self.layout.strict):
            return None
        assets = self._codes(table, keys)
        times = self._times(table)
        numbers = self._values(table)
        if assets is None or times is None or numbers is None:
            return None
        unknown |= strange
        places = np.arange(start, start + len(values), dtype=np.int64)
        return Rows(places=places, assets=assets, times=times, values=numbers)

    def _codes(self, table: pa.Table, keys: Sequence[bytes | None]) -> Numbers | None:
        if self.layout.asset is not None:
            return np.full(table.num_rows, self.layout.assets.index(self.layout.asset), dtype=np.int64)
        named: Any = (
            pa.array(keys, type=pa.binary())
            if self.layout.asset_field is None
            else table[self.layout.asset_field].cast(pa.binary())
        )
        codes = pc.index_in(named, value_set=self._assets)
        return None if codes.null_count else np.asarray(codes.to_numpy(), dtype=np.int64)

    def _times(self, table: pa.Table) -> Times | None:
        column = table[self.layout.ts]
        if column.null_count:
            return None
        if self.layout.clock is not Clock.ISO:
            return micros_of_numbers(column.to_numpy(), self.layout)
        times = micros_of_texts(column, self.layout.zone)
        return times if times is not None and plausible(times) else None

    def _values(self, table: pa.Table) -> Floats | None:
        columns = [table[name] for name in self.layout.fields]
        values = np.vstack([column.to_numpy() for column in columns])
        missing = np.isnan(values)
        if int(missing.sum()) != sum(column.null_count for column in columns) or np.isinf(values).any():
            return None
        # A row without any number may be one that was written for other fields.
        return None if missing.all(axis=0).any() else values

    # --- one by one -----------------------------------------------------------------------------------------------

    def _each(
        self,
        values: Sequence[bytes | None],
        keys: Sequence[bytes | None],
        start: int,
        stop: int,
        rejected: list[tuple[int, Rejected]],
        unknown: set[str],
    ) -> Rows:
        good: list[tuple[int, Row]] = []
        for place in range(start, stop):
            row = self._single.read(values[place], keys[place])
            if isinstance(row, Rejected):
                rejected.append((place, row))
            else:
                good.append((place, row))
                unknown |= row.unknown
        return Rows(
            places=np.array([place for place, _ in good], dtype=np.int64),
            assets=np.array([row.asset for _, row in good], dtype=np.int64),
            times=np.array([row.at_us for _, row in good], dtype=np.int64),
            values=np.array([row.values for _, row in good], dtype=np.float64)
            .reshape(-1, len(self.layout.fields))
            .T,
        )


def _joinable(values: Sequence[bytes | None]) -> bytes | None:
    """The messages as one text for Arrow; None where it might read something else than what they say."""
    try:
        if not all(value[:1] == b"{" and value[-1:] == b"}" for value in values):  # type: ignore[index]
            return None
    except TypeError:  # a message without a value
        return None
    joined = b"\n".join(values)  # type: ignore[arg-type]
    if b"NaN" in joined or b"Inf" in joined:
        return None
    brackets = joined.count(b"{") + joined.count(b"[")
    if brackets > len(values) and any(
        value.count(b"{") + value.count(b"[") > BRACKETS  # type: ignore[union-attr]
        for value in values
    ):
        return None
    if not joined.isascii():
        try:
            joined.decode()
        except UnicodeDecodeError:
            return None
    return joined


def _joined(parts: Sequence[Rows], tags: int) -> Rows:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        nothing = np.empty(0, dtype=np.int64)
        return Rows(places=nothing, assets=nothing, times=nothing, values=np.empty((tags, 0)))
    return Rows(
        places=np.concatenate([part.places for part in parts]),
        assets=np.concatenate([part.assets for part in parts]),
        times=np.concatenate([part.times for part in parts]),
        values=np.concatenate([part.values for part in parts], axis=1),
    )
