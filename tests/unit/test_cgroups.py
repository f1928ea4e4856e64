"""Where groups of the kernel may be made, on trees of files that stand for them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import infra.sandbox.cgroups
from infra.sandbox.cgroups import Hierarchy, hierarchies, joining


def mounted(place: Path, options: str = "") -> str:
    kind = "cgroup" if options else "cgroup2"
    return f"30 20 0:28 / {place} rw,relatime - {kind} cgroup rw,{options or 'nsdelegate'}\n"


def test_the_top_of_a_hierarchy_is_ours_to_divide(tmp_path: Path) -> None:
    (found,) = hierarchies("8:pids:/\n", mounted(tmp_path, "pids"))
    assert found == Hierarchy(place=tmp_path, unified=False, controllers=("pids",))


def test_a_group_that_somebody_else_made_is_not(tmp_path: Path) -> None:
    (tmp_path / "somebody" / "else").mkdir(parents=True)
    assert hierarchies("4:memory:/somebody/else\n", mounted(tmp_path, "memory")) == []


def test_a_group_or_the_one_above_it_that_was_delegated_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = tmp_path / "system.slice" / "fieldproof.service"
    (group / "main").mkdir(parents=True)
    (group / "cgroup.controllers").write_text("cpu memory pids\n")
    monkeypatch.setattr(infra.sandbox.cgroups, "_marked", lambda place, name: place == group)
    for own in ("", "/main"):
        (found,) = hierarchies(f"0::/system.slice/fieldproof.service{own}\n", mounted(tmp_path))
        assert found == Hierarchy(place=group, unified=True, controllers=("memory", "pids"))


def test_nothing_can_be_made_where_nothing_is_mounted_or_known(tmp_path: Path) -> None:
    assert hierarchies("0::/\n8:pids:/\n", "") == []
    assert hierarchies("2:cpuacct:/\n", mounted(tmp_path, "cpuacct")) == []


def test_a_command_joins_a_group_with_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Hierarchy(place=tmp_path, unified=False, controllers=("memory",))
    monkeypatch.setattr(infra.sandbox.cgroups, "hierarchies", lambda: [place])
    argv = joining(("/bin/true", "x"), memory_bytes=1 << 30, tasks=10)
    assert argv[-2:] == ("/bin/true", "x")
    (group,) = (tmp_path / "fieldproof").iterdir()
    assert argv[4] == str(group / "cgroup.procs")
    assert group.name.startswith(f"{os.getpid()}-")


def test_a_command_is_as_it_was_where_no_group_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Hierarchy(place=Path("/proc/nowhere"), unified=False, controllers=("pids",))
    monkeypatch.setattr(infra.sandbox.cgroups, "hierarchies", lambda: [place])
    assert joining(("/bin/true",), memory_bytes=None, tasks=1) == ("/bin/true",)


def test_groups_of_processes_that_have_ended_are_removed(tmp_path: Path) -> None:
    place = Hierarchy(place=tmp_path, unified=False, controllers=("pids",))
    gone = tmp_path / "fieldproof" / "4194305-0"  # past the largest number of a process
    others = tmp_path / "fieldproof" / "1-0"
    young = tmp_path / "fieldproof" / f"{os.getpid()}-0"
    for group in (gone, others, young):
        group.mkdir(parents=True)
    infra.sandbox.cgroups.sweep(place)
    assert not gone.exists() and others.exists() and young.exists()
    infra.sandbox.cgroups.sweep(place, young_s=0)
    assert not young.exists()
