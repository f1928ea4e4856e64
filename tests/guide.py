"""A guide's code blocks, so that its text and what is tested cannot drift apart.

The word after the language says what a block is: `sh` is run, `sh up` is the installation, `sh setup` is done beforehand,
`sh exit=2` ends with 2, `yaml FILE` replaces the top-level keys of a file, and `text` after `sh` is what has to be printed,
line by line, with … for whatever may differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]

_FENCE = re.compile(r"^```(\S*)[ ]*([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_KEY = re.compile(r"([a-z_]+):")


@dataclass(frozen=True, kw_only=True)
class Block:
    """A code block: its language, the word after it, its text, and the heading of the second level above it."""

    language: str
    word: str
    text: str
    heading: str


def blocks(path: Path) -> list[Block]:
    """All code blocks of a document, in order."""
    text = path.read_text(encoding="utf-8")
    headings = [(found.start(), found[1]) for found in re.finditer(r"^## (.*)$", text, re.MULTILINE)]
    return [
        Block(
            language=found[1],
            word=found[2].strip(),
            text=found[3],
            heading=next((name for start, name in reversed(headings) if start < found.start()), ""),
        )
        for found in _FENCE.finditer(text)
    ]


def commands(path: Path) -> Iterator[str]:
    """Every line of a shell block that calls `fieldproof`."""
    for block in blocks(path):
        if block.language == "sh":
            yield from (line for line in block.text.splitlines() if line.startswith("fieldproof"))


def replaced(document: str, parts: str) -> str:
    """A YAML document with some of its top-level keys as the parts have them; comments above them stay."""
    new = dict(_sections(parts))
    done = [new.pop(key, text) for key, text in _sections(document)]
    assert not new, f"the document has no {', '.join(new)}"
    return "".join(done)


def _sections(text: str) -> Iterator[tuple[str, str]]:
    """Top-level keys with their lines; comments and blank lines between them under the key ``""``."""
    key, lines = "", ""
    for line in text.splitlines(keepends=True):
        begins = _KEY.match(line)
        if begins or (key and not line.startswith((" ", "-"))):
            if lines:
                yield key, lines
            key, lines = (begins[1] if begins else ""), ""
        lines += line
    if lines:
        yield key, lines


def missing(expected: str, printed: str) -> list[str]:
    """Lines that should have been printed and were not, blanks counted as one and … as anything."""
    there = [" ".join(line.split()) for line in printed.splitlines()]
    wanted = [" ".join(line.split()) for line in expected.splitlines() if line.strip()]
    return [line for line in wanted if not any(_like(line).search(one) for one in there)]


def _like(line: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, line.split("…"))))
