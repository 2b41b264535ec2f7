"""Files of groups: at which relays they lie, who is asked for them, and who may have them.

A file is left once for all, in boxes of its own (`core.file_boxes`), at relays that its message names: those of the
group's logs, or else those of its sender. What a member names is used like what a contact names only if that member is
a contact: else whoever runs the relay could learn the addresses of all who fetch.
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
from p2pchat.core.ids import ChatId, ContactId, DeviceId, MemberId, PeerKey, member_of
from p2pchat.core.primitives import KEY_BYTES
from p2pchat.core.relays import OwnQueue, Relay, TheirQueue
from p2pchat.engine.delivery import group_rules, mailbox_queues
from p2pchat.store import chats as store_chats
from p2pchat.store import contacts as store_contacts
from p2pchat.store import messages as store_messages
from p2pchat.store import relays as store_relays
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


def relays_for(db: Database, chat: ChatId) -> tuple[BoxRelay, ...]:
    """Return the relays at which a file for a group is left: those of its logs, or ours where it has none."""
    group = store_groups.get(db, chat)
    named = None if group is None else LOGS.read(group_rules.settings_of(group))
    found = [] if named is None else [BoxRelay(*relay) for relay in named.relays]
    if not found:
        found = [
            BoxRelay(relay.peer, relay.reached_at[0], relay.token)
            for relay in store_relays.all(db)
            if relay.kept and len(relay.reached_at[0]) <= MAX_ADDRESS and len(relay.token) <= MAX_TOKEN
        ]
    return tuple(found[:COPIES])


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
    boxes = _boxes(row)
    group = store_groups.get(db, row.chat)
    named = None if group is None else LOGS.read(group_rules.settings_of(group))
    known = {*mailbox_queues.ours(db), *(() if named is None else (relay.peer for relay in named.relays))}
    author = contact_of(db, row)
    trusted = author is not None and not author.hidden
    hidden = _hides(db, row.chat)
    return [
        (
            _used(db, row.chat, relay, hidden=hidden or not (trusted or relay.peer in known)),
            box_to_read(row.key, boxes, relay.peer),
        )
        for relay in boxes.relays
    ]


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
