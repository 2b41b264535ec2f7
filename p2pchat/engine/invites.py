"""Invites of ours and first messages: making, offering, admitting, answering.

One-time: a set of prekeys made for it alone; the first valid first message uses it up, and with it go its secret and
its private keys, in the same transaction. Accepted on arrival unless the inviter wanted to be asked.
Reusable: the current set of the rotation; everybody who comes is a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from p2pchat.core import content as contents
from p2pchat.core import handshake, mailbox
from p2pchat.core.codec import U32, array, binary, binary_upto, decode, encode
from p2pchat.core.content import Content, decode_content, encode_content, read_profile
from p2pchat.core.envelope import BUCKETS, envelope_id, open_blob, seal_blob
from p2pchat.core.handshake import Initial
from p2pchat.core.invite import (
    MOST_WAYS,
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
    MOST_BUNDLE,
    Bundle,
    PrekeySet,
    dump_set,
    load_set,
    make_set,
    open_bundle,
    person_digest,
)
from p2pchat.core.primitives import KEY, SIGNATURE, equal, sign_public
from p2pchat.core.session import DAY, Session
from p2pchat.engine import introductions, names, outbound, people, queues, views
from p2pchat.engine.introductions import Introduction
from p2pchat.engine.ports import Relay
from p2pchat.engine.turn import Request, Turn
from p2pchat.errors import CannotOpen, NotNow, UsageError
from p2pchat.store import contacts as store_contacts
from p2pchat.store import envelopes as store_envelopes
from p2pchat.store import invites as store_invites
from p2pchat.store import meta
from p2pchat.store import outbox as store_outbox
from p2pchat.store import prekeys as store_prekeys
from p2pchat.store import queues as store_queues
from p2pchat.store.contacts import Contact
from p2pchat.store.envelopes import SeenRow
from p2pchat.store.invites import InviteRow
from p2pchat.store.prekeys import PrekeyRow
from p2pchat.store.queues import OwnQueueRow, TheirQueueRow

ROTATE = 7 * DAY
KEEP_ROTATED = 30 * DAY
MOST_EXPIRY_S = 365 * 86_400
MOST_REQUESTS = 200
"""Requests that may wait for an answer: a reusable invite that got into wrong hands must not fill the disk."""
MAX_ADMITTED_A_DAY = 300
"""First messages that a reusable invite takes on one day, from whomever: what it adds to the store is bounded."""
MAX_ASKED_A_DAY = 5
"""Of these, from one identity. Somebody who lost their data may ask anew; nobody has to do so all day."""
REMEMBER_HANDSHAKE = 400 * DAY
"""Longer than the prekeys of any invite live, so a first message is known for as long as it could be accepted."""
SET_CLOCK = "Set the clock; `p2pchat doctor` says more about it."
USE_RELAY = "Add one that answers with `p2pchat relays add`."
_LEAKED = "An invite of yours was tried again after its use; it may have leaked."


def make(turn: Turn, *, reusable: bool, ask: bool, expires_s: int, hidden: bool = False) -> InviteRow:
    """A new invite, saved; it lives `expires_s` seconds. `hidden`: who uses it does not learn our address."""
    if not 60 <= expires_s <= MOST_EXPIRY_S:
        raise UsageError("An invite lives between a minute and a year")
    if turn.now // 1000 + expires_s > U32:
        raise NotNow(f"This machine's clock says {views.day(turn.now)}, and an invite ends by 2106", hint=SET_CLOCK)
    addresses, relays = turn.net.ways(hidden=hidden), queues.ours(turn)
    if hidden and not addresses and not relays:
        raise NotNow("Without a relay nobody finds the way here who must not learn this node's address", hint=USE_RELAY)
    kind = REUSABLE if reusable else ONE_TIME
    expires_at = turn.now // 1000 + expires_s
    secret = new_secret(kind, turn.random)
    if reusable:
        prekeys, digest = rotation(turn), person_digest(turn.me.identity, turn.me.device)
    else:
        prekeys = make_set(turn.me, expires_at, one_time=True, random=turn.random)
        digest = open_bundle(prekeys.bundle).digest
        _save(turn, store_prekeys.ONE_TIME, prekeys, expires_at * 1000)
    ways = (
        *(InviteWay(peer, address, ROLE_NODE) for peer, address in addresses[: MOST_WAYS - len(relays)]),
        *(InviteWay(relay.peer, relay.addresses[0], ROLE_RELAY, relay.token) for relay in relays),
    )
    writer_seed = turn.random(KEY)
    writer = sign_public(writer_seed) if relays else None
    row = InviteRow(
        id=turn.random(8),
        kind=kind,
        secret=secret,
        hello=hello_key(secret),
        bundle=None if reusable else prekeys.bundle,
        expires_at=expires_at * 1000,
        ask=ask or reusable,
        state=store_invites.OPEN,
        created_at=turn.now,
        encoded=encode_invite(Invite(kind, digest, secret, expires_at, ways, None, writer)),
        opk_id=prekeys.number,
        hidden=hidden,
    )
    store_invites.add(turn.db, row)
    turn.offers_changed = True
    if relays:
        _put_into_boxes(turn, row, relays, writer_seed)
    return row


def _put_into_boxes(turn: Turn, row: InviteRow, relays: Sequence[Relay], writer_seed: bytes) -> None:
    """Leave the bundle where whoever has the invite finds it, and collect what they put into its queue. `writer_seed`
    is the private half of the invite's `writer`: only who has it can put anything into the box.
    """
    assert row.secret is not None
    fetch_seed = turn.random(KEY)
    put = sign_public(mailbox.invite_put(row.secret))
    box_fetch = sign_public(mailbox.invite_box(row.secret))
    for relay in relays:
        store_queues.collect_from(
            turn.db,
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
                turn.now,
            ),
        )
        store_queues.deposit_in(
            turn.db,
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
    _fill_boxes(turn, row, sign_public(fetch_seed))
    turn.mail_of[row.id] = None


def _fill_boxes(turn: Turn, row: InviteRow, fetch: bytes) -> None:
    assert row.secret is not None
    assert row.encoded is not None
    bundle = row.bundle or rotation(turn).bundle
    signature = sign_box(turn.me.identity_seed, row.encoded, bundle, fetch)
    blob = seal_blob(blob_key(row.secret), encode([bundle, fetch, signature]), turn.random)
    outbound.queue_box(turn, row.id, blob, row.expires_at)


def _leave_boxes(turn: Turn, invite_id: bytes) -> None:
    """The bundle is of no use any more."""
    store_outbox.clear(turn.db, invite_id)
    store_queues.leave_box(turn.db, invite_id)
    turn.mail_of[invite_id] = None


def ended(turn: Turn, row: InviteRow) -> None:
    """An invite has expired: what it has at relays is left alone."""
    _leave_boxes(turn, row.id)
    store_queues.collect_no_more(turn.db, invite=row.id)
    turn.mail_of[row.id] = None
    turn.offers_changed = True


def rotation(turn: Turn) -> PrekeySet:
    """The prekeys that several people may use, renewed weekly; old ones are kept 30 days more."""
    newest = store_prekeys.newest(turn.db, store_prekeys.ROTATION, turn.now)
    if newest is not None and turn.recent(newest.created_at, ROTATE):
        return load_set(newest.secret)
    not_after = (turn.now + ROTATE + KEEP_ROTATED) // 1000
    fresh = make_set(turn.me, not_after, one_time=False, random=turn.random)
    _save(turn, store_prekeys.ROTATION, fresh, not_after * 1000)
    for contact in store_contacts.all(turn.db):
        if contact.state == "contact":
            outbound.queue(turn, contact, contents.BUNDLE, [fresh.bundle])
    fetches = {row.invite: row.fetch for _, row in store_queues.own(turn.db) if row.invite is not None}
    for row in store_invites.open_invites(turn.db):
        if row.kind == REUSABLE and row.id in fetches:
            store_outbox.clear(turn.db, row.id)
            _fill_boxes(turn, row, fetches[row.id])
            turn.mail_of[row.id] = None
    return fresh


def rotated_ahead(turn: Turn) -> bool:
    """Whether there are prekeys of the rotation that were made by a clock which was ahead."""
    return store_prekeys.ahead(turn.db, store_prekeys.ROTATION, turn.now)


def redate_rotation(turn: Turn) -> None:
    """Prekeys that a clock far ahead made live no longer than others made now."""
    store_prekeys.redate(turn.db, store_prekeys.ROTATION, turn.now, turn.now + ROTATE + KEEP_ROTATED)


def _save(turn: Turn, kind: str, prekeys: PrekeySet, delete_at: int) -> None:
    store_prekeys.put(turn.db, PrekeyRow(kind, prekeys.number, dump_set(prekeys), turn.now, delete_at))


def offer(turn: Turn, invite_id: bytes) -> bytes | None:
    """The sealed bundle of an open invite."""
    row = store_invites.get(turn.db, invite_id)
    if row is None or row.state != store_invites.OPEN or row.secret is None or row.expires_at <= turn.now:
        return None
    bundle = row.bundle or rotation(turn).bundle
    return seal_blob(blob_key(row.secret), bundle, turn.random)


def tried(turn: Turn, invite_id: bytes, peer: bytes) -> None:
    """Somebody at `peer` holds an invite that is gone. Who used it may come back for an ack that was lost."""
    row = store_invites.get(turn.db, invite_id)
    if row is None or row.state != store_invites.USED:
        return
    users = [contact for contact in store_contacts.all(turn.db) if contact.invite_id == invite_id]
    if not any(way.peer == peer for contact in users for way in store_contacts.ways(turn.db, contact.id)):
        turn.event("node", warning=_LEAKED)


def admit(turn: Turn, invite_id: bytes, blob: bytes) -> bool:
    """A first message to one of our invites; True if it is (or was) taken and may be acked."""
    row = store_invites.get(turn.db, invite_id)
    if row is None:
        return False
    name = _known_as(row, blob)
    if store_envelopes.seen(turn.db, name) is not None:
        return True
    if row.state != store_invites.OPEN or row.secret is None or row.expires_at <= turn.now:
        if row.state == store_invites.USED:
            turn.event("node", warning=_LEAKED)
        return False
    try:
        initial = handshake.parse(open_blob(blob_key(row.secret), blob))
        prekeys = _prekeys(turn, row, initial)
        th = handshake.transcript(initial, prekeys)
        if store_prekeys.known(turn.db, th) is not None:
            return True
        session, inner = handshake.respond(turn.me, prekeys, initial, turn.entropy)
        content = decode_content(inner)
        profile = read_profile(content)
        mark = contents.mark_of(content.payload)
        if mark is not None and not equal(mark, invite_mark(row.hello)):
            raise CannotOpen  # written for another invite: whoever it was given to has passed it on
    except CannotOpen:
        return False
    known = store_contacts.by_identity(turn.db, initial.identity)
    if known is not None and known.state == "blocked":
        return False
    if known is None and row.kind == REUSABLE and store_contacts.count(turn.db, "request") >= MOST_REQUESTS:
        return False  # they keep knocking, and come in when there is room again
    if store_invites.was_declined(turn.db, row.id, initial.identity):
        return True  # quietly: nothing is kept, and they need not come again
    if row.kind == REUSABLE and not _has_room(turn, row, known):
        return False
    if row.kind == ONE_TIME:
        store_invites.update(turn.db, row.id, state=store_invites.USED, secret=None, bundle=None, encoded=None)
        store_prekeys.delete(turn.db, store_prekeys.ONE_TIME, prekeys.number)
        _leave_boxes(turn, row.id)
        turn.offers_changed = True
    contact = known if known is not None else _newcomer(turn, row, initial, profile.name)
    # for as long as its prekeys are there: without them it cannot be accepted again
    deleted = turn.now + (ROTATE + KEEP_ROTATED + DAY if row.kind == REUSABLE else REMEMBER_HANDSHAKE)
    store_prekeys.remember(turn.db, th, contact.id, deleted)
    # its ack may be lost: it is known for as long as the invite is; by a reusable one, for as long as any envelope
    known_from = turn.now if row.kind == REUSABLE else max(turn.now, row.expires_at)
    store_envelopes.remember(turn.db, [SeenRow(name, contact.id, None, known_from)])
    _welcome(turn, contact, session, Introduction(initial.device, content.message_id, profile), row)
    return True


def _has_room(turn: Turn, row: InviteRow, known: Contact | None) -> bool:
    """Whether this invite, and this identity, may add one more first message today; counts it if so."""
    today = turn.now // DAY
    admitted = row.admitted if row.admitted_on == today else 0
    if admitted >= MAX_ADMITTED_A_DAY:
        return False
    if known is not None:
        day, asked = divmod(meta.get_int(turn.db, f"asked {known.id.hex()}"), 1000)
        asked = asked if day == today else 1
        if asked >= MAX_ASKED_A_DAY:
            return False
        meta.put_int(turn.db, f"asked {known.id.hex()}", today * 1000 + asked + 1)
    store_invites.update(turn.db, row.id, admitted_on=today, admitted=admitted + 1)
    return True


def mailed(turn: Turn, invite_id: bytes, blob: bytes) -> None:
    """A blob from the queue of an invite of ours: a first message, or anything that a relay puts there. After the use
    nobody can tell these apart; so one is told, and the queue is left.
    """
    row = store_invites.get(turn.db, invite_id)
    if row is None or not store_queues.has_queue(turn.db, invite_id):
        return
    if not admit(turn, invite_id, blob) and row.state == store_invites.USED:
        store_queues.collect_no_more(turn.db, invite=invite_id)
        turn.mail_of[invite_id] = None


def _known_as(row: InviteRow, blob: bytes) -> bytes:
    """A taken first message is known by its invite only: nobody who holds another may ask about envelopes of ours."""
    return envelope_id(row.hello + blob)


def _prekeys(turn: Turn, row: InviteRow, initial: Initial) -> PrekeySet:
    kind = store_prekeys.ONE_TIME if row.kind == ONE_TIME else store_prekeys.ROTATION
    found = store_prekeys.get(turn.db, kind, initial.spk_id)
    if found is None or (row.kind == ONE_TIME and found.id != row.opk_id):
        raise CannotOpen
    return load_set(found.secret)


def _newcomer(turn: Turn, row: InviteRow, initial: Initial, name: str) -> Contact:
    contact_id = turn.random(8)
    contact = Contact(
        id=contact_id,
        name=names.free(turn, contact_id, names.their_name(name), asks=row.ask),
        named_by_me=False,
        state="request",
        identity=initial.identity,
        device=initial.device,
        bundle=None,
        verified=False,
        created_at=turn.now,
        invite_id=row.id,
        profile_name=name,
        hidden=row.hidden,
    )
    store_contacts.add(turn.db, contact)
    turn.forget_contact(contact.id)
    if row.hidden:
        turn.pairs_of.add(contact.id)
    return contact


def _welcome(turn: Turn, contact: Contact, session: Session, introduction: Introduction, row: InviteRow) -> None:
    """Accept on arrival or ask. One who is a contact already and begins anew is always asked about, and nothing that
    they say about themselves holds before the answer: whoever stole our device keys could say it in their name.
    """
    newcomer = contact.state == "request" and contact.invite_id == row.id
    if contact.state == "waiting" and contact.device == introduction.device:
        # both used an invite of the other: both said yes, and both sessions live
        turn.sessions.begin(contact.id, session, turn.now)
        people.connected(turn, contact, introduction)
        return
    if (before := turn.sessions.pending(contact.id)) is not None:
        turn.sessions.drop(contact.id, before.th)  # who asks again has lost the last one; it rang once
    turn.sessions.begin(contact.id, session, turn.now, pending=True)
    introductions.keep(turn, contact.id, introduction)
    if newcomer and not row.ask:
        people.begin(turn, contact, session)
    elif before is None:
        turn.requests.append(Request(contact, session.th, session.sas, turn.now))


def answer(turn: Turn, contact_id: bytes, blob: bytes) -> bytes | None:
    """The first message against the bundle an inviter offered, saved; None if the bundle is not the invite's."""
    contact = turn.contact(contact_id)
    if contact is None or contact.invite is None:
        return None
    invite = decode_invite(contact.invite)
    try:
        return _first_message(turn, contact, invite, open_blob(blob_key(invite.secret), blob), at_node=True)
    except CannotOpen:
        return None


