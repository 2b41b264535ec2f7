"""The interface between engine and net: `Net`, which the engine calls, and `NetHandler`, which the net calls.

Neither imports the other. No call of the engine waits, except those of `RelayRecords`: results are reported to the
handler. Contacts and invites are ids; a relay is named by its `Relay.mailbox` where only bytes name it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

import trio

from p2pchat.core.delivery import Route
from p2pchat.core.files import BlobPlace
from p2pchat.core.frames import Frame
from p2pchat.core.ids import BlobName, ContactId, EnvelopeId, FileId, InviteId, PeerKey, QueueId, RelayName, SessionId
from p2pchat.core.ipns import IpnsRecord
from p2pchat.core.logs import LogKeys as LogKeys
from p2pchat.core.network import NO_MAPPING as NO_MAPPING
from p2pchat.core.network import Machine as Machine
from p2pchat.core.network import MappingState as MappingState
from p2pchat.core.network import NetState as NetState
from p2pchat.core.network import OwnAddress as OwnAddress
from p2pchat.core.network import PathState as PathState
from p2pchat.core.network import PortMapping as PortMapping
from p2pchat.core.network import Scope as Scope
from p2pchat.core.network import TransportHealth as TransportHealth
from p2pchat.core.relays import EntryRelay as EntryRelay
from p2pchat.core.relays import OwnQueue as OwnQueue
from p2pchat.core.relays import Relay as Relay
from p2pchat.core.relays import RelayHealth as RelayHealth
from p2pchat.core.relays import TheirQueue as TheirQueue
from p2pchat.core.session import Pair
from p2pchat.feed_ports import Feeds as Feeds
from p2pchat.log_ports import GroupLogs, LogCallbacks

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # where the installed type stubs of trio have it

Clock = Callable[[], int]
"""Milliseconds since the epoch, UTC."""

PackedWay = tuple[PeerKey, bytes]
"""(transport key, packed address): the engine stores and sends addresses without reading them."""


class RelayRecords(Protocol):
    """Presence records at relays. Each call waits, for some seconds at most, and none raises."""

    async def put(self, relay: Relay, public: bytes, record: bytes) -> int | None:
        """Have a relay keep a record under the public key that signs it. Return a code of `core.mailbox` (0: it has it,
        4: it has a newer one), or None if it did not answer.
        """
        ...

    async def get(self, relay: Relay, public: bytes) -> bytes:
        """Return what a relay has under a public key, unread; b"" if it has nothing or does not answer."""
        ...


class NoBlob(IntEnum):
    """Why the sender of a file does not give a blob of it: `reason` of docs/protocol/files.md."""

    UNKNOWN = 1
    NOT_NOW = 2
    WITHDRAWN = 3
    CHANGED = 4


@dataclass(frozen=True, slots=True)
class BlobRange:
    """Blobs of one file that are asked for: `count` (1 to 16) of them, from `first` on, within their level."""

    file: FileId
    first: BlobPlace
    count: int


@dataclass(frozen=True, slots=True, repr=False)
class Blobs:
    """The answer to a `BlobRange`: its blobs in order, unchecked, and why there are no more; None if that is all."""

    blobs: Sequence[bytes]
    missing: NoBlob | None = None


class FileStreams(Protocol):
    """Streams on which contacts give each other blobs of files (docs/protocol/files.md)."""

    async def get(self, contact: ContactId, wanted: BlobRange) -> Blobs:
        """Ask a contact for blobs. Several calls may wait at once; they are asked in order on one stream, on the best
        link. Raises Unreachable where no link is good for it, and LinkLost if the stream ended or nothing came for
        10 s, unless some blobs came before: these are returned. Both may be tried again.
        """
        ...


class FileCallbacks(Protocol):
    """What the net asks for contacts who fetch files that were sent to them."""

    async def blobs(self, contact: ContactId, wanted: BlobRange) -> Blobs:
        """Return blobs of a file that was sent to this contact. Waits for the disk; does not raise."""
        ...


class NoFiles:
    """`FileCallbacks` of a node that has sent no file to anybody."""

    async def blobs(self, contact: ContactId, wanted: BlobRange) -> Blobs:
        """Return nothing."""
        await trio.lowlevel.checkpoint()
        return Blobs((), NoBlob.UNKNOWN)


class FileBoxes(Protocol):
    """File boxes at relays. A box is that of a queue: theirs, to put, or ours, to get. Each call waits, and none
    raises; None where the relay was not reached, did not answer in time, or has no boxes. A relay that was not reached
    is not tried again for a while, and calls return at once. A slow one may take two minutes for one call, and one that
    is nearly full some seconds of work for each blob.
    """

    async def room(self, relay: Relay) -> int | None:
        """Return how many bytes of blobs the relay keeps in one box; 0: none."""
        ...

    async def have(self, relay: Relay, box: TheirQueue | OwnQueue, names: Sequence[BlobName]) -> Sequence[bool] | None:
        """Return which of at most 256 blobs a relay has."""
        ...

    async def put(
        self, relay: Relay, box: TheirQueue, hours: int, blobs: Sequence[bytes]
    ) -> Sequence[int | None] | None:
        """Have a relay keep at most 16 blobs for so many hours, or for as long as it does. Return a code of
        `core.mailbox` for each: 0, it is on its disk; None, nobody knows.
        """
        ...

    async def get(self, relay: Relay, box: OwnQueue, names: Sequence[BlobName]) -> Sequence[bytes | None] | None:
        """Fetch at most 16 blobs, each with the right name; None for one that did not come."""
        ...

    async def forget(self, relay: Relay, box: TheirQueue | OwnQueue, names: Sequence[BlobName]) -> bool:
        """Have a relay delete blobs; return whether it has. Those it does not have do not matter."""
        ...


class Mailboxes(Protocol):
    """The mailboxes of relays as the engine sees them. Nothing here waits; results are reported to the
    `MailboxCallbacks`. feeds: the channels that relays mirror.
    """

    feeds: Feeds

    @property
    def records(self) -> RelayRecords:
        """The presence records that relays keep."""
        ...

    @property
    def boxes(self) -> FileBoxes:
        """The file boxes at relays."""
        ...

    @property
    def logs(self) -> GroupLogs:
        """The logs at relays."""
        ...

    def watch(self, relay: Relay, queues: Sequence[OwnQueue]) -> None:
        """Collect from these queues at this relay, both what is stored and what arrives later; it is reported as
        `MailboxCallbacks.collected`. A further call replaces the list; an empty one ends it. The relay need not be
        one of ours: it may have the box of an invite, or be one that we left.
        """
        ...

    def change(self, relay: Relay, add: Sequence[OwnQueue], drop: Sequence[QueueId]) -> None:
        """Collect from these queues too, or with what is known about them now; stop collecting from those, by name."""
        ...

    def taken(self, relay: RelayName, qid: QueueId, upto: int) -> None:
        """Everything collected up to this place is on our disk: the relay can delete it."""
        ...

    def forget(self, relay: RelayName, qid: QueueId, names: Sequence[EnvelopeId]) -> None:
        """Envelopes with these names, which may lie in this queue too, came from elsewhere and are on our disk: the
        relay need not hand them out.
        """
        ...

    def deposit(self, relay: Relay, queue: TheirQueue, hours: int, blobs: Sequence[tuple[int, bytes]]) -> None:
        """Put blobs into a queue; each has a number given by the caller, whose result is reported once, in any order.
        Stamps are made if the queue's flags require them.
        """
        ...

    def relay_at(self, written: str) -> Relay:
        """Return the relay that a user means by MULTIADDR or MULTIADDR#TOKEN. Raises BadAddress."""
        ...

    def is_us(self, relay: PeerKey) -> bool:
        """Return whether the relay with this transport key is this node."""
        ...

    def packed(self, addresses: Sequence[str], beside: Sequence[bytes] = ()) -> tuple[bytes, ...]:
        """Return the addresses that a relay gives for itself as text, packed. Left out are those that cannot be dialled
        from here and, unless one of those `beside` them is local too, those that mean something else on every network.
        """
        ...

    def address_of(self, relay: Relay) -> str:
        """Return a relay's best address for people, which ends in /p2p/<peer id>."""
        ...

    def relay_health(self) -> Mapping[RelayName, RelayHealth]:
        """Return, by `Relay.mailbox`, every relay at which we watch or deposit now."""
        ...


