"""A report: a member tells those who moderate the group about a message. Nobody else can read what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.groups.reports import BOX_BYTES, MAX_READERS
from p2pchat.core.groups.roles import MEMBER_ID_BYTES
from p2pchat.core.ids import MemberId

_BOX = codec.array(codec.binary(MEMBER_ID_BYTES), codec.binary(BOX_BYTES))
_SHAPE = codec.array(codec.binary(32), codec.listing(_BOX, MAX_READERS), open_end=True)


@dataclass(frozen=True, slots=True)
class Report(Payload):
    """ephemeral: a public X25519 key of this report alone. boxes: for whom, and what it says, sealed to them (see
    `core.groups.reports`).
    """

    KIND = Kind(36, "report", in_group=True)
    ephemeral: bytes
    boxes: tuple[tuple[MemberId, bytes], ...]

    def encode(self) -> list[object]:
        """Return [ephemeral, [[member, box] …]]."""
        return [self.ephemeral, [[member, box] for member, box in self.boxes]]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [ephemeral, [[member, box] …≤16]]. Raises CannotOpen."""
        ephemeral, boxes, *_ = _SHAPE(value)
        return cls(ephemeral, tuple((MemberId(member), box) for member, box in boxes))