def boxed(turn: Turn, contact_id: bytes, relay: bytes, blob: bytes) -> None:
    """A blob from the box of an invite that we use: the bundle, and where to put the first message, at each relay of
    the invite. Whatever the inviter did not sign for this invite was put there by the relay, and changes nothing.
    """
    contact = turn.contact(contact_id)
    if contact is None or contact.invite is None:
        return
    invite = decode_invite(contact.invite)
    ways = [way for way in invite.ways if way.role == ROLE_RELAY]
    if relay not in {way.peer for way in ways}:
        return
    try:
        bundle, fetch, signature = _BOX(decode(open_blob(blob_key(invite.secret), blob), BUCKETS[-1]))[:3]
        check_box(_pinned_bundle(invite, bundle).identity, contact.invite, bundle, fetch, signature)
        if _first_message(turn, contact, invite, bundle, at_node=False) is None:
            contact = _who_begins_anew(turn, contact)
            if contact is None:
                return
    except CannotOpen:
        return
    until = max(turn.now, contact.invite_until or 0) + outbound.KEEP_TRYING
    put_seed = mailbox.invite_put(invite.secret)
    for way in ways:
        row = TheirQueueRow(contact.id, None, way.peer, way.address, way.token, fetch, put_seed, mailbox.STAMPED, until)
        store_queues.deposit_in(turn.db, row)
    turn.mail_of[contact_id] = None


