"""Invites of ours and first messages: making, offering, admitting, answering.

One-time: a set of prekeys made for it alone; the first valid first message uses it up, and with it go its secret and
its private keys, in the same transaction. Accepted on arrival unless the inviter wanted to be asked.
Reusable: the current set of the rotation; everybody who comes is a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from p2pchat.core import handshake, mailbox
from p2pchat.core.codec import U32, array, binary, binary_upto, decode, encode
from p2pchat.core.content import Content, decode_content, encode_content
from p2pchat.core.contents import ContactProfile, NewBundle
from p2pchat.core.envelope import BUCKETS, envelope_id, open_blob, seal_blob
from p2pchat.core.handshake import Initial
from p2pchat.core.ids import ContactId, EnvelopeId, InviteId, PeerKey, first_device
from p2pchat.core.invite import (
    MAX_WAYS,
    ONE_TIME,
    REUSABLE,
    ROLE_NODE,
    ROLE_RELAY,
    Invite,
    InviteWay,
    blob_key,
    check_box,
    decode_invite,
    encode_invite,
    hello_key,
    invite_mark,
    new_secret,
    sign_box,
)
from p2pchat.core.prekeys import (
    MAX_BUNDLE,
    Bundle,
    PrekeySet,
    dump_set,
    load_set,
    make_set,
    open_bundle,
    person_digest,
)
from p2pchat.core.primitives import KEY_BYTES, SIGNATURE, equal, sign_public
from p2pchat.core.session import Session
from p2pchat.core.text import clean_name
from p2pchat.engine.contacts import contacts, introductions, names
from p2pchat.engine.contacts.introductions import Introduction
from p2pchat.engine.delivery import outbound, queues
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.effects import ContactRequest
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen, NotNow, UsageError
from p2pchat.lib.times import DAY_MS, DAY_SECONDS
from p2pchat.ports import Relay
from p2pchat.store import contacts as store_contacts
from p2pchat.store import devices as store_devices
from p2pchat.store import envelopes as store_envelopes
from p2pchat.store import facts
from p2pchat.store import invites as store_invites
from p2pchat.store import outbox as store_outbox
from p2pchat.store import prekeys as store_prekeys
from p2pchat.store import queues as store_queues
from p2pchat.store.contacts import ACCEPTED, Contact, ContactState
from p2pchat.store.envelopes import SeenRow
from p2pchat.store.facts import Fact
from p2pchat.store.invites import InviteRow, InviteState
from p2pchat.store.prekeys import PrekeyRow
from p2pchat.store.queues import OwnQueueRow, TheirQueueRow

ROTATE = 7 * DAY_MS
KEEP_ROTATED = 30 * DAY_MS
MAX_EXPIRY_S = 365 * int(DAY_SECONDS)
MAX_REQUESTS = 200
"""Requests that may wait for an answer: a reusable invite that got into wrong hands must not fill the disk."""
MAX_ADMITTED_A_DAY = 300
"""First messages that a reusable invite takes on one day, from whomever: what it adds to the store is bounded."""
MAX_ASKED_A_DAY = 5
"""Of these, from one identity. Somebody who lost their data may ask anew; nobody has to do so all day."""
REMEMBER_HANDSHAKE = 400 * DAY_MS
"""Longer than the prekeys of any invite live, so a first message is known for as long as it could be accepted."""
SET_CLOCK = "Set the clock; `p2pchat doctor` says more about it."
USE_RELAY = "Add one that answers with `p2pchat relays add`."
_LEAKED = "Somebody tried an invite of yours again after it was used; it may have leaked."


def make(
    tx: Transaction, *, reusable: bool, ask: bool, expires_s: int, hidden: bool = False, label: str = ""
) -> InviteRow:
    """Make and save an invite; it lives `expires_s` seconds. `hidden`: who uses it does not learn our address. `label`:
    what a person calls it. Raises NotNow and UsageError.
    """
    if not 60 <= expires_s <= MAX_EXPIRY_S:
        raise UsageError("An invite can be valid for one minute to one year")
    if tx.now // 1000 + expires_s > U32:
        raise NotNow(f"This machine's clock says {views.day(tx.now)}, and an invite ends by 2106", hint=SET_CLOCK)
    addresses, relays = tx.net.ways(hidden=hidden), queues.ours(tx)
    if hidden and not addresses and not relays:
        raise NotNow("Without a relay, nobody can reach this node without learning its address", hint=USE_RELAY)
    kind = REUSABLE if reusable else ONE_TIME
    expires_at = tx.now // 1000 + expires_s
    secret = new_secret(kind, tx.random)
    if reusable:
        prekeys, digest = rotation(tx), person_digest(tx.me.identity, tx.me.device)
    else:
        prekeys = make_set(tx.me, expires_at, one_time=True, random=tx.random)
        digest = open_bundle(prekeys.bundle).digest
        _save(tx, store_prekeys.ONE_TIME, prekeys, expires_at * 1000)
    ways = (
        *(InviteWay(peer, address, ROLE_NODE) for peer, address in addresses[: MAX_WAYS - len(relays)]),
        *(InviteWay(relay.peer, relay.addresses[0], ROLE_RELAY, relay.token) for relay in relays),
    )
    writer_seed = tx.random(KEY_BYTES)
    writer = sign_public(writer_seed) if relays else None
    row = InviteRow(
        id=InviteId(tx.random(8)),
        kind=kind,
        secret=secret,
        hello=hello_key(secret),
        bundle=None if reusable else prekeys.bundle,
        expires_at=expires_at * 1000,
        ask=ask or reusable,
        state=InviteState.OPEN,
        created_at=tx.now,
        encoded=encode_invite(Invite(kind, digest, secret, expires_at, ways, None, writer)),
        opk_id=prekeys.number,
        hidden=hidden,
        label=clean_name(label),
    )
    store_invites.add(tx.db, row)
    tx.offers_changed = True
    if relays:
        _put_into_boxes(tx, row, relays, writer_seed)
    return row


def _put_into_boxes(tx: Transaction, row: InviteRow, relays: Sequence[Relay], writer_seed: bytes) -> None:
    """Leave the bundle where whoever has the invite finds it, and collect what they put into its queue. `writer_seed`
    is the private half of the invite's `writer`: only who has it can put anything into the box.
    """
    assert row.secret is not None
    fetch_seed = tx.random(KEY_BYTES)
    put = sign_public(mailbox.invite_put(row.secret))
    box_fetch = sign_public(mailbox.invite_box(row.secret))
    for relay in relays:
        store_queues.collect_from(
            tx.db,
            OwnQueueRow(
                None,
                row.id,
                relay.peer,
                relay.addresses,
                relay.token,
                fetch_seed,
                put,
                None,
                mailbox.STAMPED,
                tx.now,
            ),
        )
        store_queues.deposit_in(
            tx.db,
            TheirQueueRow(
                None,
                row.id,
                relay.peer,
                relay.addresses[0],
                relay.token,
                box_fetch,
                writer_seed,
                mailbox.BOX,
                row.expires_at,
            ),
        )
    _fill_boxes(tx, row, sign_public(fetch_seed))
    tx.mail_of[row.id] = None


def _fill_boxes(tx: Transaction, row: InviteRow, fetch: bytes) -> None:
    assert row.secret is not None
    assert row.encoded is not None
    bundle = row.bundle or rotation(tx).bundle
    signature = sign_box(tx.me.identity_seed, row.encoded, bundle, fetch)
    blob = seal_blob(blob_key(row.secret), encode([bundle, fetch, signature]), tx.random)
    outbound.queue_box(tx, row.id, blob, row.expires_at)


def _leave_boxes(tx: Transaction, invite_id: InviteId) -> None:
    """Send no more of a bundle that is of no use any more."""
    store_outbox.clear(tx.db, invite_id)
    store_queues.leave_box(tx.db, invite_id)
    tx.mail_of[invite_id] = None


def ended(tx: Transaction, row: InviteRow) -> None:
    """Leave alone what an invite that has expired has at relays."""
    _leave_boxes(tx, row.id)
    store_queues.collect_no_more(tx.db, invite=row.id)
    tx.mail_of[row.id] = None
    tx.offers_changed = True


def rotation(tx: Transaction) -> PrekeySet:
    """Return the prekeys that several people may use, renewed weekly; old ones are kept 30 days more."""
    newest = store_prekeys.newest(tx.db, store_prekeys.ROTATION, tx.now)
    if newest is not None and tx.recent(newest.created_at, ROTATE):
        return load_set(newest.secret)
    not_after = (tx.now + ROTATE + KEEP_ROTATED) // 1000
    fresh = make_set(tx.me, not_after, one_time=False, random=tx.random)
    _save(tx, store_prekeys.ROTATION, fresh, not_after * 1000)
    for contact in store_contacts.all(tx.db):
        if contact.state == ContactState.CONTACT:
            outbound.queue(tx, contact, NewBundle(fresh.bundle))
    fetches = {row.invite: row.fetch for _, row in store_queues.own(tx.db) if row.invite is not None}
    for row in store_invites.open_invites(tx.db):
        if row.kind == REUSABLE and row.id in fetches:
            store_outbox.clear(tx.db, row.id)
            _fill_boxes(tx, row, fetches[row.id])
            tx.mail_of[row.id] = None
    return fresh


def rotated_ahead(tx: Transaction) -> bool:
    """Return whether there are prekeys of the rotation that were made by a clock which was ahead."""
    return store_prekeys.ahead(tx.db, store_prekeys.ROTATION, tx.now)


def redate_rotation(tx: Transaction) -> None:
    """Let prekeys that a clock far ahead made live no longer than others made now."""
    store_prekeys.redate(tx.db, store_prekeys.ROTATION, tx.now, tx.now + ROTATE + KEEP_ROTATED)


def _save(tx: Transaction, kind: str, prekeys: PrekeySet, delete_at: int) -> None:
    store_prekeys.put(tx.db, PrekeyRow(kind, prekeys.number, dump_set(prekeys), tx.now, delete_at))


def offer(tx: Transaction, invite_id: InviteId) -> bytes | None:
    """Return the sealed bundle of an open invite, one bucket; None where it is not open."""
    row = store_invites.get(tx.db, invite_id)
    if row is None or row.state != InviteState.OPEN or row.secret is None or row.expires_at <= tx.now:
        return None
    bundle = row.bundle or rotation(tx).bundle
    return seal_blob(blob_key(row.secret), bundle, tx.random)


def tried(tx: Transaction, invite_id: InviteId, peer: PeerKey) -> None:
    """Tell a person that somebody at `peer` holds an invite that is gone. Who used it may come back for an ack that was
    lost.
    """
    row = store_invites.get(tx.db, invite_id)
    if row is None or row.state != InviteState.USED:
        return
    users = [contact for contact in store_contacts.all(tx.db) if contact.invite_id == invite_id]
    if not any(way.peer == peer for contact in users for way in store_devices.ways(tx.db, first_device(contact.id))):
        tx.event("node", warning=_LEAKED)


def admit(tx: Transaction, invite_id: InviteId, blob: bytes) -> bool:
    """Take a first message to one of our invites, one bucket. Returns True if it is (or was) taken and may be acked.
    Raises CannotOpen.
    """
    row = store_invites.get(tx.db, invite_id)
    if row is None:
        return False
    name = _known_as(row, blob)
    if store_envelopes.seen(tx.db, name) is not None:
        return True
    if row.state != InviteState.OPEN or row.secret is None or row.expires_at <= tx.now:
        if row.state == InviteState.USED:
            tx.event("node", warning=_LEAKED)
        return False
    try:
        initial = handshake.parse(open_blob(blob_key(row.secret), blob))
        prekeys = _prekeys(tx, row, initial)
        session_id = handshake.transcript(initial, prekeys)
        if store_prekeys.known(tx.db, session_id) is not None:
            return True
        session, inner = handshake.respond(tx.me, prekeys, initial, tx.entropy)
        content = decode_content(inner)
        profile = content.payload
        if not isinstance(profile, ContactProfile):
            raise CannotOpen
        if profile.mark is not None and not equal(profile.mark, invite_mark(row.hello)):
            raise CannotOpen  # written for another invite: whoever it was given to has passed it on
    except CannotOpen:
        return False
    known = store_contacts.by_identity(tx.db, initial.identity)
    if known is not None and known.state == ContactState.BLOCKED:
        return False
    if known is None and row.kind == REUSABLE and store_contacts.count(tx.db, ContactState.REQUEST) >= MAX_REQUESTS:
        return False  # they keep knocking, and come in when there is room again
    if store_invites.was_declined(tx.db, row.id, initial.identity):
        return True  # quietly: nothing is kept, and they need not come again
    if row.kind == REUSABLE and not _has_room(tx, row, known):
        return False
    if row.kind == ONE_TIME:
        store_invites.update(tx.db, row.id, state=InviteState.USED, secret=None, bundle=None, encoded=None)
        store_prekeys.delete(tx.db, store_prekeys.ONE_TIME, prekeys.number)
        _leave_boxes(tx, row.id)
        tx.offers_changed = True
    store_invites.update(tx.db, row.id, uses=row.uses + 1)
    contact = known if known is not None else _newcomer(tx, row, initial, profile.name)
    # for as long as its prekeys are there: without them it cannot be accepted again
    deleted = tx.now + (ROTATE + KEEP_ROTATED + DAY_MS if row.kind == REUSABLE else REMEMBER_HANDSHAKE)
    store_prekeys.remember(tx.db, session_id, contact.id, deleted)
    # its ack may be lost: it is known for as long as the invite is; by a reusable one, for as long as any envelope
    known_from = tx.now if row.kind == REUSABLE else max(tx.now, row.expires_at)
    store_envelopes.remember(tx.db, [SeenRow(name, contact.id, None, known_from)])
    _welcome(tx, contact, session, Introduction(initial.device, content.message_id, profile), row)
    return True


def _has_room(tx: Transaction, row: InviteRow, known: Contact | None) -> bool:
    """Return whether this invite, and this identity, may add one more first message today; counts it if so."""
    today = tx.now // DAY_MS
    admitted = row.admitted if row.admitted_on == today else 0
    if admitted >= MAX_ADMITTED_A_DAY:
        return False
    if known is not None:
        day, asked = divmod(facts.get_int(tx.db, known.id, Fact.ASKED), 1000)
        asked = asked if day == today else 1
        if asked >= MAX_ASKED_A_DAY:
            return False
        facts.put_int(tx.db, known.id, Fact.ASKED, today * 1000 + asked + 1)
    store_invites.update(tx.db, row.id, admitted_on=today, admitted=admitted + 1)
    return True


def mailed(tx: Transaction, invite_id: InviteId, blob: bytes) -> None:
    """Take in a blob from the queue of an invite of ours: a first message, or anything that a relay puts there. After
    the use nobody can tell these apart; so one is told, and the queue is left.
    """
    row = store_invites.get(tx.db, invite_id)
    if row is None or not store_queues.has_queue(tx.db, invite_id):
        return
    if not admit(tx, invite_id, blob) and row.state == InviteState.USED:
        store_queues.collect_no_more(tx.db, invite=invite_id)
        tx.mail_of[invite_id] = None


def _known_as(row: InviteRow, blob: bytes) -> EnvelopeId:
    """Return by what a taken first message is known, of its invite only: nobody who holds another may ask about
    envelopes of ours.
    """
    return envelope_id(row.hello + blob)


def _prekeys(tx: Transaction, row: InviteRow, initial: Initial) -> PrekeySet:
    kind = store_prekeys.ONE_TIME if row.kind == ONE_TIME else store_prekeys.ROTATION
    found = store_prekeys.get(tx.db, kind, initial.spk_id)
    if found is None or (row.kind == ONE_TIME and found.id != row.opk_id):
        raise CannotOpen
    return load_set(found.secret)


def _newcomer(tx: Transaction, row: InviteRow, initial: Initial, name: str) -> Contact:
    contact_id = ContactId(tx.random(8))
    contact = Contact(
        id=contact_id,
        name=names.free(tx, contact_id, names.their_name(name), asks=row.ask),
        named_by_me=False,
        state=ContactState.REQUEST,
        identity=initial.identity,
        device=initial.device,
        bundle=None,
        verified=False,
        created_at=tx.now,
        invite_id=row.id,
        profile_name=name,
        hidden=row.hidden,
    )
    store_contacts.add(tx.db, contact)
    tx.forget_contact(contact.id)
    if row.hidden:
        tx.pairs_of.add(contact.id)
    return contact


def _welcome(tx: Transaction, contact: Contact, session: Session, introduction: Introduction, row: InviteRow) -> None:
    """Accept on arrival or ask. One who is a contact already and begins anew is always asked about, and nothing that
    they say about themselves holds before the answer: whoever stole our device keys could say it in their name.
    """
    device = first_device(contact.id)
    newcomer = contact.state == ContactState.REQUEST and contact.invite_id == row.id
    if contact.state == ContactState.WAITING and contact.device == introduction.device:
        # both used an invite of the other: both said yes, and both sessions live
        tx.sessions.begin(device, session, tx.now)
        contacts.connected(tx, contact, introduction)
        return
    if (before := tx.sessions.pending(device)) is not None:
        tx.sessions.drop(device, before.session_id)  # who asks again has lost the last one; it rang once
    tx.sessions.begin(device, session, tx.now, pending=True)
    introductions.keep(tx, contact.id, introduction)
    if newcomer and not row.ask:
        contacts.begin(tx, contact, session)
        tx.event("joined", id=contact.id.hex(), name=contact.name, invite=row.id.hex(), label=row.label)
    elif before is None:
        tx.requests.append(ContactRequest(contact, session.session_id, session.sas, tx.now))


def answer(tx: Transaction, contact_id: ContactId, blob: bytes) -> bytes | None:
    """Make and save the first message against the bundle an inviter offered, one bucket each. Returns None if the
    bundle is not the invite's.
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
    """Take in a blob from the box of an invite that we use: the bundle, and where to put the first message, at each
    relay of the invite. Whatever the inviter did not sign for this invite was put there by the relay, and changes
    nothing.
    """
    contact = tx.contact(contact_id)
    if contact is None or contact.invite is None:
        return
    invite = decode_invite(contact.invite)
    ways = [way for way in invite.ways if way.role == ROLE_RELAY]
    if relay not in {way.peer for way in ways}:
        return
    try:
        bundle, fetch, signature = _BOX(decode(open_blob(blob_key(invite.secret), blob), BUCKETS[-1]))[:3]
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


