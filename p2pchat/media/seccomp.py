"""Allow this process a short list of system calls, and refuse it all others for good (seccomp(2), mode "filter").

The filter is a program for the kernel's BPF machine, made here by hand, for x86-64 and for 64-bit ARM. A refused call
fails with EPERM rather than ending the process: what a C library tries in passing, on another machine than ours, then
costs nothing, and whoever has taken the process over has got no further.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

ALLOWED = {
    "x86_64": {
        "read": 0,
        "write": 1,
        "close": 3,
        "lseek": 8,
        "munmap": 11,
        "brk": 12,
        "rt_sigaction": 13,
        "rt_sigprocmask": 14,
        "rt_sigreturn": 15,
        "sched_yield": 24,
        "mremap": 25,
        "madvise": 28,
        "getpid": 39,
        "exit": 60,
        "gettid": 186,
        "futex": 202,
        "restart_syscall": 219,
        "clock_gettime": 228,
        "exit_group": 231,
        "getrandom": 318,
    },
    "aarch64": {
        "read": 63,
        "write": 64,
        "close": 57,
        "lseek": 62,
        "munmap": 215,
        "brk": 214,
        "rt_sigaction": 134,
        "rt_sigprocmask": 135,
        "rt_sigreturn": 139,
        "sched_yield": 124,
        "mremap": 216,
        "madvise": 233,
        "getpid": 172,
        "exit": 93,
        "gettid": 178,
        "futex": 98,
        "restart_syscall": 128,
        "clock_gettime": 113,
        "exit_group": 94,
        "getrandom": 278,
    },
}
"""Machine → what is allowed: memory, the open files, the time and the end."""
NOT_EXECUTABLE = {"x86_64": {"mmap": 9, "mprotect": 10}, "aarch64": {"mmap": 222, "mprotect": 226}}
"""Machine → what is allowed unless it makes memory executable. In both calls the protection is the third argument."""
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000
_PROT_EXEC = 4
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_EPERM = 1

# struct seccomp_data: int nr; u32 arch; u64 instruction_pointer; u64 args[6]; both machines are little-endian
_NR, _ARCH, _THIRD_ARGUMENT = 0, 4, 16 + 2 * 8
_LOAD, _EQUAL, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _REFUSE, _ALLOW = 0x80000000, 0x00050000 | _EPERM, 0x7FFF0000


def program(machine: str) -> bytes:
    """Return the filter for a machine as the kernel takes it: 8 bytes an instruction. Raises OSError for others."""
    if machine not in ALLOWED:
        raise OSError(f"no filter for {machine}")
    steps = [
        (_LOAD, 0, 0, _ARCH),
        (_EQUAL, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _KILL),  # a call by the conventions of another machine would have other numbers
        (_LOAD, 0, 0, _NR),
        (_AT_LEAST, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _KILL),
    ]
    for number in ALLOWED[machine].values():
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for number in NOT_EXECUTABLE[machine].values():
        steps += [
            (_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, _THIRD_ARGUMENT),
            (_HAS_BITS, 0, 1, _PROT_EXEC),
            (_RETURN, 0, 0, _REFUSE),
            (_RETURN, 0, 0, _ALLOW),
        ]
    steps.append((_RETURN, 0, 0, _REFUSE))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_char_p)]


class Filter:
    """The filter for this machine, ready to be installed. Raises OSError where there is none."""

    def __init__(self) -> None:
        self._steps = program(platform.machine())
        self._program = _Program(len(self._steps) // 8, self._steps)
        self._libc = ctypes.CDLL(None, use_errno=True)

    def install(self) -> None:
        """Give up everything that is not on the list. Raises OSError where the kernel does not do it."""
        self._prctl(_PR_SET_NO_NEW_PRIVS, 1)
        self._prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(self._program))

    def _prctl(self, option: int, *given: object) -> None:
        arguments = [*given, *(ctypes.c_ulong(0) for _ in range(4 - len(given)))]
        arguments[0] = ctypes.c_ulong(given[0]) if isinstance(given[0], int) else given[0]
        if self._libc.prctl(option, *arguments) != 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
