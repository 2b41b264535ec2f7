"""Feeds at a relay, over streams: what readers and writers get, and what strangers can do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from p2pchat.core import primitives as prim
from p2pchat.core.channels import frames, posts
from p2pchat.core.channels.posts import channel_id
from p2pchat.core.frames import Frame, pack
from p2pchat.errors import DiskFull, LinkLost
from p2pchat.net.ports import Stream
from p2pchat.relay import clients, feed_store, feeds
from p2pchat.relay.feed_store import FeedStore
from tests.core.channels.writing import FEED, KEY, OTHER, FeedWriter
from tests.support.boxes import run
from tests.support.feeds import QUOTA, FeedClient, feed_relay


def test_a_reader_has_the_last_page_with_its_first_question(tmp_path: Path) -> None:
    async def main() -> None:
        async with feed_relay(tmp_path) as at:
            one = FeedWriter()
            assert await at.client().put(FEED, *one.write_many(30), one.head()) == [0] * 31
            reader = at.client()
            answer = await reader.get(FEED, want=10)
            assert [posts.decode_post(FEED, post).header.seq for post in answer.posts] == list(range(20, 30))
            assert answer.head == posts.encode_head(one.head())
            assert (answer.end.first, answer.end.next, answer.end.code) == (0, 30, frames.DONE)
            assert reader.terms is not None
            assert reader.terms.most_posts == QUOTA.feed_posts
            assert (await reader.get(OTHER)).end.next == 0

    run(main)


def test_what_comes_later_is_pushed_to_those_who_watch(tmp_path: Path) -> None:
    async def main() -> None:
        async with feed_relay(tmp_path) as at:
            one, writer, reader, other = FeedWriter(), at.client(), at.client(), at.client()
            await reader.get(FEED, watch=True)
            await other.get(OTHER, watch=True)
            post, head = one.write("a"), one.head()
            assert await writer.put(FEED, post, head, post) == [0, 0, 0]
            first, second = await reader.frame(), await reader.frame()
            assert (first.type, second.type) == (frames.POST, frames.HEAD)
            assert frames.decode_answer(first.body) == (1, posts.encode_post(post))
            await reader.ping()
            await other.ping()

    run(main)


def test_a_reader_who_takes_nothing_is_passed_over_and_asks(tmp_path: Path) -> None:
    async def main() -> None:
        async with feed_relay(tmp_path, replace(QUOTA, total_bytes=16 << 20)) as at:
            one, writer, reader = FeedWriter(), at.client(), at.client(room=20_000)
            await reader.get(FEED, watch=True)
            for _ in range(60):
                assert await writer.put(FEED, one.write("x" * 40_000)) == [0]
            got = 0
            with trio.move_on_after(5):
                while True:
                    await reader.frame()
                    got += 1
            assert 20 < got < 60, "no more than a bounded part waited for it"
            assert (await reader.get(FEED, got, 1)).end.next == 60

    run(main)


def test_a_refused_channel_ends_at_once_and_nothing_else(tmp_path: Path) -> None:
    async def main() -> None:
        async with feed_relay(tmp_path) as at:
            one, writer = FeedWriter(), at.client()
            await writer.put(FEED, one.write("a"), one.head())
            at.refused.change(channel_id(KEY), "reported")
            at.server.look_again()
            answer = await writer.get(FEED)
            assert (answer.end.code, answer.posts, answer.head) == (frames.REFUSED, [], None)
            assert await writer.put(FEED, one.write("b")) == [frames.REFUSED]
            assert at.server.counts.feed_refused == 1
            at.refused.change(channel_id(KEY), None)
            assert await writer.put(FEED, *one.posts) == [0, 0]

    run(main)


def test_limits_of_a_place_and_of_a_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MAX_WATCHED", 2)

    async def main() -> None:
        async with feed_relay(tmp_path, place_bytes=100_000) as at:
            one, client = FeedWriter(), at.client()
            made = [one.write("x" * 40_000) for _ in range(3)]
            assert await client.put(FEED, *made) == [0, 0, frames.TOO_FAST]
            assert await at.client().put(FEED, made[2]) == [frames.TOO_FAST], "of the same place"
            names = [posts.own_feed(prim.sign_public(bytes([number]) * 32)) for number in range(3)]
            assert [(await client.get(name, watch=True)).end.code for name in names] == [0, 0, frames.TOO_FAST]
            assert (await client.get(names[2])).end.code == 0

    run(main)


def test_many_questions_at_once_are_answered_in_order_or_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with feed_relay(tmp_path) as at:
            client = at.client()
            get = [frames.FeedGet(number, FEED, 0, 1, watch=False) for number in range(400)]
            await client.send(*[Frame(frames.GET, frames.encode_get(one)) for one in get])
            ends = [frames.decode_end((await client.frame()).body) for _ in get]
            assert sorted(end.number for end in ends) == list(range(400))
            assert {end.code for end in ends} == {frames.DONE, frames.TOO_FAST}

    run(main)


@pytest.mark.parametrize(
    "frame",
    [
        Frame(frames.GET, bytes(10)),
        Frame(frames.GET, b"\xff" * 79),
        Frame(frames.TERMS, b"\0"),
        Frame(77, b""),
        Frame(frames.PUT, bytes(60_000)),
    ],
)
def test_a_wrong_frame_ends_the_stream(tmp_path: Path, frame: Frame) -> None:
    async def main() -> None:
        async with feed_relay(tmp_path) as at:
            client = at.client()
            await client.send(frame)
            with pytest.raises(LinkLost):
                await client.frame()
            assert at.server.clients == 0

    run(main)


def test_whoever_says_nothing_is_let_go(tmp_path: Path) -> None:
    async def main() -> None:
        async with feed_relay(tmp_path) as at:
            client = at.client()
            await client.get(FEED, watch=True)
            await trio.sleep(feeds.SILENCE_SECONDS - 40)
            await client.ping()
            await trio.sleep(feeds.SILENCE_SECONDS - 40)
            await client.ping()
            with pytest.raises(LinkLost):
                await client.frame()
            assert not at.server._watching

    run(main)


def test_a_failing_disk_turns_puts_away_and_reads_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with feed_relay(tmp_path) as at:
            one, client = FeedWriter(), at.client()
            assert await client.put(FEED, one.write("a")) == [0]

            def fail(*arguments: object) -> None:
                raise DiskFull

            with monkeypatch.context() as patched:
                patched.setattr(FeedStore, "change", fail)
                assert await client.put(FEED, one.write("b")) == [frames.RELAY_FULL]
                assert at.server.failing
            assert len((await client.get(FEED)).posts) == 1
            assert await client.put(FEED, one.posts[1]) == [0]
            assert not at.server.failing

    run(main)


def test_the_end_of_the_relay_ends_its_streams(tmp_path: Path) -> None:
    async def main() -> None:
        async with feed_relay(tmp_path) as at:
            client: FeedClient = at.client()
            await client.ping()
        with pytest.raises(LinkLost):
            await client.frame()

    run(main)


def test_what_many_ask_for_at_once_is_read_a_few_pages_at_a_time(tmp_path: Path) -> None:
    quota = replace(QUOTA, total_bytes=8 << 20)
    held: list[int] = []

    async def main() -> None:
        async with feed_relay(tmp_path, quota) as at:
            one, writer = FeedWriter(), at.client()
            made = [one.write("x" * 40_000) for _ in range(30)]
            assert await writer.put(FEED, *made) == [0] * 30
            page = at.store.page

            def noting(get: frames.FeedGet) -> feed_store.FeedPage:
                held.append(at.server._outgoing.total)
                return page(get)

            at.store.page = noting  # type: ignore[method-assign]
            for _ in range(4):
                client = at.client(room=20_000)
                gets = [frames.FeedGet(number, FEED, 0, 256, watch=False) for number in range(50)]
                await client.send(*[Frame(frames.GET, frames.encode_get(get)) for get in gets])
            await trio.sleep(1)
            assert len(held) <= 8, "each waits for its client, which takes nothing"
            assert at.server._outgoing.total < 10 << 20

    run(main)


def test_those_who_take_nothing_are_let_go_when_all_memory_waits_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "MAX_OUT", 3 << 20)

    async def main() -> None:
        async with feed_relay(tmp_path, replace(QUOTA, total_bytes=8 << 20)) as at:
            one, writer = FeedWriter(), at.client()
            assert await writer.put(FEED, *[one.write("x" * 40_000) for _ in range(24)]) == [0] * 24
            await trio.sleep(1)
            get = Frame(frames.GET, frames.encode_get(frames.FeedGet(1, FEED, 0, 256, watch=False)))
            while not at.server._outgoing.full:
                await at.client(room=20_000).send(get)
                await trio.testing.wait_all_tasks_blocked()
            began = trio.current_time()
            assert await writer.put(FEED, one.write("y")) == [0]
            assert trio.current_time() - began < feeds.SWEEP_SECONDS / 3

    run(main)


def test_a_place_is_sent_no_more_than_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "EGRESS_BYTES", 3 << 20)
    monkeypatch.setattr(feeds, "EGRESS_RATE", 1)

    async def main() -> None:
        async with feed_relay(tmp_path, replace(QUOTA, total_bytes=8 << 20)) as at:
            one, writer, watcher = FeedWriter(), at.client(), at.client()
            assert await writer.put(FEED, *[one.write("x" * 40_000) for _ in range(30)]) == [0] * 30
            await watcher.get(FEED, want=0, watch=True)
            got = [len((await at.client().get(FEED, 0)).posts) for _ in range(6)]
            assert (got[0] > 20, got[-1]) == (True, 0)
            assert sum(got) * 40_000 < 3 << 20
            pushed = 0
            for _ in range(30):
                assert await writer.put(FEED, one.write("x" * 40_000)) == [0]
            with trio.move_on_after(1):
                while True:
                    await watcher.frame()
                    pushed += 1
            assert (sum(got) + pushed) * 40_000 < 3 << 20, "what is pushed counts too"

    run(main)


def test_others_have_their_turn_while_something_is_pushed_to_many(tmp_path: Path) -> None:
    writes: list[int] = []
    turns = [0]

    def write_now(stream: Stream, data: bytes) -> bool:
        if len(data) > 500:
            writes.append(turns[0])
        return True

    async def main() -> None:
        async with feed_relay(tmp_path, write_now=write_now) as at:
            for number in range(1, 201):
                stream = at.stream()
                get = frames.FeedGet(number, FEED, 0, 0, watch=True)
                await stream.write(pack(Frame(frames.GET, frames.encode_get(get))))
            await trio.sleep(1)
            writer = at.stream()
            put = frames.FeedPut(1, FEED, posts.encode_post(FeedWriter().write("x" * 1000)))
            await writer.write(pack(Frame(frames.PUT, frames.encode_put(put))))
            for _ in range(100):
                turns[0] += 1
                await trio.lowlevel.checkpoint()
            assert len(writes) == 200
            assert max(writes.count(turn) for turn in set(writes)) <= 2 * feeds.PUSHES_A_TURN

    run(main)


def test_one_who_begins_to_watch_is_not_sent_what_the_answer_had(tmp_path: Path) -> None:
    async def main() -> None:
        async with feed_relay(tmp_path) as at:
            one, writer, first, second = FeedWriter(), at.client(), at.client(), at.client()
            await first.get(FEED, watch=True)
            put = frames.FeedPut(1, FEED, posts.encode_post(one.write("a")))
            get = frames.FeedGet(1, FEED, 0, 9, watch=True)
            await writer.send(Frame(frames.PUT, frames.encode_put(put)))
            await second.send(Frame(frames.GET, frames.encode_get(get)))
            assert [(await second.frame()).type for _ in range(2)] == [frames.POST, frames.END]
            assert (await first.frame()).type == frames.POST
            await second.ping()

    run(main)
