"""Items of one group that are taken together: what opening them needs is read for all of them at once, and what each of
them changes of chains, of what was seen and of the transcript is written for all of them at the end.

That is a third of the time of whoever comes back to thousands of messages. Whoever changes the group in another way
calls `write` before and `forget` after it. All of it is in one transaction: what is not written yet was not acked.
"""

from __future__ import annotations

from collections.abc import Collection
from types import TracebackType
from typing import Self

from p2pchat.core.delivery import Route
from p2pchat.core.groups.chains import Chain
from p2pchat.core.groups.epochs import EpochSecrets
from p2pchat.core.groups.items import MessageItem
from p2pchat.core.groups.parts import Part
from p2pchat.core.ids import ChatId, ItemId, MemberId, sender_of
from p2pchat.engine.groups import carriage
from p2pchat.engine.groups.gathered_texts import GatheredTexts
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import P2PChatError, ProfileError
from p2pchat.store import partners
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import gaps as store_gaps
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import items as store_items
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups import transcript as store_transcript
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.members import MemberRow
from p2pchat.store.groups.transcript import KeptMessage, PlacedMessage

FLOOD_WEIGHT = 4
"""How many times a byte of a member counts: what they write is passed on too, on the account of whoever does that."""


def stored_bytes(item: MessageItem) -> int:
    """Return how many bytes a message counts as, of what its author may have us store."""
    return FLOOD_WEIGHT * len(item.body)


def has_room(tx: Transaction, item: MessageItem) -> bool:
    """Return whether the author of a message may have us store one more."""
    return tx.storage_limits.has_room(tx.db, sender_of(item.member), stored_bytes(item), tx.now, unread=0)


class PartsTogether:
    """Parts of what is longer than an item, which are written only if the others do not come with them."""

    def __init__(self, tx: Transaction, chat: ChatId) -> None:
        self._tx = tx
        self._chat = chat
        self._parts: dict[bytes, dict[int, Part]] = {}

    def keep(self, part: Part) -> bytes | None:
        """Keep a part; return the whole, and keep its parts no more, if that was the last one."""
        whole = part.whole
        here = self._parts.get(whole)
        if here is None:
            if store_items.has_parts(self._tx.db, self._chat, whole):
                return store_items.keep_part(self._tx.db, self._chat, part, self._tx.now)
            here = self._parts[whole] = {}
        here[part.which] = part
        if len(here) < len(part.hashes):
            return None
        del self._parts[whole]
        return b"".join(here[which].data for which in range(len(here)))

    def write(self) -> None:
        """Write the parts of what is not whole."""
        parts, self._parts = self._parts, {}
        for here in parts.values():
            for part in here.values():
                store_items.keep_part(self._tx.db, self._chat, part, self._tx.now)


