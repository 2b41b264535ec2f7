"""What the net knows about where this node is and how each contact is reached, as values; for people, never for limits.

Addresses are here to be shown to the user of this machine. They are never logged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from p2pchat.core.delivery import Route
from p2pchat.core.ids import PeerKey


class Scope(StrEnum):
    """From where an address can be dialled, as far as it says so itself."""

    PUBLIC = "public"
    LOCAL = "local"
    """On the same network only: private, link-local, or behind a carrier's NAT."""
    LOOPBACK = "loopback"
    """On this machine only."""


@dataclass(frozen=True, slots=True, repr=False)
class OwnAddress:
    """An address at which this node listens, as a multiaddr without its peer id. family: IPv4 or IPv6."""

    address: str
    family: str
    scope: Scope


@dataclass(frozen=True, slots=True)
class Machine:
    """The networks of this machine. families: those of its addresses that lead to others, of IPv4 and IPv6. public:
    those of which it has a public address. default_route: whether packets for the internet have somewhere to go; None
    where the system does not say.
    """

    families: tuple[str, ...] = ()
    public: tuple[str, ...] = ()
    default_route: bool | None = None

    @property
    def connected(self) -> bool:
        """Whether there is any network but this machine itself."""
        return bool(self.families)


class MappingState(StrEnum):
    """Whether the router of this network has opened a port for this node, and if not, why."""

    OFF = "off"
    """The user does not want it."""
    FORBIDDEN = "forbidden"
    """Nobody may ask, whatever the user sets: everything goes through a proxy, or the node was started so."""
    NOT_NEEDED = "not needed"
    """This machine has a public address."""
    NOT_LISTENING = "not listening"
    """This node can be dialled from this machine only."""
    NO_ROUTER = "no router"
    ASKING = "asking"
    OPEN = "open"
    SILENT = "silent"
    """The router answers none of the protocols."""
    REFUSED = "refused"
    NOT_PUBLIC = "not public"
    """The router has opened a port, and has no public address itself: another one translates for it."""


@dataclass(frozen=True, slots=True, repr=False)
class PortMapping:
    """What the router did. address: where others can dial this node, a multiaddr; "" unless the port is open. protocol:
    how the router was asked, for people.
    """

    state: MappingState = MappingState.OFF
    address: str = ""
    protocol: str = ""


NO_MAPPING = PortMapping()


@dataclass(frozen=True, slots=True)
class TransportHealth:
    """A pluggable transport that is set up. problem: what is wrong with it, for people; "" if nothing is known."""

    name: str
    running: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class NetState:
    """Where this node is. circuits, hidden_circuits: the relays through which it can be reached now, by everybody and
    by hidden contacts. hops: 2 if mailboxes are reached through a second relay only. freezing: with how many hosts
    connections were seen to freeze on this network, within a day; short ones are made with those. mapping: what the
    router did. transports: the pluggable ones that are set up. disguised: of the peers with a connection by one, its
    name.
    """

    machine: Machine = Machine()
    addresses: tuple[OwnAddress, ...] = ()
    circuits: tuple[PeerKey, ...] = ()
    hidden_circuits: tuple[PeerKey, ...] = ()
    hops: int = 1
    freezing: int = 0
    mapping: PortMapping = NO_MAPPING
    transports: tuple[TransportHealth, ...] = ()
    disguised: Mapping[PeerKey, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PathState:
    """How a contact is reached now, and what was tried. route: None without a link. relay: of a circuit. family: IPv4
    or IPv6, by which a link that is not over a circuit goes, or "". short: it is over a short connection. seconds: the
    age of the link. stalled: answers are overdue on it. direct, circuits: how many ways of each kind the node knows to
    the contact. tried: seconds since the last attempt that failed; None if none has. no_hole: holes through both
    routers were tried in vain.
    """

    route: Route | None = None
    relay: PeerKey | None = None
    family: str = ""
    short: bool = False
    seconds: int = 0
    stalled: bool = False
    direct: int = 0
    circuits: int = 0
    tried: int | None = None
    no_hole: bool = False
