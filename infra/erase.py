"""Deleting a pairing's records: the beginnings of the plant's topics, and what lies on its machine.

Deleted offsets can no longer be read by anybody. The broker gives their disk space back when the segment file that they
lie in is full, or a week old.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from infra.errors import InfraError
from infra.kafka import admin as kafka_admin
from infra.mlflow.registry import ModelRegistry
from infra.results import evaluations_of
from schemas.erasure import PARTS, Erased, Erasure
from schemas.pairing import DONE, Pairing
from streams import topics
from streams.envelope import RawRecord
from streams.erasing import FAR, Log, Plan, planned, telemetry_of

log = logging.getLogger(__name__)


def plan(bootstrap: str, pairing: Pairing, pairings: Mapping[str, Pairing]) -> Plan:
    """What of a pairing's records could be deleted now, if it were ordered.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    return planned(pairing, logs_of(bootstrap, pairing.plant, pairings), pairings, PARTS)


def logs_of(bootstrap: str, plant: str, pairings: Mapping[str, Pairing]) -> list[Log]:
    """The partitions of a plant's telemetry and ledger, with the offsets of each pairing.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    telemetry, ledger = topics.telemetry(plant), topics.ledger(plant)
    spans: dict[int, dict[str, tuple[int, int]]] = {}
    for one in pairings.values():
        for partition, first, until in telemetry_of(one) if one.plant == plant else ():
            spans.setdefault(partition, {})[one.id] = first, until
    begins = kafka_admin.begin_offsets(bootstrap, telemetry)
    found = [
        Log(topic=telemetry, partition=number, begin=begin, spans=spans.get(number, {}))
        for number, begin in begins.items()
    ]
    (begin,) = kafka_admin.begin_offsets(bootstrap, ledger).values()
    entries = ledger_spans(kafka_admin.read_all(bootstrap, ledger))
    return [*found, Log(topic=ledger, partition=0, begin=begin, spans=entries)]


def ledger_spans(records: Iterable[RawRecord]) -> dict[str, tuple[int, int]]:
    """For each pairing the offset of its first entry, and the one behind its last."""
    spans: dict[str, tuple[int, int]] = {}
    for record in records:
        name = (record.key or b"").decode(errors="replace")
        first, _ = spans.get(name, (record.offset, FAR))
        spans[name] = first, record.offset + 1
    return spans


class Eraser:
    """Deletes what was ordered to be deleted, on the machine of one plant, and tells what is gone.

    Args:
        tell: told of each pairing what has become of its records, whenever that has changed.
    """

    def __init__(
        self,
        plant: str,
        *,
        bootstrap: str,
        home: Path,
        registry: ModelRegistry,
        tell: Callable[[Pairing, Erasure], Awaitable[None]],
    ) -> None:
        self._plant = plant
        self._bootstrap = bootstrap
        self._state = home / "state" / plant
        self._registry = registry
        self._tell = tell
        #: What each pairing's last look depended on.
        self._looked: dict[str, object] = {}

    async def look(self, pairings: Mapping[str, Pairing]) -> bool:
        """Delete what may go by now; false where the world did not let it, so that it has to be tried again."""
        seen = {one.id: _depends_on(one, pairings) for one in pairings.values() if one.erasing}
        due = [pairings[name] for name in seen if self._looked.get(name) != seen[name]]
        try:
            # All of them are planned before anything goes: what one loses is the beginning of another's too.
            logs = await asyncio.to_thread(logs_of, self._bootstrap, self._plant, pairings) if due else []
            plans = [planned(one, logs, pairings, one.erasing) for one in due]
            for one, found in zip(due, plans, strict=True):
                await self._remove_files(one, pairings)
                erasure = await asyncio.to_thread(self._erase, one, found)
                if erasure != one.erasure:
                    await self._tell(one, erasure)
                self._looked[one.id] = seen[one.id]
        except (InfraError, OSError) as error:
            log.warning("records of %s are not erased yet: %s", ", ".join(one.id for one in due), error)
            return False
        return True

    async def _remove_files(self, pairing: Pairing, pairings: Mapping[str, Pairing]) -> None:
        needed = files_needed(pairings)
        for one in pairing.candidates if "artifacts" in pairing.erasing else ():
            if one.digest not in needed:
                await self._registry.remove(one)
        if "ledger" in pairing.erasing:
            # Entries that an earlier version kept for itself.
            for aside in self._state.glob("*.aside"):
                aside.unlink(missing_ok=True)

    def _erase(self, pairing: Pairing, found: Plan) -> Erasure:
        for (topic, partition), offset in found.delete.items():
            kafka_admin.delete_before(self._bootstrap, topic, {partition: offset})
            log.info("%s: deleted %s, partition %d, before offset %d", pairing.id, topic, partition, offset)
        before = pairing.erasure
        gone = [one.id for one in pairing.candidates if not self._registry.holds(one)]
        artifacts = "artifacts" in pairing.erasing
        return Erasure(
            parts=pairing.erasing,
            erased=together(before.erased if before is not None else (), found.erased),
            remaining=tuple(found.remaining),
            files_erased=tuple(gone) if artifacts else (),
            files_remaining=tuple(one.id for one in pairing.candidates if one.id not in gone)
            if artifacts
            else (),
            chain=before.chain if before is not None and before.chain else self._chain(pairing),
            agreement_digest=pairing.agreement_digest,
        )

    def _chain(self, pairing: Pairing) -> str | None:
        chain = None
        for one in evaluations_of(self._bootstrap, self._plant):
            if one.pairing == pairing.id:
                chain = one.chain
        return chain


def files_needed(pairings: Mapping[str, Pairing]) -> set[str]:
    """Digests of the candidates whose files some pairing still needs on its plant's machine."""
    return {
        one.digest
        for pairing in pairings.values()
        if pairing.phase not in DONE and "artifacts" not in pairing.erasing
        for one in pairing.candidates
    }


def together(before: Iterable[Erased], now: Iterable[Erased]) -> tuple[Erased, ...]:
    """What was gone before and what is gone now, one range a partition: a log loses its beginning only."""
    found: dict[tuple[str, int], Erased] = {}
    for one in (*before, *now):
        known = found.get((one.topic, one.partition), one)
        first, until = min(known.first, one.first), max(known.until, one.until)
        found[one.topic, one.partition] = one.model_copy(update={"first": first, "until": until})
    return tuple(found[place] for place in sorted(found))


def _depends_on(pairing: Pairing, pairings: Mapping[str, Pairing]) -> object:
    """What decides on what may go: the look is worth repeating once it has changed."""
    return (
        pairing.erasing,
        [(one.id, one.phase in DONE, one.erasing) for one in pairings.values()],
    )
