"""From an envelope to a message on disk, in this order:

1. Open it on a copy of a session. What opens and is no content was sealed so by the contact: it is taken and dropped.
2. An envelope opens once. If this one does not, and its hash is known, it was received before: ack it again, at most
   hourly queue its receipt again, stop. Any other failure changes nothing and is answered by `refused` on a link, by
   nothing if it came from a relay; so is more work with skipped keys than the contact is allowed (`allowance`).
3. In the same transaction: the session's new state, the hash, the content's effect, a receipt in the outbox, or the
   note that it is owed, where it would go by a relay.
4. After the commit: the hop ack, if there is a link, or the relay's leave to delete; then events.

A content that is here already, by (contact, message id), has no effect, but is acked and receipted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import Enum, auto

from p2pchat.core import content as contents
from p2pchat.core import delivery, wire
from p2pchat.core.content import Content, decode_content, read_profile
from p2pchat.core.envelope import envelope_id
from p2pchat.core.prekeys import open_bundle
from p2pchat.core.wire import Frame
from p2pchat.engine import offering, people, renewal, views, withholding
from p2pchat.engine.deposits import KEEP_HOURS
from p2pchat.engine.turn import Skipping, Turn
from p2pchat.errors import CannotOpen
from p2pchat.store import contacts as store_contacts
from p2pchat.store import deposits as store_deposits
from p2pchat.store import envelopes as store_envelopes
from p2pchat.store import messages as store_messages
from p2pchat.store import outbox as store_outbox
from p2pchat.store.contacts import Contact
from p2pchat.store.envelopes import SeenRow
from p2pchat.store.messages import MessageRow

HOUR = 3_600_000
MAILBOX = "mailbox"
"""The route of what lay at a relay."""


class Taken(Enum):
    """What became of something that a contact sent."""

    YES = auto()
    """It is on disk with this turn, or was before."""
    UNREADABLE = auto()
    """No session opens it."""
    LATER = auto()
    """It costs more than this turn may: it has to wait for another."""
    NO_ROOM = auto()
    """The contact has us store too much already: it stays where it is."""


_DONE_AT_ACK = frozenset({contents.RECEIPT, store_outbox.INITIAL, store_outbox.RENEWAL, store_outbox.REQUEST})
RETRY_ACKED = (HOUR, 6 * HOUR, 24 * HOUR)
"""An acked content whose receipt does not come is sent again after these, then daily."""


def frame(turn: Turn, contact_id: bytes, th: bytes, route: str, one: Frame) -> None:
    """Whatever a contact sends on a verified link."""
    contact = turn.contact(contact_id)
    if contact is None or contact.state not in ("contact", "waiting"):
        return  # blocked or removed while the frame was under way
    if one.type == wire.ENVELOPE:
        envelope(turn, contact, th, route, one)
    elif one.type == wire.ACKS:
        acks(turn, contact_id, route, wire.acked_ids(one))
    elif one.type == wire.REFUSED:
        renewal.refused(turn, contact, one.body)
    elif one.type == wire.RENEW:
        renewal.asked(turn, contact, th)
    elif one.type == wire.BUNDLE:
        renewal.answered(turn, contact, th, one.body)
    elif one.type == wire.INITIAL and not renewal.begun(turn, contact, one.body):
        turn.after(turn.net.send, contact.id, [Frame(wire.REFUSED, envelope_id(one.body))])
    elif one.type == wire.REQUEST:
        renewal.requested(turn, contact, one.body)
    elif one.type == wire.FULL:
        turn.storage_limits.told_full(contact.id, turn.now)


def envelope(turn: Turn, contact: Contact, th: bytes, route: str, one: Frame) -> None:
    """One envelope from a contact on a link."""
    name = envelope_id(one.body)
    taken = _take(turn, contact, route, name, one.body)
    if taken is Taken.LATER:
        turn.later(contact.id, frame, contact.id, th, route, one)
    elif taken is Taken.UNREADABLE:
        renewal.strange(turn, contact)
        turn.after(turn.net.send, contact.id, [Frame(wire.REFUSED, name)])


def mailed(turn: Turn, contact_id: bytes, blob: bytes) -> Taken:
    """One blob from the queue of a contact at a relay: an envelope, the first message of a renewed session, or a
    request for one. A relay can put anything there; what is none of these is dropped, and noted: so it is never
    `UNREADABLE`.
    """
    contact = turn.contact(contact_id)
    if contact is None or contact.state not in ("contact", "waiting"):
        return Taken.YES
    taken = _take(turn, contact, MAILBOX, envelope_id(blob), blob)
    if taken in (Taken.LATER, Taken.NO_ROOM):
        return taken
    if taken is Taken.UNREADABLE:
        if not renewal.begun(turn, contact, blob) and not renewal.requested(turn, contact, blob):
            renewal.unread(turn, contact)
    elif not turn.recent(contact.heard_at or 0, HOUR):
        store_contacts.heard(turn.db, contact_id, turn.now)
        turn.forget_contact(contact_id)
    return Taken.YES


def _take(turn: Turn, contact: Contact, route: str, name: bytes, blob: bytes) -> Taken:
    """Take an envelope, if it is one."""
    if not withholding.has_room(turn, contact, len(blob)):  # before it is opened: nothing of it is known then
        withholding.withhold(turn, contact, linked=route != MAILBOX)
        return Taken.NO_ROOM
    skipping = Skipping(turn, contact.id)
    opened = turn.sessions.open(contact.id, blob, turn.entropy, skipping)
    if opened is None:
        if skipping.later:
            return Taken.LATER
        return Taken.YES if _taken_before(turn, contact, route, name) else Taken.UNREADABLE
    turn.sessions.keep(contact.id, opened[1], turn.now)
    turn.hop_acks.setdefault(contact.id, []).append(name)
    try:
        content = decode_content(opened[1].content)
    except CannotOpen:  # sealed by the contact, and senseless: to refuse it would only make it come again
        store_envelopes.remember(turn.db, [SeenRow(name, contact.id, None, turn.now)])
        turn.storage_limits.spend(contact.id, 0, turn.now, unread=False)
        return Taken.YES
    turn.storage_limits.spend(contact.id, len(opened[1].content), turn.now, unread=content.type == contents.TEXT)
    receipted = content.type != contents.RECEIPT
    later = receipted and _tells_later(turn, contact, route)
    owed = content.message_id if receipted else None
    row = SeenRow(name, contact.id, owed, turn.now, turn.now if receipted and not later else None)
    store_envelopes.remember(turn.db, [row])
    if contact.state == "waiting":  # only one who accepted us seals contents for us
        contact = people.accepted(turn, contact, opened[0])
    elif opened[0].initiator and not opened[0].confirmed:
        renewal.arrived(turn, contact, opened[0].th)
        people.came(turn, contact, opened[0].th)
    if later:
        turn.owing[contact.id] = None
    elif receipted:
        turn.receipts.setdefault(contact.id, []).append(content.message_id)
    turn.clock_hints.written(contact.id, content.sent_at, turn.now)
    if (effect := _EFFECTS.get(content.type)) is not None:
        effect(turn, contact, content, route)
    return Taken.YES


def _tells_later(turn: Turn, contact: Contact, route: str) -> bool:
    """Whether a receipt has to wait for others: it would go by a relay."""
    return route == MAILBOX and turn.net.route(contact.id) is None


def _owe_again(turn: Turn, contact: Contact, route: str, name: bytes, msg_id: bytes) -> None:
    if _tells_later(turn, contact, route):
        store_envelopes.owe_receipt(turn.db, name)
        turn.owing[contact.id] = None
    else:
        store_envelopes.receipts_queued(turn.db, [name], turn.now)
        turn.receipts.setdefault(contact.id, []).append(msg_id)


def _taken_before(turn: Turn, contact: Contact, route: str, name: bytes) -> bool:
    """Whether an envelope that opens in no session came before, and its key is gone: then it is acked again."""
    seen = store_envelopes.seen(turn.db, name)
    if seen is None or seen.contact != contact.id:  # who else has it has recorded it, and is told nothing
        return False
    turn.hop_acks.setdefault(contact.id, []).append(name)
    if seen.msg_id is not None and not turn.recent(seen.receipt_at or 0, HOUR):
        _owe_again(turn, contact, route, name, seen.msg_id)
    return True


def acks(turn: Turn, contact_id: bytes, route: str, ids: list[bytes]) -> None:
    """The contact's node has these on disk. Receipts are done with that; contents still wait for theirs."""
    done, stored = [], []
    for row in store_outbox.acked(turn.db, contact_id, ids):
        if row.kind in _DONE_AT_ACK:
            done.append(row.pk)
            contact = turn.contact(contact_id)
            if row.kind == store_outbox.RENEWAL and contact is not None:
                renewal.arrived(turn, contact, row.th or b"")
            continue
        again_at = turn.now + RETRY_ACKED[min(row.attempts, len(RETRY_ACKED) - 1)]
        store_outbox.update(turn.db, row.pk, acked_at=turn.now, attempts=row.attempts + 1, next_try=again_at)
        if row.msg_id is not None:
            stored.append(row.msg_id)
    store_outbox.remove(turn.db, done)
    people.advance(turn, contact_id, stored, delivery.STORED, route)


