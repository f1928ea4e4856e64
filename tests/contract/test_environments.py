"""Environments of candidates, built by the real uv from an index on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

import infra.environments.pythons
from infra.environments.build import Limits, disk_bytes
from infra.environments.environment import (
    Environment,
    EnvironmentUnavailable,
    EnvironmentUnusable,
    own_environment,
)
from infra.environments.pythons import OLDEST, pythons_here
from infra.environments.store import Environments
from infra.environments.uv import Uv
from tests.contract.wheel_index import WheelIndex, serving

pytestmark = [pytest.mark.timeout(120)]


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[WheelIndex]:
    """An index with what the platform itself needs; uv and pip are told nothing else."""
    for name in list(os.environ):
        if name.startswith(("UV_", "PIP_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    made = WheelIndex()
    for name in ("mlflow_skinny", "pandas", "pyarrow"):
        made.add(name)
    with serving(made):
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"{made.url}/simple")
        yield made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "environments"


@pytest.fixture
def environments(home: Path) -> Environments:
    return Environments(home)


Builder = Callable[[Path], "subprocess.Popen[str]"]


@pytest.fixture
def builder(home: Path) -> Iterator[Builder]:
    """Starts processes that build the environment of a model and print its folder."""
    program = """
        import sys
        from pathlib import Path
        from infra.environments.store import Environments
        print(Environments(Path(sys.argv[1])).of(Path(sys.argv[2])).packages)
    """
    with contextlib.ExitStack() as stack:

        def start(asked: Path) -> subprocess.Popen[str]:
            command = [sys.executable, "-c", textwrap.dedent(program), str(home), str(asked)]
            process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            stack.callback(process.kill)
            return process

        yield start


def model(folder: Path, *requirements: str, python: str = "", **files: str) -> Path:
    """The files of a model that speak of its environment."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "requirements.txt").write_text("\n".join(requirements))
    if python:
        (folder / "python_env.yaml").write_text(f"python: {python}\n")
    for name, text in files.items():
        (folder / name.replace("_txt", ".txt")).write_text(text)
    return folder


def run_inside(environment: Environment, program: str) -> str:
    """What a program prints that runs as candidates do, without a sandbox."""
    program = f"import sys; sys.path.append({str(environment.packages)!r}); {program}"
    command = [str(environment.interpreter), "-s", "-S", "-P", "-B", "-c", program]
    return subprocess.run(command, env={}, capture_output=True, text=True, check=True).stdout.strip()


