"""A reader of a feed and everything that whoever hands it out can do, as hypothesis drives them.

Posts and heads are withheld, reordered, repeated, forged, and taken from another copy of the writer. After each step:
what the reader has is a run of what one writer wrote; it is frozen only with a proof that anyone can check, and only if
the writer did fork; what is withheld shows.
"""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from p2pchat.core.channels.feed import Feed, Gap, skip_to, take_head, take_post
from p2pchat.core.channels.posts import (
    FeedHead,
    Post,
    check_fork,
    decode_head,
    decode_post,
    encode_head,
    encode_post,
)
from p2pchat.errors import CannotOpen
from tests.core.channels.writing import FEED, NOW, FeedWriter
from tests.support.examples import examples

ANY = st.integers(0, 1 << 20)


class ReaderMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.writer = FeedWriter()
        self.copy: FeedWriter | None = None
        self.heads: list[FeedHead] = []
        self.feed = Feed(FEED)
        self.kept: dict[int, Post] = {}
        self.seen = 0
        self.at = NOW

    @rule(count=st.integers(1, 3))
    def write(self, count: int) -> None:
        self.writer.write_many(count)

    @precondition(lambda self: self.copy is None and self.writer.posts)
    @rule(lost=ANY)
    def restore_a_copy(self, lost: int) -> None:
        self.copy = self.writer.copy()
        del self.copy.posts[lost % len(self.copy.posts) :]

    @precondition(lambda self: self.copy is not None)
    @rule()
    def write_in_the_copy(self) -> None:
        assert self.copy is not None
        self.copy.write(f"other {len(self.copy.posts)}")

    @rule(other=st.booleans())
    def sign_a_head(self, other: bool) -> None:
        self.at += 1
        writer = self.copy if other and self.copy is not None else self.writer
        self.heads.append(writer.head(self.at))

    @rule(which=ANY, other=st.booleans(), forged=st.booleans())
    def hand_out_a_post(self, which: int, other: bool, forged: bool) -> None:
        posts = self.copy.posts if other and self.copy is not None else self.writer.posts
        if not posts:
            return
        # mostly near what is wanted, or nothing would ever fit
        self._hand_out(posts[(self.feed.count + which % 3 - 1) % len(posts)], forged)

    def _hand_out(self, post: Post, forged: bool) -> None:
        raw = encode_post(replace(post, signature=bytes(64)) if forged else post)
        before = self.feed
        try:
            self.feed = take_post(self.feed, decode_post(FEED, raw), self.kept.get)
        except Gap:
            assert post.header.seq > self.feed.count
            assert not forged
        except CannotOpen:
            assert forged or self.feed.missing
        else:
            assert not forged
        if self.feed.count > before.count:
            self.kept[post.header.seq] = post

    @precondition(lambda self: self.heads)
    @rule(which=ANY, forged=st.booleans())
    def hand_out_a_head(self, which: int, forged: bool) -> None:
        head = self.heads[which % len(self.heads)]
        try:
            opened = decode_head(FEED, encode_head(replace(head, signature=bytes(64)) if forged else head))
        except CannotOpen:
            assert forged
            return
        assert not forged
        self.feed = take_head(self.feed, opened, self.kept.get)
        if self.feed.fork is None:
            self.seen = max(self.seen, head.count)

    @precondition(lambda self: self.feed.withheld > 1 and self.feed.fork is None)
    @rule()
    def go_on_behind_a_gap(self) -> None:
        assert self.feed.head is not None
        posts = self.writer.posts
        seq = self.feed.head.count - 1
        if seq < len(posts):
            missing = self.feed.missing
            self.feed = skip_to(self.feed, posts[seq])
            assert self.feed.missing > missing
            self._hand_out(posts[seq], forged=False)

    @invariant()
    def a_frozen_feed_has_a_proof_and_an_honest_writer_is_never_accused(self) -> None:
        if self.feed.fork is not None:
            check_fork(self.feed.fork)
            assert self.copy is not None

    @invariant()
    def what_is_here_is_linked(self) -> None:
        for seq, post in self.kept.items():
            after = self.kept.get(seq + 1)
            assert post.header.seq == seq
            assert after is None or after.header.prev == post.header.hash
        if self.kept and max(self.kept) == self.feed.count - 1:
            assert self.feed.last == self.kept[self.feed.count - 1].header.hash

    @invariant()
    def what_is_withheld_shows(self) -> None:
        if self.feed.fork is None:
            assert self.feed.count + self.feed.withheld >= self.seen
            assert len(self.kept) + self.feed.missing == self.feed.count

    @invariant()
    def a_reader_who_gets_all_has_all(self) -> None:
        if self.copy is None and not self.feed.missing:
            feed = self.feed
            for post in self.writer.posts[feed.count :]:
                feed = take_post(feed, post, self.writer.known)
            assert feed.count == len(self.writer.posts)


TestReader = ReaderMachine.TestCase
TestReader.settings = settings(max_examples=examples(40), stateful_step_count=25)
