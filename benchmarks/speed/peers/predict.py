"""The model's `predict` alone on ready batches: the limit.  python -m benchmarks.speed.peers.predict MODEL"""

from __future__ import annotations

import sys
import time

import numpy as np
import pandas as pd

from benchmarks.speed.load import DIFFERENT, Load
from benchmarks.speed.peers.peer import Answer, Job, model_of, serve, warm


def main() -> None:
    model = model_of(sys.argv[1])

    def run(job: Job) -> Answer:
        load = Load(run="", rows=job["rows"], tags=len(job["tags"]))
        blocks = [np.ascontiguousarray(block).T for block in load.blocks]
        ready = blocks if job["arrays"] else [pd.DataFrame(one, columns=job["tags"]) for one in blocks]
        warm(model, job["tags"], job["rows"], arrays=job["arrays"])
        began = time.perf_counter()
        for number in range(job["messages"]):
            model.predict(ready[number % DIFFERENT])
        return {"messages": job["messages"], "seconds": time.perf_counter() - began}

    serve(run)


if __name__ == "__main__":
    main()
