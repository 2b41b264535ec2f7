"""Renewal: when a session cannot go on, two connected nodes begin a new one over their link.

A cannot be read by B:
    B → REFUSED (an envelope of A's)      A → RENEW      B → BUNDLE (made for this)      A → INITIAL      B → ACKS
Bundle and INITIAL are sealed under a key of the pair. The identity is the pinned one, so no person is asked; at most
one an hour. Everything without a receipt goes out again in the new session, under the id it had; the old sessions stay
for receiving, and their hello tags hold, for 14 days.
"""

from __future__ import annotations

from dataclasses import replace

from p2pchat.core import content as contents
from p2pchat.core import handshake, wire
from p2pchat.core.content import Content, decode_content, encode_content
from p2pchat.core.envelope import envelope_id, open_blob, seal_blob
from p2pchat.core.prekeys import dump_set, load_set, make_set, open_bundle
from p2pchat.core.session import DAY, LINGER, Session, renew_key
from p2pchat.core.wire import Frame
from p2pchat.engine import outbound, views
from p2pchat.engine.turn import Turn
from p2pchat.errors import CannotOpen
from p2pchat.store import envelopes as store_envelopes
from p2pchat.store import meta
from p2pchat.store import outbox as store_outbox
from p2pchat.store import prekeys as store_prekeys
from p2pchat.store.contacts import Contact
from p2pchat.store.envelopes import SeenRow
from p2pchat.store.prekeys import PrekeyRow

AT_MOST_EVERY = 3_600_000
OFFER_EVERY = 600_000
OFFER_FOR = AT_MOST_EVERY
OFFER_AGAIN = 60_000
"""Milliseconds: one renewal an hour. How often a bundle is made for one, how long it is good (a first message may have
to wait for a link), and how often it is sent again to one who asks again.
"""
REMEMBER_HANDSHAKE = 40 * DAY
MOST_ENDING = 8
"""Old sessions kept for receiving: every one is tried at each hello and at each envelope that does not open."""


def refused(turn: Turn, contact: Contact, envelope_name: bytes) -> None:
    """The contact cannot open an envelope of ours: ask for a bundle, if none was asked for within the hour."""
    row = store_outbox.by_envelope(turn.db, envelope_name)
    if row is None or row.contact != contact.id or contact.state != "contact":
        return
    key = f"renewal {contact.id.hex()}"
    if turn.recent(meta.get_int(turn.db, key), AT_MOST_EVERY):
        return
    meta.put_int(turn.db, key, turn.now)
    meta.put_int(turn.db, _unanswered(contact), turn.now)
    turn.after(turn.net.send, contact.id, [Frame(wire.RENEW, b"")])


def ask_again(turn: Turn, contact_id: bytes) -> None:
    """A new link: the request, or its answer, may have been lost with the last one."""
    contact = turn.contact(contact_id)
    if contact is None or contact.state != "contact":
        return
    if turn.recent(meta.get_int(turn.db, _unanswered(contact)), AT_MOST_EVERY):
        turn.after(turn.net.send, contact_id, [Frame(wire.RENEW, b"")])


