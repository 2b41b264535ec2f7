"""A small relay inside a node, for its contacts: a mailbox and circuits on the node's own host, with small quotas.

Like any relay, it has stores of its own, apart from the profile's database: sealed blobs, and nothing of the profile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import trio

from p2pchat.core.names import hop_name, mailbox_name, relay_pass
from p2pchat.net.libp2p.host import LibP2PHost
from p2pchat.net.relays.circuit_relay import CircuitLimits, CircuitRelay
from p2pchat.relay import store_files
from p2pchat.relay.box_store import BoxQuota, BoxStore
from p2pchat.relay.host_streams import account_of, is_over, place_of, write_now
from p2pchat.relay.limits import RelayLimits
from p2pchat.relay.log_store import LogStore, log_quota
from p2pchat.relay.mailbox import MailboxServer
from p2pchat.relay.store import MailboxStore, Quota, wanted_free

QUOTA = Quota(queue_blobs=2_048, queue_bytes=16 << 20, total_bytes=256 << 20, least_free=1 << 30)
FILES = BoxQuota(total_bytes=128 << 20, box_bytes=32 << 20)
"""What contacts may leave of files: photos and voice notes, not films."""
LOGS = log_quota(total_bytes=64 << 20, log_bytes=16 << 20)
"""What groups of contacts may leave."""
CIRCUITS = CircuitLimits(
    reservations=64,
    reservations_per_place=8,
    circuits=32,
    circuits_per_peer=4,
    circuits_per_place=8,
    bytes=64 << 20,
)
_HOURS = 14 * 24
_FILE_HOURS = 3 * 24
_DRAIN_SECONDS = 2.0


class EmbeddedRelay:
    """Serves everyone who knows `token`, on the node's host. clock: ms since the epoch."""

    def __init__(
        self, host: LibP2PHost, store: Path, token: bytes, clock: Callable[[], int], random: Callable[[int], bytes]
    ) -> None:
        self._host = host
        self._path = store
        self._token = token
        self._limits = RelayLimits(
            token,
            longest_hours=_HOURS,
            puts_burst=1_000,
            puts_a_second=20.0,
            place_bytes=64 << 20,
            file_hours=_FILE_HOURS,
            file_place_bytes=64 << 20,
            log_hours=_HOURS,
            log_place_bytes=32 << 20,
            log_rate=8 << 10,
        )
        self._clock = clock
        self._random = random

    async def run(self, until: Callable[[], Awaitable[object]]) -> None:
        """Serve until `until` returns, then answer the requests that were accepted. Raises ProfileError if the store
        cannot be opened.
        """
        store = await trio.to_thread.run_sync(MailboxStore.open, self._path, QUOTA, self._clock())
        spare = partial(wanted_free, store)
        boxes = await trio.to_thread.run_sync(
            BoxStore.open_or_none, store_files.boxes_beside(self._path), FILES, self._clock(), spare
        )
        logs = await trio.to_thread.run_sync(
            LogStore.open_or_none, store_files.logs_beside(self._path), LOGS, self._clock(), spare
        )
        try:
            mailbox = MailboxServer(
                self._host.peer,
                store,
                self._limits,
                self._clock,
                self._random,
                place_of,
                account_of=account_of,
                write_now=write_now,
                is_over=is_over,
                mark_proven=self._host.mark_proven,
                boxes=boxes,
                logs_store=logs,
            )
            # contacts know our addresses; others who have the token are not told the local ones
            hop = CircuitRelay(self._host, CIRCUITS, self._clock, allowed=mailbox.knows, announce=tuple)
            async with trio.open_nursery() as nursery:
                await nursery.start(mailbox.run)
                nursery.start_soon(mailbox.check)
                nursery.start_soon(hop.run)
                with self._served(mailbox, hop):
                    await until()
                hop.drain()
                await mailbox.drain(_DRAIN_SECONDS)
                nursery.cancel_scope.cancel()
        finally:
            for opened in (store, boxes, logs):
                if opened is not None:
                    opened.close()

    @contextmanager
    def _served(self, mailbox: MailboxServer, hop: CircuitRelay) -> Iterator[None]:
        peer, token = self._host.peer, self._token
        names = mailbox_name(peer, token), hop_name(relay_pass(peer, token))
        self._host.handle(names[0], mailbox.serve, speaks_first=True)
        self._host.handle(names[1], hop.serve)
        try:
            yield
        finally:
            for name in names:
                self._host.handle(name, None)
