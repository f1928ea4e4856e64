"""One row out of one message: what is good, what is rejected, and why."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from infra.bridge.layout import Clock, Layout
from infra.bridge.times import micros_of_numbers, micros_of_texts, plausible
from schemas.rejected import Reason, Rejected


@dataclass(frozen=True, kw_only=True)
class Row:
    """One good row.

    Attributes:
        asset: the machine, as its place in the layout's.
        at_us: microseconds since 1970.
        values: of the tags, in their order; not-a-number where there is none.
        unknown: fields that are of no use here.
    """

    asset: int
    at_us: int
    values: list[float]
    unknown: set[str]


class _Wrong(Exception):
    """The row is rejected."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.rejected = Rejected(reason=reason, detail=detail, rows=1)


class Single:
    """Reads messages of one layout, one by one."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._codes = {name: place for place, name in enumerate(layout.assets)}

    def read(self, value: bytes | None, key: bytes | None) -> Row | Rejected:
        """The row that a message holds, or why it is rejected."""
        try:
            found = _object(value)
            unknown = found.keys() - self._layout.known
            if unknown and self._layout.strict:
                named = ", ".join(sorted(map(shown, unknown))[:5])
                raise _Wrong("wrong_column", f"unknown fields: {named}; map or leave them out (--strict)")
            return Row(
                asset=self._asset(found, key),
                at_us=self._time(found),
                values=self._values(found),
                unknown={shown(name) for name in unknown},
            )
        except _Wrong as wrong:
            return wrong.rejected

    def _asset(self, found: dict[str, Any], key: bytes | None) -> int:
        layout = self._layout
        if layout.asset is not None:
            return self._codes[layout.asset]
        name: object
        if layout.asset_field is None:
            name, where = (key or b"").decode(errors="replace"), "the message's key"
        else:
            name, where = found.get(layout.asset_field), f"the field {layout.asset_field!r}"
        if not name or not isinstance(name, str):
            raise _Wrong("unknown_asset", f"{where} names no asset; see --asset-field and --asset")
        if name not in self._codes:
            raise _Wrong("unknown_asset", f"the plant has no asset {shown(name)!r}, which {where} names")
        return self._codes[name]

    def _time(self, found: dict[str, Any]) -> int:
        layout = self._layout
        given = found.get(layout.ts)
        if given is None:
            raise _Wrong("wrong_time", f"the row has no time in the field {layout.ts!r}")
        if layout.clock is Clock.ISO:
            if not isinstance(given, str):
                raise _Wrong("wrong_time", "the time is no text; say --ts s, ms or us where it is a number")
            return self._of_text(given)
        if type(given) is not int:
            raise _Wrong(
                "wrong_time",
                f"the time is no whole number of {layout.clock}; say --ts iso where it is a text",
            )
        if abs(given) < 2**63:
            times = micros_of_numbers(np.array([given], dtype=np.int64), layout)
            if times is not None:
                return int(times[0])
        raise _Wrong("wrong_time", f"in {layout.clock} the time is outside 1990 to 2099; is --ts right?")

    def _of_text(self, given: str) -> int:
        try:
            times = micros_of_texts(pa.array([given]), self._layout.zone)
        except UnicodeEncodeError:
            times = None
        if times is None:
            lacks = (
                "" if self._layout.zone else " with its zone, such as 2026-03-02T09:00:00+09:00; see --zone"
            )
            raise _Wrong("wrong_time", f"the time is no ISO 8601 moment{lacks}")
        if not plausible(times):
            raise _Wrong("wrong_time", "the time is outside 1990 to 2099")
        return int(times[0])

    def _values(self, found: dict[str, Any]) -> list[float]:
        fields = self._layout.fields
        if not any(name in found for name in fields):
            raise _Wrong(
                "wrong_column", f"none of the fields {', '.join(list(fields)[:5])} is there; see --map"
            )
        return [_number(found.get(name), name) for name in fields]


def shown(name: str) -> str:
    """A name from a message, so that every screen and header can hold it."""
    return name[:64].encode(errors="backslashreplace").decode()


def _number(value: object, name: str) -> float:
    if value is None:
        return math.nan
    if type(value) is not float and type(value) is not int:
        raise _Wrong("wrong_type", f"the field {name!r} is no number")
    number = float(value)
    if math.isinf(number):
        raise _Wrong("wrong_value", f"the number in the field {name!r} is too large")
    return number


def _object(value: bytes | None) -> dict[str, Any]:
    if value is None:
        raise _Wrong("not_readable", "the message has no value")
    try:
        found = json.loads(
            value.decode("utf-8-sig"),
            parse_constant=_no_constant,
            parse_int=_whole,
            object_pairs_hook=_once,
        )
    except (ValueError, RecursionError) as error:
        raise _Wrong("not_readable", f"no JSON object: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(found, dict):
        raise _Wrong("not_readable", "no JSON object: one object a message is one row")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number; send null for a missing value")


def _whole(digits: str) -> int | float:
    # Python takes no whole numbers of thousands of digits, and knows no −0.
    return float(digits) if len(digits) > 300 or digits == "-0" else int(digits)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field stands twice")
    return found
