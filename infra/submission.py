"""Submitting a candidate: its files are read and never run here, registered, frozen by digest, and asked for."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from infra.client import Answer, Client
from infra.errors import InfraError
from infra.mlflow.files import UnusableModel, contract_of, digest_of
from infra.mlflow.registry import Registered, download, register, resolve
from infra.sandbox.shipped import shipped
from infra.words.language import Phrase
from models.contract import Contract, check_signature
from schemas.agreement import Agreement
from schemas.events import RequestRefused
from schemas.pairing import Candidate, Pairing
from schemas.requests import SubmitCandidate
from streams.judgement import judge

#: Letters of an id that are a model's name; its version takes the rest.
NAME_CHARS = 50


class Refused(InfraError):
    """The request would be refused."""

    exit_code = 4

    def __init__(self, why: Phrase) -> None:
        super().__init__(why.en)
        self.why = why


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """A candidate as it was asked for, and the answer."""

    candidate: Candidate
    answer: Answer


def submit(client: Client, pairing_id: str, source: str, *, name: str | None = None) -> Submitted:
    """Submit a model as a candidate of a pairing.

    Args:
        client: the installation.
        pairing_id: the pairing.
        source: a folder with an MLflow model, `runs:/RUN/PATH`, `models:/NAME/VERSION` or `models:/NAME@ALIAS`.
        name: the model's name in the registry, where it is registered by this; the folder's if not given.

    Raises:
        UnusableModel: it cannot be a candidate; the text says what to do.
        MlflowUnavailable, BrokerUnavailable, NoAnswer, Unknown
    """
    client.refresh()
    pairing = client.pairing(pairing_id)
    if source.startswith("models:/"):
        candidate = _from_registry(client, pairing, source)
    elif source.startswith("runs:/"):
        with tempfile.TemporaryDirectory() as draft:
            folder = download(client.addresses.mlflow, source, Path(draft))
            candidate = _from_folder(client, pairing, folder, name or source.rsplit("/", 1)[-1])
    else:
        candidate = _from_folder(client, pairing, Path(source), name)
    command = SubmitCandidate(pairing=pairing.id, candidate=candidate)
    return Submitted(candidate=candidate, answer=client.ask(pairing.startup, command))


def _from_folder(client: Client, pairing: Pairing, folder: Path, name: str | None) -> Candidate:
    if not folder.is_dir():
        raise UnusableModel(
            f"{folder} is no folder; give the folder of an MLflow model, runs:/RUN/PATH or models:/NAME/VERSION"
        )
    contract = checked(folder, pairing.agreement)
    digest = digest_of(folder)
    known = (one for one in pairing.candidates if one.id not in pairing.returned)
    there = next((one for one in known if one.digest == digest), None)
    if there is not None:
        # The same files again: asking once more gives the fact that took them in.
        return there
    title = name or folder.resolve().name
    _not_refused(client, pairing, _candidate(pairing, _next_version(title), contract, folder))
    registered = register(client.addresses.mlflow, folder, title)
    return _candidate(pairing, registered, contract, folder)


def _next_version(name: str) -> Registered:
    """What registering would give, as far as it matters for whether it would be refused."""
    return Registered(name=name, version="next", model_id=None, run_id=None)


def _not_refused(client: Client, pairing: Pairing, candidate: Candidate) -> None:
    """Ask beforehand, so that a model that would be refused leaves no version in the registry.

    Raises:
        Refused: control would refuse it, with its reason.
    """
    command = SubmitCandidate(pairing=pairing.id, candidate=candidate)
    body = judge(pairing.startup, command, client.state, request="beforehand", ends={})
    if isinstance(body, RequestRefused):
        raise Refused(body.why)


def _from_registry(client: Client, pairing: Pairing, address: str) -> Candidate:
    registered = resolve(client.addresses.mlflow, address)
    pinned = (
        f"models:/{registered.model_id}"
        if registered.model_id
        else f"models:/{registered.name}/{registered.version}"
    )
    with tempfile.TemporaryDirectory() as draft:
        folder = download(client.addresses.mlflow, pinned, Path(draft))
        return _candidate(pairing, registered, checked(folder, pairing.agreement), folder)


def checked(folder: Path, agreement: Agreement) -> Contract:
    """What the model declares, if that fits the agreement.

    Raises:
        UnusableModel: with everything that does not fit.
    """
    contract = contract_of(folder)
    problems = check_signature(
        contract,
        agreement.inputs,
        agreement.task,
        max_context_rows=agreement.limits.context_rows,
    )
    if problems:
        raise UnusableModel("\n".join(problems))
    return contract


def _candidate(pairing: Pairing, registered: Registered, contract: Contract, folder: Path) -> Candidate:
    name = readable(registered.name)
    return Candidate(
        id=f"{name}-v{registered.version}",
        startup=pairing.startup,
        model=registered.name,
        version=registered.version,
        model_id=registered.model_id,
        run_id=registered.run_id,
        digest=digest_of(folder),
        shipped=shipped(folder),
        context_rows=contract.context_rows,
        with_ts=contract.with_ts,
        with_asset=contract.with_asset,
    )


def readable(name: str) -> str:
    """A model's name as part of an id: lower case, digits and hyphens.

    Letters that an id cannot hold leave a mark that only this name has: two Korean names stay two.
    """
    plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name.lower())
    parts = [part for part in plain.split("-") if part]
    if not name.isascii():
        parts.append(hashlib.sha256(name.encode()).hexdigest()[:6])
    short = "-".join(parts) or "model"
    if len(short) <= NAME_CHARS:
        return short
    return f"{short[: NAME_CHARS - 7].strip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
