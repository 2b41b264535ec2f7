"""A relay's feeds and their clients on pipes in memory, for tests; see `support.boxes`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from p2pchat.core import primitives as prim
from p2pchat.core.channels import frames, posts
from p2pchat.core.channels.frames import NEWEST, FeedEnd, FeedGet, FeedPut
from p2pchat.core.channels.posts import FeedHead, FeedName, Post
from p2pchat.core.frames import Frame, FrameParser, pack
from p2pchat.core.ids import PeerKey
from p2pchat.errors import LinkLost
from p2pchat.net.ports import Stream
from p2pchat.relay.clock import RelayClock
from p2pchat.relay.feed_store import FeedQuota, FeedStore
from p2pchat.relay.feeds import FeedServer
from p2pchat.relay.refused_channels import RefusedChannels
from tests.support.boxes import NOW, RELAY, Pipe, PipeStream, inline

QUOTA = FeedQuota(total_bytes=1 << 20)


@dataclass
class Answer:
    """What a GET brought."""

    head: bytes | None
    posts: list[bytes]
    end: FeedEnd


class FeedClient:
    """One stream to a relay's feeds, spoken byte by byte."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.terms: frames.FeedTerms | None = None
        self._parser = FrameParser(frames.FROM_RELAY)
        self._frames: list[Frame] = []
        self._number = 0

    async def frame(self) -> Frame:
        """The next frame but the terms; LinkLost where the relay ended the stream."""
        while True:
            while not self._frames:
                data = await self.stream.read(65_536)
                if not data:
                    raise LinkLost
                self._frames += self._parser.feed(data)
            frame = self._frames.pop(0)
            if frame.type != frames.TERMS:
                return frame
            self.terms = frames.decode_terms(frame.body)

    async def send(self, *sent: Frame) -> None:
        await self.stream.write(b"".join(map(pack, sent)))

    async def get(self, feed: FeedName, start: int = NEWEST, want: int = 256, watch: bool = False) -> Answer:
        """Ask for posts; the answer."""
        self._number += 1
        await self.send(Frame(frames.GET, frames.encode_get(FeedGet(self._number, feed, start, want, watch))))
        head, found = None, list[bytes]()
        while (frame := await self.frame()).type != frames.END:
            number, data = frames.decode_answer(frame.body)
            assert number == self._number
            if frame.type == frames.HEAD:
                head = data
            else:
                found.append(data)
        return Answer(head, found, frames.decode_end(frame.body))

    async def put(self, feed: FeedName, *made: Post | FeedHead) -> list[int]:
        """Put posts and heads; the codes, in their order. What is refused at once is answered first."""
        first = self._number + 1
        for one in made:
            self._number += 1
            is_head = isinstance(one, FeedHead)
            data = posts.encode_head(one) if isinstance(one, FeedHead) else posts.encode_post(one)
            kind = frames.PUT_HEAD if is_head else frames.PUT
            await self.send(Frame(kind, frames.encode_put(FeedPut(self._number, feed, data))))
        codes: dict[int, int] = {}
        for _ in made:
            frame = await self.frame()
            assert frame.type == frames.RESULT
            codes.update([frames.decode_result(frame.body)])
        return [codes[number] for number in range(first, self._number + 1)]

    async def ping(self) -> None:
        """Return when the relay has taken what was sent before."""
        await self.send(Frame(frames.PING, b""))
        assert (await self.frame()).type == frames.PONG


@dataclass
class FeedRelay:
    """A relay's feeds that run. `clock` is its clock, in ms."""

    server: FeedServer
    store: FeedStore
    refused: RefusedChannels
    nursery: trio.Nursery
    clock: list[int]
    peer: PeerKey = RELAY

    def stream(self, room: int = 1 << 18) -> PipeStream:
        """A new stream to it, with room for so many bytes each way."""
        there, back = Pipe(room), Pipe(room)

        async def serve() -> None:
            theirs = PipeStream(PeerKey(b"\xcc" * 32), there, back, True)
            try:
                await self.server.serve(theirs)
            finally:
                await theirs.close()

        self.nursery.start_soon(serve)
        return PipeStream(self.peer, back, there, False)

    def client(self, room: int = 1 << 18) -> FeedClient:
        return FeedClient(self.stream(room))


@asynccontextmanager
async def feed_relay(
    folder: Path,
    quota: FeedQuota = QUOTA,
    place_bytes: int = 1 << 30,
    in_thread: Callable[..., Awaitable[Any]] = inline,
    peer: PeerKey = RELAY,
    write_now: Callable[[Stream, bytes], bool] = lambda stream, data: False,
) -> AsyncIterator[FeedRelay]:
    """A relay with its feeds in `folder`; the same folder is the same relay."""
    clock = [NOW]
    store = FeedStore.open(folder / "channels.db", quota)
    refused = RefusedChannels(folder / "refused-channels")
    relay_clock = RelayClock(lambda: clock[0], lambda: clock[0] / 1000, None)
    random = prim.system_entropy().random
    server = FeedServer(
        peer, store, relay_clock, random, refused, place_bytes, in_thread=in_thread, write_now=write_now
    )
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            yield FeedRelay(server, store, refused, nursery, clock, peer)
            nursery.cancel_scope.cancel()
    finally:
        store.close()
