"""What a channel's own head says besides: which relays mirror it now, and which group talks about it
(docs/protocol/channels.md). In a private channel it is sealed for those who have the link.
"""

from __future__ import annotations

from typing import NamedTuple

from p2pchat.core import primitives as prim
from p2pchat.core.channels.posts import MAX_DETAILS_BYTES, channel_id
from p2pchat.core.codec import array, binary_upto, decode, encode, listing, maybe
from p2pchat.core.invite import GROUP, MAX_INVITE, MAX_WAYS, ROLE_RELAY, InviteWay, decode_invite, way_shape
from p2pchat.errors import CannotOpen

_SEAL_BYTES = prim.NONCE_BYTES + prim.TAG_BYTES
_SHAPE = array(listing(way_shape, MAX_WAYS), maybe(binary_upto(MAX_INVITE, least=1)), open_end=True)


class ChannelDetails(NamedTuple):
    """ways: the relays that mirror the channel; none: those of the link. comments: an invite to the group that talks
    about it, encoded; None if there is none.
    """

    ways: tuple[InviteWay, ...] = ()
    comments: bytes | None = None


def encode_details(details: ChannelDetails, key: bytes, secret: bytes | None, random: prim.Random) -> bytes:
    """Return the bytes of details as a head has them. key: the channel's. secret: of the link of a private one."""
    ways = [[way.peer, way.address, ROLE_RELAY, *([way.token] if way.token else [])] for way in details.ways]
    plain = encode([ways, details.comments])
    if secret is None:
        return plain
    padded = prim.pad(plain, MAX_DETAILS_BYTES - _SEAL_BYTES)
    return prim.seal(_key(key, secret), padded, channel_id(key), random(prim.NONCE_BYTES))


def decode_details(data: bytes, key: bytes, secret: bytes | None) -> ChannelDetails:
    """Return what the bytes in a head say. Raises CannotOpen."""
    if secret is not None:
        data = prim.unpad(prim.open_sealed(_key(key, secret), data, channel_id(key)))
    ways, comments, *_ = _SHAPE(decode(data, MAX_DETAILS_BYTES))
    if any(way.role != ROLE_RELAY for way in ways) or len({way.peer for way in ways}) < len(ways):
        raise CannotOpen
    if comments is not None and decode_invite(comments).kind != GROUP:
        raise CannotOpen
    return ChannelDetails(ways, comments)


def _key(key: bytes, secret: bytes) -> bytes:
    return prim.hkdf(secret, "chan details", prim.KEY_BYTES, context=channel_id(key))
