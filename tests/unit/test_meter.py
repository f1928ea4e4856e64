"""What the kernel says that another process has used."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from infra.sandbox.process import Meter, ending

BURNS = """
    import sys, time
    until = time.process_time() + 0.2
    while time.process_time() < until:
        pass
    kept = bytearray(50 << 20)
    print(time.process_time_ns(), flush=True)
    sys.stdin.read()
"""


def test_cpu_time_and_memory_of_another_process_are_read_and_kept_after_its_end() -> None:
    argv = [sys.executable, "-c", textwrap.dedent(BURNS)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        meter = Meter(process.pid)
        own_account_ns = int(process.stdout.readline())
        used_ns, peak_kb = meter.cpu_ns(), meter.peak_kb()
        assert used_ns >= own_account_ns >= 0.2e9
        assert peak_kb >= 50 << 10
        process.communicate()
    assert meter.cpu_ns() >= used_ns
    assert meter.peak_kb() == peak_kb


def test_memory_is_looked_at_a_few_times_a_second() -> None:
    times = iter([10.0, 10.2, 10.3])
    argv = [sys.executable, "-c", "input(); kept = bytearray(50 << 20); print(1, flush=True); input()"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        meter = Meter(process.pid, monotonic=lambda: next(times))
        first = meter.peak_kb()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        assert meter.peak_kb() == first
        assert meter.peak_kb() > first + (40 << 10)
        process.communicate("\n")


def test_of_a_process_that_does_not_exist_nothing_is_known() -> None:
    process = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    meter = Meter(int(process.stdout))
    assert (meter.cpu_ns(), meter.peak_kb()) == (0, 0)


def test_an_end_is_told_in_words() -> None:
    assert ending(0) == "exit status 0"
    assert ending(3) == "exit status 3"
    assert ending(-9) == "killed by SIGKILL"
    assert ending(137) == "killed by SIGKILL"
    assert ending(255) == "exit status 255"
