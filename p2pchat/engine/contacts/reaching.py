"""Reaching a contact: joining with their invite, then keeping links with their nodes."""

from __future__ import annotations

from collections.abc import Iterable

from p2pchat.core.ids import ContactId, SessionId, first_device
from p2pchat.core.invite import ROLE_NODE, Invite, decode_invite, hello_key
from p2pchat.core.mailbox import STAMPED
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import DAY_MS
from p2pchat.store import contacts as store_contacts
from p2pchat.store import devices as store_devices
from p2pchat.store import outbox as store_outbox
from p2pchat.store import queues as store_queues
from p2pchat.store.contacts import ACCEPTED, Contact, ContactState
from p2pchat.store.devices import Way
from p2pchat.store.outbox import OutboxForm

HEARD_WITHIN_MS = 30 * DAY_MS
"""A contact who was heard from this recently is dialled at the start."""


def set_ways(tx: Transaction, contact_id: ContactId, invite: Invite) -> None:
    """Save the ways that an invite names, in place of earlier ones."""
    ways = [Way(way.peer, way.address, way.role) for way in invite.ways]
    store_devices.set_ways(tx.db, first_device(contact_id), ways, tx.now)


def start_joining(tx: Transaction, contact: Contact, invite: Invite) -> None:
    """Have the network join with this invite, and look into its box at its relays."""
    ways = [(way.peer, way.address) for way in invite.ways if way.role == ROLE_NODE]
    tx.after(tx.net.join, contact.id, ways, hello_key(invite.secret))
    tx.mail_of[first_device(contact.id)] = None


def join_again(tx: Transaction, contact: Contact, newer: Contact) -> Contact:
    """Join a contact whom we wait for with another of their invites. What belongs to the last one is deleted, except
    its session: if that invite was used after all, and only the ack is missing, links are made with that session.
    """
    assert newer.invite is not None
    invite = decode_invite(newer.invite)
    forget_first(tx, contact.id)
    changed = tx.change(contact.id, invite=newer.invite, invite_id=newer.invite_id, invite_until=newer.invite_until)
    if newer.hidden:
        tx.pairs_of.add(contact.id)
        changed = tx.change(contact.id, hidden=True)
    if newer.named_by_me:
        changed = tx.change(contact.id, name=newer.name, named_by_me=True)
    set_ways(tx, contact.id, invite)
    tx.show_contact(changed, tx.route(contact.id))
    tx.after(tx.net.joined, contact.id)
    start_joining(tx, changed, invite)
    return changed


def reach(tx: Transaction, contact: Contact) -> None:
    """Have the network keep a link with a contact with whom we have a session."""
    ways = store_devices.ways(tx.db, first_device(contact.id))
    tx.after(tx.net.reach, contact.id, [(way.peer, way.address) for way in ways if way.role == ROLE_NODE])


def resume(tx: Transaction, contact_ids: Iterable[ContactId]) -> None:
    """At the start, dial those of these contacts to whom we owe something or who were heard from recently, and join
    again with invites that are not settled.
    """
    for contact_id in contact_ids:
        contact = store_contacts.get(tx.db, contact_id)  # not remembered: all of them are asked for
        if contact is None:
            continue
        if contact.invite is not None:
            start_joining(tx, contact, decode_invite(contact.invite))
        if contact.identity is not None and contact.state in ACCEPTED:
            heard = contact.heard_at or contact.created_at
            if heard + HEARD_WITHIN_MS > tx.passed or store_outbox.has_waiting(tx.db, first_device(contact_id)):
                reach(tx, contact)


def joined(tx: Transaction, contact_id: ContactId) -> None:
    """Note that the inviter has our first message; everything after it goes over links."""
    contact = tx.contact(contact_id)
    if contact is None or contact.invite is None:
        return
    forget_first(tx, contact_id)
    contact = tx.change(contact_id, invite=None, invite_until=None)
    tx.after(tx.net.joined, contact_id)
    reach(tx, contact)


def session_confirmed(tx: Transaction, contact: Contact, session_id: SessionId) -> None:
    """Note that the other side has the session `session_id`, which we began; it has our first message, if it is that
    session's.
    """
    begun = store_outbox.sessions_begun(tx.db, first_device(contact.id), OutboxForm.INITIAL)
    if contact.state == ContactState.WAITING or not begun or session_id in begun:
        joined(tx, contact.id)


def cancel_join_again(tx: Transaction, contact: Contact) -> Contact:
    """Stop asking a contact to begin anew; if they were asked already, they may still accept."""
    forget_first(tx, contact.id)
    tx.after(tx.net.joined, contact.id)
    return tx.change(contact.id, invite=None, invite_until=None)


def forget_first(tx: Transaction, contact_id: ContactId) -> None:
    """Stop sending our first message to a contact."""
    device = first_device(contact_id)
    store_outbox.clear_forms(tx.db, device, OutboxForm.INITIAL)
    store_queues.deposit_no_more(tx.db, device, STAMPED)
    tx.mail_of[device] = None
