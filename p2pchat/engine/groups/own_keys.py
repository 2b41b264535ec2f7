"""Replaces our keys of encryption in each group, about once a month: whoever has copied the old ones opens no rekey
made for the new ones.

The old ones are kept for rekeys of those who do not know the new ones yet: for a day after the first rekey that was
sealed to the new ones, and 30 days at most. A rekey that comes later cannot be opened, and we ask for new keys
(`catching_up`).
"""

from __future__ import annotations

from contextlib import suppress

from p2pchat.core.groups import upkeep
from p2pchat.core.groups.epochs import CHAINS_MS
from p2pchat.core.groups.events import UpdateMember
from p2pchat.core.groups.log_relays import LOGS, open_admin_seed
from p2pchat.core.ids import ChatId
from p2pchat.core.primitives import KemKey, x25519_public
from p2pchat.engine.delivery import group_rules
from p2pchat.engine.groups import adopting, changes, history, notices
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import NotNow
from p2pchat.lib.times import DAY_MS
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import leaves as store_leaves
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.groups import GroupRow

DEFEND_EVERY_MS = DAY_MS
"""How often our keys take the place of those of another copy of this profile,"""
TELL_EVERY_MS = 7 * DAY_MS
"""and how often the user is told of it."""
TWO_COPIES = (
    "Another copy of your profile is running and replaces your keys in this group. Stop one of the two: "
    "each misses messages that the other gets."
)


def check(tx: Transaction, chat: ChatId) -> None:
    """Replace our keys in a group if that is due, or if the log has others: another copy of this profile made those."""
    row = store_groups.present(tx.db, chat)
    if row is None or row.epoch is None:
        return
    me = history.log_of(tx, chat).state.members.get(row.member)
    if me is None:
        return
    if me.leaf != x25519_public(row.leaf_seed):
        _defend(tx, row)
    elif not row.update_at:
        _choose(tx, row)
    elif tx.passed >= row.update_at:
        update(tx, row)


def _defend(tx: Transaction, row: GroupRow) -> None:
    """Put our keys in the place of those that another copy of this profile has made: at once if that copy may be gone,
    but no more than daily, since one that lives does the same. If others are there again, it lives, and the user is
    told.
    """
    defended = tx.memory.keys_defended.get(row.chat)
    if defended is not None and not tx.recent(tx.memory.copy_told.get(row.chat, 0), TELL_EVERY_MS):
        tx.memory.copy_told[row.chat] = tx.now
        notices.say(tx, row, row.member, TWO_COPIES)
    if defended is None or not tx.recent(defended, DEFEND_EVERY_MS):
        tx.memory.keys_defended[row.chat] = tx.now
        update(tx, row)


def update(tx: Transaction, row: GroupRow) -> None:
    """Replace our keys in a group and tell its members, if we can now."""
    _, leaf_seed, kem_seed = changes.new_seeds(tx)
    kem = None if row.kem_seed is None else KemKey(kem_seed)
    action = UpdateMember(x25519_public(leaf_seed), None if kem is None else kem.public, row.name)
    with suppress(NotNow):
        changes.make(tx, row, action)
        store_leaves.keep(tx.db, row.chat, row.leaf_seed, row.kem_seed, tx.latest + CHAINS_MS)
        fields = {"leaf_seed": leaf_seed, "kem_seed": None if kem is None else kem_seed}
        store_groups.update(tx.db, row.chat, **fields, admin_seed=_admin_seed(row))
        _choose(tx, row)


def tick(tx: Transaction) -> None:
    """Delete earlier keys whose time is over."""
    if store_leaves.expire(tx.db, tx.passed):
        tx.erased = True


def _choose(tx: Transaction, row: GroupRow) -> None:
    members = store_members.count(tx.db, row.chat)
    store_groups.update(tx.db, row.chat, update_at=upkeep.next_update(tx.latest, members, tx.random))


def _admin_seed(row: GroupRow) -> bytes:
    """Return the key with which admins append to the logs, which is sealed to the leaf that is being replaced."""
    named = LOGS.read(group_rules.settings_of(row))
    opened = b"" if named is None else open_admin_seed(named, row.group_id, adopting.own_leaf(row))
    return opened or row.admin_seed
