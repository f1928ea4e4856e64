"""Adding a signature to a bundle that somebody else has made."""

from __future__ import annotations

import tempfile
from pathlib import Path

from infra.errors import InfraError
from infra.evidence.bundle import pack, signature_of, unpack
from infra.evidence.keys import own_key
from infra.evidence.verify import verify
from schemas.base import Ident
from streams.topics import OPERATOR


class NotToBeSigned(InfraError):
    """The bundle is wrong in itself."""

    exit_code = 1


def add_signatures(file: Path, home: Path) -> list[Ident]:
    """Sign a bundle with the keys of this home that have not signed it yet; gives whose they are.

    Raises:
        BundleUnreadable: the file is no bundle.
        NotToBeSigned: what it says does not follow from what it holds.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bundle = unpack(file, folder)
        wrong = [
            one
            for one in verify(bundle).every
            if one.state == "failed" and not one.what.startswith("signature")
        ]
        if wrong:
            raise NotToBeSigned(f"{file} is not signed: {wrong[0].said.en}")
        signatures = {one.holder: one for one in bundle.signatures}
        added = []
        for holder in (bundle.manifest.plant, OPERATOR):
            key = own_key(home, holder)
            if key is not None and holder not in signatures:
                signatures[holder] = signature_of(holder, key, bundle.manifest_bytes)
                added.append(holder)
        if added:
            pack(folder, bundle.manifest_bytes, tuple(signatures.values()), file)
    return added
