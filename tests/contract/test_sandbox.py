"""What every level of the sandbox keeps, tried on real models in real children."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import psutil
import pyarrow as pa
import pytest
import ruamel.yaml

import infra.sandbox
import infra.sandbox_command
from infra.candidate import Candidate
from infra.child_process import STDERR_BYTES
from infra.child_spec import ChildSpec
from infra.sandbox import Loaded, Sandbox, SandboxUnavailable
from infra.sandbox_command import Launch, Level, probe_level
from infra.standing import Backoff
from models.contract import Contract, Failed, Predicted, read_contract
from schemas.agreement import Task

pytestmark = [pytest.mark.timeout(120)]

TAGS = [f"t{number}" for number in range(8)]
N = 50


@pytest.fixture(params=["bubblewrap", "none"])
def level(request: pytest.FixtureRequest) -> Level:
    wanted: Level = request.param
    if wanted == "bubblewrap" and probe_level() != "bubblewrap":
        pytest.skip("bubblewrap does not work here")
    return wanted


@pytest.fixture
def best() -> Level:
    """The best level here, for what does not depend on it."""
    return probe_level()


@dataclass(frozen=True)
class Models:
    """Saved models, with what they were trained on and what they answer in this process."""

    root: Path
    table: pd.DataFrame
    expected: dict[str, npt.NDArray[np.float64]]

    def spec(self, name: str, task: Task = Task.REGRESSION, **more: Any) -> ChildSpec:
        contract = read_contract(ruamel.yaml.YAML(typ="safe").load(self.root / name / "MLmodel"))
        assert isinstance(contract, Contract), contract
        return ChildSpec(model=self.root / name, contract=contract, task=task, **more)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    root = tmp_path_factory.mktemp("models")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _save_models(root)


def _save_models(root: Path) -> Models:
    import mlflow.pyfunc
    import mlflow.sklearn
    from mlflow.models import ModelSignature, infer_signature
    from mlflow.types import ColSpec, Schema
    from sklearn.linear_model import LinearRegression, LogisticRegression  # type: ignore[import-untyped]
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

    random = np.random.default_rng(7)
    table = pd.DataFrame(random.normal(size=(N, 8)), columns=TAGS)
    target = table.to_numpy() @ random.normal(size=8)
    states = np.where(target < -1, "idle", np.where(target < 1, "run", "fault"))
    expected = {}
    for name, model, truth in (
        ("linear", make_pipeline(StandardScaler(), LinearRegression()), target),
        ("states", LogisticRegression(), states),
    ):
        model.fit(table, truth)
        signature = infer_signature(table, model.predict(table))
        mlflow.sklearn.save_model(
            model, root / name, signature=signature, pip_requirements=[], serialization_format="cloudpickle"
        )
        expected[name] = _predicted_outside(root / name, table)
    expected["states"] = np.array([["idle", "run", "fault"].index(state) for state in expected["states"]])

    moods = Schema([ColSpec("string", "asset"), ColSpec("double", "b"), ColSpec("double", "a")])
    _save_code(root / "moods", Path(__file__).with_name("moods.py"), ModelSignature(moods))
    number = ModelSignature(Schema([ColSpec("double", "a")]))
    for name, (signature, options, body) in {
        "median": (number, {"context_rows": 4}, "return table['a'].rolling(5, min_periods=1).median()"),
        "scored": (
            number,
            {"score": True},
            "return {'prediction': table['a'] > 2, 'score': table['a'] / 10}",
        ),
        "timed": (
            ModelSignature(
                Schema([ColSpec("datetime", "ts"), ColSpec("long", "n"), ColSpec("boolean", "on")])
            ),
            {},
            "return table['ts'].dt.hour * table['n'] * table['on']",
        ),
        "unloadable": (number, {}, "return table['a']\nraise RuntimeError('no licence')"),
        "slow-to-load": (number, {}, "return table['a']\nwhile True: pass"),
        "dead-on-arrival": (number, {}, "return table['a']\nimport os; os._exit(5)"),
    }.items():
        source = root / f"{name}.py"
        first, _, rest = body.partition("\n")
        rest = f"import os\nif os.environ.get('LOKY_MAX_CPU_COUNT'):\n    {rest}" if rest else ""
        source.write_text(textwrap.dedent(_CODE).format(predict=first, then=rest))
        _save_code(root / name, source, signature, metadata={"fieldproof": options})
    return Models(root=root, table=table, expected=expected)


def _predicted_outside(model: Path, table: pd.DataFrame) -> npt.NDArray[Any]:
    """What MLflow answers without a sandbox; the environment decides on the last bits, so it is the same."""
    table.to_pickle(model.parent / "table")
    program = """
        import mlflow.pyfunc, pandas, sys
        model, table = sys.argv[1:]
        answer = mlflow.pyfunc.load_model(model).predict(pandas.read_pickle(table))
        pandas.Series(answer).to_pickle(table)
    """
    argv = [sys.executable, "-c", textwrap.dedent(program), str(model), str(model.parent / "table")]
    subprocess.run(argv, env={"OPENBLAS_NUM_THREADS": "1"}, check=True, stderr=subprocess.DEVNULL)
    answered: npt.NDArray[Any] = pd.read_pickle(model.parent / "table").to_numpy()
    return answered


#: `then` runs only where the environment is a candidate's: not while the model is being saved.
_CODE = """
    import mlflow.models
    import mlflow.pyfunc

    class Model(mlflow.pyfunc.PythonModel):
        def predict(self, context, table, params=None):
            {predict}

    mlflow.models.set_model(Model())
    {then}
