"""One server a folder, also when the last one is still ending after its parent's death."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.errors import FolderBusy

LOCK_FILE = ".lock"


@contextmanager
def held_folder(folder: Path, *, purpose: str, patience_s: float = 15.0) -> Iterator[int]:
    """Lock a folder, creating it if need be, and yield the lock's descriptor.

    The lock lasts until every process that the descriptor was handed to has closed it too. Waits up
    to `patience_s` for a holder that is just ending; raises FolderBusy after that.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _acquire(descriptor, folder, purpose=purpose, until=time.monotonic() + patience_s)
        yield descriptor
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, folder: Path, *, purpose: str, until: float) -> None:
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= until:
                raise FolderBusy(
                    f"another {purpose} already runs on {folder}. End that one (another `fieldproof up`?), "
                    "or choose another folder."
                ) from error
        time.sleep(0.05)
