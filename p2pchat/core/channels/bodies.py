"""What a post says, open for everybody or sealed for those who have the link (docs/protocol/channels.md).

A body is a content of the registry in `core.contents`, without what a session adds: [type, payload].
"""

from __future__ import annotations

from typing import Any

from p2pchat.core import primitives as prim
from p2pchat.core.channels.posts import MAX_BODY_BYTES, FeedName, Post, channel_id
from p2pchat.core.codec import U8, array, decode, encode, uint
from p2pchat.core.contents import KINDS, AnyPayload, Unknown
from p2pchat.core.ids import MessageId
from p2pchat.errors import CannotOpen

SECRET_BYTES = 32
SEALED_SIZES = (1_024, 4_096, 16_384, MAX_BODY_BYTES)
"""The sizes of sealed bodies: so much of the length of a text is hidden."""
_SEAL_BYTES = prim.NONCE_BYTES + prim.TAG_BYTES


def new_secret(random: prim.Random) -> bytes:
    """Return a new secret for a private channel."""
    return random(SECRET_BYTES)


def encode_body(payload: AnyPayload) -> bytes:
    """Return the bytes of an open body."""
    return encode([payload.number, payload.encode()])


def decode_body(data: bytes) -> AnyPayload:
    """Return what an open body says; `Unknown` for a type that this version does not know. Raises CannotOpen."""
    number, fields = _SHAPE(decode(data, MAX_BODY_BYTES))
    known = KINDS.get(number)
    return Unknown(number) if known is None else known.decode(fields)


def seal_body(secret: bytes, feed: FeedName, seq: int, body: bytes, random: prim.Random) -> bytes:
    """Return a body of a private channel. Raises ValueError if it is too long."""
    size = next((size for size in SEALED_SIZES if len(body) + 1 + _SEAL_BYTES <= size), None)
    if size is None:
        raise ValueError("a post is too long")
    padded = prim.pad(body, size - _SEAL_BYTES)
    return prim.seal(_read_key(secret, feed), padded, _place(feed, seq), random(prim.NONCE_BYTES))


def open_body(secret: bytes | None, feed: FeedName, seq: int, body: bytes) -> AnyPayload:
    """Return what the body of a post says. secret: of the link; None for a public channel. Raises CannotOpen."""
    if secret is None:
        return decode_body(body)
    if len(body) not in SEALED_SIZES:
        raise CannotOpen
    return decode_body(prim.unpad(prim.open_sealed(_read_key(secret, feed), body, _place(feed, seq))))


def message_id(post: Post) -> MessageId:
    """Return the id of the message that a post becomes. It follows from the post, so that whoever writes in a channel
    cannot choose the id of another message.
    """
    return MessageId(min(post.header.at, (1 << 48) - 1).to_bytes(6, "big") + post.header.hash[:10])


def version_id(number: int, digest: bytes) -> MessageId:
    """Return the id of the text that the post with this number and hash gives to an earlier one: they are in the order
    of their numbers, whatever times the writer gave them.
    """
    return MessageId(number.to_bytes(8, "big") + digest[:8])


def _read_key(secret: bytes, feed: FeedName) -> bytes:
    return prim.hkdf(secret, "chan read", prim.KEY_BYTES, context=channel_id(feed.channel))


def _place(feed: FeedName, seq: int) -> bytes:
    return channel_id(feed.channel) + feed.writer + seq.to_bytes(8, "big")


def _fields(value: Any) -> Any:
    return value


_SHAPE = array(uint(U8), _fields)
