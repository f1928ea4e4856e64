"""What a run was made on: the machine without its name, and the versions of what took part."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.speed.asking import PYTHON, ROOT
from infra.sandbox.command import probe_level

PACKAGES = (
    "fieldproof",
    "mlflow",
    "scikit-learn",
    "numpy",
    "pandas",
    "pyarrow",
    "faust-streaming",
    "aiokafka",
)
PEERS = ("confluent-kafka", "quixstreams", "scikit-learn", "numpy", "pandas", "pyarrow", "mlflow")

_ASK = "import importlib.metadata as m, json, sys; print(json.dumps({n: m.version(n) for n in sys.argv[1:]}))"


def about() -> dict[str, Any]:
    """Date, machine and versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "cpu": _cpu(),
            "memory_mb": psutil.virtual_memory().total >> 20,
            "system": platform.system(),
            "load_before": round(os.getloadavg()[0], 2),
            "sandbox": probe_level(),
        },
        "versions": {
            "python": platform.python_version(),
            "commit": _commit(),
            "platform": {name: importlib.metadata.version(name) for name in PACKAGES},
            "peers": _peers(),
        },
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )


def _commit() -> str | None:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None


def _peers() -> dict[str, str]:
    import json

    if not PYTHON.exists():
        return {}
    done = subprocess.run(
        [str(PYTHON), "-c", _ASK, *PEERS],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.defpath},
    )
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return {}
    found: dict[str, str] = json.loads(done.stdout)
    return found
