"""The API's client for faces with an asyncio loop: many calls at once, and events as they come.

    connection = await Connection.open(profile)
    await connection.call("subscribe")
    await connection.call("send", chat="bob", text="hi")

`client` finds, starts and greets the node, in a thread; its socket is then taken over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Self

from p2pchat import errors
from p2pchat.api import codec
from p2pchat.api.client import Client
from p2pchat.api.codec import JsonObject

if TYPE_CHECKING:
    from p2pchat.locations import Profile

MAX_EVENTS = 10_000
"""Events that are kept for `events()`. A slower reader gets the event `lagged` in place of those that were dropped."""


class Connection:
    """One connection to a profile's node, after hello. It is made by `open`, and belongs to the event loop that called
    it.

    If `on_event` is set, it is called with every event (a dict with its name under "event") in place of `events()`.
    """

    def __init__(self, greeting: JsonObject) -> None:
        self.greeting = greeting
        self.on_event: Callable[[JsonObject], object] | None = None
        self._loop = asyncio.get_running_loop()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._last = 0
        self._events: deque[JsonObject] = deque()
        self._more = asyncio.Event()
        self._over = asyncio.Event()
        self._closing = False
        self._transport: asyncio.Transport

    @classmethod
    async def open(cls, profile: Profile, *, start_node: bool = True) -> Self:
        """Connect to this node, started if there is none. Raises NoProfile, NoNode, NodeError, VersionMismatch."""
        loop = asyncio.get_running_loop()
        connecting = loop.run_in_executor(None, lambda: Client.connect(profile, start_node=start_node))
        try:
            client = await asyncio.shield(connecting)
        except asyncio.CancelledError:
            connecting.add_done_callback(_close_unwanted)  # the thread continues; nobody will use its client
            raise
        made = cls(client.greeting)
        try:
            await loop.create_unix_connection(lambda: _Lines(made), sock=client.socket)
        except BaseException:
            client.close()
            raise
        return made

    async def call(self, method: str, **params: Any) -> Any:
        """Call a method and return its result. Raises the error that the node answered, or NodeGone if it ended
        meanwhile.

        Cancelling the wait does not cancel the call.
        """
        self._last += 1
        ident = self._last
        line = codec.request(ident, method, params)
        if self._over.is_set() or self._closing:
            raise errors.NodeGone()
        answer = self._answers[ident] = self._loop.create_future()
        self._transport.write(line)
        try:
            return await answer
        finally:
            self._answers.pop(ident, None)

    async def events(self) -> AsyncIterator[JsonObject]:
        """Yield events as they arrive, for one reader. Call `subscribe` first. Ends at `close`; raises NodeGone."""
        while True:
            while self._events:
                yield self._events.popleft()
            if self._closing:
                return
            if self._over.is_set():
                raise errors.NodeGone()
            self._more.clear()
            await self._more.wait()

    async def closed(self) -> None:
        """Wait until either side has ended the connection."""
        await self._over.wait()

    async def close(self) -> None:
        """End the connection. Pending calls raise NodeGone."""
        self._closing = True
        self._transport.close()
        await self._over.wait()

    # --- for the lines below

    def _begun(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def _take(self, message: JsonObject) -> None:
        if "method" in message:
            self._hand_on(codec.event_from(message))
            return
        ident = message.get("id")
        if not (ident is None or isinstance(ident, int)):
            raise codec.BadLine("An answer has the number of its request")
        if "error" in message:
            error = codec.error_from(message["error"])
            # An error without an id is about a line that the node could not read: it may be any pending call's.
            waiting = list(self._answers.values()) if ident is None else [self._answers.get(ident)]
            for answer in waiting:
                if answer is not None and not answer.done():
                    answer.set_exception(error)
        elif ident is not None and (answer := self._answers.get(ident)) is not None and not answer.done():
            answer.set_result(message.get("result"))

    def _hand_on(self, event: JsonObject) -> None:
        if self.on_event is not None:
            # Scheduled on the loop like answers, which keeps the order; an exception ends nothing here.
            self._loop.call_soon(self.on_event, event)
            return
        if len(self._events) >= MAX_EVENTS:
            self._events.clear()
            event = {"event": "lagged"}
        self._events.append(event)
        self._more.set()

    def _ended(self) -> None:
        self._over.set()
        self._more.set()
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(errors.NodeGone())


class _Lines(asyncio.Protocol):
    """The asyncio protocol: it splits received bytes into lines."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._splitter = codec.Splitter(codec.MAX_REPLY)
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connection._begun(transport)

    def data_received(self, data: bytes) -> None:
        try:
            for line in self._splitter.feed(data):
                self._connection._take(codec.decode_answer(line))
        except codec.BadLine:  # our own node never writes this: nothing after it can be trusted
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection._ended()


def _close_unwanted(connecting: asyncio.Future[Client]) -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().close()
