"""What every level of the sandbox keeps, tried on real models in real children."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import infra.sandbox.command
import infra.sandbox.host
from infra.environments.environment import own_environment
from infra.sandbox.command import Launch, Level, probe_level
from infra.sandbox.host import Sandbox, SandboxUnavailable
from infra.sandbox.process import STDERR_BYTES
from infra.sandbox.wire import Due, Received, Wire
from models.contract import Failed, Predicted
from schemas.agreement import Task
from tests.contract.children import (
    TAGS,
    Models,
    N,
    Shared,
    ask,
    failed,
    family,
    gone,
    run,
    sandbox,
    stream,
    values,
)

pytestmark = [pytest.mark.timeout(120)]


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


def test_answers_are_read_together_while_more_is_open_and_at_once_where_nothing_is(
    moods: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, found = Wire.read, []

    def counted(wire: Wire, dues: Iterable[Due]) -> Received:
        received = read(wire, dues)
        found.append(len(received.answers))
        return received

    async def main(count: int, together: bool) -> list[int]:
        found.clear()
        frame = stream({"a": [1.0], "b": [0.5]})
        asked = (moods.child.predict("burns:0.005", frame, 1, None, 0) for _ in range(count))
        answers = await asyncio.gather(*asked) if together else [await one for one in asked]
        assert [values(answer) for answer in answers] == [[1.0]] * count
        return [one for one in found if one]

    monkeypatch.setattr(Wire, "read", counted)
    assert moods.runner.run(main(10, False)) == [1] * 10
    assert len(moods.runner.run(main(60, True))) <= 30


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
            assert len(processes) >= 2 or level == "reduced"
        assert isinstance(await ask(child), Failed)
        gone(processes)

    run(main())


def test_the_child_ends_with_its_platform(models: Models, level: Level, tmp_path: Path) -> None:
    program = f"""
        import asyncio, pickle
        from infra.sandbox.host import Sandbox
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
    root = Path(infra.sandbox.host.__file__).parents[2]
    platform = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True, cwd=root
    )
    with platform:
        assert platform.stdout is not None
        processes = family(int(platform.stdout.readline()))
        platform.kill()
    gone(processes)


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


def test_bubblewrap_hides_files_and_processes(models: Models, moods: Shared, level: Level) -> None:
    if level != "full":
        pytest.skip("only bubblewrap hides all of it")

    def true(expression: str) -> None:
        assert values(moods.ask(f"eval:{expression}")) == [1, 1, 1], expression

    platform = str(Path(infra.sandbox.host.__file__).parents[2])
    true(f"not os.path.exists({platform!r})")
    true(f"not os.path.exists({str(models.root)!r})")
    true("not os.path.exists('/etc/passwd') and not os.path.exists('/home')")
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


def test_packages_of_its_own_that_do_not_import_are_the_candidates_fault(
    models: Models, best: Level, tmp_path: Path
) -> None:
    own = replace(own_environment(), packages=tmp_path)

    async def main() -> None:
        child = Sandbox(models.spec("moods", environment=own), level=best)
        answer = failed(await child.start())
        assert answer.kind == "died"
        assert "No module named 'mlflow'" in answer.text
        assert child.ended

    run(main())


@pytest.mark.parametrize("argv", [("/bin/false",), ("/nowhere/at-all",)])
def test_a_sandbox_that_does_not_start_is_no_fault_of_the_candidate(
    models: Models, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...]
) -> None:
    def broken(model: Path, *more: Any) -> Launch:
        return Launch(argv=argv, env={}, model=str(model), packages=())

    monkeypatch.setattr(infra.sandbox.host, "launch", broken)

    async def main() -> None:
        with pytest.raises(SandboxUnavailable):
            await Sandbox(models.spec("moods"), level="none").start()

    run(main())


def test_without_bubblewrap_the_level_is_not_full(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(name: str) -> None:
        return None

    monkeypatch.setattr("shutil.which", hidden)
    infra.sandbox.command.forget_probe()
    try:
        assert probe_level() != "full"
    finally:
        infra.sandbox.command.forget_probe()
