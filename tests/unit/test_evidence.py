"""A bundle of evidence says what was measured, and whoever reads it finds out every lie that can be found out."""

from __future__ import annotations

import json
import random
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agents import scorer as module
from agents.scores import digest_of, evaluations, new_book, read_entry, verdicts_of
from infra.evidence import bundle as bundles
from infra.evidence import verify_verdicts
from infra.evidence.bundle import BundleUnreadable, FileSum, pack, signature_of, sum_of, unpack
from infra.evidence.case import Case
from infra.evidence.export import NotOver, NotWhole, NotWritten, export
from infra.evidence.findings import Findings
from infra.evidence.keys import own_key, signing_key
from infra.evidence.lines import Lines
from infra.evidence.signing import NotToBeSigned, add_signatures
from infra.evidence.tables import CHAIN, GROUP, MESSAGES, read_messages, write_messages
from infra.evidence.verify import verify
from schemas.erasure import Erasure
from schemas.ledger import Closed, Started
from schemas.pairing import Phase
from schemas.terms import Disclosed
from streams.envelope import RawRecord
from streams.ledger_codec import decode, encode
from streams.topics import OPERATOR
from tests.unit.evidence_cases import EARLIER, a_proof, keys_of, label_message
from tests.unit.twins import PAIRING, PLANT

MADE = datetime(2026, 4, 1, tzinfo=UTC)
SCOPES = ("full", "disclosed")


