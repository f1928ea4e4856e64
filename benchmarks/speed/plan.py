"""What is measured: cases, who takes part in them, and which of them take turns with one another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

#: Who reads frames through Kafka, and from which program; `…-arrays` hands the model bare arrays instead of a table.
FRAMES = ("loop", "loop-arrays", "quix-frames", "quix-frames-arrays")
#: Who reads one JSON message a row.
ROWS = ("quix-rows", "per-row")
#: Who needs no Kafka: the model alone, and behind HTTP.
ALONE = ("predict", "predict-arrays", "http-frames", "http-rows")
PLATFORM = "platform"

#: The program of each, under `benchmarks.speed.peers`.
PROGRAMS = {
    "predict": "predict",
    "predict-arrays": "predict",
    "loop": "loop",
    "loop-arrays": "loop",
    "quix-frames": "quix",
    "quix-frames-arrays": "quix",
    "quix-rows": "quix",
    "per-row": "per_row",
    "http-frames": "served",
    "http-rows": "served",
}

#: Those that take one row at a time are slow: they get so many seconds a round, and are told in rows a second.
ROW_SECONDS, QUICK_ROW_SECONDS = 6.0, 1.5


@dataclass(frozen=True, kw_only=True)
class Case:
    """Frames of one kind, given to one kind of model."""

    name: str
    model: str = "linear"
    tags: int = 8
    #: Rows of a frame.
    rows: int = 500
    #: Frames of a round: some seconds of work.
    frames: int
    partitions: int = 1
    #: Candidates of the platform that are given the same frames; of those alone, processes side by side.
    candidates: int = 1
    #: Whether frames come while every candidate is loaded, and count from then on; else they are there before it starts.
    burst: bool = False


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One measurement of a round."""

    case: Case
    who: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """Measurements that take turns, so many rounds; what is compared stands in one group."""

    turns: tuple[Turn, ...]
    rounds: int

    @property
    def shape(self) -> tuple[int, int]:
        """Tags and partitions: what an installation is made for."""
        return self.turns[0].case.tags, self.turns[0].case.partitions

    @property
    def name(self) -> str:
        return self.turns[0].case.name


BASE = Case(name="base", frames=4000)
FOREST = Case(name="forest", model="forest", frames=600)


def groups(*, quick: bool, rounds: int) -> tuple[Group, ...]:
    """Everything, in the order in which it is measured; groups of one shape beside one another.

    Args:
        quick: the base ratios alone, on fewer frames.
        rounds: of each group; of a quick run's first one.
    """
    return _quick(rounds) if quick else _full(rounds)


def _quick(rounds: int) -> tuple[Group, ...]:
    base, forest = replace(BASE, frames=1200), replace(FOREST, frames=60)
    everyone = (
        "predict",
        "loop",
        PLATFORM,
        "quix-frames",
        "quix-rows",
        "per-row",
        "http-frames",
        "http-rows",
    )
    crowd = replace(FOREST, frames=60, burst=True)
    return (
        _group(base, everyone, rounds),
        _group(forest, ("predict", PLATFORM), 1),
        _candidates(crowd, (1, 4), 1),
        _ten_times(replace(base, frames=500), 1),
    )


def _full(rounds: int) -> tuple[Group, ...]:
    few = ("predict", "loop", PLATFORM)
    everyone = (*ALONE, *FRAMES, *ROWS, PLATFORM)
    order = sorted(everyone, key=[*PROGRAMS, PLATFORM].index)
    crowd = replace(FOREST, frames=250, burst=True)
    # What is promised comes first.
    return (
        _group(BASE, order, rounds),
        _group(FOREST, (*few, "quix-frames"), rounds),
        _candidates(crowd, (1, 4), rounds, who=("predict", PLATFORM)),
        _ten_times(replace(BASE, frames=2000), rounds),
        _candidates(replace(crowd, frames=100), (16,), min(rounds, 3)),
        _group(replace(BASE, name="mlp", model="mlp", frames=3000), few, rounds),
        _group(replace(BASE, name="rows-1", rows=1, frames=8000), few, rounds),
        _group(replace(BASE, name="rows-50", rows=50, frames=6000), few, rounds),
        _group(replace(BASE, name="rows-5000", rows=5000, frames=600), few, rounds),
        _group(replace(BASE, name="tags-64", tags=64, frames=1200), few, rounds),
        _group(replace(BASE, name="tags-1000", tags=1000, rows=50, frames=600), few, rounds),
        _group(replace(BASE, name="partitions-8", partitions=8), few, rounds),
    )


def _group(case: Case, who: Iterable[str], rounds: int) -> Group:
    return Group(turns=tuple(Turn(case=case, who=one) for one in who), rounds=rounds)


def _candidates(case: Case, counts: Iterable[int], rounds: int, *, who: Sequence[str] = (PLATFORM,)) -> Group:
    cases = [replace(case, name=f"candidates-{count}", candidates=count) for count in counts]
    return Group(turns=tuple(Turn(case=case, who=one) for case in cases for one in who), rounds=rounds)


def _ten_times(case: Case, rounds: int) -> Group:
    cases = (replace(case, name=f"times-{times}", frames=case.frames * times) for times in (1, 10))
    return Group(turns=tuple(Turn(case=one, who=PLATFORM) for one in cases), rounds=rounds)
