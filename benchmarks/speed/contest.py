"""Rounds: everybody in turn, on the same rows, in one installation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from benchmarks.speed import clock, models
from benchmarks.speed.asking import Peer, PeerFailed
from benchmarks.speed.load import names
from benchmarks.speed.plan import (
    ALONE,
    PLATFORM,
    PROGRAMS,
    QUICK_ROW_SECONDS,
    ROW_SECONDS,
    ROWS,
    Case,
    Group,
    Turn,
)
from benchmarks.speed.platform import Measured, Platform
from infra.kafka import admin

#: A round's measurement, or why there is none: see `Contest.rounds`.
Round = dict[str, Any]

#: How long who is given all frames may take for them.
FRAMES_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Contest:
    """One group at work.

    Attributes:
        home: where models and logs are.
        quick: those that take one row at a time get less time.
    """

    platform: Platform
    group: Group
    home: Path
    quick: bool

    def rounds(self) -> Iterator[Round]:
        """Every turn of every round: `case`, `who`, `round`, and either `error` or `rows`, `seconds`, `rows_s` and more."""
        with ExitStack() as stack:
            peers = {
                name: [stack.enter_context(self._peer(name, beside)) for beside in range(count)]
                for name, count in self._programs().items()
            }
            self._fill(chain.from_iterable(peers.values()))
            for number in range(1, self.group.rounds + 1):
                for turn in self.group.turns:
                    told = {"case": turn.case.name, "who": turn.who, "round": number}
                    try:
                        measured = self._measure(turn, peers.get(PROGRAMS.get(turn.who, ""), []), number)
                    except Exception as error:  # noqa: BLE001  (told; the others go on)
                        measured = {"error": f"{type(error).__name__}: {error}"}
                    yield told | measured

    def _programs(self) -> dict[str, int]:
        """How many processes of each program are needed at most; who reads Kafka is one."""
        found: dict[str, int] = {}
        for turn in self.group.turns:
            if turn.who != PLATFORM:
                count = turn.case.candidates if turn.who in ALONE else 1
                found[PROGRAMS[turn.who]] = max(found.get(PROGRAMS[turn.who], 0), count)
        return found

    def _peer(self, program: str, beside: int) -> Peer:
        """A program with the model of the group, or with the one of that candidate."""
        case = next(turn.case for turn in self.group.turns if PROGRAMS.get(turn.who) == program)
        path = models.save(self.home, case.model, case.tags, beside)
        return Peer(program, str(path), log=self.home / f"{program}-{beside}.log")

    def _fill(self, peers: Iterable[Peer]) -> None:
        """Put the rows where those read them who read Kafka, while their models are being loaded."""
        for case in {turn.case for turn in self.group.turns if turn.who not in (PLATFORM, *ALONE)}:
            clock.ensure(self.platform.bootstrap, _frames(case), partitions=case.partitions)
            clock.ensure(self.platform.bootstrap, _rows(case))
            job = {
                "bootstrap": self.platform.bootstrap,
                "run": case.name,
                "rows": case.rows,
                "tags": case.tags,
                "partitions": case.partitions,
            }
            self.platform.sender.run({**job, "topics": {"frame": _frames(case)}, "messages": case.frames})
            if any(turn.who in ROWS for turn in self.group.turns):
                one = {**job, "partitions": 1, "topics": {"row": _rows(case)}, "messages": self._most_rows()}
                self.platform.sender.run(one)
        for peer in peers:
            try:
                peer.ready()
            except PeerFailed:
                # Told when it is its turn.
                continue

    def _most_rows(self) -> int:
        """More rows than anybody gets through in the time."""
        return 40_000 if self.quick else 120_000

    def _measure(self, turn: Turn, peers: Sequence[Peer], number: int) -> Round:
        if not peers:
            return self._platform(turn.case)
        by_rows = turn.who.endswith("-rows") or turn.who == "per-row"
        budget_s = (
            (QUICK_ROW_SECONDS if self.quick else ROW_SECONDS)
            if by_rows or turn.who in ALONE[2:]
            else FRAMES_S
        )
        sink = f"bench.results.{turn.case.name}.{turn.who}"
        job = {
            "bootstrap": self.platform.bootstrap,
            "group": f"bench-{turn.case.name}-{turn.who}-{number}",
            "source": _rows(turn.case) if by_rows else _frames(turn.case),
            "sink": sink,
            "partitions": 1 if by_rows else turn.case.partitions,
            "what": "rows" if by_rows else "frames",
            "messages": self._most_rows() if by_rows else turn.case.frames,
            "rows": turn.case.rows,
            "tags": names(turn.case.tags),
            "arrays": turn.who.endswith("-arrays"),
            "budget_s": budget_s,
        }
        each = 1 if by_rows else turn.case.rows
        if turn.who in ALONE:
            return _alone(peers[: turn.case.candidates], job, each)
        return self._through_kafka(peers[0], job, each)

    def _through_kafka(self, peer: Peer, job: dict[str, Any], each: int) -> Round:
        """By the broker's clock, from the first result to the last."""
        clock.ensure(self.platform.bootstrap, job["sink"])
        start = admin.end_offsets(self.platform.bootstrap, job["sink"])[0]
        answer = peer.run(job)
        found = clock.span(clock.appended(self.platform.bootstrap, job["sink"], start))
        if found.messages != answer["messages"]:
            raise PeerFailed(f"{found.messages} results of {answer['messages']} messages")
        return {
            "rows": found.messages * each,
            "seconds": found.seconds,
            "rows_s": found.per_s * each,
            "own_seconds": answer["seconds"],
            "cpu_s": answer["cpu_s"],
        }

    def _platform(self, case: Case) -> Round:
        paths = [models.save(self.home, case.model, case.tags, seed) for seed in range(case.candidates)]
        with self.platform.trial(paths, case.tags, loaded=case.burst) as trial:
            job = trial.job(case.name, rows=case.rows, frames=case.frames, tags=case.tags)
            return told(trial.measure(job, burst=case.burst), case)


