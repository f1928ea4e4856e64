"""What the things of an installation are called on screen, in English and Korean."""

from __future__ import annotations

from schemas.pairing import Phase
from schemas.parties import Role
from schemas.words import Phrase

ORGANISATION = Phrase("organisation", "기관")
PROGRAMME = Phrase("programme", "사업")
PLANT = Phrase("plant", "공장")
NEED = Phrase("need", "수요")
PAIRING = Phrase("pairing", "매칭")
CANDIDATE = Phrase("candidate", "후보 모델")
DEPLOYMENT = Phrase("deployment", "배치")
ASSET = Phrase("asset", "설비")
TAG = Phrase("tag", "계측값")

ROLES = {
    Role.MANUFACTURER: Phrase("manufacturer", "수요기업"),
    Role.STARTUP: Phrase("startup", "스타트업"),
    Role.COORDINATOR: Phrase("coordinator", "운영기관"),
    Role.OBSERVER: Phrase("observer", "참관기관"),
}

PHASES = {
    Phase.PROPOSED: Phrase("proposed", "제안됨"),
    Phase.AGREED: Phrase("agreed", "협약됨"),
    Phase.REHEARSING: Phrase("rehearsing", "예행 중"),
    Phase.RUNNING: Phrase("running", "실증 중"),
    Phase.CLOSING: Phrase("closing, labels still due", "마감 중(라벨 대기)"),
    Phase.CONCLUDED: Phrase("concluded", "판정 완료"),
    Phase.OBJECTION_PERIOD: Phrase("objection period", "이의 제기 기간"),
    Phase.SETTLED: Phrase("settled", "확정"),
    Phase.FOLLOWED_UP: Phrase("followed up", "후속 조치 완료"),
    Phase.STOPPED: Phrase("stopped", "중단"),
    Phase.WITHDRAWN: Phrase("withdrawn", "철회"),
    Phase.EXPIRED: Phrase("expired", "기한 만료"),
}
