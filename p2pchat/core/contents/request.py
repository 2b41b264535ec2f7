"""A request for a new session, with everything that is needed to begin one. It only exists in a blob of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core.codec import array, binary_upto
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.contents.queues import QUEUES_SHAPE, AnnouncedQueue, decode_queues, encode_queues
from p2pchat.core.prekeys import MAX_BUNDLE

_SHAPE = array(binary_upto(MAX_BUNDLE), QUEUES_SHAPE, open_end=True)


@dataclass(frozen=True, slots=True, repr=False)
class RenewalRequest(Payload):
    """`bundle`: the keys to begin with, encoded. `queues`: where the sender collects."""

    KIND = Kind(18, "request", in_session=False)
    bundle: bytes
    queues: tuple[AnnouncedQueue, ...]

    def encode(self) -> list[object]:
        """Return [bundle, queues]: what the answer to the request needs."""
        return [self.bundle, encode_queues(self.queues)]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [bundle, queues]. Raises CannotOpen."""
        bundle, queues, *_ = _SHAPE(value)
        return cls(bundle, decode_queues(queues))
