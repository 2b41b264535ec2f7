"""Invites: the text that one person gives to another so that their nodes can find and trust each other.

[1, kind, digest, secret, expiry (u32 seconds), [[peer, address, role] or [peer, address, 1, token]... <= 3],
name hint | nil, writer (only where a way is a relay), check], as text "P2PCHAT:" + base32. The digest pins who answers:
of the one bundle made for a one-time invite, of IK and DK for any other. From the secret come the keys of the
joining dialogue (`docs/protocol/joining.md`) and of the queues at relays (`docs/protocol/mailbox.md`).
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any

from p2pchat.core import primitives as prim
from p2pchat.core.codec import U8, U32, array, binary, binary_upto, decode, encode, exactly, listing, maybe, text, uint
from p2pchat.core.ids import InviteId, PeerKey
from p2pchat.core.mailbox import MAX_TOKEN
from p2pchat.core.text import clean_name
from p2pchat.errors import BadInvite, CannotOpen

PREFIX = "P2PCHAT:"
ONE_TIME, REUSABLE, GROUP = 0, 1, 2
ROLE_NODE, ROLE_RELAY = 0, 1
MAX_WAYS = 3
MAX_ADDRESS = 192
MAX_INVITE = 1024
TAG_BYTES = 16
CHECK_BYTES = 4
MAX_WRITTEN = 16 * MAX_INVITE
"""Characters at the beginning of a text in which an invite is searched for."""
_MAX_LETTERS = MAX_INVITE * 8 // 5 + 1
_AROUND = re.compile("[^0-9A-Za-z:]+")
_LETTERS = re.compile("[^A-Z2-7].*", re.DOTALL)
"""Matches from the first character that cannot be part of an invite to the end."""


@dataclass(frozen=True, slots=True)
class InviteWay:
    """Where to ask: a transport key and a packed address. Role 0 is the inviter's node, role 1 a relay, which may want
    a token.
    """

    peer: PeerKey
    address: bytes
    role: int
    token: bytes = b""


@dataclass(frozen=True, slots=True, repr=False)
class Invite:
    """An invite. expires_at: seconds since the epoch. secret: 16 bytes (one-time) or 32. writer: the public
    put key of the invite's box at its relays; None if it names no relay.
    """

    kind: int
    digest: bytes
    secret: bytes
    expires_at: int
    ways: tuple[InviteWay, ...]
    name: str | None
    writer: bytes | None = None


def new_secret(kind: int, random: prim.Random) -> bytes:
    """Return a new secret for an invite: 16 bytes if it is used once, which keeps the QR code small, or 32 if many may
    try.
    """
    return random(16 if kind == ONE_TIME else 32)


def encode_invite(invite: Invite) -> bytes:
    """Return the invite's bytes, checksum at the end (docs/protocol/invite.md)."""
    fields = [
        1,
        invite.kind,
        invite.digest,
        invite.secret,
        invite.expires_at,
        [[way.peer, way.address, way.role, *([way.token] if way.token else [])] for way in invite.ways],
        invite.name,
        *([invite.writer] if invite.writer is not None else []),
        bytes(CHECK_BYTES),
    ]
    unchecked = encode(fields)[:-CHECK_BYTES]
    return unchecked + check_bytes(unchecked)


_NODE_WAY = array(binary(prim.KEY_BYTES), binary_upto(MAX_ADDRESS, least=1), uint(U8))
_RELAY_WAY = array(
    binary(prim.KEY_BYTES), binary_upto(MAX_ADDRESS, least=1), exactly(ROLE_RELAY), binary_upto(MAX_TOKEN, least=1)
)


def way_shape(value: Any) -> InviteWay:
    """Check that a value is a way, and return it. Raises CannotOpen."""
    shape = _RELAY_WAY if isinstance(value, list) and len(value) > 3 else _NODE_WAY
    return InviteWay(*shape(value))


_FIELDS = (
    exactly(1),
    uint(GROUP),
    binary(prim.KEY_BYTES),
    binary_upto(32, least=16),
    uint(U32),
    listing(way_shape, MAX_WAYS),
    maybe(text(32)),
)
_SHAPE = array(*_FIELDS, binary(CHECK_BYTES))
_SHAPE_WITH_BOX = array(*_FIELDS, binary(prim.KEY_BYTES), binary(CHECK_BYTES))


def decode_invite(data: bytes) -> Invite:
    """Return the invite of `encode_invite`'s bytes. Raises CannotOpen."""
    value = decode(data, MAX_INVITE)
    with_box = isinstance(value, list) and len(value) > len(_FIELDS) + 1
    _, kind, digest, secret, expires_at, ways, name, *writer, check = (_SHAPE_WITH_BOX if with_box else _SHAPE)(value)
    if writer and not any(way.role == ROLE_RELAY for way in ways):
        raise CannotOpen
    if check != check_bytes(data[:-CHECK_BYTES]) or len(secret) != (16 if kind == ONE_TIME else 32):
        raise CannotOpen
    cleaned = None if name is None else clean_name(name) or None
    return Invite(kind, digest, secret, expires_at, ways, cleaned, writer[0] if writer else None)


