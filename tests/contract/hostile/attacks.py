"""What a candidate may try beyond the probe's attempts; each fails with OSError or Held, or it has succeeded."""

import array
import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import resource
import socket
import subprocess
import threading

from escape import Escaped, Held

libc = ctypes.CDLL(None, use_errno=True)

#: Ways into the kernel that no model needs, by their numbers on x86_64.
CALLS = {
    "acct": 163, "add_key": 248, "adjtimex": 159, "bpf": 321, "clock_adjtime": 305, "clock_settime": 227,
    "clone3": 435, "delete_module": 176, "fanotify_init": 300, "finit_module": 313, "fsopen": 430,
    "init_module": 175, "inotify_init1": 294, "io_setup": 206, "io_uring_setup": 425, "ioperm": 173, "iopl": 172,
    "kcmp": 312, "kexec_load": 246, "keyctl": 250, "memfd_create": 319, "memfd_secret": 447, "migrate_pages": 256,
    "mount_setattr": 442, "move_mount": 429, "move_pages": 279, "mq_open": 240, "msgget": 68,
    "name_to_handle_at": 303, "open_by_handle_at": 304, "open_tree": 428, "perf_event_open": 298,
    "personality": 135, "pidfd_getfd": 438, "pidfd_open": 434, "pidfd_send_signal": 424, "process_madvise": 440,
    "process_vm_writev": 311, "quotactl": 179, "reboot": 169, "request_key": 249, "rt_sigqueueinfo": 129,
    "rt_tgsigqueueinfo": 297, "seccomp": 317, "semget": 64, "setdomainname": 171, "sethostname": 170,
    "settimeofday": 164, "shmat": 30, "swapon": 167, "syslog": 103, "tkill": 200, "userfaultfd": 323,
    "vhangup": 153, "vmsplice": 278,
}  # fmt: skip

#: The same numbers, counted as a 32-bit program with long registers would.
X32 = 0x40000000

MAP_GROWSDOWN, F_SETSIG, TIOCSTI, PR_SET_PDEATHSIG = 0x100, 10, 0x5412, 1
SIGKILL, CLONE_VM, CLONE_VFORK, CLONE_THREAD, CLONE_NEWUSER = 9, 0x100, 0x4000, 0x10000, 0x10000000


def system_calls(target):
    if os.uname().machine != "x86_64":
        raise Held("the numbers are those of x86_64")
    for name, number in {**CALLS, "getpid of x32": X32 | 39}.items():
        result = libc.syscall(number, 0, 0, 0, 0, 0, 0)
        if result != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
            raise Escaped(f"{name} answers {result}, errno {ctypes.get_errno()}")
    raise Held("all of them are refused")


def start_a_program(target):
    subprocess.run(["/bin/true"], check=False)


def clone_a_process(target):
    if os.uname().machine != "x86_64":
        raise Held("the numbers are those of x86_64")
    for flags in (17, CLONE_VM | CLONE_VFORK | 17, CLONE_THREAD | CLONE_NEWUSER, CLONE_NEWUSER | 17):
        made = libc.syscall(56, flags, 0, 0, 0, 0)
        if made == 0:
            os._exit(0)
        if made > 0:
            raise Escaped(f"clone made process {made}")
    raise Held("no process is made")


def fork_bomb(target):
    made = 0
    for _ in range(1000):
        if os.fork() == 0:
            os._exit(0)
        made += 1
    raise Escaped(f"{made} processes")


def thread_bomb(target):
    """As many threads as there can be; they end afterwards."""
    go_on, threads = threading.Event(), []
    before = threading.stack_size(1 << 16)
    try:
        while len(threads) < 2000:
            threads.append(threading.Thread(target=go_on.wait, daemon=True))
            threads[-1].start()
    except (RuntimeError, MemoryError, OSError):
        raise Held(f"{len(threads)} threads") from None
    finally:
        threading.stack_size(before)
        go_on.set()
    raise Escaped(f"{len(threads)} threads")


