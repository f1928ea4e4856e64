"""The figures of an installation for Prometheus, and its health, served on this machine alone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator
from socketserver import ThreadingMixIn
from types import TracebackType
from typing import Any, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from infra.health import Health
from infra.health_page import LIVEZ, READYZ
from infra.ports import HOST
from infra.results import Scoreboard
from schemas.evaluation import Counts, Evaluation

LABELS = ("plant", "pairing", "candidate")

Family = CounterMetricFamily | GaugeMetricFamily


class Figures(Collector):
    """What the latest evaluation of every candidate and baseline says."""

    def __init__(self, board: Scoreboard) -> None:
        self._board = board

    def collect(self) -> Iterable[Family]:
        """One family a figure, one sample a candidate."""
        latest = list(self._board.evaluations.values())
        yield from _rows(latest)
        yield from _service(latest)
        yield _faults(latest)
        yield _audit(latest)
        score = GaugeMetricFamily(
            "fieldproof_score", "Metrics of the evaluation.", labels=(*LABELS, "metric")
        )
        for one in latest:
            for name, value in one.metrics.items():
                score.add_metric((*_labels(one), name), value)
        yield score


def _labels(one: Evaluation) -> tuple[str, str, str]:
    return one.plant, one.pairing, one.candidate


def _rows(latest: list[Evaluation]) -> Iterator[Family]:
    """Gauges, although rows only come: a corrected label or a fixed end takes some back."""
    family = GaugeMetricFamily("fieldproof_rows", "Rows by what became of them.", labels=(*LABELS, "state"))
    for one in latest:
        for state in Counts.model_fields:
            family.add_metric((*_labels(one), state), getattr(one.counts, state))
    yield family


def _service(latest: list[Evaluation]) -> Iterator[Family]:
    times = GaugeMetricFamily(
        "fieldproof_service_seconds",
        "From a frame's turn to its answer, by quantile.",
        labels=(*LABELS, "quantile"),
    )
    cpu = GaugeMetricFamily(
        "fieldproof_cpu_seconds_per_thousand_rows", "CPU time of the candidate's process.", labels=LABELS
    )
    peak = GaugeMetricFamily(
        "fieldproof_peak_memory_bytes", "The largest resident memory that was seen.", labels=LABELS
    )
    for one in latest:
        if one.service is None:
            continue
        for quantile, micros in (
            ("0.5", one.service.p50_us),
            ("0.95", one.service.p95_us),
            ("0.99", one.service.p99_us),
        ):
            times.add_metric((*_labels(one), quantile), micros / 1e6)
        cpu.add_metric(_labels(one), one.service.cpu_us_per_1000_rows / 1e6)
        peak.add_metric(_labels(one), one.service.peak_mb * 2.0**20)
    yield from (times, cpu, peak)


def _audit(latest: list[Evaluation]) -> Family:
    family = GaugeMetricFamily(
        "fieldproof_outcomes",
        "Outcomes by what the ledger says of them: frames that counted, refused ones, repeated ones, duplicates, gaps.",
        labels=(*LABELS, "kind"),
    )
    for one in latest:
        audit = one.audit
        for kind, count in (
            ("counted", audit.frames),
            ("refused", audit.frames_refused),
            ("repeated", audit.frames_repeated),
            ("duplicate", audit.duplicates),
            ("early", audit.gaps),
        ):
            family.add_metric((*_labels(one), kind), count)
    return family


def _faults(latest: list[Evaluation]) -> Family:
    family = GaugeMetricFamily(
        "fieldproof_failed_rows", "Rows without an answer, by fault.", labels=(*LABELS, "kind")
    )
    for one in latest:
        for kind, count in one.audit.failed_by_kind.items():
            family.add_metric((*_labels(one), kind), count)
    return family


class Operation(Collector):
    """How the installation itself stands."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def collect(self) -> Iterable[Family]:
        """Lag, alarms, rejected messages, restarts of workers, and every check."""
        seen = self._health.seen
        if seen is None:
            return
        lag = GaugeMetricFamily(
            "fieldproof_lag_frames",
            "Telemetry messages that a deployment has still to pass.",
            labels=("plant", "pairing", "deployment"),
        )
        for place, waiting in (seen.lag or {}).items():
            lag.add_metric(place, waiting)
        alarms = GaugeMetricFamily(
            "fieldproof_audit_alarms", "Alarms about a measurement.", labels=("plant", "pairing")
        )
        for about, listed in seen.alarms.items():
            alarms.add_metric(about, len(listed))
        rejected = CounterMetricFamily(
            "fieldproof_rejected_messages",
            "Messages in the plant's rejected topic; what several workers could not read is there several times.",
            labels=("plant",),
        )
        for plant, count in seen.rejected.items():
            rejected.add_metric((plant,), count)
        restarts = CounterMetricFamily(
            "fieldproof_worker_restarts",
            "Starts of a worker after it had ended by itself.",
            labels=("worker",),
        )
        for name, worker in seen.workers.items():
            restarts.add_metric((name,), worker.restarts)
        check = GaugeMetricFamily(
            "fieldproof_check", "1 where a check of /readyz has not failed.", labels=("check",)
        )
        for one in self._health.checks:
            check.add_metric((one.finding.name,), 0 if one.failed else 1)
        yield from (lag, alarms, rejected, restarts, check)


Answer = tuple[str, bytes]


class MetricsPage:
    """Serves `/metrics`, `/livez` and `/readyz` on the loopback interface.

    Args:
        board: the latest evaluations.
        health: how the installation stands; without it there are the figures alone.
        port: where; a free port if 0.
    """

    def __init__(self, board: Scoreboard, health: Health | None = None, *, port: int = 0) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(Figures(board))
        self._health = health
        if health is not None:
            self._registry.register(Operation(health))
        self._metrics = make_wsgi_app(self._registry)
        self._port = port
        self._server: WSGIServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._server = make_server(HOST, self._port, self._answer, _Server, _Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, name="figures", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    @property
    def url(self) -> str:
        """Where the figures are; health is beside them."""
        assert self._server is not None
        return f"http://{HOST}:{self._server.server_port}/metrics"

    def _answer(self, question: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        pages = {f"/{LIVEZ}": self._alive, f"/{READYZ}": self._ready}
        page = pages.get(question.get("PATH_INFO", "")) if self._health is not None else None
        if page is None:
            figures: Iterable[bytes] = self._metrics(question, start)
            return figures
        status, body = page()
        start(status, [("Content-Type", "application/json; charset=utf-8"), ("Cache-Control", "no-store")])
        return [body]

    def _alive(self) -> Answer:
        """Whether the process still looks at the world: a supervisor that hangs is worth a restart."""
        assert self._health is not None
        lives = self._health.lives(time.monotonic())
        return _status(lives), _json({"alive": lives})

    def _ready(self) -> Answer:
        """Whether the installation can do its work, check by check. One that hangs knows nothing any more."""
        assert self._health is not None
        told = self._health.to_dict()
        if not self._health.lives(time.monotonic()):
            told["ready"] = False
        return _status(told["ready"]), _json(told)


def _status(good: bool) -> str:
    return "200 OK" if good else "503 Service Unavailable"


def _json(told: dict[str, Any]) -> bytes:
    return json.dumps(told, ensure_ascii=False, indent=1).encode()


class _Server(ThreadingMixIn, WSGIServer):
    """One slow reader keeps nobody else waiting."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    """Writes no line for each question that it is asked."""

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""
