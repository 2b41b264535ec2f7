"""The protocol of a relay's mailbox: queues, frames and stamps (docs/protocol/mailbox.md). The client in a node and the
relay both use these functions, and need nothing else to check each other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from enum import IntEnum
from itertools import count
from typing import Any, NamedTuple

from p2pchat.core import logs, record_frames
from p2pchat.core import primitives as prim
from p2pchat.core.codec import U8, U16, U32, U64, array, binary, boolean, decode, encode, exactly, uint
from p2pchat.core.descriptors import LIST_BYTES, MAX_DESCRIPTOR
from p2pchat.core.envelope import BUCKETS, ID_BYTES, envelope_id
from p2pchat.core.ids import EnvelopeId, PeerKey, QueueId
from p2pchat.errors import CannotOpen
from p2pchat.lib.times import HOUR_MS


class MailboxMessage(IntEnum):
    """The types of frames on a mailbox stream. 1 was used once, and is not used again."""

    HELLO = 0
    OPEN = 2
    OPENED = 3
    PUT = 4
    RESULTS = 5
    FETCH = 6
    BLOB = 7
    END = 8
    DELETE = 9
    PING = 10
    PONG = 11
    FORGET = 12
    PUT_RECORD = 13
    GET_RECORD = 14
    RECORD = 15
    ASK_LIST = 16
    LIST = 17
    HAVE = 18
    HAD = 19
    GET = 20
    OPEN_LOG = 21
    READ = 22
    ITEMS = 23
    BEHIND = 24


class QueueFlag(IntEnum):
    """The known bits of a queue's flags: it is the box of an invite; its deposits need a stamp; it is a file box; many
    fetch from that file box, and none of them may delete.
    """

    BOX = 1
    STAMPED = 2
    FILES = 4
    SHARED = 16


class QueueRole(IntEnum):
    """The purpose for which a queue is opened."""

    TO_PUT = 0
    TO_FETCH = 1


class MailboxCode(IntEnum):
    """The answer of a relay to an opening, a deposit or a fetch."""

    DONE = 0
    QUEUE_FULL = 1
    RELAY_FULL = 2
    BAD_STAMP = 3
    NOT_ALLOWED = 4
    MALFORMED = 5
    TOO_FAST = 6
    STAMP_NEEDED = 7


# Names of the module: looking a member up in its class at every frame costs several times as much.
HELLO, OPEN, OPENED, PUT, RESULTS, FETCH, BLOB, END, DELETE, PING, PONG, FORGET, *_ = MailboxMessage
PUT_RECORD, GET_RECORD, RECORD = MailboxMessage.PUT_RECORD, MailboxMessage.GET_RECORD, MailboxMessage.RECORD
ASK_LIST, LIST = MailboxMessage.ASK_LIST, MailboxMessage.LIST
HAVE, HAD, GET = MailboxMessage.HAVE, MailboxMessage.HAD, MailboxMessage.GET
OPEN_LOG, READ, ITEMS, BEHIND = list(MailboxMessage)[-4:]
BOX, STAMPED, FILES, SHARED = QueueFlag
SHARED_FILES = FILES | SHARED
TO_PUT, TO_FETCH = QueueRole
DONE, QUEUE_FULL, RELAY_FULL, BAD_STAMP, NOT_ALLOWED, MALFORMED, TOO_FAST, STAMP_NEEDED = MailboxCode
NO_HANDLE = 0xFFFF
QUEUES_A_FETCH = 8
MAX_WANTED = 512
MAX_PUSHED = 256
"""Blobs that a relay may have pushed on a stream and that were not deleted yet."""
MAX_RESULTS = 256
MAX_HANDLES = 1024
NAMES_A_FORGET = 256
"""Names in a FORGET, and in a HAVE."""
NAMES_A_GET = 16
MAX_TOKEN = 64

_OPEN = struct.Struct(">HBB32s32s64s")
_OPENED = struct.Struct(">HB")
_PUT = struct.Struct(">IHHQ")
_RESULT = struct.Struct(">IB")
_FETCH = struct.Struct(">IHHB" + "HQ" * QUEUES_A_FETCH)
_BLOB = struct.Struct(">HQ")
_END = struct.Struct(">IBB")
_DELETE = struct.Struct(">IHQ")
_FORGET = struct.Struct(">IH")
_HAD = struct.Struct(">IB32s")
_LABELS: dict[int, str] = {TO_PUT: "mailbox put", TO_FETCH: "mailbox fetch"}
_HELLO_SHAPE = array(
    exactly(1),
    binary(prim.KEY_BYTES),
    binary(prim.KEY_BYTES),
    uint(U8),
    uint(U16),
    uint(U32),
    uint(U64),
    boolean,
    uint(U8),
    uint(U32),
    open_end=True,
)
_SPACE_SHAPE = array(uint(U64), uint(U16))
_MAX_HELLO = 256

FROM_RELAY: dict[int, frozenset[int] | range] = {
    HELLO: range(1, _MAX_HELLO + 1),
    OPENED: frozenset({_OPENED.size}),
    RESULTS: range(_RESULT.size, _RESULT.size * MAX_RESULTS + 1, _RESULT.size),
    BLOB: frozenset(_BLOB.size + bucket for bucket in BUCKETS),
    END: frozenset({_END.size}),
    RECORD: frozenset({record_frames.ANSWER_BYTES}),
    PING: frozenset({0}),
    PONG: frozenset({0}),
    LIST: frozenset({LIST_BYTES}),
    HAD: frozenset({_HAD.size}),
    ITEMS: logs.ITEMS_BYTES,
    BEHIND: frozenset({logs.BEHIND_BYTES}),
}
"""The sizes of the bodies that a relay sends, by type. Any other frame ends the stream."""
FROM_CLIENT: dict[int, frozenset[int] | range] = {
    OPEN: frozenset({_OPEN.size}),
    PUT: frozenset(_PUT.size + size for size in logs.LOG_SIZES),
    FETCH: frozenset({_FETCH.size}),
    DELETE: frozenset({_DELETE.size}),
    FORGET: frozenset({_FORGET.size + NAMES_A_FORGET * ID_BYTES}),
    PUT_RECORD: frozenset({record_frames.PUT_BYTES}),
    GET_RECORD: frozenset({record_frames.GET_BYTES}),
    PING: frozenset({0}),
    PONG: frozenset({0}),
    ASK_LIST: range(MAX_DESCRIPTOR + 1),
    HAVE: frozenset({_FORGET.size + NAMES_A_FORGET * ID_BYTES}),
    GET: frozenset({_FORGET.size + NAMES_A_GET * ID_BYTES}),
    OPEN_LOG: frozenset({logs.OPEN_BYTES}),
    READ: frozenset({logs.READ_BYTES}),
}


@dataclass(frozen=True, slots=True)
class Hello:
    """A relay's description of itself. longest: hours for which it keeps blobs. most_blobs, most_bytes: the quota of a
    queue. crowded: every deposit needs a stamp for now. spread: seconds over which its clients should spread out when
    they reconnect. hour: by the clock of its machine, since the epoch; 0 if it does not say. forgets: whether it knows
    FORGET. lists: whether it answers ASK_LIST. file_bytes: of blobs in one file box, 0 where it has none; file_hours:
    for which it keeps those. log_bytes, log_hours: the same of a log.
    """

    relay: PeerKey
    challenge: bytes
    stamp_bits: int
    longest: int
    most_blobs: int
    most_bytes: int
    crowded: bool = False
    spread: int = 0
    hour: int = 0
    forgets: bool = False
    lists: bool = False
    file_bytes: int = 0
    file_hours: int = 0
    log_bytes: int = 0
    log_hours: int = 0


class Queue(NamedTuple):
    """A queue, by its public keys."""

    fetch: bytes
    put: bytes
    flags: int = 0

    @property
    def id(self) -> QueueId:
        """The 32-byte id of the queue at any relay."""
        return QueueId(prim.blake2b(self.fetch + self.put + bytes((self.flags,)), b"p2pchat1 qid"))


class Open(NamedTuple):
    """A request to use a queue on this stream."""

    handle: int
    role: int
    queue: Queue
    signature: bytes


class Put(NamedTuple):
    """A deposit. hours: how long it should be kept."""

    number: int
    handle: int
    hours: int
    stamp: int
    blob: bytes


class Fetch(NamedTuple):
    """A request for `want` blobs of these queues, each (handle, after). With `want` 0, new blobs are pushed, of which
    `push` may wait to be deleted; else `push` is 0. small: only blobs of the smallest size, of each queue up to its
    first larger one.
    """

    number: int
    want: int
    push: int
    small: bool
    queues: tuple[tuple[int, int], ...]


class Blob(NamedTuple):
    """A blob of a queue. `place` orders the blobs of one queue."""

    handle: int
    place: int
    blob: bytes


class End(NamedTuple):
    """The end of an answer to a fetch; `more` if the queues hold more."""

    number: int
    code: int
    more: bool


class Deletion(NamedTuple):
    """A request to delete everything up to this place, because it is on the recipient's disk."""

    number: int
    handle: int
    upto: int


