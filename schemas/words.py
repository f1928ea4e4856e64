"""What people read, in English and in Korean side by side."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Lang(StrEnum):
    """A language of messages."""

    EN = "en"
    KO = "ko"


@dataclass(frozen=True)
class Phrase:
    """One message in both languages; as text it is English."""

    en: str
    ko: str

    def __str__(self) -> str:
        return self.en

    def __add__(self, other: Phrase) -> Phrase:
        return Phrase(self.en + other.en, self.ko + other.ko)

    def to(self, lang: Lang) -> str:
        """The message in that language."""
        return self.ko if lang is Lang.KO else self.en


#: No words in either language.
NOTHING = Phrase("", "")
