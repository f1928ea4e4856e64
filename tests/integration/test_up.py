"""`fieldproof up`: it goes on where it was, however it ended, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest
from mlflow.tracking import MlflowClient

from infra.client import Client
from infra.kafka.admin import cluster_id_at
from infra.settings import ADDRESS_FILE, Addresses
from tests.integration import commands
from tests.integration.commands import Json, Ran, Running, processes_of, wait_until_none
from tests.integration.conftest import Shared
from tests.integration.plants import Site, agreement, at, settled
from tests.integration.topic_records import Topics

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

ROWS = 400


class Installed:
    """One start of `up`, with a client and the site of the story."""

    def __init__(self, home: Path) -> None:
        self.up = Running(home, "up", "--json")
        try:
            record = self.up.record("running")
        except BaseException:
            self.up.process.kill()
            raise
        self.addresses = Addresses.model_validate({name: record[name] for name in Addresses.model_fields})
        self.topics = Topics(self.addresses.bootstrap)
        self.topics.start()
        self.client = Client(self.addresses)
        self.client.refresh()
        self.site = Site(self.client, self.topics, "story")

    def leave(self) -> None:
        """Stop reading before the broker ends."""
        self.topics.stop()
        self.client.__exit__(None, None, None)


@dataclass(kw_only=True)
class Story:
    """What was seen while one home was started and ended four times, and the replay that lost its broker."""

    home: Path
    told: dict[str, object] = field(default_factory=dict)
    ends: dict[str, Ran] = field(default_factory=dict)
    processes: dict[str, list[int]] = field(default_factory=dict)
    replay: Running | None = None


def java_of(home: Path) -> int | None:
    """The broker's process."""
    named = (one for one in psutil.process_iter(["name", "cmdline"]) if one.info["name"] == "java")
    return next((one.pid for one in named if str(home) in " ".join(one.info["cmdline"] or [])), None)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Story:
    root = tmp_path_factory.mktemp("up")
    found = Story(home=root / "home")
    chapters: list[Callable[[Story, Path, Path], None]] = [_first, _second, _third, _fourth]
    try:
        for chapter in chapters:
            chapter(found, root, models)
    finally:
        for pid in processes_of(found.home):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
    return found


def _first(story: Story, root: Path, models: Path) -> None:
    """A pairing runs; Ctrl-C as a terminal sends it, to the whole group."""
    installed = Installed(story.home)
    site = installed.site
    site.open("story-1", agreement())
    submitted = site.submit("story-1", models / "peak", "story")
    story.told["candidate"] = submitted.candidate
    site.frame("f-1", 0, [0.0] * 9 + [1.0])
    site.wait_counts("story-1", submitted.candidate.id, rows_in=10)
    installed.leave()
    story.processes["first"] = list(processes_of(story.home))
    installed.up.interrupt(group=True)
    story.ends["first"] = installed.up.end()
    wait_until_none(story.home, *story.processes["first"])


def _second(story: Story, root: Path, models: Path) -> None:
    """It goes on; a second `up` is turned away; the broker is killed in the middle of a replay, and then everything."""
    installed = Installed(story.home)
    rival = Running(story.home, "up", "--json")  # waits a while, in case that the first one is just ending
    site = installed.site
    story.told["again"] = site.client.ask("centre", _opened(site))
    # Asks for four rows of context: the first of these lies within reach of the last row before the restart.
    site.frame("f-2", 10, [0.0] * 10)
    name = story.told["candidate"].id  # type: ignore[attr-defined]
    story.told["second"] = site.wait_counts("story-1", name, rows_in=20)

    file = root / "m1.csv"
    file.write_text("ts,x\n" + "".join(f"{at(1000 + second).isoformat()},0\n" for second in range(ROWS)))
    replay = Running(story.home, *_replay(file), "--speed", "10")
    site.seen.wait(
        lambda: (one := site.latest("story-1", name)) and one.counts.rows_in > 20, "rows of the replay"
    )
    story.ends["rival"] = rival.end()
    story.told["still"] = commands.run(story.home, "status", "--json")
    before, seen = java_of(story.home), site.latest("story-1", name).counts.rows_in
    installed.topics.stop()
    os.kill(before, signal.SIGKILL)
    commands.wait_for(
        lambda: java_of(story.home) not in (before, None), "another broker", alive=installed.up.alive
    )
    commands.wait_for(lambda: cluster_id_at(installed.addresses.bootstrap), "its answer")
    installed.topics = site.seen = Topics(installed.addresses.bootstrap)
    installed.topics.start()
    story.told["beyond"] = site.seen.wait(
        lambda: (one := site.latest("story-1", name)) and one.counts.rows_in > seen and one, "rows from it"
    )
    installed.leave()
    story.processes["second"] = list(processes_of(story.home))
    installed.up.process.kill()
    story.ends["second"] = installed.up.end()
    # The replay hopes for its broker a minute long; the story goes on meanwhile.
    story.replay = replay
    story.processes["second"].remove(replay.process.pid)
    wait_until_none(story.home, *story.processes["second"], but=replay.process.pid)