_BOX = array(binary_upto(MAX_BUNDLE), binary(KEY_BYTES), binary(SIGNATURE), open_end=True)


def _who_begins_anew(tx: Transaction, waiting: Contact) -> Contact | None:
    """Return the contact who goes on with an invite that was used for somebody else as it seemed."""
    found = (one for one in store_contacts.all(tx.db) if one.invite_id == waiting.invite_id and one.id != waiting.id)
    contact = next(found, None)
    if contact is None or store_outbox.initial(tx.db, first_device(contact.id)) is None:
        return None
    return contact


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
    """The bundle that was offered for an invite. Raises `CannotOpen` where the invite does not pin it."""
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
    peers = {way.peer for way in invite.ways if way.role == ROLE_NODE}
    return bool(peers) and peers <= introductions.named_hosts(tx, known.id)


def _already(tx: Transaction, contact: Contact, known: Contact, bundle: Bundle, *, proven: bool, foreign: bool) -> None:
    """Keep one contact of an invite that is of somebody we know by another way. What was written to its maker is for
    them only if it is proven that they are its maker; `foreign`: it came from a host that they have not named.
    """
    if known.state == ContactState.REQUEST and proven:  # they asked us, and we used an invite of theirs: both said yes
        known = contacts.accept(tx, known)
    # one who came later than the invite: each used one of the other, and that is all
    before = store_contacts.was_there_before(tx.db, known.id, contact.id)
    if known.state == ContactState.CONTACT and before and contact.invite is not None:
        try:
            session, blob = _initiated(tx, known, decode_invite(contact.invite), bundle)
        except CannotOpen:
            return
        contacts.begin_anew(tx, known, session, blob, contact, bundle.device)
    elif known.state == ContactState.WAITING and not foreign:
        # they have not answered our last one, and may have declined it: begin again by this
        known = contacts.knock_anew(tx, known, contact if proven else replace(contact, named_by_me=False))
    else:
        warning = f"That invite names {known.name}, who is in your list already ({known.state}). It was not used."
        tx.event("node", warning=warning)
    if proven and known.state in ACCEPTED:
        outbound.move(tx, contact, known)
    contacts.not_sent(tx, contact)
    if known.state == ContactState.REQUEST or known.state == ContactState.CONTACT:
        tx.change(known.id, invite_id=contact.invite_id)
