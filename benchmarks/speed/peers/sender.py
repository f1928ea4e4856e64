"""Sends what everybody reads: frames, their labels, rows; as fast as it goes or at a rate.  python -m benchmarks.speed.peers.sender"""

from __future__ import annotations

import time

from confluent_kafka import Producer

from benchmarks.speed.load import Load, Message
from benchmarks.speed.peers.loop import DELIVERY, PRODUCER
from benchmarks.speed.peers.peer import Answer, Job, serve


def main() -> None:
    serve(_run)


def _run(job: Job) -> Answer:
    load = Load(run=job["run"], rows=job["rows"], tags=job["tags"], partitions=job["partitions"])
    rate = job.get("rate")
    # At a rate every message goes at once; else many together.
    linger = {"linger.ms": 0} if rate else {}
    producer = Producer({"bootstrap.servers": job["bootstrap"], **PRODUCER, **DELIVERY, **linger})
    makes = [(topic, getattr(load, what)) for what, topic in job["topics"].items()]
    first, last = job.get("first", 0), job.get("first", 0) + job["messages"]
    producer.list_topics(timeout=30)
    began, late_s = time.perf_counter(), 0.0
    for number in range(first, last):
        if rate:
            due = began + (number - first) / rate
            # No waiting in a circle: the core is needed by who is measured.
            time.sleep(max(0.0, due - time.perf_counter()))
            late_s = max(late_s, time.perf_counter() - due)
        for topic, make in makes:
            _send(producer, topic, make(number))
    producer.flush()
    return {"messages": last - first, "seconds": time.perf_counter() - began, "late_s": late_s}


def _send(producer: Producer, topic: str, one: Message) -> None:
    while True:
        try:
            producer.produce(
                topic, key=one.key, value=one.value, headers=one.headers, partition=one.partition
            )
        except BufferError:
            producer.poll(0.05)
        else:
            producer.poll(0)
            return


if __name__ == "__main__":
    main()