Reached = Callable[[bytes], Sequence[int]]
"""The queues of a contact whose relays take what they are given, as far as we know now."""


def deposited(turn: Turn, owner: bytes, relay: bytes, some: Sequence[tuple[int, bytes]], reached: Reached) -> None:
    """[(queue, envelope id)] of a contact, or of an invite, are on a relay's disk."""
    health = turn.net.mailboxes.relay_health().get(relay)
    hours = KEEP_HOURS if health is None or health.longest is None else min(KEEP_HOURS, health.longest)
    until = turn.now + hours * HOUR
    store_deposits.note(turn.db, [(envelope_id, queue, until) for queue, envelope_id in some], turn.now)
    settle(turn, owner, reached, [envelope_id for _, envelope_id in some])


def settle(turn: Turn, owner: bytes, reached: Reached, envelope_ids: Sequence[bytes] | None = None) -> None:
    """What lies in every queue that can be reached, and in one at least, is stored; among these envelopes or of all."""
    done, stored = [], []
    for row in store_deposits.stored(turn.db, owner, reached(owner), envelope_ids):
        if row.kind == contents.RECEIPT:
            done.append(row.pk)
        elif row.msg_id is not None:
            stored.append(row.msg_id)
        turn.people_changed |= row.kind == store_outbox.BOX
    store_outbox.remove(turn.db, done)
    people.advance(turn, owner, stored, delivery.STORED, MAILBOX)


