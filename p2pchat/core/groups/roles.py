"""Roles, by whose levels every right in a group is decided, and the ids of members."""

from __future__ import annotations

from enum import IntEnum

from p2pchat.core import primitives as prim
from p2pchat.core.ids import MemberId

_PERSON = b"p2pchat1 member"
MEMBER_ID_BYTES = 8


class Role(IntEnum):
    """What a member may do. The number is the *level*: a lower one is *senior*, and nobody acts on an equal."""

    OWNER = 0
    ADMIN = 1
    MODERATOR = 2
    MEMBER = 9
    OBSERVER = 10

    def is_senior_to(self, other: Role) -> bool:
        """Tell whether a member of this role may act on one of the other."""
        return self < other


def member_id(sign: bytes) -> MemberId:
    """Return the id of the member with this Ed25519 public key of the group, 32 bytes. Two admins who add at the same
    time cannot give one number to two people, because nobody chooses it.
    """
    return MemberId(prim.blake2b(sign, _PERSON)[:MEMBER_ID_BYTES])
