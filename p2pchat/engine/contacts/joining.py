"""Joining: using somebody else's invite, up to the first message, and giving it up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from p2pchat.core import frames, handshake, mailbox
from p2pchat.core.codec import array, binary, binary_upto, decode, exactly
from p2pchat.core.content import Content, encode_content
from p2pchat.core.contents import GroupAsk
from p2pchat.core.delivery import DeliveryEvent
from p2pchat.core.envelope import BUCKETS, open_blob, seal_blob
from p2pchat.core.ids import ContactId, PeerKey, first_device
from p2pchat.core.invite import (
    GROUP,
    ONE_TIME,
    ROLE_NODE,
    ROLE_RELAY,
    Invite,
    blob_key,
    check_box,
    check_closed,
    decode_invite,
    hello_key,
    invite_id,
    invite_mark,
    read_invite,
)
from p2pchat.core.prekeys import MAX_BUNDLE, Bundle, open_bundle, person_digest
from p2pchat.core.primitives import KEY_BYTES, SIGNATURE, equal
from p2pchat.core.session import Session
from p2pchat.engine.contacts import contacts, introductions, names, reaching
from p2pchat.engine.delivery import outbound, queues, states
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen, InviteExpired, NotNow
from p2pchat.lib.times import DAY_MS
from p2pchat.store import contacts as store_contacts
from p2pchat.store import facts
from p2pchat.store import invites as store_invites
from p2pchat.store import outbox as store_outbox
from p2pchat.store import queues as store_queues
from p2pchat.store import renewals as store_renewals
from p2pchat.store.contacts import ACCEPTED, Contact, ContactState
from p2pchat.store.facts import Fact
from p2pchat.store.queues import TheirQueueRow

MAX_ANEW = 4
"""Sessions begun by fresh invites of one contact that may still be accepted."""
ASKED_ANEW = "{name} is already your contact: they are asked to begin anew with you, and have to accept."
_BOX = array(binary_upto(MAX_BUNDLE), binary(KEY_BYTES), binary(SIGNATURE), open_end=True)
_CLOSED = array(exactly(frames.EXPIRED), binary(SIGNATURE), open_end=True)


def add(tx: Transaction, written: str, name: str | None, hidden: bool = False, words: str = "") -> Contact:
    """Begin to join with an invite. The same invite again gives the same contact, and tries at once. `hidden`: its
    maker must not learn our network address. `words`: for whoever decides about us, where the invite leads to a group.
    Raises BadInvite, InviteExpired, NotNow.
    """
    invite, encoded = read_invite(written)
    alias = None if name is None else names.name_of(name)
    everybody = store_contacts.all(tx.db)
    for known in everybody:
        if known.invite_id == invite_id(encoded):
            return _again(tx, known, invite, alias, hidden=hidden)
    _check(tx, invite)
    contact = _waiting(tx, invite, encoded, alias, hidden=hidden)
    for known in everybody:
        if (
            known.identity is None
            and known.invite is not None
            and GROUP not in (invite.kind, decode_invite(known.invite).kind)
            and _of_one_node(decode_invite(known.invite), invite)
        ):
            return reaching.join_again(tx, known, contact)  # the one before has never reached that node
    store_contacts.add(tx.db, contact)
    tx.forget_contact(contact.id)
    if hidden:
        tx.pairs_of.add(contact.id)
    if words:
        facts.put(tx.db, contact.id, Fact.GROUP_WORDS, words.encode())
    reaching.set_ways(tx, contact.id, invite)
    tx.show_contact(contact, None)
    reaching.start_joining(tx, contact, invite)
    return contact


def _again(tx: Transaction, known: Contact, invite: Invite, alias: str | None, *, hidden: bool) -> Contact:
    if hidden:
        contacts.hide(tx, known, hidden=True)
    if known.invite is not None:
        reaching.start_joining(tx, known, invite)  # who asks again does not want to wait for the back-off
    return known if alias is None else contacts.rename(tx, known, alias)


def _check(tx: Transaction, invite: Invite) -> None:
    """Raise InviteExpired or NotNow if an invite cannot be used."""
    hello = hello_key(invite.secret)
    if any(equal(row.hello, hello) for row in store_invites.all(tx.db)):
        raise NotNow("This is one of your own invites", hint="Give it to somebody else.")
    # clocks lie by up to a day; whether it has really expired, the inviter says
    if invite.expires_at * 1000 + DAY_MS < tx.now:
        raise InviteExpired
    if not invite.ways:
        raise NotNow("This invite contains no address", hint="Ask for one that was made while their node was running.")


def _waiting(tx: Transaction, invite: Invite, encoded: bytes, alias: str | None, *, hidden: bool) -> Contact:
    contact_id = ContactId(tx.random(8))
    wanted = alias or names.their_name(invite.name or "") or f"invite-{contact_id.hex()[:4]}"
    return Contact(
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
        for_group=invite.kind == GROUP,
    )


def _of_one_node(first: Invite, second: Invite) -> bool:
    """Return whether two invites claim to be of the same nodes. All must be the same, lest one more be let in."""
    return bool(_nodes(first)) and _nodes(first) == _nodes(second)


def _nodes(invite: Invite) -> set[PeerKey]:
    return {way.peer for way in invite.ways if way.role == ROLE_NODE}


def answer(tx: Transaction, contact_id: ContactId, blob: bytes) -> bytes | None:
    """Make and save the first message against the bundle that an inviter offered, one bucket each. Return None if the
    bundle does not belong to the invite.
    """
    contact = tx.contact(contact_id)
    if contact is None or contact.invite is None:
        return None
    invite = decode_invite(contact.invite)
    try:
        return _first_message(tx, contact, invite, open_blob(blob_key(invite.secret), blob), at_node=True)
    except CannotOpen:
        return None


def boxed(tx: Transaction, contact_id: ContactId, relay: bytes, blob: bytes) -> None:
    """Process a blob from the box of an invite that we use: the bundle, and where to put the first message, at each
    relay of the invite. Anything that the inviter did not sign for this invite was put there by the relay, and
    changes nothing.
    """
    contact = tx.contact(contact_id)
    if contact is None or contact.invite is None:
        return
    invite = decode_invite(contact.invite)
    ways = [way for way in invite.ways if way.role == ROLE_RELAY]
    if relay not in {way.peer for way in ways}:
        return
    try:
        page = decode(open_blob(blob_key(invite.secret), blob), BUCKETS[-1])
        if isinstance(page, list) and page[:1] == [frames.EXPIRED]:
            _closed(tx, contact, invite, page)
            return
        bundle, fetch, signature = _BOX(page)[:3]
        check_box(_pinned_bundle(invite, bundle).identity, contact.invite, bundle, fetch, signature)
        if _first_message(tx, contact, invite, bundle, at_node=False) is None:
            contact = _who_begins_anew(tx, contact)
            if contact is None:
                return
    except CannotOpen:
        return
    until = max(tx.now, contact.invite_until or 0) + outbound.RETRY_FOR_MS
    put_seed = mailbox.invite_put(invite.secret)
    for way in ways:
        row = TheirQueueRow(
            first_device(contact.id), None, way.peer, way.address, way.token, fetch, put_seed, mailbox.STAMPED, until
        )
        store_queues.deposit_in(tx.db, row)
    tx.mail_of[first_device(contact_id)] = None


def _closed(tx: Transaction, contact: Contact, invite: Invite, page: Any) -> None:
    """Give up an invite whose box its maker has closed. If our first message is on its way, it may have arrived before
    the invite was revoked: then the inviter's answer decides. Raises `CannotOpen`, with nothing changed.
    """
    reason, signature = _CLOSED(page)[:2]
    if invite.writer is None or contact.invite is None:
        raise CannotOpen
    check_closed(invite.writer, contact.invite, reason, signature)
    if contact.state in ACCEPTED and store_outbox.initial(tx.db, first_device(contact.id)) is None:
        give_up_invite(tx, contact, reason)


def _who_begins_anew(tx: Transaction, waiting: Contact) -> Contact | None:
    """Return the contact who goes on with the invite of `waiting`: it turned out to be theirs (see `begin_anew`)."""
    for contact in store_contacts.all(tx.db):
        if contact.invite_id == waiting.invite_id and contact.id != waiting.id:
            return None if store_outbox.initial(tx.db, first_device(contact.id)) is None else contact
    return None


def _first_message(tx: Transaction, contact: Contact, invite: Invite, offered: bytes, *, at_node: bool) -> bytes | None:
    """Return the first message for an invite, made against this bundle unless it was made before; the same by every
    way. None if it is of somebody we know. Raises `CannotOpen`, with nothing changed. `at_node`: it was offered by one
    whose transport key the invite names.
    """
    device = first_device(contact.id)
    bundle = _pinned_bundle(invite, offered)
    pending = store_outbox.initial(tx.db, device)
    if pending is not None:
        return pending
    known = store_contacts.by_identity(tx.db, bundle.identity)
    if known is not None and known.id != contact.id and invite.kind == GROUP:
        _ask_contact(tx, contact, known, invite)
        return None
    if known is not None and known.id != contact.id:
        proven = at_node and _is_theirs(tx, invite, known)
        _already(tx, contact, known, bundle, proven=proven, foreign=at_node and not proven)
        return None
    session, initial = _initiated(tx, contact, invite, bundle)
    tx.change(contact.id, identity=bundle.identity, device=bundle.device, bundle=bundle.encoded)
    tx.sessions.begin(device, session, tx.now)
    tx.pairs_of.add(contact.id)
    outbound.queue_initial(tx, contact.id, initial, session.session_id)
    return initial


def _initiated(tx: Transaction, contact: Contact, invite: Invite, bundle: Bundle) -> tuple[Session, bytes]:
    """Return a new session by an invite, and its first message, sealed."""
    content = _introduction(tx, contact, invite)
    # whether the invite has expired is the inviter's to say: our clock may be a day ahead
    session, message = handshake.initiate(tx.me, bundle, content, tx.now - DAY_MS, tx.entropy)
    return session, seal_blob(blob_key(invite.secret), message, tx.random)


def _pinned_bundle(invite: Invite, offered: bytes) -> Bundle:
    """Read the bundle that was offered for an invite. Raises `CannotOpen` if the invite does not pin it."""
    bundle = open_bundle(offered)
    digest = bundle.digest if invite.kind == ONE_TIME else person_digest(bundle.identity, bundle.device)
    if invite.digest != digest:
        raise CannotOpen
    return bundle


def _introduction(tx: Transaction, contact: Contact, invite: Invite) -> bytes:
    mark = invite_mark(hello_key(invite.secret))
    profile = replace(outbound.own_profile(tx, contact), mark=mark)
    return encode_content(Content(profile, tx.new_message_id(), 0, tx.now))


def _is_theirs(tx: Transaction, invite: Invite, known: Contact) -> bool:
    """Return whether the invite's maker, who has just answered under a transport key of the invite, is this contact:
    who has named that key as their own, in a session that nobody else can write in. A bundle proves nothing: many have
    it.
    """
    peers = _nodes(invite)
    return bool(peers) and peers <= introductions.named_hosts(tx, known.id)


def _ask_contact(tx: Transaction, contact: Contact, known: Contact, invite: Invite) -> None:
    """Use an invite to a group of somebody whom we know already, in the session with them."""
    if known.state == ContactState.CONTACT:
        outbound.queue(tx, known, GroupAsk(invite_mark(hello_key(invite.secret))))
        facts.put(tx.db, known.id, Fact.GROUP_ASKED, b"")
        outbound.nudge(tx, known)
        words = facts.get(tx.db, contact.id, Fact.GROUP_WORDS)
        if words is not None:
            facts.put(tx.db, known.id, Fact.GROUP_WORDS, words)
    else:
        warning = f"That invite names {known.name}, who is already in your list ({known.state}). It was not used."
        tx.event("node", warning=warning)
    contacts.remove(tx, contact)
    tx.change(known.id, invite_id=contact.invite_id)


def _already(tx: Transaction, contact: Contact, known: Contact, bundle: Bundle, *, proven: bool, foreign: bool) -> None:
    """Keep one contact when an invite turns out to be from somebody we already know. What was written to its maker is
    for them only if it is proven that they are its maker; `foreign`: it came from a host that they have not named.
    """
    if known.for_group:  # until now
        known = tx.change(known.id, for_group=False)
        tx.show_contact(known, tx.route(known.id))
    if known.state == ContactState.REQUEST and proven:  # they asked us, and we used an invite of theirs: both said yes
        known = contacts.accept(tx, known)
    # one who came later than the invite: each used one of the other, and that is all
    before = store_contacts.was_there_before(tx.db, known.id, contact.id)
    if known.state == ContactState.CONTACT and before and contact.invite is not None:
        try:
            session, blob = _initiated(tx, known, decode_invite(contact.invite), bundle)
        except CannotOpen:
            return
        begin_anew(tx, known, session, blob, contact, bundle.device)
    elif known.state == ContactState.WAITING and not foreign:
        # they have not answered our last one, and may have declined it: begin again by this
        known = reaching.join_again(tx, known, contact if proven else replace(contact, named_by_me=False))
    else:
        warning = f"That invite names {known.name}, who is already in your list ({known.state}). It was not used."
        tx.event("node", warning=warning)
    if proven and known.state in ACCEPTED:
        outbound.move(tx, contact, known)
    not_sent(tx, contact)
    if known.state == ContactState.REQUEST or known.state == ContactState.CONTACT:
        tx.change(known.id, invite_id=contact.invite_id)


def begin_anew(tx: Transaction, contact: Contact, session: Session, blob: bytes, by: Contact, device: bytes) -> None:
    """Ask a contact to begin anew, by their fresh invite, for which `by` was made; `device` is the key that their
    identity now certifies. Existing sessions go on until they have accepted.
    """
    reaching.forget_first(tx, contact.id)
    if by.hidden:
        contact = contacts.hide(tx, contact, hidden=True)
    tx.change(contact.id, device=device, invite=by.invite, invite_id=by.invite_id, invite_until=by.invite_until)
    tx.sessions.begin(first_device(contact.id), session, tx.now)
    state = store_renewals.get(tx.db, first_device(contact.id))
    began_anew = (session.session_id + state.began_anew)[: MAX_ANEW * KEY_BYTES]
    store_renewals.put(tx.db, replace(state, began_anew=began_anew))
    tx.pairs_of.add(contact.id)
    outbound.queue_initial(tx, contact.id, blob, session.session_id)
    tx.event("node", warning=ASKED_ANEW.format(name=contact.name))
    assert by.invite is not None
    tx.after(tx.net.joined, contact.id)
    reaching.start_joining(tx, contact, decode_invite(by.invite))


def give_up_invite(tx: Transaction, contact: Contact, reason: int) -> None:
    """Give up an invite that does not work; see `not_sent`. Its contact is removed, so that a working invite of the
    same person can be used. If a contact was to begin anew, only that attempt is removed. `reason`: a number of
    `core.frames`.
    """
    why = "has expired or was revoked" if reason == frames.EXPIRED else "was already used"
    tx.event("node", warning=f"The invite of {contact.name} can no longer be used: it {why}.")
    tx.memory.refused[contact.id] = reason
    if contact.state == ContactState.CONTACT:
        reaching.cancel_join_again(tx, contact)
        return
    not_sent(tx, contact)


def not_sent(tx: Transaction, contact: Contact) -> None:
    """Give up a contact who never accepted. Messages to them have failed and stay in their chat, from where the user
    can send them again; if there were none, the contact is deleted completely.
    """
    failed = states.unsent(tx, contact)
    if not failed:
        contacts.remove(tx, contact)
        return
    device = first_device(contact.id)
    for session in tx.sessions.all(device):
        tx.sessions.drop(device, session.session_id)
    queues.leave(tx, contact.id)
    nobody = {"identity": None, "device": None, "bundle": None, "verified": False}
    tx.change(contact.id, **nobody, invite=None, invite_id=None, invite_until=None)
    tx.pairs_of.add(contact.id)
    tx.after(tx.net.forget, contact.id)
    store_outbox.clear(tx.db, device)
    states.advance(tx, contact.chat, failed, DeliveryEvent.EXPIRED, None)
