"""A pairing from its proposal to its settlement, by commands alone, while control is killed and doubled."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import yaml

from infra.faust_worker import BROKEN_WORLD
from infra.kafka import admin as kafka_admin
from schemas.events import (
    AuditReported,
    CapacityReported,
    DeploymentEnded,
    DeploymentStarted,
    Fact,
    RequestRefused,
)
from schemas.feeds import FEED_ITEM, FeedEvaluation, FeedFact, FeedVerdict
from schemas.requests import ConsentToAgreement, ProposePairing, StartTrial
from schemas.terms import Disclosed, Disclosure, Phases
from streams import topics
from streams.lifecycle import Installation
from tests.integration import commands
from tests.integration.commands import ROOT, Json, Ran, wait_for, worker_pid
from tests.integration.conftest import Shared
from tests.integration.plants import CENTRE, MAKER, RIVAL, STARTUP, Site, agreement

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

PAIRING = "whole-1"

#: Long enough for an objection and its resolution by commands, short enough to wait for.
OBJECTION_S = 45.0


@dataclass
class SecondControl:
    """Another control process beside the installation's own, started by mistake and kept running like it."""

    shared: Shared
    process: subprocess.Popen[bytes]
    stopped: bool = False

    @classmethod
    def started(cls, shared: Shared) -> SecondControl:
        return cls(shared, cls._launch(shared))

    @staticmethod
    def _launch(shared: Shared) -> subprocess.Popen[bytes]:
        told = shared.home.resolve() / "workers" / "control.json"
        with (shared.home / "logs" / "second-control.log").open("ab") as sink:
            return subprocess.Popen(
                [sys.executable, "-m", "infra.worker", str(told)],
                cwd=ROOT,
                env=commands.environment(shared.home),
                stdout=sink,
                stderr=sink,
            )

    def keep(self) -> None:
        """Start it again where it ended because it lost a message: nothing else may end it."""
        code = self.process.poll()
        if code is not None and not self.stopped:
            assert code == BROKEN_WORLD
            self.process = self._launch(self.shared)

    def stop(self) -> None:
        self.stopped = True
        self.process.kill()
        self.process.wait(20)


#: Facts that workers bring about: they come when they come.
REPORTS = ("deployment_started", "deployment_ended", "audit_reported", "capacity_reported")


@dataclass(kw_only=True)
class Story:
    """What was told along the way."""

    site: Site
    shared: Shared
    second: SecondControl
    timelines: dict[str, str] = field(default_factory=dict)
    while_paused: dict[str, int] = field(default_factory=dict)
    after_pause: int = 0
    models_kept: int = 0
    controls: set[int] = field(default_factory=set)
    again: list[Json] = field(default_factory=list)

    def run(self, *arguments: str, code: int = 0) -> Ran:
        done = commands.run(self.shared.home, *arguments, **self.shared.env)
        assert done.code == code, (arguments, done.out, done.err)
        return done

    def ask(self, *arguments: str, code: int = 0) -> Json:
        """A command that asks; its answer."""
        self.second.keep()
        return self.run(*arguments, "--json", code=code).records[-1]

    def phase(self, *wanted: str) -> str:
        def look() -> str | None:
            now = self.site.client.refresh().pairings.get(PAIRING)
            return now.phase if now is not None and now.phase in wanted else None

        found: str = wait_for(look, f"{PAIRING} {' or '.join(wanted)}")
        return found

    def kill_control(self) -> None:
        """SIGKILL; the next request finds the process that came in its place, or waits for it."""
        before = wait_for(self.control, "control")
        self.controls.add(before)
        os.kill(before, signal.SIGKILL)

    def control(self) -> int | None:
        """The installation's own control; the second one has the same command line."""
        told = str(self.shared.home.resolve() / "workers" / "control.json")
        for process in psutil.process_iter(["cmdline"]):
            line = process.info["cmdline"] or []
            if line[1:] == ["-m", "infra.worker", told] and process.pid != self.second.process.pid:
                return int(process.pid)
        return None

    def entries(self) -> int:
        return sum(
            kafka_admin.end_offsets(self.site.client.bootstrap, topics.ledger(self.site.name)).values()
        )

    def runners(self) -> list[int]:
        names = [f"runner.{one.id}" for one in self.site.client.refresh().pairings[PAIRING].present()]
        return [pid for name in names if (pid := worker_pid(self.shared.home, name)) is not None]


