"""A broker that stands still, and one that refuses a record."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from infra.faust_worker import BROKEN_WORLD
from infra.kafka import admin as kafka_admin
from streams import topics
from tests.faults.matrix.ground import Bench, Ground, dice, open_with
from tests.integration.commands import wait_for
from tests.integration.plants import Site

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(300)]

FRAMES = 120


def test_a_broker_that_stands_still_under_load_goes_on_and_nothing_is_lost(ground: Ground) -> None:
    rng = dice("frozen")
    site: Site = ground.shared.site("frozen")
    name = open_with(site, "frozen-1", ground.models / "threshold", "frozen")
    moved = threading.Event()

    def feed() -> None:
        for number in range(FRAMES):
            site.frame(f"f-{number}", 10 * number, [0.9, 0.1, 0.9])
            if number == FRAMES // 3:
                moved.set()

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    assert moved.wait(60)
    os.kill(ground.kafka.pid, signal.SIGSTOP)
    try:
        # Longer than a member of a group may be silent, or not.
        time.sleep(rng.uniform(4, 14))
    finally:
        os.kill(ground.kafka.pid, signal.SIGCONT)
    feeder.join(90)
    assert not feeder.is_alive()
    ground.wait_outcome(site, f"frozen-1/{name}", f"f-{FRAMES - 1}")
    found = ground.prove(site, "frozen-1", name)
    # What the producer's own retries repeated is another message; nothing less than all was sent.
    assert found["due"] >= 2 * FRAMES


def limit(bench: Bench, topic: str, size: int) -> None:
    """Have a topic refuse records that are larger."""
    with kafka_admin._admin(bench.bootstrap) as admin:
        admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(size)})]
        )


def test_an_outcome_that_the_ledger_refuses_acknowledges_nothing_and_becomes_one_that_fits(
    bench: Bench,
) -> None:
    worker = bench.start()
    small = [bench.send() for _ in range(3)]
    bench.wait_whole()
    wait_for(lambda: bench.committed() == {0: 3}, "the commit of what was answered")
    limit(bench, topics.ledger(bench.name), 20_000)
    large = bench.send(5000)
    assert worker.wait(60) == BROKEN_WORLD
    assert bench.committed() == {0: 3}
    after = [bench.send() for _ in range(3)]
    bench.start()
    seen = bench.wait_whole()
    told = {entry.told["frame"]: entry.told for entry in seen.outcomes.values()}
    assert list(told) == [*small, large, *after]
    assert (told[large]["result"], told[large]["rows"]) == ("refused", 5000)
    assert "does not fit into the ledger" in told[large]["detail"]
    assert {told[frame]["result"] for frame in (*small, *after)} == {"answered"}
    kept = list(kafka_admin.read_all(bench.bootstrap, topics.rejected(bench.name)))
    assert [dict(record.headers)["fp_reason"] for record in kept] == [b"too_large"]
