"""What a decoding process gives up, in two steps: the one that forks, and the one that reads a stranger's bytes.

Only Linux has these calls, and only the standard library is used. This runs in the decoding process, never in the node.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal

from p2pchat.media.seccomp import Filter

MEMORY_BYTES = 512 << 20
"""What one request may use."""
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38

# the same numbers on every machine
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF, _PIDFD_OPEN = 444, 446, 434
_LANDLOCK_VERSION = 1
_FILES_BITS = {1: 13, 2: 14, 3: 15, 4: 15}
"""Version of Landlock → how many rights about files it knows; from 5 on it is 16."""
_NET_BITS, _SCOPE_BITS = 2, 2
"""TCP bind and connect, from version 4 on; abstract sockets and signals, from 6 on."""


class _Ruleset(ctypes.Structure):
    """struct landlock_ruleset_attr."""

    _fields_ = [
        ("files", ctypes.c_uint64),
        ("net", ctypes.c_uint64),
        ("scope", ctypes.c_uint64),
    ]


class Sandbox:
    """Made before the first step, while everything may still be loaded. Raises OSError where it cannot be made."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._filter = Filter()

    def enter(self) -> None:
        """Give up files, further programs, and the reading of this process by others; keep forking.

        Landlock, where the kernel has it, refuses every path and every TCP connection, also to what is forked.
        """
        os.chdir("/")
        os.umask(0o777)
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_FSIZE, 0)
        _limit(resource.RLIMIT_AS, MEMORY_BYTES)
        self._prctl(_PR_SET_DUMPABLE, 0)
        self._prctl(_PR_SET_NO_NEW_PRIVS, 1)
        self._enter_landlock()

    def enter_for_good(self, parent: int, cpu_seconds: int) -> None:
        """Give up everything but memory, so much time, and the files that are open. parent: whose end is ours.

        Raises OSError where the kernel has no such filter: then nothing of a stranger's may be read.
        """
        self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        _limit(resource.RLIMIT_CPU, cpu_seconds)
        _limit(resource.RLIMIT_NOFILE, 0)
        _limit(resource.RLIMIT_NPROC, 0)
        self._filter.install()

    def pidfd(self, pid: int) -> int:
        """Return a file that can be read once the process has ended. Raises OSError."""
        return self._checked(self._libc.syscall(_PIDFD_OPEN, pid, 0))

    def _enter_landlock(self) -> None:
        version = self._libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), _LANDLOCK_VERSION)
        if version < 1:
            return  # the filter of the second step refuses all that too
        rules = _Ruleset((1 << _FILES_BITS.get(version, 16)) - 1, 0, 0)
        size = 8
        if version >= 4:
            rules.net, size = (1 << _NET_BITS) - 1, 16
        if version >= 6:
            rules.scope, size = (1 << _SCOPE_BITS) - 1, 24
        ruleset = self._libc.syscall(_LANDLOCK_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), 0)
        self._checked(ruleset)
        self._checked(self._libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0))
        os.close(ruleset)

    def _prctl(self, option: int, value: int) -> None:
        zero = ctypes.c_ulong(0)
        self._checked(self._libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero))

    @staticmethod
    def _checked(result: int) -> int:
        if result < 0:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error))
        return result


def _limit(which: int, most: int) -> None:
    resource.setrlimit(which, (most, most))
