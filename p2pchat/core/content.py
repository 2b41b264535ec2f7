"""What is inside an envelope: [1, type, message id, seq, sent at, reply to | nil, expiry, payload, heads].

The payloads are in `contents`, one module for each kind. A content of an unknown type is accepted: a newer client may
send it, and it must not break this one. Later versions may append fields to the array, but never change these.
"""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.core import primitives as prim
from p2pchat.core.codec import U8, U32, U64, array, binary, decode, encode, exactly, listing, maybe, uint
from p2pchat.core.contents import KINDS, AnyPayload, Kind, Unknown
from p2pchat.core.envelope import MAX_CONTENT
from p2pchat.core.ids import MessageId
from p2pchat.errors import CannotOpen

MESSAGE_ID = 16
# 2^53 ms is far beyond any calendar, and the largest integer that all JSON readers hold exactly
_MAX_TIME = 1 << 53
_MAX_SEQ = 1 << 53
EPOCH = 1 << 24
LAST_EPOCH = (1 << 29) - 1
"""`seq` is epoch * `EPOCH` + the number within the epoch. A profile begins in epoch 0, and in a later one each time
that it is started from a copy."""


@dataclass(frozen=True, slots=True, repr=False)
class Content:
    """The content of an envelope. sent_at: ms by the sender's clock. seq: counts the visible messages of one sender in
    a chat, from 1 in each epoch; 0 for invisible contents. payload: `Unknown` for a type that this version does not
    know.
    """

    payload: AnyPayload
    message_id: MessageId
    seq: int
    sent_at: int
    reply_to: MessageId | None = None
    expire_s: int = 0
    heads: tuple[bytes, ...] = ()

    @property
    def type(self) -> int:
        """The number of the content's kind on the wire."""
        return self.payload.number

    @property
    def kind(self) -> Kind:
        """The row of the content's kind in the table."""
        return self.payload.KIND


def new_message_id(now: int, random: prim.Random) -> MessageId:
    """Make a message id: 48 bits of time, 80 of chance. Ids of one sender grow, which keeps the store's index cheap.
    now: in ms.
    """
    return MessageId(now.to_bytes(6, "big") + random(10))


def newest_message_id(now: int) -> MessageId:
    """Return the greatest id that can be made at `now`, in ms."""
    return MessageId(now.to_bytes(6, "big") + b"\xff" * 10)


def encode_content(content: Content) -> bytes:
    """Return the bytes that are padded and sealed (docs/protocol/content.md)."""
    return encode(
        [
            1,
            content.type,
            content.message_id,
            content.seq,
            content.sent_at,
            content.reply_to,
            content.expire_s,
            content.payload.encode(),
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
    """Return the content of opened bytes, its payload in shape. Raises CannotOpen."""
    _, number, message_id, seq, sent_at, reply_to, expire_s, fields, heads = _SHAPE(decode(data, MAX_CONTENT))
    known = KINDS.get(number)
    if sent_at > _MAX_TIME or seq > _MAX_SEQ:
        raise CannotOpen
    if known is not None and (seq == 0) == known.KIND.visible:  # an unknown type may be visible or not
        raise CannotOpen
    payload = Unknown(number) if known is None else known.decode(fields)
    return Content(payload, message_id, seq, sent_at, reply_to, expire_s, heads)
