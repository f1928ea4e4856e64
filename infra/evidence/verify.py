"""The check of a bundle of evidence, with nothing but the bundle: no installation, no network."""

from __future__ import annotations

import hashlib

from pydantic import ValidationError

from infra.evidence.bundle import Bundle
from infra.evidence.export import AGREEMENT, software
from infra.evidence.findings import Findings
from infra.evidence.verify_disclosed import check_disclosed
from infra.evidence.verify_full import check_full
from infra.words.language import Phrase
from schemas.agreement import Agreement
from streams.topics import OPERATOR


def verify(bundle: Bundle) -> Findings:
    """Compute again what the bundle allows, and say of the rest that it was only signed."""
    found = Findings()
    if not _files(bundle, found):
        # What the files say is not what was signed: nothing of it is worth a look.
        return found
    agreement = _agreement(bundle, found)
    if agreement is None:
        return found
    _signatures(bundle, agreement, found)
    (check_full if bundle.manifest.scope == "full" else check_disclosed)(bundle, agreement, found)
    _software(bundle, found)
    return found


def _files(bundle: Bundle, found: Findings) -> bool:
    stated = bundle.manifest.files
    wrong = sorted(
        name for name in stated.keys() | bundle.found.keys() if stated.get(name) != bundle.found.get(name)
    )
    names = ", ".join(wrong)
    return found.check(
        "files",
        not wrong,
        Phrase(
            f"{len(stated)} files have the SHA-256 sums of the manifest",
            f"파일 {len(stated)}개의 SHA-256이 목록과 일치합니다",
        ),
        Phrase(f"not as the manifest says: {names}", f"목록과 다른 파일: {names}"),
    )


def _agreement(bundle: Bundle, found: Findings) -> Agreement | None:
    stated = bundle.manifest.agreement_digest
    try:
        text = bundle.path(AGREEMENT).read_bytes()
        agreement = Agreement.model_validate_json(text)
    except (OSError, ValidationError):
        found.add("agreement", "failed", "the agreement cannot be read", "협약을 읽을 수 없습니다")
        return None
    holds = hashlib.sha256(text).hexdigest() == stated == agreement.digest()
    found.check(
        "agreement",
        holds,
        Phrase(f"the agreement has the hash {stated[:12]}…", f"협약의 해시는 {stated[:12]}…입니다"),
        Phrase("the agreement does not have the stated hash", "협약의 해시가 적힌 값과 다릅니다"),
    )
    return agreement if holds else None


def _signatures(bundle: Bundle, agreement: Agreement, found: Findings) -> None:
    """Both have to be there, hold, and be of the keys that the agreement seals."""
    sealed = agreement.keys
    for holder, name, key in (
        (bundle.manifest.plant, Phrase("the plant", "공장"), sealed and sealed.plant),
        (OPERATOR, Phrase("control", "설치(제어)"), sealed and sealed.control),
    ):
        what = f"signature of {'control' if holder == OPERATOR else 'plant'}"
        signature = next((one for one in bundle.signatures if one.holder == holder), None)
        if signature is None:
            found.add(
                what,
                "failed",
                f"{name.en} has not signed; whoever holds its key runs `fieldproof evidence sign`",
                f"{name.ko} 서명이 없습니다. 키를 가진 쪽에서 `fieldproof evidence sign`을 실행하세요",
            )
        elif not signature.holds(bundle.manifest_bytes):
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
                f"signed with {signature.key[:12]}…; the agreement seals no keys, so ask {name.en} whether it is its own",
                f"{signature.key[:12]}… 키로 서명됨. 협약에 키가 없으므로 {name.ko}의 키인지 직접 확인해야 합니다",
            )
        else:
            found.check(
                what,
                signature.key == key,
                Phrase(
                    f"{name.en} has signed, with the key that the agreement seals",
                    f"{name.ko}이(가) 협약에 적힌 키로 서명했습니다",
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
