"""The relay's store of channels' feeds: one run of posts and the newest head of each (docs/protocol/channels.md).

Everything is checked before it is kept: signatures, links, and who may write. The file is apart from those of messages
and files, and has a quota of its own. Nothing in it says who put or read anything, or from where.

Space is shared as that of messages is (`holdings`), among those who put what is first of a channel, or what is new of
one that was here at the start: where the store is full, the oldest posts of those go who hold most, and else a feed
makes room with its own.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from p2pchat.core.channels import frames, posts
from p2pchat.core.channels.frames import NEWEST, FeedGet
from p2pchat.core.channels.posts import FeedHead, FeedName, Post, channel_id, own_feed
from p2pchat.core.ids import ChannelId
from p2pchat.errors import CannotOpen, DatabaseNewer, P2PChatError
from p2pchat.lib.times import HOUR_MS
from p2pchat.relay import disk, store_files
from p2pchat.relay.disk import translated
from p2pchat.relay.holdings import Holdings, Source

MAX_PAGE_BYTES = 1 << 20
"""Bytes of posts in one answer."""
MAX_EXPIRED_AT_ONCE = 16
"""Feeds that `expire` removes at once: others wait meanwhile."""
ROW_BYTES = 64
"""Bytes that a row counts for besides what is in it."""
FEED_BYTES = 4_096
"""Bytes that a feed counts for besides its head and its posts: so there are no more of them than fit in memory."""
_SCHEMA = 1
_TABLES = """
CREATE TABLE feeds (
    id INTEGER PRIMARY KEY,
    channel BLOB NOT NULL, -- its key
    writer BLOB NOT NULL,
    head BLOB, -- the newest, as it was put
    first INTEGER NOT NULL, -- the posts that are here: from this number
    next INTEGER NOT NULL, -- to before this one
    last BLOB NOT NULL, -- the hash of the last
    bytes INTEGER NOT NULL,
    expires INTEGER NOT NULL, -- in hours of the relay's own time
    UNIQUE (channel, writer)
) STRICT;
CREATE INDEX feeds_by_expiry ON feeds (expires);
CREATE TABLE posts (
    feed INTEGER NOT NULL REFERENCES feeds (id),
    seq INTEGER NOT NULL,
    size INTEGER NOT NULL,
    post BLOB NOT NULL,
    PRIMARY KEY (feed, seq)
) STRICT, WITHOUT ROWID;
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeedQuota:
    """The bytes of all feeds, and the bytes and posts of one. hours: for which a feed is kept after its newest head.
    new: whether channels are taken that are not here. total_bytes 0: none are.
    """

    total_bytes: int = 0
    feed_bytes: int = 16 << 20
    feed_posts: int = 4_096
    hours: int = 720
    new: bool = True


class FeedChange(NamedTuple):
    """A post or a head to be kept. is_head: which of the two `data` is. source: where it comes from (`holdings`)."""

    feed: FeedName
    data: bytes
    is_head: bool
    source: Source = ()


class FeedResult(NamedTuple):
    """What became of a change: a code of the protocol. new: it was not here before."""

    code: int
    new: bool = False


class FeedPage(NamedTuple):
    """An answer to a GET: the newest head, posts in order, whether more are behind them, and which posts are here."""

    head: bytes | None
    posts: list[bytes]
    more: bool = False
    first: int = 0
    next: int = 0
    code: int = frames.DONE


class _Row(NamedTuple):
    id: int
    head: bytes | None
    first: int
    next: int
    last: bytes
    bytes: int


