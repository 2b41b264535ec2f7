"""The interface between engine and net for channels: streams to relays that mirror feeds. See `ports` for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from p2pchat.core.channels.posts import FeedHead, FeedName, Post
from p2pchat.core.relays import Relay


class FeedAnswer(NamedTuple):
    """What a relay has of a feed: the newest head, the posts that were asked for, in order, and the numbers of the
    first and behind the last that it has (both 0: it has none). code: of `core.channels.frames`. more: there are
    further posts behind these. All signatures are checked, and nothing else.
    """

    head: FeedHead | None
    posts: Sequence[Post]
    code: int
    more: bool
    first: int
    next: int


class PushedFeed(NamedTuple):
    """Something new in a feed that is watched: a head or a post."""

    feed: FeedName
    new: FeedHead | Post


class FeedStream(Protocol):
    """A stream to one relay. Every call raises PeerError once it has ended, or the relay has broken the protocol."""

    async def get(self, feed: FeedName, start: int, want: int, *, watch: bool = False) -> FeedAnswer:
        """Ask for at most `want` (256) posts from number `start` on, or the last ones (`frames.NEWEST`). watch: what
        comes later is handed out by `pushed`.
        """
        ...

    async def put(self, feed: FeedName, posts: Sequence[Post], head: FeedHead | None) -> Sequence[int]:
        """Have the relay keep posts and then a head; return the codes, in that order. Not more than 64 at once."""
        ...

    async def pushed(self) -> PushedFeed:
        """Return the next thing that the relay has pushed; waits until there is one."""
        ...


class Feeds(Protocol):
    """Relays that mirror channels."""

    def open(self, relay: Relay) -> AbstractAsyncContextManager[FeedStream]:
        """Return a stream to a relay, for the duration of the context, from a transport key that is used for nothing
        else. To enter it raises PeerError or Refused.
        """
        ...
