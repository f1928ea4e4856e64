"""Feeds: tells each party what the agreement lets it see of its pairings, and nothing else.

A message may be told twice after a crash, or when a party has come; its id is the same, and readers count it once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from pydantic import ValidationError

from agents.acknowledge import InOrder, done
from agents.ports import Crash, Log, Sender, Tail, put
from agents.runner import Arrival
from schemas.base import Ident
from schemas.evaluation import Evaluation, Verdict
from schemas.events import Fact
from schemas.feeds import FEED_ITEM, FeedEvaluation, FeedFact, FeedVerdict
from streams import topics
from streams.disclosure import due, evaluation_for, fact_for, parties_of, verdict_for
from streams.envelope import FEED, RawRecord, headers
from streams.lifecycle import Installation, fact_in

SOURCE = "/control/feeds"

Key = tuple[Ident, str, str]


class Feeds:
    """The feeds of one installation."""

    def __init__(self, *, sender: Sender, log: Log, events: Tail, crash: Crash) -> None:
        self._sender = sender
        self._log = log
        self._events = events
        self._crash = crash
        self._acknowledge = InOrder(window=1, crash=crash)
        #: The facts folded so far, for looking pairings up.
        self._state = Installation()
        #: Where the facts stand that counted: what else is in their topic is told to nobody.
        self._counted: set[int] = set()
        self._last: dict[Key, FeedEvaluation] = {}
        self._read: set[Ident] = set()

    async def background(self) -> None:
        """Acknowledge what is told; runs as long as the worker."""
        await self._acknowledge.run()

    async def process(self, arrivals: AsyncIterator[Arrival]) -> None:
        """Take facts, evaluations and verdicts in, message by message."""
        async for arrival in arrivals:
            try:
                await self._take(arrival.record)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                self._crash(error)
            await self._acknowledge.put([arrival], done())

    async def _take(self, record: RawRecord) -> None:
        try:
            if record.topic == topics.EVENTS:
                await self._catch_up()
                if record.offset in self._counted:
                    await self._fact(Fact.model_validate_json(record.value or b""))
            elif record.topic.startswith(topics.verdicts("")):
                await self._verdict(Verdict.model_validate_json(record.value or b""))
            else:
                await self._evaluation(Evaluation.model_validate_json(record.value or b""))
        except ValidationError:
            # Written by control and scorers alone; what is no such record is not for a party.
            return

    async def _catch_up(self) -> None:
        for record in await self._events.new():
            fact = fact_in(record.value)
            if fact is not None and self._state.fold(fact):
                self._counted.add(record.offset)

    async def _fact(self, fact: Fact) -> None:
        for party, item in fact_for(fact, self._state):
            await self._tell(party, str(fact.subject), f"fact-{fact.number}", item)

    async def _evaluation(self, evaluation: Evaluation) -> None:
        # Facts and evaluations come in no order between their topics: an amended disclosure has to be known.
        await self._catch_up()
        pairing = self._state.pairings.get(evaluation.pairing)
        for party in parties_of(pairing) if pairing is not None else ():
            assert pairing is not None
            key = (party, evaluation.pairing, evaluation.candidate)
            await self._recall(party)
            item = evaluation_for(party, pairing, evaluation)
            if item is not None and due(party, pairing, evaluation, self._last.get(key)):
                self._last[key] = item
                final = "-final" if item.final else ""
                ident = f"{evaluation.pairing}-{evaluation.candidate}-{evaluation.ledger_offset}{final}"
                await self._tell(party, evaluation.pairing, ident, item)

    async def _verdict(self, verdict: Verdict) -> None:
        await self._catch_up()
        pairing = self._state.pairings.get(verdict.pairing)
        for party in parties_of(pairing) if pairing is not None else ():
            assert pairing is not None
            item = verdict_for(party, pairing, verdict)
            if item is not None:
                await self._tell(
                    party, verdict.pairing, f"{verdict.pairing}-{verdict.candidate}-verdict", item
                )

    async def _recall(self, party: Ident) -> None:
        """What a party was told last, from its own feed: how often it is told something outlives this process."""
        if party in self._read:
            return
        self._read.add(party)
        topic = topics.results(party)
        for partition, end in (await self._log.ends(topic)).items():
            for record in await self._log.read(topic, partition, 0, end):
                try:
                    item = FEED_ITEM.validate_json(record.value or b"")
                except ValidationError:
                    continue
                if isinstance(item, FeedEvaluation):
                    self._last[party, item.pairing, item.candidate] = item

    async def _tell(
        self, party: Ident, subject: str, ident: str, item: FeedFact | FeedEvaluation | FeedVerdict
    ) -> None:
        listed = headers(FEED, source=SOURCE, ident=ident)
        await put(self._sender, topics.results(party), subject.encode(), item.to_json(), listed)
