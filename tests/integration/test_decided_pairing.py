"""A pairing that units decide, from its rehearsal to its verdicts, on a real broker: two machines, two candidates, late labels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.kafka import admin as kafka_admin
from models.decision import UNIT, Gains, bounds
from schemas.agreement import Acceptance, Agreement, Baseline, LabelRule
from schemas.baselines import Rule
from schemas.evaluation import Evaluation, Outcome, Verdict
from schemas.feeds import FEED_ITEM, FeedEvaluation, FeedVerdict
from schemas.pairing import Pairing, Rehearsal
from schemas.requests import StartRehearsal, StartTrial
from schemas.slices import Slice
from schemas.terms import Cost, Decision, DecisionUnit, Disclosed, Disclosure, Phases
from streams import topics
from streams.envelope import ARROW, FRAME, FRAME_HEADER, LABEL, headers
from streams.frames import encode_frame
from tests.integration import commands
from tests.integration.commands import wait_for
from tests.integration.conftest import Shared
from tests.integration.plants import BEGIN_US, CENTRE, MAKER, SECOND_US, STARTUP, Site

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

PAIRING, GOOD, BAD = "decided-1", "decided-good-v1", "decided-bad-v1"
ASSETS = ("m1", "m2")
#: Five minutes a frame, a row every five seconds, one event of five rows in each minute.
MINUTES, ROWS, STEP_S, EVENT = 5, 12, 5, 5
#: Frames of each machine in the rehearsal and in the trial, and when they begin.
REHEARSED, TRIED, TRIAL_S = 4, 6, 7200
PLANNED, LEAST = 40, 12
#: Who has to be beaten: what the plant does today, and the best constant answer.
RIVALS = ("plant-rule", "always normal")
#: Long enough for the labels to be sent, short enough to wait for.
DEADLINE_S = 40.0


def agreed() -> Agreement:
    """Everything that an agreement on anomalies can say about its scores."""
    return Agreement(
        task="anomaly",
        assets=ASSETS,
        inputs=("x",),
        labels=LabelRule(deadline_days=DEADLINE_S / 86_400, absent_means="normal"),
        baselines=(
            Baseline(name="nothing", answer="normal"),
            Baseline(name="always", answer="anomaly"),
            Baseline(name="chance", answer="normal", kind="random", shares={"anomaly": 0.4}),
            Baseline(name="best", answer="normal", kind="best_constant"),
            # Hears the loud events alone.
            Baseline(name="plant-rule", answer="normal", rule=Rule(tag="x", above=0.9)),
        ),
        acceptance=Acceptance(metric="f1", at_least=0.5, min_rows=ROWS),
        slices=(
            Slice(by="asset"),
            Slice(by="shift", starts=(0, 8)),
            Slice(by="tag", tag="x", cuts=(0.2, 0.6)),
        ),
        cost=Cost(false_alarm=20_000, missed=500_000),
        decision=Decision(
            unit=DecisionUnit(minutes=1),
            planned_units=PLANNED,
            slots=2,
            early=True,
            least_units=LEAST,
            incumbent="plant-rule",
        ),
        phases=Phases(rehearsal_rows=REHEARSED * MINUTES * ROWS * len(ASSETS)),
        disclosure=Disclosure(
            startup=Disclosed(what=("counts", "metrics", "verdict"), every="daily"),
            coordinator=Disclosed(what=("counts", "metrics", "verdict"), every="live"),
        ),
    )


@dataclass(frozen=True, kw_only=True)
class Sent:
    """A frame as it was sent, and what really happened in it."""

    ident: str
    asset: str
    start_s: int
    x: np.ndarray
    truth: np.ndarray

    @property
    def times_us(self) -> np.ndarray:
        return BEGIN_US + (self.start_s + STEP_S * np.arange(self.x.size)) * SECOND_US

    def events(self) -> list[tuple[int, int]]:
        """Of each event its first second and the first after it."""
        ends = np.flatnonzero(np.diff(self.truth, prepend=0, append=0)).reshape(-1, 2)
        return [(self.start_s + STEP_S * int(a), self.start_s + STEP_S * int(b)) for a, b in ends]


def drawn(name: str, frames: int, begin_s: int, shift: float) -> list[Sent]:
    """What both machines do, by turns: quiet rows up to 0.3 and a shift, events at 0.7, every eighth one at 0.95."""
    random, found = np.random.default_rng([5, begin_s]), []
    for i in range(frames):
        for asset in ASSETS:
            truth, loud = [], []
            for minute in range(MINUTES):
                first = int(random.integers(0, ROWS - EVENT))
                rows = np.arange(ROWS)
                truth.append((rows >= first) & (rows < first + EVENT))
                loud.append(np.full(ROWS, 0.95 if (i + minute) % 8 == 0 else 0.7))
            happened = np.concatenate(truth)
            quiet = random.uniform(0, 0.3, happened.size) + shift
            found.append(
                Sent(
                    ident=f"{name}-{asset}-{i}",
                    asset=asset,
                    start_s=begin_s + i * MINUTES * 60,
                    x=np.where(happened, np.concatenate(loud), quiet),
                    truth=happened.astype(np.int64),
                )
            )
    return found


@dataclass(kw_only=True)
class Story:
    """What was told along the way."""

    site: Site
    shared: Shared
    frames: list[Sent] = field(default_factory=list)
    rehearsal: Rehearsal | None = None
    #: With the labels of the first machine alone; before and after a correction in time; after one that came too late.
    half: Evaluation | None = None
    before: Evaluation | None = None
    corrected: Evaluation | None = None
    late: Evaluation | None = None
    verdicts: dict[str, Verdict] = field(default_factory=dict)

    def pairing(self) -> Pairing:
        return self.site.client.refresh().pairings[PAIRING]

    def send(self, frames: list[Sent]) -> None:
        for one in frames:
            value = encode_frame(one.times_us, {"x": one.x})
            listed = headers(FRAME, source="/test", ident=one.ident, content=ARROW)
            self.site.raw(topics.telemetry(self.site.name), one.asset, value, listed)

    def label_frame(self, ident: str, one: Sent, *, named: bool) -> None:
        """The labels of a frame's rows, which it names or whose times it gives."""
        listed = headers(LABEL, source="/test", ident=ident, content=ARROW)
        if named:
            listed = [*listed, (FRAME_HEADER, one.ident.encode())]
        value = encode_frame(one.times_us, {"value": one.truth})
        self.site.raw(topics.labels(self.site.name), one.asset, value, listed)

    def run(self, *arguments: str) -> commands.Ran:
        done = commands.run(self.shared.home, *arguments, **self.shared.env)
        assert done.code == 0, (arguments, done.out, done.err)
        return done

    def wait(self, look: Any, what: str) -> Evaluation:
        """The good candidate's latest evaluation, once it is as it should be."""

        def found() -> Evaluation | None:
            latest = self.site.latest(PAIRING, GOOD)
            return latest if latest is not None and latest.phase == "trial" and look(latest) else None

        told: Evaluation = self.site.seen.wait(found, what)
        assert told.counts.hold()
        return told


