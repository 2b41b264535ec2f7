"""Our own invites: making and offering them, and admitting the first messages of those who use them.

One-time: has a set of prekeys of its own. The first valid first message uses it up, which deletes its secret and its
private keys in the same transaction. The sender is accepted at once unless the user wanted to be asked.
Reusable: uses the current set of the rotation; everybody who uses it is a request.
To a group: like a reusable one, but everybody is accepted at once, for the group alone; who becomes a member of it, the
group decides (`engine.groups.links`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from p2pchat.core import frames, handshake, mailbox
from p2pchat.core.codec import U32, encode
from p2pchat.core.content import decode_content
from p2pchat.core.contents import ContactProfile, GroupAsk, NewBundle
from p2pchat.core.delivery import Route
from p2pchat.core.envelope import envelope_id, open_blob, seal_blob
from p2pchat.core.handshake import Initial
from p2pchat.core.ids import ContactId, EnvelopeId, InviteId, PeerKey, first_device
from p2pchat.core.invite import (
    GROUP,
    MAX_WAYS,
    ONE_TIME,
    REUSABLE,
    ROLE_NODE,
    ROLE_RELAY,
    Invite,
    InviteWay,
    blob_key,
    encode_invite,
    hello_key,
    invite_mark,
    new_secret,
    sign_box,
    sign_closed,
)
from p2pchat.core.prekeys import (
    PrekeySet,
    dump_set,
    load_set,
    make_set,
    open_bundle,
    person_digest,
)
from p2pchat.core.primitives import KEY_BYTES, equal, sign_public
from p2pchat.core.session import Session
from p2pchat.core.text import clean_name
from p2pchat.engine.contacts import contacts, introductions, names
from p2pchat.engine.contacts.introductions import Introduction
from p2pchat.engine.delivery import outbound, queues
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.effects import ContactRequest, GroupArrival
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
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.envelopes import SeenRow
from p2pchat.store.facts import Fact
from p2pchat.store.groups import links as store_links
from p2pchat.store.invites import InviteRow, InviteState
from p2pchat.store.prekeys import PrekeyRow
from p2pchat.store.queues import OwnQueueRow, TheirQueueRow

ROTATE = 7 * DAY_MS
KEEP_ROTATED = 30 * DAY_MS
MAX_EXPIRY_S = 365 * int(DAY_SECONDS)
MAX_FOR_GROUPS = 300
"""People who are known for a group alone, at once."""
MAX_REQUESTS = 200
"""Requests that may wait for an answer, so that a reusable invite in the wrong hands cannot fill the disk."""
MAX_ADMITTED_A_DAY = 300
"""First messages that a reusable invite accepts in a day, from anybody: this bounds what it adds to the store."""
MAX_ASKED_A_DAY = 5
"""The number of those from one identity. Somebody who lost their data may ask again, but not all day long."""
REMEMBER_HANDSHAKE = 400 * DAY_MS
"""Longer than the prekeys of any invite live, so a first message is known for as long as it could be accepted."""
SET_CLOCK = "Set the clock; `p2pchat doctor` says more about it."
USE_RELAY = "Add one that answers with `p2pchat relays add`."
_LEAKED = "Somebody tried to use one of your invites again after it was used; it may have leaked."


def make(
    tx: Transaction,
    *,
    reusable: bool,
    ask: bool,
    expires_s: int,
    hidden: bool = False,
    label: str = "",
    group: str | None = None,
) -> InviteRow:
    """Make and save an invite that is valid for `expires_s` seconds. `hidden`: whoever uses it does not learn our
    address. `label`: the user's name for it. `group`: what the group is called to which it leads, if it does; then it
    is reusable. Raises NotNow and UsageError.
    """
    if not 60 <= expires_s <= MAX_EXPIRY_S:
        raise UsageError("An invite can be valid for one minute to one year")
    if tx.now // 1000 + expires_s > U32:
        raise NotNow(f"This machine's clock says {views.day(tx.now)}, and an invite ends by 2106", hint=SET_CLOCK)
    relays = queues.for_invite(tx)
    ways = _ways(tx, relays, hidden=hidden, mapped=not reusable)
    if hidden and not ways:
        raise NotNow("Without a relay, nobody can reach this node without learning its address", hint=USE_RELAY)
    kind = ONE_TIME if not reusable else REUSABLE if group is None else GROUP
    expires_at = tx.now // 1000 + expires_s
    secret, writer_seed = new_secret(kind, tx.random), tx.random(KEY_BYTES)
    prekeys = rotation(tx) if reusable else _one_time(tx, expires_at)
    digest = person_digest(tx.me.identity, tx.me.device) if reusable else open_bundle(prekeys.bundle).digest
    writer = sign_public(writer_seed) if relays else None
    row = InviteRow(
        id=InviteId(tx.random(8)),
        kind=kind,
        secret=secret,
        hello=hello_key(secret),
        bundle=None if reusable else prekeys.bundle,
        expires_at=expires_at * 1000,
        ask=group is None and (ask or reusable),
        state=InviteState.OPEN,
        created_at=tx.now,
        encoded=encode_invite(Invite(kind, digest, secret, expires_at, ways, group, writer)),
        opk_id=prekeys.number,
        hidden=hidden,
        label=clean_name(label),
    )
    store_invites.add(tx.db, row)
    tx.offers_changed = True
    if relays:
        _put_into_boxes(tx, row, relays, writer_seed)
    return row


def _ways(tx: Transaction, relays: Sequence[Relay], *, hidden: bool, mapped: bool) -> tuple[InviteWay, ...]:
    """Return where whoever has the invite finds us: all our relays, and as many addresses as there is room for. An
    invite for many may be read by strangers, who are not told of the port that our router has opened.
    """
    addresses = tx.net.ways(hidden=hidden, mapped=mapped)[: MAX_WAYS - len(relays)]
    return (
        *(InviteWay(peer, address, ROLE_NODE) for peer, address in addresses),
        *(InviteWay(relay.peer, relay.addresses[0], ROLE_RELAY, relay.token) for relay in relays),
    )


def _one_time(tx: Transaction, expires_at: int) -> PrekeySet:
    prekeys = make_set(tx.me, expires_at, one_time=True, random=tx.random)
    _save(tx, store_prekeys.ONE_TIME, prekeys, expires_at * 1000)
    return prekeys


def _put_into_boxes(tx: Transaction, row: InviteRow, relays: Sequence[Relay], writer_seed: bytes) -> None:
    """Leave the bundle where anyone who has the invite finds it, and collect what they put into its queue.
    `writer_seed` is the private half of the invite's `writer`: only its owner can put anything into the box.
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


