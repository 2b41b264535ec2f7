"""What the net knows about where this node is and how contacts are reached, as values, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from p2pchat.core.ids import ContactId, PeerKey
from p2pchat.net import multiaddrs
from p2pchat.net.endpoint import Endpoint
from p2pchat.net.lan.discovery import Discovery
from p2pchat.net.mapping.mapper import PortMapper
from p2pchat.net.network_memory import NetworkMemory
from p2pchat.ports import (
    LanHealth,
    LanMode,
    Machine,
    MappingState,
    NetState,
    OwnAddress,
    PathState,
    PortMapping,
    Scope,
    TransportHealth,
)


class NetworkView:
    """Looks at a running network, as `ports.NetView`. machine: asks the system for the networks of this machine.
    hops: see `NetState`. memory: what networks were seen to do. mapper: see `Network`.
    """

    def __init__(
        self,
        machine: Callable[[], Machine],
        lan_mode: LanMode,
        hops: int = 1,
        memory: NetworkMemory | None = None,
        mapper: PortMapper | None = None,
    ) -> None:
        self._memory = memory
        self._machine = machine
        self._mapper = mapper
        self._hops = hops
        self._lan_mode = lan_mode
        self._open: Endpoint | None = None
        self._hidden: Endpoint | None = None
        self._is_hidden: Callable[[ContactId], bool] = lambda contact: False
        self._discovery: Discovery | None = None
        self._transports: Callable[[], Sequence[TransportHealth]] = tuple
        self._disguised: Callable[[], Mapping[PeerKey, str]] = dict

    def look_at_transports(
        self, health: Callable[[], Sequence[TransportHealth]], disguised: Callable[[], Mapping[PeerKey, str]]
    ) -> None:
        """Say from now on how the pluggable transports are, and which peers' connections they carry."""
        self._transports, self._disguised = health, disguised

    def begin(
        self,
        open_endpoint: Endpoint,
        hidden: Endpoint,
        is_hidden: Callable[[ContactId], bool],
        discovery: Discovery | None,
    ) -> None:
        """Look at these parts from now on. is_hidden: whether a contact uses the endpoint `hidden`."""
        self._open, self._hidden, self._is_hidden, self._discovery = open_endpoint, hidden, is_hidden, discovery

    def state(self) -> NetState:
        """Return where this node is."""
        if self._open is None or self._hidden is None:
            return NetState(self._machine())
        return NetState(
            self._machine(),
            tuple(_own_address(address) for address in self._open.host.addresses()),
            _relays_of(self._open.relays.ways()),
            _relays_of(self._hidden.relays.ways()),
            self._hops,
            0 if self._memory is None else self._memory.freezing(),
            PortMapping(MappingState.FORBIDDEN) if self._mapper is None else self._mapper.mapping,
            tuple(self._transports()),
            self._disguised(),
        )

    def path(self, contact: ContactId) -> PathState:
        """Return how a contact is reached and what was tried."""
        if self._open is None or self._hidden is None:
            return PathState()
        side, other = (self._hidden, self._open) if self._is_hidden(contact) else (self._open, self._hidden)
        return (side if side.best(contact) is not None or other.best(contact) is None else other).path(contact)

    def lan(self) -> LanHealth:
        """Return how the search for contacts on the local network is."""
        return LanHealth(self._lan_mode) if self._discovery is None else self._discovery.health()


def _own_address(address: str) -> OwnAddress:
    ip = multiaddrs.parse(address).ip
    scope = Scope.LOOPBACK if ip.is_loopback else Scope.PUBLIC if ip.is_global else Scope.LOCAL
    return OwnAddress(address, f"IPv{ip.version}", scope)


def _relays_of(circuits: Sequence[str]) -> tuple[PeerKey, ...]:
    """Return the relays of these circuits, each once."""
    relays = [multiaddrs.parse_target(circuit).relay for circuit in circuits]
    return tuple(dict.fromkeys(relay for relay in relays if relay is not None))
