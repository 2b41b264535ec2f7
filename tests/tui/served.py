"""A `FakeNode` behind a profile's real socket, so that the real program talks to it and takes it for a node.

    with served(here.folder / "me", environment, node) as service:
        service.do(lambda: node.says(bob, "hello"))

It runs in a thread with a loop of its own. What it writes is JSON with everything escaped, so that it can say what a
node could not: half a character, for one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from p2pchat import errors
from p2pchat.api import codec
from p2pchat.locations import Profile, ProfileLock, note_socket, socket_path
from tests.support.processes import PATIENCE
from tests.tui.fakes import FakeNode

T = TypeVar("T")


class Service:
    """The connections of a served node."""

    def __init__(self, node: FakeNode) -> None:
        self.node = node
        self._loop = asyncio.new_event_loop()
        self._listening: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Future[None]] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._server: asyncio.Server

    def begin(self, path: Path) -> None:
        """Listen on this socket."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(path), self._loop).result(PATIENCE)

    def do(self, what: Callable[[], T]) -> T:
        """Let something happen at the node; its result."""

        async def now() -> T:
            await asyncio.sleep(0)
            return what()

        return asyncio.run_coroutine_threadsafe(now(), self._loop).result(PATIENCE)

    def say(self, line: bytes) -> None:
        """A line to whoever has subscribed, as it is."""

        def write() -> None:
            for writer in self._listening:
                writer.write(line)

        self.do(write)

    def end(self) -> None:
        """No node any more."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def _run(self) -> None:
        self._loop.run_forever()

    async def _listen(self, path: Path) -> None:
        self._server = await asyncio.start_unix_server(self._accept, str(path), limit=codec.MAX_REPLY)
        self.node.on_event = self._tell

    async def _stop(self) -> None:
        self._server.close()
        for writer in self._connections:
            writer.transport.abort()
        await asyncio.gather(*self._serving)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._serving.add(asyncio.ensure_future(self._serve(reader, writer)))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            with contextlib.suppress(OSError):
                while line := await reader.readline():
                    task = asyncio.ensure_future(self._answer(writer, codec.decode(line)))
                    self._calls.add(task)
                    task.add_done_callback(self._calls.discard)
        finally:
            self._connections.discard(writer)
            self._listening.discard(writer)
            writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, request: codec.JsonObject) -> None:
        method, params = request["method"], request.get("params", {})
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request.get("id")}
        try:
            if method == "hello":
                answer["result"] = dict(self.node.greeting)
            else:
                answer["result"] = await self.node.call(method, **params)
                if method == "subscribe":
                    self._listening.add(writer)
        except errors.P2PChatError as exc:
            answer["error"] = codec.error_object(exc)
        writer.write(packed(answer))

    def _tell(self, event: Mapping[str, Any]) -> None:
        params = {key: value for key, value in event.items() if key != "event"}
        for writer in self._listening:
            writer.write(packed({"jsonrpc": "2.0", "method": event["event"], "params": params}))


def packed(value: Mapping[str, Any]) -> bytes:
    """One object as a line of ASCII."""
    return json.dumps(value).encode() + b"\n"


@contextlib.contextmanager
def served(folder: Path, environment: Mapping[str, str], node: FakeNode) -> Iterator[Service]:
    """A node for the profile in `folder`, which is made up as well; `environment` says where sockets are."""
    folder.mkdir(mode=0o700, exist_ok=True)
    (folder / "profile.db").touch(mode=0o600)  # all that a face may know of a profile is that it is there
    profile, path = Profile(folder), socket_path(folder, environment)
    service = Service(node)
    with ProfileLock(profile):
        service.begin(path)
        note_socket(profile, path)
        try:
            yield service
        finally:
            service.end()
