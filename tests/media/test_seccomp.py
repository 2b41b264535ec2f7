"""The filter as a program: it ends in a refusal, allows what is listed, and knows two machines."""

from __future__ import annotations

import struct

import pytest

from p2pchat.media import seccomp

KILL, REFUSE, ALLOW = 0x80000000, 0x00050001, 0x7FFF0000
ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def judged(machine: str, number: int, arch: int, third: int = 0) -> int:
    """Return what the program says of a system call, as the kernel's machine would run it."""
    steps = list(struct.iter_unpack("=HBBI", seccomp.program(machine)))
    data = struct.pack("<iIQ6Q", number, arch, 0, 0, 0, third, 0, 0, 0)
    at = value = 0
    while True:
        code, yes, no, operand = steps[at]
        at += 1
        if code == 0x06:
            return int(operand)
        if code == 0x20:
            (value,) = struct.unpack_from("<I", data, operand)
            continue
        holds = {0x15: value == operand, 0x35: value >= operand, 0x45: bool(value & operand)}[code]
        at += yes if holds else no


@pytest.mark.parametrize("machine", ARCHES)
def test_what_is_not_listed_is_refused(machine: str) -> None:
    arch = ARCHES[machine]
    plain, guarded = set(seccomp.ALLOWED[machine].values()), set(seccomp.NOT_EXECUTABLE[machine].values())
    for number in range(600):
        expected = ALLOW if number in plain | guarded else REFUSE
        assert judged(machine, number, arch) == expected
    for number in guarded:
        assert judged(machine, number, arch, third=3) == ALLOW
        assert judged(machine, number, arch, third=7) == REFUSE


@pytest.mark.parametrize("machine", ARCHES)
def test_calls_by_the_conventions_of_another_machine_end_the_process(machine: str) -> None:
    for number in (0, 1, 11, 63):
        assert judged(machine, number, 0x40000003) == KILL  # 32 bits of the same processor
        assert judged(machine, number | 0x40000000, ARCHES[machine]) == KILL


def test_both_machines_allow_the_same() -> None:
    assert {*seccomp.ALLOWED["x86_64"]} == {*seccomp.ALLOWED["aarch64"]}
    assert seccomp.ALLOWED.keys() == seccomp.NOT_EXECUTABLE.keys() == ARCHES.keys()


def test_there_is_none_for_other_machines() -> None:
    with pytest.raises(OSError, match="riscv64"):
        seccomp.program("riscv64")
