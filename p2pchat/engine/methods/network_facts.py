"""What is known about the network, as values: the one source of `network`, `doctor` and the network page.

Another fact is a field here, where it is found in `network`, and a row in `network_words`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from p2pchat.core.delivery import Route
from p2pchat.core.ids import ContactId, PeerKey
from p2pchat.core.relays import RelayHealth
from p2pchat.ports import DhtHealth, LanHealth, NetState, PathState, ProxyHealth
from p2pchat.store.contacts import ContactState
from p2pchat.store.outbox import Waiting

NOTHING_WAITS = Waiting(0, 0, 0)
_NO_PATH = PathState()


@dataclass(frozen=True, slots=True)
class RelayFacts:
    """One of our relays. place: its host and port, for people. used: it is one of the two that store for us. contact:
    the name of whose node it is, or ""; owner: the same as it is shown. queues: how many queues of ours it holds.
    stored: how many envelopes of ours for others lie there. circuits, hidden_circuits: whether we can be reached
    through it now, by everybody and by hidden contacts. unwatched: how many of our queues there are read only now and
    then. unlisted: it forbids telling others of it. disguise: the pluggable transport of the connection
    with it, or "".
    """

    peer: PeerKey
    address: str
    place: str
    health: RelayHealth
    used: bool = True
    contact: str = ""
    owner: str = ""
    queues: int = 0
    stored: int = 0
    circuits: bool = False
    hidden_circuits: bool = False
    unwatched: int = 0
    unlisted: bool = False
    disguise: str = ""


@dataclass(frozen=True, slots=True)
class OtherRelays:
    """The relays that were not chosen here. known: how many relays and contacts have told of. worked: how many of those
    have ever answered. in_use: how many are connected directly now: for mail, for a link, or to be reached.
    """

    known: int = 0
    worked: int = 0
    in_use: int = 0


@dataclass(frozen=True, slots=True)
class ContactFacts:
    """One contact. label: the name as it is shown, with digits of the id where another looks like it. route: how a
    message would go now; None if it would wait here. relay: the place of the relay of a circuit; "" if it is none of
    ours. cannot: what mail cannot do for a hidden contact, as a sentence's end. asked: where our first message lies
    while they have not accepted. no_room: they have sent more than we store.
    """

    id: ContactId
    name: str
    label: str = ""
    state: ContactState = ContactState.CONTACT
    hidden: bool = False
    route: Route | None = None
    path: PathState = _NO_PATH
    relay: str = ""
    relays: int = 0
    waiting: Waiting = NOTHING_WAITS
    cannot: str = ""
    asked: str = ""
    no_room: bool = False

    @property
    def shown(self) -> str:
        """What they are called in sentences."""
        return self.label or self.name


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """Everything. now: ms. clock, clock_right: see `clock_check`. reached: a contact has reached us from outside at an
    address that is ours now. turns: how many relays of contacts wait for their turn. is_relay: this node is a relay for
    contacts. key: what happens to the transport key, in sentences. hides: there are contacts from whom we hide our
    address, or will be. dht: None where it was not asked.
    """

    now: int
    net: NetState = field(default_factory=NetState)
    clock: str = ""
    clock_right: bool = True
    proxy: ProxyHealth | None = None
    proxy_here: bool = False
    lan: LanHealth = field(default_factory=LanHealth)
    dht: DhtHealth | None = None
    reached: bool = False
    turns: int = 0
    is_relay: bool = False
    key: str = ""
    hides: bool = False
    relays: tuple[RelayFacts, ...] = ()
    others: OtherRelays = OtherRelays()
    contacts: tuple[ContactFacts, ...] = ()

    @property
    def linked(self) -> list[ContactFacts]:
        """The contacts with a link."""
        return [contact for contact in self.contacts if contact.path.route is not None]

    @property
    def connected(self) -> list[RelayFacts]:
        """The relays that answer."""
        return [relay for relay in self.relays if relay.health.state == "connected"]

    @property
    def borrowed(self) -> list[PeerKey]:
        """The relays that are none of ours and through which we are reached, while none of ours answers."""
        own = {relay.peer for relay in self.relays}
        return [peer for peer in self.net.circuits if peer not in own]

    @property
    def proxy_fails(self) -> bool:
        """Whether everything has to go through a proxy that does not work."""
        return self.proxy is not None and bool(self.proxy.problem)

    @property
    def cut_off(self) -> bool:
        """Whether nothing can leave this machine."""
        return self.proxy_fails or not self.net.machine.connected
