"""Whole trials that nobody thought of: telemetry of three machines, two candidates, and labels in every form there is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from agents.scores import evaluations, new_book, verdicts_of
from schemas.agreement import Acceptance, Agreement, Baseline, LabelRule, Task
from schemas.evaluation import Evaluation, Verdict
from schemas.ledger import Closed, LabelFrame, Source, TagHistogram, Tick, Watermark
from schemas.slices import Slice
from schemas.terms import Cost, Decision, DecisionUnit
from streams.ledger import Book
from streams.ledger_codec import Entry, LabelRows, OutcomeRows
from tests.unit.ledger_examples import label
from tests.unit.trial_examples import BASELINES, DAY_MS, MINUTE_US, NAN, PAIRING, ended, frame, started

CANDIDATES = ("first", "second")
ASSETS = ("pump-1", "pump-2", "pump-3")
PARTITIONS = 2
MINUTES = 6
DAY_US = DAY_MS * 1000
#: After every deadline.
OVER_MS = 20 * DAY_MS


def moment_us(minute: int) -> int:
    """When a minute begins; the later half of them lies on another day."""
    return minute * MINUTE_US + (minute // 3) * DAY_US


# --- what is agreed ---------------------------------------------------------------------------------------------------

UNITS = {
    "row": DecisionUnit(kind="row"),
    "block": DecisionUnit(minutes=1),
    "event": DecisionUnit(kind="event"),
    "run": DecisionUnit(kind="run"),
}


def agreed(unit: str, *, absent: str = "normal", early: bool = False, loss: str = "error") -> Agreement:
    """An agreement that has everything; runs to failure are of numbers, everything else of anomalies."""
    numeric = unit == "run"
    more: dict[str, Any] = {"early": True, "least_units": 2} if early else {}
    return Agreement(
        task=Task.RUL if numeric else Task.ANOMALY,
        assets=ASSETS,
        inputs=("Pressure",),
        labels=LabelRule(deadline_days=1, absent_means="unlabelled" if numeric else absent),  # type: ignore[arg-type]
        baselines=tuple(
            Baseline(name=name, answer=answer)
            for name, answer in (
                ("low", 0.0 if numeric else "normal"),
                ("high", 5.0 if numeric else "anomaly"),
            )
        ),
        acceptance=(
            Acceptance(metric="rmse", at_most=3.0) if numeric else Acceptance(metric="f1", at_least=0.5)
        ).model_copy(update={"max_unanswered": 0.6}),
        slices=(
            Slice(by="asset"),
            Slice(by="tag", tag="Pressure", cuts=(1.0,)),
            Slice(by="shift", starts=(8, 20)),
        ),
        cost=None if numeric else Cost(false_alarm=20_000, missed=500_000),
        decision=Decision(
            unit=UNITS[unit],
            planned_units=20,
            margin=0.1,
            alpha=0.5,
            slots=1,
            loss="error" if numeric else loss,  # type: ignore[arg-type]
            loss_cap=5.0 if numeric else None,
            **more,
        ),
    )


AGREEMENTS = st.builds(
    agreed,
    st.sampled_from(sorted(UNITS)),
    absent=st.sampled_from(["normal", "unlabelled"]),
    early=st.booleans(),
    loss=st.sampled_from(["error", "cost"]),
)

# --- what happened ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A frame, and what became of it; `results` and `answers` are of the baselines and of each candidate."""

    asset: int
    #: Milliseconds since the frame before it.
    passed: int
    minutes: tuple[int, ...]
    answers: tuple[tuple[float, ...], ...]
    results: tuple[str, ...] = ("answered",) * (1 + len(CANDIDATES))


