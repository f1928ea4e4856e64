"""A model that is changed after its submission, and an alias that is given to another version."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from infra.submission import submit
from schemas.requests import StartTrial
from streams import topics
from tests.faults.matrix.ground import Ground
from tests.integration.commands import wait_for
from tests.integration.plants import MAKER, Site, agreement

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def site(ground: Ground) -> Site:
    """One plant for all of these."""
    return ground.shared.site("models")


def artifacts(ground: Ground, model_id: str) -> Path:
    """Where the MLflow server keeps a model's files."""
    return (
        next(path for path in (ground.mlflow.home / "artifacts").rglob(model_id) if path.is_dir())
        / "artifacts"
    )


def test_a_model_that_was_changed_after_its_submission_is_refused(ground: Ground, site: Site) -> None:
    site.propose("tampered-1", agreement())
    candidate = site.submit("tampered-1", ground.models / "threshold", "tampered").candidate
    assert candidate.model_id is not None
    code = next(artifacts(ground, candidate.model_id).rglob("threshold.py"))
    code.write_text(code.read_text().replace("0.5", "0.4"))
    site.ask(MAKER, StartTrial(pairing="tampered-1"))
    site.frame("t-0", 0, [0.9, 0.1])
    found = site.wait_counts("tampered-1", candidate.id, rows_in=2, failed=2)
    assert found.audit.failed_by_kind == {"suspended": 2}

    def suspended() -> str | None:
        ground.shared.client.refresh()
        deployment = ground.shared.client.state.pairings["tampered-1"].deployment(
            f"tampered-1/{candidate.id}"
        )
        return "suspended" if deployment is not None and deployment.suspended is not None else None

    wait_for(suspended, "the fact that it is suspended")
    told = [
        entry.told
        for entry in ground.seen(site, "tampered-1", f"tampered-1/{candidate.id}").outcomes.values()
    ]
    assert all("digest" in one["detail"] for one in told)


def test_an_alias_that_is_moved_changes_nothing_the_pinned_files_run(
    ground: Ground, site: Site, tmp_path: Path
) -> None:
    client = MlflowClient(ground.mlflow.tracking_uri)
    site.propose("alias-1", agreement())
    first = site.submit("alias-1", ground.models / "threshold", "aliased").candidate
    client.set_registered_model_alias(first.model, "best", first.version)
    # Another model takes the alias, and stands in the registry under the same name.
    other = tmp_path / "other"
    shutil.copytree(ground.models / "threshold", other)
    code = next(other.rglob("threshold.py"))
    code.write_text(code.read_text().replace("> 0.5", "< 0.5"))
    site.propose("alias-2", agreement())
    second = submit(ground.shared.client, "alias-2", str(other), name="aliased").candidate
    client.set_registered_model_alias(first.model, "best", second.version)
    by_alias = submit(
        ground.shared.client, "alias-1", f"models:/{first.model}@best", name="aliased"
    ).candidate
    assert (by_alias.version, by_alias.digest) == (second.version, second.digest)
    client.set_registered_model_alias(first.model, "best", first.version)
    site.ask(MAKER, StartTrial(pairing="alias-1"))
    site.label("all", 0, 100, "anomaly")
    site.frame("a-0", 0, [0.9, 0.1, 0.1])
    was = {first.id: 1, by_alias.id: 2}
    for name, alarms in was.items():
        found = site.wait_counts("alias-1", name, rows_in=3, scored=3)
        assert found.confusion["anomaly/anomaly"] == alarms
    assert topics.telemetry(site.name)
