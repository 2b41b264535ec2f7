"""The client of relays that mirror channels (`feed_ports.Feeds`, docs/protocol/channels.md).

Each stream comes from a fresh transport key, so that a relay cannot join the channels that somebody reads with one
another, nor with their mail. It sees the address on the network, unless circuits lead there (`hops`).

Every signature is checked here. What a relay sends without having been asked, or wrongly, ends the stream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import trio

from p2pchat.core.channels import frames, posts
from p2pchat.core.channels.frames import FeedEnd, FeedGet, FeedPut
from p2pchat.core.channels.posts import FeedHead, FeedName, Post
from p2pchat.core.delivery import Route
from p2pchat.core.frames import Frame
from p2pchat.core.ids import PeerKey
from p2pchat.core.names import feed_name, relay_pass
from p2pchat.core.relays import Relay
from p2pchat.errors import CannotOpen, LinkLost, NotServed, P2PChatError, PeerError, Refused, Unreachable
from p2pchat.feed_ports import FeedAnswer, FeedStream, PushedFeed
from p2pchat.lib.wakeup import Wakeup
from p2pchat.net import multiaddrs
from p2pchat.net.frames import FrameReader, write_frames
from p2pchat.net.mailbox.records import FirstHops
from p2pchat.net.mailbox.stream import MAX_ADDRESSES, addresses_to_dial, first_circuit
from p2pchat.net.ports import Host, NewHost, Stream

CONNECT_SECONDS = 30.0
"""Seconds in which a stream has to be open."""
ANSWER_SECONDS = 30.0
"""Seconds without a byte after which a relay that owes an answer is given up."""
PING_SECONDS = 60.0
"""Seconds of silence after which a relay is asked whether it is there."""
MAX_PUSHED = 256
"""Things that were pushed and wait for the engine; while there are more, the relay is not read, unless it owes an
answer: then the oldest are passed over, and the engine sees the gap.
"""
MAX_MEANWHILE = 8 * MAX_PUSHED
"""Things that a relay may push while it owes an answer: each costs us the check of a signature, read or passed over."""


class RelayFeeds:
    """Implements `feed_ports.Feeds`. new_host: makes a host for one stream. is_us: whether a relay is this node.
    first_hops: returns the circuits to a relay. own: the relays that the user chose, with their addresses: one of
    these is reached there, whatever a link says. circuits_only: no relay is reached in another way.
    """

    def __init__(
        self,
        new_host: NewHost | None,
        is_us: Callable[[PeerKey], bool],
        first_hops: Callable[[Relay], FirstHops],
        own: Callable[[], Sequence[tuple[PeerKey, Sequence[str]]]] = tuple,
        *,
        circuits_only: bool = False,
    ) -> None:
        self._new_host = new_host
        self._is_us = is_us
        self._first_hops = first_hops
        self._own = own
        self._circuits_only = circuits_only

    def open(self, relay: Relay) -> AbstractAsyncContextManager[FeedStream]:
        """Return a stream to a relay; to enter it raises PeerError or Refused."""
        return self._open(relay)

    @asynccontextmanager
    async def _open(self, relay: Relay) -> AsyncIterator[FeedStream]:
        if self._new_host is None or self._is_us(relay.peer):
            raise Unreachable
        failure: P2PChatError | None = None  # raised outside of the nurseries, which would wrap it
        async with self._new_host() as host:
            try:
                with trio.fail_after(CONNECT_SECONDS):
                    stream = await self._connect(host, relay)
                feeds = RelayFeedStream(stream)
                try:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(feeds.read)
                        nursery.start_soon(feeds.ping)
                        try:
                            yield feeds
                        except P2PChatError as error:
                            failure = error
                        nursery.cancel_scope.cancel()
                finally:
                    await stream.close()
            except trio.TooSlowError:
                failure = Unreachable()
            except (PeerError, Refused) as error:
                failure = error
        if failure is not None:
            raise failure

    async def _connect(self, host: Host, relay: Relay) -> Stream:
        """Open a stream directly, or by circuits where that is required."""
        protocol, known = feed_name(relay.peer, relay.token), relay_pass(relay.peer, relay.token)

        async def opened(ways: Sequence[str], chosen: bool, only: Route | None = None) -> Stream:
            ways = multiaddrs.with_pass(ways, known)
            return await host.open(relay.peer, ways, protocol, only=only, chosen=chosen, relay=True, lasting=True)

        try:
            if not self._circuits_only:
                own = dict(self._own()).get(relay.peer, ())
                if own:
                    return await opened(multiaddrs.with_websockets(own[:MAX_ADDRESSES]), True)
                return await opened(addresses_to_dial(relay.addresses, chosen=relay.chosen), relay.chosen)
            hops = self._first_hops(relay)
            return await first_circuit(hops.ours, hops.others, partial(opened, only=Route.CIRCUIT))
        except NotServed:
            raise Refused("it mirrors no channels, or wants another token") from None


@dataclass(eq=False, slots=True)
class _Asked:
    """A request, and its answer as far as it has come. limit: how many posts may come before its end."""

    feed: FeedName
    limit: int
    head: FeedHead | None = None
    posts: list[Post] = field(default_factory=list)
    end: FeedEnd | None = None
    code: int | None = None
    done: trio.Event = field(default_factory=trio.Event)


class RelayFeedStream:
    """Implements `feed_ports.FeedStream` over one stream, which `read` reads and `ping` keeps open."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._reader = FrameReader(stream, frames.FROM_RELAY)
        self._writing = trio.Lock()
        self._number = 0
        self._asked: dict[int, _Asked] = {}
        self._watched: dict[int, FeedName] = {}
        self._pushed: deque[PushedFeed] = deque()
        self._wake = Wakeup()
        self._room = Wakeup()
        self._failure: PeerError | None = None
        self._meanwhile = 0  # pushed since the relay last answered

    async def get(self, feed: FeedName, start: int, want: int, *, watch: bool = False) -> FeedAnswer:
        """Ask for posts; see `feed_ports.FeedStream`."""
        number, asked = self._new(feed, want)
        if watch:
            self._watched[number] = feed
        body = frames.encode_get(FeedGet(number, feed, start, want, watch))
        await self._ask([Frame(frames.GET, body)], [asked])
        assert asked.end is not None
        end = asked.end
        return FeedAnswer(asked.head, asked.posts, end.code, end.more, end.first, end.next)

    async def put(self, feed: FeedName, posts_: Sequence[Post], head: FeedHead | None) -> Sequence[int]:
        """Put posts and a head; see `feed_ports.FeedStream`."""
        sent, waiting = list[Frame](), list[_Asked]()
        items = [(frames.PUT, posts.encode_post(post)) for post in posts_]
        items += [] if head is None else [(frames.PUT_HEAD, posts.encode_head(head))]
        for kind, data in items:
            number, asked = self._new(feed, -1)
            sent.append(Frame(kind, frames.encode_put(FeedPut(number, feed, data))))
            waiting.append(asked)
        await self._ask(sent, waiting)
        return [asked.code for asked in waiting if asked.code is not None]

    async def pushed(self) -> PushedFeed:
        """Return the next thing that was pushed."""
        while not self._pushed:
            if self._failure is not None:
                raise LinkLost from self._failure
            self._wake.clear()
            await self._wake.wait()
        self._room.set()
        return self._pushed.popleft()

    async def read(self) -> None:
        """Read what the relay sends until the stream ends."""
        try:
            while True:
                for frame in await self._reader.read_some():
                    if frame.type == frames.PING:
                        await self._write([Frame(frames.PONG, b"")])
                    else:
                        self._take(frame)
                while len(self._pushed) >= MAX_PUSHED and not self._asked:
                    self._room.clear()
                    await self._room.wait()
        except CannotOpen:
            self._fail(LinkLost("the relay does not keep to the protocol"))
        except PeerError as error:
            self._fail(error)

    async def ping(self) -> None:
        """Ask the relay whether it is there when it has been silent; give it up when it does not answer."""
        while True:
            await trio.sleep(ANSWER_SECONDS / 3)
            silent = trio.current_time() - self._reader.moved
            if silent > PING_SECONDS + ANSWER_SECONDS or (self._asked and silent > ANSWER_SECONDS):
                self._fail(LinkLost("the relay is silent"))
                return
            if silent > PING_SECONDS:
                try:
                    await self._write([Frame(frames.PING, b"")])
                except PeerError as error:
                    self._fail(error)
                    return

    # --- inside ------------------------------------------------------------------------------------------------------

    def _new(self, feed: FeedName, limit: int) -> tuple[int, _Asked]:
        self._number += 1
        asked = self._asked[self._number] = _Asked(feed, limit)
        self._room.set()
        return self._number, asked

    async def _ask(self, sent: Sequence[Frame], waiting: Sequence[_Asked]) -> None:
        """Send requests and wait for all their answers. Raises PeerError."""
        if self._failure is None:
            await self._write(sent)
        for asked in waiting:
            if self._failure is not None:
                break
            await asked.done.wait()
        if self._failure is not None:
            raise LinkLost from self._failure

    async def _write(self, sent: Sequence[Frame]) -> None:
        async with self._writing:
            await write_frames(self._stream, sent)

    def _take(self, frame: Frame) -> None:
        """Take a frame of the relay. Raises CannotOpen for one that it must not send."""
        match frame.type:
            case frames.TERMS:
                frames.decode_terms(frame.body)
            case frames.PONG:
                pass
            case frames.HEAD | frames.POST:
                self._take_item(frame)
            case frames.END:
                end = frames.decode_end(frame.body)
                asked = self._asked.get(end.number)
                if asked is None or asked.limit < 0:
                    raise CannotOpen
                del self._asked[end.number]
                self._meanwhile = 0
                asked.end = end
                asked.done.set()
                if end.code != frames.DONE:
                    self._watched.pop(end.number, None)
            case _:
                number, code = frames.decode_result(frame.body)
                asked = self._asked.get(number)
                if asked is None or asked.limit >= 0:
                    raise CannotOpen
                del self._asked[number]
                self._meanwhile = 0
                asked.code = code
                asked.done.set()

    def _take_item(self, frame: Frame) -> None:
        """Take a head or a post: of an answer, or pushed."""
        number, data = frames.decode_answer(frame.body)
        asked = self._asked.get(number)
        feed = self._watched.get(number) if asked is None else asked.feed
        if feed is None:
            raise CannotOpen
        if asked is None:
            self._count_pushed()
        if frame.type == frames.HEAD:
            head = posts.decode_head(feed, data)
            if asked is None:
                self._push(PushedFeed(feed, head))
            elif asked.head is not None or asked.limit < 0:
                raise CannotOpen
            else:
                asked.head = head
            return
        post = posts.decode_post(feed, data)
        if asked is None:
            self._push(PushedFeed(feed, post))
        elif len(asked.posts) >= asked.limit or (asked.posts and post.header.seq != asked.posts[-1].header.seq + 1):
            raise CannotOpen
        else:
            asked.posts.append(post)

    def _count_pushed(self) -> None:
        """Raise CannotOpen where a relay pushes more and more and never answers."""
        self._meanwhile = self._meanwhile + 1 if self._asked else 0
        if self._meanwhile > MAX_MEANWHILE:
            raise CannotOpen

    def _push(self, pushed: PushedFeed) -> None:
        if len(self._pushed) >= 2 * MAX_PUSHED:
            self._pushed.popleft()
        self._pushed.append(pushed)
        self._wake.set()

    def _fail(self, failure: PeerError) -> None:
        """End what waits: there will be no answer."""
        if self._failure is None:
            self._failure = failure
        for asked in self._asked.values():
            asked.done.set()
        self._asked.clear()
        self._wake.set()
