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
from p2pchat.core.ids import ChatId, PeerKey
from p2pchat.engine.channels import channels, mirroring, owner, reading, stored, writing
from p2pchat.engine.channels.intake import Intake
from p2pchat.engine.channels.stored import KeptChannel
from p2pchat.engine.runtime.committer import Committer
from p2pchat.engine.runtime.effects import Effects
from p2pchat.errors import CannotOpen, LinkLost, P2PChatError, PeerError, Refused
from p2pchat.feed_ports import FeedAnswer, FeedStream
from p2pchat.lib.backoff import Backoff
from p2pchat.lib.times import DAY_SECONDS, HOUR_SECONDS
from p2pchat.lib.token_bucket import TokenBucket
from p2pchat.lib.wakeup import Wakeup
from p2pchat.ports import Net, Relay
from p2pchat.store.channels import ChannelRow

FIRST_PAGE = 50
"""Posts of a channel that a new follower reads."""
FIRST_WAIT, LONGEST_WAIT = 2.0, 600.0
"""Seconds between two attempts to reach a relay: at first, and at most."""
GIVE_UP_SECONDS = 1.5 * LONGEST_WAIT
"""Seconds for which a post is waited for that a relay may have which is not reached: it is tried again in these."""
OLDER_SECONDS = 10.0
"""Seconds in which a relay has to hand out earlier posts of a feed."""
MOVES = 8
"""How often in a day the owner of a channel may have us read it at other relays."""
REFUSED_WAIT = 6 * HOUR_SECONDS
"""The same after a relay has refused a channel, and at most, with a relay that was left and is not told yet."""

log = logging.getLogger(__name__)


class _Enough(Refused):
    """It says more than this node takes in a day."""


class _NoRun(LinkLost):
    """It has earlier posts of this channel, and those in between are not to be had."""


@dataclass(eq=False)
class _Mirrored:
    """One channel: its feeds, its tasks, and what relays said of it.

    handing: our relays at which we put what others write; handed: set when there is something for them. wanted: set
    when there is something of ours to put. unput: relays that have not got what was written last. away: relays that are
    not reached. read: those from which everything was read, on the stream that is there. lacking: by feed, relays that
    have not got its next post; since: by feed, when that was seen first. problems: what is wrong with each relay.
    intakes: what each may still bring. again: whether it was read a moment ago, with other writers. streams: to the
    relays that are reached.
    """

    row: ChannelRow
    feeds: tuple[FeedName, ...]
    handing: tuple[Relay, ...]
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    wanted: dict[PeerKey, Wakeup] = field(default_factory=dict)
    handed: dict[PeerKey, Wakeup] = field(default_factory=dict)
    unput: set[PeerKey] = field(default_factory=set)
    away: set[PeerKey] = field(default_factory=set)
    read: set[PeerKey] = field(default_factory=set)
    lacking: dict[FeedName, set[PeerKey]] = field(default_factory=dict)
    since: dict[FeedName, float] = field(default_factory=dict)
    problems: dict[PeerKey, str] = field(default_factory=dict)
    intakes: dict[PeerKey, Intake] = field(default_factory=dict)
    again: bool = False
    streams: dict[PeerKey, FeedStream] = field(default_factory=dict)

    @property
    def kept(self) -> KeptChannel:
        """The channel as it was when its tasks began."""
        return KeptChannel(self.row, self.feeds, self.handing)

    @property
    def may_bring_more(self) -> bool:
        """Whether a relay of the channel is neither read nor known to be away yet."""
        return any(way.peer not in self.read | self.away for way in self.row.relays)

    def hand_on(self) -> None:
        """Look again at what there is to hand on."""
        for wakeup in self.handed.values():
            wakeup.set()

    def gives_up(self, name: FeedName, relay: PeerKey, *, lacks: bool) -> bool:
        """Note whether a relay lacks the next post of a feed; return whether it is given up because no relay has it.
        One that is not reached may have it: it is waited for until it has been tried again.
        """
        lacking = self.lacking.setdefault(name, set())
        (lacking.add if lacks else lacking.discard)(relay)
        if not lacking:
            self.since.pop(name, None)
        if not lacks:
            return False
        waited = trio.current_time() - self.since.setdefault(name, trio.current_time()) >= GIVE_UP_SECONDS
        without = lacking | self.away if waited else lacking
        return all(way.peer in without for way in self.row.relays)

    def takes(self, relay: PeerKey, head: FeedHead | None, posts: Sequence[Post]) -> bool:
        """Return whether this relay may bring so much now."""
        return self.intakes.setdefault(relay, Intake()).take(head, posts, trio.current_time())


