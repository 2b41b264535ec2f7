"""Streams to the relays that mirror our channels: what we write is put there, and what others write is read.

Each channel has a task for each of its relays. It keeps a stream, and begins again with growing pauses when that ends.
A feed that we write is compared with what the relay has, and the rest is put; a copy of this profile may have written
more, which is then read. Of all others, what is new is asked for and then pushed. If the relay has not got a post that
is wanted, and no other relay of the channel has, reading goes on behind it, and the channel shows how many are missing.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import trio

from p2pchat.core.channels import frames
from p2pchat.core.channels.posts import FeedHead, FeedName, Post
from p2pchat.core.ids import ChatId, PeerKey, WriterKey
from p2pchat.engine.channels import channels, reading, writing
from p2pchat.engine.channels.intake import Intake
from p2pchat.engine.runtime.committer import Committer
from p2pchat.engine.runtime.effects import Effects
from p2pchat.engine.runtime.transaction import Transaction
from p2pchat.errors import CannotOpen, LinkLost, P2PChatError, PeerError, Refused
from p2pchat.feed_ports import FeedAnswer, FeedStream
from p2pchat.lib.backoff import Backoff
from p2pchat.lib.times import HOUR_MS, HOUR_SECONDS
from p2pchat.lib.wakeup import Wakeup
from p2pchat.ports import Net, Relay
from p2pchat.store import channels as store_channels
from p2pchat.store.channels import ChannelRow
from p2pchat.store.database import Database

FIRST_PAGE = 50
"""Posts of a channel that a new follower reads."""
FIRST_WAIT, LONGEST_WAIT = 2.0, 600.0
"""Seconds between two attempts to reach a relay: at first, and at most."""
OLDER_SECONDS = 10.0
"""Seconds in which a relay has to hand out earlier posts of a feed."""
REFUSED_WAIT = 6 * HOUR_SECONDS
"""The same after a relay has refused a channel."""
MAX_PUT_BYTES = 1 << 18
MAX_PUT_POSTS = 32
"""Posts that are put at once."""

log = logging.getLogger(__name__)


class _Enough(Refused):
    """It says more than this node takes in a day."""


@dataclass(eq=False)
class _Mirrored:
    """One channel: its feeds, its tasks, and what relays said of it.

    wanted: set when there is something to put. unput: relays that have not got what was written last. away: relays
    that are not reached. lacking: by feed, relays that have not got its next post. problems: what is wrong with each
    relay. intakes: what each may still bring. again: whether it was read a moment ago, with other writers. streams:
    to the relays that are reached.
    """

    row: ChannelRow
    feeds: tuple[FeedName, ...]
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    wanted: dict[PeerKey, Wakeup] = field(default_factory=dict)
    unput: set[PeerKey] = field(default_factory=set)
    away: set[PeerKey] = field(default_factory=set)
    lacking: dict[FeedName, set[PeerKey]] = field(default_factory=dict)
    problems: dict[PeerKey, str] = field(default_factory=dict)
    intakes: dict[PeerKey, Intake] = field(default_factory=dict)
    again: bool = False
    streams: dict[PeerKey, FeedStream] = field(default_factory=dict)

    def takes(self, relay: PeerKey, head: FeedHead | None, posts: Sequence[Post]) -> bool:
        """Return whether this relay may bring so much now."""
        return self.intakes.setdefault(relay, Intake()).take(head, posts, trio.current_time())


class ChannelSync:
    """Keeps all channels; `run` runs until cancelled. clock: ms since the epoch."""

    def __init__(
        self, committer: Committer, net: Net, clock: Callable[[], int], random: Callable[[int], bytes]
    ) -> None:
        self._committer = committer
        self._net = net
        self._clock = clock
        self._random = random
        self._channels: dict[ChatId, _Mirrored] = {}
        self._changed = Wakeup()

    @property
    def busy(self) -> bool:
        """Whether something that was written here is at no relay yet, and one may take it."""
        channels_ = self._channels.values()
        return any(one.unput and one.unput == one.wanted.keys() - one.problems.keys() for one in channels_)

    def problem(self, chat: ChatId) -> str:
        """Return what is wrong with the relays of a channel, "" if one of them answers well."""
        mirrored = self._channels.get(chat)
        if mirrored is None:
            return "it has no relay"
        problems = [mirrored.problems.get(way.peer, "") for way in mirrored.row.relays]
        return "" if not all(problems) else f"none of its relays can be used: {problems[0]}" if problems else ""

    def committed(self, effects: Effects) -> None:
        """Go on after a transaction: with channels that were added or removed, and with posts that were written."""
        if effects.channels_changed:
            self._changed.set()
        for chat in effects.channels_written:
            if (mirrored := self._channels.get(chat)) is not None:
                mirrored.unput = set(mirrored.wanted)
                for wakeup in mirrored.wanted.values():
                    wakeup.set()

    async def run(self) -> None:
        """Keep a task for each relay of each channel until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._changed.clear()
                try:
                    wanted = await self._committer.read(_all)
                except P2PChatError as error:  # the disk: others report it
                    log.error("channels cannot be read: %s", type(error).__name__)
                    await trio.sleep(LONGEST_WAIT)
                    self._changed.set()
                    continue
                ended = dict[ChatId, dict[PeerKey, Intake]]()
                for chat, mirrored in list(self._channels.items()):
                    if wanted.get(chat) != (mirrored.row, mirrored.feeds):
                        mirrored.scope.cancel()
                        ended[chat] = mirrored.intakes
                        del self._channels[chat]
                for chat in wanted.keys() - self._channels.keys():
                    intakes = ended.get(chat, {})
                    self._channels[chat] = _Mirrored(*wanted[chat], intakes=intakes, again=chat in ended)
                    nursery.start_soon(self._mirror, self._channels[chat])
                await self._changed.wait()

    async def _mirror(self, mirrored: _Mirrored) -> None:
        with mirrored.scope:
            async with trio.open_nursery() as nursery:
                for relay in channels.relays_of(mirrored.row):
                    mirrored.wanted[relay.peer] = Wakeup()
                    nursery.start_soon(self._keep, mirrored, relay)

    async def _keep(self, mirrored: _Mirrored, relay: Relay) -> None:
        """Keep a stream to one relay of a channel."""
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT, self._random)
        if mirrored.again:  # its writers change as often as its owner wants
            await trio.sleep(FIRST_WAIT)
        while True:
            pause = math.nan
            try:
                async with self._net.mailboxes.feeds.open(relay) as stream:
                    mirrored.away.discard(relay.peer)
                    mirrored.streams[relay.peer] = stream
                    await self._use(mirrored, relay, stream, backoff)
            except P2PChatError as error:  # of the relay, or of our own disk, which others report
                mirrored.problems[relay.peer] = error.line()
                if isinstance(error, Refused):
                    pause = HOUR_SECONDS if isinstance(error, _Enough) else REFUSED_WAIT
            mirrored.streams.pop(relay.peer, None)
            mirrored.away.add(relay.peer)
            wakeup = mirrored.wanted[relay.peer]
            with trio.move_on_after(backoff.pause() if math.isnan(pause) else pause):
                await wakeup.wait()
                wakeup.clear()
                await trio.sleep(FIRST_WAIT)

    async def _use(self, mirrored: _Mirrored, relay: Relay, stream: FeedStream, backoff: Backoff) -> None:
        """Write and read on one stream until it ends. Raises PeerError, Refused or _Enough."""
        await self._read_all(mirrored, relay, stream)
        mirrored.problems.pop(relay.peer, None)
        backoff.reset()
        if not await self._committer.read(_writes, mirrored.row):
            await self._follow(mirrored, relay, stream)
        failure: P2PChatError | None = None
        async with trio.open_nursery() as nursery:

            async def follow() -> None:
                nonlocal failure
                try:
                    await self._follow(mirrored, relay, stream)
                except P2PChatError as error:
                    failure = error
                    nursery.cancel_scope.cancel()

            nursery.start_soon(follow)
            try:
                await self._write(mirrored, relay, stream)
            except P2PChatError as error:
                failure = error
            nursery.cancel_scope.cancel()
        raise failure or LinkLost()

    # --- reading -----------------------------------------------------------------------------------------------------

    async def _read_all(self, mirrored: _Mirrored, relay: Relay, stream: FeedStream) -> None:
        """Read what a relay has of all feeds that others write. Raises PeerError or Refused."""
        for name in mirrored.feeds:
            if name.writer != mirrored.row.writer:
                await self._read(mirrored, relay, stream, name)

    async def _read(self, mirrored: _Mirrored, relay: Relay, stream: FeedStream, name: FeedName) -> None:
        """Read what a relay has of a feed that others write, and have it push what comes. Raises Refused."""
        start = await self._committer.read(_next, mirrored.row.chat, name)
        want = FIRST_PAGE if start == frames.NEWEST else frames.MAX_WANTED
        watch = True
        while True:
            answer = await stream.get(name, start, want, watch=watch)
            if answer.code == frames.REFUSED:
                raise Refused("it does not mirror this channel")
            if answer.code != frames.DONE:
                raise LinkLost("the relay has no time for us")
            wanted = await self._take(mirrored, relay, name, answer)
            if wanted is None or not answer.more or wanted <= start:
                return
            start, want, watch = wanted, frames.MAX_WANTED, False

    async def _take(self, mirrored: _Mirrored, relay: Relay, name: FeedName, answer: FeedAnswer) -> int | None:
        posts = list(answer.posts)
        if not mirrored.takes(relay.peer, answer.head, posts):
            raise _Enough
        start = await self._committer.read(_next, mirrored.row.chat, name)
        lacks = start != frames.NEWEST and bool(posts) and posts[0].header.seq > start
        lacking = mirrored.lacking.setdefault(name, set())
        (lacking.add if lacks else lacking.discard)(relay.peer)
        skips = lacks and all(way.peer in lacking | mirrored.away for way in mirrored.row.relays)
        take = partial(reading.take, skips=skips)
        return await self._committer.submit(take, mirrored.row.chat, name, answer.head, posts)

    async def _follow(self, mirrored: _Mirrored, relay: Relay, stream: FeedStream) -> None:
        """Take what a relay pushes, until the stream ends; and ask after an hour without anything, since a relay may
        hand out what it does not push, and what another one lacked may be given up by then.
        """
        while True:
            with trio.move_on_after(HOUR_SECONDS) as quiet:
                pushed = await stream.pushed()
            if quiet.cancelled_caught:
                await self._read_all(mirrored, relay, stream)
                continue
            feed, new = pushed
            head, posts = (new, []) if isinstance(new, FeedHead) else (None, [new])
            start = await self._committer.read(_next, mirrored.row.chat, feed)
            behind = posts[0].header.seq > start if posts else head is not None and head.count > start
            if start == frames.NEWEST or behind:
                await self._read(mirrored, relay, stream, feed)
                continue
            if not mirrored.takes(relay.peer, head, posts):
                raise _Enough
            await self._committer.submit(reading.take, mirrored.row.chat, feed, head, posts)

    # --- earlier posts -----------------------------------------------------------------------------------------------

    async def read_older(self, chat: ChatId, want: int) -> int:
        """Read at most `want` (256) posts of each feed from before those that are here, from any relay that has them;
        return how many were added. A relay that hands out others, or none in time, is passed over.
        """
        mirrored, added = self._channels.get(chat), 0
        if mirrored is None:
            return 0
        for name in mirrored.feeds:
            for peer, stream in list(mirrored.streams.items()):
                first = await self._committer.read(_first, chat, name)
                if not first:
                    break
                with trio.move_on_after(OLDER_SECONDS), suppress(PeerError, CannotOpen):
                    posts = await _earlier(stream, name, first, min(want, frames.MAX_WANTED))
                    if posts and mirrored.takes(peer, None, posts):
                        added += await self._committer.submit(reading.take_older, chat, name, posts)
                        break
        return added

    # --- writing -----------------------------------------------------------------------------------------------------

    async def _write(self, mirrored: _Mirrored, relay: Relay, stream: FeedStream) -> None:
        """Put what we write, as it comes, and a new head every hour. Raises PeerError or Refused."""
        assert mirrored.row.writer is not None
        name = FeedName(mirrored.row.key, mirrored.row.writer)
        chat, wakeup = mirrored.row.chat, mirrored.wanted[relay.peer]
        while True:
            wakeup.clear()
            start = await self._committer.read(_count, chat, name)
            answer = await stream.get(name, start, frames.MAX_WANTED)
            if answer.code == frames.REFUSED:
                raise Refused("it does not mirror this channel")
            if answer.code != frames.DONE:
                raise LinkLost("the relay has no time for us")
            if answer.posts or answer.head is not None:  # a copy of this profile may have written more
                await self._committer.submit(reading.take, chat, name, answer.head, answer.posts)
            await self._put(mirrored.row, name, answer, stream)
            if not wakeup.is_set():
                mirrored.unput.discard(relay.peer)
            with trio.move_on_after(HOUR_SECONDS):
                await wakeup.wait()

    async def _put(self, row: ChannelRow, name: FeedName, answer: FeedAnswer, stream: FeedStream) -> None:
        """Put the posts that a relay has not got, and the head."""
        start = answer.next
        while posts := await self._committer.read(_to_put, row, name, start, not answer.next):
            await self._put_some(row, name, posts, None, stream)
            start = posts[-1].header.seq + 1
        head = await self._committer.submit(_fresh_head, row, self._clock())
        if head is not None:
            await self._put_some(row, name, [], head, stream)

    async def _put_some(
        self, row: ChannelRow, name: FeedName, posts: list[Post], head: FeedHead | None, stream: FeedStream
    ) -> None:
        codes = await stream.put(name, posts, head)
        kept = [post for post, code in zip(posts, codes, strict=False) if code == frames.DONE]
        if kept:
            await self._committer.submit(writing.stored, row, kept)
        bad = next((code for code in codes if code != frames.DONE), None)
        if bad == frames.REFUSED:
            raise Refused("it does not mirror this channel")
        if bad == frames.FORK:
            found = await stream.get(name, max(0, (posts[0].header.seq if posts else 1) - 1), frames.MAX_WANTED)
            await self._committer.submit(reading.take, row.chat, name, found.head, found.posts)
            raise Refused("it has other posts of this channel")
        if bad is not None:
            raise LinkLost("the relay has no room, or no time for us")


