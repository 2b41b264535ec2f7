"""The interfaces between the API's server, the node and an open profile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from p2pchat.api.codec import JsonObject

Then = Callable[[object, BaseException | None], None]
"""Called with the result of a call, or with its error."""


class EventSource(Protocol):
    """One subscription to events, made by the engine's hub, or by tests."""

    async def receive(self) -> JsonObject:
        """Wait for the next event, a dict with its name under "event". Raises trio.EndOfChannel at the end."""

    def receive_nowait(self) -> JsonObject:
        """Return the next event without waiting. Raises trio.WouldBlock if there is none."""

    def close(self) -> None:
        """End the subscription."""


class Service(Protocol):
    """Answers calls; their arguments are complete and were checked against the table of methods."""

    async def call(self, method: str, arguments: dict[str, Any]) -> object:
        """Run a method and return a value that JSON can hold. Raises the error to send to the face; Locked if there is
        no key.
        """
        ...

    def ask(self, method: str, arguments: dict[str, Any], then: Then) -> bool:
        """Do the same without a task, and call `then` at the end. Return False if this method needs a task; use `call`
        then.
        """
        ...


class NodeService(Service, Protocol):
    """The service of a node, whose profile may be locked."""

    def greeting(self) -> JsonObject:
        """Return the fields of the answer to `hello`."""
        ...

    async def subscribe(self) -> EventSource:
        """Return a new subscription, once the profile is open. Raises Locked."""
        ...


class ProfileService(Service, Protocol):
    """What the API's server needs of an open profile."""

    def check_settings(self, changes: Mapping[str, Any]) -> None:
        """Raise NotNow if the method `settings` would refuse these arguments."""
        ...

    def subscribe(self) -> EventSource:
        """Return a new subscription."""
        ...

    def addresses(self) -> Sequence[str]:
        """Return where this node can be dialled; each ends in /p2p/<peer id>."""
        ...

    def keeps_running(self) -> bool:
        """Return whether the node should keep running without a face."""
        ...

    def keep_receiving(self) -> bool | None:
        """Return the user's answer whether the node should keep receiving; None if they were not asked."""
        ...