@pytest.fixture(autouse=True)
def _look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cadences are for people; the tests wait for facts."""
    monkeypatch.setattr(module, "LOOK_S", 0)
    monkeypatch.setattr(module, "CADENCE_S", 0)
    monkeypatch.setattr(module, "WAIT_S", 0.002)


@dataclass(frozen=True, kw_only=True)
class Desk:
    """A home with both keys, and a case that it can export."""

    home: Path
    root: Path
    case: Case

    def export(
        self, name: str = "out", *, case: Case | None = None, home: Path | None = None
    ) -> dict[str, Path]:
        out = self.root / name
        found = export(
            case or self.case, out, home=home or self.home, made_at=MADE, progress=lambda _: None, again=True
        )
        return dict(zip(SCOPES, found, strict=True))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("LOOK_S", 0), ("CADENCE_S", 0), ("WAIT_S", 0.002)):
            patch.setattr(module, name, value)
        case = a_proof(keys_of(home, home), answers=["normal"], strangers=1).case()
    return Desk(home=home, root=tmp_path_factory.mktemp("root"), case=case)


@pytest.fixture(scope="module")
def written(desk: Desk) -> dict[str, Path]:
    return desk.export("honest")


def checked(file: Path, folder: Path, **how: Any) -> Findings:
    folder.mkdir(parents=True)
    return verify(unpack(file, folder), **how)


def states(found: Findings) -> dict[str, str]:
    """The worst state of each thing that was looked at."""
    told: dict[str, str] = {}
    for one in found.every:
        if told.get(one.what) != "failed":
            told[one.what] = one.state
    return told


def wrong(found: Findings) -> dict[str, str]:
    return {one.what: one.said.en for one in found.wrong}


def good(found: Findings) -> bool:
    assert found.good == (not wrong(found)), [one for one in found.every if one.state == "missing"]
    return found.good


# --- what is true -----------------------------------------------------------------------------------------------------


def test_an_honest_full_bundle_is_computed_again_from_its_ledger(
    written: dict[str, Path], tmp_path: Path
) -> None:
    found = checked(written["full"], tmp_path / "b")
    assert good(found), wrong(found)
    told = states(found)
    computed = {name for name, state in told.items() if state == "recomputed"}
    assert computed == {"pairing", "chain", "evaluations", "verdicts"}
    assert {name for name, state in told.items() if state == "checked"} == {
        "files", "agreement", "signature of plant", "signature of control", "terms", "judged", "labels",
    }  # fmt: skip
    assert {name for name, state in told.items() if state == "signed"} == {
        "consented agreement", "consent", "measurement", "software",
    }  # fmt: skip


def test_an_honest_disclosed_bundle_is_computed_again_as_far_as_it_tells(
    written: dict[str, Path], tmp_path: Path
) -> None:
    found = checked(written["disclosed"], tmp_path / "b")
    assert good(found), wrong(found)
    told = states(found)
    assert {name for name, state in told.items() if state == "recomputed"} == {
        "chain", "metrics", "verdicts", "decision",
    }  # fmt: skip
    assert {"ledger", "losses", "other metrics", "beside verdicts"} <= {
        name for name, state in told.items() if state == "signed"
    }


def test_a_disclosed_bundle_holds_nothing_of_the_ledger_labels_or_people(written: dict[str, Path]) -> None:
    with zipfile.ZipFile(written["disclosed"]) as archive:
        names = set(archive.namelist())
        every = b"".join(archive.read(name) for name in names if not name.endswith(".parquet"))
    assert names == {
        "manifest.json", "signatures.json", "agreement.json", "evaluations.jsonl", "verdicts.jsonl",
        "chain.parquet", "losses.parquet",
    }  # fmt: skip
    for secret in (b"Kim Maker", b"Lee Startup", b"where", b'faults":[{'):
        assert secret not in every


@pytest.mark.parametrize(
    "what",
    [
        (),
        ("verdict",),
        ("counts", "verdict"),
        ("metrics", "verdict"),
        ("metrics",),
        ("counts", "metrics", "verdict"),
        ("verdict", "unit_losses"),
    ],
)
def test_what_is_not_disclosed_is_only_signed(desk: Desk, tmp_path: Path, what: tuple[Any, ...]) -> None:
    told = Disclosed(what=what, every="close")
    case = a_proof(keys_of(desk.home, desk.home), told=told).case()
    files = replace(desk, case=case, root=tmp_path).export()
    for scope, file in files.items():
        found = checked(file, tmp_path / scope)
        assert good(found), (scope, wrong(found))
    state = states(checked(files["disclosed"], tmp_path / "again"))
    both = {"counts", "metrics"} <= set(what)
    assert state.get("verdicts") == (
        {True: "recomputed", False: "signed"}[both] if "verdict" in what else None
    )
    assert state.get("decision") in (None, "signed", "recomputed")
    assert (state.get("decision") == "recomputed") == (
        {"metrics", "verdict", "unit_losses"} <= set(what) and both
    )


@pytest.mark.parametrize(
    "drawn",
    [
        {"early": True, "least_units": 5},
        {"answers": ["normal", "anomaly"]},
        {"answers": ["normal", "anomaly"], "incumbent": "baseline-1", "constant": None},
        {"constant": None},
        {"constant": 1.0},
        {"retired": ("second",)},
        {"stopped": True},
        {"truth": [None if row % 9 == 4 else row % 2 for row in range(60)]},
        {"truth": [None] * 60},
        {"strangers": 2},
    ],
)
def test_honest_bundles_of_every_kind_of_proof_are_never_accused(
    desk: Desk, tmp_path: Path, drawn: dict[str, Any]
) -> None:
    case = a_proof(keys_of(desk.home, desk.home), **drawn).case()
    for scope, file in replace(desk, case=case, root=tmp_path).export().items():
        found = checked(file, tmp_path / scope)
        assert good(found), (scope, wrong(found))


def test_the_same_evidence_has_the_same_bytes(desk: Desk, written: dict[str, Path]) -> None:
    again = desk.export("again")
    assert [again[scope].read_bytes() for scope in SCOPES] == [
        written[scope].read_bytes() for scope in SCOPES
    ]


def test_a_broken_off_pairing_says_that_there_is_no_verdict(desk: Desk, tmp_path: Path) -> None:
    case = a_proof(keys_of(desk.home, desk.home), stopped=True).case()
    found = checked(replace(desk, case=case, root=tmp_path).export()["full"], tmp_path / "b")
    assert states(found)["verdicts"] == "signed"
    assert "broken off" in next(one.said.en for one in found.every if one.what == "verdicts")


# --- what is not written ----------------------------------------------------------------------------------------------


def test_a_proof_that_runs_has_no_evidence_yet(desk: Desk, tmp_path: Path) -> None:
    running = replace(desk.case, pairing=desk.case.pairing.model_copy(update={"phase": Phase.RUNNING}))
    with pytest.raises(NotOver, match="once its verdicts have fallen"):
        replace(desk, case=running, root=tmp_path).export()
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_follow_from_the_ledger_is_not_signed(desk: Desk, tmp_path: Path) -> None:
    short = replace(desk.case, verdicts=desk.case.verdicts[:1])
    with pytest.raises(NotWhole, match="fieldproof recompute --pairing"):
        replace(desk, case=short, root=tmp_path).export()


def test_an_erased_ledger_says_so(desk: Desk, tmp_path: Path) -> None:
    digest = desk.case.pairing.agreement_digest
    erasure = Erasure(parts=("ledger",), chain="ab" * 32, agreement_digest=digest)
    gone = desk.case.pairing.model_copy(update={"erasing": ("ledger",), "erasure": erasure})
    ledger = list(desk.case.ledger())
    case = replace(desk.case, pairing=gone, ledger=lambda: iter(ledger[12:]))
    with pytest.raises(NotWhole, match=r"was erased: its numbers cannot be computed again.*abababababab"):
        replace(desk, case=case, root=tmp_path).export()


def test_a_bundle_that_is_there_is_not_written_over(desk: Desk, tmp_path: Path) -> None:
    mine = replace(desk, root=tmp_path)
    there = mine.export()["disclosed"]
    there.with_name(f"{PAIRING}.full.zip").unlink()
    with pytest.raises(NotWritten, match=r"disclosed.zip is there already.*--force"):
        export(desk.case, tmp_path / "out", home=desk.home, made_at=MADE, progress=lambda _: None)
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(NotWritten, match="cannot be written"):
        mine.export("taken")


def test_a_key_that_is_not_sealed_does_not_sign(desk: Desk, tmp_path: Path) -> None:
    files = replace(desk, root=tmp_path).export(home=tmp_path / "stranger")
    found = checked(files["full"], tmp_path / "b")
    assert {states(found)[f"signature of {one}"] for one in ("plant", "control")} == {"missing"}
    assert not found.good
    assert not found.wrong
    signing_key(tmp_path / "stranger", PLANT)
    assert add_signatures(files["full"], tmp_path / "stranger") == []


# --- signatures -------------------------------------------------------------------------------------------------------


def test_each_side_signs_with_the_key_that_it_keeps(tmp_path: Path) -> None:
    control, plant = tmp_path / "control", tmp_path / "plant"
    case = a_proof(keys_of(control, plant)).case()
    file = Desk(home=control, root=tmp_path, case=case).export()["disclosed"]
    first = checked(file, tmp_path / "a")
    assert (states(first)["signature of control"], states(first)["signature of plant"]) == (
        "checked",
        "missing",
    )
    assert add_signatures(file, plant) == [PLANT]
    assert add_signatures(file, plant) == []
    assert good(checked(file, tmp_path / "b"))


def test_a_signature_with_another_key_is_wrong_and_the_right_one_takes_its_place(
    desk: Desk, written: dict[str, Path], tmp_path: Path
) -> None:
    def forge(one: Bundled) -> None:
        one.keys[PLANT] = Ed25519PrivateKey.generate()

    file = forged(desk, written["full"], tmp_path, forge)
    found = checked(file, tmp_path / "a")
    assert wrong(found) == {
        "signature of plant": "the plant is signed for with another key than the agreement seals"
    }
    assert add_signatures(file, desk.home) == [PLANT]
    assert good(checked(file, tmp_path / "b"))


def test_a_manifest_that_was_changed_is_not_the_one_that_was_signed(
    written: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "u"
    folder.mkdir()
    read = unpack(written["full"], folder)
    other = read.manifest_bytes.replace(b'"scope":"full"', b'"scope": "full"')
    assert other != read.manifest_bytes
    file = tmp_path / "x.zip"
    pack(folder, other, read.signatures, file)
    assert wrong(checked(file, tmp_path / "b")) == {
        "signature of plant": "the signature of the plant is not of this bundle",
        "signature of control": "the signature of control is not of this bundle",
    }


def test_a_signature_is_not_lent_to_another_holder(
    desk: Desk, written: dict[str, Path], tmp_path: Path
) -> None:
    def forge(one: Bundled) -> None:
        one.keys[PLANT] = one.keys[OPERATOR]

    assert "signature of plant" in wrong(
        checked(forged(desk, written["full"], tmp_path, forge), tmp_path / "a")
    )

    def rename(one: Bundled) -> None:
        one.manifest["plant"] = OPERATOR

    found = checked(forged(desk, written["disclosed"], tmp_path, rename), tmp_path / "b")
    assert "no plant is called operator" in wrong(found)["signature"]


def test_an_agreement_without_keys_leaves_it_to_the_reader_whose_they_are(desk: Desk, tmp_path: Path) -> None:
    case = a_proof(None).case()
    found = checked(replace(desk, case=case, root=tmp_path).export()["full"], tmp_path / "b")
    assert good(found)
    assert states(found)["signature of plant"] == "signed"
    told = next(one.said.en for one in found.every if one.what == "signature of plant")
    assert "the agreement seals no keys, so ask the plant" in told


def test_another_agreement_with_other_keys_is_known_by_its_hash(tmp_path: Path) -> None:
    """Whoever makes up a whole proof signs it with keys that its agreement seals; only its hash tells."""
    true, false = tmp_path / "true", tmp_path / "false"
    digest = a_proof(keys_of(true, true)).agreement.digest()
    case = a_proof(keys_of(false, false)).case()
    file = Desk(home=false, root=tmp_path, case=case).export()["full"]
    assert states(checked(file, tmp_path / "a"))["consented agreement"] == "signed"
    found = checked(file, tmp_path / "b", consented=digest)
    assert "another agreement than the one that you named" in wrong(found)["consented agreement"]
    known = checked(file, tmp_path / "c", consented=case.pairing.agreement_digest[:12])
    assert states(known)["consented agreement"] == "checked"
    assert good(known)


def test_a_bundle_that_is_wrong_in_itself_is_not_signed(
    desk: Desk, written: dict[str, Path], tmp_path: Path
) -> None:
    file = forged(desk, written["disclosed"], tmp_path, lambda one: one.edit("verdicts.jsonl", turned))
    before = file.read_bytes()
    with pytest.raises(NotToBeSigned, match="is not signed"):
        add_signatures(file, desk.home)
    assert file.read_bytes() == before


# --- lies, signed by both ---------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Bundled:
    """A bundle in the hands of whoever holds every key."""

    folder: Path
    manifest: dict[str, Any]
    keys: dict[str, Ed25519PrivateKey]

    def edit(self, name: str, change: Callable[[list[Any]], Sequence[Any]]) -> None:
        """Change the JSON lines of a file."""
        path = self.folder / name
        lines = [json.loads(line) for line in path.read_bytes().splitlines()]
        written = [json.dumps(one, separators=(",", ":"), ensure_ascii=False) for one in change(lines)]
        path.write_text("".join(f"{one}\n" for one in written))

    def rewrite(self, name: str, change: Callable[[pa.Table], pa.Table], **how: Any) -> None:
        """Change a table."""
        path = self.folder / name
        table = change(pq.read_table(path))
        pq.write_table(table, path, **{"use_dictionary": False, "compression": "zstd", **how})

    def messages(self, name: str, change: Callable[[list[RawRecord]], Sequence[RawRecord]]) -> None:
        """Change the messages of a table."""
        path = self.folder / name
        write_messages(path, change(list(read_messages(path, "x"))))

    def chain_again(self) -> None:
        """State the chain that the ledger gives now."""
        book = new_book(PAIRING)
        for record in read_messages(self.folder / "ledger.parquet", "x"):
            read = read_entry(record)
            if isinstance(read, tuple):
                book.fold(read[1], offset=record.offset, digest=digest_of(record))
        self.manifest |= {"entries": book.entries, "chain": book.chain.hex()}


def forged(desk: Desk, file: Path, root: Path, change: Callable[[Bundled], None]) -> Path:
    """A bundle with something changed, whose sums and signatures are right again."""
    folder = root / f"forged-{random.random()}"
    folder.mkdir()
    read = unpack(file, folder)
    keys = {one: own_key(desk.home, one) for one in (PLANT, OPERATOR)}
    mine = Bundled(
        folder=folder,
        manifest=json.loads(read.manifest_bytes),
        keys={name: key for name, key in keys.items() if key is not None},
    )
    change(mine)
    sums = {path.name: sum_of(path).to_dict() for path in folder.iterdir()}
    manifest = json.dumps(
        {"files": sums, **{k: v for k, v in mine.manifest.items() if k != "files"}}
    ).encode()
    signatures = tuple(signature_of(holder, key, manifest) for holder, key in mine.keys.items())
    out = root / f"{folder.name}.zip"
    pack(folder, manifest, signatures, out)
    return out


def turned(lines: list[Any]) -> list[Any]:
    """The verdict on the weaker candidate, turned."""
    for one in lines:
        if one["candidate"] == "second":
            one["verdict"] = "accepted"
    return lines


def of(lines: list[Any], name: str) -> Any:
    return next(one for one in lines if one["candidate"] == name and one.get("final", True))


def put(name: str, **values: Any) -> Callable[[list[Any]], list[Any]]:
    """Change fields of one candidate's last line; `metrics__f1` is one within another."""

    def change(lines: list[Any]) -> list[Any]:
        one = of(lines, name)
        for key, value in values.items():
            *path, last = key.split("__")
            at = one
            for step in path:
                at = at[step]
            at[last] = value
        return lines

    return change


