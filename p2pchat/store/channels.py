"""Channels: who we are in each, what is known of its feeds, and the posts behind its messages.

Whatever is read back is decoded as strictly as what comes from outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from p2pchat.core import primitives as prim
from p2pchat.core.channels import posts
from p2pchat.core.channels.feed import Feed
from p2pchat.core.channels.posts import FeedName, Post
from p2pchat.core.codec import array, binary, binary_upto, decode, encode, listing
from p2pchat.core.ids import ChatId, ContactId, MessageId, PeerKey, WriterKey
from p2pchat.core.invite import MAX_ADDRESS, MAX_WAYS, ROLE_RELAY, InviteWay
from p2pchat.core.mailbox import MAX_TOKEN
from p2pchat.store.database import Database, Row

MAX_RELAYS = 2 * MAX_WAYS
"""Relays of one channel that are used: those of its head, or of its newest link and of an earlier one."""
_SENDER_BYTES = 8
_RELAYS = listing(array(binary(prim.KEY_BYTES), binary_upto(MAX_ADDRESS), binary_upto(MAX_TOKEN)), MAX_RELAYS)
_MAX_RELAYS_BYTES = MAX_RELAYS * (MAX_ADDRESS + MAX_TOKEN + prim.KEY_BYTES + 16)


@dataclass(frozen=True, slots=True, repr=False)
class ChannelRow:
    """A channel. key: its public key. writer, seed: of the key with which we write there, or None. secret: opens the
    posts of a private one. relays: those that mirror it. retired: those of ours that do so no longer, and have to be
    told. mirrors: whether we hand on what others write.
    """

    chat: ChatId
    key: bytes
    writer: WriterKey | None
    seed: bytes | None
    secret: bytes | None
    relays: tuple[InviteWay, ...]
    retired: tuple[InviteWay, ...] = ()
    mirrors: bool = False

    @property
    def own_feed(self) -> FeedName:
        """The name of the channel's own feed."""
        return posts.own_feed(self.key)

    @property
    def is_ours(self) -> bool:
        """Whether the channel's own key is here."""
        return self.writer == self.key


@dataclass(frozen=True, slots=True, repr=False)
class PostRemark:
    """What a writer says later about a post of theirs, which became the message with this id. number, hash, at: of the
    post that says so; at in ms. text: the new one; None: it is withdrawn.
    """

    message: MessageId
    number: int
    hash: bytes
    at: int
    text: str | None


_SELECT = "SELECT chat, key, writer, seed, secret, relays, retired, mirrors FROM channels"
_FEED = "SELECT writer, first, count, last, head, missing, fork FROM channel_feeds"
_PUT_FEED = """
INSERT INTO channel_feeds (chat, writer, first, count, last, head, missing, fork, sender)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (chat, writer) DO UPDATE SET first = excluded.first, count = excluded.count, last = excluded.last,
    head = excluded.head, missing = excluded.missing, fork = excluded.fork, sender = excluded.sender
"""
_ADD_POST = """
INSERT INTO channel_posts (feed, seq, header, signature, body)
SELECT pk, ?3, ?4, ?5, ?6 FROM channel_feeds WHERE chat = ?1 AND writer = ?2 ON CONFLICT DO NOTHING
"""
_FEED_PK = "(SELECT pk FROM channel_feeds WHERE chat = ? AND writer = ?)"
_KEEP_REMARK = """
INSERT INTO channel_remarks (feed, message, number, hash, at, body)
SELECT pk, ?3, ?4, ?5, ?6, ?7 FROM channel_feeds
WHERE chat = ?1 AND writer = ?2 AND (
    EXISTS (SELECT 1 FROM channel_remarks WHERE feed = pk AND message = ?3)
    OR (SELECT count(*) FROM channel_remarks WHERE feed = pk) < ?8)
ON CONFLICT (feed, message) DO UPDATE SET number = excluded.number, hash = excluded.hash, at = excluded.at,
    body = excluded.body WHERE excluded.number > number AND body IS NOT NULL
"""
_POSTS = f"""
SELECT seq, header, signature, body FROM channel_posts WHERE feed = {_FEED_PK} AND seq >= ? ORDER BY seq LIMIT ?
"""


