"""Presence records at relays: each request goes over a connection of its own, from a fresh transport key.

So a relay that writes down everything sees no key of ours that comes again, and nothing that joins two records but the
network address and the time (docs/protocol/presence.md). Where another relay of ours leads there, it sees the address
of that one in place of ours.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

import trio

from p2pchat.core import mailbox, record_frames
from p2pchat.core.delivery import Route
from p2pchat.core.ids import PeerKey
from p2pchat.core.record_frames import RecordGet, RecordPut
from p2pchat.core.relays import Relay
from p2pchat.errors import CannotOpen, PeerError, Refused
from p2pchat.net.mailbox.stream import MailStream, addresses_to_dial, open_by_circuit, open_mail_stream
from p2pchat.net.ports import Host, NewHost

EXCHANGE_TIMEOUT = 10.0
"""Seconds that one request to a relay may take, with its connection."""
MAX_EXCHANGES = 4
"""Requests that are made at the same time."""
CIRCUIT_TIMEOUT = 4.0
"""Seconds of these that a circuit may take which is tried before a direct connection."""
_NUMBER = 1


class FirstHops(NamedTuple):
    """The circuits to a relay: through relays of our own; those of these of which the relay says that it can be reached
    by them; and those through relays that the user did not choose.
    """

    ours: Sequence[str]
    sure: Sequence[str]
    others: Sequence[str]


class RecordExchange:
    """Puts and gets records. new_host: makes a host for one request; without it nothing is put or found. is_us: whether
    a relay is this node, which asks itself for nothing. first_hops: returns the circuits to a relay. circuits_only: no
    relay is reached in another way; otherwise only those circuits are tried that are sure to exist.
    """

    def __init__(
        self,
        new_host: NewHost | None,
        is_us: Callable[[PeerKey], bool],
        first_hops: Callable[[Relay], FirstHops] = lambda relay: FirstHops((), (), ()),
        *,
        circuits_only: bool = False,
    ) -> None:
        self._new_host = new_host
        self._is_us = is_us
        self._first_hops = first_hops
        self._circuits_only = circuits_only
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
        addresses = addresses_to_dial(relay.addresses, chosen=relay.chosen)
        if self._new_host is None or self._is_us(relay.peer) or not addresses:
            return b""
        hops = self._first_hops(relay)
        async with self._at_once:
            with trio.move_on_after(EXCHANGE_TIMEOUT):
                if self._circuits_only:
                    by_circuit = partial(
                        open_by_circuit, relay=relay.peer, circuits=hops.ours, entries=hops.others, token=relay.token
                    )
                    return await self._exchange(by_circuit, kind, body, answer)
                opening = partial(open_mail_stream, relay=relay.peer, token=relay.token)
                if hops.sure:
                    with trio.move_on_after(CIRCUIT_TIMEOUT):
                        by_ours = partial(opening, addresses=hops.sure, only=Route.CIRCUIT, chosen=True)
                        if said := await self._exchange(by_ours, kind, body, answer):
                            return said
                return await self._exchange(
                    partial(opening, addresses=addresses, chosen=relay.chosen), kind, body, answer
                )
        return b""

    async def _exchange(
        self, opening: Callable[[Host], Awaitable[MailStream]], kind: int, body: bytes, answer: int
    ) -> bytes:
        """Make one request on a new host; return the body of its answer, or b"" if there was none."""
        assert self._new_host is not None
        async with self._new_host() as host:
            try:
                stream = await opening(host)
                try:
                    return await stream.exchange(kind, body, answer)
                finally:
                    await stream.close()
            except (PeerError, Refused):
                return b""
