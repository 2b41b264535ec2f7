"""Contacts and requests: how one becomes the other, and what a contact tells about itself.

waiting   we used their invite; nothing but the first message leaves before they accept
request   they used ours and a person has to say yes; nothing goes back to them before
contact   both said yes
blocked   nothing is taken, no link is made; holds for the identity, whatever invite or address it comes by
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from p2pchat.core import delivery
from p2pchat.core.content import newest_message_id
from p2pchat.core.contents import Addresses, ContactProfile, Queues, kind_of
from p2pchat.core.contents.queues import AnnouncedQueue
from p2pchat.core.delivery import DeliveryEvent, Route
from p2pchat.core.ids import ChatId, ContactId, MessageId, PeerKey, SessionId, direct_chat, first_device
from p2pchat.core.invite import ROLE_NODE, Invite, decode_invite, hello_key, invite_id, read_invite
from p2pchat.core.mailbox import STAMPED
from p2pchat.core.primitives import KEY_BYTES, equal
from p2pchat.core.session import LINGER_MS, Session
from p2pchat.engine.contacts import introductions, names
from p2pchat.engine.contacts.introductions import Introduction
from p2pchat.engine.contacts.names import name_of as name_of
from p2pchat.engine.contacts.names import their_name as their_name
from p2pchat.engine.delivery import outbound, queues
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import InviteExpired, NotNow, UsageError
from p2pchat.lib.times import DAY_MS
from p2pchat.store import contacts as store_contacts
from p2pchat.store import devices as store_devices
from p2pchat.store import facts
from p2pchat.store import invites as store_invites
from p2pchat.store import messages as store_messages
from p2pchat.store import outbox as store_outbox
from p2pchat.store import queues as store_queues
from p2pchat.store import renewals as store_renewals
from p2pchat.store.contacts import ACCEPTED, Contact, ContactState
from p2pchat.store.devices import Way
from p2pchat.store.facts import Fact
from p2pchat.store.outbox import OutboxForm

HEARD_WITHIN = 30 * DAY_MS
MAX_NOTE = 2000
"""Characters of a note about a contact."""
MAX_DECLINED = 1000
"""Identities remembered as declined, for each invite."""


def add(tx: Transaction, written: str, name: str | None, hidden: bool = False) -> Contact:
    """Begin to join by an invite; the same invite again gives the contact it gave before, and knocks at once. `hidden`:
    its maker must not learn our network address. Raises BadInvite, InviteExpired, NotNow.
    """
    invite, encoded = read_invite(written)
    alias = None if name is None else name_of(name)
    for known in store_contacts.all(tx.db):
        if known.invite_id == invite_id(encoded):
            if hidden:
                hide(tx, known, hidden=True)
            if known.invite is not None:
                knock(tx, known, invite)  # who asks again does not want to wait for the back-off
            return known if alias is None else rename(tx, known, alias)
    hello = hello_key(invite.secret)
    if any(equal(row.hello, hello) for row in store_invites.all(tx.db)):
        raise NotNow("This is an invite of your own", hint="Give it to somebody else.")
    # clocks lie by up to a day; whether it has really expired, the inviter says
    if invite.expires_at * 1000 + DAY_MS < tx.now:
        raise InviteExpired
    if not invite.ways:
        raise NotNow("This invite contains no address", hint="Ask for one that was made while their node was running.")
    contact_id = ContactId(tx.random(8))
    wanted = alias or their_name(invite.name or "") or f"invite-{contact_id.hex()[:4]}"
    contact = Contact(
        id=contact_id,
        name=names.free(tx, contact_id, wanted),
        named_by_me=alias is not None,
        state=ContactState.WAITING,
        identity=None,
        device=None,
        bundle=None,
        verified=False,
        created_at=tx.now,
        invite=encoded,
        invite_id=invite_id(encoded),
        invite_until=invite.expires_at * 1000,
        hidden=hidden,
    )
    for known in store_contacts.all(tx.db):
        if (
            known.identity is None
            and known.invite is not None
            and _nodes(invite)
            and _nodes(decode_invite(known.invite)) == _nodes(invite)
        ):
            return knock_anew(tx, known, contact)  # of the same node, which the other one has never reached
    store_contacts.add(tx.db, contact)
    tx.forget_contact(contact_id)
    if hidden:
        tx.pairs_of.add(contact_id)
    _set_ways(tx, contact_id, invite)
    tx.event("contact", **views.contact(contact, None))
    knock(tx, contact, invite)
    return contact


def _set_ways(tx: Transaction, contact_id: ContactId, invite: Invite) -> None:
    ways = [Way(way.peer, way.address, way.role) for way in invite.ways]
    store_devices.set_ways(tx.db, first_device(contact_id), ways, tx.now)


def _nodes(invite: Invite) -> set[bytes]:
    """Whose invite it claims to be. Nobody else can answer there; all must be the same, lest one more be let in."""
    return {way.peer for way in invite.ways if way.role == ROLE_NODE}


def knock(tx: Transaction, contact: Contact, invite: Invite) -> None:
    """Have the network join by this invite; at its relays, what lies in the box is looked for too."""
    ways = [(way.peer, way.address) for way in invite.ways if way.role == ROLE_NODE]
    if ways:
        tx.after(tx.net.join, contact.id, ways, hello_key(invite.secret))
    tx.mail_of[first_device(contact.id)] = None


def knock_anew(tx: Transaction, contact: Contact, newer: Contact) -> Contact:
    """Join somebody we wait for by another invite of theirs; what is left of the last one is forgotten, but for its
    session: if it was used after all, and only its ack is missing, links are made with that.
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
    _set_ways(tx, contact.id, invite)
    tx.event("contact", **views.contact(changed, tx.route(contact.id)))
    tx.after(tx.net.joined, contact.id)
    knock(tx, changed, invite)
    return changed


