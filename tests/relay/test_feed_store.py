"""The relay's store of feeds: everything is checked, and has its limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from p2pchat.core import primitives as prim
from p2pchat.core.channels import frames, posts
from p2pchat.core.channels.frames import NEWEST, FeedGet
from p2pchat.core.channels.posts import ChannelWriter, FeedHead, FeedName, Post, channel_id
from p2pchat.errors import DatabaseNewer
from p2pchat.lib.times import HOUR_MS
from p2pchat.relay.feed_store import FeedChange, FeedPage, FeedQuota, FeedStore
from p2pchat.relay.holdings import Source
from tests.core.channels.writing import FEED, KEY, OTHER, OTHER_SEED, FeedWriter

NOW = 1_800_000_000_000
QUOTA = FeedQuota(total_bytes=1 << 20, feed_bytes=1 << 18, feed_posts=100, hours=24)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FeedStore]:
    opened = FeedStore.open(tmp_path / "channels.db", QUOTA)
    yield opened
    opened.close()


def put(
    store: FeedStore, *made: Post | FeedHead, feed: FeedName = FEED, now: int = NOW, source: Source = ()
) -> list[int]:
    """Put these; the codes."""
    encoded = [posts.encode_head(one) if isinstance(one, FeedHead) else posts.encode_post(one) for one in made]
    pairs = zip(encoded, made, strict=True)
    changes = [FeedChange(feed, data, isinstance(one, FeedHead), source) for data, one in pairs]
    return [result.code for result in store.change(changes, now)]


def page(store: FeedStore, start: int = NEWEST, want: int = 256, feed: FeedName = FEED) -> FeedPage:
    return store.page(FeedGet(1, feed, start, want, watch=False))


def numbers(found: FeedPage) -> list[int]:
    return [posts.decode_post(FEED, post).header.seq for post in found.posts]


def test_a_feed_is_handed_out_from_its_end_and_from_any_number(store: FeedStore) -> None:
    one = FeedWriter()
    made: list[Post | FeedHead] = [*one.write_many(10), one.head()]
    assert put(store, *made) == [0] * 11
    last = page(store, want=3)
    assert (numbers(last), last.more, last.first, last.next) == ([7, 8, 9], False, 0, 10)
    assert last.head == posts.encode_head(one.head())
    middle = page(store, 2, 3)
    assert (numbers(middle), middle.more) == ([2, 3, 4], True)
    assert numbers(page(store, 10)) == []
    assert numbers(page(store, want=0)) == []


def test_what_is_there_is_kept_once(store: FeedStore) -> None:
    one = FeedWriter()
    first = one.write("a")
    assert put(store, first, first) == [0, 0]
    before = store.size
    assert put(store, first, one.head(), one.head()) == [0] * 3
    assert store.size == before + len(posts.encode_head(one.head()))
    assert put(store, one.head(at=1)) == [0]
    assert page(store).head == posts.encode_head(one.head())


def test_a_feed_goes_on_whose_head_is_from_before_there_were_details(store: FeedStore) -> None:
    one = FeedWriter()
    store.change([FeedChange(FEED, posts.encode_head(one.head()), True)], NOW)
    store._db.execute("UPDATE feeds SET head = ?", (posts.encode_head(one.old_head()),))
    assert put(store, one.write("a"), one.head(at=NOW + 1)) == [0, 0]
    assert page(store).head == posts.encode_head(one.head(at=NOW + 1))


def test_a_gap_and_a_fork_are_refused_and_change_nothing(store: FeedStore) -> None:
    one = FeedWriter()
    one.write_many(3)
    two = one.copy()
    one.write("a")
    assert put(store, *one.posts) == [0] * 4
    two.write_many(2)
    assert put(store, two.posts[3], two.posts[4], one.posts[3]) == [frames.FORK, frames.FORK, 0]
    two.posts.pop()
    assert put(store, two.head()) == [frames.FORK]
    one.write_many(2)
    assert put(store, one.posts[5]) == [frames.GAP]
    assert page(store).next == 4
    assert put(store, one.head(), two.copy().write("late")) == [0, frames.FORK]


def test_a_run_that_is_too_old_to_be_kept_is_begun_anew(store: FeedStore) -> None:
    one = FeedWriter()
    one.write_many(112)
    assert put(store, *one.posts[:10], one.head()) == [0] * 11
    assert put(store, one.posts[109]) == [frames.GAP], "with those between, number 9 would be kept"
    assert (page(store).first, page(store).next) == (0, 10)
    assert put(store, one.posts[110], one.posts[111], one.head(at=NOW + 1)) == [0] * 3
    assert numbers(page(store, 0)) == [110, 111]
    assert (store.posts, store.size) == (2, store._db.execute("SELECT sum(bytes) FROM feeds").fetchone()[0])
    assert put(store, one.posts[9]) == [frames.GAP]


def test_a_head_that_came_first_is_no_way_to_slip_in_another_post(store: FeedStore) -> None:
    one, two = FeedWriter(), FeedWriter()
    one.write("a")
    two.write("b")
    assert put(store, one.head(), two.posts[0], one.posts[0]) == [0, frames.FORK, 0]


def test_what_is_not_signed_by_the_writer_is_refused(store: FeedStore) -> None:
    one = FeedWriter()
    post = one.write("a")
    forged = replace(post, signature=bytes(64))
    assert put(store, forged, replace(forged, body=None)) == [frames.MALFORMED] * 2
    assert put(store, post, feed=OTHER) == [frames.MALFORMED]
    assert put(store, replace(one.head(), signature=bytes(64))) == [frames.MALFORMED]
    assert (store.feeds, store.posts, store.size) == (0, 0, 0)


def test_a_post_without_its_body_is_a_post_and_may_be_completed(store: FeedStore) -> None:
    one = FeedWriter()
    first, second = one.write("gone"), one.write("here")
    bare = replace(first, body=None)
    assert put(store, bare, second) == [0, 0]
    assert page(store).posts == [posts.encode_post(bare), posts.encode_post(second)]
    before = store.size
    assert put(store, first, bare, first) == [0, 0, 0]
    assert page(store).posts == [posts.encode_post(first), posts.encode_post(second)]
    assert store.size == before + len(posts.encode_post(first)) - len(posts.encode_post(bare))


def test_other_writers_write_as_far_as_the_newest_head_says(store: FeedStore) -> None:
    one, other = FeedWriter(), FeedWriter(OTHER_SEED, OTHER)
    other.write_many(3)
    assert put(store, other.posts[0], feed=OTHER) == [frames.MALFORMED], "nobody has named them"
    named = ChannelWriter(OTHER.writer, "bob", 2)
    assert put(store, one.head(writers=(named,))) == [0]
    assert put(store, *other.posts, feed=OTHER) == [0, 0, frames.MALFORMED]
    assert put(store, other.head(), feed=OTHER) == [frames.MALFORMED], "it counts a post too many"
    assert put(store, one.head(at=1 << 50)) == [0]
    assert put(store, other.posts[1], feed=OTHER) == [frames.MALFORMED]


def test_a_feed_keeps_its_newest_posts(store: FeedStore) -> None:
    one = FeedWriter()
    assert put(store, *one.write_many(150)) == [0] * 150
    found = page(store)
    assert (found.first, found.next, store.posts) == (50, 150, 100)
    assert numbers(page(store, 0, 2)) == [50, 51]
    long = [one.write("x" * 40_000) for _ in range(10)]
    assert put(store, *long) == [0] * 10
    assert store.size <= QUOTA.feed_bytes
    assert page(store).next == 160
    assert put(store, one.posts[0]) == [frames.GAP]


def another(number: int) -> FeedWriter:
    """The owner of another channel."""
    seed = bytes([number]) * 32
    return FeedWriter(seed, posts.own_feed(prim.sign_public(seed)))


def kept(store: FeedStore, writer: FeedWriter) -> int:
    """The bytes that a channel has of bodies."""
    found = [posts.decode_post(writer.feed, post) for post in page(store, 0, feed=writer.feed).posts]
    return sum(len(post.body or b"") for post in found)


def test_in_a_full_store_a_feed_makes_room_with_its_own(tmp_path: Path) -> None:
    store = FeedStore.open(tmp_path / "channels.db", FeedQuota(total_bytes=100_000, feed_bytes=90_000))
    one = FeedWriter()
    assert put(store, *[one.write("x" * 20_000) for _ in range(5)]) == [0] * 5
    assert page(store).next - page(store).first == 4
    assert put(store, one.write("x" * 40_000), one.write("x" * 48_000)) == [0, 0]
    assert page(store).next == 7
    store.close()


@pytest.mark.parametrize("restarted", [False, True])
def test_in_a_full_store_a_new_channel_has_room_at_the_cost_of_who_holds_most(tmp_path: Path, restarted: bool) -> None:
    quota = FeedQuota(total_bytes=200_000, feed_bytes=190_000)
    store = FeedStore.open(tmp_path / "channels.db", quota)
    one, other = FeedWriter(), another(7)
    assert put(store, *[one.write("x" * 9_000) for _ in range(20)], source=(b"one", b"one's")) == [0] * 20
    if restarted:
        store.close()
        store = FeedStore.open(tmp_path / "channels.db", quota)
    for _ in range(40):
        assert put(store, other.write("x" * 9_000), feed=other.feed, source=(b"other", b"other's")) == [0]
        assert store.size <= quota.total_bytes
    assert abs(kept(store, one) - kept(store, other)) <= 20_000, "each has half"
    assert numbers(page(store, 0))[-1] == 19, "the newest are left"
    assert store.size == sum(size for (size,) in store._db.execute("SELECT bytes FROM feeds"))
    store.close()


def test_many_channels_of_one_network_push_nobody_else_out(tmp_path: Path) -> None:
    store = FeedStore.open(tmp_path / "channels.db", FeedQuota(total_bytes=200_000, feed_bytes=190_000))
    one = FeedWriter()
    assert put(store, *[one.write("x" * 9_000) for _ in range(8)], source=(b"one", b"one's")) == [0] * 8
    codes = list[int]()
    for number in range(2, 24):
        made = another(number)
        source = (b"many", bytes([number]))
        codes += put(store, made.write("x" * 1_000), made.write("y" * 9_000), feed=made.feed, source=source)
    assert numbers(page(store)) == list(range(8))
    assert codes[-2] == codes[0] == 0, "they push out each other"
    late = another(90)
    assert put(store, late.write("x" * 9_000), feed=late.feed, source=(b"late", b"late's")) == [0]
    assert numbers(page(store)) == list(range(8))
    store.close()


def _filled(path: Path) -> tuple[FeedStore, list[FeedWriter]]:
    """A store full of small channels, started again, and who writes them."""
    quota = FeedQuota(total_bytes=800_000, feed_bytes=190_000)
    store = FeedStore.open(path, quota)
    many = [another(number) for number in range(2, 100)]
    codes = [put(store, made.write("x" * 4_600), feed=made.feed, source=(b"many", b"theirs")) for made in many]
    assert codes[-1] == [frames.RELAY_FULL]
    store.close()
    return FeedStore.open(path, quota), many


def test_after_a_restart_channels_count_as_those_of_who_puts_something_new_of_them(tmp_path: Path) -> None:
    store, many = _filled(tmp_path / "channels.db")
    late = another(190)
    for made in many:
        codes = put(store, made.head(), feed=made.feed, source=(b"many", b"theirs"))
        assert codes in ([frames.DONE], [frames.RELAY_FULL])
    assert put(store, late.write("x" * 4_600), feed=late.feed, source=(b"late", b"late's")) == [0]
    assert store.size == sum(size for (size,) in store._db.execute("SELECT bytes FROM feeds"))
    store.close()


def test_after_a_restart_nobody_keeps_others_out_by_reading(tmp_path: Path) -> None:
    store, many = _filled(tmp_path / "channels.db")
    late = another(190)
    post = late.write("x" * 4_600)
    assert put(store, post, feed=late.feed, source=(b"late", b"late's")) == [frames.RELAY_FULL]
    for made in many:
        page(store, feed=made.feed)
    later = NOW + 72 * HOUR_MS
    assert put(store, post, feed=late.feed, now=later, source=(b"late", b"late's")) == [0]
    store.close()


def test_the_number_of_feeds_is_bounded(tmp_path: Path) -> None:
    store = FeedStore.open(tmp_path / "channels.db", FeedQuota(total_bytes=100_000))
    codes = list[int]()
    for number in range(2, 40):
        made = another(number)
        codes += put(store, made.head(), feed=made.feed, source=(b"many", bytes([number])))
    assert store.feeds <= 100_000 // 4_096
    store.close()


def test_a_post_larger_than_a_feed_is_refused(tmp_path: Path) -> None:
    store = FeedStore.open(tmp_path / "channels.db", FeedQuota(total_bytes=1 << 20, feed_bytes=10_000))
    assert put(store, FeedWriter().write("x" * 20_000)) == [frames.FEED_FULL]
    store.close()


def test_a_disk_without_space_takes_nothing_more(tmp_path: Path) -> None:
    store = FeedStore.open(tmp_path / "channels.db", QUOTA, lambda: False)
    one = FeedWriter()
    assert put(store, one.head(), one.write("a")) == [frames.RELAY_FULL] * 2
    store.close()


def test_a_refused_channel_is_deleted_and_not_taken_again(store: FeedStore) -> None:
    one = FeedWriter()
    seed = bytes(range(2, 34))
    feed = posts.own_feed(prim.sign_public(seed))
    other = FeedWriter(seed, feed)
    named = ChannelWriter(OTHER.writer, "bob")
    put(store, one.head(writers=(named,)), *one.write_many(3))
    put(store, FeedWriter(OTHER_SEED, OTHER).write("b"), feed=OTHER)
    put(store, other.write("kept"), feed=feed)
    assert store.refuse([channel_id(KEY)]) == 2
    assert (store.feeds, store.posts) == (1, 1)
    assert page(store) == FeedPage(None, [], code=frames.REFUSED)
    assert put(store, one.posts[0], one.head()) == [frames.REFUSED] * 2
    assert len(page(store, feed=feed).posts) == 1
    assert store.refuse([]) == 0
    assert put(store, *one.posts) == [0] * 3


def test_a_relay_that_takes_no_new_channels_goes_on_with_what_it_has(store: FeedStore) -> None:
    one = FeedWriter()
    put(store, one.write("a"), one.head(writers=(ChannelWriter(OTHER.writer, "bob"),)))
    store.quota = replace(QUOTA, new=False)
    assert put(store, one.write("b")) == [0]
    assert put(store, FeedWriter(OTHER_SEED, OTHER).write("b"), feed=OTHER) == [0]
    seed = bytes(range(2, 34))
    feed = posts.own_feed(prim.sign_public(seed))
    assert put(store, FeedWriter(seed, feed).write("b"), feed=feed) == [frames.REFUSED]


def test_a_feed_without_a_sign_of_its_writer_ends(store: FeedStore) -> None:
    one = FeedWriter()
    put(store, one.write("a"), one.head())
    assert store.expire(NOW + 23 * HOUR_MS) == 0
    put(store, one.head(at=NOW), now=NOW + 20 * HOUR_MS)
    assert store.expire(NOW + 25 * HOUR_MS) == 0
    assert store.expire(NOW + 45 * HOUR_MS) == 1
    assert (store.feeds, store.posts, store.size) == (0, 0, 0)


def test_a_failure_changes_nothing(store: FeedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    one = FeedWriter()
    monkeypatch.setattr(FeedStore, "_trim", lambda self, id: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        put(store, one.write("a"))
    assert (store.feeds, store.posts, store.size) == (0, 0, 0)
    assert page(store) == FeedPage(None, [])


def test_it_is_the_same_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "channels.db"
    one = FeedWriter()
    store = FeedStore.open(path, QUOTA)
    put(store, *one.write_many(3), one.head())
    before = (store.feeds, store.posts, store.size, page(store))
    store.close()
    store = FeedStore.open(path, QUOTA)
    assert (store.feeds, store.posts, store.size, page(store)) == before
    store._db.execute("PRAGMA user_version = 9")
    store.close()
    with pytest.raises(DatabaseNewer):
        FeedStore.open(path, QUOTA)
    assert FeedStore.open_or_none(path, QUOTA, lambda: True) is None
    assert path.exists()
    assert FeedStore.open_or_none(path, FeedQuota(), lambda: True) is None
    assert not path.exists()


def test_an_answer_is_bounded(tmp_path: Path) -> None:
    store = FeedStore.open(tmp_path / "channels.db", FeedQuota(total_bytes=4 << 20))
    one = FeedWriter()
    put(store, *[one.write("x" * 45_000) for _ in range(30)])
    found = page(store, 0)
    assert found.more
    assert 20 < len(found.posts) < 25
    store.close()


def test_nothing_of_a_refused_channel_is_left_on_the_disk(tmp_path: Path) -> None:
    store = FeedStore.open(tmp_path / "channels.db", QUOTA)
    one = FeedWriter()
    put(store, one.write("findme " * 2_000), one.write("findme"), one.head())

    def traces() -> int:
        return sum(file.read_bytes().count(b"findme") for file in tmp_path.iterdir())

    assert traces() > 1_000  # some are cut by the end of a page
    store.refuse([channel_id(KEY)])
    assert traces() == 0
    assert not any(KEY in file.read_bytes() for file in tmp_path.iterdir())
    store.close()


def test_a_post_for_which_there_can_be_no_room_costs_the_feed_nothing(tmp_path: Path) -> None:
    store = FeedStore.open(tmp_path / "channels.db", replace(QUOTA, total_bytes=60_000))
    one, other = FeedWriter(), FeedWriter(OTHER_SEED, posts.own_feed(prim.sign_public(OTHER_SEED)))
    assert put(store, *one.write_many(3), source=(b"o",)) == [0] * 3
    assert put(store, other.write("x" * 40_000), other.write("x" * 10_000), feed=other.feed, source=(b"o",)) == [0, 0]
    assert put(store, one.write("x" * 48_000), source=(b"o",)) == [frames.RELAY_FULL]
    assert numbers(page(store)) == [0, 1, 2]
    store.close()


def test_in_a_full_store_a_feed_lives_on_by_its_heads(tmp_path: Path) -> None:
    store = FeedStore.open(tmp_path / "channels.db", QUOTA)
    one = FeedWriter()
    assert put(store, *one.write_many(5), one.head()) == [0] * 6
    store.quota = replace(QUOTA, total_bytes=store.size)
    named = (ChannelWriter(OTHER.writer, "bob"),)
    assert put(store, one.head(at=NOW + HOUR_MS), now=NOW + HOUR_MS) == [0]
    assert put(store, one.head(at=NOW + 2 * HOUR_MS, writers=named), now=NOW + 2 * HOUR_MS) == [0], "for its oldest"
    assert numbers(page(store)) == [1, 2, 3, 4]
    store.quota = replace(QUOTA, total_bytes=store.size // 2)
    assert put(store, one.head(at=NOW + 9 * HOUR_MS, writers=named), now=NOW + 9 * HOUR_MS) == [0], "it has less now"
    assert store.expire(NOW + 30 * HOUR_MS) == 0
    store.close()


def test_each_signature_is_checked_once_when_it_comes(store: FeedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    checked, real = list[bytes](), prim.verify

    def verify(public: bytes, label: str, data: bytes, signature: bytes) -> None:
        checked.append(public)
        real(public, label, data, signature)

    monkeypatch.setattr(prim, "verify", verify)
    one, other, writers = FeedWriter(), FeedWriter(OTHER_SEED, OTHER), (ChannelWriter(OTHER.writer, "bob"),)
    first, made, last = one.head(writers=writers), one.write_many(3), one.head(writers=writers)
    assert put(store, first, *made, made[1], last, last) == [0] * 7
    assert put(store, other.write("a"), other.head(), feed=OTHER) == [0] * 2
    assert checked == [KEY] * 7 + [OTHER.writer] * 2


def test_what_is_counted_is_what_is_there(tmp_path: Path) -> None:
    """Whatever has to give way, and whatever fails."""
    store, chance = FeedStore.open(tmp_path / "channels.db", FeedQuota(total_bytes=60_000, feed_posts=6)), Random(5)
    writers, full = [another(number) for number in range(2, 14)], 0
    for _ in range(300):
        number = chance.randrange(len(writers))
        writer = writers[number]
        source = (bytes([number % 3]), bytes([number]))
        made = writer.write("x" * chance.choice([10, 500, 5_000, 20_000]))
        full += put(store, made, writer.head(), feed=writer.feed, source=source)[0] == frames.RELAY_FULL
        if chance.random() < 0.05:
            store.expire(NOW + chance.choice([0, 800]) * HOUR_MS)
        held = store._db.execute("SELECT count(*), coalesce(sum(bytes), 0) FROM feeds").fetchone()
        assert (store.feeds, store.size) == held
        assert store.posts == store._db.execute("SELECT count(*) FROM posts").fetchone()[0]
        assert store.size <= store.quota.total_bytes
    assert full < 100
    store.close()
