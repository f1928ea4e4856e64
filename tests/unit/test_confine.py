"""The filter of system calls, run by hand: what it says to each call on each kind of machine."""

from __future__ import annotations

import errno
import re
import struct
from pathlib import Path

import pytest

from models.confine import ALLOWED, CHECKED, MACHINES, PRETENDED, REFUSED, Instruction, filter_for, numbers

PID = 4321

ALLOW, KILL = 0x7FFF0000, 0x80000000
EPERM, ENOSYS, ENOMEM, ENOTTY = (
    0x00050000 | code for code in (errno.EPERM, errno.ENOSYS, errno.ENOMEM, errno.ENOTTY)
)
PRETEND = 0x00050000

LOAD, AND, EQUAL, RETURN = 0x20, 0x54, 0x15, 0x06

machines = pytest.mark.parametrize("machine", MACHINES)


def said(program: list[Instruction], number: int, *arguments: int, architecture: int) -> int:
    """What the program returns for a call."""
    words = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number, architecture, 0, *words)
    place = value = 0
    while True:
        code, true, false, constant = program[place]
        place += 1
        match code:
            case 0x20:
                (value,) = struct.unpack_from("<I", data, constant)
            case 0x54:
                value &= constant
            case 0x15:
                place += true if value == constant else false
            case 0x06:
                return constant
            case _:
                raise AssertionError(f"no such instruction: {code:#x}")


def verdict(machine: str, name: str, *arguments: int) -> int:
    architecture, column = MACHINES[machine]
    (number,) = (
        found[name]
        for found in (numbers(table, column) for table in (ALLOWED, PRETENDED, REFUSED, CHECKED))
        if name in found
    )
    return said(filter_for(machine, PID), number, *arguments, architecture=architecture)


@machines
def test_every_call_of_a_table_is_answered_as_the_table_says(machine: str) -> None:
    architecture, column = MACHINES[machine]
    program = filter_for(machine, PID)
    for table, wanted in ((ALLOWED, ALLOW), (PRETENDED, PRETEND), (REFUSED, EPERM)):
        for name, number in numbers(table, column).items():
            assert said(program, number, architecture=architecture) == wanted, name


@machines
def test_what_is_in_no_table_does_not_exist(machine: str) -> None:
    architecture, column = MACHINES[machine]
    program = filter_for(machine, PID)
    known = {
        number
        for table in (ALLOWED, PRETENDED, REFUSED, CHECKED)
        for number in numbers(table, column).values()
    }
    for number in set(range(1024)) - known:
        assert said(program, number, architecture=architecture) == ENOSYS, number


def test_calls_in_another_way_of_counting_do_not_exist_or_end_the_process() -> None:
    program = filter_for("x86_64", PID)
    architecture, _ = MACHINES["x86_64"]
    assert said(program, 0x40000000 | 39, architecture=architecture) == ENOSYS
    assert said(program, 20, architecture=0x40000003) == KILL


@machines
def test_no_call_is_in_two_tables_and_no_number_means_two_calls(machine: str) -> None:
    _, column = MACHINES[machine]
    found = [numbers(table, column) for table in (ALLOWED, PRETENDED, REFUSED, CHECKED)]
    assert len(set().union(*found)) == sum(map(len, found))
    values = [number for table in found for number in table.values()]
    assert len(set(values)) == len(values)


@machines
def test_the_program_is_one_that_the_kernel_takes(machine: str) -> None:
    program = filter_for(machine, PID)
    assert len(program) <= 4096
    assert all(0 <= true < 256 and 0 <= false < 256 for _, true, false, _ in program)


@machines
@pytest.mark.parametrize(
    ("name", "arguments", "wanted"),
    [
        ("mmap", (0, 4096, 3, 0x22), ALLOW),  # private, anonymous
        ("mmap", (0, 4096, 3, 0x01), ALLOW),  # shared, of a file
        ("mmap", (0, 4096, 3, 0x21), ENOMEM),  # shared, anonymous
        ("mmap", (0, 4096, 3, 0x23), ENOMEM),
        ("mmap", (0, 4096, 3, 0x122), ENOMEM),  # grows downwards
        ("clone", (0x3D0F00,), ALLOW),  # as the C library makes threads
        ("clone", (17,), EPERM),  # fork
        ("clone", (0x4111,), EPERM),  # vfork
        ("clone", (0x3D0F00 | 0x10000000,), EPERM),  # a thread in a namespace of its own
        ("clone", ((1 << 32) | 17,), EPERM),
        ("kill", (PID, 9), ALLOW),
        ("kill", (1, 9), EPERM),
        ("kill", (0, 9), EPERM),
        ("kill", ((1 << 64) - 1, 9), EPERM),
        ("tgkill", (PID, PID + 1, 6), ALLOW),
        ("tgkill", (1, PID, 6), EPERM),
        ("sendto", (3, 1, 1, 0, 0, 0), ALLOW),
        ("sendto", (3, 1, 1, 0, 0x7FFF0000, 16), EPERM),
        ("sendto", (3, 1, 1, 0, 0x7FFF << 32, 16), EPERM),
        ("socketpair", (1, 1), ALLOW),
        ("socketpair", (1, 1 | 0x80000), ALLOW),
        ("socketpair", (1, 2), EPERM),  # datagrams, which can be given an address
        ("socketpair", (16, 1), EPERM),
        ("prlimit64", (0, 7), ALLOW),
        ("prlimit64", (1, 7), EPERM),
        ("sched_setaffinity", (0,), ALLOW),
        ("sched_setaffinity", (1,), EPERM),
        ("prctl", (15,), ALLOW),
        ("prctl", (1,), EPERM),
        ("fcntl", (0, 3), ALLOW),
        ("fcntl", (0, 8), EPERM),
        ("fcntl", (0, 10), EPERM),
        ("ioctl", (0, 0x5401), ALLOW),
        ("ioctl", (0, 0x5412), ENOTTY),
        ("ioctl", (0, (1 << 32) | 0x5412), ENOTTY),  # the kernel reads the lower half
    ],
)
def test_arguments_decide(machine: str, name: str, arguments: tuple[int, ...], wanted: int) -> None:
    assert verdict(machine, name, *arguments) == wanted


def test_a_machine_without_a_table_is_refused() -> None:
    with pytest.raises(OSError, match="no filter of system calls is known for riscv64"):
        filter_for("riscv64", PID)


@pytest.mark.parametrize(
    ("machine", "header"),
    [
        ("x86_64", Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")),
        ("aarch64", Path("/usr/include/asm-generic/unistd.h")),
    ],
)
def test_the_numbers_are_those_of_the_kernel(machine: str, header: Path) -> None:
    if not header.exists():
        pytest.skip(f"{header} is not installed")
    found = dict(re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", header.read_text()))
    # The generic table calls it by its older name.
    found.setdefault("newfstatat", found.get("fstatat", ""))
    _, column = MACHINES[machine]
    for table in (ALLOWED, PRETENDED, REFUSED, CHECKED):
        for name, number in numbers(table, column).items():
            # A call may be newer than the headers.
            assert found.get(name, str(number)) == str(number), name
