"""The screen's only connection to the node: calls, events in batches, the node's end and restart.

Everything that arrives here is cleaned once, so that what a peer wrote cannot control the terminal, and no code behind
this module has to think of it. Texts keep their newlines; everything else is one line.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from p2pchat import errors
from p2pchat.sanitize import clean, clean_line, harmless
from p2pchat.tui.labels import labels

if TYPE_CHECKING:
    from p2pchat.locations import Profile

__all__ = [
    "GONE",
    "LOCKED",
    "READY",
    "STARTING",
    "ApiCaller",
    "Away",
    "Event",
    "NodeClient",
    "NodeConnection",
    "cleaned",
    "labels",
]

STARTING, LOCKED, READY, GONE = "starting", "locked", "ready", "gone"

BATCH_INTERVAL = 0.05
"""The least seconds between two batches of events. With a message for each event, a flood made a key press take more
than half a second.
"""

FLOOD = 25
"""Events in a batch after which the next batch waits longer: nobody reads that fast, but somebody may be typing."""

FLOOD_INTERVAL = 0.1

BACK_OFF = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds to wait before each attempt to reach the node again; the last value is repeated."""

_TEXTS = frozenset({"text", "draft", "invite"})
"""Fields in which newlines are kept."""

Event = dict[str, Any]


class Away(errors.NodeGone):
    """The node is not available at the moment."""

    hint = "It is being started again."


class ApiCaller(Protocol):
    """Something that answers API calls: the node client, or a fake in a test."""

    async def call(self, method: str, **params: object) -> Any:
        """The result of a method, clean. Raises P2PChatError."""
        ...


class NodeConnection(Protocol):
    """A connection to a node, after hello."""

    on_event: Callable[[Event], object] | None

    @property
    def greeting(self) -> Mapping[str, Any]:
        """The node's answer to `hello`."""
        ...

    async def call(self, method: str, **params: Any) -> Any:
        """The result of a method. Raises P2PChatError."""
        ...

    async def closed(self) -> None:
        """Wait for its end."""
        ...

    async def close(self) -> None:
        """End the connection to the node."""
        ...


Opener = Callable[[], Awaitable[NodeConnection]]


class Gatherer:
    """Passes events on in batches: the first at once, then at most one batch per interval, half as many in a flood."""

    def __init__(
        self,
        deliver: Callable[[list[Event]], None],
        clock: Callable[[], float],
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._deliver = deliver
        self._clock = clock
        self._later = later
        self._interval = BATCH_INTERVAL
        self._held: list[Event] = []
        self._last = float("-inf")

    def put(self, event: Event) -> None:
        """Take one more event."""
        self._held.append(event)
        if len(self._held) == 1:
            self._later(max(0.0, self._last + self._interval - self._clock()), self._flush)

    def _flush(self) -> None:
        held, self._held = self._held, []
        self._last = self._clock()
        self._interval = FLOOD_INTERVAL if len(held) > FLOOD else BATCH_INTERVAL
        self._deliver(held)


class NodeClient:
    """The connection of the whole screen. `on_batch` receives events, `on_state` is called when `state` has changed."""

    def __init__(self, profile: Profile, opener: Opener | None = None) -> None:
        self.profile = profile
        self.state = STARTING
        self.trouble: errors.P2PChatError | None = None
        self.on_batch: Callable[[list[Event]], object] | None = None
        self.on_state: Callable[[], object] | None = None
        self._open: Opener = opener or self._open_real
        self._link: NodeConnection | None = None
        self._gatherer: Gatherer | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, starting a node if none answers, and stay connected. Raises the reason if the first
        attempt fails.
        """
        if self._keeper is not None:
            return
        loop = asyncio.get_running_loop()
        self._gatherer = Gatherer(self._deliver, loop.time, loop.call_later)
        link = await self._connect()
        self._keeper = asyncio.create_task(self._keep(link), name="node client")

    async def call(self, method: str, **params: object) -> Any:
        """The result of a method, clean. Raises what the node answered, NodeGone if it ended meanwhile, Away while none
        is there.
        """
        link = self._link
        if link is None:
            raise Away()
        try:
            result = cleaned(await link.call(method, **params))
        except errors.P2PChatError as exc:
            raise _clean_error(exc) from None
        if method == "unlock" and self.state == LOCKED:
            await self._listen(link)
        return result

    async def unlock(self, passphrase: str) -> None:
        """Open the profile. Raises WrongPassphrase."""
        await self.call("unlock", passphrase=passphrase)

    async def close(self) -> None:
        """End the connection; the node decides by itself how long it lives on."""
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        if self._link is not None:
            link, self._link = self._link, None
            await link.close()

    # --- inside

    async def _open_real(self) -> NodeConnection:
        from p2pchat.api.connection import Connection

        return await Connection.open(self.profile)

    async def _connect(self) -> NodeConnection:
        link = await self._open()
        link.on_event = self._take
        self._link = link
        self.trouble = None
        try:
            if link.greeting.get("state") == LOCKED:
                self._become(LOCKED)
            else:
                await self._listen(link)
        except BaseException:
            self._link = None
            await link.close()
            raise
        return link

    async def _listen(self, link: NodeConnection) -> None:
        """Subscribe to events; a client that was connected before has missed some, and is told so."""
        await link.call("subscribe", events=None)
        self._become(READY)
        self._take({"event": "lagged"})

    async def _keep(self, link: NodeConnection) -> None:
        """Reconnect, or restart the node, whenever the connection is lost."""
        while True:
            await link.closed()
            self._link = None
            self._become(GONE)
            link = await self._again()

    async def _again(self) -> NodeConnection:
        tries = 0
        while True:
            await asyncio.sleep(BACK_OFF[min(tries, len(BACK_OFF) - 1)])
            tries += 1
            try:
                return await self._connect()
            except errors.P2PChatError as exc:
                self.trouble = _clean_error(exc)
                self._become(GONE)

    def _become(self, state: str) -> None:
        self.state = state
        if self.on_state is not None:
            self.on_state()

    def _take(self, event: Event) -> None:
        if self._gatherer is not None:
            self._gatherer.put(event)

    def _deliver(self, events: list[Event]) -> None:
        if self.on_batch is not None:
            self.on_batch([cleaned(event) for event in events])


def cleaned(value: Any, field: str = "") -> Any:
    """Return `value` with every string in it made harmless for a terminal; `field` is the key of the value."""
    if isinstance(value, str):
        if harmless(value):
            return value
        return clean(value) if field in _TEXTS else clean_line(value)
    if isinstance(value, dict):  # a list of a thousand chats has 30,000 values: most need no further call
        return {key: each if _is_harmless(each) else cleaned(each, key) for key, each in value.items()}
    if isinstance(value, list):
        return [cleaned(each, field) for each in value]
    return value


def _is_harmless(value: Any) -> bool:
    kind = type(value)
    return value is None or kind is bool or (kind is str and value.isascii() and value.isprintable())


def _clean_error(error: errors.P2PChatError) -> errors.P2PChatError:
    return type(error)(
        clean_line(error.message),
        hint=clean_line(error.advice),
        candidates=[clean_line(each) for each in error.candidates],
        result=cleaned(error.result),
    )