def told(measured: Measured, case: Case) -> Round:
    """A trial's figures; a row counts once, however many candidates it is given to."""
    outcomes = measured.outcomes
    rows = case.frames * case.rows
    if case.burst:
        seconds = (outcomes.last_ms - measured.sent_ms) / 1000
        evaluated_s = (measured.evaluated_ms - measured.sent_ms) / 1000
    else:
        seconds = outcomes.seconds
        # What was made before the first append is left out, as above.
        share = outcomes.after_first / outcomes.messages
        evaluated_s = (measured.evaluated_ms - outcomes.first_ms) / 1000 / share
    per_frame = {kind: used / measured.used_for * 1000 for kind, used in measured.used.items()}
    return {
        "rows": rows,
        "seconds": seconds,
        "rows_s": rows / seconds,
        "evaluated_seconds": evaluated_s,
        "evaluated_rows_s": rows / evaluated_s,
        "cpu_ms_per_frame": {kind: round(ms, 4) for kind, ms in per_frame.items()},
        "rss_mb": {kind: round(mb, 1) for kind, mb in measured.after.rss_mb.items()},
    }


def _alone(peers: Sequence[Peer], job: dict[str, Any], each: int) -> Round:
    """By their own clocks: they have nothing to do with the broker. Side by side, until the last one is done."""
    for peer in peers:
        peer.begin(job)
    answers = [peer.wait() for peer in peers]
    seconds = max(answer["seconds"] for answer in answers)
    rows = min(answer["messages"] for answer in answers) * each
    return {
        "rows": rows,
        "seconds": seconds,
        "rows_s": rows / seconds,
        "cpu_s": sum(answer["cpu_s"] for answer in answers),
    }


def _frames(case: Case) -> str:
    return f"bench.frames.{case.name}"


def _rows(case: Case) -> str:
    return f"bench.rows.{case.name}"
