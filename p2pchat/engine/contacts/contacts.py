"""Contacts and requests: how one becomes the other, and what the user decides about them.

waiting   we used their invite; only the first message is sent before they accept
request   they used our invite and the user has to accept; nothing is sent to them before that
contact   both have accepted
blocked   nothing is received and no link is made; holds for the identity, whatever invite or address it uses
"""

from __future__ import annotations

from dataclasses import replace

from p2pchat.core.contents import Addresses
from p2pchat.core.delivery import DeliveryEvent
from p2pchat.core.ids import ContactId, SessionId, first_device
from p2pchat.core.invite import decode_invite
from p2pchat.core.session import LINGER_MS, Session
from p2pchat.engine.contacts import introductions, names, news, reaching
from p2pchat.engine.contacts.introductions import Introduction
from p2pchat.engine.delivery import outbound, queues, states
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow, UsageError
from p2pchat.store import contacts as store_contacts
from p2pchat.store import invites as store_invites
from p2pchat.store import known_relays as store_known_relays
from p2pchat.store import outbox as store_outbox
from p2pchat.store import renewals as store_renewals
from p2pchat.store.contacts import ACCEPTED, Contact, ContactState
from p2pchat.store.groups import members as store_members
from p2pchat.store.outbox import OutboxForm

MAX_NOTE = 2000
"""The most characters in a note about a contact."""
MAX_DECLINED = 1000
"""Identities remembered as declined, for each invite."""


def heard(tx: Transaction, contact_id: ContactId, session_id: SessionId) -> None:
    """Note that there is a link with the contact, by the hello of session `session_id`. If we began that session, the
    other side can only have its secret from our first message, so a missing ack of that is no longer needed.
    """
    contact = tx.contact(contact_id)
    if contact is None or contact.state == ContactState.BLOCKED:  # since its hello was judged
        tx.after(tx.net.forget, contact_id)
        return
    store_contacts.heard(tx.db, contact_id, tx.now)
    tx.memory.people.pop(contact_id, None)
    outbound.tell_owed(tx, contact_id)
    outbound.seal_more(tx, contact_id)  # a full disk may have ended it
    session = tx.sessions.get(first_device(contact_id), session_id)
    if session is not None and session.initiator:
        reaching.session_confirmed(tx, contact, session_id)


def show(tx: Transaction, contact_id: ContactId) -> None:
    """Tell the faces how a contact is reached now."""
    contact = tx.contact(contact_id)
    if contact is not None:
        tx.show_contact(contact, tx.route(contact_id))


def accepted(tx: Transaction, contact: Contact, session: Session) -> Contact:
    """Make a contact of somebody who accepted our request: a content of theirs has arrived in a session."""
    if session.initiator:
        reaching.joined(tx, contact.id)
    changed = tx.change(contact.id, state=ContactState.CONTACT)
    tx.pairs_of.add(contact.id)
    tx.show_contact(changed, tx.route(contact.id))
    outbound.seal_waiting(tx, changed)
    return changed


def _take_introduction(tx: Transaction, contact: Contact) -> Contact:
    """Apply what a first message said about its sender, now that the user has accepted it."""
    introduction = introductions.kept(tx, contact.id)
    if introduction is None:
        return contact
    introductions.forget(tx, contact.id)
    changed = tx.change(contact.id, device=introduction.device)
    return news.take_profile(tx, changed, introduction.message_id, introduction.profile)


def connected(tx: Transaction, contact: Contact, introduction: Introduction) -> None:
    """Make a contact of somebody who used our invite while we used theirs. Our first message may still be in flight,
    and stays queued.
    """
    changed = tx.change(contact.id, state=ContactState.CONTACT)
    changed = news.take_profile(tx, changed, introduction.message_id, introduction.profile)
    tx.pairs_of.add(contact.id)
    outbound.queue_profile(tx, changed)
    outbound.seal_waiting(tx, changed)
    tx.show_contact(changed, tx.route(contact.id))
    reaching.reach(tx, changed)