def dropped(name: str) -> Callable[[list[Any]], list[Any]]:
    return lambda lines: [one for one in lines if one["candidate"] != name]


def entry_at(records: list[RawRecord], kind: type, number: int = 0) -> int:
    return [i for i, one in enumerate(records) if isinstance(decode(one), kind)][number]


def again(record: RawRecord, entry: Any) -> RawRecord:
    key, value, listed = encode(entry, source="/test", ident="x")
    return replace(record, key=key, value=value, headers=tuple(listed))


def another_answer(records: list[RawRecord]) -> list[RawRecord]:
    at = next(
        i
        for i, one in enumerate(records)
        if getattr(getattr(decode(one), "meta", None), "deployment", "").endswith("/second")
    )
    rows = decode(records[at])
    records[at] = again(records[at], replace(rows, answers=1 - rows.answers))  # type: ignore[union-attr,arg-type]
    return records


FULL_LIES: dict[str, tuple[Callable[[Bundled], None], str, str]] = {
    "an entry removed": (
        lambda one: one.messages("ledger.parquet", lambda all_: [*all_[:9], *all_[10:]]),
        "chain",
        "stated are",
    ),
    "an entry removed and the chain stated anew": (
        lambda one: (one.messages("ledger.parquet", lambda all_: [*all_[:9], *all_[10:]]), one.chain_again())[0],
        "evaluations",
        "differ",
    ),
    "an entry twice under another offset": (
        lambda one: (
            one.messages(
                "ledger.parquet", lambda all_: [*all_[:9], replace(another_label(all_), offset=all_[9].offset - 1), *all_[9:]]
            ),
            one.chain_again(),
        )[0],
        "evaluations",
        "differ",
    ),
    "entries in another order": (
        lambda one: one.messages("ledger.parquet", lambda all_: [*all_[:8], all_[9], all_[8], *all_[10:]]),
        "ledger",
        "out of order",
    ),
    "an answer changed": (
        lambda one: (one.messages("ledger.parquet", another_answer), one.chain_again())[0],
        "evaluations",
        "differ",
    ),
    "an evaluation changed": (
        lambda one: one.edit("evaluations.jsonl", put("second", metrics__f1=0.99)),
        "evaluations",
        "metrics.f1",
    ),
    "an evaluation on the way changed": (
        lambda one: one.edit("evaluations.jsonl", lambda all_: [{**all_[0], "counts": {**all_[0]["counts"], "rows_in": 7}}, *all_[1:]]),
        "evaluations",
        "counts.rows_in",
    ),
    "a verdict turned": (lambda one: one.edit("verdicts.jsonl", turned), "verdicts", "accepted"),
    "an evaluation left out": (
        lambda one: one.edit("evaluations.jsonl", dropped("second")),
        "ledger",
        "no final evaluation was published of second",
    ),
    "a verdict left out": (
        lambda one: one.edit("verdicts.jsonl", dropped("second")),
        "ledger",
        "no verdict was published of second",
    ),
    "a label changed where it was sent": (
        lambda one: one.messages("labels.parquet", lambda all_: [other_value(all_[0]), *all_[1:]]),
        "labels",
        "1 labels are not what the plant sent, 0 were not sent, 0 are left out",
    ),
    "a label that was never sent": (
        lambda one: one.messages("labels.parquet", lambda all_: [*all_[:5], *all_[6:]]),
        "labels",
        "0 labels are not what the plant sent, 1 were not sent, 0 are left out",
    ),
    "a label left out of the ledger": (
        lambda one: (one.messages("ledger.parquet", lambda all_: [*all_[:12], *all_[13:]]), one.chain_again())[0],
        "labels",
        "0 labels are not what the plant sent, 0 were not sent, 1 are left out",
    ),
    "a consent left out": (
        lambda one: one.edit("facts.jsonl", lambda all_: [x for x in all_ if x["body"].get("person") != "Lee Startup"]),
        "consent",
        "no consent of both sides",
    ),
    "a fact left out": (
        lambda one: one.edit("facts.jsonl", lambda all_: [x for x in all_ if x["body"]["kind"] != "trial_ended"]),
        "pairing",
        "not what the manifest and the facts say",
    ),
    "facts in another order": (
        lambda one: one.edit("facts.jsonl", lambda all_: [*all_[1:], all_[0]]),
        "pairing",
        "not what the manifest and the facts say",
    ),
    "another digest of a model": (
        lambda one: one.manifest["candidates"][0].update(digest="f" * 64),
        "pairing",
        "not what the manifest and the facts say",
    ),
    "another phase": (
        lambda one: one.manifest.update(phase="settled"),
        "pairing",
        "not what the manifest and the facts say",
    ),
    "nobody retired who was": (
        lambda one: one.manifest["candidates"][0].update(retired=True),
        "pairing",
        "not what the manifest and the facts say",
    ),
    "one judged too few": (
        lambda one: one.manifest.update(judged=["baseline-0", "first"]),
        "judged",
        "second",
    ),
    "a file left out": (
        lambda one: (one.folder / "labels.parquet").unlink(),
        "files",
        "labels.parquet",
    ),
    "no ledger in the ledger": (
        lambda one: one.messages("ledger.parquet", lambda _: []),
        "chain",
        "0 entries",
    ),
}  # fmt: skip


