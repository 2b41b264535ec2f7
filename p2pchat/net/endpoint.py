"""An endpoint: one of our two hosts, with its links and reservations.

The open endpoint is for everybody; it listens and dials as it can. Hidden contacts use the hidden endpoint only: it has
the only transport key of ours that they know, and to them the open endpoint is a stranger's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import trio

from p2pchat.core.ids import ContactId, PeerKey
from p2pchat.errors import BadAddress
from p2pchat.net import interfaces, multiaddrs
from p2pchat.net.circuit_only_host import CircuitOnlyHost, Ours
from p2pchat.net.files.streams import HostFileStreams
from p2pchat.net.links.invite_protocol import Joining
from p2pchat.net.links.link import Link, Links
from p2pchat.net.links.punching import Punching, observers_of
from p2pchat.net.links.reconnect import Reconnector
from p2pchat.net.ports import Host, Observer, RelayedHost, Routed
from p2pchat.net.relays.reservations import RelayAccess
from p2pchat.net.relays.selection import Relays
from p2pchat.ports import NetHandler, PathState

MAX_WAYS = 4
LEAVE_AFTER = 10.0
"""Seconds that a link stays after its contact has moved to the other endpoint, so that they can be told about it."""


class Endpoint:
    """The links, dialling, joining and relays of one host. `ours`: the addresses of our relays, for the hidden
    endpoint, which punches no holes. observers: returns our relays. held: called with each relay that takes a
    reservation. mapped: returns the addresses that the router has opened for us.
    """

    def __init__(
        self,
        host: RelayedHost,
        handler: NetHandler,
        nursery: trio.Nursery,
        random: Callable[[int], bytes],
        ours: Ours | None = None,
        observers: Callable[[], Sequence[tuple[PeerKey, Sequence[str]]]] = tuple,
        held: Callable[[PeerKey, RelayAccess], None] = lambda relay, access: None,
        mapped: Callable[[], tuple[str, ...]] = tuple,
    ) -> None:
        self._nursery = nursery
        hidden = ours is not None
        self.host: Host = host if ours is None else CircuitOnlyHost(host, ours)
        self.links = Links(self.host, handler.links, hidden=hidden)
        self.files = HostFileStreams(self.host, self.links, handler.links, handler.files, nursery)
        self.reach = Reconnector(self.links, nursery, random)
        self.joining = Joining(self.host, handler.invites, nursery, random, hidden=hidden)
        self._observers = observers
        self._mapped = mapped
        self._punching: Punching | None = None
        if not hidden:
            self._punching = Punching(host, self.links, handler.links, nursery, random, self._observers_for)
        self.relays = Relays(host, nursery, handler.links.now, random, handler.links.moved, held)

    def addresses(self) -> tuple[str, ...]:
        """Return where this endpoint can be dialled, best first."""
        return (*self._mapped(), *self.host.addresses(), *self.relays.ways())

    def ways(self, *, relayed: bool = True, mapped: bool = True) -> list[tuple[PeerKey, bytes]]:
        """Return the few addresses that are given to others, packed, each with our transport key; among them circuits
        if `relayed`, and the router's port if `mapped`.
        """
        circuits = self.relays.ways() if relayed else ()
        observed = self._mapped() if mapped else ()
        ways = []
        for address in interfaces.for_invite(self.host.addresses(), observed=observed, relays=circuits)[:MAX_WAYS]:
            with suppress(BadAddress):  # a relay's name and pass may be too long together
                ways.append((self.host.peer, multiaddrs.pack(address)))
        return ways

    def network_changed(self) -> None:
        """Have every link show that it still works, and begin again to dial everybody else and to ask relays."""
        for contact in self.links.contacts():
            self.links.doubt(contact)
        self.relays.nudge_all()
        if self._punching is not None:
            self._punching.network_changed()
        self._nursery.start_soon(self.reach.all_again)

    def path(self, contact: ContactId) -> PathState:
        """Return how a contact is reached and what was tried, for people."""
        ways, tried = self.reach.attempts(contact)
        now, circuits = trio.current_time(), sum(multiaddrs.parse_target(way).relay is not None for _, way in ways)
        state = PathState(
            direct=len(ways) - circuits,
            circuits=circuits,
            tried=None if tried is None else round(now - tried),
            no_hole=self._punching is not None and self._punching.has_failed(contact),
        )
        link = self.best(contact)
        if link is None:
            return state
        stream = link.stream if isinstance(link.stream, Routed) else None
        return replace(
            state,
            route=link.route,
            relay=None if stream is None else stream.relay,
            family="" if stream is None else multiaddrs.family_of(stream.place),
            short=link.stream.short is not None,
            seconds=round(now - link.began),
            stalled=link.judge.stalled,
        )

    def best(self, contact: ContactId) -> Link | None:
        """Return the link to write on, or None."""
        return self.links.best(contact)

    def drop(self, contact: ContactId) -> None:
        """End the links with a contact, and the streams beside them."""
        self.files.drop(contact)
        self._nursery.start_soon(self.links.drop, contact)

    def forget(self, contact: ContactId) -> None:
        """End everything with a contact."""
        self.reach.forget(contact)
        self.joining.forget(contact)
        if self._punching is not None:
            self._punching.forget(contact)
        self.drop(contact)

    def _observers_for(self, contact: ContactId) -> list[Observer]:
        return observers_of(self._observers(), self.reach.ways(contact))
