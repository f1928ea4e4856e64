"""The first program of a candidate's process: it gives up what a candidate may not have, then runs a script.

`python confine.py CONFINEMENT SCRIPT [ARGUMENT …]`, where CONFINEMENT is a `Confinement` as JSON. It runs by its
path, with the standard library alone. What is given up here cannot be had back by anything that runs later:
identity and capabilities first, then files (Landlock), then system calls (seccomp).

Linux on x86_64 and aarch64. Sources: landlock(7), seccomp(2), capabilities(7), linux/filter.h.
"""

from __future__ import annotations

import ctypes
import dataclasses
import errno
import json
import os
import resource
import runpy
import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: Open files, and tasks (processes and threads) where they can be counted for the candidate alone.
OPEN_FILES, TASKS = 256, 128

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_SECCOMP = 1, 4, 8, 22
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_SIGKILL = 9
_CAP_DAC_READ_SEARCH, _LAST_CAP = 2, 63
_CLONE_NEWUSER = 0x10000000


@dataclass(frozen=True, kw_only=True)
class Confinement:
    """What a process is left with."""

    #: User and group to become; None keeps the present ones.
    uid: int | None = None
    #: Whether it may search and read directories as root can. Landlock says which.
    search: bool = False
    #: Whether to enter a user namespace of its own.
    namespace: bool = False
    #: The process with which this one has to end; None where something else sees to it.
    parent: int | None = None
    #: How many processes and threads its user may have; None for no limit.
    tasks: int | None = None
    #: How large a file may become.
    file_bytes: int
    #: Whether Landlock and seccomp hold it. If not, `read`, `listed` and `write` mean nothing.
    sealed: bool
    #: Files and directories that may be read, with everything below.
    read: tuple[str, ...] = ()
    #: Directories of which the names below may be listed, and no more.
    listed: tuple[str, ...] = ()
    #: Files and directories that may be written, with everything below.
    write: tuple[str, ...] = ()

    def to_json(self) -> str:
        """As the program takes it."""
        return json.dumps(dataclasses.asdict(self))


def main() -> None:
    """Confine this process, then run the script."""
    _, confinement, *argv = sys.argv
    confine(Confinement(**json.loads(confinement)))
    sys.argv = argv
    runpy.run_path(argv[0], run_name="__main__")


def confine(to: Confinement) -> None:
    """Give up everything that `to` does not leave.

    Raises:
        OSError: the kernel does not do some of it.
    """
    _limit(to)
    if to.sealed:
        _drop_bounds()
    if to.uid is not None:
        _become(to.uid, search=to.search)
    if to.namespace:
        _enter_namespace()
    if to.sealed:
        _drop_capabilities(keep=(1 << _CAP_DAC_READ_SEARCH) if to.search else 0)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    if to.parent is not None:
        # After the change of user, which forgets it.
        _prctl(_PR_SET_PDEATHSIG, _SIGKILL)
        if os.getppid() != to.parent:
            os._exit(1)
    if to.sealed:
        _restrict_files(to)
        _restrict_calls()


def _limit(to: Confinement) -> None:
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_FSIZE, to.file_bytes),
    ):
        resource.setrlimit(kind, (most, most))
    if to.tasks is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, (to.tasks, to.tasks))


# Identity.


def _become(uid: int, *, search: bool) -> None:
    if search:
        _prctl(_PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    # Its own files in /proc would belong to root otherwise.
    _prctl(_PR_SET_DUMPABLE, 1)


def _enter_namespace() -> None:
    """A user namespace that knows this user alone: root of the machine does not exist in it."""
    uid, gid = os.getuid(), os.getgid()
    if _libc.unshare(_CLONE_NEWUSER) != 0:
        # The machine has none to give. There is nothing to gain in one without capabilities either.
        return
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    _drop_bounds()


def _drop_bounds() -> None:
    """No capability is to be had from any program either."""
    for capability in range(_LAST_CAP + 1):
        # Fails for a user who has none to drop, and past the last that the kernel knows.
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def _drop_capabilities(keep: int) -> None:
    header = struct.pack("<Ii", 0x20080522, 0)
    _check(_libc.capset(header, struct.pack("<6I", keep, keep, 0, 0, 0, 0)), "capset")


# Files: Landlock.

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446

_WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1 << 1, 1 << 2, 1 << 3, 1 << 14
#: What may be done to a file, rather than in a directory.
_FILE_RIGHTS = _WRITE_FILE | _READ_FILE | _TRUNCATE
#: Removing, and making directories, files and links. Not devices, sockets and pipes; nor does anything execute.
_CHANGE_DIR = (1 << 4) | (1 << 5) | (1 << 7) | (1 << 8) | (1 << 12) | (1 << 13)
#: The rights of each version of Landlock's interface: 1–2, 3–4, from 5 on.
_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}


