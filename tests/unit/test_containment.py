"""What follows from a level: what may run, what is advised, and what the process sees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import infra.sandbox.confinement
import infra.sandbox.uids
from infra.environments.environment import Environment, own_environment
from infra.sandbox.advice import Kernel, advice
from infra.sandbox.bubblewrap import Bind, bubblewrap
from infra.sandbox.confinement import Launch, Level, Program, command
from infra.sandbox.containment import HOLDS, Finding, Probe, Trial
from infra.sandbox.uids import free_uid, readable
from streams.holding import why_not

GOOD = Kernel(bubblewrap="/usr/bin/bwrap", landlock=7, machine="x86_64", forbidding={}, container=False)


@pytest.mark.parametrize(
    ("level", "classification", "shipped", "unsandboxed", "may"),
    [
        ("full", "defence", False, False, True),
        ("full", "restricted", False, False, True),
        ("full", "open", False, False, True),
        ("reduced", "open", False, False, True),
        ("reduced", "restricted", False, False, False),
        ("reduced", "restricted", False, True, False),
        ("none", "open", False, False, False),
        ("none", "open", False, True, True),
        ("none", "restricted", False, True, False),
        ("none", "restricted", True, False, True),
        ("none", "open", True, False, True),
    ],
)
def test_what_may_run_where(
    level: Level, classification: str, shipped: bool, unsandboxed: bool, may: bool
) -> None:
    reason = why_not(level, classification, shipped=shipped, allow_unsandboxed=unsandboxed)
    assert (reason is None) == may
    if reason is not None:
        for said in (reason.en, reason.ko):
            assert "apt-get install bubblewrap" in said
            assert "fieldproof doctor" in said


# Levels.


def trial(level: Level, *missed: str, broken: str = "") -> Trial:
    findings = (
        ()
        if broken
        else tuple(Finding(what=what, held=what not in missed, told="") for what in HOLDS["full"])
    )
    return Trial(level=level, findings=findings, broken=broken)


def test_a_level_counts_if_everything_that_it_promises_was_tried_and_held() -> None:
    assert trial("full").holds
    assert not trial("full", "see").holds
    assert trial("reduced", "see", "disk").holds
    assert not trial("reduced", "read").holds
    assert not trial("full", broken="no permission").holds
    assert not Trial(level="full", findings=(Finding(what="read", held=True, told=""),)).holds
    assert Trial(level="none").holds


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (
            Kernel(bubblewrap=None, landlock=7, machine="x86_64", forbidding={}, container=False),
            "apt-get install",
        ),
        (
            Kernel(
                bubblewrap="/usr/bin/bwrap",
                landlock=7,
                machine="x86_64",
                forbidding={"kernel.unprivileged_userns_clone": "1"},
                container=False,
            ),
            "sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        (
            Kernel(bubblewrap="/usr/bin/bwrap", landlock=7, machine="x86_64", forbidding={}, container=True),
            "--privileged",
        ),
        (Kernel(bubblewrap=None, landlock=7, machine="riscv64", forbidding={}, container=False), "riscv64"),
        (GOOD, "the probe found: No permissions"),
    ],
)
def test_what_is_missing_for_the_full_level_is_advised(there: Kernel, said: str) -> None:
    probe = Probe(level="reduced", trials=(trial("full", broken="No permissions"), trial("reduced", "see")))
    lines = advice(probe, there)
    assert any(said in line.en for line in lines), lines
    assert all(line.en.startswith("full: ") and line.ko.startswith("full: ") for line in lines)


def test_what_is_missing_for_the_reduced_level_is_advised_too() -> None:
    probe = Probe(
        level="none", trials=(trial("full", broken="x"), trial("reduced", "read"), Trial(level="none"))
    )
    old = Kernel(bubblewrap=None, landlock=0, machine="x86_64", forbidding={}, container=False)
    lines = [line.en for line in advice(probe, old)]
    assert any("Landlock" in line for line in lines)
    assert any(line.startswith("full: ") for line in lines)


def test_an_installation_that_only_its_owner_can_read_is_told() -> None:
    probe = Probe(level="reduced", trials=(trial("full", "work"), trial("reduced")))
    (line,) = advice(probe, GOOD)
    assert "chmod -R o+rX" in line.en


def test_nothing_is_advised_where_nothing_is_missing() -> None:
    assert advice(Probe(level="full", trials=(trial("full"),)), GOOD) == []


# What a process sees.


def started(tmp_path: Path, level: Level, environment: Environment | None = None) -> Launch:
    for name in ("model", "scratch"):
        (tmp_path / name).mkdir()
    return command(
        Program(
            script=Path(__file__),
            model=tmp_path / "model",
            environment=environment or own_environment(),
            scratch=tmp_path / "scratch",
        ),
        level,
    )


def test_the_platforms_packages_are_not_shown_where_they_are_installed_among_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = tmp_path / "site-packages"
    for name in ("numpy", "infra", "models"):
        (packages / name).mkdir(parents=True)
    monkeypatch.setattr(infra.sandbox.confinement, "_PLATFORM", packages)
    own = own_environment()
    environment = Environment(interpreter=own.interpreter, prefix=own.prefix, packages=packages)
    full = started(tmp_path, "full", environment).argv
    for name in ("infra", "models", "schemas"):
        assert pairs(full, "--tmpfs", f"/candidate/packages/{name}")
    read, listed = infra.sandbox.confinement._without_platform([str(packages.parent), "/usr/lib"])
    assert {"/usr/lib", f"{packages}/numpy"} <= set(read)
    assert listed == [str(tmp_path), str(packages)]
    assert not any("infra" in path or "models" in path for path in read)


def pairs(argv: tuple[str, ...], *wanted: str) -> bool:
    return any(argv[place : place + len(wanted)] == wanted for place in range(len(argv)))


def test_a_candidate_runs_with_the_environment_it_is_given(tmp_path: Path) -> None:
    environment = Environment(
        interpreter=Path("/opt/python/bin/python3.13"), prefix=Path("/opt/python"), packages=tmp_path
    )
    launched = started(tmp_path, "none", environment)
    assert launched.argv[0] == "/opt/python/bin/python3.13"
    assert launched.packages == (str(tmp_path),)


def test_bubblewrap_is_asked_for_every_namespace_and_no_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.sandbox.bubblewrap._disable_userns", lambda program: ("--disable-userns",))
    binds = [Bind(source="/lib"), Bind(source="usr/lib64", target="/lib64", missing="link")]
    argv = bubblewrap(binds, hidden=["/lib/infra"], variables={"TZ": "UTC"}, scratch_bytes=1024, root=False)
    for wanted in (
        ("--unshare-all", "--unshare-user", "--disable-userns"),
        ("--cap-drop", "ALL"),
        ("--ro-bind", "/lib", "/lib"),
        ("--symlink", "usr/lib64", "/lib64"),
        ("--tmpfs", "/lib/infra"),
        ("--size", "1024", "--tmpfs", "/tmp"),
        ("--remount-ro", "/dev"),
        ("--remount-ro", "/"),
        ("--clearenv",),
        ("--setenv", "TZ", "UTC"),
        ("--die-with-parent", "--new-session"),
    ):
        assert pairs(argv, *wanted), wanted
    assert "--cap-add" not in argv
    assert argv[-1] == "--"


# Users.


def test_users_of_one_process_differ_until_they_are_all_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: set[int] = set()
    monkeypatch.setattr(infra.sandbox.uids, "_taken", lambda: taken)
    for _ in range(256):
        taken.add(free_uid())
    assert len(taken) == 256
    assert min(taken) == 0x40000000 + os.getpid() * 256
    with pytest.raises(infra.sandbox.uids.NoFreeUser):
        free_uid()
    freed = taken.pop()
    assert free_uid() == freed


def test_the_users_of_processes_are_read_from_the_kernel() -> None:
    assert os.getuid() in infra.sandbox.uids._taken()


def test_what_others_can_read_is_told_by_the_modes(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o755)
    (folder / "file").touch(mode=0o644)
    assert readable(folder, deep=True)
    (folder / "link").symlink_to("/nowhere")
    assert readable(folder, deep=True)
    (folder / "file").chmod(0o600)
    assert readable(folder) and not readable(folder, deep=True)
    folder.chmod(0o750)
    assert not readable(folder)
