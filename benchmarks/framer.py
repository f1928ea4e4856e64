"""How fast `fieldproof bridge rows` puts single JSON rows into frames: from the broker to acknowledged frames.

    python -m benchmarks.framer [--rows 1000000] [--rounds 5] [--json]

A topic is filled once with rows of eight tags; each round reads all of it into the telemetry of a plant of its own. What is
measured is the command's own way, in a process of its own, from the first row that it takes to the last acknowledgement, by
the clock and by the CPU time of that process. Beside it stands, in the same rounds, the same topic read by the same client
with `json.loads` a row and nothing else: what a loop of Python could reach at the most.

Run it on a machine that does nothing else. The last line with --json is one object with all figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from rich.console import Console
from rich.table import Table

from infra.bridge.bridge import LOT, Bridge, collect_seldom
from infra.bridge.job import ROWS, Job
from infra.bridge.layout import Layout
from infra.kafka import admin as kafka_admin
from infra.kafka.broker import EmbeddedKafka
from schemas.parties import Asset, Plant, RejectLimit, Tag
from streams import topics
from streams.topics import TopicSpec

TOPIC, PARTITIONS = "rows", 2
ASSETS = tuple(f"machine-{number}" for number in range(4))
TAGS = tuple(f"tag-{number}" for number in range(8))

#: What the project promises.
LEAST_ROWS_S = 100_000

Figures = dict[str, Any]


def main() -> None:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.framer", description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of a round")
    parser.add_argument("--rounds", type=int, default=5, help="the medians are over so many")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print JSON Lines on stdout")
    given = parser.parse_args()
    console = Console(stderr=given.as_json)
    with tempfile.TemporaryDirectory() as name, EmbeddedKafka(Path(name) / "kafka") as broker:
        figures = measure(broker.bootstrap, given.rows, given.rounds, console)
    console.print(show(figures))
    if given.as_json:
        print(json.dumps(figures))


def measure(bootstrap: str, rows: int, rounds: int, console: Console) -> Figures:
    """Fill the topic, and read it in turns with the bridge and with the loop."""
    kafka_admin.ensure_topics(bootstrap, [TopicSpec(name=TOPIC, partitions=PARTITIONS, config={})])
    size = asyncio.run(fill(bootstrap, rows))
    console.print(f"{rows} rows of {size} bytes are there")
    bridged, looped = [], []
    for number in range(rounds):
        plant = f"plant-{number}"
        kafka_admin.ensure_topics(bootstrap, topics.of_plant(plant, PARTITIONS))
        bridged.append(apart(bridge, bootstrap, plant))
        assert bridged[-1]["rows"] == rows, bridged[-1]
        looped.append(apart(loop, bootstrap, rows))
        console.print(
            f"round {number + 1}: {bridged[-1]['rows_s']:,.0f} rows/s, the loop {looped[-1]['rows_s']:,.0f}"
        )
    medians = {
        "framer_rows_s": _median(bridged, "rows_s"),
        "framer_rows_cpu_s": _median(bridged, "rows_cpu_s"),
        "loop_rows_s": _median(looped, "rows_s"),
        "loop_rows_cpu_s": _median(looped, "rows_cpu_s"),
    }
    return {
        "kind": "framer", **medians, "rows": rows, "rounds": rounds, "row_bytes": size, "frame_rows": ROWS,
        "each_rows_s": [round(one["rows_s"]) for one in bridged], "met": medians["framer_rows_s"] >= LEAST_ROWS_S,
    }  # fmt: skip


def _median(of: list[Figures], name: str) -> int:
    return round(statistics.median(one[name] for one in of))


def show(figures: Figures) -> Table:
    """A row for each way."""
    table = Table()
    for column in ("medians", "rows/s", "rows per CPU-second", "at least"):
        table.add_column(column, justify="left" if column == "medians" else "right")
    for way, name, least in (
        ("rows into frames", "framer", f"{LEAST_ROWS_S:,}"),
        ("read, json.loads, nothing else", "loop", ""),
    ):
        table.add_row(way, *(f"{figures[f'{name}_{one}']:,}" for one in ("rows_s", "rows_cpu_s")), least)
    return table


# --- rows -----------------------------------------------------------------------------------------------------------


async def fill(bootstrap: str, rows: int) -> int:
    """Send the rows as a gateway would, a machine after the other; gives the bytes of one on average."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, linger_ms=20, max_batch_size=256 * 1024, compression_type="lz4"
    )
    await producer.start()
    size, sent = 0, []
    for key, value in messages(rows):
        size += len(value)
        sent.append(await producer.send(TOPIC, key=key, value=value))
        if len(sent) == 10_000:
            await asyncio.gather(*sent)
            sent.clear()
    await asyncio.gather(*sent)
    await producer.stop()
    return size // rows


