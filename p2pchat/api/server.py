"""The API's server: a Unix socket, one task a client, one task a call (but for those that the node can do without).

What keeps a client from harming the node:

* Only processes of our own user are served (file modes, and the kernel's word for who is at the other end).
* Lines are bounded and decoded strictly (`codec`); the arguments are checked against the table (`arguments`).
* A client says `hello` within `HELLO_TIMEOUT`. Where there is no room for a further one, the oldest that has not goes.
* A client has so many calls running at most; then its socket is simply not read any further.
* What waits to be written to a client is bounded. Events for a client that does not read stay in its own bounded
  channel, the hub drops for it alone and tells it `lagged`. Nothing in the node ever waits for a client.
* Whatever goes wrong in one connection ends that connection only.
"""

from __future__ import annotations

import logging
import math
import os
import socket
import stat
import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import trio

from p2pchat import errors
from p2pchat.api import codec, methods
from p2pchat.api.arguments import BadParams, UnknownMethod, check
from p2pchat.api.codec import JsonObject
from p2pchat.api.service import EventSource, NodeService
from p2pchat.lib.wakeup import Wakeup
from p2pchat.locations import socket_address

log = logging.getLogger(__name__)

MAX_CLIENTS = 64
HELLO_TIMEOUT = 10.0
"""Seconds in which a client says `hello`."""

MAX_LINES = 64
"""Lines of one client that are read before others have a turn."""

MAX_CALLS = 512
"""Calls of one client that run at the same time."""

MAX_WAITING = 1 << 20
"""Bytes waiting for one client above which it gets no further events and no new calls."""

JOIN = 64 << 10
"""Bytes of waiting lines put into one write."""

GRACE_SECONDS = 5.0
"""Seconds that calls still running have after their client ended its side (`… | nc -U`)."""


