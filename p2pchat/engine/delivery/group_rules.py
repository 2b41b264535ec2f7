"""What the rules of a group let a member write, by its newest state here: roles, lock, slow mode, newcomers, mutes.

Everybody applies them to what arrives, and our own node before it sends. No server does.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from p2pchat.core.codec import decode, encode
from p2pchat.core.content import Content
from p2pchat.core.contents import AnyPayload, Edit, File, Pin
from p2pchat.core.groups.past_rules import RulesThen
from p2pchat.core.groups.roles import Role
from p2pchat.core.groups.settings import LOCKED, NEWCOMERS, SLOW_MODE
from p2pchat.core.ids import ChatId, MemberId, sender_of
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen, NotNow
from p2pchat.lib.times import HOUR_MS, MINUTE_MS
from p2pchat.store import messages as store_messages
from p2pchat.store.contacts import Contact
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.groups.members import MemberRow
from p2pchat.store.messages import ME
from p2pchat.store.search_index import LINK

MAX_SETTINGS_BYTES = 1 << 20
AHEAD_MS = MINUTE_MS
"""How far a clock may be ahead in slow mode."""
INEXACT_MS = 2_000
"""By how much two times of one author may be nearer than slow mode says."""


class _Rules(NamedTuple):
    """What binds an author. settings: of the group, as written. muted_until, added_at: as of a `MemberRow`."""

    settings: Mapping[str, Any]
    role: Role
    muted_until: int
    added_at: int


def pack_settings(settings: Mapping[str, Any]) -> bytes:
    """Return settings as they are kept in a row."""
    return encode([[key, value] for key, value in sorted(settings.items())])


def settings_of(row: GroupRow) -> Mapping[str, Any]:
    """Return the settings of a group's newest state."""
    return _read_settings(row.settings)


@lru_cache(maxsize=8)  # each message of a group asks for them
def _read_settings(packed: bytes) -> Mapping[str, Any]:
    try:
        return MappingProxyType(dict(decode(packed, MAX_SETTINGS_BYTES)))
    except CannotOpen:
        return {}


@lru_cache(maxsize=8)
def _binds_nobody(packed: bytes) -> bool:
    """Return whether these settings let every member write what and when they like."""
    settings = _read_settings(packed)
    return not (LOCKED.read(settings) or SLOW_MODE.read(settings) or NEWCOMERS.read(settings))


def slow_mode(row: GroupRow) -> int:
    """Return how many seconds there have to be between two messages of one member; 0 for none."""
    return _slow_mode(row.settings)


@lru_cache(maxsize=8)
def _slow_mode(packed: bytes) -> int:
    return SLOW_MODE.read(_read_settings(packed))


def check_post(tx: Transaction, contact: Contact, payload: AnyPayload) -> None:
    """Raise NotNow if the rules of a group do not let us write this there now; in other chats everything may be."""
    row = None if contact.group is None else store_groups.get(tx.db, contact.group)
    me = None if row is None else store_members.get(tx.db, row.chat, row.member)
    if row is None or me is None:
        return
    settings, role = settings_of(row), Role(row.role)
    if isinstance(payload, Pin) and role > Role.MODERATOR:
        raise NotNow(f"Only moderators pin messages in {contact.name}")
    if not _writes(payload) or role <= Role.MODERATOR:
        return
    if role == Role.OBSERVER:
        raise NotNow(f"You can only read and react in {contact.name}")
    if me.muted_until > tx.now:
        until = views.timestamp(me.muted_until)
        raise NotNow(f"You are muted in {contact.name} until {until}: until then you can only read and react")
    if LOCKED.read(settings):
        raise NotNow(f"{contact.name} is locked: only moderators write there now")
    slow = 1000 * SLOW_MODE.read(settings) if payload.KIND.visible else 0
    last = store_messages.newest_of(tx.db, row.chat, ME) if slow else None
    if last is not None and tx.recent(last, slow):
        raise NotNow(f"{contact.name} is in slow mode: you can write again in {(last + slow - tx.now + 999) // 1000} s")
    if _too_new(settings, row.joined_at, tx.now) and _is_barred(payload):
        hours = NEWCOMERS.read(settings)
        raise NotNow(
            f"New members of {contact.name} send no links and no files for {hours} {'hour' if hours == 1 else 'hours'}"
        )