def another_label(records: list[RawRecord]) -> RawRecord:
    record = next(one for one in reversed(records) if type(decode(one)).__name__ == "Label")
    entry = decode(record)
    source = entry.source.model_copy(update={"offset": 999})  # type: ignore[union-attr]
    return again(record, entry.model_copy(update={"source": source, "id": "more", "code": 0.0}))  # type: ignore[union-attr]


def other_value(record: RawRecord) -> RawRecord:
    value = json.loads(record.value or b"")
    value["value"] = "anomaly" if value["value"] == "normal" else "normal"
    return replace(record, value=json.dumps(value).encode())


@pytest.mark.parametrize("lie", sorted(FULL_LIES))
def test_a_lie_in_a_full_bundle_that_both_have_signed_is_found(
    desk: Desk, written: dict[str, Path], tmp_path: Path, lie: str
) -> None:
    change, what, words = FULL_LIES[lie]
    found = checked(forged(desk, written["full"], tmp_path, change), tmp_path / "b")
    told = [one.said.en for one in found.wrong if one.what == what]
    assert any(words in one for one in told), (what, wrong(found))


def judged_by(case: Case, entries: Sequence[RawRecord]) -> Case:
    """The case with another ledger and what follows from it: a lie that is told from the ledger on."""
    book = new_book(PAIRING)
    last = None
    for record in entries:
        read = read_entry(record)
        if isinstance(read, tuple):
            book.fold(read[1], offset=record.offset, digest=digest_of(record))
            last = record
    assert last is not None
    final = evaluations(book, partition=0, offset=last.offset, at_ms=last.timestamp_ms, final=True)
    told = verdicts_of(book, final, equal=True, retired=frozenset())
    return replace(
        case,
        ledger=lambda: iter(entries),
        evaluations=[one.to_json() for one in final],
        verdicts=[one.to_json() for one in told],
    )


