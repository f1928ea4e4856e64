"""A runner like any other, but that the handling of one frame raises: `python -m tests.faults.matrix.raising SPEC`.

Composed here, so that no worker of the project has a way to be told this. `RAISE_AT` is the frame, `RAISE_IN` the step.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from agents.runner import Runner
from infra.worker import main


def raising(step: Any) -> Any:
    """The step of the runner, raising at the one frame."""

    async def raised(self: Runner, arrival: Any, *rest: Any) -> Any:
        record = getattr(arrival, "record", arrival)
        if record.ident == os.environ["RAISE_AT"]:
            raise ValueError("this frame cannot be handled")
        return await step(self, arrival, *rest)

    return raised


if __name__ == "__main__":
    name = os.environ["RAISE_IN"]
    setattr(Runner, name, raising(getattr(Runner, name)))
    main(sys.argv[1])
