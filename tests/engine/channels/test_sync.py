"""Relays that do not hand out what was asked for, or have a node ask for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import trio

from p2pchat.core.channels import frames
from p2pchat.core.channels.posts import FeedHead, FeedName, Post
from p2pchat.core.ids import ChatId, PeerKey, WriterKey
from p2pchat.engine.channels import intake, sync
from p2pchat.engine.channels.sync import OLDER_SECONDS, ChannelSync
from p2pchat.engine.runtime.committer import Committer
from p2pchat.errors import Refused
from p2pchat.feed_ports import FeedAnswer, FeedStream, PushedFeed
from p2pchat.ports import Net, Relay
from p2pchat.store.channels import ChannelRow
from tests.core.channels.writing import FEED, KEY, OTHER, FeedWriter
from tests.support.virtual_time import virtual

CHAT = ChatId(b"the chat")


class _Stream:
    """A relay that always hands out these posts, or, without any, nothing."""

    def __init__(self, *posts: Post) -> None:
        self.posts, self.asked = posts, 0

    async def get(self, feed: FeedName, start: int, want: int, *, watch: bool = False) -> FeedAnswer:
        self.asked += 1
        assert self.asked < 9, "it is asked for ever"
        if not self.posts:
            await trio.sleep_forever()
        return FeedAnswer(None, self.posts, frames.DONE, True, 0, 99)


class _Committer:
    async def read(self, function: Callable[..., Any], *args: Any) -> int:
        return 50

    async def submit(self, function: Callable[..., Any], *args: Any) -> int:
        return 50


@virtual
async def test_a_relay_that_hands_out_the_same_posts_again_and_again_is_passed_over() -> None:
    stream = _Stream(FeedWriter().write("again"))
    assert await sync._earlier(cast(FeedStream, stream), FEED, 50, 20) == []
    assert stream.asked == 1


class _Nagging(_Stream):
    """A relay that says again and again that there are more posts, and hands out none."""

    def __init__(self, head: FeedHead) -> None:
        super().__init__()
        self.head, self.pushes = head, 0

    async def get(self, feed: FeedName, start: int, want: int, *, watch: bool = False) -> FeedAnswer:
        self.asked += 1
        return FeedAnswer(None, [], frames.DONE, False, 0, 0)

    async def pushed(self) -> PushedFeed:
        self.pushes += 1
        assert self.pushes < 99, "it is asked for ever"
        return PushedFeed(FEED, self.head)


@virtual
async def test_a_relay_that_has_us_ask_again_and_again_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "DAILY_BYTES", 5 * intake.HEAD_BYTES)
    kept = ChannelSync(cast(Committer, _Committer()), cast(Net, None), lambda: 0, bytes)
    one = FeedWriter()
    one.write_many(51)
    stream, mirrored = _Nagging(one.head()), sync._Mirrored(ChannelRow(CHAT, KEY, None, None, None, ()), (FEED,), ())
    with pytest.raises(Refused):
        await kept._follow(mirrored, Relay(PeerKey(bytes(32)), ()), cast(FeedStream, stream))
    assert stream.asked == 5


@virtual
async def test_a_relay_that_does_not_answer_is_waited_for_once_whatever_the_number_of_feeds() -> None:
    kept = ChannelSync(cast(Committer, _Committer()), cast(Net, None), lambda: 0, bytes)
    row, stream = ChannelRow(CHAT, KEY, None, None, None, ()), _Stream()
    third = FeedName(KEY, WriterKey(bytes(32)))
    mirrored = kept._channels[CHAT] = sync._Mirrored(row, (FEED, OTHER, third), ())
    mirrored.streams[PeerKey(bytes(32))] = cast(FeedStream, stream)
    began = trio.current_time()
    assert await kept.read_older(CHAT, 20) == 0
    assert trio.current_time() - began == OLDER_SECONDS