_BOX = array(binary_upto(MOST_BUNDLE), binary(KEY), binary(SIGNATURE), open_end=True)


def _who_begins_anew(turn: Turn, waiting: Contact) -> Contact | None:
    """The contact who goes on with an invite that was used for somebody else as it seemed."""
    found = (one for one in store_contacts.all(turn.db) if one.invite_id == waiting.invite_id and one.id != waiting.id)
    contact = next(found, None)
    return contact if contact is not None and store_outbox.initial(turn.db, contact.id) is not None else None


def _first_message(turn: Turn, contact: Contact, invite: Invite, offered: bytes, *, at_node: bool) -> bytes | None:
    """The first message for an invite, made against this bundle unless it was made before; the same by every way. None
    if it is of somebody we know. Raises `CannotOpen`, with nothing changed. `at_node`: it was offered by one whose
    transport key the invite names.
    """
    bundle = _pinned_bundle(invite, offered)
    pending = store_outbox.initial(turn.db, contact.id)
    if pending is not None:
        return pending
    known = store_contacts.by_identity(turn.db, bundle.identity)
    if known is not None and known.id != contact.id:
        proven = at_node and _is_theirs(turn, invite, known)
        _already(turn, contact, known, bundle, proven=proven, foreign=at_node and not proven)
        return None
    session, initial = _initiated(turn, contact, invite, bundle)
    turn.change(contact.id, identity=bundle.identity, device=bundle.device, bundle=bundle.encoded)
    turn.sessions.begin(contact.id, session, turn.now)
    turn.pairs_of.add(contact.id)
    outbound.queue_initial(turn, contact.id, initial, session.th)
    return initial


