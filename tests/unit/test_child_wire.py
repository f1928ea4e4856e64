"""The platform's end of the wire: pieces of any size, lies of any kind, and no more memory than an answer takes."""

from __future__ import annotations

import os
import socket
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.sandbox.wire import Answer, Due, Received, Wire
from models import child

ANSWERED = frozenset({child.PREDICTED, *child.FAILURES})


def due(seq: int = 1, rows: int = 3, columns: int = 1) -> Due:
    return Due(statuses=ANSWERED, seq=seq, columns=columns, rows=rows)


def said(
    status: int = child.PREDICTED,
    body: bytes | None = None,
    *,
    seq: int = 1,
    columns: int = 1,
    rows: int = 3,
    texts: tuple[int, int, int] = (0, 0, 0),
    magic: bytes = child.ANSWER_MAGIC,
) -> bytes:
    body = bytes(range(8 * columns * rows)) if body is None else body
    return child.ANSWER.pack(magic, status, columns, *texts, seq, rows) + body


def failure(name: bytes, place: bytes, text: bytes, seq: int = 1) -> bytes:
    lengths = (len(name), len(place), len(text))
    return said(child.ERROR, name + place + text, seq=seq, columns=0, rows=0, texts=lengths)


class Ends:
    """A wire and the child's end of it."""

    def __init__(self) -> None:
        ours, self.child = socket.socketpair()
        self.wire = Wire(ours)

    def close(self) -> None:
        self.wire.close()
        self.child.close()


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


def test_answers_come_in_the_order_in_which_they_are_due(ends: Ends) -> None:
    ends.child.sendall(said(seq=1) + failure(b"KeyError", b"a.py:3", b"no such tag", seq=2) + said(seq=3))
    received = ends.wire.read([due(1), due(2), due(3), due(4)])
    assert [answer.status for answer in received.answers] == [child.PREDICTED, child.ERROR, child.PREDICTED]
    assert received.answers[0].body == bytes(range(24))
    assert received.answers[1].texts == ("KeyError", "a.py:3", "no such tag")
    assert (received.broken, received.ended) == (None, False)


@given(sizes=st.lists(st.integers(1, 60), max_size=12))
def test_pieces_of_any_size_make_the_same_answers(sizes: list[int]) -> None:
    raw = said(seq=1) + failure(b"KeyError", b"", b"x" * 50, seq=2) + said(seq=3, columns=1, rows=0)
    ends = Ends()
    dues = [due(1), due(2), due(3, rows=0)]
    answers: list[Answer] = []
    try:
        for size in [*sizes, len(raw)]:
            ends.child.sendall(raw[:size])
            raw = raw[size:]
            while dues:
                received = ends.wire.read(dues)
                assert received.broken is None
                answers += received.answers
                dues = dues[len(received.answers) :]
                if not received.answers:
                    break
    finally:
        ends.close()
    assert dues == []
    assert [answer.status for answer in answers] == [child.PREDICTED, child.ERROR, child.PREDICTED]
    assert [len(answer.body) for answer in answers] == [24, 58, 0]


def test_what_is_not_due_is_not_read(ends: Ends) -> None:
    ends.child.sendall(said(seq=1) + b"more")
    assert len(ends.wire.read([due(1)]).answers) == 1
    assert ends.wire.read([]).broken == "it sent something where nothing was due"


def test_where_nothing_comes_nothing_is_read(ends: Ends) -> None:
    assert ends.wire.read([due()]) == ends.wire.read([]) == Received()


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n", "something else where an answer was due"),
        (said(magic=b"FPq1"), "something else where an answer was due"),
        (said(status=child.READY, body=b"", columns=0, rows=0), "answer 1 of status 3 where 1 was due"),
        (said(status=99), "answer 1 of status 99 where 1 was due"),
        (said(seq=2), "answer 2 of status 4 where 1 was due"),
        (said(rows=4), "1 × 4 values where 1 × 3 were due"),
        (said(columns=2), "2 × 3 values where 1 × 3 were due"),
        (said(rows=4_000_000_000, body=b""), "1 × 4000000000 values where 1 × 3 were due"),
        (said(child.ERROR, b"", rows=3, columns=1), "1 × 3 values where 0 × 0 were due"),
        (said(texts=(129, 0, 0)), "more text than is allowed"),
        (said(texts=(0, 513, 0)), "more text than is allowed"),
        (said(texts=(0, 0, 4097)), "more text than is allowed"),
    ],
)
def test_a_lie_is_named(ends: Ends, raw: bytes, why: str) -> None:
    ends.child.sendall(raw)
    broken = ends.wire.read([due()]).broken
    assert broken is not None
    assert why in broken


def test_answers_before_a_lie_and_before_the_end_are_kept(ends: Ends) -> None:
    ends.child.sendall(said(seq=1) + said(seq=7))
    received = ends.wire.read([due(1), due(2)])
    assert (len(received.answers), received.broken is not None) == (1, True)


def test_an_end_is_told_after_what_came_before_it(ends: Ends) -> None:
    ends.child.sendall(said(seq=1) + said(seq=2)[:30])
    ends.child.close()
    received = ends.wire.read([due(1), due(2)])
    assert len(received.answers) == 1
    assert ends.wire.read([due(2)]).ended
    assert ends.wire.read([]).ended


def test_a_flood_takes_no_memory(ends: Ends) -> None:
    ends.child.setblocking(False)
    flood = said(seq=1) + bytes(1 << 20)
    tracemalloc.start()
    try:
        ends.child.send(flood)
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        assert len(ends.wire.read([due(1)]).answers) == 1
        assert ends.wire.read([]).broken is not None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 10_000


def test_pieces_are_counted_until_the_answer_is_complete(ends: Ends) -> None:
    raw = said()
    for byte in raw[:-1]:
        ends.child.sendall(bytes([byte]))
        assert ends.wire.read([due()]).answers == ()
    assert ends.wire.pieces == len(raw) - 1
    ends.child.sendall(raw[-1:])
    assert len(ends.wire.read([due()]).answers) == 1
    assert ends.wire.pieces == 0


def test_more_than_the_kernel_takes_at_once_is_sent_when_there_is_room(ends: Ends) -> None:
    ends.child.setblocking(False)
    frame = os.urandom(3 << 20)
    assert not ends.wire.send(b"head", b"", memoryview(frame))
    assert not ends.wire.send(b"tail")
    got = bytearray()
    done = False
    while not done:
        got += ends.child.recv(1 << 20)
        done = ends.wire.flush()
    while len(got) < len(frame) + 8:
        got += ends.child.recv(1 << 20)
    assert got == b"head" + frame + b"tail"


def test_sending_to_one_that_has_hung_up_is_no_error(ends: Ends) -> None:
    ends.child.close()
    assert ends.wire.send(b"frame")
    assert ends.wire.read([due()]).ended


def test_the_kernel_says_who_sends(ends: Ends) -> None:
    assert ends.wire.peer == 0
    pid = os.fork()
    if pid == 0:
        ends.child.sendall(said(seq=1))
        os._exit(0)
    os.waitpid(pid, 0)
    # The first message says it for good.
    ends.child.sendall(said(seq=2))
    assert len(ends.wire.read([due(1), due(2)]).answers) == 2
    assert ends.wire.peer == pid


def test_printable_text_is_all_that_is_left_of_a_fault(ends: Ends) -> None:
    ends.child.sendall(failure(b"Key\x1bError", b" a.py:1\n", b"\xff\x00 x"))
    (answer,) = ends.wire.read([due()]).answers
    assert answer.texts == ("Key\ufffdError", "a.py:1", "\ufffd\ufffd x")
