"""The network as the engine is given it: links, reach, joining and the mailboxes of relays over one host."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import trio

from p2pchat.core.wire import Frame
from p2pchat.errors import CannotOpen
from p2pchat.net import addresses
from p2pchat.net.direct import Links, Wire
from p2pchat.net.joining import Doorkeeper, Joining
from p2pchat.net.mailbox import Mail
from p2pchat.net.mailboxes import Mailboxes
from p2pchat.net.ports import Host
from p2pchat.net.reach import Reach, Way

log = logging.getLogger(__name__)
MOST_WAYS = 4


class Network:
    """Joins the parts of `net`; addresses are text inside and packed outside. Without a `mail` to tell there are no
    mailboxes.
    """

    def __init__(
        self,
        host: Host,
        wire_end: Wire,
        keeper: Doorkeeper,
        nursery: trio.Nursery,
        random: Callable[[int], bytes],
        mail: Mail | None = None,
    ) -> None:
        self._host = host
        self._nursery = nursery
        self._links = Links(host, wire_end)
        self._reach = Reach(self._links, nursery, random)
        self._joining = Joining(host, keeper, nursery, random)
        if mail is not None:
            self.mailboxes = Mailboxes(host, mail, nursery, wire_end.now, random)

    def ways(self) -> list[tuple[bytes, bytes]]:
        """Where others may dial us, best first, at most four."""
        best = addresses.for_invite(self._host.addresses())[:MOST_WAYS]
        return [(self._host.peer, addresses.pack(address)) for address in best]

    def listening(self) -> list[str]:
        """Every address we can be dialled at, with our peer id."""
        return [addresses.full(self._host.peer, address) for address in self._host.addresses()]

    def reach(self, contact: bytes, ways: Sequence[tuple[bytes, bytes]]) -> None:
        """Keep a link with a contact."""
        self._reach.want(contact, self._unpacked(ways))

    def nudge(self, contact: bytes) -> None:
        """Try soon, if there is no link."""
        if self._links.newest(contact) is None:
            self._reach.nudge(contact)

    def lost(self, contact: bytes) -> None:
        """A link has ended: begin to dial again."""
        if self._links.newest(contact) is None:
            self._reach.again(contact)

    def relink(self, contact: bytes) -> None:
        """End the links with a contact; whoever reaches for the other makes the next."""
        self._nursery.start_soon(self._links.drop, contact)

    def forget(self, contact: bytes) -> None:
        """End everything with a contact."""
        self._reach.forget(contact)
        self._joining.forget(contact)
        self._nursery.start_soon(self._links.drop, contact)

    def join(self, contact: bytes, ways: Sequence[tuple[bytes, bytes]], hello_key: bytes) -> None:
        """Knock at the inviter's ways until the invite is settled."""
        self._joining.join(contact, self._unpacked(ways), hello_key)

    def joined(self, contact: bytes) -> None:
        """Stop knocking."""
        self._joining.forget(contact)

    def send(self, contact: bytes, frames: Sequence[Frame]) -> bool:
        """Queue frames on the newest link."""
        link = self._links.newest(contact)
        return link is not None and link.post(frames)

    def route(self, contact: bytes) -> str | None:
        """The newest link's route."""
        link = self._links.newest(contact)
        return None if link is None else link.stream.route

    def _unpacked(self, ways: Sequence[tuple[bytes, bytes]]) -> list[Way]:
        known: list[Way] = []
        for peer, packed in ways:
            try:
                address = addresses.unpack(packed)
            except CannotOpen:
                log.info("an address of a kind not known here was left out")
                continue
            if peer != self._host.peer:
                known.append((peer, address))
        return known
