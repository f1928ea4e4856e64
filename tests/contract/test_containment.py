"""Candidates that try to break out, held at every level that promises to hold them.

`reduced` holds all of it but two things: a candidate sees which files there are (not what is in them), and its scratch
is as large as the disk. What a candidate may do to its own answers is in `test_sandbox`.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import ruamel.yaml

import infra.sandbox.cgroups
import infra.sandbox.escape
from infra.environments.environment import own_environment
from infra.sandbox.advice import advice, kernel
from infra.sandbox.cgroups import hierarchies
from infra.sandbox.command import Level, launch
from infra.sandbox.containment import HOLDS, WHAT, forget_probe, outside, probe, probe_level, try_level
from infra.sandbox.host import Loaded, Sandbox
from infra.sandbox.spec import ChildSpec
from infra.sandbox.uids import is_root
from models import child
from models.confine import MACHINES, Confinement, landlock_version
from models.contract import Contract, Failed, Predicted, read_contract
from schemas.agreement import Task
from tests.contract.children import failed, stream

pytestmark = [pytest.mark.timeout(180)]

HOSTILE = Path(__file__).with_name("hostile")
ROOT = Path(__file__).parents[2]
LEVELS: tuple[Level, ...] = ("full", "reduced")

#: What goes beyond the probe's attempts, see `hostile/attacks.py`.
MORE = [
    "system_calls",
    "start_a_program",
    "clone_a_process",
    "fork_bomb",
    "thread_bomb",
    "grow_a_stack",
    "make_memory_writable",
    "raise_a_limit",
    "open_many_files",
    "one_large_file",
    "fill_memory_disk",
    "have_signals_sent",
    "hand_over_a_file",
    "connect_the_wire",
    "type_into_a_terminal",
    "outlive_the_platform",
    "own_another_file",
    "read_the_machine",
    "list_the_root",
]

FRAME = stream({"a": [1.0, 2.0, 3.0], "b": [10.0, 20.0, 30.0]})


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Level:
    wanted: Level = request.param
    require(wanted)
    return wanted


tried = functools.cache(try_level)


def require(level: Level) -> None:
    """Skip where this machine cannot have a level; fail where it can and the level does not hold."""
    if tried(level).holds:
        return
    if possible(level):
        pytest.fail(f"{level} does not hold: {tried(level).missed} {tried(level).broken}")
    pytest.skip(f"{level} is not to be had here: {tried(level).broken}")


def possible(level: Level) -> bool:
    """Whether this machine has what a level is made of."""
    sealed = os.uname().machine in MACHINES and landlock_version() >= 3
    if level == "reduced" or not sealed:
        return sealed
    argv = ["bwrap", "--unshare-pid", "--unshare-net", "--dev-bind", "/", "/", "--proc", "/proc", "true"]
    return shutil.which("bwrap") is not None and subprocess.run(argv, check=False).returncode == 0


# Models.


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the hostile model and the honest one."""
    folder = tmp_path_factory.mktemp("hostile")
    code = folder / "code"
    code.mkdir()
    for source in (Path(infra.sandbox.escape.__file__), HOSTILE / "attacks.py"):
        shutil.copy(source, code)
    sys.path.insert(0, str(code))
    try:
        save(
            folder / "hostile",
            HOSTILE / "candidate.py",
            "asset",
            code_paths=[str(path) for path in code.iterdir()],
        )
        save(folder / "honest", HOSTILE / "honest.py")
    finally:
        sys.path.remove(str(code))
        for name in ("escape", "attacks"):
            sys.modules.pop(name, None)
    return folder


def save(path: Path, source: Path, *more_inputs: str, **more: Any) -> Path:
    """Save a model from code with the inputs a and b."""
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    columns = [ColSpec("string", name) for name in more_inputs] + [ColSpec("double", name) for name in "ab"]
    mlflow.pyfunc.save_model(
        path, python_model=str(source), signature=ModelSignature(Schema(columns)), pip_requirements=[], **more
    )
    return path


#: `loading` runs where a candidate is loaded, not while its model is being saved.
_SOURCE = """
import os, sys
import mlflow.models, mlflow.pyfunc

class Model(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.artifacts = context.artifacts
    def predict(self, context, table, params=None):
        {predicting}

if "LOKY_MAX_CPU_COUNT" in os.environ:
    {loading}
mlflow.models.set_model(Model())
"""


def written(
    path: Path, *, loading: str = "pass", predicting: str = "return table['a'] + table['b']", **more: Any
) -> Path:
    """Save a model of these statements."""
    source = path.with_suffix(".py")
    source.write_text(_SOURCE.format(loading=loading, predicting=predicting))
    return save(path, source, **more)


