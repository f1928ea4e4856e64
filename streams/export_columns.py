"""Which column of a file is what: time, asset, tags, label; and what to say where that is not clear."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Literal

from streams.export_text import Problem

TIME_NAMES = frozenset(
    [
        "ts",
        "time",
        "timestamp",
        "time stamp",
        "datetime",
        "date time",
        "date_time",
        "date",
        "시간",
        "시각",
        "일시",
        "날짜",
        "측정시간",
        "측정시각",
        "측정일시",
        "수집시간",
        "수집시각",
        "수집일시",
        "기록시간",
        "기록시각",
        "기록일시",
        "저장시간",
        "저장일시",
    ]
)
_DATES = ("date", "날짜", "일자", "측정일", "측정일자", "수집일자")
_CLOCKS = ("time", "시간", "시각", "측정시간", "측정시각", "수집시간")
ASSET_NAMES = frozenset(
    ["asset", "machine", "equipment", "device", "설비", "설비명", "설비번호", "호기", "장비", "장비명"]
)
TAG_NAMES = frozenset(
    ["tag", "tagname", "tag name", "tag_name", "point", "태그", "태그명", "항목", "측정항목", "계측항목"]
)
VALUE_NAMES = frozenset(["value", "값", "측정값", "계측값", "계측치"])

_UNIT = re.compile(r"\s*[\[(（][^\[\]()（）]*[\])）]\s*$")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What is known of a file before it is opened: the plant's record and what its sender says."""

    tags: tuple[str, ...]
    assets: tuple[str, ...]
    #: The zone of times that carry none.
    zone: str
    #: Names of the columns where the file has no header.
    columns: tuple[str, ...] = ()
    #: Names of tags by the names that columns, or tags in long form, have in the file.
    rename: Mapping[str, str] = field(default_factory=dict)
    #: Columns that are not sent; a pattern such as `s*` means only what would be unknown otherwise.
    ignore: tuple[str, ...] = ()
    time_column: str | None = None
    asset_column: str | None = None
    label_column: str | None = None
    tag_column: str | None = None
    value_column: str | None = None
    #: The asset of all rows; with `{}` in it, what to make of the asset column: `engine-{}`.
    asset: str | None = None
    time_format: str | None = None
    start_us: int | None = None
    step_us: int | None = None
    encoding: str | None = None
    delimiter: str | None = None
    decimal: Literal[".", ","] | None = None
    missing: frozenset[str] = frozenset()
    numbers: Mapping[str, float] = field(default_factory=dict)
    #: What a label means, by its text in the file: `{"불량": "anomaly"}`.
    label_map: Mapping[str, str] = field(default_factory=dict)

    def named(self) -> frozenset[str]:
        """Every name by which the file's header may be known, folded."""
        given = (self.time_column, self.asset_column, self.label_column, self.tag_column, self.value_column)
        parts = [part for name in given if name for part in (name, *name.split("+"))]
        names = {fold(name) for name in (*self.tags, *self.rename, *self.ignore, *parts)}
        return frozenset(names) | TIME_NAMES | ASSET_NAMES | TAG_NAMES | VALUE_NAMES


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Positions of what a file holds.

    Attributes:
        names: the header.
        time: one column, or a date and a time of day; none where rows are counted.
        tags: tags by position; empty in long form.
        tag, value: the two columns of the long form.
    """

    names: tuple[str, ...]
    time: tuple[int, ...]
    asset: int | None
    label: int | None
    tags: Mapping[int, str]
    tag: int | None = None
    value: int | None = None
    ignored: tuple[str, ...] = ()

    @property
    def long(self) -> bool:
        return self.tag is not None


def fold(name: str) -> str:
    """A name as it is compared: composed Hangul, single spaces, lower case."""
    return " ".join(unicodedata.normalize("NFC", name).split()).casefold()


def tag_of(name: str, layout: Layout) -> str | None:
    """The tag that a name in the file means: as renamed, as it stands, in another case, without its unit."""
    folded = fold(name)
    for given, tag in layout.rename.items():
        if fold(given) == folded:
            return tag
    tags = {fold(tag): tag for tag in layout.tags}
    return tags.get(folded) or tags.get(fold(_UNIT.sub("", name)))


def ignored(name: str, layout: Layout) -> bool:
    """Whether a name is one of those to be ignored, by itself or by a pattern."""
    return _ignored_by_name(name, layout) or any(
        fnmatchcase(fold(name), fold(each)) for each in layout.ignore
    )


def _ignored_by_name(name: str, layout: Layout) -> bool:
    return fold(name) in {fold(each) for each in layout.ignore}


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'Pressure'?`, or nothing."""
    close = nearest(name, known)
    return f"; did you mean {close!r}?" if close else ""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like it, if any is. Hangul is compared by its letters, not by its syllables."""
    by_letters = {unicodedata.normalize("NFD", fold(each)): each for each in known}
    close = get_close_matches(unicodedata.normalize("NFD", fold(name)), list(by_letters), n=1, cutoff=0.6)
    return by_letters[close[0]] if close else None


def resolve(header: Sequence[str], layout: Layout, *, file: str, line: int | None) -> Columns | list[Problem]:
    """Say what each column is, or everything that stands in the way."""
    return _Resolution(header, layout, file, line).result()


class _Resolution:
    """One header being read; problems are gathered, not raised."""

    def __init__(self, header: Sequence[str], layout: Layout, file: str, line: int | None) -> None:
        self.names = tuple(unicodedata.normalize("NFC", name.strip()) for name in header)
        self.folded = [fold(name) for name in self.names]
        self.layout, self.file, self.line = layout, file, line
        self.problems: list[Problem] = []
        self.taken: set[int] = set()

    def result(self) -> Columns | list[Problem]:
        self._check_renamed()
        time = self._time()
        asset = self._named(self.layout.asset_column, "--asset-column") if self.layout.asset_column else None
        label = self._named(self.layout.label_column, "--label-column") if self.layout.label_column else None
        tag, value = self._long()
        tags = {} if tag is not None else self._tags()
        if time is None:
            time = self._guess_time()
        if asset is None and "{}" in (self.layout.asset or "{}"):
            asset = self._guess(ASSET_NAMES)
        left_out = self._left_over()
        if tag is None:
            self._check_ignored()
        if tag is None and not tags and not self.problems:
            self._problem(f"no column is one of the plant's tags: {listed(self.layout.tags)}")
        if tag is not None and label is not None:
            self._problem(
                "a label column does not go with the long form; give the labels in a file of their own"
            )
        if self.problems:
            return self.problems
        return Columns(
            names=self.names,
            time=time or (),
            asset=asset,
            label=label,
            tags=tags,
            tag=tag,
            value=value,
            ignored=left_out,
        )

    def _problem(self, detail: str, column: str | None = None) -> None:
        self.problems.append(Problem(file=self.file, line=self.line, column=column, detail=detail))

    def _check_renamed(self) -> None:
        for name, tag in self.layout.rename.items():
            if tag not in self.layout.tags:
                known = self.layout.tags
                self._problem(
                    f"the plant has no tag {tag!r}{suggestion(tag, known)} (its tags: {listed(known)})", name
                )

    def _named(self, name: str, option: str) -> int | None:
        places = [place for place, each in enumerate(self.folded) if each == fold(name)]
        if len(places) == 1:
            self.taken.add(places[0])
            return places[0]
        if places:
            self._problem(
                f"{len(places)} columns have the name that {option} gives; rename them in the file", name
            )
        else:
            self._problem(
                f"there is no column {name!r}, which {option} names{suggestion(name, self.names)} "
                f"(columns: {listed(self.names)})"
            )
        return None

    def _guess(self, known: Collection[str]) -> int | None:
        places = [
            place for place, name in enumerate(self.folded) if name in known and place not in self.taken
        ]
        if len(places) != 1:
            return None
        self.taken.add(places[0])
        return places[0]

    def _time(self) -> tuple[int, ...] | None:
        """The time columns that are given; empty where rows are counted; None where they have to be found."""
        given = self.layout.time_column
        if given is None:
            return () if self.layout.step_us is not None else None
        parts = [given] if fold(given) in self.folded or "+" not in given else given.split("+")
        found = [self._named(part.strip(), "--time-column") for part in parts]
        return tuple(place for place in found if place is not None)

    def _guess_time(self) -> tuple[int, ...] | None:
        pair = [self._guess(names) for names in (_DATES, _CLOCKS)]
        if pair[0] is not None and pair[1] is not None:
            return (pair[0], pair[1])
        self.taken -= {place for place in pair if place is not None}
        places = [
            place for place, name in enumerate(self.folded) if name in TIME_NAMES and place not in self.taken
        ]
        if len(places) == 1:
            self.taken.add(places[0])
            return (places[0],)
        found = " and ".join(repr(self.names[place]) for place in places)
        self._problem(
            (
                f"{found} may be the time; say which with --time-column"
                if places
                else "no column is known as the time"
            )
            + ("" if places else "; give --time-column, or --start and --step for rows without time")
            + ("" if places else f" (columns: {listed(self.names)})")
        )
        self.taken |= set(places)
        return None

    def _long(self) -> tuple[int | None, int | None]:
        layout = self.layout
        if layout.tag_column or layout.value_column:
            tag = (
                self._named(layout.tag_column, "--tag-column")
                if layout.tag_column
                else self._guess(TAG_NAMES)
            )
            value = (
                self._named(layout.value_column, "--value-column")
                if layout.value_column
                else self._guess(VALUE_NAMES)
            )
            if (tag is None or value is None) and not self.problems:
                self._problem("the long form needs both: give --tag-column and --value-column")
            return tag, value
        if any(self._is_tag(place) for place in range(len(self.names))):
            return None, None
        tag, value = self._guess(TAG_NAMES), self._guess(VALUE_NAMES)
        if tag is not None and value is not None:
            return tag, value
        self.taken -= {place for place in (tag, value) if place is not None}
        return None, None

    def _is_tag(self, place: int) -> bool:
        name = self.names[place]
        return (
            place not in self.taken
            and not _ignored_by_name(name, self.layout)
            and bool(tag_of(name, self.layout))
        )

    def _tags(self) -> dict[int, str]:
        tags: dict[int, str] = {}
        by_tag: dict[str, str] = {}
        for place, name in enumerate(self.names):
            tag = tag_of(name, self.layout) if self._is_tag(place) else None
            if tag is None:
                continue
            self.taken.add(place)
            if tag in by_tag:
                self._problem(
                    f"the column is the tag {tag!r} as is the column {by_tag[tag]!r}; --ignore one", name
                )
            tags[place], by_tag[tag] = tag, name
        return tags

    def _left_over(self) -> tuple[str, ...]:
        left_out = []
        for place, name in enumerate(self.names):
            if place in self.taken or not name:
                continue
            if ignored(name, self.layout):
                left_out.append(name)
                continue
            tag = nearest(name, self.layout.tags) or "TAG"
            self._problem(
                f"is neither a tag of the plant, nor time, asset or label; give --tag {name + '=' + tag!r}, "
                f"--label-column {name!r}, or --ignore {name!r}",
                name,
            )
        return tuple(left_out)

    def _check_ignored(self) -> None:
        for name in self.layout.ignore:
            if fold(name) not in self.folded and not any(
                fnmatchcase(each, fold(name)) for each in self.folded
            ):
                self._problem(f"there is no column {name!r} to ignore{suggestion(name, self.names)}")


def listed(names: Sequence[str], most: int = 12) -> str:
    """The first of the names, and how many more there are."""
    shown = ", ".join(name for name in names[:most] if name)
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
