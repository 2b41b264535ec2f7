"""What a network was seen to do: which ways worked on it, and which of them freeze.

Some networks let any connection begin, and drop its packets in silence after 15 kB or 25 packets. Such a way shows
itself by two facts together: a connection went silent early (`MIN_FROZEN_BYTES` and what follows), and a new one with
the same host began soon after at the first attempt, by whatever port and transport: where a line is cut, attempts fail
or packets are lost meanwhile. Where that has happened twice on a network, the hosts with whom it did are *freezing* for
a day: only short connections (`Allowance`) are made with them. A way that answered goes first the next time.

Networks and ways are kept as hashes under a key of the profile, the times in hours. What is kept is bounded, and
forgotten with time. `NetworkMemory` computes; `Passage` is one connection's part in it.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from math import inf

import trio

from p2pchat.core import codec
from p2pchat.core.codec import U32, array, binary, binary_upto, exactly, listing, uint
from p2pchat.core.primitives import KEY_BYTES, hmac_sha256
from p2pchat.errors import CannotOpen, P2PChatError
from p2pchat.lib.times import HOUR_MS
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net.allowance import Traffic
from p2pchat.net.network_watch import Exit, find_exit

MIN_FROZEN_BYTES, MAX_FROZEN_BYTES = 8_000, 32_000
"""Bytes that a connection carries in one direction, at least and at most, before it counts as frozen."""
MIN_FROZEN_PACKETS = 20
"""Packets that it carries one way, where it is fewer bytes."""
MAX_FROZEN_SECONDS, MAX_FROZEN_PACKETS_SECONDS = 3600.0, 120.0
"""Seconds after its beginning in which it goes silent, by the count of bytes and by that of packets: a home's router
forgets a quiet connection too, only later."""
AGAIN_SECONDS = 60.0
"""Seconds within which a new connection by the same way begins after one went silent, or the line may have been cut."""
STALLS = 2
"""Frozen connections on a network after which the hosts with whom there were some are freezing."""
QUIET_SECONDS = 10.0
"""Seconds of silence after which a connection has to show that it works, on a network where others froze."""
FREEZING_HOURS = 24
REMEMBERED_STALL_HOURS = 7 * 24
"""Hours for which earlier stalls count; so after a day, one more is enough."""
PROVEN_BYTES = 4 * MAX_FROZEN_BYTES
"""Bytes in one direction after which a way is known not to freeze."""
WAY_HOURS, NETWORK_HOURS = 30 * 24, 90 * 24
"""Hours after which a way and a network of which nothing more was heard are forgotten."""
MAX_NETWORKS, MAX_WAYS = 16, 64
MAX_SAVED_BYTES = 64 * 1024

ANSWERED, UNKNOWN, FREEZING = range(3)
"""What may be known of a way on a network."""
LOOK_SECONDS = 1.0
"""Seconds between two looks for the gateway's link-layer address, which the kernel learns with the first packet."""
WayName = tuple[str, int, str]
"""(IP address or name, port, transport) of a way"""
_SAVE_AFTER_SECONDS = 2.0
_HASH_BYTES = 8
_VERSION = 1
_WAY = array(binary(_HASH_BYTES), uint(U32), uint(255), uint(U32), uint(U32))
_NETWORK = array(binary(_HASH_BYTES), binary_upto(_HASH_BYTES), uint(U32), listing(_WAY, MAX_WAYS))
_SAVED = array(exactly(_VERSION), binary(KEY_BYTES), listing(_NETWORK, MAX_NETWORKS))

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Way:
    """What is known of a way or of a host, in hours since the epoch: of a way, when it last answered; of a host, how
    many connections froze, when the last of them did, and until when it is freezing.
    """

    answered: int = 0
    stalls: int = 0
    stalled: int = 0
    freezing_until: int = 0

    @property
    def heard(self) -> int:
        return max(self.answered, self.stalled)


@dataclass(slots=True)
class _Network:
    """A network: the hash of it without the gateway's link-layer address, and with it, or b"" while that is unknown;
    the hour at which it was last used; the ways and hosts by their hashes, the last used at the end.
    """

    alike: bytes
    exact: bytes
    used: int = 0
    ways: dict[bytes, _Way] = field(default_factory=dict)