def to_text(data: bytes) -> str:
    """Return the text of an invite, to copy: upper-case base32, suitable for an alphanumeric QR code."""
    return PREFIX + base64.b32encode(data).decode("ascii").rstrip("=")


def from_text(written: str) -> bytes:
    """Return the bytes of the invite in a text. Raises BadInvite if there is none, or it is damaged.

    Case, line breaks, and everything that people put around it do not matter: quotes, the frame of a panel, words
    before it and after it. Letters after it cannot be told from its own, so the checksum says where it ends.
    """
    if len(written) > MAX_WRITTEN:
        raise BadInvite
    _, _, rest = _AROUND.sub("", written).upper().partition(PREFIX)
    letters = _LETTERS.sub("", rest)[:_MAX_LETTERS]
    size = len(letters) * 5 // 8
    data = base64.b32decode(letters + "A" * (-len(letters) % 8))[: min(size, MAX_INVITE)]
    for end in range(len(data), CHECK_BYTES, -1):
        body, check = data[: end - CHECK_BYTES], data[end - CHECK_BYTES : end]
        if check == check_bytes(body):
            text = to_text(data[:end])[len(PREFIX) :]
            if letters.startswith(text):  # otherwise the last letter has stray bits
                return data[:end]
    raise BadInvite


def kind_in(data: bytes) -> int | None:
    """Return the kind that the bytes of an invite name, so that a reader knows what they are; None if there is none."""
    return data[2] if len(data) > 2 and data[1] == 1 and data[2] < 0x80 else None  # an array, version 1, a kind


def read_invite(written: str) -> tuple[Invite, bytes]:
    """Return (invite, its bytes) from a text that a person pasted. Raises BadInvite."""
    data = from_text(written)
    try:
        return decode_invite(data), data
    except CannotOpen:
        raise BadInvite from None


def blob_key(secret: bytes) -> bytes:
    """Return the 32-byte key that seals the bundle and the first message of the joining dialogue."""
    return prim.hkdf(secret, "inv key", prim.KEY_BYTES)


def hello_key(secret: bytes) -> bytes:
    """Return the 32-byte key that proves possession of the invite to the other end of a stream."""
    return prim.hkdf(secret, "inv hello", prim.KEY_BYTES)


def invite_mark(hello: bytes) -> bytes:
    """Return the mark by which a first message names its invite, from the key of `hello_key`. It detects somebody who
    passes a first message for one invite on to another inviter.
    """
    return prim.blake2b(hello, b"p2pchat1 invite")


def join_tag(key: bytes, role: str, peer: PeerKey, other_peer: PeerKey) -> bytes:
    """Return the 16-byte proof for one stream. role: "join" for the joiner, "offer" for the inviter."""
    ends = b"".join(sorted((peer, other_peer)))
    return prim.hmac_sha256(key, role.encode("ascii") + ends)[:TAG_BYTES]


def invite_id(encoded: bytes) -> InviteId:
    """Return the 8 bytes by which an invite is recognised once its secret is forgotten."""
    return InviteId(prim.blake2b(encoded, b"p2pchat1 inv id")[:8])


def sign_box(identity_seed: bytes, invite: bytes, bundle: bytes, fetch: bytes) -> bytes:
    """Return the inviter's 64-byte signature of the content of the box of `invite` (its bytes): the encoded bundle, and
    the public fetch key of the queue for first messages. Without it, anyone who holds the invite could name a queue of
    their own there, and would see who joins.
    """
    return prim.sign(identity_seed, _BOX_LABEL, _boxed(invite, bundle, fetch))


def check_box(identity: bytes, invite: bytes, bundle: bytes, fetch: bytes, signature: bytes) -> None:
    """Return if `identity`, which the invite must pin, signed this for the box of `invite` (see `sign_box`). Raises
    CannotOpen if not.
    """
    prim.verify(identity, _BOX_LABEL, _boxed(invite, bundle, fetch), signature)


def sign_closed(writer_seed: bytes, invite: bytes, reason: int) -> bytes:
    """Return the inviter's 64-byte signature that `invite` (its bytes) has ended before its time; `reason`: a number of
    `core.frames`. `writer_seed` is the private half of the invite's `writer`: the bundle, which would say who the
    inviter is, is not in a closed box.
    """
    return prim.sign(writer_seed, _CLOSED_LABEL, _closed(invite, reason))


def check_closed(writer: bytes, invite: bytes, reason: int, signature: bytes) -> None:
    """Return if the `writer` whom the invite names closed its box (see `sign_closed`). Raises CannotOpen where it did
    not.
    """
    prim.verify(writer, _CLOSED_LABEL, _closed(invite, reason), signature)


_BOX_LABEL = "invite box"
_CLOSED_LABEL = "invite closed"


def _closed(invite: bytes, reason: int) -> bytes:
    return encode([prim.blake2b(invite, b"p2pchat1 inv box"), reason])


def _boxed(invite: bytes, bundle: bytes, fetch: bytes) -> bytes:
    return encode([prim.blake2b(invite, b"p2pchat1 inv box"), bundle, fetch])


def check_bytes(unchecked: bytes) -> bytes:
    """Return the check bytes at the end of what is an invite without them."""
    return prim.blake2b(unchecked, b"p2pchat1 invite")[:CHECK_BYTES]
