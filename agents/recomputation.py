"""A pairing's published numbers, computed again from its ledger and compared byte for byte."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import ValidationError

from agents.scores import digest_of, evaluations, new_book, read_entry, verdicts_of
from schemas.evaluation import Evaluation, Verdict
from schemas.ledger import Covered, Ended
from schemas.rejected import Rejected
from streams.envelope import RawRecord
from streams.frames import micros
from streams.ledger import Book
from streams.ledger_codec import Entry, OutcomeRows


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A number that was published and that the ledger does not give."""

    what: str
    candidate: str
    ledger_offset: int
    #: The first place that differs, such as `metrics.f1`, and what stands there; None where nothing does.
    path: str
    published: object
    recomputed: object


@dataclass(kw_only=True)
class Recomputation:
    """What came of it: what was compared, and what differs."""

    pairing: str
    entries: int = 0
    chain: str = ""
    closed: bool = False
    #: Evaluations and verdicts that were compared.
    evaluations: int = 0
    verdicts: int = 0
    differences: list[Difference] = field(default_factory=list)
    #: What could not be compared, and why.
    problems: list[str] = field(default_factory=list)
    #: Of each entry that counted, its offset and the SHA-256 of its bytes.
    counted: list[tuple[int, bytes]] = field(default_factory=list, repr=False)
    #: When the ledger took the last of them.
    counted_ms: int = 0
    #: The pairing's book after its last entry.
    book: Book = field(repr=False)

    @property
    def equal(self) -> bool:
        """Whether everything published is what the ledger gives."""
        return not self.differences and not self.problems


def recompute(
    pairing: str,
    ledger: Iterable[RawRecord],
    published: Sequence[bytes],
    verdicts: Sequence[bytes],
    *,
    retired: frozenset[str],
) -> Recomputation:
    """Fold a pairing's entries from the first on, and compare at every place at which something was published.

    Only the moment that an evaluation on the way bears is taken as published, as long as it lies between the pairing's own last
    entry and the one that it was published at: after a restart the scorer tells the last moment that it still knows.

    Args:
        pairing: its id.
        ledger: its ledger partition in order, from its first entry at the latest; other pairings' entries may be among them.
        published: its evaluations, as published.
        verdicts: its verdicts, as published.
        retired: candidates that were taken out of the trial.
    """
    found = Recomputation(pairing=pairing, book=new_book(pairing))
    running, final = _sorted_out(published, found)
    last: RawRecord | None = None
    headless = False
    for record in ledger:
        if last is not None and (record.offset <= last.offset or record.partition != last.partition):
            found.problems.append(f"the ledger is out of order at offset {record.offset}")
            break
        for offset, values in running.before(record.offset):
            _compare_running(found, offset, values, last)
        last = record
        if record.key == pairing.encode():
            headless |= _take(found, record)
        if found.book.closed:
            break
    found.entries, found.chain, found.closed = found.book.entries, found.book.chain.hex(), found.book.closed
    for offset, values in running.before(-1 if last is None else last.offset + 1):
        _compare_running(found, offset, values, last)
    _tell_unreached(found, running, last)
    _compare_final(found, final, verdicts, last, retired)
    if headless and not found.equal:
        found.problems.insert(
            0, f"the ledger of {pairing} does not begin with its beginning: what stood before is gone"
        )
    return found


class _Running:
    """Evaluations on the way, by the ledger offset that they were published at; read when their turn comes."""

    def __init__(self, published: Sequence[bytes], numbers: array[int], offsets: array[int]) -> None:
        self._published = published
        order = np.argsort(np.array(offsets, dtype=np.int64), kind="stable")
        self._numbers = np.array(numbers, dtype=np.int64)[order]
        self._offsets = np.array(offsets, dtype=np.int64)[order]
        self._next = 0

    @property
    def last(self) -> int | None:
        """The last offset whose turn has not come; None where none is left."""
        return int(self._offsets[-1]) if self._next < self._offsets.size else None

    def before(self, offset: int) -> Iterator[tuple[int, list[bytes]]]:
        """What was published before an offset of the ledger, and whose turn has not come: offset by offset."""
        while self._next < self._offsets.size and self._offsets[self._next] < offset:
            at = int(self._offsets[self._next])
            stop = int(np.searchsorted(self._offsets, at, side="right"))
            numbers = self._numbers[self._next : stop].tolist()
            self._next = stop
            yield at, [self._published[number] for number in numbers]


def _sorted_out(
    published: Sequence[bytes], found: Recomputation
) -> tuple[_Running, list[tuple[Evaluation, bytes]]]:
    numbers, offsets, final = array("q"), array("q"), []
    unreadable = 0
    for number, value in enumerate(published):
        try:
            one = Evaluation.model_validate_json(value)
            if one.final:
                final.append((one, value))
            else:
                offsets.append(one.ledger_offset)
                numbers.append(number)
        except (ValidationError, OverflowError):
            unreadable += 1
    if unreadable:
        found.problems.append(f"{unreadable} evaluations were published that this version cannot read")
    return _Running(published, numbers, offsets), final


