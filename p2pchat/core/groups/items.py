"""Items: all that travels in a group, as whoever carries it sees it.

An item is `tag || nonce || ciphertext`, of one of three sizes. The tag says which epoch it belongs to; the plaintext is
a message, an event of the membership log, or a part of one of those that is too long for one item
(docs/protocol/group-messages.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from p2pchat.core import primitives as prim
from p2pchat.core.codec import U8, U32, binary, binary_upto, decode, encode, uint
from p2pchat.core.groups import parts
from p2pchat.core.groups.epochs import EpochSecrets
from p2pchat.core.groups.messages import MAX_BODY
from p2pchat.core.groups.parts import Part
from p2pchat.core.groups.roles import MEMBER_ID_BYTES
from p2pchat.core.ids import EpochId, ItemId, MemberId
from p2pchat.errors import CannotOpen

SIZES = (1024, 4096, 16384)
TAG_BYTES = 8
OVERHEAD = TAG_BYTES + prim.NONCE_BYTES + prim.TAG_BYTES
LARGEST_PLAIN = SIZES[-1] - OVERHEAD - 1
MAX_EVENT = 1_200_000
"""An event of thousands of members and their keys is a third of this."""
_MESSAGE, _EVENT, _PART = 0, 1, 2


@dataclass(frozen=True, slots=True, repr=False)
class MessageItem:
    """A message of a member: its number in the member's chain, and the sealed body (`messages.read`)."""

    member: MemberId
    number: int
    body: bytes

    def encode(self) -> bytes:
        """Return [0, member, number, body]."""
        return encode([_MESSAGE, self.member, self.number, self.body])


@dataclass(frozen=True, slots=True, repr=False)
class EventItem:
    """An event of the membership log, with its rekey."""

    event: bytes

    def encode(self) -> bytes:
        """Return [1, event]."""
        return encode([_EVENT, self.event])


@dataclass(frozen=True, slots=True, repr=False)
class PartItem:
    """A part of an encoded message or event."""

    part: Part

    def encode(self) -> bytes:
        """Return [2, hashes, which, data]."""
        return encode([_PART, *self.part.fields()])


Item = MessageItem | EventItem | PartItem


def item_id(sealed: bytes) -> ItemId:
    """Return the 32 bytes that name a sealed item."""
    return ItemId(prim.blake2b(sealed, b"p2pchat1 item"))


def tag_of(sealed: bytes) -> bytes:
    """Return the 8 bytes that say under which epoch an item is sealed (`EpochSecrets.tag`). Raises CannotOpen if this
    has not the size of an item.
    """
    if len(sealed) not in SIZES:
        raise CannotOpen
    return sealed[:TAG_BYTES]


def seal_items(
    item: MessageItem | EventItem, epoch: EpochId, secrets: EpochSecrets, smallest: int, random: prim.Random
) -> tuple[bytes, ...]:
    """Seal a message or an event under an epoch: as one item, or as many as its parts need.

    smallest: the size, one of `SIZES`, below which no item is. Raises ValueError for more than `MAX_EVENT` bytes.
    """
    plain = item.encode()
    if len(plain) <= LARGEST_PLAIN:
        return (_seal(plain, epoch, secrets, smallest, random),)
    if len(plain) > MAX_EVENT:
        raise ValueError("too long for a group")
    cut = parts.cut(plain, parts.part_room(LARGEST_PLAIN, len(plain)))
    return tuple(_seal(PartItem(part).encode(), epoch, secrets, smallest, random) for part in cut)


def open_item(sealed: bytes, epoch: EpochId, secrets: EpochSecrets) -> Item:
    """Open an item of this epoch. Only a member of the epoch can have sealed it; which one, only what is inside can
    prove. Raises CannotOpen.
    """
    if not prim.equal(tag_of(sealed), secrets.tag):
        raise CannotOpen
    plain = prim.unpad(prim.open_sealed(secrets.header, sealed[TAG_BYTES:], secrets.tag + epoch))
    return _read(decode(plain, LARGEST_PLAIN), LARGEST_PLAIN)


def open_whole(whole: bytes) -> MessageItem | EventItem:
    """Return what was cut into parts. Raises CannotOpen."""
    item = _read(decode(whole, MAX_EVENT), MAX_EVENT)
    if isinstance(item, PartItem):
        raise CannotOpen
    return item


_KIND, _MEMBER, _NUMBER, _BODY = uint(U8), binary(MEMBER_ID_BYTES), uint(U32), binary_upto(MAX_BODY)


def _read(fields: Any, most: int) -> Item:
    if not isinstance(fields, list) or not fields:
        raise CannotOpen
    match [_KIND(fields[0]), *fields[1:]]:
        case [0, member, number, body]:
            return MessageItem(MemberId(_MEMBER(member)), _NUMBER(number), _BODY(body))
        case [1, event]:
            return EventItem(binary_upto(most)(event))
        case [2, hashes, which, data]:
            return PartItem(parts.read_part([hashes, which, data]))
    raise CannotOpen


def _seal(plain: bytes, epoch: EpochId, secrets: EpochSecrets, smallest: int, random: prim.Random) -> bytes:
    size = next(size for size in SIZES if size >= smallest and len(plain) < size - OVERHEAD)
    padded = prim.pad(plain, size - OVERHEAD)
    tag = secrets.tag
    return tag + prim.seal(secrets.header, padded, tag + epoch, random(prim.NONCE_BYTES))