"""


def _save_code(path: Path, source: Path, signature: Any, **more: Any) -> None:
    import mlflow.pyfunc

    mlflow.pyfunc.save_model(path, python_model=str(source), signature=signature, pip_requirements=[], **more)


def stream(columns: dict[str, Any]) -> bytes:
    """One Arrow IPC stream with one record batch."""
    batch = pa.RecordBatch.from_pydict(columns)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


FRAME = stream({"a": [1.0, 2.0, 3.0], "b": [10.0, 20.0, 30.0], "unused": [0.0, 0.0, 0.0]})


async def ask(child: Sandbox | Candidate, mood: str = "sum") -> Predicted | Failed:
    """Hand over a frame of three rows of an asset that is called like the mood."""
    return await child.predict(mood, FRAME, 3, None, 0)


def values(answer: Predicted | Failed) -> list[float]:
    assert isinstance(answer, Predicted), answer
    return [float(value) for value in answer.columns[0]]


def failed(answer: Predicted | Loaded | Failed) -> Failed:
    assert isinstance(answer, Failed), answer
    return answer


@asynccontextmanager
async def sandbox(spec: ChildSpec, level: Level) -> AsyncIterator[Sandbox]:
    child = Sandbox(spec, level=level)
    try:
        loaded = await child.start()
        assert isinstance(loaded, Loaded), loaded
        # Every model here is one for which MLflow's check of each call may be left out.
        assert loaded.direct
        yield child
    finally:
        await child.close()


@dataclass(frozen=True)
class Shared:
    """One loop with one child of many moods, for tests that leave it alive."""

    runner: asyncio.Runner
    child: Sandbox

    def ask(self, mood: str = "sum") -> Predicted | Failed:
        return self.runner.run(ask(self.child, mood))


_SHARED: dict[Level, Shared] = {}


@pytest.fixture(scope="session", autouse=True)
def _close_shared() -> Iterator[None]:
    yield
    for shared in _SHARED.values():
        shared.runner.run(shared.child.close())
        shared.runner.close()


@pytest.fixture
def moods(models: Models, level: Level) -> Shared:
    if level not in _SHARED:
        runner = asyncio.Runner()
        child = Sandbox(models.spec("moods"), level=level)
        assert isinstance(runner.run(child.start()), Loaded)
        _SHARED[level] = Shared(runner=runner, child=child)
    return _SHARED[level]


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


# What comes out.


def test_a_pipeline_answers_bit_for_bit_what_it_answers_outside(models: Models, level: Level) -> None:
    async def main() -> None:
        async with sandbox(models.spec("linear"), level) as child:
            shuffled = {"ts": [0] * N} | {tag: models.table[tag].to_list() for tag in reversed(TAGS)}
            answer = await child.predict("press-1", stream(shuffled), N, None, 0)
            assert isinstance(answer, Predicted), answer
            assert answer.columns.shape == (1, N)
            assert (answer.columns[0] == models.expected["linear"]).all()
            assert answer.cpu_ns > 0
            assert answer.wall_ns > 0
            assert answer.max_rss_kb > 50_000

    run(main())


def test_class_names_become_codes(models: Models, best: Level) -> None:
    async def main() -> None:
        spec = models.spec("states", Task.CLASSIFICATION, classes=("idle", "run", "fault"))
        async with sandbox(spec, best) as child:
            columns = {tag: models.table[tag].to_list() for tag in TAGS}
            answer = await child.predict("press-1", stream(columns), N, None, 0)
            assert values(answer) == list(models.expected["states"])

    run(main())


def test_context_is_given_in_front_and_its_answers_are_dropped(models: Models, best: Level) -> None:
    async def main() -> None:
        async with sandbox(models.spec("median"), best) as child:
            series = [5.0, 1.0, 4.0, 9.0, 2.0, 8.0, 3.0]
            whole = pd.Series(series).rolling(5, min_periods=1).median()
            before, frame = stream({"a": series[:4]}), stream({"a": series[4:]})
            assert values(await child.predict("x", frame, 3, before, 4)) == list(whole[4:])
            assert values(await child.predict("x", before, 4, None, 0)) == list(whole[:4])

    run(main())


def test_a_score_stands_beside_each_prediction(models: Models, best: Level) -> None:
    async def main() -> None:
        spec = models.spec("scored", Task.ANOMALY, classes=("normal", "anomaly"))
        async with sandbox(spec, best) as child:
            answer = await ask(child)
            assert isinstance(answer, Predicted), answer
            assert answer.columns.tolist() == [[0, 0, 1], [0.1, 0.2, 0.3]]

    run(main())


def test_time_whole_numbers_and_truth_values_come_as_declared(models: Models, best: Level) -> None:
    async def main() -> None:
        async with sandbox(models.spec("timed"), best) as child:
            hour = 3_600_000_000
            ts = pa.array([0, hour, 2 * hour], pa.timestamp("us", "UTC"))
            frame = stream({"ts": ts, "n": [1, 2, 3], "on": [True, False, True]})
            assert values(await child.predict("x", frame, 3, None, 0)) == [0, 0, 6]
            missing = stream({"ts": ts, "n": [1, None, 3], "on": [True, False, True]})
            answer = failed(await child.predict("x", missing, 3, None, 0))
            assert "'n' has missing values: declare it as double" in answer.text

    run(main())


def test_a_missing_number_arrives_as_not_a_number_and_abstains(moods: Shared) -> None:
    frame = stream({"a": [1.0, None, 3.0], "b": [1, 2, 3]})
    answer = moods.runner.run(moods.child.predict("sum", frame, 3, None, 0))
    assert isinstance(answer, Predicted), answer
    assert np.isnan(answer.columns[0]).tolist() == [False, True, False]


def test_none_and_not_a_number_are_abstentions(moods: Shared) -> None:
    answer = moods.ask("nan")
    assert isinstance(answer, Predicted), answer
    assert np.isnan(answer.columns[0]).tolist() == [True, True, False]


def test_many_frames_on_their_way_are_answered_each_with_its_own(moods: Shared) -> None:
    async def main() -> None:
        frames = [stream({"a": [float(n)] * (n % 7 + 1), "b": [0.5] * (n % 7 + 1)}) for n in range(100)]
        asked = [moods.child.predict("sum", frame, n % 7 + 1, None, 0) for n, frame in enumerate(frames)]
        for n, answer in enumerate(await asyncio.gather(*asked)):
            assert values(answer) == [n + 0.5] * (n % 7 + 1)

    moods.runner.run(main())


def test_a_frame_of_a_mebibyte_passes(moods: Shared) -> None:
    n = 65_000
    frame = stream({"a": np.arange(n, dtype=np.float64), "b": np.zeros(n)})
    answer = moods.runner.run(moods.child.predict("sum", frame, n, None, 0))
    assert values(answer) == list(range(n))


def test_a_frame_without_an_input_fails_and_names_it(moods: Shared) -> None:
    answer = failed(moods.runner.run(moods.child.predict("sum", stream({"b": [1.0]}), 1, None, 0)))
    assert (answer.kind, "'a' is not in the frame" in answer.text) == ("error", True)


# What goes wrong, and leaves the child alive.


def test_an_exception_is_told_with_its_place_in_the_model(moods: Shared) -> None:
    answer = failed(moods.ask("raises"))
    assert (answer.kind, answer.exception) == ("error", "ValueError")
    assert answer.text == "ValueError: pressure is \ufffd[31mtoo high"
    lines = Path(__file__).with_name("moods.py").read_text().splitlines()
    raised = next(number for number, line in enumerate(lines, 1) if "raise ValueError" in line)
    assert answer.where == f"moods.py:{raised}"
    assert values(moods.ask()) == [11, 22, 33]


def test_leaving_by_sys_exit_is_an_error_like_any_other(moods: Shared) -> None:
    answer = failed(moods.ask("leaves"))
    assert (answer.kind, answer.exception) == ("error", "SystemExit")
    assert values(moods.ask()) == [11, 22, 33]


def test_a_wrong_number_of_answers_is_nonsense(moods: Shared) -> None:
    answer = failed(moods.ask("short"))
    assert answer.kind == "nonsense"
    assert "2 values for 3 rows" in answer.text
    assert values(moods.ask()) == [11, 22, 33]


def test_printing_disturbs_nothing_and_only_its_end_is_kept(moods: Shared) -> None:
    async def main() -> None:
        assert values(await ask(moods.child, "floods")) == [1, 2, 3]
        while not moods.child.output.endswith("the end"):
            await asyncio.sleep(0.01)
        assert len(moods.child.output) <= STDERR_BYTES

    moods.runner.run(main())


def test_using_too_much_memory_fails_as_memory(models: Models, level: Level) -> None:
    async def main() -> None:
        async with sandbox(models.spec("moods", memory_mb=200), level) as child:
            answer = failed(await ask(child, "eats"))
            assert answer.kind == "memory"
            assert answer.exception in ("MemoryError", "_ArrayMemoryError")
            assert values(await ask(child)) == [11, 22, 33]

    run(main())


# What ends the child.


def test_a_death_for_want_of_memory_counts_as_memory(models: Models, best: Level) -> None:
    async def main() -> None:
        async with sandbox(models.spec("moods"), best) as child:
            answer = failed(await ask(child, "eats-past-the-interpreter"))
            assert answer.kind == "memory", answer
            assert "SIGABRT" in answer.text

    run(main())


@pytest.mark.parametrize(("mood", "said"), [("exits", "exit status 3"), ("kills-itself", "SIGKILL")])
def test_a_death_is_told_and_the_frames_behind_it_are_not_blamed(
    models: Models, level: Level, mood: str, said: str
) -> None:
    async def main() -> None:
        async with sandbox(models.spec("moods"), level) as child:
            first, behind, last = await asyncio.gather(ask(child), ask(child, mood), ask(child))
            assert values(first) == [11, 22, 33]
            assert (failed(behind).kind, failed(behind).begun) == ("died", True)
            assert said in failed(behind).text
            assert failed(last).begun is False
            assert child.ended
            assert failed(await ask(child)).begun is False

    run(main())


def test_a_child_that_hangs_is_killed(models: Models, level: Level) -> None:
    async def main() -> None:
        async with sandbox(models.spec("moods", timeout_s=0.5), level) as child:
            hung, behind = await asyncio.gather(ask(child, "hangs"), ask(child))
            assert (failed(hung).kind, failed(hung).begun) == ("timeout", True)
            assert failed(behind).begun is False
            assert child.ended

    run(main())


@pytest.mark.parametrize(
    ("mood", "said"),
    [
        ("scribbles", "something else where an answer was due"),
        ("forges", "no classes, or infinite"),
        ("lies-about-lengths", "1 × 4000000000 values where 1 × 3 were due"),
    ],
)
def test_a_broken_wire_is_nonsense_and_ends_the_child(
    models: Models, best: Level, mood: str, said: str
) -> None:
    async def main() -> None:
        async with sandbox(models.spec("moods"), best) as child:
            answer = failed(await ask(child, mood))
            assert answer.kind == "nonsense"
            assert said in answer.text
            assert child.ended

    run(main())


def test_a_child_that_hangs_up_is_ended(models: Models, level: Level) -> None:
    async def main() -> None:
        async with sandbox(models.spec("moods", timeout_s=4), level) as child:
            assert failed(await ask(child, "hangs-up")).kind in ("died", "timeout")
            assert child.ended

    run(main())


def test_nothing_is_left_of_a_closed_child_not_even_what_it_forked(models: Models, level: Level) -> None:
    async def main() -> None:
        async with sandbox(models.spec("moods"), level) as child:
            assert values(await ask(child, "forks")) == [1, 2, 3]
            processes = family(child.pid)
            assert len(processes) >= 2
        assert isinstance(await ask(child), Failed)
        gone(processes)

    run(main())


def test_the_child_ends_with_its_platform(models: Models, level: Level, tmp_path: Path) -> None:
    program = f"""
        import asyncio, pickle
        from infra.sandbox import Sandbox
        async def main():
            spec = pickle.load(open({str(tmp_path / "spec")!r}, "rb"))
            child = Sandbox(spec, level={level!r})
            await child.start()
            print(child.pid, flush=True)
            await asyncio.Event().wait()
        asyncio.run(main())
    """
    import pickle

    (tmp_path / "spec").write_bytes(pickle.dumps(models.spec("moods")))
    root = Path(infra.sandbox.__file__).parent.parent
    platform = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True, cwd=root
    )
    with platform:
        assert platform.stdout is not None
        processes = family(int(platform.stdout.readline()))
        platform.kill()
    gone(processes)


def family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert alive == []


# What it sees.


def test_the_platform_is_not_importable_and_its_environment_not_inherited(
    moods: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    def true(expression: str) -> None:
        assert values(moods.ask(f"eval:{expression}")) == [1, 1, 1], expression

    true("all(__import__('importlib.util').util.find_spec(name) is None for name in ('infra', 'streams'))")
    true("'PATH' not in os.environ")
    true("os.environ['OMP_NUM_THREADS'] == '1'")
    true("__import__('threading').active_count() == 1")
    true("sys.flags.dont_write_bytecode and not sys.flags.no_site == 0")
    true("sys.flags.hash_randomization == 0")
    true("os.read(0, 1) == b''")


def test_bubblewrap_hides_files_network_and_processes(models: Models, moods: Shared, level: Level) -> None:
    if level != "bubblewrap":
        pytest.skip("only bubblewrap hides anything")

    def true(expression: str) -> None:
        assert values(moods.ask(f"eval:{expression}")) == [1, 1, 1], expression

    platform = str(Path(infra.sandbox.__file__).parent.parent)
    true(f"not os.path.exists({platform!r})")
    true(f"not os.path.exists({str(models.root)!r})")
    true("not os.path.exists('/etc/passwd') and not os.path.exists('/home')")
    true("[name for _, name in __import__('socket').if_nameindex()] in ([], ['lo'])")
    true("len([name for name in os.listdir('/proc') if name.isdigit()]) <= 3")
    for path in ("/", "/candidate/model", "/candidate/packages", "/usr/lib"):
        true(f"not os.access({path!r}, os.W_OK)")
    true("os.access('/tmp', os.W_OK)")
    true("int(next(x for x in open('/proc/self/status') if x.startswith('CapEff')).split()[1], 16) == 0")
    true("next(x for x in open('/proc/self/status') if x.startswith('NoNewPrivs')).split()[1] == '1'")


# How it starts.


def test_a_model_that_cannot_be_loaded_says_why_and_where(models: Models, best: Level) -> None:
    async def main() -> None:
        child = Sandbox(models.spec("unloadable"), level=best)
        answer = failed(await child.start())
        assert (answer.kind, answer.exception) == ("error", "RuntimeError")
        assert "no licence" in answer.text
        assert answer.where is not None
        assert answer.where.startswith("unloadable.py:")
        assert child.ended

    run(main())


def test_a_model_that_takes_too_long_to_load_is_a_timeout(models: Models, best: Level) -> None:
    async def main() -> None:
        child = Sandbox(models.spec("slow-to-load", start_timeout_s=6), level=best)
        assert failed(await child.start()).kind == "timeout"

    run(main())


@pytest.mark.parametrize("argv", [("/bin/false",), ("/nowhere/at-all",)])
def test_a_sandbox_that_does_not_start_is_no_fault_of_the_candidate(
    models: Models, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...]
) -> None:
    def broken(model: Path, level: Level, scratch: Path) -> Launch:
        return Launch(argv=argv, env={}, model=str(model), packages=())

    monkeypatch.setattr(infra.sandbox, "launch", broken)

    async def main() -> None:
        with pytest.raises(SandboxUnavailable):
            await Sandbox(models.spec("moods"), level="none").start()

    run(main())


def test_without_bubblewrap_the_level_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(name: str) -> None:
        return None

    monkeypatch.setattr("shutil.which", hidden)
    infra.sandbox_command.forget_probe()
    try:
        assert probe_level() == "none"
    finally:
        infra.sandbox_command.forget_probe()


# What the supervisor makes of it.


@dataclass
class Clock:
    """Time that passes only when somebody sleeps."""

    now: float = 1000

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@asynccontextmanager
async def candidate(spec: ChildSpec, level: Level, clock: Clock | None = None) -> AsyncIterator[Candidate]:
    clock = clock or Clock()
    kept = Candidate(spec, level=level, monotonic=clock, sleep=clock.sleep, restarts=Backoff(first_s=8))
    try:
        yield kept
    finally:
        await kept.close()


def test_a_frame_whose_child_died_is_tried_once_more(models: Models, tmp_path: Path) -> None:
    async def main() -> None:
        async with candidate(models.spec("moods"), "none") as kept:
            mood = f"once:{tmp_path / 'marker'}"
            before, tried, behind = await asyncio.gather(ask(kept), ask(kept, mood), ask(kept))
            assert values(before) == values(tried) == values(behind) == [11, 22, 33]

    run(main())


def test_a_frame_that_kills_its_child_twice_fails_and_the_next_one_is_answered(
    models: Models, best: Level
) -> None:
    async def main() -> None:
        clock = Clock()
        async with candidate(models.spec("moods"), best, clock) as kept:
            poison, behind = await asyncio.gather(ask(kept, "exits"), ask(kept))
            assert failed(poison).kind == "died"
            assert values(behind) == [11, 22, 33]

    run(main())


def test_a_child_killed_from_outside_is_replaced(models: Models, best: Level) -> None:
    async def main() -> None:
        async with candidate(models.spec("moods"), best) as kept:
            assert values(await ask(kept)) == [11, 22, 33]
            killed = kept.pid
            os.kill(killed, signal.SIGKILL)
            while kept.pid == killed:
                assert values(await ask(kept)) == [11, 22, 33]

    run(main())


def test_frames_behind_a_hanging_one_are_answered_by_the_next_child(models: Models, best: Level) -> None:
    async def main() -> None:
        async with candidate(models.spec("moods", timeout_s=1), best) as kept:
            hung, behind = await asyncio.gather(ask(kept, "hangs"), ask(kept))
            assert failed(hung).kind == "timeout"
            assert values(behind) == [11, 22, 33]

    run(main())


def test_a_model_that_fails_to_load_is_not_loaded_again_before_its_time(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = counted(monkeypatch)

    async def main() -> None:
        clock = Clock()
        async with candidate(models.spec("unloadable"), "none", clock) as kept:
            assert failed(await kept.start()).kind == "error"
            for _ in range(3):
                answer = failed(await ask(kept))
                assert (answer.kind, answer.begun) == ("error", True)
                assert "cannot be loaded: RuntimeError: no licence" in answer.text
            assert starts() == 1
            clock.now += 60
            await ask(kept)
            assert starts() == 2
            clock.now += 60
            await ask(kept)
            assert starts() == 2

    run(main())


def test_a_death_while_loading_is_tried_once_more(models: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    starts = counted(monkeypatch)

    async def main() -> None:
        async with candidate(models.spec("dead-on-arrival"), "none") as kept:
            answer = failed(await kept.start())
            assert (answer.kind, "exit status 5" in answer.text) == ("died", True)
            assert starts() == 2
            assert failed(await ask(kept)).begun
            assert starts() == 2

    run(main())


def counted(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Count the children that are started from here on."""
    seen: list[Path] = []

    def launch(model: Path, level: Level, scratch: Path) -> Launch:
        seen.append(model)
        return original(model, level, scratch)

    original = infra.sandbox_command.launch
    monkeypatch.setattr(infra.sandbox, "launch", launch)
    return lambda: len(seen)


def test_each_end_in_a_row_is_waited_for_twice_as_long_up_to_a_limit() -> None:
    backoff = Backoff(first_s=1, most_s=5)
    assert [backoff.delay_s(failures) for failures in range(6)] == [0, 0, 1, 2, 4, 5]
    assert backoff.delay_s(10_000) == 5
