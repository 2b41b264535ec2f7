"""A switch that connects `net.lan.discovery.Medium`s of the tests' own, and keeps everything that was sent."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from ipaddress import ip_address

import trio

from p2pchat.lib.wakeup import Wakeup
from p2pchat.net.lan.discovery import Place
from p2pchat.net.multiaddrs import IP


@dataclass
class Switch:
    """Everybody who is plugged in, and what was sent: when (seconds), from where, and the packet."""

    plugged: list[Plug] = field(default_factory=list)
    sent: list[tuple[float, IP, bytes]] = field(default_factory=list)

    def plug(self, ip: str, port: int = 4001) -> Plug:
        """Plug a machine in, at this address."""
        return Plug(self, Place(ip_address(ip), port))

    def pass_on(self, source: IP, packet: bytes) -> None:
        """Pass a packet to everybody, also to the one who sent it."""
        self.sent.append((trio.current_time(), source, packet))
        for plug in self.plugged:
            plug.came.append((packet, source))
            plug.more.set()


@dataclass(eq=False)
class Plug:
    """`Medium` on a switch. `there`: the cable is in. `usable_at`: until then the address cannot be used."""

    switch: Switch
    place: Place
    there: bool = True
    usable_at: float = 0.0
    came: deque[tuple[bytes, IP]] = field(default_factory=deque)
    more: Wakeup = field(default_factory=Wakeup)

    def places(self) -> tuple[Place, ...]:
        return (self.place,) if self.there else ()

    def close(self) -> None:
        if self in self.switch.plugged:
            self.switch.plugged.remove(self)
        self.came.clear()

    def open(self) -> bool:
        usable = trio.current_time() >= self.usable_at
        if usable:
            self.switch.plugged.append(self)
        return usable

    def send(self, place: Place, packet: bytes) -> None:
        if self in self.switch.plugged:
            self.switch.pass_on(place.ip, packet)

    async def receive(self) -> tuple[bytes, IP]:
        while not self.came:
            self.more.clear()
            await self.more.wait()
        await trio.lowlevel.checkpoint()
        return self.came.popleft()
