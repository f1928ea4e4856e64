"""Getting a candidate ready to run on this machine: may it run here, are its files there, and its environment."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from infra.environments.environment import Environment, EnvironmentUnavailable, EnvironmentUnusable
from infra.environments.store import Environments
from infra.errors import InfraError, MlflowUnavailable
from infra.mlflow.registry import ModelRegistry
from infra.sandbox.command import Level
from infra.sandbox.shipped import shipped
from models.contract import Failed, Predicted
from schemas.pairing import Candidate, Pairing
from streams.holding import why_not

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Ready:
    """The candidate can be started."""

    model: Path
    environment: Environment
    #: How its code is held, as every evaluation says it.
    held: str


@dataclass(frozen=True, kw_only=True)
class Unusable:
    """The candidate cannot be run, and that is its own fault. A `Predictor`, which fails every frame for that reason."""

    reason: str

    @property
    def fault(self) -> Failed:
        """The fault, as its start-up is told."""
        return Failed(kind="error", text=self.reason)

    async def predict(
        self, asset: str, payload: bytes | memoryview, n_rows: int, context: bytes | None, n_context: int
    ) -> Predicted | Failed:
        """Fail one frame, without having asked."""
        return Failed(kind="suspended", text=self.reason)


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """The platform cannot run it yet; it is tried again."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Forbidden:
    """This machine may not run it; it goes back to its start-up at once."""

    reason: str


Prepared = Ready | Unusable | Waiting | Forbidden


class Preparation:
    """Prepares the candidates of one plant."""

    def __init__(
        self, registry: ModelRegistry, environments: Environments, *, level: Level, unsandboxed: bool
    ) -> None:
        self._registry = registry
        self._environments = environments
        # One environment is built after the other anyway; those that wait may not take everybody's threads.
        self._builders = ThreadPoolExecutor(max_workers=2, thread_name_prefix="environments")
        self._level = level
        self._unsandboxed = unsandboxed

    async def of(self, candidate: Candidate, pairing: Pairing) -> Prepared:
        """Fetch and build what a candidate needs, or say why that cannot be had."""
        try:
            model = await self._registry.fetch(candidate)
            environment = await asyncio.get_running_loop().run_in_executor(
                self._builders, self._environment, candidate, model
            )
        except (MlflowUnavailable, EnvironmentUnavailable) as error:
            return Waiting(reason=str(error))
        except (InfraError, EnvironmentUnusable) as error:
            return Unusable(reason=str(error))
        return self._held(model, environment, pairing)

    def _environment(self, candidate: Candidate, model: Path) -> Environment:
        return self._environments.of(model, progress=lambda text: log.info("%s: %s", candidate.id, text))

    def _held(self, model: Path, environment: Environment, pairing: Pairing) -> Ready | Forbidden:
        """Where the level is not the full one, what its submission says of the model is not enough."""
        own = shipped(model)
        refusal = why_not(
            self._level, pairing.agreement.classification, shipped=own, allow_unsandboxed=self._unsandboxed
        )
        if refusal is not None:
            return Forbidden(reason=str(refusal))
        if self._level == "full":
            held = "full"
        elif own:
            held = f"{self._level}, one of the project's own models"
        else:
            held = f"{self._level}, allowed by the plant's operator" if self._level == "none" else self._level
        return Ready(model=model, environment=environment, held=held)
