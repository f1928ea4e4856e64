"""What the check of a bundle found: what was computed again, what was checked, what only a signature says, what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from infra.words.language import Phrase

#: `recomputed`: the number follows from what else is in the bundle. `checked`: sums, signatures and statements agree.
#: `signed`: the bundle says so, and the signatures stand for it. `missing`: nothing is wrong, but a signature is not there yet.
State = Literal["recomputed", "checked", "signed", "missing", "failed"]


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

    def check(self, what: str, holds: bool, good: Phrase, bad: Phrase, *, state: State = "checked") -> bool:
        """Note something that was compared, and whether it holds; `state` says of what holds how it is known."""
        self.every.append(Finding(what=what, state=state if holds else "failed", said=good if holds else bad))
        return holds

    @property
    def wrong(self) -> list[Finding]:
        """What contradicts itself or its signatures."""
        return [one for one in self.every if one.state == "failed"]

    @property
    def good(self) -> bool:
        """Whether nothing is wrong and nothing is missing."""
        return all(one.state not in ("failed", "missing") for one in self.every)
