"""The check of the labels in a full bundle: the ledger holds what the plant sent, and all of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from infra.evidence.bundle import Bundle
from infra.evidence.case import place_of_label
from infra.evidence.export import LABELS
from infra.evidence.findings import Findings
from infra.evidence.tables import read_messages
from infra.words.language import Phrase
from schemas.agreement import Agreement
from schemas.ledger import Started
from schemas.pairing import Pairing
from schemas.rejected import Rejected
from streams import topics
from streams.envelope import RawRecord
from streams.label_codec import decode_label, for_pairing, source_of
from streams.ledger_codec import Entry, LabelRows, decode

#: Where a label stands in the order of its topic: partition and offset. A label that was replayed has the place of the first.
Place = tuple[int, int]


def check_labels(bundle: Bundle, pairing: Pairing, ledger: Iterable[RawRecord], found: Findings) -> None:
    """Each label of the ledger is what the plant sent; and of the trial none between the first and the last is left out.

    Raises:
        ValueError: a table cannot be read.
    """
    entries, agreements = _taken(ledger, pairing)
    every = [pairing.model_copy(update={"agreement": one, "labels_from": {}}) for one in agreements]
    last: dict[int, int] = {}
    for partition, offset in entries:
        last[partition] = max(last.get(partition, -1), offset)
    alike: set[Place] = set()
    sent: set[Place] = set()
    left_out: set[Place] = set()
    for record in read_messages(bundle.path(LABELS), topics.labels(pairing.plant)):
        place = record.partition, source_of(record).offset
        becomes = list(_becomes(record, every))
        taken = entries.get(place)
        if taken is None and becomes and _needed(place, pairing, last):
            left_out.add(place)
        elif taken is not None:
            sent.add(place)
            if any(_same(taken, one) for one in becomes):
                alike.add(place)
    unlike, unsent = len(sent - alike), len(entries.keys() - sent)
    found.check(
        "labels",
        not (unlike or unsent or left_out),
        Phrase(
            f"{len(entries)} labels of the ledger are what the plant sent, and none of the trial is left out between them",
            f"원장의 라벨 {len(entries)}건이 공장에서 보낸 것과 같고, 실증 중에 빠진 것이 없습니다",
        ),
        Phrase(
            f"{unlike} labels are not what the plant sent, {unsent} were not sent, {len(left_out)} are left out",
            f"보낸 것과 다른 라벨 {unlike}건, 보낸 적 없는 라벨 {unsent}건, 빠진 라벨 {len(left_out)}건",
        ),
    )


def _taken(ledger: Iterable[RawRecord], pairing: Pairing) -> tuple[dict[Place, Entry], list[Agreement]]:
    """The labels that the ledger holds, and the agreements that it was kept under."""
    agreements: list[Agreement] = [pairing.agreement]
    entries: dict[Place, Entry] = {}
    for record in ledger:
        entry = decode(record)
        if isinstance(entry, Rejected):
            continue
        if isinstance(entry, Started) and entry.agreement not in agreements:
            agreements.append(entry.agreement)
        if (source := place_of_label(entry)) is not None:
            # The fold takes the first.
            entries.setdefault((source.partition, source.offset), entry)
    return entries, agreements


def _needed(place: Place, pairing: Pairing, last: Mapping[int, int]) -> bool:
    """Whether the ledger has to hold a label: it is of the last trial, and one that was sent later is there.

    What was sent between a rehearsal and the trial is nobody's; and what was sent at the end may have come after the close.
    """
    partition, offset = place
    return pairing.labels_from.get(partition, 0) <= offset < last.get(partition, -1)


def _becomes(record: RawRecord, pairings: list[Pairing]) -> Iterator[Entry]:
    decoded = decode_label(record)
    if isinstance(decoded, Rejected):
        return
    for pairing in pairings:
        entry = for_pairing(decoded, pairing, source_of(record))
        if entry is not None and not isinstance(entry, Rejected):
            yield entry


def _same(one: Entry, other: Entry) -> bool:
    if isinstance(one, LabelRows) and isinstance(other, LabelRows):
        return (
            one.meta == other.meta
            and np.array_equal(one.times_us, other.times_us)
            and np.array_equal(one.codes, other.codes, equal_nan=True)
        )
    return type(one) is type(other) and one == other
