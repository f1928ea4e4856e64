"""Lines of a file, read when they are asked for: what was published in weeks does not fit into memory."""

from __future__ import annotations

import os
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, overload

#: No message is as long, in bytes: a longer line is no evidence.
LONGEST = 16 * 1024 * 1024


class Lines(Sequence[bytes]):
    """The lines of a file, without their ends; the file may be deleted meanwhile."""

    def __init__(self, file: IO[bytes]) -> None:
        """Args:
        file: at its beginning; it is not needed any more afterwards.

        Raises:
            ValueError: a line is too long.
        """
        self._ends = array("q", [0])
        while line := file.readline(LONGEST + 1):
            if len(line) > LONGEST:
                raise ValueError(f"line {len(self._ends)} is longer than {LONGEST} bytes")
            self._ends.append(self._ends[-1] + len(line))
        self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)

    @classmethod
    def of_file(cls, path: Path) -> Lines:
        """The lines of a file.

        Raises:
            ValueError: a line is too long.
        """
        with path.open("rb") as file:
            return cls(file)

    @classmethod
    def of(cls, values: Iterable[bytes]) -> Lines:
        """Values without line ends, kept on disk."""
        with tempfile.TemporaryFile() as file:
            for value in values:
                file.write(value + b"\n")
            file.seek(0)
            return cls(file)

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, place: int) -> bytes: ...

    @overload
    def __getitem__(self, place: slice) -> list[bytes]: ...

    def __getitem__(self, place: int | slice) -> bytes | list[bytes]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        number = range(len(self))[place]
        start, end = self._ends[number], self._ends[number + 1]
        return os.pread(self._descriptor, end - start, start).removesuffix(b"\n")