def test_a_candidate_that_was_left_out_of_the_close_is_missed(desk: Desk, tmp_path: Path) -> None:
    entries = list(desk.case.entries())
    at = entry_at(entries, Closed)
    names = (f"{PAIRING}/baselines", f"{PAIRING}/first")
    entries[at] = again(entries[at], Closed(pairing=PAIRING, deployments=names))
    files = replace(desk, root=tmp_path, case=judged_by(desk.case, entries)).export()
    assert wrong(checked(files["full"], tmp_path / "a")) == {
        "judged": f"left out of the judgement, or put into it: {PAIRING}/second"
    }
    # Who does not see the ledger is told of whom nothing is said.
    found = checked(files["disclosed"], tmp_path / "b")
    told = next(one for one in found.every if one.what == "not judged")
    assert (told.state, told.said.en) == (
        "signed",
        "that these candidates had no part in the trial's end: second",
    )


@pytest.mark.parametrize("stated", ["the hash consented to", "their own hash"])
def test_a_trial_that_was_measured_under_other_terms_than_were_agreed_is_found(
    desk: Desk, tmp_path: Path, stated: str
) -> None:
    """The ledger states terms that nobody consented to, beside the hash that both sides did consent to, or not even that."""
    entries = list(desk.case.entries())
    for at in range(len(entries)):
        entry = decode(entries[at])
        if isinstance(entry, Started):
            eased = entry.agreement.decision.model_copy(update={"margin": 0.0, "alpha": 0.5})  # type: ignore[union-attr]
            agreement = entry.agreement.model_copy(update={"decision": eased})
            digest = agreement.digest() if stated == "their own hash" else entry.agreement_digest
            other = {"agreement": agreement, "agreement_digest": digest}
            entries[at] = again(entries[at], entry.model_copy(update=other))
    files = replace(desk, root=tmp_path, case=judged_by(desk.case, entries)).export()
    assert "measured under other terms" in wrong(checked(files["full"], tmp_path / "a"))["terms"]
    assert {"verdicts", "decision"} <= wrong(checked(files["disclosed"], tmp_path / "b")).keys()


def test_labels_between_a_rehearsal_and_the_trial_are_nobody_s(
    desk: Desk, written: dict[str, Path], tmp_path: Path
) -> None:
    """The plant goes on labelling while nobody listens; what it said then is not left out."""

    def earlier(records: list[RawRecord]) -> list[RawRecord]:
        return [*(label_message(number, number, "normal") for number in range(EARLIER)), *records]

    file = forged(desk, written["full"], tmp_path, lambda one: one.messages("labels.parquet", earlier))
    assert good(checked(file, tmp_path / "b"))


# --- lies in what is disclosed ----------------------------------------------------------------------------------------


def columns(**change: Callable[[Any], Any]) -> Callable[[pa.Table], pa.Table]:
    """Change columns of a table."""

    def changed(table: pa.Table) -> pa.Table:
        for name, how in change.items():
            field = table.schema.field(name)
            values = pa.array(how(table.column(name).to_pylist()), type=field.type)
            table = table.set_column(table.schema.get_field_index(name), field, values)
        return table

    return changed


def flip(values: list[Any]) -> list[Any]:
    return [*values[:5], 1_000_000 - values[5], *values[6:]]


def both(*changes: Callable[[Bundled], None]) -> Callable[[Bundled], None]:
    def every(one: Bundled) -> None:
        for change in changes:
            change(one)

    return every


def no_rival(table: pa.Table) -> pa.Table:
    return table.filter(pa.compute.not_equal(table.column("rival"), "baseline-0"))