@pytest.fixture(scope="module")
def story(shared: Shared, models: Path) -> Iterator[Story]:
    site = shared.site("decided", assets=ASSETS, partitions=2)
    found = Story(site=site, shared=shared)
    site.propose(PAIRING, agreed())
    rehearsed(found, models)
    tried(found)
    concluded(found)
    yield found


def rehearsed(story: Story, models: Path) -> None:
    """Both candidates answer a rehearsal, which ends by itself after the agreed rows."""
    site = story.site
    site.ask(MAKER, StartRehearsal(pairing=PAIRING))
    site.submit(PAIRING, models / "threshold", "decided-good")
    site.submit(PAIRING, models / "peak", "decided-bad")
    frames = drawn("rehearsal", REHEARSED, 0, 0.0)
    story.send(frames)
    for one in frames:
        for begin_s, end_s in one.events():
            site.label(f"{one.ident}-{begin_s}", begin_s, end_s, "anomaly", asset=one.asset)
    for asset in ASSETS:
        site.complete(REHEARSED * MINUTES * 60, asset=asset)
    story.rehearsal = wait_for(lambda: story.pairing().rehearsal, "the rehearsal's report")
    assert story.rehearsal is not None
    assert story.rehearsal.passed, story.rehearsal


def tried(story: Story) -> None:
    """The trial: labels machine by machine and in every form, corrections in time, and one that comes too late."""
    site = story.site
    site.ask(MAKER, StartTrial(pairing=PAIRING))
    frames = drawn("trial", TRIED, TRIAL_S, 0.15)
    end_s = TRIAL_S + TRIED * MINUTES * 60
    # Of the last minute nobody ever says anything.
    silent = Sent(ident="silent", asset="m2", start_s=end_s, x=np.array([0.7]), truth=np.array([1]))
    story.frames = [*frames, silent]
    story.send(story.frames)
    rows = sum(one.x.size for one in story.frames)
    labelled = {asset: sum(one.x.size for one in frames if one.asset == asset) for asset in ASSETS}

    first, second = ([one for one in frames if one.asset == asset] for asset in ASSETS)
    for one in first:
        for begin_s, until_s in one.events():
            site.label(f"{one.ident}-{begin_s}", begin_s, until_s, "anomaly", asset=one.asset)
    # One event is told two rows too long.
    begin_s, until_s = first[1].events()[1]
    site.label("mistaken", begin_s, until_s + 2 * STEP_S, "anomaly", asset="m1")
    site.complete(end_s, asset="m1")
    story.half = story.wait(
        lambda one: (one.counts.rows_in, one.counts.scored) == (rows, labelled["m1"]),
        "all rows, and the first machine's labels",
    )

    for i, one in enumerate(second):
        story.label_frame(f"told-{one.ident}", one, named=i % 2 == 0)
    site.complete(end_s, asset="m2")
    story.before = story.wait(lambda one: one.counts.scored == rows - 1, "the second machine's labels")
    site.label("mistaken", begin_s, until_s, "anomaly", asset="m1")
    story.corrected = story.wait(
        lambda one: one.audit.corrected > story.before.audit.corrected,  # type: ignore[union-attr]
        "the correction",
    )
    # The deadline has passed when nothing waits any more.
    story.wait(lambda one: one.counts.unlabelled == 1, "the deadline of the last frame")
    lost_s, _ = first[2].events()[0]
    site.withdraw(f"{first[2].ident}-{lost_s}", asset="m1")
    story.late = story.wait(lambda one: one.audit.labels_late, "the correction that came too late")