def messages(rows: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values."""
    rng = np.random.default_rng(1)
    keys = [asset.encode() for asset in ASSETS]
    block = rng.normal(20.0, 5.0, size=(10_000, len(TAGS))).round(3).tolist()
    for number in range(rows):
        second, milli = divmod(number, 1000)
        row: Figures = {
            "ts": f"2026-03-02T{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}.{milli:03}Z"
        }
        row |= zip(TAGS, block[number % len(block)], strict=True)
        yield keys[number % len(keys)], json.dumps(row).encode()


# --- the two ways ---------------------------------------------------------------------------------------------------


def apart(run: Any, *given: Any) -> Figures:
    """Run it in a process of its own, which has nothing else in it."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found: Figures = pool.apply(run, given)
    return found


class _Watched(Bridge):
    """Notes when the first rows come."""

    began: tuple[float, float] | None = None

    async def _take_all(self, fetched: Any) -> None:
        if fetched and self.began is None:
            self.began = time.perf_counter(), time.process_time()
        await super()._take_all(fetched)


def bridge(bootstrap: str, plant: str) -> Figures:
    """The bridge until it has framed everything."""
    site = Plant(
        id=plant,
        name=plant,
        owner="maker",
        assets=tuple(Asset(name=asset) for asset in ASSETS),
        tags=tuple(Tag(name=tag) for tag in TAGS),
    )
    job = Job(
        topic=TOPIC,
        source=bootstrap,
        target=bootstrap,
        plant=site,
        layout=Layout(assets=ASSETS, fields={tag: tag for tag in TAGS}),
        limit=RejectLimit(),
        until_end=True,
    )
    collect_seldom()
    ended: list[tuple[float, float]] = []
    watched = _Watched(job, progress=lambda _: ended.append((time.perf_counter(), time.process_time())))
    report = asyncio.run(watched.run())
    assert watched.began is not None
    # It tells its progress for the last time when everything is acknowledged and committed.
    return _figures(report.rows, watched.began, ended[-1])


def loop(bootstrap: str, rows: int) -> Figures:
    """A loop that only reads."""
    return asyncio.run(_loop(bootstrap, rows))


async def _loop(bootstrap: str, rows: int) -> Figures:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, max_partition_fetch_bytes=4 * 1024 * 1024
    )
    await consumer.start()
    places = [TopicPartition(TOPIC, number) for number in range(PARTITIONS)]
    consumer.assign(places)
    await consumer.seek_to_beginning(*places)
    began, count = None, 0
    while count < rows:
        fetched = await consumer.getmany(timeout_ms=100, max_records=LOT)
        began = began or (time.perf_counter(), time.process_time())
        for records in fetched.values():
            count += len([json.loads(record.value) for record in records])
    assert began is not None
    ended = time.perf_counter(), time.process_time()
    await consumer.stop()
    return _figures(count, began, ended)


def _figures(rows: int, began: tuple[float, float], ended: tuple[float, float]) -> Figures:
    return {"rows": rows, "rows_s": rows / (ended[0] - began[0]), "rows_cpu_s": rows / (ended[1] - began[1])}


if __name__ == "__main__":
    main()
