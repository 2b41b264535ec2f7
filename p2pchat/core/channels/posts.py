"""Posts and heads of a channel: what is signed, and how it is encoded (docs/protocol/channels.md).

A channel has one feed of its own, signed with its key, and one for each other writer that its heads name. A *header*
links a post to the one before it and names the hash of its body, so that headers are worth keeping without bodies. A
*head* says where a feed ended at a certain time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from p2pchat.core import primitives as prim
from p2pchat.core.channels import checkpoints
from p2pchat.core.codec import (
    U64,
    array,
    binary,
    binary_upto,
    decode,
    encode,
    exactly,
    listing,
    maybe,
    text,
    uint,
)
from p2pchat.core.ids import ChannelId, WriterKey
from p2pchat.core.text import clean_name
from p2pchat.errors import CannotOpen

HASH_BYTES = 32
NOTHING = bytes(HASH_BYTES)
"""The hash of the post before the first."""
MAX_BODY_BYTES = 49_152
MAX_HEADER_BYTES = 256
MAX_DETAILS_BYTES = 2_304
MAX_HEAD_BYTES = 4_608
MAX_POST_BYTES = MAX_BODY_BYTES + MAX_HEADER_BYTES + 128
MAX_NAME_BYTES = 64
MAX_WRITERS = 16
MAX_SEQ = (1 << 53) - 1
"""The greatest number of a post: all JSON readers hold it exactly."""
_MAX_TIME = 1 << 53
_POST, _HEAD = "chan post", "chan head"


def channel_id(key: bytes) -> ChannelId:
    """Return the 32-byte id of the channel with this public key: what people compare, and what a relay may refuse."""
    return ChannelId(prim.blake2b(key, b"p2pchat1 channel"))


class FeedName(NamedTuple):
    """One feed: the key of its channel, and that of its writer, which is the same for the channel's own."""

    channel: bytes
    writer: WriterKey

    @property
    def is_own(self) -> bool:
        """Whether it is the channel's own feed."""
        return self.writer == self.channel


def own_feed(key: bytes) -> FeedName:
    """Return the name of a channel's own feed."""
    return FeedName(key, WriterKey(key))


class Checkpoint(NamedTuple):
    """What a post commits to besides the one before it. root: over the 256 posts before. before: the hash of the post
    256 numbers earlier.
    """

    root: bytes
    before: bytes


@dataclass(frozen=True, slots=True)
class PostHeader:
    """What is signed of a post. seq: from 0. prev: the hash of the one before. at: ms by the writer's clock. digest,
    size: of the body. raw: the bytes that were signed.
    """

    channel: ChannelId
    writer: WriterKey
    seq: int
    prev: bytes
    at: int
    digest: bytes
    size: int
    checkpoint: Checkpoint | None
    raw: bytes

    @property
    def hash(self) -> bytes:
        """The 32-byte hash by which the next post names this one."""
        return prim.blake2b(self.raw, b"p2pchat1 ch post")


@dataclass(frozen=True, slots=True, repr=False)
class Post:
    """A post whose signature is valid. body: None where whoever handed it out has the header only."""

    header: PostHeader
    signature: bytes
    body: bytes | None


class ChannelWriter(NamedTuple):
    """Somebody else who may write in a channel, in a feed of their own. most: how many posts of it count: a writer who
    is removed keeps those that the channel's owner had seen.
    """

    key: WriterKey
    name: str
    most: int = MAX_SEQ + 1


@dataclass(frozen=True, slots=True)
class FeedHead:
    """Where a feed ended at `at` (ms): it had `count` posts, the last with the hash `last`. name: the channel's, None
    if only the link says it. writers: of the channel; only its own feed names any. details: see `details`, for the own
    feed alone. raw, signature: as they were signed.
    """

    channel: ChannelId
    writer: WriterKey
    count: int
    last: bytes
    at: int
    name: str | None
    writers: tuple[ChannelWriter, ...]
    details: bytes | None
    raw: bytes
    signature: bytes

    def most(self, writer: WriterKey) -> int:
        """Return how many posts of the feed of this writer count; 0 for one whom this head, of the channel's own feed,
        does not name.
        """
        if writer == self.writer:
            return MAX_SEQ + 1
        return max((named.most for named in self.writers if named.key == writer), default=0)


