"""Processes all contacts, a few in each transaction.

Work for every contact, at the start, every hour or when our addresses change, would block a profile with thousands of
contacts for seconds if one transaction did it. So `SLICE` contacts are processed at a time, those last talked with
first, and the user's calls run in between.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

import trio

from p2pchat.core.ids import ContactId, first_device
from p2pchat.engine.contacts import housekeeping, reaching
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import P2PChatError
from p2pchat.store import contacts as store_contacts
from p2pchat.store.database import Database

SLICE = 32
"""Contacts in one transaction: some 30 ms."""
PAUSE_SECONDS = 0.2
"""Seconds between two transactions: 2,000 contacts take 13 s."""

RETRY_SECONDS = 60.0

log = logging.getLogger(__name__)

Submit = Callable[..., Awaitable[object]]
"""`Committer.submit`"""


def order(db: Database) -> list[Sequence[ContactId]]:
    """Return every contact's id in slices, those heard of last first; there is one slice at least, which may be
    empty.
    """
    ids = store_contacts.latest_first(db)
    return [ids[start : start + SLICE] for start in range(0, max(1, len(ids)), SLICE)]


def begin(tx: Transaction, contact_ids: Sequence[ContactId]) -> None:
    """Resume the work with these contacts at the start: check their hellos, watch and use their queues, do what is due,
    and dial.
    """
    tx.pairs_of.update(contact_ids)
    tx.mail_of.update(dict.fromkeys(map(first_device, contact_ids)))
    housekeeping.tick_contacts(tx, contact_ids)
    reaching.resume(tx, contact_ids)


async def in_slices(
    slices: Sequence[Sequence[ContactId]],
    submit: Submit,
    function: Callable[[Transaction, Sequence[ContactId]], object],
) -> None:
    """Run `function(transaction, ids)` for one slice after the other; what cannot be saved is tried again."""
    for number, ids in enumerate(slices):
        if number:
            await trio.sleep(PAUSE_SECONDS)
        while True:
            try:
                await submit(function, ids)
                break
            except P2PChatError as error:  # a full disk may have room later
                log.warning("what is done for some contacts could not be saved: %s", type(error).__name__)
                await trio.sleep(RETRY_SECONDS)