class Forgetting(NamedTuple):
    """A request to delete blobs by name, `NAMES_A_FORGET` names in each, because they are on the recipient's disk,
    wherever they came from.
    """

    number: int
    handle: int
    names: tuple[EnvelopeId, ...]


class Having(NamedTuple):
    """A question which of `NAMES_A_FORGET` blobs are in a file box."""

    number: int
    handle: int
    names: tuple[EnvelopeId, ...]


class Had(NamedTuple):
    """The answer: one bit for each name, the highest bit of the first byte first."""

    number: int
    code: int
    bits: bytes

    @property
    def held(self) -> list[bool]:
        """Return for each name whether the relay has its blob."""
        return [bool(byte << bit & 0x80) for byte in self.bits for bit in range(8)]


class Getting(NamedTuple):
    """A request for blobs of a file box, `NAMES_A_GET` of them. Their `Blob.place` is the position of the name."""

    number: int
    handle: int
    names: tuple[EnvelopeId, ...]


# --- what is signed ------------------------------------------------------------------------------------------------


def sign_open(seed: bytes, role: int, hello: Hello, queue: Queue) -> bytes:
    """Return the 64-byte signature that opens `queue` on the stream of `hello`. seed: of the queue's put key or fetch
    key.
    """
    return prim.sign(seed, _LABELS[role], hello.relay + hello.challenge + queue.id)