def asked(turn: Turn, contact: Contact, th: bytes) -> None:
    """The contact wants to begin anew: make a bundle for this once."""
    session = _session(turn, contact, th)
    if session is None or contact.state != "contact":
        return
    made, sent, number = (f"renewal {what} {contact.id.hex()}" for what in ("offered", "sent", "bundle"))
    if turn.recent(meta.get_int(turn.db, made), OFFER_EVERY):
        if turn.recent(meta.get_int(turn.db, sent), OFFER_AGAIN):
            return
        row = store_prekeys.get(turn.db, store_prekeys.RENEWAL, meta.get_int(turn.db, number))
        if row is None:  # it was used
            return
        bundle = load_set(row.secret).bundle
    else:
        until = turn.now + OFFER_FOR
        prekeys = make_set(turn.me, until // 1000 + 1, one_time=True, random=turn.random)
        row = PrekeyRow(store_prekeys.RENEWAL, prekeys.number, dump_set(prekeys), turn.now, until)
        store_prekeys.put(turn.db, row)
        meta.put_int(turn.db, made, turn.now)
        meta.put_int(turn.db, number, prekeys.number)
        bundle = prekeys.bundle
    meta.put_int(turn.db, sent, turn.now)
    sealed = seal_blob(renew_key(session.pair_root), bundle, turn.random)
    turn.after(turn.net.send, contact.id, [Frame(wire.BUNDLE, sealed)])


def answered(turn: Turn, contact: Contact, th: bytes, sealed: bytes) -> None:
    """The bundle we asked for: begin the new session and seal again what was not delivered."""
    session = _session(turn, contact, th)
    asked_at = meta.get_int(turn.db, _unanswered(contact))
    if session is None or contact.state != "contact" or not turn.recent(asked_at, AT_MOST_EVERY):
        return
    try:
        bundle = open_bundle(open_blob(renew_key(session.pair_root), sealed))
        if bundle.identity != contact.identity or bundle.device != contact.device:
            return
        replaced = _shared(turn, contact, session)
        content = encode_content(Content(contents.RESET, turn.new_message_id(), 0, turn.now, [replaced]))
        fresh, message = handshake.initiate(turn.me, bundle, content, turn.now - DAY, turn.entropy)
    except CannotOpen:
        return
    blob = seal_blob(renew_key(session.pair_root), message, turn.random)
    meta.remove(turn.db, _unanswered(contact))  # one request, one session
    store_outbox.clear(turn.db, contact.id, [store_outbox.RENEWAL])  # of one that did not arrive in its time
    outbound.queue_initial(turn, contact.id, store_outbox.RENEWAL, blob, fresh.th)
    _replace(turn, contact, replaced, fresh)


def _unanswered(contact: Contact) -> str:
    return f"renewal unanswered {contact.id.hex()}"


def _shared(turn: Turn, contact: Contact, of_link: Session) -> bytes:
    """What a new session replaces: the newest that the other side surely has."""
    sending = turn.sessions.sending(contact.id)
    return sending.th if sending is not None and sending.confirmed else of_link.th


def begun(turn: Turn, contact: Contact, blob: bytes) -> None:
    """The contact's first message of a new session."""
    name = envelope_id(blob)
    seen = store_envelopes.seen(turn.db, name)
    if seen is not None and seen.contact == contact.id:
        turn.hop_acks.setdefault(contact.id, []).append(name)
        return
    try:
        initial = handshake.parse(_opened(turn, contact, blob))
        row = store_prekeys.get(turn.db, store_prekeys.RENEWAL, initial.spk_id)
        if row is None or initial.identity != contact.identity or initial.device != contact.device:
            return
        prekeys = load_set(row.secret)
        fresh, inner = handshake.respond(turn.me, prekeys, initial, turn.entropy)
        content = decode_content(inner)
        if content.type != contents.RESET or _session(turn, contact, content.payload[0]) is None:
            return
    except CannotOpen:
        return
    store_prekeys.delete(turn.db, store_prekeys.RENEWAL, row.id)
    store_prekeys.remember(turn.db, fresh.th, contact.id, turn.now + REMEMBER_HANDSHAKE)
    store_envelopes.remember(turn.db, [SeenRow(name, contact.id, None, turn.now)])
    turn.hop_acks.setdefault(contact.id, []).append(name)
    _replace(turn, contact, content.payload[0], fresh)


def _replace(turn: Turn, contact: Contact, old_th: bytes, fresh: Session) -> None:
    """Send in `fresh` from now on. If both sides renewed the same session at once, two new ones live, one of each
    side's making, and both sides send in the one with the smaller `th`.
    """
    key = f"renewed {contact.id.hex()}"
    before = meta.get(turn.db, key) or b""
    sibling = before[32:] if before[:32] == old_th else b""
    meta.put(turn.db, key, old_th + fresh.th)
    for old in turn.sessions.all(contact.id):
        if old.ends_at is None and (old.th != sibling or old.initiator == fresh.initiator):
            turn.sessions.put(contact.id, replace(old, ends_at=turn.now + LINGER))
    turn.sessions.begin(contact.id, fresh, turn.now)
    ending = [one.th for one in turn.sessions.all(contact.id) if one.ends_at is not None]
    for th in ending[MOST_ENDING:]:
        turn.sessions.drop(contact.id, th)
        turn.after(turn.net.relink, contact.id)  # a link by its hello could not renew any more
    turn.pairs_changed = True
    outbound.seal_again(turn, contact.id)
    turn.event("contact", **views.contact(contact, turn.route(contact.id)), renewed=True)


def _session(turn: Turn, contact: Contact, th: bytes) -> Session | None:
    return next((one for one in turn.sessions.all(contact.id) if one.th == th), None)


def _opened(turn: Turn, contact: Contact, blob: bytes) -> bytes:
    for session in turn.sessions.all(contact.id):
        try:
            return open_blob(renew_key(session.pair_root), blob)
        except CannotOpen:
            continue
    raise CannotOpen
