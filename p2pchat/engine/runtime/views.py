"""Rows as a face gets them: plain values that JSON can hold, as `docs/api.md` describes them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from p2pchat.core.contents import kind_of
from p2pchat.core.contents.file import PEAKS, FileForm
from p2pchat.core.contents.mention import MentionedMember
from p2pchat.core.delivery import Route
from p2pchat.core.ids import ContactId
from p2pchat.core.invite import GROUP, ONE_TIME, REUSABLE, to_text
from p2pchat.core.text import beginning, clean_name
from p2pchat.lib.mentions import ALL, is_mentioned, mentions
from p2pchat.received.names import safe_name
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.files import FileRow, FileState
from p2pchat.store.invites import InviteRow, InviteState
from p2pchat.store.messages import ME, MessageRow
from p2pchat.store.remarks import NOTHING, HidingRow, Remarks

Json = dict[str, Any]
"""An object that JSON can hold."""


class MemberNames(NamedTuple):
    """What members of a group are called, or who writes in a channel. shown: by the sender of a message. me: what the
    user calls themselves in the group. id: the user's id there, in hex. seniors: those of the senders who may mention
    all. mentions: whom messages mention, by their pk, as far as their authors say so.
    """

    shown: Mapping[ContactId, str]
    me: str = ""
    id: str = ""
    seniors: frozenset[ContactId] = frozenset()
    mentions: Mapping[int, tuple[MentionedMember, ...]] = {}


Names = str | MemberNames
"""The names of everybody else in a chat: of the one other, or of several."""
_LATEST = 253_402_300_799_999  # the end of the year 9999, the last that RFC 3339 can write


def timestamp(ms: int | None) -> str | None:
    """Return a time as RFC 3339 in UTC, to the millisecond. One beyond the calendar, which only a hostile peer sends,
    becomes its last one.
    """
    if ms is None:
        return None
    seconds, rest = divmod(min(ms, _LATEST), 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=64)  # one transaction mostly reports times of the same second or two
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def day(ms: int) -> str:
    """Return a day in UTC to show to people: `21 Dec`."""
    at = datetime.fromtimestamp(min(ms, _LATEST) // 1000, UTC)
    return f"{at.day} {at:%b}"


def message(row: MessageRow, names: Names, remarks: Remarks = NOTHING, ahead: int = 0) -> Json:
    """Return the message object.

    names: of those who wrote it and remarked on it. remarks: the remarks on the message. ahead: by how many ms the
    clock of timed messages is ahead of the wall clock. The object's `sender` is the author's id, None if it is `mine`;
    in a group that is the id of a member, and `member` says who it is.
    """
    mine = row.mine
    return {
        "id": row.id.hex(),
        "chat": row.chat.hex(),
        "from": _name(names, row.sender),
        "sender": None if mine else row.sender.hex(),
        "member": None if mine or isinstance(names, str) else {"id": row.sender.hex(), "name": names.shown[row.sender]},
        "mentions_me": mentions_me(row, names),
        "mentions": [] if isinstance(names, str) else _mentions(row, names),
        "mine": mine,
        "text": row.text,
        "kind": kind_of(row.kind).name,
        "sent_at": timestamp(row.sent_at),
        "received_at": timestamp(row.received_at),
        "state": row.state,
        "route": row.route,
        "late": bool(row.late),
        "reply_to": None if row.reply_to is None else row.reply_to.hex(),
        "quote": None if row.reply_to is None else _quote(row, names, remarks),
        "edited_at": timestamp(row.edited_at),
        "reactions": [
            {"emoji": one.emoji, "from": _name(names, one.sender), "mine": one.sender == ME}
            for one in remarks.reactions
        ],
        "pinned": remarks.pinned,
        "expires_in": row.expire_s or None,
        "expires_at": None if row.expires_at is None else timestamp(row.expires_at - ahead),
        "deleted": row.deleted_at is not None,
        "hidden": None if remarks.hiding is None else _hiding(names, remarks.hiding),
        "file": None if remarks.file is None else file(remarks.file),
        "seen": remarks.seen or None,
    }


def file(row: FileRow) -> Json:
    """Return the object of a file as the store knows it; while it moves, `engine.files.live` knows more."""
    voice = row.form == FileForm.VOICE and len(row.preview) == PEAKS
    return {
        "name": safe_name(row.name),  # as it is saved
        "size": row.size,
        "type": clean_name(row.media, None),
        "form": _FORMS.get(row.form, "file"),
        "state": row.state,
        "progress": 1.0 if row.state == FileState.HERE else 0.0 if row.mine else row.done / row.layout.chunks,
        "rate": None,
        "stored": None,
        "group": row.shared,
        "problem": row.problem,
        "path": None if row.source is None else row.source.decode(errors="replace"),
        "width": row.width,
        "height": row.height,
        "duration": row.duration,
        "peaks": list(row.preview) if voice else None,
        "preview": row.form == FileForm.PICTURE and bool(row.preview),
    }


_FORMS = {form.value: form.name.lower() for form in FileForm}


def _name(names: Names, sender: ContactId) -> str:
    if sender == ME:
        return "me"
    return names if isinstance(names, str) else names.shown[sender]


def _hiding(names: Names, hiding: HidingRow) -> Json:
    return {"by": _name(names, hiding.sender), "reason": clean_name(hiding.reason, None)}


def mentions_me(row: MessageRow, names: Names) -> bool:
    """Return whether somebody else's message in a group mentions the user, or is for all from somebody who may."""
    if isinstance(names, str) or row.mine or "@" not in row.text:
        return False
    if row.sender in names.seniors and is_mentioned(row.text, ALL, names.id):
        return True
    if row.pk not in names.mentions:  # its author has named nobody by an id
        return is_mentioned(row.text, names.me, names.id)
    return any(each["me"] for each in _mentions(row, names))


