"""`docs/first-poc.md`, followed word by word on an installation of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.guide import ROOT, Block, blocks, missing, replaced
from tests.integration.commands import Running, environment

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

GUIDE = ROOT / "docs" / "first-poc.md"
DATA = Path(os.environ.get("FIELDPROOF_DATA") or ROOT.parent / "shared" / "data") / "cmapss"


class Reader:
    """Somebody who does what the guide says, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        (folder / "examples").symlink_to(ROOT / "examples")
        self.environment = environment(self.home, CMAPSS=str(DATA), COLUMNS="200", LC_ALL="C.UTF-8")
        self.environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{self.environment['PATH']}"

    @contextmanager
    def installation(self) -> Iterator[None]:
        """`fieldproof up` in the other terminal."""
        up = Running(self.home, "up", "--json")
        try:
            up.record("running")
            yield
        finally:
            up.stop()

    def follow(self, heading: str) -> None:
        """Do everything below a heading, and compare what is printed with what the guide shows."""
        printed = ""
        for block in (one for one in blocks(GUIDE) if one.heading.startswith(heading)):
            if block.language == "sh" and block.word not in ("setup", "up"):
                printed = self.run(block)
            elif block.language == "text":
                assert not missing(block.text, printed), printed
            elif block.language == "yaml":
                file = self.folder / block.word
                file.write_text(replaced(file.read_text(encoding="utf-8"), block.text), encoding="utf-8")

    def run(self, block: Block) -> str:
        """What a block prints; it has to end as it says."""
        shell = ["bash", "-euo", "pipefail", "-c", block.text]
        done = subprocess.run(
            shell,
            cwd=self.folder,
            env=self.environment,
            check=False,
            timeout=120,
            encoding="utf-8",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == int(block.word.removeprefix("exit=") or 0), block.text + done.stdout
        return done.stdout


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    assert [one.text for one in blocks(GUIDE) if one.word == "up"] == ["fieldproof up\n"]
    reader = Reader(tmp_path_factory.mktemp("first-poc"))
    with reader.installation():
        yield reader


@pytest.mark.skipif(not DATA.is_dir(), reason=f"C-MAPSS is not in {DATA}; FIELDPROOF_DATA names its parent")
def test_the_first_example_gives_the_published_figures_of_c_mapss(reader: Reader) -> None:
    reader.follow("Example 1")
    verdict = json.loads((reader.folder / "poc/engines-verdict.json").read_text())
    final = verdict["evaluation"]
    assert round(verdict["value"], 6) == round(final["metrics"]["rmse"], 6) == 31.952633
    assert round(final["metrics"]["r2"], 6) == 0.408774
    counts = final["counts"]
    assert (counts["rows_in"], counts["scored"], counts["unlabelled"]) == (13096, 100, 12996)


def test_the_second_example_comes_from_a_messy_export_to_a_verdict(reader: Reader) -> None:
    reader.follow("Example 2")


def test_an_installation_that_is_started_again_knows_what_was_and_answers(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    apply = Block(language="sh", word="", heading="", text="fieldproof init poc; fieldproof apply poc")
    with reader.installation():
        assert "pump-2026-01: new" in reader.run(apply)
    with reader.installation():
        assert "pump-2026-01: unchanged" in reader.run(replace(apply, text="fieldproof apply poc"))
        end = replace(apply, text="fieldproof pairing end")
        assert "pump-2026-01: trial ended" in reader.run(end)
