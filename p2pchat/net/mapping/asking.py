"""Asks a router for a port: by PCP, then by NAT-PMP, then by UPnP, until one of them gives one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from ipaddress import IPv4Address
from typing import TypeVar

import trio

from p2pchat.core.network import MappingState
from p2pchat.net.mapping import nat_pmp, pcp, upnp
from p2pchat.net.mapping.access import Datagrams, NoRouter, RouterAccess
from p2pchat.net.mapping.grants import LIFETIME_SECONDS, Grant, NoMapping, Uplink
from p2pchat.net.mapping.http import HttpAnswer
from p2pchat.net.mapping.markup import BadMarkup

TRY_SECONDS = (0.25, 0.5, 1.0, 2.0)
"""Seconds to wait for an answer after each packet (RFC 6886 section 3.1, which goes on for a minute)."""
SEARCH_SECONDS = (1.5, 1.5, 1.5)
"""The same for searches: the first goes to the router, the others to the group that hears them."""
ASK_SECONDS = 30.0
"""Seconds for everything that is asked until one gives up."""
RELEASE_SECONDS = 1.5
"""Seconds that giving a port back may take: a node that is stopped waits for it."""
MAX_READ = 64
"""Packets that are read while one answer is waited for."""
MAX_PORTS = 3
"""Ports that are tried by UPnP, where each belongs to somebody else."""
MIN_PORT, PORTS = 10_000, 50_000
"""From where on, and among how many, a port is chosen where that of this node is not free."""

PCP, NAT_PMP, UPNP = "PCP", "NAT-PMP", "UPnP"
_ASK_PORT, _ASK_ADDRESS = "AddPortMapping", "GetExternalIPAddress"

T = TypeVar("T")
log = logging.getLogger(__name__)


class Asking:
    """What is asked of one router, about one port. inside: the TCP port at which this node listens. nonce: 12 bytes,
    the same for this uplink in every run of this node, by which a router knows whose port it is. random: random bytes.
    """

    def __init__(
        self, access: RouterAccess, uplink: Uplink, inside: int, nonce: bytes, random: Callable[[int], bytes]
    ) -> None:
        self._access = access
        self.uplink = uplink
        self.inside = inside
        self._nonce = nonce
        self._random = random

    async def ask(self, held: Grant | None) -> Grant:
        """Return what the router gives, after `ASK_SECONDS` at most. held: what it gave before, which is renewed.
        Raises NoMapping.
        """
        outside = self.inside if held is None else held.port
        state = MappingState.SILENT
        with trio.move_on_after(ASK_SECONDS):
            for protocol in sorted((PCP, NAT_PMP, UPNP), key=lambda each: held is None or each != held.protocol):
                try:
                    return await self._by(protocol, outside)
                except NoMapping as no:
                    if no.state == MappingState.REFUSED:
                        state = no.state
                except (NoRouter, pcp.OtherVersion):
                    pass
        raise NoMapping(state)

    async def _by(self, protocol: str, outside: int) -> Grant:
        if protocol == UPNP:
            return await self._by_upnp(outside)
        if protocol == PCP:
            mapped = await self._pcp(outside, LIFETIME_SECONDS)
            return Grant(PCP, mapped.address, mapped.port, mapped.seconds)
        async with self._access.asking(self.uplink, nat_pmp.PORT) as datagrams:
            address = await _answer(datagrams, nat_pmp.ASK_ADDRESS, nat_pmp.read_address)
        port = await self._nat_pmp(outside, LIFETIME_SECONDS)
        return Grant(NAT_PMP, address, port.port, port.seconds)

    async def release(self, grant: Grant) -> None:
        """Give a port back, within `RELEASE_SECONDS`. Raises nothing."""
        with trio.move_on_after(RELEASE_SECONDS):
            try:
                if grant.control is not None:
                    await self._delete(grant.port, *grant.control)
                elif grant.protocol == PCP:
                    await self._pcp(grant.port, 0)
                else:
                    await self._nat_pmp(0, 0)
            except (NoMapping, NoRouter, pcp.OtherVersion):
                log.info("the router did not say that it has closed the port")

    # --- PCP and NAT-PMP

    async def _pcp(self, outside: int, seconds: int) -> pcp.PcpMapping:
        packet = pcp.ask(self.uplink.own, self._nonce, self.inside, outside, seconds)
        async with self._access.asking(self.uplink, nat_pmp.PORT) as datagrams:
            return await _answer(datagrams, packet, lambda answer: pcp.read(answer, self._nonce, self.inside))

    async def _nat_pmp(self, outside: int, seconds: int) -> nat_pmp.NatPmpMapping:
        packet = nat_pmp.ask_tcp(self.inside, outside, seconds)
        async with self._access.asking(self.uplink, nat_pmp.PORT) as datagrams:
            return await _answer(datagrams, packet, lambda answer: nat_pmp.read_tcp(answer, self.inside))

    # --- UPnP

    async def _by_upnp(self, outside: int) -> Grant:
        at = await self._search()
        described = await self._access.fetch(self.uplink, at)
        try:
            services = upnp.read_description(described.body, self.uplink.router, at) if described.status == 200 else []
        except BadMarkup as error:
            raise NoMapping(MappingState.SILENT) from error
        refused = False
        for service in services:
            answer = await self._act(service, _ASK_ADDRESS, upnp.ask(_ASK_ADDRESS, service.kind))
            address = upnp.read_address(answer.body) if answer.status == 200 else None
            if address is not None:
                if (grant := await self._add(service, address, outside)) is not None:
                    return grant
                refused = True
        raise NoMapping(MappingState.REFUSED if refused else MappingState.SILENT)

    async def _search(self) -> upnp.Location:
        """Find out where the router describes itself: it is asked alone first, so that others here hear nothing."""
        to = [str(self.uplink.router), *[upnp.GROUP] * (len(SEARCH_SECONDS) - 1)]
        async with self._access.searching(self.uplink) as datagrams:
            for where, seconds in zip(to, SEARCH_SECONDS, strict=True):
                await datagrams.send(upnp.search(where), where)
                found = await _read(datagrams, seconds, lambda packet: upnp.read_found(packet, self.uplink.router))
                if found is not None:
                    return found
        raise NoMapping(MappingState.SILENT)

    async def _add(self, service: upnp.IgdService, address: IPv4Address, outside: int) -> Grant | None:
        """Ask for a port, or others where it is not free; None if there is none."""
        seconds, tried = LIFETIME_SECONDS, 0
        while tried < MAX_PORTS:
            body = upnp.ask_to_add(self.uplink.own, service.kind, self.inside, outside, seconds)
            answer = await self._act(service, _ASK_PORT, body)
            if answer.status == 200:
                control = (*service.control, service.kind)
                return Grant(UPNP, address, outside, seconds or LIFETIME_SECONDS, control)
            error = upnp.read_error(answer.body)
            if error == upnp.ONLY_PERMANENT and seconds:
                seconds = 0
            elif error == upnp.ONLY_SAME_PORT and outside != self.inside:
                outside = self.inside
            elif error == upnp.CONFLICT:
                outside = MIN_PORT + int.from_bytes(self._random(4), "big") % PORTS
            else:
                return None
            tried += 1
        return None

    async def _delete(self, outside: int, port: int, path: str, kind: str) -> None:
        service = upnp.IgdService(kind, upnp.Location(port, path))
        await self._act(service, "DeletePortMapping", upnp.ask_to_delete(kind, outside))

    async def _act(self, service: upnp.IgdService, action: str, body: bytes) -> HttpAnswer:
        headers = upnp.headers(action, service.kind)
        return await self._access.fetch(self.uplink, service.control, body, headers)


async def _answer(datagrams: Datagrams, packet: bytes, read: Callable[[bytes], T | None]) -> T:
    """Send a packet, again while nothing comes, and return what `read` makes of the answer. Raises NoMapping."""
    for seconds in TRY_SECONDS:
        await datagrams.send(packet)
        found = await _read(datagrams, seconds, read)
        if found is not None:
            return found
    raise NoMapping(MappingState.SILENT)


async def _read(datagrams: Datagrams, seconds: float, read: Callable[[bytes], T | None]) -> T | None:
    with trio.move_on_after(seconds):
        for _ in range(MAX_READ):
            if (found := read(await datagrams.receive())) is not None:
                return found
        await trio.sleep_forever()
    return None