def spec(model: Path, **more: Any) -> ChildSpec:
    contract = read_contract(ruamel.yaml.YAML(typ="safe").load(model / "MLmodel"))
    assert isinstance(contract, Contract), contract
    return ChildSpec(model=model, contract=contract, task=Task.REGRESSION, **more)


async def started(model: Path, level: Level, **more: Any) -> tuple[Sandbox, Loaded | Failed]:
    child = Sandbox(spec(model, **more), level=level)
    return child, await child.start()


def asked(model: Path, level: Level, asset: str = "press-1", **more: Any) -> Predicted | Loaded | Failed:
    """What a fresh child answers to one frame, or why it is not loaded."""

    async def main() -> Predicted | Loaded | Failed:
        child, loaded = await started(model, level, **more)
        try:
            if isinstance(loaded, Failed):
                return loaded
            return await child.predict(asset, FRAME, 3, None, 0)
        finally:
            await child.close()

    return asyncio.run(main())


@dataclass(frozen=True)
class Attacker:
    """A hostile child with what it tries to reach."""

    level: Level
    runner: asyncio.Runner
    child: Sandbox
    target: dict[str, object]

    def tries(self, what: str) -> Predicted | Failed:
        asset = f"{what} {json.dumps(self.target)}"
        return self.runner.run(self.child.predict(asset, FRAME, 3, None, 0))


@pytest.fixture(scope="module", params=LEVELS)
def attacker(request: pytest.FixtureRequest, saved: Path) -> Iterator[Attacker]:
    """A hostile child at each level that is to be had, shared by the attempts that leave it alive."""
    level: Level = request.param
    require(level)
    model = saved / "hostile"
    with asyncio.Runner() as runner, tempfile.TemporaryDirectory() as name, outside(Path(name)) as target:
        launched = launch(model, level, Path(name))
        target["own"] = [launched.model, *launched.packages]
        child, loaded = runner.run(started(model, level, memory_mb=512))
        assert isinstance(loaded, Loaded), loaded
        yield Attacker(level=level, runner=runner, child=child, target=target)
        runner.run(child.close())


# Breaking out.


@pytest.mark.parametrize("what", WHAT)
def test_an_attempt_of_the_probe_is_held_in_a_real_candidate(attacker: Attacker, what: str) -> None:
    answer = attacker.tries(what)
    if what in HOLDS[attacker.level]:
        assert held(answer), answer
    else:
        # What this level lets through is stated, and true: otherwise the level is better than it says.
        assert not held(answer)
        assert "Escaped" in failed(answer).text


@pytest.mark.parametrize("what", MORE)
def test_an_attack_is_held_and_the_child_goes_on(attacker: Attacker, what: str) -> None:
    assert held(answer := attacker.tries(what)), answer
    assert held(attacker.tries("work"))


def held(answer: Predicted | Failed) -> bool:
    return isinstance(answer, Predicted) and bool((answer.columns == 0).all())