# --- writing -------------------------------------------------------------------------------------------------------


def make_post(
    seed: bytes, feed: FeedName, seq: int, prev: bytes, at: int, body: bytes, checkpoint: Checkpoint | None = None
) -> Post:
    """Sign a post. seed: the private half of the writer's key. checkpoint: for the numbers that have one."""
    digest = body_digest(body)
    marks = None if checkpoint is None else list(checkpoint)
    raw = encode([1, channel_id(feed.channel), feed.writer, seq, prev, at, digest, len(body), marks])
    header = PostHeader(channel_id(feed.channel), feed.writer, seq, prev, at, digest, len(body), checkpoint, raw)
    return Post(header, prim.sign(seed, _POST, raw), body)


def make_head(
    seed: bytes,
    feed: FeedName,
    count: int,
    last: bytes,
    at: int,
    name: str | None = None,
    writers: tuple[ChannelWriter, ...] = (),
    details: bytes | None = None,
) -> FeedHead:
    """Sign where a feed ends. details: as `details.encode_details` returns them."""
    named = [list(writer) for writer in writers]
    raw = encode([1, channel_id(feed.channel), feed.writer, count, last, at, name, named, details])
    signature = prim.sign(seed, _HEAD, raw)
    return FeedHead(channel_id(feed.channel), feed.writer, count, last, at, name, writers, details, raw, signature)


# --- reading -------------------------------------------------------------------------------------------------------

_time = uint(_MAX_TIME)
_hash = binary(HASH_BYTES)
_name = text(MAX_NAME_BYTES)
_HEADER_SHAPE = array(
    exactly(1),
    _hash,
    binary(prim.KEY_BYTES),
    uint(MAX_SEQ),
    _hash,
    _time,
    _hash,
    uint(MAX_BODY_BYTES),
    maybe(array(_hash, _hash)),
)
_HEAD_SHAPE = array(
    exactly(1),
    _hash,
    binary(prim.KEY_BYTES),
    uint(MAX_SEQ + 1),
    _hash,
    _time,
    maybe(_name),
    listing(array(binary(prim.KEY_BYTES), _name, uint(U64)), MAX_WRITERS),
    maybe(binary_upto(MAX_DETAILS_BYTES, least=1)),
)
_WITHOUT_DETAILS = 8
"""Fields of heads that profiles and relays have from before there were details."""
_POST_SHAPE = array(binary_upto(MAX_HEADER_BYTES), binary(prim.SIGNATURE), maybe(binary_upto(MAX_BODY_BYTES, least=1)))
_SIGNED_HEAD_SHAPE = array(binary_upto(MAX_HEAD_BYTES), binary(prim.SIGNATURE))


def body_digest(body: bytes) -> bytes:
    """Return the 32-byte hash by which a header names its body."""
    return prim.blake2b(body, b"p2pchat1 ch body")


def encode_post(post: Post) -> bytes:
    """Return a post as it travels and lies at relays: [header, signature, body | nil]."""
    return encode([post.header.raw, post.signature, post.body])


def decode_post(feed: FeedName, data: bytes, *, checked: bool = False) -> Post:
    """Return a post of this feed, its signature checked. checked: that was done before it was stored. Raises
    CannotOpen.
    """
    raw, signature, body = _POST_SHAPE(decode(data, MAX_POST_BYTES))
    return open_post(feed, raw, signature, body, checked=checked)


def open_post(feed: FeedName, raw: bytes, signature: bytes, body: bytes | None, *, checked: bool = False) -> Post:
    """Return the post of these parts. Raises CannotOpen unless the writer of this feed signed it. checked: it is known
    that they did.
    """
    header = _header(feed, raw)
    if body is not None and (len(body) != header.size or body_digest(body) != header.digest):
        raise CannotOpen
    if not checked:
        prim.verify(feed.writer, _POST, raw, signature)
    return Post(header, signature, body)


def encode_head(head: FeedHead) -> bytes:
    """Return a head as it travels: [head, signature]."""
    return encode([head.raw, head.signature])


