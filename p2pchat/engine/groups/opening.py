"""Opens items that came together, before any of them is applied: what is in them, and the messages with their
signatures.

A signature is most of what a message costs, and all of a batch are verified at once, on several cores. Nothing is
changed here. What was found out holds as long as the author's chain and key are those that it was found out with;
whoever applies a message sees to that, and otherwise opens it by itself (`receive`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from p2pchat.core.groups import items, messages
from p2pchat.core.groups.chains import Chain
from p2pchat.core.groups.items import Item, MessageItem
from p2pchat.core.groups.messages import GroupMessage, ReadMessage
from p2pchat.core.ids import ItemId, MemberId
from p2pchat.engine.groups.item_batch import ItemBatch, has_room
from p2pchat.errors import CannotOpen
from p2pchat.lib import parallel
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.groups import GroupRow


class OpenedMessage(NamedTuple):
    """A message that is signed with the key `sign`, and what comes of the chain `before` if it is taken."""

    sign: bytes
    before: Chain
    read: ReadMessage


class OpenedItem(NamedTuple):
    """What is in an item. message: the message in it, if that was opened and verified too."""

    item: Item
    message: OpenedMessage | None = None


def open_all(batch: ItemBatch, row: GroupRow, came: Sequence[tuple[ItemId, bytes]]) -> dict[ItemId, OpenedItem]:
    """Open what was not seen and can be opened. What its messages need is read for all of them at once."""
    opened, sent = dict[ItemId, OpenedItem](), list[tuple[ItemId, EpochRow, MessageItem]]()
    authors = dict[int, tuple[EpochRow, dict[MemberId, None]]]()
    for id, sealed in came:
        epoch = None if id in opened or batch.was_seen(id) else batch.epoch(sealed[: items.TAG_BYTES])
        if epoch is None:
            continue
        try:
            item = items.open_item(sealed, epoch.id, batch.secrets(epoch))
        except CannotOpen:
            continue
        opened[id] = OpenedItem(item)
        if isinstance(item, MessageItem):
            sent.append((id, epoch, item))
            authors.setdefault(epoch.pk, (epoch, {}))[1][item.member] = None
    for epoch, members in authors.values():
        batch.expect(epoch, members)
    for id, message in _open_messages(batch, row, sent).items():
        opened[id] = OpenedItem(opened[id].item, message)
    return opened


def _open_messages(
    batch: ItemBatch, row: GroupRow, sent: Sequence[tuple[ItemId, EpochRow, MessageItem]]
) -> dict[ItemId, OpenedMessage]:
    """Open those messages that are the next of their authors, and verify them. No key is skipped for them: that is
    bounded, where they are applied.
    """
    found = dict[ItemId, OpenedMessage]()
    after = dict[tuple[int, MemberId], Chain]()
    for id, epoch, item in sent:
        place = epoch.pk, item.member
        member, chain = batch.member(item.member), after.get(place) or batch.chain(*place)
        if member is None or chain is None or item.number != chain.next or not has_room(batch.tx, item):
            continue
        try:
            read = messages.read_unverified(row.group_id, epoch.id, item.member, chain, item.number, item.body)
        except CannotOpen:
            continue
        after[place] = read.found.chain
        found[id] = OpenedMessage(member.sign, chain, read)
    signed = parallel.each(_is_signed, [(opened.read.message, opened.sign) for opened in found.values()])
    return {id: opened for (id, opened), good in zip(found.items(), signed, strict=True) if good}


def _is_signed(pair: tuple[GroupMessage, bytes]) -> bool:
    try:
        messages.verify_message(*pair)
    except CannotOpen:
        return False
    return True
