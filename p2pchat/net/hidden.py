"""The host that hidden contacts know: it has a transport key of its own and is met over circuits only.

A hidden contact must not learn our address. It would, from who answers there: so another host answers them, which
listens nowhere. It would also learn it from a relay of its own, if we went there: so we go by relays that are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from p2pchat.net import addresses as addr
from p2pchat.net.ports import Caller, Handler, Host, Recognizer, Stream


class HiddenHost:
    """`ports.Host` over another, by circuits only. `ours`: whether a relay (its transport key) is one of our own."""

    def __init__(self, host: Host, ours: Callable[[bytes], bool]) -> None:
        self._host = host
        self._ours = ours

    @property
    def peer(self) -> bytes:
        return self._host.peer

    def addresses(self) -> tuple[str, ...]:
        return ()

    def recognize(self, recognizer: Recognizer) -> None:
        self._host.recognize(partial(_over_circuit, recognizer))

    async def open(self, peer: bytes, addresses: Sequence[str], protocol: str, *, only: str | None = None) -> Stream:
        known = [address for address in addresses if self._leads_by_ours(address)]
        return await self._host.open(peer, known, protocol, only="circuit")

    def vouch(self, peer: bytes) -> None:
        self._host.vouch(peer)

    def found_at(self, peer: bytes) -> str:
        return ""

    async def disconnect(self, peer: bytes, *, only: str | None = None) -> None:
        await self._host.disconnect(peer, only=only)

    def _leads_by_ours(self, address: str) -> bool:
        relay = addr.parse_target(address).relay
        return relay is not None and self._ours(relay)


async def _over_circuit(recognizer: Recognizer, name: str, caller: Caller) -> Handler | None:
    return await recognizer(name, caller) if caller.route == "circuit" else None
