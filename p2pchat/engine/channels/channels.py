"""Founding a channel, following one, and what faces are told about it."""

from __future__ import annotations

from dataclasses import replace

from p2pchat.core.channels.bodies import new_secret
from p2pchat.core.channels.feed import Feed
from p2pchat.core.channels.links import CHANNEL, ChannelLink, decode_link, encode_link
from p2pchat.core.channels.posts import MAX_NAME_BYTES, MAX_SEQ, MAX_WRITERS, ChannelWriter, channel_id
from p2pchat.core.ids import ChatId, WriterKey
from p2pchat.core.invite import MAX_WAYS, from_text, kind_in, to_text
from p2pchat.core.primitives import KEY_BYTES, sign_public
from p2pchat.core.text import clean_name
from p2pchat.engine.channels import details, mirroring, writing
from p2pchat.engine.delivery import queues
from p2pchat.engine.runtime import views
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.engine.runtime.views import Json
from p2pchat.errors import BadInvite, CannotOpen, NotNow, UsageError
from p2pchat.lib.english import counted
from p2pchat.ports import Relay
from p2pchat.store import channels as store_channels
from p2pchat.store import chats as store_chats
from p2pchat.store import partners
from p2pchat.store.channels import ChannelRow
from p2pchat.store.chats import ChatKind, ChatRow
from p2pchat.store.contacts import Contact
from p2pchat.store.database import Database

MAX_CHANNELS = 64
"""Channels that one profile may write or follow: each has a connection to each of its relays."""
_CHAT_BYTES = 8


def create(tx: Transaction, name: str, *, private: bool) -> ChatId:
    """Found a channel with a new key, mirrored by our relays. Raises UsageError for a name that is none, NotNow without
    a relay.
    """
    cleaned = clean_name(name)
    if not cleaned or len(name.encode(errors="replace")) > MAX_NAME_BYTES:
        raise UsageError(f"The name of a channel has 1 to {MAX_NAME_BYTES} bytes")
    relays = queues.ours(tx)[:MAX_WAYS]
    if not relays:
        raise NotNow("A channel needs a relay that mirrors it", hint="Add one with `p2pchat relays add`.")
    _check_room(tx)
    seed = tx.random(KEY_BYTES)
    key = sign_public(seed)
    ways = tuple(details.way_of(relay) for relay in relays)
    secret = new_secret(tx.random) if private else None
    chat = _add(tx, cleaned, ChannelRow(ChatId(b""), key, WriterKey(key), seed, secret, ways))
    row = store_channels.get(tx.db, chat)
    assert row is not None
    store_channels.put_feed(tx.db, chat, Feed(row.own_feed))
    writing.sign_head(tx, row)
    return chat


def is_link(written: str) -> bool:
    """Return whether a text is the link of a channel. Raises BadInvite if it is no invite of any kind."""
    return kind_in(from_text(written)) == CHANNEL


def follow(tx: Transaction, written: str, name: str | None) -> ChatId:
    """Follow the channel of a link; the same one again gives the same chat. Raises BadInvite, NotNow."""
    try:
        link = decode_link(from_text(written))
    except CannotOpen:
        raise BadInvite from None
    writer = None if link.seed is None else WriterKey(sign_public(link.seed))
    known = store_channels.with_key(tx.db, link.key)
    if known is not None:
        details.with_link(tx, known, link.ways)
        if writer is not None and (known.writer is None or not _is_named(tx.db, known)):
            store_channels.write_as(tx.db, known.chat, writer, link.seed)
            tx.channels_changed = True
        return known.chat
    _check_room(tx)
    called = clean_name(name or "") or link.name or channel_id(link.key).hex()[:12]
    return _add(tx, called, ChannelRow(ChatId(b""), link.key, writer, link.seed, link.secret, link.ways))


def add_writer(tx: Transaction, row: ChannelRow, name: str) -> str:
    """Let somebody else write in a channel of ours, under this name. Return the link that is for them alone. Raises
    UsageError for a name that is none, NotNow where that cannot be.
    """
    cleaned = clean_name(name)
    if not cleaned or len(name.encode(errors="replace")) > MAX_NAME_BYTES:
        raise UsageError(f"The name of a writer has 1 to {MAX_NAME_BYTES} bytes")
    named = _writers(tx.db, row)
    if any(writer.name.casefold() == cleaned.casefold() for writer in named if writer.most > MAX_SEQ):
        raise NotNow(f"{cleaned} writes in this channel already")
    if len(named) >= MAX_WRITERS:
        raise NotNow(f"A channel has at most {MAX_WRITERS} other writers, those who were removed among them")
    seed = tx.random(KEY_BYTES)
    writing.sign_head(tx, row, (*named, ChannelWriter(WriterKey(sign_public(seed)), cleaned)))
    tx.channels_written[row.chat] = None
    tx.channels_changed = True
    return link_of(tx.db, row, seed)


