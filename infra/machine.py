"""What an installation needs of the machine it runs on, and whether it is there."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.environments.environment import EnvironmentUnavailable
from infra.environments.uv import Uv
from infra.errors import JavaMissing
from infra.kafka.java import find_java
from infra.ports import free_ports
from infra.sandbox.advice import kernel
from infra.settings import Settings
from infra.words.language import NOTHING, Phrase

#: What an embedded Kafka, MLflow, the workers and one candidate take, and what their first week writes.
_MEMORY_BYTES, _DISK_BYTES = 3 << 30, 5 << 30


@dataclass(frozen=True, kw_only=True)
class Fact:
    """One thing that an installation needs."""

    #: What it is called in JSON.
    key: str
    name: Phrase
    value: str
    #: What to do where it is not there or too little; nothing where all is well.
    advice: Phrase = NOTHING

    @property
    def ok(self) -> bool:
        """Whether nothing has to be done."""
        return self.advice == NOTHING


def machine(settings: Settings) -> Iterator[Fact]:
    """The facts of this machine, one after the other."""
    yield Fact(key="python", name=Phrase("Python", "Python"), value=platform.python_version())
    yield _containment()
    yield _java()
    yield _uv(settings)
    yield Fact(key="cores", name=Phrase("cores", "코어"), value=str(len(psutil.Process().cpu_affinity())))
    yield _memory()
    yield _disk(settings.home)
    yield _ports()


def _containment() -> Fact:
    there = kernel()
    parts = (
        there.bubblewrap or "–",
        f"Landlock {there.landlock or '–'}",
        f"Linux {platform.release()}",
        there.machine,
    )
    return Fact(key="containment", name=Phrase("containment", "격리 수단"), value=", ".join(parts))


def _java() -> Fact:
    name = Phrase("Java (for Kafka)", "Java (Kafka용)")
    try:
        return Fact(key="java", name=name, value=str(find_java()))
    except JavaMissing:
        return Fact(
            key="java",
            name=name,
            value="–",
            advice=Phrase(
                "run `make setup`, which installs one; or set JAVA_HOME to a Java of 17 or newer",
                "`make setup`을 실행하면 설치됩니다. 또는 JAVA_HOME을 Java 17 이상으로 지정하십시오",
            ),
        )


def _uv(settings: Settings) -> Fact:
    name = Phrase("uv (for models' own packages)", "uv (모델별 패키지용)")
    try:
        return Fact(key="uv", name=name, value=str(Uv.found(settings.cache).program))
    except EnvironmentUnavailable:
        return Fact(
            key="uv",
            name=name,
            value="–",
            advice=Phrase("install it: `pip install uv`", "설치하십시오: `pip install uv`"),
        )


def _memory() -> Fact:
    total = int(psutil.virtual_memory().total)
    wanted = f"{_MEMORY_BYTES >> 30} GB"
    small = Phrase(f"use a machine with {wanted} or more", f"메모리 {wanted} 이상인 컴퓨터를 쓰십시오")
    return Fact(
        key="memory",
        name=Phrase("memory", "메모리"),
        value=_gigabytes(total),
        advice=small if total < _MEMORY_BYTES else NOTHING,
    )


def _disk(home: Path) -> Fact:
    place = next(one for one in (home.absolute(), *home.absolute().parents) if one.is_dir())
    free = shutil.disk_usage(place).free
    wanted = f"{_DISK_BYTES >> 30} GB"
    small = Phrase(
        f"free {wanted} there, or set FIELDPROOF_HOME to another disk",
        f"{wanted}를 비우거나 FIELDPROOF_HOME을 다른 디스크로 지정하십시오",
    )
    return Fact(
        key="disk",
        name=Phrase("free disk", "디스크 여유"),
        value=f"{_gigabytes(free)} ({place})",
        advice=small if free < _DISK_BYTES else NOTHING,
    )


def _ports() -> Fact:
    name = Phrase("ports of 127.0.0.1", "127.0.0.1의 포트")
    try:
        (free,) = free_ports(1)
    except OSError as error:
        blocked = Phrase(
            f"no port can be opened ({error.strerror}): allow programs to listen on 127.0.0.1",
            f"포트를 열 수 없습니다({error.strerror}). 프로그램이 127.0.0.1에서 수신하도록 허용하십시오",
        )
        return Fact(key="ports", name=name, value="–", advice=blocked)
    return Fact(key="ports", name=name, value=f"{free}, …")


def _gigabytes(size: int) -> str:
    return f"{size / (1 << 30):.1f} GB"