@dataclass(frozen=True)
class Saying:
    """A message of the label topic, before it has its place."""

    kind: str
    asset: int
    start: int
    length: int
    code: float
    ident: str
    #: Milliseconds since the message before it.
    passed: int
    #: Which of its machine's frames, where it names one.
    place: int = 0


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial as its topics tell it; the ledger's entries follow."""

    agreement: Agreement
    frames: tuple[Frame, ...]
    sayings: tuple[Saying, ...]
    #: Labels in the order of their topic, with their places in it.
    labels: list[Entry] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", list(self._labels()))

    def placed(self) -> Iterable[tuple[int, int, int, Frame]]:
        """Partition, offset, the broker's time and frame, in the order in which they were sent."""
        offsets, now = [0] * PARTITIONS, 0
        for one in self.frames:
            at, now = one.asset % PARTITIONS, now + one.passed
            yield at, offsets[at], now, one
            offsets[at] += 1

    @property
    def until(self) -> list[int]:
        """How many frames each partition has."""
        return [sum(one.asset % PARTITIONS == at for one in self.frames) for at in range(PARTITIONS)]

    def starts(self) -> list[Entry]:
        """One for each deployment."""
        return [
            started(self.agreement, subject=subject, partitions=PARTITIONS).model_copy(
                update={"slot": min(slot, 1)}
            )
            for slot, subject in enumerate((None, *CANDIDATES))
        ]

    def outcomes(self) -> list[list[Entry]]:
        """Of each deployment and partition, in the order in which they come."""
        queues: dict[tuple[str, int], list[Entry]] = {}
        for at, offset, now, one in self.placed():
            for subject in range(1 + len(CANDIDATES)):
                entry = self._outcome(subject, at, offset, now, one)
                queues.setdefault((entry.meta.deployment, at), []).append(entry)
        return list(queues.values())

    def _outcome(self, subject: int, at: int, offset: int, now: int, one: Frame) -> OutcomeRows:
        name = BASELINES if subject == 0 else f"{PAIRING}/{CANDIDATES[subject - 1]}"
        answers = np.array(one.answers[:2] if subject == 0 else one.answers[subject + 1 : subject + 2])
        made = frame(
            offset,
            [moment_us(minute) for minute in one.minutes],
            answers.tolist(),
            deployment=name,
            asset=ASSETS[one.asset],
            partition=at,
            appended_ms=now,
            result=one.results[subject],
        )
        spread = TagHistogram(tag="Pressure", scale=0, bins=(0, 1 + one.asset), counts=(60, 60 + 9 * offset))
        minutes = np.array(one.minutes)
        return replace(
            made,
            meta=made.meta.model_copy(update={"histograms": (spread,) if subject == 0 else None}),
            codes=np.array([minutes % 2, minutes % 3 % 2], dtype=np.int8),
            scores=np.abs(made.answers - 0.1) if made.meta.result == "answered" and self.scored else None,
        )

    @property
    def scored(self) -> bool:
        """Whether candidates give a score beside their answers."""
        return not self.agreement.task.numeric

    def ends(self) -> list[Entry]:
        """One for each deployment."""
        return [ended(*self.until, deployment=one.deployment) for one in self.starts()]  # type: ignore[union-attr]

    def close(self) -> list[Entry]:
        """The last deadline passes, and the pairing is closed."""
        names = tuple(one.deployment for one in self.starts())  # type: ignore[union-attr]
        tick = Tick(pairing=PAIRING, at_ms=OVER_MS, telemetry=dict(enumerate(self.until)))
        return [tick, Closed(pairing=PAIRING, deployments=names)]

    def whole(self) -> list[Entry]:
        """A ledger in the simplest order: everything that was asked, then everything that was said."""
        outcomes = [one for queue in self.outcomes() for one in queue]
        return [*self.starts(), *outcomes, *self.ends(), *self.labels, *self.close()]

    def _labels(self) -> Iterable[Entry]:
        offsets, now = [0] * PARTITIONS, 0
        for one in self.sayings:
            at, now = one.asset % PARTITIONS, now + one.passed
            source = Source(partition=at, offset=offsets[at], appended_ms=now)
            entry = self._entry(one, source)
            if entry is not None:
                offsets[at] += 1
                yield entry

    def _entry(self, one: Saying, source: Source) -> Entry | None:
        asset, minutes = ASSETS[one.asset], range(one.start, min(one.start + one.length, MINUTES))
        begin, end = moment_us(one.start), moment_us(one.start + one.length)
        match one.kind:
            case "watermark":
                return Watermark(pairing=PAIRING, asset=asset, until_us=end, source=source)
            case "times":
                times = [moment_us(minute) for minute in minutes]
                return self._frame(one, source, times, [one.code] * len(times), None)
            case "positions":
                frames = [(offset, each) for _, offset, _, each in self.placed() if each.asset == one.asset]
                if not frames:
                    return None
                offset, each = frames[one.place % len(frames)]
                times = [moment_us(minute) for minute in each.minutes]
                codes = [one.code if minute in minutes else NAN for minute in each.minutes]
                return self._frame(one, source, times, codes, f"{source.partition}-{offset}")
        span = {"point": (begin, begin + 1), "interval": (begin, end), "withdrawal": (0, 0)}[one.kind]
        made = label(
            source.offset, *span, None if one.kind == "withdrawal" else one.code, ident=one.ident, asset=asset
        )
        return made.model_copy(update={"source": source})

    def _frame(
        self, one: Saying, source: Source, times: Sequence[int], codes: Sequence[float], frame_id: str | None
    ) -> LabelRows:
        meta = LabelFrame(
            pairing=PAIRING, asset=ASSETS[one.asset], id=one.ident, frame=frame_id, source=source
        )
        return LabelRows(
            meta=meta, times_us=np.array(times, dtype=np.int64), codes=np.array(codes, dtype=np.float64)
        )


