"""Health: what is found of an installation, since when, what to do; and the pages that show it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.cli.screen import Screen
from infra.cli.status import _tell_alarms, _tell_failures
from infra.health import BEAT_S, ENDS, STARTING_S, Check, Finding, Health, Seen, WorkerSeen, findings
from infra.health_page import LIVEZ, READYZ, beside, read_health
from infra.metrics_page import MetricsPage
from infra.mlflow.server import answers, asked
from infra.observation import ends_of, should_run
from infra.results import Scoreboard
from infra.words.alarms import todo
from infra.words.language import Lang, Phrase
from schemas.pairing import Phase
from streams.lifecycle import Installation
from tests.unit.twins import CANDIDATE, PAIRING, a_pairing, a_plant

AT = datetime(2026, 3, 2, tzinfo=UTC)
ALARM = "the ledger folded again differs from the running scores"

SOUND = Seen(
    bootstrap="127.0.0.1:9092",
    mlflow="http://127.0.0.1:5000",
    broker_s=1.0,
    mlflow_s=1.0,
    workers={name: WorkerSeen(alive=True) for name in ("control", "scorer.plant-1", "runner.p/c")},
    wanted=("control", "scorer.plant-1", "runner.p/c"),
    lag={("plant-1", "p", "p/c"): 7},
    rejected={"plant-1": 3},
)


def states(seen: Seen) -> dict[str, str]:
    return {one.name: one.state for one in findings(seen)}


def failed(seen: Seen) -> dict[str, Finding]:
    return {one.name: one for one in findings(seen) if one.state == "failed"}


def test_an_installation_that_can_do_its_work_has_every_check_in_order() -> None:
    assert states(SOUND) == dict.fromkeys(
        ("broker", "mlflow", "control", "scorer.plant-1", "runner.p/c", "audit", "lag"), "ok"
    )


@pytest.mark.parametrize(
    ("change", "name", "says"),
    [
        ({"broker_s": 60.0, "lag": None}, "broker", "does not answer"),
        ({"mlflow_s": 60.0}, "mlflow", "new candidates wait"),
        ({"lag": None}, "lag", "not known"),
        ({"alarms": {("plant-1", "p"): (ALARM,)}}, "audit", "p: the ledger folded again differs"),
        (
            {"workers": {"control": WorkerSeen(alive=False, ends=2, log="x.log")}},
            "control",
            "2 times in a row",
        ),
        ({"workers": {"control": WorkerSeen(alive=True, ends=ENDS)}}, "control", "ended by itself"),
        ({"workers": {}, "waits": {"runner.p/c": "MLflow is away"}}, "runner.p/c", "MLflow is away"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do_in_both_languages(
    change: dict[str, Any], name: str, says: str
) -> None:
    found = failed(replace(SOUND, **change))[name]
    assert says in found.what.en
    assert found.todo.en and found.todo.ko and found.todo.en != found.todo.ko
    assert found.what.en != found.what.ko


def test_a_worker_that_is_only_being_started_is_no_failure_for_a_while() -> None:
    health, starting = Health(), replace(SOUND, workers={})
    health.note(starting, AT)
    assert health.ready and {one.finding.state for one in health.checks} == {"ok", "starting"}
    health.note(starting, AT + timedelta(seconds=STARTING_S))
    assert health.ready
    health.note(starting, AT + timedelta(seconds=STARTING_S + 1))
    assert not health.ready
    assert {one.since for one in health.checks if one.failed} == {AT}


def test_a_check_says_since_when_it_stands_so() -> None:
    health, broken = Health(), replace(SOUND, mlflow_s=60.0)
    for second, seen in enumerate((SOUND, SOUND, broken, broken, SOUND)):
        health.note(seen, AT + timedelta(seconds=second))
        since = {one.finding.name: one.since for one in health.checks}
        assert since["broker"] == AT
        assert since["mlflow"] == AT + timedelta(seconds={0: 0, 1: 0, 2: 2, 3: 2, 4: 4}[second])
        assert health.ready is (seen is SOUND)


def test_before_the_first_look_nothing_is_known() -> None:
    assert not Health().ready
    assert not Health().lives(0.0)


def test_an_address_that_is_no_server_is_not_asked() -> None:
    assert not asked("sqlite:///mlflow.db") and asked("http://127.0.0.1:1")
    assert states(replace(SOUND, mlflow_s=None, mlflow_asked=False))["mlflow"] == "ok"


def test_every_deployment_of_a_running_pairing_should_run_and_none_of_one_that_is_over() -> None:
    state = Installation(plants={"plant-1": a_plant()}, pairings={PAIRING: a_pairing()})
    assert should_run(state) == ("control", "scorer.plant-1", f"runner.{CANDIDATE}")
    state.pairings[PAIRING] = a_pairing(phase=Phase.SETTLED)
    assert should_run(state) == ("control", "scorer.plant-1")


def test_ends_are_by_topic() -> None:
    assert ends_of({("a", 0): 3, ("a", 1): 4, ("b", 0): 5}, "a") == {0: 3, 1: 4}


# --- MLflow -----------------------------------------------------------------------------------------------------------


def test_a_server_answers_where_its_health_page_does(tmp_path: Path) -> None:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Page) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert answers(address)
        assert not answers(f"{address}/elsewhere")
        server.shutdown()
    assert not answers(address)


# --- the pages --------------------------------------------------------------------------------------------------------


def page(metrics: str, name: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(beside(metrics, name), timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def test_readyz_is_green_only_where_nothing_has_failed_and_livez_while_the_process_looks() -> None:
    health = Health()
    with MetricsPage(Scoreboard(), health) as served:
        assert page(served.url, LIVEZ) == (503, {"alive": False})
        assert page(served.url, READYZ) == (503, {"ready": False, "checks": []})
        health.beat_s = time.monotonic()
        health.note(SOUND, AT)
        assert page(served.url, LIVEZ) == (200, {"alive": True})
        code, told = page(served.url, READYZ)
        assert code == 200 and told["ready"] is True
        assert told["checks"][0] == {
            "name": "broker",
            "state": "ok",
            "since": "2026-03-02T00:00:00+00:00",
            "what": {"en": "Kafka answers at 127.0.0.1:9092", "ko": "Kafka 응답함: 127.0.0.1:9092"},
        }
        health.note(replace(SOUND, alarms={("plant-1", "p"): (ALARM,)}), AT)
        code, told = page(served.url, READYZ)
        assert code == 503 and read_health(served.url) == told
        (check,) = [one for one in told["checks"] if one["state"] == "failed"]
        assert check["name"] == "audit" and check["todo"]["ko"] == todo(ALARM).ko
        health.note(SOUND, AT)
        health.beat_s -= BEAT_S + 1
        assert page(served.url, LIVEZ)[0] == page(served.url, READYZ)[0] == 503


def test_figures_alone_have_no_health_page() -> None:
    with MetricsPage(Scoreboard()) as served:
        with urllib.request.urlopen(beside(served.url, READYZ), timeout=10) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain")
        assert read_health(served.url) is None
    assert read_health(served.url) is None
    assert read_health("") is None


def test_prometheus_is_told_of_lag_alarms_rejected_messages_restarts_and_checks() -> None:
    health = Health()
    ended = {**SOUND.workers, "control": WorkerSeen(alive=False, ends=1, restarts=4)}
    with MetricsPage(Scoreboard(), health) as served:
        health.note(replace(SOUND, workers=ended, alarms={("plant-1", "p"): (ALARM, "x")}), AT)
        with urllib.request.urlopen(served.url, timeout=10) as answer:
            text = answer.read().decode()
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert found["fieldproof_lag_frames", "p", "p/c", "plant-1"] == 7
    assert found["fieldproof_audit_alarms", "p", "plant-1"] == 2
    assert found["fieldproof_rejected_messages_total", "plant-1"] == 3
    assert found["fieldproof_worker_restarts_total", "control"] == 4
    assert found["fieldproof_check", "control"] == found["fieldproof_check", "audit"] == 0
    assert found["fieldproof_check", "broker"] == 1


# --- `status` ---------------------------------------------------------------------------------------------------------


class Said(Screen):
    """What people were told."""

    def __init__(self) -> None:
        super().__init__(as_json=False)
        object.__setattr__(self, "lines", [])

    def say(self, text: str, style: str = "") -> None:
        self.lines.append((text, style))  # type: ignore[attr-defined]


@pytest.mark.parametrize("lang", list(Lang))
def test_status_says_in_red_what_is_wrong_and_what_to_do(lang: Lang) -> None:
    health, screen = Health(), Said()
    health.note(replace(SOUND, mlflow_s=60.0, alarms={("plant-1", PAIRING): (ALARM,)}), AT)
    _tell_failures(screen, health.to_dict(), lang)
    _tell_alarms(screen, [a_pairing().model_copy(update={"alarms": (ALARM,)})], lang)
    lines: list[tuple[str, str]] = screen.lines  # type: ignore[attr-defined]
    assert {style for _, style in lines} == {"red"}
    assert len(lines) == 4 and "mlflow" in lines[0][0] and PAIRING in lines[2][0]
    assert todo(ALARM).to(lang) in lines[3][0]
    assert ("원장" in lines[2][0]) is (lang is Lang.KO)


def test_alarms_that_nobody_foresaw_have_something_to_do_too() -> None:
    assert todo("something new").ko


def test_a_check_without_anything_to_do_says_nothing_of_it() -> None:
    plain = Check(finding=Finding(name="x", state="ok", what=Phrase("a", "b")), since=AT)
    assert "todo" not in plain.to_dict()
