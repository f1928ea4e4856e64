"""A pairing's published numbers, computed again from its ledger and compared byte for byte."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from pydantic import ValidationError

from agents.scores import digest_of, evaluations, new_book, read_entry, verdicts_of
from schemas.evaluation import Evaluation, Verdict
from schemas.rejected import Rejected
from streams.envelope import RawRecord
from streams.frames import micros
from streams.ledger import Book


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

    Args:
        pairing: its id.
        ledger: its ledger partition in order, from its first entry at the latest; other pairings' entries may be among them.
        published: its evaluations, as published.
        verdicts: its verdicts, as published.
        retired: candidates that were taken out of the trial.
    """
    found = Recomputation(pairing=pairing, book=new_book(pairing))
    running, final = _by_offset(published, found)
    awaited = sorted(running, reverse=True)
    last: RawRecord | None = None
    for record in ledger:
        while awaited and awaited[-1] < record.offset:
            _compare_running(found, running[awaited.pop()], last)
        last = record
        if record.key == pairing.encode():
            _take(found, record)
        if found.book.closed:
            break
    found.entries, found.chain, found.closed = found.book.entries, found.book.chain.hex(), found.book.closed
    while awaited and last is not None and awaited[-1] <= last.offset:
        _compare_running(found, running[awaited.pop()], last)
    _tell_unreached(found, awaited, last)
    _compare_final(found, final, verdicts, last, retired)
    return found


def _by_offset(
    published: Sequence[bytes], found: Recomputation
) -> tuple[dict[int, list[tuple[Evaluation, bytes]]], list[tuple[Evaluation, bytes]]]:
    running: defaultdict[int, list[tuple[Evaluation, bytes]]] = defaultdict(list)
    final = []
    for value in published:
        try:
            one = Evaluation.model_validate_json(value)
        except ValidationError:
            found.problems.append("an evaluation was published that this version cannot read")
            continue
        if one.final:
            final.append((one, value))
        else:
            running[one.ledger_offset].append((one, value))
    return running, final


def _take(found: Recomputation, record: RawRecord) -> None:
    read = read_entry(record)
    if isinstance(read, Rejected):
        # The scorer has rejected it too: it is nothing that counts.
        return
    digest = digest_of(record)
    if found.book.fold(read[1], offset=record.offset, digest=digest):
        found.counted.append((record.offset, digest))


def _compare_running(
    found: Recomputation, published: list[tuple[Evaluation, bytes]], last: RawRecord | None
) -> None:
    one = published[0][0]
    if last is None or not found.book.runs:
        found.problems.append(
            f"evaluations at offset {one.ledger_offset} were published of entries that are not there"
        )
        return
    # Where the entry at that offset is another pairing's and not at hand, only the publication says when it was.
    at_ms = last.timestamp_ms if last.offset == one.ledger_offset else micros(one.at) // 1000
    again = evaluations(
        found.book,
        partition=one.ledger_partition,
        offset=one.ledger_offset,
        at_ms=at_ms,
        final=False,
    )
    _compare_evaluations(found, published, again)


def _compare_evaluations(
    found: Recomputation, published: list[tuple[Evaluation, bytes]], again: list[Evaluation]
) -> None:
    known = {one.candidate: one.to_json() for one in again}
    for one, value in published:
        found.evaluations += 1
        _compare(found, "evaluation", one.candidate, one.ledger_offset, value, known.get(one.candidate))


def _compare_final(
    found: Recomputation,
    final: list[tuple[Evaluation, bytes]],
    verdicts: Sequence[bytes],
    last: RawRecord | None,
    retired: frozenset[str],
) -> None:
    if not found.closed or last is None:
        if final or verdicts:
            found.problems.append(
                "final evaluations or verdicts were published, and the ledger is not closed"
            )
        return
    partition = final[0][0].ledger_partition if final else last.partition
    again = evaluations(
        found.book, partition=partition, offset=last.offset, at_ms=last.timestamp_ms, final=True
    )
    _compare_evaluations(found, final, again)
    missing = {one.candidate for one in again} - {one.candidate for one, _ in final}
    if missing:
        found.problems.append(f"no final evaluation was published of {', '.join(sorted(missing))}")
    known = {
        one.candidate: one.to_json() for one in verdicts_of(found.book, again, equal=True, retired=retired)
    }
    for value in verdicts:
        found.verdicts += 1
        name = str(json.loads(value).get("candidate"))
        _compare(found, "verdict", name, last.offset, value, known.get(name))
    unsaid = set(known) - {Verdict.model_validate_json(value).candidate for value in verdicts}
    if unsaid:
        found.problems.append(f"no verdict was published of {', '.join(sorted(unsaid))}")


def _tell_unreached(found: Recomputation, awaited: list[int], last: RawRecord | None) -> None:
    if awaited:
        end = "nowhere" if last is None else f"at offset {last.offset}"
        found.problems.append(
            f"evaluations were published at offsets up to {awaited[0]}, and the ledger ends {end}"
        )


def _compare(
    found: Recomputation, what: str, candidate: str, offset: int, published: bytes, again: bytes | None
) -> None:
    if published == again:
        return
    before = json.loads(published)
    after = None if again is None else json.loads(again)
    path, one, other = next(_differing(before, after), ("", None, None))
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
