"""Turns an envelope into a message on disk, in this order, which is also the order of the functions:

0. If too much is already stored for the contact, leave the envelope unopened where it is (`withholding`).
1. Open it on a copy of a session. If it opens but holds no valid content, the contact sealed it so: accept and drop it.
2. An envelope opens once. If this one does not, and its hash is known, it was received before: ack it again, at most
   hourly queue its receipt again, stop. Any other failure changes nothing and is answered by `refused` on a link, by
   nothing if it came from a relay; so is more work with skipped keys than the contact is allowed (`skip_budget`);
   what is too much for this transaction waits for the next.
3. In the same transaction: the session's new state, the hash, the content's effect, a receipt in the outbox, or a
   note that it is due, if it would go through a relay.
4. After the commit: the hop ack, if there is a link, or the relay's permission to delete; then events.

A content that was received before, by (contact, message id), has no effect, but is acked and receipted.
"""

from __future__ import annotations

import logging
from enum import Enum, auto

from p2pchat.core import frames
from p2pchat.core.content import Content, decode_content
from p2pchat.core.delivery import Route
from p2pchat.core.envelope import envelope_id
from p2pchat.core.frames import Frame
from p2pchat.core.ids import ContactId, EnvelopeId, MessageId, SessionId, first_device
from p2pchat.core.session import Session
from p2pchat.engine import contents
from p2pchat.engine.contacts import contacts, reaching, renewal
from p2pchat.engine.receiving import confirmed
from p2pchat.engine.runtime import withholding
from p2pchat.engine.runtime.transaction import Skipping, Transaction
from p2pchat.errors import CannotOpen
from p2pchat.lib.times import HOUR_MS
from p2pchat.store import contacts as store_contacts
from p2pchat.store import envelopes as store_envelopes
from p2pchat.store.contacts import ACCEPTED, Contact, ContactState
from p2pchat.store.envelopes import SeenRow

log = logging.getLogger(__name__)


class Taken(Enum):
    """The result of handling an envelope from a contact."""

    YES = auto()
    """It is on disk, with this transaction or an earlier one."""
    UNREADABLE = auto()
    """No session opens it."""
    LATER = auto()
    """It costs more work than is left for this transaction, and has to wait for another."""
    NO_ROOM = auto()
    """Too much is already stored for the contact: it stays where it is."""


def frame(tx: Transaction, contact_id: ContactId, session_id: SessionId, route: Route, received: Frame) -> None:
    """Handle a frame that a contact sent on a verified link."""
    contact = tx.contact(contact_id)
    if contact is None or contact.state not in ACCEPTED:
        log.debug("a frame was dropped: its sender is no contact any more")
        return  # blocked or removed while the frame was on its way
    if received.type == frames.ENVELOPE:
        envelope(tx, contact, session_id, route, received)
    elif received.type == frames.ACKS:
        confirmed.acked(tx, contact_id, route, frames.acked_ids(received))
    elif received.type == frames.REFUSED:
        renewal.refused(tx, contact, EnvelopeId(received.body))
    elif received.type == frames.RENEW:
        renewal.asked(tx, contact, session_id)
    elif received.type == frames.BUNDLE:
        renewal.answered(tx, contact, session_id, received.body)
    elif received.type == frames.INITIAL and not renewal.begun(tx, contact, received.body):
        tx.after(tx.net.send, contact.id, [Frame(frames.REFUSED, envelope_id(received.body))])
    elif received.type == frames.REQUEST:
        renewal.requested(tx, contact, received.body)
    elif received.type == frames.FULL:
        tx.storage_limits.told_full(contact.id, tx.now)


def envelope(tx: Transaction, contact: Contact, session_id: SessionId, route: Route, received: Frame) -> None:
    """Handle an envelope from a contact on a link; refuse it if it cannot be opened."""
    name = envelope_id(received.body)
    taken = _take_envelope(tx, contact, route, name, received.body)
    if taken is Taken.LATER:
        tx.later(contact.id, frame, contact.id, session_id, route, received)
    elif taken is Taken.UNREADABLE:
        renewal.suspect_copy(tx, contact)
        tx.after(tx.net.send, contact.id, [Frame(frames.REFUSED, name)])


def mailed(
    tx: Transaction, contact_id: ContactId, name: EnvelopeId, blob: bytes, route: Route = Route.MAILBOX
) -> Taken:
    """Handle the blob `name` from a contact's queue at a relay, or from a parcel: an envelope, the first message of a
    renewed session, or a request for a renewal. A relay can put anything there; a blob that is none of these is
    `UNREADABLE`, and is dropped and noted.
    """
    contact = tx.contact(contact_id)
    if contact is None or contact.state not in ACCEPTED:
        return Taken.UNREADABLE
    taken = _take_envelope(tx, contact, route, name, blob)
    if taken in (Taken.LATER, Taken.NO_ROOM):
        return taken
    if taken is Taken.UNREADABLE:
        if renewal.begun(tx, contact, blob) or renewal.requested(tx, contact, blob):
            return Taken.YES
        log.debug("a blob was dropped: no session opens it, and it begins none")
        renewal.unread(tx, contact)
        return Taken.UNREADABLE
    if not tx.recent(contact.heard_at or 0, HOUR_MS):
        store_contacts.heard(tx.db, contact_id, tx.now)
        tx.forget_contact(contact_id)
    return Taken.YES


