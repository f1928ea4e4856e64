"""A bundle of evidence: one zip file of plain files, a manifest with their SHA-256 sums, and signatures of the manifest."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import TypeAdapter

from infra.errors import InfraError
from infra.evidence.keys import public_key, signed_by
from infra.evidence.lines import Lines
from schemas.base import Digest, Ident, Moment, PublicKey, Record
from schemas.terms import Told

MANIFEST = "manifest.json"
SIGNATURES = "signatures.json"
#: Goes before the manifest's bytes when they are signed, so that the signature is good for nothing else.
FORMAT = "fieldproof-evidence/1"

#: Manifest and signatures are read into memory, a bundle has a few files, and JSON Lines that resemble one another are
#: packed to a hundredth: what is larger, more, or packed tighter is no evidence of a proof.
LARGEST_JSON, MOST_FILES, TIGHTEST = 4 * 1024**2, 32, 300
#: What a file of a bundle may be called: it becomes a file here.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,60}\.(json|jsonl|parquet)")
_BLOCK = 1024 * 1024
#: The moment that every file of a zip bears, so that the same evidence has the same bytes.
_MOMENT = (2000, 1, 1, 0, 0, 0)


class BundleUnreadable(InfraError):
    """The file is no bundle of evidence."""

    exit_code = 2


class FileSum(Record):
    """A file of the bundle."""

    sha256: Digest
    bytes: int


class CandidateRecord(Record):
    """Which model a candidate was."""

    id: Ident
    model: str
    version: str
    #: SHA-256 over its files, as submitted.
    digest: Digest
    retired: bool = False


class Manifest(Record):
    """What a bundle holds, and of what."""

    format: Literal["fieldproof-evidence/1"] = "fieldproof-evidence/1"
    #: `full`: with the ledger, for whoever may see it. `disclosed`: what the agreement shows to the start-up and coordinators alike.
    scope: Literal["full", "disclosed"]
    pairing: Ident
    plant: Ident
    startup: Ident
    phase: str
    agreement_digest: Digest
    made_at: Moment
    #: The ledger's entries that counted, and the hash chain over them.
    entries: int
    chain: Digest
    candidates: tuple[CandidateRecord, ...]
    #: The candidates and baselines that were judged at the close; none where the pairing was broken off before.
    judged: tuple[str, ...] = ()
    #: What a disclosed bundle may show.
    discloses: tuple[Told, ...] = ()
    #: Of the installation that made it.
    software: dict[str, str]
    files: dict[str, FileSum]


class Signature(Record):
    """One party's signature of the manifest."""

    #: A plant, or `operator` for control.
    holder: Ident
    key: PublicKey
    #: Ed25519, 64 bytes in hexadecimal.
    signature: str

    def holds(self, manifest: bytes) -> bool:
        """Whether it is of these bytes, by its own key."""
        try:
            signature = bytes.fromhex(self.signature)
        except ValueError:
            return False
        return signed_by(self.key, signature, _signed(manifest))


_SIGNATURES: TypeAdapter[tuple[Signature, ...]] = TypeAdapter(tuple[Signature, ...])


def _signed(manifest: bytes) -> bytes:
    return FORMAT.encode() + b"\n" + manifest


def signature_of(holder: Ident, key: Ed25519PrivateKey, manifest: bytes) -> Signature:
    """A party's signature of a manifest."""
    signature = key.sign(_signed(manifest)).hex()
    return Signature(holder=holder, key=public_key(key), signature=signature)


