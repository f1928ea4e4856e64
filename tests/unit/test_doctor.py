"""What `fieldproof doctor` says of a machine."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

import infra.machine
import infra.sandbox.advice
import infra.sandbox.containment
from infra.cli.main import app
from infra.machine import Fact
from infra.sandbox.advice import Kernel
from infra.sandbox.containment import HOLDS, Finding, Probe, Trial
from infra.words.language import Phrase

GOOD = Fact(key="cores", name=Phrase("cores", "코어"), value="2")
MISSING = Fact(
    key="java", name=Phrase("Java", "자바"), value="–", advice=Phrase("install one", "설치하십시오")
)


def told(monkeypatch: pytest.MonkeyPatch, *options: str, facts: tuple[Fact, ...] = (GOOD,)) -> Result:
    """The command's words on a machine without bubblewrap."""
    reduced = tuple(
        Finding(what=what, held=what in HOLDS["reduced"], told="") for what in infra.sandbox.containment.WHAT
    )
    probe = Probe(
        level="reduced",
        trials=(Trial(level="full", broken="no bwrap"), Trial(level="reduced", findings=reduced)),
    )
    there = Kernel(bubblewrap=None, landlock=7, machine="x86_64", forbidding={}, container=False)
    monkeypatch.setattr(infra.sandbox.containment, "probe", lambda: probe)
    monkeypatch.setattr(infra.sandbox.advice, "kernel", lambda: there)
    monkeypatch.setattr(infra.machine, "machine", lambda settings: facts)
    return CliRunner().invoke(app, ["doctor", *options])


@pytest.mark.parametrize(
    ("lang", "said"),
    [
        (
            "en",
            ("level reduced", "reading the plant's files", "held", "possible", "→ full: install bubblewrap"),
        ),
        ("ko", ("수준 reduced", "공장 파일 읽기", "차단", "가능", "→ full: bubblewrap을 설치하십시오")),
    ],
)
def test_the_level_and_the_way_to_the_next_one_are_told(
    monkeypatch: pytest.MonkeyPatch, lang: str, said: tuple[str, ...]
) -> None:
    result = told(monkeypatch, "--lang", lang)
    assert result.exit_code == 0
    for words in (*said, "sudo apt-get install bubblewrap"):
        assert words in result.stdout


def test_what_an_installation_lacks_is_told_and_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    result = told(monkeypatch, "--lang", "en", facts=(GOOD, MISSING))
    assert result.exit_code == 1
    assert "install one" in result.stdout


def test_programs_get_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    record = json.loads(told(monkeypatch, "--json").stdout)
    assert record["level"] == "reduced"
    assert [one["holds"] for one in record["levels"]] == [False, True]
    assert [one["what"] for one in record["levels"][1]["findings"]] == list(infra.sandbox.containment.WHAT)
    assert record["advice"][0].keys() == {"en", "ko"}
    assert record["machine"][0]["ok"] is True


def test_this_machine_is_looked_at() -> None:
    from infra.settings import Settings

    facts = {fact.key: fact for fact in infra.machine.machine(Settings())}
    assert {"python", "java", "uv", "cores", "memory", "disk", "ports", "containment"} == set(facts)
    assert facts["cores"].ok and int(facts["cores"].value) >= 1
