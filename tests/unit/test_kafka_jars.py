"""Jars are taken from the cache only when they are what was locked."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from infra.errors import JarMismatch
from infra.kafka.jars import LOCK_PATH, Lock, LockedJar, ensure_jars, lock_text, read_lock

CONTENT = b"a jar"
JAR = LockedJar(
    coordinates="org.example:thing:1.0", sha256=hashlib.sha256(CONTENT).hexdigest(), size_bytes=len(CONTENT)
)
LOCK = Lock(version="0.0.1", jars=(JAR,))


def cached(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "kafka" / "0.0.1" / "thing-1.0.jar"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_a_cached_jar_is_used_without_the_network(tmp_path: Path) -> None:
    path = cached(tmp_path, CONTENT)
    said: list[str] = []
    assert ensure_jars(lock=LOCK, cache=tmp_path, progress=said.append) == (path,)
    assert said == []


def test_a_jar_that_is_not_the_locked_one_is_refused_and_named(tmp_path: Path) -> None:
    path = cached(tmp_path, b"another jar")
    with pytest.raises(JarMismatch, match=rf"{re.escape(str(path))}.*org\.example:thing:1\.0.*Delete it"):
        ensure_jars(lock=LOCK, cache=tmp_path)


def test_the_committed_lock_reads_back_as_it_was_written() -> None:
    lock = read_lock()
    assert lock_text(lock) == LOCK_PATH.read_text()
    assert all(re.fullmatch("[0-9a-f]{64}", jar.sha256) for jar in lock.jars)


def test_the_committed_lock_holds_a_log_binding_and_one_version_of_kafka() -> None:
    lock = read_lock()
    assert any(":log4j-slf4j-impl:" in jar.coordinates for jar in lock.jars)
    kafka = {
        jar.coordinates.split(":")[2] for jar in lock.jars if jar.coordinates.startswith("org.apache.kafka:")
    }
    assert kafka == {lock.version}
