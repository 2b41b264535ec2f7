"""What the rules of a group let a member write, by its newest state here: roles, lock, slow mode.

Everybody applies them to what arrives, and our own node before it sends. No server does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from p2pchat.core.codec import decode, encode
from p2pchat.core.contents import AnyPayload, Pin
from p2pchat.core.groups.roles import Role
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen, NotNow
from p2pchat.store import messages as store_messages
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.messages import ME

MAX_SETTINGS_BYTES = 1 << 20


def pack_settings(settings: Mapping[str, Any]) -> bytes:
    """Return settings as they are kept in a row."""
    return encode([[key, value] for key, value in sorted(settings.items())])


def settings_of(row: GroupRow) -> dict[str, Any]:
    """Return the settings of a group's newest state."""
    try:
        return dict(decode(row.settings, MAX_SETTINGS_BYTES))
    except CannotOpen:
        return {}


def number(settings: dict[str, Any], key: str) -> int:
    """Return a setting that is a number, 0 where it is none."""
    value = settings.get(key)
    return value if isinstance(value, int) else 0


def check_post(tx: Transaction, contact: Contact, payload: AnyPayload) -> None:
    """Raise NotNow if the rules of a group do not let us write this there now; in other chats everything may be."""
    row = None if contact.group is None else store_groups.get(tx.db, contact.group)
    if row is None:
        return
    settings, role = settings_of(row), Role(row.role)
    if isinstance(payload, Pin) and role > Role.MODERATOR:
        raise NotNow(f"Only moderators pin messages in {contact.name}")
    if not payload.KIND.visible:
        return
    if role == Role.OBSERVER:
        raise NotNow(f"You can only read and react in {contact.name}")
    if settings.get("locked") and role > Role.MODERATOR:
        raise NotNow(f"{contact.name} is locked: only moderators write there now")
    slow = 1000 * number(settings, "slow_mode")
    last = store_messages.newest_of(tx.db, row.chat, ME) if slow and role > Role.MODERATOR else None
    if last is not None and tx.recent(last, slow):
        seconds = (last + slow - tx.now + 999) // 1000
        raise NotNow(f"{contact.name} is in slow mode: you can write again in {seconds} s")


def may_post(row: GroupRow, role: Role, payload: AnyPayload) -> bool:
    """Return whether what a member wrote counts."""
    if isinstance(payload, Pin):
        return role <= Role.MODERATOR
    if not payload.KIND.visible or role <= Role.MODERATOR:
        return True
    return role != Role.OBSERVER and not settings_of(row).get("locked")
