"""Child programs end when they are told to, and never outlive their parent."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from infra import processes
from infra.errors import ProcessFailed
from tests.gone import wait_until_gone

ROOT = Path(__file__).parents[2]

# Writes its own and its child's process id, then sleeps. The grandchild has a session of its own: no group
# signal finds it.
FAMILY = (
    "import os, subprocess, sys, time;"
    "c = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True);"
    "open(sys.argv[1] + '.new', 'w').write(f'{os.getpid()} {c.pid}');"
    "os.rename(sys.argv[1] + '.new', sys.argv[1]);"
    "time.sleep(600)"
)
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True);"
    "time.sleep(600)"
)
PARENT = """
import sys, threading, time
from pathlib import Path
from infra import processes

def start():
    processes.start([sys.executable, "-c", sys.argv[1], sys.argv[2]], log_path=Path(sys.argv[2] + ".log"))

thread = threading.Thread(target=start)
thread.start()
thread.join()
time.sleep(600)
"""


def family(tmp_path: Path, process: processes.Process | subprocess.Popen[bytes]) -> list[int]:
    """Process ids of the child and the grandchild, once both run."""
    told = tmp_path / "pids"
    while not told.exists():
        assert process.poll() is None, "ended early"
        select.select([], [], [], 0.01)
    return [int(pid) for pid in told.read_text().split()]


def test_a_stopped_program_takes_its_descendants_with_it(tmp_path: Path) -> None:
    process = processes.start(
        [sys.executable, "-c", FAMILY, str(tmp_path / "pids")], log_path=tmp_path / "log"
    )
    pids = family(tmp_path, process)
    assert pids[0] == process.pid
    assert process.stop() == -signal.SIGTERM
    assert not process.alive()
    wait_until_gone(pids)


def test_a_program_that_ignores_sigterm_is_killed_after_the_timeout(tmp_path: Path) -> None:
    process = processes.start([sys.executable, "-c", STUBBORN], log_path=tmp_path / "log")
    while "on" not in process.log_tail():
        assert process.alive()
    assert process.stop(timeout_s=0.2) == -signal.SIGKILL
    wait_until_gone([process.pid])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_children_and_grandchildren_end_when_their_parent_is_ended(
    tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", PARENT, FAMILY, str(tmp_path / "pids")]
    parent = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    pids = family(tmp_path, parent)
    parent.send_signal(number)
    parent.wait()
    wait_until_gone(pids)


def test_the_child_outlives_the_thread_that_started_it(tmp_path: Path) -> None:
    started: list[processes.Process] = []
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    thread = threading.Thread(
        target=lambda: started.append(processes.start(command, log_path=tmp_path / "log"))
    )
    thread.start()
    thread.join()
    assert started[0].wait(timeout_s=1.5) is None  # longer than the guard's own look at its parent
    assert started[0].stop() == -signal.SIGTERM


def test_the_program_has_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it(tmp_path: Path) -> None:
    with processes.start(
        [sys.executable, "-c", "import time; time.sleep(600)"], log_path=tmp_path / "log"
    ) as process:
        assert os.getsid(process.pid) != os.getsid(0)


def test_the_exit_code_and_the_output_of_a_program_are_kept(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"]
    process = processes.start(command, log_path=tmp_path / "logs" / "log")
    assert process.wait(30) == 7
    assert process.stop() == 7
    assert {"out", "err"} == set(process.log_tail().split())


def test_a_child_that_was_killed_reports_the_signal(tmp_path: Path) -> None:
    process = processes.start(
        [sys.executable, "-c", "import time; time.sleep(600)"], log_path=tmp_path / "log"
    )
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL


def test_a_program_that_does_not_exist_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match=r"no-such-program.*No such file"):
        processes.start(["/no-such-program"], log_path=tmp_path / "log")
    with pytest.raises(ProcessFailed, match="no-such-folder"):
        processes.start(["true"], log_path=tmp_path / "log", cwd=tmp_path / "no-such-folder")


def test_the_program_inherits_no_file_of_the_guard_or_its_parent(tmp_path: Path) -> None:
    secret = (tmp_path / "secret").open("w")
    # It tells what it holds itself: seen from outside, its libraries may still be being opened.
    tell = "import os; print(sorted(os.listdir('/proc/self/fd')), flush=True)"
    with secret, processes.start([sys.executable, "-c", tell], log_path=tmp_path / "log") as process:
        assert process.wait(30) == 0
        # The fourth is the folder that it reads.
        assert process.log_tail().strip() == "['0', '1', '2', '3']"


def test_the_program_dies_with_its_guard(tmp_path: Path) -> None:
    process = processes.start(["sleep", "600"], log_path=tmp_path / "log")
    guard = psutil.Process(process.pid).ppid()
    os.kill(guard, signal.SIGKILL)
    wait_until_gone([process.pid])
    assert not process.alive()