def _mentions(row: MessageRow, names: MemberNames) -> list[Json]:
    """Return whom a message mentions by id: nobody whose words do not stand in it."""
    said = names.mentions.get(row.pk)
    if not said:
        return []
    standing = {row.text[each.start + 1 : each.end] for each in mentions(row.text, [each.words for each in said])}
    return [
        {"id": each.member.hex(), "words": each.words, "me": each.member.hex() == names.id}
        for each in said
        if each.words in standing
    ]


def _quote(row: MessageRow, names: Names, remarks: Remarks) -> Json:
    """Return the quoted message of a reply if it is here, else the quote that the sender of the reply gave."""
    quoted = remarks.quoted
    if quoted is None:
        return {"from": None, "text": row.quote, "here": False, "deleted": False, "expires_in": None, "file": None}
    author = _name(names, quoted.sender)
    in_group = not isinstance(names, str) and quoted.sender != ME
    return {
        "from": author,
        **({"member": {"id": quoted.sender.hex(), "name": author}} if in_group else {}),
        "text": beginning(quoted.text),
        "here": True,
        "deleted": quoted.deleted_at is not None,
        "expires_in": quoted.expire_s or None,
        "file": None if remarks.quoted_file is None else file(remarks.quoted_file),
    }


def contact(person: Contact, route: Route | None) -> Json:
    """Return the contact object. route: how a message would travel now, None without a link. In the object, `hidden`
    means that they must not learn our network address, and `profile_name` is what they call themselves.
    """
    return {
        "id": person.id.hex(),
        "name": person.name,
        "state": person.state,
        "verified": person.verified,
        "route": route,
        "hidden": person.hidden,
        "profile_name": person.profile_name,
        "note": person.note,
    }


def request(person: Contact, words: str, since: int) -> Json:
    """Return the request object for a request received at `since` (ms), with the eight words to compare. `known`: a
    contact who wants to begin anew.
    """
    known = person.state != ContactState.REQUEST
    return {"id": person.id.hex(), "name": person.name, "since": timestamp(since), "sas": words, "known": known}


_INVITES = {ONE_TIME: "one-time", REUSABLE: "reusable", GROUP: "group"}


def invite(row: InviteRow, users: list[tuple[ContactId, str]], now: int, *, used_up: bool = False) -> Json:
    """Return the object of one of our invites. users: (id, name) of the contacts who used it. used_up: one to a group,
    by which as many have joined as may. The text of the invite is included only while it is open.
    """
    is_open = row.state == InviteState.OPEN and row.expires_at > now
    ended = InviteState.EXPIRED if row.state == InviteState.OPEN else row.state
    revoked = row.revoked_at is not None and not used_up
    return {
        "id": row.id.hex(),
        "kind": _INVITES[row.kind],
        "label": row.label,
        "state": InviteState.OPEN if is_open else "revoked" if revoked else InviteState.USED if used_up else ended,
        "created": timestamp(row.created_at),
        "expires": timestamp(row.expires_at),
        "uses": max(row.uses, len(users)),
        "used_by": [{"id": id.hex(), "name": name} for id, name in users],
        "ask": row.ask,
        "hidden": row.hidden,
        "invite": invite_text(row.encoded) if is_open and row.encoded is not None else None,
    }


def invite_text(encoded: bytes) -> str:
    """Return the text of an invite, to copy, from its bytes."""
    return to_text(encoded)