DISCLOSED_LIES: dict[str, tuple[Callable[[Bundled], None], str, str]] = {
    "a verdict turned": (lambda one: one.edit("verdicts.jsonl", turned), "verdicts", "second"),
    "a reason changed": (
        lambda one: one.edit("verdicts.jsonl", put("second", reason="all is well")), "verdicts", "second",
    ),
    "a threshold lowered": (
        lambda one: one.edit("verdicts.jsonl", put("second", threshold=-1.0)), "verdicts", "second",
    ),
    "a metric changed": (
        lambda one: one.edit("evaluations.jsonl", put("first", metrics__f1=0.5)), "metrics", "first f1",
    ),
    "a metric left out": (
        lambda one: one.edit("evaluations.jsonl", lambda all_: (of(all_, "first")["metrics"].pop("far"), all_)[1]),
        "metrics",
        "first far",
    ),
    "a confusion changed": (
        lambda one: one.edit("evaluations.jsonl", put("second", confusion={
            "normal/normal": 30, "normal/anomaly": 0, "anomaly/normal": 0, "anomaly/anomaly": 30,
        })),
        "metrics",
        "second",
    ),
    "a confusion of other classes": (
        lambda one: one.edit("evaluations.jsonl", put("second", confusion={"a/a": 60})), "metrics", "second confusion",
    ),
    "more rows than came": (
        lambda one: one.edit("evaluations.jsonl", put("first", counts__scored=61)), "counts", "first",
    ),
    "fewer rows than nothing": (
        lambda one: one.edit("evaluations.jsonl", put("first", counts__failed=-1, counts__abstained=1)),
        "counts",
        "first",
    ),
    "a candidate left out": (
        both(
            lambda one: one.edit("evaluations.jsonl", dropped("second")),
            lambda one: one.edit("verdicts.jsonl", dropped("second")),
        ),
        "disclosed",
        "no evaluation of second; no verdict of second",
    ),
    "a baseline left out": (
        both(
            lambda one: one.edit("evaluations.jsonl", dropped("baseline-0")),
            lambda one: one.manifest.update(judged=["first", "second"]),
        ),
        "disclosed",
        "baseline-0 was not judged",
    ),
    "an evaluation twice": (
        lambda one: one.edit("evaluations.jsonl", lambda all_: [*all_, of(all_, "first")]),
        "disclosed",
        "2 evaluations of first",
    ),
    "an evaluation of another pairing": (
        lambda one: one.edit("evaluations.jsonl", put("first", pairing="another-one")),
        "disclosed",
        "first of another-one",
    ),
    "an evaluation on the way in the place of the last": (
        lambda one: one.edit("evaluations.jsonl", put("first", final=False)), "disclosed", "no final evaluation",
    ),
    "counts held back": (
        lambda one: one.edit("evaluations.jsonl", lambda all_: (of(all_, "first").pop("counts"), all_)[1]),
        "disclosed",
        "first: not as disclosed",
    ),
    "less disclosed than agreed": (
        lambda one: one.manifest.update(discloses=["verdict"]), "disclosed", "verdict is not what it discloses",
    ),
    "another chain in a verdict": (
        lambda one: one.edit("verdicts.jsonl", put("first", chain="0" * 64)), "chain of results", "first",
    ),
    "a hash changed": (
        lambda one: one.rewrite("chain.parquet", columns(sha256=lambda all_: [bytes(32), *all_[1:]])),
        "chain",
        "do not lead",
    ),
    "a hash left out": (
        lambda one: one.rewrite("chain.parquet", lambda table: table.slice(1)), "chain", "do not lead",
    ),
    "hashes in another order": (
        lambda one: one.rewrite("chain.parquet", lambda table: table.take([1, 0, *range(2, table.num_rows)])),
        "chain",
        "do not lead",
    ),
    "offsets that fall": (
        lambda one: one.rewrite("chain.parquet", columns(offset=lambda all_: all_[::-1])), "chain", "do not lead",
    ),
    "losses changed": (
        lambda one: one.rewrite("losses.parquet", columns(
            gain_low=flip, gain_high=flip, candidate_loss=lambda all_: [*all_[:5], 1_000_000, *all_[6:]],
        )),
        "decision",
        "first",
    ),
    "gains that are not what the losses say": (
        lambda one: one.rewrite("losses.parquet", columns(gain_low=flip, gain_high=flip)), "decision", "first",
    ),
    "losses beyond everything": (
        lambda one: one.rewrite("losses.parquet", columns(candidate_loss=lambda all_: [2**62] * len(all_))),
        "decision",
        "first, second",
    ),
    "units left out": (
        lambda one: one.rewrite("losses.parquet", lambda table: table.filter(
            pa.compute.less(table.column("place"), 40))),
        "decision",
        "first, second",
    ),
    "units in another order": (
        lambda one: one.rewrite("losses.parquet", lambda table: table.take([1, 0, *range(2, table.num_rows)])),
        "contents",
        "not in order",
    ),
    "the losses left out": (
        lambda one: (one.folder / "losses.parquet").unlink(), "decision", "disclosed and not here",
    ),
    "a rival left out": (
        both(
            lambda one: one.rewrite("losses.parquet", no_rival),
            lambda one: one.edit("verdicts.jsonl", lambda all_: [
                (x["decision"].update(comparisons=[]), x)[1] for x in all_]),
        ),
        "decision",
        "first, second",
    ),
    "a decision changed in both places": (
        both(
            lambda one: one.edit("verdicts.jsonl", put("second", decision__units=59)),
            lambda one: one.edit("evaluations.jsonl", put("second", decision__units=59)),
        ),
        "decision",
        "second",
    ),
    "a decision changed in the evaluation alone": (
        lambda one: one.edit("evaluations.jsonl", put("second", decision__units=59)), "decision", "second",
    ),
}  # fmt: skip


@pytest.mark.parametrize("lie", sorted(DISCLOSED_LIES))
def test_a_lie_in_a_disclosed_bundle_that_both_have_signed_is_found(
    desk: Desk, written: dict[str, Path], tmp_path: Path, lie: str
) -> None:
    change, what, words = DISCLOSED_LIES[lie]
    found = checked(forged(desk, written["disclosed"], tmp_path, change), tmp_path / "b")
    assert words in wrong(found).get(what, ""), wrong(found)


def test_the_order_of_a_confusion_in_the_file_says_nothing(
    desk: Desk, written: dict[str, Path], tmp_path: Path
) -> None:
    def reversed_(lines: list[Any]) -> list[Any]:
        return [{**one, "confusion": dict(reversed(one["confusion"].items()))} for one in lines]

    file = forged(desk, written["disclosed"], tmp_path, lambda one: one.edit("evaluations.jsonl", reversed_))
    assert good(checked(file, tmp_path / "b"))


def test_a_rival_that_the_agreement_names_cannot_be_left_out_of_losses_and_decision_together(
    desk: Desk, tmp_path: Path
) -> None:
    case = a_proof(keys_of(desk.home, desk.home), answers=["normal", "anomaly"]).case()
    files = replace(desk, case=case, root=tmp_path).export()

    def without(lines: list[Any]) -> list[Any]:
        for one in lines:
            if "decision" in one:
                one["decision"]["comparisons"] = one["decision"]["comparisons"][1:]
        return lines

    def forge(one: Bundled) -> None:
        one.rewrite("losses.parquet", no_rival)
        one.edit("verdicts.jsonl", without)
        one.edit("evaluations.jsonl", without)

    found = checked(forged(desk, files["disclosed"], tmp_path, forge), tmp_path / "b")
    assert wrong(found)["decision"] == "the decision does not follow from the losses: first, second"


