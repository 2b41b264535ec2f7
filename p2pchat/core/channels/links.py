"""The text that leads to a channel: an invite of kind 3 (docs/protocol/channels.md). Whoever has it can read the
channel and pass it on; it never ends.
"""

from __future__ import annotations

from dataclasses import dataclass

from p2pchat.core import primitives as prim
from p2pchat.core.channels.bodies import SECRET_BYTES
from p2pchat.core.channels.posts import MAX_NAME_BYTES
from p2pchat.core.codec import array, binary, decode, encode, exactly, listing, maybe, text
from p2pchat.core.invite import CHECK_BYTES, MAX_INVITE, MAX_WAYS, ROLE_RELAY, InviteWay, check_bytes, way_shape
from p2pchat.core.text import clean_name
from p2pchat.errors import CannotOpen

CHANNEL = 3
"""The kind of invite."""


@dataclass(frozen=True, slots=True, repr=False)
class ChannelLink:
    """A channel's public key, the secret that opens its posts (None: it is public), the relays that mirror it, and its
    name. seed: of the key of another writer, in the link that is for them alone.
    """

    key: bytes
    secret: bytes | None
    ways: tuple[InviteWay, ...]
    name: str
    seed: bytes | None = None


def encode_link(link: ChannelLink) -> bytes:
    """Return the bytes of a link; `invite.to_text` makes the text of them."""
    ways = [[way.peer, way.address, ROLE_RELAY, *([way.token] if way.token else [])] for way in link.ways]
    seed = [] if link.seed is None else [link.seed]
    unchecked = encode([1, CHANNEL, link.key, link.secret, ways, link.name, *seed, bytes(CHECK_BYTES)])[:-CHECK_BYTES]
    return unchecked + check_bytes(unchecked)


def decode_link(data: bytes) -> ChannelLink:
    """Return the link of `encode_link`'s bytes. Raises CannotOpen."""
    value = decode(data, MAX_INVITE)
    for_writer = isinstance(value, list) and len(value) > len(_FIELDS) + 1
    _, _, key, secret, ways, name, *seed, check = (_SHAPE_FOR_WRITER if for_writer else _SHAPE)(value)
    if check != check_bytes(data[:-CHECK_BYTES]) or any(way.role != ROLE_RELAY for way in ways):
        raise CannotOpen
    if seed and prim.sign_public(seed[0]) == key:  # whoever made it would write in the name of who follows it
        raise CannotOpen
    return ChannelLink(key, secret, ways, clean_name(name), seed[0] if seed else None)


_FIELDS = (
    exactly(1),
    exactly(CHANNEL),
    binary(prim.KEY_BYTES),
    maybe(binary(SECRET_BYTES)),
    listing(way_shape, MAX_WAYS),
    text(MAX_NAME_BYTES),
)
_SHAPE = array(*_FIELDS, binary(CHECK_BYTES))
_SHAPE_FOR_WRITER = array(*_FIELDS, binary(prim.KEY_BYTES), binary(CHECK_BYTES))
