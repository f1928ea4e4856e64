"""What a candidate's process is given, and what it may use."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from infra.environments.environment import Environment, own_environment
from infra.sandbox.command import Launch
from models import child
from models.contract import WINDOW, Contract
from schemas.agreement import Agreement, Task

#: Of the sources that a place in a fault may lie in: the most of them, and the most bytes of each.
_SOURCES, _SOURCE_BYTES = 2000, 1 << 20


@dataclass(frozen=True, kw_only=True)
class ChildSpec:
    """One candidate: its files, what it is given, what it may use."""

    #: A local copy of the MLflow model, checked against its digest.
    model: Path
    contract: Contract
    task: Task
    #: Class names in the order of their codes; empty in regression.
    classes: tuple[str, ...] = ()
    #: Seconds for one frame, from its turn to the last byte of its answer: a guard against hanging.
    timeout_s: float = 30
    #: Seconds for the libraries' import, and as long again for loading the model.
    start_timeout_s: float = 120
    #: What the model may take beyond its libraries.
    memory_mb: int = 2048
    #: CPU seconds for one frame, of all its threads together; None: only time passes.
    cpu_s: float | None = None
    #: The interpreter and the packages that it runs with.
    environment: Environment = field(default_factory=own_environment)
    #: Whether a fault's text is its whole traceback: for those whose model it is, not for a plant.
    tracebacks: bool = False
    #: Frames that may be on their way at once.
    window: int = WINDOW

    @classmethod
    def agreed(
        cls,
        model: Path,
        contract: Contract,
        agreement: Agreement,
        environment: Environment | None = None,
    ) -> ChildSpec:
        """The candidate under an agreement's task, classes and limits."""
        limits = agreement.limits
        return cls(
            model=model,
            contract=contract,
            task=agreement.task,
            classes=agreement.classes,
            timeout_s=limits.timeout_s,
            start_timeout_s=limits.start_timeout_s,
            memory_mb=limits.memory_mb,
            cpu_s=limits.cpu_s,
            environment=environment or own_environment(),
        )

    @property
    def n_columns(self) -> int:
        """Columns of an answer."""
        return 2 if self.contract.score else 1

    @property
    def own_packages(self) -> bool:
        """Whether its packages are of its own choosing, and not the platform's."""
        return self.environment != own_environment()

    @cached_property
    def sources(self) -> dict[str, int]:
        """Lines of each of the model's Python files by its path inside the model."""
        found: dict[str, int] = {}
        for path in sorted(self.model.rglob("*.py")):
            name = path.relative_to(self.model).as_posix()
            plain = path.is_file() and not path.is_symlink() and name.isprintable()
            if plain and len(found) < _SOURCES and path.stat().st_size <= _SOURCE_BYTES:
                found[name] = len(path.read_bytes().splitlines())
        return found

    def config(self, launched: Launch) -> bytes:
        """What the child is told at its start."""
        config = {
            "model": launched.model,
            "packages": launched.packages,
            "columns": [(column.name, column.type) for column in self.contract.columns],
            "with_ts": self.contract.with_ts,
            "with_asset": self.contract.with_asset,
            "score": self.contract.score,
            "task": self.task.value,
            "classes": self.classes,
            "memory_mb": self.memory_mb,
            "tracebacks": self.tracebacks,
        }
        raw = json.dumps(config).encode()
        return child.LENGTH.pack(len(raw)) + raw
