"""An offer by which the sender's node serves as a relay for the recipient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core.codec import array, binary, binary_upto, listing
from p2pchat.core.contents.addresses import MAX_OWN_WAYS
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.contents.queues import MAX_ADDRESS_BYTES
from p2pchat.core.ids import PeerKey
from p2pchat.core.mailbox import MAX_TOKEN
from p2pchat.core.primitives import KEY_BYTES
from p2pchat.core.relays import Relay

_SHAPE = array(
    binary(KEY_BYTES),
    listing(binary_upto(MAX_ADDRESS_BYTES, least=1), MAX_OWN_WAYS),
    binary_upto(MAX_TOKEN),
    open_end=True,
)
NO_RELAY = Relay(PeerKey(bytes(KEY_BYTES)), ())


@dataclass(frozen=True, slots=True, repr=False)
class ContactRelay(Payload):
    """relay: has at most four addresses; or `NO_RELAY`, which has none and withdraws the offer."""

    KIND = Kind(17, "relay", latest_only=True)
    relay: Relay

    def encode(self) -> list[object]:
        """Return [transport key, addresses, token]."""
        return [self.relay.peer, list(self.relay.addresses[:MAX_OWN_WAYS]), self.relay.token]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [transport key, addresses, token]. Raises CannotOpen."""
        peer, addresses, token, *_ = _SHAPE(value)
        return cls(Relay(peer, addresses, token))
