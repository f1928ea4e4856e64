"""Appending single messages from outside the workers: commands and supervisors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from kafka import KafkaProducer
from kafka.errors import KafkaError

from infra.errors import BrokerUnavailable
from streams.envelope import Headers


class Producer:
    """Appends one message after the other, each waited for; connects at the first. A `Sender` of the agents, too."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._producer: KafkaProducer | None = None

    def append(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        *,
        partition: int | None = None,
    ) -> tuple[int, int]:
        """Append one message and wait until the broker has it; gives its partition and offset.

        Without a partition the key chooses it.

        Raises:
            BrokerUnavailable: it does not.
        """
        try:
            if self._producer is None:
                self._producer = KafkaProducer(
                    bootstrap_servers=self._bootstrap,
                    acks="all",
                    enable_idempotence=True,
                    max_request_size=4 * 1024 * 1024,
                )
            sent = self._producer.send(topic, key=key, value=value, headers=headers, partition=partition)
            place = sent.get(timeout=20)
        except KafkaError as error:
            raise BrokerUnavailable(
                f"the broker at {self._bootstrap} did not take the message: {error}"
            ) from error
        return int(place.partition), int(place.offset)

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> Awaitable[object]:
        """Append one message; the broker has it when this returns."""
        await asyncio.to_thread(self.append, topic, key, value, headers)
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def close(self) -> None:
        """Close the connection."""
        if self._producer is not None:
            self._producer.close(timeout=5)
