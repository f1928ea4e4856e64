"""The scorer's state on disk: what counted of the open pairings, and how far the ledger is folded.

The state is the fold of the entries that counted, so those are what is kept: no second form of the state can disagree
with the fold. It is a cache: without the file, everything is read from the ledger again. So a file that cannot be read,
or that another version wrote, is set aside (`ledger-0.sqlite.aside`), and what it held is folded anew.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from agents.scorer import Kept
from streams.envelope import RawRecord
from streams.tally import Noise

log = logging.getLogger(__name__)

#: Written into the file as `PRAGMA user_version`. Raise it whenever the tables below, or what they mean, change.
VERSION = 2

TABLES = {"head", "entries", "closed"}

_SCHEMA = """
BEGIN;
CREATE TABLE head (position INTEGER NOT NULL, noise TEXT NOT NULL);
CREATE TABLE entries (
    offset INTEGER PRIMARY KEY, timestamp_ms INTEGER, pairing TEXT, headers TEXT, value BLOB
);
CREATE INDEX entries_of ON entries (pairing);
CREATE TABLE closed (pairing TEXT PRIMARY KEY);
INSERT INTO head VALUES (0, '{}');
PRAGMA user_version = %d;
COMMIT;
"""


class StateFiles:
    """One SQLite file for each ledger partition of a plant; a `State`."""

    def __init__(self, directory: Path, topic: str) -> None:
        self._directory = directory
        self._topic = topic
        self._open: dict[int, sqlite3.Connection] = {}

    def load(self, partition: int) -> Kept:
        """What the partition's file holds; nothing where it is missing, damaged or of another version."""
        db = self._connect(partition)
        position, noise = db.execute("SELECT position, noise FROM head").fetchone()
        rows = db.execute("SELECT offset, timestamp_ms, pairing, headers, value FROM entries ORDER BY offset")
        entries = [
            RawRecord(
                topic=self._topic,
                partition=partition,
                offset=offset,
                timestamp_ms=timestamp_ms,
                key=pairing.encode(),
                value=value,
                headers=tuple((name, text.encode()) for name, text in json.loads(headers)),
            )
            for offset, timestamp_ms, pairing, headers, value in rows
        ]
        closed = frozenset(name for (name,) in db.execute("SELECT pairing FROM closed"))
        found = {name: Noise.model_validate(seen) for name, seen in json.loads(noise).items()}
        return Kept(position=position, entries=entries, noise=found, closed=closed)

    def save(
        self,
        partition: int,
        *,
        position: int,
        counted: Sequence[RawRecord],
        noise: dict[str, Noise],
        closed: Iterable[str],
    ) -> None:
        """Write down, in one transaction, what counted and up to where the ledger is folded."""
        db = self._connect(partition)
        with db:
            db.executemany(
                "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?, ?)", [_row(record) for record in counted]
            )
            done = [(name,) for name in closed]
            db.executemany("INSERT OR IGNORE INTO closed VALUES (?)", done)
            db.executemany("DELETE FROM entries WHERE pairing = ?", done)
            told = json.dumps({name: seen.to_dict() for name, seen in noise.items()})
            db.execute("UPDATE head SET position = ?, noise = ?", (position, told))
        if done:
            # What is deleted is to be gone from the disk as well, not only from the tables.
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _connect(self, partition: int) -> sqlite3.Connection:
        if partition not in self._open:
            self._directory.mkdir(parents=True, exist_ok=True)
            path = self._directory / f"ledger-{partition}.sqlite"
            try:
                self._open[partition] = _ready(path)
            except sqlite3.OperationalError:
                # Locked, no space, no such folder: the world is broken, not the file.
                raise
            except sqlite3.DatabaseError as error:
                self._open[partition] = _anew(path, error)
        return self._open[partition]


def _ready(path: Path) -> sqlite3.Connection:
    """An open file of this version, with its tables.

    Raises:
        sqlite3.DatabaseError: it is damaged, or another version wrote it.
    """
    db = sqlite3.connect(path)
    try:
        # Nothing is written before it is known whose file it is.
        if db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("damaged")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        there = {name for (name,) in db.execute("SELECT name FROM sqlite_master")}
        new = version == 0 and not there
        if not new and (version != VERSION or not there >= TABLES):
            raise sqlite3.DatabaseError(f"of version {version}, this is version {VERSION}")
        db.execute("PRAGMA journal_mode=WAL")
        # A crash of the machine may lose the last transactions, never tear one: the ledger has them again.
        db.execute("PRAGMA synchronous=NORMAL")
        # Entries that are deleted are overwritten with zeros.
        db.execute("PRAGMA secure_delete=ON")
        if new:
            db.executescript(_SCHEMA % VERSION)
    except BaseException:
        db.close()
        raise
    return db


def _anew(path: Path, why: sqlite3.Error) -> sqlite3.Connection:
    """Set a file aside that this version cannot use, and begin an empty one."""
    aside = path.with_name(path.name + ".aside")
    log.warning("%s cannot be used (%s): set aside, folding the ledger anew", path.name, why)
    path.replace(aside)
    for each in (path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        each.unlink(missing_ok=True)
    return _ready(path)


def _row(record: RawRecord) -> tuple[int, int, str, str, bytes]:
    headers = json.dumps([(name, value.decode(errors="replace")) for name, value in record.headers])
    return record.offset, record.timestamp_ms, (record.key or b"").decode(), headers, record.value or b""
