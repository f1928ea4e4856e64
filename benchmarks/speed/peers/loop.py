"""A loop as an expert writes it by hand with confluent-kafka.  python -m benchmarks.speed.peers.loop MODEL

Messages come in batches out of large fetches, the model is called in this process, results are sent without waiting, in
large batches and with acks=all. Once a second what was sent is awaited and its offsets are committed: at least once.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from benchmarks.speed.peers.peer import Answer, Job, answers_of, model_of, serve, table_of, warm

COMMIT_S = 1.0
BATCH = 64

CONSUMER = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "fetch.message.max.bytes": 8 << 20,
    "fetch.max.bytes": 64 << 20,
    "queued.min.messages": 10_000,
    "queued.max.messages.kbytes": 128 << 10,
}
PRODUCER = {
    "acks": "all",
    "linger.ms": 5,
    "batch.size": 1 << 20,
    "message.max.bytes": 2 << 20,
    "queue.buffering.max.messages": 1_000_000,
}
#: Of single messages only what went wrong is told, where it is read: by poll and flush.
DELIVERY = {"delivery.report.only.error": True, "on_delivery": lambda error, _: _raise(error)}


def _raise(error: Any) -> None:
    raise KafkaException(error)


def clients(job: Job) -> tuple[Consumer, Producer]:
    """Who reads a job's source from its beginning, and who sends."""
    address = {"bootstrap.servers": job["bootstrap"]}
    consumer = Consumer({**address, **CONSUMER, "group.id": job["group"]})
    consumer.assign([TopicPartition(job["source"], number, 0) for number in range(job["partitions"])])
    return consumer, Producer({**address, **PRODUCER, **DELIVERY})


def main() -> None:
    model = model_of(sys.argv[1])

    def run(job: Job) -> Answer:
        warm(model, job["tags"], job["rows"], arrays=job["arrays"])
        consumer, producer = clients(job)
        done, began = 0, time.perf_counter()
        committed = began
        while done < job["messages"]:
            for message in consumer.consume(BATCH, timeout=0.05):
                if message.error():
                    raise KafkaException(message.error())
                table = table_of(message.value(), job["tags"], arrays=job["arrays"])
                producer.produce(job["sink"], key=message.key(), value=answers_of(model, table))
                done += 1
            producer.poll(0)
            if time.perf_counter() - committed > COMMIT_S:
                producer.flush()
                consumer.commit(asynchronous=True)
                committed = time.perf_counter()
        producer.flush()
        consumer.commit(asynchronous=False)
        seconds = time.perf_counter() - began
        consumer.close()
        return {"messages": done, "seconds": seconds}

    serve(run)


if __name__ == "__main__":
    main()
