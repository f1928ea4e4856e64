"""Settings of every suite."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# A busy machine is no failure: how long an example takes is a matter for benchmarks.
settings.register_profile("fieldproof", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fieldproof")
