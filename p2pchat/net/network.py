"""The network as the engine uses it: links, joining and mailboxes, over one host for everybody and one for hidden
contacts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

import trio

from p2pchat.core.delivery import Route
from p2pchat.core.frames import Frame
from p2pchat.core.ids import ContactId, PeerKey
from p2pchat.core.names import relay_pass
from p2pchat.core.relays import EntryRelay, Relay
from p2pchat.errors import BadAddress
from p2pchat.lib.backoff import jittered
from p2pchat.net import multiaddrs, network_watch
from p2pchat.net.endpoint import LEAVE_AFTER, Endpoint
from p2pchat.net.files.streams import BestFileStreams
from p2pchat.net.kademlia.network import KademliaNetwork
from p2pchat.net.kademlia.where import RelayServers
from p2pchat.net.lan.discovery import Discovery, Medium
from p2pchat.net.links.link import Link
from p2pchat.net.links.reconnect import DialTarget
from p2pchat.net.mailbox.pool import MailboxPool
from p2pchat.net.mapping.mapper import PortMapper
from p2pchat.net.network_memory import NetworkMemory
from p2pchat.net.network_watch import NetworkWatch
from p2pchat.net.ports import NewHost, RelayedHost
from p2pchat.net.relays.lists import RelayLists
from p2pchat.net.relays.reservations import RelayAccess
from p2pchat.net.view import NetworkView
from p2pchat.ports import FileStreams, LanMode, Machine, MailboxCallbacks, Mailboxes, NetHandler, RecordNetwork

if TYPE_CHECKING:
    from trio_typing import TaskStatus  # where the installed type stubs of trio have it

HIDDEN_LATER_SECONDS = 10.0
"""Seconds, at most, after which the host for hidden contacts follows the other when the network has changed."""


class Network:
    """Connects the parts of the net, as `ports.Net`; addresses are text inside and packed outside.

    host: the host for everybody. hidden_host: the one for hidden contacts. new_host: makes hosts for the mail of hidden
    contacts and for presence records; without it there are neither. medium, lan_mode: the local networks, and when to
    look for contacts there. records: where IPNS records are kept besides relays' mailboxes, if anywhere; it asks our
    relays too.
    hops: 2 if mailboxes are reached through a second relay only. memory: that of both hosts, told when the network
    changes.
    machine: asks the system for the networks of this machine. mapper: asks its router for a port.
    """

    def __init__(
        self,
        host: RelayedHost,
        hidden_host: RelayedHost,
        random: Callable[[int], bytes],
        new_host: NewHost | None = None,
        medium: Medium | None = None,
        lan_mode: LanMode = LanMode.OFF,
        watch: NetworkWatch | None = None,
        records: KademliaNetwork | None = None,
        hops: int = 1,
        memory: NetworkMemory | None = None,
        machine: Callable[[], Machine] = network_watch.machine,
        mapper: PortMapper | None = None,
    ) -> None:
        self._memory = memory
        self._hops = hops
        self._entries: Sequence[EntryRelay] = ()
        self._circuits: Mapping[PeerKey, Sequence[str]] = {}
        self.records: RecordNetwork | None = records
        if records is not None:
            records.of_relays = RelayServers(host, lambda: self._relays)
        self._medium = medium
        self._lan_mode = LanMode.OFF if medium is None else lan_mode
        self._mapper = mapper
        self.view = NetworkView(machine, self._lan_mode, hops, memory, mapper)
        self._discovery: Discovery | None = None
        self._host = host
        self._hidden_host = hidden_host
        self._random = random
        self._new_host = new_host
        self._watch = watch
        self._pooled: MailboxPool | None = None
        self._relays: dict[PeerKey, RelayAccess] = {}
        self._fallbacks: dict[PeerKey, RelayAccess] = {}
        self._lists: RelayLists
        self._hiding = False
        self._handler: NetHandler
        self._nursery: trio.Nursery
        self._open: Endpoint
        self._hidden: Endpoint
        self.mailboxes: Mailboxes
        self.files: FileStreams = BestFileStreams(lambda contact: self._endpoint(contact).files)

    async def run(self, handler: NetHandler, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until cancelled, and report events to `handler`."""
        async with trio.open_nursery() as nursery:
            self._handler, self._nursery = handler, nursery
            self._lists = RelayLists(self._host, nursery, self._random, handler.mailboxes.relays_told)
            self._open = Endpoint(
                self._host,
                handler,
                nursery,
                self._random,
                observers=self._all_relays,
                held=self._held,
                mapped=tuple if self._mapper is None else self._mapper.addresses,
            )
            self._hidden = Endpoint(self._hidden_host, handler, nursery, self._random, self._where)
            for endpoint in (self._open, self._hidden):
                endpoint.reach.unreached = handler.links.unreached
            self.mailboxes = self._pool(handler.mailboxes, nursery)
            if self._medium is not None:
                self._discovery = self._discover(self._medium)
                nursery.start_soon(self._discovery.run)
            self.view.begin(self._open, self._hidden, handler.links.hidden, self._discovery)
            if self._watch is not None:
                nursery.start_soon(self._watch.run, self._network_changed)
            nursery.start_soon(self._lists.run, self._all_in_use)
            if self._mapper is not None:
                nursery.start_soon(self._mapper.run, handler.links.moved)
            task_status.started()
            await trio.sleep_forever()

    def _pool(self, callbacks: MailboxCallbacks, nursery: trio.Nursery) -> Mailboxes:
        """Make the mailboxes. The engine's tests provide others."""
        now = self._handler.links.now
        self._pooled = MailboxPool(
            self._host,
            callbacks,
            nursery,
            now,
            self._random,
            self._new_host,
            self._all_relays,
            self._answered,
            self._entries_to,
            self._hops,
            self._named_by,
            self._handler.logs,
        )
        return self._pooled

    def _network_changed(self) -> None:
        """Note that this machine is on another network, or has slept: end what did not survive that, begin again, and
        have contacts told where we are.
        """
        if self._memory is not None:
            self._memory.network_changed()
        if self._mapper is not None:
            self._mapper.network_changed()
        self._has_changed(hidden=False)
        if self._discovery is not None:
            self._discovery.network_changed()
        if self._hiding:
            self._nursery.start_soon(self._hidden_later)
        self._handler.links.moved()

    async def _hidden_later(self) -> None:
        """Do the same for hidden contacts a little later, so that the two hosts do not appear in step."""
        await trio.sleep(jittered(HIDDEN_LATER_SECONDS, self._random))
        self._has_changed(hidden=True)

    def _has_changed(self, *, hidden: bool) -> None:
        (self._hidden_host if hidden else self._host).network_changed()
        (self._hidden if hidden else self._open).network_changed()
        if self._pooled is not None:
            self._pooled.network_changed(hidden=hidden)

    def _discover(self, medium: Medium) -> Discovery:
        """Return the search for contacts on the local network; where one was heard is one more way to dial them."""
        reach, joining = self._open.reach, self._open.joining
        discovery = Discovery(
            medium,
            self._lan_mode,
            self._host.peer,
            self._handler.links,
            self._handler.invites,
            self._random,
            self._relay_answers,
            self._is_direct,
            reach.heard,
            joining.heard,
        )
        reach.found, joining.found = discovery.ways, discovery.ways_to_join
        return discovery

    def use_lan(self, mode: LanMode) -> None:
        """Look for contacts on the local network as this mode says, from now on."""
        if self._discovery is not None:
            self._discovery.use(mode)

    # --- where we are ----------------------------------------------------------------------------------------------

    def use_relays(
        self,
        relays: Sequence[Relay],
        fallbacks: Sequence[Relay] = (),
        entries: Sequence[EntryRelay] = (),
        circuits: Mapping[PeerKey, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        """Be reachable by circuits through these relays, best first, or the fallbacks while none of them answers."""
        self._relays, self._fallbacks = self._accesses(relays), self._accesses(fallbacks)
        self._entries, self._circuits = entries, circuits
        self._open.relays.use(self._relays, self._fallbacks)
        if self._hiding:
            self._hidden.relays.use(self._relays)

    def _entries_to(self, relay: PeerKey) -> Sequence[EntryRelay]:
        """Return the entry relays through which a relay says that it can be reached, in our order, without those that
        we know from that relay itself.
        """
        named = self._named_by(relay)
        return [entry for entry in self._entries if entry.relay.peer in named and entry.source != relay]

    def _named_by(self, relay: PeerKey) -> frozenset[PeerKey | None]:
        """Return the relays through which a relay says that it can be reached."""
        return frozenset(multiaddrs.parse_target(address).relay for address in _readable(self._circuits.get(relay, ())))

    def _accesses(self, relays: Sequence[Relay]) -> dict[PeerKey, RelayAccess]:
        accesses = {}
        for relay in relays:
            ways = multiaddrs.unpack_known(relay.addresses, circuits=False)
            if ways and not self._is_us(relay.peer):
                opened = multiaddrs.with_pass(ways, relay_pass(relay.peer, relay.token))
                accesses[relay.peer] = RelayAccess(opened, relay.token, relay.chosen)
        return accesses

    def _held(self, relay: PeerKey, access: RelayAccess) -> None:
        """Ask a relay for its list that no mailbox of the open host connects to."""
        if relay not in self._relays or self._hops > 1:
            self._lists.answers(relay, access)

    def _all_in_use(self) -> dict[PeerKey, RelayAccess]:
        return self._fallbacks | self._relays

    def _answered(self, relay: PeerKey) -> None:
        """Reserve at once at a relay whose mailbox has just connected, and ask one of ours which others it knows. The
        hidden endpoint asks separately: if both asked at the same moment, the relay could tell that they belong
        together.
        """
        self._open.relays.nudge(relay)
        if relay in self._relays:
            self._lists.answers(relay, self._relays[relay])

    def hide(self) -> None:
        """Open the endpoint for hidden contacts: there are some, or will be."""
        if not self._hiding:
            self._hiding = True
            self._hidden.relays.use(self._relays)

    def ways(self, *, hidden: bool = False, relayed: bool = True, mapped: bool = True) -> list[tuple[PeerKey, bytes]]:
        """Return where others may dial us, best first, at most four.

        hidden: the ways for hidden contacts, which are circuits only. relayed, mapped: whether the others include
        circuits, and the port that a router has opened for us.
        """
        return (self._hidden if hidden else self._open).ways(relayed=relayed, mapped=mapped)

    def listening(self) -> list[str]:
        """Return every address we can be dialled at, with our peer id."""
        return [multiaddrs.full(self._open.host.peer, address) for address in self._open.addresses()]

    def relayed(self) -> bool | None:
        """Return whether we can be reached through a relay now; None if we use no relay."""
        return bool(self._open.relays.ways()) if self._relays else None

    def _relay_answers(self) -> bool | None:
        """Return the same, or whether the mailbox of one of our relays answers: there are no reservations over short
        connections.
        """
        relayed = self.relayed()
        return relayed if relayed is not False or self._pooled is None else self._pooled.answers()

    # --- contacts --------------------------------------------------------------------------------------------------

    def reach(self, contact: ContactId, ways: Sequence[tuple[PeerKey, bytes]]) -> None:
        """Keep a link with a contact."""
        side, other = self._sides(contact)
        if other.reach.wants(contact) or other.best(contact) is not None:
            self._nursery.start_soon(self._leave, other, contact)
        side.reach.want(contact, self._unpacked(ways))

    def nudge(self, contact: ContactId) -> None:
        """Try to make a link soon, if there is none."""
        side, _ = self._sides(contact)
        if side.best(contact) is None:
            side.reach.nudge(contact)

    def lost(self, contact: ContactId) -> None:
        """Begin to dial again: a link with the contact has ended."""
        side, _ = self._sides(contact)
        if side.best(contact) is None:
            side.reach.again(contact)

    def relink(self, contact: ContactId) -> None:
        """End the links with a contact; whoever reaches for the other makes the next."""
        for side in self._sides(contact):
            side.drop(contact)

    def forget(self, contact: ContactId) -> None:
        """End everything with a contact."""
        if self._discovery is not None:
            self._discovery.joined(contact)
        for side in self._sides(contact):
            side.forget(contact)

    def join(self, contact: ContactId, ways: Sequence[tuple[PeerKey, bytes]], hello_key: bytes) -> None:
        """Try the inviter's ways until the invite is settled. hello_key: 32 bytes that prove that we have
        the invite.
        """
        side, _ = self._sides(contact)
        if self._discovery is not None and side is self._open:
            self._discovery.join(contact, hello_key)
        side.joining.join(contact, self._unpacked(ways), hello_key)

    def joined(self, contact: ContactId) -> None:
        """Stop dialling `contact` with its invite: they have joined."""
        if self._discovery is not None:
            self._discovery.joined(contact)
        for side in self._sides(contact):
            side.joining.forget(contact)

    def send(self, contact: ContactId, frames: Sequence[Frame]) -> bool:
        """Queue frames on the best link."""
        link = self._best(contact)
        return link is not None and link.post(frames)

    def route(self, contact: ContactId) -> Route | None:
        """Return the best link's route, None without a link."""
        link = self._best(contact)
        return None if link is None else link.route

    def _is_direct(self, contact: ContactId) -> bool:
        link = self._best(contact)
        return link is not None and link.stream.route == Route.DIRECT

    def _sides(self, contact: ContactId) -> tuple[Endpoint, Endpoint]:
        """Return the endpoint for a contact, and the other one."""
        return (self._hidden, self._open) if self._handler.links.hidden(contact) else (self._open, self._hidden)

    def _best(self, contact: ContactId) -> Link | None:
        return self._endpoint(contact).best(contact)

    def _endpoint(self, contact: ContactId) -> Endpoint:
        """Return the endpoint with the best link: that for the contact, or the other while only that one has a link."""
        side, other = self._sides(contact)
        return other if side.best(contact) is None and other.best(contact) is not None else side

    async def _leave(self, side: Endpoint, contact: ContactId) -> None:
        """End what is left with a contact at this endpoint, since it uses the other one now; unless it came back."""
        await trio.sleep(LEAVE_AFTER)
        if self._sides(contact)[0] is not side:
            side.forget(contact)

    # --- addresses -------------------------------------------------------------------------------------------------

    def _where(self, relay: PeerKey) -> tuple[str, ...]:
        access = self._relays.get(relay)
        return () if access is None else access.addresses

    def _all_relays(self) -> list[tuple[PeerKey, tuple[str, ...]]]:
        return [(relay, access.addresses) for relay, access in self._relays.items()]

    def _is_us(self, peer: PeerKey) -> bool:
        return peer in (self._open.host.peer, self._hidden.host.peer)

    def _unpacked(self, ways: Sequence[tuple[PeerKey, bytes]]) -> list[DialTarget]:
        return [
            (peer, address)
            for peer, packed in ways
            if not self._is_us(peer)
            for address in multiaddrs.unpack_known([packed])
        ]


def _readable(addresses: Sequence[str]) -> Iterator[str]:
    """Return those of hostile addresses that we can read."""
    for address in addresses:
        with suppress(BadAddress):
            yield multiaddrs.parse_target(address).text()
