"""Apache Kafka as a child process: one KRaft node on this machine, for one machine."""

from __future__ import annotations

import base64
import os
import time
import uuid
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from infra import processes
from infra.errors import BrokerUnavailable, InfraError, PortTaken, ProcessFailed, WrongBroker
from infra.folder_lock import held_folder
from infra.kafka.admin import cluster_id_at
from infra.kafka.jars import Progress, ensure_jars
from infra.kafka.java import find_java
from infra.ports import HOST, answers, free_ports, require_free
from streams.topics import MESSAGE_BYTES

_T = TypeVar("_T")

_PORT_ATTEMPTS = 3
_READY_S = 60.0
_HEAP_MB = 512

_FOR_EVER_MINUTES = 2_000_000_000

#: A broker that was killed is not let in again before its last session has ended: with Kafka's own 9 s, a restart takes 12.
_SESSION_MS = 3000

_JVM_OPTIONS = (
    f"-Xmx{_HEAP_MB}m",
    # Fast start and little memory count for more here than peak throughput.
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dlog4j2.disableJmx=true",
)

_PROPERTIES = f"""\
process.roles=broker,controller
node.id=1
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
offsets.retention.minutes={_FOR_EVER_MINUTES}
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=2
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms={_SESSION_MS}
broker.heartbeat.interval.ms=500
message.max.bytes={MESSAGE_BYTES}
replica.fetch.max.bytes={MESSAGE_BYTES}
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
background.threads=4
"""

_LOGGING = """\
status = error
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = ${sys:fieldproof.log}
appender.file.filePattern = ${sys:fieldproof.log}.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d{ISO8601} %p %m (%c{1})%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
rootLogger.level = info
rootLogger.appenderRef.file.ref = file
"""


