"""Posts, heads and proofs of forks: what is accepted, and what is not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from p2pchat.core.channels import posts
from p2pchat.core.channels.posts import (
    ChannelWriter,
    Fork,
    check_fork,
    decode_fork,
    decode_head,
    decode_post,
    statement,
)
from p2pchat.core.codec import encode
from p2pchat.core.ids import WriterKey
from p2pchat.errors import CannotOpen
from tests.core.channels.writing import FEED, OTHER, OTHER_SEED, FeedWriter


def test_a_post_opens_to_what_was_written() -> None:
    post = FeedWriter().write("hello")
    assert decode_post(FEED, posts.encode_post(post)).header == post.header
    alone = replace(post, body=None)
    assert decode_post(FEED, posts.encode_post(alone)).body is None


def test_a_post_of_another_feed_is_refused() -> None:
    post = FeedWriter(OTHER_SEED, OTHER).write("hello")
    with pytest.raises(CannotOpen):
        decode_post(FEED, posts.encode_post(post))


@pytest.mark.parametrize("place", [0, 40, 100, 180, 210, -1])
def test_a_changed_post_is_refused(place: int) -> None:
    raw = bytearray(posts.encode_post(FeedWriter().write("hello")))
    raw[place] ^= 1
    with pytest.raises(CannotOpen):
        decode_post(FEED, bytes(raw))


def test_a_head_names_writers_only_in_the_channels_own_feed() -> None:
    writer = ChannelWriter(OTHER.writer, "bob", 3)
    head = FeedWriter().head(writers=(writer,))
    opened = decode_head(FEED, posts.encode_head(head))
    assert opened.writers == (writer,)
    assert opened.most(OTHER.writer) == 3
    assert opened.most(FEED.writer) == posts.MAX_SEQ + 1
    assert opened.most(WriterKey(bytes(32))) == 0
    for_others = FeedWriter(OTHER_SEED, OTHER).head(writers=(writer,))
    with pytest.raises(CannotOpen):
        decode_head(OTHER, posts.encode_head(for_others))


def test_a_head_from_before_there_were_details_is_read() -> None:
    head = FeedWriter().old_head(writers=(ChannelWriter(OTHER.writer, "bob", 3),))
    assert decode_head(FEED, posts.encode_head(head)) == head
    assert head.details is None


def test_a_name_is_cleaned() -> None:
    one = FeedWriter()
    head = posts.make_head(one.seed, FEED, 0, posts.NOTHING, 0, "ne\x1b[31mws\u202e")
    assert decode_head(FEED, posts.encode_head(head)).name == "ne[31mws"


def test_two_posts_with_one_number_prove_a_fork() -> None:
    one = FeedWriter()
    one.write("first")
    two = one.copy()
    fork = Fork(FEED, statement(one.write("a")), statement(two.write("b")))
    check_fork(fork)
    assert decode_fork(posts.encode_fork(fork)) == fork


def test_a_head_and_a_post_prove_a_fork_and_so_does_the_next_post() -> None:
    one = FeedWriter()
    one.write("first")
    two = one.copy()
    mine, _ = one.write("a"), two.write("b")
    check_fork(Fork(FEED, statement(mine), statement(two.head())))
    check_fork(Fork(FEED, statement(mine), statement(two.write("c"))))


def test_what_does_not_contradict_proves_nothing() -> None:
    one = FeedWriter()
    first, second, third = one.write_many(3)
    for pair in ((first, second), (first, third), (third, one.head()), (first, first)):
        with pytest.raises(CannotOpen):
            check_fork(Fork(FEED, statement(pair[0]), statement(pair[1])))


def test_a_fork_has_to_be_signed() -> None:
    one = FeedWriter()
    two = one.copy()
    mine, theirs = statement(one.write("a")), statement(two.write("b"))
    forged = Fork(FEED, mine, theirs._replace(signature=mine.signature))
    with pytest.raises(CannotOpen):
        check_fork(forged)
    with pytest.raises(CannotOpen):
        decode_fork(encode([*forged.feed, *forged.first, *forged.second]))


def test_checkpoints_are_where_they_belong_and_nowhere_else() -> None:
    one = FeedWriter()
    one.write_many(257)
    mark = one.posts[256]
    assert decode_post(FEED, posts.encode_post(mark)).header.checkpoint == one.checkpoint(256)
    body = mark.body or b""
    without = posts.make_post(one.seed, FEED, 256, mark.header.prev, 0, body, None)
    beside = posts.make_post(one.seed, FEED, 255, mark.header.prev, 0, body, mark.header.checkpoint)
    for post in (without, beside):
        with pytest.raises(CannotOpen):
            decode_post(FEED, posts.encode_post(post))
