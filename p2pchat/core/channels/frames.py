"""What clients and relays say about feeds, on a stream of its own (docs/protocol/channels.md)."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Any, NamedTuple

from p2pchat.core.channels.posts import MAX_HEAD_BYTES, MAX_POST_BYTES, MAX_SEQ, FeedName
from p2pchat.core.codec import U16, U32, U64, array, boolean, decode, encode, exactly, uint
from p2pchat.core.ids import WriterKey
from p2pchat.errors import CannotOpen


class FeedMessage(IntEnum):
    """The types of frames on a feed stream."""

    TERMS = 0
    GET = 1
    HEAD = 2
    POST = 3
    END = 4
    PUT = 5
    PUT_HEAD = 6
    RESULT = 7
    PING = 8
    PONG = 9


class FeedCode(IntEnum):
    """The answer of a relay to a request. The first seven are those of the mailbox."""

    DONE = 0
    FEED_FULL = 1
    RELAY_FULL = 2
    REFUSED = 4
    MALFORMED = 5
    TOO_FAST = 6
    GAP = 8
    FORK = 9


# Names of the module, as in `core.mailbox`.
TERMS, GET, HEAD, POST, END, PUT, PUT_HEAD, RESULT, PING, PONG = FeedMessage
DONE, FEED_FULL, RELAY_FULL, REFUSED, MALFORMED, TOO_FAST, GAP, FORK = FeedCode
MAX_WANTED = 256
NEWEST = MAX_SEQ + 1
"""In place of a number in a GET: the newest posts are wanted."""

_GET = struct.Struct(">I32s32sQHB")
_NUMBER = struct.Struct(">I")
_END = struct.Struct(">IBBQQ")
_PUT = struct.Struct(">I32s32s")
_RESULT = struct.Struct(">IB")
_MAX_TERMS = 64
_SIGNED_HEAD = MAX_HEAD_BYTES + 128
_TERMS_SHAPE = array(exactly(1), uint(U64), uint(U32), uint(U16), boolean, open_end=True)

FROM_RELAY: dict[int, frozenset[int] | range] = {
    TERMS: range(1, _MAX_TERMS + 1),
    HEAD: range(_NUMBER.size + 1, _NUMBER.size + _SIGNED_HEAD + 1),
    POST: range(_NUMBER.size + 1, _NUMBER.size + MAX_POST_BYTES + 1),
    END: frozenset({_END.size}),
    RESULT: frozenset({_RESULT.size}),
    PING: frozenset({0}),
    PONG: frozenset({0}),
}
"""The sizes of the bodies that a relay sends, by type. Any other frame ends the stream."""
FROM_CLIENT: dict[int, frozenset[int] | range] = {
    GET: frozenset({_GET.size}),
    PUT: range(_PUT.size + 1, _PUT.size + MAX_POST_BYTES + 1),
    PUT_HEAD: range(_PUT.size + 1, _PUT.size + _SIGNED_HEAD + 1),
    PING: frozenset({0}),
    PONG: frozenset({0}),
}


class FeedTerms(NamedTuple):
    """What a relay keeps of one feed: so many bytes and posts, the newest; a feed without a new head for so many hours
    is deleted. new: whether it takes channels that it does not have.
    """

    most_bytes: int
    most_posts: int
    hours: int
    new: bool


class FeedGet(NamedTuple):
    """A request for at most `want` posts of a feed, from the number `start` on, or the newest; with `watch`,
    also for what comes later.
    """

    number: int
    feed: FeedName
    start: int
    want: int
    watch: bool


class FeedEnd(NamedTuple):
    """The end of an answer. more: there are further posts behind these. first, next: of the posts that the relay has,
    the number of the first and that behind the last; both 0 if it has none.
    """

    number: int
    code: int
    more: bool
    first: int
    next: int


class FeedPut(NamedTuple):
    """A post or a head, as `data`, for a relay."""

    number: int
    feed: FeedName
    data: bytes


def encode_terms(terms: FeedTerms) -> bytes:
    """Encode the TERMS, frame type 0."""
    return encode([1, *terms])


def decode_terms(body: bytes) -> FeedTerms:
    """Decode the TERMS. Raises CannotOpen, as all that decode frames here."""
    return FeedTerms(*_TERMS_SHAPE(decode(body, _MAX_TERMS))[1:5])


def encode_get(get: FeedGet) -> bytes:
    """Encode a GET, frame type 1."""
    return _GET.pack(get.number, *get.feed, get.start, get.want, get.watch)


def decode_get(body: bytes) -> FeedGet:
    """Decode a GET. Raises CannotOpen."""
    number, channel, writer, start, want, watch = _unpack(_GET, body)
    if start > NEWEST or want > MAX_WANTED or watch > 1:
        raise CannotOpen
    return FeedGet(number, FeedName(channel, WriterKey(writer)), start, want, bool(watch))


def encode_answer(number: int, data: bytes) -> bytes:
    """Encode the body of a HEAD or a POST, frame types 2 and 3, with the number of the GET that it answers."""
    return _NUMBER.pack(number) + data


def decode_answer(body: bytes) -> tuple[int, bytes]:
    """Decode the body of a HEAD or a POST: (number, what it is)."""
    return _NUMBER.unpack_from(body)[0], body[_NUMBER.size :]


def encode_end(end: FeedEnd) -> bytes:
    """Encode an END, frame type 4."""
    return _END.pack(*end)


def decode_end(body: bytes) -> FeedEnd:
    """Decode an END. Raises CannotOpen."""
    number, code, more, first, behind = _unpack(_END, body)
    _check_code(code)
    if more > 1 or not 0 <= first <= behind <= NEWEST:
        raise CannotOpen
    return FeedEnd(number, code, bool(more), first, behind)


def encode_put(put: FeedPut) -> bytes:
    """Encode the body of a PUT or PUT_HEAD, frame types 5 and 6."""
    return _PUT.pack(put.number, *put.feed) + put.data


def decode_put(body: bytes) -> FeedPut:
    """Decode the body of a PUT or PUT_HEAD."""
    number, channel, writer = _PUT.unpack_from(body)
    return FeedPut(number, FeedName(channel, WriterKey(writer)), body[_PUT.size :])


def encode_result(number: int, code: int) -> bytes:
    """Encode a RESULT, frame type 7."""
    return _RESULT.pack(number, code)


def decode_result(body: bytes) -> tuple[int, int]:
    """Decode a RESULT: (number, code). Raises CannotOpen."""
    number, code = _unpack(_RESULT, body)
    _check_code(code)
    return number, code


def _unpack(shape: struct.Struct, body: bytes) -> tuple[Any, ...]:
    if len(body) != shape.size:
        raise CannotOpen
    return shape.unpack(body)


def _check_code(code: int) -> None:
    if code not in _CODES:
        raise CannotOpen


_CODES = frozenset(FeedCode)
