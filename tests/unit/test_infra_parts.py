"""Parts of the infrastructure that need no server: restarts, settings, models on disk, requests that are asked again."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from infra import client as client_module
from infra import errors, supervisor
from infra.client import Client, NoAnswer, Unknown
from infra.errors import BrokerUnavailable, InfraError
from infra.kafka import log
from infra.kafka.groups import CONTROL, runner_group, scorer_group
from infra.kafka.log import PairingBoard
from infra.mlflow.files import UnusableModel, contract_of, digest_of, read_mlmodel
from infra.mlflow.registry import Registered
from infra.request_ids import request_id
from infra.settings import Addresses, Settings, running
from infra.submission import NAME_CHARS, _candidate, checked, readable
from infra.supervisor import RestartPolicy, Workers, wanted
from infra.worker import WorkerSpec
from models.contract import Contract
from schemas.events import Fact, OrganisationRegistered, RequestRefused
from schemas.pairing import Pairing, Phase
from schemas.parties import Organisation, Role
from schemas.requests import RegisterOrganisation, Request
from tests.unit.twins import a_deployment, a_pairing, a_plant, an_agreement

AT = datetime(2026, 3, 2, tzinfo=UTC)
PLACE = TopicPartition("fp.pairings.plant", 0)


# --- the supervisor ---------------------------------------------------------------------------------------------------


def test_a_worker_stays_down_longer_each_time_up_to_a_limit_and_for_ever() -> None:
    policy = RestartPolicy(first_s=0.5, most_s=30)
    assert [policy.delay_s(ends) for ends in range(1, 8)] == [0.5, 1, 2, 4, 8, 16, 30]
    assert policy.delay_s(0) == 0.5
    assert policy.delay_s(100_000) == 30


def test_what_has_to_run_is_every_deployment_of_a_pairing_that_is_not_concluded() -> None:
    running_, closing, done = (
        a_pairing(a_deployment().model_copy(update={"id": f"{name}/x"}), ident=name, phase=phase)
        for name, phase in (("a", Phase.RUNNING), ("b", Phase.CLOSING), ("c", Phase.CONCLUDED))
    )
    found = wanted({one.id: one for one in (running_, closing, done)})
    assert set(found) == {"a/x", "b/x"}
    assert found["a/x"] == (running_, running_.deployments[0])


def test_pairings_that_are_gone_through_stay_as_they_are_while_others_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A supervisor awaits between two pairings; one that changed meanwhile once ended the installation."""
    states = [
        a_pairing(ident=name).model_copy(update={"fact": n}) for n, name in enumerate(("a", "b", "a"), 1)
    ]
    written: asyncio.Queue[ConsumerRecord[bytes, bytes]] = asyncio.Queue()

    class Topic:
        """A topic with one partition, a message a look."""

        def assign(self, places: object) -> None: ...
        async def seek_to_beginning(self, *places: object) -> None: ...

        async def end_offsets(self, places: list[TopicPartition]) -> dict[TopicPartition, int]:
            return dict.fromkeys(places, 0)

        async def position(self, place: TopicPartition) -> int:
            return 0

        async def getmany(self, timeout_ms: int) -> dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]:
            return {PLACE: [await written.get()]}

    @asynccontextmanager
    async def reader(bootstrap: str, topic: str) -> AsyncIterator[tuple[Topic, list[TopicPartition]]]:
        yield Topic(), [PLACE]

    async def main() -> None:
        board, told = PairingBoard("nowhere:9092", "plant"), asyncio.Queue[int]()
        board.on_change(lambda pairing: told.put_nowait(pairing.fact))
        following = asyncio.create_task(board.follow())
        written.put_nowait(a_record(states[0]))
        assert await told.get() == 1
        gone_through = iter(board.pairings.values())
        for pairing in states[1:]:
            written.put_nowait(a_record(pairing))
            assert await told.get() == pairing.fact
        assert list(gone_through) == states[:1]
        assert board.pairings == {"a": states[2], "b": states[1]}
        following.cancel()

    def a_record(pairing: Pairing) -> ConsumerRecord[bytes, bytes]:
        key, value = pairing.id.encode(), pairing.model_dump_json().encode()
        return ConsumerRecord(PLACE.topic, 0, 0, 0, 0, key, value, None, len(key), len(value), ())

    monkeypatch.setattr(log, "reader", reader)
    asyncio.run(main())


class Process:
    """A worker process that the test ends."""

    pid = 1
    log_path = Path("worker.log")

    def __init__(self) -> None:
        self.lives = True
        self.stopped = False

    def alive(self) -> bool:
        return self.lives

    def poll(self) -> int | None:
        return None if self.lives else 75

    def stop(self, timeout_s: float) -> None:
        self.stopped = True
        self.lives = False


