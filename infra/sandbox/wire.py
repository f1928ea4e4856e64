"""The platform's end of the wire to a child: it never blocks, and never holds more than one answer that is due."""

from __future__ import annotations

import itertools
import socket
import struct
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from models import child

#: Process, user and group of a sender, as the kernel tells them.
_CREDENTIALS = struct.Struct("3i")

#: What may be on the way to a child, in bytes.
_ROOM_BYTES = 1 << 20

_TEXT_LIMITS = (child.MAX_EXCEPTION, child.MAX_WHERE, child.MAX_TEXT)


@dataclass(frozen=True, kw_only=True)
class Due:
    """What the child may say next."""

    statuses: frozenset[int]
    seq: int = 0
    #: Of predictions.
    columns: int = 0
    rows: int = 0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer of a child, of the form that was due; the values in it are not looked at yet."""

    status: int
    body: bytearray
    #: Bytes of the exception's name, the place and the text; nothing of them in predictions.
    lengths: tuple[int, int, int]

    @property
    def texts(self) -> tuple[str, str, str]:
        """The exception's name, the place and the text, printable."""
        exception, where, _ = self.lengths
        ends = (0, exception, exception + where, len(self.body))
        name, place, text = (printable(bytes(self.body[a:b])) for a, b in itertools.pairwise(ends))
        return name, place, text


@dataclass(frozen=True, kw_only=True)
class Received:
    """What was there to read."""

    answers: tuple[Answer, ...] = ()
    #: What is wrong with what came after them.
    broken: str | None = None
    #: Whether the connection has ended.
    ended: bool = False


class Wire:
    """One connected stream socket; the caller says when it can be read and written."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        end.setblocking(False)
        # Several frames, so that the child has work until the platform comes round again; the kernel gives what it allows.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM_BYTES)
        # The kernel says who sends: the child cannot know its number outside, and would not be believed.
        end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        #: The process that sent the first message, as it is called out here; 0 before.
        self.peer = 0
        #: How often the answer that is not complete yet was read.
        self.pieces = 0
        self._unsent: deque[memoryview] = deque()
        self._header = bytearray(child.ANSWER.size)
        self._answer: Answer | None = None
        self._missing = memoryview(self._header)

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._end.fileno()

    def close(self) -> None:
        """Hang up."""
        self._end.close()

    # To the child.

    def send(self, *parts: bytes | memoryview) -> bool:
        """Send these after what is not sent yet.

        Returns:
            Whether everything is out; otherwise call `flush` when there is room again.
        """
        self._unsent.extend(memoryview(part).cast("B") for part in parts if len(part))
        return self.flush()

    def flush(self) -> bool:
        """Send what there is room for; True when everything is out."""
        while self._unsent:
            try:
                sent = self._end.sendmsg(self._unsent)
            except BlockingIOError:
                return False
            except OSError:
                # Nobody reads any more; how the process ended is told by the process.
                self._unsent.clear()
                return True
            while self._unsent and sent >= len(self._unsent[0]):
                sent -= len(self._unsent.popleft())
            if sent:
                self._unsent[0] = self._unsent[0][sent:]
        return True

    # From the child.

    def read(self, dues: Iterable[Due]) -> Received:
        """Read the answers that are due, in order, as far as they are there."""
        answers: list[Answer] = []
        for due in dues:
            answer = self._next(due)
            if isinstance(answer, Received):
                return replace(answer, answers=tuple(answers))
            answers.append(answer)
        return Received(answers=tuple(answers)) if answers else self._unasked()

    def _unasked(self) -> Received:
        n = self._receive(memoryview(bytearray(1)))
        return Received(broken="it sent something where nothing was due") if n else Received(ended=n == 0)

    def _next(self, due: Due) -> Answer | Received:
        """The next answer, or why there is none yet."""
        while True:
            if not self._missing:
                begun = self._answer or self._begin(due)
                if isinstance(begun, str):
                    return Received(broken=begun)
                if begun is self._answer or not begun.body:
                    self._answer, self._missing, self.pieces = None, memoryview(self._header), 0
                    return begun
                self._answer, self._missing = begun, memoryview(begun.body)
            wanted = len(self._missing)
            n = self._receive(self._missing)
            if not n:
                return Received(ended=n == 0)
            self._missing = self._missing[n:]
            self.pieces += 1
            if n < wanted:
                return Received()

    def _receive(self, room: memoryview) -> int | None:
        """Bytes read into `room`, 0 where the connection has ended, None where there are none."""
        try:
            if self.peer:
                return self._end.recv_into(room)
            n, told, _, _ = self._end.recvmsg_into([room], socket.CMSG_SPACE(_CREDENTIALS.size))
        except BlockingIOError:
            return None
        except OSError:
            return 0
        for _, kind, data in told:
            if kind == socket.SCM_CREDENTIALS and len(data) == _CREDENTIALS.size:
                self.peer = _CREDENTIALS.unpack(data)[0]
                self._end.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        return n

    def _begin(self, due: Due) -> Answer | str:
        """The answer that the header announces, with room for its body; or what is wrong with it."""
        magic, status, columns, *texts, seq, rows = child.ANSWER.unpack(self._header)
        if magic != child.ANSWER_MAGIC:
            return "it wrote something else where an answer was due"
        if any(length > limit for length, limit in zip(texts, _TEXT_LIMITS, strict=True)):
            return "it announced more text than is allowed"
        if status not in due.statuses or seq != due.seq:
            return f"it sent answer {seq} of status {status} where {due.seq} was due"
        predicted = status == child.PREDICTED
        wanted = (due.columns, due.rows) if predicted else (0, 0)
        if (columns, rows) != wanted:
            return f"it announced {columns} × {rows} values where {wanted[0]} × {wanted[1]} were due"
        exception, where, text = (0, 0, 0) if predicted else texts
        size = 8 * columns * rows + exception + where + text
        return Answer(status=status, body=bytearray(size), lengths=(exception, where, text))


def printable(raw: bytes) -> str:
    """Text that does nothing to a terminal."""
    text = raw.decode("utf-8", "replace")
    return "".join(sign if sign.isprintable() or sign in "\n\t" else "\ufffd" for sign in text).strip()
