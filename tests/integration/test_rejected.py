"""Rejected messages on a real broker: listed once, shown with their bytes, replayed once; and a line that stops."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.kafka import admin as kafka_admin
from infra.kafka.groups import runner_group, scorer_group
from schemas.events import PlantPaused
from schemas.labels import IntervalLabel
from schemas.parties import RejectLimit
from schemas.requests import ResumePlant
from streams import topics
from streams.envelope import ARROW, FRAME, JSON, LABEL, REPLAYED_HEADER, ROWS, headers
from tests.integration.commands import Ran, run, wait_for, worker_pid
from tests.integration.conftest import Shared
from tests.integration.plants import MAKER, Site, agreement, at

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def command(shared: Shared, *arguments: str) -> Ran:
    return run(shared.home, "rejected", *arguments, **shared.env)


def wait_rejected(site: Site, count: int) -> None:
    site.seen.wait(lambda: len(site.seen.rejected(site.name)) == count, f"{count} rejections at {site.name}")


def rows_at(time: str) -> bytes:
    return json.dumps([{"ts": time, "values": {"x": 1}}]).encode()


def a_label(ident: str, value: object, *, asset: str = "m1", start: float = 0, end: float = 100) -> bytes:
    return IntervalLabel(id=ident, asset=asset, start=at(start), end=at(end), value=value).to_json()


def send_label(site: Site, value: bytes, *, key: str = "m1") -> None:
    site.raw(topics.labels(site.name), key, value, headers(LABEL, source="/test", ident="label"))


def test_rejections_are_listed_once_shown_with_their_bytes_and_count_once_when_they_are_replayed(
    shared: Shared, models: Path, tmp_path: Path
) -> None:
    site = shared.site("rejected-1")
    site.open("reject-1", agreement())
    name = site.submit("reject-1", models / "threshold", "reject").candidate.id
    telemetry, labels = topics.telemetry(site.name), topics.labels(site.name)
    site.frame("good", 0, [1, 0, 1])
    broken = rows_at(f"{at(5):%Y-%m-%dT%H:%M:%S}")  # a time without its zone
    site.raw(telemetry, "m1", broken, headers(ROWS, source="/test", ident="mended-later", content=JSON))
    site.raw(telemetry, "m9", b"of a machine that there is not")
    send_label(site, a_label("odd", "sideways"))
    send_label(site, a_label("lost", "anomaly", asset="m9"), key="m9")
    send_label(site, a_label("event", "anomaly"))
    site.wait_counts("reject-1", name, rows_in=3, scored=3)
    # The baselines' runner and the candidate's each refuse the same two frames.
    wait_rejected(site, 4)
    listed = {one["reason"]: one for one in command(shared, "list", "--plant", site.name, "--json").records}
    assert {reason: one["count"] for reason, one in listed.items()} == {
        "not_readable": 1,
        "unknown_asset": 2,
        "wrong_value": 1,
    }
    assert listed["not_readable"]["examples"][0]["origin"] == f"{telemetry}:0:1"
    told = command(shared, "list", "--plant", site.name)
    assert "등록되지 않은 설비" in told.out and "no asset" in told.out
    late = command(shared, "list", "--plant", site.name, "--since", "2099-01-01", "--json")
    assert (late.code, late.records) == (0, [])

    out = tmp_path / "frame.json"
    (shown,) = command(shared, "show", f"{telemetry}:0:1", "--out", str(out), "--json").records
    assert (shown["key"], shown["begins"], out.read_bytes()) == ("m1", broken.decode(), broken)
    assert ["ce_id", "mended-later"] in shown["headers"]
    assert command(shared, "show", f"{telemetry}:0:0").code == 2

    # A correction that came after the label that was rejected: replayed, the older one does not undo it.
    site.label("odd", 0, 1, "normal")
    site.wait_counts("reject-1", name, scored=3)
    replayed = command(shared, "replay", "--plant", site.name, "--reason", "wrong_value", "--json")
    assert (replayed.code, [one["kind"] for one in replayed.records]) == (0, ["replayed"])
    (again,) = replayed.records
    assert again["origin"] == f"{labels}:0:0"
    wait_rejected(site, 5)  # it is as wrong as it was, and says so under its new origin
    refused = command(shared, "replay", f"{labels}:0:0")
    assert (refused.code, "--again" in refused.err) == (2, True)
    assert command(shared, "replay", f"{labels}:0:0", "--again").code == 0
    partition, offset = (int(part) for part in again["to"].split(":")[1:])
    (record,) = kafka_admin.read_all(
        site.client.bootstrap, labels, start={partition: offset}, end={partition: offset + 1}
    )
    assert record.header(REPLAYED_HEADER) == f"{labels}:0:0"
    assert record.value == a_label("odd", "sideways")

    # Mended at its source and sent under the same id, the frame counts; its refusal does not any more.
    mended = rows_at(f"{at(5):%Y-%m-%dT%H:%M:%S}Z")
    for _ in range(2):
        site.raw(telemetry, "m1", mended, headers(ROWS, source="/test", ident="mended-later", content=JSON))
    site.end("reject-1")
    site.complete(1000)
    verdict = site.verdict("reject-1", name)
    assert verdict.evaluation.counts.rows_in == 4
    audit = verdict.evaluation.audit
    assert (audit.frames, audit.frames_refused, audit.frames_repeated) == (2, 0, 2)


def test_a_line_that_rejects_too_much_stops_says_so_and_goes_on_when_it_is_resumed(
    shared: Shared, models: Path
) -> None:
    site = shared.site("rejected-2", rejects=RejectLimit(share=0.2, last=50, at_least=5))
    site.open("reject-2", agreement())
    name = site.submit("reject-2", models / "threshold", "stopped").candidate.id
    telemetry, labels = topics.telemetry(site.name), topics.labels(site.name)
    for number in range(10):
        site.frame(f"good-{number}", 2 * number, [1, 0])
    send_label(site, a_label("all", "anomaly", end=1000))
    site.wait_counts("reject-2", name, rows_in=20, scored=20)
    for number in range(40):
        listed = headers(FRAME, source="/test", ident=f"bad-{number}", content=ARROW)
        site.raw(telemetry, "m1", b"nonsense", listed)
    fact = site.seen.wait(
        lambda: next(
            (
                one
                for one in site.seen.facts
                if isinstance(one.body, PlantPaused) and one.subject == site.name
            ),
            None,
        ),
        "the fact that the plant is paused",
    )
    assert fact.party == site.name
    assert fact.body.rejections.topic == telemetry
    assert fact.body.rejections.reason == "not_readable"
    assert 5 <= fact.body.rejections.rejected <= fact.body.rejections.of <= 50
    runners = [f"runner.reject-2/{one}" for one in (name, "baselines")]
    wait_for(lambda: all(worker_pid(shared.home, one) is None for one in runners), "the runners to end")
    assert len(site.seen.rejected(site.name)) < 40
    status = run(shared.home, "status", "--json", **shared.env)
    (paused,) = [one for one in status.records if one["kind"] == "paused" and one["plant"] == site.name]
    assert paused["rejections"]["reason"] == "not_readable"
    assert "were rejected" in status.err and "거부" in status.err

    # Labels wait as well: the group of the scorer stays where it is.
    before = kafka_admin.group_offsets(site.client.bootstrap, scorer_group(site.name))[labels, 0]
    send_label(site, a_label("late", "normal", start=10, end=20))

    # What came is all there when the plant goes on; the count begins anew, so that each time it gets a little further.
    assert kafka_admin.group_offsets(site.client.bootstrap, scorer_group(site.name))[labels, 0] == before

    def resumed() -> bool:
        if site.name in site.client.refresh().paused:
            site.ask(MAKER, ResumePlant(plant=site.name))
        there = kafka_admin.group_offsets(site.client.bootstrap, runner_group(f"reject-2/{name}"))
        return there.get((telemetry, 0), 0) >= 50

    wait_for(resumed, "every frame to be passed", timeout_s=200)
    for number in range(10):
        site.frame(f"good-{number}", 2 * number, [1, 0])
    site.end("reject-2")
    site.complete(5000)
    verdict = site.verdict("reject-2", name)
    audit = verdict.evaluation.audit
    assert (audit.frames, audit.frames_refused, audit.frames_repeated) == (10, 40, 10)
    assert verdict.evaluation.counts.rows_in == 20
    assert len(site.seen.rejected(site.name)) == 40