class NetworkMemory:
    """The networks of a profile. saved: what `dump` gave in an earlier run, b"" before the first; anything that is not
    that counts as nothing. clock: ms since the epoch. random: returns so many random bytes. where: on which network
    this machine is, None for none.
    """

    def __init__(
        self,
        saved: bytes,
        clock: Callable[[], int],
        random: Callable[[int], bytes],
        where: Callable[[], Exit | None] = find_exit,
    ) -> None:
        self._clock = clock
        self._where = where
        self._exit: Exit | None = None
        self._looked = -inf
        self._time = 0  # how often the network has changed
        self._silent: dict[bytes, tuple[float, int]] = {}  # hosts with whom a connection went silent: when, on which
        self._changed = Wakeup()
        try:
            _, self._key, networks = _SAVED(codec.decode(saved, MAX_SAVED_BYTES))
        except CannotOpen:
            self._key, networks = random(KEY_BYTES), ()
        self._networks = [
            _Network(alike, exact, used, {name: _Way(*rest) for name, *rest in ways})
            for alike, exact, used, ways in networks
        ]

    def dump(self) -> bytes:
        """Return what is known, for the next run."""
        self._forget()
        networks = [
            [
                network.alike,
                network.exact,
                network.used,
                [
                    [name, way.answered, min(way.stalls, 255), way.stalled, way.freezing_until]
                    for name, way in network.ways.items()
                ],
            ]
            for network in self._networks
        ]
        return codec.encode([_VERSION, self._key, networks])

    async def run(self, save: Callable[[bytes], Awaitable[object]]) -> None:
        """Have what is learnt saved, until cancelled. What fails is tried again with the next thing learnt."""
        while True:
            await self._changed.wait()
            await trio.sleep(_SAVE_AFTER_SECONDS)
            self._changed.clear()
            try:
                await save(self.dump())
            except P2PChatError as error:
                log.warning("what was learnt about a network was not saved: %s", type(error).__name__)

    def network_changed(self) -> None:
        """Note that this machine is on another network, or has slept: what goes silent now says nothing."""
        self._exit, self._looked = None, -inf
        self._time += 1
        self._silent.clear()

    def rank(self, way: WayName) -> int:
        """Return how good a way is on this network, less being better: `ANSWERED`, `UNKNOWN` or `FREEZING`."""
        network = self._here()
        if network is None:
            return UNKNOWN
        if self._freezes(network, self._hash("host", way[0])):
            return FREEZING
        known = network.ways.get(self._hash("way", *way))
        return UNKNOWN if known is None or known.answered + WAY_HOURS < self._hour else ANSWERED

    def freezing(self) -> int:
        """Return with how many hosts connections freeze on this network, as far as is known."""
        network = self._here()
        return 0 if network is None else sum(self._freezes(network, name) for name in network.ways)

    @property
    def is_doubtful(self) -> bool:
        """Whether connections froze on this network lately."""
        network = self._here()
        return network is not None and any(self._stalled_lately(way) for way in network.ways.values())

    def failed(self, way: WayName) -> None:
        """Note that no connection with the host of this way could be made: the line may have been cut."""
        self._silent.pop(self._hash("host", way[0]), None)

    def began(self, way: WayName, *, cleanly: bool = True) -> Passage:
        """Note that a connection by this way was made. cleanly: no packet had to be sent again for it."""
        host = self._hash("host", way[0])
        when, time = self._silent.pop(host, (0.0, -1))
        if cleanly and time == self._time and trio.current_time() - when <= AGAIN_SECONDS:
            self._froze(host)
        network = self._here()
        freezing = network is not None and self._freezes(network, host)
        return Passage(self, self._hash("way", *way), host, self._time, freezing)

    # --- what a passage tells

    def _answered(self, name: bytes, time: int) -> None:
        if time == self._time and (way := self._way(name)) is not None and way.answered + 24 <= self._hour:
            way.answered = self._hour
            self._changed.set()

    def _went_silent(self, name: bytes, time: int) -> None:
        if time == self._time:
            self._silent[name] = trio.current_time(), time

    def _froze(self, name: bytes) -> None:
        way, network = self._way(name), self._here()
        if way is None or network is None:
            return
        if way.stalled + REMEMBERED_STALL_HOURS < self._hour:
            way.stalls = 0
        way.stalls += 1
        way.stalled = self._hour
        if sum(other.stalls for other in network.ways.values() if self._stalled_lately(other)) >= STALLS:
            log.info("connections with a host freeze on this network")
            way.freezing_until = self._hour + FREEZING_HOURS
        self._changed.set()

    def _carried(self, name: bytes, time: int) -> None:
        if time == self._time and (way := self._way(name)) is not None and way.stalls:
            way.stalls = way.freezing_until = 0
            self._changed.set()

    # --- networks

    def _freezes(self, network: _Network, host: bytes) -> bool:
        """Return whether connections with a host freeze: two have, or one has where those with another host do."""
        known = network.ways.get(host)
        if known is None or not known.stalls:
            return False
        if known.freezing_until > self._hour:
            return True
        freezing = (other.freezing_until > self._hour for other in network.ways.values())
        return self._stalled_lately(known) and any(freezing)

    def _stalled_lately(self, way: _Way) -> bool:
        return way.stalls > 0 and way.stalled + FREEZING_HOURS > self._hour

    @property
    def _hour(self) -> int:
        return min(max(0, self._clock() // HOUR_MS), U32 - NETWORK_HOURS)

    def _hash(self, kind: str, *parts: str | int) -> bytes:
        return hmac_sha256(self._key, codec.encode([kind, *parts]))[:_HASH_BYTES]

    def _way(self, name: bytes) -> _Way | None:
        """Return what is known of a way here, for changing it; None without a network."""
        network = self._here(adds=True)
        if network is None:
            return None
        way = network.ways[name] = network.ways.pop(name) if name in network.ways else _Way()
        while len(network.ways) > MAX_WAYS:
            del network.ways[next(iter(network.ways))]
        return way

    def _here(self, *, adds: bool = False) -> _Network | None:
        """Return the network of this machine if it is known; `adds`: or else a new one. While the gateway's link-layer
        address is unknown, the network that was used last of those that look the same counts.
        """
        if (self._exit is None or not self._exit.hardware) and trio.current_time() >= self._looked + LOOK_SECONDS:
            self._exit, self._looked = self._where(), trio.current_time()
        leaves = self._exit
        if leaves is None:
            return None
        alike = self._hash("network", leaves.gateway, leaves.prefix)
        exact = self._hash("gateway", leaves.gateway, leaves.prefix, leaves.hardware) if leaves.hardware else b""
        same = [network for network in self._networks if network.alike == alike]
        for network in reversed(same):
            if not exact or network.exact in (exact, b""):
                break
        else:
            if not adds:
                return None
            network = _Network(alike, exact)
            self._networks.append(network)
        if adds:
            network.exact = network.exact or exact
            network.used = self._hour
            self._networks.remove(network)
            self._networks.append(network)
            del self._networks[:-MAX_NETWORKS]
        return network

    def _forget(self) -> None:
        """Drop what is older than it is worth."""
        hour = self._hour
        self._networks = [network for network in self._networks if network.used + NETWORK_HOURS >= hour]
        for network in self._networks:
            network.ways = {name: way for name, way in network.ways.items() if way.heard + WAY_HOURS >= hour}


class Passage:
    """One connection by a way of a network. way, host: their hashes. freezing: whether it has to be a short one."""

    def __init__(self, memory: NetworkMemory, way: bytes, host: bytes, time: int, freezing: bool) -> None:
        self.freezing = freezing
        self._memory = memory
        self._way = way
        self._host = host
        self._time = time
        self._began = trio.current_time()
        self._has_answered = False

    def answered(self) -> None:
        """Note that something came after the handshake."""
        if not self._has_answered:
            self._has_answered = True
            self._memory._answered(self._way, self._time)

    def ended(self, carried: Traffic, *, silent: bool) -> None:
        """Note the end of the connection. silent: it ended because the other end answered nothing any more."""
        size, packets = max(carried.bytes_in, carried.bytes_out), max(carried.packets_in, carried.packets_out)
        if max(carried.bytes_in, carried.bytes_out) >= PROVEN_BYTES:
            self._memory._carried(self._host, self._time)
        elif silent and not self.freezing and size <= MAX_FROZEN_BYTES:
            seconds = trio.current_time() - self._began
            if (size >= MIN_FROZEN_BYTES and seconds <= MAX_FROZEN_SECONDS) or (
                packets >= MIN_FROZEN_PACKETS and seconds <= MAX_FROZEN_PACKETS_SECONDS
            ):
                self._memory._went_silent(self._host, self._time)
