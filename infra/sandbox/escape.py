"""Tries what a candidate may not manage, from inside: the script that the probe runs in place of a candidate's.

`python escape.py TARGET`, where TARGET is JSON that says where to break out to (`infra.sandbox.containment.outside`). It runs
with the standard library alone and prints a line of JSON for each attempt: what, whether it was held, how it went.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

#: A signal that only asks whether it may be sent.
_ASK = 0
_PTRACE_SEIZE, _CLONE_NEWNS, _CLONE_NEWUSER = 0x4206, 0x00020000, 0x10000000
_CAP_DAC_READ_SEARCH = 1 << 2

_libc = ctypes.CDLL(None, use_errno=True)

#: Each fails with OSError or Held, or it has succeeded.
Attempts = tuple[Callable[[dict[str, Any]], None], ...]


class Held(Exception):
    """The attempt failed, as it should."""


class Escaped(Exception):
    """The attempt succeeded."""


def main() -> None:
    """Make every attempt and print what came of it."""
    target = json.loads(sys.argv[1])
    # What replaces this program comes last: where that succeeds, its line is never written.
    for what, attempts in {**ATTEMPTS, "execute": (_execute,)}.items():
        sys.stdout.write(json.dumps([what, *tried(attempts, target)]) + "\n")
        sys.stdout.flush()


def tried(attempts: Attempts, target: dict[str, Any]) -> tuple[bool, str]:
    """Whether all attempts were held, and how the first one went that was not, else the last."""
    told = ""
    for attempt in attempts:
        try:
            attempt(target)
        except Escaped as escaped:
            return False, f"{attempt.__name__.strip('_')}: {escaped}"
        except (OSError, Held) as held:
            told = str(held)
            continue
        return False, f"{attempt.__name__.strip('_')} was possible"
    return True, told


def _libc_call(name: str, *arguments: Any) -> None:
    if getattr(_libc, name)(*arguments) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


# Network.


def _inet(target: dict[str, Any]) -> None:
    socket.create_connection(("127.0.0.1", target["port"]), timeout=1).close()


def _inet_datagram(target: dict[str, Any]) -> None:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", target["port"]))


def _inet6(target: dict[str, Any]) -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as made:
        made.settimeout(1)
        made.connect(("::1", target["port6"]))


def _netlink(target: dict[str, Any]) -> None:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


def _unix_path(target: dict[str, Any]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        made.connect(target["socket"])


def _unix_abstract(target: dict[str, Any]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.sendto(b"x", "\0" + target["abstract"])


def _unix_pair(target: dict[str, Any]) -> None:
    """A pair of datagram sockets needs no new socket, and can still be told an address."""
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.connect("\0" + target["abstract"])


# Files.


def _read(target: dict[str, Any]) -> None:
    with open(target["canary"]) as file:
        file.read()


def _read_by_root(target: dict[str, Any]) -> None:
    with open(f"/proc/{target['pid']}/root{target['canary']}") as file:
        file.read()


def _see(target: dict[str, Any]) -> None:
    os.stat(target["canary"])


def _write(target: dict[str, Any]) -> None:
    with open(target["canary"], "a") as file:
        file.write("x")


def _create(target: dict[str, Any]) -> None:
    with open(target["canary"] + ".new", "w"):
        pass


def _truncate(target: dict[str, Any]) -> None:
    os.truncate(target["canary"], 0)


def _remove(target: dict[str, Any]) -> None:
    os.remove(target["canary"])


def _change_mode(target: dict[str, Any]) -> None:
    os.chmod(target["canary"], 0o600)
    if os.stat(target["canary"]).st_mode & 0o777 != 0o600:
        raise Held("the change of mode was only pretended")


def _write_own(target: dict[str, Any]) -> None:
    """The model, the packages and the program are read-only too."""
    for place in target["own"]:
        try:
            with open(os.path.join(place, "new"), "w"):
                raise Escaped(f"{place} can be written")
        except OSError:
            continue
    raise Held("nothing but the scratch can be written")


def _import_platform(target: dict[str, Any]) -> None:
    for place in target["own"]:
        for name in ("infra", "models"):
            try:
                with open(os.path.join(place, name, "__init__.py")):
                    raise Escaped(f"{name} can be imported")
            except OSError:
                continue
    raise Held("the platform is not among the packages")


def _fill_disk(target: dict[str, Any]) -> None:
    """Half as much again as the scratch may hold."""
    names = [f"{os.getcwd()}/fill-{number}" for number in range(3)]
    try:
        for name in names:
            with open(name, "wb") as file:
                os.posix_fallocate(file.fileno(), 0, target["scratch_bytes"] // 2)
    finally:
        for name in filter(os.path.exists, names):
            os.remove(name)


# Other processes.


def _list_processes(target: dict[str, Any]) -> None:
    """Inside are this process and, where there is bubblewrap, its own first one."""
    others = [name for name in os.listdir("/proc") if name.isdigit() and name not in ("1", str(os.getpid()))]
    if others:
        raise Escaped(f"{len(others)} other processes are visible")
    raise Held("no other processes are visible")


def _read_process(target: dict[str, Any]) -> None:
    for name in ("cmdline", "environ", "maps"):
        try:
            with open(f"/proc/{target['pid']}/{name}", "rb") as file:
                file.read(1)
            with open(f"/proc/{target['pid']}/stat") as stat:
                started = stat.read().rpartition(")")[2].split()[19]
        except OSError:
            continue
        if started == target["started"]:
            raise Escaped(f"/proc/{target['pid']}/{name} can be read")
    raise Held("nothing of the platform's process can be read")


def _signal(target: dict[str, Any]) -> None:
    os.kill(target["pid"], _ASK)


def _signal_parent(target: dict[str, Any]) -> None:
    os.kill(os.getppid(), _ASK)


def _signal_everyone(target: dict[str, Any]) -> None:
    os.kill(-1, _ASK)


def _signal_by_descriptor(target: dict[str, Any]) -> None:
    signal.pidfd_send_signal(os.pidfd_open(target["pid"]), _ASK)


def _change_limits(target: dict[str, Any]) -> None:
    limits = resource.prlimit(target["pid"], resource.RLIMIT_CORE)
    resource.prlimit(target["pid"], resource.RLIMIT_CORE, limits)


def _trace(target: dict[str, Any]) -> None:
    _libc_call("ptrace", _PTRACE_SEIZE, target["pid"], None, None)


def _read_memory(target: dict[str, Any]) -> None:
    here = ctypes.create_string_buffer(8)
    local = (ctypes.c_size_t * 2)(ctypes.addressof(here), 8)
    remote = (ctypes.c_size_t * 2)(target["address"], 8)
    _libc_call("process_vm_readv", target["pid"], local, 1, remote, 1, 0)


def _share_memory(target: dict[str, Any]) -> None:
    made = _libc.shmget(0, 4096, 0o1600)
    if made >= 0:
        _libc.shmctl(made, 0, None)
        raise Escaped("shared memory can be made")
    raise Held(os.strerror(ctypes.get_errno()))


# More processes, more rights.


def _fork(target: dict[str, Any]) -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _execute(target: dict[str, Any]) -> None:
    os.execv(sys.executable, [sys.executable, "-S", "-c", ""])  # noqa: S606


def _new_namespace(target: dict[str, Any]) -> None:
    _libc_call("unshare", _CLONE_NEWUSER)


def _new_mounts(target: dict[str, Any]) -> None:
    _libc_call("unshare", _CLONE_NEWNS)


def _mount(target: dict[str, Any]) -> None:
    place = os.getcwd().encode()
    _libc_call("mount", b"none", place, b"tmpfs", 0, None)
    _libc_call("umount", place)


def _capabilities(target: dict[str, Any]) -> None:
    with open("/proc/self/status") as file:
        said = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    had = {name: int(said[name], 16) for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")}
    if any(value & ~_CAP_DAC_READ_SEARCH for value in had.values()):
        raise Escaped(f"it has capabilities: {had}")
    if said["NoNewPrivs"] != "1":
        raise Escaped("a program may give it privileges")
    raise Held("CAP_DAC_READ_SEARCH alone" if any(had.values()) else "none")


def _be_root(target: dict[str, Any]) -> None:
    if target["root"] and 0 in (*os.getresuid(), *os.getresgid(), *os.getgroups()):
        raise Escaped("it is root")
    raise Held(f"uid {os.getuid()}")


def _become_root(target: dict[str, Any]) -> None:
    if target["root"]:
        os.setresuid(0, 0, 0)
    else:
        raise Held("root is not here")


# Memory that no limit counts, and the environment.


def _uncounted_memory(target: dict[str, Any]) -> None:
    mmap.mmap(-1, 1 << 20, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS).close()


def _memory_file(target: dict[str, Any]) -> None:
    os.close(os.memfd_create("x"))


def _environment(target: dict[str, Any]) -> None:
    more = set(os.environ) - set(target["variables"])
    if more:
        raise Escaped(f"the environment has {', '.join(sorted(more))}")
    raise Held("nothing is inherited")


# What honest code needs.


def _work(target: dict[str, Any]) -> None:
    """A thread, the files, the scratch and a pair of connected sockets. Held is what a candidate needs."""
    for place in target["own"]:
        files = [entry.path for entry in os.scandir(place) if entry.is_file()]
        for path in files[:1]:
            with open(path, "rb") as file:
                file.read(1)
    with open(f"{os.getcwd()}/work", "w") as written:
        written.write("x")
    os.remove(written.name)
    for one in socket.socketpair():
        one.close()
    thread = threading.Thread(target=int)
    thread.start()
    thread.join()


def _honest(target: dict[str, Any]) -> None:
    try:
        _work(target)
    except (OSError, RuntimeError) as error:
        raise Escaped(f"honest code fails: {error}") from error
    raise Held("honest code works")


ATTEMPTS: dict[str, Attempts] = {
    "work": (_honest,),
    "inet": (_inet, _inet_datagram),
    "inet6": (_inet6,),
    "netlink": (_netlink,),
    "unix": (_unix_path, _unix_abstract, _unix_pair),
    "read": (_read, _read_by_root),
    "see": (_see,),
    "write": (_write, _create, _truncate, _remove, _change_mode, _write_own),
    "platform": (_import_platform,),
    "environment": (_environment,),
    "processes": (_list_processes, _read_process),
    "signal": (_signal, _signal_parent, _signal_everyone, _signal_by_descriptor, _change_limits),
    "trace": (_trace, _read_memory, _share_memory),
    "fork": (_fork,),
    "namespace": (_new_namespace, _new_mounts, _mount),
    "privilege": (_capabilities, _be_root, _become_root),
    "memory": (_uncounted_memory, _memory_file),
    "disk": (_fill_disk,),
}

if __name__ == "__main__":
    main()