def sum_of(path: Path) -> FileSum:
    """SHA-256 and size of a file."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return FileSum(sha256=digest.hexdigest(), bytes=size)


def pack(folder: Path, manifest: bytes, signatures: tuple[Signature, ...], out: Path) -> None:
    """Put the files of a folder, the manifest and its signatures into one file; whole, or not at all."""
    draft = out.with_name(out.name + ".new")
    signed = json.dumps([one.to_dict() for one in signatures], indent=2).encode()
    try:
        with zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
            _write(archive, MANIFEST, manifest)
            _write(archive, SIGNATURES, signed)
            for path in sorted(folder.iterdir()):
                with path.open("rb") as file, archive.open(_entry(path.name), "w", force_zip64=True) as entry:
                    while block := file.read(_BLOCK):
                        entry.write(block)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def _write(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(_entry(name), content)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=_MOMENT)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle that has been unpacked; nothing of it has been believed yet."""

    manifest: Manifest
    manifest_bytes: bytes
    signatures: tuple[Signature, ...]
    folder: Path
    #: What the files are, by name: as found, not as stated.
    found: Mapping[str, FileSum]

    def path(self, name: str) -> Path:
        """Where a file of the bundle lies."""
        return self.folder / name

    def lines(self, name: str) -> Lines:
        """The lines of a file; none where it is missing.

        Raises:
            ValueError: a line is too long.
        """
        return Lines.of_file(self.path(name)) if name in self.found else Lines.of(())


def unpack(file: Path, folder: Path) -> Bundle:
    """Unpack a bundle into an empty folder.

    Raises:
        BundleUnreadable: it is none; the message says what it lacks.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            entries = _entries(archive, folder)
            manifest = _read(archive, entries.pop(MANIFEST))
            signatures = _SIGNATURES.validate_json(_read(archive, entries.pop(SIGNATURES)))
            stated = Manifest.model_validate_json(manifest)
            found = {name: _take_out(archive, entry, folder) for name, entry in entries.items()}
    except BundleUnreadable:
        raise
    except FileNotFoundError as error:
        raise BundleUnreadable(f"there is no file {file}") from error
    # zipfile and what unpacks for it raise whatever they like over bytes that are no zip file of theirs.
    except Exception as error:
        why = " ".join(str(error).split())[:300] or type(error).__name__
        raise BundleUnreadable(
            f"{file} is no bundle of evidence that this version reads; ask for the file again, or install the version "
            f"that made it: {why}"
        ) from error
    return Bundle(manifest=stated, manifest_bytes=manifest, signatures=signatures, folder=folder, found=found)


def read_signatures(file: Path) -> tuple[Manifest, tuple[Signature, ...]]:
    """The manifest of a bundle that was just written here, and who has signed it."""
    with zipfile.ZipFile(file) as archive:
        return (
            Manifest.model_validate_json(archive.read(MANIFEST)),
            _SIGNATURES.validate_json(archive.read(SIGNATURES)),
        )


def _entries(archive: zipfile.ZipFile, folder: Path) -> dict[str, zipfile.ZipInfo]:
    """What the archive holds, by name; before anything of it is opened.

    Raises:
        BundleUnreadable: it holds what no bundle holds.
    """
    every = archive.infolist()
    names = {one.filename for one in every}
    for name in sorted(names):
        if _NAME.fullmatch(name) is None:
            raise BundleUnreadable(f"the bundle holds a file of the name {name[:100]!r}, which none may have")
    if len(every) != len(names) or len(names) > MOST_FILES:
        raise BundleUnreadable(
            "the bundle holds a file twice, or too many; no two readers would see the same"
        )
    for name in (MANIFEST, SIGNATURES):
        if name not in names:
            raise BundleUnreadable(f"the file holds no {name}: it is no bundle of evidence")
    for one in every:
        if one.file_size > TIGHTEST * one.compress_size + LARGEST_JSON:
            raise BundleUnreadable(
                f"{one.filename} would open to {one.file_size:,} bytes from {one.compress_size:,}: no evidence is packed like that"
            )
    size, free = sum(one.file_size for one in every), shutil.disk_usage(folder).free
    if size > free:
        raise BundleUnreadable(
            f"the bundle needs {size:,} bytes and {folder} has {free:,}; name a larger disk with TMPDIR"
        )
    return {one.filename: one for one in every}


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.file_size > LARGEST_JSON:
        raise BundleUnreadable(f"{entry.filename} is larger than {LARGEST_JSON:,} bytes: no manifest is")
    return archive.read(entry)


def _take_out(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> FileSum:
    path = folder / entry.filename
    # zipfile gives no more than the size that was looked at, and compares the sum of what it gave.
    with archive.open(entry) as source, path.open("xb") as target:
        shutil.copyfileobj(source, target, _BLOCK)
    return sum_of(path)
