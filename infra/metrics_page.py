"""The figures of an installation for Prometheus, served on this machine alone."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

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


def _faults(latest: list[Evaluation]) -> Family:
    family = GaugeMetricFamily(
        "fieldproof_failed_rows", "Rows without an answer, by fault.", labels=(*LABELS, "kind")
    )
    for one in latest:
        for kind, count in one.audit.failed_by_kind.items():
            family.add_metric((*_labels(one), kind), count)
    return family


class MetricsPage:
    """Serves `/metrics` on the loopback interface."""

    def __init__(self, board: Scoreboard, *, port: int = 0) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(Figures(board))
        self._port = port
        self._server: WSGIServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._server, self._thread = start_http_server(self._port, addr="127.0.0.1", registry=self._registry)
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
        """Where it is."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_port}/metrics"
