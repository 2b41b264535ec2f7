"""The client of relays that mirror channels, beside a real relay's feeds and beside one that lies."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from p2pchat.core.channels import frames, posts
from p2pchat.core.channels.frames import NEWEST, FeedEnd
from p2pchat.core.frames import Frame, pack
from p2pchat.core.ids import PeerKey
from p2pchat.core.relays import Relay
from p2pchat.errors import LinkLost, NotServed, PeerError, Refused, Unreachable
from p2pchat.feed_ports import FeedStream
from p2pchat.net import multiaddrs
from p2pchat.net.mailbox import feeds as feeds_client
from p2pchat.net.mailbox.feeds import ANSWER_SECONDS, RelayFeeds
from p2pchat.net.mailbox.records import FirstHops
from p2pchat.net.ports import Stream
from tests.core.channels.writing import FEED, OTHER_SEED, FeedWriter
from tests.support.boxes import RELAY, Pipe, PipeStream, run
from tests.support.feeds import feed_relay

AT = Relay(RELAY, (multiaddrs.pack("/ip4/192.0.2.1/tcp/4001"),), chosen=False)


class OneHost:
    """A host that opens one stream to wherever `opening` leads."""

    def __init__(self, opening: Callable[[], Stream]) -> None:
        self.opening = opening
        self.asked: list[tuple[Any, ...]] = []

    async def open(self, peer: PeerKey, addresses: list[str], protocol: str, **options: Any) -> Stream:
        await trio.lowlevel.checkpoint()
        self.asked.append((peer, list(addresses), protocol, options.get("only")))
        return self.opening()


NO_HOPS = FirstHops((), (), ())


def feeds_of(host: OneHost, hops: FirstHops = NO_HOPS, *, circuits_only: bool = False) -> RelayFeeds:
    @asynccontextmanager
    async def new_host() -> AsyncIterator[Any]:
        async with trio.open_nursery() as nursery:  # as that of a node
            yield host
            nursery.cancel_scope.cancel()

    return RelayFeeds(new_host, lambda peer: peer == bytes(32), lambda relay: hops, circuits_only=circuits_only)


def test_posts_are_put_read_and_pushed(tmp_path: Path) -> None:
    async def main() -> None:
        async with feed_relay(tmp_path) as at:
            feeds, one = feeds_of(OneHost(at.stream)), FeedWriter()
            async with feeds.open(AT) as writer, feeds.open(AT) as reader:
                assert await writer.put(FEED, one.write_many(5), one.head()) == [0] * 6
                answer = await reader.get(FEED, NEWEST, 3, watch=True)
                assert [post.header.seq for post in answer.posts] == [2, 3, 4]
                assert answer.head == one.head()
                assert (answer.first, answer.next, answer.more) == (0, 5, False)
                await writer.put(FEED, [one.write("new")], one.head())
                assert (await reader.pushed()).new == one.posts[5]
                assert (await reader.pushed()).new == one.head()
                two = FeedWriter(OTHER_SEED)
                assert await writer.put(FEED, [two.write("forged")], None) == [frames.MALFORMED]

    run(main)


async def lying(say: Callable[[PipeStream], Awaitable[None]], talk: Callable[[FeedStream], Awaitable[None]]) -> None:
    """Talk to a relay that says what `say` writes once it was asked something."""
    there, back = Pipe(1 << 20), Pipe(1 << 20)
    relay, ours = PipeStream(RELAY, there, back, True), PipeStream(RELAY, back, there, False)

    async def answer() -> None:
        await relay.read(1 << 16)
        await say(relay)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        async with feeds_of(OneHost(lambda: ours)).open(AT) as stream:
            await talk(stream)
        nursery.cancel_scope.cancel()


ONE = FeedWriter()
ONE.write_many(4)


def answered(number: int, kind: int, data: bytes) -> Frame:
    return Frame(kind, frames.encode_answer(number, data))


def a_post(number: int, seq: int) -> Frame:
    return answered(number, frames.POST, posts.encode_post(ONE.posts[seq]))


FORGED = bytearray(posts.encode_post(ONE.posts[0]))
FORGED[-1] ^= 1
DONE = Frame(frames.END, frames.encode_end(FeedEnd(1, 0, False, 0, 4)))
HEAD = answered(1, frames.HEAD, posts.encode_head(ONE.head()))


@pytest.mark.parametrize(
    "said",
    [
        [answered(1, frames.POST, bytes(FORGED))],
        [a_post(2, 0)],
        [a_post(1, 0), a_post(1, 2)],
        [a_post(1, 0), a_post(1, 1), a_post(1, 2)],
        [HEAD, HEAD],
        [Frame(frames.RESULT, frames.encode_result(1, 0))],
        [Frame(frames.END, frames.encode_end(FeedEnd(7, 0, False, 0, 0)))],
        [Frame(frames.GET, bytes(79))],
        [Frame(frames.TERMS, b"\0")],
    ],
    ids=["forged", "unasked", "not in order", "too many", "two heads", "a result", "another end", "a get", "no terms"],
)
def test_what_a_relay_must_not_send_ends_the_stream(said: list[Frame]) -> None:
    async def say(relay: PipeStream) -> None:
        await relay.write(b"".join(map(pack, [*said, DONE])))

    async def talk(stream: FeedStream) -> None:
        with pytest.raises(PeerError):
            await stream.get(FEED, 0, 2)
        with pytest.raises(PeerError):
            await stream.pushed()
        with pytest.raises(PeerError):
            await stream.put(FEED, ONE.posts, None)

    run(lambda: lying(say, talk))


def test_what_is_pushed_meanwhile_keeps_no_answer_from_coming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds_client, "MAX_PUSHED", 4)
    many = FeedWriter()
    many.write_many(30)
    second = Frame(frames.END, frames.encode_end(FeedEnd(2, 0, False, 0, 30)))

    async def say(relay: PipeStream) -> None:
        await relay.write(pack(DONE))
        pushed = [answered(1, frames.POST, posts.encode_post(post)) for post in many.posts]
        for frame in [*pushed, second]:
            await relay.write(pack(frame))
            await trio.sleep(0.01)

    async def talk(stream: FeedStream) -> None:
        await stream.get(FEED, 0, 2, watch=True)
        await trio.sleep(1)
        began = trio.current_time()
        assert (await stream.get(FEED, 0, 2)).next == 30
        assert trio.current_time() - began < 5
        seen = [(await stream.pushed()).new for _ in range(8)]
        assert seen == many.posts[22:], "the newest, which show that there is a gap"

    run(lambda: lying(say, talk))


def test_a_relay_that_pushes_without_end_and_owes_an_answer_is_given_up() -> None:
    said = [0]

    async def say(relay: PipeStream) -> None:
        await relay.write(pack(DONE))
        with suppress(LinkLost):
            while said[0] < 9 * feeds_client.MAX_MEANWHILE:
                await relay.write(pack(HEAD) * 64)
                said[0] += 64

    async def talk(stream: FeedStream) -> None:
        await stream.get(FEED, 0, 2, watch=True)
        with pytest.raises(LinkLost):
            await stream.get(FEED, 0, 2)
        assert said[0] < 9 * feeds_client.MAX_MEANWHILE

    run(lambda: lying(say, talk))


def test_a_relay_that_says_nothing_is_given_up() -> None:
    async def talk(stream: FeedStream) -> None:
        began = trio.current_time()
        with pytest.raises(LinkLost):
            await stream.get(FEED, 0, 2)
        assert trio.current_time() - began < 2 * ANSWER_SECONDS

    async def say(relay: PipeStream) -> None:
        await trio.sleep_forever()

    run(lambda: lying(say, talk))


def test_the_end_of_a_stream_is_an_error_outside_the_context_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with feed_relay(tmp_path) as at:
            stream = at.stream()
            feeds = feeds_of(OneHost(lambda: stream))

            async def read() -> None:
                async with feeds.open(AT) as reader:
                    await stream.close()
                    await reader.pushed()

            with pytest.raises(LinkLost):
                await read()

    run(main)


@pytest.mark.parametrize(
    ("failure", "expected"), [(Unreachable(), Unreachable), (NotServed(), Refused), (LinkLost(), LinkLost)]
)
def test_a_relay_that_is_not_reached_raises_once(failure: Exception, expected: type[Exception]) -> None:
    def opening() -> Stream:
        raise failure

    async def main() -> None:
        with pytest.raises(expected):
            async with feeds_of(OneHost(opening)).open(AT):
                pass
        us = Relay(PeerKey(bytes(32)), AT.addresses)
        with pytest.raises(Unreachable):
            async with feeds_of(OneHost(opening)).open(us):
                pass

    run(main)


def test_where_two_hops_are_wanted_only_circuits_are_used(tmp_path: Path) -> None:
    async def main() -> None:
        async with feed_relay(tmp_path) as at:
            host = OneHost(at.stream)
            with pytest.raises(Unreachable):
                async with feeds_of(host, circuits_only=True).open(AT):
                    pass
            assert not host.asked
            hops = FirstHops([multiaddrs.circuit("/ip4/192.0.2.9/tcp/1", PeerKey(b"\x11" * 32))], (), ())
            async with feeds_of(host, hops, circuits_only=True).open(AT) as stream:
                await stream.get(FEED, 0, 1)
            assert [(asked[1], asked[3]) for asked in host.asked] == [(list(hops.ours), "circuit")]

    run(main)