class EmbeddedKafka:
    """A broker whose data live in `home`; starting it again there keeps them.

    It listens on 127.0.0.1 only, on `port` or a free one, and ends with this process, however that ends.
    """

    def __init__(self, home: Path, *, port: int | None = None, progress: Progress = lambda _: None) -> None:
        self.home = home
        self.log_path = home / "logs" / "kafka.log"
        self._wanted_port = port
        self._progress = progress
        self._process: processes.Process | None = None
        self._bootstrap: str | None = None
        self._cluster_id: str | None = None

    @property
    def bootstrap(self) -> str:
        """`host:port` for clients."""
        return _started(self._bootstrap)

    @property
    def cluster_id(self) -> str:
        return _started(self._cluster_id)

    @property
    def pid(self) -> int:
        return _started(self._process).pid

    def alive(self) -> bool:
        return self._process is not None and self._process.alive()

    def start(self) -> None:
        """Start the broker and wait until it serves clients. Does nothing if it already runs.

        Raises PortTaken, FolderBusy, JavaMissing, JarsUnavailable, WrongBroker, or BrokerUnavailable with the
        end of the broker's log.
        """
        if self.alive():
            return
        if self._wanted_port is not None:
            require_free(self._wanted_port, purpose="Kafka")
        jars = ensure_jars(progress=self._progress)
        self._progress("Starting Apache Kafka")
        with held_folder(self.home, purpose="Kafka") as lock:
            java = [str(find_java()), *_JVM_OPTIONS, *self._jvm_paths(jars)]
            self._cluster_id = self._format(java, lock)
            for attempt in range(1, _PORT_ATTEMPTS + 1):
                try:
                    self._launch(java, lock)
                except PortTaken:
                    if attempt == _PORT_ATTEMPTS or self._wanted_port is not None:
                        raise
                else:
                    return

    def start_again(self) -> None:
        """Start a broker that has ended by itself, with its data, on the port that its clients know.

        Raises as `start` does; clients that wait for it find it where it was.
        """
        self._wanted_port = int(self.bootstrap.rpartition(":")[2])
        self.start()

    def stop(self, timeout_s: float = 20.0) -> None:
        """End the broker cleanly; kill it after `timeout_s`."""
        if self._process is not None:
            self._process.stop(timeout_s)
            self._process = None

    def kill(self) -> None:
        """End the broker as a power cut would, but for the page cache."""
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

    @property
    def _out_path(self) -> Path:
        return self.home / "logs" / "kafka.out"

    @property
    def _config_path(self) -> Path:
        return self.home / "server.properties"

    def _jvm_paths(self, jars: tuple[Path, ...]) -> list[str]:
        for name in ("logs", "tmp"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        for left_over in (
            self.home / "tmp"
        ).iterdir():  # native libraries, unpacked by a broker that was killed
            left_over.unlink(missing_ok=True)
        logging = self.home / "log4j2.properties"
        logging.write_text(_LOGGING)
        return [
            f"-Dlog4j2.configurationFile={logging}",
            f"-Dfieldproof.log={self.log_path}",
            f"-Djava.io.tmpdir={self.home / 'tmp'}",
            "-cp",
            os.pathsep.join(str(jar) for jar in jars),
        ]

    def _format(self, java: list[str], lock: int) -> str:
        """Prepare the data directory the first time; return its cluster id."""
        known = _cluster_id_of(self.home / "data")
        if known is not None:
            return known
        cluster_id = new_cluster_id()
        self._configure(broker=9092, controller=9093)
        tool = [*java, "kafka.tools.StorageTool", "format", "--ignore-formatted"]
        process = processes.start(
            [*tool, "--cluster-id", cluster_id, "--config", str(self._config_path)],
            log_path=self._out_path,
            held=[lock],
        )
        if process.wait(_READY_S) != 0:
            process.kill()
            raise BrokerUnavailable(
                f"could not prepare {self.home / 'data'} for Kafka; {_see(self._out_path)}"
            )
        process.kill()
        return cluster_id

    def _configure(self, *, broker: int, controller: int) -> None:
        self._config_path.write_text(
            f"{_PROPERTIES}listeners=PLAINTEXT://{HOST}:{broker},CONTROLLER://{HOST}:{controller}\n"
            f"advertised.listeners=PLAINTEXT://{HOST}:{broker}\n"
            f"controller.quorum.voters=1@{HOST}:{controller}\n"
            f"log.dirs={self.home / 'data'}\n"
        )

    def _launch(self, java: list[str], lock: int) -> None:
        free = free_ports(2)
        broker, controller = self._wanted_port or free[0], free[1]
        self._configure(broker=broker, controller=controller)
        process = processes.start(
            [*java, "kafka.Kafka", str(self._config_path)], log_path=self._out_path, grace_s=10.0, held=[lock]
        )
        try:
            _wait_until_ready(process, broker, _started(self._cluster_id), self.log_path)
        except BaseException:
            process.kill()
            raise
        self._process, self._bootstrap = process, f"{HOST}:{broker}"


def _wait_until_ready(process: processes.Process, port: int, cluster_id: str, log_path: Path) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        if not process.alive():
            raise _why_it_ended(port, log_path, process)
        if answers(port):
            found = cluster_id_at(f"{HOST}:{port}", timeout_s=5.0)
            if found == cluster_id:
                return
            if found is not None:
                raise WrongBroker(
                    f"another Kafka broker (cluster {found}, expected {cluster_id}) answers on port {port}. "
                    "End it, or choose another port."
                )
        time.sleep(0.05)
    raise BrokerUnavailable(f"Kafka was not ready after {_READY_S:.0f} s; {_see(log_path)}")


def _why_it_ended(port: int, log_path: Path, process: processes.Process) -> InfraError:
    text = processes.tail(log_path, 40) + process.log_tail(40)
    if "Address already in use" in text or "BindException" in text:
        return PortTaken(
            f"port {port} for Kafka was taken by another program while it started. "
            "End that program, or choose another port."
        )
    return BrokerUnavailable(f"Kafka ended while it started; {_see(log_path)}\n{process.log_tail(5)}")


def _see(path: Path) -> str:
    return f"the end of {path}:\n{processes.tail(path, 15)}"


def new_cluster_id(draw: Callable[[], uuid.UUID] = uuid.uuid4) -> str:
    """An id for a new cluster; none that begins with a hyphen, which Kafka's tools take for an option."""
    ids = (base64.urlsafe_b64encode(draw().bytes).rstrip(b"=").decode() for _ in count())
    return next(one for one in ids if not one.startswith("-"))


def _cluster_id_of(data: Path) -> str | None:
    """The cluster id of a data directory that was completely formatted, else None."""
    try:
        lines = (data / "meta.properties").read_text().splitlines()
    except FileNotFoundError:
        return None
    return next((line.removeprefix("cluster.id=") for line in lines if line.startswith("cluster.id=")), None)


def _started(value: _T | None) -> _T:
    if value is None:
        raise ProcessFailed("the embedded Kafka has not been started: call start() first")
    return value
