"""A group that takes the place of another: founded with its settings, offered to those of its members whom we know."""

from __future__ import annotations

from typing import Any, NamedTuple

from p2pchat.core.groups import settings
from p2pchat.core.groups.events import NameSuccessor
from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.settings import GroupSetting
from p2pchat.engine.groups import changes, history, joining, permission, reach
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.store.groups.groups import GroupRow

KEPT: tuple[GroupSetting[Any], ...] = (
    settings.TOPIC,
    settings.DESCRIPTION,
    settings.SLOW_MODE,
    settings.LOCKED,
    settings.INVITES,
    settings.NEWCOMERS,
    settings.HISTORY,
    settings.TIMER,
)
"""The settings that go on. Members have other ids there, so it is not said who can replace the owner."""


class Succession(NamedTuple):
    """What became of it. offered: how many contacts are about to be members. missing: how many members are left, who
    are no contacts of ours.
    """

    row: GroupRow
    offered: int
    missing: int


def found(tx: Transaction, row: GroupRow, name: str) -> Succession:
    """Found a group in the place of another, with us as its owner, and say so there. Raises NotNow."""
    state = history.log_of(tx, row.chat).state
    permission.check(tx.db, row.chat, state, row.member, NameSuccessor(row.group_id))
    new = changes.create(tx, name, joining.own_name(tx))
    for setting in KEPT:
        value = setting.read(state.settings)
        if value != setting.default:
            changes.change_setting(tx, new, setting.key, value)
    changes.make(tx, row, NameSuccessor(new.group_id))
    offered = 0
    for id, contact in reach.within(tx, row.chat).items():
        joining.offer(tx, new, contact, max(state.members[id].role, Role.ADMIN))
        offered += 1
    return Succession(new, offered, len(state.members) - 1 - offered)
