"""The model behind `mlflow models serve`, asked over HTTP on loopback.  python -m benchmarks.speed.peers.served MODEL

Frames are at hand, without Kafka: each is read, sent as JSON (`dataframe_split`) over a connection that stays open, and its
answer read. Some connections at a time, so that the server is never idle.
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import numpy as np
import orjson

from benchmarks.speed.load import DIFFERENT, Load
from benchmarks.speed.peers.peer import WARM, Answer, Job, serve, table_of

CONNECTIONS = 4
START_S = 120.0
HOST = "127.0.0.1"


def main() -> None:
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", sys.argv[1], "--env-manager", "local"]
    server = subprocess.Popen([*command, "-h", HOST, "-p", str(port)], stdin=subprocess.DEVNULL, stdout=2)
    try:
        _wait(server, port)
        serve(lambda job: _run(job, port))
    finally:
        server.terminate()
        server.wait(20)


def _wait(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            connection = http.client.HTTPConnection(HOST, port, timeout=5)
            connection.request("GET", "/ping")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("mlflow models serve did not start; see the log")


def _run(job: Job, port: int) -> Answer:
    load = Load(run="", rows=job["rows"], tags=len(job["tags"]))
    frames = [load.frame(number).value for number in range(DIFFERENT)]
    done, until, lock = 0, 0.0, threading.Lock()
    problems: list[BaseException] = []

    def numbers(most: int) -> Iterator[int]:
        nonlocal done
        while time.perf_counter() < until and not problems:
            with lock:
                if done >= most:
                    return
                done += 1
                number = done - 1
            yield number

    def work(connection: http.client.HTTPConnection, most: int) -> None:
        try:
            for number in numbers(most):
                if job["what"] == "rows":
                    frame, place = divmod(number, job["rows"])
                    block = table_of(frames[frame % DIFFERENT], job["tags"], arrays=True)[place : place + 1]
                else:
                    block = table_of(frames[number % DIFFERENT], job["tags"], arrays=True)
                _ask(connection, job["tags"], block)
        except BaseException as error:  # noqa: BLE001  (told by the thread that waits)
            problems.append(error)

    connections = [http.client.HTTPConnection(HOST, port, timeout=60) for _ in range(CONNECTIONS)]
    for connection in connections:
        for number in range(WARM):
            _ask(connection, job["tags"], table_of(frames[number], job["tags"], arrays=True)[:1])
    began = time.perf_counter()
    until = began + job["budget_s"]
    threads = [threading.Thread(target=work, args=(one, job["messages"])) for one in connections]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    for connection in connections:
        connection.close()
    if problems:
        raise problems[0]
    return {"messages": done, "seconds": seconds}


def _ask(connection: http.client.HTTPConnection, tags: list[str], block: np.ndarray) -> None:
    split = {"columns": tags, "data": np.ascontiguousarray(block)}
    body = orjson.dumps({"dataframe_split": split}, option=orjson.OPT_SERIALIZE_NUMPY)
    connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200:
        raise RuntimeError(f"HTTP {response.status}: {answer[:200]!r}")
    if len(orjson.loads(answer)["predictions"]) != len(block):
        raise RuntimeError("the server did not answer every row")


if __name__ == "__main__":
    main()
