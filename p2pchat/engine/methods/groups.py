"""Methods about groups: founding one, its members, roles and settings, its log."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from p2pchat.core.contents.hide import MAX_REASON_BYTES
from p2pchat.core.groups import audit, events, settings
from p2pchat.core.groups.audit import EventStanding
from p2pchat.core.groups.events import (
    AddMembers,
    ChangeSetting,
    GroupEvent,
    HandOver,
    MuteMember,
    RemoveMembers,
    SetRole,
)
from p2pchat.core.groups.membership import MembershipLog
from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import ChatId, EventId, MemberId, member_of, sender_of
from p2pchat.core.text import clean_name
from p2pchat.engine.contents import hide, report
from p2pchat.engine.engine import Engine
from p2pchat.engine.groups import (
    changes,
    history,
    joining,
    permission,
    receipts,
    recovery_actions,
    succession,
    summary,
    welcoming,
    wording,
)
from p2pchat.engine.methods import chats, conversation
from p2pchat.engine.runtime import naming, views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import Json, timestamp
from p2pchat.errors import (
    AmbiguousName,
    BadName,
    CannotOpen,
    NoSuchContact,
    NoSuchMember,
    NotAGroup,
    NotNow,
    UsageError,
)
from p2pchat.lib.english import counted
from p2pchat.lib.times import DAY_SECONDS
from p2pchat.store import chats as store_chats
from p2pchat.store import messages as store_messages
from p2pchat.store import partners, remarks
from p2pchat.store.contacts import GROUPS, Contact, ContactState
from p2pchat.store.database import Database
from p2pchat.store.groups import events as store_events
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import members as store_members
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.messages import MessageRow

MAX_PAGE = 1_000
MAX_LOG = 1_000
MAX_REPORTS = 100
MAX_NAME_BYTES = 64
MAX_MUTE_DAYS = 366
_YES, _NO = ("yes", "on", "true", "1"), ("no", "off", "false", "0")


async def create_group(
    engine: Engine, *, name: str, contacts: Sequence[str] | None = None, locked: bool = False
) -> Json:
    """Found a group, and add contacts to it. locked: only moderators and above write in it. Raises BadName,
    NoSuchContact, AmbiguousName or NotNow.
    """

    def act(tx: Transaction) -> str:
        called = _name(name)
        people = [tx.find(written) for written in contacts or ()]
        for person in people:
            joining.check_addable(person)
        row = changes.create(tx, called, joining.own_name(tx), locked=locked)
        for person in people:
            joining.offer(tx, row, person)
        return row.chat.hex()

    made = await engine.committer.submit(act)
    return next(chat for chat in await chats.list_chats(engine) if chat["id"] == made)


async def add_members(engine: Engine, *, chat: str, contacts: Sequence[str]) -> Json:
    """Add contacts to a group: their nodes are asked for keys, and make them members when these are here."""

    def act(tx: Transaction, row: GroupRow) -> None:
        people = [tx.find(written) for written in contacts]
        state = history.log_of(tx, row.chat).state
        permission.check(tx.db, row.chat, state, row.member, AddMembers(()))
        for person in people:
            joining.check_addable(person)
        lacking = [person for person in people if not store_members.of_contact_in(tx.db, row.chat, person.id)]
        if people and not lacking:
            who = wording.listed([person.name for person in people])
            raise NotNow(
                f"{who} {'is a member' if len(people) == 1 else 'are members'} of {_name_of(tx.db, row)} already"
            )
        if not welcoming.can_send(tx, row):
            raise NotNow(changes.NO_ROOM, hint="`p2pchat group successor` founds another group in its place.")
        for person in lacking:
            joining.offer(tx, row, person)
            tx.groups_changed[row.chat] = None

    return await _change(engine, chat, act)


async def remove_member(
    engine: Engine, *, chat: str, member: str, ban: bool = False, reason: str = "", others: Sequence[str] | None = None
) -> Json:
    """Remove a member of a lower role; others: more of them, in the same event, with one change of keys for all."""

    def act(tx: Transaction, row: GroupRow) -> None:
        ids = {_member(tx.db, row, written) for written in (member, *(others or ()))}
        if len(ids) > events.MAX_REMOVED:
            raise UsageError(f"At most {events.MAX_REMOVED} members are removed at once")
        if row.member in ids:
            raise UsageError("You cannot remove yourself", hint="`p2pchat group leave` leaves the group.")
        if len(reason.encode()) > events.MAX_REASON_BYTES:
            raise UsageError(f"A reason has at most {events.MAX_REASON_BYTES} bytes")
        changes.remove(tx, row, sorted(ids), ban=ban, reason=reason)

    return await _change(engine, chat, act)


async def set_role(engine: Engine, *, chat: str, member: str, role: str) -> Json:
    """Give a member another role; making somebody the owner makes the user an admin."""

    def act(tx: Transaction, row: GroupRow) -> None:
        id, wanted = _member(tx.db, row, member), Role[role.upper()]
        if id == row.member:
            hint = "`p2pchat group role CHAT M owner` makes somebody else the owner, and you an admin."
            raise UsageError("You cannot change your own role", hint=hint if row.role == Role.OWNER else "")
        changes.make(tx, row, HandOver(id) if wanted is Role.OWNER else SetRole(id, wanted))

    return await _change(engine, chat, act)


async def mute_member(engine: Engine, *, chat: str, member: str, seconds: int) -> Json:
    """Mute a member of a lower role for a time; 0 ends it."""
    if not 0 <= seconds <= MAX_MUTE_DAYS * DAY_SECONDS:
        raise UsageError(f"A member is muted for at most {MAX_MUTE_DAYS} days")

    def act(tx: Transaction, row: GroupRow) -> None:
        id, state = _member(tx.db, row, member), history.log_of(tx, row.chat).state
        if id == row.member:
            raise UsageError("You cannot mute yourself", hint="`p2pchat mute CHAT 8h` silences a chat for you.")
        action = MuteMember(id, tx.now + 1000 * seconds if seconds else 0)
        permission.check(tx.db, row.chat, state, row.member, action)
        if seconds or state.muted.get(id, 0) > tx.now:
            changes.make(tx, row, action)

    return await _change(engine, chat, act)


async def hide_message(engine: Engine, *, id: str, reason: str = "", chat: str | None = None) -> Json:
    """Hide a message of a member of a lower role for all."""
    if len(reason.encode()) > MAX_REASON_BYTES:
        raise UsageError(f"A reason has at most {MAX_REASON_BYTES} bytes")

    def act(tx: Transaction) -> Json:
        message, partner, row = _meant(tx, id, chat, "hidden", "`p2pchat delete` deletes one here.")
        if not message.mine:
            state = history.log_of(tx, row.chat).state
            permission.check_hide(tx.db, row.chat, state, row.member, member_of(message.sender))
        hide.put(tx, partner, message, reason)
        return conversation.shown(tx, message)

    hidden: Json = await engine.committer.submit(act)
    await engine.endings.clean_log()  # only then the words are gone from the log of the database too
    return hidden


async def report_message(engine: Engine, *, id: str, reason: str = "", chat: str | None = None) -> Json:
    """Tell those who moderate a group about a member's message; nobody else reads what is said."""
    if len(reason.encode()) > MAX_REASON_BYTES:
        raise UsageError(f"A reason has at most {MAX_REASON_BYTES} bytes")

    def act(tx: Transaction) -> Json:
        message, partner, row = _meant(tx, id, chat, "reported", "`p2pchat block` blocks a contact.")
        return {"readers": report.put(tx, partner, row, message, reason)}

    sent: Json = await engine.committer.submit(act)
    return sent


