"""The figures for Prometheus: what the latest evaluation says, and nothing of an older one."""

from __future__ import annotations

import urllib.request
from datetime import UTC, datetime

from prometheus_client.parser import text_string_to_metric_families

from infra.metrics_page import MetricsPage
from infra.results import Scoreboard
from schemas.agreement import Task
from schemas.evaluation import Audit, Counts, Evaluation, Service


def evaluation(offset: int, *, scored: int, service: Service | None = None) -> Evaluation:
    return Evaluation(
        pairing="pump-2026-01",
        plant="plant-1",
        startup="startup-1",
        candidate="t2q-v1",
        baseline=False,
        task=Task.ANOMALY,
        ledger_partition=0,
        ledger_offset=offset,
        chain="0" * 64,
        at=datetime(2026, 3, 2, tzinfo=UTC),
        final=False,
        counts=Counts(rows_in=scored + 3, scored=scored, failed=3),
        audit=Audit(failed_by_kind={"timeout": 3}),
        metrics={"f1": 0.5},
        service=service,
        sandbox="full",
    )


def figures(page: MetricsPage) -> dict[str, dict[str, float]]:
    """Values by name, and by the label that is not the candidate's."""
    with urllib.request.urlopen(page.url, timeout=10) as answer:
        text = answer.read().decode()
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.labels["candidate"] == "t2q-v1"
            rest = [
                value
                for name, value in sample.labels.items()
                if name not in ("plant", "pairing", "candidate")
            ]
            found.setdefault(sample.name, {})["".join(rest)] = sample.value
    return found


def test_the_page_tells_rows_faults_and_service_of_the_latest_evaluation() -> None:
    board = Scoreboard()
    service = Service(frames=7, p50_us=2000, p95_us=5000, p99_us=9000, cpu_us_per_1000_rows=1500, peak_mb=300)
    with MetricsPage(board) as page:
        assert figures(page) == {}
        board.take(evaluation(2, scored=20, service=service))
        board.take(evaluation(1, scored=10))
        told = figures(page)
    assert told["fieldproof_rows"]["scored"] == 20
    assert told["fieldproof_rows"]["rows_in"] == 23
    assert told["fieldproof_failed_rows"] == {"timeout": 3}
    assert told["fieldproof_service_seconds"] == {"0.5": 0.002, "0.95": 0.005, "0.99": 0.009}
    assert told["fieldproof_cpu_seconds_per_thousand_rows"] == {"": 0.0015}
    assert told["fieldproof_peak_memory_bytes"] == {"": 300 * 2**20}
    assert told["fieldproof_score"] == {"f1": 0.5}


def test_the_page_is_for_this_machine_alone() -> None:
    with MetricsPage(Scoreboard()) as page:
        assert page.url.startswith("http://127.0.0.1:")
