"""The platform as a whole: an installation with one plant, and a trial for each measurement."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.installation import START_S, Stuck, installation, wait
from benchmarks.speed.asking import Peer
from benchmarks.speed.clock import End, Span, span
from benchmarks.speed.load import assets, names
from benchmarks.speed.usage import Usage, usage
from infra.kafka import admin
from schemas.agreement import Acceptance, Agreement, LabelRule, Limits, Task
from schemas.evaluation import Evaluation
from schemas.events import DeploymentStarted
from schemas.requests import PausePlant, ResumePlant, StartTrial, StopPairing
from schemas.terms import Quotas
from streams import topics
from streams.envelope import LEDGER_OUTCOME
from streams.ledger_codec import LabelRows, OutcomeRows, decode
from tests.integration.plants import MAKER, Site

PLANT = "plant"

#: How long nothing comes into a ledger in which everything stands, in seconds.
SETTLED_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Told:
    """An evaluation, and when the scorer wrote it."""

    at_ms: int
    evaluation: Evaluation


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one trial has shown.

    Attributes:
        outcomes: of all candidates, by the broker's clock.
        sent_ms: when the first frame was appended.
        evaluated_ms: when the last candidate's evaluation was written that counts every row.
        used: CPU seconds by kind of process between two looks, and the outcomes between them.
        after: what the processes had used and held at the end.
    """

    outcomes: Span
    sent_ms: int
    evaluated_ms: int
    used: dict[str, float]
    used_for: int
    after: Usage