def test_what_is_in_the_scratch_is_gone_with_the_child(
    level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = "open(f'{os.getcwd()}/left-behind', 'w').close(); return table['a']"
    model = written(tmp_path / "leaves", predicting=leave)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    assert isinstance(asked(model, level), Predicted)
    assert list(scratch.iterdir()) == []


# Loading.


class Bomb:
    """Unpickled, it runs a program."""

    def __init__(self, program: str) -> None:
        self.program = program

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, (self.program,)


@pytest.mark.parametrize(
    "program",
    [
        "open({canary!r}, 'a').write('x')",
        "print(open({canary!r}).read())",
        "__import__('subprocess').run(['/bin/true'])",
        "__import__('socket').create_connection(('127.0.0.1', {port}))",
    ],
    ids=["writes", "reads", "starts a program", "connects"],
)
def test_a_pickle_that_runs_code_gains_nothing_by_it(
    level: Level, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, program: str
) -> None:
    with tempfile.TemporaryDirectory() as name, outside(Path(name)) as target:
        bomb = tmp_path / "bomb.pickle"
        bomb.write_bytes(pickle.dumps(Bomb(program.format(**target))))
        loading = "import pickle; from pathlib import Path; pickle.loads(next(Path(__file__).parent.rglob('*.pickle')).read_bytes())"
        model = written(tmp_path / "bomb", loading=loading, artifacts={"bomb": str(bomb)})
        answer = failed(asked(model, level))
        assert answer.exception in ("FileNotFoundError", "PermissionError"), answer
        assert Path(str(target["canary"])).read_text() == "canary"


def test_packages_of_its_own_cannot_take_all_memory_while_they_are_imported(
    level: Level, saved: Path, tmp_path: Path
) -> None:
    (tmp_path / "mlflow").mkdir()
    (tmp_path / "mlflow" / "__init__.py").write_text(
        "bytearray(3 << 30); raise RuntimeError('there was room')"
    )
    own = replace(own_environment(), packages=tmp_path)
    answer = failed(asked(saved / "honest", level, environment=own, memory_mb=64))
    assert answer.kind == "memory", answer


def test_a_link_among_the_artifacts_leads_nowhere(level: Level, tmp_path: Path) -> None:
    data = tmp_path / "data.txt"
    data.touch()
    model = written(
        tmp_path / "linked",
        predicting="print(open(self.artifacts['data']).read()); return table['a']",
        artifacts={"data": str(data)},
    )
    with tempfile.TemporaryDirectory() as name, outside(Path(name)) as target:
        link = model / "artifacts" / "data.txt"
        link.unlink()
        link.symlink_to(str(target["canary"]))
        answer = failed(asked(model, level))
        assert answer.exception in ("FileNotFoundError", "PermissionError"), answer
        assert "canary" not in answer.text.replace(str(target["canary"]), "")


def test_a_deadlock_while_loading_ends_in_time(level: Level, tmp_path: Path) -> None:
    loading = "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()"
    answer = failed(asked(written(tmp_path / "deadlock", loading=loading), level, start_timeout_s=10))
    assert answer.kind == "timeout"


def test_a_segmentation_fault_is_a_death(level: Level, tmp_path: Path) -> None:
    model = written(tmp_path / "segfault", predicting="import ctypes; ctypes.string_at(0)")
    answer = failed(asked(model, level))
    assert answer.kind == "died"
    assert "SIGSEGV" in answer.text


# Smuggling: what a fault tells outside of the plant is one known name and one place in the model's own sources.


@pytest.mark.parametrize(
    "predicting",
    [
        "raise type(f\"Rows{table['a'].tolist()}\", (ValueError,), {})()",
        "exec(compile('raise ValueError', f\"{table['a'].tolist()}.py\", 'exec'))",
        "exec(compile('raise ValueError', f\"{os.path.dirname(__file__)}/{table['a'].tolist()}.py\", 'exec'))",
        "exec(compile('\\n' * 123456 + 'raise ValueError', __file__, 'exec'))",
        "sys.stderr.write(str(table)); raise ValueError(str(table['a'].tolist()) * 100000)",
    ],
    ids=["by name", "by place", "by place inside", "by line", "by text"],
)
def test_rows_do_not_leave_the_plant_by_a_fault(level: Level, tmp_path: Path, predicting: str) -> None:
    model = written(tmp_path / "smuggles", predicting=predicting)
    answer = failed(asked(model, level))
    told = f"{answer.exception} {answer.where}"
    assert not any(sign in told for sign in ("1.0", "2.0", "123457")), told
    assert len(answer.text.encode()) <= child.MAX_TEXT


# Its user, where root starts it.


@pytest.mark.skipif(not is_root(), reason="only root can give a candidate a user of its own")
def test_no_two_candidates_have_the_same_user_and_none_is_root(level: Level, saved: Path) -> None:
    async def main() -> None:
        children = await asyncio.gather(*(started(saved / "honest", level) for _ in range(3)))
        users = [status_of(running.pid)["Uid"].split() for running, _ in children]
        # Real, effective, saved and of the file system.
        assert [len(set(each)) for each in users] == [1, 1, 1]
        assert len({each[0] for each in users}) == 3
        assert all(int(each[0]) >= 0x40000000 for each in users)
        await asyncio.gather(*(running.close() for running, _ in children))

    asyncio.run(main())


@pytest.mark.skipif(not is_root(), reason="what root alone can read matters only to root")
def test_files_that_only_root_can_read_are_readable_to_a_candidate_of_another_user(
    level: Level, saved: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(saved / "honest", tmp_path / "private" / "honest"))
    for path in (model.parent, model, *model.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)

    async def main() -> None:
        running, loaded = await started(model, level)
        assert isinstance(loaded, Loaded), loaded
        # At the full level it has a copy, and needs no capability.
        assert level == "reduced" or status_of(running.pid)["CapPrm"] == f"{0:016x}"
        assert isinstance(await running.predict("press-1", FRAME, 3, None, 0), Predicted)
        await running.close()

    asyncio.run(main())


def status_of(pid: int) -> dict[str, str]:
    """What the kernel says of the innermost process, which is the candidate."""
    innermost = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)][-1].pid
    lines = Path(f"/proc/{innermost}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.mark.skipif(not hierarchies(), reason="this machine lets nobody divide its control groups")
def test_a_candidate_has_a_group_of_the_kernel_while_it_runs(level: Level, saved: Path) -> None:
    def groups() -> set[Path]:
        return {group for one in hierarchies() for group in one.place.glob(f"fieldproof/{os.getpid()}-*")}

    async def main() -> None:
        before = groups()
        running, _ = await started(saved / "honest", level)
        (new,) = groups() - before
        assert f"/fieldproof/{new.name}" in Path(f"/proc/{running.pid}/cgroup").read_text()
        assert int((new / "pids.max").read_text()) < 200
        await running.close()
        while new in groups():  # bubblewrap's own processes may end a moment later
            for one in hierarchies():
                infra.sandbox.cgroups.sweep(one, young_s=0)
            await asyncio.sleep(0.01)

    asyncio.run(main())


# Honest code.


def test_honest_code_finds_what_it_needs(level: Level, saved: Path) -> None:
    answer = asked(saved / "honest", level)
    assert isinstance(answer, Predicted), answer
    assert answer.columns.tolist() == [[11, 22, 33]]


def test_a_forest_with_all_cores_answers_as_it_does_outside(level: Level, tmp_path: Path) -> None:
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.ensemble import RandomForestRegressor

    random = np.random.default_rng(3)
    table = pd.DataFrame(random.normal(size=(300, 2)), columns=["a", "b"])
    forest = RandomForestRegressor(50, n_jobs=-1, random_state=0).fit(table, table["a"] * table["b"])
    signature = infer_signature(table, forest.predict(table))
    model = tmp_path / "forest"
    mlflow.sklearn.save_model(
        forest, model, signature=signature, pip_requirements=[], serialization_format="cloudpickle"
    )
    answer = asked(model, level)
    assert isinstance(answer, Predicted), answer
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [10.0, 20.0, 30.0]})
    # Inside, all cores are one: trees are summed in their order.
    assert answer.columns[0].tolist() == forest.set_params(n_jobs=1).predict(frame).tolist()


