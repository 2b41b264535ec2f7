"""A group join: the answer to an offer, with the keys that the newcomer made for the group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core import codec
from p2pchat.core import primitives as prim
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.groups.welcome import MAX_NAME, MAX_WORDS, JoinKeys
from p2pchat.core.ids import GroupId

_KEY = codec.binary(prim.KEY_BYTES)
_SHAPE = codec.array(
    codec.binary(32), _KEY, _KEY, codec.maybe(codec.binary(prim.KEM_PUBLIC)), codec.text(MAX_NAME),
    codec.binary(prim.SIGNATURE), codec.text(MAX_WORDS), open_end=True,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GroupJoin(Payload):
    """keys: not checked yet (`welcome.check_join_keys`). words: what the newcomer says to whoever decides, or ""."""

    KIND = Kind(22, "group_join", deferred=True)
    group: GroupId
    keys: JoinKeys
    words: str = ""

    def encode(self) -> list[object]:
        """Return [group, gS, gL, gK | nil, name, proof, words]."""
        keys = self.keys
        return [self.group, keys.sign, keys.leaf, keys.kem, keys.name, keys.proof, self.words]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [group, gS, gL, gK | nil, name, proof, words]. Raises CannotOpen."""
        group, sign, leaf, kem, name, proof, words, *_ = _SHAPE(value)
        return cls(group, JoinKeys(sign, leaf, kem, name, proof), words)
