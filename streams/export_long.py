"""The long form of an export: one row a value, with its tag, as historians write it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streams.export_columns import Layout, ignored, suggestion, tag_of

Places = NDArray[np.int64] | None


@dataclass
class Gathered:
    """Values read so far, chunk by chunk: asset, time, tag and value of each, as codes and numbers."""

    assets_seen: dict[str, int] = field(default_factory=dict)
    tags_seen: dict[str, int] = field(default_factory=dict)
    assets_of: list[NDArray[np.int64]] = field(default_factory=list)
    times_of: list[NDArray[np.int64]] = field(default_factory=list)
    tags_of: list[NDArray[np.int64]] = field(default_factory=list)
    values_of: list[NDArray[np.float64]] = field(default_factory=list)

    def add(
        self,
        times: NDArray[np.int64],
        tags: Sequence[str | None],
        values: NDArray[np.float64],
        groups: Mapping[str, Places],
    ) -> None:
        """Take in n values; one whose tag is None is left out."""
        code_of = {tag: self._code(self.tags_seen, tag) for tag in dict.fromkeys(tags) if tag is not None}
        codes = np.array([-1 if tag is None else code_of[tag] for tag in tags], dtype=np.int64)
        for asset, places in groups.items():
            within = np.arange(len(times)) if places is None else places
            within = within[codes[within] >= 0]
            self.assets_of.append(np.full(len(within), self._code(self.assets_seen, asset), dtype=np.int64))
            self.times_of.append(times[within])
            self.tags_of.append(codes[within])
            self.values_of.append(values[within])

    @staticmethod
    def _code(seen: dict[str, int], name: str) -> int:
        return seen.setdefault(name, len(seen))

    def assets(self) -> dict[str, tuple[NDArray[np.int64], dict[str, NDArray[np.float64]], None]]:
        """Rows of each machine, ordered by time; a value given twice for one time starts another row."""
        if not self.times_of:
            return {}
        assets, times, tags = (np.concatenate(each) for each in (self.assets_of, self.times_of, self.tags_of))
        values = np.concatenate(self.values_of)
        done: dict[str, tuple[NDArray[np.int64], dict[str, NDArray[np.float64]], None]] = {}
        for asset, code in self.assets_seen.items():
            own = np.flatnonzero(assets == code)
            if len(own):
                done[asset] = (*self._rows(times[own], tags[own], values[own]), None)
        return done

    def _rows(
        self, times: NDArray[np.int64], tags: NDArray[np.int64], values: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
        order = np.lexsort((np.arange(len(times)), tags, times))
        times, tags, values = times[order], tags[order], values[order]
        position = np.arange(len(times))
        fresh = np.ones(len(times), dtype=np.bool_)
        fresh[1:] = (times[1:] != times[:-1]) | (tags[1:] != tags[:-1])
        repeat = position - np.maximum.accumulate(np.where(fresh, position, 0))
        order = np.lexsort((repeat, times))
        times, tags, values, repeat = times[order], tags[order], values[order], repeat[order]
        starts = np.ones(len(times), dtype=np.bool_)
        starts[1:] = (times[1:] != times[:-1]) | (repeat[1:] != repeat[:-1])
        row = np.cumsum(starts) - 1
        count = int(row[-1]) + 1
        columns: dict[str, NDArray[np.float64]] = {}
        for tag, code in self.tags_seen.items():
            column = np.full(count, np.nan)
            here = tags == code
            if here.any():
                column[row[here]] = values[here]
                columns[tag] = column
        return times[starts], columns


def tag_or_ignored(name: str, layout: Layout) -> str | None:
    """The tag that a name in the tag column means; None where it is to be ignored, empty where it is unknown."""
    tag = tag_of(name, layout)
    if tag is not None:
        return tag
    return None if ignored(name, layout) else ""


def unknown_tag(name: str, layout: Layout) -> str:
    """What to say of a tag that the plant does not have."""
    near = suggestion(name, layout.tags)
    return f"the plant has no tag {name!r}{near} Give --tag {name + '=TAG'!r} or --ignore {name!r}"
