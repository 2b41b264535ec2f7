"""Finds contacts on the local network, without any server (docs/protocol/lan.md).

It announces this node to its contacts, less and less often, and begins again when a network comes or goes. What it
hears is read at a bounded rate, whoever sends it. Where a contact was heard is a further address to dial; the link
proves who answers there.
"""

from __future__ import annotations

import ipaddress
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import trio

from p2pchat.core import lan
from p2pchat.core.ids import ContactId, InviteId, PeerKey
from p2pchat.core.session import STANDING, Pair, hello_days
from p2pchat.errors import CannotOpen
from p2pchat.lib.backoff import Backoff
from p2pchat.lib.token_bucket import TokenBucket
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net.multiaddrs import IP
from p2pchat.ports import InviteCallbacks, LanHealth, LanMode, LinkCallbacks

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 300.0
"""Between two announcements. Whoever comes later announces itself at once, so the later ones only mend losses."""
CHECK_SECONDS = 5.0
"""Between two looks at the network interfaces, and at whether there is a reason to announce."""
OPENING_SECONDS = 30.0
"""How long to try a new address again that cannot be used yet: IPv6 asks for a second whether anybody else has it."""
PATIENCE_SECONDS = 15.0
"""How long relays have to answer, after the start, on another network, or when the last one has gone; after that, the
network is taken for one without relays.
"""
KEPT_SECONDS = 2 * LONGEST_PAUSE_SECONDS
"""How long an address counts after it was heard."""
MAX_READ_BURST, MAX_READ_A_SECOND = 20, 5.0
"""Announcements that are read, from all senders together: each costs some microseconds for every contact."""
MAX_FROM_ONE_BURST, MAX_FROM_ONE_A_SECOND = 8, 0.5
MAX_SOURCES = 256
MAX_ORIGINS = 512
MAX_ADDRESSES = 4
"""Of one contact."""
_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class Place:
    """One of this machine's addresses in a local network: `ip` is what the others see, `port` the TCP port on which
    this node answers there.
    """

    ip: IP
    port: int


class Medium(Protocol):
    """The local networks of this machine: `sockets.Multicast`, or the tests' own."""

    def places(self) -> tuple[Place, ...]:
        """Return where an announcement would be sent from now; empty without a network."""
        ...

    def close(self) -> None:
        """Send and receive nothing from now on, until `open` is called."""
        ...

    def open(self) -> bool:
        """Receive on the networks there are now, and send from their places; return whether all of them can be used."""
        ...

    def send(self, place: Place, packet: bytes) -> None:
        """Send a packet to everybody on the network of a place, unless that is gone."""
        ...

    async def receive(self) -> tuple[bytes, IP]:
        """Wait for a packet from somebody on one of our networks, while open; return it and where it came from."""
        ...


Heard = Callable[[ContactId], None]
"""Called with a contact, or with somebody whose invite we use, who was heard at an address that is new."""


