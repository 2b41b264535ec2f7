"""What a router gave, and why it gave nothing."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import NamedTuple

from p2pchat.core.network import MappingState

LIFETIME_SECONDS = 3600
"""Seconds for which a port is asked for: what a node leaves open that ends without a word."""


class Uplink(NamedTuple):
    """Where this machine is: its own address on the network of a router, and the router's."""

    own: IPv4Address
    router: IPv4Address


@dataclass(frozen=True, slots=True)
class Grant:
    """A port that a router has opened. protocol: for people. seconds: how long for. control: what UPnP needs to remove
    it, (port of the router, path, service); None for the other protocols.
    """

    protocol: str
    address: IPv4Address
    port: int
    seconds: int
    control: tuple[int, str, str] | None = None


class NoMapping(Exception):
    """No port was opened. state: why, `SILENT` or `REFUSED`."""

    def __init__(self, state: MappingState) -> None:
        super().__init__(state)
        self.state = state
