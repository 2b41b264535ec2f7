"""A group member: the sender says which member of a group it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core import primitives as prim
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.groups.roles import MEMBER_ID_BYTES
from p2pchat.core.ids import GroupId, MemberId

_SHAPE = codec.array(codec.binary(32), codec.binary(MEMBER_ID_BYTES), codec.binary(prim.SIGNATURE), open_end=True)


@dataclass(frozen=True, slots=True)
class GroupMember(Payload):
    """proof: see `welcome.check_member`; only the recipient can check it, and cannot show it to anybody else."""

    KIND = Kind(25, "group_member", deferred=True)
    group: GroupId
    member: MemberId
    proof: bytes

    def encode(self) -> list[object]:
        """Return [group, member, proof]."""
        return [self.group, self.member, self.proof]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [group, member, proof]. Raises CannotOpen."""
        group, member, proof, *_ = _SHAPE(value)
        return cls(group, member, proof)
