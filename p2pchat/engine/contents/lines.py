"""Lines in the chat of a group: rows like messages, made by the node that shows them and never sent."""

from __future__ import annotations

from p2pchat.core.contents import GroupNotice
from p2pchat.core.delivery import DeliveryState
from p2pchat.core.ids import MemberId, MessageId, sender_of
from p2pchat.engine.contents import visible
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import partners
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.messages import ME, MessageRow


def say(
    tx: Transaction, row: GroupRow, author: MemberId, sentence: str, about: MessageId | None = None
) -> MessageRow | None:
    """Save a line about a member and tell the faces; return it, or None if it could not be saved. about: a message that
    the line is about.
    """
    line = MessageRow(
        id=tx.new_message_id(),
        chat=row.chat,
        sender=ME if author == row.member else sender_of(author),
        kind=GroupNotice.KIND.number,
        seq=0,
        text=sentence,
        sent_at=tx.now,
        received_at=tx.now,
        state=DeliveryState.READ if author == row.member else DeliveryState.RECEIVED,
        read_at=tx.now,
        reply_to=about,
    )
    saved, partner = visible.insert_row(tx, line), partners.of(tx.db, row.chat)
    if saved is not None and partner is not None:
        visible.show(tx, partner, saved)
    return saved