def accept(tx: Transaction, contact: Contact) -> Contact:
    """Accept a request, or a contact who began anew. Raises NotNow if there is no request."""
    session = tx.sessions.pending(first_device(contact.id))
    if session is None:
        raise NotNow(f"{contact.name} has not asked to become a contact", hint="`p2pchat requests` lists who has.")
    begin(tx, contact, session)
    changed = tx.contact(contact.id)
    assert changed is not None
    return changed


def begin(tx: Transaction, contact: Contact, session: Session) -> None:
    """Use the session of a first message that was accepted; earlier sessions end."""
    device = first_device(contact.id)
    for old in tx.sessions.all(device):
        if old.session_id != session.session_id and contact.state == ContactState.CONTACT and old.ends_at is None:
            tx.sessions.put(device, replace(old, ends_at=tx.now + LINGER_MS))
    again = contact.state == ContactState.CONTACT
    tx.sessions.admit(device, session)
    store_outbox.clear_forms(tx.db, device, OutboxForm.RENEWAL, OutboxForm.REQUEST)
    state = store_renewals.get(tx.db, device)
    store_renewals.put(tx.db, replace(state, wanted_at=None, unread_at=None, asked_at=None))
    contact = _take_introduction(tx, tx.change(contact.id, state=ContactState.CONTACT))
    tx.pairs_of.add(contact.id)
    outbound.queue_profile(tx, contact)
    if again:
        outbound.seal_again(tx, contact.id)
    else:
        outbound.seal_waiting(tx, contact)
    tx.show_contact(contact, tx.route(contact.id))
    reaching.reach(tx, contact)


def decline(tx: Transaction, contact: Contact) -> None:
    """Decline a request; nothing is sent back. If a contact began anew, only that attempt is deleted. Raises NotNow if
    there is no request.
    """
    device = first_device(contact.id)
    session = tx.sessions.pending(device)
    if session is None:
        raise NotNow(f"{contact.name} has not asked to become a contact", hint="`p2pchat requests` lists who has.")
    introductions.forget(tx, contact.id)
    if contact.state == ContactState.REQUEST:
        if contact.invite_id is not None and contact.identity is not None:
            store_invites.decline(tx.db, contact.invite_id, contact.identity, MAX_DECLINED)
        remove(tx, contact)
    else:
        tx.sessions.drop(device, session.session_id)


def block(tx: Transaction, contact: Contact) -> Contact:
    """Receive nothing more from a contact and send nothing: messages not delivered yet fail. The history stays."""
    failed = states.unsent(tx, contact)
    store_outbox.clear(tx.db, first_device(contact.id))
    states.advance(tx, contact.chat, failed, DeliveryEvent.EXPIRED, None)
    queues.leave(tx, contact.id)
    changed = tx.change(contact.id, state=ContactState.BLOCKED, invite=None, invite_until=None)
    tx.pairs_of.add(contact.id)
    tx.after(tx.net.forget, contact.id)
    tx.show_contact(changed, None)
    return changed


def unblock(tx: Transaction, contact: Contact) -> Contact:
    """Unblock a contact: receive and send again. Somebody who had only asked is a request again. Messages that failed
    because of the block stay failed. Raises `NotNow` if there is nothing to go back to.
    """
    device = first_device(contact.id)
    if contact.state != ContactState.BLOCKED:
        raise NotNow(f"{contact.name} is not blocked", hint="`p2pchat contacts` shows who is.")
    if tx.sessions.sending(device) is not None:
        changed = tx.change(contact.id, state=ContactState.CONTACT)
        tx.mail_of[device] = None
        news.tell_queues(tx, changed)
        reaching.reach(tx, changed)
    elif tx.sessions.pending(device) is not None:
        changed = tx.change(contact.id, state=ContactState.REQUEST)
    else:
        raise NotNow(f"{contact.name} never became a contact", hint="`p2pchat invite` makes an invite for them.")
    tx.pairs_of.add(contact.id)
    tx.show_contact(changed, tx.route(contact.id))
    return changed


