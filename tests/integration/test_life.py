"""The life of a pairing on a real broker: labels that come late, deadlines, misbehaviour, and processes that are killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
from mlflow.tracking import MlflowClient

from infra.kafka import admin as kafka_admin
from infra.kafka.groups import runner_group, scorer_group
from schemas.ledger import Ended
from streams import topics
from streams.ledger_codec import decode
from tests.integration.commands import wait_for, worker_pid
from tests.integration.conftest import Shared
from tests.integration.plants import Site, agreement, settled

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def kill(shared: Shared, worker: str) -> int:
    """SIGKILL to a worker; returns the id of the process that came in its place."""
    before = wait_for(lambda: worker_pid(shared.home, worker), f"the process of {worker}")
    os.kill(before, signal.SIGKILL)

    def replaced() -> int | None:
        now = worker_pid(shared.home, worker)
        return now if now != before else None

    found: int = wait_for(replaced, f"a new process of {worker}")
    return found


def wait_until_taken(site: Site, group: str, topic: str) -> None:
    """Return once a worker's group has committed everything that stands in a topic: nothing will be handed out again."""

    def taken() -> bool:
        ends = kafka_admin.end_offsets(site.client.bootstrap, topic)
        there = kafka_admin.group_offsets(site.client.bootstrap, group)
        return all(there.get((topic, partition), 0) >= end for partition, end in ends.items())

    wait_for(taken, f"{group} to take {topic}")


def ended(site: Site) -> int:
    """Deployments whose end stands in the ledger."""
    records = kafka_admin.read_all(site.client.bootstrap, topics.ledger(site.name))
    return sum(isinstance(decode(record), Ended) for record in records)


def test_labels_that_come_late_are_corrected_and_taken_back_move_the_scores(
    shared: Shared, models: Path
) -> None:
    site = shared.site("life-labels")
    site.open("labels-1", agreement())
    submitted = site.submit("labels-1", models / "threshold", "labels")
    name = submitted.candidate.id
    # Seconds 0–4 raise an alarm, 5–9 do not.
    site.frame("f-1", 0, [1, 1, 1, 1, 1, 0, 0, 0, 0, 0])
    site.wait_counts("labels-1", name, rows_in=10, awaiting_label=10)

    site.label("event", 0, 6, "anomaly")
    found = site.wait_counts("labels-1", name, scored=6, awaiting_label=4)
    assert (found.confusion["anomaly/anomaly"], found.confusion["anomaly/normal"]) == (5, 1)

    site.label("event", 0, 4, "anomaly")  # the same label, corrected: shorter
    found = site.wait_counts("labels-1", name, scored=4, awaiting_label=6)
    assert (found.confusion["anomaly/anomaly"], found.confusion["anomaly/normal"]) == (4, 0)
    assert found.audit.corrected == 2

    site.withdraw("event")
    site.wait_counts("labels-1", name, scored=0, awaiting_label=10)

    site.label("event", 0, 4, "anomaly")
    site.label("quiet", 4, 8, "normal")
    site.complete(9)
    found = site.wait_counts("labels-1", name, scored=8, unlabelled=1, awaiting_label=1)
    assert found.confusion == {
        "normal/normal": 3, "normal/anomaly": 1, "anomaly/normal": 0, "anomaly/anomaly": 4,
    }  # fmt: skip
    site.end("labels-1")
    site.complete(10)
    verdict = site.verdict("labels-1", name)
    assert settled(verdict.evaluation.counts) == {"rows_in": 10, "scored": 8, "unlabelled": 2}
    assert verdict.verdict == "accepted"
    assert verdict.evaluation.metrics["f1"] == pytest.approx(8 / 9)

    # The final evaluation stands in MLflow, with the run that the model came from.
    client = MlflowClient(shared.record["mlflow"])
    run_id = submitted.candidate.run_id
    assert run_id is not None
    wait_for(lambda: "fieldproof.labels-1.chain" in client.get_run(run_id).data.tags, "the verdict in MLflow")
    tags = client.get_run(run_id).data.tags
    assert tags["fieldproof.labels-1.chain"] == verdict.evaluation.chain
    assert tags["fieldproof.labels-1.verdict"] == "accepted"
    history = client.get_metric_history(run_id, "fieldproof.labels-1.f1")
    assert [one.value for one in history] == [verdict.evaluation.metrics["f1"]]


