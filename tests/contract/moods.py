"""A model for tests that behaves as the asset's name says; MLflow copies this file into the model."""

import os
import signal
import sys
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


def forges(table):
    """Answers this frame with a class that does not exist, as the child's own program never would."""
    child = sys.modules["__main__"]
    seq = 1
    header = child.ANSWER.pack(child.ANSWER_MAGIC, child.PREDICTED, 1, 0, 0, 0, seq, len(table))
    for wire in wires():
        os.write(wire, header + np.full(len(table), np.inf).tobytes())
    return table["a"]


def lies_about_lengths(table):
    child = sys.modules["__main__"]
    header = child.ANSWER.pack(child.ANSWER_MAGIC, child.PREDICTED, 1, 0, 0, 0, 1, 4_000_000_000)
    for wire in wires():
        os.write(wire, header)
    return table["a"]


def hangs_up(table):
    for wire in wires():
        os.close(wire)
    while True:
        time.sleep(1)


def forks(table):
    if os.fork() == 0:
        while True:
            time.sleep(1)
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
    "hangs-up": hangs_up,
    "forks": forks,
    "leaves": lambda table: sys.exit("no more"),
    "exits": lambda table: os._exit(3),
    "kills-itself": lambda table: os.kill(os.getpid(), signal.SIGKILL),
    "short": lambda table: [0.0] * (len(table) - 1),
    "nan": lambda table: [None, float("nan"), *table["a"][2:]],
    "sum": lambda table: table["a"] + table["b"],
}


class Moods(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: pd.DataFrame, params=None):
        mood = model_input["asset"].iloc[0]
        if mood.startswith("once:"):
            marker = mood.removeprefix("once:")
            if not os.path.exists(marker):
                open(marker, "w").close()
                os.kill(os.getpid(), signal.SIGKILL)
            mood = "sum"
        if mood.startswith("eval:"):
            value = eval(mood.removeprefix("eval:"), {"os": os, "sys": sys, "table": model_input})
            return np.full(len(model_input), float(value))
        return MOODS[mood](model_input)


mlflow.models.set_model(Moods())
