"""A real MLflow server: registering a model, keeping it over a restart, dying with its parent."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow.models import get_model_info, infer_signature
from mlflow.tracking import MlflowClient
from sklearn.linear_model import LinearRegression

from infra.errors import FolderBusy, MlflowUnavailable, PortTaken
from infra.mlflow.server import MlflowServer
from tests.gone import wait_until_gone

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PARENT = """
import sys, time
from pathlib import Path
from infra.mlflow.server import MlflowServer

server = MlflowServer(Path(sys.argv[1]))
server.start()
print(server.pid, server.tracking_uri, flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with MlflowServer(tmp_path_factory.mktemp("mlflow")) as running:
        yield running


@pytest.fixture
def client(server: MlflowServer) -> Iterator[MlflowClient]:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(server.tracking_uri)
    yield MlflowClient(server.tracking_uri)
    mlflow.set_tracking_uri(before)


def register(name: str) -> str:
    """Log a tiny model with a signature as a registered one; its address by content (`models:/m-…`)."""
    inputs = np.array([[0.0], [1.0], [2.0]])
    model = LinearRegression().fit(inputs, inputs[:, 0] * 2)
    with mlflow.start_run():
        logged = mlflow.sklearn.log_model(
            model,
            name="model",
            signature=infer_signature(inputs, model.predict(inputs)),
            registered_model_name=name,
            pip_requirements=["scikit-learn"],
        )
    return str(logged.model_uri)


def test_a_registered_model_is_found_again_with_its_signature_and_files(
    server: MlflowServer, client: MlflowClient, tmp_path: Path
) -> None:
    address = register("press-quality")
    version = client.get_model_version("press-quality", "1")
    assert version.status == "READY"
    info = get_model_info("models:/press-quality/1")
    assert info.signature is not None and info.signature.inputs is not None
    folder = mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=str(tmp_path))
    assert (Path(folder) / "MLmodel").exists()
    assert list(server.home.glob("artifacts/**/MLmodel")), "artifacts are files below the server's folder"


def test_a_restart_keeps_what_was_registered(tmp_path: Path) -> None:
    server = MlflowServer(tmp_path)
    with server:
        MlflowClient(server.tracking_uri).create_registered_model("kept")
        pid = server.pid
    wait_until_gone([pid])
    with server:
        assert MlflowClient(server.tracking_uri).get_registered_model("kept").name == "kept"


def test_the_server_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid, uri = parent.stdout.readline().split()
        parent.kill()
    wait_until_gone([int(pid)])
    port = int(uri.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()


def test_a_port_that_was_asked_for_but_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"port {port}.*another port"):
            MlflowServer(tmp_path, port=port).start()


def test_a_store_that_cannot_be_read_is_shown_with_the_end_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("no database at all, and long enough to be looked at" * 100)
    with pytest.raises(MlflowUnavailable, match="file is not a database"):
        MlflowServer(tmp_path).start()


def test_a_second_server_on_the_same_folder_is_refused(server: MlflowServer) -> None:
    with pytest.raises(FolderBusy, match="another MLflow already runs"):
        MlflowServer(server.home).start()