def listen(path: Path) -> trio.SocketListener:
    """Bind the API's socket with mode 0600, replacing a stale one. Only the holder of the profile's lock may call it.

    Raises OSError, or NodeError if something else than a socket has that path.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        pass
    else:
        if not (stat.S_ISSOCK(status.st_mode) or stat.S_ISLNK(status.st_mode)):
            raise errors.NodeError(f"{path} is where the node's socket has to be", hint="Move it away and try again.")
        path.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket_address(path) as address:
            sock.bind(address)
        path.chmod(0o600)  # nobody can connect before listen()
        sock.listen(MAX_CLIENTS)
    except BaseException:
        sock.close()
        raise
    return trio.SocketListener(trio.socket.from_stdlib_socket(sock))


class Server:
    """Serves one node on one listener."""

    def __init__(self, service: NodeService) -> None:
        self._service = service
        self._connections: dict[_Connection, None] = {}  # oldest first
        self._changed = Wakeup()

    async def serve(self, listener: trio.SocketListener, accepting: trio.CancelScope | None = None) -> None:
        """Serve clients until cancelled. Cancelling `accepting` only closes the listener; connected clients are still
        served.
        """
        async with trio.open_nursery() as clients:
            with accepting or trio.CancelScope():
                await trio.serve_listeners(self._client, [listener], handler_nursery=clients)

    @property
    def clients(self) -> int:
        """Return how many clients are connected."""
        return len(self._connections)

    async def changed(self) -> None:
        """Wait until a client connects or disconnects."""
        await self._changed.wait()

    async def flush(self, seconds: float) -> None:
        """Wait until all calls in progress are answered and the answers written, for at most so many seconds."""
        with trio.move_on_after(seconds):
            for connection in tuple(self._connections):
                await connection.settled()

    async def _client(self, stream: trio.SocketStream) -> None:
        connection = _Connection(stream, self._service)
        try:
            if not _is_ours(stream):
                log.warning("refused a client of another user")
                return
            if self.clients >= MAX_CLIENTS and not self._end_a_silent_one():
                await connection.refuse(errors.Busy("Too many programs are connected to this node"))
                return
            self._connections[connection] = None
            self._announce()
            await connection.run()
        except Exception as exc:  # noqa: BLE001 - a client's trouble is never the node's
            _log_failure("a client's connection failed", exc)
        finally:
            self._connections.pop(connection, None)
            self._announce()
            await trio.aclose_forcefully(stream)

    def _end_a_silent_one(self) -> bool:
        """Disconnect the oldest client that has not said `hello`, to make room; return False if all have."""
        silent = next((connection for connection in self._connections if not connection.greeted), None)
        if silent is None:
            return False
        del self._connections[silent]
        silent.end()
        return True

    def _announce(self) -> None:
        self._changed.pulse()


class Clients(Protocol):
    """An object that counts its clients: the server, or a fake in the test of `until_unused`."""

    @property
    def clients(self) -> int:
        """Return how many clients are connected."""
        ...

    async def changed(self) -> None:
        """Wait until the count changes."""


async def until_unused(server: Clients, seconds: float, keeps_running: Callable[[], bool]) -> None:
    """Wait until no client was connected for `seconds` without a break and nothing else needs the node."""
    while True:
        while server.clients:
            await server.changed()
        with trio.move_on_after(seconds):
            await server.changed()
            continue
        if not server.clients and not keeps_running():
            return


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    arguments: dict[str, Any]
    ident: object
    answer: Callable[[bytes], None]


class _Connection:
    """One client: a reader, a writer, its calls, and at most one subscription."""

    def __init__(self, stream: trio.SocketStream, service: NodeService) -> None:
        self._stream = stream
        self._service = service
        self.greeted = False
        self._greeting = trio.CancelScope()
        self._agreed = False
        self._running = 0
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._room = trio.lowlevel.ParkingLot()
        self._more = Wakeup()
        self._pump_scope: trio.CancelScope | None = None
        self._nursery: trio.Nursery

    async def run(self) -> None:
        """Serve the client until it disconnects and its calls have ended."""
        async with trio.open_nursery() as self._nursery:
            self._nursery.start_soon(self._write)
            try:
                self._greeting.deadline = trio.current_time() + HELLO_TIMEOUT
                with self._greeting:
                    await self._read()
            except codec.BadLine as exc:  # an overlong line: nothing after it can be parsed
                self._put(_failure(None, exc, codec.PARSE_ERROR))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._nursery.cancel_scope.cancel()
            with trio.move_on_after(GRACE_SECONDS):
                await self.settled()
            self._nursery.cancel_scope.cancel()

    def end(self) -> None:
        """Stop reading; calls in progress are answered."""
        self._greeting.cancel()

    async def refuse(self, error: errors.P2PChatError) -> None:
        """Send an error in place of service."""
        with trio.move_on_after(GRACE_SECONDS):
            await self._stream.send_all(_failure(None, error))

    async def settled(self) -> None:
        """Wait until no call is in progress and nothing waits to be written."""
        await self._wait_for(lambda: not self._running and not self._waiting_bytes)

    # --- in

    async def _read(self) -> None:
        splitter = codec.Splitter(codec.MAX_REQUEST)
        while data := await self._stream.receive_some(JOIN):
            for number, line in enumerate(splitter.feed(data), start=1):
                if number % MAX_LINES == 0:
                    await trio.lowlevel.checkpoint()
                while self._running >= MAX_CALLS or self._waiting_bytes >= MAX_WAITING:
                    await self._room.park()
                call = self._taken(line)
                if call is None:
                    continue
                self._running += 1
                if not self._service.ask(call.method, call.arguments, partial(self._end, call)):
                    self._nursery.start_soon(self._run, call)
                    # Calls start in the order of arrival: each runs to its first wait before the next one is created.
                    await trio.lowlevel.checkpoint()

    def _taken(self, line: bytes) -> _Call | None:
        """Return the call in a line, or None if the line was already answered."""
        try:
            request = codec.decode(line)
        except codec.BadLine as exc:
            self._put(_failure(None, exc, codec.PARSE_ERROR))
            return None
        ident, problem = request.get("id"), codec.problem_of_request(request)
        if problem:
            self._put(_failure(codec.usable_id(ident), errors.UsageError(problem), codec.INVALID_REQUEST))
            return None
        method = request["method"]
        answer = self._put if "id" in request else _no_answer
        try:
            arguments = check(method, request.get("params", {}))
            self._check_greeted(method)
        except errors.P2PChatError as exc:
            answer(_failure(ident, exc, _CODES.get(type(exc))))
            return None
        if method == "hello":
            answer(_result(ident, self._hello(arguments["version"])))
            return None
        return _Call(method, arguments, ident, answer)

    async def _run(self, call: _Call) -> None:
        source: EventSource | None = None
        wanted: tuple[str, ...] = ()
        result: object = None
        error: Exception | None = None
        try:
            if call.method == "subscribe":
                wanted = _event_names(call.arguments["events"])
                source = await self._service.subscribe()
                result = {"events": list(wanted)}
            else:
                result = await self._service.call(call.method, call.arguments)
        except Exception as exc:  # noqa: BLE001 - a fault in one call is told and logged, and ends nothing else
            error = exc
        self._end(call, result, error)
        if source is not None:
            await self._pump(source, wanted)

    def _end(self, call: _Call, result: object, error: BaseException | None) -> None:
        call.answer(_reply(call, result, error))
        self._running -= 1
        self._room.unpark_all()

    def _check_greeted(self, method: str) -> None:
        if method == "hello":
            return
        if not self.greeted:
            raise errors.UsageError("`hello` comes first", hint="Say which version of the API you speak.")
        if not self._agreed and method not in ("status", "stop"):
            raise errors.VersionMismatch()

    def _hello(self, version: int) -> JsonObject:
        self.greeted = True
        self._greeting.deadline = math.inf
        self._agreed = version == codec.API_VERSION
        return {"version": codec.API_VERSION, **self._service.greeting()}

    # --- out

    def _put(self, line: bytes) -> None:
        self._waiting.append(line)
        self._waiting_bytes += len(line)
        self._more.set()

    async def _write(self) -> None:
        try:
            while True:
                await self._more.wait()
                joined = self._joined()
                await self._stream.send_all(joined)
                self._waiting_bytes -= len(joined)
                if not self._waiting:
                    self._more.clear()
                self._room.unpark_all()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._nursery.cancel_scope.cancel()  # the client has disconnected: there is nobody to answer

    def _joined(self) -> bytes:
        first = self._waiting.popleft()
        if not self._waiting:
            return first
        lines, size = [first], len(first)
        while self._waiting and size + len(self._waiting[0]) <= JOIN:
            lines.append(self._waiting.popleft())
            size += len(lines[-1])
        return b"".join(lines)

    async def _pump(self, source: EventSource, wanted: tuple[str, ...]) -> None:
        if self._pump_scope is not None:
            self._pump_scope.cancel()
        with trio.CancelScope() as self._pump_scope:
            try:
                while True:
                    event = await source.receive()
                    self._put_event(event, wanted)
                    while self._waiting_bytes < MAX_WAITING:
                        try:
                            event = source.receive_nowait()
                        except trio.WouldBlock:
                            break
                        self._put_event(event, wanted)
                    await self._wait_for(lambda: self._waiting_bytes < MAX_WAITING)
            except trio.EndOfChannel:
                pass
            finally:
                source.close()

    def _put_event(self, event: JsonObject, wanted: tuple[str, ...]) -> None:
        name = event["event"]
        if name in wanted or name == "lagged":
            params = {key: value for key, value in event.items() if key != "event"}
            self._put(codec.encode({"jsonrpc": "2.0", "method": name, "params": params}))

    # --- waiting for one another

    async def _wait_for(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._room.park()


_CODES: Mapping[type[errors.P2PChatError], int] = {
    UnknownMethod: codec.METHOD_NOT_FOUND,
    BadParams: codec.INVALID_PARAMS,
}


def _result(ident: object, result: object) -> bytes:
    return codec.encode({"jsonrpc": "2.0", "id": ident, "result": result})


def _reply(call: _Call, result: object, error: BaseException | None) -> bytes:
    try:
        if error is None:
            return _result(call.ident, result)
    except Exception as exc:  # noqa: BLE001 - a result that is no JSON is a fault in the call
        error = exc
    if isinstance(error, errors.P2PChatError):
        return _failure(call.ident, error, _CODES.get(type(error)))
    _log_failure(f"the call {call.method} failed", error)
    told = errors.NodeError("Something went wrong inside the node", hint="The node's log says what.")
    return _failure(call.ident, told, codec.INTERNAL_ERROR)


def _failure(ident: object, error: errors.P2PChatError, code: int | None = None) -> bytes:
    return codec.encode({"jsonrpc": "2.0", "id": ident, "error": codec.error_object(error, code)})


def _no_answer(_line: bytes) -> None:
    """Do nothing: a notification is not answered."""


def _event_names(names: list[str] | None) -> tuple[str, ...]:
    if names is None:
        return methods.EVENT_NAMES
    for name in names:
        if name not in methods.EVENT_NAMES:
            raise BadParams(f"`events` may hold {', '.join(methods.EVENT_NAMES)}")
    return tuple(names)


def _is_ours(stream: trio.SocketStream) -> bool:
    """Return whether the kernel says that the process at the other end runs as our user."""
    credentials = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", credentials)
    return bool(uid == os.geteuid())


def _log_failure(what: str, exc: BaseException) -> None:
    """Log the type and place of an exception, but not its text, which may contain what somebody wrote."""
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    place, trace = "", exc.__traceback__
    while trace is not None:
        place = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    log.error("%s: %s at %s", what, type(exc).__name__, place)
