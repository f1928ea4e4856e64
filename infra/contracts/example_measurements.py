"""Worked examples of what a plant sends, of its ledger, and of what the scorer says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta, timezone

import numpy as np
import pyarrow as pa

from infra.contracts.example_parties import (
    AGREEMENT,
    CANDIDATE,
    PAIRING,
    PLANT,
    STARTUP,
    TRIAL_FROM,
    TRIAL_UNTIL,
    at,
)
from models.exact import published
from schemas.agreement import Task
from schemas.evaluation import Audit, Counts, Evaluation, Outcome, Verdict
from schemas.labels import IntervalLabel, PointLabel, Watermark, Withdrawal
from schemas.ledger import Closed, Covered, Ended, Label, LabelFrame, Source, Started, Tick
from schemas.ledger import Outcome as FrameOutcome
from schemas.ledger import Watermark as WatermarkEntry
from schemas.pairing import deployment_id
from schemas.rejected import Rejected
from streams.envelope import ARROW, FRAME, FRAME_HEADER, JSON, LABEL_FRAME, ROWS, Headers, RawRecord, headers
from streams.frames import TS, TS_TYPE, decode_frame, encode_batch, encode_frame, micros
from streams.label_codec import VALUE
from streams.ledger_codec import Entry, LabelRows, OutcomeRows

ASSET = "프레스-1"
FRAME_ID = "press-1-20260315T000000Z"
#: When the example frame begins, one row a second.
BEGIN = at(13)
TIMES = np.array([micros(BEGIN) + second * 1_000_000 for second in range(3)], dtype=np.int64)
SEOUL = timezone(timedelta(hours=9))
DEPLOYMENT = deployment_id(PAIRING, CANDIDATE)
#: The CloudEvents source of what the deployment's runner writes.
RUNNER = f"/plants/{PLANT}/runners/{DEPLOYMENT}"

#: Name, message, CloudEvents type, media type, value, id, headers beside the envelope.
Sent = tuple[str, str, str, str, bytes, str, Headers]


def telemetry() -> Iterator[Sent]:
    """A frame, the same rows as JSON, and the labels of the frame."""
    values = {
        "베어링 진동": np.array([2.31, 2.28, 7.94]),
        "모터 전류": np.array([41.2, 41.0, 43.7]),
        "유압": np.array([182.0, np.nan, 181.5]),
    }
    yield (
        "telemetry-frame",
        "telemetry-frame",
        FRAME,
        ARROW,
        encode_frame(TIMES, values),
        FRAME_ID,
        [],
    )
    rows = [
        {
            "ts": (BEGIN + timedelta(seconds=second)).astimezone(SEOUL).isoformat(),
            "values": {
                tag: None if np.isnan(column[second]) else float(column[second])
                for tag, column in values.items()
            },
        }
        for second in range(3)
    ]
    value = json.dumps(rows, ensure_ascii=False).encode()
    yield "telemetry-rows", "telemetry-rows", ROWS, JSON, value, f"{FRAME_ID}-json", []
    batch = pa.RecordBatch.from_pydict(
        {TS: pa.array(TIMES, type=pa.int64()).cast(TS_TYPE), VALUE: pa.array(["normal", None, "anomaly"])}
    )
    beside = [(FRAME_HEADER, FRAME_ID.encode())]
    yield "label-frame", "label-frame", LABEL_FRAME, ARROW, encode_batch(batch), f"{FRAME_ID}-labels", beside


def labels() -> Iterator[tuple[str, PointLabel | IntervalLabel | Withdrawal | Watermark]]:
    """Each kind of label, with the id of its message."""
    yield "point-1", PointLabel(id="work-order-4711", asset=ASSET, ts=BEGIN, value="normal")
    interval = IntervalLabel(id="work-order-4712", asset=ASSET, start=at(13), end=at(13, 90), value="anomaly")
    yield "interval-1", interval
    yield "withdrawal-1", Withdrawal(id="work-order-4711", asset=ASSET)
    yield "watermark-1", Watermark(asset=ASSET, until=at(14))


def entries() -> Iterator[tuple[str, str, str, str, Entry]]:
    """Each kind of ledger entry: message, kind, source, id of its message, entry."""
    for kind, entry in (("outcome", _outcome()), ("label_frame", _label_frame())):
        message = "ledger-outcome" if kind == "outcome" else "ledger-labels"
        yield message, kind, _source_of(kind), f"{kind}-1", entry
    for plain in _plain_entries():
        yield "ledger-entry", plain.kind, _source_of(plain.kind), f"{plain.kind}-1", plain


def _source_of(kind: str) -> str:
    writer = {
        "tick": "scorer",
        "closed": "scorer",
        "label": "labels",
        "label_frame": "labels",
        "watermark": "labels",
    }.get(kind)
    return f"/plants/{PLANT}/{writer}" if writer else RUNNER


def _outcome() -> OutcomeRows:
    meta = FrameOutcome(
        pairing=PAIRING,
        deployment=DEPLOYMENT,
        partition=0,
        first=61,
        last=62,
        asset=ASSET,
        frame=FRAME_ID,
        appended_ms=micros(BEGIN) // 1000 + 4000,
        rows=3,
        result="answered",
        cpu_us=1830,
        wall_us=2410,
    )
    return OutcomeRows(meta=meta, times_us=TIMES, answers=np.array([[0.0, 0.0, 1.0]]))


def _source(offset: int, days: float) -> Source:
    return Source(partition=0, offset=offset, appended_ms=micros(at(days)) // 1000)


def _label_frame() -> LabelRows:
    meta = LabelFrame(
        pairing=PAIRING, asset=ASSET, id=f"{FRAME_ID}-labels", frame=FRAME_ID, source=_source(21, 14)
    )
    return LabelRows(meta=meta, times_us=TIMES, codes=np.array([0.0, np.nan, 1.0]))


def _plain_entries() -> Iterator[Started | Ended | Covered | Label | WatermarkEntry | Tick | Closed]:
    yield Started(
        pairing=PAIRING,
        deployment=DEPLOYMENT,
        plant=PLANT,
        startup=STARTUP,
        subjects=(CANDIDATE,),
        baseline=False,
        agreement=AGREEMENT,
        agreement_digest=AGREEMENT.digest(),
        starts=TRIAL_FROM,
        sandbox="full",
    )
    yield Covered(pairing=PAIRING, deployment=DEPLOYMENT, partition=1, first=51, last=57)
    yield Label(
        pairing=PAIRING,
        asset=ASSET,
        id="work-order-4712",
        start_us=micros(at(13)),
        end_us=micros(at(13, 90)),
        code=1.0,
        source=_source(22, 14),
    )
    yield WatermarkEntry(pairing=PAIRING, asset=ASSET, until_us=micros(at(14)), source=_source(23, 14))
    yield Tick(pairing=PAIRING, at_ms=micros(at(28)) // 1000)
    yield Ended(pairing=PAIRING, deployment=DEPLOYMENT, until=TRIAL_UNTIL)
    yield Closed(pairing=PAIRING)


#: Rows by `actual/predicted`.
CONFUSION = {"normal/normal": 41_210, "normal/anomaly": 312, "anomaly/normal": 96, "anomaly/anomaly": 1582}


def evaluation(*, final: bool) -> Evaluation:
    """The candidate's scores; at the end no row waits for a label."""
    scored = sum(CONFUSION.values())
    waiting = 0 if final else 420
    counts = Counts(
        rows_in=scored + waiting + 18, scored=scored, awaiting_label=waiting, abstained=12, failed=6
    )
    hits, misses, alarms = (
        CONFUSION["anomaly/anomaly"],
        CONFUSION["anomaly/normal"],
        CONFUSION["normal/anomaly"],
    )
    metrics = {
        "f1": published(2 * hits / (2 * hits + misses + alarms)),
        "recall": published(hits / (hits + misses)),
        "far": published(alarms / (alarms + CONFUSION["normal/normal"])),
    }
    return Evaluation(
        pairing=PAIRING,
        plant=PLANT,
        startup=STARTUP,
        candidate=CANDIDATE,
        baseline=False,
        task=Task.ANOMALY,
        ledger_partition=0,
        ledger_offset=3021 if final else 2874,
        chain=hashlib.sha256(b"the chain of the entries so far").hexdigest(),
        at=at(44) if final else at(40),
        final=final,
        counts=counts,
        audit=Audit(frames=2880, frames_refused=1, duplicates=2, corrected=3, failed_by_kind={"timeout": 6}),
        confusion=CONFUSION,
        metrics=metrics,
        sandbox="full",
    )


