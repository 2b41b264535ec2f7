"""Mail of contacts for which there is no room (`storage_limits`) stays where it is, and is taken later.

An envelope of such a contact is not opened, and not acked: their node keeps it and sends it again, and a relay keeps it
too. We stop reading the contact's queues meanwhile, since a relay pushes no more on a stream with many blobs that are
not deleted. Where there is a link, a `full` frame says why. Each hourly run, and whoever reads the chat, lets the
contact in again where there is room.
"""

from __future__ import annotations

from p2pchat.core import frames
from p2pchat.core.envelope import BUCKETS
from p2pchat.core.frames import Frame
from p2pchat.core.ids import ContactId, first_device
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import DAY_MS
from p2pchat.store.contacts import ACCEPTED, Contact

SAY_EVERY_MS = 60_000
WARN_EVERY_MS = DAY_MS
NO_ROOM = "{name} has sent more than you store for one contact; the rest waits on their node and at relays."


def has_room(tx: Transaction, contact: Contact, size: int) -> bool:
    """Return whether an envelope of `size` bytes of this contact may be taken now."""
    limits = tx.storage_limits
    return contact.id not in limits.withheld and limits.has_room(tx.db, contact.id, size, tx.now)


def withhold(tx: Transaction, contact: Contact, *, linked: bool) -> None:
    """Leave the contact's mail where it is, and say so: to them, over a link, and to the person here."""
    limits = tx.storage_limits
    limits.withhold(contact.id)
    tx.withheld[contact.id] = None
    if linked and not tx.recent(limits.said.get(contact.id, 0), SAY_EVERY_MS):
        limits.said[contact.id] = tx.now
        tx.after(tx.net.send, contact.id, [Frame(frames.FULL, b"")])
    if not tx.recent(limits.warned.get(contact.id, 0), WARN_EVERY_MS):
        limits.warned[contact.id] = tx.now
        tx.event("node", warning=NO_ROOM.format(name=contact.name))


def recheck(tx: Transaction, only: ContactId | None = None) -> None:
    """Take the mail of contacts again, of all or of one, where there is room."""
    limits = tx.storage_limits
    for contact_id in [withheld for withheld in limits.withheld if only in (None, withheld)]:
        limits.recount(contact_id)
        contact = tx.contact(contact_id)
        accepted = contact is not None and contact.state in ACCEPTED
        if accepted and not limits.has_room(tx.db, contact_id, BUCKETS[-1], tx.now):
            continue
        limits.take_again(contact_id)
        tx.mail_of[first_device(contact_id)] = None
        tx.after(tx.net.relink, contact_id)  # a new link brings at once what was not acked
