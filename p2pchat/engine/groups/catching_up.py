"""Comes back into a group that we cannot read any more, and lets others come back.

That happens to whoever was restored from a copy, missed a rekey for too long, or was added beside a change by somebody
who is offline now. The secret of an epoch is kept by nobody, so somebody who manages the group makes a new one, and
sends it with the whole log as to a new member.
"""

from __future__ import annotations

from p2pchat.core.contents import GroupLost
from p2pchat.core.groups.chains import COPY_JUMP, Chain, advance_chain
from p2pchat.core.groups.events import RotateEpoch
from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import ChatId
from p2pchat.engine.delivery import outbound
from p2pchat.engine.groups import changes, reach, welcoming
from p2pchat.engine.runtime.transaction import EPOCH_KEY, Transaction
from p2pchat.errors import NotNow
from p2pchat.lib.times import DAY_MS, HOUR_MS, MINUTE_MS
from p2pchat.store import meta
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import items as store_items
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.groups import GroupRow

PATIENCE_MS = 10 * MINUTE_MS
"""How long an item waits for its epoch or its parents before we ask: mostly they are under way."""
ASK_EVERY_MS = DAY_MS
ANSWER_EVERY_MS = HOUR_MS
"""How often new keys are made for those who ask."""
_COPY = "groups copy"


def check(tx: Transaction, chat: ChatId) -> None:
    """Ask those who manage a group for new keys, if what came there has waited in vain."""
    since = store_items.waiting_since(tx.db, chat)
    if since is None or tx.recent(since, PATIENCE_MS) or tx.recent(tx.memory.lost_asked.get(chat, 0), ASK_EVERY_MS):
        return
    row = store_groups.present(tx.db, chat)
    if row is None:
        return
    _ask(tx, row)


def _ask(tx: Transaction, row: GroupRow) -> None:
    chat = row.chat
    tx.memory.lost_asked[chat] = tx.now
    for member, contact in reach.within(tx, chat).items():
        manager = store_members.get(tx.db, chat, member)
        if manager is not None and manager.role <= Role.ADMIN:
            outbound.queue(tx, contact, GroupLost(row.group_id))
            outbound.nudge(tx, contact)


def caught_up(tx: Transaction, chat: ChatId) -> None:
    """Give up what still waits, if we had asked: it was sealed under keys that we shall never have."""
    if chat in tx.memory.lost_asked:
        store_items.forget_waiting_in(tx.db, chat)


def lost(tx: Transaction, contact: Contact, payload: GroupLost) -> None:
    """Make new keys for a member who asks for them, if we manage the group: now, or together with those for whoever
    else asks meanwhile. One event that waits in vain for others has all members ask at one time.
    """
    row = store_groups.of_group(tx.db, payload.group)
    if row is not None:
        for member in store_members.of_contact_in(tx.db, row.chat, contact.id):
            if tx.memory.group_limits.may_lose(row.chat, member, tx.now):
                tx.memory.lost_members[row.chat, member] = tx.now
        _answer(tx, row.chat)


def answer_all(tx: Transaction) -> None:
    """Answer the members who have asked for new keys, where it is time."""
    for chat in {chat: None for chat, _ in tx.memory.lost_members}:
        _answer(tx, chat)


def _answer(tx: Transaction, chat: ChatId) -> None:
    """Make new keys and send them, with the log, to all members of a group who have asked, if that was not done within
    the hour.
    """
    if tx.recent(tx.memory.lost_answered.get(chat, 0), ANSWER_EVERY_MS):
        return
    row, asking = store_groups.present(tx.db, chat), [id for place, id in tx.memory.lost_members if place == chat]
    for member in asking:
        del tx.memory.lost_members[chat, member]
    contacts = reach.within(tx, chat)
    if row is None or row.role > Role.ADMIN or contacts.keys().isdisjoint(asking) or not welcoming.can_send(tx, row):
        return
    tx.memory.lost_answered[chat] = tx.now
    try:
        event, secret = changes.make(tx, row, RotateEpoch())
    except NotNow:
        return
    assert secret is not None
    for member in asking:
        if member in contacts:
            welcoming.send(tx, row, contacts[member], member, event.id, secret)


def skip_copied(tx: Transaction) -> None:
    """After a start from a copy, leave out numbers of our chains that the other copy may have used. Where others go by
    the numbers of our events, ask for the log: those that the other copy has signed are in it.
    """
    copy = meta.get_int(tx.db, EPOCH_KEY)
    if copy == meta.get_int(tx.db, _COPY):
        return
    meta.put_int(tx.db, _COPY, copy)
    for chat in sorted(store_groups.chats(tx.db)):
        row, present = store_groups.get(tx.db, chat), store_groups.present(tx.db, chat)
        if present is not None and Role.OWNER < present.role <= Role.MODERATOR:
            _ask(tx, present)
        for epoch in store_epochs.of(tx.db, chat):
            chain = None if row is None else store_epochs.chain(tx.db, epoch.pk, row.member)
            if row is not None and chain is not None:
                store_epochs.put_chain(tx.db, epoch.pk, row.member, _further(chain))


def _further(chain: Chain) -> Chain:
    for _ in range(COPY_JUMP):
        _, chain = advance_chain(chain)
    return chain
