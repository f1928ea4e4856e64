"""Logs: JSON lines that say what they are about, lines for people, and nothing in them that is nobody's business."""

from __future__ import annotations

import asyncio
import contextvars
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infra import logs
from schemas.labels import Watermark


class Terminal(io.StringIO):
    """A stream at which people sit."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logs, "_process", {})
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    level, ours = root.level, logging.getLogger("infra").level
    yield
    root.handlers[:] = before
    root.setLevel(level)
    logging.getLogger("infra").setLevel(ours)
    logging.captureWarnings(capture=False)


log = logging.getLogger("infra.somewhere")

#: What a party sent, and is nobody's business.
SENT = {"asset": "secret value 4711", "until": "secret too"}


def logged(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def one_line(write: Any) -> dict[str, Any]:
    stream = io.StringIO()
    logs.set_up(stream=stream)
    # In a context of its own: what one test works at is none of another's.
    contextvars.copy_context().run(write)
    (line,) = logged(stream)
    return line


def test_a_line_says_when_what_and_what_it_is_about() -> None:
    logs.about(plant="plant-1", pairing="p", deployment="p/c", topic=None)

    def write() -> None:
        logs.at("fp.telemetry.plant-1", 3, 42)
        log.warning("frame %s is late", "f1")

    line = one_line(write)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "WARNING",
        "logger": "infra.somewhere",
        "message": "frame f1 is late",
        "plant": "plant-1",
        "pairing": "p",
        "deployment": "p/c",
        "topic": "fp.telemetry.plant-1",
        "partition": 3,
        "offset": 42,
    }


def test_what_a_line_says_itself_comes_first() -> None:
    logs.about(pairing="p")
    assert one_line(lambda: log.error("x", extra={"pairing": "q", "offset": 7}))["pairing"] == "q"


def test_tasks_that_are_begun_for_a_message_know_it_and_others_do_not() -> None:
    stream = io.StringIO()
    logs.set_up(stream=stream)

    async def work() -> None:
        await asyncio.sleep(0)
        log.warning("working")

    async def scenario() -> None:
        beside = asyncio.ensure_future(work())
        logs.at("t", 0, 1)
        first = asyncio.ensure_future(work())
        logs.at("t", 0, 2)
        await asyncio.gather(beside, first, work())

    asyncio.run(scenario())
    assert sorted(one.get("offset", 0) for one in logged(stream)) == [0, 1, 2]


def test_an_exception_is_one_field_with_its_cause() -> None:
    def write() -> None:
        try:
            try:
                raise OSError("disk full")
            except OSError as error:
                raise RuntimeError("cannot go on") from error
        except RuntimeError as error:
            log.critical("the world is broken", exc_info=error)

    line = one_line(write)
    assert "OSError: disk full" in line["trace"] and line["trace"].rstrip().endswith(
        "RuntimeError: cannot go on"
    )
    assert "\n" in line["trace"]


def test_values_that_a_record_did_not_take_are_in_no_trace() -> None:
    def write() -> None:
        try:
            Watermark.model_validate(SENT)
        except ValueError as error:
            log.exception("unreadable", exc_info=error)

    line = one_line(write)
    assert "secret" not in json.dumps(line)
    assert "Watermark does not take this: asset: string_pattern_mismatch" in line["trace"]


def test_a_home_directory_is_told_as_a_tilde() -> None:
    line = one_line(lambda: log.warning("see %s", Path.home() / "x" / "worker.log"))
    assert line["message"] == "see ~/x/worker.log"


def test_a_message_without_end_is_cut() -> None:
    line = one_line(lambda: log.warning("x" * 1_000_000))
    assert len(line["message"]) < logs.MESSAGE_CHARS + 10


def test_at_a_terminal_people_read_lines() -> None:
    stream = Terminal()
    logs.set_up(stream=stream)
    log.warning("a scorer ended", extra={"plant": "plant-1"})
    assert stream.getvalue() == "WARNING infra.somewhere: a scorer ended [plant=plant-1]\n"
    try:
        raise ValueError("no")
    except ValueError:
        log.exception("it failed")
    assert "ValueError: no" in stream.getvalue()


def test_libraries_are_told_to_be_brief_and_the_platform_is_heard() -> None:
    stream = io.StringIO()
    logs.set_up(stream=stream, level=logging.INFO)
    logging.getLogger("aiokafka.conn").info("connected")
    logging.getLogger("mode").info("started")
    log.debug("nothing")
    log.info("something")
    assert [one["message"] for one in logged(stream)] == ["started", "something"]
    logs.set_up(stream=stream)
    logging.getLogger("mode").info("stopped")
    assert len(logged(stream)) == 2
