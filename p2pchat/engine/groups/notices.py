"""Lines in the chat of a group about what was done there. They are rows like messages, made here and never sent."""

from __future__ import annotations

from p2pchat.core.contents import GroupNotice
from p2pchat.core.delivery import DeliveryState
from p2pchat.core.groups import audit
from p2pchat.core.groups.audit import EventStanding
from p2pchat.core.groups.events import GroupEvent, MergeEpochs, RotateEpoch, UpdateMember
from p2pchat.core.ids import sender_of
from p2pchat.engine.groups import history, wording
from p2pchat.engine.runtime import naming, views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store import messages as store_messages
from p2pchat.store import partners
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.messages import ME, MessageRow

_UNSAID = (UpdateMember, RotateEpoch, MergeEpochs)
"""What concerns keys alone, and nobody has to read."""


def tell(tx: Transaction, row: GroupRow, event: GroupEvent) -> None:
    """Save a line about an event, which is settled already, and tell the faces."""
    log = history.log_of(tx, row.chat)
    names = store_members.names(tx.db, row.chat, wording.named_in(event))
    if audit.shows_a_fork(log, event.id):
        sentence = wording.suspicion(event, row.member, names)
    elif isinstance(event.action, _UNSAID) or audit.standing(log, event.id) is not EventStanding.COUNTS:
        return  # who was removed could fill the chat with lines about what it pretends to do
    else:
        sentence = f"{wording.sentence(event, row.member, names)}."
    notice = MessageRow(
        id=tx.new_message_id(),
        chat=row.chat,
        sender=ME if event.author_id == row.member else sender_of(event.author_id),
        kind=GroupNotice.KIND.number,
        seq=0,
        text=sentence,
        sent_at=tx.now,
        received_at=tx.now,
        state=DeliveryState.READ if event.author_id == row.member else DeliveryState.RECEIVED,
        read_at=tx.now,
    )
    inserted = store_messages.insert(tx.db, notice)
    if inserted is None:
        return
    tx.message_saved()
    partner = partners.of(tx.db, row.chat)
    if tx.listened and partner is not None:
        notice = notice._replace(pk=inserted.pk)
        tx.event("message", **views.message(notice, naming.of_one(tx.db, partner, notice)))
