"""The labels agent: takes a plant's labels into the ledger of every pairing that they are for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable

from agents.acknowledge import InOrder
from agents.ports import Board, Crash, Log, Sender, or_crash
from agents.runner import Arrival
from schemas.base import Offsets
from schemas.ledger import Source
from schemas.pairing import ACTIVE, Pairing
from schemas.rejected import Rejected
from streams import topics
from streams.envelope import RawRecord
from streams.label_codec import decode_label, for_pairing
from streams.ledger_codec import encode
from streams.refusals import rejected_message

WINDOW = 256

#: Labels read at a time when a pairing's labels are taken in again.
BLOCK = 2000


class Labels:
    """Labels of one plant on their way into its ledger."""

    def __init__(self, plant: str, *, sender: Sender, log: Log, board: Board, crash: Crash) -> None:
        self._plant = plant
        self._sender = sender
        self._log = log
        self._board = board
        self._crash = crash
        self._acknowledge = InOrder(window=WINDOW, crash=crash)
        #: Pairings whose labels are taken as they come.
        self._open: dict[str, Pairing] = {}
        self._appeared: asyncio.Queue[Pairing] = asyncio.Queue()
        #: The next offset of each partition that is not in the ledger yet; for a new pairing, what was read again.
        self._live: Offsets = {}
        self._caught_up: dict[str, Offsets] = {}

    def taken(self, pairing: str, ends: Offsets) -> bool:
        """Whether every label before these offsets stands in the ledger for a pairing."""
        again = self._caught_up.get(pairing)
        return again is not None and all(
            max(again.get(partition, 0), self._live.get(partition, 0)) >= end
            for partition, end in ends.items()
        )

    async def background(self) -> None:
        """Everything beside the reading of labels; runs as long as the worker."""
        self._board.on_change(self._appeared.put_nowait)
        await asyncio.gather(self._acknowledge.run(), self._admit())

    async def process(self, arrivals: AsyncIterator[Arrival]) -> None:
        """Take labels in, message by message."""
        async for arrival in arrivals:
            sent = await or_crash(self._take(arrival.record, self._open.values()), self._crash)
            await self._acknowledge.put([arrival], self._done(arrival.record, sent))

    async def _done(self, record: RawRecord, sent: list[Awaitable[object]]) -> None:
        await asyncio.gather(*sent)
        self._live[record.partition] = record.offset + 1

    async def _admit(self) -> None:
        """Take in what was labelled before a pairing was known here.

        Every label up to the end of its topic is read again, also those that another run has taken already: the fold
        knows a label by its source offset.
        """
        while True:
            pairing = await self._appeared.get()
            known = self._open.pop(pairing.id, None)
            if pairing.phase not in ACTIVE:
                continue
            self._open[pairing.id] = pairing
            # The trial's labels begin anew, after the rehearsal's.
            if known is None or known.labels_from != pairing.labels_from:
                await or_crash(self._catch_up(pairing), self._crash)

    async def _catch_up(self, pairing: Pairing) -> None:
        topic = topics.labels(self._plant)
        ends = await self._log.ends(topic)
        for partition, end in ends.items():
            for start in range(pairing.labels_from.get(partition, 0), end, BLOCK):
                block = await self._log.read(topic, partition, start, min(start + BLOCK, end))
                # Sent together: awaited one after the other they would take a thousandth of a second each.
                await asyncio.gather(*[sent for one in block for sent in await self._take(one, [pairing])])
        self._caught_up[pairing.id] = ends

    async def _take(self, record: RawRecord, pairings: Iterable[Pairing]) -> list[Awaitable[object]]:
        decoded = decode_label(record)
        if isinstance(decoded, Rejected):
            return [await self._reject(record, decoded)]
        source = Source(partition=record.partition, offset=record.offset, appended_ms=record.timestamp_ms)
        sent: list[Awaitable[object]] = []
        for pairing in list(pairings):
            entry = for_pairing(decoded, pairing, source)
            if isinstance(entry, Rejected):
                sent.append(await self._reject(record, entry))
            elif entry is not None:
                key, value, headers = encode(
                    entry, source=f"/plants/{self._plant}/labels", ident=record.origin
                )
                sent.append(await self._sender.send(topics.ledger(self._plant), key, value, headers))
        return sent

    async def _reject(self, record: RawRecord, why: Rejected) -> Awaitable[object]:
        key, value, headers = rejected_message(record, why, source=f"/plants/{self._plant}/labels")
        return await self._sender.send(topics.rejected(self._plant), key, value, headers)
