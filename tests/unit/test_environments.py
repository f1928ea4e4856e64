"""What a model may ask of its environment, and what is said where it may not."""

from __future__ import annotations

import importlib.metadata
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.environments.environment import own_environment_fits
from infra.environments.package_index import index_settings
from infra.environments.pythons import Python, nearest
from infra.environments.requirements import (
    MAX_BYTES,
    Refused,
    Requirements,
    read_requirements,
    requirements_of,
)
from infra.environments.store import Recipe
from infra.environments.uv import Ran

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def read(text: str, **more: str) -> Requirements:
    found = read_requirements({"requirements.txt": text, **more})
    assert isinstance(found, Requirements), found
    return found


def refusal(text: str, **more: str) -> str:
    found = read_requirements({"requirements.txt": text, **more})
    assert isinstance(found, Refused), found
    return found.text


# What a model asks for.


def test_names_versions_extras_and_markers_are_read_in_one_spelling_and_order() -> None:
    text = """
    # what the model needs
    Scikit_Learn == 1.7.2   # exactly
    xgboost[scikit-learn]>=3,<4
    tomli; python_version < "3.11"
    numpy>=2, \\
        <3
    """
    assert read(text).packages == (
        "numpy<3,>=2",
        "scikit-learn==1.7.2",
        'tomli; python_version < "3.11"',
        "xgboost[scikit-learn]<4,>=3",
    )


@pytest.mark.parametrize(
    ("line", "advice"),
    [
        ("git+https://example.org/forest.git", "code_paths"),
        ("forest @ https://example.org/forest-1.0-py3-none-any.whl", "code_paths"),
        ("https://example.org/forest-1.0.tar.gz", "code_paths"),
        ("file:///srv/forest", "code_paths"),
        ("./forest", "code_paths"),
        ("/srv/forest", "code_paths"),
        ("wheels/forest-1.0-py3-none-any.whl", "code_paths"),
        ("forest-1.0-py3-none-any.whl", "code_paths"),
        ("C:\\forest", "code_paths"),
        ("-e .", "code_paths"),
        ("--editable=../forest", "code_paths"),
        ("-r more.txt", "into the list itself"),
        ("--requirement more.txt", "into the list itself"),
        ("-c https://example.org/constraints.txt", "options are not taken"),
        ("-c ../constraints.txt", "options are not taken"),
        ("--index-url https://example.org/simple", "the plant's package index"),
        ("--extra-index-url=https://example.org/simple", "the plant's package index"),
        ("-i https://example.org/simple", "the plant's package index"),
        ("--find-links ./wheels", "the plant's package index"),
        ("-f ./wheels", "the plant's package index"),
        ("--trusted-host example.org", "the plant's package index"),
        ("--no-binary :all:", "options are not taken"),
        ("--pre", "options are not taken"),
        ("numpy==2.0.0 --hash=sha256:00", "records the hash"),
        ("numpy==2.0.0 --config-settings=a=b", "records the hash"),
        ("numpy = 2.0", "scikit-learn==1.7.2"),
        ("${FOREST}", "scikit-learn==1.7.2"),
        ("numpy==2.0 pandas==2.0", "scikit-learn==1.7.2"),
    ],
)
def test_a_line_that_is_no_name_with_versions_is_refused_with_its_place_and_what_to_do(
    line: str, advice: str
) -> None:
    said = refusal(f"numpy\n{line}\n")
    assert said.startswith("requirements.txt, line 2: ")
    assert line in said
    assert advice in said


@given(st.text(max_size=200))
def test_no_line_whatever_smuggles_an_address_or_an_option_through(line: str) -> None:
    found = read_requirements({"requirements.txt": line})
    if isinstance(found, Requirements):
        assert not any("://" in one or "@" in one or one.startswith("-") for one in found.packages)


def test_all_bad_lines_are_named_at_once_up_to_five() -> None:
    said = refusal("".join(f"./forest-{number}\n" for number in range(8)))
    assert [f"line {number}:" in said for number in range(1, 9)] == [True] * 5 + [False] * 3
    assert said.endswith("and 3 lines more")


def test_a_strangers_text_is_shown_short_and_does_nothing_to_a_terminal() -> None:
    said = refusal("./\x1b[31m" + "a" * 10_000)
    assert "\x1b" not in said
    assert len(said) < 500


def test_the_constraints_that_mlflow_saved_beside_the_model_hold() -> None:
    found = read("numpy\n-c constraints.txt\n", **{"constraints.txt": "SciPy<1.16\n"})
    assert (found.packages, found.constraints) == (("numpy",), ("scipy<1.16",))


def test_constraints_that_are_not_there_or_not_plain_are_refused() -> None:
    assert "constraints.txt" in refusal("-c constraints.txt")
    said = refusal("-c constraints.txt", **{"constraints.txt": "numpy @ file:///srv/numpy.whl"})
    assert said.startswith("constraints.txt, line 1: ")


