"""Earlier posts, from relays that do not hand out what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import trio

from p2pchat.core.channels import frames
from p2pchat.core.channels.posts import FeedName, Post
from p2pchat.core.ids import ChatId, PeerKey, WriterKey
from p2pchat.engine.channels import sync
from p2pchat.engine.channels.sync import OLDER_SECONDS, ChannelSync
from p2pchat.engine.runtime.committer import Committer
from p2pchat.feed_ports import FeedAnswer, FeedStream
from p2pchat.ports import Net
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


@virtual
async def test_a_relay_that_hands_out_the_same_posts_again_and_again_is_passed_over() -> None:
    stream = _Stream(FeedWriter().write("again"))
    assert await sync._earlier(cast(FeedStream, stream), FEED, 50, 20) == []
    assert stream.asked == 1


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