def landlock_version() -> int:
    """The version of Landlock's interface, 0 where there is none."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, 0, 1)))


def _restrict_files(to: Confinement) -> None:
    version = landlock_version()
    if version == 0:
        # Where this is all that hides files, the probe finds them open.
        return
    rights = _RIGHTS[max(known for known in _RIGHTS if known <= version)]
    # Files; binding and connecting TCP from version 4; abstract sockets and signals from version 6.
    handled = struct.pack("<QQQ", rights, 0b11, 0b11)[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = _check(_libc.syscall(_CREATE_RULESET, handled, len(handled), 0), "landlock_create_ruleset")
    _allow(ruleset, to.read, rights & (_READ_FILE | _READ_DIR))
    _allow(ruleset, to.listed, _READ_DIR)
    _allow(ruleset, to.write, rights & (_FILE_RIGHTS | _READ_DIR | _CHANGE_DIR))
    # Stays open: the kernel may forget a process's directory otherwise, and the rule with it.
    own = os.open(f"/proc/{os.getpid()}", os.O_PATH)
    _allow_open(ruleset, own, _READ_FILE | _READ_DIR)
    _check(_libc.syscall(_RESTRICT_SELF, ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)


def _allow(ruleset: int, paths: Iterable[str], rights: int) -> None:
    for path in paths:
        try:
            place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        _allow_open(ruleset, place, rights if os.path.isdir(path) else rights & _FILE_RIGHTS)
        os.close(place)


def _allow_open(ruleset: int, place: int, rights: int) -> None:
    rule = struct.pack("<Qi", rights, place)
    _check(_libc.syscall(_ADD_RULE, ruleset, 1, rule, 0), "landlock_add_rule")


# System calls: seccomp.

#: Calls by name, with their numbers on x86_64 and aarch64. What is not named here does not exist: ENOSYS.
ALLOWED = """
read 0 63  write 1 64  pread64 17 67  pwrite64 18 68  readv 19 65  writev 20 66  preadv 295 69  pwritev 296 70
preadv2 327 286  pwritev2 328 287  lseek 8 62  close 3 57  close_range 436 436  open 2 -  openat 257 56  creat 85 -
stat 4 -  fstat 5 80  lstat 6 -  newfstatat 262 79  statx 332 291  access 21 -  faccessat 269 48
faccessat2 439 439  readlink 89 -  readlinkat 267 78  getdents 78 -  getdents64 217 61  statfs 137 43
fstatfs 138 44  getcwd 79 17  chdir 80 49  fchdir 81 50  umask 95 166  dup 32 23  dup2 33 -  dup3 292 24
pipe 22 -  pipe2 293 59  flock 73 32  fsync 74 82  fdatasync 75 83  truncate 76 45  ftruncate 77 46
fallocate 285 47  fadvise64 221 223  readahead 187 213  sendfile 40 71  copy_file_range 326 285  rename 82 -
renameat 264 38  renameat2 316 276  mkdir 83 -  mkdirat 258 34  rmdir 84 -  unlink 87 -  unlinkat 263 35
link 86 -  linkat 265 37  symlink 88 -  symlinkat 266 36  getxattr 191 8  lgetxattr 192 9  fgetxattr 193 10
listxattr 194 11  llistxattr 195 12  flistxattr 196 13  poll 7 -  ppoll 271 73  select 23 -  pselect6 270 72
epoll_create 213 -  epoll_create1 291 20  epoll_ctl 233 21  epoll_wait 232 -  epoll_pwait 281 22
epoll_pwait2 441 441  eventfd 284 -  eventfd2 290 19  timerfd_create 283 85  timerfd_settime 286 86
timerfd_gettime 287 87  munmap 11 215  mprotect 10 226  mremap 25 216  madvise 28 233  brk 12 214  msync 26 227
membarrier 324 283  mbind 237 235  get_mempolicy 239 236  set_mempolicy 238 237  futex 202 98
set_robust_list 273 99  get_robust_list 274 100  rseq 334 293  set_tid_address 218 96  arch_prctl 158 -
sched_yield 24 124  sched_getaffinity 204 123  sched_getparam 143 121  sched_getscheduler 145 120
sched_get_priority_max 146 125  sched_get_priority_min 147 126  getcpu 309 168  exit 60 93  exit_group 231 94
restart_syscall 219 128  wait4 61 260  waitid 247 95  rt_sigaction 13 134  rt_sigprocmask 14 135
rt_sigreturn 15 139  rt_sigpending 127 136  rt_sigtimedwait 128 137  rt_sigsuspend 130 133  sigaltstack 131 132
pause 34 -  alarm 37 -  setitimer 38 103  getitimer 36 102  clock_gettime 228 113  clock_getres 229 114
clock_nanosleep 230 115  nanosleep 35 101  gettimeofday 96 169  time 201 -  times 100 153  uname 63 160
sysinfo 99 179  getrusage 98 165  getrlimit 97 163  setrlimit 160 164  getpriority 140 141  getrandom 318 278
capget 125 90  getpid 39 172  gettid 186 178  getppid 110 173  getpgrp 111 -  getpgid 121 155  getsid 124 156
getuid 102 174  geteuid 107 175  getgid 104 176  getegid 108 177  getresuid 118 148  getresgid 120 150
getgroups 115 158  recvfrom 45 207  shutdown 48 210  getsockname 51 204  getpeername 52 205  getsockopt 55 209
"""

#: They do nothing and say that they did it: copies of files then pass, and nobody's files are touched.
PRETENDED = """
chmod 90 -  fchmod 91 52  fchmodat 268 53  fchmodat2 452 452  utime 132 -  utimes 235 -  utimensat 280 88
futimesat 261 -
"""

#: EPERM, which says more than that there is no such call, where honest code may come by.
REFUSED = """
socket 41 198  connect 42 203  bind 49 200  listen 50 201  accept 43 202  accept4 288 242  sendmsg 46 211
sendmmsg 307 269  recvmsg 47 212  fork 57 -  vfork 58 -  execve 59 221  execveat 322 281  chown 92 -  lchown 94 -
fchown 93 55  fchownat 260 54  mknod 133 -  mknodat 259 33  setxattr 188 5  lsetxattr 189 6  fsetxattr 190 7
setuid 105 146  setgid 106 144  setreuid 113 145  setregid 114 143  setresuid 117 147  setresgid 119 149
setgroups 116 159  setpriority 141 140  sched_setparam 142 118  sched_setscheduler 144 119  mlock 149 228
ptrace 101 117  mount 165 40  umount2 166 39  chroot 161 51  pivot_root 155 41  unshare 272 97  setns 308 268
"""

#: Allowed with some arguments only, see `_checks`.
CHECKED = """
mmap 9 222  clone 56 220  prctl 157 167  kill 62 129  tgkill 234 131  sendto 44 206  socketpair 53 199
prlimit64 302 261  sched_setaffinity 203 122  fcntl 72 25  ioctl 16 29
"""

#: By the machine's name: what the kernel calls the architecture, and the column of the tables above.
MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000

#: BPF: load a word of the call's description, mask it, compare it with a constant, return.
_LOAD, _AND, _EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06

#: Offsets in the call's description: its number, the architecture, the first argument.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16

Instruction = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class _Check:
    """A word of an argument has to be one of some values."""

    argument: int
    values: Sequence[int]
    mask: int = 0xFFFFFFFF
    error: int = errno.EPERM
    #: The upper half of a pointer; the kernel reads numbers from the lower one.
    upper: bool = False

    def instructions(self) -> list[Instruction]:
        """They go on behind themselves where the check holds, and return the error where not."""
        offset = _ARGUMENTS + 8 * self.argument + (4 if self.upper else 0)
        count = len(self.values)
        return [
            (_LOAD, 0, 0, offset),
            (_AND, 0, 0, self.mask),
            *((_EQUAL, count - place, 0, value) for place, value in enumerate(self.values)),
            (_RETURN, 0, 0, _ERRNO | self.error),
        ]


def _checks(pid: int) -> dict[str, tuple[_Check, ...]]:
    """What the arguments of the calls in `CHECKED` have to be, for a process with this number."""
    return {
        # Shared anonymous memory and growing stacks are not counted by RLIMIT_DATA: MAP_SHARED, MAP_ANONYMOUS,
        # MAP_GROWSDOWN.
        "mmap": (_Check(argument=3, mask=0x121, values=(0x20, 0, 1), error=errno.ENOMEM),),
        # Threads, without any new namespace: CLONE_THREAD of these flags.
        "clone": (_Check(argument=0, mask=0x7E030000, values=(0x10000,)),),
        # Names of threads and of memory: PR_SET_NAME, PR_GET_NAME, PR_GET_DUMPABLE, PR_SET_VMA.
        "prctl": (_Check(argument=0, values=(15, 16, 3, 0x53564D41)),),
        "kill": (_Check(argument=0, values=(pid,)),),
        "tgkill": (_Check(argument=0, values=(pid,)),),
        # To the other end of a connection, not to an address.
        "sendto": (_Check(argument=4, values=(0,)), _Check(argument=4, upper=True, values=(0,))),
        # AF_UNIX, connected for good: SOCK_STREAM, SOCK_SEQPACKET.
        "socketpair": (_Check(argument=0, values=(1,)), _Check(argument=1, mask=0xF, values=(1, 5))),
        "prlimit64": (_Check(argument=0, values=(0, pid)),),
        "sched_setaffinity": (_Check(argument=0, values=(0, pid)),),
        # Not F_SETOWN and F_SETSIG, which have signals sent.
        "fcntl": (_Check(argument=1, values=(0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1031, 1032)),),
        # TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX.
        "ioctl": (
            _Check(argument=1, values=(0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451), error=errno.ENOTTY),
        ),
    }


def filter_for(machine: str, pid: int) -> list[Instruction]:
    """The BPF program that holds process `pid`: (code, jump if true, jump if false, constant) each.

    Raises:
        OSError: no program is known for this kind of machine.
    """
    if machine not in MACHINES:
        raise OSError(errno.ENOSYS, f"no filter of system calls is known for {machine}")
    architecture, column = MACHINES[machine]
    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        # 32-bit calls: nothing of ours makes them.
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER),
    ]
    for table, verdict in ((ALLOWED, _ALLOW), (PRETENDED, _ERRNO), (REFUSED, _ERRNO | errno.EPERM)):
        for number in numbers(table, column).values():
            program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, verdict)]
    checks = _checks(pid)
    for name, number in numbers(CHECKED, column).items():
        body = [one for check in checks[name] for one in check.instructions()]
        program += [(_EQUAL, 0, len(body) + 1, number), *body, (_RETURN, 0, 0, _ALLOW)]
    program.append((_RETURN, 0, 0, _ERRNO | errno.ENOSYS))
    return program


def numbers(table: str, column: int) -> dict[str, int]:
    """The calls of one of the tables that a machine has: numbers by name."""
    words = table.split()
    return {
        name: int(number)
        for name, number in zip(words[::3], words[1 + column :: 3], strict=True)
        if number != "-"
    }


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def _restrict_calls() -> None:
    instructions = filter_for(os.uname().machine, os.getpid())
    code = b"".join(struct.pack("<HBBI", *one) for one in instructions)
    program = _Program(len(instructions), code)
    _prctl(_PR_SET_SECCOMP, 2, ctypes.addressof(program))


# The kernel.

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, *arguments: int) -> None:
    words = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    _check(_libc.prctl(option, *words), f"prctl {option}")


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


if __name__ == "__main__":
    main()
