"""Times as factories write them: ISO, `오전/오후`, `2026년 3월 2일`, epochs, counts of steps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Micros = NDArray[np.int64]

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE

_EPOCH = datetime(1970, 1, 1)
#: From 1900 to 2200: a time outside is a mistake in the file, not a measurement.
EARLIEST_US = -2_208_988_800 * SECOND
LATEST_US = 7_258_118_400 * SECOND

_ISO = r"^\d{4}[-./]\d{2}[-./]\d{2}[ T]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?$"
_ISO_PARTS = r"^(\d{4})[-./](\d{2})[-./](\d{2})[ T]"
_MARK = r"(?P<{}>오전|오후|am|pm|a\.m\.|p\.m\.)"
_WRITTEN = re.compile(
    r"(?P<year>\d{4})\s*[-./년]\s*(?P<month>\d{1,2}|[a-z]{3})\s*[-./월]\s*(?P<day>\d{1,2})\s*[.일]?"
    r"(?:[\sT,]*(?:" + _MARK.format("before") + r"\s*)?"
    r"(?P<hour>\d{1,2})(?:\s*[:시]\s*(?P<minute>\d{1,2})(?:\s*[:분]\s*(?P<second>\d{1,2})"
    r"(?:[.,:](?P<fraction>\d{1,9}))?)?)?\s*[시분초]?"
    r"(?:\s*" + _MARK.format("after") + r")?"
    r"\s*(?P<zone>z|utc|gmt|[+-]\d{2}:?\d{2}|[+-]\d{2})?)?",
    re.ASCII | re.IGNORECASE,
)
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:[T_ -]?(\d{2})(\d{2})(\d{2})?(?:\.?(\d{1,6}))?)?", re.ASCII)
_EPOCH_NUMBER = re.compile(r"-?\d{9,19}(\.\d+)?", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
_DAY_FIRST_OR_LAST = re.compile(r"\d{1,2}[-./]\d{1,2}[-./](\d{4}|\d{2})\b.*", re.ASCII)
_MONTH_NAME = re.compile(
    r"(?P<day>\d{1,2})[- ](?P<month>[a-z]{3})[a-z]*[- ](?P<year>\d{4})(?P<rest>.*)", re.ASCII | re.IGNORECASE
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
#: How many digits before the point, and how many microseconds one is.
_EPOCH_UNITS = {9: SECOND, 10: SECOND, 12: 1_000, 13: 1_000, 16: 1}


@dataclass(frozen=True, kw_only=True)
class TimeRule:
    """How a file's times are to be read."""

    #: The zone of times that carry none, such as `Asia/Seoul`.
    zone: str
    #: As in Python's strptime, where the times cannot be told by their look; `오전/오후` may stand for `%p`.
    format: str | None = None
    #: The time of step 0 in µs since 1970, and a step's length in µs: cells are then counts of steps.
    start_us: int | None = None
    step_us: int | None = None


@dataclass(frozen=True, kw_only=True)
class Times:
    """What became of n cells.

    Attributes:
        us: microseconds since 1970, shape (n,); 0 where a cell could not be read.
        bad: why, by position.
        naive: how many carried no zone.
        twice: how many were on a clock for the second time that hour (the first was taken).
        never: how many were on no clock, as it was put forward over them.
    """

    us: Micros
    bad: dict[int, str] = field(default_factory=dict)
    naive: int = 0
    twice: int = 0
    never: int = 0


def read_times(cells: Sequence[str], rule: TimeRule) -> Times:
    """Read n cells; one that is no time is in `bad`, never an exception."""
    if rule.step_us is not None and rule.start_us is not None:
        return _read_steps(cells, rule.start_us, rule.step_us)
    if rule.format is None:
        walls = _read_iso(cells)
        if walls is not None:
            return _localised(walls, np.ones(len(cells), dtype=np.bool_), {}, rule.zone)
    us = np.zeros(len(cells), dtype=np.int64)
    naive = np.zeros(len(cells), dtype=np.bool_)
    bad: dict[int, str] = {}
    for place, cell in enumerate(cells):
        reading = read_time(cell) if rule.format is None else _read_format(cell, rule.format)
        if isinstance(reading, str):
            bad[place] = reading
        else:
            us[place], naive[place] = reading
    return _localised(us, naive, bad, rule.zone)


