"""Everything that an installation holds of one pairing, read from its topics as anyone may read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from infra.client import Client
from infra.evidence.lines import Lines
from infra.kafka import admin as kafka_admin
from schemas.base import Ident, Offsets
from schemas.events import Fact, RequestRefused
from schemas.ledger import Label, Source, Started, Watermark
from schemas.pairing import Pairing
from schemas.rejected import Rejected
from schemas.words import Phrase
from streams import topics
from streams.envelope import RawRecord
from streams.ledger_codec import Entry, LabelRows, decode

#: Reads records anew at each call: a ledger does not have to fit into memory.
Records = Callable[[], Iterator[RawRecord]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One pairing as its topics tell it.

    Attributes:
        facts: those about the pairing, and about the parties, plant and need that it is of.
        evaluations, verdicts: as they were published, byte for byte.
        ledger: the ledger partition that the pairing lies in, other pairings' entries among it.
        labels: the plant's label messages from given offsets on, of these partitions.
    """

    pairing: Pairing
    facts: tuple[Fact, ...]
    evaluations: Sequence[bytes]
    verdicts: Sequence[bytes]
    ledger: Records
    labels: Callable[[Offsets], Iterator[RawRecord]]

    def entries(self) -> Iterator[RawRecord]:
        """The pairing's own entries."""
        key = self.pairing.id.encode()
        return (record for record in self.ledger() if record.key == key)


def read_case(client: Client, pairing: Pairing) -> Case:
    """What an installation holds of a pairing.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    bootstrap, topic = client.bootstrap, topics.ledger(pairing.plant)
    own = next(
        (one for one in kafka_admin.read_all(bootstrap, topic) if one.key == pairing.id.encode()), None
    )
    partition = own.partition if own is not None else 0

    def ledger() -> Iterator[RawRecord]:
        end = kafka_admin.end_offsets(bootstrap, topic)[partition]
        return kafka_admin.read_all(bootstrap, topic, end={partition: end})

    def labels(starts: Offsets) -> Iterator[RawRecord]:
        sent = topics.labels(pairing.plant)
        ends = kafka_admin.end_offsets(bootstrap, sent)
        return kafka_admin.read_all(bootstrap, sent, start=starts, end={one: ends[one] for one in starts})

    return Case(
        pairing=pairing,
        facts=tuple(concerning(pairing, client.facts)),
        evaluations=_published(bootstrap, topics.evaluations(pairing.plant), pairing.id),
        verdicts=_published(bootstrap, topics.verdicts(pairing.plant), pairing.id),
        ledger=ledger,
        labels=labels,
    )


def concerning(pairing: Pairing, facts: Iterable[Fact]) -> Iterator[Fact]:
    """The facts that a pairing stands by: folded, they give the pairing."""
    of = {
        pairing.id,
        pairing.plant,
        pairing.need,
        pairing.programme,
        pairing.manufacturer,
        pairing.startup,
        *pairing.coordinators,
        topics.OPERATOR,
    }
    return (fact for fact in facts if fact.subject in of and not isinstance(fact.body, RequestRefused))


def _published(bootstrap: str, topic: str, pairing: Ident) -> Lines:
    prefix = f"{pairing}/".encode()
    every = kafka_admin.read_all(bootstrap, topic)
    return Lines.of(one.value or b"" for one in every if (one.key or b"").startswith(prefix))


def place_of_label(entry: Entry) -> Source | None:
    """Where the label of a ledger entry stands in the plant's labels; None where the entry is no label."""
    if isinstance(entry, LabelRows):
        return entry.meta.source
    return entry.source if isinstance(entry, Label | Watermark) else None


def labels_behind(case: Case) -> Iterator[RawRecord]:
    """The plant's messages of a pairing's assets, from the first that its ledger names or has to name on, to its last entry."""
    starts, assets, last_ms = dict(case.pairing.labels_from), set(case.pairing.agreement.assets), 0
    for record in case.entries():
        last_ms = max(last_ms, record.timestamp_ms)
        entry = decode(record)
        if isinstance(entry, Rejected):
            continue
        if isinstance(entry, Started):
            assets |= set(entry.agreement.assets)
        if (place := place_of_label(entry)) is not None:
            starts[place.partition] = min(starts.get(place.partition, place.offset), place.offset)
    keys = {asset.encode() for asset in assets}
    sent = case.labels(starts) if starts else iter(())
    return (one for one in sent if one.key in keys and one.timestamp_ms <= last_ms)


def gone(pairing: Pairing) -> Phrase | None:
    """Why a pairing's numbers cannot be computed again any more; None where its ledger was not ordered to be deleted."""
    if "ledger" not in pairing.erasing:
        return None
    known = pairing.erasure.chain if pairing.erasure is not None else None
    chain = f"{known[:12]}…" if known else "–"
    return Phrase(
        f"the ledger of {pairing.id} was erased: its numbers cannot be computed again. Evaluations, verdicts and facts stand as "
        f"published; the last hash of its chain is {chain}. Only bundles of evidence from before the erasure show more",
        f"{pairing.id}의 원장이 삭제되어 다시 계산할 수 없습니다. 공개된 평가·판정·기록은 그대로이며 해시 사슬의 마지막 값은 {chain}입니다. "
        "삭제 전에 내보낸 증거 묶음으로만 더 확인할 수 있습니다",
    )
