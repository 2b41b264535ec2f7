"""What the engine is given: a network, by these methods, and chance and time as plain functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from p2pchat.core.wire import Frame

Clock = Callable[[], int]
"""Milliseconds since the epoch, UTC."""

PackedWay = tuple[bytes, bytes]
"""(transport key, packed address): the engine keeps and sends addresses without reading them."""


class Net(Protocol):
    """The network as the engine sees it. Nothing here waits; what comes of it is told to the `Gate` and the `Door`."""

    def ways(self) -> list[PackedWay]:
        """Where others may dial us, best first."""
        ...

    def listening(self) -> list[str]:
        """The same for people: addresses that end in /p2p/<peer id>."""
        ...

    def reach(self, contact: bytes, ways: Sequence[PackedWay]) -> None:
        """Keep a link with this contact; called again, take the new ways."""
        ...

    def nudge(self, contact: bytes) -> None:
        """There is something to send: if no link is there, try soon."""
        ...

    def lost(self, contact: bytes) -> None:
        """A link has ended: if it was the last, begin to dial again."""
        ...

    def relink(self, contact: bytes) -> None:
        """End the links with this contact; the next one begins anew with both outboxes."""
        ...

    def forget(self, contact: bytes) -> None:
        """Stop reaching and joining this contact and end its links."""
        ...

    def join(self, contact: bytes, ways: Sequence[PackedWay], hello_key: bytes) -> None:
        """Keep knocking at the inviter's ways; called again, do not wait for the back-off to end."""
        ...

    def joined(self, contact: bytes) -> None:
        """Stop knocking: the inviter has our first message."""
        ...

    def send(self, contact: bytes, frames: Sequence[Frame]) -> bool:
        """Write frames on the newest link; False where there is none."""
        ...

    def route(self, contact: bytes) -> str | None:
        """How a message would travel now; None where no link is there."""
        ...