def _meant(tx: Transaction, id: str, chat: str | None, done: str, hint: str) -> tuple[MessageRow, Contact, GroupRow]:
    """Return a message of a group with its chat's partner and the group. done, hint: for the error if it is of none."""
    message = conversation.message_meant(tx.db, id, chat)
    partner = conversation.contact_of(tx, message)
    row = None if partner.group is None else store_groups.get(tx.db, partner.group)
    if row is None:
        raise UsageError(f"Only messages of groups are {done}", hint=hint)
    return message, partner, row


async def group_reports(engine: Engine, *, chat: str) -> list[Json]:
    """Return the lines about reports of messages that are still shown, the oldest first."""

    def query(db: Database) -> list[Json]:
        row = group_of(db, chat, former=True)
        partner = partners.find(db, row.chat.hex())
        lines = store_messages.reports(db, row.chat, MAX_REPORTS)
        notes = remarks.of(db, lines)
        names = naming.of(db, partner, lines, notes)
        return [views.message(line, names, notes.get(line.pk, remarks.NOTHING)) for line in lines]

    return await engine.committer.read(query)


async def leave_group(engine: Engine, *, chat: str) -> Json:
    """Leave a group; its chat stays, and can only be read."""

    def act(tx: Transaction) -> Json:
        row = group_of(tx.db, chat)
        name = tx.partner(chat).name
        changes.leave(tx, row)
        return {"chat": row.chat.hex(), "name": name}

    left: Json = await engine.committer.submit(act)
    return left


