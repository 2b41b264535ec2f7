"""What is inside an envelope: [1, type, message id, seq, sent at, reply to | nil, expiry, payload, heads].

The payloads stand in one table. A type that is not in it is kept as it came: a newer client may send it, and it must
not break this one. Later versions may append fields to the array, never change these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from p2pchat.core import primitives as prim
from p2pchat.core.codec import (
    U8,
    U32,
    U64,
    Shape,
    array,
    binary,
    binary_upto,
    boolean,
    decode,
    encode,
    exactly,
    listing,
    maybe,
    text,
    uint,
)
from p2pchat.core.envelope import MAX_CONTENT
from p2pchat.core.mailbox import MAX_TOKEN
from p2pchat.core.prekeys import MAX_BUNDLE
from p2pchat.core.relays import Relay
from p2pchat.core.text import MAX_TEXT_BYTES, clean_name
from p2pchat.errors import CannotOpen

TEXT, RECEIPT, QUEUES, BUNDLE, RESET, PROFILE, ADDRESSES, RELAY, REQUEST = 0, 5, 9, 10, 12, 15, 16, 17, 18
DELIVERED, READ = 0, 1
MAX_RECEIPTS = 64
MAX_OWN_WAYS = 4
MAX_QUEUES = 4
MESSAGE_ID = 16
VISIBLE = frozenset({TEXT})
# 2^53 ms is far beyond any calendar, and what SQLite and JSON readers hold exactly
_MAX_TIME = 1 << 53
_MAX_SEQ = 1 << 53
EPOCH = 1 << 24
LAST_EPOCH = (1 << 29) - 1
"""`seq` is epoch * `EPOCH` + the number in it. A profile begins in epoch 0, each start from a copy in a later one."""


@dataclass(frozen=True, slots=True, repr=False)
class Announced:
    """A queue in which the sender collects: the relay's transport key, packed address and access token (b"": none), the
    public key that fetches, the seed of the one that puts, and until when (ms) it is read at least.
    """

    relay: bytes
    address: bytes
    token: bytes
    fetch: bytes
    put_seed: bytes
    until: int


_WAYS = listing(array(binary(prim.KEY), binary_upto(128, least=1)), MAX_OWN_WAYS)
_QUEUE = array(
    binary(prim.KEY),
    binary_upto(128, least=1),
    binary_upto(MAX_TOKEN),
    binary(prim.KEY),
    binary(prim.KEY),
    uint(_MAX_TIME),
)
_QUEUES = listing(_QUEUE, MAX_QUEUES)
_PROFILE = array(text(1024), boolean, _WAYS, open_end=True)
_PROFILE_WITH_QUEUES = array(text(1024), boolean, _WAYS, _QUEUES, open_end=True)


_INTRODUCTION = array(text(1024), boolean, _WAYS, _QUEUES, binary(prim.KEY), open_end=True)
_PROFILES = {3: _PROFILE, 4: _PROFILE_WITH_QUEUES}


def _profile(value: Any) -> Any:
    return _PROFILES.get(len(value) if isinstance(value, list) else 3, _INTRODUCTION)(value)


PAYLOADS: dict[int, Shape] = {
    TEXT: array(text(MAX_TEXT_BYTES), open_end=True),
    RECEIPT: array(uint(U8), listing(binary(MESSAGE_ID), MAX_RECEIPTS), open_end=True),
    QUEUES: array(_QUEUES, open_end=True),
    BUNDLE: array(binary_upto(MAX_BUNDLE), open_end=True),
    RESET: array(binary(prim.KEY), open_end=True),
    REQUEST: array(binary_upto(MAX_BUNDLE), _QUEUES, open_end=True),
    PROFILE: _profile,
    ADDRESSES: array(_WAYS, open_end=True),
    RELAY: array(
        binary(prim.KEY), listing(binary_upto(128, least=1), MAX_OWN_WAYS), binary_upto(MAX_TOKEN), open_end=True
    ),
}


@dataclass(frozen=True, slots=True, repr=False)
class Content:
    """`sent_at` in ms by the sender's clock; `seq` counts the visible messages of one sender in a chat, from 1 in each
    epoch; invisible contents have 0. `payload` is a tuple in the type's shape (None for a type unknown here).
    """

    type: int
    message_id: bytes
    seq: int
    sent_at: int
    payload: Any
    reply_to: bytes | None = None
    expire_s: int = 0
    heads: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Profile:
    """What a person tells a contact about themselves. Ways are (transport key, packed address); `queues` is None where
    nothing is said about them.
    """

    name: str
    read_receipts: bool
    ways: tuple[tuple[bytes, bytes], ...]
    queues: tuple[Announced, ...] | None = None


def new_message_id(now: int, random: prim.Random) -> bytes:
    """48 bits of time, 80 of chance: ids of one sender grow, which keeps the store's index cheap."""
    return now.to_bytes(6, "big") + random(10)


