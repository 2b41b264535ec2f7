"""Applies the content group meet: a member of a group may be one of our contacts, who are told then that we are one of
theirs. Nobody else learns of it.
"""

from __future__ import annotations

from p2pchat.core.content import Content
from p2pchat.core.contents import GroupMeet, GroupMember
from p2pchat.core.contents.group_meet import SIZES, mark_for, with_random
from p2pchat.core.delivery import Route
from p2pchat.core.groups.welcome import prove_member
from p2pchat.core.ids import member_of
from p2pchat.core.session import standing_root
from p2pchat.engine.delivery import outbound
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import contacts as store_contacts
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.groups import GroupRow

MAX_CONTACTS = SIZES[-1]
"""Contacts that are looked for among the members of a group: those who were heard last."""


def apply(tx: Transaction, contact: Contact, content: Content, payload: GroupMeet, route: Route) -> None:
    """Look for a contact of ours among those who could have made one of the marks."""
    row = None if contact.group is None else store_groups.get(tx.db, contact.group)
    if row is None:
        return
    author, marks = member_of(contact.id), set(payload.marks)
    if not tx.memory.group_limits.may_meet(row.chat, author, tx.now):
        return
    for known, pair in _pairs(tx):
        if mark_for(pair, row.group_id, author) in marks:
            store_members.is_contact(tx.db, row.chat, author, known.id)
            tx.groups_changed[row.chat] = None
            proof = prove_member(row.group_id, row.sign_seed, pair)
            outbound.queue(tx, known, GroupMember(row.group_id, row.member, proof))
            return


def announce(tx: Transaction, row: GroupRow, group: Contact) -> None:
    """Leave marks for our contacts in a group that we have just joined. group: its stand-in."""
    marks = {mark_for(pair, row.group_id, row.member) for _, pair in _pairs(tx)}
    outbound.queue(tx, group, GroupMeet(with_random(marks, tx.random)))


def _pairs(tx: Transaction) -> list[tuple[Contact, bytes]]:
    """Return contacts, those who were heard last first, each with the root that only the two of us can compute."""
    pairs = []
    for id in store_contacts.latest_first(tx.db)[:MAX_CONTACTS]:
        contact = tx.contact(id)
        if contact is None or contact.state != ContactState.CONTACT:
            continue
        if contact.identity is not None and contact.device is not None:
            pairs.append((contact, standing_root(tx.me, contact.identity, contact.device)))
    return pairs
