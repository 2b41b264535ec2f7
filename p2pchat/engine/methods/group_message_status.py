"""Explains in words where a message to a group is, and what happens next. `message_status` asks."""

from __future__ import annotations

from collections.abc import Sequence

from p2pchat.core.delivery import DeliveryState
from p2pchat.core.ids import contact_of
from p2pchat.ports import Net
from p2pchat.store import contacts as store_contacts
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Database
from p2pchat.store.groups import items as store_items
from p2pchat.store.groups import members as store_members
from p2pchat.store.messages import MessageRow
from p2pchat.store.outbox import OutboxRow

MAX_NAMED = 3
"""Members who are named."""
MAX_UNSENT = 1_000
"""Messages that wait for keys, among which this one is looked for."""


def explain(
    db: Database, row: MessageRow, group: Contact, net: Net, waiting: Sequence[OutboxRow], relays: int
) -> tuple[str, str]:
    """Return why one of our messages is where it is, and what happens next.

    group: the stand-in for it. waiting: the rows of the outbox that carry the message to members who are contacts.
    relays: how many relays hold one of them.
    """
    if group.state == ContactState.LEFT:
        return f"You are not a member of {group.name} any more.", "Nothing of yours is sent there."
    if row.deleted_at is not None:
        return "You deleted it for everybody.", "The members' programs are asked to delete it, as they are reached."
    if any(unsent.message == row.id for unsent in store_items.unsent(db, row.chat, MAX_UNSENT)):
        return (
            "The keys of the group are being renewed, after changes that were made at the same time.",
            "It is sent as soon as an admin's node has renewed them.",
        )
    lacking = sorted({_name(db, outgoing) for outgoing in waiting})
    if row.state == DeliveryState.STORED:
        reason = "Another member's node has it, or a relay keeps it for one."
        if relays and lacking:
            reason = f"It waits at {_relays(relays)} for {_listed(lacking)}."
        elif lacking:
            reason = f"At least one member's node has it. {_listed(lacking)} may not."
        return reason, "Whoever has it passes it on to those of their contacts in the group who may lack it."
    if not store_members.contacts_in(db, row.chat):
        return (
            "Nobody in this group is a contact of yours, so there is nobody to give it to.",
            "It is sent when a member becomes your contact.",
        )
    if not lacking:
        return "It is on its way.", "An answer is due at any moment."
    if any(net.route(contact_of(outgoing.recipient)) is not None for outgoing in waiting):
        return "It is on its way to those of your contacts who are linked.", "They pass it on to the others."
    return f"There is no link with {_listed(lacking)}.", (
        "It goes to whoever of them is reached first, directly or through their relays, and they pass it on."
    )


def _name(db: Database, outgoing: OutboxRow) -> str:
    contact = store_contacts.get(db, contact_of(outgoing.recipient))
    return "somebody" if contact is None else contact.name


def _listed(names: Sequence[str]) -> str:
    if len(names) > MAX_NAMED:
        return f"{', '.join(names[:MAX_NAMED])} and {len(names) - MAX_NAMED} others"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]


def _relays(count: int) -> str:
    return "a relay" if count == 1 else f"{count} relays"
