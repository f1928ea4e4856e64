"""What a model says its Python has to be: read from the files that MLflow wrote beside it, and judged.

Only names and versions are let through, never a place to fetch from: packages come from the index that the
plant has chosen, as wheels, so that nothing of a start-up's runs while its environment is built.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

REQUIREMENTS, CONSTRAINTS = "requirements.txt", "constraints.txt"
PYTHON_ENV, CONDA = "python_env.yaml", "conda.yaml"
_FILES = (REQUIREMENTS, CONSTRAINTS, PYTHON_ENV, CONDA, "MLmodel")

#: More than any model needs; the files are a stranger's.
MAX_BYTES = 1 << 20

#: What conda.yaml may name beside `pip:`, because an environment from wheels needs none of it.
_CONDA_IDLE = frozenset({"python", "pip", "setuptools", "wheel"})

#: MLflow before 2.11 imports `pkg_resources`, which setuptools has dropped; it counts on being given it.
_SETUPTOOLS = "setuptools<81"

_OWN_CODE = "put your own code into the model with code_paths=[…], or publish it on the package index"
_ADVICE = (
    (r"-e\b|--editable", f"nothing is installed from a folder: {_OWN_CODE}"),
    (r"-r\b|--requirement", "write the packages into the list itself"),
    (
        r"-i\b|-f\b|--(?:extra-)?index-url|--find-links|--no-index|--trusted-host",
        "packages come from the plant's package index; leave the option out",
    ),
    (r"-", "options are not taken; give only names and versions, such as scikit-learn==1.7.2"),
    (r"\w+\+|\w+://", f"nothing is fetched from an address: {_OWN_CODE}"),
    (r"[^;@]*(?:[/\\]|\.(?:whl|zip|gz)$)", f"nothing is installed from a file: {_OWN_CODE}"),
)
_NO_NAME = "that is no name with versions, such as scikit-learn==1.7.2"


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What a model asks of its environment, in one spelling and order."""

    #: The Python it was made with, such as (3, 11, 7) or (3, 11); None where nothing says so.
    python: tuple[int, ...] | None = None
    #: PEP 508 lines without addresses.
    packages: tuple[str, ...] = ()
    #: Versions that hold for packages which others bring along.
    constraints: tuple[str, ...] = ()
    #: The setuptools that lay in its Python before anything was asked for; some packages count on it.
    setuptools: str | None = None

    def names(self) -> frozenset[str]:
        """The packages that are asked for by name."""
        return frozenset(Requirement(line).name for line in self.packages)


@dataclass(frozen=True, kw_only=True)
class Refused:
    """Why no environment can be built for a model, and what to do about it."""

    text: str


class _Forbidden(Exception):
    """One line that is refused."""


def requirements_of(model: Path) -> Requirements | Refused:
    """Read what the model in a directory asks for; nothing of it is run."""
    texts: dict[str, str] = {}
    for name in _FILES:
        path = model / name
        if path.is_symlink() or (path.exists() and not path.is_file()):
            return Refused(text=f"{name} is no plain file; save the model again")
        if not path.exists():
            continue
        if path.stat().st_size > MAX_BYTES:
            return Refused(text=f"{name} is larger than {MAX_BYTES} bytes; name only the packages it needs")
        try:
            texts[name] = path.read_text("utf-8-sig")
        except UnicodeDecodeError:
            return Refused(text=f"{name} is not UTF-8; save the model again")
    return read_requirements(texts)


def read_requirements(texts: Mapping[str, str]) -> Requirements | Refused:
    """Judge what a model asks for, from the contents of its files by name; files it lacks are left out."""
    try:
        python_env, conda = _yaml(texts, PYTHON_ENV), _yaml(texts, CONDA)
        pip, python = _conda(conda)
        if REQUIREMENTS in texts:
            pip = list(_lines(texts[REQUIREMENTS], REQUIREMENTS))
        constraints: list[str] = []
        if any(_is_constraints(line) for _, line in pip):
            if CONSTRAINTS not in texts:
                raise _Forbidden(f"{REQUIREMENTS} names {CONSTRAINTS}, which the model does not hold")
            constraints = _requirements(list(_lines(texts[CONSTRAINTS], CONSTRAINTS)))
        packages = _requirements([(where, line) for where, line in pip if not _is_constraints(line)])
    except _Forbidden as refusal:
        return Refused(text=str(refusal))
    told = re.search(r"^\s+python_version:\s*['\"]?([\d.]+)", texts.get("MLmodel", ""), re.MULTILINE)
    python = str(python_env.get("python") or python or (told[1] if told else ""))
    version = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", python)
    if python and not version:
        return Refused(text=f"{python!r} is no version of Python; {PYTHON_ENV} has to say one such as 3.11.7")
    return Requirements(
        python=tuple(int(part) for part in version.groups() if part) if version else None,
        packages=tuple(packages),
        constraints=tuple(constraints),
        setuptools=_setuptools(python_env),
    )


