"""Control: judges requests against the facts so far and is the only writer of facts.

A request is acknowledged when its fact is with the broker. After a crash in between it comes again, its id is known, and
nothing happens twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Protocol

from pydantic import ValidationError

from agents.acknowledge import InOrder, done
from agents.ports import Crash, Log, Sender, Tail, put
from agents.runner import Arrival
from schemas.base import Ident
from schemas.events import Body, Fact, OrganisationRegistered, PlantAdmitted, RequestRefused
from schemas.pairing import Pairing
from schemas.requests import Request
from streams import topics
from streams.deadlines import CLOCK, end_of, overdue, time_up
from streams.envelope import FACT, PAIRING, RawRecord, headers
from streams.judgement import judge, offsets_needed, subject
from streams.lifecycle import Installation, fact_in
from streams.unreadable import TOO_LARGE, unreadable

log = logging.getLogger(__name__)

SOURCE = "/control"

#: Seconds between looks at what time has brought about.
CLOCK_S = 0.5
PREFIX = topics.requests("")


class TopicMaker(Protocol):
    """Makes topics exist."""

    async def ensure(self, specs: Sequence[topics.TopicSpec]) -> None: ...


class Control:
    """The life of pairings in one installation."""

    def __init__(
        self,
        *,
        sender: Sender,
        log: Log,
        events: Tail,
        maker: TopicMaker,
        listen: Callable[[Installation], None],
        crash: Crash,
        now: Callable[[], datetime],
    ) -> None:
        self._sender = sender
        self._log = log
        self._events = events
        self._maker = maker
        self._listen = listen
        self._crash = crash
        self._now = now
        self._state = Installation()
        self._acknowledge = InOrder(window=1, crash=crash)
        self._ready = asyncio.Event()
        #: Requests and time both make facts; one of them at a time.
        self._turn = asyncio.Lock()

    async def begin(self) -> None:
        """Rebuild the state from the facts, and make sure that what follows from them is there."""
        await self._catch_up()
        for plant in self._state.plants.values():
            await self._maker.ensure(topics.of_plant(plant.id, plant.partitions))
        for organisation in self._state.organisations:
            await self._maker.ensure(topics.of_organisation(organisation))
        for pairing in self._state.pairings.values():
            await self._show(pairing)
        self._listen(self._state)
        self._ready.set()

    async def background(self) -> None:
        """Acknowledge what is done and let time decide; runs as long as the worker."""
        await asyncio.gather(self._acknowledge.run(), self._watch_the_clock())

    async def process(self, arrivals: AsyncIterator[Arrival]) -> None:
        """Take requests in, one after the other: each is judged against the facts before it."""
        await self._ready.wait()
        async for arrival in arrivals:
            try:
                async with self._turn:
                    await self._take(arrival.record)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                self._crash(error)
            await self._acknowledge.put([arrival], done())

    # --- requests and time ----------------------------------------------------------------------------------------

    async def _take(self, record: RawRecord) -> None:
        party = record.topic.removeprefix(PREFIX)
        request = _read(record)
        if isinstance(request, RequestRefused):
            refused = request
            await self._decide(party, record.origin, record.origin, lambda: _at_once(refused))
            return

        if (party, request.id) in self._state.granted:
            return
        # A deadline that has passed counts before what is judged after it, also when control was away meanwhile.
        await self._let_time_pass()

        async def judged() -> Body | None:
            if (party, request.id) in self._state.granted:
                return None
            wanted = offsets_needed(request.command, self._state)
            ends = {topic: await self._log.ends(topic) for topic in wanted}
            return judge(party, request.command, self._state, request=request.id, ends=ends)

        await self._decide(party, request.id, subject(request.command), judged)

    async def _watch_the_clock(self) -> None:
        while True:
            await self.tick()
            await asyncio.sleep(CLOCK_S)

    async def tick(self) -> None:
        """Deadlines pass by themselves: what time has brought about by now becomes a fact."""
        async with self._turn:
            await self._let_time_pass()

    async def _let_time_pass(self) -> None:
        for request, body in list(overdue(self._state, self._now())):
            about = str(getattr(body, "pairing", CLOCK))
            await self._decide(CLOCK, request, about, partial(self._overdue, request))
        for request, pairing in list(time_up(self._state, self._now())):
            await self._decide(CLOCK, request, pairing.id, partial(self._time_up, request))

    async def _overdue(self, request: str) -> Body | None:
        """What time has brought about under that id, unless another fact about the pairing came first."""
        return dict(overdue(self._state, self._now())).get(request)

    async def _time_up(self, request: str) -> Body | None:
        pairing = dict(time_up(self._state, self._now())).get(request)
        if pairing is None:
            return None
        return end_of(pairing, await self._log.ends(topics.telemetry(pairing.plant)))

    # --- facts ----------------------------------------------------------------------------------------------------

    async def _decide(
        self, party: Ident, request: str, about: str, body_now: Callable[[], Awaitable[Body | None]]
    ) -> None:
        """Make a request's fact the next one, judged against the facts before it.

        The number is the claim: where another control, started by mistake, has taken it first, readers ignore ours, and
        the request is judged again against that fact.
        """
        while True:
            body = await body_now()
            if body is None:
                return
            await self._prepare(body)
            number = self._state.number + 1
            fact = Fact(number=number, at=self._now(), party=party, request=request, subject=about, body=body)
            listed = headers(FACT, source=SOURCE, ident=str(fact.number), at=fact.at)
            await put(self._sender, topics.EVENTS, about.encode(), fact.to_json(), listed)
            if fact in await self._catch_up():
                log.info("fact %d: %s of %s for %s", fact.number, body.kind, about, party)
                return
            log.warning("fact %d was taken by another control; judging again", fact.number)

    async def _catch_up(self) -> list[Fact]:
        """Fold the facts that are new in the topic, ours among them, and show what they changed."""
        new: list[Fact] = []
        for record in await self._events.new():
            fact = fact_in(record.value)
            if fact is None or not self._state.fold(fact):
                continue
            new.append(fact)
            if not self._ready.is_set():
                continue
            for pairing in self._state.touched(fact.body):
                await self._show(pairing)
            if isinstance(fact.body, PlantAdmitted | OrganisationRegistered):
                self._listen(self._state)
        return new

    async def _prepare(self, body: Body) -> None:
        """Make what a fact promises, before it is a fact."""
        if isinstance(body, PlantAdmitted):
            await self._maker.ensure(topics.of_plant(body.plant.id, body.plant.partitions))
        if isinstance(body, OrganisationRegistered):
            await self._maker.ensure(topics.of_organisation(body.organisation.id))

    async def _show(self, pairing: Pairing) -> None:
        listed = headers(PAIRING, source=SOURCE, ident=f"{pairing.id}-{pairing.fact}")
        await put(
            self._sender, topics.pairings(pairing.plant), pairing.id.encode(), pairing.to_json(), listed
        )


def _read(record: RawRecord) -> Request | RequestRefused:
    """The request in a message, or the refusal of what is none."""
    value = record.value or b""
    if len(value) > topics.MESSAGE_BYTES:
        return TOO_LARGE
    try:
        return Request.model_validate_json(value)
    except ValidationError as error:
        return unreadable(error)


async def _at_once(body: Body) -> Body:
    """A body that needs no judgement."""
    return body
