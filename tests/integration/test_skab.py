"""Three published detectors on all of SKAB, through requests, MLflow, sandbox, ledger and verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.skab.detectors import PUBLISHED
from infra.skab.files import default_folder
from tests.integration import commands

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not default_folder().is_dir(),
        reason=f"no SKAB recordings at {default_folder()}: set FIELDPROOF_DATA to the folder that holds skab/",
    ),
]

#: Written down here as well: the platform's own constants are no witness for the platform.
COUNTS = {
    "t2q": {"tp": 9589, "tn": 8094, "fp": 2936, "fn": 3182},
    "t2": {"tp": 7331, "tn": 8911, "fp": 2119, "fn": 5440},
    "isolation_forest": {"tp": 2185, "tn": 10748, "fp": 282, "fn": 10586},
}


def test_the_whole_platform_gives_the_published_counts(tmp_path: Path) -> None:
    done = commands.run(tmp_path, "skab", "--data", str(default_folder()), "--json", timeout_s=800)
    assert done.code == 0, done.err
    records = done.records
    printed = {one.pop("detector"): one for one in records[-3:]}
    assert printed == COUNTS
    verdicts = [one for one in records if one.get("kind") == "verdict"]
    assert len(verdicts) == 3
    rows = sum(COUNTS["t2"].values())
    for verdict in verdicts:
        assert verdict["recomputed_equal"] is True
        counts = verdict["evaluation"]["counts"]
        assert counts["rows_in"] == counts["scored"] == rows
        audit = verdict["evaluation"]["audit"]
        assert (audit["gaps"], audit["duplicates"], audit["frames_refused"]) == (0, 0, 0)
    commands.wait_until_none(tmp_path)


def test_the_published_counts_are_the_ones_the_detectors_are_held_against() -> None:
    assert set(PUBLISHED) == {"t2-q", "t2", "isolation-forest"}


def test_a_folder_without_recordings_is_named_with_what_to_give(tmp_path: Path) -> None:
    done = commands.run(tmp_path / "home", "skab", "--data", str(tmp_path / "nothing"))
    assert done.code == 2
    assert str(tmp_path / "nothing") in done.err
    assert "give the folder that holds" in done.err
    assert "Traceback" not in done.err
