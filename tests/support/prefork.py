"""Starts the program without the second that a fresh interpreter needs to import it.

    with Popen([sys.executable, "-m", "p2pchat", ...], env=..., stdin=..., stdout=..., stderr=...) as process: ...

It is `subprocess.Popen` but for one thing: the new process is not executed, it is forked from one that has imported the
program and done nothing else with it. It is a child of the caller's, with its own files, environment, command line,
signals and exit. What it starts of the program itself (a face its node, the demo its people) is forked likewise. What
the imports themselves do is for the tests that execute the program: `Place.plain`, and a terminal that is told so.

How: the waiting process is asked over a socket, forks twice, and the first of the two ends at once. The second is then
an orphan, and orphans go to the caller, who is their `subreaper` for that moment (prctl(2)). A forked process that may
start others forks first of all, while it has done nothing either, the one that will wait for its own requests.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import p2pchat

PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_BIND, MS_REC, MS_SLAVE = 0x1000, 0x4000, 0x80000
CLOCK = "P2PCHAT_TEST_CLOCK_S"
"""The variable with the seconds by which the clock of a forked process is wrong."""
IN_NAMESPACE = ("ip", "netns", "exec")
MAX_REQUEST_BYTES = 1 << 17
TITLE_BYTES = 2048
"""Room for the command line of a forked process, where that of the waiting one stands."""
STARTS_NONE = {"node", "relay", "init"}
"""Verbs that start no process."""
APART = {"p2pchat.media.child", "p2pchat.media.voice_child"}
"""What no process of ours imports: decoders, which are executed."""
LATER = ("cryptography.hazmat.backends.openssl", "importlib.readers", "stringprep", "tomllib", "wsproto")
"""What the program imports of others only when it runs. Its own modules are all imported beforehand."""


def usable() -> bool:
    """Whether processes may be forked: not where `make coverage` measures each of them from its start."""
    return sys.platform == "linux" and "COVERAGE_PROCESS_CONFIG" not in os.environ


@dataclass(frozen=True)
class Request:
    """What a process is to be. `words` follow the name of the program; without a `folder` it stays where it is."""

    command: list[str]
    words: list[str]
    environment: dict[str, str]
    namespace: str | None = None
    folder: str | None = None
    new_session: bool = False


_Popen = subprocess.Popen


class Popen(_Popen[bytes]):
    """`subprocess.Popen` of `python -m p2pchat words`, with `args`, `cwd`, `env`, `start_new_session`, `stdin`,
    `stdout` and `stderr` alone; other commands are executed. In a new session a terminal on stdin becomes the
    controlling one.

    Before that may stand `ip netns exec NAME`: the process is moved into that network namespace.
    """

    _close_pipe_fds: Callable[..., None]

    def _execute_child(self, args: Sequence[str], *rest: Any) -> None:
        # The arguments of `subprocess.Popen`: preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags,
        # shell, and the two ends of each of three pipes, -1 for what is inherited; restore_signals, gid, gids, uid,
        # umask, start_new_session, process_group.
        words = words_of(args)
        if words is None:
            super()._execute_child(args, *rest)  # type: ignore[misc]
            return
        (p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite), python = rest[9:15], args.index(sys.executable)
        files = [number if given == -1 else given for number, given in enumerate((p2cread, c2pwrite, errwrite))]
        namespace = args[python - 1] if python else None
        self.pid = _waiting.fork(
            Request(list(args[python:]), words, dict(rest[5] or os.environ), namespace, rest[4], rest[20]), files
        )
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)


def words_of(args: Sequence[str]) -> list[str] | None:
    """What follows `python -m p2pchat`, or None for another command."""
    begin = args.index("p2pchat") + 1 if "p2pchat" in args else 0
    head = [word for word in args[:begin] if word != "-P"]
    within, python = head[:-3], head[-3:]
    if python != [sys.executable, "-m", "p2pchat"] or (within and tuple(within[:-1]) != IN_NAMESPACE):
        return None
    return list(args[begin:])


class _Waiting:
    """The process that has imported the program."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def is_at(self, asked: socket.socket) -> None:
        """Have it asked by this socket."""
        self._socket = asked

    def fork(self, request: Request, files: list[int]) -> int:
        """Have a process forked; its id."""
        data = json.dumps(asdict(request)).encode()
        assert len(data) <= MAX_REQUEST_BYTES
        with self._lock:
            asked = self._socket or self._begin(request.environment)
            _adopt_orphans(True)
            try:
                socket.send_fds(asked, [data], files)
                return int(asked.recv(64))
            finally:
                _adopt_orphans(False)

    def _begin(self, environment: Mapping[str, str]) -> socket.socket:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            command = [sys.executable, "-m", "tests.support.prefork", str(there.fileno()), "-" * TITLE_BYTES]
            _Popen(command, env=environment, pass_fds=[there.fileno()], stdin=subprocess.DEVNULL)
        self._socket = here
        return here


