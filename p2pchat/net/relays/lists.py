"""Asking relays which relays they know (docs/protocol/relays.md)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import trio

from p2pchat.core import mailbox
from p2pchat.core.descriptors import decode_list
from p2pchat.core.frames import Frame
from p2pchat.core.ids import PeerKey
from p2pchat.errors import CannotOpen, PeerError, Refused
from p2pchat.lib.backoff import jittered
from p2pchat.lib.times import HOUR_SECONDS
from p2pchat.net import multiaddrs
from p2pchat.net.mailbox.stream import open_mail_stream
from p2pchat.net.ports import Host
from p2pchat.net.relays.reservations import RelayAccess

ASK_EVERY_SECONDS = 6 * HOUR_SECONDS
ANSWER_TIMEOUT = 30.0

log = logging.getLogger("p2pchat.net")

Told = Callable[[PeerKey, Sequence[bytes]], None]
"""(relay, the descriptors it has sent, none of them checked)"""


async def ask_list(host: Host, relay: PeerKey, access: RelayAccess, announced: bytes = b"") -> tuple[bytes, ...]:
    """Return the descriptors that a relay sends of itself and of others, unchecked; none if it keeps no list.

    announced: our own descriptor, if we are a relay that it shall list. Raises what `open_mail_stream` does, and
    CannotOpen or LinkLost if it does not answer as it should.
    """
    addresses = multiaddrs.with_websockets(access.addresses, chosen=access.chosen)
    stream = await open_mail_stream(host, relay, addresses, access.token, chosen=access.chosen)
    listed: tuple[bytes, ...] = ()

    def take(frame: Frame) -> None:
        nonlocal listed
        if frame.type != mailbox.LIST:
            raise CannotOpen
        listed = decode_list(frame.body)
        stream.end()

    try:
        if stream.hello.lists:
            stream.ask(mailbox.ASK_LIST, announced)
            with trio.move_on_after(ANSWER_TIMEOUT):
                await stream.run(take, trio.lowlevel.checkpoint, ())
    finally:
        await stream.close()
    return listed


class RelayLists:
    """Asks the relays that we use which others there are, each now and then, in `nursery`. told: gets the answers."""

    def __init__(self, host: Host, nursery: trio.Nursery, random: Callable[[int], bytes], told: Told) -> None:
        self._host = host
        self._nursery = nursery
        self._random = random
        self._told = told
        self._due: dict[PeerKey, float] = {}

    def answers(self, relay: PeerKey, access: RelayAccess) -> None:
        """Ask a relay that has just answered us, unless it was asked within the last hours."""
        now = trio.current_time()
        if now >= self._due.get(relay, now):
            self._due[relay] = now + jittered(ASK_EVERY_SECONDS, self._random)
            self._nursery.start_soon(self._ask, relay, access)

    async def run(self, using: Callable[[], dict[PeerKey, RelayAccess]]) -> None:
        """Ask those of the relays in use again that have answered before, until cancelled."""
        while True:
            await trio.sleep(HOUR_SECONDS)
            now, relays = trio.current_time(), using()
            for relay in [relay for relay, due in self._due.items() if due <= now]:
                if relay in relays:
                    self.answers(relay, relays[relay])
                else:
                    del self._due[relay]

    async def _ask(self, relay: PeerKey, access: RelayAccess) -> None:
        try:
            listed = await ask_list(self._host, relay, access)
        except (PeerError, Refused) as error:
            log.debug("a relay gave no list: %s", type(error).__name__)
            self._due[relay] = min(self._due.get(relay, 0.0), trio.current_time() + HOUR_SECONDS)
            return
        self._told(relay, listed)
