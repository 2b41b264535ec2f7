"""Applies the content reaction: one emoji of each person under a message."""

from __future__ import annotations

from p2pchat.core.content import Content
from p2pchat.core.contents import Reaction
from p2pchat.core.delivery import Route
from p2pchat.core.emoji import is_emoji
from p2pchat.core.ids import first_device
from p2pchat.engine.contents import about
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import UsageError
from p2pchat.store import outbox as store_outbox
from p2pchat.store import remarks
from p2pchat.store.contacts import Contact
from p2pchat.store.messages import ME, MessageRow


def apply(tx: Transaction, contact: Contact, content: Content, payload: Reaction, route: Route) -> None:
    """Save the reaction if it is this person's newest; notify the user if it is to one of their messages."""
    author = about.author_of(tx, contact, payload.author, payload.member)
    row = about.find(tx, contact, content, payload.message, author, latest_only=True)
    if row is None:
        return
    if remarks.react(tx.db, row.pk, contact.id, content.message_id, payload.emoji, content.sent_at):
        about.changed(tx, contact, row, "reaction", notify=row.sender == ME and bool(payload.emoji))


def give(tx: Transaction, contact: Contact, row: MessageRow, emoji: str) -> None:
    """React to a message, or remove the reaction with "", and tell the contact. Raises NotNow or UsageError."""
    if emoji and not is_emoji(emoji):
        raise UsageError("A reaction is one emoji", hint='For example 👍 or ❤️; "" removes it.')
    about.check(contact, row)
    before, shown = remarks.reaction_of(tx.db, row.pk, ME)
    if emoji == shown:
        return
    if before is not None and store_outbox.forget_messages(tx.db, first_device(contact.id), [before]):
        tx.dropped[contact.id] = None  # the new one says all that this one said
    message_id = tx.new_message_id()
    remarks.react(tx.db, row.pk, ME, message_id, emoji, tx.now)
    said = Reaction(row.id, about.author_for(row), emoji, about.member_for(contact, row))
    about.tell(tx, contact, row, said, message_id)