def test_losses_of_too_many_units_are_said_to_be_signed_and_not_read(
    desk: Desk, written: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_verdicts, "MOST_LOSSES", 10)
    found = checked(written["disclosed"], tmp_path / "b")
    assert good(found)
    assert states(found)["decision"] == "signed"


# --- bytes that are no bundle -----------------------------------------------------------------------------------------


def zipped(path: Path, files: Sequence[tuple[str, bytes]], **how: Any) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, **how) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return path


def contents(file: Path) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(file) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


@pytest.mark.parametrize(
    "name",
    [
        "../escaped.json", "/etc/escaped.json", "a/b.json", "..", "", "manifest.json/", "x\\y.json", ".hidden.json",
        "한글.json", "A.json", "con", "a.json\n", "a" * 200 + ".json", "nul\0.json",
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_no_file_of_a_bundle_has_is_refused_before_anything_is_written(
    written: dict[str, Path], tmp_path: Path, name: str
) -> None:
    file = zipped(tmp_path / "x.zip", [*contents(written["full"]), (name or "x", b"x")])
    if not name:
        file.write_bytes(file.read_bytes().replace(b"x", b"\0"))
    folder = tmp_path / "into"
    folder.mkdir()
    with pytest.raises(BundleUnreadable):
        unpack(file, folder)
    assert list(folder.iterdir()) == []
    assert not (tmp_path / "escaped.json").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("twice", ["manifest.json", "signatures.json", "ledger.parquet"])
def test_a_file_that_is_there_twice_is_refused(written: dict[str, Path], tmp_path: Path, twice: str) -> None:
    file = zipped(tmp_path / "x.zip", [*contents(written["full"]), (twice, b"{}")])
    with pytest.raises(BundleUnreadable, match="a file twice"):
        checked(file, tmp_path / "b")


def test_a_zip_that_opens_to_too_much_is_refused_before_it_is_opened(
    written: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = zipped(tmp_path / "x.zip", [*contents(written["full"]), ("bomb.json", bytes(200 * 1024**2))])
    with pytest.raises(BundleUnreadable, match="no evidence is packed like that"):
        checked(bomb, tmp_path / "a")
    giant = [
        (name, b" " * 5 * 1024**2 if name == "manifest.json" else one)
        for name, one in contents(written["full"])
    ]
    with zipfile.ZipFile(tmp_path / "g.zip", "w") as archive:
        for name, content in giant:
            archive.writestr(name, content)
    with pytest.raises(BundleUnreadable, match="no manifest is"):
        checked(tmp_path / "g.zip", tmp_path / "b")
    many = zipped(tmp_path / "m.zip", [*contents(written["full"]), *((f"f{i}.json", b"") for i in range(99))])
    with pytest.raises(BundleUnreadable, match="too many"):
        checked(many, tmp_path / "c")
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(bundles.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BundleUnreadable, match="TMPDIR"):
        checked(written["full"], tmp_path / "d")


def test_a_zip_that_lies_about_its_sizes_or_is_locked_is_refused(
    written: dict[str, Path], tmp_path: Path
) -> None:
    honest = written["disclosed"].read_bytes()
    # The sizes in the central directory: after its signature come 20 bytes, then both sizes.
    lying = bytearray(honest)
    at = honest.index(b"PK\x01\x02")
    struct.pack_into("<I", lying, at + 24, 10)
    locked = bytearray(honest)
    for found in (at, 0):
        flags = found + (8 if found else 6)
        struct.pack_into("<H", locked, flags, struct.unpack_from("<H", locked, flags)[0] | 1)
    unknown = bytearray(honest)
    struct.pack_into("<H", unknown, at + 10, 99)
    for number, content in enumerate((lying, locked, unknown)):
        (tmp_path / "x.zip").write_bytes(content)
        with pytest.raises(BundleUnreadable, match="no bundle of evidence"):
            checked(tmp_path / "x.zip", tmp_path / str(number))


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip at all" * 99, b"PK\x05\x06" + bytes(18)])
def test_what_is_no_zip_is_no_bundle(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(BundleUnreadable):
        checked(tmp_path / "x.zip", tmp_path / "b")


def test_what_is_not_there_or_a_folder_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleUnreadable, match="there is no file"):
        checked(tmp_path / "nothing.zip", tmp_path / "a")
    with pytest.raises(BundleUnreadable):
        checked(tmp_path, tmp_path / "b")


GARBAGE = [
    b"",
    b"\0" * 99,
    b"null",
    b"[]",
    b'{"a":1}\n',
    b"[" * 100_000,
    b"\xff\xfe" * 50,
    b"1" * 6000,
    b'"\\ud800"\n',
    b"PAR1" * 9,
]


@pytest.mark.parametrize("scope", SCOPES)
def test_garbage_in_any_file_that_both_have_signed_is_a_finding_and_no_error(
    desk: Desk, written: dict[str, Path], tmp_path: Path, scope: str
) -> None:
    names = [name for name, _ in contents(written[scope]) if name not in ("manifest.json", "signatures.json")]
    number = 0
    for name in names:
        for garbage in GARBAGE:

            def forge(one: Bundled, name: str = name, garbage: bytes = garbage) -> None:
                (one.folder / name).write_bytes(garbage)

            number += 1
            found = checked(forged(desk, written[scope], tmp_path, forge), tmp_path / str(number))
            assert wrong(found), (name, garbage[:20])


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_for_a_manifest_or_signatures_is_no_bundle(
    written: dict[str, Path], tmp_path: Path, garbage: bytes
) -> None:
    for spoilt in ("manifest.json", "signatures.json"):
        files = [(name, garbage if name == spoilt else one) for name, one in contents(written["full"])]
        if spoilt == "signatures.json" and garbage == b"[]":
            found = checked(zipped(tmp_path / "x.zip", files), tmp_path / spoilt)
            assert states(found)["signature of plant"] == "missing"
            continue
        with pytest.raises(BundleUnreadable, match="ask for the file again"):
            checked(zipped(tmp_path / "x.zip", files), tmp_path / spoilt)


def test_no_byte_can_be_changed_unnoticed(written: dict[str, Path], tmp_path: Path) -> None:
    honest = written["disclosed"].read_bytes()
    true = dict(contents(written["disclosed"]))
    dice = random.Random(20260402)
    for number in range(150):
        changed = bytearray(honest)
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
        file, folder = tmp_path / "x.zip", tmp_path / str(number)
        file.write_bytes(changed)
        try:
            found = checked(file, folder)
        except BundleUnreadable:
            continue
        if found.good:
            # What a zip says beside its contents, such as when a file was made, is nobody's evidence.
            assert {path.name: path.read_bytes() for path in folder.iterdir()}.items() <= true.items()


# --- tables that are none ---------------------------------------------------------------------------------------------


def spoilt_tables() -> Iterator[tuple[str, str, Callable[[Path], None]]]:
    def write(table: pa.Table, **how: Any) -> Callable[[Path], None]:
        return lambda path: pq.write_table(table, path, **how)

    rows = 70
    hashes = [bytes([i]) * 32 for i in range(rows)]
    nullable = pa.schema([pa.field("offset", pa.int64()), pa.field("sha256", pa.binary(32))])
    yield "chain.parquet", "other columns", write(pa.table({"offset": [1], "sha": [b"x"]}))
    yield (
        "chain.parquet",
        "other columns",
        write(
            pa.table([pa.array([None] * rows, pa.int64()), pa.array(hashes, pa.binary(32))], schema=nullable)
        ),
    )
    giant = pa.table(
        [np.zeros(5_000_000, dtype=np.int64), pa.repeat(pa.scalar(bytes(32), pa.binary(32)), 5_000_000)],
        schema=CHAIN,
    )
    yield "chain.parquet", "do not lead", write(giant, compression="zstd")
    row = {
        "partition": 0,
        "offset": 0,
        "appended_ms": 0,
        "key": PAIRING.encode(),
        "value": bytes(1000),
        "headers": [],
    }
    many = pa.Table.from_pylist([row] * (GROUP + 1), schema=MESSAGES)
    yield "ledger.parquet", "opens to too much", write(many, use_dictionary=False)
    yield "ledger.parquet", "opens to too much", write(many.slice(0, GROUP))
    heavy = pa.Table.from_pylist([{**row, "value": bytes(1024**2)}] * 120, schema=MESSAGES)
    yield "ledger.parquet", "opens to too much", write(heavy, use_dictionary=False, compression="zstd")


@pytest.mark.parametrize(
    ("name", "words", "write"),
    spoilt_tables(),
    ids=["columns", "nulls", "rows", "group", "dictionary", "bytes"],
)
def test_a_table_that_would_fill_the_memory_or_has_other_columns_is_not_opened(
    desk: Desk,
    written: dict[str, Path],
    tmp_path: Path,
    name: str,
    words: str,
    write: Callable[[Path], None],
) -> None:
    scope = "full" if name == "ledger.parquet" else "disclosed"
    file = forged(desk, written[scope], tmp_path, lambda one: write(one.folder / name))
    found = checked(file, tmp_path / "b")
    assert any(words in one for one in wrong(found).values()), wrong(found)


def test_moments_and_offsets_that_no_clock_or_ledger_has_are_findings(
    desk: Desk, written: dict[str, Path], tmp_path: Path
) -> None:
    for number, change in enumerate(({"timestamp_ms": 2**62}, {"timestamp_ms": -(2**62)}, {"offset": -5})):

        def forge(one: Bundled, change: dict[str, int] = change) -> None:
            one.messages("ledger.parquet", lambda all_: [*all_[:-1], replace(all_[-1], **change)])  # type: ignore[arg-type]

        assert wrong(checked(forged(desk, written["full"], tmp_path, forge), tmp_path / str(number)))


def test_a_file_that_a_later_version_adds_is_said_to_be_unknown(
    desk: Desk, written: dict[str, Path], tmp_path: Path
) -> None:
    file = forged(
        desk, written["full"], tmp_path, lambda one: (one.folder / "more.json").write_text("{}") and None
    )
    found = checked(file, tmp_path / "b")
    assert good(found)
    assert states(found)["other files"] == "signed"


def test_a_file_that_is_not_in_the_manifest_or_has_another_sum_is_named(
    written: dict[str, Path], tmp_path: Path
) -> None:
    added = zipped(tmp_path / "a.zip", [*contents(written["full"]), ("more.json", b"{}")])
    assert wrong(checked(added, tmp_path / "a"))["files"].endswith("more.json")
    less = zipped(tmp_path / "l.zip", [one for one in contents(written["full"]) if one[0] != "facts.jsonl"])
    assert wrong(checked(less, tmp_path / "l"))["files"].endswith("facts.jsonl")
    assert FileSum(sha256="0" * 64, bytes=1) != sum_of(added)


# --- lines ------------------------------------------------------------------------------------------------------------


def test_lines_are_read_by_their_number_and_outlive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b"one\n\nthree")
    lines = Lines.of_file(path)
    path.unlink()
    assert list(lines) == [b"one", b"", b"three"]
    assert (lines[-1], lines[1:], len(lines)) == (b"three", [b"", b"three"], 3)
    assert list(Lines.of([b"a", b"b"])) == [b"a", b"b"]
    with pytest.raises(IndexError):
        lines[3]
    long = tmp_path / "long.jsonl"
    long.write_bytes(b"x" * (16 * 1024**2 + 1))
    with pytest.raises(ValueError, match="longer than"):
        Lines.of_file(long)