def add(db: Database, row: ChannelRow) -> None:
    """Save a channel, whose chat exists."""
    db.execute(
        "INSERT INTO channels (chat, key, writer, seed, secret, relays) VALUES (?, ?, ?, ?, ?, ?)",
        (row.chat, row.key, row.writer, row.seed, row.secret, _ways(row.relays)),
    )


def use(db: Database, chat: ChatId, relays: Sequence[InviteWay], retired: Sequence[InviteWay]) -> None:
    """Note which relays mirror a channel from now on, and which do so no longer and have to be told."""
    db.execute("UPDATE channels SET relays = ?, retired = ? WHERE chat = ?", (_ways(relays), _ways(retired), chat))


def mirror(db: Database, chat: ChatId, *, mirrors: bool) -> None:
    """Note whether we hand on what others write in a channel."""
    db.execute("UPDATE channels SET mirrors = ? WHERE chat = ?", (mirrors, chat))


def get(db: Database, chat: ChatId) -> ChannelRow | None:
    """Return a channel by its chat, or None."""
    row = db.query_one(f"{_SELECT} WHERE chat = ?", (chat,))
    return None if row is None else _made(row)


def frozen(db: Database) -> set[ChatId]:
    """Return the channels whose owner has signed two different posts with one number."""
    sql = """SELECT channels.chat FROM channels JOIN channel_feeds
        ON channel_feeds.chat = channels.chat AND channel_feeds.writer = channels.key WHERE fork IS NOT NULL"""
    return {ChatId(chat) for (chat,) in db.query(sql)}


def with_key(db: Database, key: bytes) -> ChannelRow | None:
    """Return the channel with this public key, or None."""
    row = db.query_one(f"{_SELECT} WHERE key = ?", (key,))
    return None if row is None else _made(row)


def all(db: Database) -> list[ChannelRow]:
    """Return every channel."""
    return [_made(row) for row in db.query(f"{_SELECT} ORDER BY chat")]


def sender_of(writer: WriterKey) -> ContactId:
    """Return the id under which messages of a writer of a channel are saved: no contact's."""
    return ContactId(prim.blake2b(writer, b"p2pchat1 channel")[:_SENDER_BYTES])


def names(db: Database, row: ChannelRow, name: str) -> dict[ContactId, str]:
    """Return the names of all who have written in a channel, by the senders of its messages. name: the channel's, under
    which its owner writes, and whoever its newest head does not name any more.
    """
    head = feed(db, row, WriterKey(row.key)).head
    writers = () if head is None else head.writers
    known = db.query("SELECT writer FROM channel_feeds WHERE chat = ?", (row.chat,))
    named = {sender_of(WriterKey(writer)): name for (writer,) in known}
    return {**named, **{sender_of(writer.key): writer.name or name for writer in writers}}


def write_as(db: Database, chat: ChatId, writer: WriterKey, seed: bytes | None) -> None:
    """Note the key with which we write in a channel from now on."""
    db.execute("UPDATE channels SET writer = ?, seed = ? WHERE chat = ?", (writer, seed, chat))


def remove(db: Database, chat: ChatId) -> None:
    """Delete a channel with its feeds. Its chat and messages stay, as a chat that nobody writes in any more."""
    db.execute("DELETE FROM channels WHERE chat = ?", (chat,))
    db.execute("UPDATE chats SET kind = 'direct' WHERE id = ?", (chat,))


def feed(db: Database, channel: ChannelRow, writer: WriterKey) -> Feed:
    """Return what is known of a feed of a channel; nothing is known of one that is not here."""
    name = FeedName(channel.key, writer)
    row = db.query_one(f"{_FEED} WHERE chat = ? AND writer = ?", (channel.chat, writer))
    if row is None:
        return Feed(name)
    _, first, count, last, head, missing, fork = row
    return Feed(
        name,
        first,
        count,
        last,
        None if head is None else posts.decode_head(name, head, checked=True),
        missing,
        None if fork is None else posts.decode_fork(fork),
    )