def _opened(site: Site) -> object:
    from schemas.requests import ProposePairing

    return ProposePairing(pairing="story-1", need="need-story", startup="startup", agreement=agreement())


def _replay(file: Path) -> list[str]:
    return ["replay", str(file), "--plant", "story", "--rows-per-frame", "10", "--json"]


def _third(story: Story, root: Path, models: Path) -> None:
    """The same command again sends everything; then the parent is killed and cannot tidy up."""
    installed = Installed(story.home)
    story.ends["replay again"] = commands.run(story.home, *_replay(root / "m1.csv"))
    name = story.told["candidate"].id  # type: ignore[attr-defined]
    story.told["third"] = installed.site.wait_counts("story-1", name, rows_in=20 + ROWS)
    installed.leave()
    story.processes["third"] = list(processes_of(story.home))
    installed.up.process.kill()
    installed.up.end()
    assert story.replay is not None
    wait_until_none(story.home, *story.processes["third"], but=story.replay.process.pid)


def _fourth(story: Story, root: Path, models: Path) -> None:
    """The pairing concludes; SIGINT to the process alone."""
    installed = Installed(story.home)
    site = installed.site
    candidate = story.told["candidate"]
    site.label("all", 0, 10_000, "anomaly")
    site.end("story-1")
    site.complete(10_000)
    story.told["verdict"] = site.verdict("story-1", candidate.id)  # type: ignore[attr-defined]
    client = MlflowClient(installed.addresses.mlflow)
    run_id = candidate.run_id  # type: ignore[attr-defined]
    commands.wait_for(
        lambda: "fieldproof.story-1.chain" in client.get_run(run_id).data.tags, "the verdict in MLflow"
    )
    story.told["recorded"] = client.get_metric_history(run_id, "fieldproof.story-1.f1")
    installed.leave()
    story.processes["fourth"] = list(processes_of(story.home))
    installed.up.interrupt()
    story.ends["fourth"] = installed.up.end()
    assert story.replay is not None
    story.ends["replay"] = story.replay.end()
    wait_until_none(story.home, *story.processes["fourth"])


def test_ctrl_c_ends_it_well_whether_it_reaches_the_group_or_the_process(story: Story) -> None:
    for name in ("first", "fourth"):
        done = story.ends[name]
        assert done.code == 0, done.err
        assert "Traceback" not in done.err
        assert [one["kind"] for one in done.records] == ["running"]
    assert not (story.home / ADDRESS_FILE).exists()


def test_no_process_is_left_however_it_ended(story: Story) -> None:
    # `up`, broker, MLflow, control, scorer, runners while the pairing runs, most of them with a guard: all were gone each time.
    assert {name: len(pids) >= 8 for name, pids in story.processes.items()} == dict.fromkeys(
        ("first", "second", "third", "fourth"), True
    )


def test_what_was_granted_stays_granted_after_a_start(story: Story) -> None:
    answer = story.told["again"]
    assert answer.new is False  # type: ignore[attr-defined]


