"""What the check of a bundle found: what was computed again, what only a signature says, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from infra.words.language import Phrase

#: `recomputed`: it follows from the bundle itself. `signed`: the bundle says so, and the signatures stand for it.
State = Literal["recomputed", "signed", "failed"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: State
    said: Phrase


@dataclass(kw_only=True)
class Findings:
    """All that was looked at, in order."""

    every: list[Finding] = field(default_factory=list)

    def add(self, what: str, state: State, en: str, ko: str) -> None:
        """Note one thing, in both languages."""
        self.every.append(Finding(what=what, state=state, said=Phrase(en, ko)))

    def check(self, what: str, holds: bool, good: Phrase, bad: Phrase) -> bool:
        """Note something that was computed again, and whether it holds."""
        self.every.append(
            Finding(what=what, state="recomputed" if holds else "failed", said=good if holds else bad)
        )
        return holds

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return all(one.state != "failed" for one in self.every)
