"""What the engine is given: a network, by these methods, and chance and time as plain functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from p2pchat.core.frames import Frame
from p2pchat.core.relays import OwnQueue as OwnQueue
from p2pchat.core.relays import Relay as Relay
from p2pchat.core.relays import RelayHealth as RelayHealth
from p2pchat.core.relays import TheirQueue as TheirQueue

Clock = Callable[[], int]
"""Milliseconds since the epoch, UTC."""

PackedWay = tuple[bytes, bytes]
"""(transport key, packed address): the engine keeps and sends addresses without reading them."""


class Mailboxes(Protocol):
    """The mailboxes of relays as the engine sees them. Nothing here waits; what comes of it is told to `Mail`. Where
    only bytes name one, they are its `Relay.mailbox`.
    """

    def watch(self, relay: Relay, queues: Sequence[OwnQueue]) -> None:
        """Collect from these queues at this relay, what lies there and what comes, as `Mail.collected`; called again,
        the new list counts; an empty one ends it. The relay need not be one of ours: a box of an invite, queues of a
        relay that we left.
        """
        ...

    def change(self, relay: Relay, add: Sequence[OwnQueue], drop: Sequence[bytes]) -> None:
        """Collect from these queues besides, or with what is known of them now; from those, by name, no more."""
        ...

    def taken(self, relay: bytes, qid: bytes, upto: int) -> None:
        """What was collected up to this place is on our disk: the relay can delete it."""
        ...

    def deposit(self, relay: Relay, queue: TheirQueue, hours: int, blobs: Sequence[tuple[int, bytes]]) -> None:
        """Put blobs into a queue; each has a number of the caller's, whose end is told to `Mail` once, in any order.
        Stamps are made where the queue's flags ask for them.
        """
        ...

    def relay_at(self, written: str) -> Relay:
        """The relay that a person means by MULTIADDR or MULTIADDR#TOKEN. Raises BadAddress."""
        ...

    def is_us(self, relay: bytes) -> bool:
        """Whether the relay with this transport key is this node."""
        ...

    def address_of(self, relay: Relay) -> str:
        """Where a relay is, for people: its best address, which ends in /p2p/<peer id>."""
        ...

    def relay_health(self) -> Mapping[bytes, RelayHealth]:
        """By `Relay.mailbox`: every relay that we watch or deposit at now."""
        ...


class Net(Protocol):
    """The network as the engine sees it. Nothing here waits; what comes of it is told to `Gate`, `Door` and `Mail`."""

    @property
    def mailboxes(self) -> Mailboxes:
        """Those of relays."""
        ...

    def use_relays(self, relays: Sequence[Relay]) -> None:
        """Be reached by circuits of these relays, best first; called again, the new list counts. Hidden contacts are
        met by no other.
        """
        ...

    def hide(self) -> None:
        """There are hidden contacts, or will be: have ways for them from now on."""
        ...

    def ways(self, *, hidden: bool = False, relayed: bool = True) -> list[PackedWay]:
        """Where others may dial us, best first; for the hidden, circuits of another transport key only. Not `relayed`:
        without circuits.
        """
        ...

    def listening(self) -> list[str]:
        """The same for people: addresses that end in /p2p/<peer id>."""
        ...

    def relayed(self) -> bool | None:
        """Whether a relay leads to us now; None where there is none to do so."""
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