def _initiated(turn: Turn, contact: Contact, invite: Invite, bundle: Bundle) -> tuple[Session, bytes]:
    """A new session by an invite, and its first message, sealed."""
    content = _introduction(turn, contact, invite)
    # whether the invite has expired is the inviter's to say: our clock may be a day ahead
    session, message = handshake.initiate(turn.me, bundle, content, turn.now - DAY, turn.entropy)
    return session, seal_blob(blob_key(invite.secret), message, turn.random)


def _pinned_bundle(invite: Invite, offered: bytes) -> Bundle:
    """The bundle that was offered for an invite. Raises `CannotOpen` where the invite does not pin it."""
    bundle = open_bundle(offered)
    digest = bundle.digest if invite.kind == ONE_TIME else person_digest(bundle.identity, bundle.device)
    if invite.digest != digest:
        raise CannotOpen
    return bundle


def _introduction(turn: Turn, contact: Contact, invite: Invite) -> bytes:
    mark = invite_mark(hello_key(invite.secret))
    payload = contents.introduction_payload(outbound.own_profile(turn, contact), mark)
    return encode_content(Content(contents.PROFILE, turn.new_message_id(), 0, turn.now, payload))


def _is_theirs(turn: Turn, invite: Invite, known: Contact) -> bool:
    """Whether the invite's maker, who has just answered under a transport key of the invite, is this contact: who has
    named that key as their own, in a session that nobody else can write in. A bundle proves nothing: many have it.
    """
    peers = {way.peer for way in invite.ways if way.role == ROLE_NODE}
    return bool(peers) and peers <= introductions.named_hosts(turn, known.id)


