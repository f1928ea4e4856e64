"""Asking an installation how it stands, as any watcher may: `/readyz` beside the figures for Prometheus."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

#: The pages that stand beside the figures.
LIVEZ, READYZ = "livez", "readyz"


def beside(metrics: str, page: str) -> str:
    """The address of a page that stands beside the figures."""
    return metrics.rpartition("/")[0] + f"/{page}"


def read_health(metrics: str, *, timeout_s: float = 5.0) -> dict[str, Any] | None:
    """Whether an installation is ready, and its checks; None where it does not say.

    Args:
        metrics: the address of its figures; empty where no installation of this machine runs.
    """
    if not metrics:
        return None
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(beside(metrics, READYZ), timeout=timeout_s) as answer:
            told = answer.read()
    except urllib.error.HTTPError as error:
        # Not ready is an answer.
        with error:
            told = error.read()
    except OSError:
        return None
    try:
        found = json.loads(told)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "checks" in found else None
