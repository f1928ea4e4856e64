"""Everything that an installation holds of one pairing, read from its topics as anyone may read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from infra.client import Client
from infra.errors import InfraError
from infra.kafka import admin as kafka_admin
from schemas.base import Ident
from schemas.events import Fact, PairingErased, RequestRefused
from schemas.ledger import Label, Source, Watermark
from schemas.pairing import Pairing
from schemas.rejected import Rejected
from streams import topics
from streams.envelope import RawRecord
from streams.ledger_codec import Entry, LabelRows, decode

#: Reads records anew at each call: a ledger does not have to fit into memory.
Records = Callable[[], Iterator[RawRecord]]


class LedgerErased(InfraError):
    """The ledger was deleted, as the agreement says or its owner wanted."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class Case:
    """One pairing as its topics tell it.

    Attributes:
        facts: those about the pairing, and about the parties, plant and need that it is of.
        evaluations, verdicts: as they were published, byte for byte.
        ledger: the ledger partition that the pairing lies in, other pairings' entries among it.
    """

    pairing: Pairing
    facts: tuple[Fact, ...]
    evaluations: tuple[bytes, ...]
    verdicts: tuple[bytes, ...]
    ledger: Records

    def entries(self) -> Iterator[RawRecord]:
        """The pairing's own entries."""
        key = self.pairing.id.encode()
        return (record for record in self.ledger() if record.key == key)


def read_case(client: Client, pairing: Pairing) -> Case:
    """What an installation holds of a pairing.

    Raises:
        BrokerUnavailable: the broker does not answer.
        LedgerErased: its ledger was deleted.
    """
    _refuse_erased(client, pairing)
    bootstrap, topic = client.bootstrap, topics.ledger(pairing.plant)
    own = next(
        (one for one in kafka_admin.read_all(bootstrap, topic) if one.key == pairing.id.encode()), None
    )
    partition = own.partition if own is not None else 0

    def ledger() -> Iterator[RawRecord]:
        end = kafka_admin.end_offsets(bootstrap, topic)[partition]
        return kafka_admin.read_all(bootstrap, topic, end={partition: end})

    return Case(
        pairing=pairing,
        facts=tuple(_concerning(pairing, client.facts)),
        evaluations=_published(bootstrap, topics.evaluations(pairing.plant), pairing.id),
        verdicts=_published(bootstrap, topics.verdicts(pairing.plant), pairing.id),
        ledger=ledger,
    )


def _refuse_erased(client: Client, pairing: Pairing) -> None:
    erasure, topic = pairing.erasure, topics.ledger(pairing.plant)
    gone = [one for one in erasure.erased if one.topic == topic] if erasure is not None else []
    if erasure is None or not gone:
        return
    at = next(
        fact.at
        for fact in reversed(client.facts)
        if isinstance(fact.body, PairingErased) and fact.subject == pairing.id
    )
    where = ", ".join(f"{one.topic}/{one.partition} {one.first}–{one.until - 1}" for one in gone)
    raise LedgerErased(
        f"the ledger of {pairing.id} was erased on {at:%Y-%m-%d %H:%M} UTC ({where}): its scores cannot be computed again. "
        f"What was published stays; the hash of its last entry was {erasure.chain or 'never published'}. "
        f"({pairing.id}의 원장이 {at:%Y-%m-%d %H:%M} UTC에 삭제되어 점수를 다시 계산할 수 없습니다.)"
    )


def _concerning(pairing: Pairing, facts: Iterable[Fact]) -> Iterator[Fact]:
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


def _published(bootstrap: str, topic: str, pairing: Ident) -> tuple[bytes, ...]:
    prefix = f"{pairing}/".encode()
    every = kafka_admin.read_all(bootstrap, topic)
    return tuple(one.value or b"" for one in every if (one.key or b"").startswith(prefix))


def source_of(entry: Entry) -> Source | None:
    """Where the label of a ledger entry stands in the plant's labels; None where the entry is no label."""
    if isinstance(entry, LabelRows):
        return entry.meta.source
    return entry.source if isinstance(entry, Label | Watermark) else None


def labels_behind(
    bootstrap: str, plant: Ident, assets: Iterable[str], entries: Iterable[RawRecord]
) -> Iterator[RawRecord]:
    """The plant's messages between the first and the last that the ledger names, in each partition, of these assets."""
    ranges = _ranges(entries)
    keys = {asset.encode() for asset in assets}
    if not ranges:
        return iter(())
    records = kafka_admin.read_all(
        bootstrap,
        topics.labels(plant),
        start={partition: first for partition, (first, _) in ranges.items()},
        end={partition: last + 1 for partition, (_, last) in ranges.items()},
    )
    return (one for one in records if one.key in keys)


def _ranges(entries: Iterable[RawRecord]) -> Mapping[int, tuple[int, int]]:
    found: dict[int, tuple[int, int]] = {}
    for record in entries:
        entry = decode(record)
        source = None if isinstance(entry, Rejected) else source_of(entry)
        if source is not None:
            first, last = found.get(source.partition, (source.offset, source.offset))
            found[source.partition] = min(first, source.offset), max(last, source.offset)
    return found
