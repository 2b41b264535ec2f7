"""A decoding process seen from the node: it is started when it is needed, asked one thing after the other, and ended.

What comes back is as hostile as what went in. The process is killed if it does not answer in time or answers
nonsense, and another one takes its place, with another layout of its memory.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import struct
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from p2pchat.errors import Busy, MediaMissing
from p2pchat.media.fork_server import DONE, MAX_BODY_BYTES, MISSING, READY, SIZE, UNSAFE, WALL_SECONDS

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # where the installed type stubs of trio have it

WARM_SECONDS = 30.0
"""How long a process is kept after a request."""
MAX_REQUESTS = 200
"""Requests after which a process is replaced."""
START_SECONDS = 15.0
"""Seconds in which a process has to have started."""
ANSWER_SECONDS = WALL_SECONDS + 2.0
"""Seconds after which a process is killed that does not answer: it ends a request itself after WALL_SECONDS."""
MAX_WAITING, MAX_WAITING_EACH = 128, 32
"""Requests that may wait, of all and of one owner."""
MAX_WAITING_BYTES = 2 * MAX_BODY_BYTES
"""Bytes of all requests that wait."""
NOT_STARTED = "The process that decodes what others send did not start"
_BOOT = """\
import importlib, sys
module, function, *paths = sys.argv[1:]
sys.path += paths
getattr(importlib.import_module(module), function)()
"""

log = logging.getLogger("p2pchat.media")


class DecodingFailed(Exception):
    """There is no answer: the process could not read what it was given, or was ended."""


@dataclass(eq=False, slots=True, repr=False)
class _Job:
    owner: bytes
    body: bytes
    done: trio.Event = field(default_factory=trio.Event)
    result: bytes | Exception = b""


class _Turns:
    """Jobs that wait: the owners have turns, and each one's jobs are done in order."""

    def __init__(self) -> None:
        self._owners: dict[bytes, deque[_Job]] = {}
        self._count = self._bytes = 0
        self._added = trio.Event()

    def add(self, job: _Job) -> None:
        """Add a job. Raises Busy where too many wait."""
        waiting = self._owners.get(job.owner, ())
        full = self._count >= MAX_WAITING or len(waiting) >= MAX_WAITING_EACH
        if full or (self._count and self._bytes + len(job.body) > MAX_WAITING_BYTES):
            raise Busy("Too much waits to be decoded")
        self._owners.setdefault(job.owner, deque()).append(job)
        self._count += 1
        self._bytes += len(job.body)
        self._added.set()

    def drop(self, job: _Job) -> None:
        """Remove a job, if it still waits."""
        if job in self._owners.get(job.owner, ()):
            self._owners[job.owner].remove(job)
            self._removed(job)

    async def next(self) -> _Job:
        """Wait for a job and return it; its owner then comes last."""
        while not self._count:
            self._added = trio.Event()
            await self._added.wait()
        job = next(iter(self._owners.values())).popleft()
        self._owners[job.owner] = self._owners.pop(job.owner)
        self._removed(job)
        return job

    def _removed(self, job: _Job) -> None:
        self._count -= 1
        self._bytes -= len(job.body)
        if not self._owners[job.owner]:
            del self._owners[job.owner]


