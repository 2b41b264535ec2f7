"""A profile: what a person tells a contact about themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core.codec import array, binary, boolean, text
from p2pchat.core.contents.addresses import WAYS_SHAPE, Ways, encode_ways
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.contents.queues import QUEUES_SHAPE, AnnouncedQueue, decode_queues, encode_queues
from p2pchat.core.primitives import KEY_BYTES
from p2pchat.core.text import clean_name

MAX_NAME_BYTES = 1024
_SHORT = array(text(MAX_NAME_BYTES), boolean, WAYS_SHAPE, open_end=True)
_WITH_QUEUES = array(text(MAX_NAME_BYTES), boolean, WAYS_SHAPE, QUEUES_SHAPE, open_end=True)
_INTRODUCTION = array(text(MAX_NAME_BYTES), boolean, WAYS_SHAPE, QUEUES_SHAPE, binary(KEY_BYTES), open_end=True)
_SHAPES = {3: _SHORT, 4: _WITH_QUEUES}


@dataclass(frozen=True, slots=True)
class ContactProfile(Payload):
    """ways: at most four. queues: None if the content does not mention them. mark: in a first message, the mark of the
    invite that it is for (`invite.invite_mark`).
    """

    KIND = Kind(15, "profile", latest_only=True)
    name: str
    read_receipts: bool
    ways: Ways
    queues: tuple[AnnouncedQueue, ...] | None = None
    mark: bytes | None = None

    def encode(self) -> list[object]:
        """Return [name, read receipts, ways], with queues and mark where there are any; no mark without queues."""
        said: list[object] = [self.name, self.read_receipts, encode_ways(self.ways)]
        if self.mark is not None:
            return [*said, encode_queues(self.queues or ()), self.mark]
        return said if self.queues is None else [*said, encode_queues(self.queues)]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read the fields, and clean the name. Raises CannotOpen."""
        shape = _SHAPES.get(len(value) if isinstance(value, list) else 3, _INTRODUCTION)
        name, receipts, ways, *rest = shape(value)
        queues = decode_queues(rest[0]) if rest else None
        return cls(clean_name(name) or "nameless", receipts, ways, queues, rest[1] if len(rest) > 1 else None)