def verdict() -> Verdict:
    """The verdict that follows."""
    final = evaluation(final=True)
    return Verdict(
        pairing=PAIRING,
        plant=PLANT,
        startup=STARTUP,
        candidate=CANDIDATE,
        verdict=Outcome.ACCEPTED,
        rule="f1 at least 0.7 over at least 20000 rows",
        value=final.metrics["f1"],
        threshold=0.7,
        reason=f"f1 is {final.metrics['f1']}",
        evaluation=final,
        agreement_digest=AGREEMENT.digest(),
        recomputed_equal=True,
    )


def unreadable(topic: str) -> tuple[RawRecord, Rejected]:
    """A message of telemetry that cannot be taken, and why: the platform's own words."""
    value = b'[{"ts": "2026-03-15T09:00:00", "values": {"\xec\x9c\xa0\xec\x95\x95": 182.0}}]'
    record = RawRecord(
        topic=topic,
        partition=0,
        offset=63,
        timestamp_ms=micros(BEGIN) // 1000,
        key=ASSET.encode(),
        value=value,
        headers=tuple(headers(ROWS, source=f"/plants/{PLANT}", ident="without-a-zone")),
    )
    why = decode_frame(record)
    if not isinstance(why, Rejected):
        raise TypeError("the example of a rejected message is one that can be read")
    return record, why
