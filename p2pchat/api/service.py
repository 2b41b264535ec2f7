"""Who answers the methods of the API: what the server is given, and what the node is given of an open profile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from p2pchat.api.codec import JsonObject

Then = Callable[[object, BaseException | None], None]
"""Told the result of a call, or its error."""


class EventSource(Protocol):
    """One subscription: the engine's hub gives it, and so do the tests."""

    async def receive(self) -> JsonObject:
        """Wait for the next event, a dict with its name under "event". Raises trio.EndOfChannel at the end."""

    def receive_nowait(self) -> JsonObject:
        """Return the next event at once. Raises trio.WouldBlock where there is none."""

    def close(self) -> None:
        """End the subscription."""


class Service(Protocol):
    """Answers calls whose arguments are complete and were checked against the table of methods."""

    async def call(self, method: str, arguments: dict[str, Any]) -> object:
        """Run one method and return what can be put into JSON. Raises what the face is told; Locked without the key."""
        ...

    def ask(self, method: str, arguments: dict[str, Any], then: Then) -> bool:
        """Do the same without a task, and tell the end later. False if it does not take this one: then `call` it."""
        ...


class NodeService(Service, Protocol):
    """A node, whose profile may be locked."""

    def greeting(self) -> JsonObject:
        """Return the fields of what `hello` is answered with."""
        ...

    async def subscribe(self) -> EventSource:
        """Return a new source of events, once the profile is open. Raises Locked."""
        ...


class ProfileService(Service, Protocol):
    """What the API's server needs of an open profile."""

    def subscribe(self) -> EventSource:
        """Return a new source of events."""
        ...

    def addresses(self) -> Sequence[str]:
        """Return where this node can be dialled; each ends in /p2p/<peer id>."""
        ...

    def keeps_running(self) -> bool:
        """Return whether the node has a reason to stay without a face."""
        ...

    def keep_receiving(self) -> bool | None:
        """Return what a person answered whether the node is to stay; None where nobody was asked."""
        ...
