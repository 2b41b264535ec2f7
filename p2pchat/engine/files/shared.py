"""Files of groups: at which relays they lie, who is asked for them, and who may have them.

A file is left once for all, in boxes of its own (`core.file_boxes`), at relays that its message names: those of the
group's logs, or else those of its sender. Only places that we know otherwise are dialled, as the group, the author's
queues or the user name them. Any other is reached as for somebody hidden: else a member could have all who fetch
connect to a place of their choice, and learn their addresses.
"""

from __future__ import annotations

from dataclasses import replace

from p2pchat.core import codec
from p2pchat.core.file_boxes import (
    MAX_ADDRESS,
    MAX_BOXES,
    MAX_TOKEN,
    BoxRelay,
    SharedBoxes,
    box_to_put,
    box_to_read,
    fetch_keys,
)
from p2pchat.core.groups.log_relays import LOGS
from p2pchat.core.ids import ChatId, ContactId, DeviceId, MemberId, PeerKey, first_device, member_of
from p2pchat.core.primitives import KEY_BYTES
from p2pchat.core.relays import OwnQueue, Relay, TheirQueue
from p2pchat.engine.delivery import group_rules, mailbox_queues, queues
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import chats as store_chats
from p2pchat.store import contacts as store_contacts
from p2pchat.store import messages as store_messages
from p2pchat.store import queues as store_queues
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Database
from p2pchat.store.files import FileRow
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import members as store_members

COPIES = 2
"""Relays at which a file is left: one of them may be lost."""
FIRST_NUMBER = 1
MAX_SOURCES = 16
"""Members who may be asked for one file."""

OwnFileBox = tuple[Relay, OwnQueue]
TheirFileBox = tuple[int, Relay, TheirQueue]
"""The box of a file at a relay, with its number among those of the file."""

_BOX = codec.array(
    codec.binary(KEY_BYTES),
    codec.binary_upto(MAX_ADDRESS, 1),
    codec.binary_upto(MAX_TOKEN),
    codec.binary(KEY_BYTES),
)
_TAKEN = codec.array(codec.binary(KEY_BYTES), codec.boolean, codec.binary(8), codec.listing(_BOX, MAX_BOXES))
MAX_TAKEN_BYTES = 128 + MAX_BOXES * (2 * KEY_BYTES + MAX_ADDRESS + MAX_TOKEN + 16)


def is_present(db: Database, chat: ChatId) -> bool:
    """Return whether we are a member of a group."""
    row = store_chats.get(db, chat)
    return row is not None and row.ended_at is None


def relays_for(tx: Transaction, chat: ChatId) -> tuple[BoxRelay, ...]:
    """Return the relays at which a file for a group is left: those of its logs, or ours where it has none."""
    found = _of_logs(tx.db, chat) or [
        BoxRelay(relay.peer, relay.addresses[0], relay.token)
        for relay in queues.ours(tx)
        if len(relay.addresses[0]) <= MAX_ADDRESS and len(relay.token) <= MAX_TOKEN
    ]
    return tuple(found[:COPIES])


def _of_logs(db: Database, chat: ChatId) -> list[BoxRelay]:
    group = store_groups.get(db, chat)
    named = None if group is None else LOGS.read(group_rules.settings_of(group))
    return [] if named is None else [BoxRelay(*relay) for relay in named.relays]


def author_of(db: Database, row: FileRow) -> MemberId | None:
    """Return the member who sent a file to a group; None for one of ours."""
    message = None if row.mine else store_messages.by_pk(db, row.message)
    return None if message is None else member_of(message.sender)


def contact_of(db: Database, row: FileRow) -> Contact | None:
    """Return the contact who sent a file to a group, if its author is one."""
    author = author_of(db, row)
    return None if author is None else _contact(db, store_members.contact_of(db, row.chat, author))


