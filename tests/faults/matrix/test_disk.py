"""A disk that is full."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.kafka import admin as kafka_admin
from infra.kafka.groups import scorer_group
from streams import topics
from tests.faults.matrix.ground import Ground, open_with
from tests.integration.commands import wait_for, worker_pid
from tests.integration.plants import Site

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(300)]

PLANT = "disk"


@pytest.fixture
def small(ground: Ground) -> Iterator[Path]:
    """A disk of two megabytes where the plant's state is going to be."""
    folder = ground.home / "state" / PLANT
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "fieldproof-test", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Fill a disk to its last byte."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as sink:
        try:
            while True:
                sink.write(b"x" * 4096)
        except OSError:
            return filler


def test_a_full_disk_stops_the_scorer_without_acknowledging_and_with_room_it_goes_on(
    ground: Ground, small: Path
) -> None:
    site: Site = ground.shared.site(PLANT)
    name = open_with(site, "disk-1", ground.models / "threshold", "disk")
    site.frame("f-0", 0, [0.9] * 3)
    site.wait_counts("disk-1", name, rows_in=3, scored=3)
    scorer = int(wait_for(lambda: worker_pid(ground.home, f"scorer.{PLANT}"), "the scorer"))
    filler = fill(small)
    for number in range(1, 60):
        site.frame(f"f-{number}", 1000 * number, [0.9] * 500)
    ground.wait_outcome(site, f"disk-1/{name}", "f-59")
    log = ground.home / "logs" / f"scorer.{PLANT}.log"
    wait_for(lambda: "database or disk is full" in log.read_text(), "the scorer to say so")
    ground.replaced(f"scorer.{PLANT}", scorer)

    def folded() -> int:
        there = kafka_admin.group_offsets(ground.kafka.bootstrap, scorer_group(PLANT))
        return there.get((topics.ledger(PLANT), 0), 0)

    assert folded() < kafka_admin.end_offsets(ground.kafka.bootstrap, topics.ledger(PLANT))[0]
    filler.unlink()
    site.wait_counts("disk-1", name, rows_in=3 + 59 * 500)
    ground.prove(site, "disk-1", name)