def grow_a_stack(target):
    """Memory that grows downwards counts as a stack, and not as data."""
    mmap.mmap(-1, 8 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_GROWSDOWN).close()


def make_memory_writable(target):
    """Memory that may only be read counts for nothing, until it may be written."""
    size = 16 << 30
    libc.mmap.restype = ctypes.c_void_p
    place = libc.mmap(
        None, ctypes.c_size_t(size), mmap.PROT_READ, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0
    )
    if libc.mprotect(ctypes.c_void_p(place), ctypes.c_size_t(size), mmap.PROT_READ | mmap.PROT_WRITE) != 0:
        libc.munmap(ctypes.c_void_p(place), ctypes.c_size_t(size))
        raise Held("it stays read-only")


def raise_a_limit(target):
    for kind in (resource.RLIMIT_DATA, resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        _, hard = resource.getrlimit(kind)
        try:
            resource.setrlimit(kind, (hard + 1, hard + 1))
        except (ValueError, OSError):
            continue
        raise Escaped(f"limit {kind} was raised past {hard}")
    raise Held("no limit can be raised")


def open_many_files(target):
    with contextlib.ExitStack() as opened:
        for _ in range(2000):
            opened.enter_context(open("/dev/null"))


def one_large_file(target):
    with open(f"{os.getcwd()}/large", "wb") as file:
        try:
            for _ in range(100):
                file.write(bytes(1 << 20))
        finally:
            os.remove(file.name)


def fill_memory_disk(target):
    """`/dev/shm`, where it can be written, has a size too."""
    if not os.access("/dev/shm", os.W_OK):
        raise Held("it cannot be written")
    with open("/dev/shm/fill", "wb") as file:
        try:
            for _ in range(100):
                file.write(bytes(1 << 20))
        finally:
            os.remove(file.name)


def have_signals_sent(target):
    """A file's owner is told by signal that it can be read."""
    reading, _ = os.pipe()
    fcntl.fcntl(reading, F_SETSIG, SIGKILL)
    fcntl.fcntl(reading, fcntl.F_SETOWN, target["pid"])


def hand_over_a_file(target):
    """The wire is a socket, over which files can be sent."""
    for name in os.listdir("/proc/self/fd"):
        try:
            wire = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue
        with wire:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [2]))]
            wire.sendmsg([b"x"], rights)
            raise Escaped("a file was sent")
    raise Held("there is no wire")


def connect_the_wire(target):
    for name in os.listdir("/proc/self/fd"):
        try:
            wire = socket.socket(fileno=os.dup(int(name)))
        except OSError:
            continue
        with wire:
            wire.connect("\0" + target["abstract"])


def type_into_a_terminal(target):
    fcntl.ioctl(2, TIOCSTI, b"x")


def outlive_the_platform(target):
    if libc.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def own_another_file(target):
    os.chown(target["canary"], os.getuid(), os.getgid())


def read_the_machine(target):
    for path in (
        "/etc/passwd",
        "/etc/shadow",
        "/root",
        "/home",
        "/proc/1/environ",
        "/proc/keys",
        "/sys/kernel/security",
    ):
        try:
            os.listdir(path) if os.path.isdir(path) else open(path).close()
        except OSError:
            continue
        raise Escaped(f"{path} can be read")
    raise Held("nothing of the machine is told")


def list_the_root(target):
    """Of all that is mounted, only what is needed can be read."""
    os.listdir("/")


MORE = {
    one.__name__: (one,)
    for one in (
        system_calls,
        start_a_program,
        clone_a_process,
        fork_bomb,
        thread_bomb,
        grow_a_stack,
        make_memory_writable,
        raise_a_limit,
        open_many_files,
        one_large_file,
        fill_memory_disk,
        have_signals_sent,
        hand_over_a_file,
        connect_the_wire,
        type_into_a_terminal,
        outlive_the_platform,
        own_another_file,
        read_the_machine,
        list_the_root,
    )
}
