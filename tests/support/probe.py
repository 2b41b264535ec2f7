"""A decoding process of the tests: confined like the real one, it tries what a process that was taken over would try.

A request is a name of `ATTEMPTS`. The answer says what came of it: what the attempt returned, or the name of its error.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import resource
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from p2pchat.media.fork_server import Handler, serve
from p2pchat.media.seccomp import Filter

LIBC = ctypes.CDLL(None, use_errno=True)
_PTRACE_ATTACH, _PR_SET_DUMPABLE, _PR_SET_PDEATHSIG = 16, 4, 1
_UNSHARE_NET, _UNSHARE_USER = 0x40000000, 0x10000000
_IO_URING_SETUP, _CLONE3, _MEMFD_CREATE = 425, 435, 319
_PARENT = os.getppid()


def _checked(result: int) -> str:
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return "done"


def _open_files() -> str:
    """Which of the numbers of files are open: "null" for one that can be moved in, else "socket"."""
    files = []
    for number in range(64):
        try:
            os.lseek(number, 0, os.SEEK_CUR)
        except OSError as error:
            if error.errno != errno.EBADF:
                files.append("socket")
        else:
            files.append("null")
    return " ".join(files)


def _open(path: str) -> str:
    return str(os.open(path, os.O_RDONLY))


def _write_file() -> str:
    with open("/tmp/p2pchat-probe", "w") as file:
        return str(file.write("x"))


def _thread() -> str:
    try:
        threading.Thread(target=lambda: None).start()
    except RuntimeError:
        return "EPERM"  # so Python says it
    return "started"


def _take_memory() -> str:
    try:
        return str(len(bytearray(600 << 20)))
    except MemoryError:
        return "MemoryError"


def _executable() -> str:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    return "mapped"


def _spin() -> str:
    while True:
        pass


def _hang() -> str:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
    return "woken"


def _crash() -> str:
    return str(ctypes.string_at(0))


def _remember() -> str:
    """How many requests this process has seen."""
    _SEEN.append(1)
    return str(len(_SEEN))


class _Sly(list[bytes]):
    """An answer after which the process fails."""

    def __init__(self) -> None:
        super().__init__([b"x"])
        self._read = 0

    def __iter__(self) -> Iterator[bytes]:
        self._read += 1
        yield from super().__iter__()
        if self._read > 1:  # once for its size
            raise ValueError


_SEEN: list[int] = []

ATTEMPTS: dict[str, Callable[[], str]] = {
    "read a file": lambda: Path("/etc/hostname").read_text(),
    "write a file": _write_file,
    "list a folder": lambda: str(os.listdir("/")),
    "look at a file": lambda: str(os.stat("/etc/passwd").st_size),
    "delete a file": lambda: _checked(LIBC.unlink(b"/tmp/p2pchat-nothing")),
    "change the folder": lambda: _checked(LIBC.chdir(b"/tmp")),
    "make a socket": lambda: str(socket.socket()),
    "make a Unix socket": lambda: str(socket.socket(socket.AF_UNIX)),
    "make a socket pair": lambda: str(socket.socketpair()),
    "connect": lambda: _checked(LIBC.connect(1, bytes(16), 16)),
    "execute": lambda: os.execv("/bin/true", ["true"]),
    "fork": lambda: str(os.fork()),
    "clone": lambda: _checked(LIBC.syscall(_CLONE3, None, 0)),
    "start a thread": _thread,
    "make a pipe": lambda: str(os.pipe()),
    "copy a file number": lambda: str(os.dup(1)),
    "make a file in memory": lambda: _checked(LIBC.syscall(_MEMFD_CREATE, b"x", 0)),
    "signal the node": lambda: _checked(LIBC.kill(_PARENT, 0)),
    "signal others": lambda: _checked(LIBC.kill(1, 0)),
    "trace the node": lambda: _checked(LIBC.ptrace(_PTRACE_ATTACH, _PARENT, 0, 0)),
    "read the node's memory": lambda: _open(f"/proc/{_PARENT}/mem"),
    "be readable": lambda: _checked(LIBC.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)),
    "outlive": lambda: _checked(LIBC.prctl(_PR_SET_PDEATHSIG, 0, 0, 0, 0)),
    "leave the namespaces": lambda: _checked(LIBC.unshare(_UNSHARE_NET | _UNSHARE_USER)),
    "use io_uring": lambda: _checked(LIBC.syscall(_IO_URING_SETUP, 1, None)),
    "raise a limit": lambda: _checked(LIBC.setrlimit(resource.RLIMIT_CPU, struct.pack("QQ", 60, 60))),
    "map executable memory": _executable,
}
HARMLESS: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "take memory": _take_memory,
    "say which files are open": _open_files,
    "say the environment": lambda: " ".join(sorted(os.environ)),
    "spin": _spin,
    "hang": _hang,
    "crash": _crash,
    "raise": lambda: str(1 / 0),
    "end well without an answer": lambda: os._exit(0),
    "remember": _remember,
    "say a lot": lambda: "x" * (33 << 20),
}


def _attempt(body: memoryview) -> Sequence[bytes]:
    name = bytes(body).decode()
    if name == "answer and fail":
        return _Sly()
    try:
        result = {**ATTEMPTS, **HARMLESS}[name]()
    except OSError as error:
        result = errno.errorcode.get(error.errno or 0, str(error))
    return [result.encode()]


def _prepared() -> Handler:
    return _attempt


def main() -> None:
    """The confinement as it is, with less time."""
    serve(_prepared, cpu_seconds=1, wall_seconds=40)


def hasty() -> None:
    """With hardly any time."""
    serve(_prepared, wall_seconds=0.2)


def without_filter() -> None:
    """What holds where a call gets past the filter."""
    Filter.install = lambda self: None  # type: ignore[method-assign]
    serve(_prepared)


def unconfined() -> None:
    """As on a system that has no such filter."""

    def fail(self: Filter) -> None:
        raise OSError(errno.EINVAL, "")

    Filter.install = fail  # type: ignore[method-assign]
    serve(_prepared)


def incomplete() -> None:
    """As where a library is missing, or does not fit this interpreter."""

    def fail() -> Handler:
        raise ImportError

    serve(fail)


def mute() -> None:
    """Ends at once, as if Python itself did not start."""


def pictures() -> None:
    """Pictures, with less time for each."""
    from p2pchat.media import child

    serve(child.prepared, cpu_seconds=1)
