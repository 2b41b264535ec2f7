"""The contract between engine and net, both ways: `Net`, which the engine calls, and `NetHandler`, which the net calls.

Neither imports the other. Nothing that the engine calls waits: what comes of it is told to the handler. Contacts and
invites are ids; a relay is named by its `Relay.mailbox` where only bytes name it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import trio

from p2pchat.core.delivery import Route
from p2pchat.core.frames import Frame
from p2pchat.core.ids import ContactId, EnvelopeId, InviteId, PeerKey, QueueId, RelayName, SessionId
from p2pchat.core.relays import OwnQueue as OwnQueue
from p2pchat.core.relays import Relay as Relay
from p2pchat.core.relays import RelayHealth as RelayHealth
from p2pchat.core.relays import TheirQueue as TheirQueue
from p2pchat.core.session import Pair

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # where the installed type stubs of trio have it

Clock = Callable[[], int]
"""Milliseconds since the epoch, UTC."""

PackedWay = tuple[PeerKey, bytes]
"""(transport key, packed address): the engine keeps and sends addresses without reading them."""


class Mailboxes(Protocol):
    """The mailboxes of relays as the engine sees them. Nothing here waits; what comes of it is told to the
    `MailboxCallbacks`.
    """

    def watch(self, relay: Relay, queues: Sequence[OwnQueue]) -> None:
        """Collect from these queues at this relay, what lies there and what comes; it is told as
        `MailboxCallbacks.collected`. Called again, the new list counts; an empty one ends it. The relay need not be one
        of ours: a box of an invite, queues of a relay that we left.
        """
        ...

    def change(self, relay: Relay, add: Sequence[OwnQueue], drop: Sequence[QueueId]) -> None:
        """Collect from these queues besides, or with what is known of them now; from those, by name, no more."""
        ...

    def taken(self, relay: RelayName, qid: QueueId, upto: int) -> None:
        """What was collected up to this place is on our disk: the relay can delete it."""
        ...

    def forget(self, relay: RelayName, qid: QueueId, names: Sequence[EnvelopeId]) -> None:
        """Envelopes with these names, which may lie in this queue too, came from elsewhere and are on our disk: the
        relay need not hand them out.
        """
        ...

    def deposit(self, relay: Relay, queue: TheirQueue, hours: int, blobs: Sequence[tuple[int, bytes]]) -> None:
        """Put blobs into a queue; each has a number of the caller's, whose end is told once, in any order.
        Stamps are made where the queue's flags ask for them.
        """
        ...

    def relay_at(self, written: str) -> Relay:
        """The relay that a person means by MULTIADDR or MULTIADDR#TOKEN. Raises BadAddress."""
        ...

    def is_us(self, relay: PeerKey) -> bool:
        """Whether the relay with this transport key is this node."""
        ...

    def address_of(self, relay: Relay) -> str:
        """Where a relay is, for people: its best address, which ends in /p2p/<peer id>."""
        ...

    def relay_health(self) -> Mapping[RelayName, RelayHealth]:
        """By `Relay.mailbox`: every relay that we watch or deposit at now."""
        ...


