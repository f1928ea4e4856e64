"""Kafka's jars: fetched once, each checked against the SHA-256 sum in the committed lock.

`python -m infra.kafka.jars lock [version]` makes the lock anew.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.errors import JarMismatch, JarsUnavailable

if TYPE_CHECKING:
    from jgo.maven import Dependency, MavenContext

LOCK_PATH = Path(__file__).with_name("kafka.lock.toml")
#: A patch release: the first ones of a minor version are not for other people's data.
DEFAULT_VERSION = "4.3.1"
_ENDPOINT = "org.apache.kafka:kafka_2.13"
#: Binds Kafka's SLF4J 1 to the Log4j that Kafka itself brings; without it the broker's log vanishes.
_LOG_CORE, _LOG_BINDING = "org.apache.logging.log4j:log4j-core", "org.apache.logging.log4j:log4j-slf4j-impl"
_DOWNLOADS_AT_ONCE = 8

Progress = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class LockedJar:
    #: group:artifact:version
    coordinates: str
    sha256: str
    size_bytes: int

    @property
    def file_name(self) -> str:
        _, artifact, version = self.coordinates.split(":")
        return f"{artifact}-{version}.jar"


@dataclass(frozen=True, kw_only=True)
class Lock:
    #: Version of Kafka.
    version: str
    jars: tuple[LockedJar, ...]


def read_lock(path: Path = LOCK_PATH) -> Lock:
    content = tomllib.loads(path.read_text())
    return Lock(version=content["version"], jars=tuple(LockedJar(**jar) for jar in content["jar"]))


def cache_directory() -> Path:
    """Where fetched files are kept: FIELDPROOF_CACHE, else the user's cache directory."""
    given = os.environ.get("FIELDPROOF_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fieldproof"


def _silent(_: str) -> None: ...


def ensure_jars(
    *, lock: Lock | None = None, cache: Path | None = None, progress: Progress = _silent
) -> tuple[Path, ...]:
    """All jars of the locked Kafka, every one verified; those missing in the cache are fetched.

    Raises JarsUnavailable when one cannot be fetched, JarMismatch when one is not what was locked.
    """
    lock = lock or read_lock()
    home = (cache or cache_directory()) / "kafka" / lock.version
    missing = [jar for jar in lock.jars if not (home / jar.file_name).exists()]
    if missing:
        _fetch_all(missing, home, progress, version=lock.version)
    paths = tuple(home / jar.file_name for jar in lock.jars)
    for jar, path in zip(lock.jars, paths, strict=True):
        _verify(jar, path)
    return paths


def _verify(jar: LockedJar, path: Path) -> None:
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != jar.sha256:
        raise JarMismatch(
            f"{path} is not the file that was locked as {jar.coordinates} "
            f"(SHA-256 {found}, expected {jar.sha256}). Delete it and try again; "
            "if it comes back, whoever serves it serves something else."
        )


def _fetch_all(jars: Sequence[LockedJar], home: Path, progress: Progress, *, version: str) -> None:
    total_mb = sum(jar.size_bytes for jar in jars) / 1e6
    progress(f"Fetching Apache Kafka {version}, once: {len(jars)} files, {total_mb:.0f} MB")
    home.mkdir(parents=True, exist_ok=True)
    done = told = 0
    # Into a directory of its own first: a file cut off, or of another process, never counts as there.
    with tempfile.TemporaryDirectory(dir=home, prefix=".fetch-") as scratch:
        context = _maven(Path(scratch))
        with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
            for jar, path in zip(jars, pool.map(lambda jar: _fetch(jar, context), jars), strict=True):
                _verify(jar, path)
                path.replace(home / jar.file_name)
                done += jar.size_bytes
                if done - told > 4e6 or jar is jars[-1]:
                    told = done
                    progress(f"Apache Kafka {version}: {done / 1e6:.0f} of {total_mb:.0f} MB")


def _fetch(jar: LockedJar, context: MavenContext) -> Path:
    try:
        return Path(context.create_dependency(jar.coordinates).artifact.resolve())
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
        raise JarsUnavailable(
            f"could not fetch {jar.coordinates}: {error}. Check the network connection and try again; "
            f"or copy the cache directory {cache_directory()} from a machine that has it."
        ) from error


def _maven(repository: Path) -> MavenContext:
    from jgo.maven import MavenContext

    return MavenContext(repo_cache=repository, timeout=30)


def resolve_lock(version: str) -> Lock:
    """Resolve and download Kafka's jars with all they need, and sum them up."""
    with tempfile.TemporaryDirectory() as scratch:
        context = _maven(Path(scratch))
        # Alone: jgo lets the version table of one requested artifact override the versions another one needs.
        kafka, needed = context.resolver.resolve([context.create_dependency(f"{_ENDPOINT}:{version}")])
        dependencies = [*kafka, *needed]
        log_version = next(d.version for d in dependencies if f"{d.groupId}:{d.artifactId}" == _LOG_CORE)
        dependencies.append(context.create_dependency(f"{_LOG_BINDING}:{log_version}"))
        with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
            jars = list(pool.map(_locked, dependencies))
    return Lock(version=version, jars=tuple(sorted(jars, key=lambda jar: jar.coordinates)))


def _locked(dependency: Dependency) -> LockedJar:
    content = dependency.artifact.resolve().read_bytes()
    return LockedJar(
        coordinates=f"{dependency.groupId}:{dependency.artifactId}:{dependency.version}",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
    )


def lock_text(lock: Lock) -> str:
    return "".join(_lock_lines(lock))


def _lock_lines(lock: Lock) -> Iterable[str]:
    yield "# Jars of the embedded Apache Kafka. Made by `python -m infra.kafka.jars lock`; do not edit.\n"
    yield f'version = "{lock.version}"\n'
    for jar in lock.jars:
        yield f'\n[[jar]]\ncoordinates = "{jar.coordinates}"\nsha256 = "{jar.sha256}"\n'
        yield f"size_bytes = {jar.size_bytes}\n"


def main(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] != "lock":
        sys.stderr.write("usage: python -m infra.kafka.jars lock [version]\n")
        return 2
    version = arguments[1] if len(arguments) > 1 else DEFAULT_VERSION
    lock = resolve_lock(version)
    LOCK_PATH.write_text(lock_text(lock))
    sys.stdout.write(f"{LOCK_PATH}: Apache Kafka {version}, {len(lock.jars)} jars\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
