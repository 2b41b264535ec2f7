"""A bundle: the sender's current keys for beginning a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from p2pchat.core.codec import array, binary_upto
from p2pchat.core.contents.kind import Kind, Payload
from p2pchat.core.prekeys import MAX_BUNDLE

_SHAPE = array(binary_upto(MAX_BUNDLE), open_end=True)


@dataclass(frozen=True, slots=True, repr=False)
class NewBundle(Payload):
    """A prekey bundle, encoded as `prekeys.open_bundle` reads it. It is used only if it belongs to the pinned keys."""

    KIND = Kind(10, "bundle", latest_only=True)
    encoded: bytes

    def encode(self) -> list[object]:
        """Return [bundle]: the packed prekey bundle."""
        return [self.encoded]

    @classmethod
    def decode(cls, value: Any) -> Self:
        """Read [bundle]. Raises CannotOpen."""
        return cls(_SHAPE(value)[0])
