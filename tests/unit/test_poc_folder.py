from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from infra.cli.apply import Status, carry_out
from infra.cli.apply import apply as apply_command
from infra.cli.init import init as init_command
from infra.poc.columns import Draft, draft_of
from infra.poc.folder import FolderProblems, read_folder
from infra.poc.template import ExampleTag, FolderNotWritten, poc_files, write_folder
from infra.poc.yaml_document import MAX_BYTES, Problem, read_document
from infra.request_ids import request_id
from infra.words.language import Lang, language
from schemas.agreement import Task
from schemas.events import Fact
from schemas.requests import Command
from streams.judgement import judge, offsets_needed, subject
from streams.lifecycle import Installation

AT = datetime(2026, 3, 2, tzinfo=UTC)

Folder = Callable[..., Path]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Write an example, then change texts in its files: `folder(("plant.yaml", "old", "new"))`."""

    def write(*changes: tuple[str, str, str], task: Task = Task.ANOMALY) -> Path:
        path = tmp_path / "poc"
        write_folder(path, task)
        for name, old, new in changes:
            text = (path / name).read_text(encoding="utf-8")
            assert old in text, f"{old!r} is not in {name}"
            (path / name).write_text(text.replace(old, new, 1), encoding="utf-8")
        return path

    return write


def problems(path: Path) -> list[Problem]:
    with pytest.raises(FolderProblems) as caught:
        read_folder(path)
    return list(caught.value.problems)


def the_problem(path: Path) -> str:
    found = problems(path)
    assert len(found) == 1, [str(one) for one in found]
    return str(found[0])


def line_of(path: Path, text: str) -> int:
    lines = path.read_text(encoding="utf-8").splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line and "#" not in line)


@pytest.mark.parametrize("task", list(Task))
def test_what_init_writes_can_be_applied_unchanged(folder: Folder, task: Task) -> None:
    read = read_folder(folder(task=task))
    assert read.pairings[0].agreement.task is task
    assert set(read.pairings[0].agreement.inputs) == {tag.name for tag in read.plant.tags}
    assert read.notes == ()


def test_tag_names_of_any_shape_survive_the_template(tmp_path: Path) -> None:
    names = [
        "no",
        "101",
        "a: b",
        "# x",
        '"',
        "- y",
        "{z}",
        "$cost",
        "온도 1",
        "true",
        "*",
        "1e3",
        "A/B",
        "x ",
    ]
    write_folder(tmp_path / "poc", Task.ANOMALY, [ExampleTag(name=name) for name in names])
    assert [tag.name for tag in read_folder(tmp_path / "poc").plant.tags] == [name.strip() for name in names]


def test_requests_are_made_by_whoever_may_make_them_and_in_order(folder: Folder) -> None:
    asked = [(party, command.kind) for party, command in read_folder(folder()).commands()]
    assert asked == [
        ("operator", "register_organisation"),
        ("operator", "register_organisation"),
        ("operator", "register_organisation"),
        ("example-centre", "open_programme"),
        ("example-maker", "admit_plant"),
        ("example-maker", "declare_need"),
        ("example-centre", "propose_pairing"),
        ("example-maker", "consent_to_agreement"),
        ("example-startup", "consent_to_agreement"),
        ("example-maker", "start_trial"),
    ]


MISTAKES = [
    # file, what is changed, into what, text on the line complained about, part of the message
    (
        "organisations.yaml",
        "id: example-startup",
        "id: Example_Startup",
        "Example_Startup",
        "`example-startup`",
    ),
    ("organisations.yaml", "[startup]", "[start-up]", "[start-up]", "did you mean `startup`"),
    ("organisations.yaml", "[startup]", "[]", "roles: []", "at least one"),
    ("programme.yaml", "region:", "regoin:", "regoin:", "did you mean `region`"),
    ("programme.yaml", '"2026-1"', "2026", "cohort: 2026", 'in quotes: "2026"'),
    ("programme.yaml", '"2026-1"', "true", "cohort: true", 'in quotes: "true"'),
    ("programme.yaml", '"2026-1"', "010", "cohort: 010", 'in quotes: "010"'),
    ("programme.yaml", "2026-12-31", "2026-13-31", "ends:", "a date such as"),
    ("programme.yaml", "2026-12-31", "2025-12-31", "ends:", "before starts"),
    ("programme.yaml", "[example-centre]", "[example-maker]", "operators:", "no role coordinator"),
    ("programme.yaml", "[example-centre]", "[example-center]", "operators:", "did you mean `example-centre`"),
    ("plant.yaml", "owner: example-maker", "owner: example-startup", "owner:", "no role manufacturer"),
    ("plant.yaml", "Asia/Seoul", "Asia/Soul", "time_zone:", "unknown time zone"),
    ("plant.yaml", "partitions: 1", "partitions: many", "partitions:", "a whole number"),
    ("plant.yaml", "partitions: 1", "partitions: 0", "partitions:", "at least 1"),
    ("plant.yaml", "partitions: 1", "partitions:", "partitions:", "has no value"),
    ("plant.yaml", "simulated: false", "simulated: perhaps", "simulated:", "true or false"),
    ("plant.yaml", "unit: bar", "units: bar", "units: bar", "did you mean `unit`"),
    ("plant.yaml", "id: example-plant", "id: example-maker", "id: example-maker", "id of an organisation"),
    ("need.yaml", "programme: example-2026", "programme: example-2025", "programme:", "`example-2026`"),
    ("need.yaml", "plant: example-plant", "plant: other", "plant: other", "is not in plant.yaml"),
    ("need.yaml", "plant: example-plant", "plant: example-plant\nplant: x", "plant: x", "given twice"),
    ("agreement.yaml", "- Pressure", "- Presure", "- Presure", "did you mean `Pressure`"),
    ("agreement.yaml", "- Vibration", '- "Pressure"', '- "Pressure"', "named twice"),
    ("agreement.yaml", "[pump-1]", "[pump-7]", "assets:", "did you mean `pump-1`"),
    ("agreement.yaml", "[pump-1]", "pump-1", "assets:", "a list is expected"),
    ("agreement.yaml", "metric: f1", "metric: f2", "metric: f2", "use one of"),
    ("agreement.yaml", "at_least: 0.7", "at_most: 0.7", "at_most:", "given as at_least"),
    ("agreement.yaml", "at_least: 0.7", "at_least: .nan", "at_least:", "finite"),
    ("agreement.yaml", "answer: normal", "answer: fine", "answer: fine", "none of the classes"),
    ("agreement.yaml", "[normal, anomaly]", "[normal]", "classes:", "two classes"),
    ("agreement.yaml", "timeout_s: 30", "timeout_s: 900", "timeout_s:", "at most 600"),
    ("agreement.yaml", "task: anomaly", "task: anomlay", "task:", "did you mean `anomaly`"),
    ("pairing.yaml", "startup: example-startup", "startup: example-centre", "startup:", "no role startup"),
    ("pairing.yaml", "need: pump-faults", "need: pump-fault", "need:", "did you mean `pump-faults`"),
    ("pairing.yaml", "agreement.yaml\n", "agrement.yaml\n", "agreement:", "did you mean `agreement.yaml`"),
    ("pairing.yaml", "agreement.yaml\n", "../agreement.yaml\n", "agreement:", "without a path"),
    ("pairing.yaml", "agreement.yaml\n", "plant.yaml\n", "agreement:", "something else"),
    ("plant.yaml", "time_zone:", "\ttime_zone:", "time_zone:", "a tab"),
    ("plant.yaml", "owner: example-maker", "owner: a: b", "owner:", "a colon where none"),
    ("plant.yaml", "owner: example-maker", "owner: @maker", "owner:", "in quotes"),
    ("plant.yaml", "owner: example-maker", "owner: *maker", "owner:", "in quotes"),
    ("plant.yaml", "owner: example-maker", "owner: !maker x", "owner:", "in quotes"),
    ("plant.yaml", "owner: example-maker", "owner: \x07", "owner:", "U+0007"),
]


@pytest.mark.parametrize(("file", "old", "new", "at", "said"), MISTAKES)
def test_a_mistake_is_named_with_its_file_and_line_and_what_to_do(
    folder: Folder, file: str, old: str, new: str, at: str, said: str
) -> None:
    path = folder((file, old, new))
    found = problems(path)
    # An id that others refer to leaves those references dangling, which is said as well.
    first = next(str(one) for one in found if said in str(one))
    assert first.startswith(f"{file}:{line_of(path / file, at)}:"), [str(one) for one in found]
    assert len(found) == 1 or old.startswith("id:") or "missing" in str(found)
    assert all(one.message.ko for one in found)


def test_the_column_is_that_of_the_value_and_of_the_name_for_unknown_fields(folder: Folder) -> None:
    path = folder(
        ("plant.yaml", "unit: bar", "units: bar"), ("agreement.yaml", "  metric: f1", "  metric: f2")
    )
    assert [(one.file, one.column, one.path) for one in problems(path)] == [
        ("plant.yaml", 5, "tags[0].units"),
        ("agreement.yaml", 11, "acceptance.metric"),
    ]


def test_a_missing_field_is_named_at_what_should_hold_it(folder: Folder) -> None:
    path = folder(("organisations.yaml", "  roles: [startup]\n", ""))
    said = the_problem_where(path, "roles")
    line = line_of(path / "organisations.yaml", "- id: example-startup")
    assert said.startswith(f"organisations.yaml:{line}:3: [2].roles: is missing; add `roles: …`")


def test_two_missing_fields_at_one_place_are_both_named(folder: Folder) -> None:
    path = folder(("need.yaml", "title:", "# "), ("need.yaml", "programme: example-2026\n", ""))
    assert sorted(one.path for one in problems(path)) == ["programme", "title"]


def the_problem_where(path: Path, field_name: str) -> str:
    return next(str(one) for one in problems(path) if one.path.endswith(field_name))


def test_everything_wrong_in_all_files_is_said_at_once(folder: Folder) -> None:
    path = folder(
        ("organisations.yaml", "[startup]", "[start-up]"),
        ("plant.yaml", "partitions: 1", "partitions: many"),
        ("plant.yaml", "name: Temperature", "name: Current"),
        ("need.yaml", "plant: example-plant", "plant: other"),
        ("agreement.yaml", "- Pressure", "- Presure"),
        ("agreement.yaml", "min_rows: 500", "min_rows: 0"),
        ("pairing.yaml", "need: pump-faults", "need: pump-fault"),
    )
    paths = [one.path for one in problems(path)]
    assert paths == [
        "[2].roles[0]",
        "partitions",
        "tags[2].name",
        "plant",
        "[0].need",
        "inputs[0]",
        "inputs[2]",
        "acceptance.min_rows",
    ]


def test_a_missing_file_is_named_with_the_one_that_was_meant(folder: Folder) -> None:
    path = folder()
    (path / "plant.yaml").rename(path / "plants.yml")
    said = the_problem(path)
    assert said.startswith("plant.yaml:1:1: is missing") and "`plants.yml`" in said


def test_a_folder_that_is_not_there_is_one_problem(tmp_path: Path) -> None:
    assert "fieldproof init" in the_problem(tmp_path / "nothing")


def test_an_empty_file_is_named(folder: Folder) -> None:
    path = folder()
    (path / "need.yaml").write_text("# nothing yet\n")
    assert any(str(one).startswith("need.yaml:1:1: is empty") for one in problems(path))


SECOND_PAIRING = "agreement.yaml\n- id: pump-2026-02\n  need: pump-faults\n  startup: example-startup\n"


def test_two_pairings_may_have_an_agreement_each(folder: Folder) -> None:
    path = folder(("pairing.yaml", "agreement.yaml\n", SECOND_PAIRING + "  agreement: second.yaml\n"))
    text = (path / "agreement.yaml").read_text(encoding="utf-8")
    (path / "second.yaml").write_text(text.replace("at_least: 0.7", "at_least: 0.9"), encoding="utf-8")
    assert [one.agreement.acceptance.at_least for one in read_folder(path).pairings] == [0.7, 0.9]


def test_a_wrong_agreement_of_two_pairings_is_complained_about_once(folder: Folder) -> None:
    path = folder(
        ("pairing.yaml", "agreement.yaml\n", SECOND_PAIRING), ("agreement.yaml", "metric: f1", "metric: f2")
    )
    assert the_problem(path).startswith("agreement.yaml:")


def test_ids_given_twice_are_named_at_the_second(folder: Folder) -> None:
    path = folder(("organisations.yaml", "id: example-startup", "id: example-maker"))
    line = line_of(path / "organisations.yaml", "- id: example-maker") + 4
    assert any(
        str(one).startswith(f"organisations.yaml:{line}:7: [2].id: 'example-maker' is already on line")
        for one in problems(path)
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp949"])
def test_the_encodings_of_korean_editors_are_read(folder: Folder, encoding: str) -> None:
    path = folder()
    text = (path / "plant.yaml").read_text(encoding="utf-8").replace("·", "").replace("°", "")
    (path / "plant.yaml").write_bytes(text.replace("\n", "\r\n").encode(encoding))
    read = read_folder(path)
    assert read.plant.name == "Example Plant (예시 공장)"
    assert [one.file for one in read.notes] == (["plant.yaml"] if encoding == "cp949" else [])


def test_bytes_of_no_encoding_are_named_at_their_line(folder: Folder) -> None:
    path = folder()
    (path / "plant.yaml").write_bytes(b"id: a\nname: \xff\xff\n")
    assert any(str(one).startswith("plant.yaml:2:7:") for one in problems(path))


def test_aliases_that_multiply_are_refused_and_do_not_fill_memory() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert not read_document("\n".join(lines).encode(), "x.yaml").readable
    assert not read_document(b"a: &a [*a]", "x.yaml").readable


def test_a_file_too_large_or_too_deep_is_a_problem() -> None:
    assert read_document(b" " * (MAX_BYTES + 1), "x.yaml").problems
    assert read_document(b"[" * 5000, "x.yaml").problems


YAML_BITS = st.sampled_from(
    [
        *"-:?[]{},&*!|>'\"%@`#~<=\n\t \\",
        *("a", "a: ", "- ", "\n  ", "---\n", "...\n", "<<: ", "&a ", "*a", "!!int ", "!!float ", "!x "),
        *(
            "%YAML 1.1\n",
            "%TAG ! x\n",
            "0x",
            "1e9",
            "no",
            "null",
            "2026-01-01",
            "\x85",
            "\u2028",
            "\ufeff",
            "가",
        ),
    ]
)


@settings(max_examples=300, deadline=None)
@example(raw=b"!!int")
@example(raw=b"&! : &!")
@given(
    raw=st.binary(max_size=200) | st.lists(YAML_BITS, max_size=40).map(lambda bits: "".join(bits).encode())
)
def test_no_bytes_crash_the_reader(raw: bytes) -> None:
    document = read_document(raw, "x.yaml")
    assert document.readable or document.problems
    assert all(one.line >= 1 and one.column >= 1 for one in document.problems)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(poc_files(Task.ANOMALY))),
    start=st.integers(0, 2000),
    length=st.integers(0, 30),
    put=st.lists(YAML_BITS, max_size=4).map("".join),
)
def test_no_edit_of_a_folder_crashes_its_reading(
    tmp_path_factory: pytest.TempPathFactory, name: str, start: int, length: int, put: str
) -> None:
    path = tmp_path_factory.mktemp("edit") / "poc"
    write_folder(path, Task.ANOMALY)
    text = (path / name).read_text(encoding="utf-8")
    (path / name).write_text(text[:start] + put + text[start + length :], encoding="utf-8")
    try:
        read_folder(path).commands()
    except FolderProblems as error:
        assert error.problems and error.exit_code == 2


def test_init_never_writes_into_a_folder_that_has_files(tmp_path: Path) -> None:
    (tmp_path / "plant.yaml").write_text("mine")
    with pytest.raises(FolderNotWritten, match="not empty"):
        write_folder(tmp_path, Task.ANOMALY)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("plant.yaml", "mine")]


def test_init_where_a_file_stands_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("mine")
    with pytest.raises(FolderNotWritten):
        write_folder(tmp_path / "x", Task.ANOMALY)


def test_the_same_request_has_the_same_id_and_another_one_another(folder: Folder, tmp_path: Path) -> None:
    commands = read_folder(folder()).commands()
    again = read_folder(tmp_path / "poc").commands()
    ids = [request_id(party, command) for party, command in commands]
    assert ids == [request_id(party, command) for party, command in again]
    assert len(set(ids)) == len(ids) and all(len(one) == 32 for one in ids)
    party, command = commands[0]
    assert request_id("other", command) != ids[0] != request_id(party, command, after=3)


def test_the_language_follows_the_option_then_the_locale() -> None:
    assert language(None, {"LANG": "ko_KR.UTF-8"}) is Lang.KO
    assert language(None, {"LANG": "ko_KR.UTF-8", "LC_ALL": "C"}) is Lang.EN
    assert language(Lang.EN, {"LANG": "ko_KR.UTF-8"}) is Lang.EN
    assert language(None, {}) is Lang.EN


@dataclass(frozen=True, kw_only=True)
class FakeAnswer:
    fact: Fact
    new: bool


@dataclass
class FakeInstallation:
    """Judges requests as control does; what was granted under an id is not judged again."""

    state: Installation = field(default_factory=Installation)
    facts: list[Fact] = field(default_factory=list)

    def ask(self, party: str, command: Command) -> FakeAnswer:
        ident = request_id(party, command)
        granted = self.state.granted.get((party, ident))
        if granted is not None:
            return FakeAnswer(fact=self.facts[granted - 1], new=False)
        ends = {topic: {0: 0} for topic in offsets_needed(command, self.state)}
        fact = Fact(
            number=self.state.number + 1,
            at=AT,
            party=party,
            request=ident,
            subject=subject(command),
            body=judge(party, command, self.state, request=ident, ends=ends),
        )
        self.state.fold(fact)
        self.facts.append(fact)
        return FakeAnswer(fact=fact, new=True)


def test_applying_twice_acts_once(folder: Folder) -> None:
    installation, read = FakeInstallation(), read_folder(folder())
    assert {step.status for step in carry_out(read, installation)} == {Status.NEW}
    assert list(installation.state.pairings) == ["pump-2026-01"]
    facts = installation.state.number
    assert {step.status for step in carry_out(read, installation)} == {Status.UNCHANGED}
    assert installation.state.number == facts


def test_what_hangs_on_a_refused_request_is_not_asked_for(folder: Folder) -> None:
    installation, read = FakeInstallation(), read_folder(folder())
    list(carry_out(read, installation))
    changed = replace(read, programme=read.programme.model_copy(update={"name": "Another"}))
    steps = list(carry_out(changed, installation))
    assert [step.status for step in steps] == [*[Status.UNCHANGED] * 3, Status.REFUSED, *[Status.SKIPPED] * 6]
    assert "other content" in str(steps[3].reason)


def test_a_refused_pairing_does_not_hold_up_another(folder: Folder) -> None:
    installation = FakeInstallation()
    read = read_folder(folder(("pairing.yaml", "agreement.yaml\n", SECOND_PAIRING)))
    first, second = read.pairings
    list(carry_out(replace(read, pairings=(first,)), installation))
    limited = first.agreement.model_copy(update={"target": "something else"})
    steps = list(carry_out(replace(read, pairings=(replace(first, agreement=limited), second)), installation))
    assert [step.status for step in steps[-8:]] == [
        Status.REFUSED,
        *[Status.SKIPPED] * 3,
        *[Status.NEW] * 4,
    ]


@pytest.fixture
def cli() -> typer.Typer:
    app = typer.Typer()
    app.command("init")(init_command)
    app.command("apply")(apply_command)
    return app


def test_the_commands_write_check_and_report_in_json_and_in_korean(cli: typer.Typer, tmp_path: Path) -> None:
    run, path = CliRunner(), str(tmp_path / "poc")
    made = run.invoke(cli, ["init", path, "--task", "rul", "--json", "--lang", "ko"])
    assert made.exit_code == 0 and "다음" in made.stderr
    assert {json.loads(line)["status"] for line in made.stdout.splitlines()} == {"written"}
    assert run.invoke(cli, ["init", path]).exit_code == 2

    dry = run.invoke(cli, ["apply", path, "--dry-run", "--json"])
    assert dry.exit_code == 0
    assert [json.loads(line)["id"] for line in dry.stdout.splitlines()][-1] == "spindle-2026-01"

    agreement = tmp_path / "poc" / "agreement.yaml"
    agreement.write_text(
        agreement.read_text(encoding="utf-8").replace("metric: mae", "metric: f1"), encoding="utf-8"
    )
    wrong = run.invoke(cli, ["apply", path, "--json"])
    assert wrong.exit_code == 2 and "agreement.yaml:" in wrong.stderr
    (problem,) = map(json.loads, wrong.stdout.splitlines())
    assert (problem["status"], problem["file"], problem["path"]) == (
        "problem",
        "agreement.yaml",
        "acceptance.metric",
    )


def test_apply_reports_refusals_with_their_exit_code_and_says_what_comes_next(
    cli: typer.Typer, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation, path = FakeInstallation(), folder()
    client = SimpleNamespace(Client=SimpleNamespace(connect=lambda: nullcontext(installation)))
    monkeypatch.setitem(sys.modules, "infra.client", client)
    done = CliRunner().invoke(cli, ["apply", str(path), "--json", "--lang", "en"])
    assert done.exit_code == 0, done.stderr
    assert {json.loads(line)["status"] for line in done.stdout.splitlines()} == {"new"}
    assert "fieldproof candidate submit pump-2026-01 " in done.stderr
    assert "fieldproof replay DATA.csv --plant example-plant" in done.stderr

    plant = (path / "plant.yaml").read_text(encoding="utf-8")
    (path / "plant.yaml").write_text(plant.replace("Example Plant", "Another"), encoding="utf-8")
    refused = CliRunner().invoke(cli, ["apply", str(path), "--lang", "ko"])
    assert refused.exit_code == 4 and "거절" in refused.stderr and "candidate submit" not in refused.stderr


def drafted(raw: bytes) -> Draft:
    found = draft_of(raw, file="x.csv")
    assert isinstance(found, Draft), str(found)
    return found


def test_an_exported_file_gives_tags_units_and_assets_and_no_label_becomes_an_input() -> None:
    header = "일시,설비,압력 [bar],온도(℃),비고,불량여부\n"
    rows = "2026-03-02 09:00:00,1호기,1.5,40,ok,0\n2026-03-02 09:00:01,2호기,1.6,,,1\n"
    draft = drafted((header + rows).encode("cp949"))
    assert draft.tags == (("압력", "bar"), ("온도", "Cel"))
    assert draft.assets == ("1호기", "2호기")
    assert draft.left_out == ("비고", "불량여부")


def test_an_exported_file_in_long_form_gives_the_tags_in_its_rows() -> None:
    assert drafted(b"time,tag,value\n1,P1,2.0\n1,P2,3.0\n2,P1,2.1\n").tags == (("P1", "1"), ("P2", "1"))


def test_units_in_a_row_below_the_header_and_the_machine_in_the_name_of_the_file_are_found() -> None:
    raw = b"time;Pressure;Temp\n;bar;\xc2\xb0C\n2026-03-02 09:00:00;1.5;40\n"
    found = draft_of(raw, file="press-line-3.csv")
    assert isinstance(found, Draft)
    assert found.tags == (("Pressure", "bar"), ("Temp", "Cel")) and found.assets == ("press-line-3",)


def test_machines_of_a_named_column_are_read_to_the_end_of_the_file_and_a_counter_is_no_channel() -> None:
    rows = [f"engine-{number:03d},{cycle},0.5\n" for number in range(100) for cycle in range(50)]
    found = draft_of(
        ("engine,cycle,s2\n" + "".join(rows)).encode(), file="engines.csv", asset_column="Engine"
    )
    assert isinstance(found, Draft)
    assert len(found.assets) == 100 and found.tags == (("s2", "1"),) and found.left_out == ()


def test_a_column_of_machines_that_is_not_there_is_refused_with_those_that_are() -> None:
    assert "it has a, b" in str(draft_of(b"a,b\n1,2\n", file="x.csv", asset_column="engine"))


def test_init_with_a_name_writes_ids_of_its_own_and_an_agreement_about_every_machine(
    cli: typer.Typer, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text("time,asset,Pressure\n1,press-1,2.5\n2,press-2,2.6\n")
    path = tmp_path / "poc"
    made = CliRunner().invoke(
        cli, ["init", str(path), "--from-csv", str(tmp_path / "x.csv"), "--name", "press"]
    )
    assert made.exit_code == 0, made.stderr
    folder = read_folder(path)
    assert folder.plant.id == "press-plant" and folder.pairings[0].id == "press-2026-01"
    assert folder.pairings[0].agreement.assets == ("press-1", "press-2")
    for wrong in ("Press", "압력", "-"):
        refused = CliRunner().invoke(cli, ["init", str(tmp_path / "other"), "--name", wrong])
        assert refused.exit_code == 2 and not (tmp_path / "other").exists()


def test_an_exported_file_without_numbers_is_refused() -> None:
    assert "no column of numbers" in str(draft_of(b"a,b\nx,y\n", file="x.csv"))


@settings(max_examples=100, deadline=None)
@given(raw=st.binary(max_size=200))
def test_no_exported_bytes_crash_the_draft(raw: bytes) -> None:
    draft_of(raw, file="x.csv")


def test_init_from_an_exported_file_writes_a_folder_that_can_be_applied(
    cli: typer.Typer, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_text("time,Pressure [bar],no,anomaly\n1,2.5,7,0\n2,2.6,8,1\n")
    path = tmp_path / "poc"
    made = CliRunner().invoke(cli, ["init", str(path), "--from-csv", str(tmp_path / "x.csv")])
    assert made.exit_code == 0 and "anomaly" in made.stderr
    assert [(tag.name, tag.unit) for tag in read_folder(path).plant.tags] == [("Pressure", "bar")]
    absent = CliRunner().invoke(
        cli, ["init", str(tmp_path / "y"), "--from-csv", str(tmp_path / "absent.csv")]
    )
    assert absent.exit_code == 2 and not (tmp_path / "y").exists()


@pytest.mark.parametrize("command", ["init", "apply"])
def test_the_help_has_an_example(cli: typer.Typer, command: str) -> None:
    assert f"fieldproof {command} my-poc" in CliRunner().invoke(cli, [command, "--help"]).stdout
