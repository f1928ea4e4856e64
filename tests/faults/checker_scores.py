"""The final evaluation of a deployment, computed in one go from the raw topics.

Which frames were answered and which failed is the ledger's to say; everything else comes from telemetry and labels as their
senders wrote them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np

from tests.faults.checker_ledger import Deployment, Place, Walk
from tests.faults.checker_metrics import Series, of_events, of_rows
from tests.faults.checker_models import Answers
from tests.faults.checker_records import Entry, Frame, Label
from tests.faults.checker_topics import Json
from tests.faults.checker_truth import Truths, says, touches

STATES = ("scored", "awaiting_label", "unlabelled", "abstained", "failed")


@dataclass(kw_only=True)
class _Rows:
    """One counted frame of one subject, row by row."""

    frame: Frame
    failed: bool
    truth: np.ndarray
    closed: np.ndarray
    answers: np.ndarray
    scores: np.ndarray | None

    def states(self) -> Counter[str]:
        answered, labelled = np.isfinite(self.answers), ~np.isnan(self.truth)
        found = Counter(labelled=int(labelled.sum()))
        if self.failed:
            found["failed"] = labelled.size
            return found
        unlabelled = answered & ~labelled
        found["scored"] = int((answered & labelled).sum())
        found["unlabelled"] = int((unlabelled & self.closed).sum())
        found["awaiting_label"] = int((unlabelled & ~self.closed).sum())
        found["abstained"] = int((~answered).sum())
        return found


@dataclass(kw_only=True)
class Batch:
    """One deployment with all of its frames."""

    walk: Walk
    deployment: Deployment
    truths: Truths
    frames: Mapping[Place, Frame]
    #: What each subject answers to each frame, where its model is known.
    answers: Mapping[str, Mapping[Place, Answers | None]]
    #: Outcomes whose rows count: one of each frame that was sent again under its id.
    _first: dict[Place, Entry] = field(init=False)
    #: Of these, the frames with rows whose times are known.
    _told: dict[Place, tuple[np.ndarray, np.ndarray]] = field(init=False)

    def __post_init__(self) -> None:
        self._first = self._once()
        self._told = {}
        for place, entry in self._first.items():
            frame = self.frames[place]
            if entry.told["result"] in ("answered", "failed") and frame.times_us is not None:
                truth, under = self.truths.known(
                    frame, self.truths.of(frame, self.truths.labels), self.truths.marks
                )
                late = frame.message.at_ms + self.truths.deadline_ms < self.walk.ticked_ms
                self._told[place] = truth, under | late

    def _once(self) -> dict[Place, Entry]:
        """Of frames with one id the first that could be taken; without any the first that was refused."""
        named: dict[tuple[str, str], tuple[Place, Entry]] = {}
        for place, entry in self.deployment.outcomes.items():
            name = entry.told["asset"], entry.told["frame"]
            known = named.get(name)
            taken = entry.told["result"] in ("answered", "failed")
            if known is None or (taken and known[1].told["result"] not in ("answered", "failed")):
                named[name] = place, entry
        return dict(sorted(one for one in named.values() if one[0] in self.frames))

    def evaluation(self, subject: str) -> Json:
        """The final evaluation of a subject, as it has to be published, without what holds nothing."""
        started, closed = self.deployment.started.told, self.walk.closed
        assert closed is not None
        rows = [self._rows(place, subject) for place in self._told]
        states = sum((one.states() for one in rows), Counter[str]())
        agreement = self.truths.agreement
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=closed.message.at_ms)
        found = {
            "kind": "evaluation",
            "pairing": started["pairing"],
            "plant": started["plant"],
            "startup": started["startup"],
            "candidate": subject,
            "baseline": started["baseline"],
            "phase": started["phase"],
            "task": agreement["task"],
            "ledger_partition": closed.message.partition,
            "ledger_offset": closed.message.offset,
            "chain": self.walk.chain.hex(),
            "at": moment.isoformat().replace("+00:00", "Z"),
            "final": True,
            "counts": {
                "rows_in": self._rows_in(),
                **{name: states[name] for name in STATES},
                "refused": self._refused(),
            },
            "audit": self._audit(),
            "confusion": self._confusion(rows),
            "metrics": self._metrics(rows) | of_events(self._series(rows)),
            "slices": self._slices(rows),
            "labels": self._labels(states),
            "faults": self._faults(),
            "sandbox": started["sandbox"],
            "simulated": started.get("simulated", False),
        }
        service = None if started["baseline"] else self._service()
        return found | ({"service": service} if service else {})

    def _rows(self, place: Place, subject: str) -> _Rows:
        frame, entry = self.frames[place], self._first[place]
        truth, closed = self._told[place]
        failed = entry.told["result"] == "failed"
        answers, scores = np.full(truth.size, np.nan), None
        if not failed:
            answers, scores = self._answers(place, subject)
        return _Rows(frame=frame, failed=failed, truth=truth, closed=closed, answers=answers, scores=scores)

    def _answers(self, place: Place, subject: str) -> Answers:
        own = self.answers.get(subject, {}).get(place)
        if own is not None:
            return own
        entry, at = self._first[place], self.deployment.subjects.index(subject)
        scores = entry.rows("score")
        return entry.rows("answer")[at], scores[at] if scores.size else None

    # --- figures --------------------------------------------------------------------------------------------------

    def _with(self, *results: str) -> list[Entry]:
        return [one for one in self._first.values() if one.told["result"] in results]

    def _rows_in(self) -> int:
        return sum(one.told["rows"] for one in self._with("answered", "failed", "refused"))

    def _refused(self) -> int:
        return sum(one.told["rows"] for one in self._with("refused"))

    def _audit(self) -> Json:
        late, corrections = self._noted
        kinds: Counter[str] = Counter()
        for one in self._with("failed"):
            kinds[str(one.told.get("failure"))] += one.told["rows"]
        return {
            "frames": len(self._with("answered", "failed", "refused")),
            "frames_refused": len(self._with("unreadable")),
            "frames_repeated": len(self.deployment.outcomes) - len(self._first),
            "duplicates": self.deployment.duplicates,
            "gaps": self.deployment.gaps,
            "labels_late": late,
            "corrected": sum(corrections.values()),
            "failed_by_kind": {kind: count for kind, count in sorted(kinds.items()) if count},
        }

    def _faults(self) -> list[Json]:
        found: Counter[tuple[str, str | None, str | None]] = Counter()
        for one in self._with("failed"):
            found[str(one.told.get("failure")), one.told.get("exception"), one.told.get("where")] += 1
        listed = []
        for fault, count in sorted(found.items(), key=lambda one: (-one[1], str(one[0]))):
            words = dict(zip(("kind", "exception", "where"), fault, strict=True))
            listed.append({name: word for name, word in words.items() if word is not None} | {"count": count})
        return listed

    def _service(self) -> Json | None:
        asked = [
            one.told for one in self._with("answered", "failed") if one.told.get("failure") != "suspended"
        ]
        ever = [*asked, *(one.told for one in self.deployment.dropped.values())]
        if not asked:
            return None
        walls = [told["wall_us"] for told in asked]
        return {
            "frames": len(asked),
            **{f"p{percent}_us": quantile(walls, percent) for percent in (50, 95, 99)},
            "cpu_us_per_1000_rows": 1000
            * sum(told["cpu_us"] for told in asked)
            // sum(told["rows"] for told in asked),
            "peak_mb": math.ceil(max(told["peak_kb"] for told in ever) / 1024),
        }

    # --- labels ---------------------------------------------------------------------------------------------------

    def _labels(self, states: Counter[str]) -> Json:
        delays = self._delays
        found: Json = {"rows": sum(states[name] for name in STATES), "labelled": states["labelled"]}
        if delays:
            found |= {f"delay_p{percent}_ms": quantile(delays, percent) for percent in (50, 90)}
        _, corrections = self._noted
        return found | {"corrections": {name: n for name, n in sorted(corrections.items()) if n}}

    @cached_property
    def _delays(self) -> list[int]:
        """How long after its row, in milliseconds, each label came that came in time."""
        found = []
        for place in self._told:
            frame = self.frames[place]
            for one in self.truths.labels:
                if touches(one, frame) and self.truths.in_time(one, frame):
                    count = int(np.count_nonzero(~np.isnan(says(one, frame))))
                    found += [max(0, one.message.at_ms - frame.message.at_ms)] * count
        return found

    @cached_property
    def _noted(self) -> tuple[int, Counter[str]]:
        """Versions of labels that came too late for a frame, and rows whose label something said later changed."""
        late, corrections = 0, Counter[str]()
        for place in self._told:
            frame, told = self.frames[place], []
            for one in sorted(self.truths.labels, key=lambda one: one.offset):
                if one.asset != frame.asset:
                    continue
                told.append(one)
                if not any(touches(each, frame) for each in told if each.ident == one.ident):
                    continue
                if self.truths.in_time(one, frame):
                    corrections.update(self._changed_by(one, frame, told[:-1]))
                else:
                    late += 1
        return late, corrections

    def _changed_by(self, label: Label, frame: Frame, told: Sequence[Label]) -> Iterable[str]:
        marks = [one for one in self.truths.marks if one.message.offset < label.offset]
        before, _ = self.truths.known(frame, self.truths.of(frame, told), marks)
        after, _ = self.truths.known(frame, self.truths.of(frame, [*told, label]), marks)
        return self._changes(before, after)

    def _changes(self, before: np.ndarray, after: np.ndarray) -> Iterable[str]:
        classes = self.truths.agreement.get("classes") or []
        for old, new in zip(before.tolist(), after.tolist(), strict=True):
            if math.isnan(old) or old == new:
                continue
            gone = math.isnan(new)
            if classes:
                yield f"{classes[int(old)]}/{'unlabelled' if gone else classes[int(new)]}"
            else:
                yield "unlabelled" if gone else "up" if new > old else "down"

    # --- metrics --------------------------------------------------------------------------------------------------

    def _metrics(self, rows: Sequence[_Rows]) -> dict[str, float]:
        truth, answers, scores = _scored(rows)
        agreement = self.truths.agreement
        return of_rows(agreement["task"], agreement.get("classes") or [], truth, answers, scores)

    def _confusion(self, rows: Sequence[_Rows]) -> dict[str, int]:
        truth, answers, _ = _scored(rows)
        classes = self.truths.agreement.get("classes") or []
        return {
            f"{actual}/{answered}": int(np.count_nonzero((truth == i) & (answers == j)))
            for i, actual in enumerate(classes)
            for j, answered in enumerate(classes)
        }

    def _series(self, rows: Sequence[_Rows]) -> list[Series]:
        if self.truths.agreement["task"] != "anomaly":
            return []
        found = []
        for asset in sorted({one.frame.asset for one in rows}):
            of_it = sorted(
                (one for one in rows if one.frame.asset == asset), key=lambda one: one.frame.message.place
            )
            found.append(
                Series(
                    times_us=np.concatenate([one.frame.times_us for one in of_it]),
                    truth=np.concatenate([one.truth for one in of_it]),
                    answers=np.concatenate([one.answers for one in of_it]),
                )
            )
        return found

    def _slices(self, rows: Sequence[_Rows]) -> list[Json]:
        """The machines, where they are an agreed slice; others are not looked at here."""
        if [one["by"] for one in self.truths.agreement.get("slices") or []] != ["asset"]:
            return []
        found = []
        for asset in sorted({one.frame.asset for one in rows}):
            part = [one for one in rows if one.frame.asset == asset]
            states = sum((one.states() for one in part), Counter[str]())
            counts = {
                "rows_in": sum(states[name] for name in STATES),
                **{name: states[name] for name in STATES},
            }
            metrics = self._metrics(part) | of_events(self._series(part))
            # What ranks all rows by their scores is told of the whole alone.
            metrics.pop("average_precision", None)
            found.append(
                {"by": "asset", "value": asset, "counts": {**counts, "refused": 0}, "metrics": metrics}
            )
        return found


def _scored(rows: Sequence[_Rows]) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Truth, answers and scores of the rows that have label and answer; no scores where a row has none."""
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for one in rows:
        there = np.isfinite(one.answers) & ~np.isnan(one.truth)
        scores = np.full(there.size, np.nan) if one.scores is None else one.scores
        for part, values in zip(parts, (one.truth, one.answers, scores), strict=True):
            part.append(values[there])
    truth, answers, scores = (np.concatenate([np.empty(0), *part]) for part in parts)
    return truth, answers, None if np.isnan(scores).any() else scores


def quantile(values: Sequence[int], percent: int) -> int:
    """A quantile as it is published: the upper end of its bucket, of which there are eight a power of two."""
    value = sorted(values)[math.ceil(len(values) * percent / 100) - 1]
    step = max(0, value.bit_length() - 4)
    return (((value >> step) + 1) << step) - 1
