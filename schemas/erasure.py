"""What an agreement's retention takes away again: what is ordered, what is gone, and what cannot go yet."""

from __future__ import annotations

from typing import Literal

from schemas.base import Digest, Ident, Moment, Record

#: The plant's telemetry of the trial; the pairing's ledger; the candidates' files on the plant's machine.
Part = Literal["telemetry", "ledger", "artifacts"]

PARTS: tuple[Part, ...] = ("telemetry", "ledger", "artifacts")


class Erased(Record):
    """Offsets `first` and those behind it before `until` of one topic partition, that nobody can read any more."""

    topic: str
    partition: int
    first: int
    until: int


class Remaining(Record):
    """Offsets of one topic partition that are the pairing's and still stand there.

    A log loses its beginning only: what another pairing still needs, before them or among them, keeps them.
    """

    topic: str
    partition: int
    first: int
    until: int
    #: The pairings that need them; nobody's business but the plant's.
    needed_by: tuple[Ident, ...] = ()
    #: When the last of those ends by its agreement, where that is known.
    due: Moment | None = None


class Erasure(Record):
    """What is left of a pairing once its records were deleted: sums, hashes, and which offsets are gone.

    Evaluations, verdicts and facts stay.
    """

    parts: tuple[Part, ...]
    erased: tuple[Erased, ...] = ()
    remaining: tuple[Remaining, ...] = ()
    #: Candidates whose files are gone from the plant's machine, and those whose files another pairing needs.
    files_erased: tuple[Ident, ...] = ()
    files_remaining: tuple[Ident, ...] = ()
    #: The last hash of the chain over the ledger's entries that was published; None where nothing was.
    chain: Digest | None = None
    agreement_digest: Digest
