"""Ends our invites and offers to a group, when we may add nobody any more or somebody is not to come back by them."""

from __future__ import annotations

from collections.abc import Collection

from p2pchat.core.groups.events import GroupEvent, RemoveMembers
from p2pchat.core.ids import ChatId, ContactId, MemberId
from p2pchat.engine.contacts import revoking
from p2pchat.engine.groups import history
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import invites as store_invites
from p2pchat.store.groups import joins as store_joins
from p2pchat.store.groups import links as store_links
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.links import MAX_REQUESTS
from p2pchat.store.invites import InviteRow, InviteState


def end_all(tx: Transaction, chat: ChatId) -> None:
    """End our invites to a group: we may add nobody any more."""
    for invite in _open(tx, chat):
        revoking.end(tx, invite)


def withdraw_offers(tx: Transaction, chat: ChatId, gone: Collection[MemberId]) -> None:
    """Withdraw our offers to contacts who were members, by whoever added them, and are not any more: an answer to one
    from before would make them members again.
    """
    offered = store_joins.offers(tx.db, chat)
    them = {store_members.contact_of(tx.db, chat, member) for member in gone} if offered else set()
    for contact in offered:
        if contact in them:
            store_joins.offer_ended(tx.db, chat, contact)
            store_links.answered(tx.db, chat, contact)


def banned(tx: Transaction, row: GroupRow, event: GroupEvent) -> None:
    """Shut out the contacts whom an event bans, if it does and counts."""
    if isinstance(event.action, RemoveMembers) and event.action.ban and history.log_of(tx, row.chat).counts(event.id):
        for member in event.action.members:
            known = store_members.contact_of(tx.db, row.chat, member)
            if known is not None:
                _shut_out(tx, row.chat, known)


def _shut_out(tx: Transaction, chat: ChatId, contact_id: ContactId) -> None:
    """Keep a contact from coming back by an invite of ours: end the one that they used, and decline them by the
    others.
    """
    contact = tx.contact(contact_id)
    for invite in _open(tx, chat) if contact is not None else ():
        if contact is None or invite.id == contact.invite_id:
            revoking.end(tx, invite)
        elif contact.identity is not None:
            store_invites.decline(tx.db, invite.id, contact.identity, MAX_REQUESTS)


def _open(tx: Transaction, chat: ChatId) -> list[InviteRow]:
    """Return our open invites to a group."""
    found = [store_invites.get(tx.db, id) for id in store_links.of(tx.db, chat)]
    return [invite for invite in found if invite is not None and invite.state == InviteState.OPEN]