def close(tx: Transaction, row: InviteRow) -> None:
    """Replace what lies in the boxes of an open invite by a page that says that it was revoked, and collect from its
    queues no more. The page waits in the outbox, so each relay gets it once it is reached, and gets it again for as
    long as the invite would have been valid.
    """
    boxes = store_queues.theirs(tx.db, row.id)
    ended(tx, row)
    if not boxes or row.secret is None or row.encoded is None:
        return
    for box in boxes:
        store_queues.deposit_in(tx.db, box)
    page = [frames.EXPIRED, sign_closed(boxes[0].put_seed, row.encoded, frames.EXPIRED)]
    outbound.queue_box(tx, row.id, seal_blob(blob_key(row.secret), encode(page), tx.random), row.expires_at)


def _leave_boxes(tx: Transaction, invite_id: InviteId) -> None:
    """Stop sending a bundle that is of no more use."""
    store_outbox.clear(tx.db, invite_id)
    store_queues.leave_box(tx.db, invite_id)
    tx.mail_of[invite_id] = None


def ended(tx: Transaction, row: InviteRow) -> None:
    """Stop using what an expired invite has at relays."""
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
        if row.kind != ONE_TIME and row.id in fetches:
            store_outbox.clear(tx.db, row.id)
            _fill_boxes(tx, row, fetches[row.id])
            tx.mail_of[row.id] = None
    return fresh


def rotated_ahead(tx: Transaction) -> bool:
    """Return whether there are prekeys of the rotation that were made by a clock which was ahead."""
    return store_prekeys.ahead(tx.db, store_prekeys.ROTATION, tx.now)


def redate_rotation(tx: Transaction) -> None:
    """Shorten the life of prekeys that were made by a clock far ahead to that of prekeys made now."""
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
    """Tell the user that somebody at `peer` tried an invite that is no longer valid. Whoever used it may come back for
    a lost ack.
    """
    row = store_invites.get(tx.db, invite_id)
    if row is None or row.state != InviteState.USED:
        return
    users = [contact for contact in store_contacts.all(tx.db) if contact.invite_id == invite_id]
    if not any(way.peer == peer for contact in users for way in store_devices.ways(tx.db, first_device(contact.id))):
        tx.event("node", warning=_LEAKED)


@dataclass(frozen=True, slots=True, repr=False)
class _FirstMessage:
    """An opened first message, with the prekeys that opened it and the session that it begins."""

    initial: Initial
    prekeys: PrekeySet
    session: Session
    introduction: Introduction


