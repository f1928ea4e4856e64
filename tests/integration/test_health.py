"""Health of a running installation: what is down is named with what to do, and goes green again when it is mended."""

from __future__ import annotations

import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from infra.client import Client
from infra.health_page import LIVEZ, READYZ, beside
from infra.settings import Addresses
from schemas.ledger import Outcome
from schemas.requests import ReportAudit, StartTrial
from streams import topics
from streams.ledger_codec import OutcomeRows, encode
from tests.integration import commands
from tests.integration.commands import Running, processes_of, wait_for, worker_pid
from tests.integration.conftest import Shared
from tests.integration.plants import MAKER, Site, agreement, settled
from tests.integration.topic_records import Topics

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]


def page(metrics: str, name: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(beside(metrics, name), timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def failed(metrics: str) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in page(metrics, READYZ)[1]["checks"] if one["state"] == "failed"}


def ready(metrics: str) -> bool:
    return page(metrics, READYZ)[0] == 200


def figures(metrics: str) -> str:
    with urllib.request.urlopen(metrics, timeout=20) as answer:
        return str(answer.read().decode())


def passed_over(pairing: str, deployment: str, offset: int) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """An outcome that nobody may write yet: those before it are missing."""
    meta = Outcome(
        pairing=pairing,
        deployment=deployment,
        partition=0,
        first=offset,
        last=offset,
        asset="m1",
        frame="early",
        appended_ms=0,
        rows=1,
        result="answered",
    )
    entry = OutcomeRows(meta=meta, times_us=np.zeros(1, dtype=np.int64), answers=np.zeros((1, 1)))
    return encode(entry, source="/test", ident="early")


def test_a_gap_that_stays_open_is_a_fact_and_red_everywhere_until_it_is_filled(shared: Shared) -> None:
    metrics = shared.record["metrics"]
    wait_for(lambda: ready(metrics), "an installation that is ready")
    assert page(metrics, LIVEZ) == (200, {"alive": True})
    site = shared.site("gapped")
    site.open("gap-1", agreement())
    # The scorer has to know the deployment first.
    site.frame("first", 0, [0.0])
    site.wait_counts("gap-1", "no-alarm", rows_in=1)
    key, value, listed = passed_over("gap-1", "gap-1/baselines", 3)
    site.raw(topics.ledger("gapped"), key, value, listed)
    check = wait_for(lambda: failed(metrics).get("audit"), "the gap to be told", timeout_s=120)
    assert "gap-1/baselines" in check["what"]["en"] and "gap-1/baselines" in check["what"]["ko"]
    assert check["todo"]["ko"] and check["since"]
    assert 'fieldproof_audit_alarms{pairing="gap-1",plant="gapped"} 1.0' in figures(metrics)
    told = commands.run(shared.home, "status", "--json", "--lang", "ko", **shared.env)
    assert told.code == 0
    assert next(one for one in told.records if one["kind"] == "health")["ready"] is False
    assert "gap-1/baselines: 계측 파티션 0의 오프셋 1" in told.err

    for number in range(1, 4):
        site.frame(f"filling-{number}", 10 * number, [0.0])
    wait_for(lambda: "audit" not in failed(metrics), "the alarm to go")
    counted = site.wait_counts("gap-1", "no-alarm", rows_in=4)
    assert counted.audit.gaps == 1
    audits = [
        one.body
        for one in shared.topics.facts
        if one.subject == "gap-1" and one.body.kind == "audit_reported"
    ]
    assert [len(one.alarms) for one in audits] == [1, 0]
    assert 'fieldproof_lag_frames{deployment="gap-1/baselines",pairing="gap-1",plant="gapped"}' in figures(
        metrics
    )
    assert site.ask("gapped", ReportAudit(pairing="gap-1")).fact.body.kind == "audit_reported"


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Client, Topics]]:
    """An installation with a broker and an MLflow server of its own."""
    home = tmp_path_factory.mktemp("alone") / "home"
    up = Running(home, "up", "--json")
    try:
        record = up.record("running")
        addresses = Addresses.model_validate({name: record[name] for name in Addresses.model_fields})
        seen = Topics(addresses.bootstrap)
        seen.start()
        with Client(addresses) as client:
            yield up, client, seen
        seen.stop()
    finally:
        up.stop()