KINDS = ("interval", "interval", "point", "times", "positions", "withdrawal", "watermark")


@st.composite
def frames(draw: Any, agreement: Agreement, *, faults: bool = True) -> tuple[Frame, ...]:
    """What the machines sent and what was answered; with `faults` the platform itself fails now and then."""
    numeric = agreement.task.numeric
    answer = st.sampled_from([0.0, 2.0, 5.0] if numeric else [0.0, 1.0])
    candidate = st.one_of(answer, answer, st.just(NAN))
    result = st.sampled_from(["answered"] * 4 + ["failed"])
    found = []
    for _ in range(draw(st.integers(1, 8))):
        rows = draw(st.integers(1, 4))
        row = [st.lists(one, min_size=rows, max_size=rows) for one in (answer, answer, candidate, candidate)]
        asset = draw(st.integers(0, len(ASSETS) - 1))
        found.append(
            Frame(
                asset=asset,
                passed=draw(st.integers(0, 2)),
                minutes=tuple(draw(st.lists(st.integers(0, MINUTES - 1), min_size=rows, max_size=rows))),
                answers=tuple(tuple(draw(one)) for one in row),
                results=(draw(result) if faults else "answered", draw(result), draw(result)),
            )
        )
    return tuple(found)


def sayings(agreement: Agreement, *, most: int = 9) -> st.SearchStrategy[list[Saying]]:
    """Anything that a plant may say of its rows, in time and too late."""
    codes = [0.0, 1.0, 3.0, 5.0] if agreement.task.numeric else [0.0, 1.0]
    one = st.builds(
        Saying,
        kind=st.sampled_from(KINDS),
        asset=st.integers(0, len(ASSETS) - 1),
        start=st.integers(0, MINUTES - 1),
        length=st.integers(1, MINUTES),
        code=st.sampled_from(codes),
        ident=st.sampled_from("abc"),
        passed=st.sampled_from([0, 0, 1, 60_000, DAY_MS // 2]),
        place=st.integers(0, 3),
    )
    return st.lists(one, max_size=most)


@st.composite
def trials(draw: Any, agreements: st.SearchStrategy[Agreement] = AGREEMENTS, *, faults: bool = True) -> Trial:
    """A whole trial: anything at all, or one in which the first candidate is clearly better, or clearly worse."""
    agreement, clear = draw(agreements), draw(st.booleans())
    sent, said = draw(frames(agreement, faults=faults and not clear)), draw(sayings(agreement))
    if clear:
        codes = [draw(st.sampled_from([0.0, 1.0])) for _ in ASSETS]
        known = [Saying("interval", at, 0, MINUTES, code, f"base-{at}", 0) for at, code in enumerate(codes)]
        better = draw(st.booleans())
        sent, said = tuple(_clear(one, codes[one.asset], better) for one in sent), [*known, *said]
    return Trial(agreement=agreement, frames=sent, sayings=tuple(said))


def _clear(one: Frame, code: float, better: bool) -> Frame:
    """Many rows that the first candidate has right and nobody else, or the other way round."""
    rows = 12 * len(one.minutes)
    right, wrong = (code,) * rows, (1.0 - code,) * rows
    others, first = (wrong, right) if better else (right, wrong)
    answers = (others, others, first, one.answers[3] * 12)
    return replace(
        one, minutes=one.minutes * 12, answers=answers, results=("answered", "answered", one.results[2])
    )


# --- what is made of it -----------------------------------------------------------------------------------------------


def folded(entries: Iterable[Entry], book: Book | None = None) -> Book:
    """A book with these entries."""
    book = book or new_book(PAIRING)
    for entry in entries:
        book.fold(entry, offset=0, digest=bytes(32))
    return book


def told(book: Book, *, final: bool = True) -> list[Evaluation]:
    """What is published of a book, at a place in the ledger that is always the same."""
    return evaluations(book, partition=0, offset=0, at_ms=OVER_MS, final=final)


def judged(book: Book) -> list[Verdict]:
    """The verdicts of a closed book."""
    return verdicts_of(book, told(book), equal=True, retired=frozenset())
