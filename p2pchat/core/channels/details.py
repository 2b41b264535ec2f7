"""What a channel's own head says besides: which relays mirror it now, and which group talks about it
(docs/protocol/channels.md). In a private channel it is sealed for those who have the link.
"""

from __future__ import annotations

from typing import NamedTuple

from p2pchat.core import primitives as prim
from p2pchat.core.channels.posts import MAX_DETAILS_BYTES, channel_id
from p2pchat.core.codec import array, binary, binary_upto, decode, encode, listing, maybe
from p2pchat.core.ids import GroupId
from p2pchat.core.invite import GROUP, MAX_INVITE, MAX_WAYS, ROLE_RELAY, InviteWay, decode_invite, way_shape
from p2pchat.errors import CannotOpen

_SEAL_BYTES = prim.NONCE_BYTES + prim.TAG_BYTES
_MARK_BYTES = 32
_FIELDS = listing(way_shape, MAX_WAYS), maybe(binary_upto(MAX_INVITE, least=1))
_WITHOUT_GROUP = array(*_FIELDS)
_SHAPE = array(*_FIELDS, maybe(binary(_MARK_BYTES)), open_end=True)


class ChannelDetails(NamedTuple):
    """ways: the relays that mirror the channel; none: those of the link. comments: an invite to the group that talks
    about it, encoded; None if there is none. group: by which members of that group know it (`group_mark`).
    """

    ways: tuple[InviteWay, ...] = ()
    comments: bytes | None = None
    group: bytes | None = None


def group_mark(key: bytes, group: GroupId) -> bytes:
    """Return the 32 bytes by which the channel with this public key names a group: they say which one to its members
    alone.
    """
    return prim.blake2b(key + group, b"p2pchat1 ch grp", _MARK_BYTES)


def encode_details(details: ChannelDetails, key: bytes, secret: bytes | None, random: prim.Random) -> bytes:
    """Return the bytes of details as a head has them. key: the channel's. secret: of the link of a private one."""
    ways = [[way.peer, way.address, ROLE_RELAY, *([way.token] if way.token else [])] for way in details.ways]
    plain = encode([ways, details.comments, details.group])
    if secret is None:
        return plain
    padded = prim.pad(plain, MAX_DETAILS_BYTES - _SEAL_BYTES)
    return prim.seal(_key(key, secret), padded, channel_id(key), random(prim.NONCE_BYTES))


def decode_details(data: bytes, key: bytes, secret: bytes | None) -> ChannelDetails:
    """Return what the bytes in a head say. Raises CannotOpen."""
    if secret is not None:
        data = prim.unpad(prim.open_sealed(_key(key, secret), data, channel_id(key)))
    fields = decode(data, MAX_DETAILS_BYTES)
    is_old = isinstance(fields, list) and len(fields) == len(_FIELDS)  # from before the group had a mark
    ways, comments, *later = (_WITHOUT_GROUP if is_old else _SHAPE)(fields)
    if any(way.role != ROLE_RELAY for way in ways) or len({way.peer for way in ways}) < len(ways):
        raise CannotOpen
    if comments is not None and decode_invite(comments).kind != GROUP:
        raise CannotOpen
    return ChannelDetails(ways, comments, later[0] if later else None)


def _key(key: bytes, secret: bytes) -> bytes:
    return prim.hkdf(secret, "chan details", prim.KEY_BYTES, context=channel_id(key))
