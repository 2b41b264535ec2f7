"""What an event of the log changes here: who is a member, the settings, the epoch to send under.

The log says who is a member and what counts. The rows of members and settings are its newest state, so that lists and
rules need no log.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from enum import Enum, auto

from p2pchat.core.groups import chains, epochs, events
from p2pchat.core.groups.epochs import LINKS_MS, MAX_KEM_MEMBERS, Leaf, LeafKeys
from p2pchat.core.groups.events import EpochMode, GroupEvent, LeaveGroup, UpdateMember
from p2pchat.core.groups.membership import LogAnswer, MemberStanding
from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.settings import HISTORY, NAME, TIMER
from p2pchat.core.groups.state import GroupState, Member
from p2pchat.core.ids import ChatId, EpochId, MemberId
from p2pchat.core.primitives import KemKey
from p2pchat.core.text import clean_name
from p2pchat.engine.delivery import group_rules
from p2pchat.engine.files import transfers
from p2pchat.engine.groups import history, notices, own_invites, recovery, sending, welcoming
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen
from p2pchat.store import chats as store_chats
from p2pchat.store import timers as store_timers
from p2pchat.store.database import Value
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import events as store_events
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import items as store_items
from p2pchat.store.groups import leaves as store_leaves
from p2pchat.store.groups import logs as store_logs
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups import records as store_records
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.members import MemberRow
from p2pchat.store.messages import ME
from p2pchat.store.timers import ChatTimer

log = logging.getLogger(__name__)
CANNOT_FOLLOW = "The present keys of this group did not reach you; somebody who manages it has to add you again."
NAMELESS_GROUP = "group"


class EventOutcome(Enum):
    """What became of an event."""

    CHANGED = auto()
    """It is part of the log now, or has brought keys that we lacked."""
    KNOWN = auto()
    """It was here."""
    WAITING = auto()
    """One of its parents is missing."""
    LATER = auto()
    """Its author has had us refuse so much that it is verified later."""


def take(tx: Transaction, row: GroupRow, event: GroupEvent) -> EventOutcome:
    """Add an event, whose signature nobody has verified yet, to the log of a group, and do what follows. Raises
    CannotOpen for one that says nothing.
    """
    known = history.log_of(tx, row.chat)
    foreseen = known.foresee(event)
    if foreseen is LogAnswer.REFUSED:
        raise CannotOpen
    if foreseen is None and not _may_verify(tx, row, event):
        return EventOutcome.LATER
    before = recovery.ownership(known.state)
    taken = () if foreseen is LogAnswer.KNOWN else _add(tx, row, event)
    if taken is None:
        return EventOutcome.WAITING
    changed = bool(taken)
    for new in taken or _without_keys(tx, row, event):
        if new.mode is not EpochMode.NONE and _follow(tx, row, new):
            follow_on(tx, row, new)
            changed = True
    if changed:
        settle(tx, row.chat)
    for new in taken:
        own_invites.banned(tx, row, new)
        notices.tell(tx, row, new)
    notices.tell_owners(tx, row, before, taken)
    return EventOutcome.CHANGED if changed else EventOutcome.KNOWN


def _may_verify(tx: Transaction, row: GroupRow, event: GroupEvent) -> bool:
    """Return whether an event may be verified and judged now, on the account of whoever it says is its author. Raises
    CannotOpen for one that can be done without; from others somebody may have gone on.
    """
    limits, author, dispensable = tx.memory.group_limits, event.author_id, isinstance(event.action, UpdateMember)
    if limits.may_err(row.chat, author, tx.now) and (not dispensable or limits.may_update(row.chat, author, tx.now)):
        return True
    log.info("a member of a group makes too many events")
    if dispensable:
        raise CannotOpen
    return False


def _add(tx: Transaction, row: GroupRow, event: GroupEvent) -> tuple[GroupEvent, ...] | None:
    """Verify an event and put it into the log; return as `history.take`. Raises CannotOpen."""
    limits = tx.memory.group_limits
    events.verify_event(event)
    try:
        taken = history.take(tx, row.chat, event)
    except CannotOpen:
        limits.erred(row.chat, event.author_id, tx.now)
        raise
    if taken and isinstance(event.action, UpdateMember):
        limits.updated(row.chat, event.author_id, tx.now)
    if taken == () and isinstance(event.action, LeaveGroup):  # who has left could sign without end that they leave
        limits.erred(row.chat, event.author_id, tx.now)
    return taken


def _without_keys(tx: Transaction, row: GroupRow, event: GroupEvent) -> tuple[GroupEvent, ...]:
    """Return an event that was here already, if it makes an epoch that we do not have and now brings its rekey: it may
    have come without first.
    """
    here = event.rekey is None or store_epochs.get(tx.db, row.chat, event.id) is not None
    return () if here else (event,)


def follow_on(tx: Transaction, row: GroupRow, event: GroupEvent) -> None:
    """Compute the secrets of epochs that go on from one that we have now, and whose events were here before it."""
    found = [event.id]
    while found:
        for id in history.log_of(tx, row.chat).advances(found.pop()):
            raw = store_events.get(tx.db, row.chat, id)
            if raw is not None and _follow(tx, row, events.decode_verified(raw)):
                found.append(id)


def _follow(tx: Transaction, row: GroupRow, event: GroupEvent) -> bool:
    """Compute or open the secret of the epoch that an event makes, if we are to have it; return whether it is new."""
    before = None if event.prev_epoch is None else store_epochs.get(tx.db, row.chat, event.prev_epoch)
    members = history.recipients(tx, row.chat, event.id)
    if row.member not in members or before is None or event.confirm is None:
        return False
    hashed = events.core_hash(event.core)
    try:
        if event.mode is EpochMode.ADVANCE and before.join_key is not None:
            secret = epochs.advance(before.join_key, hashed)
        elif event.rekey is not None and before.exporter is not None:
            secret = _open_rekey(tx, row, event, before.exporter, members)
        else:
            return False
        epochs.check_confirmation(secret, event.confirm)
    except CannotOpen:
        log.warning("an epoch of a group could not be opened")
        store_groups.update(tx.db, row.chat, problem=CANNOT_FOLLOW)
        return False
    return adopt(tx, row, event, secret, members)


def _open_rekey(
    tx: Transaction, row: GroupRow, event: GroupEvent, exporter: bytes, members: Mapping[MemberId, Member]
) -> bytes:
    """Open a rekey with our keys, or with those before them: its author may not have known of the present ones. Where
    it was sealed to these, the others are kept for a day only. Raises CannotOpen.
    """
    assert event.rekey is not None
    assert event.confirm is not None
    earlier = [_leaf_keys(row.member, *seeds) for seeds in store_leaves.of(tx.db, row.chat)]
    for mine in (own_leaf(row), *earlier):
        try:
            hashed = events.core_hash(event.core)
            if len(members) > MAX_KEM_MEMBERS:
                secret = epochs.open_large_rekey(event.rekey, row.group_id, hashed, exporter, sorted(members), mine)
            else:
                others = [Leaf(id, member.leaf, member.kem) for id, member in members.items() if id != row.member]
                secret = epochs.open_rekey(event.rekey, row.group_id, hashed, exporter, [*others, mine.leaf], mine)
            epochs.check_confirmation(secret, event.confirm)
        except CannotOpen:
            continue
        if earlier and mine not in earlier:
            store_leaves.shorten(tx.db, row.chat, tx.latest + LINKS_MS)
        return secret
    raise CannotOpen


def adopt(
    tx: Transaction,
    row: GroupRow,
    event: GroupEvent,
    secret: bytes,
    members: Mapping[MemberId, Member] | None = None,
) -> bool:
    """Keep what is derived from the secret of an epoch, and drop the secret; return whether it was not here. members:
    those who have it (`history.recipients`), where that is at hand.
    """
    members = history.recipients(tx, row.chat, event.id) if members is None else members
    secrets, branches = epochs.derive(secret), chains.branch_keys(secret)
    added = store_epochs.add(tx.db, row.chat, event.id, event.prev_epoch, secrets, branches, members, tx.now)
    if added is not None:
        welcoming.welcome_siblings(tx, row, event, secret, members)
    return added is not None


def own_leaf(row: GroupRow) -> LeafKeys:
    """Return the private half of our leaf."""
    return _leaf_keys(row.member, row.leaf_seed, row.kem_seed)


def _leaf_keys(member: MemberId, leaf_seed: bytes, kem_seed: bytes | None) -> LeafKeys:
    return LeafKeys(member, leaf_seed, None if kem_seed is None else KemKey(kem_seed))


def settle(tx: Transaction, chat: ChatId) -> None:
    """Make the rows of a group what the newest state of its log says."""
    row, state = store_groups.get(tx.db, chat), history.log_of(tx, chat).state
    if row is None:
        return
    _settle_members(tx, row, state)
    me = state.members.get(row.member)
    epoch = _sending(tx, row, state)
    fields: dict[str, Value] = {
        "settings": group_rules.pack_settings(state.settings),
        "heads": b"".join(state.heads),
        "epoch": epoch,
        "role": row.role if me is None else int(me.role),
    }
    if epoch is not None and row.problem:
        fields["problem"] = ""
    store_groups.update(tx.db, chat, **fields)
    left = history.log_of(tx, chat).member_standing(row.member) is MemberStanding.LEFT
    _settle_chat(tx, chat, state, present=me is not None, left=left)
    if not HISTORY.read(state.settings):
        store_records.forget(tx.db, chat)
    if me is None or me.role > Role.ADMIN:
        own_invites.end_all(tx, chat)
    tx.groups_changed[chat] = None
    if epoch is not None and epoch != row.epoch:
        store_epochs.send_under(tx.db, chat, epoch, tx.now)
        sending.send_waiting(tx, chat)


def _settle_members(tx: Transaction, row: GroupRow, state: GroupState) -> None:
    known, at = tx.memory.settled.get(row.chat), tx.now
    if known is None:  # the first time since the start; those who did not change are written again
        before: Collection[MemberId] = {member.id for member in store_members.all(tx.db, row.chat)}
        changed = list(state.members.values())
        at = tx.now if before else 0  # those whom we find there are no newcomers
    else:  # a log makes another value only of a member who has changed
        before = known.keys()
        changed = [member for id, member in state.members.items() if known.get(id) is not member]
        muted = tx.memory.muted.get(row.chat, {})
        changed += [state.members[id] for id in muted.keys() | state.muted.keys() if id in state.members]
    tx.memory.settled[row.chat], tx.memory.muted[row.chat] = state.members, state.muted
    gone = [id for id in before if id not in state.members]
    if gone:
        transfers.members_left(tx, row.chat, gone)
        own_invites.withdraw_offers(tx, row.chat, gone)
    back = [member.id for member in changed if member.id not in before] if before else []
    if back:
        transfers.members_back(tx, row.chat, back)
    store_members.leave(tx.db, row.chat, gone)
    store_members.put(
        tx.db,
        row.chat,
        [
            MemberRow(
                id=member.id,
                name=clean_name(member.name),
                role=int(member.role),
                sign=member.sign,
                leaf=member.leaf,
                kem=member.kem,
                muted_until=state.muted.get(member.id, 0),
            )
            for member in changed
        ],
        at,
    )


def _sending(tx: Transaction, row: GroupRow, state: GroupState) -> EpochId | None:
    """Return the epoch to send under, if there is one and we have it."""
    if state.sending is None or row.member not in state.members:
        return None
    return state.sending if store_epochs.get(tx.db, row.chat, state.sending) is not None else None


def _settle_chat(tx: Transaction, chat: ChatId, state: GroupState, *, present: bool, left: bool) -> None:
    """Name the chat, and end it if we are no member any more. present: whether we are. left: whether we left; who was
    removed keeps the keys, what waits to be sent and the files that move for a day, since the removal may turn out to
    be void.
    """
    row = store_chats.get(tx.db, chat)
    if row is None:
        return
    fields: dict[str, Value] = {}
    name = clean_name(NAME.read(state.settings)) or NAMELESS_GROUP
    if name != row.name:
        fields["name"] = name
    if not present and row.ended_at is None:
        fields["ended_at"] = tx.now
        if left:
            forget_keys(tx, chat)
            end(tx, chat)
    elif present and row.ended_at is not None:  # the removal does not count any more
        fields["ended_at"] = None
        tx.memory.gaps[chat] = None
        tx.group_work = True
    if fields:
        store_chats.update(tx.db, chat, **fields)
        tx.people_changed = True
    seconds = TIMER.read(state.settings)
    if seconds != tx.timer(chat):
        store_timers.put(tx.db, chat, ChatTimer(seconds, ME, tx.new_message_id(), tx.now))
        tx.memory.seconds[chat] = seconds
        tx.unread[chat] = None


def end(tx: Transaction, chat: ChatId) -> None:
    """Give up what needs a group of which we shall not be a member again: what waits there, and the files that move."""
    store_leaves.forget(tx.db, chat)
    store_items.forget_all(tx.db, chat)
    store_records.forget(tx.db, chat)
    transfers.group_ended(tx, chat)


def forget_keys(tx: Transaction, chat: ChatId) -> None:
    """Delete the keys of a group that we have left. What is to be put into a log still is, for a day: that we leave,
    where nobody else is told of it.
    """
    for epoch in store_epochs.of(tx.db, chat):
        if store_logs.waits(tx.db, epoch.pk):
            store_epochs.keep_topic(tx.db, epoch.pk)
        else:
            store_epochs.remove(tx.db, epoch.pk)
    tx.group_logs_changed = True
    tx.erased = True