def test_a_models_own_versions_are_there_and_the_platforms_needs_beside_them(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    index.add("forest", "1.0", needs=("leaf>=2",))
    index.add("forest", "2.0", needs=("leaf>=2",))
    for version in ("1.0", "2.0", "3.0"):
        index.add("leaf", version)
    asked = model(tmp_path / "model", "forest==1.0", "-c constraints.txt", constraints_txt="leaf<3")
    environment = environments.of(asked)
    program = "import forest, leaf, mlflow_skinny, pandas, pyarrow; print(forest.VERSION, leaf.VERSION)"
    assert run_inside(environment, program) == "1.0 2.0"
    assert not environment.packages.is_symlink()
    assert environment.interpreter == own_environment().interpreter


def test_the_platforms_packages_cannot_be_imported_in_it(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    index.add("forest")
    environment = environments.of(model(tmp_path / "model", "forest"))
    ours = ("schemas", "streams", "models", "agents", "infra", "faust", "aiokafka", "numpy", "pip")
    program = f"import importlib.util as u; print([n for n in {ours} if u.find_spec(n)])"
    assert run_inside(environment, program) == "[]"


def test_nothing_of_a_package_runs_while_it_is_installed_or_when_python_starts(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    trace = tmp_path / "ran"
    touch = f"open({str(trace)!r}, 'w')"
    index.add(
        "forest",
        holds={
            "forest_start.pth": f"import builtins; {touch}\n",
            "sitecustomize.py": touch,
            "usercustomize.py": touch,
            "forest_extra.py": touch,
            "forest-1.0.dist-info/entry_points.txt": "[console_scripts]\nuv = forest_extra:main\n",
        },
    )
    environment = environments.of(model(tmp_path / "model", "forest"))
    assert run_inside(environment, "import forest, pandas; print(forest.VERSION)") == "1.0"
    assert not trace.exists()
    assert run_inside(environment, "import forest_extra; print(1)") == "1"
    assert trace.exists(), "the package is one that would leave a trace"


def test_a_package_that_would_have_to_be_built_is_refused_and_not_built(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    trace = tmp_path / "ran"
    index.add_source("forest", f"open({str(trace)!r}, 'w')")
    with pytest.raises(EnvironmentUnusable, match=r"forest.* no usable wheels"):
        environments.of(model(tmp_path / "model", "forest"))
    assert not trace.exists()


def test_a_forbidden_line_is_refused_before_anything_is_asked_for(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    with pytest.raises(EnvironmentUnusable, match="line 2"):
        environments.of(model(tmp_path / "model", "forest", "git+https://example.org/forest"))
    assert index.fetched == []


def test_versions_that_exclude_each_other_are_refused_with_the_reason(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    index.add("leaf", "1.0")
    index.add("leaf", "2.0")
    index.add("forest", needs=("leaf>=2",))
    with pytest.raises(EnvironmentUnusable, match=r"forest depend on leaf>=2 .* you require leaf==1.0"):
        environments.of(model(tmp_path / "model", "forest", "leaf==1.0"))


def test_a_long_story_of_conflicts_is_still_the_models_fault_and_told_in_short(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    for number in range(60):
        index.add("leaf", f"{number}.0")
        index.add("forest", f"{number}.0", needs=(f"leaf=={number}.0", f"branch{number}"))
        index.add(f"branch{number}", needs=(f"leaf!={number}.0",))
    with pytest.raises(EnvironmentUnusable, match="forest") as refused:
        environments.of(model(tmp_path / "model", "forest"))
    assert len(str(refused.value)) < 1500


@pytest.mark.parametrize("asked", ["no-such-package", "pandas==77"])
def test_what_the_index_does_not_have_is_refused(
    index: WheelIndex, environments: Environments, tmp_path: Path, asked: str
) -> None:
    with pytest.raises(EnvironmentUnusable, match="pip_requirements"):
        environments.of(model(tmp_path / "model", asked))


def test_a_wheel_that_is_none_is_refused(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    holds = {"forest-1.0.dist-info/entry_points.txt": "[console_scripts]\n../../escaped = forest:main\n"}
    index.add("forest", holds=holds)
    with pytest.raises(EnvironmentUnusable, match="The wheel is invalid"):
        environments.of(model(tmp_path / "model", "forest"))


def test_files_of_a_wheel_that_point_elsewhere_stay_inside(
    index: WheelIndex, environments: Environments, home: Path, tmp_path: Path
) -> None:
    absolute = str(tmp_path / "absolute.py")
    data = "forest-1.0.data/data/../../../../escaped.py"
    index.add("forest", holds={"../../escaped.py": "", absolute: "", data: ""})
    environments.of(model(tmp_path / "model", "forest"))
    assert list(tmp_path.rglob("escaped.py")) == []
    assert not Path(absolute).exists()


def test_a_wheel_that_overwrites_anothers_files_changes_nothing_for_other_models(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    index.add("forest")
    index.add("weed", holds={"forest.py": "VERSION = 'evil'\n"})
    told = "import forest; print(forest.VERSION)"
    # Which of the two files lies there does not matter; the other one was in its place.
    environments.of(model(tmp_path / "both", "forest", "weed"))
    assert run_inside(environments.of(model(tmp_path / "clean", "forest")), told) == "1.0"
    assert run_inside(environments.of(model(tmp_path / "weed", "weed")), told) == "evil"


# Whose fault it is.


@pytest.mark.parametrize("status", [401, 403, 404, 500])
def test_an_index_that_answers_nothing_is_not_the_models_fault(
    index: WheelIndex, environments: Environments, tmp_path: Path, status: int
) -> None:
    index.status = status
    with pytest.raises(EnvironmentUnavailable):
        environments.of(model(tmp_path / "model", "forest"))


def test_an_index_that_is_not_there_is_not_the_models_fault(
    index: WheelIndex, environments: Environments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    with pytest.raises(EnvironmentUnavailable, match="UV_DEFAULT_INDEX"):
        environments.of(model(tmp_path / "model", "forest"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    with pytest.raises(EnvironmentUnavailable):
        environments.of(model(tmp_path / "model", "forest"))


def test_an_index_without_what_the_platform_needs_is_not_the_models_fault(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    del index.files["pyarrow-1.0-py3-none-any.whl"]
    with pytest.raises(EnvironmentUnavailable, match="pyarrow"):
        environments.of(model(tmp_path / "model", "no-such-package"))


def test_a_missing_uv_is_not_the_models_fault(
    index: WheelIndex, environments: Environments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(EnvironmentUnavailable, match="uv is not installed"):
        environments.of(model(tmp_path / "model", "forest"))


def test_a_folder_that_cannot_be_written_is_not_the_models_fault(index: WheelIndex, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentUnavailable, match="cannot be kept"):
        Environments(tmp_path / "file" / "environments").of(model(tmp_path / "model", "forest"))


def test_an_index_that_takes_too_long_is_not_the_models_fault(
    index: WheelIndex, home: Path, tmp_path: Path
) -> None:
    index.add("forest")
    index.stalled = "forest-1.0-py3-none-any.whl"
    with pytest.raises(EnvironmentUnavailable, match="time was up"):
        Environments(home, limits=Limits(timeout_s=2)).of(model(tmp_path / "model", "forest"))
    index.go_on.set()
    assert Environments(home).of(model(tmp_path / "model", "forest")).packages.is_dir()


def test_a_full_disk_is_not_the_models_fault(index: WheelIndex, home: Path, tmp_path: Path) -> None:
    index.add("forest")
    limits = Limits(reserve_bytes=1 << 60)
    with pytest.raises(EnvironmentUnavailable, match="Make room"):
        Environments(home, limits=limits).of(model(tmp_path / "model", "forest"))
    assert list(home.glob("*/packages")) == []


# Pythons.


def test_a_model_of_another_python_gets_that_one(
    index: WheelIndex, environments: Environments, home: Path, tmp_path: Path
) -> None:
    index.add("forest")
    there = pythons_here(Uv.found(home))
    other = next((one for one in there if OLDEST <= one.version[:2] != sys.version_info[:2]), None)
    if other is None:
        pytest.skip("there is no other Python here")
    minor = ".".join(map(str, other.version[:2]))
    environment = environments.of(model(tmp_path / "model", "forest", python=f"{minor}.99"))
    told = run_inside(environment, "import forest; print('%d.%d' % sys.version_info[:2], forest.VERSION)")
    assert told == f"{minor} 1.0"
    assert environment.interpreter.resolve() == environment.interpreter
    assert run_inside(environment, "print(sys.base_prefix)") == str(environment.prefix)


def test_a_python_is_looked_for_once_and_again_when_it_is_gone(
    index: WheelIndex, environments: Environments, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add("forest")
    other = next(
        (one for one in pythons_here(Uv.found(home)) if one.version[:2] > sys.version_info[:2]), None
    )
    if other is None:
        pytest.skip("there is no newer Python here")
    asked = model(tmp_path / "model", "forest", python=".".join(map(str, other.version)))
    first = environments.of(asked)
    with monkeypatch.context() as patched:
        patched.setattr(infra.environments.pythons, "pythons_here", lambda uv: [])
        assert environments.of(asked) == first
    note = first.packages.parent / "python.json"
    note.write_text(note.read_text().replace(str(first.interpreter), str(tmp_path / "gone")))
    assert environments.of(asked) == first


def test_a_python_that_is_nowhere_to_be_had_is_named_with_those_that_are(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    own = ".".join(map(str, sys.version_info[:3]))
    with pytest.raises(EnvironmentUnavailable, match=rf"made with Python 3\.99; this machine has .*{own}"):
        environments.of(model(tmp_path / "model", "forest", python="3.99.1"))


def test_a_python_that_is_too_old_is_the_models_fault(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    with pytest.raises(EnvironmentUnusable, match=r"Python 3\.6, which is no longer maintained"):
        environments.of(model(tmp_path / "model", "forest", python="3.6.9"))


# Where packages come from.


def test_the_index_that_pip_was_told_is_used(
    index: WheelIndex, environments: Environments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add("forest")
    monkeypatch.setenv("PIP_INDEX_URL", os.environ["UV_DEFAULT_INDEX"])
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    environments.of(model(tmp_path / "model", "forest"))
    assert "forest-1.0-py3-none-any.whl" in index.fetched


def test_settings_of_a_project_around_the_folder_do_not_count(
    index: WheelIndex, environments: Environments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add("forest")
    (tmp_path / "uv.toml").write_text('[[index]]\nurl = "http://127.0.0.1:1/simple"\n')
    monkeypatch.chdir(tmp_path)
    assert environments.of(model(tmp_path / "model", "forest")).packages.is_dir()


def test_a_package_of_the_plants_own_is_never_replaced_by_a_newer_one_of_the_same_name(
    index: WheelIndex, environments: Environments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add("forest", "9.0")
    plant = WheelIndex()
    plant.add("forest", "1.0")
    with serving(plant):
        monkeypatch.setenv("UV_INDEX", f"{plant.url}/simple")
        environment = environments.of(model(tmp_path / "model", "forest"))
    assert run_inside(environment, "import forest; print(forest.VERSION)") == "1.0"


def test_a_folder_of_wheels_is_enough(
    index: WheelIndex, environments: Environments, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.add("forest")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name, content in index.files.items():
        (wheels / name).write_bytes(content)
    monkeypatch.delenv("UV_DEFAULT_INDEX")
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))
    environment = environments.of(model(tmp_path / "model", "forest"))
    assert run_inside(environment, "import forest; print(forest.VERSION)") == "1.0"


# Once.


def test_an_environment_is_built_once_and_found_again_without_the_index(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    index.add("forest")
    told: list[str] = []
    first = environments.of(model(tmp_path / "model", "forest"), progress=told.append)
    assert [line.split()[0] for line in told] == ["Resolving", "Installing", "The"]
    index.status = 500
    told.clear()
    assert environments.of(model(tmp_path / "other", "Forest  # the same"), progress=told.append) == first
    assert told == []


def test_what_was_removed_is_built_again_as_it_was_and_without_the_index(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    index.add("forest", "1.0")
    asked = model(tmp_path / "model", "forest")
    first = environments.of(asked)
    lock = (first.packages.parent / "lock.txt").read_text()
    assert "forest==1.0" in lock
    assert "--hash=sha256:" in lock
    shutil.rmtree(first.packages)
    index.add("forest", "2.0")
    index.status = 500
    assert run_inside(environments.of(asked), "import forest; print(forest.VERSION)") == "1.0"
    assert (first.packages.parent / "lock.txt").read_text() == lock


def test_a_copied_lock_gives_the_same_versions_elsewhere(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    index.add("forest", "1.0")
    asked = model(tmp_path / "model", "forest")
    first = environments.of(asked).packages.parent
    there = tmp_path / "there" / first.name
    there.mkdir(parents=True)
    shutil.copy(first / "lock.txt", there)
    index.add("forest", "2.0")
    environment = Environments(tmp_path / "there").of(asked)
    assert environment.packages.parent == there
    assert run_inside(environment, "import forest; print(forest.VERSION)") == "1.0"


def test_another_file_under_a_locked_name_is_not_installed(
    index: WheelIndex, environments: Environments, home: Path, tmp_path: Path
) -> None:
    index.add("forest")
    asked = model(tmp_path / "model", "forest")
    first = environments.of(asked)
    shutil.rmtree(first.packages)
    shutil.rmtree(home / "cache")
    index.add("forest", holds={"other.py": ""})
    with pytest.raises(EnvironmentUnavailable, match=r"[Hh]ash mismatch"):
        environments.of(asked)


def test_byte_code_is_there_and_holds_wherever_the_folder_is_copied(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    index.add("forest", holds={"forest_broken.py": "def (", "tests/test_forest.py": ""})
    environment = environments.of(model(tmp_path / "model", "forest"))
    compiled = {path.name.split(".")[0] for path in environment.packages.rglob("*.pyc")}
    assert {"forest", "pandas", "pyarrow", "mlflow_skinny"} <= compiled
    assert not {"test_forest", "forest_broken"} & compiled
    os.utime(environment.packages / "forest.py", (1, 1))
    cached = "import forest, importlib._bootstrap_external as b; print(b.SourceFileLoader.get_code)"
    run_inside(environment, cached)
    flags = next(environment.packages.rglob("forest.*.pyc")).read_bytes()[4:8]
    assert int.from_bytes(flags, "little") == 1, "checked against no time stamp and no hash"


def test_another_user_can_read_what_a_private_process_has_built(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    index.add("forest", holds={"grove/tree.py": ""})
    before = os.umask(0o077)
    try:
        packages = environments.of(model(tmp_path / "model", "forest")).packages
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o055 for path in (packages, *packages.rglob("*"))}
    readable = {0o055, 0o044}
    assert {name for name, mode in modes.items() if mode not in readable} == set()


def test_two_processes_that_want_the_same_build_it_once(
    index: WheelIndex, builder: Builder, tmp_path: Path
) -> None:
    index.add("forest")
    index.stalled = "forest-1.0-py3-none-any.whl"
    asked = model(tmp_path / "model", "forest")
    builders = [builder(asked), builder(asked)]
    assert index.reached.wait(60)
    index.go_on.set()
    answers = [one.communicate(timeout=60)[0].strip() for one in builders]
    assert [one.returncode for one in builders] == [0, 0]
    assert answers[0] == answers[1]
    assert Path(answers[0]).is_dir()
    assert index.fetched.count("forest-1.0-py3-none-any.whl") == 1


def test_a_build_whose_process_was_killed_leaves_nothing_that_counts(
    index: WheelIndex, environments: Environments, builder: Builder, home: Path, tmp_path: Path
) -> None:
    index.add("forest")
    index.stalled = "forest-1.0-py3-none-any.whl"
    asked = model(tmp_path / "model", "forest")
    process = builder(asked)
    assert index.reached.wait(60)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == [], "uv ends with the process that started it"
    assert list(home.glob("*/packages")) == []
    index.go_on.set()
    assert environments.of(asked).packages.is_dir()
    assert list(home.glob("*/draft")) == []


# Size.


def test_what_is_announced_as_too_large_is_refused_before_it_is_fetched(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    index.add("forest")
    index.announced["forest-1.0-py3-none-any.whl"] = 5 << 30
    with pytest.raises(EnvironmentUnusable, match=r"too large: 5,369 MB to download alone, and 4,295 MB"):
        environments.of(model(tmp_path / "model", "forest"))
    assert "forest-1.0-py3-none-any.whl" not in index.fetched


def test_who_asks_for_what_gpus_need_is_told_that_there_are_none(
    index: WheelIndex, environments: Environments, tmp_path: Path
) -> None:
    index.add("nvidia_cublas")
    index.announced["nvidia_cublas-1.0-py3-none-any.whl"] = 5 << 30
    with pytest.raises(EnvironmentUnusable, match="UV_TORCH_BACKEND"):
        environments.of(model(tmp_path / "model", "nvidia-cublas"))


@pytest.mark.parametrize("look_s", [0.5, 60.0], ids=["watched", "faster-than-a-look"])
def test_a_wheel_that_unpacks_to_more_than_is_allowed_is_stopped_and_leaves_nothing_behind(
    index: WheelIndex, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look_s: float
) -> None:
    monkeypatch.setattr("infra.environments.uv._LOOK_S", look_s)
    index.add("forest", holds={f"part{number}.bin": "0" * (64 << 20) for number in range(16)})
    environments = Environments(home, limits=Limits(size_bytes=100 << 20))
    with pytest.raises(EnvironmentUnusable, match="too large"):
        environments.of(model(tmp_path / "model", "forest"))
    assert disk_bytes(home) < 10 << 20


@pytest.fixture
def three(index: WheelIndex, environments: Environments, tmp_path: Path) -> list[tuple[Path, Environment]]:
    """Three models with environments of a megabyte each."""
    for number in range(3):
        index.add(f"forest{number}", holds={"trees.bin": str(number) * (1 << 20)})
    asked = [model(tmp_path / f"model{number}", f"forest{number}") for number in range(3)]
    return [(one, environments.of(one)) for one in asked]


def test_what_was_not_wanted_for_the_longest_time_is_removed_first(
    three: list[tuple[Path, Environment]], environments: Environments, home: Path
) -> None:
    assert environments.prune(disk_bytes(home)) == 0
    for oldest, _ in three:
        for number, (_, environment) in enumerate(three):
            os.utime(environment.packages, (number, number))
        for asked, _ in three:
            if asked != oldest:
                environments.of(asked)
        freed = environments.prune((2 << 20) + (1 << 19))
        assert 1 << 20 <= freed < 2 << 20
        assert [asked for asked, environment in three if not environment.packages.is_dir()] == [oldest]
        environments.of(oldest)


def test_what_is_in_use_is_not_removed_and_what_was_removed_can_be_built_again(
    three: list[tuple[Path, Environment]], environments: Environments
) -> None:
    environments.prune(0, using=[three[1][1]])
    assert [environment.packages.is_dir() for _, environment in three] == [False, True, False]
    assert all((environment.packages.parent / "lock.txt").is_file() for _, environment in three)
    assert run_inside(environments.of(three[2][0]), "import forest2; print(1)") == "1"


def test_no_environment_is_taken_away_while_another_process_builds(
    index: WheelIndex, builder: Builder, home: Path, tmp_path: Path
) -> None:
    index.add("forest")
    index.stalled = "forest-1.0-py3-none-any.whl"
    process = builder(model(tmp_path / "model", "forest"))
    assert index.reached.wait(60)
    with pytest.raises(EnvironmentUnavailable, match="being built"):
        Environments(home, limits=Limits(timeout_s=0.2)).prune(0)
    index.go_on.set()
    assert Path(process.communicate(timeout=60)[0].strip()).is_dir()
