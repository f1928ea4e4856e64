"""A machine on which bubblewrap is not found: the level falls to what is there, and what that does not hold is refused."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.client import Client
from infra.settings import Addresses
from infra.submission import Submitted
from schemas.agreement import Agreement
from schemas.events import CandidateReturned, CapacityReported, RequestRefused
from schemas.requests import SubmitCandidate
from schemas.terms import Quotas
from tests.integration import commands
from tests.integration.commands import Json, Running
from tests.integration.plants import RIVAL, STARTUP, Site, agreement
from tests.integration.topic_records import Topics

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

#: Where only the interpreter and its packages' programs are found.
HIDDEN = {"PATH": os.path.dirname(sys.executable)}

INSTALL = "apt-get install bubblewrap"


@pytest.fixture(scope="module", autouse=True)
def level(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The level that doctor finds, where that is `reduced`."""
    done = commands.run(tmp_path_factory.mktemp("doctor"), "doctor", "--json", **HIDDEN)
    record = done.records[-1]
    if record["level"] != "reduced":
        pytest.skip(f"without bubblewrap this machine holds candidates at level {record['level']}")
    assert any(INSTALL in one["en"] and INSTALL in one["ko"] for one in record["advice"])
    return str(record["level"])


@dataclass(frozen=True, kw_only=True)
class Machine:
    """An installation on such a machine, with one plant."""

    home: Path
    site: Site

    def run(self, *arguments: str, **more: str) -> commands.Ran:
        """A command beside it."""
        return commands.run(self.home, *arguments, **HIDDEN, **more)

    def feed(self, party: str) -> list[Json]:
        """What a party may see."""
        return self.run("feed", party, "--json").records


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    home = tmp_path_factory.mktemp("hidden") / "home"
    up = Running(home, "up", "--json", **HIDDEN)
    try:
        record = up.record("running")
        addresses = Addresses.model_validate({name: record[name] for name in Addresses.model_fields})
        topics = Topics(addresses.bootstrap)
        topics.start()
        with Client(addresses) as client:
            site = Site(client, topics, "bare")
            topics.wait(lambda: _capacities(topics), "what the machine carries")
            yield Machine(home=home, site=site)
        topics.stop()
    finally:
        up.stop()


def _capacities(topics: Topics) -> list[CapacityReported]:
    return [fact.body for fact in topics.facts if isinstance(fact.body, CapacityReported)]


def restricted() -> Agreement:
    """Of data that only candidates held at the full level may be given; one candidate."""
    update = {"classification": "restricted", "quotas": Quotas(candidates=1)}
    return agreement().model_copy(update=update)


def claimed(site: Site, pairing: str, opened: Submitted, name: str) -> SubmitCandidate:
    """A model that an open pairing has taken, submitted to another as if it were one of the project's own."""
    candidate = opened.candidate.model_copy(update={"id": name, "shipped": True})
    return SubmitCandidate(pairing=pairing, candidate=candidate)


@pytest.fixture(scope="module")
def opened(machine: Machine, models: Path) -> Submitted:
    """A start-up's model in an open pairing that runs."""
    machine.site.open("bare-open", agreement())
    return machine.site.submit("bare-open", models / "threshold", "opened")


def test_the_machine_reports_the_level_that_is_really_there(machine: Machine, level: str) -> None:
    capacity = _capacities(machine.site.seen)[-1].capacity
    assert (capacity.sandbox, capacity.unsandboxed) == (level, False)


def test_a_startups_model_runs_in_an_open_agreement_and_its_evaluations_say_how_it_is_held(
    machine: Machine, opened: Submitted
) -> None:
    site = machine.site
    site.frame("f-1", 0, [0, 1, 1])
    evaluation = site.wait_counts("bare-open", opened.candidate.id, rows_in=3)
    assert evaluation.sandbox == "reduced"
    assert evaluation.counts.failed == 0


def test_a_startups_model_is_refused_in_a_restricted_agreement_with_the_way_to_install_bubblewrap(
    machine: Machine, models: Path
) -> None:
    machine.site.propose("bare-refused", restricted())
    asked = ("candidate", "submit", "bare-refused", str(models / "threshold"), "--name", "refused")
    english = machine.run(*asked, LC_ALL="C.UTF-8")
    korean = machine.run(*asked, LC_ALL="ko_KR.UTF-8")
    for done in (english, korean):
        assert done.code == 4, done
        assert INSTALL in done.err
        assert "fieldproof doctor" in done.err
    assert "full" in english.err and "reduced" in english.err
    assert "수준으로 격리된" in korean.err


def test_a_refusal_by_control_is_in_the_feed_of_who_asked_in_both_languages(
    machine: Machine, opened: Submitted
) -> None:
    site = machine.site
    site.propose("bare-feed", restricted())
    candidate = opened.candidate.model_copy(update={"id": "honest-v1"})
    answer = site.client.ask(STARTUP, SubmitCandidate(pairing="bare-feed", candidate=candidate))
    body = answer.fact.body
    assert isinstance(body, RequestRefused)
    assert INSTALL in body.reason and "level full" in body.reason
    assert body.reason_ko is not None and INSTALL in body.reason_ko and "full 수준" in body.reason_ko
    told = commands.wait_for(
        lambda: [one["fact"] for one in machine.feed(STARTUP) if _number(one) == answer.fact.number],
        "the refusal in the feed",
    )
    assert told[0]["body"]["reason"] == body.reason
    assert told[0]["body"]["reason_ko"] == body.reason_ko
    assert not [one for one in machine.feed(RIVAL) if _number(one) == answer.fact.number]


def _number(item: Json) -> int | None:
    return item["fact"]["number"] if item["kind"] == "fact" else None


def test_a_model_that_only_claims_to_be_the_projects_own_is_given_back_and_its_place_is_free(
    machine: Machine, opened: Submitted
) -> None:
    site = machine.site
    site.open("bare-claimed", restricted())
    site.ask(STARTUP, claimed(site, "bare-claimed", opened, "claimed-v1"))
    returned = site.seen.wait(lambda: _returned(site, "claimed-v1"), "the candidate to be given back")
    assert INSTALL in returned.reason
    assert (returned.pairing, len(_returned_all(site, "claimed-v1"))) == ("bare-claimed", 1)
    pairing = site.client.refresh().pairings["bare-claimed"]
    assert not [one for one in pairing.deployments if "claimed-v1" in one.subjects]
    # The agreement allows one candidate: a second one is taken only where the first has no place.
    site.ask(STARTUP, claimed(site, "bare-claimed", opened, "claimed-v2"))
    assert commands.worker_pid(machine.home, "runner.bare-claimed/claimed-v1") is None


def _returned_all(site: Site, candidate: str) -> list[CandidateReturned]:
    facts = [fact.body for fact in site.seen.facts]
    return [one for one in facts if isinstance(one, CandidateReturned) and one.candidate == candidate]


def _returned(site: Site, candidate: str) -> CandidateReturned | None:
    return next(iter(_returned_all(site, candidate)), None)


def test_the_demo_says_how_candidates_are_held_and_comes_to_its_verdicts(tmp_path: Path) -> None:
    done = commands.run(tmp_path, "demo", "--json", timeout_s=300, **HIDDEN)
    assert done.code == 0, done.err
    assert "level reduced" in done.err
    evaluations = [one for one in done.records if one["kind"] == "evaluation" and not one["baseline"]]
    assert evaluations
    assert all(one["sandbox"].startswith("reduced") for one in evaluations)
    assert len([one for one in done.records if one["kind"] == "verdict"]) == 3
    commands.wait_until_none(tmp_path)
