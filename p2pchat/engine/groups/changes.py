"""What we change in a group: the event, the epoch that it makes, and what tells others, in one transaction.

Whether we may is asked first: a function here raises before it writes anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from p2pchat.core.groups import epochs, events
from p2pchat.core.groups.epochs import Leaf
from p2pchat.core.groups.events import (
    Action,
    AddMembers,
    ChangeSetting,
    EpochMode,
    Found,
    GroupEvent,
    LeaveGroup,
    MergeEpochs,
    Newcomer,
    RemoveMembers,
)
from p2pchat.core.groups.items import EventItem
from p2pchat.core.groups.membership import MembershipLog
from p2pchat.core.groups.roles import member_id
from p2pchat.core.groups.settings import LOCKED, NAME
from p2pchat.core.ids import ChatId, EpochId, GroupId, MemberId
from p2pchat.core.primitives import KEY_BYTES, KemKey, sign_public, x25519_public
from p2pchat.engine.groups import adopting, carriage, history, notices, own_invites, permission, recovery, sending
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen, NotNow
from p2pchat.store import chats as store_chats
from p2pchat.store.chats import ChatKind, ChatRow
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import events as store_events
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import items as store_items
from p2pchat.store.groups import leaves as store_leaves
from p2pchat.store.groups.epochs import EpochRow
from p2pchat.store.groups.groups import GroupRow

CHAT_ID_BYTES = 8
KEM_SEED_BYTES = 64
NO_KEYS = "The keys of this group are being renewed"
NO_ROOM = "The log of this group takes no more of this"
TOO_MANY = f"This group has more than {epochs.MAX_MEMBERS:,} members"


def create(tx: Transaction, name: str, own_name: str, *, locked: bool = False) -> GroupRow:
    """Found a group with us as its owner. name, own_name: of the group, and ours in it, cleaned. locked: only
    moderators and above write in it.
    """
    sign_seed, leaf_seed, kem_seed = new_seeds(tx)
    public = sign_public(sign_seed)
    settings = (((LOCKED.key, True),) if locked else ()) + ((NAME.key, name),)
    found = Found(settings, x25519_public(leaf_seed), KemKey(kem_seed).public, own_name)
    secret = epochs.first_secret(tx.random)
    core = events.encode_core(None, (), 0, public, found)
    event = events.sign_event(core, epochs.confirmation(secret), None, sign_seed)
    chat = ChatId(tx.random(CHAT_ID_BYTES))
    row = GroupRow(
        chat=chat,
        group_id=GroupId(event.id),
        member=member_id(public),
        sign_seed=sign_seed,
        leaf_seed=leaf_seed,
        kem_seed=kem_seed,
        name=own_name,
        role=0,
        settings=b"\x90",
        heads=b"",
        epoch=None,
        joined_at=tx.now,
    )
    begin(tx, row, name, [event])
    adopting.adopt(tx, row, event, secret)
    adopting.settle(tx, chat)
    notices.tell(tx, row, event)
    return row


def new_seeds(tx: Transaction) -> tuple[bytes, bytes, bytes]:
    """Return private keys for a new group: those of signing, of the leaf, and of its ML-KEM key."""
    return tx.random(KEY_BYTES), tx.random(KEY_BYTES), tx.random(KEM_SEED_BYTES)


def begin(tx: Transaction, row: GroupRow, name: str, log: Sequence[GroupEvent]) -> None:
    """Save a group that we are in from now on, with its chat and these events. In the chat of one in which we were
    before, what was written then stays.
    """
    if store_groups.get(tx.db, row.chat) is None:
        store_chats.add(tx.db, ChatRow(row.chat, ChatKind.GROUP, tx.now, name=name))
        store_groups.add(tx.db, row)
    else:
        store_chats.update(tx.db, row.chat, ended_at=None)
        for epoch in store_epochs.of(tx.db, row.chat):
            store_epochs.remove(tx.db, epoch.pk)
        store_items.withdraw_all(tx.db, row.chat)
        store_groups.replace(tx.db, row)
        store_leaves.forget(tx.db, row.chat)
    tx.memory.logs.pop(row.chat, None)
    tx.memory.settled.pop(row.chat, None)
    tx.memory.muted.pop(row.chat, None)
    tx.memory.grouped = True
    for event in log:
        store_events.add(tx.db, row.chat, event.id, events.without_rekey(event), tx.now)


def add(tx: Transaction, row: GroupRow, newcomers: Sequence[Newcomer]) -> tuple[GroupEvent, bytes]:
    """Add members; return the event and the secret of its epoch, for their welcomes. Raises NotNow."""
    event, secret = make(tx, row, AddMembers(tuple(newcomers)))
    assert secret is not None
    return event, secret


def remove(tx: Transaction, row: GroupRow, members: Sequence[MemberId], *, ban: bool, reason: str) -> None:
    """Remove members, and give the others keys that those do not get. Raises NotNow."""
    make(tx, row, RemoveMembers(tuple(sorted(members)), ban, reason))


def change_setting(tx: Transaction, row: GroupRow, key: str, value: object) -> None:
    """Give a setting a value, of the shape of `core.groups.settings`. Raises NotNow."""
    make(tx, row, ChangeSetting(key, value))


def leave(tx: Transaction, row: GroupRow) -> None:
    """Leave a group; its chat stays, and can only be read."""
    make(tx, row, LeaveGroup())


def renew_keys(tx: Transaction, row: GroupRow, action: Action) -> None:
    """Begin an epoch by what is due (see `core.groups.upkeep`), if we can."""
    with suppress(NotNow):
        make(tx, row, action)


def make(tx: Transaction, row: GroupRow, action: Action) -> tuple[GroupEvent, bytes | None]:
    """Make an event, apply it here, and have it carried. Return it, and the secret of its epoch if it makes one. Raises
    NotNow if we may not, or cannot now.
    """
    log = history.log_of(tx, row.chat)
    permission.check(tx.db, row.chat, log.state, row.member, action)
    draft = log.draft(sign_public(row.sign_seed), action)
    before = None if draft.prev_epoch is None else _before(tx, row, draft.prev_epoch)
    secret, rekey, hashed = None, None, events.core_hash(draft.core)
    mode = events.mode_of(action)
    if before is not None and mode is EpochMode.ADVANCE:
        secret = epochs.advance(_key(before.join_key), hashed)
    elif before is not None:
        if len(draft.recipients) > epochs.MAX_MEMBERS:  # several admins added some at one time
            raise NotNow(TOO_MANY, hint="There are new keys once some of them are removed.")
        leaves = [Leaf(member.id, member.leaf, member.kem) for member in draft.recipients]
        made = epochs.make_rekey(row.group_id, hashed, _key(before.exporter), leaves, tx.entropy)
        secret, rekey = made.secret, made.rekey
    event = events.sign_event(draft.core, None if secret is None else epochs.confirmation(secret), rekey, row.sign_seed)
    owned = recovery.ownership(log.state)
    under = _all_heads(tx, row, log, before)
    try:
        history.take(tx, row.chat, event)
    except CannotOpen:  # it is full, and nothing was changed; what is due in other groups is not to fail with it
        raise NotNow(NO_ROOM, hint="`p2pchat group successor` founds another group in its place.") from None
    item = None
    for epoch in under:  # before what follows: who is removed is told too
        for missed in _beside(tx, row, log, epoch, event):
            carriage.send(tx, row, epoch, EventItem(missed))
        item = carriage.send(tx, row, epoch, EventItem(event.raw))
    if secret is not None:
        adopting.adopt(tx, row, event, secret)
    adopting.settle(tx, row.chat)
    if item is not None and store_groups.present(tx.db, row.chat) is not None:
        sending.keep_event(tx, row, event, store_epochs.get(tx.db, row.chat, event.id) or under[-1], item)
    own_invites.banned(tx, row, event)
    notices.tell(tx, row, event)
    notices.tell_owners(tx, row, owned, (event,))
    return event, secret


def _beside(tx: Transaction, row: GroupRow, log: MembershipLog, epoch: EpochRow, event: GroupEvent) -> list[bytes]:
    """Return the events that somebody may lack who has only this epoch, where a change goes on from several: they were
    sealed under others.
    """
    if len(log.state.epoch_heads) < 2 and not isinstance(event.action, MergeEpochs):
        return []
    found = [store_events.get(tx.db, row.chat, id) for id in log.beside(epoch.id) if id != event.id]
    return [raw for raw in found if raw is not None]


def _before(tx: Transaction, row: GroupRow, id: EpochId) -> EpochRow:
    """Return the epoch from which an event goes on. Raises NotNow if we do not have it."""
    epoch = store_epochs.get(tx.db, row.chat, id)
    if epoch is None or epoch.join_key is None or epoch.exporter is None:
        raise NotNow(NO_KEYS, hint="Somebody who manages the group has to add you again.")
    return epoch


def _key(kept: bytes | None) -> bytes:
    assert kept is not None
    return kept


def _all_heads(tx: Transaction, row: GroupRow, log: MembershipLog, first: EpochRow | None) -> list[EpochRow]:
    """Return the epochs under which an event is sealed: where there are several heads, not everybody has each."""
    ids = [head.id for head in log.state.epoch_heads]
    if first is not None:
        ids = [first.id, *(id for id in ids if id != first.id)]
    found = [store_epochs.get(tx.db, row.chat, id) for id in ids]
    return [epoch for epoch in found if epoch is not None]