def _already(turn: Turn, contact: Contact, known: Contact, bundle: Bundle, *, proven: bool, foreign: bool) -> None:
    """The invite is of somebody we know by another way: keep one contact. What was written to its maker is for them
    only if it is proven that they are its maker; `foreign`: it came from a host that they have not named.
    """
    if known.state == "request" and proven:  # they asked us, and we used an invite of theirs: both said yes
        known = people.accept(turn, known)
    # one who came later than the invite: each used one of the other, and that is all
    before = store_contacts.was_there_before(turn.db, known.id, contact.id)
    if known.state == "contact" and before and contact.invite is not None:
        try:
            session, blob = _initiated(turn, known, decode_invite(contact.invite), bundle)
        except CannotOpen:
            return
        people.begin_anew(turn, known, session, blob, contact, bundle.device)
    elif known.state == "waiting" and not foreign:
        # they have not answered our last one, and may have declined it: begin again by this
        known = people.knock_anew(turn, known, contact if proven else replace(contact, named_by_me=False))
    else:
        warning = f"That invite names {known.name}, who is in your list already ({known.state}). It is not used."
        turn.event("node", warning=warning)
    if proven and known.state in ("contact", "waiting"):
        outbound.move(turn, contact, known)
    people.not_sent(turn, contact)
    if known.state == "request" or known.state == "contact":
        turn.change(known.id, invite_id=contact.invite_id)