def may_post(tx: Transaction, row: GroupRow, member: MemberRow, content: Content) -> bool:
    """Return whether what a member wrote is shown, by what we know of the group now."""
    if member.muted_until <= tx.now and member.role < Role.OBSERVER and _binds_nobody(row.settings):
        return member.role <= Role.MODERATOR or not isinstance(content.payload, Pin)
    rules = _Rules(settings_of(row), Role(member.role), member.muted_until, member.added_at)
    return _allow(tx, row.chat, member.id, content, rules, tx.now)


def might_post(tx: Transaction, row: GroupRow, author: MemberId, content: Content, then: RulesThen) -> bool:
    """Return whether what somebody wrote before we joined is shown, by the rules of then: at the time that its author
    says. When somebody became a member nobody knows any more. Whoever is muted now is not heard of then either, since
    the log has no time: they might have written it since.
    """
    now = store_members.get(tx.db, row.chat, author)
    silenced = now is not None and Role(now.role) > Role.MODERATOR and now.muted_until > tx.now
    role = Role.MEMBER if then.role is Role.OBSERVER else then.role  # who could only read is for the caller
    if silenced or content.sent_at > tx.now + AHEAD_MS:
        return False
    rules = _Rules(then.settings, role, then.muted_until, 0)
    return _allow(tx, row.chat, author, content, rules, content.sent_at)


def _allow(tx: Transaction, chat: ChatId, author: MemberId, content: Content, rules: _Rules, at: int) -> bool:
    """Return whether these rules let an author write something at a time (ms)."""
    payload = content.payload
    if isinstance(payload, Pin):
        return rules.role <= Role.MODERATOR
    if not _writes(payload) or rules.role <= Role.MODERATOR:
        return True
    if rules.role == Role.OBSERVER or rules.muted_until > at or LOCKED.read(rules.settings):
        return False
    slow = 1000 * SLOW_MODE.read(rules.settings) if payload.KIND.visible else 0
    if slow and not _keeps_pace(tx, chat, author, content, slow):
        return False
    return not (_too_new(rules.settings, rules.added_at, at) and _is_barred(payload))


def _is_barred(payload: AnyPayload) -> bool:
    """Return whether it is a file, or has a link: newcomers send neither."""
    return isinstance(payload, File) or LINK.search(_written(payload)) is not None


def _writes(payload: AnyPayload) -> bool:
    """Return whether a content shows something new that its author wrote: a message, or another text of one."""
    return payload.KIND.visible or isinstance(payload, Edit)


def _written(payload: AnyPayload) -> str:
    return payload.written if isinstance(payload, Edit) else payload.text()


def may_hide(tx: Transaction, row: GroupRow, by: MemberId, author: MemberId) -> bool:
    """Return whether a member may hide what another wrote: one of a lower role, or who is no member any more."""
    senior, junior = store_members.get(tx.db, row.chat, by), store_members.get(tx.db, row.chat, author)
    if senior is None or senior.role > Role.MODERATOR:
        return False
    return by != author and (junior is None or Role(senior.role).is_senior_to(Role(junior.role)))


def _keeps_pace(tx: Transaction, chat: ChatId, author: MemberId, content: Content, slow: int) -> bool:
    """Return whether a message keeps the distance of slow mode, in ms, from the ones of its author before and after it,
    in the author's order: so all are that far apart, in whatever order they came. Whoever lies about the time runs
    ahead of it, and is then refused too.
    """
    before, after = store_messages.around(tx.db, chat, sender_of(author), content.seq)
    distance = slow - INEXACT_MS
    if content.sent_at > tx.now + AHEAD_MS or (before is not None and content.sent_at < before + distance):
        return False
    return after is None or content.sent_at <= after - distance


def _too_new(settings: Mapping[str, Any], added_at: int, now: int) -> bool:
    """Return whether somebody who was added at that time (ms) counts as a newcomer."""
    return now < added_at + HOUR_MS * NEWCOMERS.read(settings)