class ItemBatch:
    """What is known of a group while items of it are taken, in one transaction. It is a context: at its end everything
    is written, unless the transaction fails. route: by which they came. items: those that will come, if they are
    several.
    """

    def __init__(self, tx: Transaction, row: GroupRow, route: Route, items: Collection[ItemId] = ()) -> None:
        self.tx = tx
        self._chat = row.chat
        self._row: GroupRow | None = row
        self._row_is_new = True
        self._new_items = set(items) - store_items.seen(tx.db, row.chat, items) if items else set()
        self._seen_now: dict[ItemId, None] = {}
        self._epochs: dict[bytes, EpochRow | None] = {}
        self._secrets: dict[int, EpochSecrets] = {}
        self._members: dict[MemberId, MemberRow | None] = {}
        self._authors: dict[MemberId, Contact] = {}
        self._heads: dict[MemberId, bytes] = {}
        self._chains: dict[int, dict[MemberId, Chain | None]] = {}
        self._moved: dict[int, dict[MemberId, Chain]] = {}
        self._kept: dict[tuple[int, MemberId, int], KeptMessage] = {}
        self.parts = PartsTogether(tx, row.chat)
        self.texts = GatheredTexts(tx, row.chat, route)
        """What messages say, that were opened."""
        self.gaps: dict[int, bool] = {}
        """By the pk of an epoch, whether messages of it are known of and have not arrived."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or (isinstance(error, P2PChatError) and not isinstance(error, ProfileError)):
            self.write()  # of a function that raises one of our errors, the transaction goes on

    def write(self) -> None:
        """Write what was changed."""
        db = self.tx.db
        self.texts.show_all()
        seen, self._seen_now = self._seen_now, {}
        store_items.see_all(db, self._chat, seen, self.tx.now)
        self.tx.group_items_seen += seen
        moved, self._moved = self._moved, {}
        for epoch, chains in moved.items():
            store_epochs.put_chains(db, epoch, chains)
        kept, self._kept = self._kept, {}
        store_transcript.add_all(db, self._chat, kept.values())
        heads, self._heads = self._heads, {}
        store_members.know_all(db, self._chat, heads)
        self.parts.write()

    def forget(self) -> None:
        """Forget what was read: the group may be another now."""
        self._row_is_new = False
        self._epochs.clear()
        self._secrets.clear()
        self._chains.clear()
        self.gaps.clear()
        self._members.clear()
        self._authors.clear()
        self.tx.member_names.clear()

    def expect(self, epoch: EpochRow, authors: Collection[MemberId]) -> None:
        """Read what messages of these authors under an epoch will need."""
        self._members.update(store_members.several(self.tx.db, self._chat, authors))
        self._chains.setdefault(epoch.pk, {}).update(store_epochs.chains(self.tx.db, epoch.pk, authors))
        known, senders = self.tx.member_names, {sender_of(member): member for member in authors}
        for sender, name in store_members.names(self.tx.db, self._chat, senders).items():
            known[self._chat, senders[sender]] = name

    # --- the group

    @property
    def row(self) -> GroupRow | None:
        """The group as it is now; None if it is gone."""
        if not self._row_is_new:
            self._row, self._row_is_new = store_groups.get(self.tx.db, self._chat), True
        return self._row

    def epoch(self, tag: bytes) -> EpochRow | None:
        """Return the epoch whose items begin so, or None."""
        if tag not in self._epochs:
            found = store_epochs.with_tag(self.tx.db, self._chat, tag)
            self._epochs[tag] = found[0] if found else None
        return self._epochs[tag]

    def secrets(self, epoch: EpochRow) -> EpochSecrets:
        """Return what is kept of an epoch."""
        if epoch.pk not in self._secrets:
            self._secrets[epoch.pk] = carriage.secrets_of(epoch)
        return self._secrets[epoch.pk]

    def member(self, id: MemberId) -> MemberRow | None:
        """Return a member, or None for one who is not, or not any more."""
        if id not in self._members:
            self._members[id] = store_members.get(self.tx.db, self._chat, id)
        return self._members[id]

    def author(self, id: MemberId) -> Contact:
        """Return the stand-in for a member, with the name by which they are shown."""
        if id not in self._authors:
            names = self.tx.member_names
            if (self._chat, id) not in names:
                names[self._chat, id] = store_members.shown_name(self.tx.db, self._chat, id)
            self._authors[id] = partners.member(self._chat, id, names[self._chat, id])
        return self._authors[id]

    def knows(self, member: MemberRow, head: bytes) -> None:
        """Note which event a member knows."""
        if self._heads.get(member.id, member.head) != head:
            self._heads[member.id] = head

    # --- items

    def was_seen(self, item: ItemId) -> bool:
        """Return whether an item was seen."""
        if item in self._seen_now:
            return True
        return item not in self._new_items and store_items.was_seen(self.tx.db, self._chat, item)

    def see(self, item: ItemId) -> None:
        """Note that an item was seen."""
        self._new_items.discard(item)
        self._seen_now[item] = None

    # --- messages

    def chain(self, epoch: int, member: MemberId) -> Chain | None:
        """Return a member's chain in the epoch with this pk, as it is now, or None."""
        chains = self._chains.setdefault(epoch, {})
        if member not in chains:
            chains[member] = store_epochs.chain(self.tx.db, epoch, member)
        return chains[member]

    def put_chain(self, epoch: int, member: MemberId, chain: Chain) -> None:
        """Note where a member's chain is now."""
        self._chains.setdefault(epoch, {})[member] = chain
        self._moved.setdefault(epoch, {})[member] = chain

    def keep(self, message: PlacedMessage, body: bytes, *, named: bool) -> None:
        """Keep a message in the transcript. named: no later message of ours need name it."""
        self._kept.setdefault(message[:3], KeptMessage(message, body, named))

    def name(self, epoch: int, member: MemberId, number: int) -> bytes | None:
        """Note that a message names this one, as `store.groups.transcript.name`."""
        place = epoch, member, number
        kept = self._kept.get(place)
        if kept is None:
            return store_transcript.name(self.tx.db, *place)
        self._kept[place] = kept._replace(named=True)
        return kept.message.head

    def is_missing_some(self, epoch: int) -> bool:
        """Return whether messages of the epoch with this pk are known of and have not arrived."""
        if epoch not in self.gaps:
            self.gaps[epoch] = store_gaps.has_some(self.tx.db, epoch)
        return self.gaps[epoch]
