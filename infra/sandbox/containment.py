"""How well this machine holds a candidate, found by trying to break out; and what may run under that."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import secrets
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import infra.sandbox.escape
from infra.environments.environment import own_environment
from infra.sandbox import bubblewrap
from infra.sandbox.confinement import LEVELS, SCRATCH_BYTES, VARIABLES, Level, Program, command
from infra.sandbox.uids import is_root
from infra.words.language import Phrase

#: What is tried at each level, in the order of the reports.
WHAT: Mapping[str, Phrase] = {
    "work": Phrase("honest code works", "정상 코드 실행"),
    "inet": Phrase("network, IPv4", "네트워크(IPv4)"),
    "inet6": Phrase("network, IPv6", "네트워크(IPv6)"),
    "netlink": Phrase("the kernel's network settings", "커널 네트워크 설정(netlink)"),
    "unix": Phrase("sockets of other programs", "다른 프로그램의 소켓"),
    "read": Phrase("reading the plant's files", "공장 파일 읽기"),
    "see": Phrase("seeing which files there are", "파일 존재 확인"),
    "write": Phrase("writing outside its scratch", "작업 공간 밖 쓰기"),
    "platform": Phrase("importing the platform's own code", "플랫폼 코드 가져오기"),
    "environment": Phrase("the platform's environment variables", "플랫폼 환경 변수"),
    "processes": Phrase("seeing other processes", "다른 프로세스 보기"),
    "signal": Phrase("signals and limits of other processes", "다른 프로세스에 신호·제한"),
    "trace": Phrase("tracing, and memory of other processes", "다른 프로세스 추적·메모리"),
    "fork": Phrase("starting processes", "프로세스 생성"),
    "execute": Phrase("executing other programs", "다른 프로그램 실행"),
    "namespace": Phrase("namespaces and mounts", "네임스페이스와 마운트"),
    "privilege": Phrase("privileges, root", "권한 상승, root"),
    "memory": Phrase("memory that no limit counts", "제한에 잡히지 않는 메모리"),
    "disk": Phrase("filling the disk", "디스크 채우기"),
}

#: What a level has to hold, of the above.
HOLDS: Mapping[Level, frozenset[str]] = {
    "full": frozenset(WHAT),
    # It sees that a file is there, and its size; nothing in it. Its scratch is on the disk, as large as that is.
    "reduced": frozenset(WHAT) - {"see", "disk"},
    "none": frozenset(),
}

#: What a level means for a plant.
LEVELS_MEAN: Mapping[Level, Phrase] = {
    "full": Phrase(
        "candidates see nothing but their own files and the rows they are given",
        "후보 모델은 자기 파일과 주어진 행 외에는 아무것도 보지 못합니다",
    ),
    "reduced": Phrase(
        "candidates reach nothing outside, but see which files there are and may fill the disk: open agreements only",
        "후보 모델은 외부에 접근하지 못하지만 파일의 존재를 알 수 있고 디스크를 채울 수 있습니다. 공개 협약만 가능",
    ),
    "none": Phrase(
        "start-ups' models are not run here: nothing contains them",
        "격리할 수단이 없어 스타트업의 모델을 실행하지 않습니다",
    ),
}

#: A probe that takes longer than this has failed.
_PATIENCE_S = 20


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One attempt to break out of a level."""

    what: str
    held: bool
    #: How it went, in the system's words.
    told: str


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of all attempts at one level; none where its process did not start."""

    level: Level
    findings: tuple[Finding, ...] = ()
    #: Why its process did not start or did not come to the end.
    broken: str = ""

    @property
    def missed(self) -> tuple[Finding, ...]:
        """What the level should hold and did not."""
        return tuple(one for one in self.findings if one.what in HOLDS[self.level] and not one.held)

    @property
    def holds(self) -> bool:
        """Whether everything that the level promises was tried, and held."""
        tried = {one.what for one in self.findings}
        return not self.broken and HOLDS[self.level] <= tried and not self.missed


@dataclass(frozen=True, kw_only=True)
class Probe:
    """The level that this machine really has, and what was found out on the way to it, from the strictest."""

    level: Level
    trials: tuple[Trial, ...]


def probe_level() -> Level:
    """The level of containment that is to be had here."""
    return probe().level


@functools.cache
def probe() -> Probe:
    """Try the levels from the strictest until one holds what it promises."""
    trials: list[Trial] = []
    for level in LEVELS:
        trials.append(try_level(level))
        if trials[-1].holds:
            break
    return Probe(level=trials[-1].level, trials=tuple(trials))


def forget_probe() -> None:
    """Try again at the next question, where something may have been installed meanwhile."""
    probe.cache_clear()
    bubblewrap.forget()


def try_level(level: Level) -> Trial:
    """Start a process at a level, and have it try to break out. Nothing is tried where nothing is promised."""
    if not HOLDS[level]:
        return Trial(level=level)
    with tempfile.TemporaryDirectory(prefix="probe-") as name, outside(Path(name)) as target:
        program = _program(Path(name))
        launched = command(program, level)
        told = target | {"own": [launched.model, *launched.packages]}
        try:
            done = subprocess.run(
                (*launched.argv, json.dumps(told)),
                env=launched.env,
                cwd=program.scratch,
                capture_output=True,
                timeout=_PATIENCE_S,
                check=False,
                start_new_session=True,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return Trial(level=level, broken=str(error))
    return _read(level, done)


def _program(folder: Path) -> Program:
    model, scratch = folder / "model", folder / "scratch"
    model.mkdir()
    (model / "MLmodel").touch()
    scratch.mkdir()
    return Program(
        script=Path(infra.sandbox.escape.__file__),
        model=model,
        environment=own_environment(),
        scratch=scratch,
    )


@contextlib.contextmanager
def outside(folder: Path) -> Iterator[dict[str, object]]:
    """What an attempt tries to reach from inside: all of it open to everyone, so that only the level holds it."""
    canary, path, abstract = folder / "canary", folder / "socket", f"fieldproof-{secrets.token_hex(8)}"
    canary.write_text("canary")
    memory = ctypes.create_string_buffer(8)
    with contextlib.ExitStack() as open_:
        listening = open_.enter_context(socket.create_server(("127.0.0.1", 0)))
        # Where the machine has no IPv6, the attempt fails at something else.
        six = _listening6(open_)
        for kind, address in ((socket.SOCK_STREAM, str(path)), (socket.SOCK_DGRAM, f"\0{abstract}")):
            made = open_.enter_context(socket.socket(socket.AF_UNIX, kind))
            made.bind(address)
            if kind == socket.SOCK_STREAM:
                made.listen()
        for place, mode in ((folder, 0o777), (canary, 0o666), (path, 0o666)):
            place.chmod(mode)
        yield {
            "pid": os.getpid(),
            "started": _started(),
            "address": ctypes.addressof(memory),
            "root": is_root(),
            "port": listening.getsockname()[1],
            "port6": six,
            "socket": str(path),
            "abstract": abstract,
            "canary": str(canary),
            # bubblewrap and shells tell the working directory.
            "variables": [*VARIABLES, "PWD", "OLDPWD", "SHLVL", "_"],
            "scratch_bytes": SCRATCH_BYTES,
        }


def _listening6(open_: contextlib.ExitStack) -> int:
    try:
        made = open_.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
    except OSError:
        return 1
    return int(made.getsockname()[1])


def _started() -> str:
    """When this process started, as the kernel counts: with its number it is this process and no other."""
    return Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]


def _read(level: Level, done: subprocess.CompletedProcess[bytes]) -> Trial:
    findings = []
    for line in done.stdout.splitlines():
        try:
            what, held, told = json.loads(line)
            findings.append(Finding(what=str(what), held=bool(held), told=str(told)))
        except ValueError:
            break
    missing = HOLDS[level] - {one.what for one in findings}
    if not missing:
        return Trial(level=level, findings=tuple(findings))
    said = done.stderr.decode(errors="replace").strip().splitlines()
    broken = said[-1] if said else f"the probe did not try {', '.join(sorted(missing))}"
    return Trial(level=level, findings=tuple(findings), broken=broken)
