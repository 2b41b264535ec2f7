"""Relays and queues at them, as the engine names them to the net, and what it hears of them."""

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
    """A relay: its transport key, packed addresses, best first, and the access token where its operator gave one.

    chosen: a person here gave it to us; of any other we know only what a contact or an invite says. hidden: what is
    there is of hidden contacts, so the relay is met with a transport key that is used for nothing else. contact: for
    whom it is used, where it is hidden and not chosen.
    """

    peer: PeerKey
    addresses: tuple[bytes, ...]
    token: bytes = field(default=b"", repr=False)
    chosen: bool = True
    hidden: bool = False
    contact: MailOwner | None = None

    @property
    def mailbox(self) -> RelayName:
        """Names how the relay is used; begins with its transport key, and is that alone for a relay of our own.

        What somebody says of a relay counts for those who say the same, and for nobody else. Two hidden contacts never
        share one that was not chosen here.
        """
        if self.chosen and not self.hidden:
            return own_relay(self.peer)
        said: list[object] = [] if self.chosen else [list(self.addresses), self.token, self.hidden, self.contact or b""]
        return RelayName(self.peer + hashlib.sha256(encode(said)).digest()[:16])


def own_relay(peer: PeerKey) -> RelayName:
    """Return the name of a relay that a person here chose, as it is used for everybody who is not hidden."""
    return RelayName(peer)


@dataclass(frozen=True, slots=True)
class OwnQueue:
    """A queue we collect from: whoever has `fetch_seed` may fetch and delete. `after` the last place we have. retired:
    since when nobody is told of it any more, so that it may be read now and then only, in ms since the epoch; 0: it is
    in use.
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
    """A queue we deposit in."""

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
    """How it stands with a relay now: for people, never a reason to trust it. `since`: when it came to this state.
    `problem` is a clean line or empty. `longest`: the hours for which it keeps what is deposited; None before it said.
    `hours_ahead`: how far its clock said to be ahead of ours, in hours (negative: behind); None where it did not say.
    `unwatched`: how many queues that contacts are told of are not watched there, though it answers.
    """

    state: RelayState
    since: int
    problem: str = ""
    longest: int | None = None
    unwatched: int = 0
    hours_ahead: int | None = None
