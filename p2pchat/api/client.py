"""The API's client for faces that do one thing at a time: plain sockets, no event loop, quick to import.
`connection` is the one for faces with a loop.

    with Client.connect(profile) as client:
        client.call("send", chat="bob", text="hi")

`connect` starts a node if none answers, and replaces a node of another version unless it runs in the foreground.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from p2pchat import config, errors
from p2pchat.api import codec, finding
from p2pchat.api.codec import JsonObject

if TYPE_CHECKING:
    from p2pchat.locations import Profile

START_DEADLINE = 30.0
"""Seconds that a node may take between its lock and its socket; a slow machine imports slowly."""

HELLO_DEADLINE = 10.0
"""Seconds that a listening node may take to answer `hello`. The timeouts of other calls are their own."""

_RETRY = 0.05
_START_AGAIN = 0.5


class NoNode(errors.NodeError):
    """No node is running on this profile."""

    hint = "Start one with `p2pchat node`."


class Client:
    """One connection to a profile's node, after hello."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._splitter = codec.Splitter(codec.MAX_REPLY)
        self._messages: deque[JsonObject] = deque()
        self._events: deque[JsonObject] = deque()
        self._last = 0
        self.greeting: JsonObject = {}

    @classmethod
    def connect(cls, profile: Profile, *, start_node: bool = True) -> Client:
        """Connect to this node, started if there is none. Raises NoProfile, NoNode, NodeSilent, VersionMismatch."""
        if not profile.exists():
            raise errors.NoProfile(f"There is no profile in {profile.folder}")
        began = time.monotonic()
        start_at = 0.0
        while True:
            node = finding.find(profile)
            client = None if node is None else cls._answering(profile, node)
            if client is not None:
                if client.greeting.get("version") == codec.API_VERSION:
                    client._refuse_another_proxy()
                    return client
                client._replace(start_node)
            elif node is not None:
                # It is starting or ending, or its socket has disappeared and will be back soon.
                patience = START_DEADLINE if node.socket is None else finding.SOCKET_BACK_SECONDS
                if time.monotonic() - began > patience:
                    raise finding.silent(node)
            elif not start_node:
                raise NoNode()
            elif time.monotonic() - began > START_DEADLINE:
                raise errors.NodeError("A node was started and does not stay", hint=f"{profile.log} may say why.")
            elif time.monotonic() >= start_at:
                from p2pchat.api import starting

                if starting.start(profile):
                    continue
                # Another node holds the profile: it is about to listen, or about to end.
                start_at = time.monotonic() + _START_AGAIN
            time.sleep(_RETRY)

    def _refuse_another_proxy(self) -> None:
        """Raise NodeError if the node does not use the proxy that our environment names, because it was started without
        it.
        """
        named = config.proxy_of(os.environ)
        if named is not None and self.greeting.get("proxy") != str(named):
            self.close()
            raise errors.NodeError(
                f"The running node does not use the proxy that {config.PROXY_VARIABLE} names",
                hint="End it with `p2pchat node stop`; the next one is started with the proxy.",
            )

    @classmethod
    def running(cls, profile: Profile, patience: float = 0) -> Client | None:
        """Connect to the running node, whatever its version; return None if none runs.

        Raises NodeError, with its pid, if one runs and does not answer within `patience` seconds.
        """
        deadline = time.monotonic() + patience
        while (node := finding.find(profile) if profile.exists() else None) is not None:
            client = cls._answering(profile, node)
            if client is not None:
                return client
            if time.monotonic() > deadline:
                raise finding.silent(node)
            time.sleep(_RETRY)
        return None

    def call(self, method: str, **params: Any) -> Any:
        """Call a method and return its result. Raises the error that the node answered, or NodeGone if it ended
        meanwhile.
        """
        return self.call_heard(self._events.append, method, **params)

    def call_heard(self, hear: Callable[[JsonObject], object], method: str, **params: Any) -> Any:
        """Call a method as `call` does, and pass on each event that arrives before its answer."""
        self._last += 1
        self._send(codec.request(self._last, method, params))
        while True:
            message = self._receive()
            if "method" in message:
                hear(codec.event_from(message))
            elif message.get("id") in (self._last, None):
                if "error" in message:
                    raise codec.error_from(message["error"])
                return message.get("result")

    def events(self) -> Iterator[JsonObject]:
        """Yield events as they arrive, each a dict with its name under "event". Call `subscribe` first. Raises
        NodeGone.
        """
        while True:
            while self._events:
                yield self._events.popleft()
            message = self._receive()
            if "method" in message:
                self._events.append(codec.event_from(message))

    @property
    def pending(self) -> bool:
        """Whether `events` can yield one without reading from the socket."""
        return bool(self._events or self._messages)

    def wait_for_end(self, seconds: float) -> bool:
        """Wait up to so many seconds for the node to end this connection (after `stop` or `lock`); return whether it
        did.
        """
        self._sock.settimeout(seconds)
        try:
            while self._sock.recv(1 << 16):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    @property
    def socket(self) -> socket.socket:
        """The socket, for `rpc`, which only forwards lines, and for `connection`, which takes it over."""
        return self._sock

    def close(self) -> None:
        """Close the connection."""
        self._sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    # --- inside

    @classmethod
    def _answering(cls, profile: Profile, node: finding.RunningNode) -> Client | None:
        """Return a client after hello, or None if nobody listens or the node is just ending."""
        sock = finding.dial(profile, node)
        if sock is None:
            return None
        client = cls(sock)
        try:
            sock.settimeout(HELLO_DEADLINE)
            client.greeting = client.call("hello", version=codec.API_VERSION)
            sock.settimeout(None)
        except errors.NodeGone:
            sock.close()
            return None
        except errors.NodeSilent:
            sock.close()
            raise finding.silent(node) from None
        except BaseException:
            sock.close()
            raise
        return client

    def _replace(self, start_node: bool) -> None:
        """End a node of another version. Raises an error if it runs in the foreground, or if no other may be
        started.
        """
        with self:
            if self.greeting.get("foreground") or not start_node:
                raise errors.VersionMismatch()
            with contextlib.suppress(errors.NodeGone):
                self.call("stop")
            self.wait_for_end(HELLO_DEADLINE)

    def _send(self, line: bytes) -> None:
        try:
            self._sock.sendall(line)
        except OSError as exc:
            raise errors.NodeGone() from exc

    def _receive(self) -> JsonObject:
        while not self._messages:
            try:
                data = self._sock.recv(1 << 16)
            except TimeoutError as exc:
                raise errors.NodeSilent() from exc
            except OSError as exc:
                raise errors.NodeGone() from exc
            if not data:
                raise errors.NodeGone()
            self._messages.extend(codec.decode_answer(line) for line in self._splitter.feed(data))
        return self._messages.popleft()
