"""What to do about a level of containment that this machine does not have."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.environments.environment import own_environment
from infra.sandbox.containment import Probe, Trial
from infra.words.language import Phrase
from models.confine import MACHINES, landlock_version

#: Settings of the kernel that keep users from having namespaces of their own: the value that does, and one that does not.
_USER_NAMESPACES = {
    "kernel.unprivileged_userns_clone": ("0", "1"),
    "user.max_user_namespaces": ("0", "15000"),
    "kernel.apparmor_restrict_unprivileged_userns": ("1", "0"),
}


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """What this machine brings along for containment."""

    #: Where bubblewrap is; None where it is not installed.
    bubblewrap: str | None
    #: The version of Landlock's interface, 0 where there is none.
    landlock: int
    machine: str
    #: Settings that keep users from having namespaces, with a value that lets them.
    forbidding: dict[str, str]
    #: Whether this is a container.
    container: bool


def kernel() -> Kernel:
    """What there is here."""
    found = {name: _setting(name) for name in _USER_NAMESPACES}
    return Kernel(
        bubblewrap=shutil.which("bwrap"),
        landlock=landlock_version(),
        machine=os.uname().machine,
        forbidding={name: good for name, (bad, good) in _USER_NAMESPACES.items() if found[name] == bad},
        container=any(Path(path).exists() for path in ("/.dockerenv", "/run/.containerenv")),
    )


def advice(probe: Probe, there: Kernel) -> list[Phrase]:
    """What to do to reach the levels above the one that was found, the nearest last."""
    return [line for trial in probe.trials if not trial.holds for line in _advice(trial, there)]


def _advice(trial: Trial, there: Kernel) -> Iterator[Phrase]:
    lines = [] if there.machine in MACHINES else [_machine(there)]
    if not lines:
        lines = list(_for_full(trial, there) if trial.level == "full" else _for_reduced(there))
    lines += [_readable()] if any(one.what == "work" for one in trial.missed) else []
    if not lines:
        said = trial.broken or "; ".join(f"{one.what}: {one.told}" for one in trial.missed)
        lines = [Phrase(f"the probe found: {said}", f"점검 결과: {said}")]
    return (Phrase(f"{trial.level}: ", f"{trial.level}: ") + line for line in lines)


def _machine(there: Kernel) -> Phrase:
    known = ", ".join(MACHINES)
    return Phrase(
        f"system calls can be filtered on {known} only, and this machine is {there.machine}",
        f"시스템 호출 제한은 {known}에서만 됩니다. 이 컴퓨터는 {there.machine}입니다",
    )


def _for_full(trial: Trial, there: Kernel) -> Iterator[Phrase]:
    if there.bubblewrap is None:
        install = "sudo apt-get install bubblewrap"
        yield Phrase(
            f"install bubblewrap: `{install}` (Fedora, RHEL: `sudo dnf install bubblewrap`)",
            f"bubblewrap을 설치하십시오: `{install}` (Fedora, RHEL: `sudo dnf install bubblewrap`)",
        )
    if not trial.broken:
        return
    for name, value in there.forbidding.items():
        command = f"sudo sysctl -w {name}={value}"
        yield Phrase(
            f"allow users to have namespaces: `{command}` (to keep it, write it into /etc/sysctl.d)",
            f"사용자 네임스페이스를 허용하십시오: `{command}` (유지하려면 /etc/sysctl.d에 적으십시오)",
        )
    if there.container and there.bubblewrap is not None:
        yield Phrase(
            "this is a container: start it with `--privileged`, or run Fieldproof on the machine itself",
            "컨테이너 안입니다: `--privileged`로 시작하거나 컨테이너 밖에서 실행하십시오",
        )


def _for_reduced(there: Kernel) -> Iterator[Phrase]:
    if there.landlock < 3:
        yield Phrase(
            "use Linux 6.7 or newer with Landlock (`cat /sys/kernel/security/lsm` lists it; else boot with lsm=landlock,…)",
            "Landlock이 켜진 Linux 6.7 이상을 쓰십시오(`cat /sys/kernel/security/lsm`에 나와야 하며, 없으면 lsm=landlock,…로 부팅)",
        )


def _readable() -> Phrase:
    environment = own_environment()
    command = f"sudo chmod -R o+rX {environment.packages} {environment.prefix}"
    return Phrase(
        f"let other users read what is installed: `{command}`",
        f"설치된 파일을 다른 사용자가 읽을 수 있게 하십시오: `{command}`",
    )


def _setting(name: str) -> str | None:
    try:
        return Path("/proc/sys", *name.split(".")).read_text().strip()
    except OSError:
        return None
