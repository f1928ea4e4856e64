"""A checker that does not trust the platform: it reads the topics and counts for itself.

It imports nothing of the platform. Which frames are due follows from the facts (where a trial began and ended) and the raw
telemetry; what became of them from its own walk over the ledger; the final evaluations are computed again in one go from
raw telemetry and labels, with NumPy and scikit-learn, and compared byte for byte after rounding.

    python -m tests.faults.checker --bootstrap 127.0.0.1:9092 --plant demo
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tests.faults.checker_facts import Pairing, pairings_of
from tests.faults.checker_ledger import Deployment, Place, Walk, sources
from tests.faults.checker_models import Answers, answers_of, model_of
from tests.faults.checker_records import Entry, Frame, Label, Mark, entries_of, frame_of, label_of
from tests.faults.checker_scores import Batch
from tests.faults.checker_topics import Json, Message, Records, read
from tests.faults.checker_truth import Truths

#: What is not computed again here, where an agreement asks for it.
UNCHECKED = ("input_drift", "error_drift", "decision")

#: A label that was sent so shortly before the close may have come too late for it.
CLOSE_MS = 2000


@dataclass(kw_only=True)
class Report:
    """What was found about one pairing."""

    pairing: str
    findings: list[str] = field(default_factory=list)
    figures: Counter[str] = field(default_factory=Counter)
    byte_equal: bool = True

    def found(self, text: str, *, figure: str | None = None, count: int = 1) -> None:
        """Note something that is wrong."""
        self.findings.append(text)
        if figure is not None:
            self.figures[figure] += count

    def to_dict(self) -> Json:
        names = ("deployments", "due", "outcomes", "lost", "twice", "duplicates_seen", "gaps", "labels", "labels_lost", "labels_twice")  # fmt: skip
        figures = {name: self.figures[name] for name in names}
        return {"pairing": self.pairing, "byte_equal": self.byte_equal, **figures, "findings": self.findings}


class Check:
    """One pairing held against what stands in the topics."""

    def __init__(self, records: Records, pairing: Pairing) -> None:
        self._records, self._pairing = records, pairing
        self.report = Report(pairing=pairing.name)
        self.walk = Walk.over(entries_of(records.ledger, pairing.name))
        self._frames = {one.place: frame_of(one) for one in records.telemetry}
        labels = [one.first_of(f"fp.labels.{records.plant}") for one in records.labels]
        told = [label_of(one, pairing.agreement) for one in labels if self._of_the_trial(one)]
        self._labels = [one for one in told if isinstance(one, Label)]
        self._marks = [one for one in told if isinstance(one, Mark)]

    def run(self) -> Report:
        """Look at everything."""
        self.report.findings += self.walk.odd
        if self.walk.closed is None:
            self.report.found("the ledger is not closed")
        self._check_facts()
        self._check_labels()
        for deployment in self.walk.judged():
            self._check_frames(deployment)
        self._check_counts()
        if self.walk.closed is not None:
            for deployment in self.walk.judged():
                self._check_scores(deployment)
        self.report.byte_equal = self.report.byte_equal and self.walk.closed is not None
        return self.report

    def _of_the_trial(self, message: Message) -> bool:
        return message.offset >= self._pairing.labels_from.get(message.partition, 0)

    # --- facts ----------------------------------------------------------------------------------------------------

    def _check_facts(self) -> None:
        pairing, judged = self._pairing, self.walk.judged()
        for one in judged:
            if one.starts != pairing.starts:
                self.report.found(f"{one.name} begins at {one.starts}, its trial at {pairing.starts}")
            if one.until != pairing.until and not one.started.told["baseline"]:
                self.report.found(f"{one.name} ends at {one.until}, its trial at {pairing.until}")
        subjects = {name for one in judged for name in one.subjects}
        wanted = {*pairing.candidates, *(one["name"] for one in pairing.agreement.get("baselines", []))}
        for name in sorted(wanted - subjects):
            self.report.found(f"{name} has no deployment that is judged")
        if pairing.alarms:
            self.report.found(f"the platform itself is alarmed: {pairing.alarms}")
        if pairing.concluded is None:
            self.report.found("no fact says that the pairing is concluded")
        self.report.figures["deployments"] = len(judged)

    # --- every due frame has one outcome --------------------------------------------------------------------------

    def _check_frames(self, one: Deployment) -> None:
        due = {place for place in self._frames if self._due(place, one)}
        lost, strange = sorted(due - set(one.outcomes)), sorted(set(one.outcomes) - due)
        if lost:
            text = f"{one.name}: {len(lost)} due frames have no outcome, the first at {lost[0]}"
            self.report.found(text, figure="lost", count=len(lost))
        for place in strange:
            self.report.found(f"{one.name}: the outcome for {place} is of no due frame", figure="twice")
        if not one.complete():
            self.report.found(f"{one.name}: its outcomes reach {one.expected}, its end is {one.until}")
        for place in sorted(due & set(one.outcomes)):
            self._check_outcome(one, self._frames[place], one.outcomes[place])
        self.report.figures.update(due=len(due), outcomes=len(one.outcomes))
        self.report.figures.update(duplicates_seen=one.duplicates, gaps=one.gaps)

    def _due(self, place: Place, one: Deployment) -> bool:
        partition, offset = place
        # Where it ended is the trial's to say; only a candidate that was retired has an end of its own.
        until = self._pairing.until or one.until or {}
        begins = self._pairing.starts.get(partition, 0)
        agreed = self._frames[place].asset in self._pairing.agreement["assets"]
        return begins <= offset < until.get(partition, 0) and agreed

    def _check_outcome(self, one: Deployment, frame: Frame, entry: Entry) -> None:
        """Whether an outcome is of the frame that it says."""
        told, wrong = entry.told, []
        wanted = {"asset": frame.asset, "frame": frame.ident, "appended_ms": frame.message.at_ms}
        wrong += [name for name, value in wanted.items() if told[name] != value]
        if frame.times_us is None:
            wrong += ["result"] if told["result"] in ("answered", "failed") else []
        elif told["result"] in ("answered", "failed"):
            same = np.array_equal(entry.columns["ts_us"], frame.times_us)
            wrong += [] if same and told["rows"] == frame.times_us.size else ["rows"]
        elif told["result"] == "unreadable":
            wrong.append("result")
        if wrong:
            self.report.found(
                f"{one.name}: the outcome for {frame.message.place} has another {', '.join(wrong)}"
            )

    # --- labels ---------------------------------------------------------------------------------------------------

    def _check_labels(self) -> None:
        """Every label and watermark stands in the ledger, and counts once."""
        found = sources(self.walk.labels) + sources(self.walk.marks_seen)
        raw = {one.message.place: one for one in (*self._labels, *self._marks)}
        for place in sorted(set(found) - set(raw)):
            self.report.found(
                f"the ledger has a label of {place}, and no label stands there", figure="labels_twice"
            )
        closed_ms = self.walk.closed.message.at_ms if self.walk.closed is not None else 0
        for place in sorted(set(raw) - set(found)):
            if raw[place].message.at_ms < closed_ms - CLOSE_MS:
                self.report.found(f"the label at {place} does not stand in the ledger", figure="labels_lost")
        for place, count in sources(self.walk.labels).items():
            if count > 1:
                self.report.found(f"the label at {place} counts {count} times", figure="labels_twice")
        for entry in self.walk.labels:
            source = entry.told["source"]
            label = raw.get((source["partition"], source["offset"]))
            if isinstance(label, Label) and not _same(entry, label):
                self.report.found(f"the ledger's label of {label.message.place} says something else")
        self.report.figures["labels"] = len(self.walk.labels)

    # --- evaluations ----------------------------------------------------------------------------------------------

    def _check_counts(self) -> None:
        """The law of counts holds in every evaluation that was ever published."""
        for told in self._evaluations():
            counts = dict(told["counts"])
            rows = counts.pop("rows_in")
            if rows != sum(counts.values()):
                where = f"{told['candidate']} at ledger offset {told['ledger_offset']}"
                self.report.found(f"the rows of {where} do not add up: {rows} came in, {counts}")

    def _evaluations(self) -> Iterator[Json]:
        key = f"{self._pairing.name}/"
        return (one.json() for one in self._records.evaluations if (one.key or "").startswith(key))

    def _check_scores(self, one: Deployment) -> None:
        answers = self._own_answers(one)
        self._check_answers(one, answers)
        there = set(sources(self.walk.labels) + sources(self.walk.marks_seen))
        truths = Truths(
            agreement=self._pairing.agreement,
            labels=[one for one in self._labels if one.message.place in there or not self._late(one.message)],
            marks=[one for one in self._marks if one.message.place in there or not self._late(one.message)],
        )
        batch = Batch(walk=self.walk, deployment=one, truths=truths, frames=self._frames, answers=answers)
        finals = {told["candidate"]: told for told in self._evaluations() if told["final"]}
        verdicts = {f"{name}": told for name, told in self._verdicts().items()}
        for subject in one.subjects:
            wanted = batch.evaluation(subject)
            self._compare(subject, finals.get(subject), wanted, "final evaluation")
            if not one.started.told["baseline"]:
                verdict = verdicts.get(subject)
                self._compare(subject, verdict and verdict["evaluation"], wanted, "verdict's evaluation")
                if verdict is not None and not verdict["recomputed_equal"]:
                    self.report.found(f"{subject}: the platform's own recomputation differed")

    def _late(self, message: Message) -> bool:
        assert self.walk.closed is not None
        return message.at_ms >= self.walk.closed.message.at_ms - CLOSE_MS

    def _verdicts(self) -> dict[str, Json]:
        told = (one.json() for one in self._records.verdicts)
        return {one["candidate"]: one for one in told if one["pairing"] == self._pairing.name}

    def _own_answers(self, one: Deployment) -> dict[str, Mapping[Place, Answers | None]]:
        due = [self._frames[place] for place in sorted(self._frames) if self._due(place, one)]
        tag = self._pairing.agreement["inputs"][0]
        found: dict[str, Mapping[Place, Answers | None]] = {}
        for subject in one.subjects:
            model = model_of(subject, self._pairing.agreement)
            if model is not None:
                found[subject] = answers_of(model, tag, due)
        return found

    def _check_answers(self, one: Deployment, answers: Mapping[str, Mapping[Place, Answers | None]]) -> None:
        """Whether the ledger holds what the models answer to the raw rows."""
        for at, subject in enumerate(one.subjects):
            for place, own in answers.get(subject, {}).items():
                entry = one.outcomes.get(place)
                if entry is None:
                    continue
                raised = entry.told.get("failure") == "error"
                if (own is None) != raised:
                    self.report.found(f"{subject}: the frame at {place} raised, or it did not")
                elif own is not None and entry.told["result"] == "answered":
                    rows, scores = entry.rows("answer")[at], entry.rows("score")
                    same = np.array_equal(rows, own[0], equal_nan=True)
                    if own[1] is not None:
                        same = same and scores.size > 0 and np.array_equal(scores[at], own[1], equal_nan=True)
                    if not same:
                        self.report.found(
                            f"{subject}: the frame at {place} has other answers than its model gives"
                        )

    def _compare(self, subject: str, told: Json | None, wanted: Json, what: str) -> None:
        if told is None:
            self.report.found(f"{subject} has no {what}")
            self.report.byte_equal = False
            return
        told = {name: value for name, value in told.items() if name not in UNCHECKED}
        if _bytes(told) == _bytes(wanted):
            return
        self.report.byte_equal = False
        for name in sorted(told.keys() | wanted.keys()):
            if _bytes(told.get(name)) != _bytes(wanted.get(name)):
                text = f"{subject}: {name} of the {what} is {told.get(name)}, recomputed {wanted.get(name)}"
                self.report.found(text)
        frames, due = told["audit"]["frames"], wanted["audit"]["frames"]
        if frames != due:
            text = f"{subject}: {frames} frames count instead of {due}"
            self.report.found(text, figure="lost" if frames < due else "twice", count=abs(frames - due))


def _same(entry: Entry, label: Label) -> bool:
    told = entry.told
    if told["asset"] != label.asset or told["id"] != label.ident:
        return False
    if told["source"]["appended_ms"] != label.message.at_ms:
        return False
    if label.times_us is not None and label.values is not None:
        same = np.array_equal(entry.columns["ts_us"], label.times_us)
        return same and np.array_equal(entry.columns["code"], label.values, equal_nan=True)
    if told.get("code") != label.value:
        return False
    return label.value is None or (told["start_us"], told["end_us"]) == (label.start_us, label.end_us)


def _bytes(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode()


def check(records: Records, pairing: str) -> Report:
    """Check one pairing."""
    return Check(records, pairings_of(records.events)[pairing]).run()


def check_all(records: Records) -> list[Report]:
    """Check every pairing of a plant whose trial is closed in its ledger."""
    closed = {one.key for one in records.ledger}
    return [check(records, name) for name in pairings_of(records.events) if name in closed]


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Check the ledger and the scores of a plant from its topics."
    )
    parser.add_argument("--bootstrap", help="the broker's address")
    parser.add_argument("--plant", help="the plant")
    parser.add_argument("--pairing", help="one pairing; every one of the plant if not given")
    parser.add_argument("--dump", type=Path, help="read this dump of the topics instead of a broker")
    given = parser.parse_args()
    records = Records.load(given.dump) if given.dump else read(given.bootstrap, given.plant)
    reports = [check(records, given.pairing)] if given.pairing else check_all(records)
    for report in reports:
        print(json.dumps(report.to_dict(), ensure_ascii=False))
    raise SystemExit(1 if any(report.findings for report in reports) else 0)


if __name__ == "__main__":
    main()
