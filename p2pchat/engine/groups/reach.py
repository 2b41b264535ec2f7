"""Which members of a group are contacts of ours, or known for a group alone, and so can be reached in a session."""

from __future__ import annotations

from p2pchat.core.ids import ChatId, ContactId, MemberId
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.groups import members as store_members


def within(tx: Transaction, chat: ChatId) -> dict[MemberId, Contact]:
    """Return the members of a group whom we can reach, in the order of their ids. Nobody who is blocked is among them,
    nor anybody whom we have not accepted.
    """
    known = ((member, tx.contact(contact)) for member, contact in store_members.contacts_in(tx.db, chat))
    return {member: them for member, them in known if them is not None and them.state == ContactState.CONTACT}


def is_blocked(tx: Transaction, contact_id: ContactId | None) -> bool:
    """Return whether whoever a member is, if we know that, is blocked: that holds by whatever way something comes."""
    contact = None if contact_id is None else tx.contact(contact_id)
    return contact is not None and contact.state == ContactState.BLOCKED
