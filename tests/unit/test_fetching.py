"""When a worker's consumer asks for more, and how long it lets the broker wait."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.structs import TopicPartition

from infra.faust_worker import GATHERED_BYTES, GATHERED_MS, make_app
from infra.kafka.fetching import BESIDE_MS, PromptFetcher

LEDGER, LABELS = TopicPartition("ledger", 0), TopicPartition("labels", 0)

#: Faust's own.
WAIT_MS = 1500


async def requested(fetcher: type[Fetcher], *held: TopicPartition) -> list[tuple[set[TopicPartition], int]]:
    """What is asked for while messages of some partitions are held: the partitions of each request, and how long it may wait."""
    cluster = SimpleNamespace(leader_for_partition=lambda place: 0)
    client = SimpleNamespace(_loop=asyncio.get_running_loop(), _metadata_max_age_ms=WAIT_MS, cluster=cluster)
    subscriptions = SimpleNamespace(subscription=None, register_fetch_waiters=lambda waiters: None)
    one: Any = fetcher(client, subscriptions, fetch_max_wait_ms=WAIT_MS)
    one._fetch_task.cancel()
    # They are held for longer than others are made to wait for them.
    one._records = {place: SimpleNamespace(calculate_backoff=lambda: 0) for place in held}
    state = SimpleNamespace(has_valid_position=True, paused=False, position=5)
    assignment = SimpleNamespace(tps={LEDGER, LABELS}, state_value=lambda place: state)
    requests, *_ = one._get_actions_per_node(assignment)
    found = []
    for _, request in requests:
        places = {
            TopicPartition(topic, partition) for topic, listed in request.topics for partition, *_ in listed
        }
        found.append((places, request._max_wait_ms))
    return found


def test_a_request_waits_for_long_only_where_no_partition_is_left_out() -> None:
    """Whoever is left out stands still until the request for the others is back."""
    for fetcher in (Fetcher, PromptFetcher):
        assert asyncio.run(requested(fetcher)) == [({LEDGER, LABELS}, WAIT_MS)]
    assert asyncio.run(requested(Fetcher, LEDGER)) == [({LABELS}, WAIT_MS)]
    assert asyncio.run(requested(PromptFetcher, LEDGER)) == [({LABELS}, BESIDE_MS)]
    assert BESIDE_MS < WAIT_MS / 10


@pytest.mark.parametrize(("gathers", "least"), [(True, (GATHERED_BYTES, GATHERED_MS)), (False, (1, WAIT_MS))])
def test_the_broker_gathers_for_who_has_time(tmp_path: Path, gathers: bool, least: tuple[int, int]) -> None:
    async def fetched() -> tuple[int, int]:
        app = make_app("gathers", bootstrap="127.0.0.1:1", home=tmp_path, member=None, gathers=gathers)
        thread = app.consumer._thread
        consumer = thread._create_worker_consumer(app.transport)
        # Neither was ever started.
        consumer._closed = True
        thread.thread_loop.close()
        return consumer._fetch_min_bytes, consumer._fetch_max_wait_ms

    assert asyncio.run(fetched()) == least
