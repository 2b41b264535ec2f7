"""What the messages of a group say that their authors had seen: it is named in ours, and read from those of others.

So a message shows as missing though nothing of its author came after it, and members notice if an author has told them
different things.
"""

from __future__ import annotations

import logging

from p2pchat.core.groups.messages import MAX_SEEN, GroupMessage, SeenMessage
from p2pchat.core.ids import ChatId
from p2pchat.engine.groups import gaps, notices
from p2pchat.engine.groups.item_batch import ItemBatch
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups import transcript as store_transcript
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.transcript import PlacedMessage

NO_EPOCH = -1
MAX_DISPUTES = 8
"""How many lines one member can have us show in an epoch, so that nobody hides those of others, or of other groups,
behind theirs.
"""

log = logging.getLogger(__name__)


def newest(tx: Transaction, epoch: EpochRow) -> tuple[SeenMessage, ...]:
    """Return what a message of ours under an epoch says that we have seen: the newest messages of others, of this epoch
    and the one before, that no message names which is here.
    """
    found = store_transcript.not_named(tx.db, (epoch.pk, _before(tx, epoch.chat, epoch)), MAX_SEEN)
    return tuple(SeenMessage(int(one.epoch != epoch.pk), one.member, one.number, one.head) for one in found)


def wrote(tx: Transaction, epoch: EpochRow, message: GroupMessage, body: bytes) -> None:
    """Keep a message of ours. It is not named in our next one, whose number says as much."""
    store_transcript.add(tx.db, epoch.chat, _placed(epoch, message), body, named=True)
    for seen in message.seen:
        store_transcript.name(tx.db, _epoch_of(tx, epoch, seen), seen.member, seen.number)


def read(batch: ItemBatch, row: GroupRow, epoch: EpochRow, message: GroupMessage, body: bytes) -> None:
    """Keep a message that came, and look for what it says that its author had seen."""
    tx = batch.tx
    known_of = batch.is_missing_some(epoch.pk) and gaps.arrived(tx, row, epoch, message.member, message.number)
    batch.keep(_placed(epoch, message), body, named=known_of)
    for seen in message.seen:
        pk = _epoch_of(tx, epoch, seen)
        if pk == NO_EPOCH or seen.member in (row.member, message.member):
            continue  # an author's own messages have numbers without gaps
        here = batch.name(pk, seen.member, seen.number)
        if here is None:
            gaps.named(tx, row, pk, seen, message.member, batch.chain(pk, seen.member))
            batch.gaps.pop(pk, None)
        elif here != seen.head:
            batch.texts.show_all()
            _differs(tx, row, epoch, message, seen)


def _placed(epoch: EpochRow, message: GroupMessage) -> PlacedMessage:
    return PlacedMessage(epoch.pk, message.member, message.number, message.transcript_head)


def _epoch_of(tx: Transaction, epoch: EpochRow, seen: SeenMessage) -> int:
    return _before(tx, epoch.chat, epoch) if seen.back else epoch.pk


def _before(tx: Transaction, chat: ChatId, epoch: EpochRow) -> int:
    """Return the pk of the epoch before one, or `NO_EPOCH`: it is not here, or was never meant for us."""
    before = None if epoch.before is None else store_epochs.get(tx.db, chat, epoch.before)
    return NO_EPOCH if before is None else before.pk


def _differs(tx: Transaction, row: GroupRow, epoch: EpochRow, message: GroupMessage, seen: SeenMessage) -> None:
    """Say that two members have different messages in one place, once for each two of an epoch: either the author told
    them different things, or whoever names it lies.
    """
    key = (epoch.pk, message.member)
    told = tx.memory.disputes.get(key, frozenset())
    if seen.member in told or len(told) >= MAX_DISPUTES:
        return
    tx.memory.disputes[key] = told | {seen.member}
    log.warning("a member of a group names another message than is here")
    author, other = [store_members.shown_name(tx.db, row.chat, id) for id in (seen.member, message.member)]
    sentence = f"{author} has told you and {other} different things, or {other} says so and it is not true."
    notices.say(tx, row, message.member, sentence)
