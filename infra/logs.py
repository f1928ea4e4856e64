"""Logs: JSON lines with what they are about, for programs; one line a record for people at a terminal.

A line has `time`, `level`, `logger` and `message`, and where it is known `plant`, `pairing`, `deployment`, `topic`, `partition` and
`offset`: of the process, of the message that is being worked at, and of the line itself (`extra={"pairing": …}`). An exception
is one field, `trace`. Of a value that a record would not take, the place is told and never the value; of a home directory only `~`.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError

#: What a line may be about, in the order in which it is told.
ABOUT = ("plant", "pairing", "deployment", "topic", "partition", "offset")

#: Characters of a message, and of a trace, that are kept.
MESSAGE_CHARS, TRACE_CHARS = 4000, 16_000

#: Libraries that tell at length, line by line, what the platform says itself.
QUIET = ("kafka", "aiokafka", "mlflow", "alembic", "asyncio")

Place = dict[str, str | int]

#: What the whole process is about.
_process: Place = {}
#: The message that is being worked at; every task that is begun for it knows it too.
_message: ContextVar[Place | None] = ContextVar("message", default=None)


def about(**place: str | int | None) -> None:
    """Say what everything that this process logs is about."""
    _process.update({name: value for name, value in place.items() if value is not None})


def at(topic: str, partition: int, offset: int) -> None:
    """Say which message is being worked at from here on, in this task and those that it begins."""
    _message.set({"topic": topic, "partition": partition, "offset": offset})


def _place(record: logging.LogRecord) -> Place:
    own = {name: getattr(record, name) for name in ABOUT if hasattr(record, name)}
    known = {**_process, **(_message.get() or {}), **own}
    return {name: known[name] for name in ABOUT if name in known}


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """A record as JSON, in UTF-8 and without line breaks."""
        told: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _within(record.getMessage(), MESSAGE_CHARS),
            **_place(record),
        }
        if record.exc_info and record.exc_info[1] is not None:
            told["trace"] = trace(record.exc_info[1])
        return json.dumps(told, ensure_ascii=False, default=str)


class Lines(logging.Formatter):
    """One line a record, and the trace below it."""

    def format(self, record: logging.LogRecord) -> str:
        """A record as people read it."""
        place = " ".join(f"{name}={value}" for name, value in _place(record).items())
        message = _within(record.getMessage(), MESSAGE_CHARS)
        line = f"{record.levelname} {record.name}: {message}" + (f" [{place}]" if place else "")
        error = record.exc_info[1] if record.exc_info else None
        return line if error is None else f"{line}\n{trace(error)}"


def trace(error: BaseException) -> str:
    """An exception with where it came from, without the values that a record did not take."""
    text = "".join(traceback.format_exception(error))
    for one in _chain(error):
        if isinstance(one, ValidationError):
            text = text.replace(str(one), _without_values(one))
    # The end says what happened; of a long trace the beginning is the least.
    return _scrubbed(text[-TRACE_CHARS:])


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and one not in found:
            found.append(one)
            waiting += [one.__cause__, one.__context__]
            if isinstance(one, BaseExceptionGroup):
                waiting += one.exceptions
    return found


def _without_values(error: ValidationError) -> str:
    places = (
        f"{'.'.join(map(str, one['loc']))}: {one['type']}"
        for one in error.errors(include_input=False, include_url=False)
    )
    return f"{error.title} does not take this: {'; '.join(places)}"


def _within(text: str, most: int) -> str:
    return _scrubbed(text if len(text) <= most else text[:most] + " …")


def _scrubbed(text: str) -> str:
    home = str(Path.home())
    return text.replace(home, "~") if len(home) > 1 else text


def set_up(*, stream: TextIO | None = None, level: int = logging.WARNING, ours: int = logging.INFO) -> None:
    """Have everything logged to a stream, stderr if no other is given: for people at a terminal, as JSON lines elsewhere.

    Args:
        level: the least level of libraries.
        ours: the least level of the platform itself.
    """
    sink = stream if stream is not None else sys.stderr
    handler = logging.StreamHandler(sink)
    handler.setFormatter(Lines() if sink.isatty() else JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for name in ("agents", "infra", "streams", "models"):
        logging.getLogger(name).setLevel(ours)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
