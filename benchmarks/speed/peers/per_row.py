"""One JSON message a row, one predict a row, as Kafka-ML serves models.  python -m benchmarks.speed.peers.per_row MODEL

Kinder than Kafka-ML, which waits for every result to be sent: results are sent without waiting, with acks=all, and offsets are
committed once a second.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from confluent_kafka import KafkaException

from benchmarks.speed.peers.loop import COMMIT_S, clients
from benchmarks.speed.peers.peer import Answer, Job, model_of, serve, warm


def main() -> None:
    model = model_of(sys.argv[1])

    def run(job: Job) -> Answer:
        warm(model, job["tags"], 1, arrays=True)
        consumer, producer = clients(job)
        done, began = 0, time.perf_counter()
        committed, until = began, began + job["budget_s"]
        while done < job["messages"] and time.perf_counter() < until:
            message = consumer.poll(0.1)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            row = json.loads(message.value())
            inputs = np.array([[row[tag] for tag in job["tags"]]])
            answer = {"ts": row["ts"], "prediction": float(model.predict(inputs)[0])}
            producer.produce(job["sink"], key=message.key(), value=json.dumps(answer))
            producer.poll(0)
            done += 1
            if time.perf_counter() - committed > COMMIT_S:
                producer.flush()
                consumer.commit(asynchronous=True)
                committed = time.perf_counter()
        producer.flush()
        seconds = time.perf_counter() - began
        consumer.close()
        return {"messages": done, "seconds": seconds}

    serve(run)


if __name__ == "__main__":
    main()
