"""One installation for all of the matrix."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.client import Client
from infra.kafka.broker import EmbeddedKafka
from infra.mlflow.server import MlflowServer
from infra.settings import Addresses
from tests.faults.matrix.ground import Bench, Ground
from tests.integration.commands import Running
from tests.integration.conftest import Shared
from tests.integration.models import save_one
from tests.integration.topic_records import Topics


@pytest.fixture(scope="session")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """`fieldproof up` beside a broker and an MLflow server that can be hurt."""
    root = tmp_path_factory.mktemp("matrix")
    models = tmp_path_factory.mktemp("models")
    for name in ("threshold", "slow"):
        save_one(models / name, name)
    with EmbeddedKafka(root / "kafka") as kafka, MlflowServer(root / "mlflow") as mlflow:
        given = {"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap, "MLFLOW_TRACKING_URI": mlflow.tracking_uri}
        up = Running(root / "home", "up", "--json", **given)
        try:
            record = up.record("running")
            addresses = Addresses.model_validate({name: record[name] for name in Addresses.model_fields})
            topics = Topics(addresses.bootstrap)
            topics.start()
            with Client(addresses) as client:
                shared = Shared(home=root / "home", up=up, record=record, client=client, topics=topics)
                yield Ground(shared=shared, kafka=kafka, mlflow=mlflow, models=models)
            topics.stop()
        finally:
            up.stop()


@pytest.fixture
def bench(ground: Ground, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """A plant of one partition, or as many as the test says, with no runner yet."""
    partitions = getattr(request, "param", 1)
    name = f"bench-{abs(hash(request.node.nodeid)) % 10**8}"
    bench = Bench(ground.kafka.bootstrap, tmp_path, name, partitions=partitions)
    yield bench
    bench.stop()