@dataclass(frozen=True, slots=True)
class ProxyHealth:
    """The address of a proxy, for people, and what is wrong with it; "" if it answers."""

    address: str
    problem: str


AskProxy = Callable[[], Awaitable[ProxyHealth]]
"""Asks the proxy that everything is dialled through how it is, within seconds."""


class LanMode(StrEnum):
    """When contacts are looked for on the local network. `AUTO`: while no relay of ours answers; otherwise contacts
    who announce themselves are recognised, and nothing is sent.
    """

    OFF = "off"
    AUTO = "auto"
    ON = "on"


@dataclass(frozen=True, slots=True)
class LanHealth:
    """The search for contacts on the local network. looking: this node announces itself now, on a network. found: how
    many contacts were heard lately.
    """

    mode: LanMode = LanMode.OFF
    looking: bool = False
    found: int = 0


class NetView(Protocol):
    """What the net knows about where this node is and how contacts are reached, for people: nothing is decided by it.
    For trio's thread only.
    """

    def state(self) -> NetState:
        """Return where this node is."""
        ...

    def path(self, contact: ContactId) -> PathState:
        """Return how a contact is reached and what was tried."""
        ...

    def lan(self) -> LanHealth:
        """Return how the search for contacts on the local network is."""
        ...


class DhtMode(StrEnum):
    """Where records about how to be found are kept besides the relays' mailboxes: nowhere, at the Kademlia servers of
    relays, or in the public network of IPFS as well.
    """

    OFF = "off"
    RELAYS = "relays"
    PUBLIC = "public"