def mlflow_pid(home: Path) -> int | None:
    """The process that serves MLflow; its guard is not meant."""
    for pid, line in processes_of(home).items():
        if "mlflow.server.fastapi_app:app" in line and "guard.py" not in line and psutil.pid_exists(pid):
            return pid
    return None


def test_without_mlflow_trials_go_on_candidates_wait_and_up_starts_it_again(
    alone: tuple[Running, Client, Topics], models: Path
) -> None:
    up, client, seen = alone
    metrics = client.addresses.metrics
    wait_for(lambda: ready(metrics), "an installation that is ready")
    site = Site(client, seen, "lonely")
    site.open("goes-on", agreement())
    site.propose("waits", agreement())
    site.submit("waits", models / "threshold", "lonely-threshold")
    site.frame("before", 0, [0.0])
    site.wait_counts("goes-on", "no-alarm", rows_in=1)

    # Frozen it neither answers nor ends: nobody starts it again.
    pid = wait_for(lambda: mlflow_pid(up.home), "MLflow's process")
    os.kill(pid, signal.SIGSTOP)
    try:
        check = wait_for(lambda: failed(metrics).get("mlflow"), "MLflow to be missed")
        assert "new candidates wait" in check["what"]["en"] and check["todo"]["ko"]
        site.ask(MAKER, StartTrial(pairing="waits"))
        site.frame("meanwhile", 10, [0.0])
        site.wait_counts("goes-on", "no-alarm", rows_in=2)
        waiting = wait_for(
            lambda: failed(metrics).get("runner.waits/lonely-threshold-v1"),
            "the candidate to wait",
            timeout_s=150,
        )
        assert "MLflow at" in waiting["what"]["en"]
    finally:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: ready(metrics), "everything to run again")
    assert wait_for(lambda: mlflow_pid(up.home), "another MLflow") != pid
    site.wait_counts("waits", "lonely-threshold-v1", rows_in=1)


def test_a_worker_told_to_stop_in_the_middle_of_a_frame_finishes_it_or_has_it_handled_again(
    alone: tuple[Running, Client, Topics], models: Path
) -> None:
    up, client, seen = alone
    site = Site(client, seen, "slow")
    site.open("stopped-1", agreement(timeout_s=60, absent_means="normal"))
    site.submit("stopped-1", models / "slow", "slow-model")
    name = "runner.stopped-1/slow-model-v1"
    site.frame("f0", 0, [0.0])
    site.wait_counts("stopped-1", "slow-model-v1", rows_in=1)
    for number in range(1, 7):
        site.frame(f"f{number}", 10 * number, [0.0, 3.0])
    site.wait_counts("stopped-1", "slow-model-v1", rows_in=3)
    pid = worker_pid(up.home, name)
    assert pid is not None
    # The next frame is at the model for three seconds.
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: worker_pid(up.home, name) not in (None, pid), "another worker")
    # Before the end of the trial: a worker that is wanted no longer has no figures.
    told = f'fieldproof_worker_restarts_total{{worker="{name}"}} 1.0'
    wait_for(lambda: told in figures(client.addresses.metrics), "the restart among the figures")
    site.complete(1000)
    site.wait_counts("stopped-1", "slow-model-v1", rows_in=13)
    site.end("stopped-1")
    verdict = site.verdict("stopped-1", "slow-model-v1")
    assert settled(verdict.evaluation.counts) == {"rows_in": 13, "scored": 13}
    assert verdict.evaluation.audit.frames == 7