def remove_writer(tx: Transaction, row: ChannelRow, named: str) -> None:
    """Let a writer write nothing more in a channel of ours; what is here of them stays. Raises UsageError if there is
    none.
    """
    writers = list(_writers(tx.db, row))
    wanted = named.strip().casefold()
    place = next((at for at, one in enumerate(writers) if one.most > MAX_SEQ and one.name.casefold() == wanted), None)
    if place is None:
        raise UsageError(f"{named} does not write in this channel")
    stays = store_channels.feed(tx.db, row, writers[place].key).count
    writers[place] = writers[place]._replace(most=stays)
    writing.sign_head(tx, row, tuple(writers))
    tx.channels_written[row.chat] = None


def writers_shown(db: Database, row: ChannelRow) -> list[Json]:
    """Return who else writes in a channel, or did."""
    return [
        {
            "name": writer.name,
            "id": writer.key.hex(),
            "posts": store_channels.feed(db, row, writer.key).count,
            "removed": writer.most <= MAX_SEQ,
        }
        for writer in _writers(db, row)
    ]


def _is_named(db: Database, row: ChannelRow) -> bool:
    """Return whether the key with which we write in a channel is its own, or that of a writer whom it names."""
    return row.is_ours or any(writer.key == row.writer for writer in _writers(db, row))


def _writers(db: Database, row: ChannelRow) -> tuple[ChannelWriter, ...]:
    head = store_channels.feed(db, row, WriterKey(row.key)).head
    return () if head is None else head.writers


def link_of(db: Database, row: ChannelRow, seed: bytes | None = None) -> str:
    """Return the text that leads to a channel. seed: of a writer, for the link that is theirs alone."""
    chat = store_chats.get(db, row.chat)
    name = "" if chat is None else chat.name
    ways = row.relays
    if handing := mirroring.relays_of(db, row):  # what a follower passes on leads to where they hand it on as well
        ways = (*ways[: MAX_WAYS - 1], *(details.way_of(relay) for relay in handing))
    return to_text(encode_link(ChannelLink(row.key, row.secret, ways[:MAX_WAYS], name, seed)))


def relays_of(row: ChannelRow, *, retired: bool = False) -> list[Relay]:
    """Return the relays that mirror a channel, as the net reaches them: they are nobody's choice here. retired: those
    that do so no longer.
    """
    ways = row.retired if retired else row.relays
    return [Relay(way.peer, (way.address,), way.token, chosen=row.is_ours) for way in ways]


def found(db: Database, named: str) -> tuple[ChannelRow, Contact]:
    """Return the channel of the chat that a user names, and the stand-in for its other side. Raises NoSuchContact, or
    UsageError for another chat.
    """
    partner = partners.find(db, named)
    row = store_channels.get(db, ChatId(partner.id))
    if row is None:
        raise UsageError(f"{partner.name} is not a channel")
    return row, partner


def shown(db: Database, row: ChannelRow, name: str, problem: str) -> Json:
    """Return the object of a channel. problem: of its relays, "" if there is none."""
    feed = store_channels.feed(db, row, WriterKey(row.key))
    head = feed.head
    writers = () if head is None else head.writers
    others = [(store_channels.feed(db, row, writer.key), writer) for writer in writers]
    missing = feed.missing + sum(other.missing for other, _ in others)
    withheld = feed.withheld + sum(max(0, min(other.withheld, writer.most - other.count)) for other, writer in others)
    forked = next((writer.name for other, writer in others if other.fork is not None), None)
    return {
        "chat": row.chat.hex(),
        "name": name,
        "id": channel_id(row.key).hex(),
        "mine": row.is_ours,
        "writes": row.seed is not None,
        "private": row.secret is not None,
        "mirrors": row.mirrors,
        "posts": feed.count,
        "missing": missing,
        "withheld": withheld,
        "heard": None if head is None else views.timestamp(head.at),
        "forked": feed.fork is not None,
        "problem": _problem(feed, missing, withheld, forked) or problem,
    }


def _problem(feed: Feed, missing: int, withheld: int, forked: str | None) -> str:
    """Return what is wrong with a channel. missing, withheld: posts of all its writers. forked: the name of another
    writer whose feed has forked.
    """
    if feed.fork is not None:
        return "its writer has signed two different posts with one number: nothing more of it is taken"
    if forked is not None:
        by = forked or "another writer"
        return f"{by} has signed two different posts with one number: no more of theirs is taken"
    if withheld:
        return f"its relays do not hand out the newest {counted(withheld, 'post') if withheld > 1 else 'post'}"
    if not missing:
        return ""
    gone = "is missing: no relay has it" if missing == 1 else "are missing: no relay has them"
    return f"{counted(missing, 'post')} {gone} any more"


def _check_room(tx: Transaction) -> None:
    if len(store_channels.all(tx.db)) >= MAX_CHANNELS:
        raise NotNow(f"There are {MAX_CHANNELS} channels already", hint="Forget one first: `p2pchat forget NAME`.")


def _add(tx: Transaction, name: str, row: ChannelRow) -> ChatId:
    chat = ChatId(tx.random(_CHAT_BYTES))
    store_chats.add(tx.db, ChatRow(chat, ChatKind.CHANNEL, tx.now, name=name))
    store_channels.add(tx.db, replace(row, chat=chat))
    tx.memory.named.clear()
    tx.people_changed = tx.channels_changed = True
    partner = partners.of(tx.db, chat)
    if partner is not None:
        tx.event("contact", **views.contact(partner, None))
    return chat