async def set_group(engine: Engine, *, chat: str, key: str, value: str) -> Json:
    """Change a setting of a group. Raises UsageError for a value that the setting cannot have."""

    def act(tx: Transaction, row: GroupRow) -> None:
        state = history.log_of(tx, row.chat).state
        if key == settings.RECOVERY.key:
            permission.check(tx.db, row.chat, state, row.member, ChangeSetting(key, None))
            wanted = recovery_actions.rule(value.strip(), state, lambda name: _member(tx.db, row, name))
        else:
            wanted = _value(key, value)
        if state.settings.get(key) != wanted:
            changes.change_setting(tx, row, key, wanted)

    return await _change(engine, chat, act)


async def group(engine: Engine, *, chat: str) -> Json:
    """Return what there is to know about a group."""

    def act(tx: Transaction) -> Json:
        return _shown(tx, group_of(tx.db, chat, former=True))

    found: Json = await engine.committer.submit(act)
    if not found["problem"]:
        found["problem"] = engine.log_carrier.problem(ChatId(bytes.fromhex(found["chat"])))
    return found


async def recover_group(engine: Engine, *, chat: str, member: str) -> Json:
    """Ask that a member becomes the owner in place of one who is lost. Raises NotNow."""
    return await _change(engine, chat, lambda tx, row: recovery_actions.ask(tx, row, _member(tx.db, row, member)))


async def succeed_group(engine: Engine, *, chat: str, name: str) -> Json:
    """Found a group in the place of another, and offer it to those of its members who are contacts."""

    def act(tx: Transaction) -> Json:
        done = succession.found(tx, group_of(tx.db, chat), _name(name))
        return {"chat": done.row.chat.hex(), "offered": done.offered, "missing": done.missing}

    made: Json = await engine.committer.submit(act)
    return made


async def keep_group(engine: Engine, *, chat: str) -> Json:
    """Say, as the owner, that one is not lost. Raises NotNow."""
    return await _change(engine, chat, recovery_actions.keep)


async def group_receipts(engine: Engine, *, chat: str, wanted: bool = True) -> Json:
    """Tell members of a group who are contacts what we read there, or tell them no more."""
    return await _change(engine, chat, lambda tx, row: receipts.switch(tx, row, wanted=wanted))


async def group_members(engine: Engine, *, chat: str, search: str = "", offset: int = 0, limit: int = 100) -> Json:
    """Return a page of the members of a group, the highest roles first."""

    def query(db: Database) -> Json:
        row = group_of(db, chat, former=True)
        now = engine.clock()
        total, page = store_members.page(db, row.chat, max(1, min(limit, MAX_PAGE)), max(0, offset), search)
        return {
            "total": total,
            "members": [
                {
                    "id": member.id.hex(),
                    "name": member.name or store_members.NAMELESS,
                    "role": Role(member.role).name.lower(),
                    "me": member.id == row.member,
                    "contact": member.contact_name,
                    "verified": member.verified,
                    "muted_until": timestamp(member.muted_until) if member.muted_until > now else None,
                }
                for member in page
            ],
        }

    return await engine.committer.read(query)


async def group_log(engine: Engine, *, chat: str, limit: int = 50, before: str | None = None) -> list[Json]:
    """Return the newest events of a group, newest last, in sentences."""

    def act(tx: Transaction) -> list[Json]:
        row = group_of(tx.db, chat, former=True)
        first = None if before is None else _event(before)
        rows = store_events.page(tx.db, row.chat, max(1, min(limit, MAX_LOG)), first)
        shown = [events.decode_verified(event.event) for event in rows]
        called = {sender for event in shown for sender in wording.named_in(event)}
        names = store_members.names(tx.db, row.chat, called)
        log = history.log_of(tx, row.chat)
        knowing, total = _knowing(tx, row, shown), store_members.count(tx.db, row.chat)
        return [
            {
                "id": event.id.hex(),
                "at": timestamp(kept.at),
                "text": _sentence(wording.sentence(event, row.member, names), event, knowing[event.id], total, log),
                "by": "me" if event.author_id == row.member else names[sender_of(event.author_id)],
                "op": event.op.name.lower(),
                "known_by": knowing[event.id],
            }
            for kept, event in zip(rows, shown, strict=True)
        ]

    found: list[Json] = await engine.committer.submit(act)
    return found


def _knowing(tx: Transaction, row: GroupRow, shown: Sequence[GroupEvent]) -> dict[EventId, int]:
    """Return how many members are known to have seen each event, with us: what they wrote since says so."""
    log, heads = history.log_of(tx, row.chat), store_members.heads(tx.db, row.chat)
    size = events.ID_BYTES
    knew = [
        ([EventId(packed[start : start + size]) for start in range(0, len(packed), size)], number)
        for packed, number in heads.items()
    ]
    return {event.id: 1 + sum(number for newest, number in knew if log.knew(newest, event.id)) for event in shown}


