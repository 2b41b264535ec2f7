"""Two hosts for hidden contacts: the one they know, and those that fetch and deliver their mail.

A hidden contact must not learn our address. The host that answers would reveal it, so another host answers them, with
its own transport key, and listens nowhere. A relay of the contact's would reveal it if we connected to that relay, so
we go only through relays that the user chose, at the addresses that the user gave and those that the relay itself has
signed. What the contact says about such a relay is not used: behind an address of theirs, somebody could see us
connect.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from p2pchat.core.delivery import Route
from p2pchat.core.ids import PeerKey
from p2pchat.net import multiaddrs
from p2pchat.net.ports import Caller, Handler, Host, Recognizer, Stream

Ours = Callable[[PeerKey], Sequence[str]]
"""The addresses at which we reach a relay of ours, by its transport key; none if it is not one of ours."""


class CircuitOnlyHost:
    """A `ports.Host` on top of another, which uses only circuits through our own relays."""

    def __init__(self, host: Host, ours: Ours) -> None:
        self._host = host
        self._ours = ours

    @property
    def peer(self) -> PeerKey:
        """The transport key that hidden contacts know, 32 bytes; not that of the other host."""
        return self._host.peer

    def addresses(self) -> tuple[str, ...]:
        """Return nothing: this host listens nowhere."""
        return ()

    def recognize(self, recognizer: Recognizer) -> None:
        """Ask `recognizer` too, but only about callers who come over a circuit."""
        self._host.recognize(partial(_over_circuit, recognizer))

    async def open(
        self,
        peer: PeerKey,
        addresses: Sequence[str],
        protocol: str,
        *,
        only: Route | None = None,
        chosen: bool = False,
        relay: bool = False,
        afresh: bool = False,
        lasting: bool = False,
    ) -> Stream:
        """Open a stream as `Host.open` does, over circuits of our own relays.

        Of `addresses` only the relays' keys are used, with the addresses that a person here gave for them. `only`,
        `chosen` and `relay` change nothing. Raises Unreachable where none of the relays is ours.
        """
        relays = dict.fromkeys(multiaddrs.parse_target(address).relay for address in addresses)
        circuits = [multiaddrs.circuit(way, by) for by in relays if by is not None for way in self._ours(by)]
        return await self._host.open(
            peer, circuits, protocol, only=Route.CIRCUIT, chosen=True, afresh=afresh, lasting=lasting
        )

    def mark_proven(self, peer: PeerKey) -> None:
        """Keep the connections of a peer that has proven something, as `Host.mark_proven` says."""
        self._host.mark_proven(peer)

    def found_at(self, peer: PeerKey) -> str:
        """Return "": over a circuit, nobody reaches us at an address of ours."""
        return ""

    async def disconnect(self, peer: PeerKey, *, only: Route | None = None) -> None:
        """Close every connection with `peer`, or those of the route `only`."""
        await self._host.disconnect(peer, only=only)


def circuits_by(relays: Sequence[tuple[PeerKey, Sequence[str]]], to: PeerKey) -> list[str]:
    """Return the addresses that may lead to the peer `to` by these relays, leaving out the peer itself if it is one of
    them.
    """
    return [multiaddrs.circuit(way, relay) for relay, ways in relays if relay != to for way in ways]


async def _over_circuit(recognizer: Recognizer, name: str, caller: Caller) -> Handler | None:
    return await recognizer(name, caller) if caller.route == Route.CIRCUIT else None
