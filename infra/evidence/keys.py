"""Signing keys: one of each plant, kept by its manufacturer, and one of control, kept by the installation.

A key lies in `keys/HOLDER.pem`. One that was in use before keeps signing what seals it, under a name such as
`keys/HOLDER.2025.pem`.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from infra.errors import InfraError
from schemas.base import Ident, PublicKey

FOLDER = "keys"


class KeyUnusable(InfraError):
    """A file that should hold a signing key holds none."""

    exit_code = 2


def signing_key(home: Path, holder: Ident) -> Ed25519PrivateKey:
    """The key of a plant, or of control, in this home; made where there is none yet, readable by its owner alone.

    Raises:
        KeyUnusable: the file is no Ed25519 key, or cannot be read.
    """
    path = _path(home, holder)
    if not path.exists():
        _make(path)
    return _read(path)


def new_key(home: Path, holder: Ident) -> Ed25519PrivateKey:
    """Another key for a plant, or for control, in place of the one in this home, which stays beside it.

    Raises:
        KeyUnusable: the key that is there cannot be read, so that nobody knows what to call it.
    """
    path = _path(home, holder)
    if path.exists():
        path.rename(path.with_name(f"{holder}.{public_key(_read(path))[:12]}.pem"))
    return signing_key(home, holder)


def own_key(home: Path, holder: Ident, *, public: PublicKey | None = None) -> Ed25519PrivateKey | None:
    """The key of a plant, or of control, if this home holds it; or the one with this public half, also an earlier one.

    Raises:
        KeyUnusable: a file is no Ed25519 key, or cannot be read.
    """
    path = _path(home, holder)
    if public is None:
        return _read(path) if path.exists() else None
    # A holder's name has no dot: the files of another one are not among them.
    files = sorted((path.parent).glob(f"{holder}.pem")) + sorted((path.parent).glob(f"{holder}.*.pem"))
    return next((key for key in map(_read, files) if public_key(key) == public), None)


def public_key(key: Ed25519PrivateKey) -> PublicKey:
    """The public half of a key, in hexadecimal."""
    return key.public_key().public_bytes_raw().hex()


def signed_by(key: PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether a signature of a message was made with the private half of a key."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _path(home: Path, holder: Ident) -> Path:
    return home / FOLDER / f"{holder}.pem"


def _make(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # Made readable by its owner alone.
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}-", suffix=".new")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        # A link is made whole or not at all, and never in place of a key that is there: whoever came first has made it.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
    _keep(path.parent)


def _keep(folder: Path) -> None:
    """A key that is published has to be there after a power failure, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise KeyUnusable(f"{path} cannot be read: {error.strerror}; run this as its owner") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyUnusable(f"{path} holds no signing key; put back the file from your backup") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyUnusable(f"{path} holds a key of another kind; put back the file from your backup")
    return key