def check_open(opening: Open, hello: Hello) -> QueueId:
    """Return the id of the queue if the sender holds the private key for this role. Raises CannotOpen if not."""
    flags = opening.queue.flags
    if opening.role not in _LABELS or (flags not in (FILES, SHARED_FILES) and flags & ~(BOX | STAMPED)):
        raise CannotOpen
    key = opening.queue.put if opening.role == TO_PUT else opening.queue.fetch
    name = opening.queue.id
    prim.verify(key, _LABELS[opening.role], hello.relay + hello.challenge + name, opening.signature)
    return name


# --- stamps --------------------------------------------------------------------------------------------------------


def make_stamp(relay: PeerKey, qid: QueueId, blob: bytes, now: int, bits: int, first: int = 1) -> int:
    """Find a stamp for `blob` in an open queue at `now` (ms). It takes 2^bits hashes on average, about 0.6 s for 20
    bits.

    The numbers from `first` on are tried; 0 is not a stamp.
    """
    stamp = find_stamp(relay, qid, blob, now, bits, count(first))
    assert stamp is not None
    return stamp


def find_stamp(relay: PeerKey, qid: QueueId, blob: bytes, now: int, bits: int, numbers: Iterable[int]) -> int | None:
    """Return the first of these numbers that is a stamp, or None, so that a caller can stop in between. now: ms."""
    start = _stamped(relay, qid, blob, now // HOUR_MS)
    return next((number for number in numbers if _begins_with_zeros(start, number, bits)), None)


def stamp_holds(relay: PeerKey, qid: QueueId, blob: bytes, now: int, bits: int, stamp: int) -> bool:
    """Return whether the stamp was made for this blob in this queue of this relay, in the hour of `now` (ms) or the one
    before.
    """
    hour = now // HOUR_MS
    return any(_begins_with_zeros(_stamped(relay, qid, blob, at), stamp, bits) for at in (hour, hour - 1))


def crowded_bits(bits: int, blob: bytes) -> int:
    """Return the bits of a stamp for `blob` at a crowded relay whose invite stamps have `bits`: the work is that of
    `bits` for each 4,096 bytes.
    """
    return bits + (len(blob) // BUCKETS[0]).bit_length() - 1


def _stamped(relay: PeerKey, qid: QueueId, blob: bytes, hour: int) -> bytes:
    return relay + qid + hour.to_bytes(4, "big") + envelope_id(blob)


def _begins_with_zeros(start: bytes, stamp: int, bits: int) -> bool:
    digest = prim.blake2b(start + stamp.to_bytes(8, "big"), b"p2pchat1 stamp")
    return int.from_bytes(digest[:8], "big") >> (64 - bits) == 0


# --- keys of an invite ---------------------------------------------------------------------------------------------


def invite_box(secret: bytes) -> bytes:
    """Return the fetch seed of the box with an invite's bundle. The put key is the inviter's own: the invite contains
    only its public half, so that nobody who holds the invite can write to the box.
    """
    return prim.hkdf(secret, "inv box", prim.KEY_BYTES)


def invite_put(secret: bytes) -> bytes:
    """Return the 32-byte put seed of the queue that takes an invite's first message."""
    return prim.hkdf(secret, "inv put", prim.KEY_BYTES)


# --- bodies --------------------------------------------------------------------------------------------------------


def encode_hello(hello: Hello) -> bytes:
    """Encode a HELLO, frame type 0: its fields in the order of the class."""
    return encode([1, *astuple(hello)])


def decode_hello(body: bytes) -> Hello:
    """Decode the HELLO of a relay. Raises CannotOpen, as all that decode frames here."""
    said = decode(body, _MAX_HELLO)
    shown = _HELLO_SHAPE(said)[1:10]
    hello = replace(Hello(*shown), forgets=said[10:11] == [True], lists=said[11:12] == [True])
    if len(said) > 13:
        file_bytes, file_hours = _SPACE_SHAPE(said[12:14])
        hello = replace(hello, file_bytes=file_bytes, file_hours=file_hours)
    if len(said) > 15:
        log_bytes, log_hours = _SPACE_SHAPE(said[14:16])
        hello = replace(hello, log_bytes=log_bytes, log_hours=log_hours)
    if hello.stamp_bits > 40:  # too expensive for anybody
        raise CannotOpen
    return hello


def encode_open(opening: Open) -> bytes:
    """Encode an OPEN, frame type 2."""
    queue = opening.queue
    return _OPEN.pack(opening.handle, opening.role, queue.flags, queue.fetch, queue.put, opening.signature)


def decode_open(body: bytes) -> Open:
    """Decode an OPEN. Raises CannotOpen."""
    handle, role, flags, fetch, put, signature = _unpack(_OPEN, body)
    return Open(handle, role, Queue(fetch, put, flags), signature)


def encode_opened(handle: int, code: int) -> bytes:
    """Encode an OPENED, frame type 3."""
    return _OPENED.pack(handle, code)


def decode_opened(body: bytes) -> tuple[int, int]:
    """Decode an OPENED: (handle, code). Raises CannotOpen."""
    handle, code = _unpack(_OPENED, body)
    _check_code(code)
    return handle, code


def encode_put(put: Put) -> bytes:
    """Encode a PUT, frame type 4."""
    return _PUT.pack(put.number, put.handle, put.hours, put.stamp) + put.blob


def decode_put(body: bytes) -> Put:
    """Decode a PUT, which for a log may be smaller than any other. Raises CannotOpen."""
    (number, handle, hours, stamp), blob = _unpack(_PUT, body[: _PUT.size]), body[_PUT.size :]
    if len(blob) not in logs.LOG_SIZES:
        raise CannotOpen
    return Put(number, handle, hours, stamp, blob)


def encode_results(results: Iterable[tuple[int, int]]) -> bytes:
    """Encode a RESULTS, frame type 5: at most 256 of (number, code)."""
    return b"".join(_RESULT.pack(number, code) for number, code in results)


def decode_results(body: bytes) -> list[tuple[int, int]]:
    """Decode a RESULTS: each (number, code). Raises CannotOpen."""
    if not body or len(body) % _RESULT.size:
        raise CannotOpen
    results = list(_RESULT.iter_unpack(body))
    for _, code in results:
        _check_code(code)
    return results


def encode_fetch(
    number: int, want: int, queues: Sequence[tuple[int, int]], push: int = MAX_PUSHED, *, small: bool = False
) -> bytes:
    """Encode a FETCH, frame type 6: at most eight (handle, after); the rest is filled with padding. push: counts where
    `want` is 0.
    """
    filled = [*queues, *[(NO_HANDLE, 0)] * (QUEUES_A_FETCH - len(queues))]
    return _FETCH.pack(number, want, 0 if want else push, small, *(part for pair in filled for part in pair))


def decode_fetch(body: bytes) -> Fetch:
    """Decode a FETCH. Raises CannotOpen."""
    number, want, push, small, *parts = _unpack(_FETCH, body)
    if want > MAX_WANTED or push > MAX_PUSHED or (want == 0) != (push > 0) or small > 1:
        raise CannotOpen
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return Fetch(
        number, want, push, bool(small), tuple((handle, after) for handle, after in pairs if handle != NO_HANDLE)
    )


def watches(body: bytes) -> bool:
    """Return whether a FETCH only asks for future blobs to be pushed."""
    return not any(body[4:6])


def encode_blob(blob: Blob) -> bytes:
    """Encode a BLOB, frame type 7."""
    return _BLOB.pack(blob.handle, blob.place) + blob.blob


def decode_blob(body: bytes) -> Blob:
    """Decode a BLOB; handle 65,535 is padding. Raises CannotOpen."""
    (handle, place), blob = _unpack(_BLOB, body[: _BLOB.size]), body[_BLOB.size :]
    if len(blob) not in BUCKETS:
        raise CannotOpen
    return Blob(handle, place, blob)


def encode_end(end: End) -> bytes:
    """Encode an END, frame type 8."""
    return _END.pack(end.number, end.code, end.more)


def decode_end(body: bytes) -> End:
    """Decode an END. Raises CannotOpen."""
    number, code, more = _unpack(_END, body)
    _check_code(code)
    if more > 1:
        raise CannotOpen
    return End(number, code, bool(more))


def encode_delete(delete: Deletion) -> bytes:
    """Encode a DELETE, frame type 9."""
    return _DELETE.pack(delete.number, delete.handle, delete.upto)


def decode_delete(body: bytes) -> Deletion:
    """Decode a DELETE. Raises CannotOpen."""
    return Deletion(*_unpack(_DELETE, body))


def encode_forget(forget: Forgetting) -> bytes:
    """Encode a FORGET, frame type 12."""
    return _encode_names(forget)


def decode_forget(body: bytes) -> Forgetting:
    """Decode a FORGET. Raises CannotOpen."""
    return Forgetting(*_decode_names(body, NAMES_A_FORGET))


def encode_have(have: Having) -> bytes:
    """Encode a HAVE, frame type 18."""
    return _encode_names(have)


def decode_have(body: bytes) -> Having:
    """Decode a HAVE. Raises CannotOpen."""
    return Having(*_decode_names(body, NAMES_A_FORGET))


def encode_had(number: int, code: int, held: Sequence[bool] = ()) -> bytes:
    """Encode a HAD, frame type 19. held: for each name, in order; the rest are not there."""
    bits = sum(1 << NAMES_A_FORGET - 1 - place for place, there in enumerate(held) if there)
    return _HAD.pack(number, code, bits.to_bytes(NAMES_A_FORGET // 8, "big"))


def decode_had(body: bytes) -> Had:
    """Decode a HAD. Raises CannotOpen."""
    had = Had(*_unpack(_HAD, body))
    _check_code(had.code)
    return had


def encode_get(get: Getting) -> bytes:
    """Encode a GET, frame type 20."""
    return _encode_names(get)


def decode_get(body: bytes) -> Getting:
    """Decode a GET. Raises CannotOpen."""
    return Getting(*_decode_names(body, NAMES_A_GET))


def _encode_names(asked: Forgetting | Having | Getting) -> bytes:
    return _FORGET.pack(asked.number, asked.handle) + b"".join(asked.names)


def _decode_names(body: bytes, most: int) -> tuple[int, int, tuple[EnvelopeId, ...]]:
    (number, handle), names = _unpack(_FORGET, body[: _FORGET.size]), body[_FORGET.size :]
    if len(names) != most * ID_BYTES:
        raise CannotOpen
    starts = range(0, len(names), ID_BYTES)
    return number, handle, tuple(EnvelopeId(names[start : start + ID_BYTES]) for start in starts)


def padding(units: int) -> int:
    """Return how many blobs of 4,096 random bytes make an answer of `units` such units a power of two, one at least."""
    return (1 << max(0, units - 1).bit_length()) - units


def _check_code(code: int) -> None:
    if code > STAMP_NEEDED:
        raise CannotOpen


def _unpack(layout: struct.Struct, body: bytes) -> tuple[Any, ...]:
    if len(body) != layout.size:
        raise CannotOpen
    return layout.unpack(body)
