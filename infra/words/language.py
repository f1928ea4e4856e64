"""The language in which people are spoken to."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.words import NOTHING, Lang, Phrase

__all__ = ["NOTHING", "Lang", "Phrase", "language"]


def language(choice: Lang | None, environ: Mapping[str, str]) -> Lang:
    """The language that was asked for, else the one of the terminal's locale, else English."""
    if choice is not None:
        return choice
    # The order in which POSIX says that they win.
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if environ.get(name):
            return Lang.KO if environ[name].lower().startswith("ko") else Lang.EN
    return Lang.EN
