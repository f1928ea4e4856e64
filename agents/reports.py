"""What a plant's workers tell control: requests of the party that bears the plant's name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from agents.ports import Sender, put
from schemas.requests import Command, Request
from streams import topics
from streams.envelope import REQUEST, headers
from streams.frames import moment


class Reports:
    """The reports of one worker."""

    def __init__(self, plant: str, *, sender: Sender, source: str, now_ms: Callable[[], int]) -> None:
        self._plant = plant
        self._sender = sender
        self._source = source
        self._now_ms = now_ms

    async def tell(self, command: Command, what: str) -> None:
        """Send a report; told twice under the same `what` it acts once."""
        request = Request(
            # Names fill the field by themselves; cut off, two long ones would be one request.
            id=hashlib.sha256(what.encode()).hexdigest()[:32],
            at=moment(self._now_ms() * 1000),
            command=command,
        )
        listed = headers(REQUEST, source=self._source, ident=request.id)
        key = str(getattr(command, "pairing", self._plant)).encode()
        await put(self._sender, topics.requests(self._plant), key, request.to_json(), listed)

    async def tell_anew(self, command: Command, what: str) -> None:
        """Send a report of something that may happen again: each time is another one."""
        await self.tell(command, f"{what}-{self._now_ms()}")
