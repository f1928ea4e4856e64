"""Names of consumer groups, which are also the names of the Faust apps."""

from __future__ import annotations

CONTROL = "fp.control"


def scorer_group(plant: str) -> str:
    """The group of a plant's scorer."""
    return f"fp.scorer.{plant}"


def runner_group(deployment: str) -> str:
    """The group of a deployment's runner."""
    return "fp.runner." + deployment.replace("/", ".")
