"""The labels agent: takes a plant's labels into the ledger of every pairing that they are for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable

from agents.acknowledge import InOrder
from agents.line import Line
from agents.ports import Board, Crash, Log, Sender, or_crash
from agents.reports import Reports
from agents.runner import Arrival
from schemas.base import Offsets
from schemas.pairing import ACTIVE, Pairing
from schemas.parties import Plant
from schemas.rejected import Rejected
from streams import topics
from streams.envelope import RawRecord
from streams.label_codec import Decoded, decode_label, for_pairing, source_of
from streams.ledger_codec import Entry, encode
from streams.refusals import rejected_message

WINDOW = 256

#: Labels read at a time when a pairing's labels are taken in again.
BLOCK = 2000


class Labels:
    """Labels of one plant on their way into its ledger."""

    def __init__(
        self, plant: Plant, *, sender: Sender, log: Log, board: Board, reports: Reports, crash: Crash
    ) -> None:
        self._plant = plant.id
        self._known = {asset.name for asset in plant.assets}
        self._sender = sender
        self._log = log
        self._board = board
        self._crash = crash
        self._acknowledge = InOrder(window=WINDOW, crash=crash)
        self._line = Line(plant, topics.labels(plant.id), board=board, reports=reports)
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
        await asyncio.gather(self._acknowledge.run(), self._admit(), self._line.run())

    async def process(self, arrivals: AsyncIterator[Arrival]) -> None:
        """Take labels in, message by message."""
        async for arrival in arrivals:
            await self._line.clear()
            sent = await or_crash(self._take(arrival.record), self._crash)
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
            if pairing.phase not in ACTIVE or (known is None and pairing.held):
                # While the line stands, what was sent is not read past the place where it stands.
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
                await asyncio.gather(
                    *[sent for one in block for sent in await self._take_again(one, pairing)]
                )
        self._caught_up[pairing.id] = ends

    async def _take(self, record: RawRecord) -> list[Awaitable[object]]:
        """Take a label in for every pairing that it is for."""
        decoded = self._read(record)
        if isinstance(decoded, Rejected):
            if self._open:
                self._line.note(decoded)
            return [await self._reject(record, decoded)]
        source = source_of(record)
        found = [for_pairing(decoded, pairing, source) for pairing in self._open.values()]
        became = [one for one in found if one is not None]
        if became:
            wrong = [one for one in became if isinstance(one, Rejected)]
            # What is right for one of several pairings is no reason to stop.
            self._line.note(wrong[0] if len(wrong) == len(became) else None)
        return [await self._pass_on(record, one) for one in became]

    async def _take_again(self, record: RawRecord, pairing: Pairing) -> list[Awaitable[object]]:
        """Take a label in for a pairing that has just become known; what nobody can read is rejected in its turn."""
        decoded = self._read(record)
        if isinstance(decoded, Rejected):
            return []
        entry = for_pairing(decoded, pairing, source_of(record))
        return [] if entry is None else [await self._pass_on(record, entry)]

    def _read(self, record: RawRecord) -> Decoded | Rejected:
        """The label in a message, of a machine that there is."""
        decoded = decode_label(record)
        if isinstance(decoded, Rejected) or decoded.asset in self._known:
            return decoded
        if any(decoded.asset in one.agreement.assets for one in self._board.pairings.values()):
            return decoded
        detail = f"{self._plant} has no asset {decoded.asset!r}; it has {', '.join(sorted(self._known))}"
        return Rejected(reason="unknown_asset", detail=detail)

    async def _pass_on(self, record: RawRecord, became: Entry | Rejected) -> Awaitable[object]:
        if isinstance(became, Rejected):
            return await self._reject(record, became)
        key, value, headers = encode(became, source=f"/plants/{self._plant}/labels", ident=record.origin)
        return await self._sender.send(topics.ledger(self._plant), key, value, headers)

    async def _reject(self, record: RawRecord, why: Rejected) -> Awaitable[object]:
        key, value, headers = rejected_message(record, why, source=f"/plants/{self._plant}/labels")
        return await self._sender.send(topics.rejected(self._plant), key, value, headers)