class ChannelSync:
    """Keeps all channels; `run` runs until cancelled. clock: ms since the epoch."""

    def __init__(
        self, committer: Committer, net: Net, clock: Callable[[], int], random: Callable[[int], bytes]
    ) -> None:
        self._moves: dict[ChatId, TokenBucket] = {}
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

    def handing_problem(self, chat: ChatId) -> str:
        """Return what is wrong with the relays at which we hand on a channel, "" if nothing is."""
        mirrored = self._channels.get(chat)
        relays = () if mirrored is None else mirrored.handing
        return next((mirrored.problems[one.peer] for one in relays if mirrored and one.peer in mirrored.problems), "")

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
        for chat in (*effects.channels_written, *effects.channels_to_hand_on):
            if (mirrored := self._channels.get(chat)) is not None:
                mirrored.hand_on()

    async def run(self) -> None:
        """Keep a task for each relay of each channel until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._changed.clear()
                try:
                    wanted = await self._committer.read(stored.every)
                except P2PChatError as error:  # the disk: others report it
                    log.error("channels cannot be read: %s", type(error).__name__)
                    await trio.sleep(LONGEST_WAIT)
                    self._changed.set()
                    continue
                ended = dict[ChatId, dict[PeerKey, Intake]]()
                for chat, mirrored in list(self._channels.items()):
                    kept = wanted.get(chat)
                    if kept is not None and kept != mirrored.kept and not self._may_move(kept, mirrored.row):
                        continue
                    if kept != mirrored.kept:
                        mirrored.scope.cancel()
                        ended[chat] = mirrored.intakes
                        del self._channels[chat]
                for chat in wanted.keys() - self._channels.keys():
                    intakes = ended.get(chat, {})
                    self._channels[chat] = _Mirrored(*wanted[chat], intakes=intakes, again=chat in ended)
                    nursery.start_soon(self._mirror, self._channels[chat])
                with trio.move_on_after(HOUR_SECONDS):  # by then, one that has moved too often may move on
                    await self._changed.wait()

    def _may_move(self, kept: KeptChannel, before: ChannelRow) -> bool:
        """Return whether a channel may be read at its relays now: its owner could name others all day long."""
        if before.is_ours or set(kept.row.relays) == set(before.relays):
            return True
        moves = self._moves.setdefault(before.chat, TokenBucket(MOVES, MOVES / DAY_SECONDS))
        return moves.take(trio.current_time())

    async def _mirror(self, mirrored: _Mirrored) -> None:
        if not mirrored.feeds:  # all of them are frozen: nothing is read or written any more
            return
        with mirrored.scope:
            async with trio.open_nursery() as nursery:
                for relay in channels.relays_of(mirrored.row):
                    mirrored.wanted[relay.peer] = Wakeup()
                    nursery.start_soon(self._keep, mirrored, relay)
                for relay in mirrored.handing:
                    mirrored.handed[relay.peer] = Wakeup()
                    nursery.start_soon(self._keep, mirrored, relay)
                if mirrored.row.own_feed in mirrored.feeds:
                    for relay in channels.relays_of(mirrored.row, retired=True):
                        nursery.start_soon(self._tell, mirrored, relay)

    async def _tell(self, mirrored: _Mirrored, relay: Relay) -> None:
        """Put the head of a channel of ours at a relay that mirrors it no longer: it names those that do."""
        backoff = Backoff(FIRST_WAIT, REFUSED_WAIT, self._random)  # it may be gone for good
        own = mirrored.row.own_feed
        while True:
            with suppress(P2PChatError):
                async with self._net.mailboxes.feeds.open(relay) as stream:
                    head = await self._committer.submit(stored.fresh_head, mirrored.row, self._clock())
                    codes = [] if head is None else await stream.put(own, [], head)
                    if any(code not in (frames.RELAY_FULL, frames.TOO_FAST) for code in codes):
                        await self._committer.submit(owner.told, mirrored.row, relay.peer)
                        return
            await trio.sleep(backoff.pause())

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
            mirrored.read.discard(relay.peer)
            if relay.peer not in mirrored.away and relay not in mirrored.handing:
                mirrored.hand_on()  # without what it might have brought
            mirrored.away.add(relay.peer)
            wakeup = (mirrored.handed if relay in mirrored.handing else mirrored.wanted)[relay.peer]
            with trio.move_on_after(backoff.pause() if math.isnan(pause) else pause):
                await wakeup.wait()
                wakeup.clear()
                await trio.sleep(FIRST_WAIT)

    async def _use(self, mirrored: _Mirrored, relay: Relay, stream: FeedStream, backoff: Backoff) -> None:
        """Write and read on one stream until it ends. Raises PeerError, Refused or _Enough."""
        await self._read_all(mirrored, relay, stream)
        mirrored.problems.pop(relay.peer, None)
        backoff.reset()
        hands_on = relay in mirrored.handing
        if not hands_on:
            mirrored.read.add(relay.peer)
            mirrored.hand_on()  # it may have what was missing for that
        if not hands_on and not await self._committer.read(stored.is_written, mirrored.row):
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
                await (self._hand_on if hands_on else self._write)(mirrored, relay, stream)
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
                await self._fill(mirrored, relay, stream, name)

    async def _fill(self, mirrored: _Mirrored, relay: Relay, stream: FeedStream, name: FeedName) -> None:
        """Read the newest posts of a feed again, if it is handed on and their bodies are not here."""
        start = await self._committer.read(mirroring.lacking, mirrored.row, name)
        if start is None:
            return
        answer = await stream.get(name, start, frames.MAX_WANTED)
        if answer.code == frames.DONE and mirrored.takes(relay.peer, None, answer.posts):
            await self._committer.submit(mirroring.fill, mirrored.row, name, answer.posts)

    async def _read(self, mirrored: _Mirrored, relay: Relay, stream: FeedStream, name: FeedName) -> None:
        """Read what a relay has of a feed that others write, and have it push what comes. Raises Refused."""
        start = await self._committer.read(stored.next_wanted, mirrored.row.chat, name)
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
        start = await self._committer.read(stored.next_wanted, mirrored.row.chat, name)
        lacks = start != frames.NEWEST and bool(posts) and posts[0].header.seq > start
        skips = mirrored.gives_up(name, relay.peer, lacks=lacks)
        take = partial(reading.take, skips=skips)
        return await self._committer.submit(take, mirrored.row.chat, name, answer.head, posts)

    async def _follow(self, mirrored: _Mirrored, relay: Relay, stream: FeedStream) -> None:
        """Take what a relay pushes, until the stream ends; and ask after an hour without anything, since a relay may
        hand out what it does not push, or sooner, if a post is wanted that may be given up by then.
        """
        while True:
            with trio.move_on_after(GIVE_UP_SECONDS if mirrored.since else HOUR_SECONDS) as quiet:
                pushed = await stream.pushed()
            if quiet.cancelled_caught:
                await self._read_all(mirrored, relay, stream)
                continue
            feed, new = pushed
            head, posts = (new, []) if isinstance(new, FeedHead) else (None, [new])
            if not mirrored.takes(relay.peer, head, posts):  # also where it only has us ask: it may say it for ever
                raise _Enough
            start = await self._committer.read(stored.next_wanted, mirrored.row.chat, feed)
            behind = posts[0].header.seq > start if posts else head is not None and head.count > start
            if start == frames.NEWEST or behind:
                await self._read(mirrored, relay, stream, feed)
                continue
            await self._committer.submit(reading.take, mirrored.row.chat, feed, head, posts)

    # --- earlier posts -----------------------------------------------------------------------------------------------

    async def read_older(self, chat: ChatId, want: int) -> int:
        """Read at most `want` (256) posts of each feed from before those that are here, from any relay that has them;
        return how many were added. A relay that hands out others, or none in time, is passed over; the latter for all
        feeds, which may be many.
        """
        mirrored, added, slow = self._channels.get(chat), 0, set[PeerKey]()
        if mirrored is None:
            return 0
        for name in mirrored.feeds:
            for peer, stream in list(mirrored.streams.items()):
                if peer in slow:
                    continue
                first = await self._committer.read(stored.first_here, chat, name)
                if not first:
                    break
                with trio.move_on_after(OLDER_SECONDS) as in_time, suppress(PeerError, CannotOpen):
                    posts = await _earlier(stream, name, first, min(want, frames.MAX_WANTED))
                    if posts and mirrored.takes(peer, None, posts):
                        added += await self._committer.submit(reading.take_older, chat, name, posts)
                        break
                if in_time.cancelled_caught:
                    slow.add(peer)
        return added

    # --- writing -----------------------------------------------------------------------------------------------------

    async def _write(self, mirrored: _Mirrored, relay: Relay, stream: FeedStream) -> None:
        """Put what we write, as it comes, and a new head every hour. Raises PeerError or Refused."""
        assert mirrored.row.writer is not None
        name = FeedName(mirrored.row.key, mirrored.row.writer)
        chat, wakeup = mirrored.row.chat, mirrored.wanted[relay.peer]
        while True:
            wakeup.clear()
            start = await self._committer.read(stored.count_of, chat, name)
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
        while posts := await self._committer.read(stored.to_put, row, name, start, not answer.next):
            await self._put_some(row, name, posts, None, stream)
            start = posts[-1].header.seq + 1
        head = await self._committer.submit(stored.fresh_head, row, self._clock())
        if head is not None:
            await self._put_some(row, name, [], head, stream)

    async def _put_some(
        self, row: ChannelRow, name: FeedName, posts: list[Post], head: FeedHead | None, stream: FeedStream
    ) -> None:
        codes = await stream.put(name, posts, head)
        kept = [post for post, code in zip(posts, codes, strict=False) if code == frames.DONE]
        if kept and name.writer == row.writer:
            await self._committer.submit(writing.stored, row, kept)
        bad = next((code for code in codes if code != frames.DONE), None)
        if bad == frames.REFUSED:
            raise Refused("it does not mirror this channel")
        if bad == frames.FORK:
            found = await stream.get(name, max(0, (posts[0].header.seq if posts else 1) - 1), frames.MAX_WANTED)
            await self._committer.submit(reading.take, row.chat, name, found.head, found.posts)
            raise Refused("it has other posts of this channel")
        if bad == frames.GAP:
            raise _NoRun
        if bad is not None:
            raise LinkLost("the relay has no room, or no time for us")

    # --- handing on --------------------------------------------------------------------------------------------------

    async def _hand_on(self, mirrored: _Mirrored, relay: Relay, stream: FeedStream) -> None:
        """Put what others write at a relay of ours, as it comes. Raises PeerError or Refused."""
        wakeup = mirrored.handed[relay.peer]
        while True:
            wakeup.clear()
            mirrored.problems.pop(relay.peer, None)
            for name in mirrored.feeds:
                try:
                    await self._hand_on_feed(mirrored, relay, stream, name)
                except _NoRun as error:
                    mirrored.problems[relay.peer] = error.line()
            with trio.move_on_after(HOUR_SECONDS):
                await wakeup.wait()

    async def _hand_on_feed(self, mirrored: _Mirrored, relay: Relay, stream: FeedStream, name: FeedName) -> None:
        """Put the posts of a feed that a relay has not got, and the head. A relay with none of them begins with those
        whose bodies are here, once the relays of the channel have brought what is missing: it takes none before.
        """
        known = await self._committer.read(mirroring.handed, mirrored.row, name)
        if known is None or known.head is None:
            return
        answer = await stream.get(name, known.count, 0)
        if answer.code == frames.REFUSED:
            raise Refused("it does not mirror this channel")
        if answer.code != frames.DONE:
            raise LinkLost("the relay has no time for us")
        waits = not answer.next and mirrored.may_bring_more
        if waits and await self._committer.read(mirroring.lacking, mirrored.row, name) is not None:
            return
        known = await self._committer.read(mirroring.handed, mirrored.row, name)  # more bodies may be here since
        if known is None or known.head is None:
            return
        start = answer.next or known.first
        if start < known.first:
            start = await self._put_between(mirrored, stream, name, start, known.first)
            if not await self._committer.read(stored.is_here, mirrored.row, name, start):
                start = known.first  # which a relay takes whose own posts are too old to be kept
        while start < known.count:
            posts = await self._committer.read(stored.to_put, mirrored.row, name, start, False)
            if not posts:
                return
            await self._put_some(mirrored.row, name, posts, None, stream)
            start = posts[-1].header.seq + 1
        if answer.head is None or (answer.head.count, answer.head.at) < (known.head.count, known.head.at):
            await self._put_some(mirrored.row, name, [], known.head, stream)

    async def _put_between(self, mirrored: _Mirrored, stream: FeedStream, name: FeedName, start: int, end: int) -> int:
        """Put posts from number `start` to before `end`, whose bodies are not here, at a relay that has those before
        them: somebody else began the feed there. Other relays hand them out. Return the number of the post that it
        wants next. Raises PeerError or Refused.
        """
        for peer, other in list(mirrored.streams.items()):
            while other is not stream and start < end:
                posts: Sequence[Post] = ()
                with trio.move_on_after(OLDER_SECONDS), suppress(PeerError):
                    posts = (await other.get(name, start, min(stored.MAX_PUT_POSTS, end - start))).posts
                if not posts or posts[0].header.seq != start or not mirrored.takes(peer, None, posts):
                    break
                handed = await self._committer.read(mirroring.passed_on, mirrored.row, name, posts)
                await self._put_some(mirrored.row, name, handed, None, stream)
                start = posts[-1].header.seq + 1
        return start


async def _earlier(stream: FeedStream, name: FeedName, first: int, want: int) -> list[Post]:
    """Return the posts right before number `first` that a relay has, at most `want`. Raises PeerError."""
    start, posts = max(0, first - want), list[Post]()
    while start < first:
        answer = await stream.get(name, start, first - start)
        if answer.code != frames.DONE or not answer.posts:
            return []
        if answer.posts[0].header.seq < start or answer.posts[-1].header.seq >= first:
            return []  # with those that were here before it would never come to an end
        posts += answer.posts
        start = posts[-1].header.seq + 1
    return posts