def decode_head(feed: FeedName, data: bytes, *, checked: bool = False) -> FeedHead:
    """Return a head of this feed, its signature checked. checked: that was done before it was stored. Raises
    CannotOpen.
    """
    raw, signature = _SIGNED_HEAD_SHAPE(decode(data, MAX_HEAD_BYTES + 128))
    value = decode(raw, MAX_HEAD_BYTES)
    if isinstance(value, list) and len(value) == _WITHOUT_DETAILS:
        value.append(None)
    _, channel, writer, count, last, at, name, named, details = _HEAD_SHAPE(value)
    if channel != channel_id(feed.channel) or writer != feed.writer or (count == 0) != (last == NOTHING):
        raise CannotOpen
    if (named or details is not None) and not feed.is_own:
        raise CannotOpen
    writers = tuple(ChannelWriter(WriterKey(key), clean_name(word), most) for key, word, most in named)
    if not checked:
        prim.verify(feed.writer, _HEAD, raw, signature)
    shown = None if name is None else clean_name(name) or None
    return FeedHead(ChannelId(channel), feed.writer, count, last, at, shown, writers, details, raw, signature)


def _header(feed: FeedName, raw: bytes) -> PostHeader:
    _, channel, writer, seq, prev, at, digest, size, marks = _HEADER_SHAPE(decode(raw, MAX_HEADER_BYTES))
    checkpoint = None if marks is None else Checkpoint(*marks)
    wrong = channel != channel_id(feed.channel) or writer != feed.writer or not size
    if wrong or (seq == 0) != (prev == NOTHING) or (checkpoint is not None) != checkpoints.is_due(seq):
        raise CannotOpen
    return PostHeader(ChannelId(channel), feed.writer, seq, prev, at, digest, size, checkpoint, raw)


# --- forks ---------------------------------------------------------------------------------------------------------


class Statement(NamedTuple):
    """A header or a head, with its signature, as a part of a proof."""

    raw: bytes
    signature: bytes


class Fork(NamedTuple):
    """Two things that the writer of one feed signed and that cannot both be true. Anyone can check it."""

    feed: FeedName
    first: Statement
    second: Statement


def statement(of: Post | FeedHead) -> Statement:
    """Return what is signed of a post or a head."""
    return Statement(of.header.raw, of.signature) if isinstance(of, Post) else Statement(of.raw, of.signature)


def check_fork(fork: Fork) -> None:
    """Return if this proves that its writer forked the feed: both are signed, and say different things of one post.
    Raises CannotOpen if not.
    """
    first, second = (_said(fork.feed, part) for part in (fork.first, fork.second))
    if not any(first[seq] != second[seq] for seq in first.keys() & second.keys()):
        raise CannotOpen


def _said(feed: FeedName, part: Statement) -> dict[int, bytes]:
    """Return the hashes of posts that a signed statement names, by their numbers."""
    try:
        header = open_post(feed, part.raw, part.signature, None).header
    except CannotOpen:
        head = decode_head(feed, encode(list(part)))
        return {head.count - 1: head.last} if head.count else {}
    named = {header.seq: header.hash}
    if header.seq:
        named[header.seq - 1] = header.prev
    if header.checkpoint is not None:
        named[header.seq - checkpoints.EVERY] = header.checkpoint.before
    return named


def encode_fork(fork: Fork) -> bytes:
    """Return a proof of a fork: [channel key, writer key, raw, signature, raw, signature]."""
    return encode([*fork.feed, *fork.first, *fork.second])


def decode_fork(data: bytes) -> Fork:
    """Return a proof of a fork, checked. Raises CannotOpen."""
    part = (binary_upto(MAX_HEAD_BYTES), binary(prim.SIGNATURE))
    key = binary(prim.KEY_BYTES)
    shape = array(key, key, *part, *part)
    fields: tuple[Any, ...] = shape(decode(data, 2 * MAX_HEAD_BYTES + 512))
    channel, writer, *parts = fields
    fork = Fork(FeedName(channel, WriterKey(writer)), Statement(*parts[:2]), Statement(*parts[2:]))
    check_fork(fork)
    return fork
