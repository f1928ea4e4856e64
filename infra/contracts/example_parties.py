"""Who takes part in the worked examples, and what they agree on. All of them are made up."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

from schemas.agreement import Acceptance, Agreement, Baseline, LabelRule, Limits, Task
from schemas.erasure import PARTS, Erased, Erasure, Remaining
from schemas.faults import Fault
from schemas.pairing import Candidate, Rehearsal, deployment_id
from schemas.parties import Asset, Capacity, Need, Organisation, Plant, Programme, Role, Tag
from schemas.rejected import Rejections
from schemas.terms import Cost, Decision, Expected, Phases, Retention
from streams import topics

COORDINATOR = "virtual-city-ai"
MANUFACTURER = "virtual-press"
STARTUP = "virtual-vibration"
PROGRAMME = "ax-poc-2026"
PLANT = "virtual-press-1"
NEED = "press-bearing"
PAIRING = "press-bearing-2026-01"
CANDIDATE = "bearing-net-v3"

#: When the proof is proposed.
START = datetime(2026, 3, 2, 0, 0, tzinfo=UTC)


def at(days: float = 0, minutes: float = 0) -> datetime:
    """A moment of the story."""
    return START + timedelta(days=days, minutes=minutes)


ORGANISATION = Organisation(id=MANUFACTURER, name="가상프레스 주식회사 (made up)", roles=(Role.MANUFACTURER,))

THE_PROGRAMME = Programme(
    id=PROGRAMME,
    name="2026 제조 AX 기술실증 (예시)",
    operators=(COORDINATOR,),
    region="가상시",
    cohort="2026-1",
    starts=START.date(),
    ends=datetime(2026, 11, 30, tzinfo=UTC).date(),
)

THE_PLANT = Plant(
    id=PLANT,
    name="가상프레스 1공장 (예시)",
    owner=MANUFACTURER,
    partitions=2,
    assets=(
        Asset(name="프레스-1", description="200톤 프레스 1호기"),
        Asset(name="프레스-2", description="200톤 프레스 2호기"),
    ),
    tags=(
        Tag(name="베어링 진동", unit="mm/s", description="주축 베어링의 진동 속도(RMS)"),
        Tag(name="모터 전류", unit="A"),
        Tag(name="유압", unit="bar"),
    ),
)

THE_NEED = Need(
    id=NEED,
    programme=PROGRAMME,
    plant=PLANT,
    title="프레스 주축 베어링 이상을 하루 전에 알고 싶다",
    description="지금은 진동이 7.1 mm/s를 넘으면 세우고 점검한다. 오경보가 잦다.",
)

AGREEMENT = Agreement(
    task=Task.ANOMALY,
    assets=("프레스-1", "프레스-2"),
    inputs=("베어링 진동", "모터 전류", "유압"),
    target="주축 베어링 이상",
    labels=LabelRule(deadline_days=14, absent_means="normal", watermark_days=7),
    baselines=(Baseline(name="no-alarm", answer="normal"),),
    acceptance=Acceptance(metric="f1", at_least=0.7, min_rows=20_000),
    metrics=("f1", "recall", "far"),
    decision=Decision(planned_units=1000, expected=Expected(baseline_loss=0.2, candidate_loss=0.1)),
    cost=Cost(false_alarm=20_000, missed=500_000),
    limits=Limits(timeout_s=10, memory_mb=1024),
    phases=Phases(rehearsal_rows=1000, trial_days=30, closing_days=14),
    retention=Retention(telemetry_days=90),
)

#: The same, with a smaller share of false alarms asked for.
AMENDED = AGREEMENT.model_copy(update={"acceptance": Acceptance(metric="far", at_most=0.01, min_rows=20_000)})

THE_CANDIDATE = Candidate(
    id=CANDIDATE,
    startup=STARTUP,
    model="bearing-net",
    version="3",
    model_id="m-0123456789abcdef0123456789abcdef",
    digest=hashlib.sha256(b"bearing-net, version 3").hexdigest(),
    context_rows=60,
    with_asset=True,
)

REHEARSAL = Rehearsal(
    passed=True,
    rows=1200,
    labelled=0.98,
    answered=1.0,
    remarks=("24 rows came without a label; the watermark has not passed them yet.",),
)

CAPACITY = Capacity(cores=8, memory_mb=32_768, sandbox="full")

#: The public key of an Ed25519 key pair whose private half nobody keeps.
KEY = hashlib.sha256(b"the plant's key").hexdigest()

REJECTIONS = Rejections(
    topic=topics.telemetry(PLANT),
    rejected=21,
    of=100,
    reason="wrong_column",
    detail="the plant has no tag '유압2'; its tags are 베어링 진동, 모터 전류, 유압",
)

FAULT = Fault(kind="error", exception="ValueError", where="bearing_net/model.py:41", count=5)

#: The candidate's runs: in the first rehearsal, and in the trial.
REHEARSED = deployment_id(PAIRING, CANDIDATE, rehearsal=1)
DEPLOYED = deployment_id(PAIRING, CANDIDATE)

#: Messages that travel in the telemetry topic, and the folder of the labels' examples.
TELEMETRY = frozenset({"telemetry-frame", "telemetry-rows"})
LABELS = "labels"

TRIAL_FROM = {0: 48, 1: 51}
TRIAL_UNTIL = {0: 1488, 1: 1491}

#: What is left of the pairing a year later: of one partition the end waits for another pairing.
ERASURE = Erasure(
    parts=PARTS,
    erased=(
        Erased(topic=topics.telemetry(PLANT), partition=0, first=48, until=1488),
        Erased(topic=topics.telemetry(PLANT), partition=1, first=51, until=1302),
        Erased(topic=topics.ledger(PLANT), partition=0, first=0, until=3120),
    ),
    remaining=(
        Remaining(
            topic=topics.telemetry(PLANT),
            partition=1,
            first=1302,
            until=1491,
            needed_by=("press-bearing-2026-03",),
        ),
    ),
    files_erased=(CANDIDATE,),
    chain=hashlib.sha256(b"the last entry of the ledger").hexdigest(),
    agreement_digest=AGREEMENT.digest(),
)
