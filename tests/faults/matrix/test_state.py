"""The scorer's state file is a cache: without it, the ledger gives the same bytes."""

from __future__ import annotations

import os
import signal

import pytest

from schemas.evaluation import Evaluation
from streams import topics
from tests.faults.matrix.ground import Ground, open_with
from tests.integration.commands import wait_for, worker_pid
from tests.integration.plants import Site

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(300)]


def test_evaluations_are_the_same_bytes_without_the_state_file(ground: Ground) -> None:
    site: Site = ground.shared.site("state")
    name = open_with(site, "state-1", ground.models / "threshold", "state")
    for number in range(12):
        site.frame(f"f-{number}", 10 * number, [0.9, 0.1, 0.9])
    site.wait_counts("state-1", name, rows_in=36, scored=36)
    site.wait_counts("state-1", "no-alarm", rows_in=36, scored=36)
    key = f"state-1/{name}".encode()

    def told() -> list[bytes]:
        return [one.value or b"" for one in site.seen.of(topics.evaluations(site.name)) if one.key == key]

    def anew() -> bytes:
        """What the scorer publishes first when it has been killed and begins again.

        Where in the ledger it stands is left out: it takes the labels in anew, and they come twice.
        """
        scorer = int(wait_for(lambda: worker_pid(ground.home, "scorer.state"), "the scorer"))
        before = len(told())
        os.kill(scorer, signal.SIGKILL)
        wait_for(lambda: len(told()) > before, "an evaluation of the new scorer")
        evaluation = Evaluation.model_validate_json(told()[before])
        return evaluation.model_copy(update={"ledger_offset": 0, "at": evaluation.at.min}).to_json()

    kept = anew()
    files = list((ground.home / "state" / "state").iterdir())
    assert any(file.name == "ledger-0.sqlite" for file in files)
    for file in files:
        # The scorer that runs keeps its own, which ends with it.
        file.unlink()
    assert anew() == kept
    ground.prove(site, "state-1", name)
