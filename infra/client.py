"""How commands talk to a running installation: they ask, and they read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar

from infra.errors import InfraError
from infra.kafka import admin as kafka_admin
from infra.kafka.groups import runner_group
from infra.kafka.producer import Producer
from infra.request_ids import request_id as content_id
from infra.request_ids import undone
from infra.settings import Addresses, Settings, running
from schemas.base import Offsets
from schemas.events import Fact, RequestRefused
from schemas.pairing import Deployment, Pairing
from schemas.parties import Plant
from schemas.requests import Command, Request
from streams import topics
from streams.envelope import REQUEST, Headers, headers
from streams.judgement import subject
from streams.lifecycle import Installation, fact_in

T = TypeVar("T")


class NoAnswer(InfraError):
    """Control did not answer in time. Check that `fieldproof up` runs, and its logs."""

    exit_code = 3


class Unknown(InfraError):
    """There is nothing of that name."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What became of a request."""

    fact: Fact
    #: False where the same request was granted before.
    new: bool

    @property
    def refused(self) -> str | None:
        """Why it was refused; None where it was granted."""
        return self.fact.body.reason if isinstance(self.fact.body, RequestRefused) else None


class Client:
    """A connection to an installation. Facts are read from their topic, as anyone may."""

    def __init__(self, addresses: Addresses) -> None:
        self.addresses = addresses
        self._producer = Producer(addresses.bootstrap)
        self._state = Installation()
        self._facts: list[Fact] = []
        self._events = kafka_admin.Tail(addresses.bootstrap, topics.EVENTS)

    @classmethod
    def connect(cls, settings: Settings | None = None) -> Client:
        """Connect to the installation that the settings name.

        Raises:
            BrokerUnavailable: none runs, or its broker does not answer.
        """
        client = cls(running(settings or Settings()))
        client.refresh()
        return client

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._events.close()
        self._producer.close()

    @property
    def bootstrap(self) -> str:
        """The broker's address."""
        return self.addresses.bootstrap

    # --- reading --------------------------------------------------------------------------------------------------

    def refresh(self, *, wait_s: float = 0.0) -> Installation:
        """The state of the installation by the facts up to now; waits so long for a new one where there is none."""
        for record in self._events.new(wait_s=wait_s):
            fact = fact_in(record.value)
            if fact is not None and self._state.fold(fact):
                self._facts.append(fact)
        return self._state

    @property
    def state(self) -> Installation:
        """The state as it was last read."""
        return self._state

    @property
    def facts(self) -> list[Fact]:
        """The facts as they were last read."""
        return self._facts

    def lag(self, pairing: Pairing) -> dict[str, int]:
        """Telemetry messages that each deployment of a pairing has still to pass."""
        topic = topics.telemetry(pairing.plant)
        ends = kafka_admin.end_offsets(self.bootstrap, topic)
        return {
            deployment.id: self._behind(topic, deployment, deployment.until or ends)
            for deployment in pairing.deployments
        }

    def _behind(self, topic: str, deployment: Deployment, ends: Offsets) -> int:
        there = kafka_admin.group_offsets(self.bootstrap, runner_group(deployment.id))
        return sum(
            max(0, end - there.get((topic, partition), deployment.starts.get(partition, 0)))
            for partition, end in ends.items()
        )

    def plant(self, ident: str | None) -> Plant:
        """The plant of that id, or the only one there is.

        Raises:
            Unknown: there is none, or there are several and none was named.
        """
        return _one("plant", ident, self._state.plants)

    def pairing(self, ident: str | None) -> Pairing:
        """The pairing of that id, or the only one there is.

        Raises:
            Unknown: there is none, or there are several and none was named.
        """
        return _one("pairing", ident, self._state.pairings)

    # --- asking ---------------------------------------------------------------------------------------------------

    def ask(
        self, party: str, command: Command, *, request_id: str | None = None, timeout_s: float = 30.0
    ) -> Answer:
        """Ask as a party, and wait for the fact that answers.

        Asking the same again gives the fact that granted it the first time.

        Raises:
            NoAnswer: control did not answer in time.
            BrokerUnavailable: the broker does not answer.
        """
        self.refresh()
        ident = request_id or content_id(party, command, after=self._last_refusal(party, command))
        granted = self._state.granted.get((party, ident))
        if granted is not None:
            return Answer(fact=self._facts[granted - 1], new=False)
        known = len(self._facts)
        request = Request(id=ident, at=datetime.now(UTC), command=command)
        listed = headers(REQUEST, source=f"/parties/{party}", ident=ident)
        self.send(topics.requests(party), subject(command).encode(), request.to_json(), listed)
        for fact in self._await(known, timeout_s):
            if fact.party == party and fact.request == ident:
                return Answer(fact=fact, new=True)
        raise NoAnswer(
            f"control has not answered within {timeout_s:g} s; check that `fieldproof up` runs. "
            "The request is kept and will be judged; asking again is safe."
        )

    def _last_refusal(self, party: str, command: Command) -> int:
        """The number of the last fact that refused or undid this very request: asking anew is a new request."""
        number = undone(command, self._facts)
        while True:
            ident = content_id(party, command, after=number)
            refused = [
                fact.number
                for fact in self._facts
                if fact.party == party and fact.request == ident and isinstance(fact.body, RequestRefused)
            ]
            if not refused:
                return number
            number = refused[-1]

    def _await(self, known: int, timeout_s: float) -> Iterator[Fact]:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self.refresh(wait_s=min(1.0, timeout_s))
            yield from self._facts[known:]
            known = len(self._facts)

    def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        listed: Headers,
        *,
        partition: int | None = None,
    ) -> tuple[int, int]:
        """Append one message and wait until the broker has it; gives its partition and offset.

        Raises:
            BrokerUnavailable: it does not.
        """
        return self._producer.append(topic, key, value, listed, partition=partition)


def _one(what: str, ident: str | None, known: dict[str, T]) -> T:
    if ident is None:
        if len(known) == 1:
            return next(iter(known.values()))
        if not known:
            raise Unknown(f"there is no {what} yet; open one with `fieldproof apply`")
        raise Unknown(f"which {what}? Give --{what}. There are: {', '.join(sorted(known))}")
    if ident not in known:
        there = ", ".join(sorted(known)) or "none; open one with `fieldproof apply`"
        raise Unknown(f"there is no {what} {ident!r}. There are: {there}")
    return known[ident]