# Where less is there.


@pytest.fixture
def without_bubblewrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("PATH", str(tmp_path))
    forget_probe()
    yield
    forget_probe()


def test_without_bubblewrap_the_level_is_what_is_really_there(without_bubblewrap: None) -> None:
    rest: Level = "reduced" if try_level("reduced").holds else "none"
    assert probe_level() == rest
    assert probe().trials[0].level == "full"
    assert "not-installed" in probe().trials[0].broken
    assert any("apt-get install bubblewrap" in line.en for line in advice(probe(), kernel()))


def test_a_level_that_lets_one_attempt_through_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The filter of system calls gone, namespaces alone do not hold everything."""
    require("full")
    monkeypatch.setattr("infra.sandbox.confinement.Confinement", functools.partial(unsealed, Confinement))
    found = try_level("full")
    assert not found.holds
    assert "fork" in {one.what for one in found.missed}
    # The other program took the probe's place.
    assert "did not try execute" in found.broken


def unsealed(kind: type[Confinement], **fields: Any) -> Confinement:
    return kind(**fields | {"sealed": False})


# As an ordinary user.


@pytest.mark.skipif(not is_root(), reason="this is already an ordinary user")
def test_an_ordinary_user_contains_candidates_as_well() -> None:
    if shutil.which("setpriv") is None or shutil.which("bwrap") is None:
        pytest.skip("becoming an ordinary user here takes setpriv and bubblewrap")
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, ORDINARY, ORDINARY)
        chosen = "attempt_of_the_probe or attack_is_held or honest_code"
        tests = [sys.executable, "-m", "pytest", __file__, "-q", "-k", chosen, "-p", "no:cacheprovider"]
        argv = [*as_ordinary_user(), *tests, "--basetemp", f"{folder}/tests"]
        env = os.environ | {"HOME": folder, "TMPDIR": folder, "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=170, check=False
        )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout


ORDINARY = 54321


def as_ordinary_user() -> list[str]:
    """A command in front of another. Where the interpreter lies in a directory that is root's, that is shown to all."""
    environment = own_environment()
    argv = ["bwrap", "--dev-bind", "/", "/"]
    for path in (environment.prefix, Path(sys.prefix), ROOT):
        if private := [one for one in reversed(path.parents) if not one.stat().st_mode & 0o001]:
            argv += ["--perms", "0755", "--tmpfs", str(private[0]), "--dir", str(path.parent)]
            argv += ["--ro-bind", str(path), str(path)]
    ids = [f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups"]
    return [*argv, "--", "setpriv", *ids, "--inh-caps=-all", "--bounding-set=-all", "--"]