async def _earlier(stream: FeedStream, name: FeedName, first: int, want: int) -> list[Post]:
    """Return the posts right before number `first` that a relay has, at most `want`. Raises PeerError."""
    start, posts = max(0, first - want), list[Post]()
    while start < first:
        answer = await stream.get(name, start, first - start)
        if answer.code != frames.DONE or not answer.posts or answer.posts[-1].header.seq >= first:
            return []
        posts += answer.posts
        start = posts[-1].header.seq + 1
    return posts


# --- what is read of the store ---------------------------------------------------------------------------------------


def _all(db: Database) -> dict[ChatId, tuple[ChannelRow, tuple[FeedName, ...]]]:
    """Return every channel with its feeds: its own, and those of the writers that its newest head names."""
    return {row.chat: (row, _feeds(db, row)) for row in store_channels.all(db)}


def _feeds(db: Database, row: ChannelRow) -> tuple[FeedName, ...]:
    head = store_channels.feed(db, row, WriterKey(row.key)).head
    writers = () if head is None else head.writers
    return row.own_feed, *(FeedName(row.key, writer.key) for writer in writers)


def _writes(db: Database, row: ChannelRow) -> bool:
    """Return whether what we have written in a channel counts, by its newest head: only that is put."""
    if row.writer is None or row.is_ours:
        return row.is_ours
    head = store_channels.feed(db, row, WriterKey(row.key)).head
    most = 0 if head is None else head.most(row.writer)
    return most > 0 and store_channels.feed(db, row, row.writer).count <= most