def concluded(story: Story) -> None:
    """The end, and what is published with it."""
    story.site.end(PAIRING)
    story.verdicts = {name: story.site.verdict(PAIRING, name) for name in (GOOD, BAD)}


# --- the rehearsal ----------------------------------------------------------------------------------------------------


def test_the_rehearsal_says_whether_units_and_rule_may_stand_and_which_constant_is_best(story: Story) -> None:
    found = story.rehearsal
    assert found is not None
    assert (found.rows, found.labelled, found.answered) == (480, 1.0, 1.0)
    # Seven of twelve rows are normal.
    assert found.constant == 0.0
    assert found.units is not None and found.units.units >= 38
    assert found.check is not None and found.check.passed and found.check.units == PLANNED
    known = {one.name: one for one in found.check.detectors}
    assert known["oracle"].accepted >= 0.8
    assert all(one.headroom >= 0 for one in known.values())
    # The good candidate is expected to need about as many units as it then does; the other is not to be accepted.
    assert set(found.needed) == {GOOD, BAD} and found.needed[BAD] is None
    assert found.needed[GOOD] is not None and LEAST <= found.needed[GOOD] <= PLANNED
    assert f"units needed at these rates: {BAD} –, {GOOD} {found.needed[GOOD]}" in story.run(
        "pairing", "timeline", PAIRING, "--lang", "en"
    ).out.replace("\n", " ")
    # What is frozen goes into the trial: the best constant is a rival.
    decision = story.verdicts[GOOD].decision
    assert decision is not None
    assert tuple(one.rival for one in decision.comparisons) == RIVALS


