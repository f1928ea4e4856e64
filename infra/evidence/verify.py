"""The check of a bundle of evidence, with nothing but the bundle: no installation, no network."""

from __future__ import annotations

import hashlib

from pydantic import ValidationError

from infra.evidence.bundle import Bundle
from infra.evidence.export import (
    AGREEMENT,
    CHAIN_FILE,
    EVALUATIONS,
    FACTS,
    LABELS,
    LEDGER,
    LOSSES_FILE,
    PAIRING,
    VERDICTS,
    software,
)
from infra.evidence.findings import Findings
from infra.evidence.verify_disclosed import check_disclosed
from infra.evidence.verify_full import check_full
from infra.words.language import Phrase
from schemas.agreement import Agreement
from schemas.base import Digest, Ident, PublicKey
from streams.topics import OPERATOR

#: What findings about signatures begin with.
SIGNATURE = "signature"

#: The files that a bundle has to hold, and those that it may hold.
_NEEDED = {
    "full": {AGREEMENT, PAIRING, FACTS, EVALUATIONS, VERDICTS, LEDGER, LABELS},
    "disclosed": {AGREEMENT, EVALUATIONS, VERDICTS, CHAIN_FILE},
}
_KNOWN = {"full": _NEEDED["full"], "disclosed": {*_NEEDED["disclosed"], LOSSES_FILE}}


def verify(bundle: Bundle, *, consented: Digest | None = None) -> Findings:
    """Compute again what the bundle allows, and say of the rest that it was only signed. Never raises over what a bundle holds.

    Args:
        bundle: unpacked.
        consented: the hash of the agreement as the reader knows it: from its own consent, or from the other side.
    """
    found = Findings()
    if not _files(bundle, found):
        # What the files say is not what was signed: nothing of it is worth a look.
        return found
    agreement = _agreement(bundle, consented, found)
    if agreement is None:
        return found
    _signatures(bundle, agreement, found)
    check = check_full if bundle.manifest.scope == "full" else check_disclosed
    try:
        check(bundle, agreement, found)
    # Whatever a stranger's bytes make the fold or a reader raise, it is their fault and no reason to stop.
    except Exception as error:  # noqa: BLE001
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        found.add("contents", "failed", f"cannot be read: {why}", f"읽을 수 없습니다: {why}")
        return found
    _software(bundle, found)
    return found


def _files(bundle: Bundle, found: Findings) -> bool:
    stated, scope = bundle.manifest.files, bundle.manifest.scope
    wrong = sorted(
        name for name in stated.keys() | bundle.found.keys() if stated.get(name) != bundle.found.get(name)
    )
    wrong += sorted(_NEEDED[scope] - stated.keys() - set(wrong))
    names = ", ".join(wrong)
    holds = found.check(
        "files",
        not wrong,
        Phrase(
            f"{len(stated)} files have the SHA-256 sums of the manifest",
            f"파일 {len(stated)}개의 SHA-256이 목록과 일치합니다",
        ),
        Phrase(f"missing, or not as the manifest says: {names}", f"파일이 없거나 목록과 다릅니다: {names}"),
    )
    others = ", ".join(sorted(stated.keys() - _KNOWN[scope]))
    if holds and others:
        found.add(
            "other files",
            "signed",
            f"files that this version does not know: {others}",
            f"이 버전이 모르는 파일: {others}",
        )
    return holds


def _agreement(bundle: Bundle, consented: Digest | None, found: Findings) -> Agreement | None:
    stated = bundle.manifest.agreement_digest
    try:
        text = bundle.path(AGREEMENT).read_bytes()
        agreement = Agreement.model_validate_json(text)
    except (OSError, ValidationError):
        found.add(
            "agreement",
            "failed",
            "the agreement cannot be read; a newer version of fieldproof may",
            "협약을 읽을 수 없습니다. 더 새로운 버전의 fieldproof가 필요할 수 있습니다",
        )
        return None
    holds = found.check(
        "agreement",
        hashlib.sha256(text).hexdigest() == stated == agreement.digest(),
        Phrase(f"the agreement has the hash {stated}", f"협약의 해시는 {stated}입니다"),
        Phrase("the agreement does not have the stated hash", "협약의 해시가 적힌 값과 다릅니다"),
    )
    if not holds:
        return None
    if consented is None:
        found.add(
            "consented agreement",
            "signed",
            "that this is the agreement both sides consented to: compare its hash with your own copy, or give --agreement HASH",
            "이 협약이 양측이 동의한 협약인지: 가지고 있는 해시와 비교하거나 --agreement 해시로 확인하세요",
        )
        return agreement
    holds = found.check(
        "consented agreement",
        stated.startswith(consented),
        Phrase("it is the agreement that you named", "지정하신 협약과 같습니다"),
        Phrase(
            f"it is another agreement than the one that you named, {consented}",
            f"지정하신 협약({consented})과 다른 협약입니다",
        ),
    )
    return agreement if holds else None


def _signatures(bundle: Bundle, agreement: Agreement, found: Findings) -> None:
    """Both have to be there, hold, and be of the keys that the agreement seals."""
    sealed, plant = agreement.keys, bundle.manifest.plant
    if plant == OPERATOR:
        # One signature would stand for both.
        found.add(
            SIGNATURE, "failed", f"no plant is called {plant}", f"{plant}은(는) 공장 이름이 될 수 없습니다"
        )
        return
    _signature(bundle, plant, Phrase("the plant", "공장"), sealed.plant if sealed else None, found)
    _signature(bundle, OPERATOR, Phrase("control", "설치(제어)"), sealed.control if sealed else None, found)


def _signature(bundle: Bundle, holder: Ident, name: Phrase, key: PublicKey | None, found: Findings) -> None:
    what = f"{SIGNATURE} of {'control' if holder == OPERATOR else 'plant'}"
    every = [one for one in bundle.signatures if one.holder == holder]
    if not every:
        found.add(
            what,
            "missing",
            f"{name.en} has not signed yet; whoever holds its key runs `fieldproof evidence sign`",
            f"{name.ko} 서명이 아직 없습니다. 키를 가진 쪽에서 `fieldproof evidence sign`을 실행하세요",
        )
    elif not all(one.holds(bundle.manifest_bytes) for one in every):
        found.add(
            what,
            "failed",
            f"the signature of {name.en} is not of this bundle",
            f"{name.ko} 서명이 이 묶음의 것이 아닙니다",
        )
    elif key is None:
        found.add(
            what,
            "signed",
            f"signed with the key {every[0].key}; the agreement seals no keys, so ask {name.en} whether it is its own",
            f"{every[0].key} 키로 서명됨. 협약에 키가 없으므로 {name.ko}의 키인지 직접 확인해야 합니다",
        )
    else:
        found.check(
            what,
            all(one.key == key for one in every),
            Phrase(
                f"{name.en} has signed, with the key that the agreement seals",
                f"{name.ko}: 협약에 적힌 키로 서명했습니다",
            ),
            Phrase(
                f"{name.en} is signed for with another key than the agreement seals",
                f"{name.ko} 서명의 키가 협약에 적힌 키와 다릅니다",
            ),
        )


def _software(bundle: Bundle, found: Findings) -> None:
    here = software()
    stated = bundle.manifest.software
    others = ", ".join(
        f"{name} {stated[name]} (here {here.get(name, '–')})"
        for name in sorted(stated)
        if stated[name] != here.get(name)
    )
    found.add(
        "software",
        "signed",
        f"made with other versions: {others}" if others else "made with the versions that are installed here",
        f"다른 버전으로 만듦: {others}" if others else "여기 설치된 것과 같은 버전으로 만들었습니다",
    )