def _take_envelope(tx: Transaction, contact: Contact, route: Route, name: EnvelopeId, blob: bytes) -> Taken:
    """Handle a blob that may be an envelope. route: how it arrived."""
    if not withholding.has_room(tx, contact, len(blob)):  # before it is opened, so that nothing is known of it
        withholding.withhold(tx, contact, linked=route not in _STORED)
        return Taken.NO_ROOM
    if route == Route.MAILBOX and tx.memory.was_mailed(name, contact.id, tx.now):
        tx.hop_acks.setdefault(contact.id, []).append(name)
        return Taken.YES  # a copy from another relay: trying to open it would cost as much as opening it
    skipping = Skipping(tx, contact.id)
    opened = tx.sessions.open(first_device(contact.id), blob, tx.entropy, skipping)
    if opened is None:
        if skipping.later:
            return Taken.LATER
        if _taken_before(tx, contact, route, name):
            return Taken.YES
        log.debug("an envelope was not taken: no session opens it")
        return Taken.UNREADABLE
    session, received = opened
    tx.sessions.keep(first_device(contact.id), received, tx.now)
    try:
        content = decode_content(received.content)
    except CannotOpen:  # sealed by the contact, but invalid: if it were refused it would be sent again
        log.debug("an envelope was dropped: it opens, and its content makes no sense")
        tx.hop_acks.setdefault(contact.id, []).append(name)
        store_envelopes.remember(tx.db, [SeenRow(name, contact.id, None, tx.now)])
        tx.storage_limits.spend(contact.id, 0, tx.now, unread=False)
        return Taken.YES
    _take_content(tx, contact, route, name, session, content, len(received.content))
    return Taken.YES


def _take_content(
    tx: Transaction, contact: Contact, route: Route, name: EnvelopeId, session: Session, content: Content, size: int
) -> None:
    """Save the content of an envelope that was opened in `session`, with its ack and its receipt. size: its bytes."""
    counted_unread = content.kind.visible and not content.kind.quiet
    kept = not content.kind.fleeting
    tx.storage_limits.spend(contact.id, size, tx.now, unread=counted_unread, kept=kept)
    if content.kind.fleeting:  # its sender does not repeat it, so there is nothing to remember
        contents.apply(tx, contact, content, route)
        return
    tx.hop_acks.setdefault(contact.id, []).append(name)
    receipted = content.kind.receipted
    later = receipted and _tells_later(tx, contact, route)
    owed = content.message_id if receipted else None
    row = SeenRow(name, contact.id, owed, tx.now, tx.now if receipted and not later else None)
    store_envelopes.remember(tx.db, [row])
    if route == Route.MAILBOX:
        tx.memory.note_mailed(name, contact.id, tx.now)
    if contact.state == ContactState.WAITING:  # only a contact who accepted us seals contents for us
        contact = contacts.accepted(tx, contact, session)
    elif session.initiator and not session.confirmed:
        renewal.arrived(tx, contact, session.session_id)
        reaching.session_confirmed(tx, contact, session.session_id)
    if later:
        tx.owing[contact.id] = None
    elif receipted:
        tx.receipts.setdefault(contact.id, []).append(content.message_id)
    tx.clock_hints.written(contact.id, content.sent_at, tx.now)
    contents.apply(tx, contact, content, route)


def _tells_later(tx: Transaction, contact: Contact, route: Route) -> bool:
    """Return whether a receipt is delayed and sent together with others, because it would go through a relay or in a
    parcel.
    """
    return route in _STORED and tx.net.route(contact.id) is None


_STORED = (Route.MAILBOX, Route.PARCEL)
"""The routes on which nobody waits for an answer."""


def _owe_again(tx: Transaction, contact: Contact, route: Route, name: EnvelopeId, msg_id: MessageId) -> None:
    if _tells_later(tx, contact, route):
        store_envelopes.owe_receipt(tx.db, name)
        tx.owing[contact.id] = None
    else:
        store_envelopes.receipts_queued(tx.db, [name], tx.now)
        tx.receipts.setdefault(contact.id, []).append(msg_id)


def _taken_before(tx: Transaction, contact: Contact, route: Route, name: EnvelopeId) -> bool:
    """Return whether an envelope that no session opens was received before, so that its key is deleted; if so, ack it
    again.
    """
    seen = store_envelopes.seen(tx.db, name)
    if seen is None or seen.contact != contact.id:  # another contact's recording of it: answer nothing
        return False
    tx.hop_acks.setdefault(contact.id, []).append(name)
    if seen.msg_id is not None and not tx.recent(seen.receipt_at or 0, HOUR_MS):
        _owe_again(tx, contact, route, name, seen.msg_id)
    return True