def _sentence(said: str, event: GroupEvent, knowing: int, total: int, log: MembershipLog) -> str:
    """Return the sentence of an event; also why it does not count; of a removal, how many know of it: nobody else is
    bound by it.
    """
    standing = audit.standing(log, event.id)
    if standing is EventStanding.SUSPENDED:
        return f"{said}; it does not count until somebody senior decides, since it contradicts another change."
    if standing is EventStanding.VOID:
        return f"{said}; it does not count, since the right to it had been taken away."
    if not isinstance(event.action, RemoveMembers):
        return f"{said}."
    seen = (
        "everybody has"
        if knowing >= total
        else f"{knowing:,} of {counted(total, 'member')} {'has' if knowing == 1 else 'have'}"
    )
    return f"{said}; {seen} seen it."


async def _change(engine: Engine, chat: str, function: Callable[[Transaction, GroupRow], None]) -> Json:
    def act(tx: Transaction) -> Json:
        row = group_of(tx.db, chat)
        function(tx, row)
        return _shown(tx, row)

    changed: Json = await engine.committer.submit(act)
    return changed


def group_of(db: Database, chat: str, *, former: bool = False) -> GroupRow:
    """Return the group that a user names; one that we left only if `former`. Raises NoSuchContact, NotAGroup or NotNow,
    which says so of one that we have asked to join.
    """
    try:
        partner = partners.find(db, chat)
    except NoSuchContact:
        for group in joining.awaited(db):
            if group.name.casefold() == chat.strip().casefold():
                raise NotNow(f"Waiting for an admin of {group.name} to let you in") from None
        raise
    row = store_groups.get(db, partner.chat) if partner.state in GROUPS else None
    if row is None:
        raise NotAGroup
    if partner.state == ContactState.LEFT and not former:
        raise NotNow(f"You are not a member of {partner.name} any more")
    return row


def _shown(tx: Transaction, row: GroupRow) -> Json:
    shown = summary.of_chat(tx, row.chat)
    assert shown is not None
    return shown


def _member(db: Database, row: GroupRow, written: str) -> MemberId:
    """Return the member whom a user names by id, by the beginning of it, by name, or by name and digits of the id, as
    names that look alike are shown. Raises AmbiguousName or NoSuchMember.
    """
    wanted = written.strip()
    found = store_members.named(db, row.chat, wanted)
    name, dot, digits = wanted.rpartition(" ·")
    if not found and dot:
        found = [id for id in store_members.named(db, row.chat, name) if id.hex().startswith(digits)]
    if not found and wanted and all(digit in "0123456789abcdef" for digit in wanted.lower()):
        found = store_members.find(db, row.chat, wanted.lower())
    if len(found) > 1:
        names = [f"{store_members.shown_name(db, row.chat, id)} ({id.hex()})" for id in found]
        raise AmbiguousName(f"{wanted} is more than one member of {_name_of(db, row)}", candidates=names)
    if not found:
        group = _name_of(db, row)
        raise NoSuchMember(
            f"{group} has no member {wanted}", hint=f"`p2pchat group members {shlex.quote(group)}` lists them."
        )
    return found[0]


def _name_of(db: Database, row: GroupRow) -> str:
    chat = store_chats.get(db, row.chat)
    return "The group" if chat is None else chat.name


def _name(written: str) -> str:
    name = clean_name(written)
    if not name or len(name.encode()) > MAX_NAME_BYTES:
        raise BadName(f"A group's name is visible text of at most {MAX_NAME_BYTES} bytes")
    return name


def _value(key: str, written: str) -> object:
    """Return the value of a setting in its shape."""
    text = written.strip()
    if key == settings.NAME.key:
        return _name(text)
    if key == settings.LOCKED.key:
        if text.casefold() not in _YES + _NO:
            raise UsageError("`locked` is yes or no")
        return text.casefold() in _YES
    if key == settings.INVITES.key and text.casefold() not in ("admins", "members"):
        raise UsageError("`invites` is admins or members")
    if key in (settings.SLOW_MODE.key, settings.NEWCOMERS.key, settings.HISTORY.key):
        if not text.isascii() or not text.isdecimal():
            raise UsageError(f"`{key}` is a number")
        value: object = int(text)
    else:
        value = text.casefold() if key == settings.INVITES.key else text
    setting = next(setting for setting in summary.SETTINGS if setting.key == key)
    try:
        setting.shape(value)
    except CannotOpen:
        raise UsageError(f"`{key}` cannot be {written!r}") from None
    return value


def _event(written: str) -> EventId:
    try:
        return EventId(bytes.fromhex(written))
    except ValueError:
        raise UsageError("`before` is the id of an event") from None