def read_time(cell: str) -> tuple[int, bool] | str:
    """One cell as microseconds and whether they are on a wall clock (no zone given); or what is wrong with it."""
    text = cell.strip()
    if not text:
        return "the row has no time"
    written = _WRITTEN.fullmatch(text)
    if written is not None:
        return _bounded(_from_parts(written.groupdict(), text))
    compact = _COMPACT.fullmatch(text)
    if (
        compact is not None
        and 1900 <= int(compact[1]) < 2200
        and not (text.isdigit() and len(text) in {10, 13})
    ):
        return _bounded(_from_compact(compact, text))
    if _EPOCH_NUMBER.fullmatch(text) is not None:
        return _bounded(_from_epoch(text))
    named = _MONTH_NAME.fullmatch(text)
    if named is not None and named["month"].lower() in _MONTHS:
        return read_time(
            f"{named['year']}-{_MONTHS.index(named['month'].lower()) + 1}-{named['day']}{named['rest']}"
        )
    return _why_not(text)


def _why_not(text: str) -> str:
    if _DAY_FIRST_OR_LAST.fullmatch(text) is not None:
        return (
            f"{_short(text)} may be day/month, month/day or a short year: say which, "
            "such as --time-format '%m/%d/%Y %H:%M:%S'"
        )
    if _NUMBER.fullmatch(text) is not None:
        return (
            f"{_short(text)} is a number and no time; where it counts steps, give --start and --step, "
            "such as --start 2026-03-02T09:00 --step 1s"
        )
    return f"{_short(text)} is no time; where it is one, give --time-format as in strptime"


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "…")


def _bounded(reading: tuple[int, bool] | str) -> tuple[int, bool] | str:
    if isinstance(reading, str) or EARLIEST_US <= reading[0] < LATEST_US:
        return reading
    return "the time is before 1900 or after 2199"


def _from_parts(parts: dict[str, str | None], text: str) -> tuple[int, bool] | str:
    month = str(parts["month"]).lower()
    if not month.isdigit():
        if month not in _MONTHS:
            return _why_not(text)
        month = str(_MONTHS.index(month) + 1)
    mark = parts["before"] or parts["after"]
    if parts["hour"] is not None and parts["minute"] is None and mark is None and "시" not in text:
        return f"{_short(text)} has an hour without minutes"
    if parts["before"] and parts["after"]:
        return f"{_short(text)} says twice which half of the day it is"
    hour = _hour(int(parts["hour"] or 0), mark)
    if hour is None:
        return f"{_short(text)} has an hour that does not go with {mark}"
    wall = _wall(
        (int(str(parts["year"])), int(month), int(str(parts["day"]))),
        (hour, int(parts["minute"] or 0), int(parts["second"] or 0)),
        parts["fraction"],
    )
    if wall is None:
        return f"{_short(text)} is on no calendar or clock"
    if parts["zone"] is None:
        return wall, True
    offset = _offset_us(parts["zone"])
    return (wall - offset, False) if offset is not None else f"{_short(text)} has a zone that no place has"


def _hour(hour: int, mark: str | None) -> int | None:
    """The hour of the day; `오후 13:05` is taken as it is meant, `오전 13:05` is not."""
    if mark is None:
        return hour
    if mark == "오후" or mark[0] in "pP":
        return hour + 12 if hour < 12 else hour if hour < 24 else None
    return 0 if hour == 12 else hour if hour < 12 else None


def _wall(date: tuple[int, int, int], clock: tuple[int, int, int], fraction: str | None) -> int | None:
    """µs on a wall clock since 1970; 24:00:00 is the next day's midnight; None where there is no such time."""
    micro = int((fraction or "0").ljust(6, "0")[:6])
    days = 0
    if clock == (24, 0, 0) and micro == 0:
        clock, days = (0, 0, 0), 1
    try:
        wall = datetime(*date, *clock, micro) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return (wall - _EPOCH) // timedelta(microseconds=1)


def _offset_us(zone: str) -> int | None:
    if zone.lower() in {"z", "utc", "gmt"}:
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 15 or minutes > 59:
        return None
    return (1 if zone[0] == "+" else -1) * (hours * 60 + minutes) * MINUTE


def _from_compact(match: re.Match[str], text: str) -> tuple[int, bool] | str:
    year, month, day, hour, minute, second, fraction = match.groups()
    wall = _wall(
        (int(year), int(month), int(day)), (int(hour or 0), int(minute or 0), int(second or 0)), fraction
    )
    return (wall, True) if wall is not None else f"{_short(text)} is on no calendar or clock"


