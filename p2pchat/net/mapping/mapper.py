"""Keeps a port of the router open for this node while it runs: asks, renews, gives back, and begins anew on another
network.

An address that a router names is used only if it is one at which somebody can be behind a router (`punchable`), and
only contacts are told of it: they dial it, and whoever answers has to prove that it is this node.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from ipaddress import AddressValueError, IPv4Address, ip_network
from math import inf

import trio

from p2pchat.core.network import NO_MAPPING, MappingState, PortMapping
from p2pchat.core.primitives import hmac_sha256
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net import interfaces
from p2pchat.net.interfaces import Interface
from p2pchat.net.mapping import pcp
from p2pchat.net.mapping.access import RouterAccess, Sockets
from p2pchat.net.mapping.asking import Asking
from p2pchat.net.mapping.grants import LIFETIME_SECONDS, Grant, NoMapping, Uplink
from p2pchat.net.multiaddrs import MIN_PUNCHED_PORT, SocketAddress, is_local, punchable
from p2pchat.net.network_watch import Exit, find_exit

START_SECONDS = 1.0
"""Seconds after the node has started, or the network has changed, until the router is asked."""
RENEW_SECONDS = 900.0
"""Seconds until a port is asked for again, at most, where half its time is more: a router that was restarted has
forgotten it and tells nobody.
"""
MIN_LIFETIME_SECONDS = 120
"""Seconds for which a port is open at least, or it counts as refused (RFC 6887 section 15)."""
RETRY_SECONDS, MAX_RETRY_SECONDS = 60.0, 3600.0
"""Seconds until a router that gave nothing is asked again: the first pause, doubled each time up to the second."""
LOOK_SECONDS = 30.0
"""Seconds until one looks again whether there is anything to ask for."""

_FAR = ("198.51.100.1", 9)
"""An address that is nobody's (TEST-NET-2, RFC 5737). Nothing is sent to it."""

log = logging.getLogger(__name__)