class Discovery:
    """Where contacts are on the local network.

    mode: when to look. peer: our transport key. relayed: whether a relay of ours answers (`Net.relayed`). linked:
    whether there is a direct link with a contact already. heard: told of every new address of a contact. met: told of
    every new address of somebody whose invite we use.
    """

    def __init__(
        self,
        medium: Medium,
        mode: LanMode,
        peer: PeerKey,
        callbacks: LinkCallbacks,
        invites: InviteCallbacks,
        random: Callable[[int], bytes],
        relayed: Callable[[], bool | None],
        linked: Callable[[ContactId], bool],
        heard: Heard,
        met: Heard,
    ) -> None:
        self._medium = medium
        self._mode = mode
        self._peer = peer
        self._callbacks = callbacks
        self._invites = invites
        self._random = random
        self._relayed = relayed
        self._linked = linked
        self._heard = heard
        self._met = met
        self._contacts: dict[ContactId, Pair] = {}
        self._offers: set[InviteId] = set()
        self._joins: dict[ContactId, bytes] = {}
        self._queue: list[bytes] = []
        self._keys: dict[int, dict[bytes, bytes]] = {}
        self._listened_for: dict[bytes, ContactId] = {}
        self._found: dict[bytes, OrderedDict[tuple[PeerKey, str], float]] = {}
        self._origins: OrderedDict[bytes, None] = OrderedDict()
        self._places: tuple[Place, ...] = ()
        self._on = False
        self._relays_have_until = 0.0
        self._look = Wakeup()
        self._switched = Wakeup()
        self._changed = Wakeup()
        self._all = TokenBucket(MAX_READ_BURST, MAX_READ_A_SECOND)
        self._each: OrderedDict[IP, TokenBucket] = OrderedDict()
        self.announced = 0
        callbacks.follow(self._learn)
        invites.follow_offers(self._learn_offers)

    async def run(self) -> None:
        """Look for contacts until cancelled, while the mode is not `OFF`."""
        while True:
            self._switched.clear()
            async with trio.open_nursery() as nursery:
                if self._mode != LanMode.OFF:
                    nursery.start_soon(self._watch)
                    nursery.start_soon(self._announce)
                    nursery.start_soon(self._listen)
                await self._switched.wait()
                nursery.cancel_scope.cancel()
            self._medium.close()
            self._on, self._places = False, ()
            self._found.clear()

    def use(self, mode: LanMode) -> None:
        """Look for contacts as this mode says, from now on."""
        before, self._mode = self._mode, mode
        if before != mode and LanMode.OFF in (before, mode):
            self._switched.set()
        else:
            self._look.set()

    def ways(self, contact: ContactId) -> list[tuple[PeerKey, str]]:
        """Return where a contact was heard lately, newest first."""
        pair = self._contacts.get(contact)
        return [] if pair is None else self._ways(pair.theirs)

    def ways_to_join(self, contact: ContactId) -> list[tuple[PeerKey, str]]:
        """Return where somebody whose invite we use was heard lately, newest first."""
        return self._ways(self._joins.get(contact, b""))

    def _ways(self, key: bytes) -> list[tuple[PeerKey, str]]:
        oldest = trio.current_time() - KEPT_SECONDS
        return [way for way, at in reversed(self._found.get(key, OrderedDict()).items()) if at > oldest]

    def health(self) -> LanHealth:
        """Return how it is now, for people."""
        found = sum(1 for contact in self._contacts if self.ways(contact))
        return LanHealth(self._mode, self._on and bool(self._places), found)

    # --- when ------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Notice networks that come and go, and whether there is a reason to announce ourselves."""
        self._relays_have_until = trio.current_time() + PATIENCE_SECONDS
        usable, try_until = True, 0.0
        while True:
            self._look.clear()
            now = trio.current_time()
            was_on, self._on = self._on, self._has_reason(now)
            places = self._medium.places()
            changed = places != self._places
            if changed:
                self._places, try_until = places, now + OPENING_SECONDS
                self._found.clear()
            if changed or (not usable and now < try_until):
                self._medium.close()
                usable = not places or self._medium.open()
                if changed or usable:
                    self._changed.set()
            elif self._on and not was_on:
                self._changed.set()
            with trio.move_on_after(CHECK_SECONDS):
                await self._look.wait()

    def _has_reason(self, now: float) -> bool:
        """Return whether to announce ourselves; to listen shows nothing, and needs no reason."""
        relayed = self._relayed()
        if relayed:
            self._relays_have_until = now + PATIENCE_SECONDS
        return self._mode == LanMode.ON or relayed is None or (not relayed and now >= self._relays_have_until)

    def network_changed(self) -> None:
        """Begin again: this machine is on another network, or has slept. Relays get time to answer there first."""
        self._relays_have_until = trio.current_time() + PATIENCE_SECONDS
        self._places = ()
        self._look.set()

    # --- speaking --------------------------------------------------------------------------------------------------

    async def _announce(self) -> None:
        backoff = Backoff(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS, self._random)
        while True:
            self._changed.clear()
            if self._on:
                self._announce_once()
            with trio.move_on_after(backoff.pause()):
                await self._changed.wait()
                backoff.reset()

    def _announce_once(self) -> None:
        days = hello_days(self._callbacks.now())
        told = self._next()
        if not told:
            return
        for place in self._places:
            salt, source = self._random(lan.SALT), packed(place.ip)
            self._is_new(salt + source)
            keys = [lan.day_key(key, days[0]) for key in told]
            here = lan.Answering(place.port, self._peer)
            self._medium.send(place, lan.announce(salt, source, keys, here, self._random))
            self.announced += 1

    def _next(self) -> list[bytes]:
        """Return our keys for those who are told by the next announcement: contacts without a direct link, and whoever
        has an open invite, in turns where they are many.
        """
        wanted = {pair.ours for contact, pair in self._contacts.items() if not self._linked(contact)}
        for offer in map(self._invites.offer, self._offers):
            if offer is not None and not offer.hidden and offer.gone is None:
                wanted.add(offer.hello_key)
        self._queue = [key for key in self._queue if key in wanted]
        if len(self._queue) < lan.SLOTS:
            self._queue += sorted(wanted - set(self._queue), key=lambda key: self._random(8))
        told, self._queue = self._queue[: lan.SLOTS], self._queue[lan.SLOTS :]
        return told

    # --- listening -------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        while True:
            packet, source = await self._medium.receive()
            now = trio.current_time()
            if not self._all.take(now):
                await trio.sleep(1 / MAX_READ_A_SECOND)  # what comes meanwhile, the system drops
            elif self._may_speak(source, now):
                with suppress(CannotOpen):
                    await self._hear(lan.read(packet), source)

    def _may_speak(self, source: IP, now: float) -> bool:
        bucket = self._each.pop(source, None) or TokenBucket(MAX_FROM_ONE_BURST, MAX_FROM_ONE_A_SECOND)
        self._each[source] = bucket
        if len(self._each) > MAX_SOURCES:
            self._each.popitem(last=False)
        return bucket.take(now)

    async def _hear(self, came: lan.Announcement, source: IP) -> None:
        """Look whose announcement it is: that of one contact at most."""
        origin = packed(source)
        if not self._is_new(came.salt + origin):
            return
        for day in hello_days(self._callbacks.now()):
            everybody = list((await self._keys_of(day)).items())
            for begin in range(0, len(everybody), _AT_ONCE):
                for key, of_day in everybody[begin : begin + _AT_ONCE]:
                    answering = lan.opened(came, origin, (of_day,))
                    if answering is not None:
                        self._note(key, answering, source)
                        return
                await trio.lowlevel.checkpoint()

    def _note(self, key: bytes, answering: lan.Answering, source: IP) -> None:
        contact = self._listened_for.get(key)
        if contact is None or answering.peer == self._peer:
            return
        way = (answering.peer, address_of(source, answering.port))
        found = self._found.setdefault(key, OrderedDict())
        is_new = way not in found
        found[way] = trio.current_time()
        found.move_to_end(way)
        if len(found) > MAX_ADDRESSES:
            found.popitem(last=False)
        if is_new:
            log.info("a contact was heard on the local network")
            (self._met if self._joins.get(contact) == key else self._heard)(contact)

    def _is_new(self, origin: bytes) -> bool:
        """Note a salt and where it came from; False if it was known: an announcement is repeated, or is our own."""
        if origin in self._origins:
            return False
        self._origins[origin] = None
        if len(self._origins) > MAX_ORIGINS:
            self._origins.popitem(last=False)
        return True

    # --- who -------------------------------------------------------------------------------------------------------

    def _learn(self, contacts: Iterable[ContactId]) -> None:
        """Take up what has changed about these contacts. Those we hide from neither hear us nor are heard."""
        for contact in contacts:
            pair = None if self._callbacks.hidden(contact) else standing(self._callbacks.pairs(contact))
            old = self._contacts.pop(contact, None)
            if pair is not None:
                self._contacts[contact] = pair
            if old != pair:
                self._listen_for(contact, None if old is None else old.theirs, None if pair is None else pair.theirs)

    def _learn_offers(self, invites: Iterable[InviteId]) -> None:
        """Take up which invites we have made: whoever holds an open one hears us, unless we hide from them."""
        for invite in invites:
            if self._invites.offer(invite) is None:
                self._offers.discard(invite)
            elif invite not in self._offers:
                self._offers.add(invite)
                self._changed.set()

    def join(self, contact: ContactId, hello_key: bytes) -> None:
        """Listen for the maker of an invite that we use."""
        old, self._joins[contact] = self._joins.get(contact), hello_key
        if old != hello_key:
            self._listen_for(contact, old, hello_key)

    def joined(self, contact: ContactId) -> None:
        """Listen no more for the maker of an invite."""
        if (old := self._joins.pop(contact, None)) is not None:
            self._listen_for(contact, old, None)

    def _listen_for(self, contact: ContactId, old: bytes | None, new: bytes | None) -> None:
        """Recognise somebody by the key `new`, and no more by `old`."""
        if old is not None:
            self._listened_for.pop(old, None)
            self._found.pop(old, None)
            for keys in self._keys.values():
                keys.pop(old, None)
        if new is not None:
            self._listened_for[new] = contact
            self._changed.set()

    async def _keys_of(self, day: int) -> dict[bytes, bytes]:
        """Return the day key, by the key it is made of, of everybody whom we may hear."""
        for old in self._keys.keys() - set(hello_days(self._callbacks.now())):
            del self._keys[old]
        keys = self._keys.setdefault(day, {})
        if len(keys) != len(self._listened_for):
            for count, key in enumerate(self._listened_for.keys() - keys.keys()):
                if key in self._listened_for:
                    keys[key] = lan.day_key(key, day)
                if count % _AT_ONCE == _AT_ONCE - 1:
                    await trio.lowlevel.checkpoint()
        return keys


def standing(pairs: Sequence[Pair]) -> Pair | None:
    """Return the pair that lasts whatever becomes of sessions; there is one with everybody who is a contact."""
    return next((pair for pair in pairs if pair.session_id == STANDING), None)


def packed(ip: IP) -> bytes:
    """Return an address as 16 bytes, an IPv4 one as RFC 4291 §2.5.5.2 maps it."""
    return ip.packed if ip.version == 6 else bytes(10) + b"\xff\xff" + ip.packed


def address_of(ip: IP, port: int) -> str:
    """Return the address to dial; an IPv6 address of one link says by which interface."""
    zone = ip.scope_id if isinstance(ip, ipaddress.IPv6Address) else None
    bare = str(ip).partition("%")[0]
    return f"/ip6zone/{zone}/ip6/{bare}/tcp/{port}" if zone else f"/ip{ip.version}/{bare}/tcp/{port}"
