"""The names of people, as faces are told who wrote a message: a contact's, or in a group those of its members."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from p2pchat.core.contents.mention import MAX_MENTIONS, MAX_WORDS_BYTES, MentionedMember
from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import ChatId, ContactId
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.views import MemberNames, Names
from p2pchat.lib.mentions import mentions
from p2pchat.store import channels as store_channels
from p2pchat.store import chats as store_chats
from p2pchat.store import mentions as store_mentions
from p2pchat.store import partners
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.database import Database
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups import members as store_members
from p2pchat.store.messages import ME, MessageRow
from p2pchat.store.remarks import NOTHING, Remarks

NOBODY: Mapping[ContactId, str] = {}


def of(db: Database, partner: Contact, rows: Collection[MessageRow], notes: Mapping[int, Remarks]) -> Names:
    """Return the names of those who wrote these messages of a chat, and the remarks on them. partner: its contact, or
    the stand-in for its group or for a member of that.
    """
    if partner.state == ContactState.CHANNEL:
        return _writers(db, partner.chat, partner.name)
    if partner.group is None:
        return partner.name
    known = {partner.id: partner.name} if partner.state == ContactState.MEMBER else {}
    return _members(db, partner.chat, rows, notes, known)


def of_one(db: Database, partner: Contact, row: MessageRow, notes: Remarks = NOTHING) -> Names:
    """Return the same for one message."""
    return of(db, partner, [row], {row.pk: notes})


def of_members(db: Database, chat: ChatId, rows: Collection[MessageRow], known: Mapping[ContactId, str]) -> Names:
    """Return the names of members who wrote these messages of a group. known: by which they are shown."""
    return _members(db, chat, rows, {}, known)


def of_all(db: Database, rows: Collection[MessageRow], notes: Mapping[int, Remarks]) -> dict[ChatId, Names]:
    """Return the same for messages of many chats, by chat."""
    names: dict[ChatId, Names] = {**partners.names(db)}
    for chat in {row.chat for row in rows}:
        if (channel := store_channels.get(db, chat)) is not None:
            names[chat] = MemberNames(store_channels.names(db, channel, partners.names(db).get(chat, "")))
    for chat in store_groups.chats(db) & {row.chat for row in rows}:
        names[chat] = _members(db, chat, [row for row in rows if row.chat == chat], notes)
    return names


def _writers(db: Database, chat: ChatId, name: str) -> Names:
    """Return the names of those who write in a channel; its own, once it was forgotten."""
    row = store_channels.get(db, chat)
    return name if row is None else MemberNames(store_channels.names(db, row, name))


def mentioned(db: Database, chat: ChatId) -> int:
    """Return how many of the unread messages of a group mention the user, of the first thousand."""
    return len(mentioning(db, chat))


def mentioning(db: Database, chat: ChatId) -> list[MessageRow]:
    """Return those of the first thousand unread messages of a group that mention the user, in the order of the chat."""
    rows = store_chats.unread_with(db, chat, "@")
    if not rows or store_groups.get(db, chat) is None:
        return []
    names = _members(db, chat, rows, {})
    return sorted((row for row in rows if views.mentions_me(row, names)), key=lambda row: (row.place, row.seq, row.pk))


def named_in(db: Database, partner: Contact, text: str) -> tuple[MentionedMember, ...]:
    """Return whom a text of ours mentions in a group: everybody who is called so there, or whom the user calls so;
    where digits of an id are behind the name, only those whom they fit.
    """
    group = None if partner.group is None or "@" not in text else store_groups.get(db, partner.group)
    if group is None:
        return ()
    called = store_members.named_in(db, group.chat, text)
    found: dict[MentionedMember, None] = {}
    for each in mentions(text, [name for names in called.values() for name in names]):
        words = text[each.start + 1 : each.end]
        for member, names in called.items():
            called_so = each.name.casefold() in (name.casefold() for name in names)
            meant = called_so and member.hex().startswith(each.digits) and member != group.member
            if meant and len(words.encode()) <= MAX_WORDS_BYTES:
                found[MentionedMember(member, words)] = None
    return tuple(found)[:MAX_MENTIONS]


def _members(
    db: Database,
    chat: ChatId,
    rows: Collection[MessageRow],
    notes: Mapping[int, Remarks],
    known: Mapping[ContactId, str] = NOBODY,
) -> MemberNames:
    """Return the names of the members who are shown with these messages. known: by which some of them are shown, as was
    looked up already.
    """
    senders = {row.sender for row in rows}
    for row in rows:
        remarks = notes.get(row.pk, NOTHING)
        senders |= {reaction.sender for reaction in remarks.reactions}
        if remarks.quoted is not None:
            senders.add(remarks.quoted.sender)
        if remarks.hiding is not None:
            senders.add(remarks.hiding.sender)
    shown = {**known, **store_members.names(db, chat, senders - {ME} - known.keys())}
    group = store_groups.get(db, chat) if any("@" in row.text for row in rows) else None
    if group is None:
        return MemberNames(shown)
    seniors = store_members.with_role(db, chat, senders - {ME}, Role.MODERATOR)
    said = store_mentions.of(db, [row.pk for row in rows if "@" in row.text])
    return MemberNames(shown, group.name, group.member.hex(), seniors, said)
