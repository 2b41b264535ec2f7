"""The mailboxes of relays: those where our queues are, and those where our contacts have theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from p2pchat.core.mailbox import MOST_TOKEN
from p2pchat.core.relays import OwnQueue, Relay, RelayHealth, TheirQueue
from p2pchat.errors import BadAddress, CannotOpen
from p2pchat.net import addresses
from p2pchat.net.mailbox import Mail, Mailbox
from p2pchat.net.ports import Host


class Mailboxes:
    """One `Mailbox` a relay, in `nursery`. Nothing here waits or raises; what comes of it is told to `mail`.

    clock: ms since the epoch.
    """

    def __init__(
        self, host: Host, mail: Mail, nursery: trio.Nursery, clock: Callable[[], int], random: Callable[[int], bytes]
    ) -> None:
        self._host = host
        self._mail = mail
        self._nursery = nursery
        self._clock = clock
        self._random = random
        self._mailboxes: dict[bytes, Mailbox] = {}

    def watch(self, relay: Relay, queues: Sequence[OwnQueue]) -> None:
        """Collect from these queues at a relay, after their `after`, and from no others; an empty list ends it."""
        if queues or relay.peer in self._mailboxes:
            self._of(relay).watch(relay, queues)

    def taken(self, relay: bytes, qid: bytes, upto: int) -> None:
        """What was collected up to this place is on our disk: the relay can delete it."""
        mailbox = self._mailboxes.get(relay)
        if mailbox is not None:
            mailbox.taken(qid, upto)

    def deposit(self, relay: Relay, queue: TheirQueue, hours: int, blobs: Sequence[tuple[int, bytes]]) -> None:
        """Put (number, blob) into a queue, to be kept so many hours, or as many as the relay keeps any."""
        if blobs:
            self._of(relay).deposit(relay, queue, hours, blobs)

    def relay_health(self) -> dict[bytes, RelayHealth]:
        """By transport key: every relay that we watch or deposit at now."""
        return {peer: mailbox.health for peer, mailbox in self._mailboxes.items()}

    def relay_at(self, written: str) -> Relay:
        """The relay that a person means by MULTIADDR or MULTIADDR#TOKEN. Raises BadAddress."""
        text, _, word = written.strip().partition("#")
        peer, address = addresses.parse_full(text)
        token = word.encode("utf-8", "surrogatepass")
        if addresses.parse_target(address).relay is not None:
            raise BadAddress("A relay cannot be reached by another relay")
        if len(token) > MOST_TOKEN:
            raise BadAddress(f"A relay's token has at most {MOST_TOKEN} bytes")
        if self.is_us(peer):
            raise BadAddress("That is this node itself")
        return Relay(peer, (addresses.pack(address),), token)

    def is_us(self, relay: bytes) -> bool:
        """Whether the relay with this transport key is this node."""
        return relay == self._host.peer

    def address_of(self, relay: Relay) -> str:
        """Where a relay is, for people: its best address, which ends in /p2p/<peer id>."""
        try:
            return addresses.full(relay.peer, addresses.unpack(relay.addresses[0]))
        except CannotOpen:  # of a kind that is not known here
            return f"/p2p/{addresses.peer_id(relay.peer)}"

    def _of(self, relay: Relay) -> Mailbox:
        mailbox = self._mailboxes.get(relay.peer)
        if mailbox is None:
            mailbox = Mailbox(relay.peer, self._host, self._mail, self._nursery, self._clock, self._random)
            self._mailboxes[relay.peer] = mailbox
            self._nursery.start_soon(self._keep, relay.peer, mailbox)
        return mailbox

    async def _keep(self, peer: bytes, mailbox: Mailbox) -> None:
        await mailbox.keep()
        del self._mailboxes[peer]