def _next(db: Database, chat: ChatId, name: FeedName) -> int:
    """Return the number of the next post that is wanted of a feed; NEWEST if no post of it is known, but for one that
    was followed before it had any.
    """
    row = store_channels.get(db, chat)
    if row is None:
        return frames.NEWEST
    feed = store_channels.feed(db, row, name.writer)
    nothing = feed.is_empty and (feed.head is None or feed.head.count > 0)
    return frames.NEWEST if nothing else feed.count


def _first(db: Database, chat: ChatId, name: FeedName) -> int:
    """Return the number of the first post of a feed that is here; 0 also where none is, or no more of it is taken."""
    row = store_channels.get(db, chat)
    feed = None if row is None else store_channels.feed(db, row, name.writer)
    return 0 if feed is None or feed.is_empty or feed.fork is not None else feed.first


def _count(db: Database, chat: ChatId, name: FeedName) -> int:
    """Return the number of posts of a feed."""
    row = store_channels.get(db, chat)
    return 0 if row is None else store_channels.feed(db, row, name.writer).count


def _to_put(db: Database, row: ChannelRow, name: FeedName, start: int, new: bool) -> list[Post]:
    """Return the next posts that a relay gets, from number `start` on. new: it has none of the feed, so that it begins
    with the newest page.
    """
    if new and not start:
        start = max(0, store_channels.feed(db, row, name.writer).count - frames.MAX_WANTED)
    posts, left = list[Post](), MAX_PUT_BYTES
    for post in store_channels.page(db, row.chat, name, start, MAX_PUT_POSTS):
        if posts and post.header.size > left:
            break
        left -= post.header.size
        posts.append(post)
    return posts


def _fresh_head(tx: Transaction, row: ChannelRow, now: int) -> FeedHead | None:
    """Return the head of our feed, signed anew if it is an hour old; None if the channel is gone or frozen."""
    if row.writer is None or store_channels.get(tx.db, row.chat) is None:
        return None
    feed = store_channels.feed(tx.db, row, row.writer)
    if feed.fork is not None:
        return None
    stale = feed.head is None or feed.head.count != feed.count or not feed.head.at <= now < feed.head.at + HOUR_MS
    return writing.sign_head(tx, row) if stale else feed.head
