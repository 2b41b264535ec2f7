"""Where we can be reached: contacts are told when that has changed, not each time a relay comes or goes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import trio

from p2pchat.core import content as contents
from p2pchat.core.session import DAY
from p2pchat.engine import outbound
from p2pchat.engine.turn import Turn
from p2pchat.store import contacts as store_contacts
from p2pchat.store import meta

SETTLE = 2.0
"""Seconds until a change is told: others often follow it."""
HOLD = 30.0
"""Seconds until the next one is."""
TELL_AGAIN_AFTER = 7 * DAY


class Whereabouts:
    """`tell` tells contacts what they do not know yet."""

    def __init__(self, tell: Callable[[], Awaitable[object]]) -> None:
        self._tell = tell
        self._due = trio.Event()
        self._moved = trio.Event()

    def changed(self) -> None:
        """Something about it is different, or may be."""
        self._due.set()
        self._moved.set()
        self._moved = trio.Event()

    async def moved(self) -> None:
        """Wait for the next change."""
        await self._moved.wait()

    async def run(self) -> None:
        """Tell what changes, in time."""
        while True:
            await self._due.wait()
            await trio.sleep(SETTLE)
            self._due = trio.Event()
            await self._tell()
            await trio.sleep(HOLD)


Addresses = dict[bool, list[tuple[bytes, bytes]]]
"""Where those who are hidden (True), and all others (False), reach us."""
_ADDRESSES_TOLD = {False: "ways_told", True: "hidden_ways_told"}


def untold_addresses(turn: Turn) -> Addresses:
    """Where we are reached now, if that changed since contacts were told, and once a week all the same: news that
    somebody ignored once, since a clock was wrong, must not be lost for good.
    """
    untold: Addresses = {}
    for hidden, key in _ADDRESSES_TOLD.items():
        ways = turn.net.ways(hidden=hidden)
        told_lately = turn.recent(meta.get_int(turn.db, f"{key}_at"), TELL_AGAIN_AFTER)
        if ways and not (told_lately and meta.get(turn.db, key) == _joined(ways)):
            untold[hidden] = ways
    return untold


def tell_addresses(turn: Turn, addresses: Addresses, contact_ids: Iterable[bytes]) -> None:
    """Tell these contacts where they reach us now."""
    for contact_id in contact_ids:
        contact = store_contacts.get(turn.db, contact_id)  # not remembered: all of them are told
        if contact is not None and contact.state == "contact" and contact.hidden in addresses:
            outbound.queue(turn, contact, contents.ADDRESSES, [[list(way) for way in addresses[contact.hidden]]])


def addresses_told(turn: Turn, addresses: Addresses) -> None:
    """Every contact was told."""
    for hidden, ways in addresses.items():
        meta.put(turn.db, _ADDRESSES_TOLD[hidden], _joined(ways))
        meta.put_int(turn.db, f"{_ADDRESSES_TOLD[hidden]}_at", turn.now)


def _joined(ways: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(peer + address for peer, address in ways)
