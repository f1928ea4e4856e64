"""Labels that no trial understands."""

from __future__ import annotations

from infra.cli.label_check import not_understood
from schemas.agreement import Acceptance, Agreement, Task

ANOMALY = Agreement(
    task=Task.ANOMALY, assets=("a",), inputs=("P",), acceptance=Acceptance(metric="f1", at_least=0.5)
)
LIFE = Agreement(
    task=Task.REGRESSION, assets=("a",), inputs=("P",), acceptance=Acceptance(metric="mae", at_most=9)
)


def test_a_label_that_no_trial_understands_is_told_with_what_they_know() -> None:
    told = not_understood(["anomaly", "불량"], [ANOMALY])
    assert told is not None and "'불량'" in told and "'anomaly'" not in told and "normal, anomaly" in told


def test_a_label_that_one_of_several_trials_understands_is_sent() -> None:
    assert not_understood(["anomaly", 12.5], [ANOMALY, LIFE]) is None
    assert "a number" in str(not_understood(["불량"], [ANOMALY, LIFE]))


def test_without_a_trial_every_label_is_sent() -> None:
    assert not_understood(["불량"], []) is None
