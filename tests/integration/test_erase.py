"""Retention kept on a real broker: by the owner's command and by the agreement's time, never what another pairing needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.erase import ledger_spans
from infra.kafka import admin as kafka_admin
from schemas.agreement import Agreement
from schemas.erasure import PARTS, Erasure
from schemas.events import ErasureOrdered, PairingErased, PairingSettled
from schemas.feeds import FEED_ITEM, FeedFact
from schemas.pairing import Pairing
from schemas.requests import StopPairing
from schemas.terms import Retention
from streams import topics
from streams.deadlines import CLOCK
from tests.integration import commands
from tests.integration.commands import Json, Ran
from tests.integration.conftest import Shared
from tests.integration.plants import MAKER, STARTUP, Site, agreement

pytestmark = pytest.mark.integration

SECOND_DAYS = 1 / 86_400


def agreed(**retention: float) -> Agreement:
    """Settled a second after its verdict."""
    update = {"objection_days": SECOND_DAYS, "retention": Retention(**retention)}
    return agreement(absent_means="normal").model_copy(update=update)


def erase(shared: Shared, pairing: str, *options: str) -> Ran:
    arguments = ("plant", "erase", "--pairing", pairing, "--json", *options)
    return commands.run(shared.home, *arguments, **shared.env)


def told(ran: Ran, kind: str) -> Json:
    return next(one for one in ran.records if one.get("kind") == kind)


def pairing_of(shared: Shared, ident: str) -> Pairing:
    return shared.client.refresh().pairings[ident]


def erasures(shared: Shared, pairing: str) -> list[Erasure]:
    bodies = (fact.body for fact in shared.topics.facts if fact.subject == pairing)
    return [body.erasure for body in bodies if isinstance(body, PairingErased)]


def prove(site: Site, pairing: str, frames: int) -> None:
    """Answer so many frames, end, and have it settled."""
    for number in range(frames):
        site.frame(f"{pairing}-{number}", 10 * number, [0.0, 1.0])
    site.complete(1000)
    site.end(pairing)
    site.seen.wait(
        lambda: any(
            isinstance(one.body, PairingSettled) and one.subject == pairing for one in site.seen.facts
        ),
        f"{pairing} settled",
    )


def test_what_was_ordered_goes_as_far_as_no_other_pairing_needs_it_and_the_rest_with_that_one(
    shared: Shared, models: Path
) -> None:
    site = shared.site("erased")
    telemetry, ledger = topics.telemetry("erased"), topics.ledger("erased")
    site.open("gone-1", agreed())
    site.submit("gone-1", models / "threshold", "erased-threshold")
    for number in range(2):
        site.frame(f"before-{number}", 100 + 10 * number, [0.0, 1.0])
    site.wait_counts("gone-1", "no-alarm", rows_in=4)
    site.open("stays-1", agreed())
    refused = erase(shared, "gone-1", "--yes")
    assert refused.code == 4 and "settled or broken off" in refused.err
    prove(site, "gone-1", 3)
    site.wait_counts("stays-1", "no-alarm", rows_in=6)
    files = list((shared.home / "models" / "erased").iterdir())

    dry = erase(shared, "gone-1", "--dry-run", "--lang", "ko")
    assert dry.code == 0 and "삭제 대상" in dry.err
    plan = told(dry, "plan")
    assert {(one["topic"], one["before"]) for one in plan["delete"]} >= {(telemetry, 2)}
    assert [one["needed_by"] for one in plan["remaining"]] == [["stays-1"], ["stays-1"]]
    unsaid = erase(shared, "gone-1")
    assert unsaid.code == 1 and "nothing was erased" in unsaid.err
    assert kafka_admin.begin_offsets(shared.client.bootstrap, telemetry) == {0: 0}

    done = erase(shared, "gone-1", "--yes")
    assert done.code == 0, done.err
    first = Erasure.model_validate(
        {name: value for name, value in told(done, "erasure").items() if name in Erasure.model_fields}
    )
    assert first.parts == PARTS and first.files_erased == ("erased-threshold-v1",)
    assert first.chain == site.verdict("gone-1", "erased-threshold-v1").evaluation.chain
    assert [(one.topic, one.first, one.until) for one in first.erased if one.topic == telemetry] == [
        (telemetry, 0, 2)
    ]
    assert kafka_admin.begin_offsets(shared.client.bootstrap, telemetry) == {0: 2}
    spans = ledger_spans(kafka_admin.read_all(shared.client.bootstrap, ledger))
    assert kafka_admin.begin_offsets(shared.client.bootstrap, ledger)[0] == spans["stays-1"][0]
    assert not any(path.exists() for path in files)
    assert site.verdict("gone-1", "erased-threshold-v1")
    again = erase(shared, "gone-1")
    assert told(again, "erasure") == told(done, "erasure")
    recomputed = commands.run(shared.home, "recompute", "--pairing", "gone-1", **shared.env)
    assert recomputed.code != 0 and "was erased" in recomputed.err

    seen = [
        item.fact.body
        for record in kafka_admin.read_all(shared.client.bootstrap, topics.results(STARTUP))
        if isinstance(item := FEED_ITEM.validate_json(record.value or b""), FeedFact)
        and isinstance(item.fact.body, PairingErased)
    ]
    assert seen and b"stays-1" not in seen[-1].to_json()

    site.frame("after", 500, [0.0])
    site.wait_counts("stays-1", "no-alarm", rows_in=7)
    site.ask(MAKER, StopPairing(pairing="stays-1", reason="moved"))
    over = erase(shared, "stays-1", "--yes")
    assert over.code == 0 and told(over, "erasure")["remaining"] == []
    site.seen.wait(lambda: not erasures(shared, "gone-1")[-1].remaining, "the rest of gone-1 to go")
    assert kafka_admin.begin_offsets(shared.client.bootstrap, telemetry) == {0: 6}
    assert "gone-1" not in ledger_spans(kafka_admin.read_all(shared.client.bootstrap, ledger))


def test_time_erases_what_the_agreement_says_and_leaves_what_it_does_not_name(shared: Shared) -> None:
    site = shared.site("timely")
    site.open("timely-1", agreed(telemetry_days=2 * SECOND_DAYS))
    prove(site, "timely-1", 2)
    site.seen.wait(lambda: erasures(shared, "timely-1"), "telemetry to be erased by time")
    (order,) = [
        fact
        for fact in shared.topics.facts
        if isinstance(fact.body, ErasureOrdered) and fact.subject == "timely-1"
    ]
    assert order.party == CLOCK and order.body.parts == ("telemetry",)  # type: ignore[union-attr]
    (erasure,) = erasures(shared, "timely-1")
    assert [one.topic for one in erasure.erased] == [topics.telemetry("timely")]
    assert kafka_admin.begin_offsets(shared.client.bootstrap, topics.telemetry("timely")) == {0: 2}
    assert list(kafka_admin.read_all(shared.client.bootstrap, topics.ledger("timely")))
    assert pairing_of(shared, "timely-1").erasing == ("telemetry",)
    recomputed = commands.run(shared.home, "recompute", "--pairing", "timely-1", **shared.env)
    assert recomputed.code == 0, recomputed.err