def test_a_deadline_closes_a_pairing_without_labels_also_when_its_scorer_was_killed(
    shared: Shared, models: Path
) -> None:
    site = shared.site("life-deadline")
    site.open("deadline-1", agreement(deadline_s=25))
    name = site.submit("deadline-1", models / "threshold", "deadline").candidate.id
    # The first frame also waits for the model to be loaded; the second one's deadline is the last.
    for number, rows in ((1, 3), (2, 6)):
        site.frame(f"f-{number}", 10 * number, [0, 1, 0])
        site.wait_counts("deadline-1", name, rows_in=rows)
        site.wait_counts("deadline-1", "no-alarm", rows_in=rows)
    site.end("deadline-1")
    wait_for(lambda: ended(site) == 2, "the ends of both deployments")
    wait_until_taken(site, scorer_group(site.name), topics.ledger(site.name))
    # Nothing is written to the ledger from here on that could wake the new scorer.
    kill(shared, "scorer.life-deadline")
    verdict = site.verdict("deadline-1", name)
    assert settled(verdict.evaluation.counts) == {"rows_in": 6, "unlabelled": 6}
    assert verdict.verdict == "inconclusive"


def test_a_label_after_the_deadline_does_not_count(shared: Shared, models: Path) -> None:
    site = shared.site("life-late")
    site.open("late-1", agreement(deadline_s=2))
    site.frame("f-1", 0, [1, 1])
    site.label("in-time", 0, 1, "anomaly")
    found = site.wait_counts("late-1", "no-alarm", scored=1, unlabelled=1)
    site.label("late", 1, 2, "anomaly")
    site.label("in-time", 0, 1, "normal")
    site.seen.wait(
        lambda: (latest := site.latest("late-1", "no-alarm")) is not None and latest.audit.labels_late == 2,
        "two late labels",
    )
    after = site.latest("late-1", "no-alarm")
    assert after is not None
    assert (after.counts, after.confusion) == (found.counts, found.confusion)


def test_a_candidate_that_comes_late_sees_the_rows_from_the_pairings_first_frame_on(
    shared: Shared, models: Path
) -> None:
    site = shared.site("life-late-candidate")
    site.frame("before", 0, [1, 1, 1])  # before the pairing: due for nobody
    site.open("late-2", agreement())
    for number in range(3):
        site.frame(f"f-{number}", 10 + 10 * number, [1, 0] * 5)
    site.label("all", 0, 100, "anomaly")
    site.complete(100)
    site.wait_counts("late-2", "no-alarm", rows_in=30, scored=30)
    name = site.submit("late-2", models / "threshold", "late").candidate.id
    found = site.wait_counts("late-2", name, rows_in=30, scored=30)
    assert (found.confusion["anomaly/anomaly"], found.confusion["anomaly/normal"]) == (15, 15)
    site.end("late-2")
    assert site.verdict("late-2", name).evaluation.counts == found.counts


def test_workers_at_work_hold_none_of_the_libraries_that_models_are_made_with(
    shared: Shared, models: Path
) -> None:
    """pandas alone would take 27 MB of each, and a second of its first frame."""
    site = shared.site("life-lean")
    site.open("lean-1", agreement())
    name = site.submit("lean-1", models / "threshold", "lean").candidate.id
    site.label("all", 0, 100, "anomaly")
    site.frame("f-1", 0, [1, 0, 1])
    site.complete(100)
    site.wait_counts("lean-1", name, rows_in=3, scored=3)
    site.wait_counts("lean-1", "no-alarm", rows_in=3, scored=3)
    workers = (f"runner.lean-1/{name}", "runner.lean-1/baselines", f"scorer.{site.name}", "control")
    for worker in workers:
        process = psutil.Process(worker_pid(shared.home, worker) or 0)
        mapped = {part for one in process.memory_maps() for part in Path(one.path).parts}
        assert (worker, mapped & {"pandas", "scipy", "sklearn"}) == (worker, set())


