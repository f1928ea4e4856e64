"""Settings, read once from the environment, and the file in which a running installation says where it is."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from infra.errors import BrokerUnavailable

ADDRESS_FILE = "installation.json"

#: Installations of the demo and of the SKAB run, below the usual one: a command beside them finds them.
TRIALS = ("demo", "skab")


class Settings(BaseSettings):
    """What may be set from outside; every name is documented in the README."""

    model_config = SettingsConfigDict(env_prefix="FIELDPROOF_", frozen=True, extra="ignore")

    #: Where an installation keeps its data: broker, MLflow, state, logs.
    home: Path = Path(".fieldproof")
    #: Where what was downloaded is kept for every installation of this user.
    cache: Path = Field(default_factory=lambda: Path.home() / ".cache" / "fieldproof")
    kafka_bootstrap_servers: str | None = Field(default=None, validation_alias="KAFKA_BOOTSTRAP_SERVERS")
    mlflow_tracking_uri: str | None = Field(default=None, validation_alias="MLFLOW_TRACKING_URI")


class Addresses(BaseModel):
    """Where the parts of a running installation are."""

    model_config = ConfigDict(frozen=True)

    bootstrap: str
    mlflow: str
    cluster_id: str
    #: Where Prometheus finds the figures; nothing where no installation of this machine runs.
    metrics: str = ""
    #: The process that runs the installation.
    pid: int

    def write(self, home: Path) -> None:
        """Publish the addresses for the commands that use the installation."""
        home.mkdir(parents=True, exist_ok=True)
        draft = home / (ADDRESS_FILE + ".new")
        draft.write_text(self.model_dump_json(indent=2))
        draft.replace(home / ADDRESS_FILE)


def home_in_use(settings: Settings | None = None) -> Path:
    """The home of the installation that commands of this directory talk to; the usual one where none runs."""
    home = (settings or Settings()).home
    return next((one for one in (home, *(home / name for name in TRIALS)) if _published(one)), home)


def running(settings: Settings) -> Addresses:
    """The installation that commands of this directory talk to.

    Raises:
        BrokerUnavailable: none runs here and no address was given.
    """
    found = next(
        filter(
            None, (_published(home) for home in (settings.home, *(settings.home / name for name in TRIALS)))
        ),
        None,
    )
    bootstrap = settings.kafka_bootstrap_servers or (found.bootstrap if found else None)
    if bootstrap is None:
        raise BrokerUnavailable(
            f"no installation runs in {settings.home}. Start one there with `fieldproof up`, "
            "or set KAFKA_BOOTSTRAP_SERVERS and MLFLOW_TRACKING_URI."
        )
    return Addresses(
        bootstrap=bootstrap,
        mlflow=settings.mlflow_tracking_uri or (found.mlflow if found else ""),
        cluster_id=found.cluster_id if found else "",
        metrics=found.metrics if found else "",
        pid=found.pid if found else 0,
    )


def _published(home: Path) -> Addresses | None:
    path = home / ADDRESS_FILE
    try:
        found = Addresses.model_validate_json(path.read_text())
    except (FileNotFoundError, ValidationError):
        return None
    return found if _alive(found.pid) else None


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
