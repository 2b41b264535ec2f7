"""What has to be done in a group by somebody who manages it, without being asked: giving the members new keys.

That is due where two epochs stand beside each other, after changes that were made at one time, where somebody has the
keys who is not a member any more, and after a week, or a day with 5,000 messages. The most senior of those who may
does it at once, the others in turn if it is not done: by their order all of them agree who is first, and two who did it
at one time only cause it to be due again.
"""

from __future__ import annotations

from p2pchat.core.groups import upkeep
from p2pchat.core.groups.events import Action
from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.state import GroupState
from p2pchat.core.ids import ChatId, MemberId
from p2pchat.engine.contacts import copies
from p2pchat.engine.groups import changes, history
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.lib.times import DAY_MS, MINUTE_MS
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups.groups import GroupRow

TURN_MS = MINUTE_MS
"""After how long the next in order does it."""
COPY_MS = DAY_MS
"""How long after a start from a copy nothing is done without being asked: meanwhile we hear what we have forgotten."""


def check(tx: Transaction, chat: ChatId) -> None:
    """Renew the keys of a group if that is due, and it is our turn."""
    row = store_groups.present(tx.db, chat)
    if row is None or row.role > Role.ADMIN:
        tx.memory.keys_due.pop(chat, None)
        return
    state = history.log_of(tx, chat).state
    action = _due(tx, row, state)
    if action is None:
        tx.memory.keys_due.pop(chat, None)
        return
    if is_our_turn(tx, tx.memory.keys_due, chat, state, row.member):
        changes.renew_keys(tx, row, action)


def is_our_turn(tx: Transaction, due: dict[ChatId, int], chat: ChatId, state: GroupState, me: MemberId) -> bool:
    """Note in `due` since when (ms) something is to be done in a group, and return whether it is our turn by now."""
    since = due[chat] = min(due.get(chat, tx.now), tx.now)  # the clock may have been set back
    return tx.now >= since + TURN_MS * turn(state, me) and not may_fork(tx, state, me)


def may_fork(tx: Transaction, state: GroupState, me: MemberId) -> bool:
    """Return whether we may have signed events that we do not know of, since we were started from a copy: whoever signs
    two with one number is suspended, unless they own the group. What is due waits, or somebody else does it.
    """
    return state.members[me].role is not Role.OWNER and tx.recent(copies.started_at(tx), COPY_MS)


def check_all(tx: Transaction) -> None:
    """Renew the keys of every group where that is due and it is our turn by now."""
    for chat in list(tx.memory.keys_due):
        check(tx, chat)


def _due(tx: Transaction, row: GroupRow, state: GroupState) -> Action | None:
    epoch = None if row.epoch is None else store_epochs.get(tx.db, row.chat, row.epoch)
    began_at, messages = (tx.now, 0) if epoch is None else (epoch.adopted_at, store_epochs.messages(tx.db, epoch.pk))
    spared = history.log_of(tx, row.chat).out_of_reach(row.member)
    return upkeep.renewal(state, began_at=began_at, messages=messages, now=tx.now, spared=spared)


def turn(state: GroupState, me: MemberId) -> int:
    """Return our place among those who may renew the keys, the most senior first."""
    managers = [member for member in state.members.values() if member.role <= Role.ADMIN]
    return [member.id for member in sorted(managers, key=lambda member: (member.role, member.id))].index(me)
