"""Starts the program without the second that a fresh interpreter needs to import it.

    with Popen([sys.executable, "-m", "p2pchat", ...], env=..., stdin=..., stdout=..., stderr=...) as process: ...

It is `subprocess.Popen` but for one thing: the new process is not executed, it is forked from one that has imported the
program and done nothing else with it. It is a child of the caller's, with its own files, environment, signals and exit.
What the imports themselves do is for the tests that execute the program: `Place.plain`, whatever a face or the demo
starts, and everything in a terminal.

How: the waiting process is asked over a socket, forks twice, and the first of the two ends at once. The second is then
an orphan, and orphans go to the caller, who is their `subreaper` for that moment (prctl(2)).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNET = 0x40000000
IN_NAMESPACE = ("ip", "netns", "exec")
MAX_REQUEST_BYTES = 1 << 17
MODULES = (
    "p2pchat.cli.contacts",
    "p2pchat.cli.context",
    "p2pchat.cli.doctor",
    "p2pchat.cli.invites",
    "p2pchat.cli.main",
    "p2pchat.cli.messages",
    "p2pchat.cli.profile",
    "p2pchat.cli.relay",
    "p2pchat.cli.relays",
    "p2pchat.cli.rpc",
    "p2pchat.cli.serve",
    "p2pchat.node",
    "p2pchat.parts",
    "p2pchat.relay.embedded",
    "p2pchat.relay.server",
)
"""What the verbs that the tests use import when they run."""


def usable() -> bool:
    """Whether processes may be forked: not where `make coverage` measures each of them from its start."""
    return sys.platform == "linux" and "COVERAGE_PROCESS_CONFIG" not in os.environ


class Popen(subprocess.Popen[bytes]):
    """`subprocess.Popen` of `python -m p2pchat words`, with `args`, `env`, `stdin`, `stdout` and `stderr` alone.

    Before that may stand `ip netns exec NAME`: the process is moved into that network namespace.
    """

    _close_pipe_fds: Callable[..., None]

    def _execute_child(self, args: Sequence[str], *rest: Any) -> None:
        # The arguments of `subprocess.Popen`: preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags,
        # shell, and the two ends of each of three pipes, -1 for what is inherited.
        executable, env, (p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite) = rest[0], rest[5], rest[9:15]
        assert executable is None
        python = args.index(sys.executable)
        assert args[:python] in ([], [*IN_NAMESPACE, args[python - 1]])
        files = [number if given == -1 else given for number, given in enumerate((p2cread, c2pwrite, errwrite))]
        self.pid = _waiting.fork(list(args[python + 3 :]), env, args[python - 1] if python else None, files)
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)


class _Waiting:
    """The process that has imported the program."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None

    def fork(self, words: list[str], env: Mapping[str, str], namespace: str | None, files: list[int]) -> int:
        """Have a process forked; its id."""
        request = json.dumps([words, dict(env), namespace]).encode()
        assert len(request) <= MAX_REQUEST_BYTES
        with self._lock:
            asked = self._socket or self._begin(env)
            _adopt_orphans(True)
            try:
                socket.send_fds(asked, [request], files)
                return int(asked.recv(64))
            finally:
                _adopt_orphans(False)

    def _begin(self, env: Mapping[str, str]) -> socket.socket:
        here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with there:
            command = [sys.executable, "-m", "tests.support.prefork", str(there.fileno())]
            subprocess.Popen(command, env=env, pass_fds=[there.fileno()], stdin=subprocess.DEVNULL)
        self._socket = here
        return here


_waiting = _Waiting()


def _adopt_orphans(yes: bool) -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)


def _wait(asked: socket.socket) -> tuple[list[str], dict[str, str], str | None]:
    """Fork whenever one is asked for. Returns in each process that was; ends when nobody can ask any more."""
    while True:
        request, files, _, _ = socket.recv_fds(asked, MAX_REQUEST_BYTES, 3)
        if not request:
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
            words, env, namespace = json.loads(request)
            return words, env, namespace
        os.waitpid(first, 0)
        asked.send(os.read(told, 64))
        for file in (told, tells, *files):
            os.close(file)


def _enter(namespace: str) -> None:
    """Move this process, which has one thread, into a network namespace (setns(2))."""
    with open(f"/run/netns/{namespace}") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns: {namespace}")


def _become(words: list[str], env: dict[str, str]) -> None:
    """Be as a process that was executed with these words."""
    os.environ.clear()
    os.environ.update(env)
    sys.argv = [sys.argv[0], *words]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        was = getattr(sys, name)
        made = os.fdopen(number, "w" if number else "r", encoding=was.encoding, errors=was.errors, closefd=False)
        setattr(sys, name, made)
        setattr(sys, f"__{name}__", made)


def main() -> None:
    """Import the program, wait, and be the program."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the tests, and their end is ours
    for name in MODULES:
        import_module(name)
    gc.collect()
    gc.freeze()
    with contextlib.ExitStack() as stack:
        asked = stack.enter_context(socket.socket(fileno=int(sys.argv[1])))
        words, env, namespace = _wait(asked)
    if namespace is not None:
        _enter(namespace)
    _become(words, env)
    try:
        import_module("p2pchat.__main__").main()
    except SystemExit as done:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(done.code if isinstance(done.code, int) else 0)  # an end of a thousand modules copies their pages


if __name__ == "__main__":
    main()
