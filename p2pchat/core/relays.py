"""Relays and queues at them, as the engine names them to the net, and the state that the net reports."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Literal

from p2pchat.core.codec import encode
from p2pchat.core.ids import MailOwner, PeerKey, RelayName
from p2pchat.core.mailbox import Queue
from p2pchat.core.primitives import sign_public


@dataclass(frozen=True, slots=True)
class Relay:
    """A relay: its transport key, its packed addresses, best first, and its access token if its operator set one.

    chosen: whether the user gave it to us; of any other we know only what a contact or an invite says. hidden: whether
    it holds mail of hidden contacts, so that it is contacted with a separate transport key. contact: for whom it is
    used, if it is hidden and not chosen.
    """

    peer: PeerKey
    addresses: tuple[bytes, ...]
    token: bytes = field(default=b"", repr=False)
    chosen: bool = True
    hidden: bool = False
    contact: MailOwner | None = None

    @property
    def mailbox(self) -> RelayName:
        """The name of the relay in this way of using it. It begins with the relay's transport key, and is that alone
        for a relay of our own.

        What somebody says about a relay is used only for those who say the same. Two hidden contacts never share a
        relay that the user did not choose.
        """
        if self.chosen and not self.hidden:
            return own_relay(self.peer)
        said: list[object] = [] if self.chosen else [list(self.addresses), self.token, self.hidden, self.contact or b""]
        return RelayName(self.peer + hashlib.sha256(encode(said)).digest()[:16])


@dataclass(frozen=True, slots=True)
class EntryRelay:
    """A relay that may be the first of two hops though the user did not choose it. source: the relay of the user's
    choice that has told of it.
    """

    relay: Relay
    source: PeerKey


def own_relay(peer: PeerKey) -> RelayName:
    """Return the name of a relay that the user chose, as it is used for everybody who is not hidden."""
    return RelayName(peer)


@dataclass(frozen=True, slots=True)
class OwnQueue:
    """A queue that we collect from. fetch_seed: of the key that fetches and deletes. after: the last place that we
    have. retired: since when contacts are not told of it any more (ms since the epoch), so that it is only read now and
    then; 0 if it is in use.
    """

    fetch_seed: bytes = field(repr=False)
    put: bytes
    flags: int = 0
    after: int = 0
    retired: int = 0

    @property
    def queue(self) -> Queue:
        """By its public keys."""
        return Queue(sign_public(self.fetch_seed), self.put, self.flags)


@dataclass(frozen=True, slots=True)
class TheirQueue:
    """A queue that we deposit in."""

    fetch: bytes
    put_seed: bytes = field(repr=False)
    flags: int = 0

    @property
    def queue(self) -> Queue:
        """By its public keys."""
        return Queue(self.fetch, sign_public(self.put_seed), self.flags)


RelayState = Literal["connected", "connecting", "unreachable", "refused"]


@dataclass(frozen=True, slots=True)
class RelayHealth:
    """The state of a relay, for people, and never a reason to trust it. since: when it came to this state. problem: a
    clean line, or empty. longest: the hours for which it keeps deposits; None before it said so. hours_ahead: by how
    many hours its clock is ahead of ours (negative: behind); None if it did not say. unwatched: the number of queues in
    use that are not watched there although it answers. answer_ms: how long its last answer took; None before one came.
    family: IPv4 or IPv6, by which it is connected; "" over a circuit or without a connection. short: it is asked over
    short connections, since this network freezes others.
    """

    state: RelayState
    since: int
    problem: str = ""
    longest: int | None = None
    unwatched: int = 0
    hours_ahead: int | None = None
    answer_ms: int | None = None
    family: str = ""
    short: bool = False
