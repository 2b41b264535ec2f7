"""How rows look to a face: plain values that JSON can hold, as `docs/api.md` promises them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from p2pchat.core.contents import kind_of
from p2pchat.core.delivery import Route
from p2pchat.core.ids import ContactId
from p2pchat.core.invite import ONE_TIME, to_text
from p2pchat.core.text import beginning
from p2pchat.store.contacts import Contact, ContactState
from p2pchat.store.invites import InviteRow, InviteState
from p2pchat.store.messages import ME, MessageRow
from p2pchat.store.remarks import NOTHING, Remarks

Json = dict[str, Any]
"""A plain value for a face."""
_LATEST = 253_402_300_799_999  # the end of the year 9999, the last that RFC 3339 can write


def timestamp(ms: int | None) -> str | None:
    """RFC 3339, UTC, to the millisecond. A time beyond the calendar, which only a liar sends, is its last one."""
    if ms is None:
        return None
    seconds, rest = divmod(min(ms, _LATEST), 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


@lru_cache(maxsize=64)  # what a transaction tells about happened in the same second or two
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def day(ms: int) -> str:
    """Return a day as people write it, UTC: `21 Dec`."""
    at = datetime.fromtimestamp(min(ms, _LATEST) // 1000, UTC)
    return f"{at.day} {at:%b}"


def message(row: MessageRow, name: str, remarks: Remarks = NOTHING, ahead: int = 0) -> Json:
    """Return the message object; `name` is the contact's, `remarks` what was said about the message. `sender` is who
    wrote it, by id, None where it is `mine`. `ahead`: by how many ms the clock by which messages end is ahead of the
    wall clock.
    """
    mine = row.mine
    return {
        "id": row.id.hex(),
        "chat": row.chat.hex(),
        "from": "me" if mine else name,
        "sender": None if mine else row.sender.hex(),
        "mine": mine,
        "text": row.text,
        "kind": kind_of(row.kind).name,
        "sent_at": timestamp(row.sent_at),
        "received_at": timestamp(row.received_at),
        "state": row.state,
        "route": row.route,
        "late": bool(row.late),
        "reply_to": None if row.reply_to is None else row.reply_to.hex(),
        "quote": None if row.reply_to is None else _quote(row, name, remarks.quoted),
        "edited_at": timestamp(row.edited_at),
        "reactions": [
            {"emoji": one.emoji, "from": "me" if one.sender == ME else name, "mine": one.sender == ME}
            for one in remarks.reactions
        ],
        "pinned": remarks.pinned,
        "expires_in": row.expire_s or None,
        "expires_at": None if row.expires_at is None else timestamp(row.expires_at - ahead),
        "deleted": row.deleted_at is not None,
    }


def _quote(row: MessageRow, name: str, quoted: MessageRow | None) -> Json:
    """Return the message that another one answers, as far as it is here; else what the sender of the answer says it
    was.
    """
    if quoted is None:
        return {"from": None, "text": row.quote, "here": False, "deleted": False}
    return {
        "from": "me" if quoted.sender == ME else name,
        "text": beginning(quoted.text),
        "here": True,
        "deleted": quoted.deleted_at is not None,
    }


def contact(person: Contact, route: Route | None) -> Json:
    """Return a contact; `route` is how a message would travel now, None where no link is there. `hidden`: they must not
    learn our network address. `profile_name`: what they call themselves.
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
    """Return a request that came at `since`, with the eight words to compare. `known`: who is in the list and begins
    anew.
    """
    known = person.state != ContactState.REQUEST
    return {"id": person.id.hex(), "name": person.name, "since": timestamp(since), "sas": words, "known": known}


def invite(row: InviteRow, users: list[tuple[ContactId, str]], now: int) -> Json:
    """Return an invite made here; `users` are (id, name) of those contacts who came by it. Its text only while it is
    open.
    """
    is_open = row.state == InviteState.OPEN and row.expires_at > now
    ended = InviteState.EXPIRED if row.state == InviteState.OPEN else row.state
    return {
        "id": row.id.hex(),
        "kind": "one-time" if row.kind == ONE_TIME else "reusable",
        "label": row.label,
        "state": InviteState.OPEN if is_open else "revoked" if row.revoked_at is not None else ended,
        "created": timestamp(row.created_at),
        "expires": timestamp(row.expires_at),
        "uses": max(row.uses, len(users)),
        "used_by": [{"id": id.hex(), "name": name} for id, name in users],
        "ask": row.ask,
        "hidden": row.hidden,
        "invite": invite_text(row.encoded) if is_open and row.encoded is not None else None,
    }


def invite_text(encoded: bytes) -> str:
    """Return an invite's bytes as what a person copies."""
    return to_text(encoded)
