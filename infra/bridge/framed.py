"""What of a source has been framed already: the frames themselves say it, in their headers.

A frame's header `fp_source` names the rows that it holds: `topic@id:partition:first-last`, where the id is the one that Kafka
gave to the topic (a topic made anew under the same name has other rows), and first and last are offsets. In between, the
frame holds every good row of its asset, and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from streams.envelope import RawRecord

SOURCE_HEADER = "fp_source"

_FORM = re.compile(r"([^:@]+)@([^:@]*):(\d{1,10}):(\d{1,19})-(\d{1,19})")

#: Ranges of offsets, first and last, by source partition and asset.
Ranges = dict[tuple[int, str], list[tuple[int, int]]]
Offsets = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A topic of rows.

    Attributes:
        topic: its name.
        ident: the id that its cluster gave it.
    """

    topic: str
    ident: str

    def header(self, partition: int, first: int, last: int) -> bytes:
        """What a frame of these rows says of where they come from."""
        return f"{self.topic}@{self.ident}:{partition}:{first}-{last}".encode()

    def frame_id(self, partition: int, asset: str, first: int, last: int) -> str:
        """The id of the frame that holds these rows: the same rows, the same id."""
        named = "\0".join((self.topic, self.ident, str(partition), asset, str(first), str(last)))
        return f"{hashlib.sha256(named.encode()).hexdigest()[:24]}-{partition}-{first}-{last}"

    def framed(self, records: Iterable[RawRecord], since: Mapping[int, int]) -> Ranges:
        """Which rows of this source the frames hold, of those from an offset of their partition on."""
        found: Ranges = {}
        for record in records:
            match = _FORM.fullmatch(record.header(SOURCE_HEADER) or "")
            if match is None or match.group(1, 2) != (self.topic, self.ident) or not record.key:
                continue
            partition, first, last = (int(part) for part in match.group(3, 4, 5))
            if last >= since.get(partition, last + 1):
                key = (partition, record.key.decode(errors="replace"))
                found.setdefault(key, []).append((first, last))
        return {key: sorted(ranges) for key, ranges in found.items()}


def within(offsets: Offsets, ranges: Iterable[tuple[int, int]]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which of these offsets lie in one of the ranges, both ends counted."""
    inside = np.zeros(len(offsets), dtype=bool)
    for first, last in ranges:
        inside |= (offsets >= first) & (offsets <= last)
    return inside


@dataclass(frozen=True, kw_only=True)
class Mark:
    """What is committed beside an offset: where frames of rows from that offset on can stand.

    Attributes:
        target: the id of the telemetry topic.
        ends: by its partitions: no such frame stands before this offset.
    """

    target: str
    ends: dict[int, int]

    def written(self) -> str:
        """As the text that Kafka keeps with an offset; at most 4 KB."""
        return json.dumps({"target": self.target, "ends": self.ends}, separators=(",", ":"))


def mark_of(text: str) -> Mark | None:
    """The mark in such a text; None where it is none."""
    try:
        found = json.loads(text)
        ends = {int(partition): int(end) for partition, end in found["ends"].items()}
        return Mark(target=str(found["target"]), ends=ends)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
