"""Bad input at every door: an exit code, words that name the thing and say what to do, and nothing lost."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from infra.cli import main
from schemas.events import Fact, RequestRefused
from schemas.pairing import OVER
from schemas.requests import EndTrial, Request
from streams import topics
from streams.envelope import (
    ARROW,
    FRAME,
    FRAME_HEADER,
    LABEL_FRAME,
    LEDGER_ENTRY,
    LEDGER_OUTCOME,
    REQUEST,
    Headers,
    headers,
)
from streams.frames import TS_TYPE, encode_batch, encode_frame
from tests.integration.commands import Ran, run
from tests.integration.conftest import Shared
from tests.integration.plants import BEGIN_US, MAKER, RIVAL, SECOND_US, STARTUP, Site, agreement, at, settled

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

Door = Callable[..., Ran]


@pytest.fixture(scope="module")
def site(shared: Shared) -> Iterator[Site]:
    """A plant with a running pairing."""
    found = shared.site("doors")
    found.open("doors-1", agreement())
    yield found


@pytest.fixture
def door(shared: Shared, site: Site, monkeypatch: pytest.MonkeyPatch) -> Door:
    """The command line of this process: as `fieldproof …`, without the time that a process takes to start."""
    for name, value in {"FIELDPROOF_HOME": str(shared.home), "COLUMNS": "400", **shared.env}.items():
        monkeypatch.setenv(name, value)

    def call(*arguments: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["fieldproof", *arguments])
        out, err, code = io.StringIO(), io.StringIO(), 0
        with redirect_stdout(out), redirect_stderr(err):
            try:
                main.run()
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        assert "Traceback" not in err.getvalue()
        return Ran(code=code, out=out.getvalue(), err=err.getvalue())

    return call


def csv(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


# --- files and names ------------------------------------------------------------------------------------------------


def test_no_installation_is_told_with_how_to_start_one(tmp_path: Path) -> None:
    done = run(tmp_path, "status")
    assert done.code == 3
    assert str(tmp_path) in done.err
    assert "fieldproof up" in done.err
    assert "Traceback" not in done.err


def test_a_missing_file_is_named(door: Door) -> None:
    done = door("replay", "nowhere.csv", "--plant", "doors")
    assert done.code == 2
    assert "nowhere.csv" in done.err
    assert "nothing was sent" in done.err


def test_a_column_that_is_no_tag_is_named_with_file_and_line(door: Door, tmp_path: Path) -> None:
    file = csv(tmp_path / "m1.csv", "ts,x,presure\n2026-03-02T00:00:00Z,1,2\n")
    done = door("replay", file, "--plant", "doors")
    assert done.code == 2
    assert f"{file}:1" in done.err
    assert "presure" in done.err
    assert "--ignore" in done.err or "--tag" in done.err


def test_a_text_where_a_number_belongs_is_named_with_file_line_and_column(door: Door, tmp_path: Path) -> None:
    file = csv(tmp_path / "m1.csv", "ts,x\n2026-03-02T00:00:00Z,1\n2026-03-02T00:00:01Z,hot\n")
    done = door("replay", file, "--plant", "doors")
    assert done.code == 2
    assert f"{file}:3: column 'x'" in done.err
    assert "'hot' is no number" in done.err
    assert "nothing was sent" in done.err


def test_an_unknown_plant_asset_or_pairing_is_named_with_those_there_are(
    door: Door, tmp_path: Path, models: Path
) -> None:
    file = csv(tmp_path / "m1.csv", "ts,x\n2026-03-02T00:00:00Z,1\n")
    for arguments, wrong, there in (
        (("replay", file, "--plant", "dors"), "dors", "doors"),
        (("replay", file, "--plant", "doors", "--asset", "m7"), "m7", "m1"),
        (("candidate", "submit", "doors-7", str(models / "threshold")), "doors-7", "doors-1"),
        (("pairing", "end", "doors-7"), "doors-7", "doors-1"),
        (("label", "send", "m7", "anomaly", "--at", "2026-03-02 09:00", "--plant", "doors"), "m7", "m1"),
    ):
        done = door(*arguments)
        assert done.code == 2, (arguments, done)
        assert wrong in done.err and there in done.err, (arguments, done.err)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("empty", ["no MLmodel file", "save_model"]),
        ("unsigned", ["no signature", "infer_signature"]),
        ("curious", ["'secret' is not in the agreement", "it has x"]),
        ("greedy", ["5000 preceding rows", "allows 1000"]),
        ("nowhere", ["no folder", "models:/NAME/VERSION"]),
    ],
)
def test_a_model_that_cannot_be_a_candidate_is_told_why(
    door: Door, site: Site, models: Path, model: str, told: list[str]
) -> None:
    before = len(site.client.refresh().pairings["doors-1"].deployments)
    done = door("candidate", "submit", "doors-1", str(models / model))
    assert done.code == 2
    assert all(words in done.err for words in told), done.err
    assert len(site.client.refresh().pairings["doors-1"].deployments) == before


# --- requests -------------------------------------------------------------------------------------------------------


def refusals(site: Site) -> list[tuple[Fact, RequestRefused]]:
    return [(fact, fact.body) for fact in site.seen.facts if isinstance(fact.body, RequestRefused)]


def test_a_request_on_another_partys_topic_is_refused_with_a_reason(site: Site) -> None:
    command = EndTrial(pairing="doors-1")
    request = Request(id="as-a-rival-1", at=at(0), command=command)
    listed = headers(REQUEST, source="/parties/maker", ident=request.id)
    site.raw(topics.requests(RIVAL), "doors-1", request.to_json(), listed)
    fact, body = site.seen.wait(
        lambda: next((one for one in refusals(site) if one[0].request == request.id), None), "the refusal"
    )
    assert (fact.party, fact.subject) == (RIVAL, "doors-1")
    assert MAKER in body.reason
    assert site.client.refresh().pairings["doors-1"].phase == "running"


@pytest.mark.parametrize(
    "value",
    [
        b"\xff\xfe\x00garbage",
        b"{}",
        b'{"id": "long-enough", "at": "0001-01-01T00:00:00+09:00", "command": {"kind": "end_trial", "pairing": "doors-1"}}',
        b'{"id": "long-enough", "at": "2026-01-01T00:00:00Z", "command": {"kind": "nothing"}}',
    ],
)
def test_a_request_that_cannot_be_read_is_refused_and_control_goes_on(site: Site, value: bytes) -> None:
    # An unreadable request has no subject of its own: its refusal names where it stands.
    def unreadable() -> list[tuple[Fact, RequestRefused]]:
        return [one for one in refusals(site) if one[0].subject.startswith(topics.requests(STARTUP))]

    known = len(unreadable())
    site.raw(topics.requests(STARTUP), b"\xff", value)
    site.seen.wait(lambda: len(unreadable()) > known, "the refusal")
    fact, body = unreadable()[-1]
    assert fact.party == STARTUP
    assert body.reason.startswith("the request cannot be read: ")
    answer = site.client.ask(STARTUP, EndTrial(pairing="doors-1"))
    assert answer.refused is not None and MAKER in answer.refused


# --- telemetry, labels, ledger --------------------------------------------------------------------------------------

ARROW_FRAME = headers(FRAME, source="/test", ident="", content=ARROW)
JSON_ROWS: Headers = [("content-type", b"application/json")]


def batch(**columns: pa.Array) -> bytes:
    """An Arrow stream of two rows."""
    times = pa.array([BEGIN_US, BEGIN_US + SECOND_US], pa.int64()).cast(TS_TYPE)
    return encode_batch(pa.RecordBatch.from_pydict({"ts": times, **columns}))


def many_rows() -> bytes:
    """So many rows, compressed, that what becomes of them would not fit into the ledger."""
    zeros = np.zeros(200_000)
    columns = {"ts": pa.array(zeros.astype(np.int64)).cast(TS_TYPE), "x": pa.array(zeros)}
    found = pa.RecordBatch.from_pydict(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, found.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(found)
    return bytes(sink.getvalue())


#: Key, headers, value, the reason, and the rows that are known to be lost with it.
POISON: dict[str, tuple[bytes, Headers, bytes, str, int]] = {
    "garbage": (b"m1", [], b"\x00\xff\xfenothing", "not_readable", 0),
    "nothing at all": (b"m1", [], b"", "not_readable", 0),
    "garbage that says it is Arrow": (b"m1", ARROW_FRAME, b"\xff" * 64, "not_readable", 0),
    "half an Arrow stream": (b"m1", ARROW_FRAME, batch(x=pa.array([1.0, 2.0]))[:-100], "not_readable", 0),
    "nested types": (b"m1", ARROW_FRAME, batch(x=pa.array([[1.0], [2.0]])), "wrong_type", 0),
    "text for a number": (b"m1", ARROW_FRAME, batch(x=pa.array(["a", "b"])), "wrong_type", 2),
    "a tag the plant does not have": (b"m1", ARROW_FRAME, batch(x=pa.array([1.0, 2.0]), y=pa.array([1.0, 2.0])), "wrong_column", 2),
    "an agreed input missing": (b"m1", ARROW_FRAME, batch(secret=pa.array([1.0, 2.0])), "wrong_column", 2),
    "NaN in JSON": (b"m1", JSON_ROWS, b'{"ts": "2026-03-02T00:00:00Z", "values": {"x": NaN}}', "not_readable", 0),
    "a time before all times": (b"m1", JSON_ROWS, b'{"ts": "0001-01-01T00:00:00+09:00", "values": {"x": 1}}', "not_readable", 0),
    "a time without a zone": (b"m1", JSON_ROWS, b'{"ts": "2026-03-02T00:00:00", "values": {"x": 1}}', "not_readable", 0),
    "more rows than the ledger takes": (b"m1", ARROW_FRAME, many_rows(), "too_large", 0),
    "as large as the topic lets through": (b"m1", [], b"\x00" * (topics.MESSAGE_BYTES - 200), "too_large", 0),
    "an unknown machine": (b"m9", ARROW_FRAME, batch(x=pa.array([1.0, 2.0])), "unknown_asset", 0),
    "a key that is no text": (b"\xff\xfe", ARROW_FRAME, batch(x=pa.array([1.0, 2.0])), "unknown_asset", 0),
}  # fmt: skip


def test_poison_in_the_telemetry_is_kept_with_its_bytes_and_its_neighbours_are_scored(
    shared: Shared, models: Path
) -> None:
    site = shared.site("poison")
    site.open("poison-1", agreement())
    name = site.submit("poison-1", models / "threshold", "poison").candidate.id
    topic = topics.telemetry("poison")
    site.label("all", 0, 100_000, "anomaly")
    for number, (key, listed, value, _, _) in enumerate(POISON.values()):
        site.frame(f"good-{number}", 100 * number, [1, 1, 0])
        site.raw(topic, key, value, listed)
    # These are odd, and yet can be read: an id without end, counters beyond 2**53, times at the end of all time.
    site.raw(
        topic,
        "m1",
        batch(x=pa.array([1.0, 1.0])),
        headers(FRAME, source="/t", ident="i" * 900_000, content=ARROW),
    )
    site.raw(topic, "m1", batch(x=pa.array([2**60 + 1, 2])), ARROW_FRAME)
    extreme = encode_frame(np.array([2**63 - 1, -(2**63)]), {"x": np.ones(2)})
    site.raw(topic, "m1", extreme, ARROW_FRAME)
    site.frame("last", 99_000, [1])

    good, refused = 3 * len(POISON) + 4 + 1, sum(one[4] for one in POISON.values())
    found = site.wait_counts("poison-1", name, rows_in=good + 2 + refused, scored=good, refused=refused)
    unread = sum(1 for key, _, _, _, rows in POISON.values() if key == b"m1" and not rows)
    assert found.audit.frames_refused == unread
    assert found.audit.gaps == 0
    kept = site.seen.wait(
        lambda: (one := site.seen.rejected("poison")) and len(one) >= len(POISON) and one,
        "everything rejected",
    )
    by_offset = {int(one.header("fp_offset") or -1): one for one in kept}
    for number, (what, (_, _, value, reason, _)) in enumerate(POISON.items()):
        record = by_offset[2 * number + 1]
        assert record.value == value, what
        assert record.header("fp_reason") == reason, (what, record.header("fp_detail"))
        assert (record.header("fp_topic"), record.header("fp_partition")) == (topic, "0")
        assert record.header("fp_detail")
    assert len(kept) == len(POISON)

    site.end("poison-1")
    site.complete(100_000)
    # Two rows lie at the ends of time: one under the watermark, one that only the deadline would close.
    found = site.wait_counts("poison-1", name, scored=good, unlabelled=1, awaiting_label=1, refused=refused)
    assert found.audit.frames_refused == unread


def test_garbage_among_the_labels_is_rejected_and_the_others_count(shared: Shared) -> None:
    site = shared.site("liar")
    site.open("liar-1", agreement())
    topic = topics.labels("liar")
    site.frame("f-1", 0, [1, 1, 1, 1])
    times = pa.array([1, 2], pa.int64()).cast(TS_TYPE)
    odd = encode_batch(pa.RecordBatch.from_pydict({"ts": times, "value": times}))
    frame_listed = headers(LABEL_FRAME, source="/t", ident="", content=ARROW)
    point = {"kind": "point", "id": "p", "asset": "m1", "ts": "2026-03-02T00:00:00Z"}
    bad: list[tuple[str, bytes, Headers, str]] = [
        ("m1", b"\xff\x00", [], "not_readable"),
        ("m1", json.dumps({**point, "value": "on fire"}).encode(), [], "wrong_value"),
        ("m1", json.dumps({**point, "value": 10**400}).encode(), [], "wrong_value"),
        ("m1", json.dumps({**point, "value": "anomaly", "ts": "0001-01-01T00:00:00+09:00"}).encode(), [], "not_readable"),
        ("m9", json.dumps({**point, "value": "anomaly"}).encode(), [], "unknown_asset"),
        ("m1", odd, frame_listed, "wrong_type"),
        ("m1", odd, [*frame_listed, (FRAME_HEADER, b"f" * 900_000)], "wrong_type"),
        ("m1", many_rows(), frame_listed, "too_large"),
    ]  # fmt: skip
    site.label("first", 0, 1, "anomaly")
    for key, value, listed, _ in bad:
        site.raw(topic, key, value, listed)
    site.label("last", 1, 3, "anomaly")
    site.wait_counts("liar-1", "no-alarm", rows_in=4, scored=3, awaiting_label=1)
    kept = site.seen.wait(
        lambda: (one := site.seen.rejected("liar")) and len(one) >= len(bad) and one, "every bad label"
    )
    told = {int(one.header("fp_offset") or -1): (one.value, one.header("fp_reason")) for one in kept}
    assert told == {number: (value, reason) for number, (_, value, _, reason) in enumerate(bad, start=1)}


def test_garbage_in_the_ledger_is_rejected_and_the_scorer_goes_on(shared: Shared) -> None:
    site = shared.site("forger")
    site.open("forger-1", agreement())
    topic = topics.ledger("forger")
    entry = headers(LEDGER_ENTRY, source="/t", ident="")
    bad: list[tuple[bytes, bytes, Headers]] = [
        (b"forger-1", b"\xff\x00", []),
        (b"forger-1", b"{}", entry),
        (b"forger-1", b"\xff" * 40, headers(LEDGER_OUTCOME, source="/t", ident="", content=ARROW)),
        (b"forger-1", batch(x=pa.array([1.0, 2.0])), headers(LEDGER_OUTCOME, source="/t", ident="", content=ARROW)),
        # An entry of one pairing under the name of another, and of one that does not exist.
        (b"\xff\xfe", b'{"kind": "closed", "pairing": "forger-1"}', entry),
        (b"forger-2", b'{"kind": "closed", "pairing": "forger-1"}', entry),
    ]  # fmt: skip
    site.frame("f-1", 0, [1, 1])
    for key, value, listed in bad:
        site.raw(topic, key, value, listed)
    site.frame("f-2", 10, [1, 1])
    site.label("all", 0, 100, "anomaly")
    site.wait_counts("forger-1", "no-alarm", rows_in=4, scored=4)
    kept = site.seen.wait(
        lambda: (one := site.seen.rejected("forger")) and len(one) >= len(bad) and one, "every bad entry"
    )
    assert {one.value for one in kept} == {value for _, value, _ in bad}
    site.end("forger-1")
    site.complete(100)
    site.seen.wait(
        lambda: site.client.refresh().pairings["forger-1"].phase in OVER, "the pairing to conclude"
    )
    final = site.seen.wait(
        lambda: next(
            (one for one in site.seen.evaluations("forger", "forger-1", "no-alarm") if one.final), None
        ),
        "the final evaluation",
    )
    assert settled(final.counts) == {"rows_in": 4, "scored": 4}