@pytest.fixture(scope="module")
def story(shared: Shared, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    site, root = shared.site("whole"), tmp_path_factory.mktemp("whole")
    second = SecondControl.started(shared)
    found = Story(site=site, shared=shared, second=second)
    try:
        agreed(found, root)
        rehearsed(found, models)
        tried(found, models)
        second.keep()
        second.stop()
        concluded(found)
        yield found
    finally:
        second.stop()


def agreed(story: Story, root: Path) -> None:
    """Proposed, amended, consented to by both; control dies between requests."""
    first = agreement(min_rows=4)
    terms = first.model_copy(
        update={
            "phases": Phases(rehearsal_rows=4),
            "disclosure": Disclosure(startup=Disclosed(what=("counts", "verdict"), every="live")),
            "objection_days": OBJECTION_S / 86_400,
        }
    )
    for name, one in (("first", first), ("terms", terms)):
        (root / f"{name}.yaml").write_text(
            yaml.safe_dump(one.to_dict(), allow_unicode=True), encoding="utf-8"
        )
    site = story.site
    proposing = ["--need", f"need-{site.name}", "--startup", STARTUP, "--agreement", str(root / "first.yaml")]
    story.ask("pairing", "propose", PAIRING, *proposing)
    story.kill_control()
    story.ask("pairing", "consent", PAIRING, "--as", MAKER, "--person", "Head of plant")
    story.ask(
        "pairing", "amend", str(root / "terms.yaml"), "--pairing", PAIRING, "--reason", "a rehearsal first"
    )
    # The hash that it read is no longer the one on the table.
    stale = ["--as", STARTUP, "--person", "CTO", "--hash", first.digest()]
    refused = story.ask("pairing", "consent", PAIRING, *stale, code=4)
    assert "fieldproof agreement show" in refused["body"]["reason"]
    story.ask("pairing", "consent", PAIRING, "--as", MAKER, "--person", "Head of plant")
    answer = story.ask("pairing", "consent", PAIRING, "--as", STARTUP, "--person", "CTO")
    story.again = [answer, story.ask("pairing", "consent", PAIRING, "--as", STARTUP, "--person", "CTO")]
    story.ask("pairing", "start", PAIRING, code=4)


def rehearsed(story: Story, models: Path) -> None:
    """The first candidate answers a rehearsal, which ends by itself after the agreed rows; it does not count."""
    site = story.site
    story.ask("pairing", "rehearse", PAIRING)
    site.submit(PAIRING, models / "threshold", "whole-a")
    site.frame("r-1", 0, [1, 1, 0, 0, 0])
    site.label("r-event", 0, 2, "anomaly")
    site.label("r-quiet", 2, 5, "normal")
    site.complete(5)
    story.kill_control()
    story.phase("agreed")


def tried(story: Story, models: Path) -> None:
    """Two candidates, one of them retired, and a plant that pauses."""
    site = story.site
    story.ask("pairing", "start", PAIRING)
    site.submit(PAIRING, models / "peak", "whole-b")
    site.frame("f-1", 100, [1, 1, 0, 0])
    for name in ("whole-a-v1", "whole-b-v1"):
        site.wait_counts(PAIRING, name, rows_in=4)
    story.ask("candidate", "retire", "whole-b-v1", "--pairing", PAIRING, "--reason", "a mistake in it")

    story.ask("plant", "pause", site.name, "--reason", "repairs")
    wait_for(lambda: not story.runners(), "the runners of the paused plant to end")
    story.while_paused["before"] = story.entries()
    site.frame("f-2", 200, [1, 0, 0, 0])
    # A label is written to the ledger by the scorer, which is not paused: it comes after the frame in time.
    site.label("event", 100, 102, "anomaly")
    site.wait_counts(PAIRING, "whole-a-v1", rows_in=4, scored=2)
    story.while_paused["after"] = story.entries()
    story.kill_control()
    story.ask("plant", "resume", site.name)
    story.after_pause = site.wait_counts(PAIRING, "whole-a-v1", rows_in=8).counts.rows_in
    story.ask("pairing", "end", PAIRING)
    site.label("event-2", 200, 201, "anomaly")
    site.label("quiet", 102, 200, "normal")
    site.label("quiet-2", 201, 300, "normal")
    site.complete(300)


def concluded(story: Story) -> None:
    """The verdicts, an objection with its resolution, and the settlement."""
    story.phase("objection_period")
    words = ["--person", "CTO", "--reason", "labels of row 3", "--as", STARTUP]
    story.ask("pairing", "object", PAIRING, *words)
    story.ask("pairing", "resolve", PAIRING, "dismissed", "--reason", "confirmed")
    kept = story.shared.home / "models" / "whole"
    story.models_kept = len(list(kept.iterdir()))
    story.phase("settled")
    wait_for(lambda: not any(kept.iterdir()), "the candidates' files to be removed at the settlement")
    story.ask("pairing", "follow-up", PAIRING, "contract", "--note", "two lines")
    for lang in ("ko", "en"):
        story.timelines[lang] = story.run("pairing", "timeline", PAIRING, "--lang", lang).out


def facts_of(story: Story) -> tuple[list[Fact], list[Fact]]:
    """Every record of the facts' topic, and those that count."""
    records = kafka_admin.read_all(story.site.client.bootstrap, topics.EVENTS)
    every = [Fact.model_validate_json(one.value or b"") for one in records]
    state = Installation()
    return every, [one for one in every if state.fold(one)]


def test_facts_are_numbered_without_a_gap_and_every_request_acted_once(story: Story) -> None:
    _, facts = facts_of(story)
    assert [one.number for one in facts] == list(range(1, len(facts) + 1))
    granted = [(one.party, one.request) for one in facts if not isinstance(one.body, RequestRefused)]
    assert len(set(granted)) == len(granted)
    kinds = [one.body.kind for one in facts if one.subject in (PAIRING, "whole")]
    assert [kind for kind in kinds if kind not in (*REPORTS, "request_refused")] == [
        "plant_admitted", "pairing_proposed", "consent_given", "agreement_amended", "consent_given", "consent_given",
        "rehearsal_started", "candidate_submitted", "rehearsal_ended", "rehearsal_reported",
        "trial_started", "candidate_submitted", "candidate_retired", "plant_paused", "plant_resumed", "trial_ended",
        "pairing_concluded", "objection_period_opened", "objection_raised", "objection_resolved", "pairing_settled",
        "follow_up_recorded",
    ]  # fmt: skip
    assert len(story.controls) == 3, "control was killed three times"


def test_the_workers_report_what_starts_and_ends(story: Story) -> None:
    facts = [one.body for one in facts_of(story)[1] if one.subject in (PAIRING, "whole")]
    deployments = story.site.client.refresh().pairings[PAIRING].deployments
    started = [one.deployment for one in facts if isinstance(one, DeploymentStarted)]
    ended = [one.deployment for one in facts if isinstance(one, DeploymentEnded)]
    assert set(started) == {one.id for one in deployments}
    assert sorted(ended) == sorted(one.id for one in deployments)
    # Loaded anew after the pause.
    assert started.count(f"{PAIRING}/whole-a-v1") == 2
    assert [one.alarms for one in facts if isinstance(one, AuditReported)] == [()]
    assert any(isinstance(one, CapacityReported) for one in facts)


def test_candidates_files_stay_until_the_settlement_and_no_longer(story: Story) -> None:
    assert story.models_kept == 2


def test_asking_again_gives_the_fact_that_granted_it(story: Story) -> None:
    first, second = story.again
    assert first["new"] and not second["new"]
    assert first["number"] == second["number"]


def test_a_paused_plant_gives_no_outcome_and_goes_on_afterwards(story: Story) -> None:
    # The label alone, and no answer of anyone to the frame.
    assert story.while_paused["after"] == story.while_paused["before"] + 1
    assert story.after_pause == 8


def test_a_retired_candidate_has_no_verdict_for_or_against_it_and_the_rehearsal_does_not_count(
    story: Story,
) -> None:
    verdicts = story.site.seen.verdicts("whole", PAIRING)
    assert {name: one.verdict for name, one in verdicts.items()} == {
        "whole-a-v1": "accepted",
        "whole-b-v1": "inconclusive",
    }
    assert verdicts["whole-a-v1"].evaluation.counts.rows_in == 8
    assert verdicts["whole-b-v1"].evaluation.counts.rows_in == 4
    rehearsal = story.site.client.refresh().pairings[PAIRING].rehearsal
    assert rehearsal is not None and rehearsal.passed and rehearsal.rows == 5


def feed(story: Story, party: str, least: Callable[[list[object]], bool]) -> list[object]:
    def look() -> list[object] | None:
        told = [FEED_ITEM.validate_python(one) for one in story.run("feed", party, "--json").records]
        of_it = [
            one
            for one in told
            if PAIRING in (getattr(one, "pairing", ""), getattr(getattr(one, "fact", None), "subject", ""))
        ]
        return of_it if least(of_it) else None

    found: list[object] = wait_for(look, f"the feed of {party}")
    return found


def complete(told: list[object]) -> bool:
    kinds = {one.fact.body.kind for one in told if isinstance(one, FeedFact)}
    return "follow_up_recorded" in kinds and len([one for one in told if isinstance(one, FeedVerdict)]) == 2


def test_the_start_up_sees_counts_and_verdicts_and_no_metrics(story: Story) -> None:
    told = feed(story, STARTUP, complete)
    evaluations = [one for one in told if isinstance(one, FeedEvaluation)]
    assert evaluations and all(
        one.counts is not None and one.metrics is None and one.confusion is None for one in evaluations
    )
    assert {one.candidate: one.verdict for one in told if isinstance(one, FeedVerdict)} == {
        "whole-a-v1": "accepted",
        "whole-b-v1": "inconclusive",
    }
    assert all(one.value is None for one in told if isinstance(one, FeedVerdict))
    refusals = [
        one.fact for one in told if isinstance(one, FeedFact) and isinstance(one.fact.body, RequestRefused)
    ]
    assert [one.party for one in refusals] == [STARTUP]


def test_the_manufacturer_sees_metrics_too_and_the_coordinator_the_usual(story: Story) -> None:
    for party in (MAKER, CENTRE):
        told = feed(story, party, complete)
        finals = [
            one
            for one in told
            if isinstance(one, FeedEvaluation) and one.final and one.candidate == "whole-a-v1"
        ]
        assert finals and finals[-1].metrics and finals[-1].metrics["f1"] == 1.0
        refused = [
            one.fact.party
            for one in told
            if isinstance(one, FeedFact) and one.fact.body.kind == "request_refused"
        ]
        assert set(refused) <= {party}


def test_a_rival_sees_nothing_of_it(story: Story) -> None:
    feed(story, STARTUP, complete)
    told = story.run("feed", RIVAL, "--json").out
    assert PAIRING not in told


def test_the_timeline_tells_the_story_in_both_languages(story: Story) -> None:
    korean, english = story.timelines["ko"], story.timelines["en"]
    for text in (
        "예행 통과",
        "후보 모델 whole-b-v1 철수",
        "판정이 확정됨",
        "CTO 이의 제기",
        "이의 기각",
        "실증을 시작함",
    ):
        assert text in korean, korean
    for text in (
        "the rehearsal passed on 5 rows",
        "retired candidate whole-b-v1",
        "CTO objected",
        "dismissed",
    ):
        assert text in english, english
    told = [sum(line.startswith(" 20") for line in text.splitlines()) for text in (korean, english)]
    assert told[0] == told[1] > 20


def kit_of(shared: Shared, folder: Path, *more: str) -> Json:
    """A kit of `kit-1`; the record of what was handed over, or why nothing was."""
    done = commands.run(
        shared.home, "pairing", "kit", "kit-1", "--to", str(folder), "--json", *more, **shared.env
    )
    assert done.code == 0, done.err
    assert [one["kind"] for one in done.records[:-1]] == ["written"] * (len(done.records) - 1)
    assert sorted(one["path"] for one in done.records[:-1]) == sorted(str(path) for path in folder.iterdir())
    return done.records[-1]


def test_a_kit_has_the_rows_from_before_the_trial_and_its_first_model_can_be_submitted(
    shared: Shared, tmp_path: Path
) -> None:
    site = shared.site("kit", partitions=2)
    for number in range(4):
        site.frame(f"history-{number}", 10 * number, [1.0] * 5 + [0.0] * 5)
        site.label(f"event-{number}", 10 * number, 10 * number + 5, "anomaly")
        site.label(f"quiet-{number}", 10 * number + 5, 10 * number + 8, "normal")
    terms = agreement().model_copy(update={"training_data": "extract"})
    proposed = ProposePairing(pairing="kit-1", need="need-kit", startup=STARTUP, agreement=terms)
    site.ask(CENTRE, proposed)

    early = kit_of(shared, tmp_path / "early")
    assert early["kind"] == "withheld" and f"the consent of {MAKER} and {STARTUP} is missing" in early["why"]
    assert (tmp_path / "early" / "train.py").is_file() and not (tmp_path / "early" / "extract.csv").exists()

    for party in (MAKER, STARTUP):
        site.ask(party, ConsentToAgreement(pairing="kit-1", agreement_digest=terms.digest(), person=party))
    before = kit_of(shared, tmp_path / "before")
    assert (before["kind"], before["rows"], before["labelled"]) == ("handed_over", 40, 32)

    site.ask(MAKER, StartTrial(pairing="kit-1"))
    site.frame("trial", 100, [1.0, 0.0])
    site.label("told-late", 0, 100, "normal")
    folder = tmp_path / "kit"
    given = kit_of(shared, folder)
    assert given == before, "what is handed over while the trial runs is what lay before it"
    assert hashlib.sha256((folder / "extract.csv").read_bytes()).hexdigest() == given["sha256"]
    newest = kit_of(shared, tmp_path / "newest", "--rows", "7")
    assert newest["rows"] == 7 and newest["sha256"] != given["sha256"]

    trained = subprocess.run(
        [sys.executable, "train.py"], cwd=folder, env=commands.environment(shared.home), check=False
    )
    assert trained.returncode == 0
    submitted = commands.run(
        shared.home, "candidate", "submit", "kit-1", str(folder / "my-model"), "--json", **shared.env
    )
    assert submitted.code == 0, submitted.err
    site.label("trial-event", 100, 101, "anomaly")
    site.label("trial-quiet", 101, 102, "normal")
    # The first model of the kit has learnt what is odd: the answers are right.
    found = site.wait_counts("kit-1", "my-model-v1", rows_in=2, scored=2)
    assert found.metrics["f1"] == 1.0

    again = commands.run(shared.home, "pairing", "kit", "kit-1", "--to", str(folder), **shared.env)
    assert again.code == 2 and "is not empty; name a new directory with --to" in again.err