@dataclass(frozen=True, slots=True)
class DhtHealth:
    """The distributed hash table. servers: how many answer that are responsible for one key, or known here."""

    mode: DhtMode = DhtMode.OFF
    servers: int = 0


AskDht = Callable[[], Awaitable[DhtHealth]]
"""Asks the servers of the distributed hash table for a record that does not exist."""


class RecordNetwork(Protocol):
    """Servers that keep IPNS records for anybody, such as a distributed hash table. Slow: seconds. Both calls raise
    nothing of the network's, have a deadline of their own, and may be cancelled.
    """

    async def publish(self, record: IpnsRecord) -> int | None:
        """Give a record to the servers that are responsible for its key; whose record it is does not matter. Return how
        many have said that they keep it; None where none answers.
        """
        ...

    async def look_up(self, routing_key: bytes) -> IpnsRecord | None:
        """Return the best valid record of a key (`ipns.best`) that the servers hand out; None where none has one. It
        may be an old one: the caller remembers the highest sequence.
        """
        ...


class Net(Protocol):
    """The network as the engine sees it. Only `run` waits; results are reported to its handler.

    records: where IPNS records are published and looked up; None where the user wants none of it. files: the streams on
    which contacts are asked for files.
    """

    records: RecordNetwork | None
    files: FileStreams

    async def run(self, handler: NetHandler, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled, and report events to `handler`. Nothing else may be called before it has started."""
        ...

    @property
    def mailboxes(self) -> Mailboxes:
        """The mailboxes at relays."""
        ...

    def use_relays(
        self,
        relays: Sequence[Relay],
        fallbacks: Sequence[Relay] = (),
        entries: Sequence[EntryRelay] = (),
        circuits: Mapping[PeerKey, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        """Be reachable by circuits through these relays, best first, and through the fallbacks while none of them
        answers; a further call replaces everything. Hidden contacts are reached only through the former.

        entries: others that may be the first of two hops, best first. circuits: by relay, the circuits at which it says
        that it can be reached, as text: of these only which relays they go through is used.
        """
        ...

    def hide(self) -> None:
        """Prepare ways for hidden contacts: there are some, or will be."""
        ...

    def ways(self, *, hidden: bool = False, relayed: bool = True, mapped: bool = True) -> list[PackedWay]:
        """Return where others may dial us, best first; for hidden contacts, only circuits to another transport key.
        Without `relayed`, circuits are left out; without `mapped`, the port that the router of our home has opened.
        """
        ...

    def listening(self) -> list[str]:
        """Return the same for people: addresses that end in /p2p/<peer id>."""
        ...

    def relayed(self) -> bool | None:
        """Return whether we can be reached through a relay now; None if we use no relay."""
        ...

    def reach(self, contact: ContactId, ways: Sequence[PackedWay]) -> None:
        """Keep a link with this contact; a further call replaces the ways."""
        ...

    def nudge(self, contact: ContactId) -> None:
        """Try to make a link soon if there is none: there is something to send."""
        ...

    def lost(self, contact: ContactId) -> None:
        """Note that a link has ended; if it was the last one, begin to dial again."""
        ...

    def relink(self, contact: ContactId) -> None:
        """End the links with this contact; the next link begins again with both outboxes."""
        ...

    def forget(self, contact: ContactId) -> None:
        """Stop dialling and joining this contact, and end its links."""
        ...

    def join(self, contact: ContactId, ways: Sequence[PackedWay], hello_key: bytes) -> None:
        """Keep trying the inviter's ways; a further call does not wait for the back-off to end."""
        ...

    def joined(self, contact: ContactId) -> None:
        """Stop trying: the inviter has our first message."""
        ...

    def send(self, contact: ContactId, frames: Sequence[Frame]) -> bool:
        """Write frames on the newest link; False if there is none."""
        ...

    def route(self, contact: ContactId) -> Route | None:
        """Return how a message would travel now; None if there is no link."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class InviteOffer:
    """One of our invites whose hello key is kept. `gone`: why it does not work, as a wire code, or None. `doubtful`: it
    may not have ended yet.
    """

    invite: InviteId
    hello_key: bytes
    gone: int | None
    hidden: bool
    doubtful: bool


class LinkCallbacks(Protocol):
    """What the net asks and reports about links with contacts."""

    def pairs(self, contact: ContactId) -> Sequence[Pair]:
        """Return the hello keys of one contact, newest session first."""
        ...

    def follow(self, changed: Callable[[Iterable[ContactId]], None]) -> None:
        """Call `changed` with all contacts at once, and then with those whose pairs have changed, or who were hidden or
        shown.
        """
        ...

    def now(self) -> int:
        """Return the wall clock in ms; hello tags are valid for a day."""
        ...

    async def received(self, contact: ContactId, session_id: SessionId, route: Route, frames: list[Frame]) -> None:
        """Process frames from a contact, in order, from a link whose hello was of `session_id`. Waits while too much is
        waiting.
        """
        ...

    def link_up(self, contact: ContactId, session_id: SessionId) -> None:
        """Note that there is a link with the contact (perhaps a further one), by the hello of session `session_id`."""
        ...

    def link_down(self, contact: ContactId) -> None:
        """Note that a link with the contact has ended (perhaps not the last one), or has stalled beside one that
        moves: what is in flight goes over that.
        """
        ...

    def stalled(self, contact: ContactId) -> None:
        """Note that answers are overdue on the only link with the contact; another is being made."""
        ...

    def unreached(self, contact: ContactId) -> None:
        """Note that what is known of the contact has led to no link, again and again while that is so."""
        ...

    def moved(self) -> None:
        """Note that the addresses at which others may dial us have changed."""
        ...

    def hidden(self, contact: ContactId) -> bool:
        """Return whether the contact must not learn our network address."""
        ...

    def found(self, address: bytes) -> None:
        """Note that a contact has reached us from outside at this public (packed) address."""
        ...


class InviteCallbacks(Protocol):
    """What the net asks and reports about invites, ours and those we were given."""

    def offer(self, invite: InviteId) -> InviteOffer | None:
        """Return one of our invites whose hello key is kept, also if it no longer works."""
        ...

    def follow_offers(self, changed: Callable[[Iterable[InviteId]], None]) -> None:
        """Call `changed` with the ids of all invites at once, and then with those that were added or removed."""
        ...

    async def offer_bundle(self, invite: InviteId) -> bytes | None:
        """Return the sealed bundle of an open invite."""
        ...

    async def tried(self, invite: InviteId, peer: PeerKey) -> None:
        """Note that somebody at `peer` has an invite that is gone, and hung up when told so."""
        ...

    async def admit(self, invite: InviteId, blob: bytes) -> bool:
        """Commit a first message; True if it is on disk, now or from before."""
        ...

    async def pending(self, contact: ContactId) -> bytes | None:
        """Return the committed first message to a contact that was not acked, if there is one."""
        ...

    async def answer_bundle(self, contact: ContactId, blob: bytes) -> bytes | None:
        """Make and commit the first message against the offered bundle; None if the bundle does not belong to the
        invite.
        """
        ...

    async def joined(self, contact: ContactId) -> None:
        """Note that the inviter has our first message on disk."""
        ...

    async def refused(self, contact: ContactId, reason: int) -> None:
        """Note that the invite is gone: used by somebody else, or expired."""
        ...


class MailboxCallbacks(Protocol):
    """What the net reports about mailboxes at relays. Nothing here raises."""

    async def collected(self, relay: RelayName, qid: QueueId, blobs: Sequence[tuple[int, bytes]]) -> None:
        """Process (place, blob) pairs in order of place, from one of the queues we watch; waits while too much is
        waiting.
        """
        ...

    def deposited(self, relay: RelayName, done: Sequence[tuple[int, int]]) -> None:
        """Process (number, code of `core.mailbox`) pairs: 0 means that the blob is on the relay's disk."""
        ...

    def undeposited(self, relay: RelayName, numbers: Sequence[int]) -> None:
        """Note deposits whose outcome is unknown: the relay was not reached, or the stream ended before its answer."""
        ...

    def relay_up(self, relay: RelayName) -> None:
        """Note that the relay answers: what waits for it can be deposited now."""
        ...

    def relay_down(self, relay: RelayName, *, tried: bool) -> None:
        """Note that there is no stream with the relay. tried: it does not answer, which is said after each attempt;
        otherwise nothing is needed of it now, so nobody knows.
        """
        ...

    def relays_told(self, relay: PeerKey, descriptors: Sequence[bytes]) -> None:
        """Note that a relay, one of ours or a fallback, answers and told of these relays; nothing is checked yet."""
        ...


@dataclass(frozen=True, slots=True)
class NetHandler:
    """The engine, as the net sees it."""

    links: LinkCallbacks
    invites: InviteCallbacks
    mailboxes: MailboxCallbacks
    files: FileCallbacks = field(default_factory=NoFiles)
    logs: LogCallbacks | None = None