def _take(found: Recomputation, record: RawRecord) -> bool:
    """Fold one entry; gives whether it is of a deployment of which no beginning was seen."""
    read = read_entry(record)
    if isinstance(read, Rejected):
        # The scorer has rejected it too: it is nothing that counts.
        return False
    digest = digest_of(record)
    if found.book.fold(read[1], offset=record.offset, digest=digest):
        found.counted.append((record.offset, digest))
        found.counted_ms = record.timestamp_ms
        return False
    return _deployment(read[1]) not in (None, *found.book.runs)


def _deployment(entry: Entry) -> str | None:
    if isinstance(entry, OutcomeRows):
        return entry.meta.deployment
    return entry.deployment if isinstance(entry, Covered | Ended) else None


def _compare_running(
    found: Recomputation, offset: int, published: list[bytes], last: RawRecord | None
) -> None:
    if last is None or not found.book.runs:
        found.problems.append(f"evaluations at offset {offset} were published of entries that are not there")
        return
    again = evaluations(
        found.book, partition=last.partition, offset=offset, at_ms=last.timestamp_ms, final=False
    )
    known = {one.candidate: one for one in again}
    # Where the entry at that offset is another pairing's and not at hand, nothing says when it came.
    latest_ms = last.timestamp_ms if last.offset == offset else None
    for value in published:
        one = Evaluation.model_validate_json(value)
        mine = known.get(one.candidate)
        if mine is not None and _may_be(micros(one.at) / 1000, found.counted_ms, latest_ms):
            mine = mine.model_copy(update={"at": one.at})
        _compare_evaluation(found, one, value, mine)


def _may_be(at_ms: float, counted_ms: int, latest_ms: int | None) -> bool:
    return counted_ms <= at_ms and (latest_ms is None or at_ms <= max(latest_ms, counted_ms))


def _compare_evaluation(found: Recomputation, one: Evaluation, value: bytes, mine: Evaluation | None) -> None:
    found.evaluations += 1
    again = None if mine is None else mine.to_json()
    _compare(found, "evaluation", one.candidate, one.ledger_offset, value, again)


def _compare_final(
    found: Recomputation,
    final: list[tuple[Evaluation, bytes]],
    verdicts: Sequence[bytes],
    last: RawRecord | None,
    retired: frozenset[str],
) -> None:
    if not found.closed or last is None:
        if final or len(verdicts):
            found.problems.append(
                "final evaluations or verdicts were published, and the ledger is not closed"
            )
        return
    again = evaluations(
        found.book, partition=last.partition, offset=last.offset, at_ms=last.timestamp_ms, final=True
    )
    known = {one.candidate: one for one in again}
    for one, value in final:
        _compare_evaluation(found, one, value, known.get(one.candidate))
    missing = set(known) - {one.candidate for one, _ in final}
    if missing:
        found.problems.append(f"no final evaluation was published of {', '.join(sorted(missing))}")
    _compare_verdicts(found, again, verdicts, last.offset, retired)


def _compare_verdicts(
    found: Recomputation,
    final: list[Evaluation],
    verdicts: Sequence[bytes],
    offset: int,
    retired: frozenset[str],
) -> None:
    known = {
        one.candidate: one.to_json() for one in verdicts_of(found.book, final, equal=True, retired=retired)
    }
    said = set()
    for value in verdicts:
        try:
            name = Verdict.model_validate_json(value).candidate
        except ValidationError:
            found.problems.append("a verdict was published that this version cannot read")
            continue
        said.add(name)
        found.verdicts += 1
        _compare(found, "verdict", name, offset, value, known.get(name))
    unsaid = set(known) - said
    if unsaid:
        found.problems.append(f"no verdict was published of {', '.join(sorted(unsaid))}")


def _tell_unreached(found: Recomputation, running: _Running, last: RawRecord | None) -> None:
    if running.last is None:
        return
    if last is None:
        found.problems.append(f"evaluations were published, and the ledger holds no entry of {found.pairing}")
    else:
        found.problems.append(
            f"evaluations were published at offsets up to {running.last}, and the ledger ends at offset {last.offset}"
        )


def _compare(
    found: Recomputation, what: str, candidate: str, offset: int, published: bytes, again: bytes | None
) -> None:
    if published == again:
        return
    before = json.loads(published)
    after = None if again is None else json.loads(again)
    # Where no value differs, the bytes do: white space, or the order of fields.
    path, one, other = next(_differing(before, after), ("", "other bytes", "the same values"))
    if after is None:
        path, one, other = "", "published", "nothing"
    found.differences.append(
        Difference(
            what=what,
            candidate=candidate,
            ledger_offset=offset,
            path=path,
            published=one,
            recomputed=other,
        )
    )


def _differing(one: object, other: object, path: str = "") -> Iterator[tuple[str, object, object]]:
    """The places at which two JSON values differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in dict.fromkeys([*one, *other]):
            step = f"{path}.{name}" if path else str(name)
            yield from _differing(one.get(name), other.get(name), step)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for place, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from _differing(left, right, f"{path}[{place}]")
    elif one != other:
        yield path, one, other
