"""What people read is true: commands, options and settings are those of the project, and the twins say the same."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import typer.main

from infra.cli.main import app
from infra.settings import Settings
from tests.guide import ROOT, blocks, commands, missing, replaced

README, KOREAN = ROOT / "README.md", ROOT / "README.ko.md"
GUIDES = sorted((ROOT / "docs").glob("*.md"))
EXAMPLES = sorted((ROOT / "examples").glob("*/README.md"))
#: Its Korean page is another text: one page for committees.
APART = {"decision.md"}
TWINS = [(README, KOREAN)] + [
    (path, path.with_suffix(".ko.md"))
    for path in GUIDES
    if path.with_suffix(".ko.md").is_file() and path.name not in APART
]
TOP = typer.main.get_command(app)


def every_command(group: click.Command = TOP, name: str = "fieldproof") -> Iterator[str]:
    """Every command that can be run, such as `fieldproof label send`."""
    below = getattr(group, "commands", None)
    if below is None:
        yield name
        return
    for word, command in below.items():
        yield from every_command(command, f"{name} {word}")


@pytest.mark.parametrize("readme", [README, KOREAN], ids=lambda path: path.name)
def test_every_command_is_in_the_readme(readme: Path) -> None:
    text = readme.read_text(encoding="utf-8")
    assert [name for name in every_command() if f"`{name}`" not in text] == []


@pytest.mark.parametrize("readme", [README, KOREAN], ids=lambda path: path.name)
def test_every_setting_is_in_the_readme(readme: Path) -> None:
    names = {
        str(field.validation_alias or f"FIELDPROOF_{name.upper()}")
        for name, field in Settings.model_fields.items()
    }
    for file in (ROOT / "infra").rglob("*.py"):
        asked = re.findall(r"environ(?:\.get\(|\[)\"([A-Z_]+)\"[,)\]]", file.read_text(encoding="utf-8"))
        names.update(asked)
    text = readme.read_text(encoding="utf-8")
    assert {"FIELDPROOF_HOME", "KAFKA_BOOTSTRAP_SERVERS"} <= names
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


def shown(line: str) -> list[str]:
    """The words of a command line up to a pipe or a redirection."""
    words = shlex.split(line, comments=True)
    ends = [place for place, word in enumerate(words) if word in ("|", ">", "&&")]
    return words[: ends[0]] if ends else words


LINES = sorted({line for path in (README, *GUIDES, *EXAMPLES) for line in commands(path)})


@pytest.mark.parametrize("line", LINES)
def test_every_command_line_in_the_docs_is_one(line: str) -> None:
    """Names of commands and options, how many arguments, and values that are checked without looking at files."""
    command, words = TOP, shown(line)[1:]
    context = command.make_context("fieldproof", list(words), resilient_parsing=True)
    while hasattr(command, "commands"):
        name, found, words = command.resolve_command(context, words)
        assert name is not None and found is not None, f"no such command: {line}"
        command = found
        context = command.make_context(name, list(words), parent=context, resilient_parsing=True)
    command.make_context(command.name, list(words), parent=context).close()


def test_a_command_line_with_an_option_that_is_not_there_is_noticed() -> None:
    with pytest.raises(Exception, match="No such option"):
        test_every_command_line_in_the_docs_is_one("fieldproof watch --pairing p --until-verdict-s 1")
    with pytest.raises(Exception, match="no such command"):
        test_every_command_line_in_the_docs_is_one("fieldproof candidate sumbit p ./model")


@pytest.mark.parametrize("twins", TWINS, ids=lambda twins: twins[0].name)
def test_twins_have_the_same_headings_and_the_same_code(twins: tuple[Path, Path]) -> None:
    english, korean = ([block.text for block in blocks(path)] for path in twins)
    assert english == korean
    levels = [
        re.findall(
            r"^(#+) ", re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S), re.M
        )
        for path in twins
    ]
    assert levels[0] == levels[1] and len(levels[0]) > 5


def test_links_between_documents_lead_somewhere() -> None:
    for path in (README, KOREAN, *GUIDES, *EXAMPLES):
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_parts_replace_the_keys_of_a_document_and_leave_its_comments() -> None:
    document = "# one\na: 1\n# two\nb:\n  - x\n\n# three\nc: 3\n"
    assert replaced(document, "b: [y]\n") == "# one\na: 1\n# two\nb: [y]\n\n# three\nc: 3\n"
    with pytest.raises(AssertionError, match="has no d"):
        replaced(document, "d: 1\n")


def test_lines_of_a_guide_are_compared_blank_by_blank_and_dots_stand_for_anything() -> None:
    assert missing("sent … rows to plant\n", "x\n  sent  12   rows to plant-1\n") == []
    assert missing("sent … rows\n\nnot this", "sent rows") == ["sent … rows", "not this"]