def admit(tx: Transaction, invite_id: InviteId, blob: bytes) -> bool:
    """Process a first message to one of our invites, one bucket. Return True if it is (or was) accepted and may be
    acked.
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
        first = _read(tx, row, open_blob(blob_key(row.secret), blob))
    except CannotOpen:
        return False
    if first is None:
        return True
    known = store_contacts.by_identity(tx.db, first.initial.identity)
    if not _may_come(tx, row, known):
        return False
    if store_invites.was_declined(tx.db, row.id, first.initial.identity):
        return True  # quietly: nothing is kept, and they need not come again
    if row.kind != ONE_TIME and not _has_room(tx, row, known):
        return False
    if row.kind == ONE_TIME:
        store_invites.update(tx.db, row.id, state=InviteState.USED, secret=None, bundle=None, encoded=None)
        store_prekeys.delete(tx.db, store_prekeys.ONE_TIME, first.prekeys.number)
        _leave_boxes(tx, row.id)
        tx.offers_changed = True
    store_invites.update(tx.db, row.id, uses=row.uses + 1)
    if known is None:
        contact = _newcomer(tx, row, first)
    elif known.for_group and row.kind != GROUP:  # until now they were known for a group alone
        contact = tx.change(known.id, state=ContactState.REQUEST, invite_id=row.id, for_group=False)
    else:
        contact = known
    _remember(tx, row, contact, name, first.session)
    _welcome(tx, contact, first.session, first.introduction, row)
    return True


def _read(tx: Transaction, row: InviteRow, opened: bytes) -> _FirstMessage | None:
    """Read a first message to an invite; None if it was accepted before. Raises CannotOpen, with nothing changed."""
    initial = handshake.parse(opened)
    prekeys = _prekeys(tx, row, initial)
    if store_prekeys.known(tx.db, handshake.transcript(initial, prekeys)) is not None:
        return None
    session, inner = handshake.respond(tx.me, prekeys, initial, tx.entropy)
    content = decode_content(inner)
    profile = content.payload
    if not isinstance(profile, ContactProfile):
        raise CannotOpen
    if profile.mark is not None and not equal(profile.mark, invite_mark(row.hello)):
        raise CannotOpen  # written for another invite: whoever it was given to has passed it on
    return _FirstMessage(initial, prekeys, session, Introduction(initial.device, content.message_id, profile))


def _may_come(tx: Transaction, row: InviteRow, known: Contact | None) -> bool:
    """Return whether an invite is open to a contact who is known, or to somebody new (None)."""
    if known is not None:
        return known.state != ContactState.BLOCKED
    if row.kind == GROUP:
        leads = store_links.get(tx.db, row.id)
        return leads is not None and not leads.is_used_up and store_contacts.count_for_groups(tx.db) < MAX_FOR_GROUPS
    # above that they keep knocking, and come in when there is room again
    return row.kind == ONE_TIME or store_contacts.count(tx.db, ContactState.REQUEST) < MAX_REQUESTS


def _remember(tx: Transaction, row: InviteRow, contact: Contact, name: EnvelopeId, session: Session) -> None:
    """Remember a first message that was accepted, so that it is acked again and not accepted twice."""
    # for as long as its prekeys are there: without them it cannot be accepted again
    deleted = tx.now + (REMEMBER_HANDSHAKE if row.kind == ONE_TIME else ROTATE + KEEP_ROTATED + DAY_MS)
    store_prekeys.remember(tx.db, session.session_id, contact.id, deleted)
    # its ack may be lost: it is known for as long as the invite is; by a reusable one, for as long as any envelope
    known_from = max(tx.now, row.expires_at) if row.kind == ONE_TIME else tx.now
    store_envelopes.remember(tx.db, [SeenRow(name, contact.id, None, known_from)])


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
    """Process a blob from the queue of one of our invites: a first message, or anything that a relay put there. After
    the invite was used nobody can tell these apart; so the user is told once, and the queue is abandoned.
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


def _newcomer(tx: Transaction, row: InviteRow, first: _FirstMessage) -> Contact:
    contact_id, name = ContactId(tx.random(8)), first.introduction.profile.name
    contact = Contact(
        id=contact_id,
        name=names.free(tx, contact_id, names.their_name(name), asks=row.ask),
        named_by_me=False,
        state=ContactState.REQUEST,
        identity=first.initial.identity,
        device=first.initial.device,
        bundle=None,
        verified=False,
        created_at=tx.now,
        invite_id=row.id,
        profile_name=name,
        hidden=row.hidden,
        for_group=row.kind == GROUP,
    )
    store_contacts.add(tx.db, contact)
    tx.forget_contact(contact.id)
    if row.hidden:
        tx.pairs_of.add(contact.id)
    return contact


def _welcome(tx: Transaction, contact: Contact, session: Session, introduction: Introduction, row: InviteRow) -> None:
    """Accept the sender at once, or make a request. The user is always asked about a contact who begins anew, and
    nothing that they say about themselves applies before the answer: whoever stole our device keys could say it in
    their name.
    """
    device = first_device(contact.id)
    newcomer = contact.state == ContactState.REQUEST and contact.invite_id == row.id
    again = contact.for_group and row.kind == GROUP and contact.state == ContactState.CONTACT
    if contact.state == ContactState.WAITING and contact.device == introduction.device:
        # both used an invite of the other: both said yes, and both sessions live
        tx.sessions.begin(device, session, tx.now)
        contacts.connected(tx, contact, introduction)
        return
    if (before := tx.sessions.pending(device)) is not None:
        tx.sessions.drop(device, before.session_id)  # who asks again has lost the last one; it rang once
    tx.sessions.begin(device, session, tx.now, pending=True)
    introductions.keep(tx, contact.id, introduction)
    if again or (newcomer and contact.for_group):
        contacts.begin(tx, contact, session)
        tx.group_arrivals.append(GroupArrival(contact.id, GroupAsk(invite_mark(row.hello)), Route.DIRECT))
    elif newcomer and not row.ask:
        contacts.begin(tx, contact, session)
        tx.event("joined", id=contact.id.hex(), name=contact.name, invite=row.id.hex(), label=row.label)
    elif before is None:
        tx.requests.append(ContactRequest(contact, session.session_id, session.sas, tx.now))