class MediaDecoder:
    """One kind of decoding process. entry: `module:function`, which calls `fork_server.serve`. package: what has to be
    installed for it; the node itself never imports it.
    """

    def __init__(
        self,
        entry: str,
        package: str,
        *,
        answer_seconds: float = ANSWER_SECONDS,
        warm_seconds: float = WARM_SECONDS,
        max_requests: int = MAX_REQUESTS,
    ) -> None:
        self._entry = entry
        self._package = package
        self._answer_seconds = answer_seconds
        self._warm_seconds = warm_seconds
        self._max_requests = max_requests
        self._turns = _Turns()
        self._process: _Process | None = None

    @property
    def pid(self) -> int | None:
        """The process that forks, where there is one."""
        return None if self._process is None else self._process.pid

    async def ask(self, body: bytes, owner: bytes = b"") -> bytes:
        """Return the answer to a request; owners, such as contacts, have turns.

        Raises DecodingFailed, MediaMissing where the process cannot do its work on this machine, and Busy.
        """
        if len(body) > MAX_BODY_BYTES:
            raise DecodingFailed
        job = _Job(owner, body)
        self._turns.add(job)
        try:
            await job.done.wait()
        finally:
            self._turns.drop(job)
        if isinstance(job.result, Exception):
            raise job.result
        return job.result

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve requests until cancelled."""
        task_status.started()
        try:
            while True:
                with trio.move_on_after(self._warm_seconds if self._process else float("inf")) as waiting:
                    job = await self._turns.next()
                if waiting.cancelled_caught:
                    await self._end()
                    continue
                try:
                    job.result = await self._answer(job.body)
                except (DecodingFailed, MediaMissing) as error:
                    job.result = error
                except OSError:  # such as that no descriptor is left
                    job.result = DecodingFailed()
                job.done.set()
        finally:
            await self._end()

    async def _answer(self, body: bytes) -> bytes:
        if self._process is None:
            self._process = await _Process.start(self._command())
        process, answer = self._process, None
        try:
            with trio.move_on_after(self._answer_seconds):
                answer = await process.ask(body)
        finally:
            if answer is None or process.requests >= self._max_requests:
                await self._end()
        if answer is None:
            raise DecodingFailed
        return answer

    def _command(self) -> list[str]:
        spec = importlib.util.find_spec(self._package)
        places = (spec.submodule_search_locations or [spec.origin or ""]) if spec else []
        if not places or not sys.executable:
            raise MediaMissing
        ours = Path(__file__).resolve().parents[2]
        paths = dict.fromkeys([ours, *(Path(place).resolve().parent for place in places)])
        flags = ["-I", "-S", *(["-B"] if sys.dont_write_bytecode else [])]
        return [sys.executable, *flags, "-c", _BOOT, *self._entry.split(":"), *map(str, paths)]

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await process.end()


class _Process:
    """A process that forks another one for each request."""

    def __init__(self, process: trio.Process, control: trio.socket.SocketType) -> None:
        self._process = process
        self._control = control
        self.requests = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    async def start(cls, command: Sequence[str]) -> _Process:
        """Start a process. Raises MediaMissing where it cannot work on this machine, or does not start."""
        ours, theirs = socket.socketpair()
        environment = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
        with theirs:
            try:
                process = await trio.lowlevel.open_process(
                    command,
                    stdin=theirs,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=environment,
                    cwd="/",
                    start_new_session=True,
                )
            except OSError as error:
                ours.close()
                raise MediaMissing(NOT_STARTED, hint="Try again later.") from error
        started, state = cls(process, trio.socket.from_stdlib_socket(ours)), b""
        try:
            with trio.move_on_after(START_SECONDS), suppress(OSError):
                state = await started._control.recv(1)
        finally:
            if state != READY:
                await started.end()
        if state == UNSAFE:
            raise MediaMissing("This system cannot confine the process that would decode what others send", hint="")
        if state == MISSING:
            raise MediaMissing
        if state != READY:
            log.warning("a decoding process did not start")
            raise MediaMissing(NOT_STARTED, hint="Try again later.")
        return started

    async def ask(self, body: bytes) -> bytes | None:
        """Return the answer, or None if there is none or it is no proper one: then the process must be ended."""
        self.requests += 1
        ours, theirs = socket.socketpair()
        with trio.socket.from_stdlib_socket(ours) as connection:
            try:
                with theirs:
                    given = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("=i", theirs.fileno()))]
                    await self._control.sendmsg([b"\0"], given)
                stream = trio.SocketStream(connection)
                await stream.send_all(SIZE.pack(len(body)))
                await stream.send_all(body)
                (size,) = SIZE.unpack(await _receive(stream, SIZE.size))
                if size > MAX_BODY_BYTES:
                    return None
                answer = await _receive(stream, size)
                ended = await self._control.recv(1)
            except (OSError, EOFError, trio.BrokenResourceError):
                return None
        return answer if ended == DONE else None

    async def end(self) -> None:
        """Kill the process, and with it the one that it has forked."""
        self._control.close()
        with trio.CancelScope(shield=True):
            self._process.kill()
            await self._process.wait()


async def _receive(stream: trio.SocketStream, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = await stream.receive_some(min(size - len(data), 1 << 18))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)