def test_a_candidate_that_raises_and_hangs_has_failed_rows_and_the_pairing_still_concludes(
    shared: Shared, models: Path
) -> None:
    site = shared.site("life-moody")
    site.open("moody-1", agreement(timeout_s=2))
    name = site.submit("moody-1", models / "moody", "moody").candidate.id
    site.label("all", 0, 100, "anomaly")
    site.frame("good-1", 0, [1, 1])
    site.frame("raises", 10, [1, 99, 1])
    site.frame("hangs", 20, [1, 85, 1, 1])
    site.frame("good-2", 30, [1, 1, 1, 1, 1])
    found = site.wait_counts("moody-1", name, rows_in=14, scored=7, failed=7)
    assert found.audit.failed_by_kind == {"error": 3, "timeout": 4}
    site.end("moody-1")
    site.complete(100)
    verdict = site.verdict("moody-1", name)
    assert verdict.verdict == "rejected"
    assert "not answered" in verdict.reason
    assert site.wait_counts("moody-1", "no-alarm", rows_in=14, scored=14, failed=0)


ASSETS = ("m1", "m2")
FRAMES, ROWS = 90, 20


def load(site: Site, first: int, last: int) -> None:
    """Frames of both machines, from one number up to another."""
    x = loaded()
    for number in range(first, last):
        for index, asset in enumerate(ASSETS):
            rows = x[index, number * ROWS : (number + 1) * ROWS]
            site.frame(f"{asset}-{number}", number * ROWS, rows.tolist(), asset=asset)


def loaded() -> np.ndarray:
    """Every x of the load: float64, shape (2, FRAMES * ROWS). Peaks are rare, so that answers hang on context.

    The last row of frame 69 is a peak and none follows for a while: frame 70 needs its context.
    """
    x = np.random.default_rng(11).uniform(0, 0.95, size=(2, FRAMES * ROWS))
    x[:, 70 * ROWS - 1], x[:, 70 * ROWS : 71 * ROWS] = 0.94, 0.0
    return x


def expected_peaks() -> int:
    """Rows that `peak` calls an anomaly when it sees each machine's rows in one piece."""
    x = loaded()
    hot = x > 0.9
    return int(sum(hot[i, max(0, n - 4) : n + 1].any() for i in range(2) for n in range(x.shape[1])))


def test_killed_runners_scorers_and_lost_state_leave_the_scores_as_they_are(
    shared: Shared, models: Path
) -> None:
    site = shared.site("life-kills", assets=ASSETS, partitions=2)
    site.open("kills-1", agreement(assets=ASSETS))
    calm = site.submit("kills-1", models / "peak", "calm").candidate.id
    hit = site.submit("kills-1", models / "peak", "hit").candidate.id
    for asset in ASSETS:
        site.label(f"all-{asset}", 0, FRAMES * ROWS, "anomaly", asset=asset)

    def counted(least: int) -> None:
        site.seen.wait(
            lambda: (one := site.latest("kills-1", hit)) is not None and one.counts.rows_in >= least,
            f"{least} rows of {hit}",
        )

    load(site, 0, 20)
    counted(1)
    load(site, 20, 40)  # the runner is in the middle of these
    kill(shared, f"runner.kills-1/{hit}")
    load(site, 40, 50)
    counted(41 * ROWS)
    kill(shared, "scorer.life-kills")
    load(site, 50, 70)
    counted(51 * ROWS)
    state = shared.home / "state" / "life-kills"
    files = list(state.iterdir())
    assert files
    for file in files:
        file.unlink()  # the scorer that runs keeps its own, which ends with it
    kill(shared, "scorer.life-kills")
    # Frame 69 is done with: whoever comes next is not handed it again, and has to read it for its context.
    wait_until_taken(site, runner_group(f"kills-1/{hit}"), topics.telemetry(site.name))
    kill(shared, f"runner.kills-1/{hit}")
    load(site, 70, FRAMES)
    site.end("kills-1")
    for asset in ASSETS:
        site.complete(FRAMES * ROWS, asset=asset)

    verdicts = {name: site.verdict("kills-1", name) for name in (calm, hit)}
    peaks, rows = expected_peaks(), 2 * FRAMES * ROWS
    for verdict in verdicts.values():
        assert settled(verdict.evaluation.counts) == {"rows_in": rows, "scored": rows}
        assert verdict.evaluation.confusion["anomaly/anomaly"] == peaks
        assert verdict.evaluation.audit.frames == 2 * FRAMES
    one, other = (
        verdicts[name].evaluation.model_dump(exclude={"candidate": True, "audit": {"duplicates", "gaps"}})
        for name in (calm, hit)
    )
    assert one == other
