"""Tells contacts where we can be reached, when that has changed; not each time a relay comes or goes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

import trio

from p2pchat.core.contents import Addresses
from p2pchat.core.ids import ContactId
from p2pchat.engine.contacts import transport_keys
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import DAY_MS
from p2pchat.lib.wakeup import Wakeup
from p2pchat.store import contacts as store_contacts
from p2pchat.store import meta
from p2pchat.store.contacts import ContactState

SETTLE_SECONDS = 2.0
"""Seconds until a change is announced, since others often follow it."""
HOLD_SECONDS = 30.0
"""Seconds from one announcement to the next."""
TELL_AGAIN_AFTER = 7 * DAY_MS


class AddressUpdates:
    """Decides when `tell` is called, which tells contacts what they do not know yet."""

    def __init__(self, tell: Callable[[], Awaitable[object]]) -> None:
        self._tell = tell
        self._due = Wakeup()
        self._moved = Wakeup()

    def changed(self) -> None:
        """Note that our addresses have changed, or may have."""
        self._due.set()
        self._moved.pulse()

    async def moved(self) -> None:
        """Wait for the next change."""
        await self._moved.wait()

    async def run(self) -> None:
        """Announce changes, until cancelled."""
        while True:
            await self._due.wait()
            await trio.sleep(SETTLE_SECONDS)
            self._due.clear()
            await self._tell()
            await trio.sleep(HOLD_SECONDS)


Untold = dict[bool, Addresses]
"""Where hidden contacts (True) and all others (False) reach us, now and by the next transport key."""
_ADDRESSES_TOLD = {False: "ways_told", True: "hidden_ways_told"}


def untold_addresses(tx: Transaction) -> Untold:
    """Return where we are reached now, if that changed since contacts were told, and once a week all the same: news
    that somebody ignored once, since a clock was wrong, must not be lost for good.
    """
    untold: Untold = {}
    for hidden, key in _ADDRESSES_TOLD.items():
        here = Addresses(tuple(tx.net.ways(hidden=hidden)), transport_keys.next_key(tx.db, hidden=hidden))
        told_lately = tx.recent(meta.get_int(tx.db, f"{key}_at"), TELL_AGAIN_AFTER)
        if here.ways and not (told_lately and meta.get(tx.db, key) == _joined(here)):
            untold[hidden] = here
    return untold


def tell_addresses(tx: Transaction, addresses: Untold, contact_ids: Iterable[ContactId]) -> None:
    """Tell these contacts where to reach us now."""
    for contact_id in contact_ids:
        contact = store_contacts.get(tx.db, contact_id)  # not remembered: all of them are told
        if contact is not None and contact.state == ContactState.CONTACT and contact.hidden in addresses:
            outbound.queue(tx, contact, addresses[contact.hidden])


def addresses_told(tx: Transaction, addresses: Untold) -> None:
    """Note that every contact has been told."""
    for hidden, here in addresses.items():
        meta.put(tx.db, _ADDRESSES_TOLD[hidden], _joined(here))
        meta.put_int(tx.db, f"{_ADDRESSES_TOLD[hidden]}_at", tx.now)


def _joined(here: Addresses) -> bytes:
    return b"".join(peer + address for peer, address in here.ways) + (here.next or b"")