# --- the verdicts -----------------------------------------------------------------------------------------------------


def test_the_better_candidate_is_accepted_early_with_a_guarantee_and_the_worse_one_is_not(
    story: Story,
) -> None:
    good, bad = story.verdicts[GOOD], story.verdicts[BAD]
    assert (good.verdict, good.guarantee) == (Outcome.ACCEPTED, "anytime_valid")
    assert good.decision is not None and good.decision.fell_at == good.decision.units
    assert LEAST <= good.decision.units < PLANNED
    assert (bad.verdict, bad.guarantee) == (Outcome.INCONCLUSIVE, "anytime_valid")
    assert bad.decision is not None and (bad.decision.units, bad.decision.fell_at) == (PLANNED, None)
    assert good.ranking is not None and good.ranking.winner == GOOD
    assert [(one.better, one.worse) for one in good.ranking.preferences] == [(GOOD, BAD)]
    assert good.ranking == bad.ranking


def gains(story: Story) -> dict[str, list[int]]:
    """What the good candidate gained on each rival, block by block: counted plainly, from what was sent."""
    when = {
        one.ident: (one.timestamp_ms, one.partition, one.offset)
        for one in kafka_admin.read_all(story.site.client.bootstrap, topics.telemetry(story.site.name))
    }
    blocks: list[dict[str, Any]] = []
    present: dict[str, dict[str, Any]] = {}
    for one in story.frames:
        for row, (time_us, x, truth) in enumerate(zip(one.times_us.tolist(), one.x, one.truth, strict=True)):
            minute, known = time_us // (60 * SECOND_US), present.get(one.asset)
            if known is None or known["minute"] != minute:
                if known is not None:
                    known["place"] = (*when[one.ident], row)
                known = {
                    "minute": minute,
                    "rows": 0,
                    "plant-rule": 0,
                    "always normal": 0,
                    "good": 0,
                    "place": None,
                }
                present[one.asset] = known
                blocks.append(known)
            known["rows"] += 1
            for name, answer in (("plant-rule", x > 0.9), ("always normal", False), ("good", x > 0.5)):
                known[name] += answer != truth
    whole = sorted((one for one in blocks if one["place"]), key=lambda one: one["place"])

    def lost(name: str) -> list[int]:
        return [int(one[name]) * UNIT // one["rows"] for one in whole]

    return {name: [a - b for a, b in zip(lost(name), lost("good"), strict=True)] for name in RIVALS}


def test_the_bounds_are_those_of_the_blocks_in_the_telemetry_s_order(story: Story) -> None:
    plain, decision = gains(story), story.verdicts[GOOD].decision
    assert decision is not None

    def after(k: int) -> list[Any]:
        return [bounds(Gains.of(plain[name][:k]), planned=PLANNED, alpha=Decimal("0.025")) for name in RIVALS]

    fell = next(k for k in range(LEAST, PLANNED + 1) if all(one.lower > 0 for one in after(k)))
    assert decision.fell_at == fell
    told = [(one.lower, one.upper) for one in decision.comparisons]
    assert told == [(one.lower / UNIT, one.upper / UNIT) for one in after(fell)]


# --- labels -----------------------------------------------------------------------------------------------------------


def by_asset(one: Evaluation) -> dict[str, Any]:
    return {part.value: part.counts for part in one.slices if part.by == "asset"}


def test_each_machine_has_a_watermark_of_its_own(story: Story) -> None:
    assert story.half is not None
    counts = by_asset(story.half)
    assert (counts["m1"].scored, counts["m1"].awaiting_label) == (360, 0)
    assert (counts["m2"].scored, counts["m2"].awaiting_label) == (0, 361)


def test_a_correction_in_time_changes_its_rows_and_one_that_is_late_only_the_record(story: Story) -> None:
    before, after, late = story.before, story.corrected, story.late
    assert before is not None and after is not None and late is not None
    assert before.confusion == {
        **after.confusion,
        "anomaly/normal": 2,
        "normal/normal": after.confusion["normal/normal"] - 2,
    }
    assert after.metrics["f1"] == 1.0
    assert after.labels is not None and late.labels is not None
    assert after.labels.corrections == {"anomaly/normal": 2}
    assert (after.audit.corrected, after.audit.labels_late) == (2, 0)
    # What comes too late is recorded, and moves nothing else.
    assert (late.audit.corrected, late.audit.labels_late) == (2, 1)
    same = {"counts", "confusion", "metrics", "cost", "slices", "decision", "error_drift", "labels"}
    at_deadline = late.model_copy(
        update={"counts": after.counts, "slices": after.slices, "decision": after.decision}
    )
    assert at_deadline.model_dump(include=same) == after.model_dump(include=same)
    told = story.verdicts[GOOD].corrections
    assert told is not None
    # The candidate had been right all along.
    assert (told.toward, told.away, told.with_late) == (2, 0, Outcome.ACCEPTED)
    final = story.verdicts[GOOD].evaluation
    assert (final.metrics["f1"], final.audit.labels_late, final.counts.unlabelled) == (1.0, 1, 1)


def test_the_history_shows_both_corrections_to_people_and_programs(story: Story) -> None:
    known = story.run("label", "history", PAIRING, "--json").records
    assert [(one["asset"], one["label"], one["changed"], one["late"]) for one in known] == [
        ("m1", "mistaken", {"anomaly/normal": 2}, {}),
        ("m1", known[1]["label"], {}, {"anomaly/normal": 5}),
    ]
    korean, english = (story.run("label", "history", PAIRING, "--lang", lang).out for lang in ("ko", "en"))
    assert "anomaly → normal: 2" in korean and "기한이 지나 반영하지 않음" in korean
    assert "counted" in english and "too late, changes nothing" in english


# --- figures beside the scores ----------------------------------------------------------------------------------------


def test_the_parts_of_every_slice_add_up_to_the_whole(story: Story) -> None:
    for verdict in story.verdicts.values():
        final = verdict.evaluation
        assert {one.by for one in final.slices} == {"asset", "shift", "x"}
        for by in ("asset", "shift", "x"):
            parts = [one for one in final.slices if one.by == by]
            assert len(parts) > 1 or by == "shift"
            for name, count in final.counts.model_dump().items():
                assert sum(getattr(one.counts, name) for one in parts) == count, (by, name)
            right = sum(one.metrics["accuracy"] * one.counts.scored for one in parts)
            assert right == pytest.approx(final.metrics["accuracy"] * final.counts.scored)


def test_costs_are_in_won_and_drift_is_told_against_the_rehearsal(story: Story) -> None:
    good, bad = (story.verdicts[name].evaluation for name in (GOOD, BAD))
    assert good.cost is not None and bad.cost is not None
    assert (good.cost.currency, good.cost.amount) == ("KRW", 0)
    wrong = bad.confusion
    assert bad.cost.amount == 20_000 * wrong["normal/anomaly"] + 500_000 * wrong["anomaly/normal"]
    assert good.input_drift is not None
    assert good.input_drift.reference == "rehearsal"
    (drift,) = good.input_drift.tags
    assert (drift.tag, drift.rows) == ("x", 721)
    # Quiet rows have moved by half of their width.
    assert drift.psi > 0.25 and drift.ks > 0.15


def test_every_baseline_is_scored_on_the_same_rows(story: Story) -> None:
    def final(name: str) -> Evaluation:
        told = story.site.seen.evaluations(story.site.name, PAIRING, name)
        return next(one for one in reversed(told) if one.final)

    named = {name: final(name) for name in ("nothing", "always", "chance", "best", "plant-rule")}
    rows = {one.counts.scored for one in named.values()}
    assert rows == {story.verdicts[GOOD].evaluation.counts.scored}
    assert named["best"].confusion == named["nothing"].confusion
    assert named["always"].metrics["recall"] == 1.0
    assert 0.3 < named["chance"].metrics["recall"] < 0.5
    assert named["plant-rule"].metrics["precision"] == 1.0 and named["plant-rule"].metrics["recall"] < 0.5


# --- how often --------------------------------------------------------------------------------------------------------


def test_the_plant_publishes_no_more_than_once_a_second_for_each_candidate(story: Story) -> None:
    records = list(story.site.seen.of(topics.evaluations("decided")))
    for name in (GOOD, BAD, "plant-rule"):
        key = f"{PAIRING}/{name}".encode()
        times = [
            one.timestamp_ms
            for one in records
            if one.key == key and not json.loads(one.value or b"")["final"]
        ]
        assert len(times) > 3
        # How long the first took to the broker is all that the gaps may lack together.
        assert len(times) - 1 <= (times[-1] - times[0]) / 1000 + 2


def of_feed(story: Story, party: str) -> list[Any]:
    def look() -> list[Any] | None:
        told = [FEED_ITEM.validate_python(one) for one in story.run("feed", party, "--json").records]
        mine = [one for one in told if getattr(one, "pairing", None) == PAIRING]
        return mine if sum(isinstance(one, FeedVerdict) for one in mine) == 2 else None

    found: list[Any] = wait_for(look, f"the feed of {party}")
    return found


def test_a_party_that_is_told_daily_gets_the_first_of_the_day_and_the_close(story: Story) -> None:
    daily, live = of_feed(story, STARTUP), of_feed(story, CENTRE)
    for name in (GOOD, BAD):
        told = [one for one in daily if isinstance(one, FeedEvaluation) and one.candidate == name]
        days = [one.at.date() for one in told if not one.final]
        assert len(days) == len(set(days))
        assert [one.final for one in told].count(True) == 1 and told[-1].final
        every = [one for one in live if isinstance(one, FeedEvaluation) and one.candidate == name]
        published = story.site.seen.evaluations(story.site.name, PAIRING, name)
        assert len(every) == len({(one.ledger_offset, one.final) for one in published})
    assert {one.candidate: one.verdict for one in daily if isinstance(one, FeedVerdict)} == {
        GOOD: Outcome.ACCEPTED,
        BAD: Outcome.INCONCLUSIVE,
    }


# --- told to people ---------------------------------------------------------------------------------------------------


def test_the_verdicts_are_explained_and_drawn_with_the_numbers_of_their_records(
    story: Story, tmp_path: Path
) -> None:
    home, env, out = story.shared.home, story.shared.env, tmp_path / "report.html"
    shown = commands.run(home, "verdict", "show", PAIRING, "--json", **env)
    assert shown.code == 0, shown.err
    told = {one["candidate"]: one for one in shown.records}
    assert {name: one["verdict"]["verdict"] for name, one in told.items()} == {
        name: verdict.verdict for name, verdict in story.verdicts.items()
    }
    assert told[GOOD]["recomputed_equal"] is True
    words = commands.run(home, "verdict", "show", PAIRING, "--candidate", GOOD, "--lang", "ko", **env)
    page = commands.run(home, "report", PAIRING, "--out", str(out), "--lang", "ko", **env)
    assert (words.code, page.code) == (0, 0), words.err + page.err
    decision = story.verdicts[GOOD].decision
    assert decision is not None
    text = out.read_text(encoding="utf-8")
    for one in decision.comparisons:
        for bound in (one.lower, one.upper):
            assert f"{bound:+.6f}" in words.out
            assert f"{bound:+.6f}" in text
    assert "합격" in words.out and BAD not in words.out
    assert '<html lang="ko">' in text and "<script" not in text


def test_a_start_up_s_report_shows_what_its_agreement_shows_it(story: Story, tmp_path: Path) -> None:
    home, env, out = story.shared.home, story.shared.env, tmp_path / "report.html"
    ran = commands.run(home, "report", PAIRING, "--out", str(out), "--as", STARTUP, "--lang", "en", **env)
    assert ran.code == 0, ran.err
    assert "as far as the agreement lets it see" in out.read_text(encoding="utf-8")
    stranger = commands.run(home, "report", PAIRING, "--out", str(out), "--as", "nobody", **env)
    assert stranger.code == 2
    assert "has no share" in stranger.err


# --- numbers ----------------------------------------------------------------------------------------------------------


def numbers() -> Agreement:
    """A number to be told, one machine, and the baselines that only numbers have."""
    return Agreement(
        task="regression",
        assets=("m1",),
        inputs=("x",),
        target="state",
        labels=LabelRule(deadline_days=DEADLINE_S / 86_400),
        baselines=(
            Baseline(name="quarter", answer=0.25),
            Baseline(name="best", answer=0.5, kind="best_constant"),
            Baseline(name="last", answer=0.0, kind="last", tag="x"),
            Baseline(name="average", answer=0.0, kind="average", tag="x", rows=3),
        ),
        acceptance=Acceptance(metric="mae", at_most=0.1, min_rows=ROWS),
        decision=Decision(unit=DecisionUnit(minutes=1), planned_units=40, slots=1, loss_cap=0.5),
        phases=Phases(rehearsal_rows=REHEARSED * MINUTES * ROWS),
    )


def test_a_decision_on_numbers_has_baselines_of_its_own(shared: Shared, models: Path) -> None:
    site, pairing, name = shared.site("decided-n"), "decided-n-1", "decided-n-v1"
    story = Story(site=site, shared=shared)
    site.propose(pairing, numbers())
    site.ask(MAKER, StartRehearsal(pairing=pairing))
    site.submit(pairing, models / "threshold", "decided-n")

    def play(phase: str, frames: int, begin_s: int) -> list[Sent]:
        found = [one for one in drawn(phase, frames, begin_s, 0.0) if one.asset == "m1"]
        story.send(found)
        for one in found:
            story.label_frame(f"told-{one.ident}", one, named=False)
        return found

    play("rehearsal", REHEARSED, 0)
    report: Rehearsal = wait_for(lambda: site.client.refresh().pairings[pairing].rehearsal, "the report")
    assert report.passed, report
    assert report.constant == 0.0

    site.ask(MAKER, StartTrial(pairing=pairing))
    frames = play("trial", 9, TRIAL_S)
    site.wait_counts(pairing, name, scored=9 * MINUTES * ROWS)
    site.end(pairing)
    verdict = site.verdict(pairing, name)
    assert (verdict.verdict, verdict.guarantee) == (Outcome.ACCEPTED, "anytime_valid")
    assert verdict.decision is not None
    assert [one.rival for one in verdict.decision.comparisons] == [
        "quarter",
        "best",
        "last",
        "average",
        "always 0",
    ]

    x, truth = (np.concatenate([getattr(one, key) for one in frames]) for key in ("x", "truth"))
    back = [np.concatenate([np.full(age, np.nan), x[: x.size - age]]) for age in range(3)]
    answers = {"quarter": 0.25, "best": 0.0, "last": x, "average": np.nanmean(back, axis=0)}
    finals = {one.candidate: one for one in site.seen.evaluations(site.name, pairing, name) if one.final}
    for baseline, answer in answers.items():
        told = site.seen.evaluations(site.name, pairing, baseline)
        finals[baseline] = next(one for one in reversed(told) if one.final)
        assert finals[baseline].metrics["mae"] == pytest.approx(
            float(np.mean(np.abs(answer - truth))), rel=1e-8
        )