def remove(tx: Transaction, contact: Contact, *, keep_chat: bool = False) -> None:
    """Delete a contact and everything that leads to them, except the messages; `keep_chat`: the chat stays too."""
    device = first_device(contact.id)
    store_members.forget_contact(tx.db, contact.id)
    store_contacts.remove(tx.db, contact.id, keep_chat=keep_chat)
    store_known_relays.forget_source(tx.db, contact.id)
    tx.sessions.forget(device)
    tx.forget_contact(contact.id)
    tx.pairs_of.add(contact.id)
    tx.mail_of[device] = None
    tx.after(tx.net.forget, contact.id)


def rename(tx: Transaction, contact: Contact, name: str | None) -> Contact:
    """Give a contact another name, whatever they call themselves from then on; None: the name they chose."""
    if name is not None:
        changed = tx.change(contact.id, name=names.given(tx, contact.id, names.name_of(name)), named_by_me=True)
    else:
        own = names.their_name(contact.profile_name) or contact.name
        changed = tx.change(contact.id, name=names.free(tx, contact.id, own), named_by_me=False)
    tx.show_contact(changed, tx.route(contact.id))
    return changed


def note(tx: Transaction, contact: Contact, text: str) -> Contact:
    """Save the user's note about a contact; "" deletes it. Raises UsageError."""
    if len(text) > MAX_NOTE:
        raise UsageError(f"A note has at most {MAX_NOTE:,} characters; this one has {len(text):,}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError("This note is not valid Unicode") from None
    changed = tx.change(contact.id, note=text.strip())
    tx.erased = True  # what it said before leaves the log of the database too
    tx.show_contact(changed, tx.route(contact.id))
    return changed


def hide(tx: Transaction, contact: Contact, *, hidden: bool) -> Contact:
    """Stop telling a contact our network address, or tell it again. They are told where to reach us now.
    Raises NotNow.
    """
    device = first_device(contact.id)
    if contact.hidden == hidden:
        return contact
    if contact.state == ContactState.CONTACT and contact.invite is not None:
        contact = reaching.cancel_join_again(tx, contact)
    if contact.invite is not None and contact.identity is not None:
        raise NotNow(f"Your introduction to {contact.name} is already on its way", hint="Wait for the answer.")
    changed = tx.change(contact.id, hidden=hidden)
    tx.pairs_of.add(contact.id)
    tx.mail_of[device] = None
    queues.renew(tx, changed)
    news.tell_queues(tx, changed)  # before the profile, which says nothing of queues where there are none
    tx.show_contact(changed, tx.net.route(contact.id))
    if changed.invite is not None:
        tx.after(tx.net.joined, contact.id)
        reaching.start_joining(tx, changed, decode_invite(changed.invite))
    if changed.state == ContactState.CONTACT:
        store_outbox.clear(tx.db, device, [Addresses.KIND.number])  # what waits says it otherwise
        outbound.queue_profile(tx, changed)
    if changed.identity is not None and changed.state in ACCEPTED:
        reaching.reach(tx, changed)
    return changed


def verify(tx: Transaction, contact: Contact, *, compared: bool) -> tuple[bytes, bool, bytes | None]:
    """Return (identity, verified, secret of the words) of a contact; `compared` marks it as verified. Raises NotNow
    where the identity is not known yet.
    """
    if contact.identity is None:
        raise NotNow(f"{contact.name} has not answered yet", hint="There is nothing to compare until they do.")
    if compared and not contact.verified:
        contact = tx.change(contact.id, verified=True)
        tx.show_contact(contact, tx.route(contact.id))
    assert contact.identity is not None
    return contact.identity, contact.verified, words_secret(tx, contact)


def words_secret(tx: Transaction, contact: Contact) -> bytes | None:
    """Return what the eight words of the handshake with a contact or a requester are made of, which takes long: not in
    a transaction. None where there is no session.
    """
    device = first_device(contact.id)
    session = tx.sessions.pending(device) or tx.sessions.sending(device)
    if session is None:
        session = next(iter(tx.sessions.all(device)), None)
    return None if session is None else session.sas
