"""The clients of all relays' mailboxes: those that hold our queues, and those that hold our contacts' queues."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import replace
from functools import partial

import trio

from p2pchat.core.descriptors import networks
from p2pchat.core.ids import EnvelopeId, PeerKey, QueueId, RelayName
from p2pchat.core.mailbox import MAX_TOKEN
from p2pchat.core.relays import EntryRelay, OwnQueue, Relay, RelayHealth, TheirQueue
from p2pchat.errors import BadAddress, CannotOpen
from p2pchat.log_ports import GroupLogs, LogCallbacks
from p2pchat.net import multiaddrs
from p2pchat.net.circuit_only_host import circuits_by
from p2pchat.net.mailbox.boxes import RelayFileBoxes
from p2pchat.net.mailbox.client import MailboxClient
from p2pchat.net.mailbox.feeds import RelayFeeds
from p2pchat.net.mailbox.logs import NoLogs, RelayLogs
from p2pchat.net.mailbox.records import FirstHops, RecordExchange
from p2pchat.net.mailbox.stream import MailRoute, MailStream, StreamWays, addresses_to_dial, open_as_mail
from p2pchat.net.mailbox.turns import BacklogTurns
from p2pchat.net.ports import Host, NewHost
from p2pchat.ports import Feeds, FileBoxes, MailboxCallbacks, RelayRecords


class MailboxPool:
    """Keeps a `MailboxClient` for each way in which a relay is used (`Relay.mailbox`), in `nursery`. No method here
    waits or raises; results are passed to `mail`.

    clock: ms since the epoch. host: connects to relays, except for the mail of hidden contacts: each of their mailboxes
    has a `new_host` and, unless the user chose the relay, reaches it only over circuits through `relays`, our own
    relays by transport key with their addresses. Each request about a presence record (`records`) has one too.
    answered: called with each relay that was connected to from `host`.
    entries: the relays that may be the first hop to a relay where none of ours leads there. named: those through which
    a relay says that it can be reached. hops: 2 if every mailbox has a `new_host`, and relays are reached by circuits
    alone, also for records; otherwise only records go by circuits, where one of ours leads. log_callbacks: what comes
    of logs is passed to them.
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
        entries: Callable[[PeerKey], Sequence[EntryRelay]] = lambda relay: (),
        hops: int = 1,
        named: Callable[[PeerKey], Collection[PeerKey | None]] = lambda relay: (),
        log_callbacks: LogCallbacks | None = None,
    ) -> None:
        self.records: RelayRecords = RecordExchange(new_host, self.is_us, self._first_hops, circuits_only=hops > 1)
        self.feeds: Feeds = RelayFeeds(new_host, self.is_us, self._first_hops, relays, circuits_only=hops > 1)
        ways = StreamWays(self._host_for, self._connect_beside, self._can_reach, nursery, clock, random)
        self._files = RelayFileBoxes(ways)
        self.boxes: FileBoxes = self._files
        self._logs = RelayLogs(log_callbacks or NoLogs(), ways)
        self.logs: GroupLogs = self._logs
        self._entries = entries
        self._named = named
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
        self._files.network_changed(hidden=hidden)
        self._logs.network_changed(hidden=hidden)

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
        near = multiaddrs.local_blocks(multiaddrs.unpack_known(beside))
        fitting: list[bytes] = []
        for address in addresses:
            with suppress(BadAddress, CannotOpen):
                raw = multiaddrs.pack(address)
                if multiaddrs.beyond((multiaddrs.unpack(raw),), near):
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
                partial(self._circuits_to, relay),
                self._mail,
                self._nursery,
                self._clock,
                self._random,
                partial(self._answered, relay.peer) if self._by_host(relay) else lambda: None,
                self._turns[relay.hidden] if relay.chosen else None,
                entries=partial(self._entries_to, relay),
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

    def _can_reach(self, relay: Relay) -> bool:
        """Return whether a relay may be asked for files and logs: it is not this node, and there is a host to ask
        from.
        """
        return not self.is_us(relay.peer) and (self._by_host(relay) or self._new_host is not None)

    async def _connect_beside(self, host: Host, relay: Relay) -> MailStream:
        """Open a stream for the file boxes of a relay, or for its logs, as its mail goes, but on no short
        connection.
        """
        addresses = addresses_to_dial(relay.addresses, chosen=relay.chosen)
        by_relays = self._circuits_to(relay), self._entries_to(relay)
        way = MailRoute(addresses, relay.token, *by_relays, relay.chosen, relay.hidden, self._hops)
        return await open_as_mail(host, relay.peer, way, lasting=True)

    def _by_host(self, relay: Relay) -> bool:
        return not relay.hidden and self._hops == 1

    def _circuits_to(self, relay: Relay) -> list[str]:
        """Return the circuits to a relay through ours, beginning with those that are in other networks."""
        around = _networks(relay.addresses)
        circuits = circuits_by(self._relays(), relay.peer)
        return sorted(circuits, key=lambda circuit: not around.isdisjoint(_networks_of_first(circuit)))

    def _first_hops(self, relay: Relay) -> FirstHops:
        """Return the circuits to a relay. Those through our own relays are sure to exist where it says that it can be
        reached through these.
        """
        ours, named = self._circuits_to(relay), self._named(relay.peer)
        sure = [circuit for circuit in ours if multiaddrs.parse_target(circuit).relay in named]
        return FirstHops(ours, sure, self._entries_to(relay))

    def _entries_to(self, relay: Relay) -> list[str]:
        """Return the circuits to a relay through others that the user did not choose, at the addresses at which we know
        these: none in a network of the relay itself, since whoever has both would see everything, and none at all for
        hidden contacts.
        """
        if self._hops == 1 or relay.hidden:
            return []
        around = _networks(relay.addresses)
        known = [
            (entry.relay.peer, multiaddrs.unpack_known(entry.relay.addresses)) for entry in self._entries(relay.peer)
        ]
        return [circuit for circuit in circuits_by(known, relay.peer) if around.isdisjoint(_networks_of_first(circuit))]

    async def _keep(self, name: RelayName, mailbox: MailboxClient) -> None:
        await mailbox.keep()
        del self._mailboxes[name]
        self._mail.relay_down(name, tried=False)


def _networks(packed: Sequence[bytes]) -> frozenset[str]:
    """Return the networks in which these addresses are."""
    return networks(multiaddrs.unpack_known(packed, circuits=False))


def _networks_of_first(circuit: str) -> frozenset[str]:
    """Return the network of the relay through which a circuit leads."""
    return networks([replace(multiaddrs.parse_target(circuit), relay=None).text()])
