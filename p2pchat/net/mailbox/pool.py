"""The clients of all relays' mailboxes: those that hold our queues, and those that hold our contacts' queues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import replace
from functools import partial

import trio

from p2pchat.core.descriptors import networks
from p2pchat.core.ids import EnvelopeId, PeerKey, QueueId, RelayName
from p2pchat.core.mailbox import MAX_TOKEN
from p2pchat.core.relays import OwnQueue, Relay, RelayHealth, TheirQueue
from p2pchat.errors import BadAddress, CannotOpen
from p2pchat.net import multiaddrs
from p2pchat.net.circuit_only_host import circuits_by
from p2pchat.net.mailbox.client import MailboxClient
from p2pchat.net.mailbox.records import FirstHops, RecordExchange
from p2pchat.net.mailbox.turns import BacklogTurns
from p2pchat.net.ports import Host, NewHost
from p2pchat.ports import MailboxCallbacks, RelayRecords


class MailboxPool:
    """Keeps a `MailboxClient` for each way in which a relay is used (`Relay.mailbox`), in `nursery`. No method here
    waits or raises; results are passed to `mail`.

    clock: ms since the epoch. host: connects to relays, except for the mail of hidden contacts: each of their mailboxes
    has a `new_host` and, unless the user chose the relay, reaches it only over circuits through `relays`, our own
    relays by transport key with their addresses. Each request about a presence record (`records`) has one too.
    answered: called with each relay that was connected to from `host`.
    doors: the circuits at which a relay says that it can be reached. hops: 2 if every mailbox has a `new_host`, and
    relays are reached by circuits alone, also for records; otherwise only records go by circuits, where these lead.
    """

    def __init__(
        self,
        host: Host,
        mail: MailboxCallbacks,
        nursery: trio.Nursery,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
        new_host: NewHost | None = None,
        relays: Callable[[], Sequence[tuple[PeerKey, Sequence[str]]]] = tuple,
        answered: Callable[[PeerKey], None] = lambda relay: None,
        doors: Callable[[PeerKey], Sequence[str]] = lambda relay: (),
        hops: int = 1,
    ) -> None:
        self.records: RelayRecords = RecordExchange(new_host, self.is_us, self._first_hops, circuits_only=hops > 1)
        self._doors = doors
        self._hops = hops
        self._new_host = new_host
        self._relays = relays
        self._answered = answered
        self._host = host
        self._mail = mail
        self._nursery = nursery
        self._clock = clock
        self._random = random
        self._mailboxes: dict[RelayName, MailboxClient] = {}
        self._turns = {hidden: BacklogTurns() for hidden in (False, True)}

    def watch(self, relay: Relay, queues: Sequence[OwnQueue]) -> None:
        """Collect from exactly these queues at a relay, from behind their place `after`; an empty list ends it."""
        if queues or relay.mailbox in self._mailboxes:
            self._of(relay).watch(relay, queues)

    def change(self, relay: Relay, add: Sequence[OwnQueue], drop: Sequence[QueueId]) -> None:
        """Start collecting from `add` (or update what is known of them), and stop collecting from the queues named in
        `drop`.
        """
        if add or relay.mailbox in self._mailboxes:
            self._of(relay).change(relay, add, drop)

    def taken(self, relay: RelayName, qid: QueueId, upto: int) -> None:
        """Note that everything up to the place `upto` is on our disk, so that the relay can delete it."""
        mailbox = self._mailboxes.get(relay)
        if mailbox is not None:
            mailbox.taken(qid, upto)

    def forget(self, relay: RelayName, qid: QueueId, names: Sequence[EnvelopeId]) -> None:
        """Note that envelopes with these names, of which the queue may have copies, were received elsewhere and are on
        our disk.
        """
        mailbox = self._mailboxes.get(relay)
        if mailbox is not None:
            mailbox.forget(qid, names)

    def deposit(self, relay: Relay, queue: TheirQueue, hours: int, blobs: Sequence[tuple[int, bytes]]) -> None:
        """Deposit blobs, given as (number, blob), in a queue, to be kept for so many hours, or for the relay's maximum
        if that is less.
        """
        if blobs:
            self._of(relay).deposit(relay, queue, hours, blobs)

    def network_changed(self, *, hidden: bool) -> None:
        """Have every relay where there is mail of `hidden` contacts, or of the others, show that it is still there, or
        try it at once.
        """
        for mailbox in self._mailboxes.values():
            if mailbox.hidden == hidden:
                mailbox.network_changed()

    def relay_health(self) -> dict[RelayName, RelayHealth]:
        """Return the state of every relay that we watch or deposit at, by `Relay.mailbox`."""
        return {name: mailbox.health for name, mailbox in self._mailboxes.items()}

    def answers(self) -> bool:
        """Return whether a relay that the user chose answers."""
        return any(mailbox.chosen and mailbox.health.state == "connected" for mailbox in self._mailboxes.values())

    def relay_at(self, written: str) -> Relay:
        """Return the relay that a user gives as MULTIADDR or MULTIADDR#TOKEN. Raises BadAddress."""
        text, _, word = written.strip().partition("#")
        peer, address = multiaddrs.parse_full(text)
        token = word.encode("utf-8", "surrogatepass")
        if multiaddrs.parse_target(address).relay is not None:
            raise BadAddress("A relay cannot be reached by another relay")
        if len(token) > MAX_TOKEN:
            raise BadAddress(f"A relay's token has at most {MAX_TOKEN} bytes")
        if self.is_us(peer):
            raise BadAddress("That is this node itself")
        return Relay(peer, (multiaddrs.pack(address),), token)

    def is_us(self, relay: PeerKey) -> bool:
        """Return whether the relay with this transport key is this node."""
        return relay == self._host.peer

    def packed(self, addresses: Sequence[str], beside: Sequence[bytes] = ()) -> tuple[bytes, ...]:
        """Return the addresses that a relay gives for itself, packed: see `ports.Mailboxes`."""
        near = set()
        for known in beside:
            with suppress(CannotOpen):
                near.add(_block(multiaddrs.unpack(known)))
        fitting: list[bytes] = []
        for address in addresses:
            with suppress(BadAddress, CannotOpen):
                raw = multiaddrs.pack(address)
                block = _block(multiaddrs.unpack(raw))
                if block is None or block in near:
                    fitting.append(raw)
        return tuple(fitting)

    def address_of(self, relay: Relay) -> str:
        """Return the address of a relay to show: its best one, ending in /p2p/<peer id>."""
        try:
            return multiaddrs.full(relay.peer, multiaddrs.unpack(relay.addresses[0]))
        except CannotOpen:  # an address of an unknown kind
            return f"/p2p/{multiaddrs.peer_id(relay.peer)}"

    def _of(self, relay: Relay) -> MailboxClient:
        mailbox = self._mailboxes.get(relay.mailbox)
        if mailbox is None:
            mailbox = MailboxClient(
                relay,
                partial(self._host_for, relay),
                partial(self._circuits_to, relay.peer),
                self._mail,
                self._nursery,
                self._clock,
                self._random,
                partial(self._answered, relay.peer) if self._by_host(relay) else lambda: None,
                self._turns[relay.hidden] if relay.chosen else None,
                doors=partial(self._doors_to, relay) if self._hops > 1 else tuple,
                hops=self._hops,
            )
            self._mailboxes[relay.mailbox] = mailbox
            self._nursery.start_soon(self._keep, relay.mailbox, mailbox)
        return mailbox

    def _host_for(self, relay: Relay) -> AbstractAsyncContextManager[Host]:
        if self._by_host(relay):
            return nullcontext(self._host)
        if self._new_host is None:
            raise RuntimeError("there is no host for hidden contacts' mail")
        return self._new_host()

    def _by_host(self, relay: Relay) -> bool:
        return not relay.hidden and self._hops == 1

    def _circuits_to(self, peer: PeerKey) -> list[str]:
        return circuits_by(self._relays(), peer)

    def _first_hops(self, relay: Relay) -> FirstHops:
        """Return the circuits to a relay. Those through our own relays are sure to exist where it says that it can be
        reached through these.
        """
        doors = self._doors_to(relay)
        named = {multiaddrs.parse_target(door).relay for door in doors}
        sure = circuits_by([(peer, ways) for peer, ways in self._relays() if peer in named], relay.peer)
        return FirstHops(self._circuits_to(relay.peer), sure, doors)

    def _doors_to(self, relay: Relay) -> list[str]:
        """Return the circuits at which a relay says that it can be reached, through others that are not in a network of
        its own: whoever has both would see everything.
        """
        places: set[str] = set()
        for raw in relay.addresses:
            with suppress(CannotOpen):
                places |= networks([multiaddrs.unpack(raw)])
        fitting = []
        for text in self._doors(relay.peer):
            with suppress(BadAddress):
                door = multiaddrs.parse_target(text)
                if door.relay not in (None, relay.peer) and places.isdisjoint(
                    networks([replace(door, relay=None).text()])
                ):
                    fitting.append(text)
        return fitting

    async def _keep(self, name: RelayName, mailbox: MailboxClient) -> None:
        await mailbox.keep()
        del self._mailboxes[name]


def _block(address: str) -> multiaddrs.IPNetwork | None:
    """Return the block of local addresses in which an address is; None for a public one and for a name."""
    host = multiaddrs.parse_target(address).host
    return None if isinstance(host, multiaddrs.Name) else multiaddrs.local_block(host)
