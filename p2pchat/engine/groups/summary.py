"""What faces are told of a group as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.settings import (
    DESCRIPTION,
    HISTORY,
    INVITES,
    LOCKED,
    NAME,
    NEWCOMERS,
    RECOVERY,
    SLOW_MODE,
    TOPIC,
)
from p2pchat.core.groups.state import GroupState
from p2pchat.core.ids import ChatId, sender_of
from p2pchat.core.text import clean_name
from p2pchat.engine.delivery import group_rules
from p2pchat.engine.groups import history, recovery
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import Json
from p2pchat.lib.times import DAY_MS, HOUR_MS, MINUTE_MS
from p2pchat.store import chats as store_chats
from p2pchat.store.database import Database
from p2pchat.store.groups import epochs as store_epochs
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import items as store_items
from p2pchat.store.groups import joins as store_joins
from p2pchat.store.groups import links as store_links
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.groups import GroupRow

SETTINGS = (TOPIC, DESCRIPTION, SLOW_MODE, LOCKED, INVITES, NEWCOMERS, HISTORY)
"""The settings that faces show and change, besides the name."""
WAITING_FOR_KEYS = "Messages wait until a group admin has renewed the keys."


def of(db: Database, chat: ChatId, now: int, state: GroupState | None = None) -> Json | None:
    """Return the object of a group, or None if there is no such group. state: of its log, where that is at hand; only
    it says who asks for another owner.
    """
    row, kept = store_groups.get(db, chat), store_chats.get(db, chat)
    if row is None or kept is None:
        return None
    values = group_rules.settings_of(row)
    present = kept.ended_at is None
    me = store_members.get(db, chat, row.member)
    muted_until = me.muted_until if me is not None and present else 0
    return {
        "chat": chat.hex(),
        "name": kept.name,
        "topic": clean_name(TOPIC.read(values), None),
        "role": Role(row.role).name.lower() if present else None,
        "muted_until": views.timestamp(muted_until) if muted_until > now else None,
        "members": store_members.count(db, chat),
        "settings": {
            "name": clean_name(NAME.read(values)),
            **{setting.key: setting.read(values) for setting in SETTINGS},
            RECOVERY.key: _recovery(db, chat, values),
        },
        "receipts": bool(row.receipts),
        "requests": store_links.counts(db, Role.ADMIN).get(chat, 0),
        "adding": store_joins.being_added(db, chat) if present else [],
        "epoch": _age(db, row, now) if present else "",
        "problem": _problem(db, row, state) if present else "",
    }


def of_chat(tx: Transaction, chat: ChatId) -> Json | None:
    """Return the same in a transaction."""
    return of(tx.db, chat, tx.now, history.log_of(tx, chat).state)


def _recovery(db: Database, chat: ChatId, values: Mapping[str, Any]) -> Json | None:
    rule = RECOVERY.read(values)
    if rule is None:
        return None
    names = store_members.names(db, chat, [sender_of(member) for member in rule.named])
    named = [{"id": member.hex(), "name": names[sender_of(member)]} for member in rule.named]
    return {"needed": rule.needed, "members": sorted(named, key=lambda member: (member["name"], member["id"]))}


def _age(db: Database, row: GroupRow, now: int) -> str:
    epoch = None if row.epoch is None else store_epochs.get(db, row.chat, row.epoch)
    if epoch is None:
        return "The keys are being renewed."
    age = max(0, now - epoch.adopted_at)
    if age < 2 * MINUTE_MS:
        return "The keys are new."
    if age < 2 * HOUR_MS:
        return f"The keys are {age // MINUTE_MS} minutes old."
    if age < 2 * DAY_MS:
        return f"The keys are {age // HOUR_MS} hours old."
    return f"The keys are from {views.timestamp(epoch.adopted_at)}."


def _problem(db: Database, row: GroupRow, state: GroupState | None) -> str:
    if row.problem:
        return row.problem
    if state is not None and state.recoveries:
        return recovery.sentences(db, row.chat, state, row.member)
    return WAITING_FOR_KEYS if row.epoch is None and store_items.unsent(db, row.chat, 1) else ""
