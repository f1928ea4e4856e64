"""One installation for every test that does not need one of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.client import Client
from infra.kafka.broker import EmbeddedKafka
from infra.mlflow.server import MlflowServer
from infra.settings import Addresses
from schemas.parties import RejectLimit
from tests.integration import models as tiny_models
from tests.integration.commands import Json, Running
from tests.integration.plants import Site
from tests.integration.topic_records import Topics


@dataclass(frozen=True, kw_only=True)
class Shared:
    """`fieldproof up` beside a broker and an MLflow server that it was given by address."""

    home: Path
    up: Running
    record: Json
    client: Client
    topics: Topics

    @property
    def env(self) -> dict[str, str]:
        """What commands have to be told besides the home."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.record["bootstrap"],
            "MLFLOW_TRACKING_URI": self.record["mlflow"],
        }

    def site(
        self,
        name: str,
        *,
        assets: tuple[str, ...] = ("m1",),
        partitions: int = 1,
        rejects: RejectLimit = RejectLimit(),
    ) -> Site:
        """A plant of a test's own."""
        return Site(self.client, self.topics, name, assets=assets, partitions=partitions, rejects=rejects)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the tiny models."""
    root = tmp_path_factory.mktemp("models")
    tiny_models.save(root)
    return root


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """An installation that embeds nothing."""
    root = tmp_path_factory.mktemp("shared")
    home = root / "home"
    with EmbeddedKafka(root / "kafka") as kafka, MlflowServer(root / "mlflow") as mlflow:
        up = Running(
            home,
            "up",
            "--json",
            KAFKA_BOOTSTRAP_SERVERS=kafka.bootstrap,
            MLFLOW_TRACKING_URI=mlflow.tracking_uri,
        )
        try:
            record = up.record("running")
            addresses = Addresses.model_validate({name: record[name] for name in Addresses.model_fields})
            topics = Topics(addresses.bootstrap)
            topics.start()
            with Client(addresses) as client:
                yield Shared(home=home, up=up, record=record, client=client, topics=topics)
            topics.stop()
        finally:
            up.stop()
