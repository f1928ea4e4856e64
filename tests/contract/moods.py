"""A model for tests that behaves as the asset's name says; MLflow copies this file into the model."""

import hashlib
import os
import signal
import sys
import threading
import time

import mlflow.models
import mlflow.pyfunc
import numpy as np
import pandas as pd


def raises(table):
    raise ValueError("pressure is \x1b[31mtoo high")


def hangs(table):
    print("hanging", flush=True)
    while True:
        time.sleep(1)


def floods(table):
    line = b"x" * 1023 + b"\n"
    for _ in range(2000):
        os.write(1, line)
        os.write(2, line)
    print("the end", flush=True)
    return table["a"]


def eats(table):
    kept = []
    while True:
        kept.append(np.ones(1 << 22))


def eats_past_the_interpreter(table):
    """What C++ does where nobody catches that memory ran out."""
    os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\n")
    os.kill(os.getpid(), signal.SIGABRT)


def wires():
    """Descriptors that are sockets: the wire."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                found.append(int(name))
        except OSError:
            pass
    return found


def scribbles(table):
    for wire in wires():
        os.write(wire, b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: everything\r\n\r\n" * 4)
    return table["a"]


def say(status, body=b"", columns=0, rows=0, texts=(0, 0, 0), pieces=1 << 20):
    """Write an answer to the frame as the child's own program would."""
    child = sys.modules["__main__"]
    raw = child.ANSWER.pack(child.ANSWER_MAGIC, status, columns, *texts, CALLS, rows) + body
    for wire in wires():
        for start in range(0, len(raw), pieces):
            os.write(wire, raw[start : start + pieces])


def say_predictions(values, **more):
    body = np.asarray(values, dtype=np.float64).tobytes()
    say(sys.modules["__main__"].PREDICTED, body, columns=1, rows=len(values), **more)


def forges(table):
    """Answers with a class that does not exist, as the child's own program never would."""
    say_predictions(np.full(len(table), np.inf))
    return table["a"]


def lies_about_lengths(table):
    say(sys.modules["__main__"].PREDICTED, columns=1, rows=4_000_000_000)
    return table["a"]


def answers_twice(table):
    say_predictions(table["a"])
    return table["a"]


def trickles(table):
    say_predictions(table["a"], pieces=1)
    hangs(table)


def floods_the_wire(table):
    while True:
        say_predictions(table["a"])


def speaks_unasked(table):
    """Writes to the wire once the frame is answered and nothing is due."""

    def speak():
        time.sleep(0.3)
        for wire in wires():
            os.write(wire, b"?")

    threading.Thread(target=speak, daemon=True).start()
    return table["a"]


def forges_a_fault(table):
    """Writes the plant's values where a start-up may read."""
    parts = [
        b"Pressure%d" % table["a"].iloc[0],
        b"moods.py:%d" % (10_000 + table["b"].iloc[0]),
        b"for the plant",
    ]
    say(sys.modules["__main__"].ERROR, b"".join(parts), texts=[len(part) for part in parts])
    hangs(table)


def names_its_exception(table):
    raise type(f"Pressure{table['a'].iloc[0]}", (ValueError,), {})("too high")


def burn(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def spins(table):
    while True:
        pass


def hash_for(seconds):
    """Outside of the interpreter's lock."""
    data = bytes(1 << 16)
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        hashlib.sha256(data).digest()


def in_threads(seconds):
    threads = [threading.Thread(target=hash_for, args=(seconds,), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def keeps_burning(table):
    threading.Thread(target=hash_for, args=(1e9,), daemon=True).start()
    return table["a"]


def grows(table):
    return table["a"] + np.ones(20_000_000).sum()


PRINTED = []


def babbles(table):
    """Prints for ever, and answers how many MB it has printed."""

    def babble():
        line = b"x" * (1 << 16)
        while True:
            os.write(1, line)
            PRINTED.append(1)

    if not PRINTED:
        threading.Thread(target=babble, daemon=True).start()
    return np.full(len(table), len(PRINTED) / 16)


def hangs_up(table):
    for wire in wires():
        os.close(wire)
    while True:
        time.sleep(1)


def forks(table):
    """Leaves a process behind where it may."""
    try:
        if os.fork() == 0:
            while True:
                time.sleep(1)
    except OSError:
        pass
    return table["a"]


MOODS = {
    "raises": raises,
    "hangs": hangs,
    "floods": floods,
    "eats": eats,
    "eats-past-the-interpreter": eats_past_the_interpreter,
    "scribbles": scribbles,
    "forges": forges,
    "lies-about-lengths": lies_about_lengths,
    "answers-twice": answers_twice,
    "trickles": trickles,
    "floods-the-wire": floods_the_wire,
    "speaks-unasked": speaks_unasked,
    "forges-a-fault": forges_a_fault,
    "names-its-exception": names_its_exception,
    "spins": spins,
    "spins-in-threads": lambda table: in_threads(1e9),
    "keeps-burning": keeps_burning,
    "grows": grows,
    "babbles": babbles,
    "hangs-up": hangs_up,
    "forks": forks,
    "leaves": lambda table: sys.exit("no more"),
    "exits": lambda table: os._exit(3),
    "kills-itself": lambda table: os.kill(os.getpid(), signal.SIGKILL),
    "short": lambda table: [0.0] * (len(table) - 1),
    "nan": lambda table: [None, float("nan"), *table["a"][2:]],
    "sum": lambda table: table["a"] + table["b"],
}


def once(table, marker):
    """Dies the first time."""
    if not os.path.exists(marker):
        open(marker, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return table["a"] + table["b"]


def evaluates(table, expression):
    value = eval(expression, {"os": os, "sys": sys, "table": table})
    return np.full(len(table), float(value))


def burns(table, seconds):
    burn(float(seconds))
    return table["a"]


def burns_and_raises(table, seconds):
    burn(float(seconds))
    raises(table)


def burns_in_threads(table, seconds):
    in_threads(float(seconds))
    return table["a"]


#: Moods that are told more, after a colon.
MOODS_WITH_MORE = {
    "once": once,
    "eval": evaluates,
    "burns": burns,
    "burns-and-raises": burns_and_raises,
    "burns-in-threads": burns_in_threads,
}

#: Frames so far, which is the number of the present one.
CALLS = 0


class Moods(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: pd.DataFrame, params=None):
        global CALLS
        CALLS += 1
        mood, colon, more = model_input["asset"].iloc[0].partition(":")
        return MOODS_WITH_MORE[mood](model_input, more) if colon else MOODS[mood](model_input)


mlflow.models.set_model(Moods())
