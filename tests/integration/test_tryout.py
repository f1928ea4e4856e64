"""A candidate tried at home has the numbers that the platform gives it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from infra.skab.files import TAGS, TRAIN_ROWS, Recording, default_folder, read_file
from infra.skab.run import recorded
from tests.integration import commands
from tests.integration.commands import Json

RECORDING = default_folder() / "data" / "valve1" / "0.csv"

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

needs_skab = pytest.mark.skipif(
    not RECORDING.is_file(),
    reason=f"there is no {RECORDING}: set FIELDPROOF_DATA to the folder that holds skab/",
)

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
    done = commands.run(folder / "home", "skab", "--data", str(folder / "data"), "--json", timeout_s=500)
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


@needs_skab
@pytest.mark.parametrize("detector", ["t2-q", "t2", "isolation-forest"])
def test_a_try_gives_the_numbers_of_the_platform_byte_for_byte(bench: Bench, detector: str) -> None:
    at_home = bench.tried(detector)
    for name in (detector, "no-alarm"):
        here, there = (named(records, "evaluation", name) for records in (at_home, bench.platform))
        assert json.dumps(same(here)) == json.dumps(same(there))
        assert here["counts"]["rows_in"] == here["counts"]["scored"] > 700
    here, there = (named(records, "verdict", detector) for records in (at_home, bench.platform))
    # The agreement's own digest is not among them: the platform's is sealed with the keys of its installation.
    for name in ("verdict", "rule", "value", "threshold", "reason", "recomputed_equal"):
        assert here[name] == there[name]
    assert here["evaluation"]["service"]["frames"] == there["evaluation"]["service"]["frames"]


# --- on the start-up's own machine, without a platform ----------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A start-up's folder with an agreement on x of m1."""
    agreement = {
        "task": "anomaly",
        "assets": ["m1"],
        "inputs": ["x"],
        "acceptance": {"metric": "f1", "at_least": 0.5},
    }
    (tmp_path / "agreement.yaml").write_text(json.dumps(agreement))
    return tmp_path


def command(home: Path, model: Path, x: Sequence[float]) -> list[str]:
    """A try on rows of m1 a second apart, two a frame; a row is an anomaly where x is above one half."""
    rows = [
        f"2026-03-02T09:00:{second:02d}Z,{value},{int(value > 0.5)},of no use"
        for second, value in enumerate(x)
    ]
    (home / "rows.csv").write_text("\n".join(["ts,x,label,remark", *rows, ""]))
    named = ["--agreement", str(home), "--rows", str(home / "rows.csv"), "--label-column", "label"]
    return ["candidate", "try", str(model), *named, "--rows-per-frame", "2"]


def of_kind(done: commands.Ran, kind: str) -> list[Json]:
    return [one for one in done.records if one.get("kind") == kind]


def test_a_fault_is_told_with_the_traceback_of_the_models_own_file(home: Path, models: Path) -> None:
    done = commands.run(home, *command(home, models / "moody", [0, 1, 91, 0, 1, 1]), "--json")
    assert done.code == 0, done.err
    (fault,) = of_kind(done, "fault")
    assert (fault["fault"]["kind"], fault["fault"]["exception"]) == ("error", "ValueError")
    assert 'raise ValueError("no answer to this")' in fault["text"]
    assert fault["text"].endswith("ValueError: no answer to this")
    assert "child.py" not in fault["text"]
    assert 'raise ValueError("no answer to this")' in done.err
    (verdict,) = of_kind(done, "verdict")
    counts = verdict["evaluation"]["counts"]
    assert (counts["rows_in"], counts["scored"], counts["failed"]) == (6, 4, 2)
    assert verdict["verdict"] == "rejected"
    (place,) = of_kind(done, "try")
    assert place["sandbox"] == verdict["evaluation"]["sandbox"]
    assert not place["own_environment"]
    assert [one["notes"][1] for one in of_kind(done, "file")] == ["ignored: remark"]


def test_a_model_that_cannot_be_loaded_ends_the_try_with_the_reason(home: Path, models: Path) -> None:
    model = home / "model"
    shutil.copytree(models / "threshold", model)
    (model / "threshold.py").write_text("raise RuntimeError('no such weights')\n")
    done = commands.run(home, *command(home, model, [0, 1]), "--json", "--lang", "ko")
    assert done.code == 2
    (fault,) = of_kind(done, "fault")
    assert fault["text"].endswith("RuntimeError: no such weights")
    assert "모든 데이터 묶음이 실패합니다" in done.err
    assert "Traceback (most recent call last)" in done.err


def test_a_try_that_is_stopped_leaves_no_process(home: Path, models: Path) -> None:
    running = commands.Running(home, *command(home, models / "moody", [0, 1, 85, 0]), "--json")
    try:
        pid = commands.wait_for(
            lambda: _sandbox(running.process.pid), "the sandbox of the try", alive=running.alive
        )
        running.interrupt()
        done = running.end()
    finally:
        running.stop()
    assert done.code == 130
    assert done.err.splitlines()[-1] == "stopped"
    commands.wait_until_none(home, pid)


def _sandbox(pid: int) -> int | None:
    """The process that answers frames, below the command's."""
    try:
        for child in psutil.Process(pid).children(recursive=True):
            if any(word.endswith("child.py") for word in child.cmdline()):
                return child.pid
    except psutil.NoSuchProcess:
        pass
    return None
