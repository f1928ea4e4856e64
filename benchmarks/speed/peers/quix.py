"""Quix Streams, on frames and on rows.  python -m benchmarks.speed.peers.quix MODEL

On frames as bytes in and bytes out. On rows as its documentation has it: JSON in, a column added to each row, JSON out. At
least once, committed once a second, its clients tuned like those of the loop.
"""

from __future__ import annotations

import sys
import tempfile
import time
from typing import Any

import numpy as np
from quixstreams import Application

from benchmarks.speed.peers.loop import COMMIT_S, CONSUMER, PRODUCER
from benchmarks.speed.peers.peer import Answer, Job, answers_of, model_of, serve, table_of, warm


def main() -> None:
    model = model_of(sys.argv[1])

    def run(job: Job) -> Answer:
        with tempfile.TemporaryDirectory() as state:
            return _run(model, job, state)

    serve(run)


def _run(model: Any, job: Job, state: str) -> Answer:
    done, began, until = 0, 0.0, 0.0

    def processed(topic: str, partition: int, offset: int) -> None:
        nonlocal done, began, until
        now = time.perf_counter()
        if not done:
            began, until = now, now + job["budget_s"]
        done += 1
        if done >= job["messages"] or now > until:
            app.stop()

    own = ("enable.auto.commit", "auto.offset.reset")
    app = Application(
        broker_address=job["bootstrap"],
        consumer_group=job["group"],
        auto_offset_reset="earliest",
        commit_interval=COMMIT_S,
        processing_guarantee="at-least-once",
        consumer_extra_config={name: value for name, value in CONSUMER.items() if name not in own},
        producer_extra_config=PRODUCER,
        on_message_processed=processed,
        auto_create_topics=False,
        state_dir=state,
        loglevel="WARNING",
    )
    kind = "json" if job["what"] == "rows" else "bytes"
    stream = app.dataframe(app.topic(job["source"], value_deserializer=kind))
    stream = _rows(stream, model, job) if job["what"] == "rows" else _frames(stream, model, job)
    stream.to_topic(app.topic(job["sink"], value_serializer=kind))
    app.run()
    return {"messages": done, "seconds": time.perf_counter() - began}


def _frames(stream: Any, model: Any, job: Job) -> Any:
    tags, arrays = job["tags"], job["arrays"]
    warm(model, tags, job["rows"], arrays=arrays)
    return stream.apply(lambda value: answers_of(model, table_of(value, tags, arrays=arrays)))


def _rows(stream: Any, model: Any, job: Job) -> Any:
    tags = job["tags"]
    warm(model, tags, 1, arrays=True)

    def predict(row: dict[str, float]) -> float:
        return float(model.predict(np.array([[row[tag] for tag in tags]]))[0])

    stream["prediction"] = stream.apply(predict)
    return stream


if __name__ == "__main__":
    main()
