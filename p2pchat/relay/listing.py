"""The relays that a relay tells its clients of: itself, and others that have announced themselves
(docs/protocol/relays.md).

Only a relay can announce itself, over a connection that proves its key, and it is listed once it has answered at its
addresses (`dialback`). Networks are those in which it has answered, whatever its descriptor says. All who come over
circuits count as one place, since each of them can take a new key as often as they like. A full list neither stays as
it is nor belongs to whoever comes in numbers: the network that has most gives way, and where none has more than
another, one entry an hour, by chance. What does not answer any more is forgotten. Nothing here is on the disk but this
relay's own descriptor, whose sequence has to grow.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from p2pchat.core.descriptors import (
    CIRCUITS,
    LIFE_SECONDS,
    MAILBOX,
    MAX_ADDRESS,
    MAX_ADDRESSES,
    MAX_DESCRIPTOR,
    PRIVATE,
    Descriptor,
    encode_list,
    is_circuit,
    open_descriptor,
    sign_descriptor,
)
from p2pchat.core.ids import PeerKey
from p2pchat.core.primitives import Random, sign_public
from p2pchat.errors import CannotOpen
from p2pchat.lib import atomic_file
from p2pchat.lib.small_file import read_beginning
from p2pchat.lib.times import DAY_MS, HOUR_MS
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net.admission import places
from p2pchat.net.admission.shares import FairShares

MAX_LISTED = 256
"""Other relays in the list."""
MAX_A_PLACE = 4
"""Of these, how many may have announced themselves from one place on the network; for the networks around it see
`places.bounds`."""
MAX_ANNOUNCED = 256
"""Relays that wait to be dialled back."""
MAX_TOLD = 64
"""Of these, how many one relay of the operator's choice may have told of."""
MAX_A_NETWORK = 8
"""Relays in the list of one IPv4 /16 or IPv6 /32 in which they have answered."""
PROVEN_AGAIN_MS = DAY_MS
"""How long after it has answered a relay that announces itself again is dialled back again."""
REPLACED_AFTER_MS = HOUR_MS
"""How long after an entry of a full list gave way by chance another one does."""
FORGOTTEN_AFTER_MS = 2 * DAY_MS
SIGN_AGAIN_MS = DAY_MS
_HEAD_BYTES, _ADDRESS_BYTES = 160, 3  # of a descriptor without addresses, and of one beside its text, at most

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Announced:
    """A descriptor, and the place that announced it, or the relay that told of it."""

    descriptor: Descriptor
    raw: bytes
    source: str


@dataclass(frozen=True, slots=True)
class _Listed(Announced):
    """A relay that has answered at its addresses, in these places and widest networks, at this time (ms). dialled_at:
    when it was dialled back at these last, whether it answered or not.
    """

    places: frozenset[str]
    networks: frozenset[str]
    proven_at: int
    dialled_at: int