def _text(turn: Turn, contact: Contact, content: Content, route: str) -> None:
    row = MessageRow(
        id=content.message_id,
        chat=contact.id,
        sender=contact.id,
        kind=content.type,
        seq=content.seq,
        text=content.payload[0],
        sent_at=content.sent_at,
        received_at=turn.now,
        state=delivery.RECEIVED,
        route=route,
    )
    if store_messages.insert(turn.db, row) and turn.listened:
        turn.unread[contact.id] = None
        late = store_messages.is_late(turn.db, row)
        turn.event("message", **views.message(replace(row, late=late), contact.name))


def _receipt(turn: Turn, contact: Contact, content: Content, route: str) -> None:
    kind, ids = content.payload[:2]
    event = delivery.READ if kind == contents.READ else delivery.DELIVERED
    store_outbox.forget_messages(turn.db, contact.id, ids)
    if kind == contents.DELIVERED and content.sent_at < turn.now - HOUR:  # slow, or from a clock that is behind ours
        for message in store_messages.mine(turn.db, contact.id, ids[:1]):
            turn.clock_hints.answered(contact.id, content.sent_at, message.sent_at, turn.now)
    people.advance(turn, contact.id, ids, event, route)


def _profile(turn: Turn, contact: Contact, content: Content, route: str) -> None:
    people.tell_queues(turn, people.told(turn, contact, content.message_id, read_profile(content)))


def _queues(turn: Turn, contact: Contact, content: Content, route: str) -> None:
    people.collects(turn, contact, content.message_id, contents.queues_of(content.payload))
    people.tell_queues(turn, contact)


def _addresses(turn: Turn, contact: Contact, content: Content, route: str) -> None:
    people.moved(turn, contact, content.message_id, content.payload[0])


def _bundle(turn: Turn, contact: Contact, content: Content, route: str) -> None:
    try:
        bundle = open_bundle(content.payload[0])
    except CannotOpen:
        return
    if bundle.identity == contact.identity and bundle.device == contact.device:
        store_contacts.update(turn.db, contact.id, bundle=bundle.encoded)
        turn.forget_contact(contact.id)


def _relay(turn: Turn, contact: Contact, content: Content, route: str) -> None:
    offering.told(turn, contact, content.message_id, contents.relay_of(content.payload))


Effect = Callable[[Turn, Contact, Content, str], None]
_EFFECTS: dict[int, Effect] = {
    contents.TEXT: _text,
    contents.RECEIPT: _receipt,
    contents.PROFILE: _profile,
    contents.ADDRESSES: _addresses,
    contents.QUEUES: _queues,
    contents.BUNDLE: _bundle,
    contents.RELAY: _relay,
}
"""Contents of other types are acked, receipted and otherwise left alone: a newer version may send them."""