def reach(tx: Transaction, contact: Contact) -> None:
    """Have the network keep a link to a contact we have a session with."""
    ways = [
        (way.peer, way.address) for way in store_devices.ways(tx.db, first_device(contact.id)) if way.role == ROLE_NODE
    ]
    tx.after(tx.net.reach, contact.id, ways)


def resume(tx: Transaction, contact_ids: Iterable[ContactId]) -> None:
    """Dial at the start, of these, whom we owe something or heard of lately, and knock again where an invite was not
    settled.
    """
    for contact_id in contact_ids:
        contact = store_contacts.get(tx.db, contact_id)  # not remembered: all of them are asked for
        if contact is None:
            continue
        if contact.invite is not None:
            knock(tx, contact, decode_invite(contact.invite))
        if contact.identity is not None and contact.state in ACCEPTED:
            heard = contact.heard_at or contact.created_at
            if heard + HEARD_WITHIN > tx.passed or store_outbox.is_owed(tx.db, first_device(contact_id)):
                reach(tx, contact)


def heard(tx: Transaction, contact_id: ContactId, session_id: SessionId) -> None:
    """Note that a link with the contact is there, by the hello of session `session_id`. If we began that session, the
    other side can only have its secret from our first message: a missing ack of that has come by this.
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
        came(tx, contact, session_id)


def show(tx: Transaction, contact_id: ContactId) -> None:
    """Tell faces how a contact is reached now."""
    contact = tx.contact(contact_id)
    if contact is not None:
        tx.event("contact", **views.contact(contact, tx.route(contact_id)))


def joined(tx: Transaction, contact_id: ContactId) -> None:
    """Note that the inviter has our first message; what follows goes over links."""
    contact = tx.contact(contact_id)
    if contact is None or contact.invite is None:
        return
    forget_first(tx, contact_id)
    contact = tx.change(contact_id, invite=None, invite_until=None)
    tx.after(tx.net.joined, contact_id)
    reach(tx, contact)


def came(tx: Transaction, contact: Contact, session_id: SessionId) -> None:
    """Note that the other side has the session `session_id`, which we began: it has our first message, if it is that
    one's.
    """
    begun = store_outbox.sessions_begun(tx.db, first_device(contact.id), OutboxForm.INITIAL)
    if contact.state == ContactState.WAITING or not begun or session_id in begun:
        joined(tx, contact.id)


def begin_anew(tx: Transaction, contact: Contact, session: Session, blob: bytes, by: Contact, device: bytes) -> None:
    """Ask a contact to begin anew, by the fresh invite of theirs that `by` was made for; `device` is the key that their
    identity certifies now. Until they have said yes the sessions that are there go on.
    """
    forget_first(tx, contact.id)
    if by.hidden:
        contact = hide(tx, contact, hidden=True)
    tx.change(contact.id, device=device, invite=by.invite, invite_id=by.invite_id, invite_until=by.invite_until)
    tx.sessions.begin(first_device(contact.id), session, tx.now)
    state = store_renewals.get(tx.db, first_device(contact.id))
    store_renewals.put(
        tx.db, replace(state, began_anew=(session.session_id + state.began_anew)[: MAX_ANEW * KEY_BYTES])
    )
    tx.pairs_of.add(contact.id)
    outbound.queue_initial(tx, contact.id, blob, session.session_id)
    tx.event("node", warning=ASKED_ANEW.format(name=contact.name))
    assert by.invite is not None
    tx.after(tx.net.joined, contact.id)
    knock(tx, contact, decode_invite(by.invite))


MAX_ANEW = 4
"""Sessions begun by fresh invites of one contact that may still be accepted."""
ASKED_ANEW = "{name} is in your list already: they are asked to begin anew with you, and have to accept."


def give_up_anew(tx: Transaction, contact: Contact) -> Contact:
    """Ask a contact no more to begin anew; if they were asked already, they may still accept."""
    forget_first(tx, contact.id)
    tx.after(tx.net.joined, contact.id)
    return tx.change(contact.id, invite=None, invite_until=None)


def forget_first(tx: Transaction, contact_id: ContactId) -> None:
    """Send our first message to a contact no more."""
    device = first_device(contact_id)
    store_outbox.clear_forms(tx.db, device, OutboxForm.INITIAL)
    store_queues.deposit_no_more(tx.db, device, STAMPED)
    tx.mail_of[device] = None


def accepted(tx: Transaction, contact: Contact, session: Session) -> Contact:
    """Make a contact of somebody who said yes to us: a content of theirs has arrived in a session."""
    if session.initiator:
        joined(tx, contact.id)
    changed = tx.change(contact.id, state=ContactState.CONTACT)
    tx.pairs_of.add(contact.id)
    tx.event("contact", **views.contact(changed, tx.route(contact.id)))
    outbound.seal_waiting(tx, changed)
    return changed


def _take_introduction(tx: Transaction, contact: Contact) -> Contact:
    """Believe what a first message said about its sender, now that a person said yes to it."""
    introduction = introductions.kept(tx, contact.id)
    if introduction is None:
        return contact
    introductions.forget(tx, contact.id)
    changed = tx.change(contact.id, device=introduction.device)
    return told(tx, changed, introduction.message_id, introduction.profile)


def connected(tx: Transaction, contact: Contact, introduction: Introduction) -> None:
    """Make a contact where both sides used an invite of the other at the same time. Ours may still be under way: it
    stays queued.
    """
    changed = tx.change(contact.id, state=ContactState.CONTACT)
    changed = told(tx, changed, introduction.message_id, introduction.profile)
    tx.pairs_of.add(contact.id)
    outbound.queue_profile(tx, changed)
    outbound.seal_waiting(tx, changed)
    tx.event("contact", **views.contact(changed, tx.route(contact.id)))
    reach(tx, changed)


def accept(tx: Transaction, contact: Contact) -> Contact:
    """Say yes to a request, or to a contact who began anew. Raises NotNow where nobody asks."""
    session = tx.sessions.pending(first_device(contact.id))
    if session is None:
        raise NotNow(f"{contact.name} has not asked to become a contact", hint="`p2pchat requests` lists who has.")
    begin(tx, contact, session)
    changed = tx.contact(contact.id)
    assert changed is not None
    return changed


def begin(tx: Transaction, contact: Contact, session: Session) -> None:
    """Use the session of a first message that was said yes to; sessions before it end."""
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
    tx.event("contact", **views.contact(contact, tx.route(contact.id)))
    reach(tx, contact)


def decline(tx: Transaction, contact: Contact) -> None:
    """Say no to a request; nothing goes back to them. Of a contact who began anew, only the new beginning is forgotten.
    Raises NotNow where nobody asks.
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
    """Take nothing of theirs any more, and send nothing: what still had to be delivered has failed. History stays."""
    failed = unsent(tx, contact)
    store_outbox.clear(tx.db, first_device(contact.id))
    advance(tx, direct_chat(contact.id), failed, DeliveryEvent.EXPIRED, None)
    queues.leave(tx, contact.id)
    changed = tx.change(contact.id, state=ContactState.BLOCKED, invite=None, invite_until=None)
    tx.pairs_of.add(contact.id)
    tx.after(tx.net.forget, contact.id)
    tx.event("contact", **views.contact(changed, None))
    return changed


