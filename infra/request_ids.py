"""Ids of requests that follow from what is asked: asking the same again has the same id, and so acts once."""

from __future__ import annotations

import hashlib
import json

from schemas.requests import Command


def request_id(party: str, command: Command, *, after: int = 0) -> str:
    """The id of a request: 32 hexadecimal digits.

    Args:
        party: who asks.
        command: what is asked for.
        after: number of the fact that refused the same request before; 0 for the first time.
    """
    content = {"party": party, "command": command.to_dict(), "after": after}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
