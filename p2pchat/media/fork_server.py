"""Run in the decoding process: for each request, fork a process that gives up everything, then reads, answers and ends.

Standard input is a Unix socket to the node. Over it come open sockets, one for each request, and after each one byte
is said about how the request ended. The request itself, a stranger's bytes, goes through its own socket to the forked
process alone: this one never reads it, so what one picture does to its process reaches no other picture.

```
node → here           one byte, and an open socket          once more only after the last one was answered
here → node           READY or UNSAFE at the start; then DONE or FAILED for every request
node → forked process u32 size || body                      through the socket
forked process → node u32 size || body
```
"""

from __future__ import annotations

import gc
import io
import os
import select
import signal
import socket
import struct
from collections.abc import Callable, Sequence
from typing import NoReturn

from p2pchat.media.sandbox import Sandbox

READY, UNSAFE, MISSING, DONE, FAILED = b"R", b"U", b"M", b"D", b"F"
MAX_BODY_BYTES = 32 << 20
"""Bytes of a request, and of an answer."""
CPU_SECONDS, WALL_SECONDS = 5, 6
"""What one request may use, if nothing else is said."""
SIZE = struct.Struct(">I")

Handler = Callable[[memoryview], Sequence[bytes]]
"""Takes a request, returns the pieces of the answer. What it raises ends the process without an answer."""


def serve(
    prepare: Callable[[], Handler], *, cpu_seconds: int = CPU_SECONDS, wall_seconds: float = WALL_SECONDS
) -> None:
    """Answer requests until the node closes its end. prepare: loads all that requests need, while files can be read."""
    control = socket.socket(fileno=os.dup(0))
    try:
        handle = prepare()
    except ImportError:
        control.send(MISSING)
        return
    try:
        sandbox = Sandbox()
        sandbox.enter()
        _try(sandbox, cpu_seconds)
    except OSError:
        control.send(UNSAFE)
        return
    os.dup2(1, 0)  # nothing that is forked has the socket by this name
    gc.collect()
    gc.freeze()
    control.send(READY)
    while True:
        _, given, _, _ = socket.recv_fds(control, 1, 1)
        if not given:
            return
        child = _fork(sandbox, handle, control, given[0], cpu_seconds)
        control.send(_ended(sandbox, child, control, wall_seconds))


def _try(sandbox: Sandbox, cpu_seconds: int) -> None:
    """Raise OSError if a forked process cannot give up everything here."""
    this, child = os.getpid(), os.fork()
    if child == 0:
        try:
            sandbox.enter_for_good(this, cpu_seconds)
        except BaseException:  # noqa: BLE001 - this is a copy of the process, which must not go on
            os._exit(1)
        os._exit(0)
    if os.waitpid(child, 0)[1] != 0:
        raise OSError("a process cannot give up everything here")
    os.close(sandbox.pidfd(this))


def _fork(sandbox: Sandbox, handle: Handler, control: socket.socket, given: int, cpu_seconds: int) -> int:
    """Have a new process answer what comes through the file `given`, and return its number."""
    this, child = os.getpid(), os.fork()
    if child == 0:
        control.close()
        _work(sandbox, handle, given, this, cpu_seconds)
    os.close(given)
    return child


def _ended(sandbox: Sandbox, child: int, control: socket.socket, wall_seconds: float) -> bytes:
    """Wait until a process has ended, or end it, and return how that went."""
    ended = sandbox.pidfd(child)
    waiting = select.poll()
    waiting.register(ended, select.POLLIN)
    waiting.register(control.fileno(), select.POLLIN)  # no request comes meanwhile: the node has ended, or errs
    if [file for file, _ in waiting.poll(wall_seconds * 1000)] != [ended]:
        os.kill(child, signal.SIGKILL)
    os.close(ended)
    return DONE if os.waitpid(child, 0)[1] == 0 else FAILED


def _work(sandbox: Sandbox, handle: Handler, given: int, parent: int, cpu_seconds: int) -> NoReturn:
    """Answer one request, and end. The status says whether there is an answer."""
    try:
        gc.disable()
        with io.FileIO(given, "r+") as connection:
            sandbox.enter_for_good(parent, cpu_seconds)
            (size,) = SIZE.unpack(_read(connection, SIZE.size))
            if size > MAX_BODY_BYTES:
                os._exit(1)
            pieces = handle(_read(connection, size))
            _write(connection, SIZE.pack(sum(map(len, pieces))))
            for piece in pieces:
                _write(connection, piece)
    except BaseException:  # noqa: BLE001 - this is a copy of the process, which must not go on; nobody reads what it says
        os._exit(1)
    os._exit(0)


def _read(connection: io.FileIO, size: int) -> memoryview:
    body = memoryview(bytearray(size))
    have = 0
    while have < size:
        count = connection.readinto(body[have:])
        if not count:
            raise EOFError
        have += count
    return body


def _write(connection: io.FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[connection.write(left) or 0 :]
