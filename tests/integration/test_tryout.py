"""A candidate tried at home has the numbers that the platform gives it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.skab.files import TAGS, TRAIN_ROWS, Recording, default_folder, read_file
from infra.skab.run import recorded
from tests.integration import commands
from tests.integration.commands import Json

RECORDING = default_folder() / "data" / "valve1" / "0.csv"

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not RECORDING.is_file(),
        reason=f"there is no {RECORDING}: set FIELDPROOF_DATA to the folder that holds skab/",
    ),
]

#: What depends on the rows and the model alone, and not on the machine, its clock or the way that messages took.
SAME = ("candidate", "baseline", "task", "counts", "audit", "confusion", "metrics", "final")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One recording of SKAB, sent through the platform with the three detectors, and what is needed to try them."""

    home: Path
    agreement: Path
    rows: Path
    platform: list[Json]

    def tried(self, detector: str, *options: str) -> list[Json]:
        """What a try of a detector prints."""
        done = commands.run(
            self.home.parent / "start-up",
            *("candidate", "try", str(self.home / "skab" / "start-ups" / detector)),
            *("--agreement", str(self.agreement), "--rows", str(self.rows)),
            *("--asset", "valve1-0", "--time-zone", "UTC", "--label-column", "anomaly"),
            *("--rows-per-frame", "100", "--json", *options),
        )
        assert done.code == 0, done.err
        return done.records


def write_rows(path: Path, recording: Recording) -> None:
    """The rows that are scored, as a file: numbers in as many digits as they have."""
    lines = [",".join(("datetime", *TAGS, "anomaly"))]
    lines += [
        ",".join((str(ts), *map(repr, values.tolist()), str(int(anomaly))))
        for ts, values, anomaly in zip(
            recording.ts[TRAIN_ROWS:].astype("datetime64[us]"),
            recording.test,
            recording.anomaly[TRAIN_ROWS:],
            strict=True,
        )
    ]
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    (folder / "data" / "valve1").mkdir(parents=True)
    (folder / "data" / "valve1" / "0.csv").symlink_to(RECORDING)
    done = commands.run(folder / "home", "skab", "--data", str(folder / "data"), "--json", timeout_s=250)
    assert done.code == 0, done.err
    agreement = folder / "agreement.yaml"
    trial, _ = recorded(folder / "data")
    agreement.write_text(json.dumps(trial.folder.pairings[0].agreement.to_dict()))
    write_rows(folder / "rows.csv", read_file(RECORDING))
    return Bench(home=folder / "home", agreement=agreement, rows=folder / "rows.csv", platform=done.records)


def named(records: list[Json], kind: str, name: str) -> Json:
    """The last record of a kind on a candidate or baseline; a version belongs to the registry."""
    return [
        one for one in records if one.get("kind") == kind and one["candidate"].rsplit("-v", 1)[0] == name
    ][-1]


def same(one: Json) -> Json:
    return {name: one[name] for name in SAME if name != "candidate"}


@pytest.mark.parametrize("detector", ["t2-q", "t2", "isolation-forest"])
def test_a_try_gives_the_numbers_of_the_platform_byte_for_byte(bench: Bench, detector: str) -> None:
    at_home = bench.tried(detector)
    for name in (detector, "no-alarm"):
        here, there = (named(records, "evaluation", name) for records in (at_home, bench.platform))
        assert json.dumps(same(here)) == json.dumps(same(there))
        assert here["counts"]["rows_in"] == here["counts"]["scored"] > 700
    here, there = (named(records, "verdict", detector) for records in (at_home, bench.platform))
    for name in ("verdict", "rule", "value", "threshold", "reason", "agreement_digest", "recomputed_equal"):
        assert here[name] == there[name]
    assert here["evaluation"]["service"]["frames"] == there["evaluation"]["service"]["frames"]
