"""Relays and queues at them, as the engine names them to the net, and what it hears of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from p2pchat.core.mailbox import Queue
from p2pchat.core.primitives import sign_public


@dataclass(frozen=True, slots=True)
class Relay:
    """A relay: its transport key, packed addresses, best first, and the access token where its operator gave one."""

    peer: bytes
    addresses: tuple[bytes, ...]
    token: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class OwnQueue:
    """A queue we collect from: whoever has `fetch_seed` may fetch and delete. `after` the last place we have."""

    fetch_seed: bytes = field(repr=False)
    put: bytes
    flags: int = 0
    after: int = 0

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
    """

    state: RelayState
    since: int
    problem: str = ""
    longest: int | None = None
