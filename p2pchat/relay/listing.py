"""The relays that a relay tells its clients of: itself, and others that have announced themselves
(docs/protocol/relays.md).

Only a relay can announce itself, over a connection that proves its key, so that a list costs whoever fills it a
connection for each entry. All who come over circuits count as one place, since each of them can take a new key as often
as they like. What is announced is forgotten if it is not announced again. Nothing here is on the disk but this relay's
own descriptor, whose sequence has to grow.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
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
    networks,
    open_descriptor,
    sign_descriptor,
)
from p2pchat.core.ids import PeerKey
from p2pchat.core.primitives import Random, sign_public
from p2pchat.errors import CannotOpen
from p2pchat.lib import atomic_file
from p2pchat.lib.small_file import read_beginning
from p2pchat.lib.times import DAY_MS
from p2pchat.net.admission import places

MAX_LISTED = 256
"""Other relays in the list."""
MAX_A_PLACE = 4
"""Of these, how many may have announced themselves from one place on the network; for the networks around it see
`places.bounds`."""
MAX_TOLD = 64
"""Of these, how many one relay of the operator's choice may have told of."""
MAX_A_NETWORK = 8
FORGOTTEN_AFTER_MS = 2 * DAY_MS
SIGN_AGAIN_MS = DAY_MS
_HEAD_BYTES, _ADDRESS_BYTES = 160, 3  # of a descriptor without addresses, and of one beside its text, at most

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Listed:
    descriptor: Descriptor
    raw: bytes
    networks: frozenset[str]
    source: str
    heard_at: int


class RelayListing:
    """Keeps the list of one relay. seed: of its transport key. path: the file of its own descriptor. where: its own
    addresses, best first; those that have no room in a descriptor are left out. private: whether it must not be passed
    on. public: the relays of the operator's choice that have said that they may be told of. clock: ms since the epoch.
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
    ) -> None:
        self._seed = seed
        self._path = path
        self._where = where
        self._clock = clock
        self._random = random
        self._known: dict[PeerKey, _Listed] = {}
        self._peer = PeerKey(sign_public(seed))
        self._own: tuple[bytes, Descriptor] | None = None
        self.private = private
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
        """Return the body of a LIST for a client, whose own descriptor is listed if it `announced` one. place: where
        on the network the client is. Raises CannotOpen for an announcement that is not the client's own.
        """
        if announced:
            descriptor = open_descriptor(announced)
            if descriptor.relay != peer:
                raise CannotOpen
            self._take(descriptor, announced, place.partition(" ")[0], MAX_A_PLACE)
        return encode_list([raw for raw in (self.own(), *self._sample(but=peer)) if raw])

    def told(self, source: PeerKey, descriptors: Sequence[bytes]) -> None:
        """List what a relay of the operator's choice, `source`, has told of. What it says wrongly is left out, and what
        was signed long ago: two relays would keep telling each other of one that has gone.
        """
        self.public.discard(source)
        for raw in descriptors:
            with suppress(CannotOpen):
                descriptor = open_descriptor(raw)
                if descriptor.relay == source and not descriptor.flags & PRIVATE:
                    self.public.add(source)
                if 1000 * descriptor.made + FORGOTTEN_AFTER_MS > self._clock():
                    self._take(descriptor, raw, f"relay {source.hex()}", MAX_TOLD)

    def _take(self, descriptor: Descriptor, raw: bytes, source: str, most: int) -> None:
        now = self._clock()
        if descriptor.relay == self._peer or descriptor.flags & PRIVATE or not descriptor.holds(now):
            return
        for relay, listed in list(self._known.items()):
            if listed.heard_at + FORGOTTEN_AFTER_MS <= now or not listed.descriptor.holds(now):
                del self._known[relay]
        around, before = networks(descriptor.addresses), self._known.get(descriptor.relay)
        if not around or (before is not None and before.descriptor.sequence > descriptor.sequence):
            return
        if before is None:
            sources = Counter(network for row in self._known.values() for network in places.networks(row.source))
            taken = Counter(network for row in self._known.values() for network in row.networks)
            if len(self._known) >= MAX_LISTED or any(sources[at] >= bound for at, bound in places.bounds(source, most)):
                return
            if any(taken[network] >= MAX_A_NETWORK for network in around):
                return
        source = source if before is None else before.source
        self._known[descriptor.relay] = _Listed(descriptor, raw, around, source, now)

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