def _source() -> str:
    """Return the address from which packets for the internet leave, as the kernel decides, whatever rules a VPN has
    added to the default route; "" if they do not.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.connect(_FAR)
            return str(sock.getsockname()[0])
    except OSError:
        return ""


def find_uplink(
    machine: Sequence[Interface] | None = None,
    leaves: Callable[[], Exit | None] = find_exit,
    source: Callable[[], str] = _source,
) -> Uplink | None:
    """Return our address and that of the router on the network by which packets leave; None if there is no IPv4 router
    in that network. A VPN that carries everything has none: whoever uses it does not want to be found at home.
    """
    way = leaves()
    from_here = source()
    try:
        router = IPv4Address("" if way is None else way.gateway)
    except AddressValueError:
        return None
    for own in interfaces.current() if machine is None else machine:
        if isinstance(own.ip, IPv4Address) and str(own.ip) == from_here and own.prefix and not own.virtual:
            near = router in ip_network((own.ip, own.prefix), strict=False)
            return Uplink(own.ip, router) if near and router != own.ip else None
    return None


class PortMapper:
    """The port of one node. bound: where it listens. secret: 32 bytes, from which nonces are derived. random: random
    bytes. wanted: whether a port is asked for; `use` changes it.
    """

    def __init__(
        self,
        bound: Callable[[], Sequence[SocketAddress]],
        secret: bytes,
        random: Callable[[int], bytes],
        access: RouterAccess | None = None,
        where: Callable[[], Uplink | None] = find_uplink,
        *,
        wanted: bool = True,
    ) -> None:
        self._bound = bound
        self._secret = secret
        self._random = random
        self._access = Sockets() if access is None else access
        self._where = where
        self._wanted = wanted
        self._wakeup = Wakeup()
        self._asking: Asking | None = None
        self._grant: Grant | None = None
        self._until = -inf
        self._failures = 0
        self._told = ""
        self.mapping = PortMapping(MappingState.ASKING) if wanted else NO_MAPPING

    def addresses(self) -> tuple[str, ...]:
        """Return the public address at which others can dial us by the router's port, if there is one."""
        return (self.mapping.address,) if self.mapping.address else ()

    def leads_to(self, here: str, port: int) -> str:
        """Return the public address at which the router has opened a port that leads to this IP address and port of
        ours, or "".
        """
        asking = self._asking
        return self.mapping.address if asking and (here, port) == (str(asking.uplink.own), asking.inside) else ""

    def use(self, wanted: bool) -> None:
        """Ask for a port from now on, or give it back. Nobody is told of it meanwhile."""
        self._wanted = wanted
        if not wanted:
            self.mapping = NO_MAPPING
        elif self.mapping.state == MappingState.OFF:
            self.mapping = PortMapping(MappingState.ASKING)
        self._wakeup.set()

    def network_changed(self) -> None:
        """Note that this machine is on another network, or has slept: ask there, soon."""
        self._failures = 0
        if self._asking is not None and self._where() != self._asking.uplink:
            self.mapping = PortMapping(MappingState.ASKING)  # nobody is told of the old address any more
        self._wakeup.set()

    async def run(self, changed: Callable[[], None]) -> None:
        """Keep a port open until cancelled, and call `changed` whenever the address is another. The end waits until
        the port was given back, for a second and a half at most.
        """
        try:
            while True:
                await trio.sleep(START_SECONDS)
                self._wakeup.clear()
                pause = await self._round()
                if (address := self.mapping.address) != self._told:
                    self._told = address
                    changed()
                with trio.move_on_after(pause):
                    await self._wakeup.wait()
        finally:
            with trio.CancelScope(shield=True):
                await self._give_back()

    async def _round(self) -> float:
        """Ask once, if there is anything to ask for; return the seconds until the next time."""
        uplink = self._where()
        inside = 0 if uplink is None else self._inside(uplink)
        if self._asking is not None and (
            not self._wanted or (uplink, inside) != (self._asking.uplink, self._asking.inside)
        ):
            if uplink is not None and uplink.router == self._asking.uplink.router:
                await self._give_back()
            self._forget()
        if not self._wanted:
            self.mapping = NO_MAPPING
            return inf
        if uplink is None or not inside or not is_local(uplink.own):
            self.mapping = PortMapping(_why_not(uplink, inside))
            return LOOK_SECONDS
        if self._asking is None:
            nonce = hmac_sha256(self._secret, uplink.router.packed + uplink.own.packed)[: pcp.NONCE_BYTES]
            self._asking = Asking(self._access, uplink, inside, nonce, self._random)
        try:
            grant = await self._asking.ask(self._grant)
        except NoMapping as no:
            return self._failed(no.state)
        except Exception as error:  # noqa: BLE001 - what a router says must not end the node
            log.error("asking the router for a port failed: %s", type(error).__name__)
            return self._failed(MappingState.SILENT)
        if not self._wanted or self._where() != uplink:
            self._grant = grant  # the next round gives it back
            return 0.0
        return await self._granted(grant)

    def _inside(self, uplink: Uplink) -> int:
        """Return the TCP port at which the router can dial this node; 0 if there is none."""
        here = (uplink.own, IPv4Address(0))
        return next((endpoint.port for endpoint in self._bound() if endpoint.ip in here), 0)

    async def _granted(self, grant: Grant) -> float:
        seconds = min(grant.seconds, LIFETIME_SECONDS)
        self._grant, self._until = grant, trio.current_time() + seconds
        outside = SocketAddress(grant.address, grant.port)
        if punchable(outside) and seconds >= MIN_LIFETIME_SECONDS:
            if self.mapping.state != MappingState.OPEN:
                log.info("the router has opened a port, asked by %s", grant.protocol)
            self._failures = 0
            self.mapping = PortMapping(MappingState.OPEN, outside.text(), grant.protocol)
            return min(RENEW_SECONDS, seconds / 2)
        await self._give_back()
        public = punchable(SocketAddress(grant.address, MIN_PUNCHED_PORT))
        return self._failed(MappingState.REFUSED if public else MappingState.NOT_PUBLIC)

    def _failed(self, state: MappingState) -> float:
        """Return the seconds until the next attempt. A port that was open counts until its time is over, if the router
        is only silent.
        """
        self._failures += 1
        pause = min(RETRY_SECONDS * 2.0 ** min(self._failures - 1, 16), MAX_RETRY_SECONDS)
        left = self._until - trio.current_time()
        if self._grant is not None and state == MappingState.SILENT and left > 0:
            return min(pause, left)
        if self.mapping.state != state:
            log.info("the router has opened no port: %s", state)
        self._grant, self.mapping = None, PortMapping(state)
        return pause

    async def _give_back(self) -> None:
        grant, self._grant = self._grant, None
        if self._asking is not None and grant is not None:
            await self._asking.release(grant)

    def _forget(self) -> None:
        self._asking = self._grant = None
        self._failures, self.mapping = 0, PortMapping(MappingState.ASKING)


def _why_not(uplink: Uplink | None, inside: int) -> MappingState:
    if uplink is None:
        return MappingState.NO_ROUTER
    if uplink.own.is_global:
        return MappingState.NOT_NEEDED
    return MappingState.NO_ROUTER if inside else MappingState.NOT_LISTENING