def _yaml(texts: Mapping[str, str], name: str) -> dict[str, Any]:
    """A mapping whose values are all text: 3.10 is a version here, no number."""
    try:
        found = YAML(typ="base", pure=True).load(texts.get(name, ""))
    except (YAMLError, ValueError, RecursionError) as error:
        raise _Forbidden(f"{name} cannot be read: {' '.join(str(error).split())[:300]}") from None
    return found if isinstance(found, dict) else {}


def _conda(conda: dict[str, Any]) -> tuple[list[tuple[str, str]], str]:
    """The pip lines of conda.yaml with their places, and its Python, empty where it says none."""
    pip: list[tuple[str, str]] = []
    python = ""
    asked = conda.get("dependencies")
    for one in asked if isinstance(asked, list) else []:
        if isinstance(one, dict):
            lines = one.get("pip")
            pip += [(f"{CONDA}, pip", str(line)) for line in lines or [] if str(line).strip()]
            continue
        name = re.split(r"[\s=<>!~\[]", str(one).strip(), maxsplit=1)[0].lower()
        if name not in _CONDA_IDLE:
            raise _Forbidden(
                f"{CONDA} asks for the conda package {_shown(str(one))}: environments are built from wheels; "
                "name it in pip_requirements when logging the model"
            )
        version = re.search(r"\d+\.\d+(?:\.\d+)?", str(one))
        python = version[0] if name == "python" and version else python
    return pip, python


def _lines(text: str, name: str) -> Iterator[tuple[str, str]]:
    """Places and contents of a requirements file's lines, comments left out and continued lines joined."""
    pending, start = "", 0
    for number, raw in enumerate(text.splitlines(), start=1):
        line = re.sub(r"(^|\s)#.*$", "", raw).strip()
        start = start if pending else number
        if line.endswith("\\"):
            pending += line[:-1]
            continue
        if pending + line:
            yield f"{name}, line {start}", (pending + line).strip()
        pending = ""
    if pending.strip():
        yield f"{name}, line {start}", pending.strip()


def _is_constraints(line: str) -> bool:
    return re.fullmatch(rf"(?:-c|--constraint)[\s=]+(?:\./)?{re.escape(CONSTRAINTS)}", line) is not None


def _requirements(lines: list[tuple[str, str]]) -> list[str]:
    """The lines in one spelling and order.

    Raises:
        _Forbidden: with every line that is refused, the first few shown.
    """
    read, refused = set(), []
    for where, line in lines:
        try:
            read.add(_requirement(line))
        except _Forbidden as refusal:
            refused.append(f"{where}: {_shown(line)}: {refusal}")
    if refused:
        more = [f"and {len(refused) - 5} lines more"] if len(refused) > 5 else []
        raise _Forbidden("\n".join(refused[:5] + more))
    return sorted(read)


def _requirement(line: str) -> str:
    for pattern, advice in _ADVICE:
        if re.match(pattern, line):
            raise _Forbidden(advice)
    if re.search(r"\s--\w", line):
        raise _Forbidden("leave the option out; the platform records the hash of every package itself")
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        raise _Forbidden(_NO_NAME) from None
    if requirement.url is not None:
        raise _Forbidden(f"nothing is fetched from an address: {_OWN_CODE}")
    requirement.name = canonicalize_name(requirement.name)
    return str(requirement)


def _setuptools(python_env: dict[str, Any]) -> str | None:
    """The setuptools among the build dependencies, as pinned there."""
    asked = python_env.get("build_dependencies")
    for line in asked if isinstance(asked, list) else []:
        pinned = re.fullmatch(r"setuptools(?:==([\w.]+))?", str(line).strip())
        if pinned:
            return f"setuptools=={pinned[1]}" if pinned[1] else _SETUPTOOLS
    return None


def _shown(text: str) -> str:
    """A stranger's text, short and printable."""
    short = text if len(text) <= 100 else text[:100] + "…"
    return "".join(sign if sign.isprintable() else "\ufffd" for sign in short)