class Net(Protocol):
    """The network as the engine sees it. Nothing here waits but `run`; what comes of it is told to its handler."""

    async def run(self, handler: NetHandler, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Be there until cancelled, and tell `handler` what happens. Nothing else is called before it has started."""
        ...

    @property
    def mailboxes(self) -> Mailboxes:
        """The mailboxes at relays."""
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

    def reach(self, contact: ContactId, ways: Sequence[PackedWay]) -> None:
        """Keep a link with this contact; called again, take the new ways."""
        ...

    def nudge(self, contact: ContactId) -> None:
        """There is something to send: if no link is there, try soon."""
        ...

    def lost(self, contact: ContactId) -> None:
        """A link has ended: if it was the last, begin to dial again."""
        ...

    def relink(self, contact: ContactId) -> None:
        """End the links with this contact; the next one begins anew with both outboxes."""
        ...

    def forget(self, contact: ContactId) -> None:
        """Stop reaching and joining this contact and end its links."""
        ...

    def join(self, contact: ContactId, ways: Sequence[PackedWay], hello_key: bytes) -> None:
        """Keep knocking at the inviter's ways; called again, do not wait for the back-off to end."""
        ...

    def joined(self, contact: ContactId) -> None:
        """Stop knocking: the inviter has our first message."""
        ...

    def send(self, contact: ContactId, frames: Sequence[Frame]) -> bool:
        """Write frames on the newest link; False where there is none."""
        ...

    def route(self, contact: ContactId) -> Route | None:
        """How a message would travel now; None where no link is there."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class InviteOffer:
    """An invite of ours whose hello key is kept. `gone`: why it does not work, as the wire says it, or None.
    `doubtful`: it may not have ended yet.
    """

    invite: InviteId
    hello_key: bytes
    gone: int | None
    hidden: bool
    doubtful: bool


class LinkCallbacks(Protocol):
    """What the net asks and tells about links with contacts."""

    def pairs(self, contact: ContactId) -> Sequence[Pair]:
        """The hello keys of one contact, newest session first."""
        ...

    def follow(self, changed: Callable[[Iterable[ContactId]], None]) -> None:
        """`changed` is to be told of the contacts that there are, at once, and then of those whose pairs have changed,
        or whether they are hidden."""
        ...

    def now(self) -> int:
        """The wall clock in ms; hello tags hold a day."""
        ...

    async def received(self, contact: ContactId, session_id: SessionId, route: Route, frames: list[Frame]) -> None:
        """Frames from a contact, in order, on a link whose hello was of `session_id`. Waits while too much waits."""
        ...

    def link_up(self, contact: ContactId, session_id: SessionId) -> None:
        """A link with the contact is there (perhaps not the first), by the hello of session `session_id`."""
        ...

    def link_down(self, contact: ContactId) -> None:
        """A link with the contact has ended (perhaps not the last)."""
        ...

    def moved(self) -> None:
        """Where others may dial us has changed."""
        ...

    def hidden(self, contact: ContactId) -> bool:
        """Whether the contact must not learn where we are."""
        ...

    def found(self, address: bytes) -> None:
        """A contact has reached us at this public address of ours (packed), from outside."""
        ...


class InviteCallbacks(Protocol):
    """What the net asks and tells about invites, ours and those that others gave us."""

    def offer(self, invite: InviteId) -> InviteOffer | None:
        """An invite of ours whose hello key is kept, a dead one too."""
        ...

    def follow_offers(self, changed: Callable[[Iterable[InviteId]], None]) -> None:
        """`changed` is to be told of the invites that there are, by their ids, at once, and then of those that came
        or went."""
        ...

    async def offer_bundle(self, invite: InviteId) -> bytes | None:
        """The sealed bundle of an open invite."""
        ...

    async def tried(self, invite: InviteId, peer: PeerKey) -> None:
        """Somebody at `peer` holds an invite that is gone, and hung up when it was told so."""
        ...

    async def admit(self, invite: InviteId, blob: bytes) -> bool:
        """Commit a first message; True if it is on disk, now or before."""
        ...

    async def pending(self, contact: ContactId) -> bytes | None:
        """The first message to a contact that was committed and is not acked, if there is one."""
        ...

    async def answer_bundle(self, contact: ContactId, blob: bytes) -> bytes | None:
        """Make and commit the first message against the bundle offered; None if the bundle is not the invite's."""
        ...

    async def joined(self, contact: ContactId) -> None:
        """The inviter has our first message on disk."""
        ...

    async def refused(self, contact: ContactId, reason: int) -> None:
        """The invite is gone: used by another, or expired."""
        ...


class MailboxCallbacks(Protocol):
    """What the net tells about mailboxes at relays. Nothing here raises."""

    async def collected(self, relay: RelayName, qid: QueueId, blobs: Sequence[tuple[int, bytes]]) -> None:
        """(place, blob) in order of place, from one of the queues we watch; waits while too much waits."""
        ...

    def deposited(self, relay: RelayName, done: Sequence[tuple[int, int]]) -> None:
        """(number, code of `core.mailbox`): 0 is on the relay's disk."""
        ...

    def undeposited(self, relay: RelayName, numbers: Sequence[int]) -> None:
        """The relay was not reached, or the stream ended before its answer: perhaps it is there, perhaps not."""
        ...

    def relay_up(self, relay: RelayName) -> None:
        """The relay answers: what waits for it can be deposited now."""
        ...

    def relay_down(self, relay: RelayName) -> None:
        """The relay does not answer any more."""
        ...


@dataclass(frozen=True, slots=True)
class NetHandler:
    """Whom the net asks and tells: the engine."""

    links: LinkCallbacks
    invites: InviteCallbacks
    mailboxes: MailboxCallbacks
