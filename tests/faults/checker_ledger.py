"""A walk over the ledger of one pairing, entry by entry: what counts, what came twice, what was passed over."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from tests.faults.checker_records import Entry
from tests.faults.checker_topics import Json

#: What a failed outcome may give as its cause.
CAUSES = {"error", "timeout", "memory", "nonsense", "died", "suspended"}

RESULTS = {"answered", "failed", "refused", "unreadable"}

Place = tuple[int, int]


def offsets(told: dict[str, int] | None) -> dict[int, int]:
    """Offsets by partition, whose numbers JSON turns into text."""
    return {int(partition): offset for partition, offset in (told or {}).items()}


@dataclass(kw_only=True)
class Deployment:
    """One deployment, as the ledger tells it."""

    started: Entry
    expected: dict[int, int]
    until: dict[int, int] | None = None
    #: Outcomes that count, by the place of their frame; those behind the end are taken out when it is known.
    outcomes: dict[Place, Entry] = field(default_factory=dict)
    dropped: dict[Place, Entry] = field(default_factory=dict)
    duplicates: int = 0
    gaps: int = 0

    @property
    def name(self) -> str:
        return str(self.started.told["deployment"])

    @property
    def subjects(self) -> list[str]:
        return list(self.started.told["subjects"])

    @property
    def starts(self) -> dict[int, int]:
        return offsets(self.started.told["starts"])

    def complete(self) -> bool:
        """Whether every offset up to the end has its outcome."""
        until = self.until
        return until is not None and all(self.expected.get(at, 0) >= until[at] for at in until)


@dataclass(kw_only=True)
class Walk:
    """Everything that the entries of a pairing say, up to the one that closes it."""

    deployments: dict[str, Deployment] = field(default_factory=dict)
    #: Label entries that count; those that came again.
    labels: list[Entry] = field(default_factory=list)
    labels_again: int = 0
    #: Watermarks that count, and every one that stands there.
    marks: list[Entry] = field(default_factory=list)
    marks_seen: list[Entry] = field(default_factory=list)
    ticked_ms: int = 0
    closed: Entry | None = None
    chain: bytes = bytes(32)
    #: What an outcome says that it may not.
    odd: list[str] = field(default_factory=list)
    _labels: set[tuple[str, str, int, int]] = field(default_factory=set)

    @classmethod
    def over(cls, entries: Iterable[Entry]) -> Walk:
        """Walk over entries in the order of the ledger."""
        walk = cls()
        for entry in entries:
            if walk.closed is None and walk._take(entry):
                digest = hashlib.sha256(entry.message.value).digest()
                walk.chain = hashlib.sha256(walk.chain + digest).digest()
        return walk

    def judged(self) -> list[Deployment]:
        """The deployments that the closing entry names; all of them where it names none."""
        named = [] if self.closed is None else self.closed.told.get("deployments", [])
        return [self.deployments[one] for one in named or self.deployments if one in self.deployments]

    def _take(self, entry: Entry) -> bool:
        match entry.kind:
            case "started":
                return self._started(entry)
            case "ended":
                return self._ended(entry)
            case "outcome" | "covered":
                return self._outcome(entry)
            case "label" | "label_frame":
                return self._label(entry)
            case "watermark":
                return self._mark(entry)
            case "tick":
                later = entry.told["at_ms"] > self.ticked_ms
                self.ticked_ms = max(self.ticked_ms, entry.told["at_ms"])
                return later
            case "closed":
                self.closed = entry
                return True
        self.odd.append(f"an entry of the unknown kind {entry.kind} at {entry.message.offset}")
        return False

    def _started(self, entry: Entry) -> bool:
        name = entry.told["deployment"]
        if name in self.deployments:
            return False
        self.deployments[name] = Deployment(started=entry, expected=offsets(entry.told["starts"]))
        return True

    def _ended(self, entry: Entry) -> bool:
        one = self.deployments.get(entry.told["deployment"])
        if one is None or one.until is not None:
            return False
        one.until = offsets(entry.told["until"])
        for place in [place for place in one.outcomes if place[1] >= one.until.get(place[0], 0)]:
            one.dropped[place] = one.outcomes.pop(place)
        return True

    def _outcome(self, entry: Entry) -> bool:
        told = entry.told
        one = self.deployments.get(told["deployment"])
        if one is None or (entry.kind == "outcome" and not self._fits(entry, one)):
            return False
        partition, first, last = told["partition"], told["first"], told["last"]
        expected = one.expected.get(partition)
        if expected is None or (one.until is not None and first >= one.until.get(partition, 0)):
            return False
        if last < expected:
            one.duplicates += 1
            return False
        if first > expected:
            one.gaps += 1
            return False
        one.expected[partition] = last + 1
        if entry.kind == "outcome":
            behind = one.until is not None and last >= one.until.get(partition, 0)
            (one.dropped if behind else one.outcomes)[partition, last] = entry
        return True

    def _fits(self, entry: Entry, one: Deployment) -> bool:
        """Whether an answered frame has an answer for each subject and row, of classes that there are."""
        told, where = entry.told, f"the outcome at {entry.message.offset} of {one.name}"
        if told["result"] not in RESULTS:
            self.odd.append(f"{where} has the unknown result {told['result']!r}")
        if told["result"] == "failed" and told.get("failure") not in CAUSES:
            self.odd.append(f"{where} failed without a cause")
        if told["result"] != "answered":
            return True
        answers = entry.rows("answer")
        known = answers[np.isfinite(answers)]
        classes = len(one.started.told["agreement"].get("classes") or [])
        right = not classes or bool(np.isin(known, np.arange(classes)).all())
        if answers.shape != (len(one.subjects), told["rows"]) or not right:
            self.odd.append(f"{where} has answers that are none")
            return False
        return True

    def _label(self, entry: Entry) -> bool:
        source = entry.told["source"]
        key = (entry.told["asset"], entry.told["id"], source["partition"], source["offset"])
        if key in self._labels:
            self.labels_again += 1
            return False
        self._labels.add(key)
        self.labels.append(entry)
        return True

    def _mark(self, entry: Entry) -> bool:
        self.marks_seen.append(entry)
        before = self._said_before(entry)
        if before is not None and entry.told["until_us"] <= before:
            return False
        self.marks.append(entry)
        return True

    def _said_before(self, mark: Entry) -> int | None:
        """Up to when an asset's labels were complete by the watermarks before one in their topic."""
        told = [one.told for one in self.marks if one.told["asset"] == mark.told["asset"]]
        return max((one["until_us"] for one in told if _place(one) < _place(mark.told)), default=None)


def _place(told: Json) -> tuple[int, int]:
    return told["source"]["appended_ms"], told["source"]["offset"]


def sources(entries: Iterable[Entry]) -> Counter[Place]:
    """How often labels or watermarks of each place in the label topic stand there."""
    return Counter((one.told["source"]["partition"], one.told["source"]["offset"]) for one in entries)