def unblock(tx: Transaction, contact: Contact) -> Contact:
    """Take what a blocked contact says again, and send to them; one who had only asked is asked about again. What had
    to be delivered when they were blocked stays failed. Raises `NotNow` where there is nothing to go back to.
    """
    device = first_device(contact.id)
    if contact.state != ContactState.BLOCKED:
        raise NotNow(f"{contact.name} is not blocked", hint="`p2pchat contacts` shows who is.")
    if tx.sessions.sending(device) is not None:
        changed = tx.change(contact.id, state=ContactState.CONTACT)
        tx.mail_of[device] = None
        tell_queues(tx, changed)
        reach(tx, changed)
    elif tx.sessions.pending(device) is not None:
        changed = tx.change(contact.id, state=ContactState.REQUEST)
    else:
        raise NotNow(f"{contact.name} never became a contact", hint="`p2pchat invite` makes an invite for them.")
    tx.pairs_of.add(contact.id)
    tx.event("contact", **views.contact(changed, tx.route(contact.id)))
    return changed


def remove(tx: Transaction, contact: Contact, *, keep_chat: bool = False) -> None:
    """Forget a contact and all that leads to them, but for what was said; `keep_chat`: the chat stays too."""
    device = first_device(contact.id)
    store_contacts.remove(tx.db, contact.id, keep_chat=keep_chat)
    tx.sessions.forget(device)
    tx.forget_contact(contact.id)
    tx.pairs_of.add(contact.id)
    tx.mail_of[device] = None
    tx.after(tx.net.forget, contact.id)


