"""What an engine does regularly: every hour, and when our addresses change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

import trio

from p2pchat.engine.contacts import address_updates, contact_relays, housekeeping, walk
from p2pchat.engine.contacts.address_updates import AddressUpdates
from p2pchat.engine.contacts.contact_relays import RelayOffer
from p2pchat.engine.contacts.copies import Copies
from p2pchat.engine.runtime.committer import Committer
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import P2PChatError
from p2pchat.lib.times import HOUR_SECONDS
from p2pchat.store.database import Database

log = logging.getLogger(__name__)


class Upkeep:
    """Maintains a profile while its node runs. relay_offer: whether contacts are told that they may use this node as a
    relay. also: what else is done every hour.
    """

    def __init__(
        self,
        committer: Committer,
        copies: Copies,
        relay_offer: RelayOffer,
        also: Sequence[Callable[[Transaction], None]] = (),
    ) -> None:
        self._also = also
        self.address_updates = AddressUpdates(self.tell_addresses)
        self._committer = committer
        self._copies = copies
        self._relay_offer = relay_offer
        self._telling = trio.Lock()

    async def mark_copy(self) -> None:
        """Write beside the database which copy of it is in use."""
        await self._committer.submit(self._copies.prepare)
        await self._committer.submit(self._copies.write)

    async def tell_addresses(self) -> None:
        """Tell all contacts where to reach us; an announcement that was not finished is repeated."""
        try:
            async with self._telling:
                untold = await self._committer.submit(address_updates.untold_addresses)
                if untold or self._relay_offer.wanted:
                    tell = partial(contact_relays.tell_addresses, addresses=untold)
                    await walk.in_slices(await self._committer.read(walk.order), self._committer.submit, tell)
                    await self._committer.submit(address_updates.addresses_told, untold)
        except P2PChatError as error:  # it is asked for again every hour
            log.warning("new addresses could not be saved: %s", type(error).__name__)

    async def run_due(self) -> None:
        """Do what is due now, for the profile and for each contact."""
        try:
            await self.mark_copy()
            for due in (housekeeping.tick, *self._also):
                await self._committer.submit(due)
            await walk.in_slices(
                await self._committer.read(walk.order), self._committer.submit, housekeeping.tick_contacts
            )
            self.address_updates.changed()
            await self._committer.read(Database.checkpoint)
        except P2PChatError as error:  # a full disk now may have room in an hour
            log.warning("the hourly run could not be saved: %s", type(error).__name__)

    async def run(self, then: Callable[[], object]) -> None:
        """Do everything that is due, every hour, and call `then` each time it is done; until cancelled."""
        while True:
            await trio.sleep(HOUR_SECONDS)
            await self.run_due()
            then()
