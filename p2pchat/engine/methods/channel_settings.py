"""Methods about what the owner of a channel decides, and who follows one: its relays, the group that talks about it."""

from __future__ import annotations

from p2pchat.core.channels.details import ChannelDetails, group_mark
from p2pchat.core.groups.roles import Role
from p2pchat.core.ids import ChatId
from p2pchat.core.invite import decode_invite
from p2pchat.engine.channels import channels, details, mirroring, owner
from p2pchat.engine.contacts import revoking
from p2pchat.engine.engine import Engine
from p2pchat.engine.groups import links
from p2pchat.engine.methods.groups import group_of
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import Json
from p2pchat.errors import NotNow, UsageError
from p2pchat.lib.times import DAY_SECONDS
from p2pchat.ports import Relay
from p2pchat.store import channels as store_channels
from p2pchat.store import invites as store_invites
from p2pchat.store import relays as store_relays
from p2pchat.store.channels import ChannelRow
from p2pchat.store.database import Database
from p2pchat.store.groups import groups as store_groups
from p2pchat.store.groups.groups import GroupRow
from p2pchat.store.invites import InviteState

COMMENTS_DAYS = 365
"""How long an invite to the group of a channel is good."""


async def relays(engine: Engine, *, chat: str, add: str | None = None, remove: str | None = None) -> Json:
    """Return which relays mirror a channel, after adding or removing one. Raises UsageError for both at once: if one of
    them failed, the other would be done.
    """
    if add is not None and remove is not None:
        raise UsageError("Give one of `add` and `remove`")
    added = None if add is None else engine.net.mailboxes.relay_at(add)
    removed = None if remove is None else engine.net.mailboxes.relay_at(remove)

    def act(tx: Transaction) -> ChannelRow:
        row = _found(tx.db, chat, changes=added is not None or removed is not None)
        if added is not None:
            owner.add_relay(tx, row, _with_token(tx.db, added))
        if removed is not None:
            owner.remove_relay(tx, row, removed.peer)
        return _found(tx.db, chat)

    row: ChannelRow = await engine.committer.submit(act)
    address = engine.net.mailboxes.address_of
    return {
        "relays": [address(relay) for relay in channels.relays_of(row)],
        "leaving": [address(relay) for relay in channels.relays_of(row, retired=True)],
    }


async def comments(engine: Engine, *, chat: str, group: str | None = None, remove: bool = False) -> Json:
    """Return the group in which people talk about a channel, after linking one or none."""
    if group is not None and remove:
        raise UsageError("Give one of `group` and `remove`")

    def act(tx: Transaction) -> Json:
        row = _found(tx.db, chat, changes=group is not None or remove)
        known = _details(tx.db, row)
        if group is not None or remove:
            linked = None if group is None else group_of(tx.db, group)
            invite = None if linked is None else _invite(tx, linked)
            mark = None if linked is None else group_mark(row.key, linked.group_id)
            owner.change(tx, row, known._replace(comments=invite, group=mark))
            _revoke(tx, known.comments)
        return {"comments": shown(tx.db, _found(tx.db, chat))}

    answer: Json = await engine.committer.submit(act)
    return answer


async def mirror(engine: Engine, *, chat: str, mirrors: bool | None = None) -> Json:
    """Return whether we hand on a channel that we follow, and where, after a change."""

    def act(tx: Transaction) -> Json:
        row = _found(tx.db, chat)
        if mirrors is not None:
            mirroring.change(tx, row, mirrors=mirrors)
        row = _found(tx.db, chat)
        address = engine.net.mailboxes.address_of
        relays = [address(relay) for relay in mirroring.relays_of(tx.db, row)]
        problem = engine.channels.handing_problem(row.chat) if row.mirrors else ""
        return {"mirrors": row.mirrors, "relays": relays, "problem": problem}

    answer: Json = await engine.committer.submit(act)
    return answer


def shown(db: Database, row: ChannelRow) -> Json | None:
    """Return the object of the group that talks about a channel; None if its owner has linked none."""
    known = _details(db, row)
    encoded = known.comments
    if encoded is None:
        return None
    invite = decode_invite(encoded)
    chat = None if known.group is None else _group(db, row, known.group)
    return {
        "name": invite.name or "",
        "text": views.invite_text(encoded),
        "expires": views.timestamp(1000 * invite.expires_at),
        "chat": None if chat is None else chat.hex(),
    }


def _found(db: Database, named: str, *, changes: bool = False) -> ChannelRow:
    """Return the channel that a user names. changes: it has to be theirs."""
    row, partner = channels.found(db, named)
    if changes and not row.is_ours:
        raise NotNow(f"{partner.name} is not yours")
    return row


def _details(db: Database, row: ChannelRow) -> ChannelDetails:
    return details.of(row, store_channels.feed(db, row, row.own_feed.writer).head)


def _with_token(db: Database, relay: Relay) -> Relay:
    """Return a relay with the token by which we use it ourselves, if none was given."""
    ours = next((row for row in store_relays.all(db) if row.peer == relay.peer), None)
    return relay if ours is None or relay.token else Relay(relay.peer, relay.addresses, ours.token)


def _invite(tx: Transaction, row: GroupRow) -> bytes:
    """Return an invite to a group for everybody who reads a channel. It names our relays, and not where our node is."""
    expires_s = COMMENTS_DAYS * int(DAY_SECONDS)
    made = links.make(tx, row, expires_s=expires_s, uses=None, ask=True, role=Role.MEMBER, hidden=True)
    assert made.encoded is not None
    return made.encoded


def _revoke(tx: Transaction, encoded: bytes | None) -> None:
    """End the invite that a head has named until now."""
    for row in store_invites.open_invites(tx.db) if encoded is not None else ():
        if row.encoded == encoded and row.state == InviteState.OPEN:
            revoking.end(tx, row)


def _group(db: Database, row: ChannelRow, mark: bytes) -> ChatId | None:
    """Return the chat of the group that a channel names by this mark, if we are in it."""
    for chat in store_groups.chats(db):
        group = store_groups.present(db, chat)
        if group is not None and group_mark(row.key, group.group_id) == mark:
            return chat
    return None