_waiting = _Waiting()


def _adopt_orphans(yes: bool) -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)


def _wait(asked: socket.socket) -> Request:
    """Fork whenever one is asked for. Returns in each process that was; ends when nobody can ask any more."""
    while True:
        data, files, _, _ = socket.recv_fds(asked, MAX_REQUEST_BYTES, 3)
        if not data:
            os._exit(0)
        told, tells = os.pipe()
        first = os.fork()
        if not first:
            second = os.fork()
            if second:
                os.write(tells, b"%d" % second)
                os._exit(0)
            os.close(told)
            os.close(tells)
            asked.close()
            for number, file in enumerate(files):
                os.dup2(file, number)
                os.close(file)
            return Request(**json.loads(data))
        os.waitpid(first, 0)
        asked.send(os.read(told, 64))
        for file in (told, tells, *files):
            os.close(file)


def _wait_below() -> Request | None:
    """Fork a process that waits for the requests of this one. None in this one; what is asked in each of the others."""
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork():
        there.close()
        _waiting.is_at(here)
        vars(subprocess)["Popen"] = Popen
        return None
    here.close()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nowhere, number)
    os.close(nowhere)
    with there:
        return _wait(there)


def _enter(namespace: str) -> None:
    """Move this process, which has one thread, into a network namespace, with the files of /etc that belong to it, as
    ip-netns(8) says.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/run/netns/{namespace}") as file:
        if libc.setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns: {namespace}")
    files = list(Path("/etc/netns", namespace).glob("*"))
    if files and (libc.unshare(CLONE_NEWNS) or libc.mount(None, b"/", None, MS_REC | MS_SLAVE, None)):
        raise OSError(ctypes.get_errno(), f"unshare: {namespace}")
    for path in files:
        if libc.mount(bytes(path), bytes(Path("/etc", path.name)), None, MS_BIND, None):
            raise OSError(ctypes.get_errno(), f"mount: {path}")


def _entitle(command: Sequence[str]) -> None:
    """Have the command line of this process be this one: /proc shows the memory where it was given (proc(5))."""
    start, end = map(int, Path("/proc/self/stat").read_text().rpartition(")")[2].split()[45:47])
    title = "\0".join(command).encode()
    ctypes.memmove(start, title[: end - start].ljust(end - start, b"\0"), end - start)


def _become(request: Request) -> None:
    """Be as a process that was executed so."""
    _entitle(request.command)
    if request.new_session:
        os.setsid()
        if os.isatty(0):  # the terminal becomes the one that controls the process, as at a login
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if request.folder is not None:
        os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    if CLOCK in os.environ:
        _shift_clock(int(os.environ[CLOCK]))
    sys.argv = [sys.argv[0], *request.words]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        was = getattr(sys, name)
        made = os.fdopen(number, "w" if number else "r", encoding=was.encoding, errors=was.errors, closefd=False)
        setattr(sys, name, made)
        setattr(sys, f"__{name}__", made)


def _cheapen_passphrases() -> None:
    """Have new passphrases cost the least that is allowed, a quarter of what the program takes: 0.15 s each time."""
    keys: Any = import_module("p2pchat.store.keys")
    locked = keys._locked
    keys._locked = lambda key, passphrase, _cost: locked(key, passphrase, keys.MIN_COST)


def _shift_clock(seconds: int) -> None:
    """Have the time of day be wrong by so much; monotonic clocks stay."""
    right, right_ns = time.time, time.time_ns
    vars(time).update(time=lambda: right() + seconds, time_ns=lambda: right_ns() + seconds * 1_000_000_000)


def main() -> None:
    """Import the program, wait, and be the program."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the tests, and their end is ours
    ours = {module.name for module in walk_packages(p2pchat.__path__, "p2pchat.")} - APART
    for name in (*sorted(ours), *LATER):
        import_module(name)
    _cheapen_passphrases()
    gc.collect()
    gc.freeze()
    with contextlib.ExitStack() as stack:
        asked = stack.enter_context(socket.socket(fileno=int(sys.argv[1])))
        request = _wait(asked)
    if request.namespace is not None:
        _enter(request.namespace)
    while not STARTS_NONE & set(request.words):
        below = _wait_below()
        if below is None:
            break
        request = below
    _become(request)
    try:
        import_module("p2pchat.__main__").main()
    except SystemExit as done:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(done.code if isinstance(done.code, int) else 0)  # an end of a thousand modules copies their pages


if __name__ == "__main__":
    main()
