"""Evidence by commands alone: two homes with a key each, a trial that units decide, and readers without an installation."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml

from infra.kafka import admin as kafka_admin
from infra.poc.template import write_folder
from infra.submission import submit
from schemas.agreement import Acceptance, Agreement, Baseline, LabelRule, Task
from schemas.requests import EndTrial
from schemas.terms import Decision, DecisionUnit, Disclosed, Disclosure, Keys
from streams import topics
from streams.envelope import ARROW, FRAME, LABEL, headers
from streams.frames import encode_frame
from tests.integration import commands
from tests.integration.commands import ROOT, Json, Ran, wait_for
from tests.integration.conftest import Shared
from tests.integration.plants import BEGIN_US, SECOND_US

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

PAIRING, PLANT, MAKER = "evident-1", "evident-plant", "evident-maker"
ROWS, FRAMES = 10, 8
ALL = Disclosed(what=("counts", "metrics", "verdict", "unit_losses"), every="close")


def agreed() -> Agreement:
    """A decision by blocks of ten rows, of which everything is told at the close."""
    return Agreement(
        task=Task.ANOMALY,
        assets=("m1",),
        inputs=("x",),
        labels=LabelRule(deadline_days=14, absent_means="unlabelled"),
        baselines=(Baseline(name="no-alarm", answer="normal"), Baseline(name="alarm", answer="anomaly")),
        acceptance=Acceptance(metric="f1", at_least=0.5, min_rows=ROWS),
        decision=Decision(
            unit=DecisionUnit(minutes=1), planned_units=FRAMES, slots=1, early=True, least_units=3, alpha=0.5
        ),
        disclosure=Disclosure(startup=ALL, coordinator=ALL),
    )


@dataclass(kw_only=True)
class Story:
    """What was written along the way."""

    shared: Shared
    #: The manufacturer's own folder, whose home holds the plant's key.
    plant: Path
    recomputed: Json
    running: Ran
    exported: list[Json]
    keys: dict[str, list[Json]]
    bundles: Path

    def run(self, *arguments: str, home: Path | None = None) -> Ran:
        return commands.run(home or self.shared.home, *arguments, **self.shared.env)

    def file(self, scope: str) -> str:
        return str(self.bundles / f"{PAIRING}.{scope}.zip")


def folder(path: Path) -> None:
    """A PoC folder as `fieldproof init` writes it, with another plant and the agreement in it."""
    write_folder(path, Task.ANOMALY)
    for file in path.glob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace("example", "evident").replace("pump-2026-01", PAIRING), encoding="utf-8")
    plant = yaml.safe_load((path / "plant.yaml").read_text(encoding="utf-8"))
    plant |= {"assets": [{"name": "m1"}], "tags": [{"name": "x"}]}
    (path / "plant.yaml").write_text(yaml.safe_dump(plant, allow_unicode=True), encoding="utf-8")
    terms = agreed().to_dict()
    terms.pop("keys", None)
    (path / "agreement.yaml").write_text(yaml.safe_dump(terms), encoding="utf-8")


def send(shared: Shared) -> None:
    """Frames of a minute, every third row of which is an anomaly; and their labels."""
    for number in range(FRAMES):
        times = [BEGIN_US + (60 * number + 6 * row) * SECOND_US for row in range(ROWS)]
        truth = [row % 3 == 0 for row in range(ROWS)]
        for topic, kind, name, values in (
            (topics.telemetry(PLANT), FRAME, "x", np.array(truth, dtype=np.float64)),
            (topics.labels(PLANT), LABEL, "value", np.array(truth, dtype=np.int64)),
        ):
            listed = headers(kind, source="/test", ident=f"{name}-{number}", content=ARROW)
            shared.client.send(topic, b"m1", encode_frame(np.array(times), {name: values}), listed)


@pytest.fixture(scope="module")
def story(shared: Shared, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    root = tmp_path_factory.mktemp("evident")
    plant = root / "plant-home"
    folder(root / "poc")

    def run(*arguments: str, home: Path = shared.home, code: int = 0) -> Ran:
        done = commands.run(home, *arguments, **shared.env)
        assert done.code == code, (arguments, done.out, done.err)
        return done

    run("apply", str(root / "poc"), "--json", home=plant)
    again = run("apply", str(root / "poc"), "--json", home=plant)
    assert "refused" not in again.out
    candidate = submit(shared.client, PAIRING, str(models / "threshold"), name="evident-good")
    assert candidate.answer.refused is None
    pairing = shared.client.refresh().pairings[PAIRING]
    assert pairing.phase == "running", pairing.why
    send(shared)
    wait_for(
        lambda: [
            one
            for one in shared.topics.evaluations(PLANT, PAIRING, candidate.candidate.id)
            if one.counts.scored == ROWS * FRAMES
        ],
        "every row scored",
    )
    early = run("evidence", "export", PAIRING, "--out", str(root / "early"), code=2)
    assert shared.client.ask(MAKER, EndTrial(pairing=PAIRING)).refused is None
    wait_for(
        lambda: (
            shared.client.refresh().pairings[PAIRING].phase in ("concluded", "objection_period", "settled")
        ),
        "the verdict",
    )
    recomputed = run("recompute", "--pairing", PAIRING, "--json").records[-1]
    keys = {
        name: run("evidence", "keys", "--json", home=home).records
        for name, home in (("control", shared.home), ("plant", plant))
    }
    exported = run("evidence", "export", PAIRING, "--out", str(root / "bundles"), "--json").records
    yield Story(
        shared=shared,
        plant=plant,
        recomputed=recomputed,
        running=early,
        exported=exported,
        keys=keys,
        bundles=root / "bundles",
    )


def offline(home: Path, *arguments: str) -> Ran:
    """A command of somebody who has the package and nothing else: no installation, and no network where that can be had."""
    line = commands.command(*arguments)
    apart = shutil.which("unshare")
    if apart and subprocess.run([apart, "-n", "true"], check=False, capture_output=True).returncode == 0:
        line = [apart, "-n", *line]
    done = subprocess.run(
        line,
        env=commands.environment(home),
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


def test_everything_published_is_recomputed_from_the_broker_s_ledger(story: Story) -> None:
    found = story.recomputed
    assert (found["equal"], found["closed"], found["verdicts"]) == (True, True, 1)
    assert found["evaluations"] > 3
    ledger = kafka_admin.read_all(story.shared.client.bootstrap, topics.ledger(PLANT))
    assert 0 < found["entries"] <= sum(one.key == PAIRING.encode() for one in ledger)


def test_a_pairing_without_a_verdict_has_no_evidence_and_one_that_is_unknown_neither(story: Story) -> None:
    assert "evidence is exported once its verdicts have fallen" in story.running.err
    unknown = story.run("recompute", "--pairing", "nothing")
    assert unknown.code == 2
    assert "there is no pairing 'nothing'" in unknown.err


def test_each_home_holds_one_key_that_only_its_owner_reads(story: Story) -> None:
    held = {name: {one["holder"] for one in records if one["held"]} for name, records in story.keys.items()}
    assert "operator" in held["control"] and PLANT not in held["control"]
    assert held["plant"] == {PLANT}
    published = {one["holder"]: one["key"] for one in story.keys["plant"]}
    sealed = story.shared.client.refresh().pairings[PAIRING].agreement.keys
    assert sealed == Keys(plant=published[PLANT], control=published["operator"])
    file = story.plant / "keys" / f"{PLANT}.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_bundle_with_one_signature_waits_for_the_other_home_s(story: Story, tmp_path: Path) -> None:
    for record in story.exported:
        assert (record["signed"], record["unsigned"]) == (["operator"], [PLANT])
        assert record["bytes"] == os.path.getsize(record["file"])
    for scope in ("full", "disclosed"):
        file = tmp_path / f"{scope}.zip"
        shutil.copy(story.file(scope), file)
        before = offline(tmp_path, "evidence", "verify", str(file), "--json")
        assert before.code == 1
        assert [one["what"] for one in before.records if one.get("state") == "missing"] == [
            "signature of plant"
        ]
        assert not [one for one in before.records if one.get("state") == "failed"]

        signed = commands.run(story.plant, "evidence", "sign", str(file), "--json")
        assert (signed.code, signed.records[0]["holder"]) == (0, PLANT)

        after = offline(tmp_path, "evidence", "verify", str(file), "--json")
        assert after.code == 0, after.out
        assert after.records[-1] == {"kind": "verified", "pairing": PAIRING, "scope": scope, "good": True}
        states = {one["what"]: one["state"] for one in after.records[:-1]}
        assert states["verdicts"] == states["chain"] == "recomputed"
        assert states["signature of plant"] == states["signature of control"] == "checked"
        if scope == "disclosed":
            assert states["decision"] == "recomputed"


def test_a_reader_compares_the_agreement_with_the_hash_that_was_consented_to(
    story: Story, tmp_path: Path
) -> None:
    digest = story.shared.client.refresh().pairings[PAIRING].agreement_digest
    known = offline(tmp_path, "evidence", "verify", story.file("full"), "--agreement", digest[:12])
    assert "it is the agreement that you named" in known.err
    other = offline(tmp_path, "evidence", "verify", story.file("full"), "--agreement", "0" * 64)
    assert other.code == 1
    assert "another agreement than the one that you named" in other.err


def test_it_is_told_in_korean_too(story: Story, tmp_path: Path) -> None:
    told = offline(tmp_path, "evidence", "verify", story.file("full"), "--lang", "ko")
    assert "다시 계산함: 평가" in told.err
    assert "빠짐: 공장 서명이 아직 없습니다" in told.err
    assert "틀린 것은 없으나 빠진 서명이 있습니다" in told.err
    folded = story.run("recompute", "--pairing", PAIRING, "--lang", "ko")
    assert "모두 바이트까지 같음" in folded.err


def test_a_bundle_that_is_there_is_not_written_over_unless_asked(story: Story) -> None:
    out = str(story.bundles)
    kept = story.run("evidence", "export", PAIRING, "--out", out)
    assert kept.code == 2
    assert "is there already" in kept.err and "--force" in kept.err
    forced = story.run("evidence", "export", PAIRING, "--out", out, "--force", "--json")
    assert forced.code == 0, forced.err
    assert "not signed yet by evident-plant" in forced.err


def test_a_file_that_is_no_bundle_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_text("hello")
    found = offline(tmp_path, "evidence", "verify", str(tmp_path / "x.zip"))
    assert found.code == 2
    assert "is no bundle of evidence that this version reads" in found.err


def test_a_renewed_key_signs_what_comes_and_the_earlier_one_what_was(story: Story, tmp_path: Path) -> None:
    before = (story.plant / "keys" / f"{PLANT}.pem").read_bytes()
    renewed = story.run("evidence", "renew", PLANT, "--json", home=story.plant)
    assert renewed.code == 0, renewed.err
    assert (story.plant / "keys" / f"{PLANT}.pem").read_bytes() != before
    keys = story.run("evidence", "keys", "--json", home=story.plant).records
    assert next(one["held"] for one in keys if one["holder"] == PLANT)
    file = tmp_path / "full.zip"
    shutil.copy(story.file("full"), file)
    assert commands.run(story.plant, "evidence", "sign", str(file)).code == 0
    assert offline(tmp_path, "evidence", "verify", str(file)).code == 0
    stranger = commands.run(tmp_path / "stranger", "evidence", "sign", str(file))
    assert stranger.code == 2
    assert "holds no key that this bundle's agreement seals" in stranger.err
