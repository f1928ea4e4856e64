"""What may run where: how far a machine has to hold a candidate's code before it is given a plant's data."""

from __future__ import annotations

from schemas.parties import SandboxLevel
from schemas.words import Phrase


def why_not(
    level: SandboxLevel, classification: str, *, shipped: bool, allow_unsandboxed: bool
) -> Phrase | None:
    """Why a model may not run here, and what to do about it; None if it may.

    Args:
        level: how this machine holds candidates.
        classification: of the data that the agreement hands to the model.
        shipped: whether all of its code is Fieldproof's own.
        allow_unsandboxed: whether the plant's operator has allowed strangers' code without containment.
    """
    if shipped or level == "full":
        return None
    if level == "none" and not allow_unsandboxed:
        return Phrase(
            "this machine does not contain a candidate's code (level none). Install bubblewrap "
            "(`apt-get install bubblewrap`), and see `fieldproof doctor`; or allow it with --allow-unsandboxed, "
            "which every evaluation then says.",
            "이 컴퓨터는 후보 모델의 코드를 격리하지 못합니다(수준 none). bubblewrap을 설치하고"
            "(`apt-get install bubblewrap`) `fieldproof doctor`로 확인하십시오. --allow-unsandboxed로 허용할 수도 "
            "있으며, 그 사실은 모든 평가에 표시됩니다.",
        )
    if classification == "open":
        return None
    return Phrase(
        f"data classified {classification} is handed only to candidates held at level full; here it is {level}. "
        "Install bubblewrap (`apt-get install bubblewrap`), and see `fieldproof doctor` for what is missing.",
        f"{classification} 등급의 데이터는 full 수준으로 격리된 후보 모델에만 전달됩니다. 이 컴퓨터는 {level} "
        "수준입니다. bubblewrap을 설치하고(`apt-get install bubblewrap`) `fieldproof doctor`로 확인하십시오.",
    )
