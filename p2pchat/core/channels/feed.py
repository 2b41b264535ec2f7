"""What a reader knows of one feed, and what may be added to it (docs/protocol/channels.md).

A feed may come from anywhere: a relay, another reader, a file. Whoever hands it out can only withhold. A *gap* shows
that: a header names the post before it, and a head the last one. A *fork* is the writer's own doing: two signed
statements that cannot both be true. With one, the reader takes nothing more.

| event                                     | then                                                        |
|-------------------------------------------|-------------------------------------------------------------|
| the next post                             | it is added                                                 |
| a post that is known                      | nothing                                                     |
| a later post                              | `Gap`: those between are asked for, here or elsewhere       |
| a post or head that contradicts what is   | the feed is frozen, with the proof                          |
| known                                     |                                                             |
| anything, of a frozen feed                | nothing                                                     |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from p2pchat.core.channels import checkpoints
from p2pchat.core.channels.posts import NOTHING, FeedHead, FeedName, Fork, Post, PostHeader, statement
from p2pchat.errors import CannotOpen

Known = Callable[[int], Post | None]
"""Returns a post of the feed that was added before, by its number, or None."""


class Gap(Exception):
    """A post cannot be added because those from `wanted` on, before it, are not here."""

    def __init__(self, wanted: int) -> None:
        super().__init__(f"posts from {wanted} on are missing")
        self.wanted = wanted


@dataclass(frozen=True, slots=True)
class Feed:
    """What is known of a feed: the posts from `first` to before `count`, the last of which has the hash `last`. head:
    the newest that was seen. missing: how many posts before `count` were given up because nobody handed them out. fork:
    the proof that its writer forked it; then it is frozen.
    """

    name: FeedName
    first: int = 0
    count: int = 0
    last: bytes = NOTHING
    head: FeedHead | None = None
    missing: int = 0
    fork: Fork | None = None

    @property
    def is_empty(self) -> bool:
        """Whether no post of it is here."""
        return self.first == self.count

    @property
    def withheld(self) -> int:
        """How many posts there are, by the newest head, that are not here yet."""
        return 0 if self.head is None else max(0, self.head.count - self.count)


def take_post(feed: Feed, post: Post, known: Known, most: int | None = None) -> Feed:
    """Return the feed with a post, whose signature is valid, or as it was if that is known or the feed is frozen. most:
    how many posts of this writer count.

    An empty feed begins with number 0; a new reader of a long one calls `begin`. Raises Gap, and CannotOpen for a post
    with a wrong checkpoint or beyond `most`.
    """
    header = post.header
    if feed.fork is not None:
        return feed
    if most is not None and header.seq >= most:
        raise CannotOpen
    if header.seq < feed.count and not feed.is_empty:
        mine = known(header.seq)
        return feed if mine is None or mine.header.hash == header.hash else _frozen(feed, mine, post)
    if header.seq > feed.count:
        raise Gap(feed.count)
    if header.prev != feed.last:
        mine = known(header.seq - 1) if header.seq else None
        if mine is None:
            raise CannotOpen
        return _frozen(feed, mine, post)
    if header.checkpoint is not None:
        forked = _check_point(feed, header, post, known)
        if forked is not None:
            return forked
    grown = replace(feed, count=header.seq + 1, last=header.hash)
    head = feed.head
    if head is not None and head.count == grown.count and head.last != grown.last:
        return _frozen(feed, post, head)
    return grown


def take_head(feed: Feed, head: FeedHead, known: Known) -> Feed:
    """Return the feed with a head, whose signature is valid, if it is newer; frozen if it contradicts a post."""
    if feed.fork is not None:
        return feed
    if head.count and feed.first < head.count <= feed.count:
        mine = known(head.count - 1)
        if mine is not None and mine.header.hash != head.last:
            return _frozen(feed, mine, head)
    old = feed.head
    if old is not None:
        if old.count == head.count and old.last != head.last:
            return _frozen(feed, old, head)
        if (head.count, head.at) <= (old.count, old.at):
            return feed
    return replace(feed, head=head)


def begin(name: FeedName, head: FeedHead, posts: Sequence[Post]) -> Feed:
    """Return what a new reader knows from a head and the last page: `posts`, in order, up to the one that the head
    names. Of these only the head's signature counts, since each header names the one before. Raises CannotOpen if they
    do not lead to the head.
    """
    if head.count == 0 and not posts:
        return Feed(name, head=head)
    if not posts or posts[-1].header.hash != head.last or posts[-1].header.seq != head.count - 1:
        raise CannotOpen
    _check_linked([post.header for post in posts])
    return Feed(name, posts[0].header.seq, head.count, head.last, head)


def skip_to(feed: Feed, post: Post) -> Feed:
    """Return the feed continued with a later post, because nobody hands out those between; they count as missing. The
    post has to be below the count of the head. Raises CannotOpen if not.
    """
    seq = post.header.seq
    if feed.fork is not None or feed.head is None or not feed.count < seq < feed.head.count:
        raise CannotOpen
    return replace(feed, count=seq, last=post.header.prev, missing=feed.missing + seq - feed.count)


def take_earlier(feed: Feed, posts: Sequence[Post], known: Known) -> Feed:
    """Return the feed with posts from before its first, in order, whose signatures are valid; as it was if it is
    frozen. Raises CannotOpen if they are not those right before it.
    """
    first = known(feed.first)
    if feed.fork is not None or not posts:
        return feed
    if first is None:
        raise CannotOpen
    _check_linked([*(post.header for post in posts), first.header])
    return replace(feed, first=posts[0].header.seq)


def _check_linked(headers: Sequence[PostHeader]) -> None:
    for before, after in pairwise(headers):
        if after.seq != before.seq + 1 or after.prev != before.hash:
            raise CannotOpen


def _check_point(feed: Feed, header: PostHeader, post: Post, known: Known) -> Feed | None:
    """Check the checkpoint of the next post, as far as what it is about is here. Return the frozen feed if it names
    another post than the one that is here. Raises CannotOpen for a wrong root.
    """
    assert header.checkpoint is not None
    begins = header.seq - checkpoints.EVERY
    if begins < feed.first:
        return None
    before = known(begins)
    if before is None:
        return None
    if before.header.hash != header.checkpoint.before:
        return _frozen(feed, before, post)
    page = [before, *(known(seq) for seq in range(begins + 1, header.seq))]
    hashes = [item.header.hash for item in page if item is not None]
    if len(hashes) == checkpoints.EVERY and checkpoints.merkle_root(hashes) != header.checkpoint.root:
        raise CannotOpen
    return None


def _frozen(feed: Feed, first: Post | FeedHead, second: Post | FeedHead) -> Feed:
    return replace(feed, fork=Fork(feed.name, statement(first), statement(second)))
