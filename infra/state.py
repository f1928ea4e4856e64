"""The scorer's state on disk: what counted of the open pairings, and how far the ledger is folded.

The state is the fold of the entries that counted, so those are what is kept: no second form of the state can disagree
with the fold. It is a cache: without the file, everything is read from the ledger again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from agents.scorer import Kept
from streams.envelope import RawRecord

VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS head (version INTEGER, position INTEGER, noise TEXT);
CREATE TABLE IF NOT EXISTS entries (
    offset INTEGER PRIMARY KEY, timestamp_ms INTEGER, pairing TEXT, headers TEXT, value BLOB
);
CREATE INDEX IF NOT EXISTS entries_of ON entries (pairing);
CREATE TABLE IF NOT EXISTS closed (pairing TEXT PRIMARY KEY);
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
        found = {name: (seen[0], seen[1]) for name, seen in json.loads(noise).items()}
        return Kept(position=position, entries=entries, noise=found, closed=closed)

    def save(
        self,
        partition: int,
        *,
        position: int,
        counted: Sequence[RawRecord],
        noise: dict[str, tuple[int, int]],
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
            db.execute("UPDATE head SET position = ?, noise = ?", (position, json.dumps(noise)))

    def _connect(self, partition: int) -> sqlite3.Connection:
        if partition not in self._open:
            self._directory.mkdir(parents=True, exist_ok=True)
            path = self._directory / f"ledger-{partition}.sqlite"
            try:
                self._open[partition] = _ready(path)
            except sqlite3.DatabaseError:
                _remove(path)
                self._open[partition] = _ready(path)
        return self._open[partition]


def _ready(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=WAL")
    # A crash of the machine may lose the last transactions, never tear one: the ledger has them again.
    db.execute("PRAGMA synchronous=NORMAL")
    db.executescript(_SCHEMA)
    head = db.execute("SELECT version FROM head").fetchone()
    if head is not None and head[0] != VERSION:
        db.close()
        raise sqlite3.DatabaseError("written by another version")
    if head is None:
        with db:
            db.execute("INSERT INTO head VALUES (?, 0, '{}')", (VERSION,))
    if db.execute("PRAGMA quick_check").fetchone()[0] != "ok":
        db.close()
        raise sqlite3.DatabaseError("damaged")
    return db


def _remove(path: Path) -> None:
    for each in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
        each.unlink(missing_ok=True)


def _row(record: RawRecord) -> tuple[int, int, str, str, bytes]:
    headers = json.dumps([(name, value.decode(errors="replace")) for name, value in record.headers])
    return record.offset, record.timestamp_ms, (record.key or b"").decode(), headers, record.value or b""