def _from_epoch(text: str) -> tuple[int, bool] | str:
    whole, _, fraction = text.partition(".")
    sign, digits = (-1, whole[1:]) if whole.startswith("-") else (1, whole)
    if len(digits) == 19:
        return sign * (int(digits) // 1_000), False
    unit = _EPOCH_UNITS.get(len(digits))
    if unit is None:
        return (
            f"{_short(text)} has {len(digits)} digits: since 1970 they are 10 in seconds, 13 in milliseconds, "
            "16 in microseconds"
        )
    part = int(fraction.ljust(6, "0")[:6]) * unit // SECOND if fraction else 0
    return sign * (int(digits) * unit + part), False


def _read_format(cell: str, form: str) -> tuple[int, bool] | str:
    text = cell.strip().replace("오전", "AM").replace("오후", "PM")
    if not text:
        return "the row has no time"
    try:
        found = datetime.strptime(text, form.replace("오전/오후", "%p"))
    except (ValueError, OverflowError, re.error):
        return f"{_short(cell.strip())} is not in the given --time-format {form!r}"
    if found.tzinfo is None:
        return _bounded(((found - _EPOCH) // timedelta(microseconds=1), True))
    instant = found - _EPOCH.replace(tzinfo=UTC)
    return _bounded((instant // timedelta(microseconds=1), False))


def _read_iso(cells: Sequence[str]) -> Micros | None:
    """All cells at once where every one is a plain date and time of fixed width; None where any is not."""
    texts = pa.array(cells, type=pa.string())
    if not pc.all(pc.match_substring_regex(texts, _ISO)).as_py():
        return None
    try:
        plain = pc.replace_substring_regex(texts, _ISO_PARTS, r"\1-\2-\3 ")
        us = plain.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None
    if us.size and (us.min() < EARLIEST_US or us.max() >= LATEST_US):
        return None
    return np.asarray(us, dtype=np.int64)


def _read_steps(cells: Sequence[str], start_us: int, step_us: int) -> Times:
    us = np.full(len(cells), start_us, dtype=np.int64)
    bad: dict[int, str] = {}
    for place, cell in enumerate(cells):
        text = cell.strip()
        if _NUMBER.fullmatch(text) is None:
            bad[place] = f"{_short(text)} is no number of steps"
            continue
        at = start_us + _steps_us(text, step_us)
        if not EARLIEST_US <= at < LATEST_US:
            bad[place] = f"step {_short(text)} is before 1900 or after 2199"
            continue
        us[place] = at
    return Times(us=us, bad=bad)


def _steps_us(text: str, step_us: int) -> int:
    """A number of steps in µs, exact where it is whole; beyond all clocks where it is too large."""
    if text.lstrip("+-").isdigit() and len(text) < 19:
        return int(text) * step_us
    far = float(text) * step_us
    return round(far) if abs(far) < 2.0 * LATEST_US else 4 * LATEST_US


def _localised(us: Micros, naive: NDArray[np.bool_], bad: dict[int, str], zone: str) -> Times:
    for place in bad:
        naive[place] = False
    if not naive.any():
        return Times(us=us, bad=bad)
    walls = us[naive]
    # Clocks change on whole minutes, so that one look at the zone's rules serves all rows of a minute.
    minutes, which = np.unique(walls // MINUTE, return_inverse=True)
    offsets = np.array([_offsets(int(minute), zone) for minute in minutes], dtype=np.int64).reshape(-1, 2)
    first, second = offsets[which, 0], offsets[which, 1]
    us = us.copy()
    us[naive] = walls - first
    return Times(
        us=us,
        bad=bad,
        naive=int(naive.sum()),
        twice=int((first > second).sum()),
        never=int((first < second).sum()),
    )


@lru_cache(maxsize=200_000)
def _offsets(minute: int, zone: str) -> tuple[int, int]:
    """UTC offsets in µs of a minute on the wall clock, for its first and its second time."""
    wall = _EPOCH + timedelta(minutes=minute)
    first, second = (
        wall.replace(tzinfo=ZoneInfo(zone), fold=fold).utcoffset() or timedelta() for fold in (0, 1)
    )
    return first // timedelta(microseconds=1), second // timedelta(microseconds=1)


def shown(us: int, zone: str) -> str:
    """A time as people at the plant read it, with its offset: `2026-03-02T13:02:03+09:00`."""
    return (
        datetime.fromtimestamp(us // SECOND, tz=ZoneInfo(zone)).replace(microsecond=us % SECOND).isoformat()
    )


_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|sec|m|min|h|d|초|분|시간|일)?\s*", re.ASCII)
_UNITS_US = {
    "us": 1, "ms": 1_000, "s": SECOND, "sec": SECOND, "초": SECOND, "m": MINUTE, "min": MINUTE, "분": MINUTE,
    "h": 60 * MINUTE, "시간": 60 * MINUTE, "d": DAY, "일": DAY,
}  # fmt: skip


def duration_us(text: str) -> int | None:
    """`1s`, `0.5s`, `100ms`, `2h`, `30분` in µs; None where it is none. A number alone is refused, 0 is not."""
    match = _DURATION.fullmatch(text)
    if match is None or (match[2] is None and float(match[1]) != 0):
        return None
    return round(float(match[1]) * _UNITS_US[match[2] or "s"])