def test_scores_go_on_after_a_start_and_nothing_counts_twice(story: Story) -> None:
    second = story.told["second"]
    assert second.counts.rows_in == 20  # type: ignore[attr-defined]
    assert second.audit.gaps == 0  # type: ignore[attr-defined]


def test_a_second_one_on_the_same_home_is_told_so_and_does_no_harm(story: Story) -> None:
    rival = story.ends["rival"]
    assert rival.code == 3
    assert str(story.home) in rival.err
    assert "already runs" in rival.err
    assert "Traceback" not in rival.err
    still = story.told["still"]
    assert still.code == 0, still.err  # type: ignore[attr-defined]
    kinds = [one["kind"] for one in still.records]  # type: ignore[attr-defined]
    assert kinds[:2] == ["installation", "pairing"]


def test_a_broker_that_is_killed_comes_back_where_it_was_and_everything_goes_on(story: Story) -> None:
    assert any("Kafka has ended by itself" in line for line in story.ends["second"].err.splitlines())
    beyond = story.told["beyond"]
    assert beyond.audit.gaps == 0  # type: ignore[attr-defined]


def test_a_replay_that_lost_its_broker_says_how_to_go_on(story: Story) -> None:
    done = story.ends["replay"]
    assert done.code == 3, done.err
    assert "--from" in done.err
    assert "Traceback" not in done.err
    last: Json = done.records[-1]
    assert (last["kind"], 0 < last["acknowledged"] < ROWS // 10) == ("error", True)


def test_the_same_replay_again_counts_every_row_once(story: Story) -> None:
    assert story.ends["replay again"].code == 0
    third = story.told["third"]
    assert third.counts.rows_in == 20 + ROWS  # type: ignore[attr-defined]
    assert third.audit.frames_repeated > 0  # type: ignore[attr-defined]
    assert third.audit.gaps == 0  # type: ignore[attr-defined]


def test_the_verdict_is_that_of_a_run_without_ends(story: Story) -> None:
    verdict = story.told["verdict"]
    evaluation = verdict.evaluation  # type: ignore[attr-defined]
    assert settled(evaluation.counts) == {"rows_in": 20 + ROWS, "scored": 20 + ROWS}
    # One peak, in the last row before the first end: with its context it reaches four rows over the start.
    assert evaluation.confusion["anomaly/anomaly"] == 5
    assert np.isclose(evaluation.metrics["recall"], 5 / (20 + ROWS))


def test_the_final_evaluation_is_written_to_mlflow_once(story: Story) -> None:
    assert len(story.told["recorded"]) == 1  # type: ignore[arg-type]


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = commands.run(tmp_path, "up", "--port", port)
    assert done.code == 3
    assert port in done.err
    assert "Traceback" not in done.err
    wait_until_none(tmp_path)


def test_ctrl_c_while_it_starts_leaves_nothing(tmp_path: Path) -> None:
    up = Running(tmp_path, "up", "--json")
    commands.wait_for(lambda: any("Kafka" in line for line in up.err), "the start", alive=up.alive)
    up.interrupt(group=True)
    done = up.end()
    assert "Traceback" not in done.err
    wait_until_none(tmp_path)


def test_addresses_that_are_given_replace_the_embedded_parts(shared: Shared) -> None:
    found = [psutil.Process(pid) for pid in processes_of(shared.home)]
    up = psutil.Process(shared.up.process.pid)
    names = {one.name() for one in up.children(recursive=True)}
    assert found and names
    assert "java" not in names
    lines = [" ".join(one.cmdline()) for one in up.children(recursive=True)]
    assert not any("uvicorn" in line or "mlflow" in line for line in lines)
    assert not (shared.home / "kafka").exists() and not (shared.home / "mlflow").exists()
    site = shared.site("elsewhere")
    site.open("elsewhere-1", agreement())
    site.frame("f-1", 0, [1, 1])
    site.wait_counts("elsewhere-1", "no-alarm", rows_in=2)
    assert json.loads((shared.home / ADDRESS_FILE).read_text())["bootstrap"] == shared.record["bootstrap"]
