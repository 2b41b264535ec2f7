"""Dialling back relays that announce themselves: whether they answer where their descriptors say that they are.

A descriptor that is passed on has many nodes dial what is in it. So a relay passes on only what has proven itself: a
host with a fresh key connects to each address, and whoever answers there proves the descriptor's key (docs/protocol/
relays.md). That is a connection which a stranger asks for, so it goes to public addresses alone, a few a minute in all
and a few a day to one place, of which each network may cause only some. A listed relay is dialled back beside these at
the places where it has answered, once a day, so that it stays listed whatever others say of its address.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

import trio

from p2pchat.core.delivery import Route
from p2pchat.core.descriptors import Descriptor, is_circuit
from p2pchat.core.names import mailbox_name
from p2pchat.core.primitives import Random, hmac_sha256
from p2pchat.errors import BadAddress, Unreachable
from p2pchat.lib.backoff import jittered
from p2pchat.lib.times import DAY_SECONDS
from p2pchat.net import multiaddrs
from p2pchat.net.admission import places
from p2pchat.net.libp2p import dial
from p2pchat.net.multiaddrs import IPNetwork, Name, Target
from p2pchat.net.ports import NewHost, Stream
from p2pchat.relay.limits import Origin, Origins, PlaceBudget
from p2pchat.relay.listing import Announced, RelayListing

AT_ONCE, PAUSE_SECONDS = 4, 4.0
"""Relays that are dialled back at the same time, and the seconds after each of them, at most."""
DIAL_SECONDS = 10.0
"""Seconds that one address may take."""
PLACE_BURST, PLACE_RATE = 8, 16 / DAY_SECONDS
"""Connections to one address: at once, and then per second; a network has a few times as many (`PlaceBudget`)."""
CAUSED_BURST, CAUSED_RATE = 2, 2 / DAY_SECONDS
"""The same for all that is announced from one widest network (`places.wider`): connections to one address where what it
announces does not answer."""

log = logging.getLogger(__name__)


class DialBack:
    """Dials back what is announced to a listing. new_host: makes a host for one relay. where: this relay's own
    addresses: without a public one it dials in the local networks where these are. place_of: where the other end of a
    stream is.
    """

    def __init__(
        self,
        listing: RelayListing,
        new_host: NewHost,
        where: Callable[[], Sequence[str]],
        place_of: Callable[[Stream], str],
        random: Random,
    ) -> None:
        self._listing = listing
        self._new_host = new_host
        self._where = where
        self._place_of = place_of
        self._random = random
        self._origins = Origins(random)
        self._budget = PlaceBudget(PLACE_BURST, PLACE_RATE)
        self._caused = PlaceBudget(CAUSED_BURST, CAUSED_RATE)

    async def run(self) -> None:
        """Dial back what is announced, until cancelled."""
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(self._dial_back)

    async def _dial_back(self) -> None:
        while True:
            announced = await self._listing.announced()
            where: list[str] = []
            try:
                where = await self._places(announced)
            except Exception as error:  # noqa: BLE001 - whatever a stranger announces may end nothing
                log.info("a relay that announced itself could not be dialled back: %s", type(error).__name__)
            self._listing.proven(announced.descriptor, where)
            await trio.sleep(jittered(PAUSE_SECONDS, self._random))

    async def _places(self, announced: Announced) -> list[str]:
        """Return the places at which a relay has answered, one for each of its addresses that can be dialled from here;
        none if it is missing at one of these, or names one that nobody is to dial.
        """
        descriptor, network = announced.descriptor, places.wider(announced.source)[0]
        own = self._where()
        public = any(map(multiaddrs.is_everywhere, own))
        near: frozenset[IPNetwork] = frozenset() if public else multiaddrs.local_blocks(own)
        readable = list(_targets(descriptor))
        texts = tuple(target.text() for target in readable)
        if multiaddrs.beyond(texts, near) != texts:
            log.info("a relay has announced an address in a local network")
            return []
        again = self._listing.dial_again(descriptor)
        answered: list[str] = []
        async with self._new_host() as host:
            for target in readable:
                if not _can_be_dialled(target, own):
                    continue
                if not await self._may_dial(target, network, answered, again):
                    return []
                name, chosen = mailbox_name(descriptor.relay, b""), not isinstance(target.host, Name)
                try:
                    with trio.fail_after(DIAL_SECONDS):
                        stream = await host.open(
                            descriptor.relay, [target.text()], name, only=Route.DIRECT, chosen=chosen, afresh=True
                        )
                except (Unreachable, trio.TooSlowError):
                    log.info("a relay that announced itself does not answer at one of its addresses")
                    return []
                answered.append(self._place_of(stream) or multiaddrs.neighbourhood(str(target.host)))
                await stream.close()
        return answered

    async def _may_dial(self, target: Target, network: str, answered: Collection[str], again: frozenset[str]) -> bool:
        """Return whether the places to which an address leads were not dialled too often, and count them. network: that
        from which it was announced. answered: where the relay has answered just now, which its network did not make up.
        again: where it may be dialled beside all that.
        """
        if isinstance(target.host, Name):
            ips = await dial.resolve(target.host, target.port, chosen=False)
        else:
            ips = [str(target.host)]
        now = trio.current_time()
        for place in map(multiaddrs.neighbourhood, ips):
            if place in again:
                continue
            origin = self._origins.of(place)
            if place not in answered and not self._caused.take(_caused_by(network, origin), now):
                return False
            if not self._budget.take(origin, now):
                return False
        return bool(ips)


def _caused_by(network: str, origin: Origin) -> Origin:
    """Return what stands, in a budget, for all that one network causes at this place and in the networks around it."""
    names = tuple(hmac_sha256(name, network.encode())[:16] for name, _ in origin.weighted)
    return Origin(names, tuple(zip(names, (factor for _, factor in origin.weighted), strict=True)))


def _targets(descriptor: Descriptor) -> Sequence[Target]:
    """Return the addresses in a descriptor that we can read, without circuits."""
    targets = []
    for address in descriptor.addresses:
        if not is_circuit(address):
            with suppress(BadAddress):
                targets.append(multiaddrs.parse_target(address))
    return targets


def _can_be_dialled(target: Target, own: Sequence[str]) -> bool:
    """Return whether an address is of a kind to which there is a way from here: IPv6 needs an IPv6 address of our own,
    an onion service a proxy, and disguise a program, which a host that dials back has not.
    """
    if target.pluggable is not None:
        return False
    if isinstance(target.host, Name):
        return not target.host.name.endswith(".onion")
    hosts = [multiaddrs.parse_target(address).host for address in own]
    return target.host.version == 4 or any(not isinstance(host, Name) and host.version == 6 for host in hosts)
