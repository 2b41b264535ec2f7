"""Renewal: when a session cannot go on, the two begin a new one, over a link or by relays alone.

Over a link, where A cannot be read by B:
    B → REFUSED (an envelope of A's)      A → RENEW      B → BUNDLE (made for this)      A → INITIAL      B → ACKS
Without one, and where a profile was put back from a copy:
    A → REQUEST (a bundle, and where A collects)      B → INITIAL
What is said is sealed under a key of the pair. The identity is the pinned one, so no person is asked. Everything
without a receipt goes out again in the new session, under the id it had; the old sessions stay for receiving, and their
hello tags hold, for 14 days. What is asked and answered is limited by `allowed`.

The side that began the new session sends in it at once. Where its first message turns out to be lost, or to come too
late, that side goes back to the last session that both surely have (`lapsed`), and asks anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile

from p2pchat.core import frames, handshake
from p2pchat.core.content import Content, decode_content, encode_content
from p2pchat.core.contents import RenewalRequest, Reset
from p2pchat.core.envelope import envelope_id, open_blob, seal_blob
from p2pchat.core.frames import Frame
from p2pchat.core.ids import ContactId, EnvelopeId, SessionId, contact_of, first_device
from p2pchat.core.prekeys import Bundle, PrekeySet, dump_set, load_set, make_set, open_bundle
from p2pchat.core.primitives import KEY_BYTES
from p2pchat.core.session import LINGER_MS, STANDING, Session, renew_key, standing_root
from p2pchat.engine.contacts import news
from p2pchat.engine.delivery import outbound, queues
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen
from p2pchat.lib.times import DAY_MS, HOUR_MS
from p2pchat.store import contacts as store_contacts
from p2pchat.store import envelopes as store_envelopes
from p2pchat.store import outbox as store_outbox
from p2pchat.store import prekeys as store_prekeys
from p2pchat.store import renewals as store_renewals
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.envelopes import SeenRow
from p2pchat.store.facts import Fact
from p2pchat.store.outbox import OutboxForm
from p2pchat.store.prekeys import PrekeyRow
from p2pchat.store.renewals import RenewalRow

BURST = 4
"""Renewals, and bundles for them, that may follow at once with one contact."""
RENEWAL_EVERY_MS = HOUR_MS
"""How often there is one more renewal after these,"""
OFFER_EVERY_MS = 600_000
"""and one more bundle."""
ANSWER_WITHIN_MS = HOUR_MS
"""How long a bundle is good that was sent over a link, and how long an answer is waited for there."""
SAY_AGAIN_MS = 60_000
"""How often the same thing is said again over a link."""
REQUEST_EVERY_MS = DAY_MS
"""How often a request is left at relays,"""
REQUEST_FOR_MS = 30 * DAY_MS
"""and how long the bundle in it is good."""
REMEMBER_HANDSHAKE_MS = 40 * DAY_MS
"""How long a first message that was accepted is known, so that it is not taken twice."""
MAX_ENDING = 8
"""Old sessions kept for receiving: every one is tried at each hello and at each envelope that does not open."""
MANY = 6
"""Renewals with one contact within a day, or other signs of two copies at work, of which a person is told."""
STRANGE_EVERY_MS = 300_000
"""How long all such signs together count as one."""
TELL_EVERY_MS = 7 * DAY_MS
"""How often a person is told."""


def allowed(tx: Transaction, until: int, every: int) -> int | None:
    """Return what to keep in place of `until` if one more may be done now, or None: four at once, then one `every` ms.

    It is the generic cell rate algorithm (ITU-T I.371). A value that no clock of today can have made counts as none.
    """
    if until > tx.now + BURST * every:
        until = tx.now
    return None if until > tx.now + (BURST - 1) * every else max(until, tx.now) + every


# --- what tells us that a session cannot go on ------------------------------------------------------------------------


def refused(tx: Transaction, contact: Contact, envelope_name: EnvelopeId) -> None:
    """Take in that the contact cannot open an envelope of ours, or cannot use a first message."""
    device = first_device(contact.id)
    row = store_outbox.by_envelope(tx.db, envelope_name)
    if contact.state != ContactState.CONTACT:
        return
    if row is None or row.recipient != device:
        suspect_copy(tx, contact)
        return
    if row.form == OutboxForm.RENEWAL:
        lapsed(tx, contact, row.session_id)
        _ask(tx, contact)
        return
    sending = tx.sessions.sending(device)
    if row.content is not None and sending is not None and row.session_id != sending.session_id:
        outbound.seal_one_again(tx, row, sending)  # of a session that is not used any more
        return
    first = store_outbox.first_of(tx.db, device, OutboxForm.RENEWAL)
    if first is not None:  # it, and not the session, may be what is missing
        _say(tx, contact, Frame(frames.INITIAL, first))
    elif store_outbox.first_of(tx.db, device, OutboxForm.REQUEST) is None:
        _ask(tx, contact)


def unread(tx: Transaction, contact: Contact) -> None:
    """Note that what lay in our queue for the contact cannot be opened. A relay can put anything there, so this is
    weak, and to answer at once would show which queues belong together: see `retry_unsettled`.
    """
    state = store_renewals.get(tx.db, first_device(contact.id))
    if contact.state == ContactState.CONTACT and state.unread_at is None:
        store_renewals.put(tx.db, replace(state, unread_at=tx.now))


def begin_with_all(tx: Transaction) -> int:
    """Ask everybody for new sessions, since ours are those of an old copy. Returns how many were asked."""
    count = 0
    for contact in store_contacts.all(tx.db):
        known = tx.sessions.all(first_device(contact.id))
        if contact.state == ContactState.CONTACT and any(session.confirmed for session in known):
            request(tx, contact)
            count += 1
    return count


def ask_again(tx: Transaction, contact_id: ContactId) -> None:
    """Ask again over a new link: what was asked over the last one, or its answer, may have been lost with it."""
    contact = tx.contact(contact_id)
    if contact is not None and store_renewals.get(tx.db, first_device(contact_id)).wanted_at is not None:
        _ask(tx, contact, new_link=True)


def retry_unsettled(tx: Transaction) -> None:
    """Go on, hourly, with what was not settled, over a link where there is one, else by relays."""
    for device in store_renewals.due(tx.db):
        contact, state = tx.contact(contact_of(device)), store_renewals.get(tx.db, device)
        if contact is None or contact.state != ContactState.CONTACT:
            continue
        if tx.net.route(contact.id) is not None:  # by which what cannot be opened is refused
            store_renewals.put(tx.db, replace(state, unread_at=None))
            if state.wanted_at is not None:
                _ask(tx, contact)
        elif not tx.recent(state.requested_at or 0, REQUEST_EVERY_MS):
            request(tx, contact)


def check_acks(tx: Transaction, contact: Contact) -> None:
    """Ask for a new session where nothing was ever acked on a link: its other end cannot open what we send."""
    if (
        contact.state == ContactState.CONTACT
        and tx.net.route(contact.id) is not None
        and not tx.storage_limits.is_told_full(contact.id, tx.now)
        and store_outbox.has_unacked(tx.db, first_device(contact.id), tx.now - ANSWER_WITHIN_MS)
    ):
        suspect_copy(tx, contact)


# --- over a link ------------------------------------------------------------------------------------------------------


def _ask(tx: Transaction, contact: Contact, *, new_link: bool = False) -> None:
    """Ask for a bundle, unless a first message is under way."""
    device = first_device(contact.id)
    state = store_renewals.get(tx.db, device)
    if state.wanted_at is None:
        state = replace(state, wanted_at=tx.now)
        store_renewals.put(tx.db, state)
    if contact.state != ContactState.CONTACT or store_outbox.first_of(tx.db, device, OutboxForm.RENEWAL) is not None:
        return
    if not tx.recent(state.asked_at or 0, ANSWER_WITHIN_MS):
        until = allowed(tx, state.asks_until, RENEWAL_EVERY_MS)
        if until is None:
            return
        store_renewals.put(tx.db, replace(state, asked_at=tx.now, said_at=None, asks_until=until))
    _say(tx, contact, Frame(frames.RENEW, b""), at_once=new_link)


def _say(tx: Transaction, contact: Contact, frame: Frame, *, at_once: bool = False) -> None:
    state = store_renewals.get(tx.db, first_device(contact.id))
    if at_once or not tx.recent(state.said_at or 0, SAY_AGAIN_MS):
        store_renewals.put(tx.db, replace(state, said_at=tx.now))
        tx.after(tx.net.send, contact.id, [frame])


def asked(tx: Transaction, contact: Contact, session_id: SessionId) -> None:
    """Make a bundle for this once: the contact wants to begin anew."""
    root = _root(tx, contact, session_id)
    if root is None or contact.state != ContactState.CONTACT:
        return
    state = store_renewals.get(tx.db, first_device(contact.id))
    row = None if state.offered is None else store_prekeys.get(tx.db, store_prekeys.RENEWAL, state.offered)
    if row is not None and tx.recent(row.created_at, OFFER_EVERY_MS):  # it was not used yet
        if tx.recent(state.offered_at or 0, SAY_AGAIN_MS):
            return
        bundle = load_set(row.secret).bundle
    else:
        until = allowed(tx, state.answers_until, OFFER_EVERY_MS)
        if until is None:
            return
        prekeys = _prekeys(tx, ANSWER_WITHIN_MS)
        bundle = prekeys.bundle
        state = replace(state, offered=prekeys.number, answers_until=until)
    store_renewals.put(tx.db, replace(state, offered_at=tx.now))
    tx.after(tx.net.send, contact.id, [Frame(frames.BUNDLE, seal_blob(renew_key(root), bundle, tx.random))])


def _prekeys(tx: Transaction, live: int) -> PrekeySet:
    until = tx.now + live
    prekeys = make_set(tx.me, until // 1000 + 1, one_time=True, random=tx.random)
    row = PrekeyRow(store_prekeys.RENEWAL, prekeys.number, dump_set(prekeys), tx.now, until)
    store_prekeys.put(tx.db, row)
    return prekeys


def answered(tx: Transaction, contact: Contact, session_id: SessionId, sealed: bytes) -> None:
    """Begin the new session by the bundle we asked for (sealed), and seal again what was not delivered. It may have
    been sealed for another link than the one on which it has come: the other side answers on its best one.
    """
    root, state = _root(tx, contact, session_id), store_renewals.get(tx.db, first_device(contact.id))
    if root is None or contact.state != ContactState.CONTACT or not tx.recent(state.asked_at or 0, ANSWER_WITHIN_MS):
        return
    try:
        bundle = _pinned(contact, _opened(tx, contact, sealed))
        _initiate(tx, contact, bundle, root, _shared(tx, contact, session_id), tx.now + ANSWER_WITHIN_MS)
    except CannotOpen:
        return


def _pinned(contact: Contact, encoded: bytes) -> Bundle:
    bundle = open_bundle(encoded)
    if bundle.identity != contact.identity or bundle.device != contact.device:
        raise CannotOpen
    return bundle


def _shared(tx: Transaction, contact: Contact, of_link: SessionId) -> SessionId:
    """Return what a new session replaces: the newest that the other side surely has."""
    sending = tx.sessions.sending(first_device(contact.id))
    return sending.session_id if sending is not None and sending.confirmed else of_link


# --- by relays alone --------------------------------------------------------------------------------------------------


def request(tx: Transaction, contact: Contact) -> None:
    """Leave a request for a new session where the contact finds it, with all that is needed to begin one."""
    device = first_device(contact.id)
    root = _standing(tx, contact)
    prekeys = _prekeys(tx, REQUEST_FOR_MS)
    queues.refresh(tx, contact)
    wanted = RenewalRequest(prekeys.bundle, queues.announced(tx, contact))
    content = encode_content(Content(wanted, tx.new_message_id(), 0, tx.now))
    store_outbox.clear_forms(tx.db, device, OutboxForm.REQUEST)
    blob = seal_blob(renew_key(root), content, tx.random)
    outbound.queue_first(tx, contact.id, OutboxForm.REQUEST, blob, STANDING, tx.now + REQUEST_FOR_MS)
    state = store_renewals.get(tx.db, device)
    wanted_at = tx.now if state.wanted_at is None else state.wanted_at
    store_renewals.put(tx.db, replace(state, wanted_at=wanted_at, unread_at=None, requested_at=tx.now))


def requested(tx: Transaction, contact: Contact, blob: bytes) -> bool:
    """Return whether a blob of at most one bucket is the contact's request for a new session, and was answered now or
    before.
    """
    try:
        content = decode_content(open_blob(renew_key(_standing(tx, contact)), blob))
        wanted = content.payload
        if not isinstance(wanted, RenewalRequest) or contact.state != ContactState.CONTACT:
            return False
        bundle = _pinned(contact, wanted.bundle)
    except CannotOpen:
        return False
    name = envelope_id(blob)
    if store_envelopes.seen(tx.db, name) is None:
        state = store_renewals.get(tx.db, first_device(contact.id))
        until = allowed(tx, state.answers_until, OFFER_EVERY_MS)
        if until is None:
            return False
        if news.is_new(tx, contact, Fact.TOLD_REQUEST, content.message_id):  # else a relay brings an old one again
            store_renewals.put(tx.db, replace(state, answers_until=until))
            news.take_queues(tx, contact, content.message_id, wanted.queues)
            try:
                live_until = min(bundle.not_after * 1000, tx.now + REQUEST_FOR_MS)
                replaced = _shared(tx, contact, STANDING)
                _initiate(tx, contact, bundle, _standing(tx, contact), replaced, live_until)
                outbound.queue_profile(tx, contact)  # an old copy does not know what we said since
            except CannotOpen:  # it has expired
                return False
        store_envelopes.remember(tx.db, [SeenRow(name, contact.id, None, tx.now)])
    tx.hop_acks.setdefault(contact.id, []).append(name)
    return True


# --- the new session --------------------------------------------------------------------------------------------------


def _initiate(tx: Transaction, contact: Contact, bundle: Bundle, root: bytes, replaced: SessionId, until: int) -> None:
    """Begin the new session against this bundle, or raise `CannotOpen` with nothing changed."""
    device = first_device(contact.id)
    content = encode_content(Content(Reset(replaced), tx.new_message_id(), 0, tx.now))
    fresh, message = handshake.initiate(tx.me, bundle, content, tx.now - DAY_MS, tx.entropy)
    blob = seal_blob(renew_key(root), message, tx.random)
    # one request, one session
    store_renewals.put(tx.db, replace(store_renewals.get(tx.db, device), asked_at=None, said_at=tx.now))
    # of one that did not arrive in its time
    store_outbox.clear_forms(tx.db, device, OutboxForm.RENEWAL)
    outbound.queue_first(tx, contact.id, OutboxForm.RENEWAL, blob, fresh.session_id, until)
    _replace(tx, contact, replaced, fresh)


def begun(tx: Transaction, contact: Contact, blob: bytes) -> bool:
    """Return whether a blob of at most one bucket is the contact's first message of a new session, and is taken, now or
    before.
    """
    device = first_device(contact.id)
    name = envelope_id(blob)
    seen = store_envelopes.seen(tx.db, name)
    if seen is not None and seen.contact == contact.id:
        tx.hop_acks.setdefault(contact.id, []).append(name)
        return True
    try:
        initial = handshake.parse(_opened(tx, contact, blob))
        row = store_prekeys.get(tx.db, store_prekeys.RENEWAL, initial.spk_id)
        if row is None or initial.identity != contact.identity or initial.device != contact.device:
            return False
        prekeys = load_set(row.secret)
        fresh, inner = handshake.respond(tx.me, prekeys, initial, tx.entropy)
        reset = decode_content(inner).payload
        if not isinstance(reset, Reset):
            return False
    except CannotOpen:
        return False
    store_prekeys.delete(tx.db, store_prekeys.RENEWAL, row.id)
    store_prekeys.remember(tx.db, fresh.session_id, contact.id, tx.now + REMEMBER_HANDSHAKE_MS)
    store_envelopes.remember(tx.db, [SeenRow(name, contact.id, None, tx.now)])
    tx.hop_acks.setdefault(contact.id, []).append(name)
    was_asked = store_outbox.first_of(tx.db, device, OutboxForm.REQUEST) is not None
    # a first message of our own is not waited for: this session is there, on both sides
    store_outbox.clear_forms(tx.db, device, OutboxForm.RENEWAL, OutboxForm.REQUEST)
    _settled(tx, contact.id)
    _replace(tx, contact, reset.session_id, fresh)
    if was_asked:  # by which they learn that it has come, whatever waits here
        outbound.queue_profile(tx, contact)
    return True


def _replace(tx: Transaction, contact: Contact, old_session_id: SessionId, fresh: Session) -> None:
    """Send in `fresh` from now on. If both sides renewed at once, two new ones live, one of each side's making, and
    both sides send in the one with the smaller `session_id`.
    """
    device = first_device(contact.id)
    state = store_renewals.get(tx.db, device)
    sibling = _crossing(tx, contact, state, old_session_id)
    store_renewals.put(tx.db, replace(state, replaced=old_session_id + fresh.session_id))
    _end(tx, contact, lambda old: old.session_id != sibling or old.initiator == fresh.initiator)
    tx.sessions.begin(device, fresh, tx.now)
    known = tx.sessions.all(device)
    last = next((session.session_id for session in known if session.confirmed), b"")
    ending = [session.session_id for session in known if session.ends_at is not None and session.session_id != last]
    for session_id in ending[MAX_ENDING:]:
        tx.sessions.drop(device, session_id)
        tx.after(tx.net.relink, contact.id)  # a link by its hello could not renew any more
    tx.pairs_of.add(contact.id)
    outbound.seal_again(tx, contact.id)
    _count(tx, contact)
    tx.show_contact(contact, tx.route(contact.id), renewed=True)


def _crossing(tx: Transaction, contact: Contact, state: RenewalRow, old_session_id: SessionId) -> SessionId | None:
    """Return the session that was renewed last, if a renewal of `old_session_id` crosses it: it replaces the same one,
    or another and nothing has come in ours yet. Whoever had ours would have named it.
    """
    session_id = SessionId(state.replaced[KEY_BYTES:])
    last = tx.sessions.get(first_device(contact.id), session_id)
    if last is None or session_id == old_session_id:
        return None
    return session_id if state.replaced[:KEY_BYTES] == old_session_id or not last.confirmed else None


def _end(tx: Transaction, contact: Contact, which: Callable[[Session], bool]) -> None:
    device = first_device(contact.id)
    for old in tx.sessions.all(device):
        if old.ends_at is None and which(old):
            tx.sessions.put(device, replace(old, ends_at=tx.now + LINGER_MS))


def arrived(tx: Transaction, contact: Contact, session_id: SessionId | None) -> None:
    """Note that the other side surely has a session that we began: it acked the first message, or sent something in
    it.
    """
    device = first_device(contact.id)
    store_outbox.clear_renewal(tx.db, device, session_id)
    session = tx.sessions.get(device, session_id)
    if session is None:
        return
    if not session.confirmed:
        session = replace(session, confirmed=True)
        tx.sessions.put(device, session)
    state = store_renewals.get(tx.db, device)
    anew = session_id in began_anew(state)  # they said yes to that: it replaces whatever there was
    newer = takewhile(lambda other: other.session_id != session_id, tx.sessions.all(device))
    if not anew and any(other.ends_at is None for other in newer):
        return  # a newer one has taken its place meanwhile
    _settled(tx, contact.id)
    store_outbox.clear_forms(tx.db, device, OutboxForm.REQUEST)
    if session.ends_at is None and not anew:
        return
    # it was given up, or began by an invite beside one that was used
    tx.sessions.put(device, replace(session, ends_at=None))
    _end(tx, contact, lambda old: old.session_id != session_id)
    if anew:
        store_renewals.put(tx.db, replace(store_renewals.get(tx.db, device), began_anew=b""))
        tx.show_contact(contact, tx.route(contact.id), renewed=True)
    outbound.seal_again(tx, contact.id)


def began_anew(state: RenewalRow) -> set[SessionId]:
    """Return the sessions that we began by fresh invites of a contact, and that nothing has come in yet."""
    return {SessionId(state.began_anew[at : at + KEY_BYTES]) for at in range(0, len(state.began_anew), KEY_BYTES)}


def lapsed(tx: Transaction, contact: Contact, session_id: SessionId | None) -> None:
    """Give up the first message of a session that we began, which cannot be used any more. If it has arrived after all,
    something will come in that session; until then we send in the last one that both surely have.
    """
    device = first_device(contact.id)
    store_outbox.clear_renewal(tx.db, device, session_id)
    session = tx.sessions.get(device, session_id)
    last = next((other for other in tx.sessions.all(device) if other.confirmed), None)
    if session is None or session.confirmed or last is None:
        return
    tx.sessions.put(device, replace(session, ends_at=tx.now + LINGER_MS))
    state = store_renewals.get(tx.db, device)
    store_renewals.put(tx.db, replace(state, wanted_at=tx.now if state.wanted_at is None else state.wanted_at))
    if tx.sessions.sending(device) is None:
        tx.sessions.put(device, replace(last, ends_at=None))
    outbound.seal_again(tx, contact.id)


def _settled(tx: Transaction, contact_id: ContactId) -> None:
    state = store_renewals.get(tx.db, first_device(contact_id))
    store_renewals.put(tx.db, replace(state, wanted_at=None, unread_at=None, asked_at=None, said_at=None))


def suspect_copy(tx: Transaction, contact: Contact) -> None:
    """Count a sign of two copies of a profile at work: an envelope that opens nowhere, a refusal of one that is not
    ours, nothing acked for an hour on a link that lives.
    """
    times = _times(store_renewals.get(tx.db, first_device(contact.id)))
    if not (times and tx.recent(times[-1], STRANGE_EVERY_MS)):
        _count(tx, contact)


def _count(tx: Transaction, contact: Contact) -> None:
    """Tell a person of a session that breaks again and again."""
    state = store_renewals.get(tx.db, first_device(contact.id))
    before = [at for at in _times(state) if tx.recent(at, DAY_MS)]
    lately = [*before[1 - MANY :], tx.now]
    told_at = state.told_at
    if len(lately) == MANY and not tx.recent(told_at or 0, TELL_EVERY_MS):
        told_at = tx.now
        tx.event("node", warning=BREAKS.format(name=contact.name))
    kept = b"".join(at.to_bytes(8, "big") for at in lately)
    store_renewals.put(tx.db, replace(state, lately=kept, told_at=told_at))


BREAKS = (
    "The session with {name} broke several times today. Your profile or theirs may be running in two "
    "places at once: stop one of them."
)


def breaks(now: int, state: RenewalRow) -> bool:
    """Return whether the session with a contact breaks again and again; `now` in ms."""
    return sum(1 for at in _times(state) if now - DAY_MS < at <= now) >= MANY


def _times(state: RenewalRow) -> list[int]:
    return [int.from_bytes(state.lately[at : at + 8], "big") for at in range(0, len(state.lately), 8)]


def _standing(tx: Transaction, contact: Contact) -> bytes:
    """Return the root by which the two always know each other. Raises CannotOpen if their device key is none."""
    if contact.identity is None or contact.device is None:
        raise CannotOpen
    return standing_root(tx.me, contact.identity, contact.device)


def _root(tx: Transaction, contact: Contact, session_id: SessionId) -> bytes | None:
    """Return the pair root by which a link was made, or None."""
    if session_id == STANDING:
        return _standing(tx, contact)
    session = tx.sessions.get(first_device(contact.id), session_id)
    return None if session is None else session.pair_root


def _opened(tx: Transaction, contact: Contact, blob: bytes) -> bytes:
    roots = [session.pair_root for session in tx.sessions.all(first_device(contact.id))]
    for root in [*roots, _standing(tx, contact)]:
        try:
            return open_blob(renew_key(root), blob)
        except CannotOpen:
            continue
    raise CannotOpen