class World:
    """Workers whose processes and clock are the test's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
        self.now = 0.0
        self.started: list[Process] = []
        self.specs: list[Any] = []
        self.on_start: list[Any] = []
        monkeypatch.setattr(supervisor.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(supervisor.processes, "start", self._start)
        self.workers = Workers(home=home)

    def _start(self, argv: list[str], **how: Any) -> Process:
        self.specs.append(WorkerSpec.model_validate_json(Path(argv[-1]).read_bytes()))
        for hook in self.on_start:
            hook()
        self.started.append(Process())
        return self.started[-1]


SPEC = WorkerSpec(kind="scorer", bootstrap="127.0.0.1:9", home=Path("home"), plant=a_plant())


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    class Clock:
        monotonic = staticmethod(lambda: 0.0)

    # The event loop keeps its own clock.
    monkeypatch.setattr(supervisor, "time", Clock)
    return World(monkeypatch, tmp_path)


def test_a_worker_that_ended_is_started_again_after_its_delay(world: World) -> None:
    async def scenario() -> None:
        await world.workers.start("scorer.plant-1", SPEC)
        await world.workers.look_after()
        assert len(world.started) == 1
        for ends, delay in enumerate((0.5, 1.0, 2.0), 1):
            world.started[-1].lives = False
            await world.workers.look_after()
            world.now += delay - 0.1
            await world.workers.look_after()
            assert len(world.started) == ends
            world.now += 0.2
            await world.workers.look_after()
            assert len(world.started) == ends + 1
        # After a healthy life the row begins anew.
        world.now += 61
        world.started[-1].lives = False
        await world.workers.look_after()
        assert world.workers.running["scorer.plant-1"].ends == 1
        assert world.specs == [SPEC] * 4

    asyncio.run(scenario())


def test_a_worker_that_is_stopped_is_not_started_again(world: World) -> None:
    async def scenario() -> None:
        await world.workers.start("x", SPEC)
        await world.workers.stop("x", "y")
        assert world.started[0].stopped
        world.now += 100
        await world.workers.look_after()
        assert len(world.started) == 1

    asyncio.run(scenario())


def test_a_worker_that_is_stopped_while_it_is_started_again_does_not_go_on(world: World) -> None:
    async def scenario() -> None:
        await world.workers.start("x", SPEC)
        world.started[0].lives = False
        await world.workers.look_after()
        world.now += 10
        world.on_start = [lambda: world.workers.running.pop("x")]
        await world.workers.look_after()
        assert world.started[1].stopped

    asyncio.run(scenario())


def test_a_worker_is_told_everything_in_its_file() -> None:
    spec = WorkerSpec(
        kind="runner",
        bootstrap="127.0.0.1:9",
        home=Path("home"),
        plant=a_plant(),
        pairing=a_pairing(),
        deployment=a_deployment(start=4),
        model=Path("model"),
    )
    assert WorkerSpec.model_validate_json(spec.model_dump_json()) == spec
    assert spec.group == "fp.runner.pump-2026-01.t2q-v1"
    assert SPEC.group == scorer_group("plant-1") == "fp.scorer.plant-1"
    assert WorkerSpec(kind="control", bootstrap="x", home=Path("h")).group == CONTROL


IDENTS = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)


@given(st.lists(st.tuples(IDENTS, IDENTS), min_size=2, max_size=2, unique=True))
def test_two_deployments_never_share_a_group(pairs: list[tuple[str, str]]) -> None:
    first, second = (runner_group("/".join(pair)) for pair in pairs)
    assert first != second


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def _no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KAFKA_BOOTSTRAP_SERVERS", "MLFLOW_TRACKING_URI", "FIELDPROOF_HOME"):
        monkeypatch.delenv(name, raising=False)


def addresses(**fields: Any) -> Addresses:
    whole = {
        "bootstrap": "127.0.0.1:1",
        "mlflow": "http://127.0.0.1:2",
        "cluster_id": "c",
        "pid": os.getpid(),
    }
    return Addresses(**{**whole, **fields})


@pytest.mark.usefixtures("_no_addresses")
def test_commands_find_the_installation_of_their_directory(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with pytest.raises(BrokerUnavailable, match="fieldproof up"):
        running(settings)
    addresses().write(tmp_path / "demo")
    assert running(settings) == addresses()
    addresses(cluster_id="nearer").write(tmp_path)
    assert running(settings).cluster_id == "nearer"
    assert not list(tmp_path.glob("*.new"))


@pytest.mark.usefixtures("_no_addresses")
@pytest.mark.parametrize("text", ["", "{", '{"bootstrap": "x"}', "no json"])
def test_an_address_file_that_cannot_be_read_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "installation.json").write_text(text)
    with pytest.raises(BrokerUnavailable):
        running(Settings(home=tmp_path))


@pytest.mark.usefixtures("_no_addresses")
def test_an_installation_whose_process_has_gone_is_not_found(tmp_path: Path) -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)
    addresses(pid=child).write(tmp_path)
    with pytest.raises(BrokerUnavailable):
        running(Settings(home=tmp_path))


def test_addresses_from_outside_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "broker:9092")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("FIELDPROOF_HOME", str(tmp_path))
    assert running(Settings()).bootstrap == "broker:9092"
    addresses().write(tmp_path)
    found = running(Settings())
    assert (found.bootstrap, found.mlflow) == ("broker:9092", "http://127.0.0.1:2")


# --- models on disk -----------------------------------------------------------------------------------------------------

COLUMN = {"type": "double", "name": "Pressure", "required": True}


def a_model(folder: Path, *, inputs: Any = (COLUMN,), metadata: Any = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "flavors": {"python_function": {"loader_module": "mlflow.sklearn"}},
        "signature": {"inputs": json.dumps(list(inputs)), "outputs": None},
        **({"metadata": {"fieldproof": metadata}} if metadata else {}),
    }
    (folder / "MLmodel").write_text(json.dumps(content))
    (folder / "code").mkdir(exist_ok=True)
    (folder / "code" / "model.py").write_text("x = 1\n")
    return folder


def test_the_digest_sees_every_name_and_every_byte(tmp_path: Path) -> None:
    digests = {digest_of(a_model(tmp_path / "a")), digest_of(a_model(tmp_path / "b"))}
    assert len(digests) == 1
    folder = tmp_path / "b"
    (folder / "registered_model_meta").write_text("how it was asked for")
    digests.add(digest_of(folder))
    assert len(digests) == 1
    (folder / "code" / "registered_model_meta").write_text("a file of the model's own")
    digests.add(digest_of(folder))
    (folder / "code" / "model.py").write_text("x = 2\n")
    digests.add(digest_of(folder))
    (folder / "code" / "model.py").rename(folder / "code" / "other.py")
    digests.add(digest_of(folder))
    (folder / "code" / "empty").write_text("")
    digests.add(digest_of(folder))
    assert len(digests) == 5


def test_bytes_do_not_move_from_a_name_to_a_content_unseen(tmp_path: Path) -> None:
    for name, files in (("a", {"x": "1", "y": "2"}), ("b", {"x": "12", "y": ""}), ("c", {"xy": "12"})):
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text)
    assert len({digest_of(tmp_path / name) for name in "abc"}) == 3


def test_a_model_with_links_is_refused(tmp_path: Path) -> None:
    folder = a_model(tmp_path / "a")
    (folder / "code" / "link.py").symlink_to(folder / "code" / "model.py")
    with pytest.raises(UnusableModel, match="symbolic link"):
        digest_of(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "has no MLmodel file"),
        (b"a: [", "cannot be read"),
        (b"\xff\xfe\xff", "cannot be read"),
        (b"- 1", "no mapping"),
    ],
)
def test_what_is_wrong_with_a_model_folder_is_said(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "MLmodel").write_bytes(content)
    with pytest.raises(UnusableModel, match=words):
        read_mlmodel(tmp_path)


def test_a_model_is_checked_against_the_agreement_before_it_is_sent(tmp_path: Path) -> None:
    fits = checked(a_model(tmp_path / "a", metadata={"context_rows": 5}), an_agreement())
    assert (fits.context_rows, [column.name for column in fits.columns]) == (5, ["Pressure"])
    other = [{**COLUMN, "name": "Presure"}, {**COLUMN, "name": "Flow"}]
    with pytest.raises(UnusableModel) as error:
        checked(a_model(tmp_path / "b", inputs=other, metadata={"context_rows": 2000}), an_agreement())
    lines = str(error.value).splitlines()
    assert "did you mean 'Pressure'?" in lines[0]
    assert len(lines) == 3
    with pytest.raises(UnusableModel, match="context_rows"):
        contract_of(a_model(tmp_path / "c", metadata={"context_rows": -1}))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("T2Q", "t2q"),
        ("hotelling_t2 (final)", "hotelling-t2-final"),
        ("--x--", "x"),
        ("", "model"),
        ("!!", "model"),
    ],
)
def test_a_models_name_becomes_part_of_an_id(name: str, shown: str) -> None:
    assert readable(name) == shown


def test_names_that_an_id_cannot_hold_stay_apart() -> None:
    names = ["펌프 이상", "모터 이상", "x" * 60, "x" * 61, "펌프", "펌프-모터 v"]
    assert len({readable(name) for name in names}) == len(names)
    assert readable("펌프") == readable("펌프")


@given(name=st.text(max_size=80), version=st.integers(1, 10**6))
def test_every_name_gives_an_id_that_is_one(
    tmp_path_factory: pytest.TempPathFactory, name: str, version: int
) -> None:
    name = name.encode("utf-8", "replace").decode()
    assert len(readable(name)) <= NAME_CHARS
    registered = Registered(name=name, version=str(version), model_id=None, run_id=None)
    contract = Contract(columns=(), context_rows=3, with_ts=True)
    found = _candidate(a_pairing(), registered, contract, tmp_path_factory.getbasetemp() / "no-model")
    assert found.id.endswith(f"-v{version}")
    assert (found.startup, found.model, found.context_rows, found.with_ts) == ("startup-1", name, 3, True)


# --- asking -----------------------------------------------------------------------------------------------------------

COMMAND = RegisterOrganisation(
    organisation=Organisation(id="maker", name="Maker", roles=(Role.MANUFACTURER,))
)


def test_what_is_asked_again_has_the_same_id_and_anything_else_another() -> None:
    ids = {
        request_id("operator", COMMAND),
        request_id("operator", COMMAND.model_copy(deep=True)),
        request_id("maker", COMMAND),
        request_id("operator", COMMAND, after=3),
    }
    assert len(ids) == 3
    assert all(len(one) == 32 for one in ids)


class Facts:
    """The events of an installation, as a client reads them; what it sends is answered by the test."""

    def __init__(self) -> None:
        self.there: list[Fact] = []
        self.read = 0
        self.refuse = False
        self.silent = False

    def new(self, *, wait_s: float = 0.0) -> list[Any]:
        found, self.read = self.there[self.read :], len(self.there)
        return [type("Record", (), {"value": fact.to_json()}) for fact in found]

    def close(self) -> None:
        pass

    def answer(self, topic: str, key: bytes, value: bytes, listed: Any) -> None:
        if self.silent:
            return
        request = Request.model_validate_json(value)
        body: Any = OrganisationRegistered(organisation=COMMAND.organisation)
        if self.refuse:
            body = RequestRefused(command=request.command.kind, reason="not yet")
        self.there.append(
            Fact(
                number=len(self.there) + 1,
                at=AT,
                party=topic.removeprefix("fp.requests."),
                request=request.id,
                subject=key.decode(),
                body=body,
            )
        )


@pytest.fixture
def asking(monkeypatch: pytest.MonkeyPatch) -> tuple[Client, Facts]:
    facts = Facts()
    monkeypatch.setattr(client_module.kafka_admin, "Tail", lambda *where: facts)
    client = Client(addresses())
    monkeypatch.setattr(client, "send", facts.answer)
    return client, facts


def test_asking_the_same_again_gives_the_fact_that_granted_it(asking: tuple[Client, Facts]) -> None:
    client, facts = asking
    first = client.ask("operator", COMMAND)
    again = client.ask("operator", COMMAND)
    assert (first.new, again.new) == (True, False)
    assert first.fact == again.fact
    assert first.refused is None
    assert len(facts.there) == 1
    assert set(client.state.organisations) == {"maker"}


def test_asking_again_after_a_refusal_is_a_new_request(asking: tuple[Client, Facts]) -> None:
    client, facts = asking
    facts.refuse = True
    assert client.ask("operator", COMMAND).refused == "not yet"
    assert client.ask("operator", COMMAND).refused == "not yet"
    facts.refuse = False
    granted = client.ask("operator", COMMAND)
    assert (granted.new, granted.refused) == (True, None)
    assert len({fact.request for fact in facts.there}) == 3
    assert not client.ask("operator", COMMAND).new


def test_control_that_does_not_answer_is_named(asking: tuple[Client, Facts]) -> None:
    client, facts = asking
    facts.silent = True
    with pytest.raises(NoAnswer, match="fieldproof up"):
        client.ask("operator", COMMAND, timeout_s=0.01)


def test_the_only_plant_needs_no_name(asking: tuple[Client, Facts]) -> None:
    client, _ = asking
    with pytest.raises(Unknown, match="fieldproof apply"):
        client.plant(None)
    client.state.plants["plant-1"] = a_plant()
    assert client.plant(None).id == client.plant("plant-1").id == "plant-1"
    with pytest.raises(Unknown, match="There are: plant-1"):
        client.plant("plant-2")
    client.state.plants["plant-2"] = a_plant()
    with pytest.raises(Unknown, match="which plant"):
        client.plant(None)


def test_every_error_says_what_to_do_by_itself() -> None:
    kinds = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, InfraError)
    ]
    assert len(kinds) > 10
    for kind in kinds:
        assert len(str(kind())) > 10
        assert kind.exit_code in (2, 3)