@pytest.mark.parametrize(
    ("files", "python"),
    [
        ({"python_env.yaml": "python: 3.11.7\n"}, (3, 11, 7)),
        ({"python_env.yaml": "python: 3.10\n"}, (3, 10)),
        ({"python_env.yaml": "python: '3.12'\n"}, (3, 12)),
        ({"conda.yaml": "dependencies: [python=3.12.1, pip]\n"}, (3, 12, 1)),
        ({"conda.yaml": "dependencies:\n- python>=3.11,<3.13\n"}, (3, 11)),
        (
            {"python_env.yaml": "python: 3.11.7\n", "conda.yaml": "dependencies: [python=3.12.1]\n"},
            (3, 11, 7),
        ),
        ({"MLmodel": "flavors:\n  python_function:\n    python_version: 3.13.0\n"}, (3, 13, 0)),
        ({}, None),
    ],
)
def test_the_python_is_the_one_that_the_model_was_made_with(
    files: dict[str, str], python: tuple[int, ...] | None
) -> None:
    assert read("numpy", **files).python == python


def test_a_python_that_is_no_version_is_refused() -> None:
    assert "no version of Python" in refusal("numpy", **{"python_env.yaml": "python: newest\n"})


def test_without_requirements_txt_the_pip_lines_of_conda_yaml_are_read() -> None:
    found = read_requirements(
        {"conda.yaml": "dependencies:\n- python=3.11\n- pip<25\n- pip:\n  - numpy==2.0.0\n"}
    )
    assert found == Requirements(python=(3, 11), packages=("numpy==2.0.0",))


def test_a_conda_package_is_refused_because_a_wheel_is_needed() -> None:
    said = refusal("numpy", **{"conda.yaml": "dependencies: [python=3.11, cudatoolkit=11.8]\n"})
    assert "cudatoolkit=11.8" in said
    assert "pip_requirements" in said


@pytest.mark.parametrize("broken", ["{", "- [", "a: &a [*a", "a: !!python/object:os.system x", "[" * 5000])
def test_yaml_that_cannot_be_read_is_refused_or_says_nothing(broken: str) -> None:
    found = read_requirements({"requirements.txt": "numpy", "python_env.yaml": broken})
    assert isinstance(found, Refused) or found.python is None


def test_the_setuptools_that_the_model_was_made_beside_is_kept_in_mind() -> None:
    listed = "build_dependencies:\n- pip==23\n- setuptools{}\n- wheel\n"
    assert read("numpy", **{"python_env.yaml": listed.format("==65.5.0")}).setuptools == "setuptools==65.5.0"
    assert read("numpy", **{"python_env.yaml": listed.format("")}).setuptools == "setuptools<81"
    assert read("numpy").setuptools is None


def test_files_of_a_model_that_are_no_plain_small_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("numpy")
    (tmp_path / "requirements.txt").symlink_to(tmp_path / "secret")
    assert isinstance(requirements_of(tmp_path), Refused)
    (tmp_path / "requirements.txt").unlink()
    (tmp_path / "requirements.txt").write_bytes(b"#" * (MAX_BYTES + 1))
    assert isinstance(requirements_of(tmp_path), Refused)
    (tmp_path / "requirements.txt").write_bytes(b"\xff\xfe\x00")
    assert isinstance(requirements_of(tmp_path), Refused)
    (tmp_path / "requirements.txt").write_bytes("\ufeffnumpy".encode())
    assert requirements_of(tmp_path) == Requirements(packages=("numpy",))


# The platform's own environment.


def own(name: str) -> str:
    return f"{name}=={importlib.metadata.version(name)}"


def test_a_model_made_with_the_platforms_own_versions_needs_nothing_built() -> None:
    asked = read("\n".join([own("mlflow"), own("scikit-learn"), own("numpy")]), **_made_with(PYTHON))
    assert own_environment_fits(asked)
    assert own_environment_fits(read("scikit-learn>=1.0"))
    assert own_environment_fits(read('not-for-this-python; python_version < "3"'))


@pytest.mark.parametrize("asked", ["scikit-learn==1.0.2", "scikit-learn<1", "xgboost", "mlflow[extras]"])
def test_a_model_made_with_anything_else_gets_an_environment_of_its_own(asked: str) -> None:
    assert not own_environment_fits(read(f"{own('numpy')}\n{asked}", **_made_with(PYTHON)))


def test_a_model_of_another_minor_python_gets_an_environment_of_its_own() -> None:
    assert own_environment_fits(read("numpy", **_made_with(f"{PYTHON}.0")))
    assert not own_environment_fits(read("numpy", **_made_with("3.10.4")))


def test_constraints_bind_the_platforms_packages_too() -> None:
    assert own_environment_fits(read("-c constraints.txt", **{"constraints.txt": "numpy>1\nxgboost<1"}))
    assert not own_environment_fits(read("-c constraints.txt", **{"constraints.txt": "numpy<1"}))


def _made_with(python: str) -> dict[str, str]:
    return {"python_env.yaml": f"python: {python}\n"}


# What is built.