def newest_message_id(now: int) -> bytes:
    """The greatest id that can be made at `now`, in ms."""
    return now.to_bytes(6, "big") + b"\xff" * 10


def encode_content(content: Content) -> bytes:
    """The bytes that are padded and sealed."""
    return encode(
        [
            1,
            content.type,
            content.message_id,
            content.seq,
            content.sent_at,
            content.reply_to,
            content.expire_s,
            content.payload,
            list(content.heads),
        ]
    )


_SHAPE = array(
    exactly(1),
    uint(U8),
    binary(MESSAGE_ID),
    uint(U64),
    uint(U64),
    maybe(binary(MESSAGE_ID)),
    uint(U32),
    lambda value: value,
    listing(binary(8), 4),
    open_end=True,
)


def decode_content(data: bytes) -> Content:
    """The content of opened bytes, its payload in shape, or `CannotOpen`."""
    _, kind, message_id, seq, sent_at, reply_to, expire_s, payload, heads = _SHAPE(decode(data, MAX_CONTENT))
    shape = PAYLOADS.get(kind)
    if sent_at > _MAX_TIME or seq > _MAX_SEQ:
        raise CannotOpen
    if shape is not None and (seq == 0) == (kind in VISIBLE):  # whether a newer type is visible, we cannot know
        raise CannotOpen
    return Content(kind, message_id, seq, sent_at, None if shape is None else shape(payload), reply_to, expire_s, heads)


def text_payload(written: str) -> list[object]:
    """Type 0."""
    return [written]


def receipt_payload(kind: int, ids: Sequence[bytes]) -> list[object]:
    """Type 5: at most 64 message ids that were delivered (0) or read (1)."""
    return [kind, list(ids)]


def profile_payload(profile: Profile) -> list[object]:
    """Type 15."""
    said: list[object] = [profile.name, profile.read_receipts, [list(way) for way in profile.ways[:MAX_OWN_WAYS]]]
    return said if profile.queues is None else said + queues_payload(profile.queues)


def introduction_payload(profile: Profile, mark: bytes) -> list[object]:
    """Type 15 in a first message; `mark` is of the invite that it is for (`invite.invite_mark`)."""
    return [*profile_payload(Profile(profile.name, profile.read_receipts, profile.ways, profile.queues or ())), mark]


def mark_of(payload: Sequence[Any]) -> bytes | None:
    """The invite that a payload of type 15 is for, if it says so."""
    return payload[4] if len(payload) > 4 else None


def queues_payload(queues: Sequence[Announced]) -> list[object]:
    """Type 9: where to deposit for us from now on, best first."""
    return [[[one.relay, one.address, one.token, one.fetch, one.put_seed, one.until] for one in queues[:MAX_QUEUES]]]


def relay_payload(relay: Relay | None) -> list[object]:
    """Type 17: the relay that the sender is for the recipient, at most four addresses; None: none any more."""
    known = relay or Relay(bytes(prim.KEY), ())
    return [known.peer, list(known.addresses[:MAX_OWN_WAYS]), known.token]


def read_profile(content: Content) -> Profile:
    """The profile in a content of type 15, its name cleaned; `CannotOpen` for another type."""
    if content.type != PROFILE:
        raise CannotOpen
    return profile_of(content.payload)


def profile_of(payload: Sequence[Any]) -> Profile:
    """The profile in a payload of type 15."""
    name, receipts, ways, *rest = payload
    return Profile(clean_name(name) or "nameless", receipts, ways, queues_of(rest) if rest else None)


def relay_of(payload: Sequence[Any]) -> Relay:
    """The relay in a payload of type 17; without an address there is none."""
    return Relay(*payload)


def queues_of(payload: Sequence[Any]) -> tuple[Announced, ...]:
    """The queues in a payload of type 9."""
    return tuple(Announced(*one) for one in payload[0])