def sources(db: Database, row: FileRow) -> tuple[ContactId, ...]:
    """Return the contacts who may be asked for another member's file: its author first, if that is one, then members
    who may have it.
    """
    author = contact_of(db, row)
    others = [id for _, id in store_members.contacts_in(db, row.chat) if _contact(db, id) is not None]
    first = [] if author is None or author.id not in others else [author.id]
    return tuple(dict.fromkeys([*first, *others]))[:MAX_SOURCES]


def to_read(db: Database, row: FileRow) -> list[OwnFileBox]:
    """Return the boxes of another member's file."""
    boxes, author, hides, ours = _boxes(row), contact_of(db, row), _hides(db, row.chat), mailbox_queues.ours(db)
    told = [] if author is None else store_queues.theirs(db, first_device(author.id))
    known = {their.relay: BoxRelay(their.relay, their.address, their.token) for their in told}
    known |= {relay.peer: relay for relay in _of_logs(db, row.chat)}
    found = []
    for relay in boxes.relays:
        hidden = hides or not (relay.peer in known or relay.peer in ours)
        used = _used(db, row.chat, known.get(relay.peer, relay), hidden=hidden)
        found.append((used, box_to_read(row.key, boxes, relay.peer)))
    return found


def to_put(db: Database, row: FileRow) -> list[TheirFileBox]:
    """Return the boxes of one of our files."""
    relays, hidden = _boxes(row).relays, _hides(db, row.chat)
    keys = fetch_keys(row.key, relays)
    return [
        (number, _used(db, row.chat, relay, hidden=hidden), box_to_put(fetch, row.put_seed or bytes(KEY_BYTES)))
        for number, (relay, fetch) in enumerate(zip(relays, keys, strict=True), FIRST_NUMBER)
    ]


def numbers() -> range:
    """Return the numbers that the boxes of a file may have."""
    return range(FIRST_NUMBER, FIRST_NUMBER + MAX_BOXES)


def encode_boxes(db: Database, row: FileRow) -> bytes:
    """Return where one of our files lies, and what deletes it there, without the file's key."""
    relays = _boxes(row).relays
    lies = [[*relay, fetch] for relay, fetch in zip(relays, fetch_keys(row.key, relays), strict=True)]
    return codec.encode([row.put_seed or bytes(KEY_BYTES), _hides(db, row.chat), row.chat, lies])


def decode_boxes(db: Database, encoded: bytes) -> list[TheirFileBox]:
    """Return the boxes that `encode_boxes` was told of, as they are reached now."""
    put_seed, hidden, chat, lies = _TAKEN(codec.decode(encoded, MAX_TAKEN_BYTES))
    relays = [(BoxRelay(PeerKey(peer), address, token), fetch) for peer, address, token, fetch in lies]
    return [
        (number, _used(db, ChatId(chat), relay, hidden=hidden), box_to_put(fetch, put_seed))
        for number, (relay, fetch) in enumerate(relays, FIRST_NUMBER)
    ]


def _boxes(row: FileRow) -> SharedBoxes:
    assert row.boxes is not None
    return SharedBoxes.decode(row.boxes)


def _contact(db: Database, id: ContactId | None) -> Contact | None:
    """Return an accepted contact, of whom we know more than that they are in a group."""
    contact = None if id is None else store_contacts.get(db, id)
    is_one = contact is not None and contact.state == ContactState.CONTACT and not contact.for_group
    return contact if is_one else None


def _hides(db: Database, chat: ChatId) -> bool:
    """Return whether we hide from a member, so that no relay of the group may see an address of ours."""
    return not store_contacts.hidden(db).isdisjoint(id for _, id in store_members.contacts_in(db, chat))


def _used(db: Database, chat: ChatId, at: BoxRelay, *, hidden: bool) -> Relay:
    """Return how a relay is used for a file of a group."""
    relay = mailbox_queues.ours(db).get(at.peer) or Relay(at.peer, (at.address,), at.token, chosen=False)
    if not hidden:
        return relay
    return replace(relay, hidden=True, contact=None if relay.chosen else DeviceId(chat))
