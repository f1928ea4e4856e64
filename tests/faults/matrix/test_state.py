"""The scorer's state file is a cache: without it, the ledger gives the same bytes."""

from __future__ import annotations

import os
import signal

import pytest

from streams import topics
from tests.faults.matrix.ground import Ground, open_with
from tests.integration.commands import wait_for, worker_pid
from tests.integration.plants import Site

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(300)]


def last_of(site: Site, key: str) -> tuple[int, list[bytes]]:
    """The highest ledger offset of which a candidate's evaluations speak, and those that speak of it."""
    told: dict[int, list[bytes]] = {}
    for record in site.seen.of(topics.evaluations(site.name)):
        if (record.key or b"").decode() == key:
            evaluation = record.value or b""
            latest = site.latest(*key.split("/", maxsplit=1))
            assert latest is not None
            told.setdefault(type(latest).model_validate_json(evaluation).ledger_offset, []).append(evaluation)
    return (max(told), told[max(told)]) if told else (-1, [])


def test_evaluations_are_the_same_bytes_without_the_state_file(ground: Ground) -> None:
    site: Site = ground.shared.site("state")
    name = open_with(site, "state-1", ground.models / "threshold", "state")
    for number in range(12):
        site.frame(f"f-{number}", 10 * number, [0.9, 0.1, 0.9])
    site.wait_counts("state-1", name, rows_in=36, scored=36)
    site.wait_counts("state-1", "no-alarm", rows_in=36, scored=36)
    scorer = int(wait_for(lambda: worker_pid(ground.home, "scorer.state"), "the scorer"))
    folder = ground.home / "state" / "state"
    os.kill(scorer, signal.SIGSTOP)
    offset, before = last_of(site, f"state-1/{name}")
    files = list(folder.iterdir())
    assert any(file.name == "ledger-0.sqlite" for file in files)
    for file in files:
        file.unlink()
    os.kill(scorer, signal.SIGKILL)
    ground.replaced("scorer.state", scorer)

    def again() -> list[bytes]:
        now, found = last_of(site, f"state-1/{name}")
        assert now == offset
        return found[len(before) :]

    wait_for(again, "the evaluation anew")
    assert set(again()) == {before[-1]}
    ground.prove(site, "state-1", name)
