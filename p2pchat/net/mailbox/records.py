"""Presence records at relays: each request goes over a connection of its own, from a fresh transport key.

So a relay that writes down everything sees no key of ours that comes again, and nothing that joins two records but the
network address and the time (docs/protocol/presence.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from p2pchat.core import mailbox, record_frames
from p2pchat.core.ids import PeerKey
from p2pchat.core.record_frames import RecordGet, RecordPut
from p2pchat.core.relays import Relay
from p2pchat.errors import CannotOpen, PeerError, Refused
from p2pchat.net import multiaddrs
from p2pchat.net.mailbox.stream import MailStream, open_by_circuit, open_mail_stream
from p2pchat.net.ports import Host, NewHost

EXCHANGE_TIMEOUT = 10.0
"""Seconds that one request to a relay may take, with its connection."""
MAX_EXCHANGES = 4
"""Requests that are made at the same time."""
MAX_ADDRESSES = 4
_NUMBER = 1


class RecordExchange:
    """Puts and gets records. new_host: makes a host for one request; without it nothing is put or found. is_us: whether
    a relay is this node, which asks itself for nothing. by_circuit: returns the circuits to a
    relay through our own, and those through others; if it is given, no relay is reached in another way.
    """

    def __init__(
        self,
        new_host: NewHost | None,
        is_us: Callable[[PeerKey], bool],
        by_circuit: Callable[[Relay], tuple[Sequence[str], Sequence[str]]] | None = None,
    ) -> None:
        self._new_host = new_host
        self._is_us = is_us
        self._by_circuit = by_circuit
        self._at_once = trio.CapacityLimiter(MAX_EXCHANGES)

    async def put(self, relay: Relay, public: bytes, record: bytes) -> int | None:
        """Have a relay keep a record under the key that signs it. Return the code of its answer, or None if there was
        none.
        """
        put = record_frames.encode_put(RecordPut(_NUMBER, public, record))
        answer = await self._ask(relay, mailbox.PUT_RECORD, put, mailbox.RESULTS)
        try:
            results = mailbox.decode_results(answer)
        except CannotOpen:
            return None
        return results[0][1] if len(results) == 1 and results[0][0] == _NUMBER else None

    async def get(self, relay: Relay, public: bytes) -> bytes:
        """Return what a relay has under a key, unread; b"" if it has nothing or does not answer."""
        get = record_frames.encode_get(RecordGet(_NUMBER, public))
        answer = await self._ask(relay, mailbox.GET_RECORD, get, mailbox.RECORD)
        try:
            said = record_frames.decode_answer(answer)
        except CannotOpen:
            return b""
        return said.record if said.number == _NUMBER else b""

    async def _ask(self, relay: Relay, kind: int, body: bytes, answer: int) -> bytes:
        """Return the body of a relay's answer, or b"" if there was none."""
        readable = multiaddrs.unpack_known(relay.addresses, circuits=False)
        addresses = multiaddrs.with_websockets(readable[:MAX_ADDRESSES], chosen=relay.chosen)
        if self._new_host is None or self._is_us(relay.peer) or not addresses:
            return b""
        async with self._at_once:
            with trio.move_on_after(EXCHANGE_TIMEOUT):
                async with self._new_host() as host:
                    try:
                        stream = await self._open(host, relay, addresses)
                        try:
                            return await stream.exchange(kind, body, answer)
                        finally:
                            await stream.close()
                    except (PeerError, Refused):
                        return b""
        return b""

    async def _open(self, host: Host, relay: Relay, addresses: Sequence[str]) -> MailStream:
        if self._by_circuit is not None:
            return await open_by_circuit(host, relay.peer, *self._by_circuit(relay), relay.token)
        return await open_mail_stream(host, relay.peer, addresses, relay.token, chosen=relay.chosen)
