"""Retention kept: who may have a pairing's records deleted, when time does it, and what may go.

A topic loses its beginning only, and its records belong to several pairings. So what one pairing may lose ends where the first
record stands that another still needs; what lies behind goes when that one has gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from schemas.base import Ident, Moment, Offsets
from schemas.erasure import PARTS, Erased, Part, Remaining
from schemas.events import ErasureOrdered
from schemas.pairing import DONE, OVER, Pairing
from schemas.requests import EraseRecords
from schemas.words import Phrase
from streams import topics
from streams.conditions import asked_by, require, stands_in

# --- who orders it ----------------------------------------------------------------------------------------------------


def ordered(party: Ident, command: EraseRecords, pairing: Pairing) -> ErasureOrdered:
    """The fact that a pairing's records are to be deleted.

    Raises:
        Refusal: it is not the owner who asks, or the pairing still needs them.
    """
    asked_by(party, (pairing.manufacturer,), Phrase("records are erased", "기록 삭제"), pairing)
    rule = Phrase(
        "records are erased once a pairing is settled or broken off",
        "기록은 판정이 확정되었거나 중단된 매칭에서만 삭제할 수 있습니다.",
    )
    stands_in(pairing, sorted(DONE), rule)
    left = tuple(part for part in PARTS if part not in pairing.erasing)
    require(
        bool(left),
        f"the records of {pairing.id} are being erased already; `fieldproof plant erase` shows what is gone",
        f"매칭 {pairing.id}의 기록 삭제가 이미 요청되어 있습니다. `fieldproof plant erase`로 현황을 확인해 주세요.",
    )
    return ErasureOrdered(pairing=pairing.id, parts=left)


def due(pairing: Pairing, now: datetime) -> tuple[Part, ...]:
    """The parts whose agreed days after the close are over and that nobody has ordered to be deleted yet.

    An objection that is open keeps the ledger until it is decided.
    """
    if pairing.phase not in OVER or not (pairing.deployments or pairing.candidates):
        return ()
    return tuple(
        part
        for part in PARTS
        if part not in pairing.erasing
        and (part != "ledger" or pairing.phase in DONE)
        and (ends := ends_at(pairing, part)) is not None
        and now >= ends
    )


def ends_at(pairing: Pairing, part: Part) -> Moment | None:
    """Until when the agreement keeps a part; None where it says nothing, or the pairing is not over."""
    kept = pairing.agreement.retention
    days = {"telemetry": kept.telemetry_days, "ledger": kept.ledger_days, "artifacts": kept.artifact_days}[
        part
    ]
    if days is None or pairing.closed_at is None:
        return None
    return pairing.closed_at + timedelta(days=days)


# --- what may go ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Log:
    """One topic partition as it stands now, and whose records are in it.

    Attributes:
        begin: its first offset that can still be read.
        spans: for each pairing, its first offset and the one behind its last.
    """

    topic: str
    partition: int
    begin: int
    spans: Mapping[Ident, tuple[int, int]]


@dataclass(kw_only=True)
class Plan:
    """What can be deleted of a pairing now.

    Attributes:
        delete: the offset before which everything goes, by topic and partition.
    """

    delete: dict[tuple[str, int], int] = field(default_factory=dict)
    erased: list[Erased] = field(default_factory=list)
    remaining: list[Remaining] = field(default_factory=list)


def planned(
    pairing: Pairing, logs: Iterable[Log], pairings: Mapping[Ident, Pairing], parts: Iterable[Part]
) -> Plan:
    """What can be deleted of these parts of a pairing, and what cannot yet.

    Args:
        pairing: its records go.
        logs: the partitions in which it has records.
        pairings: those of the same plant.
        parts: what was ordered, or is about to be.
    """
    plan, wanted = Plan(), set(parts)
    for log in logs:
        part: Part = "ledger" if log.topic == topics.ledger(pairing.plant) else "telemetry"
        if part in wanted and pairing.id in log.spans:
            _plan_one(plan, pairing, log, part, pairings)
    return plan


def _plan_one(plan: Plan, pairing: Pairing, log: Log, part: Part, pairings: Mapping[Ident, Pairing]) -> None:
    first, until = log.spans[pairing.id]
    others = {
        name: span
        for name, span in log.spans.items()
        if name != pairing.id and name in pairings and needs(pairings[name], part) and span[1] > log.begin
    }
    floor = min([until, *(max(start, log.begin) for start, _ in others.values())])
    gone = max(log.begin, floor)
    if floor > log.begin:
        plan.delete[log.topic, log.partition] = floor
    if gone > first:
        plan.erased.append(
            Erased(topic=log.topic, partition=log.partition, first=first, until=min(gone, until))
        )
    if gone < until:
        blocking = sorted(name for name, (start, _) in others.items() if start < until)
        plan.remaining.append(
            Remaining(
                topic=log.topic,
                partition=log.partition,
                first=max(first, gone),
                until=until,
                needed_by=tuple(blocking),
                due=_last_of(ends_at(pairings[name], part) for name in blocking),
            )
        )


def _last_of(moments: Iterable[Moment | None]) -> Moment | None:
    """The latest, where all are known."""
    found = list(moments)
    known = [one for one in found if one is not None]
    return max(known) if known and len(known) == len(found) else None


def needs(pairing: Pairing, part: Part) -> bool:
    """Whether records may not be taken away from a pairing: until it is over, and then as its agreement says.

    What a ledger says nothing about is kept for good. Telemetry is not needed to compute scores again: once its pairing is
    settled or broken off, and the agreement does not say how long it is kept, it may go with another's.
    """
    if part in pairing.erasing:
        return False
    if part == "telemetry" and pairing.phase in DONE:
        return pairing.agreement.retention.telemetry_days is not None
    return True


def telemetry_of(pairing: Pairing) -> Iterator[tuple[int, int, int]]:
    """The telemetry of a pairing's rehearsals and trials: partition, first offset, and the one behind the last.

    While one of them has no end it reaches as far as there is.
    """
    runs = pairing.deployments
    for partition in sorted({number for one in runs for number in one.starts}):
        starts: Offsets = {i: one.starts[partition] for i, one in enumerate(runs) if partition in one.starts}
        ends = [
            one.until.get(partition, one.starts.get(partition, 0)) if one.until is not None else FAR
            for one in runs
        ]
        yield partition, min(starts.values()), max(ends)


#: Behind every offset.
FAR = 2**62