def test_the_platforms_needs_are_names_only_so_that_the_models_pins_win() -> None:
    plain = Recipe.of(read("scikit-learn==1.7.2"), (3, 11, 7))
    assert plain.packages == ("scikit-learn==1.7.2", "pandas", "pyarrow", "mlflow-skinny")
    pinned = Recipe.of(read("mlflow==3.1.0\npandas==2.2.0\npyarrow==20.0.0"), (3, 11, 7))
    assert pinned.packages == ("mlflow==3.1.0", "pandas==2.2.0", "pyarrow==20.0.0")


def test_the_key_is_the_same_for_the_same_wishes_however_they_are_written() -> None:
    key = Recipe.of(read("numpy>=2,<3\nSciPy"), (3, 11, 7)).key
    assert Recipe.of(read("scipy  # fast\nnumpy <3, >=2"), (3, 11, 2)).key == key


def test_every_part_of_a_recipe_changes_its_key() -> None:
    plain = read("numpy")
    keys = {
        Recipe.of(plain, (3, 11, 7)).key,
        Recipe.of(plain, (3, 12, 1)).key,
        Recipe.of(read("numpy<3"), (3, 11, 7)).key,
        Recipe.of(read("numpy\n-c constraints.txt", **{"constraints.txt": "scipy<2"}), (3, 11, 7)).key,
        Recipe.of(read("numpy\nscipy<2"), (3, 11, 7)).key,
    }
    assert len(keys) == 5


def test_the_nearest_python_is_of_the_same_minor_version_and_of_the_nearest_patch() -> None:
    there = [_python(3, 11, 2), _python(3, 11, 9), _python(3, 12, 7), _python(3, 11, 12)]
    assert nearest((3, 11, 8), there) == there[1]
    assert nearest((3, 11), there) == there[3]
    assert nearest((3, 12, 1), there) == there[2]
    assert nearest((3, 13, 0), there) is None


def _python(*version: int) -> Python:
    major, minor, patch = version
    path = Path(f"/opt/{major}.{minor}.{patch}")
    return Python(interpreter=path / "bin" / "python3", prefix=path, version=(major, minor, patch))


# Where packages come from.


def test_what_pip_was_told_is_told_to_uv() -> None:
    told = index_settings(
        {"PIP_CERT": "/etc/plant.pem"},
        [
            "[global]\nindex-url = https://a.example/simple\n",
            "[install]\nextra-index-url =\n  https://b.example\n",
        ],
        uv_file=False,
    )
    assert told == {
        "UV_DEFAULT_INDEX": "https://a.example/simple",
        "UV_INDEX": "https://b.example",
        "SSL_CERT_FILE": "/etc/plant.pem",
    }


def test_pips_environment_is_stronger_than_its_files() -> None:
    file = "[global]\nindex-url = https://a.example/simple\n"
    told = index_settings({"PIP_INDEX_URL": "https://b.example/simple"}, [file], uv_file=False)
    assert told == {"UV_DEFAULT_INDEX": "https://b.example/simple"}


def test_a_folder_of_wheels_without_an_index_is_passed_on(tmp_path: Path) -> None:
    file = f"[global]\nno-index = true\nfind-links = {tmp_path} /not/there\n"
    assert index_settings({}, [file], uv_file=False) == {
        "UV_NO_INDEX": "true",
        "UV_FIND_LINKS": str(tmp_path),
    }


def test_what_uv_was_told_itself_is_left_alone() -> None:
    file = "[global]\nindex-url = https://a.example/simple\n"
    assert index_settings({"UV_DEFAULT_INDEX": "https://b.example"}, [file], uv_file=False) == {}
    assert index_settings({}, [file], uv_file=True) == {}


def test_a_broken_file_of_pip_says_nothing() -> None:
    assert index_settings({}, ["no section"], uv_file=False) == {}


# Whose fault it is.


@pytest.mark.parametrize(
    ("said", "models_fault"),
    [
        ("error: No solution found when resolving dependencies\n  cause: Because a depends on b>2", True),
        (
            "error: Failed to install: a.whl\n  cause: The wheel is invalid: Missing .dist-info directory",
            True,
        ),
        ("error: Failed to resolve\n  cause: Package `b` was included as a URL dependency.", True),
        (
            "error: No solution found\nhint: Packages were unavailable because the network was disabled.",
            False,
        ),
        ("error: No solution found\nhint: a lack of valid authentication credentials (401)", False),
        ("error: No solution found\nhint: An index (x) returned a 403 Forbidden error.", False),
        ("error: Request failed after 3 retries\n  cause: Failed to fetch: x", False),
        ("error: failed to write\n  cause: No space left on device (os error 28)", False),
        ("something that uv has never said before", False),
    ],
)
def test_the_model_is_blamed_only_for_what_it_asks(said: str, models_fault: bool) -> None:
    assert Ran(ok=False, text=said).models_fault is models_fault


def test_uvs_explanation_is_one_bounded_printable_line() -> None:
    ran = Ran(
        ok=False, text="warning: x\nerror: No solution\n  cause: Because\x1b[0m a\n\nhint: b" + "c" * 5000
    )
    assert ran.explanation.startswith("No solution Because\ufffd[0m a b")
    assert len(ran.explanation) < 1000
