"""How a candidate stands after its faults: when its child is started again, and when it is suspended."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: After so many ends of its process that are not made good a candidate is suspended.
MOST_ENDS = 10

#: Answers that make one end good. A frame that kills its process kills two, as it is tried once more: a candidate
#: that dies of one frame in twenty stays, which is what an agreement lets pass by default; one that answers every
#: other frame and dies of the rest does not go on for ever starting processes at the cost of others.
MAKING_GOOD = 10

#: After so many failures in a row to load its model a candidate is suspended.
MOST_LOADS = 5


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long to wait before the n-th start in a row: at once, then `first_s`, doubling up to `most_s`."""

    first_s: float = 1
    most_s: float = 30

    def delay_s(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row."""
        if failures <= 1:
            return 0
        return min(self.first_s * 2.0 ** min(failures - 2, 30), self.most_s)


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A candidate's faults that are not made good.

    An exception that `predict` raises, or a wrong number of answers, ends no process and costs nobody but its
    frame: it counts in the scores and not here, in neither direction.
    """

    #: Ends of its process: deaths, time, CPU time, broken wire. Memory counts where it ended the process.
    ends: int = 0
    #: Answers since one of them was last made good.
    answers: int = 0
    #: Failures to load its model since it was last loaded.
    loads: int = 0

    @property
    def faults(self) -> int:
        """How many faults there are."""
        return max(self.ends, self.loads)

    @property
    def lost(self) -> bool:
        """Whether it is to be suspended."""
        return self.ends >= MOST_ENDS or self.loads >= MOST_LOADS

    def answered(self) -> Standing:
        """After an answer."""
        if not self.ends:
            return self
        if self.answers + 1 < MAKING_GOOD:
            return replace(self, answers=self.answers + 1)
        return replace(self, ends=self.ends - 1, answers=0)

    def ended(self) -> Standing:
        """After its process has ended."""
        return replace(self, ends=self.ends + 1, answers=0)

    def unloadable(self) -> Standing:
        """After its model could not be loaded."""
        return replace(self, loads=self.loads + 1)

    def loaded(self) -> Standing:
        """After its model was loaded."""
        return replace(self, loads=0) if self.loads else self