def rename(tx: Transaction, contact: Contact, name: str | None) -> Contact:
    """Call a contact something else, whatever they call themselves from then on; None: what they call themselves."""
    if name is not None:
        changed = tx.change(contact.id, name=names.given(tx, contact.id, name_of(name)), named_by_me=True)
    else:
        own = their_name(contact.profile_name) or contact.name
        changed = tx.change(contact.id, name=names.free(tx, contact.id, own), named_by_me=False)
    tx.event("contact", **views.contact(changed, tx.route(contact.id)))
    return changed


def note(tx: Transaction, contact: Contact, text: str) -> Contact:
    """Keep what a person notes about a contact, here only; "" forgets it. Raises UsageError."""
    if len(text) > MAX_NOTE:
        raise UsageError(f"A note has at most {MAX_NOTE:,} characters; this one has {len(text):,}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError("This note is not valid Unicode") from None
    changed = tx.change(contact.id, note=text.strip())
    tx.erased = True  # what it said before leaves the log of the database too
    tx.event("contact", **views.contact(changed, tx.route(contact.id)))
    return changed


def hide(tx: Transaction, contact: Contact, *, hidden: bool) -> Contact:
    """Never show a contact our network address any more, or show it again; they are told where they reach us now.
    Raises NotNow.
    """
    device = first_device(contact.id)
    if contact.hidden == hidden:
        return contact
    if contact.state == ContactState.CONTACT and contact.invite is not None:
        contact = give_up_anew(tx, contact)
    if contact.invite is not None and contact.identity is not None:
        raise NotNow(f"Your introduction to {contact.name} is already on its way", hint="Wait for the answer.")
    changed = tx.change(contact.id, hidden=hidden)
    tx.pairs_of.add(contact.id)
    tx.mail_of[device] = None
    queues.renew(tx, changed)
    tell_queues(tx, changed)  # before the profile, which says nothing of queues where there are none
    tx.event("contact", **views.contact(changed, tx.net.route(contact.id)))
    if changed.invite is not None:
        tx.after(tx.net.joined, contact.id)
        knock(tx, changed, decode_invite(changed.invite))
    if changed.state == ContactState.CONTACT:
        store_outbox.clear(tx.db, device, [Addresses.KIND.number])  # what waits says it otherwise
        outbound.queue_profile(tx, changed)
    if changed.identity is not None and changed.state in ACCEPTED:
        reach(tx, changed)
    return changed


def verify(tx: Transaction, contact: Contact, *, compared: bool) -> tuple[bytes, bool, bytes | None]:
    """Return (identity, verified, secret of the words) of a contact; `compared` marks it as verified. Raises NotNow
    where the identity is not known yet.
    """
    if contact.identity is None:
        raise NotNow(f"{contact.name} has not answered yet", hint="There is nothing to compare before that.")
    if compared and not contact.verified:
        contact = tx.change(contact.id, verified=True)
        tx.event("contact", **views.contact(contact, tx.route(contact.id)))
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


def told(tx: Transaction, contact: Contact, message_id: MessageId, profile: ContactProfile) -> Contact:
    """Take in what a contact told about itself, and return the contact. A name of our own choice stays, and so does
    what was said later than this.
    """
    if is_news(tx, contact, Fact.TOLD_NAME, message_id):
        name = contact.name if contact.named_by_me else names.free(tx, contact.id, their_name(profile.name))
        before = contact.name
        contact = tx.change(contact.id, name=name, profile_name=profile.name, read_receipts=profile.read_receipts)
        if name != before:
            tx.event("contact", **views.contact(contact, tx.route(contact.id)))
    moved(tx, contact, message_id, profile.ways)
    if profile.queues is not None:
        collects(tx, contact, message_id, profile.queues)
    return contact


def moved(tx: Transaction, contact: Contact, message_id: MessageId, ways: Sequence[tuple[PeerKey, bytes]]) -> None:
    """Take in where a contact says that its nodes are. None at all changes nothing: it may just not know its own."""
    if is_news(tx, contact, Fact.TOLD_WAYS, message_id) and ways:
        store_devices.set_ways(tx.db, first_device(contact.id), [Way(*way, ROLE_NODE) for way in ways], tx.now)
        if contact.state == ContactState.CONTACT:
            reach(tx, contact)


def collects(tx: Transaction, contact: Contact, message_id: MessageId, theirs: tuple[AnnouncedQueue, ...]) -> None:
    """Take in where a contact says that it collects what we leave for it."""
    if is_news(tx, contact, Fact.TOLD_QUEUES, message_id):
        queues.told(tx, contact, theirs)


def is_news(tx: Transaction, contact: Contact, told: Fact, message_id: MessageId) -> bool:
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


def gone(tx: Transaction, contact: Contact) -> None:
    """Give up the invite we used, which does not work; see `not_sent`. Nobody is behind it any more: an invite of the
    same person that works must find the way free. Of a contact who was to begin anew, only that is forgotten.
    """
    tx.event("node", warning=f"The invite of {contact.name} can no longer be used.")
    if contact.state == ContactState.CONTACT:
        give_up_anew(tx, contact)
        return
    not_sent(tx, contact)


def not_sent(tx: Transaction, contact: Contact) -> None:
    """Give up somebody whom we waited for, and who is not there. What was written to them has failed, and stays in
    their chat, from where a person may send it again; where nothing was written nothing is left of them.
    """
    failed = unsent(tx, contact)
    if not failed:
        remove(tx, contact)
        return
    for session in tx.sessions.all(first_device(contact.id)):
        tx.sessions.drop(first_device(contact.id), session.session_id)
    queues.leave(tx, contact.id)
    nobody = {"identity": None, "device": None, "bundle": None, "verified": False}
    tx.change(contact.id, **nobody, invite=None, invite_id=None, invite_until=None)
    tx.pairs_of.add(contact.id)
    tx.after(tx.net.forget, contact.id)
    store_outbox.clear(tx.db, first_device(contact.id))
    advance(tx, direct_chat(contact.id), failed, DeliveryEvent.EXPIRED, None)


def unsent(tx: Transaction, contact: Contact) -> list[MessageId]:
    """Return the ids of our messages that wait for a contact, timer lines among them, oldest first."""
    waiting = store_outbox.contents_for(tx.db, first_device(contact.id))
    return [message_id for kind, message_id in waiting if kind_of(kind).visible]


def advance(tx: Transaction, chat: ChatId, ids: Iterable[MessageId], event: DeliveryEvent, route: Route | None) -> None:
    """Move messages of ours on as `event` says, and tell faces; ids that are none are passed over."""
    state = delivery.target(event)
    moved_on = store_messages.set_state(tx.db, chat, ids, state, tx.now, came_from=delivery.sources(event), route=route)
    at = views.timestamp(tx.now)
    for message_id in moved_on:
        tx.event("state", id=message_id.hex(), chat=chat.hex(), state=state, route=route, at=at)


def tell_queues(tx: Transaction, contact: Contact) -> None:
    """Tell a contact where we collect, if that has changed. One who has not accepted yet hears it then."""
    told = contact.state == ContactState.CONTACT or (
        contact.state == ContactState.WAITING and contact.identity is not None
    )
    if told and queues.refresh(tx, contact):
        outbound.queue(tx, contact, Queues(queues.announced(tx, contact)))
