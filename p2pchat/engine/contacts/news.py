"""What contacts tell about themselves, of which the latest counts; and telling them where we collect."""

from __future__ import annotations

from collections.abc import Sequence

from p2pchat.core.content import newest_message_id
from p2pchat.core.contents import ContactProfile, Queues
from p2pchat.core.contents.queues import AnnouncedQueue
from p2pchat.core.ids import MessageId, PeerKey, first_device
from p2pchat.core.invite import ROLE_NODE
from p2pchat.engine.contacts import known_relays, names, reaching
from p2pchat.engine.delivery import outbound, queues
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import DAY_MS
from p2pchat.store import devices as store_devices
from p2pchat.store import facts
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.devices import Way
from p2pchat.store.facts import Fact


def take_profile(tx: Transaction, contact: Contact, message_id: MessageId, profile: ContactProfile) -> Contact:
    """Apply a contact's profile and return the contact. A name that the user gave stays, and so does anything that the
    contact said later than this.
    """
    if is_new(tx, contact, Fact.TOLD_NAME, message_id):
        name = contact.name if contact.named_by_me else names.free(tx, contact.id, names.their_name(profile.name))
        before = contact.name
        contact = tx.change(contact.id, name=name, profile_name=profile.name, read_receipts=profile.read_receipts)
        if name != before:
            tx.show_contact(contact, tx.route(contact.id))
    take_ways(tx, contact, message_id, profile.ways)
    if profile.queues is not None:
        take_queues(tx, contact, message_id, profile.queues)
    return contact


def take_ways(
    tx: Transaction,
    contact: Contact,
    message_id: MessageId,
    ways: Sequence[tuple[PeerKey, bytes]],
    next_key: PeerKey | None = None,
) -> bool:
    """Save where a contact's nodes can be dialled; return whether that was news. An empty list changes nothing: the
    contact may not know its own addresses. next_key: the transport key that they will have at these addresses.
    """
    if not ways or not is_new(tx, contact, Fact.TOLD_WAYS, message_id):
        return False
    now = [Way(*way, ROLE_NODE) for way in ways]
    later = [] if next_key is None else [Way(next_key, address, ROLE_NODE) for _, address in ways]
    store_devices.set_ways(tx.db, first_device(contact.id), now, tx.now, later)
    if contact.state == ContactState.CONTACT:
        reaching.reach(tx, contact)
    return True


def take_queues(tx: Transaction, contact: Contact, message_id: MessageId, theirs: tuple[AnnouncedQueue, ...]) -> bool:
    """Take in where a contact says that it collects what we leave for it; return whether that was news."""
    if not is_new(tx, contact, Fact.TOLD_QUEUES, message_id):
        return False
    queues.told(tx, contact, theirs)
    return True


def is_new(tx: Transaction, contact: Contact, told: Fact, message_id: MessageId) -> bool:
    """Return whether nothing newer of this kind was told, and note it if so. Contents may arrive late and in any order;
    the ids of one sender grow with time.

    An id from the future counts as one of tomorrow: else a clock that was wrong once, theirs or ours, would silence its
    owner for long. What was noted by a clock of ours that was ahead does not count any more.
    """
    tomorrow = newest_message_id(tx.now + DAY_MS)
    known = facts.get(tx.db, contact.id, told) or b""
    if message_id <= known <= tomorrow:
        return False
    facts.put(tx.db, contact.id, told, min(message_id, tomorrow))
    return True


def tell_queues(tx: Transaction, contact: Contact) -> None:
    """Tell a contact where we collect, if that has changed. One who has not accepted yet is told then.

    One from whom we hide our address is told no descriptor: a relay can sign one for us alone, and whoever runs it
    would learn from them at which address we are.
    """
    told = contact.state == ContactState.CONTACT or (
        contact.state == ContactState.WAITING and contact.identity is not None
    )
    if told and queues.refresh(tx, contact):
        announced = queues.announced(tx, contact)
        about = [queue.relay for queue in announced]
        outbound.queue(tx, contact, Queues(announced, () if contact.hidden else known_relays.to_tell(tx, about)))
