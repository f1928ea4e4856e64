"""Signing keys are made once and kept; agreements seal those in use, and go on bearing the ones that they sealed."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from infra.cli.apply import Status, carry_out
from infra.evidence.keys import KeyUnusable, new_key, own_key, public_key, signed_by, signing_key
from infra.evidence.sealing import keys_in_use, proposed_in, sealed
from infra.poc.folder import PocFolder, read_folder
from infra.poc.template import write_folder
from schemas.agreement import Task
from schemas.events import Fact, KeyPublished, PairingProposed, RequestRefused
from schemas.requests import AmendAgreement, Command, ProposePairing, PublishKey
from schemas.terms import Keys
from streams.lifecycle import Installation
from streams.topics import OPERATOR
from tests.unit.pairing_requests import PARTICIPANTS
from tests.unit.test_poc_folder import FakeInstallation
from tests.unit.twins import PLANT, an_agreement

FIRST, SECOND, THIRD = "1" * 64, "2" * 64, "3" * 64


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    key = signing_key(tmp_path, PLANT)
    assert public_key(signing_key(tmp_path, PLANT)) == public_key(key)
    path = tmp_path / "keys" / f"{PLANT}.pem"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]
    assert public_key(signing_key(tmp_path, OPERATOR)) != public_key(key)
    assert own_key(tmp_path, "nobody") is None
    assert own_key(tmp_path / "nowhere", PLANT, public=FIRST) is None


def test_many_who_make_a_key_at_once_get_the_same_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: public_key(signing_key(tmp_path, PLANT)), range(32)))
    assert len(set(found)) == 1
    assert os.listdir(tmp_path / "keys") == [f"{PLANT}.pem"]


def test_a_key_signs_for_itself_alone() -> None:
    mine, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    signature = mine.sign(b"what was measured")
    assert signed_by(public_key(mine), signature, b"what was measured")
    assert not signed_by(public_key(mine), signature, b"what was measured!")
    assert not signed_by(public_key(other), signature, b"what was measured")
    assert not signed_by(public_key(mine), b"short", b"what was measured")
    assert not signed_by("no key", signature, b"what was measured")


@pytest.mark.parametrize("what", ["nothing", "text", "another kind", "locked", "a folder"])
def test_a_file_that_holds_no_key_says_so_and_is_left_alone(tmp_path: Path, what: str) -> None:
    path = tmp_path / "keys" / f"{PLANT}.pem"
    path.parent.mkdir()
    rsa = generate_private_key(65537, 2048)
    pem = {
        "nothing": b"",
        "text": b"-----BEGIN PRIVATE KEY-----\nnot a key\n",
        "another kind": rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "locked": Ed25519PrivateKey.generate().private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")
        ),
    }.get(what)
    if pem is None:
        path.mkdir()
    else:
        path.write_bytes(pem)
    with pytest.raises(KeyUnusable, match=r"put back the file from your backup|run this as its owner"):
        signing_key(tmp_path, PLANT)
    assert path.is_dir() if pem is None else path.read_bytes() == pem


def test_a_key_that_was_renewed_goes_on_signing_what_seals_it(tmp_path: Path) -> None:
    first = public_key(signing_key(tmp_path, PLANT))
    second = public_key(new_key(tmp_path, PLANT))
    assert second != first
    assert public_key(signing_key(tmp_path, PLANT)) == second
    for public in (first, second):
        found = own_key(tmp_path, PLANT, public=public)
        assert found is not None
        assert public_key(found) == public
    assert own_key(tmp_path, PLANT, public=THIRD) is None
    # Of another plant whose name begins alike nothing is taken.
    third = public_key(signing_key(tmp_path, f"{PLANT}-b"))
    assert own_key(tmp_path, PLANT, public=third) is None


def test_a_lost_key_is_made_anew(tmp_path: Path) -> None:
    assert public_key(new_key(tmp_path, PLANT)) == public_key(signing_key(tmp_path, PLANT))


# --- agreements -------------------------------------------------------------------------------------------------------


def test_an_agreement_without_keys_seals_those_in_use_and_one_with_keys_is_left_alone() -> None:
    agreed, keys = an_agreement(), {PLANT: FIRST, OPERATOR: SECOND}
    assert sealed(agreed, PLANT, keys).keys == Keys(plant=FIRST, control=SECOND)
    assert sealed(agreed, PLANT, keys).model_copy(update={"keys": None}) == agreed
    assert sealed(agreed, PLANT, {PLANT: FIRST}) == agreed
    mine = agreed.model_copy(update={"keys": Keys(plant=THIRD, control=THIRD)})
    assert sealed(mine, PLANT, keys) == mine


def test_an_agreement_that_was_proposed_keeps_its_keys_until_its_terms_change() -> None:
    agreed, keys = an_agreement(), {PLANT: FIRST, OPERATOR: SECOND}
    before = sealed(agreed, PLANT, keys)
    renewed = {**keys, PLANT: THIRD}
    assert sealed(agreed, PLANT, renewed, proposed=before) == before
    other = an_agreement(min_rows=7)
    assert sealed(other, PLANT, renewed, proposed=before).keys == Keys(plant=THIRD, control=SECOND)


def test_the_plant_s_published_key_is_in_use_and_else_the_one_in_this_home(tmp_path: Path) -> None:
    state = Installation(keys={OPERATOR: SECOND})
    here = public_key(signing_key(tmp_path, PLANT))
    assert keys_in_use(state, PLANT, tmp_path) == {PLANT: here, OPERATOR: SECOND}
    state.keys[PLANT] = FIRST
    assert keys_in_use(state, PLANT, tmp_path / "elsewhere") == {PLANT: FIRST, OPERATOR: SECOND}
    assert not (tmp_path / "elsewhere").exists()


# --- what control says ------------------------------------------------------------------------------------------------


class Control(FakeInstallation):
    """Control without a broker, in which everyone takes part."""

    def told(self, party: str, command: Command) -> Fact:
        return self.ask(party, command).fact


@pytest.fixture
def control() -> Control:
    found = Control()
    for party, command in PARTICIPANTS:
        found.ask(party, command)
    return found


def refusal(fact: Fact) -> str:
    assert isinstance(fact.body, RequestRefused), fact.body
    return fact.body.reason


def test_a_key_is_published_by_whom_it_belongs_to(control: Control) -> None:
    assert "published by its owner maker" in refusal(
        control.told("startup-1", PublishKey(holder=PLANT, key=FIRST))
    )
    assert "only the operator" in refusal(control.told("maker", PublishKey(holder=OPERATOR, key=FIRST)))
    assert isinstance(control.told("maker", PublishKey(holder=PLANT, key=FIRST)).body, KeyPublished)
    assert isinstance(control.told(OPERATOR, PublishKey(holder=OPERATOR, key=SECOND)).body, KeyPublished)
    assert control.state.keys == {PLANT: FIRST, OPERATOR: SECOND}
    # One is published in place of another at any time.
    assert isinstance(control.told("maker", PublishKey(holder=PLANT, key=THIRD)).body, KeyPublished)
    assert control.state.keys[PLANT] == THIRD


def test_nobody_publishes_the_key_that_another_signs_with(control: Control) -> None:
    control.told(OPERATOR, PublishKey(holder=OPERATOR, key=SECOND))
    told = refusal(control.told("maker", PublishKey(holder=PLANT, key=SECOND)))
    assert "one signature would stand for both" in told
    assert control.state.keys == {OPERATOR: SECOND}


def test_an_agreement_with_other_keys_than_those_in_use_is_refused(control: Control) -> None:
    control.told("maker", PublishKey(holder=PLANT, key=FIRST))
    control.told(OPERATOR, PublishKey(holder=OPERATOR, key=SECOND))

    def proposal(plant: str, by: str) -> ProposePairing:
        terms = an_agreement().model_copy(update={"keys": Keys(plant=plant, control=by)})
        return ProposePairing(pairing="pump-0", need="need-1", startup="startup-1", agreement=terms)

    for plant, by in ((THIRD, SECOND), (FIRST, THIRD), (SECOND, FIRST)):
        assert "names others than those of plant-1" in refusal(control.told("city", proposal(plant, by)))
    assert isinstance(control.told("city", proposal(FIRST, SECOND)).body, PairingProposed)
    # After the plant's key was renewed an amendment seals the new one, and the agreement as it is stays what it is.
    control.told("maker", PublishKey(holder=PLANT, key=THIRD))
    stale = AmendAgreement(
        pairing="pump-0",
        agreement=an_agreement(min_rows=3).model_copy(update={"keys": Keys(plant=FIRST, control=SECOND)}),
        reason="fewer rows",
    )
    assert "names others" in refusal(control.told("maker", stale))
    kept = control.state.pairings["pump-0"].agreement.keys
    assert kept == Keys(plant=FIRST, control=SECOND)


# --- a folder ---------------------------------------------------------------------------------------------------------


def applied(client: FakeInstallation, folder: PocFolder, home: Path) -> list[Status]:
    """What `fieldproof apply` does with a folder that was read."""
    keys = keys_in_use(client.state, folder.plant.id, home)
    ready = folder.sealed(keys, proposed_in(client.facts))
    return [one.status for one in carry_out(ready, client)]  # type: ignore[arg-type]


def test_a_folder_that_is_applied_again_is_unchanged_also_after_its_keys_were_renewed(tmp_path: Path) -> None:
    write_folder(tmp_path / "poc", Task.ANOMALY)
    folder = read_folder(tmp_path / "poc")
    plant, client, home = folder.plant.id, FakeInstallation(), tmp_path / "home"
    client.ask(OPERATOR, PublishKey(holder=OPERATOR, key=SECOND))
    assert set(applied(client, folder, home)) == {Status.NEW}
    (pairing,) = client.state.pairings.values()
    here = public_key(signing_key(home, plant))
    assert pairing.agreement.keys == Keys(plant=here, control=SECOND)
    assert client.state.keys[plant] == here
    assert set(applied(client, folder, home)) == {Status.UNCHANGED}
    # From another desk, without the key.
    assert set(applied(client, folder, tmp_path / "other")) == {Status.UNCHANGED}

    renewed = public_key(new_key(home, plant))
    client.ask(folder.plant.owner, PublishKey(holder=plant, key=renewed))
    client.ask(OPERATOR, PublishKey(holder=OPERATOR, key=THIRD))
    assert Status.REFUSED not in applied(client, folder, home)
    assert client.state.keys[plant] == renewed
    assert client.state.pairings[pairing.id].agreement == pairing.agreement
    # Another pairing seals the new ones.
    more = replace(folder, pairings=(replace(folder.pairings[0], id="pump-2027-01"),))
    assert Status.REFUSED not in applied(client, more, home)
    assert client.state.pairings["pump-2027-01"].agreement.keys == Keys(plant=renewed, control=THIRD)