def put_feed(db: Database, chat: ChatId, known: Feed) -> None:
    """Save what is known of a feed."""
    head = None if known.head is None else posts.encode_head(known.head)
    fork = None if known.fork is None else posts.encode_fork(known.fork)
    writer = known.name.writer
    values = (chat, writer, known.first, known.count, known.last, head, known.missing, fork, sender_of(writer))
    db.execute(_PUT_FEED, values)


def add_post(db: Database, chat: ChatId, post: Post, *, body: bool) -> None:
    """Save a post of a feed that is saved; its body only if `body`."""
    header = post.header
    kept = post.body if body else None
    db.execute(_ADD_POST, (chat, header.writer, header.seq, header.raw, post.signature, kept))


def put_body(db: Database, chat: ChatId, name: FeedName, post: Post) -> None:
    """Save the body of a post that is here without."""
    sql = f"UPDATE channel_posts SET body = ? WHERE seq = ? AND body IS NULL AND feed = {_FEED_PK}"
    db.execute(sql, (post.body, post.header.seq, chat, name.writer))


def drop_bodies_between(db: Database, chat: ChatId, name: FeedName, start: int, end: int) -> None:
    """Delete the bodies of the posts of a feed from number `start` to before `end`."""
    sql = f"UPDATE channel_posts SET body = NULL WHERE seq >= ? AND seq < ? AND feed = {_FEED_PK}"
    db.execute(sql, (start, end, chat, name.writer))


def drop_bodies(db: Database, row: ChannelRow) -> None:
    """Delete the bodies of all posts in a channel that others have written."""
    sql = """
    UPDATE channel_posts SET body = NULL
    WHERE feed IN (SELECT pk FROM channel_feeds WHERE chat = ? AND writer IS NOT ?)
    """
    db.execute(sql, (row.chat, row.writer))


def post(db: Database, chat: ChatId, name: FeedName, seq: int) -> Post | None:
    """Return a post by its number, or None."""
    found = page(db, chat, name, seq, 1)
    return found[0] if found and found[0].header.seq == seq else None


def page(db: Database, chat: ChatId, name: FeedName, start: int, most: int) -> Sequence[Post]:
    """Return at most so many posts from number `start` on, in order."""
    rows = db.query(_POSTS, (chat, name.writer, start, most))
    return [posts.open_post(name, header, signature, body, checked=True) for _, header, signature, body in rows]


def keep_remark(db: Database, chat: ChatId, name: FeedName, remark: PostRemark, most: int) -> None:
    """Keep what was said about a post that is not here: the newest text, or that it is withdrawn, which nothing takes
    back. Of one feed at most so many are kept.
    """
    values = (chat, name.writer, remark.message, remark.number, remark.hash, remark.at, remark.text, most)
    db.execute(_KEEP_REMARK, values)


def is_withdrawn(db: Database, chat: ChatId, name: FeedName, message: MessageId) -> bool:
    """Return whether a post that is not here is withdrawn."""
    sql = f"SELECT 1 FROM channel_remarks WHERE message = ? AND feed = {_FEED_PK} AND body IS NULL"
    return db.query_one(sql, (message, chat, name.writer)) is not None


def take_remark(db: Database, chat: ChatId, name: FeedName, message: MessageId) -> PostRemark | None:
    """Return what was said about a post before it came, and forget it."""
    sql = f"DELETE FROM channel_remarks WHERE message = ? AND feed = {_FEED_PK} RETURNING number, hash, at, body"
    rows = db.query(sql, (message, chat, name.writer))
    return PostRemark(message, *rows[0]) if rows else None


def _made(row: Row) -> ChannelRow:
    chat, key, writer, seed, secret, relays, retired, mirrors = row
    mine = None if writer is None else WriterKey(writer)
    return ChannelRow(ChatId(chat), key, mine, seed, secret, _read(relays), _read(retired), bool(mirrors))


def _ways(ways: Sequence[InviteWay]) -> bytes:
    return encode([[way.peer, way.address, way.token] for way in ways])


def _read(relays: bytes) -> tuple[InviteWay, ...]:
    return tuple(
        InviteWay(PeerKey(peer), address, ROLE_RELAY, token)
        for peer, address, token in _RELAYS(decode(relays, _MAX_RELAYS_BYTES))
    )
