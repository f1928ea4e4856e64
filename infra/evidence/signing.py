"""Adding a signature to a bundle that somebody else has made."""

from __future__ import annotations

import tempfile
from pathlib import Path

from infra.errors import InfraError
from infra.evidence.bundle import Bundle, Signature, pack, unpack
from infra.evidence.export import AGREEMENT, signatures
from infra.evidence.verify import SIGNATURE, verify
from schemas.agreement import Agreement
from schemas.base import Ident


class NotToBeSigned(InfraError):
    """The bundle is wrong in itself."""

    exit_code = 1


def add_signatures(file: Path, home: Path) -> list[Ident]:
    """Sign a bundle with the keys of this home that have not signed it yet; gives whose they are.

    Where the agreement seals keys, only these sign, and they take the place of any other signature in their holder's name.

    Raises:
        BundleUnreadable: the file is no bundle.
        NotToBeSigned: what it says does not follow from what it holds.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        bundle = unpack(file, folder)
        wrong = [one for one in verify(bundle).wrong if not one.what.startswith(SIGNATURE)]
        if wrong:
            raise NotToBeSigned(f"{file} is not signed: {wrong[0].said.en}")
        agreement = Agreement.model_validate_json(bundle.path(AGREEMENT).read_bytes())
        mine = signatures(home, bundle.manifest.plant, agreement, bundle.manifest_bytes)
        there = {one.holder: one for one in bundle.signatures}
        added = [one for one in mine if not _stands(there.get(one.holder), one, agreement, bundle)]
        if added:
            there |= {one.holder: one for one in added}
            pack(folder, bundle.manifest_bytes, tuple(there.values()), file)
    return [one.holder for one in added]


def _stands(there: Signature | None, mine: Signature, agreement: Agreement, bundle: Bundle) -> bool:
    """Whether a signature stays: it is this one, or no key is sealed and it holds."""
    if there is None or there == mine:
        return there == mine
    return agreement.keys is None and there.holds(bundle.manifest_bytes)
