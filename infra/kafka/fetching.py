"""When aiokafka's consumers ask a broker for more.

A consumer has one request open at a time. The partitions whose messages are still being worked at are not in it: where they
are worked off before it returns, they stand still until it does, and Faust lets a request that finds nothing wait for 1.5 s.
"""

from __future__ import annotations

from typing import Any

from aiokafka.consumer import consumer
from aiokafka.consumer.fetcher import Fetcher

#: How long a request that leaves partitions out may wait for the others' messages, in milliseconds.
BESIDE_MS = 50


class PromptFetcher(Fetcher):  # type: ignore[misc]
    """Waits for long only where nothing else is waited for by whoever reads."""

    def __init__(self, *given: Any, fetch_max_wait_ms: int, **more: Any) -> None:
        super().__init__(*given, fetch_max_wait_ms=fetch_max_wait_ms, **more)
        self._waits_ms = (fetch_max_wait_ms, min(fetch_max_wait_ms, BESIDE_MS))

    def _get_actions_per_node(self, assignment: Any) -> Any:
        """As aiokafka, of whatever partition something is still held."""
        self._fetch_max_wait_ms = self._waits_ms[bool(self._records)]
        return super()._get_actions_per_node(assignment)


def install() -> None:
    """Have every consumer of aiokafka in this process ask so, Faust's among them."""
    consumer.Fetcher = PromptFetcher
