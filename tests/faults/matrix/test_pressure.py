"""The log is the only queue: what a slow candidate has not come to yet waits there, and not in anybody's memory."""

from __future__ import annotations

import psutil
import pyarrow as pa
import pytest

from infra.kafka.producer import Producer
from streams import topics
from streams.envelope import ARROW, FRAME, headers
from streams.frames import TS, TS_TYPE, encode_batch
from tests.faults.matrix.ground import SPAN_S, Ground, open_with
from tests.integration.commands import run, wait_for
from tests.integration.plants import BEGIN_US, SECOND_US, Site, settled

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(300)]

#: Frames of almost the largest size; together more than a worker may hold.
FRAMES, TEXT = 180, 300_000
ROWS = 3

#: Most megabytes by which a runner may grow over a backlog of any length: its buffer, its window, and what one fetch brings.
GROWTH_MB = 110


def frame(number: int) -> bytes:
    """Three rows with a long text beside the agreed input."""
    start = BEGIN_US + 10 * number * SECOND_US
    columns = {
        TS: pa.array([start + row * SECOND_US for row in range(ROWS)], type=pa.int64()).cast(TS_TYPE),
        "x": pa.array([0.9, 0.1, 0.9]),
        "secret": pa.array(["s" * TEXT] * ROWS),
    }
    return encode_batch(pa.RecordBatch.from_pydict(columns))


def test_a_backlog_waits_in_the_log_and_not_in_memory_and_status_shows_it(ground: Ground) -> None:
    site: Site = ground.shared.site("pressure")
    name = open_with(site, "pressure-1", ground.models / "threshold", "pressure")
    runner = psutil.Process(ground.runner("pressure-1", name))
    site.frame("warm", 0, [0.9] * 3)
    site.wait_counts("pressure-1", name, rows_in=3)
    before = runner.memory_info().rss
    child = psutil.Process(ground.children(runner.pid)[0])
    child.suspend()
    producer = Producer(ground.kafka.bootstrap)
    for number in range(1, FRAMES + 1):
        listed = headers(FRAME, source="/test", ident=f"f-{number}", content=ARROW)
        producer.append(topics.telemetry(site.name), b"m1", frame(number), listed)
    producer.close()
    status = run(ground.home, "status", "--json", **ground.shared.env)
    waiting = next(one for one in status.records if one.get("pairing") == "pressure-1")["frames_waiting"]
    assert waiting[f"pressure-1/{name}"] == FRAMES
    most = runner.memory_info().rss
    child.resume()

    def answered() -> bool:
        nonlocal most
        most = max(most, runner.memory_info().rss)
        return f"f-{FRAMES}" in ground.frames(site, "pressure-1", f"pressure-1/{name}")

    wait_for(answered, "an outcome for everything", timeout_s=200)
    grown = (most - before) / 1e6
    print({"backlog_mb": FRAMES * ROWS * TEXT / 1e6, "waiting": waiting, "grown_mb": round(grown, 1)})
    assert grown < GROWTH_MB
    assert runner.is_running()
    assert child.is_running()
    # The checker takes telemetry for numbers alone; here the texts are in its way.
    site.end("pressure-1")
    site.complete(SPAN_S)
    counts = site.verdict("pressure-1", name).evaluation.counts
    assert settled(counts) == {"rows_in": ROWS * (FRAMES + 1), "scored": ROWS * (FRAMES + 1)}
