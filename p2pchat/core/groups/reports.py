"""What a report says, sealed to each of those who moderate the group (docs/protocol/group-messages.md).

The message that carries it is read by every member's node, and the members it is about are among them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from p2pchat.core import codec
from p2pchat.core import primitives as prim
from p2pchat.core.groups.roles import MEMBER_ID_BYTES
from p2pchat.core.ids import GroupId, MemberId, MessageId
from p2pchat.errors import CannotOpen

MAX_READERS = 16
"""Moderators for whom one report has a box."""
MAX_REASON_BYTES = 256
BOX_BYTES = 360
"""A sealed report: 320 bytes, a nonce and a tag."""
_PERSON = b"p2pchat1 report"
_PLAIN_BYTES = BOX_BYTES - prim.NONCE_BYTES - prim.TAG_BYTES
_SHAPE = codec.array(codec.binary(16), codec.binary(MEMBER_ID_BYTES), codec.text(MAX_REASON_BYTES))


class Reported(NamedTuple):
    """Which message is reported, by its id and its author, and why; reason is not cleaned."""

    message: MessageId
    member: MemberId
    reason: str


class SealedReport(NamedTuple):
    """ephemeral: a public X25519 key of this report alone. boxes: of all who moderate, what it says, sealed to them."""

    ephemeral: bytes
    boxes: tuple[tuple[MemberId, bytes], ...]


def seal(
    group: GroupId, author: MemberId, said: Reported, moderators: Iterable[tuple[MemberId, bytes]], random: prim.Random
) -> SealedReport:
    """Seal a report by `author`. moderators: those who moderate the group, with their public X25519 keys. The author of
    what is reported is left out: the box for them has a random key, as has that for a key with which nobody could open
    anything. So the boxes are the same whoever is reported, and no third member can tell who that is.
    """
    private = random(prim.KEY_BYTES)
    ephemeral = prim.x25519_public(private)
    packed = codec.encode(list(said))
    plain = len(packed).to_bytes(2, "big") + packed + bytes(_PLAIN_BYTES - 2 - len(packed))
    boxes = []
    for reader, leaf in moderators:
        try:
            key = random(prim.KEY_BYTES) if reader == said.member else _key(prim.x25519(private, leaf), ephemeral, leaf)
        except CannotOpen:
            key = random(prim.KEY_BYTES)
        boxes.append((reader, prim.seal(key, plain, _bound_to(group, author, reader), random(prim.NONCE_BYTES))))
    return SealedReport(ephemeral, tuple(boxes))


def open_report(group: GroupId, author: MemberId, reader: MemberId, leaf_seed: bytes, report: SealedReport) -> Reported:
    """Return what a report by `author` says to `reader`, whose private X25519 key this is. Raises CannotOpen, also if
    it is for others.
    """
    box = next((box for member, box in report.boxes if member == reader), None)
    if box is None:
        raise CannotOpen
    key = _key(prim.x25519(leaf_seed, report.ephemeral), report.ephemeral, prim.x25519_public(leaf_seed))
    plain = prim.open_sealed(key, box, _bound_to(group, author, reader))
    size = int.from_bytes(plain[:2], "big")
    if any(plain[2 + size :]):
        raise CannotOpen
    message, member, reason = _SHAPE(codec.decode(plain[2 : 2 + size], _PLAIN_BYTES))
    return Reported(MessageId(message), MemberId(member), reason)


def _key(shared: bytes, ephemeral: bytes, leaf: bytes) -> bytes:
    return prim.blake2b(shared + ephemeral + leaf, _PERSON)


def _bound_to(group: GroupId, author: MemberId, reader: MemberId) -> bytes:
    return group + author + reader