@dataclass(kw_only=True)
class Platform:
    """A running installation with its plant."""

    pid: int
    site: Site
    sender: Peer
    partitions: int
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _evaluations: dict[tuple[str, str], list[Told]] = field(default_factory=dict)
    _read: int = 0
    _paused: bool = False

    @property
    def bootstrap(self) -> str:
        return self.site.client.bootstrap

    # --- a trial ------------------------------------------------------------------------------------------------

    @contextmanager
    def trial(self, models: Sequence[Path], tags: int, *, loaded: bool = True) -> Iterator[Trial]:
        """A trial of these models, waited for until they are `loaded` or not; broken off at the end, its runners gone."""
        pairing = f"p{next(self._numbers)}"
        self.site.propose(pairing, terms(tags, self.partitions, len(models)))
        ids = [
            self.site.submit(pairing, path, f"{path.name}-{pairing}-{number}").candidate.id
            for number, path in enumerate(models)
        ]
        self.site.ask(MAKER, StartTrial(pairing=pairing))
        try:
            if loaded:
                wait(lambda: self._loaded(pairing) >= set(ids), f"{len(ids)} models to be loaded")
            yield Trial(platform=self, pairing=pairing, candidates=tuple(ids))
        except Exception:
            self._break_off(pairing)
            raise
        # Where this process is ended, the installation ends with it.
        self._break_off(pairing)

    def _break_off(self, pairing: str) -> None:
        self.site.ask(MAKER, StopPairing(pairing=pairing, reason="measured"))
        if self._paused:
            self.resume()
        wait(lambda: not self.runs(), "the runners to end", timeout_s=START_S)

    def _loaded(self, pairing: str) -> set[str]:
        self.site.client.refresh()
        facts = (fact.body for fact in self.site.client.facts)
        return {
            one.deployment.partition("/")[2]
            for one in facts
            if isinstance(one, DeploymentStarted) and one.pairing == pairing
        }

    def runs(self) -> bool:
        """Whether a candidate's worker runs."""
        return "runner" in usage(self.pid).cpu_s

    def pause(self) -> None:
        """Stop the runners; what is sent meanwhile waits for them."""
        self._paused = True
        self.site.ask(MAKER, PausePlant(plant=PLANT, reason=f"load {next(self._numbers)}"))
        wait(lambda: not self.runs(), "the runners to end")

    def resume(self) -> None:
        """Start them again."""
        self.site.ask(MAKER, ResumePlant(plant=PLANT))
        self._paused = False

    def evaluations(self, pairing: str, candidate: str) -> list[Told]:
        """All evaluations of a candidate so far, in order; each is read once."""
        records = self.site.seen.records
        for record in itertools.islice(records, self._read, None):
            self._read += 1
            if record.topic == topics.evaluations(PLANT):
                found = Evaluation.model_validate_json(record.value or b"")
                told = Told(at_ms=record.timestamp_ms, evaluation=found)
                self._evaluations.setdefault((found.pairing, found.candidate), []).append(told)
        return self._evaluations.get((pairing, candidate), [])


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial that is running."""

    platform: Platform
    pairing: str
    candidates: tuple[str, ...]

    def job(self, run: str, *, rows: int, frames: int, tags: int, labelled: bool = True) -> dict[str, Any]:
        """What the sender is asked for."""
        sent = {"frame": topics.telemetry(PLANT)}
        if labelled:
            sent = {"label": topics.labels(PLANT), **sent}
        return {
            "bootstrap": self.platform.bootstrap,
            "topics": sent,
            "run": f"{self.pairing}-{run}",
            "rows": rows,
            "tags": tags,
            "partitions": self.platform.partitions,
            "messages": frames,
        }

    def measure(self, job: dict[str, Any], *, burst: bool) -> Measured:
        """Have frames with their labels answered and scored, and measure it.

        Args:
            job: for the sender.
            burst: the frames come now; else they are all there before the runners start again.
        """
        platform = self.platform
        end = End(platform.bootstrap, topics.ledger(PLANT))
        try:
            if burst:
                start = end()
                platform.sender.begin(job)
            else:
                platform.pause()
                before = end()
                platform.sender.run(job)
                wait(lambda: end() >= before + job["messages"], "every label in the ledger")
                wait(lambda: not platform.runs(), "the runners to end")
                start = _settled(end)
                platform.resume()
            return self._followed(job, end, start, burst=burst)
        finally:
            end.close()

    def _followed(self, job: dict[str, Any], end: End, start: int, *, burst: bool) -> Measured:
        entries = job["messages"] * (len(self.candidates) + burst)
        rows = self.scored() + job["messages"] * job["rows"]
        wait(lambda: end() >= start + entries // 20 + 1, "the first outcomes")
        first, first_usage = end(), usage(self.platform.pid)
        wait(lambda: end() >= start + entries, "every outcome")
        last, last_usage = end(), usage(self.platform.pid)
        if burst:
            self.platform.sender.wait()
        evaluated_ms = max(self.counted(rows, candidate) for candidate in self.candidates)
        outcomes = [(record, entry.meta) for record, entry in self.entries(start)]
        return Measured(
            outcomes=span([record.timestamp_ms for record, _ in outcomes]),
            sent_ms=min(meta.appended_ms for _, meta in outcomes),
            evaluated_ms=evaluated_ms,
            used=last_usage.cpu_since(first_usage),
            used_for=sum(first <= record.offset < last for record, _ in outcomes),
            after=usage(self.platform.pid),
        )

    def scored(self) -> int:
        """Rows of the first candidate that are scored so far."""
        told = self.platform.evaluations(self.pairing, self.candidates[0])
        return told[-1].evaluation.counts.scored if told else 0

    def counted(self, rows: int, candidate: str, *, scored: bool = True) -> int:
        """When the first evaluation was written in which so many rows are scored, or came in; waits for it.

        Raises:
            Stuck: it has not come, or rows of it were not answered.
        """
        found: list[Told] = []

        def look() -> bool:
            known = self.platform.evaluations(self.pairing, candidate)
            found[:] = [one for one in known if _counts(one.evaluation, scored=scored) >= rows][:1]
            lost = known[-1].evaluation.counts if known else None
            if lost is not None and lost.failed + lost.refused:
                raise Stuck(f"{lost.failed} rows failed and {lost.refused} were refused")
            return bool(found)

        wait(look, f"an evaluation that counts {rows} rows")
        return found[0].at_ms

    def entries(self, start: int, *, labels: bool = False) -> Iterator[tuple[Any, Any]]:
        """Outcomes of this trial from that offset on, and labels where they are asked for; with their records."""
        ledger = topics.ledger(PLANT)
        for record in admin.read_all(self.platform.bootstrap, ledger, start={0: start}):
            if record.key == self.pairing.encode() and (labels or record.header("ce_type") == LEDGER_OUTCOME):
                entry = decode(record)
                if isinstance(entry, OutcomeRows | LabelRows):
                    yield record, entry


def _settled(end: End) -> int:
    """Where the ledger ends once nothing comes any more.

    Labels that were sent before the scorer knew of their trial are taken in twice; the second time they would come among
    the outcomes, and be counted as such.
    """
    known, since = end(), time.monotonic()

    def stands() -> bool:
        nonlocal known, since
        if (now := end()) != known:
            known, since = now, time.monotonic()
        return time.monotonic() - since >= SETTLED_S

    wait(stands, "the ledger to stand still")
    return known


def _counts(evaluation: Evaluation, *, scored: bool) -> int:
    return evaluation.counts.scored if scored else evaluation.counts.rows_in


def terms(tags: int, partitions: int, candidates: int) -> Agreement:
    """A regression on so many tags."""
    return Agreement(
        task=Task.REGRESSION,
        assets=tuple(assets(partitions)),
        inputs=tuple(names(tags)),
        labels=LabelRule(),
        acceptance=Acceptance(metric="rmse", at_most=1.0),
        limits=Limits(memory_mb=512),
        quotas=Quotas(candidates=max(5, candidates)),
    )


@contextmanager
def installed(home: Path, *, tags: int, partitions: int) -> Iterator[Platform]:
    """An installation of its own with one plant."""
    with installation(home) as there, Peer("sender", log=home / "sender.log") as sender:
        site = there.site(PLANT, assets=assets(partitions), tags=names(tags), partitions=partitions)
        yield Platform(pid=there.pid, site=site, sender=sender, partitions=partitions)
