"""The scorer's file: what this version cannot use is set aside, and the ledger folded anew comes to the same bytes."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from agents import scorer as module
from infra.state import VERSION, StateFiles
from schemas.ledger import Closed
from schemas.pairing import Phase
from tests.unit.test_scorer import EVALUATIONS, LEDGER, VERDICTS, World, a_trial
from tests.unit.twins import PAIRING, a_pairing, ended, until

FILE = "ledger-0.sqlite"


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("LOOK_S", 0), ("CADENCE_S", 0), ("WAIT_S", 0.002)):
        monkeypatch.setattr(module, name, value)


def half_a_trial(directory: Path) -> World:
    """A scorer that has folded six entries, written them down and gone."""
    world = World(state=StateFiles(directory, LEDGER), pairing=ended(a_pairing(), 3))
    world.write(*a_trial()[:6])

    async def scenario() -> None:
        async with world.running():
            await world.caught_up()

    asyncio.run(scenario())
    world.state._open.pop(0).close()
    return world


def the_rest(directory: Path, before: World) -> tuple[bytes, bytes]:
    """The final evaluation and the verdict that another scorer comes to, on the file as it is."""
    again = World(broker=before.broker, state=StateFiles(directory, LEDGER), pairing=ended(a_pairing(), 3))
    again._fed = 6
    again.write(*a_trial()[6:])

    async def scenario() -> None:
        async with again.running():
            await again.caught_up()

    asyncio.run(scenario())
    return again.broker.of(EVALUATIONS)[-1].value or b"", again.broker.of(VERDICTS)[-1].value or b""


def made_up(path: Path) -> None:
    """A file of a later version, with tables that this one does not know."""
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE sums (pairing TEXT, n INTEGER)")
        db.execute(f"PRAGMA user_version = {VERSION + 40}")
    db.close()


def first(path: Path) -> None:
    """A file as the first version wrote it: its version stood in a table."""
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE head (version INTEGER, position INTEGER, noise TEXT)")
        db.execute(
            "CREATE TABLE entries (offset INTEGER PRIMARY KEY, timestamp_ms INTEGER, pairing TEXT, value BLOB)"
        )
        db.execute("CREATE TABLE closed (pairing TEXT PRIMARY KEY)")
        db.execute("INSERT INTO head VALUES (1, 6, '{}')")
    db.close()


def same_tables(path: Path) -> None:
    """The same tables, which mean something else by now."""
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
        db.execute("UPDATE head SET position = 2")
    db.close()


def without_a_table(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE closed")
    db.close()


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def no_database(path: Path) -> None:
    path.write_bytes(b"something else entirely" * 500)


@pytest.mark.parametrize("harm", [made_up, first, same_tables, without_a_table, truncated, no_database])
def test_a_file_that_this_version_cannot_use_is_set_aside_and_the_scores_are_the_same(
    harm: object, tmp_path: Path
) -> None:
    whole, hurt = tmp_path / "whole", tmp_path / "hurt"
    expected = the_rest(whole, half_a_trial(whole))
    before = half_a_trial(hurt)
    harm(hurt / FILE)  # type: ignore[operator]
    content = (hurt / FILE).read_bytes()
    assert the_rest(hurt, before) == expected
    assert (hurt / f"{FILE}.aside").read_bytes() == content
    assert StateFiles(hurt, LEDGER).load(0).position == len(before.broker.of(LEDGER))


def test_a_file_that_was_deleted_is_folded_anew_and_nothing_is_set_aside(tmp_path: Path) -> None:
    whole, hurt = tmp_path / "whole", tmp_path / "hurt"
    expected = the_rest(whole, half_a_trial(whole))
    before = half_a_trial(hurt)
    (hurt / FILE).unlink()
    assert the_rest(hurt, before) == expected
    assert not (hurt / f"{FILE}.aside").exists()


def test_a_file_that_is_sound_is_used(tmp_path: Path) -> None:
    before = half_a_trial(tmp_path)
    before.broker.topics[LEDGER][1:4] = []
    kept = StateFiles(tmp_path, LEDGER).load(0)
    assert kept.position == 6 and len(kept.entries) == 5


def test_a_folder_that_cannot_be_written_is_a_broken_world_and_nothing_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / FILE
    path.mkdir(parents=True)
    with pytest.raises(sqlite3.OperationalError):
        StateFiles(tmp_path, LEDGER).load(0)
    assert path.is_dir()


def test_what_was_answered_is_gone_from_the_disk_once_a_pairing_is_closed_or_broken_off(
    tmp_path: Path,
) -> None:
    for name, phase, more in (
        ("closed", Phase.CLOSING, [Closed(pairing=PAIRING)]),
        ("stopped", Phase.STOPPED, []),
    ):
        directory = tmp_path / name
        world = World(state=StateFiles(directory, LEDGER), pairing=ended(a_pairing(), 3))
        world.write(*a_trial()[:6])

        async def scenario(world: World = world, phase: Phase = phase, more: list[Closed] = more) -> None:
            async with world.running():
                await world.caught_up()
                assert b"ARROW1" in stored(world) or b"fieldproof" in stored(world)
                world.board.show(
                    world.board.pairings[PAIRING].model_copy(update={"phase": phase, "fact": 99})
                )
                world.write(*more and [*a_trial()[6:], *more])
                await world.caught_up()
                await until(lambda: world.scorer._partitions[0].saved_closed)

        def stored(world: World, directory: Path = directory) -> bytes:
            return b"".join(path.read_bytes() for path in directory.iterdir())

        asyncio.run(scenario())
        assert StateFiles(directory, LEDGER).load(0).closed == {PAIRING}
        assert b"t2q-v1" not in stored(world) and b"fieldproof" not in stored(world)