class RelayListing:
    """Keeps the list of one relay. seed: of its transport key. path: the file of its own descriptor. where: its own
    addresses, best first; those that have no room in a descriptor are left out. private: whether it must not be passed
    on. takes: whether others are dialled back and listed. public: the relays of the operator's choice that have said
    that they may be told of. clock: ms since the epoch.
    """

    def __init__(
        self,
        seed: bytes,
        path: Path,
        where: Callable[[], Sequence[str]],
        clock: Callable[[], int],
        random: Random,
        *,
        private: bool = False,
        takes: bool = True,
    ) -> None:
        self._seed = seed
        self._path = path
        self._where = where
        self._clock = clock
        self._random = random
        self._known: dict[PeerKey, _Listed] = {}
        self._shares = FairShares[PeerKey]()
        self._announced: dict[PeerKey, Announced] = {}
        self._waiting = FairShares[PeerKey]()
        self._served: dict[str, None] = {}
        self._dialled: dict[PeerKey, Announced] = {}
        self._has_announced = Wakeup()
        self._replaced_at = 0
        self._peer = PeerKey(sign_public(seed))
        self._own: tuple[bytes, Descriptor] | None = None
        self.private = private
        self._takes = takes
        self.public: set[PeerKey] = set()
        with suppress(OSError, CannotOpen):
            raw = read_beginning(path, MAX_DESCRIPTOR + 1)
            self._own = raw, open_descriptor(raw)

    def __len__(self) -> int:
        return len(self._known)

    def own(self) -> bytes:
        """Return this relay's descriptor, b"" while it has no address. It is signed anew, and saved, when what it says
        has changed, and every day.
        """
        now = self._clock()
        addresses = _fitting(self._where())
        if not addresses:
            return b""
        flags = MAILBOX | CIRCUITS | (PRIVATE if self.private else 0)
        if self._own is not None:
            raw, last = self._own
            fresh = 0 <= now - 1000 * last.made < SIGN_AGAIN_MS
            if fresh and (last.relay, last.flags, last.addresses) == (self._peer, flags, addresses):
                return raw
        sequence = max(now // 1000, self._own[1].sequence + 1 if self._own is not None else 0)
        made = now // 1000
        descriptor = Descriptor(self._peer, sequence, made, made + LIFE_SECONDS, flags, addresses)
        raw = sign_descriptor(self._seed, descriptor)
        try:
            atomic_file.replace(self._path, raw)
        except OSError as error:
            log.warning("the relay's descriptor cannot be saved: %s", error.strerror)
        self._own = raw, descriptor
        return raw

    def answer(self, peer: PeerKey, place: str, announced: bytes) -> bytes:
        """Return the body of a LIST for a client, who is dialled back if it `announced` a descriptor of its own. place:
        where on the network the client is. Raises CannotOpen for an announcement that is not the client's own.
        """
        if announced:
            descriptor = open_descriptor(announced)
            if descriptor.relay != peer:
                raise CannotOpen
            self._take(descriptor, announced, place.partition(" ")[0], MAX_A_PLACE)
        return encode_list([raw for raw in (self.own(), *self._sample(but=peer)) if raw])

    def told(self, source: PeerKey, descriptors: Sequence[bytes]) -> None:
        """Take in what a relay of the operator's choice, `source`, has told of. What it says wrongly is left out, and
        what was signed long ago: two relays would keep telling each other of one that has gone.
        """
        self.public.discard(source)
        for raw in descriptors:
            with suppress(CannotOpen):
                descriptor = open_descriptor(raw)
                if descriptor.relay == source and not descriptor.flags & PRIVATE:
                    self.public.add(source)
                if 1000 * descriptor.made + FORGOTTEN_AFTER_MS > self._clock():
                    self._take(descriptor, raw, f"relay {source.hex()}", MAX_TOLD)

    async def announced(self) -> Announced:
        """Wait for a relay to dial back, and return it; `proven` is to be called with its descriptor. The networks that
        announce relays have turns, so that one that announces many delays its own.
        """
        while not self._announced:
            self._has_announced.clear()
            await self._has_announced.wait()
        turns = {network: turn for turn, network in enumerate(self._served)}
        relay = min(self._announced, key=lambda relay: turns.get(_network_of(self._announced[relay]), -1))
        announced = self._dialled[relay] = self._announced.pop(relay)
        self._waiting.remove(relay)
        self._served.pop(_network_of(announced), None)
        self._served[_network_of(announced)] = None
        if len(self._served) > MAX_ANNOUNCED:
            del self._served[next(iter(self._served))]
        return announced

    def dial_again(self, descriptor: Descriptor) -> frozenset[str]:
        """Return the places in which a listed relay with the same addresses has answered, once in `PROVEN_AGAIN_MS`: it
        counts as dialled back now. None of another relay, or more often.
        """
        now, before = self._clock(), self._known.get(descriptor.relay)
        if before is None or before.descriptor.addresses != descriptor.addresses:
            return frozenset()
        if now < before.dialled_at + PROVEN_AGAIN_MS:
            return frozenset()
        self._known[descriptor.relay] = replace(before, dialled_at=now)
        return before.places

    def proven(self, descriptor: Descriptor, where: Sequence[str]) -> None:
        """List a relay that has answered at these places (`net.admission.places`); none if it has not answered at all
        its addresses.
        """
        announced = self._dialled.pop(descriptor.relay, None)
        if announced is None or not where:
            return
        now, path = self._clock(), places.wider(where[0])
        networks = frozenset(places.wider(place)[0] for place in where)
        listed = _Listed(
            announced.descriptor,
            announced.raw,
            announced.source,
            frozenset(where),
            networks,
            proven_at=now,
            dialled_at=now,
        )
        if descriptor.relay not in self._known and not self._has_room(path, networks, now):
            return
        self._known[descriptor.relay] = listed
        self._shares.add(descriptor.relay, path)

    def _take(self, descriptor: Descriptor, raw: bytes, source: str, most: int) -> None:
        """Have a relay dialled back that has announced itself, or keep what it says if it has answered lately."""
        now = self._clock()
        if not self._takes or descriptor.relay == self._peer or descriptor.flags & PRIVATE or not descriptor.holds(now):
            return
        self._forget(now)
        before = self._known.get(descriptor.relay)
        if all(map(is_circuit, descriptor.addresses)):
            return
        if before is not None:
            if before.descriptor.sequence > descriptor.sequence:
                return
            if before.descriptor.addresses == descriptor.addresses and now < before.proven_at + PROVEN_AGAIN_MS:
                self._known[descriptor.relay] = replace(before, descriptor=descriptor, raw=raw)
                return
            source = before.source
        waiting = self._announced.get(descriptor.relay)
        if before is None and waiting is None:
            every = [*self._known.values(), *self._announced.values(), *self._dialled.values()]
            sources = Counter(network for row in every for network in places.networks(row.source))
            if any(sources[at] >= bound for at, bound in places.bounds(source, most)):
                return
        if waiting is None and len(self._announced) >= MAX_ANNOUNCED:
            gives_way = self._waiting.giving_way(places.wider(source))
            if gives_way is None:
                return
            del self._announced[gives_way]
            self._waiting.remove(gives_way)
        self._announced[descriptor.relay] = Announced(descriptor, raw, source)
        self._waiting.add(descriptor.relay, places.wider(source))
        self._has_announced.set()

    def _forget(self, now: int) -> None:
        for relay, listed in list(self._known.items()):
            if listed.proven_at + FORGOTTEN_AFTER_MS <= now or not listed.descriptor.holds(now):
                self._drop(relay)

    def _drop(self, relay: PeerKey) -> None:
        del self._known[relay]
        self._shares.remove(relay)

    def _has_room(self, path: Sequence[str], networks: frozenset[str], now: int) -> bool:
        """Make room for another relay if the list, or one of its networks, is full; return False if there is none."""
        taken = Counter(network for row in self._known.values() for network in row.networks)
        crowded = next((network for network in sorted(networks) if taken[network] >= MAX_A_NETWORK), None)
        if crowded is None and len(self._known) < MAX_LISTED:
            return True
        gives_way = None if crowded is not None else self._shares.giving_way(path)
        if gives_way is None:
            if now < self._replaced_at + REPLACED_AFTER_MS:
                return False
            self._replaced_at = now
            inside = [relay for relay, row in self._known.items() if crowded is None or crowded in row.networks]
            gives_way = min(inside, key=lambda relay: self._random(8))
        self._drop(gives_way)
        return True

    def _sample(self, but: PeerKey) -> list[bytes]:
        """Return descriptors of other relays in a random order, of each network one before any second."""
        rows = [row for relay, row in self._known.items() if relay != but and row.descriptor.holds(self._clock())]
        rows.sort(key=lambda row: self._random(8))
        seen: set[str] = set()
        first: list[bytes] = []
        for row in rows:
            if not row.networks & seen:
                first.append(row.raw)
                seen |= row.networks
        return [*first, *(row.raw for row in rows if row.raw not in first)]


def _network_of(announced: Announced) -> str:
    """Return the widest network from which a relay was announced."""
    return places.wider(announced.source)[0]


def _fitting(addresses: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses, first ones first, that have room in a descriptor."""
    fitting: list[str] = []
    left = MAX_DESCRIPTOR - _HEAD_BYTES
    for address in addresses:
        size = len(address) + _ADDRESS_BYTES
        if len(address) <= MAX_ADDRESS and size <= left and len(fitting) < MAX_ADDRESSES:
            fitting.append(address)
            left -= size
    return tuple(fitting)


ServeList = Callable[[PeerKey, str, bytes], bytes]
"""(client, its place, what it announces) → the body of the answer; see `RelayListing.answer`."""
