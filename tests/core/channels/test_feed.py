"""What a reader of a feed accepts, and how gaps and forks show."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2pchat.core.channels import feed as feeds
from p2pchat.core.channels.feed import Feed, Gap, begin, skip_to, take_earlier, take_head, take_post
from p2pchat.core.channels.posts import Checkpoint, check_fork, make_post
from p2pchat.errors import CannotOpen
from tests.core.channels.writing import FEED, FeedWriter


def read(writer: FeedWriter, feed: Feed | None = None) -> Feed:
    """Read everything of a writer."""
    known = Feed(FEED) if feed is None else feed
    for post in writer.posts[known.count :]:
        known = take_post(known, post, writer.known)
    return known


def test_posts_are_taken_in_order_and_once() -> None:
    one = FeedWriter()
    one.write_many(3)
    feed = read(one)
    assert (feed.count, feed.last) == (3, one.posts[-1].header.hash)
    assert take_post(feed, one.posts[1], one.known) == feed


def test_a_later_post_is_a_gap_that_says_what_is_wanted() -> None:
    one = FeedWriter()
    one.write_many(4)
    feed = take_post(Feed(FEED), one.posts[0], one.known)
    with pytest.raises(Gap) as gap:
        take_post(feed, one.posts[3], one.known)
    assert gap.value.wanted == 1


def test_a_head_shows_what_is_withheld() -> None:
    one = FeedWriter()
    one.write_many(5)
    feed = take_head(read(one), one.head(), one.known)
    assert feed.withheld == 0
    one.write_many(2)
    feed = take_head(feed, one.head(), one.known)
    assert feed.withheld == 2
    with pytest.raises(CannotOpen):
        skip_to(feed, one.posts[5])
    skipped = take_post(skip_to(feed, one.posts[6]), one.posts[6], one.known)
    assert (skipped.withheld, skipped.missing, skipped.count) == (0, 1, 7)


@pytest.mark.parametrize("how", ["same number", "next number", "head", "head before"])
def test_a_fork_freezes_the_feed_with_its_proof(how: str) -> None:
    one = FeedWriter()
    one.write_many(2)
    two = one.copy()
    one.write("a")
    two.write("b")
    feed = take_head(read(one), one.head(), one.known)
    match how:
        case "same number":
            forked = take_post(feed, two.posts[2], one.known)
        case "next number":
            forked = take_post(feed, two.write("c"), one.known)
        case "head":
            forked = take_head(feed, two.head(), one.known)
        case _:
            behind = take_head(read(one, Feed(FEED)), two.head(), lambda seq: None)
            forked = take_head(behind, one.head(), lambda seq: None)
    assert forked.fork is not None
    check_fork(forked.fork)
    assert take_post(forked, one.write("d"), one.known) == forked
    assert take_head(forked, one.head(), one.known) == forked


def test_a_head_that_waits_for_its_post_proves_the_fork_when_it_comes() -> None:
    one, two = FeedWriter(), FeedWriter()
    one.write("a")
    two.write("b")
    feed = take_head(Feed(FEED), two.head(), one.known)
    assert take_post(feed, one.posts[0], one.known).fork is not None


def test_an_older_head_changes_nothing() -> None:
    one = FeedWriter()
    one.write_many(2)
    old = one.head(at=1)
    one.write("more")
    feed = take_head(read(one), one.head(at=2), one.known)
    assert take_head(feed, old, one.known) == feed


def test_a_new_reader_needs_the_last_page_alone() -> None:
    one = FeedWriter()
    one.write_many(300)
    feed = begin(FEED, one.head(), one.posts[250:])
    assert (feed.first, feed.count, feed.missing) == (250, 300, 0)
    for wrong in (one.posts[250:299], one.posts[250:270] + one.posts[271:], []):
        with pytest.raises(CannotOpen):
            begin(FEED, one.head(), wrong)
    assert begin(FEED, FeedWriter().head(), []).is_empty


def test_a_wrong_checkpoint_is_not_taken_and_a_contradicting_one_freezes() -> None:
    one = FeedWriter()
    one.write_many(256)
    feed = read(one)
    good = one.checkpoint(256)
    assert good is not None

    def next_with(mark: Checkpoint) -> Feed:
        return take_post(feed, make_post(one.seed, FEED, 256, feed.last, 0, b"\x92\x00\x90", mark), one.known)

    with pytest.raises(CannotOpen):
        next_with(Checkpoint(bytes(32), good.before))
    frozen = next_with(Checkpoint(good.root, bytes(32)))
    assert frozen.fork is not None
    check_fork(frozen.fork)


def test_posts_beyond_what_counts_of_a_removed_writer_are_not_taken() -> None:
    one = FeedWriter()
    one.write_many(2)
    feed = take_post(Feed(FEED), one.posts[0], one.known, most=1)
    with pytest.raises(CannotOpen):
        take_post(feed, one.posts[1], one.known, most=1)


def test_a_post_that_does_not_follow_is_no_fork_where_the_one_before_is_not_here() -> None:
    one = FeedWriter()
    one.write_many(3)
    feed = begin(FEED, one.head(), one.posts[2:])
    other = replace(feed, last=bytes(32))
    with pytest.raises(CannotOpen):
        take_post(other, one.write("next"), lambda seq: None)
    assert feeds.take_post(feed, one.posts[3], one.known).count == 4


def test_earlier_posts_are_taken_only_where_they_lead_to_the_first() -> None:
    one = FeedWriter()
    one.write_many(9)
    page = begin(FEED, one.head(), one.posts[6:])
    assert page.first == 6
    with pytest.raises(CannotOpen):
        take_earlier(page, one.posts[2:5], one.known)
    with pytest.raises(CannotOpen):
        take_earlier(page, [one.posts[3], one.posts[5]], one.known)
    with pytest.raises(CannotOpen):
        take_earlier(page, one.posts[3:6], lambda seq: None)
    longer = take_earlier(page, one.posts[3:6], one.known)
    assert longer == replace(page, first=3)
    other = one.copy()
    other.posts = other.posts[:2]
    other.write("another third one")
    with pytest.raises(CannotOpen):
        take_earlier(longer, other.posts, one.known)
    assert take_earlier(longer, one.posts[:3], one.known).first == 0
