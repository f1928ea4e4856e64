"""An MLflow tracking server as a child process: SQLite for tracking, files for artifacts, one machine."""

from __future__ import annotations

import http.client
import os
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from infra import processes
from infra.errors import MlflowUnavailable, PortTaken
from infra.folder_lock import held_folder
from infra.ports import HOST, free_ports, require_free

_READY_S = 120.0
_PORT_ATTEMPTS = 3
#: `mlflow server` hands its options to the web server by these names; a contract test
#: compares them with MLflow's own. Starting the web server itself saves an interpreter.
STORE_VARIABLE = "_MLFLOW_SERVER_FILE_STORE"
ARTIFACT_ROOT_VARIABLE = "_MLFLOW_SERVER_ARTIFACT_ROOT"
ARTIFACTS_VARIABLE = "_MLFLOW_SERVER_ARTIFACT_DESTINATION"
SERVE_ARTIFACTS_VARIABLE = "_MLFLOW_SERVER_SERVE_ARTIFACTS"
APPLICATION = "mlflow.server.fastapi_app:app"


class MlflowServer:
    """A server whose data live in `home`; starting it again there keeps them.

    It listens on 127.0.0.1 only, on `port` or a free one, and ends with this process, however that ends.
    """

    def __init__(self, home: Path, *, port: int | None = None) -> None:
        self.home = home.resolve()
        self.log_path = self.home / "logs" / "mlflow.log"
        self._wanted_port = port
        self._port: int | None = None
        self._process: processes.Process | None = None

    @property
    def tracking_uri(self) -> str:
        """Address for MLflow clients, tracking and registry."""
        if self._port is None:
            raise MlflowUnavailable("the MLflow server has not been started: call start() first")
        return f"http://{HOST}:{self._port}"

    @property
    def pid(self) -> int:
        if self._process is None:
            raise MlflowUnavailable("the MLflow server has not been started: call start() first")
        return self._process.pid

    def alive(self) -> bool:
        return self._process is not None and self._process.alive()

    def start(self) -> None:
        """Start the server and wait until its store answers. Does nothing if it already runs.

        Raises PortTaken, FolderBusy, or MlflowUnavailable with the end of its log.
        """
        if self.alive():
            return
        if self._wanted_port is not None:
            require_free(self._wanted_port, purpose="MLflow")
        (self.home / "artifacts").mkdir(parents=True, exist_ok=True)
        with held_folder(self.home, purpose="MLflow") as lock:
            for attempt in range(1, _PORT_ATTEMPTS + 1):
                # Started again it is where it was: those who know its address keep it.
                known = self._wanted_port or self._port
                try:
                    self._launch(known or free_ports(1)[0], lock)
                except PortTaken:
                    if attempt == _PORT_ATTEMPTS or known is not None:
                        raise
                else:
                    return

    def stop(self, timeout_s: float = 10.0) -> None:
        """End the server, letting requests finish; kill it after `timeout_s`."""
        if self._process is not None:
            self._process.stop(timeout_s)
            self._process = None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self, port: int, lock: int) -> None:
        process = processes.start(
            _command(port), log_path=self.log_path, env=self._environment(), cwd=self.home, held=[lock]
        )
        try:
            _wait_until_ready(process, port)
        except BaseException:
            process.kill()
            raise
        self._process, self._port = process, port

    def _environment(self) -> dict[str, str]:
        # Whatever else is set for MLflow concerns this machine's clients, not this server.
        inherited = {name: value for name, value in os.environ.items() if "MLFLOW_" not in name}
        return inherited | {
            STORE_VARIABLE: f"sqlite:///{self.home / 'mlflow.db'}",
            ARTIFACT_ROOT_VARIABLE: "mlflow-artifacts:/",
            ARTIFACTS_VARIABLE: str(self.home / "artifacts"),
            SERVE_ARTIFACTS_VARIABLE: "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "PYTHONUNBUFFERED": "1",
        }


def asked(uri: str) -> bool:
    """Whether an address is a server that can be asked whether it lives."""
    return uri.startswith(("http://", "https://"))


def answers(uri: str, *, timeout_s: float = 5.0) -> bool:
    """Whether the server at that address answers."""
    try:
        # No proxy stands between this machine and itself.
        local = urllib.parse.urlsplit(uri).hostname in (HOST, "localhost", "::1")
        handlers = [urllib.request.ProxyHandler({})] if local else []
        with urllib.request.build_opener(*handlers).open(
            f"{uri.rstrip('/')}/health", timeout=timeout_s
        ) as got:
            return bool(got.status == 200)
    except (OSError, http.client.HTTPException, ValueError):
        return False


def _command(port: int) -> list[str]:
    uvicorn = [sys.executable, "-m", "uvicorn", "--host", HOST, "--port", str(port), "--workers", "1"]
    return [
        *uvicorn,
        "--no-access-log",
        "--log-level",
        "warning",
        "--timeout-graceful-shutdown",
        "5",
        APPLICATION,
    ]


def _wait_until_ready(process: processes.Process, port: int) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        if not process.alive():
            raise _why_it_ended(process, port)
        # Asked of the process itself: another MLflow may have taken the port meanwhile, and would answer.
        if _listens(process.pid, port) and _get(port, "/health") == 200:
            if _get(port, "/api/2.0/mlflow/experiments/get?experiment_id=0") == 200:
                return
            raise MlflowUnavailable(f"MLflow's store does not answer; {_see(process)}")
        time.sleep(0.05)
    raise MlflowUnavailable(f"MLflow was not ready after {_READY_S:.0f} s; {_see(process)}")


def _listens(pid: int, port: int) -> bool:
    try:
        connections = psutil.Process(pid).net_connections(kind="tcp")
    except psutil.Error:
        return False
    return any(each.status == psutil.CONN_LISTEN and each.laddr.port == port for each in connections)


def _get(port: int, path: str) -> int:
    """HTTP status of a GET, 0 if nothing answers; not by way of a proxy that may be configured."""
    connection = http.client.HTTPConnection(HOST, port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def _why_it_ended(process: processes.Process, port: int) -> MlflowUnavailable | PortTaken:
    if "address already in use" in process.log_tail(5).lower():
        return PortTaken(
            f"port {port} for MLflow was taken by another program while it started. "
            "End that program, or choose another port."
        )
    return MlflowUnavailable(f"MLflow ended while it started; {_see(process)}")


def _see(process: processes.Process) -> str:
    return f"the end of {process.log_path}:\n{process.log_tail(15)}"
