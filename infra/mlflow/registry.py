"""The MLflow registry: candidates in, their files out, final evaluations back to the runs that made them.

MLflow is imported when it is first used: it takes seconds, and a worker never needs it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from infra.errors import InfraError, MlflowUnavailable
from infra.mlflow.files import DOWNLOAD_NOTE, UnusableModel, digest_of
from schemas.evaluation import Verdict
from schemas.pairing import Candidate

log = logging.getLogger(__name__)

EXPERIMENT = "fieldproof"


class DigestMismatch(InfraError):
    """The model's files are not those that were submitted. Submit the changed model as a new version."""

    exit_code = 2


class ModelRegistry:
    """Candidates' files, checked against their digests and kept in a directory."""

    def __init__(self, uri: str, directory: Path) -> None:
        self._uri = uri
        self._directory = directory
        self._importing = asyncio.Lock()

    async def fetch(self, candidate: Candidate) -> Path:
        """The directory with a candidate's files.

        Raises:
            MlflowUnavailable: they cannot be had now.
            DigestMismatch, UnusableModel: they are not there any more as they were submitted.
        """
        async with self._importing:
            return await asyncio.to_thread(self._fetch, candidate)

    def holds(self, candidate: Candidate) -> bool:
        """Whether a candidate's files are on this machine."""
        return (self._directory / candidate.digest).exists()

    async def remove(self, candidate: Candidate) -> bool:
        """Delete a candidate's files from this machine; gives whether there were any."""
        kept = self._directory / candidate.digest
        if not kept.is_dir():
            return False
        await asyncio.to_thread(shutil.rmtree, kept)
        return True

    def _fetch(self, candidate: Candidate) -> Path:
        kept = self._directory / candidate.digest
        if kept.is_dir() and digest_of(kept) == candidate.digest:
            return kept
        shutil.rmtree(kept, ignore_errors=True)
        self._directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._directory) as draft:
            found = download(self._uri, _address(candidate), Path(draft))
            digest = digest_of(found)
            if digest != candidate.digest:
                raise DigestMismatch(
                    f"the files of {candidate.model} version {candidate.version} have the digest {digest[:12]}…, "
                    f"submitted was {candidate.digest[:12]}…; submit the changed model as a new version"
                )
            # The digest does not see MLflow's note, so the model may not see it either.
            (found / DOWNLOAD_NOTE).unlink(missing_ok=True)
            shutil.copytree(found, kept)
        return kept

    async def record(self, verdict: Verdict, candidate: Candidate) -> None:
        """Write a final evaluation back to the candidate's run, once."""
        async with self._importing:
            try:
                await asyncio.to_thread(self._record, verdict, candidate)
            except InfraError as error:
                log.warning("the verdict on %s is not in MLflow: %s", candidate.id, error)

    def _record(self, verdict: Verdict, candidate: Candidate) -> None:
        if candidate.run_id is None:
            return
        client = client_at(self._uri)
        prefix = f"fieldproof.{verdict.pairing}"
        try:
            if f"{prefix}.chain" in client.get_run(candidate.run_id).data.tags:
                return
            for name, value in verdict.evaluation.metrics.items():
                client.log_metric(candidate.run_id, f"{prefix}.{name}", value)
            client.log_dict(candidate.run_id, verdict.to_dict(), f"fieldproof/{verdict.pairing}.json")
            client.set_tag(candidate.run_id, f"{prefix}.verdict", verdict.verdict.value)
            client.set_tag(candidate.run_id, f"{prefix}.chain", verdict.evaluation.chain)
            client.set_model_version_tag(
                candidate.model, candidate.version, f"{prefix}.verdict", verdict.verdict.value
            )
        except Exception as error:
            raise translated(error, self._uri) from error


def _address(candidate: Candidate) -> str:
    if candidate.model_id is not None:
        return f"models:/{candidate.model_id}"
    return f"models:/{candidate.model}/{candidate.version}"


def client_at(uri: str) -> Any:
    """An MLflow client; fails within seconds where no server answers."""
    for name, value in (("MAX_RETRIES", "1"), ("TIMEOUT", "20"), ("BACKOFF_FACTOR", "1")):
        os.environ.setdefault(f"MLFLOW_HTTP_REQUEST_{name}", value)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    if not uri:
        raise MlflowUnavailable(
            "no MLflow server is known: start one with `fieldproof up`, or set MLFLOW_TRACKING_URI"
        )
    import mlflow

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    mlflow.set_tracking_uri(uri)
    return mlflow.MlflowClient(uri)


def translated(error: Exception, uri: str) -> InfraError:
    """What MLflow raised, in this project's words."""
    from mlflow.exceptions import MlflowException

    code = getattr(error, "error_code", "")
    if isinstance(error, MlflowException) and code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
        return UnusableModel(f"MLflow at {uri} says: {str(error)[:300]}")
    return MlflowUnavailable(
        f"MLflow at {uri} does not answer: {str(error)[:200]}. Start it with `fieldproof up`, or check MLFLOW_TRACKING_URI."
    )


def download(uri: str, address: str, directory: Path) -> Path:
    """Download a model's files.

    Raises:
        MlflowUnavailable, UnusableModel
    """
    client_at(uri)
    import mlflow

    try:
        return Path(
            mlflow.artifacts.download_artifacts(
                artifact_uri=address, dst_path=str(directory), tracking_uri=uri
            )
        )
    except Exception as error:
        raise translated(error, uri) from error


class Registered:
    """A model in the registry with its version, its logged model's id and the run that it belongs to."""

    def __init__(self, *, name: str, version: str, model_id: str | None, run_id: str | None) -> None:
        self.name = name
        self.version = version
        self.model_id = model_id
        self.run_id = run_id


def register(uri: str, directory: Path, name: str) -> Registered:
    """Upload a model's files and register them as the next version of `name`.

    Raises:
        MlflowUnavailable, UnusableModel
    """
    client = client_at(uri)
    try:
        found = client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT)
        run = client.create_run(experiment, run_name=name)
        run_id = run.info.run_id
        model = client.create_logged_model(experiment, name=name, source_run_id=run_id)
        client.log_model_artifacts(model.model_id, str(directory))
        client.finalize_logged_model(model.model_id, "READY")
        _ensure_registered(client, name)
        version = client.create_model_version(
            name, source=f"models:/{model.model_id}", run_id=run_id, model_id=model.model_id
        )
        client.set_terminated(run_id)
    except Exception as error:
        raise translated(error, uri) from error
    return Registered(name=name, version=str(version.version), model_id=model.model_id, run_id=run_id)


def _ensure_registered(client: Any, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.get_registered_model(name)
    except MlflowException:
        client.create_registered_model(name)


def resolve(uri: str, address: str) -> Registered:
    """The registered version that `models:/NAME/VERSION` or `models:/NAME@ALIAS` names now.

    Raises:
        MlflowUnavailable, UnusableModel
    """
    client = client_at(uri)
    path = address.removeprefix("models:/")
    try:
        if "@" in path:
            name, alias = path.split("@", 1)
            version = client.get_model_version_by_alias(name, alias)
        elif "/" in path:
            name, number = path.rsplit("/", 1)
            version = client.get_model_version(name, number)
        else:
            raise UnusableModel(
                f"{address!r} names no version; write models:/NAME/VERSION or models:/NAME@ALIAS"
            )
    except InfraError:
        raise
    except Exception as error:
        raise translated(error, uri) from error
    return Registered(
        name=version.name,
        version=str(version.version),
        model_id=getattr(version, "model_id", None) or None,
        run_id=version.run_id or None,
    )