class FeedStore:
    """The database of feeds. Used by one thread at a time. room: whether the disk has space for what this would add."""

    def __init__(self, connection: sqlite3.Connection, quota: FeedQuota, room: Callable[[], bool]) -> None:
        self._db = connection
        self._room = room
        self.quota = quota
        self.refused: frozenset[ChannelId] = frozenset()
        self._holdings = Holdings(quota.total_bytes, spares_read=False)  # everybody may read, and pretend to
        self._undo: list[tuple[bytes, int, Source, int]] = []
        with translated():
            (self.posts,) = connection.execute("SELECT count(*) FROM posts").fetchone()
            for channel, size, feeds in connection.execute(
                "SELECT channel, sum(bytes), count(*) FROM feeds GROUP BY channel"
            ):
                self._holdings.add(channel, size, (), feeds)

    @classmethod
    def open(cls, path: Path, quota: FeedQuota, room: Callable[[], bool] = lambda: True) -> FeedStore:
        """Open or create the database at `path`. Raises DatabaseDamaged, DatabaseNewer, DiskFull or ProfileError."""
        return cls(disk.opened(path, _migrate), quota, room)

    @classmethod
    def open_or_none(cls, path: Path, quota: FeedQuota, room: Callable[[], bool]) -> FeedStore | None:
        """Open the store as `open` does. Return None where there is to be none (a quota of 0), and then delete what is
        there; and where it cannot be used, which is logged: a relay goes on without it.
        """
        if not quota.total_bytes:
            store_files.remove(path)
            return None
        try:
            return cls.open(path, quota, room)
        except P2PChatError as error:
            log.error("no channels are mirrored: %s", error.line())
            return None

    @property
    def size(self) -> int:
        """The bytes of all feeds."""
        return self._holdings.size

    @property
    def feeds(self) -> int:
        """The number of feeds."""
        return self._holdings.blobs

    def close(self) -> None:
        """Close the database."""
        with suppress(sqlite3.Error):
            self._db.close()

    # --- what changes it ---------------------------------------------------------------------------------------------

    def change(self, changes: Sequence[FeedChange], now: int) -> list[FeedResult]:
        """Keep posts and heads in one transaction; return what became of each. now: ms of the relay's own time. Raises
        DiskFull, DatabaseDamaged or ProfileError, and has then changed nothing.
        """
        self._at(now)
        with self._transaction():
            results = list[FeedResult]()
            for change in changes:
                results.append(self._change(change, now))
                if results[-1].new:
                    self._attribute(change)
            return results

    def refuse(self, channels: Iterable[ChannelId]) -> int:
        """Refuse exactly these channels from now on, and delete what is here of them; return how many feeds that were.
        Raises as `change`.
        """
        self.refused = frozenset(channels)
        with self._transaction():
            rows = self._db.execute("SELECT id, channel FROM feeds").fetchall() if self.refused else []
            gone = [id for id, key in rows if channel_id(key) in self.refused]
            for id in gone:
                self._delete(id)
        if gone:
            self.checkpoint()
        return len(gone)

    def expire(self, now: int) -> int:
        """Delete feeds whose time is over, some at a time; return how many. now: ms. Raises as `change`."""
        self._at(now)
        with self._transaction():
            rows = self._db.execute(
                "SELECT id FROM feeds WHERE expires <= ? LIMIT ?", (now // HOUR_MS, MAX_EXPIRED_AT_ONCE)
            ).fetchall()
            for (id,) in rows:
                self._delete(id)
        return len(rows)

    def checkpoint(self) -> None:
        """Have what was deleted gone from the log of the database too. Raises as `change`."""
        with translated():
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    # --- what reads it -----------------------------------------------------------------------------------------------

    def page(self, get: FeedGet) -> FeedPage:
        """Return the answer to a GET. Raises DatabaseDamaged or ProfileError."""
        if channel_id(get.feed.channel) in self.refused or not self.quota.total_bytes:
            return FeedPage(None, [], code=frames.REFUSED)
        with translated():
            row = self._row(get.feed)
            if row is None:
                return FeedPage(None, [])
            self._holdings.read(get.feed.channel)
            start = max(row.first, row.next - get.want) if get.start == NEWEST else max(get.start, row.first)
            found, left = list[bytes](), MAX_PAGE_BYTES
            rows = self._db.execute(
                "SELECT post FROM posts WHERE feed = ? AND seq >= ? ORDER BY seq LIMIT ?", (row.id, start, get.want)
            )
            for (post,) in rows:
                if found and len(post) > left:
                    break
                left -= len(post)
                found.append(post)
            more = start + len(found) < row.next
            return FeedPage(row.head, found, more, row.first, row.next)

    # --- one change --------------------------------------------------------------------------------------------------

    def _change(self, change: FeedChange, now: int) -> FeedResult:
        feed = change.feed
        if channel_id(feed.channel) in self.refused or not self.quota.total_bytes:
            return FeedResult(frames.REFUSED)
        row = self._row(feed)
        if row is None and not self.quota.new and self._row(own_feed(feed.channel)) is None:
            return FeedResult(frames.REFUSED)
        try:
            most = posts.MAX_SEQ + 1 if feed.is_own else self._most(feed)
            if change.is_head:
                return self._keep_head(change, row, posts.decode_head(feed, change.data), now, most)
            return self._keep_post(change, row, posts.decode_post(feed, change.data), now, most)
        except CannotOpen:
            return FeedResult(frames.MALFORMED)

    def _keep_head(self, change: FeedChange, row: _Row | None, head: FeedHead, now: int, most: int) -> FeedResult:
        feed, data = change.feed, change.data
        if not most or head.count > most:
            return FeedResult(frames.MALFORMED)
        if row is not None:
            if row.head is not None:
                old = posts.decode_head(feed, row.head, checked=True)
                if old.count == head.count and old.last != head.last:
                    return FeedResult(frames.FORK)
                if (head.count, head.at) <= (old.count, old.at):
                    return FeedResult(frames.DONE)
            named = self._hash_of(feed, row, head.count - 1)
            if named is not None and named != head.last:
                return FeedResult(frames.FORK)
        grown = len(data) - (0 if row is None or row.head is None else len(row.head))
        if not self._make_room(change, row, grown):
            return FeedResult(frames.RELAY_FULL)
        id = self._new(change, now) if row is None else row.id
        expires = now // HOUR_MS + self.quota.hours
        self._db.execute(
            "UPDATE feeds SET head = ?, expires = max(expires, ?), bytes = bytes + ? WHERE id = ?",
            (data, expires, grown, id),
        )
        self._count(feed.channel, grown)
        return FeedResult(frames.DONE, new=True)

    def _keep_post(self, change: FeedChange, row: _Row | None, post: Post, now: int, most: int) -> FeedResult:
        feed, data, seq, header = change.feed, change.data, post.header.seq, post.header
        if seq >= most:
            return FeedResult(frames.MALFORMED)
        if row is not None and row.next > row.first:
            if seq < row.first or row.next < seq < row.next + self.quota.feed_posts:
                return FeedResult(frames.GAP)
            if seq < row.next:
                if self._hash_of(feed, row, seq) != header.hash:
                    return FeedResult(frames.FORK)
                return FeedResult(frames.DONE, new=self._add_body(feed, row, post, data))
            if seq == row.next and header.prev != row.last:
                return FeedResult(frames.FORK)
        if row is not None and row.head is not None:
            head = posts.decode_head(feed, row.head, checked=True)
            if head.count == seq + 1 and head.last != header.hash:
                return FeedResult(frames.FORK)
        size = len(data) + ROW_BYTES
        if size > self.quota.feed_bytes:
            return FeedResult(frames.FEED_FULL)
        if not self._make_room(change, row, size):
            return FeedResult(frames.RELAY_FULL)
        id = self._new(change, now) if row is None else row.id
        if row is not None and seq > row.next:  # with those between, none that is here would be kept
            self._drop_all(id)
        self._db.execute("INSERT INTO posts (feed, seq, size, post) VALUES (?, ?, ?, ?)", (id, seq, size, data))
        self._db.execute(
            "UPDATE feeds SET first = CASE WHEN first = next THEN ? ELSE first END, next = ?, last = ?,"
            " bytes = bytes + ? WHERE id = ?",
            (seq, seq + 1, header.hash, size, id),
        )
        self._count(feed.channel, size)
        self.posts += 1
        self._trim(id)
        return FeedResult(frames.DONE, new=True)

    def _add_body(self, feed: FeedName, row: _Row, post: Post, data: bytes) -> bool:
        """Complete a post that is here without its body; return whether it was."""
        size, place = len(data) + ROW_BYTES, (row.id, post.header.seq)
        (held,) = self._db.execute("SELECT size FROM posts WHERE feed = ? AND seq = ?", place).fetchone()
        grown = size - int(held)
        if post.body is None or grown <= 0 or self._is_full(grown) or row.bytes + grown > self.quota.feed_bytes:
            return False
        self._db.execute("UPDATE posts SET post = ?, size = ? WHERE feed = ? AND seq = ?", (data, size, *place))
        self._db.execute("UPDATE feeds SET bytes = bytes + ? WHERE id = ?", (grown, row.id))
        self._count(feed.channel, grown)
        return True

    def _most(self, feed: FeedName) -> int:
        """Return how many posts of another writer count, by the channel's own newest head here."""
        own = own_feed(feed.channel)
        row = self._row(own)
        if row is None or row.head is None:
            return 0
        return posts.decode_head(own, row.head, checked=True).most(feed.writer)

    def _hash_of(self, feed: FeedName, row: _Row, seq: int) -> bytes | None:
        found = self._db.execute("SELECT post FROM posts WHERE feed = ? AND seq = ?", (row.id, seq)).fetchone()
        return None if found is None else posts.decode_post(feed, found[0], checked=True).header.hash

    def _new(self, change: FeedChange, now: int) -> int:
        expires = now // HOUR_MS + self.quota.hours
        row = self._db.execute(
            "INSERT INTO feeds (channel, writer, first, next, last, bytes, expires) VALUES (?, ?, 0, 0, ?, ?, ?)"
            " RETURNING id",
            (*change.feed, posts.NOTHING, FEED_BYTES, expires),
        ).fetchone()
        counted = self._holdings.source_of(change.feed.channel)
        self._count(change.feed.channel, FEED_BYTES, change.source if counted is None else counted, feeds=1)
        return int(row[0])

    def _attribute(self, change: FeedChange) -> None:
        """Count a channel whose origin is unknown, since it was here at the start, as that of whoever puts something
        new of it.
        """
        channel = change.feed.channel
        if change.source and self._holdings.source_of(channel) == ():
            feeds, size = self._holdings.of(channel)
            self._count(channel, -size, feeds=-feeds)
            self._count(channel, size, change.source, feeds=feeds)

    def _row(self, feed: FeedName) -> _Row | None:
        row = self._db.execute(
            "SELECT id, head, first, next, last, bytes FROM feeds WHERE channel = ? AND writer = ?", feed
        ).fetchone()
        return None if row is None else _Row(*row)

    # --- room --------------------------------------------------------------------------------------------------------

    def _is_full(self, grown: int) -> bool:
        return self.size + grown > self.quota.total_bytes or not self._room()

    def _make_room(self, change: FeedChange, row: _Row | None, size: int) -> bool:
        """Have room for so many bytes more in the store, and for the feed if it is new, if necessary by deleting the
        oldest posts of those who hold most, and else of this feed; return whether there is. If that would not be
        enough, none is deleted.
        """
        size += FEED_BYTES if row is None else 0
        if not self._room():
            return False
        if size <= 0 or self.size + size <= self.quota.total_bytes:
            return True
        before = len(self._undo), self.posts
        self._db.execute("SAVEPOINT room")
        while self.size + size > self.quota.total_bytes and self._give_way(change, row, size):
            pass
        roomy = self.size + size <= self.quota.total_bytes
        if not roomy:
            self._db.execute("ROLLBACK TO room")
            self._revert(*before)
        self._db.execute("RELEASE room")
        return roomy

    def _give_way(self, change: FeedChange, row: _Row | None, size: int) -> bool:
        """Delete the oldest post of whoever has to give way to a change, or a feed of theirs that has none; return
        whether there is one.
        """
        channel = change.feed.channel
        known = self._holdings.source_of(channel)
        victim = self._holdings.queue_to_shrink(size, change.source if known is None else known)
        if victim is None or victim == channel:
            return row is not None and self._drop_oldest(row.id)
        largest = "SELECT id FROM feeds WHERE channel = ? ORDER BY bytes DESC LIMIT 1"
        (id,) = self._db.execute(largest, (victim,)).fetchone()
        if not self._drop_oldest(id):
            self._delete(id)
        return True

    def _trim(self, id: int) -> None:
        """Delete the oldest posts of a feed as far as it has more than it may."""
        while True:
            count, size = self._db.execute("SELECT next - first, bytes FROM feeds WHERE id = ?", (id,)).fetchone()
            if count <= 1 or (size <= self.quota.feed_bytes and count <= self.quota.feed_posts):
                return
            self._drop_oldest(id)

    def _drop_oldest(self, id: int) -> bool:
        row = self._db.execute(
            "DELETE FROM posts WHERE feed = ?1 AND seq = (SELECT first FROM feeds WHERE id = ?1) RETURNING size", (id,)
        ).fetchone()
        if row is None:
            return False
        (channel,) = self._db.execute(
            "UPDATE feeds SET first = first + 1, bytes = bytes - ? WHERE id = ? RETURNING channel", (row[0], id)
        ).fetchone()
        self._count(channel, -row[0])
        self.posts -= 1
        return True

    def _drop_all(self, id: int) -> None:
        """Delete the posts of a feed, and keep its head."""
        sizes = self._db.execute("DELETE FROM posts WHERE feed = ? RETURNING size", (id,)).fetchall()
        size = sum(size for (size,) in sizes)
        (channel,) = self._db.execute(
            "UPDATE feeds SET first = next, bytes = bytes - ? WHERE id = ? RETURNING channel", (size, id)
        ).fetchone()
        self._count(channel, -size)
        self.posts -= len(sizes)

    def _delete(self, id: int) -> None:
        count = self._db.execute("DELETE FROM posts WHERE feed = ?", (id,)).rowcount
        query = "DELETE FROM feeds WHERE id = ? RETURNING channel, bytes"
        channel, size = self._db.execute(query, (id,)).fetchone()
        self.posts -= count
        self._count(channel, -size, feeds=-1)

    def _at(self, now: int) -> None:
        """Note what time it is, in ms of the relay's own time."""
        hour = now // HOUR_MS
        if not self._holdings.hour:
            self._holdings.begin(hour)
        self._holdings.hour = max(self._holdings.hour, hour)
        self._holdings.total = self.quota.total_bytes

    def _count(self, channel: bytes, size: int, source: Source | None = None, *, feeds: int = 0) -> None:
        """Count bytes and feeds more, or less, of a channel. source: of one that is new here."""
        if size >= 0:
            names = self._holdings.add(channel, size, source or self._holdings.source_of(channel) or (), feeds)
            self._undo.append((channel, size, names, feeds))
            return
        taken = self._holdings.remove(channel, -size, -feeds)
        for number, (names, part) in enumerate(taken, start=1):
            self._undo.append((channel, -part, names, feeds if number == len(taken) else 0))

    def _revert(self, down_to: int, posts_before: int) -> None:
        """Undo the latest changes of the counts, down to so many."""
        while len(self._undo) > down_to:
            channel, size, names, feeds = self._undo.pop()
            if size >= 0:
                self._holdings.take_back(channel, size, names, feeds)
            else:
                self._holdings.add(channel, -size, names, -feeds)
        self.posts = posts_before

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._undo.clear()
        before = self.posts
        with translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._revert(0, before)
                with suppress(sqlite3.Error):
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                raise


def _migrate(connection: sqlite3.Connection) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > _SCHEMA:
        raise DatabaseNewer("The relay's store of channels was written by a newer p2pchat")
    if version < _SCHEMA:
        connection.executescript(f"BEGIN IMMEDIATE;{_TABLES}PRAGMA user_version = {_SCHEMA};COMMIT;")
